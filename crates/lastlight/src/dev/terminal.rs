//! Where a session is shown, and how: the terminal and the variables people set for it.

use super::options::{Options, Source};
use agent::config::source::Strings;
use desk::{JsonLines, Tree, View, WIDTH_DEFAULT};
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};

/// The view and where its text goes.
///
/// A command owns stdout, so what it sends is shown on stderr; with `--json` stdout is the view's alone.
///
/// # Errors
/// When the file cannot be made.
pub(super) fn open(
    options: &Options,
    strings: &dyn Strings,
) -> io::Result<(Box<dyn View>, Box<dyn Write + Send>)> {
    let (out, is_terminal): (Box<dyn Write + Send>, bool) = match (&options.output, owns_stdout(options)) {
        (Some(path), _) => (Box::new(File::create(path)?), false),
        (None, true) => (Box::new(io::stdout()), io::stdout().is_terminal()),
        (None, false) => (Box::new(io::stderr()), io::stderr().is_terminal()),
    };
    if options.json {
        return Ok((Box::new(JsonLines), out));
    }
    let said = strings.get("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let columns = move || {
        let seen = is_terminal.then(terminal_size::terminal_size).flatten();
        seen.map(|(columns, _)| usize::from(columns.0)).or(said).unwrap_or(WIDTH_DEFAULT)
    };
    let colours = colours(is_terminal, strings);
    let ascii = is_terminal && is_ascii(strings);
    Ok((Box::new(Tree::new(columns, colours).ascii(ascii)), out))
}

/// Tells the person something, on stderr. One that is closed harms nobody.
pub(super) fn say(text: &str) {
    io::stderr().write_all(format!("lastlight dev: {text}\n").as_bytes()).ok();
}

/// Prints to stdout. One that is closed harms nobody.
pub(super) fn print(text: &str) {
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).ok();
}

/// The view writes to stdout.
pub(super) fn owns_stdout(options: &Options) -> bool {
    options.output.is_none() && (options.json || !matches!(options.source, Source::Command(..)))
}

/// Colours for people who look and have not declined (<https://no-color.org>).
fn colours(is_terminal: bool, strings: &dyn Strings) -> bool {
    let declined = strings.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !declined && strings.get("TERM").as_deref() != Some("dumb")
}

/// The locale names a character set, and not UTF-8. One that is not set says nothing of the terminal.
fn is_ascii(strings: &dyn Strings) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        strings.get(name).filter(|value| !value.is_empty()).map(|value| value.to_ascii_lowercase())
    });
    locale.is_some_and(|locale| !locale.contains("utf-8") && !locale.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::config::source::Fixed;

    #[test]
    fn colours_need_a_terminal_and_nobody_who_declines() {
        let none = Fixed::new();
        assert!(colours(true, &none));
        assert!(!colours(false, &none));
        assert!(!colours(true, &none.clone().with("NO_COLOR", "1")));
        assert!(colours(true, &none.clone().with("NO_COLOR", "")));
        assert!(!colours(true, &none.with("TERM", "dumb")));
    }

    #[test]
    fn a_locale_without_utf_8_gets_ascii() {
        let ascii =
            |pairs: &[(&'static str, &'static str)]| is_ascii(&Fixed::from_iter(pairs.iter().copied()));
        assert!(!ascii(&[]));
        assert!(!ascii(&[("LANG", "de_DE.UTF-8")]));
        assert!(!ascii(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(ascii(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(ascii(&[("LANG", "de_DE.ISO-8859-1")]));
    }

    #[test]
    fn a_command_keeps_stdout_unless_json_is_asked_for() {
        let command = || Source::Command("true".into(), Vec::new());
        let options =
            |json, source, output: Option<&str>| Options { json, source, output: output.map(Into::into) };
        assert!(!owns_stdout(&options(false, command(), None)));
        assert!(owns_stdout(&options(true, command(), None)));
        assert!(!owns_stdout(&options(true, command(), Some("file"))));
        assert!(owns_stdout(&options(false, Source::Anyone, None)));
        assert!(owns_stdout(&options(false, Source::Example, None)));
    }
}
