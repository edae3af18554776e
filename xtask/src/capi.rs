//! The C library's face: its header, written from the Rust source, and the list of what a release promised.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Generated from crates/capi/src/ffi.
pub(crate) const HEADER: &str = "crates/capi/include/lastlight.h";
/// What each release promised, one file each.
const PROMISES: &str = "crates/capi/abi";

const LINE_MAX_CHARS: usize = 120;

/// What every function keeps to, before the first of them.
const PREAMBLE: &str = include_str!("../../crates/capi/src/header.txt");

/// The header as the source says it.
pub(crate) fn header(root: &Path) -> Result<String, String> {
    let folder = root.join("crates/capi/src");
    let mut sources = vec![folder.join("lib.rs")];
    for name in ["types", "words", "handle", "spans"] {
        sources.push(folder.join("ffi").join(name).with_extension("rs"));
    }
    let mut builder = cbindgen::Builder::new().with_config(config());
    for source in sources {
        builder = builder.with_src(source);
    }
    let bindings = builder.generate().map_err(|error| format!("{HEADER}: {error}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    // The constants are of the library, not of their enum.
    let text = ["RESULT", "KIND"]
        .iter()
        .fold(text, |text, name| text.replace(&format!("LASTLIGHT_{name}_"), "LASTLIGHT_"));
    Ok(comments(&text))
}

/// Comments as one writes them: of one line in one line, of more with a star before each.
fn comments(text: &str) -> String {
    let mut lines = text.lines().peekable();
    let mut out = String::new();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() != "/*" || lines.peek().is_none_or(|line| line.trim() == "*/") {
            writeln!(out, "{line}").ok();
            continue;
        }
        let comment: Vec<&str> = lines.by_ref().map(str::trim).take_while(|line| *line != "*/").collect();
        match comment.as_slice() {
            [one] if indent.len() + one.len() + 6 <= LINE_MAX_CHARS => {
                writeln!(out, "{indent}/* {one} */").ok()
            }
            several => {
                let rest = several.join(&format!("\n{indent} * "));
                writeln!(out, "{indent}/* {}\n{indent} */", rest.replace("* \n", "*\n")).ok()
            }
        };
    }
    out
}

fn config() -> cbindgen::Config {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(PREAMBLE.trim_end().to_owned()),
        include_guard: Some("LASTLIGHT_H".to_owned()),
        cpp_compat: true,
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        line_length: LINE_MAX_CHARS,
        tab_width: 2,
        usize_is_size_t: true,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::C,
        ..cbindgen::Config::default()
    };
    config.export.include =
        ["lastlight_kind", "lastlight_mode", "lastlight_level"].map(str::to_owned).to_vec();
    config.enumeration.rename_variants = cbindgen::RenameRule::ScreamingSnakeCase;
    config.enumeration.prefix_with_name = true;
    config
}

/// What a program that was built against this header may rely on, one a line, sorted: functions, constants with their
/// numbers, structs with their fields.
pub(crate) fn promises(header: &str) -> String {
    let mut lines = BTreeSet::new();
    for line in header.lines().map(str::trim) {
        if let Some((name, value)) = line.strip_prefix("LASTLIGHT_").and_then(|line| line.split_once(" = ")) {
            lines.insert(format!("constant LASTLIGHT_{name} {}", value.trim_end_matches(',')));
        } else if let Some((name, value)) =
            line.strip_prefix("#define LASTLIGHT_").and_then(|line| line.split_once(' '))
        {
            lines.insert(format!("constant LASTLIGHT_{name} {value}"));
        }
    }
    for declaration in declarations(header) {
        lines.insert(format!("function {declaration}"));
    }
    lines.extend(structs(header));
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").ok();
        text
    })
}

/// The structs, each in one line, open at its end: fields may follow.
fn structs(header: &str) -> Vec<String> {
    let code = without_comments(header);
    let bodies = code.split("typedef struct ").skip(1).filter_map(|rest| rest.split_once('}'));
    bodies
        .filter_map(|(body, _)| body.split_once('{'))
        .filter(|(name, _)| !name.contains(';'))
        .map(|(name, fields)| {
            let fields = fields.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("struct {} {fields}", name.trim())
        })
        .collect()
}

