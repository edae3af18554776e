//! JSON documents of MongoDB, Elasticsearch and OpenSearch: keys stay, values become `"?"` (`facts/trace-intake.md` §6).
//!
//! The document is read once, byte by byte, without a tree. Several documents may follow each other. Where it ends early or
//! is no JSON, what was read so far is kept and `...` says that there was more.

use crate::config::JsonConfig;
use memchr::memchr2;

/// One kind of document and what its settings keep.
pub(super) struct Json {
    enabled: bool,
    keep: Vec<String>,
    sql: Vec<String>,
}

impl Json {
    pub(super) fn new(config: JsonConfig) -> Self {
        Self { enabled: config.enabled, keep: config.keep_values, sql: config.obfuscate_sql_values }
    }

    pub(super) const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Writes the document without its values; `sql` writes what a value of a key that holds SQL becomes.
    pub(super) fn obfuscate(&self, document: &str, out: &mut String, sql: impl FnMut(&str, &mut String)) {
        out.clear();
        if document.is_empty() {
            return;
        }
        out.reserve(document.len().min(64 * 1024));
        let mut reader = Reader {
            settings: self,
            document,
            bytes: document.as_bytes(),
            position: 0,
            nesting: Vec::new(),
            keep_depth: None,
            value_is_sql: false,
            out,
            sql,
        };
        if reader.documents().is_none() {
            out.push_str("...");
        }
    }
}

/// What a value is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Object,
    Array,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A document; the first one may not be missing.
    Document,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

struct Reader<'r, F> {
    settings: &'r Json,
    document: &'r str,
    bytes: &'r [u8],
    position: usize,
    nesting: Vec<Within>,
    /// Values deeper than this are kept.
    keep_depth: Option<usize>,
    value_is_sql: bool,
    out: &'r mut String,
    sql: F,
}

