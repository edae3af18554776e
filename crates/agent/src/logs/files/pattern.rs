//! Paths with placeholders.

use std::io;
use std::path::{Path, PathBuf, is_separator};

/// Entries of folders looked at for one pattern at one time.
pub(super) const WALK_MAX_ENTRIES: usize = 10_000;

/// A path in which `*` stands for any characters of one name, `?` for one, `[a-z]` for one of these and `[!a-z]` or
/// `[^a-z]` for one other. There is no `**`: it means what `*` does. A `[` that is never closed is itself, and so is a
/// character after a `\`, where that separates no names. As the reference has it, names that begin with a dot are none
/// of their own kind.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// What stands before the first name with a placeholder.
    folder: PathBuf,
    /// The rest, name by name; empty where the path has no placeholder.
    names: Vec<Vec<Token>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[…]`: from and to, both among them.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// What stands where the pattern points.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In alphabetical order. That something is a file is not known.
    pub(super) paths: Vec<PathBuf>,
    /// There is more than [`WALK_MAX_ENTRIES`].
    pub(super) is_cut: bool,
    /// The first folder that could not be read although it is there.
    pub(super) unreadable: Option<(PathBuf, io::Error)>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let special = text.find(['*', '?', '[']).unwrap_or(text.len());
        let cut = match text[..special].rfind(is_separator) {
            _ if special == text.len() => special,
            Some(at) => at + 1,
            None => 0,
        };
        let (folder, rest) = text.split_at(cut);
        let literal = tokens(folder).into_iter().filter_map(|token| match token {
            Token::Char(char) => Some(char),
            _ => None,
        });
        let names = rest.split(is_separator).filter(|name| !name.is_empty()).map(tokens).collect();
        Self { folder: literal.collect::<String>().into(), names }
    }

    /// The last folder before any placeholder: what is kept beside the files is kept there.
    pub(super) fn folder(&self) -> &Path {
        if self.names.is_empty() { self.folder.parent().unwrap_or(&self.folder) } else { &self.folder }
    }

    /// Looks for what matches. Reads folders, so that it may take its time.
    pub(super) fn find(&self) -> Found {
        let mut found = Found::default();
        let mut entries_left = WALK_MAX_ENTRIES;
        let mut paths = vec![self.folder.clone()];
        for (place, name) in self.names.iter().enumerate() {
            let is_last = place + 1 == self.names.len();
            let mut next = Vec::new();
            for folder in paths {
                if let Some(literal) = literal(name) {
                    next.push(folder.join(literal));
                    continue;
                }
                let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
                let entries = match std::fs::read_dir(here) {
                    Ok(entries) => entries,
                    Err(error) => {
                        let is_none =
                            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                        if !is_none {
                            found.unreadable.get_or_insert((folder, error));
                        }
                        continue;
                    }
                };
                for entry in entries.flatten() {
                    if entries_left == 0 {
                        found.is_cut = true;
                        break;
                    }
                    entries_left -= 1;
                    let is_folder = || entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
                    if matches(name, &entry.file_name().to_string_lossy()) && (is_last || is_folder()) {
                        next.push(folder.join(entry.file_name()));
                    }
                }
            }
            paths = next;
        }
        model::order::sort(&mut paths);
        found.paths = paths;
        found
    }
}

/// A name without placeholders.
fn literal(name: &[Token]) -> Option<String> {
    let char = |token: &Token| if let Token::Char(char) = token { Some(*char) } else { None };
    name.iter().map(char).collect()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => match class(chars.as_str()) {
                Some((class, rest)) => {
                    chars = rest.chars();
                    class
                }
                None => Token::Char('['),
            },
            '\\' if !is_separator('\\') => Token::Char(chars.next().unwrap_or('\\')),
            other => Token::Char(other),
        });
    }
    tokens
}

/// A class whose `[` is read already, and what follows it. A `]` that comes first is one of its characters.
fn class(text: &str) -> Option<(Token, &str)> {
    let inner = text.strip_prefix(['!', '^']);
    let negated = inner.is_some();
    let mut chars = inner.unwrap_or(text).chars();
    let mut ranges = Vec::new();
    loop {
        let from = chars.next()?;
        if from == ']' && !ranges.is_empty() {
            return Some((Token::Class { negated, ranges }, chars.as_str()));
        }
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                chars = ahead;
                to
            }
            _ => from,
        };
        ranges.push((from, to));
    }
}

/// Whether a name is what the tokens describe. The work is bounded by the product of both lengths: only the last `*`
/// is ever taken back.
fn matches(tokens: &[Token], name: &str) -> bool {
    let (mut at, mut rest) = (0, name.chars());
    let mut star = None;
    loop {
        let before = rest.clone();
        let Some(char) = rest.next() else {
            return tokens[at..].iter().all(|token| *token == Token::Star);
        };
        let fits = match tokens.get(at) {
            Some(Token::Star) => {
                star = Some((at + 1, before.clone()));
                at += 1;
                rest = before;
                continue;
            }
            Some(Token::Any) => true,
            Some(Token::Char(wanted)) => *wanted == char,
            Some(Token::Class { negated, ranges }) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&char)) != *negated
            }
            None => false,
        };
        if fits {
            at += 1;
            continue;
        }
        // The star takes one character more.
        let Some((behind, taken)) = &mut star else { return false };
        taken.next();
        at = *behind;
        rest = taken.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn is_match(pattern: &str, name: &str) -> bool {
        matches(&tokens(pattern), name)
    }

    #[test]
    fn placeholders_stand_for_characters_of_one_name() {
        for (pattern, name, want) in [
            ("*.log", "app.log", true),
            ("*.log", "app.log.1", false),
            ("*.log", ".log", true),
            ("app.log*", "app.log", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("**", "any", true),
            ("*host1*.log", "x_host1_docker.log", true),
            ("*a*b*c", "aXbXcXbXc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(is_match(pattern, name), want, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn files_are_found_in_folders_that_match() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a1/logs/x.log", "a2/logs/y.log", "a2/logs/y.txt", "b/logs/z.log", "a3", "[q].log"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let find = |pattern: &str| {
            let found = Pattern::new(&format!("{}/{pattern}", root.path().display())).find();
            assert!(found.unreadable.is_none() && !found.is_cut);
            let paths = found.paths.iter();
            paths
                .map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(find("a?/logs/*.log"), ["a1/logs/x.log", "a2/logs/y.log"]);
        assert_eq!(find("[!a]/*/*.log"), ["b/logs/z.log"]);
        assert_eq!(find("a2/logs/y.txt"), ["a2/logs/y.txt"]);
        assert_eq!(find("[[]q].log"), ["[q].log"]);
        assert_eq!(find("nothing/*.log"), [""; 0]);
        assert_eq!(Pattern::new("/var/log/*.log").folder(), Path::new("/var/log/"));
        assert_eq!(Pattern::new("/var/log/app.log").folder(), Path::new("/var/log"));
        assert_eq!(Pattern::new("*.log").folder(), Path::new(""));
    }

    /// The same, by trying everything.
    fn slowly(tokens: &[Token], name: &[char]) -> bool {
        match (tokens.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Token::Star, behind)), rest) => {
                slowly(behind, name) || rest.is_some_and(|(_, rest)| slowly(tokens, rest))
            }
            (Some((token, behind)), Some((char, rest))) => {
                let mut one = String::new();
                one.push(*char);
                matches(std::slice::from_ref(token), &one) && slowly(behind, rest)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_when_some_way_of_reading_the_stars_does(
            pattern in "([ab*?]|\\[[!a][ab]\\]){0,8}", name in "[ab]{0,10}",
        ) {
            let tokens = tokens(&pattern);
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(matches(&tokens, &name), slowly(&tokens, &chars));
        }

        #[test]
        fn any_text_is_a_pattern_and_a_name_without_placeholders_is_itself(text in ".{0,30}", name in "[a-z.\\-_0-9]{1,20}") {
            Pattern::new(&text);
            prop_assert!(is_match(&name, &name));
        }
    }
}
