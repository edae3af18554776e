//! Patterns are written in Go's syntax, as for the reference agent. Rust's differs in a few places where
//! a pattern would be refused or, worse, would match something else; those are rewritten.

use std::iter::Peekable;
use std::str::Chars;

/// Rewrites a pattern of Go for Rust.
///
/// - `\d`, `\w`, `\s` and `\b` are about ASCII; `\B` stays about Unicode.
/// - `\Q…\E` quotes; `\<` and `\>` are the characters.
/// - `{` that begins no repetition is the character; `{,n}` is none.
/// - In a class `[`, `&&`, `--` and `~~` are characters.
pub(crate) fn rewrite(pattern: &str) -> String {
    let mut rewriter =
        Rewriter { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len()) };
    rewriter.run();
    rewriter.out
}

/// `\d`, `\s` and `\w` as they stand within a class.
fn perl_class(letter: char) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        'd' => Some("0-9"),
        's' => Some(r"\t\n\f\r\x20"),
        'w' => Some("0-9A-Za-z_"),
        _ => None,
    }
}

struct Rewriter<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

impl Rewriter<'_> {
    fn run(&mut self) {
        while let Some(char) = self.rest.next() {
            match char {
                '\\' => self.escape(),
                '[' => self.class(),
                '{' if !self.begins_repetition() => self.out.push_str(r"\{"),
                _ => self.out.push(char),
            }
        }
    }

    /// After a backslash outside of a class.
    fn escape(&mut self) {
        let Some(char) = self.rest.next() else {
            self.out.push('\\');
            return;
        };
        if let Some(class) = perl_class(char) {
            self.out.push_str(if char.is_ascii_uppercase() { "[^" } else { "[" });
            self.out.push_str(class);
            self.out.push(']');
            return;
        }
        match char {
            'b' => self.out.push_str(r"(?-u:\b)"),
            'Q' => self.quote(),
            '<' | '>' => self.out.push(char),
            'p' | 'P' | 'x' => {
                self.out.push('\\');
                self.out.push(char);
                self.braced();
            }
            _ => {
                self.out.push('\\');
                self.out.push(char);
            }
        }
    }

    /// After `\Q`: characters up to `\E` or the end.
    fn quote(&mut self) {
        let text: String = self.rest.clone().collect();
        let quoted = text.split_once(r"\E").map_or(text.as_str(), |(quoted, _)| quoted);
        self.out.push_str(&regex::escape(quoted));
        for _ in 0..quoted.chars().count() + 2 {
            self.rest.next();
        }
    }

    /// Copies `{…}` of `\p{…}` or `\x{…}`, whose brace begins no repetition.
    fn braced(&mut self) {
        if self.rest.peek() != Some(&'{') {
            return;
        }
        for char in self.rest.by_ref() {
            self.out.push(char);
            if char == '}' {
                return;
            }
        }
    }

    /// Whether what follows an opening brace is `n}`, `n,}` or `n,m}`.
    fn begins_repetition(&self) -> bool {
        let text: String = self.rest.clone().take_while(|char| *char != '}').collect();
        if self.rest.clone().nth(text.chars().count()) != Some('}') {
            return false;
        }
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once(',') {
            Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
            None => is_number(&text),
        }
    }

    /// After the bracket that opens a class.
    fn class(&mut self) {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        // Only a single character begins a range: not a class, not the end of another range.
        let mut begins_range = false;
        while let Some(char) = self.rest.next() {
            let ranges = char == '-' && begins_range && !matches!(self.rest.peek(), Some(']') | None);
            begins_range = match char {
                ']' if !first => {
                    self.out.push(']');
                    return;
                }
                '[' if self.rest.peek() == Some(&':') && self.named_class() => false,
                '\\' => self.class_escape(),
                '-' if ranges => {
                    self.out.push('-');
                    match self.rest.next() {
                        Some('\\') => {
                            self.class_escape();
                        }
                        Some(char) => self.class_char(char),
                        None => {}
                    }
                    false
                }
                char => {
                    self.class_char(char);
                    true
                }
            };
            first = false;
        }
    }

    fn class_char(&mut self, char: char) {
        if matches!(char, '[' | ']' | '^' | '-' | '&' | '~' | '\\') {
            self.out.push('\\');
        }
        self.out.push(char);
    }

    /// After a backslash in a class; whether a single character stood there.
    fn class_escape(&mut self) -> bool {
        match self.rest.next() {
            Some(char) if let Some(class) = perl_class(char) => {
                if char.is_ascii_uppercase() {
                    self.out.push_str("[^");
                    self.out.push_str(class);
                    self.out.push(']');
                } else {
                    self.out.push_str(class);
                }
                false
            }
            Some(char @ ('<' | '>')) => {
                self.out.push(char);
                true
            }
            Some(char) => {
                self.out.push('\\');
                self.out.push(char);
                if matches!(char, 'p' | 'P' | 'x') {
                    self.braced();
                }
                !matches!(char, 'p' | 'P')
            }
            None => {
                self.out.push('\\');
                false
            }
        }
    }

    /// Copies `:name:]` after its bracket, if that is what follows.
    fn named_class(&mut self) -> bool {
        let text: String = self.rest.clone().skip(1).take_while(|char| *char != ':').collect();
        let name = text.strip_prefix('^').unwrap_or(&text);
        let known = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
        let closes = self.rest.clone().skip(1 + text.len()).take(2).eq([':', ']']);
        if !known || !closes {
            return false;
        }
        self.out.push_str("[:");
        self.out.push_str(&text);
        self.out.push_str(":]");
        for _ in 0..text.len() + 3 {
            self.rest.next();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    /// Which of the texts a pattern of Go matches.
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let rewritten = rewrite(pattern);
        let regex = Regex::new(&rewritten).unwrap_or_else(|error| panic!("{pattern} → {rewritten}: {error}"));
        for text in matching {
            assert!(regex.is_match(text), "{pattern} → {rewritten} must match {text:?}");
        }
        for text in other {
            assert!(!regex.is_match(text), "{pattern} → {rewritten} must not match {text:?}");
        }
    }

    #[test]
    fn perl_classes_are_about_ascii() {
        check(r"^\d+$", &["42"], &["٤٢", "a"]);
        check(r"^\w+$", &["a_1"], &["é"]);
        check(r"^\W$", &["é", "-"], &["a"]);
        check(r"^[\w.]+$", &["a.b"], &["é"]);
        check(r"^[^\s]$", &["é", "\u{A0}"], &[" "]);
        check(r"^[\D]$", &["٤"], &["4"]);
        check(r"\bkey\b", &["a key.", "ékeyé"], &["akey"]);
    }

    #[test]
    fn braces_that_repeat_nothing_are_characters() {
        check(r"^{id}$", &["{id}"], &["id"]);
        check(r"^a{,2}$", &["a{,2}"], &["aa"]);
        check(r"^a{2}b{1,}c{1,2}$", &["aabc", "aabbcc"], &["abc"]);
        check(r#"^{"k": \d{2}}$"#, &[r#"{"k": 12}"#], &[]);
        check(r"^\x{e9}\p{Lu}{2}$", &["éAB"], &["éA"]);
    }

    #[test]
    fn classes_know_no_operations() {
        check(r"^[a&&b]+$", &["a&b"], &[]);
        check(r"^[^/?[]+$", &["ab"], &["a["]);
        check(r"^[]a]+$", &["]a"], &["b"]);
        check(r"^[^]a]+$", &["b"], &["]"]);
        check(r"^[[:alpha:]-]+$", &["a-b"], &["1"]);
        check(r"^[a-c~~x]+$", &["b~x"], &["d"]);
        check(r"^[+--]+$", &["+,-"], &["."]);
        check(r"^[-a]+$", &["-a"], &["b"]);
        check(r"^[a-]+$", &["-a"], &["b"]);
        check(r"^[\[\]]+$", &["[]"], &["a"]);
        check(r"^[\w-.]+$", &["a-b.c"], &["a,b"]);
        check(r"^[a-c-e]+$", &["b-e"], &["d"]);
        check(r"^[\x{61}-\x63]+$", &["abc"], &["d"]);
    }

    #[test]
    fn quotes_and_escaped_brackets_are_characters() {
        check(r"^\Qa.b[\E.$", &["a.b[c"], &["axb[c"]);
        check(r"^\Qa.b", &["a.bc"], &["axb"]);
        check(r"^\<a\>$", &["<a>"], &["a"]);
        check(r"^a\/b\-c\.$", &["a/b-c."], &["a/b-cd"]);
    }

    #[test]
    fn ordinary_patterns_stay_as_they_are() {
        for pattern in [r"(token/)([^/]*)", "(?i)guid", "^GET /a|b$", r"(?P<n>x+?)y*\.z", r"a{2,3}[0-9a-f]+"]
        {
            assert_eq!(rewrite(pattern), pattern);
        }
    }

    proptest! {
        #[test]
        fn rewriting_never_panics(pattern in r"[\\\[\]{}^:,QEdDbpx<a&~0-9é-]{0,24}") {
            // Whether the outcome is a pattern is for the compiler to say.
            let _checked = Regex::new(&rewrite(&pattern));
        }
    }
}
