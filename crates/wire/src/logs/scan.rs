//! Reads JSON without building anything: each value is a slice of the text, checked against the grammar.

use model::limits::MSGPACK_MAX_DEPTH;

use crate::intake::escape::plain_run;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Object,
    Array,
    Bool,
    Null,
}

/// A value, as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) kind: Kind,
    /// With quotes or brackets; not necessarily UTF-8 within strings.
    pub(super) raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// What stands between the quotes, escapes as they are.
    pub(super) fn text(&self) -> Option<&'a [u8]> {
        self.raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
    }
}

/// A place in a text. What returns an option returns none where the text is not JSON, and is no longer of use then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) body: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.body.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes over `byte` where it is next, after white space.
    pub(super) fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// One value, whole.
    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        self.nested(0)
    }

    /// The members of one object, by the names as they are written.
    pub(super) fn members(&mut self, each: &mut dyn FnMut(&'a [u8], Value<'a>)) -> Option<()> {
        self.object(0, each)
    }

    fn nested(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > MSGPACK_MAX_DEPTH {
            return None;
        }
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'"' => {
                self.string()?;
                Kind::Text
            }
            b'{' => {
                self.object(depth, &mut |_, _| ())?;
                Kind::Object
            }
            b'[' => {
                self.array(depth)?;
                Kind::Array
            }
            b't' => self.literal(b"true", Kind::Bool)?,
            b'f' => self.literal(b"false", Kind::Bool)?,
            b'n' => self.literal(b"null", Kind::Null)?,
            _ => {
                self.number()?;
                Kind::Number
            }
        };
        Some(Value { kind, raw: &self.body[start..self.at] })
    }

    fn object(&mut self, depth: usize, each: &mut dyn FnMut(&'a [u8], Value<'a>)) -> Option<()> {
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.peek();
            let name = self.string()?;
            self.eat(b':')?;
            let value = self.nested(depth + 1)?;
            each(name, value);
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            self.nested(depth + 1)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let body = self.body;
        if *body.get(self.at)? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_run(&body[self.at..]);
            match body.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(&body[start..self.at - 1]);
                }
                b'\\' => match body.get(self.at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                    b'u' if body.get(self.at + 2..self.at + 6)?.iter().all(u8::is_ascii_hexdigit) => {
                        self.at += 6
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Option<Kind> {
        self.body[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            kind
        })
    }

    fn number(&mut self) -> Option<()> {
        let eat = |scan: &mut Self, bytes: &[u8]| {
            let found = scan.body.get(scan.at).is_some_and(|byte| bytes.contains(byte));
            scan.at += usize::from(found);
            found
        };
        eat(self, b"-");
        if !eat(self, b"0") {
            self.digits()?;
        }
        if eat(self, b".") {
            self.digits()?;
        }
        if eat(self, b"eE") {
            eat(self, b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let length = self.body[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        (length > 0).then_some(())
    }

    /// Passes over what stands up to the next comma or bracket that is not of it, JSON or not, and says whether there
    /// is one.
    pub(super) fn pass_over(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(byte) = self.body.get(self.at) {
            match byte {
                b'"' => {
                    self.pass_over_string();
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' | b',' if depth == 0 => return true,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        false
    }

    fn pass_over_string(&mut self) {
        self.at += 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &self.body[self.at..]) {
            self.at += found + 1;
            if self.body[self.at - 1] == b'"' {
                return;
            }
            // Whatever is escaped cannot end the string.
            self.at = (self.at + 1).min(self.body.len());
        }
        self.at = self.body.len();
    }
}
