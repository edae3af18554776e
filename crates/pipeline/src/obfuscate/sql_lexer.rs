//! The other SQL modes: `obfuscate_only` keeps layout and comments, `normalize_only` keeps literals,
//! `obfuscate_and_normalize` keeps neither (`facts/trace-intake.md` §6).
//!
//! The reference does these with a lexer that never fails: what it cannot read it passes on. Here, what is not read to
//! its end (a string, a comment, a dollar quote) becomes `?` instead, except in `normalize_only`, which hides nothing.

use super::sql_tokens::Dialect;
use crate::config::SqlMode;
use memchr::{memchr, memmem};

/// Dollar signs without their counterpart that are searched for; what follows the last is taken as one literal, so that
/// a statement full of them costs linear time.
const LONE_DOLLARS_MAX: usize = 16;
/// The tag of a quoted function body, which `normalize_only` normalizes, too.
const FUNCTION_TAG: &str = "$func$";

/// Writes the statement as the mode wants it into `out`, which is cleared first.
pub(super) fn rewrite(statement: &str, dialect: Dialect, mode: SqlMode, out: &mut String) {
    let first = attempt(statement, dialect, mode, dialect.literal_backslashes(), out);
    if first == Reading::Suspicious {
        // A string with a backslash was never closed: read backslashes the other way.
        let mut second = String::new();
        let reading = attempt(statement, dialect, mode, !dialect.literal_backslashes(), &mut second);
        if reading == Reading::Plausible {
            std::mem::swap(out, &mut second);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Plausible,
    Suspicious,
}

fn attempt(
    statement: &str,
    dialect: Dialect,
    mode: SqlMode,
    literal_backslashes: bool,
    out: &mut String,
) -> Reading {
    out.clear();
    out.reserve(statement.len() + statement.len() / 8);
    let mut lexer = Lexer {
        statement,
        bytes: statement.as_bytes(),
        position: 0,
        dialect,
        literal_backslashes,
        saw_backslash: false,
        open_string: false,
        lone_dollars: 0,
    };
    let obfuscates = mode != SqlMode::NormalizeOnly;
    let mut normal =
        (mode != SqlMode::ObfuscateOnly).then(|| Normal { last: String::new(), groupable: false });
    loop {
        let start = lexer.position;
        let Some(kind) = lexer.next() else { break };
        let text = &statement[start..lexer.position];
        let text = if obfuscates && kind == Kind::Literal { "?" } else { text };
        match &mut normal {
            None => out.push_str(text),
            Some(_) if matches!(kind, Kind::Space | Kind::Comment) => {}
            Some(normal) => normal.push(kind, text, dialect, out),
        }
    }
    if normal.is_some() && out.ends_with(';') {
        out.pop();
    }
    out.truncate(out.trim_end().len());
    let leading = out.len() - out.trim_start().len();
    out.drain(..leading);
    if lexer.open_string && lexer.saw_backslash { Reading::Suspicious } else { Reading::Plausible }
}

/// Lays tokens out with one space between them and lets lists of placeholders collapse.
struct Normal {
    /// The token before; only short ones matter.
    last: String,
    /// Within a list that began with a placeholder.
    groupable: bool,
}

impl Normal {
    fn push(&mut self, kind: Kind, text: &str, dialect: Dialect, out: &mut String) {
        if !self.collapses(text, out) {
            let glued = matches!(text, "," | ";") || (text == "=" && self.last == ":");
            if !glued {
                out.push(' ');
            }
            match kind {
                Kind::QuotedName => {
                    out.extend(text.chars().filter(|c| !matches!(c, '"' | '`' | '[' | ']')));
                }
                Kind::Literal if text.len() > 2 * FUNCTION_TAG.len() && text.starts_with(FUNCTION_TAG) => {
                    // The body cannot hold the tag, so this goes one level deep.
                    let body = &text[FUNCTION_TAG.len()..text.len() - FUNCTION_TAG.len()];
                    let mut normalized = String::new();
                    rewrite(body, dialect, SqlMode::NormalizeOnly, &mut normalized);
                    out.push_str(FUNCTION_TAG);
                    out.push_str(&normalized);
                    out.push_str(FUNCTION_TAG);
                }
                _ => out.push_str(text),
            }
        }
        self.last.clear();
        if text.len() == 1 {
            self.last.push_str(text);
        }
    }

    /// Whether this token is part of a list that its first placeholder stands for.
    fn collapses(&mut self, text: &str, out: &mut String) -> bool {
        let last = self.last.as_str();
        if text == "?" {
            if matches!(last, "(" | "[") {
                self.groupable = true;
            } else if last == "," && self.groupable {
                return true;
            }
        }
        if last == "?" && text == "," && self.groupable {
            return true;
        }
        if self.groupable {
            if matches!(text, ")" | "]") {
                self.groupable = false;
            } else if text != "?" && last == "," {
                // Not only placeholders after all: the comma that was left out is needed.
                out.push(',');
            }
        }
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Comment,
    Literal,
    QuotedName,
    Other,
}

struct Lexer<'s> {
    statement: &'s str,
    bytes: &'s [u8],
    position: usize,
    dialect: Dialect,
    literal_backslashes: bool,
    saw_backslash: bool,
    open_string: bool,
    lone_dollars: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Kind> {
        let byte = *self.bytes.get(self.position)?;
        let next = self.byte(1);
        Some(match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c));
                Kind::Space
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'\'' => self.string(),
            b'"' => self.quoted_name(b'"', b'"'),
            b'`' if self.dialect == Dialect::MySql => self.quoted_name(b'`', b'`'),
            b'[' if self.dialect == Dialect::SqlServer => self.quoted_name(b'[', b']'),
            b'-' if next == b'-' => self.line_comment(),
            b'#' if self.dialect == Dialect::MySql => self.line_comment(),
            b'#' if self.dialect == Dialect::SqlServer => self.word(),
            b'/' if next == b'*' => self.block_comment(),
            b'+' | b'-' if next.is_ascii_digit() || next == b'.' => {
                self.position += 1;
                self.number()
            }
            b'0'..=b'9' => self.number(),
            b'$' if next.is_ascii_digit() => {
                self.position += 1;
                self.skip(|byte| byte.is_ascii_digit());
                Kind::Literal
            }
            b'$' if self.dialect == Dialect::SqlServer && next.is_ascii_alphabetic() => self.word(),
            b'$' => self.dollar_quoted(),
            b':' if self.dialect == Dialect::Oracle && is_name(next) => self.name_after(1),
            b'@' if next == b'@' && is_name(self.byte(2)) => self.name_after(2),
            b'@' if is_name(next) => self.name_after(1),
            b'*' => self.step(),
            _ if is_operator(byte) => self.operator(byte),
            0x80.. => self.beyond_ascii(),
            _ => self.step(),
        })
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.position + ahead).copied().unwrap_or(0)
    }

    fn step(&mut self) -> Kind {
        self.position += 1;
        Kind::Other
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        let rest = &self.bytes[self.position..];
        self.position += rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
    }

    fn rest_as_literal(&mut self) -> Kind {
        self.position = self.bytes.len();
        Kind::Literal
    }

    fn beyond_ascii(&mut self) -> Kind {
        let c = self.statement[self.position..].chars().next().unwrap_or_default();
        if c.is_alphabetic() {
            return self.word();
        }
        self.position += c.len_utf8();
        if c.is_whitespace() { Kind::Space } else { Kind::Other }
    }

    fn word(&mut self) -> Kind {
        let start = self.position;
        self.position += 1;
        self.skip(|byte| is_name(byte) || matches!(byte, b'.' | b'?' | b'$' | b'#' | b'@' | 0x80..));
        let word = &self.statement[start..self.position];
        // White space beyond ASCII ends a word like any other.
        if !word.is_ascii()
            && let Some(end) = word.find(char::is_whitespace)
        {
            self.position = start + end;
        }
        let word = &self.bytes[start..self.position];
        let literal =
            [b"null".as_slice(), b"true", b"false"].iter().any(|name| word.eq_ignore_ascii_case(name));
        if literal { Kind::Literal } else { Kind::Other }
    }

    fn name_after(&mut self, signs: usize) -> Kind {
        self.position += signs;
        self.skip(is_name);
        Kind::Other
    }

    fn number(&mut self) -> Kind {
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') {
            self.position += 2;
            self.skip(|byte| byte.is_ascii_hexdigit());
            return Kind::Literal;
        }
        loop {
            self.skip(|byte| byte.is_ascii_digit() || byte == b'.');
            if !matches!(self.byte(0), b'e' | b'E') {
                return Kind::Literal;
            }
            self.position += 1;
            if matches!(self.byte(0), b'+' | b'-') {
                self.position += 1;
            }
        }
    }

    fn string(&mut self) -> Kind {
        self.position += 1;
        loop {
            self.skip(|byte| byte != b'\'' && byte != b'\\');
            match self.byte(0) {
                b'\'' if self.byte(1) == b'\'' => self.position += 2,
                b'\'' => {
                    self.position += 1;
                    return Kind::Literal;
                }
                b'\\' => {
                    self.saw_backslash = true;
                    self.position += if self.literal_backslashes { 1 } else { 2 };
                    if self.position > self.bytes.len() {
                        self.open_string = true;
                        return self.rest_as_literal();
                    }
                    // The escaped character may be wider than a byte; its other bytes are neither quote nor backslash.
                }
                _ => {
                    self.open_string = true;
                    return self.rest_as_literal();
                }
            }
        }
    }

    /// `"a"."b"` is one name.
    fn quoted_name(&mut self, open: u8, close: u8) -> Kind {
        self.position += 1;
        loop {
            let Some(end) = memchr(close, &self.bytes[self.position..]) else {
                return self.rest_as_literal();
            };
            self.position += end + 1;
            if self.byte(0) != b'.' || self.byte(1) != open {
                return Kind::QuotedName;
            }
            self.position += 2;
        }
    }

    fn line_comment(&mut self) -> Kind {
        self.skip(|byte| byte != b'\n');
        Kind::Comment
    }

    fn block_comment(&mut self) -> Kind {
        match memmem::find(&self.bytes[self.position + 2..], b"*/") {
            Some(end) => {
                self.position += end + 4;
                Kind::Comment
            }
            None => self.rest_as_literal(),
        }
    }

    fn dollar_quoted(&mut self) -> Kind {
        if self.lone_dollars == LONE_DOLLARS_MAX {
            return self.rest_as_literal();
        }
        let rest = &self.bytes[self.position..];
        if let Some(tag) = memchr(b'$', &rest[1..]) {
            let tag = &rest[..tag + 2];
            if let Some(end) = memmem::find(&rest[tag.len()..], tag) {
                self.position += end + 2 * tag.len();
                return Kind::Literal;
            }
        }
        self.lone_dollars += 1;
        self.step()
    }

    fn operator(&mut self, first: u8) -> Kind {
        self.position += 1;
        let two = [first, self.byte(0)];
        if matches!(&two, b"->" | b"#>") {
            self.position += 1;
            if self.byte(0) == b'>' {
                self.position += 1;
            }
            return Kind::Other;
        }
        if matches!(&two, b"#-" | b"?|" | b"?&" | b"<@" | b"@?" | b"@>" | b"@@") {
            return self.step();
        }
        let mut last = first;
        loop {
            let byte = self.byte(0);
            let comment = matches!(&[byte, self.byte(1)], b"--" | b"/*");
            let placeholder = last == b'=' && matches!(byte, b'?' | b'@');
            if !is_operator(byte) || comment || placeholder {
                return Kind::Other;
            }
            last = byte;
            self.position += 1;
        }
    }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'='
            | b'<'
            | b'>'
            | b'!'
            | b'&'
            | b'|'
            | b'^'
            | b'%'
            | b'~'
            | b'?'
            | b'@'
            | b':'
            | b'#'
    )
}