/// Whether what was promised still holds.
fn holds(promised: &str, now: &BTreeSet<&str>) -> bool {
    // The number of the interface grows; a struct that says its size gets more fields; nothing else may change.
    promised.starts_with("constant LASTLIGHT_ABI ")
        || now.contains(promised)
        || promised.starts_with("struct ")
            && promised.contains(" size_t size;")
            && now.iter().any(|line| line.starts_with(promised))
}

/// The functions, each in one line with single blanks.
fn declarations(header: &str) -> Vec<String> {
    let code = without_comments(header);
    let code: String = code
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |text, line| text + line + " ");
    code.split([';', '{', '}'])
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| part.contains("lastlight_") && part.ends_with(')'))
        .collect()
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

/// What is wrong with the header and with what releases promised.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let header = match header(root) {
        Ok(header) => header,
        Err(error) => return vec![error],
    };
    let written = std::fs::read_to_string(root.join(HEADER)).unwrap_or_default();
    let mut problems = Vec::new();
    if written != header {
        problems.push(format!("{HEADER}: differs from the source: run `cargo xtask header`"));
    }
    let now = promises(&header);
    let kept: BTreeSet<&str> = now.lines().collect();
    let mut has_this_release = false;
    for entry in std::fs::read_dir(root.join(PROMISES)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        has_this_release |= name == this_release();
        let promised = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for line in promised.lines().filter(|line| !holds(line, &kept)) {
            problems.push(format!("{PROMISES}/{name}: promised, and gone or changed: {line}"));
        }
    }
    if !has_this_release {
        problems.push(format!("{PROMISES}/{}: missing: run `cargo xtask abi`", this_release()));
    }
    problems
}

fn this_release() -> String {
    concat!(env!("CARGO_PKG_VERSION"), ".txt").to_owned()
}

/// Writes the header.
pub(crate) fn write_header(root: &Path) -> Result<(), String> {
    let header = header(root)?;
    std::fs::write(root.join(HEADER), header).map_err(|error| format!("{HEADER}: {error}"))
}

/// Writes what this release promises. What it had promised under the same number stays promised, unless `--anew` says that
/// the number was never released.
pub(crate) fn write_promises(root: &Path, is_anew: bool) -> Result<(), String> {
    let now = promises(&header(root)?);
    let path = root.join(PROMISES).join(this_release());
    let before = if is_anew { String::new() } else { std::fs::read_to_string(&path).unwrap_or_default() };
    let kept: BTreeSet<&str> = now.lines().collect();
    if let Some(gone) = before.lines().find(|line| !kept.contains(line) && !line.contains(" LASTLIGHT_ABI "))
    {
        return Err(format!("{}: promised, and gone or changed: {gone}", path.display()));
    }
    std::fs::create_dir_all(root.join(PROMISES)).map_err(|error| error.to_string())?;
    std::fs::write(&path, now).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_promises_is_found() {
        let header = "#define LASTLIGHT_LAZY 1\n/* Says\n lastlight_no(void); */\ntypedef enum lastlight_result {\n  \
                      LASTLIGHT_OK = 0,\n} lastlight_result;\n#ifdef X\nextern \"C\" {\n#endif\nlastlight_result \
                      lastlight_a(int b,\n   int c);\nvoid lastlight_d(void);\ntypedef struct x x;\ntypedef struct \
                      y {\n  size_t size;\n} y;\n";
        assert_eq!(
            promises(header),
            "constant LASTLIGHT_LAZY 1\nconstant LASTLIGHT_OK 0\nfunction lastlight_result lastlight_a(int b, int \
             c)\nfunction void lastlight_d(void)\nstruct y size_t size;\n"
        );
    }

    #[test]
    fn fields_may_follow_where_a_struct_says_its_size_and_nothing_may_go() {
        let now = BTreeSet::from([
            "struct y size_t size; int a;",
            "struct z int a; int b;",
            "constant LASTLIGHT_A 1",
        ]);
        for (promised, is_held) in [
            ("struct y size_t size;", true),
            ("struct y size_t size; int b;", false),
            ("struct z int a;", false),
            ("constant LASTLIGHT_A 1", true),
            ("constant LASTLIGHT_A 2", false),
            ("constant LASTLIGHT_ABI 1", true),
            ("function void lastlight_a(void)", false),
        ] {
            assert_eq!(holds(promised, &now), is_held, "{promised}");
        }
    }
}
