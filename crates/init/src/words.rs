//! One quoted string as a command: split into words as a shell would, and nothing more.
//!
//! serverless-init splits at white space and takes quotes for letters (entrypoint.md §1.2, §4 no. 11); here
//! `sh -c 'a b'` is three words. No shell runs: `$NAME`, `*`, `;` and `|` stand for themselves.

use std::ffi::OsString;
use std::fmt;

/// What is wrong with a command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unfinished {
    Quote(char),
    Backslash,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quote(quote) => write!(formatter, "a quote ({quote}) is opened and not closed"),
            Self::Backslash => formatter.write_str("it ends with a backslash"),
        }
    }
}

/// The words of a line. Single quotes keep everything; double quotes keep everything but a backslash before
/// `"`, `\`, `$` and `` ` ``; elsewhere a backslash keeps the character after it. A backslash takes a line
/// break with it.
pub(crate) fn split(line: &str) -> Result<Vec<OsString>, Unfinished> {
    let mut words = Vec::new();
    // `None` between words: `''` is a word, white space is none.
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take().map(OsString::from)),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(quoted) => word.push(quoted),
                        None => return Err(Unfinished::Quote('\'')),
                    }
                }
            }
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => match characters.next() {
                Some('\n') => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err(Unfinished::Backslash),
            },
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word.map(OsString::from));
    Ok(words)
}

fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Unfinished> {
    loop {
        match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                Some('\n') => {}
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => return Err(Unfinished::Quote('"')),
            },
            Some(quoted) => word.push(quoted),
            None => return Err(Unfinished::Quote('"')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, words) in [
            ("node /app.js", vec!["node", "/app.js"]),
            ("  a \t b\n c  ", vec!["a", "b", "c"]),
            (r#"sh -c 'echo "a  b"'"#, vec!["sh", "-c", r#"echo "a  b""#]),
            (r#"a"b c"'d e'f"#, vec!["ab cd ef"]),
            (r#""a \"b\" \$c \d""#, vec![r#"a "b" $c \d"#]),
            (r"a\ b \'c", vec!["a b", "'c"]),
            ("'' \"\"", vec!["", ""]),
            ("a\\\nb", vec!["ab"]),
            ("echo $HOME *.txt; ls | wc", vec!["echo", "$HOME", "*.txt;", "ls", "|", "wc"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn an_unfinished_line_says_what_is_missing() {
        assert_eq!(split("echo 'a"), Err(Unfinished::Quote('\'')));
        assert_eq!(split("echo \"a"), Err(Unfinished::Quote('"')));
        assert_eq!(split("echo \"a\\"), Err(Unfinished::Quote('"')));
        assert_eq!(split("echo a\\"), Err(Unfinished::Backslash));
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back_as_it_was(words in prop::collection::vec(any::<String>(), 0..6)) {
            let quoted: Vec<String> =
                words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            let expected: Vec<OsString> = words.iter().map(OsString::from).collect();
            prop_assert_eq!(split(&quoted.join(" ")).unwrap(), expected);
        }
    }
}
