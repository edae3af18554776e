//! JSON trace bodies: the keys of v0.4, read by `serde_json` one chunk at a time.

mod scan;
mod span;
mod value;

use std::cell::Cell;

use model::{Bump, List, Span};
use serde::de::DeserializeSeed;

use self::scan::Scan;
use self::value::{Context, Seed};
use crate::error::DecodeError;
use crate::msgpack::repaired;

/// A position between the chunks of a JSON body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Checks the structure of the body and counts its chunks.
    pub(super) fn open(body: &'a [u8], arena: &'a Bump) -> Result<(Self, usize), DecodeError> {
        const WHAT: &str = "an array of traces as JSON";
        let body = match std::str::from_utf8(body) {
            Ok(body) => body,
            Err(_) => repaired(body, arena).ok_or_else(|| DecodeError::too_large(0, WHAT))?,
        };
        let mut scan = Scan { body: body.as_bytes(), offset: 0 };
        if scan.peek() == Some(b'n') && scan.body[scan.offset..].starts_with(b"null") {
            return Ok((Self { body, offset: 0 }, 0));
        }
        scan.expect(b'[', WHAT)?;
        let offset = scan.offset;
        let mut count = 0;
        if scan.peek() == Some(b']') {
            return Ok((Self { body, offset }, 0));
        }
        loop {
            scan.value()?;
            count += 1;
            match scan.peek() {
                Some(b',') => scan.offset += 1,
                Some(b']') => return Ok((Self { body, offset }, count)),
                Some(_) => return Err(DecodeError::malformed(scan.offset, "`,` or `]`")),
                None => return Err(DecodeError::eof(scan.offset, "`,` or `]`")),
            }
        }
    }

    /// Reads the next chunk. The caller knows that there is one.
    pub(super) fn chunk<'b>(
        &mut self,
        arena: &'b Bump,
        spans: &mut List<'b, Span<'b>>,
    ) -> Result<(), DecodeError>
    where
        'a: 'b,
    {
        let mut scan = Scan { body: self.body.as_bytes(), offset: self.offset };
        if scan.peek() == Some(b',') {
            scan.offset += 1;
        }
        let start = scan.offset;
        scan.value()?;
        let text = self.body.get(start..scan.offset).unwrap_or_default();
        self.offset = scan.offset;

        let full = Cell::new(false);
        let seed = Seed::new(Context { arena, full: &full });
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match seed.deserialize(&mut deserializer).and_then(|read| deserializer.end().map(|()| read)) {
            Ok(read) => *spans = read,
            Err(error) => {
                let offset = start + offset_of(text, error.line(), error.column());
                return Err(if full.get() {
                    DecodeError::too_large(offset, "a trace as JSON")
                } else if error.is_eof() {
                    DecodeError::eof(offset, "a trace as JSON")
                } else {
                    DecodeError::malformed(offset, "a valid trace as JSON before this place,")
                });
            }
        }
        Ok(())
    }
}

/// Where a line and a column, both counted from 1, are in a text.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).min(text.len())
}
