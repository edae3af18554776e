//! What was asked of `lastlight dev`.

use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// The text of `lastlight dev --help`.
pub(super) const HELP: &str = "\
Runs a command and shows the traces and metrics it sends. No account and no API key
are needed: the agent's backend is in this process.

Usage: lastlight dev [options] [--] [command [arguments…]]

Without a command, receives until Ctrl-C.

Options:
      --json         one JSON object a line on stdout; the command's stdout goes to stderr
      --output FILE  write what is shown to FILE, without colours
      --example      send some example traces and metrics instead of running a command
  -h, --help         show this help

Exits with the command's own code: 128 + n when signal n ended it, 127 when it was not
found, 126 when it could not be run. All DD_* variables work as with `lastlight`.
";

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// JSON instead of text for people.
    pub(super) json: bool,
    /// Where to write instead of the terminal.
    pub(super) output: Option<PathBuf>,
    /// What sends traces and metrics.
    pub(super) source: Source,
}

/// What sends traces and metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// Whoever does, until Ctrl-C.
    #[default]
    Anyone,
    /// A command of ours, and its arguments.
    Command(OsString, Vec<OsString>),
    /// The built-in client.
    Example,
}

/// A wish for help is no error and no run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Help,
    Run(Options),
}

/// Reads the arguments after `dev`.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn parse(mut parser: Parser) -> Result<Asked, String> {
    let mut options = Options::default();
    let mut example = false;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help),
            Arg::Long("json") => options.json = true,
            Arg::Long("output") => {
                options.output = Some(parser.value().map_err(|error| error.to_string())?.into())
            }
            Arg::Long("example") => example = true,
            // The first word ends our options: what follows is the command's.
            Arg::Value(command) => {
                let rest = parser.raw_args().map_err(|error| error.to_string())?.collect();
                options.source = Source::Command(command, rest);
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    match (example, &options.source) {
        (true, Source::Command(..)) => Err("--example takes the place of a command".to_owned()),
        (true, _) => Ok(Asked::Run(Options { source: Source::Example, ..options })),
        (false, _) => Ok(Asked::Run(options)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, String> {
        parse(Parser::from_args(arguments))
    }

    fn command(words: &[&str]) -> Source {
        Source::Command(words[0].into(), words[1..].iter().map(OsString::from).collect())
    }

    #[test]
    fn what_follows_the_command_is_the_commands_own() {
        for arguments in [
            &["--json", "--", "python", "-m", "app", "--json", "--"][..],
            &["--json", "python", "-m", "app", "--json", "--"],
        ] {
            let expected = Options {
                json: true,
                source: command(&["python", "-m", "app", "--json", "--"]),
                output: None,
            };
            assert_eq!(parsed(arguments), Ok(Asked::Run(expected)), "{arguments:?}");
        }
    }

    #[test]
    fn without_a_command_anyone_may_send() {
        assert_eq!(parsed(&[]), Ok(Asked::Run(Options::default())));
        assert_eq!(parsed(&["--"]), Ok(Asked::Run(Options::default())));
        assert_eq!(parsed(&["-h"]), Ok(Asked::Help));
        let example = Options { source: Source::Example, output: Some("x".into()), json: false };
        assert_eq!(parsed(&["--example", "--output=x"]), Ok(Asked::Run(example)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parsed(&["--jsno"]).is_err_and(|error| error.contains("--jsno")));
        assert!(parsed(&["--output"]).is_err_and(|error| error.contains("--output")));
        assert!(parsed(&["--example", "true"]).is_err_and(|error| error.contains("--example")));
    }
}