impl<F: FnMut(&str, &mut String)> Reader<'_, F> {
    /// Reads all documents; `None` where they are no JSON or end early.
    fn documents(&mut self) -> Option<()> {
        let mut expect = Expect::Document;
        let mut complete = false;
        loop {
            let space = self.position;
            while matches!(self.bytes.get(self.position), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                self.position += 1;
            }
            if expect == Expect::Document && complete {
                // White space between documents, and only there, is kept.
                self.out.push_str(&self.document[space..self.position]);
            }
            let Some(&byte) = self.bytes.get(self.position) else {
                return (expect == Expect::Document && complete).then_some(());
            };
            expect = match (expect, byte) {
                (Expect::Key | Expect::KeyOrEnd, b'"') => {
                    self.key()?;
                    Expect::Value
                }
                (Expect::KeyOrEnd, b'}') | (Expect::ValueOrEnd, b']') => self.close(byte)?,
                (Expect::CommaOrEnd, b',') => {
                    self.end_of_value();
                    self.position += 1;
                    self.out.push(',');
                    match self.nesting.last()? {
                        Within::Object => Expect::Key,
                        Within::Array => Expect::Value,
                    }
                }
                (Expect::CommaOrEnd, b'}' | b']') => self.close(byte)?,
                (Expect::Document | Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                    self.value_is_sql = false;
                    self.position += 1;
                    self.out.push(char::from(byte));
                    if byte == b'{' {
                        self.nesting.push(Within::Object);
                        Expect::KeyOrEnd
                    } else {
                        self.nesting.push(Within::Array);
                        Expect::ValueOrEnd
                    }
                }
                (Expect::Document | Expect::Value | Expect::ValueOrEnd, _) => {
                    self.literal()?;
                    self.after_value()
                }
                _ => return None,
            };
            complete |= expect == Expect::Document;
        }
    }

    fn after_value(&self) -> Expect {
        if self.nesting.is_empty() { Expect::Document } else { Expect::CommaOrEnd }
    }

    fn close(&mut self, byte: u8) -> Option<Expect> {
        let within = if byte == b'}' { Within::Object } else { Within::Array };
        if self.nesting.last() != Some(&within) {
            return None;
        }
        self.end_of_value();
        self.nesting.pop();
        self.position += 1;
        self.out.push(char::from(byte));
        Some(self.after_value())
    }

    /// The value of a key whose values are kept may end here.
    fn end_of_value(&mut self) {
        if self.keep_depth.is_some_and(|depth| self.nesting.len() <= depth) {
            self.keep_depth = None;
        }
    }

    fn key(&mut self) -> Option<()> {
        let start = self.position;
        if self.string().is_none() {
            self.out.push_str(&self.document[start..self.position]);
            return None;
        }
        let quoted = &self.document[start..self.position];
        self.out.push_str(quoted);
        while matches!(self.bytes.get(self.position), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.position += 1;
        }
        if self.bytes.get(self.position) != Some(&b':') {
            return None;
        }
        self.position += 1;
        self.out.push(':');
        let key = &quoted[1..quoted.len() - 1];
        if self.keep_depth.is_none() && self.settings.keep.iter().any(|keep| keep == key) {
            self.keep_depth = Some(self.nesting.len());
        } else if self.settings.sql.iter().any(|sql| sql == key) {
            self.value_is_sql = true;
        }
        Some(())
    }

    fn literal(&mut self) -> Option<()> {
        let start = self.position;
        let first = self.bytes[start];
        if !matches!(first, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
            return None;
        }
        let complete = match first {
            b'"' => self.string(),
            b't' => self.keyword(b"true"),
            b'f' => self.keyword(b"false"),
            b'n' => self.keyword(b"null"),
            _ => self.number(),
        };
        let text = &self.document[start..self.position];
        if std::mem::take(&mut self.value_is_sql) {
            complete?;
            let unquoted = if first == b'"' { unescape(text) } else { text.to_owned() };
            let mut statement = String::new();
            (self.sql)(&unquoted, &mut statement);
            push_quoted(&statement, self.out);
        } else if self.keep_depth.is_some() {
            self.out.push_str(text);
        } else {
            self.out.push_str("\"?\"");
        }
        complete
    }

    /// Moves past a string, or to where it ends early.
    fn string(&mut self) -> Option<()> {
        self.position += 1;
        loop {
            let rest = &self.bytes[self.position..];
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                // Control characters end the document too.
                let end = rest.iter().position(|byte| *byte < 0x20).unwrap_or(rest.len());
                self.position += end;
                return None;
            };
            if let Some(control) = rest[..found].iter().position(|byte| *byte < 0x20) {
                self.position += control;
                return None;
            }
            self.position += found + 1;
            if rest[found] == b'"' {
                return Some(());
            }
            match self.bytes.get(self.position)? {
                b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.position += 1,
                b'u' => {
                    self.position += 1;
                    for _ in 0..4 {
                        if !self.bytes.get(self.position)?.is_ascii_hexdigit() {
                            return None;
                        }
                        self.position += 1;
                    }
                }
                _ => return None,
            }
        }
    }

    fn keyword(&mut self, keyword: &[u8]) -> Option<()> {
        for expected in keyword {
            if self.bytes.get(self.position)? != expected {
                return None;
            }
            self.position += 1;
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.bytes.get(self.position) == Some(&b'-') {
            self.position += 1;
        }
        if self.bytes.get(self.position) == Some(&b'0') {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.position) == Some(&b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.position), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.bytes.get(self.position), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.position;
        while self.bytes.get(self.position).is_some_and(u8::is_ascii_digit) {
            self.position += 1;
        }
        (self.position > start).then_some(())
    }
}

/// The text of a string that was read to its end.
fn unescape(quoted: &str) -> String {
    let text = &quoted[1..quoted.len() - 1];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        let mut width = 2;
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                width = 6;
                let unit =
                    |at: usize| rest.get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                let high = unit(at + 2).unwrap_or(0xfffd);
                let low = if rest[at + 6..].starts_with("\\u") { unit(at + 8) } else { None };
                match char::decode_utf16([high].into_iter().chain(low)).next() {
                    Some(Ok(c)) => {
                        if c.len_utf16() == 2 {
                            width = 12;
                        }
                        c
                    }
                    _ => char::REPLACEMENT_CHARACTER,
                }
            }
            other => char::from(other),
        });
        rest = &rest[at + width..];
    }
    out.push_str(rest);
    out
}

fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
