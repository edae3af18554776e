//! Which crate may know which (the table in ARCHITECTURE.md), and what every manifest inherits.

use std::path::Path;
use std::process::Command;

/// Crate, and the crates of ours it may depend on when it ships (tests may use `testkit` besides).
const ALLOWED: &[(&str, &[&str])] = &[
    ("lastlight-model", &[]),
    ("lastlight-wire", &["lastlight-model"]),
    ("lastlight-pipeline", &["lastlight-model"]),
    ("lastlight-lifecycle", &[]),
    ("lastlight-agent", &["lastlight-model", "lastlight-wire", "lastlight-pipeline", "lastlight-lifecycle"]),
    ("lastlight-init", &[]),
    ("lastlight-channel", &[]),
    ("lastlight-sidecar", &["lastlight-agent", "lastlight-channel"]),
    ("lastlight-tracer", &[]),
    ("lastlight-capi", &["lastlight-agent", "lastlight-sidecar", "lastlight-tracer"]),
    ("lastlight-desk", &["lastlight-model", "lastlight-wire"]),
    ("lastlight", &["lastlight-agent", "lastlight-desk", "lastlight-init", "lastlight-sidecar"]),
    ("lastlight-testkit", &[]),
    ("lastlight-e2e", &["lastlight-testkit"]),
    ("xtask", &["lastlight-agent"]),
];

/// Crates with a place for unsafe code. Cargo cannot except one line of an inherited table, so they repeat it.
const WITH_UNSAFE: &[&str] = &["lastlight-init", "lastlight-channel", "lastlight-sidecar", "lastlight-capi"];

/// What only tests may use besides.
const FOR_TESTS: &[&str] = &["lastlight-testkit", "lastlight-model", "lastlight-wire"];

pub(crate) fn problems(root: &Path) -> Vec<String> {
    let metadata = match metadata(root) {
        Ok(metadata) => metadata,
        Err(error) => return vec![format!("Cargo.toml: cannot read the workspace: {error}")],
    };
    let mut problems = Vec::new();
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("{name}: a crate that xtask/src/edges.rs does not know: add its edges"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let ours = ALLOWED.iter().any(|(known, _)| *known == to);
            let for_tests = dependency["kind"].as_str() == Some("dev") && FOR_TESTS.contains(&to);
            if ours && !allowed.contains(&to) && !for_tests {
                problems.push(format!("{name}: must not know {to} (ARCHITECTURE.md, invariants)"));
            }
        }
        problems.extend(manifest(name, package["manifest_path"].as_str().unwrap_or_default(), &workspace));
    }
    problems
}

fn metadata(root: &Path) -> Result<serde_json::Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Every crate inherits the lints and the version.
fn manifest(name: &str, path: &str, workspace: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut problems: Vec<String> = ["version.workspace = true", "license.workspace = true"]
        .iter()
        .filter(|line| !text.contains(**line))
        .map(|line| format!("{name}: its Cargo.toml lacks `{line}`"))
        .collect();
    if !WITH_UNSAFE.contains(&name) {
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{name}: its Cargo.toml lacks `[lints] workspace = true`"));
        }
    } else if lints(workspace, "[workspace.lints.")
        .map(|line| line.replace("forbid", "deny"))
        .ne(lints(&text, "[lints."))
    {
        problems.push(format!("{name}: its lints are not the workspace's with `unsafe_code = \"deny\"`"));
    }
    problems
}

/// The lines of a manifest's lint tables, without comments.
fn lints<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    let mut inside = false;
    manifest.lines().filter(move |line| {
        if line.starts_with('[') {
            inside = line.starts_with(header);
            return false;
        }
        inside && !line.is_empty() && !line.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_lint_tables_are_found() {
        let manifest = "[a]\nx = 1\n[lints.rust]\n# why\nu = \"deny\"\n\n[lints.clippy]\nv = 2\n[b]\ny = 3\n";
        assert_eq!(lints(manifest, "[lints.").collect::<Vec<_>>(), ["u = \"deny\"", "v = 2"]);
    }
}
