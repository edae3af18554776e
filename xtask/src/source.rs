//! What must not stand in source files, and where.

use std::fs;
use std::path::Path;

/// Longer files are split where their seams are.
const LINES_MAX_COUNT: usize = 700;

/// A source file of the repository.
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A word, the paths in which it may stand, and why nowhere else.
struct Ban {
    words: &'static [&'static str],
    allowed: &'static [&'static str],
    reason: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["cfg(windows)", "cfg(unix)", "cfg(not(unix))", "cfg(not(windows))", "target_os"],
        allowed: &[
            "crates/agent/src/transport/",
            "crates/agent/tests/",
            "xtask/",
            "e2e/",
            "crates/testkit/",
            "crates/lastlight/src/dev",
            "crates/init/",
            "crates/channel/",
            "crates/sidecar/",
            "crates/capi/",
        ],
        reason: "systems differ in agent/transport, init/sys, the sidecar and its channel only",
    },
    Ban {
        words: &["env::var", "env::vars", "env::var_os"],
        allowed: &[
            "crates/agent/src/config/source.rs",
            "/build.rs",
            "xtask/",
            "e2e/",
            "crates/testkit/",
            "crates/init/src/sys/linux.rs",
            "crates/init/tests/",
            "crates/channel/tests/",
            "crates/sidecar/tests/",
            "crates/sidecar/probe/",
        ],
        reason: "only agent/config/source reads the environment; init/sys hands it on unread",
    },
    Ban {
        words: &["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code", "expect(unsafe_code"],
        allowed: &[
            "crates/init/src/sys",
            "crates/channel/probe/fork.rs",
            "crates/sidecar/src/fork.rs",
            "crates/sidecar/src/fork/list.rs",
            "crates/sidecar/src/host/spawn.rs",
            "crates/sidecar/src/host/files.rs",
            "crates/sidecar/src/watch.rs",
            "crates/sidecar/probe/",
            "crates/capi/src/ffi",
            "xtask/",
        ],
        reason: "no unsafe code outside the places ARCHITECTURE.md names",
    },
    Ban {
        words: &["SystemTime::now", "Instant::now"],
        allowed: &[
            "crates/agent/",
            "crates/lifecycle/",
            "crates/desk/",
            "crates/lastlight/",
            "crates/init/",
            "crates/channel/",
            "crates/sidecar/",
            "crates/capi/",
            "crates/testkit/",
            "e2e/",
            "xtask/",
            "/benches/",
        ],
        reason: "model, wire and pipeline take `now` as an argument",
    },
    Ban {
        words: &["todo!(", "unimplemented!(", "dbg!("],
        allowed: &["xtask/"],
        reason: "finish it, or say what is missing as an error",
    },
    Ban {
        words: &["process::exit"],
        allowed: &["xtask/", "crates/testkit/"],
        reason: "only main decides the exit code, by returning it",
    },
    Ban { words: &["unbounded"], allowed: &["xtask/", "crates/testkit/"], reason: "every queue is bounded" },
];

/// All Rust files that git tracks or would track.
pub(crate) fn files(root: &Path) -> Vec<File> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "e2e", "fuzz", "bindings"] {
        collect(root, &root.join(folder), &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') && name != "node_modules" {
                collect(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(File { path: relative, text: fs::read_to_string(&path).unwrap_or_default() });
        }
    }
}

pub(crate) fn problems(files: &[File]) -> Vec<String> {
    files.iter().flat_map(file_problems).collect()
}

fn file_problems(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = file.text.lines().count();
    if lines > LINES_MAX_COUNT {
        problems.push(format!("{}: {lines} lines, at most {LINES_MAX_COUNT}: split it at a seam", file.path));
    }
    for ban in BANS {
        if ban.allowed.iter().any(|allowed| file.path.contains(allowed)) {
            continue;
        }
        for (number, line) in shipped(&file.text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = ban.words.iter().find(|word| code.contains(**word)) {
                problems.push(format!("{}:{}: `{word}`: {}", file.path, number + 1, ban.reason));
            }
        }
    }
    problems
}

/// The text before the tests, which stand last.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(path: &str, text: &str) -> Vec<String> {
        file_problems(&File { path: path.into(), text: text.into() })
    }

    #[test]
    fn a_banned_word_is_found_in_code_and_not_in_a_comment() {
        assert_eq!(problems_of("crates/wire/src/x.rs", "let t = Instant::now();").len(), 1);
        assert!(problems_of("crates/wire/src/x.rs", "// Instant::now is not for us").is_empty());
        assert!(problems_of("crates/agent/src/x.rs", "let t = Instant::now();").is_empty());
        assert_eq!(problems_of("crates/agent/src/x.rs", "#[cfg(windows)]").len(), 1);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(problems_of("crates/wire/src/x.rs", &"\n".repeat(LINES_MAX_COUNT + 1)).len(), 1);
    }
}
