//! Where a session is shown, and how: the terminal and the variables people set for it.

use super::options::{Options, Source};
use agent::config::source::Strings;
use desk::{JsonLines, Tree, View, WIDTH_DEFAULT};
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};

/// The view and where its text goes.
///
/// A command owns stdout, so its traces go to stderr; with `--json` stdout is the view's alone.
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
    Ok((Box::new(Tree::new(columns, colours)), out))
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
