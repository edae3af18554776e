//! Finds where the values of a JSON body end, without reading them.

use model::limits::MSGPACK_MAX_DEPTH;

use crate::error::DecodeError;

/// Finds where values end, looking at nothing but brackets and strings.
pub(super) struct Scan<'a> {
    pub(super) body: &'a [u8],
    pub(super) offset: usize,
}

impl Scan<'_> {
    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.body.get(self.offset) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.offset += 1,
                other => return other.copied(),
            }
        }
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.offset += 1;
                Ok(())
            }
            Some(_) => Err(DecodeError::malformed(self.offset, what)),
            None => Err(DecodeError::eof(self.offset, what)),
        }
    }

    /// Passes over one value.
    pub(super) fn value(&mut self) -> Result<(), DecodeError> {
        const WHAT: &str = "a value as JSON";
        let mut depth = 0_usize;
        self.peek();
        let start = self.offset;
        loop {
            match self.body.get(self.offset) {
                None if depth == 0 && self.offset > start => return Ok(()),
                None => return Err(DecodeError::eof(self.offset, WHAT)),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'[' | b'{') => {
                    depth += 1;
                    if depth > MSGPACK_MAX_DEPTH {
                        return Err(DecodeError::too_deep(self.offset));
                    }
                }
                Some(b']' | b'}' | b',') if depth == 0 => {
                    return if self.offset > start {
                        Ok(())
                    } else {
                        Err(DecodeError::malformed(self.offset, WHAT))
                    };
                }
                Some(b']' | b'}') => depth -= 1,
                Some(_) => {}
            }
            self.offset += 1;
        }
    }

    /// Passes over a string whose opening quote is next.
    fn string(&mut self) -> Result<(), DecodeError> {
        self.offset += 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &self.body[self.offset..]) {
            self.offset += found + 1;
            if self.body[self.offset - 1] == b'"' {
                return Ok(());
            }
            // Whatever is escaped cannot end the string.
            self.offset = (self.offset + 1).min(self.body.len());
        }
        self.offset = self.body.len();
        Err(DecodeError::eof(self.offset, "the end of a string as JSON"))
    }
}
