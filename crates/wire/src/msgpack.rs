//! A msgpack reader over a received body: bounded in depth, never trusting a declared length.
//!
//! Lenient as the reference's decoder is (`facts/trace-intake.md` §4.1): nil means the default of
//! whatever was wanted, integers come in any width, a float may be written as an integer, text as `str` or
//! `bin`. Invalid UTF-8 is repaired with U+FFFD in the arena, losing nothing else.

use model::limits::MSGPACK_MAX_DEPTH;
use model::{Bump, List};

use crate::error::DecodeError;
use crate::repeated::Repeated;

const NIL: u8 = 0xc0;

/// A position in a msgpack body.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    repeated: Repeated<'a>,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body, total: body.len(), repeated: Repeated::default() }
    }

    /// Bytes read so far.
    #[inline]
    pub fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Consumes a nil if one is next.
    #[inline]
    pub fn nil(&mut self) -> bool {
        match self.rest {
            [NIL, rest @ ..] => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The length of an array, whose elements follow; nil is an empty array.
    ///
    /// # Errors
    /// When something else is next.
    #[inline]
    pub fn array(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        match self.marker(what)? {
            marker @ 0x90..=0x9f => Ok(usize::from(marker & 0x0f)),
            0xdc => self.length16(what),
            0xdd => self.length32(what),
            NIL => Ok(0),
            _ => Err(self.unexpected(what)),
        }
    }

    /// The number of entries of a map, whose keys and values follow; nil is an empty map.
    ///
    /// # Errors
    /// When something else is next.
    #[inline]
    pub fn map(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        match self.marker(what)? {
            marker @ 0x80..=0x8f => Ok(usize::from(marker & 0x0f)),
            0xde => self.length16(what),
            0xdf => self.length32(what),
            NIL => Ok(0),
            _ => Err(self.unexpected(what)),
        }
    }

    /// The content of a `str` or `bin`; nil is empty.
    ///
    /// # Errors
    /// When something else is next, or the body ends within it.
    #[inline]
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        // Nearly all strings are short: this much is worth inlining everywhere.
        if let [marker @ 0xa0..=0xbf, rest @ ..] = self.rest
            && let Some((bytes, rest)) = rest.split_at_checked(usize::from(marker & 0x1f))
        {
            self.rest = rest;
            return Ok(bytes);
        }
        self.long_bytes(what)
    }

    #[inline(never)]
    fn long_bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = match self.marker(what)? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 | 0xc4 => usize::from(self.take::<1>(what)?[0]),
            0xda | 0xc5 => self.length16(what)?,
            0xdb | 0xc6 => self.length32(what)?,
            NIL => 0,
            _ => return Err(self.unexpected(what)),
        };
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(DecodeError::eof(self.total, what)),
        }
    }

    /// Text; nil is empty. It borrows the body unless it had to be repaired; short texts that repeat
    /// are mostly the very same slice.
    ///
    /// # Errors
    /// When something else is next, the body ends within it, or the arena is full.
    #[inline]
    pub fn text<'b>(&mut self, arena: &'b Bump, what: &'static str) -> Result<&'b str, DecodeError>
    where
        'a: 'b,
    {
        let bytes = self.bytes(what)?;
        match self.repeated.text(bytes) {
            Ok(text) => Ok(text),
            Err(_) => repaired(bytes, arena).ok_or_else(|| DecodeError::too_large(self.offset(), what)),
        }
    }

    /// An unsigned integer. A negative one keeps its bits: languages without unsigned types send ids so.
    ///
    /// # Errors
    /// When something else is next.
    #[inline]
    pub fn unsigned(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(self.integer(what)?.0)
    }

    /// A signed integer.
    ///
    /// # Errors
    /// When something else is next, or it is above [`i64::MAX`].
    #[inline]
    pub fn signed(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let (bits, negative) = self.integer(what)?;
        if !negative && bits > i64::MAX as u64 {
            return Err(DecodeError::malformed(self.offset(), what));
        }
        Ok(bits as i64)
    }

    /// A signed integer of 32 bits.
    ///
    /// # Errors
    /// When something else is next, or it does not fit.
    #[inline]
    pub fn signed32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        i32::try_from(self.signed(what)?).map_err(|_| DecodeError::malformed(self.offset(), what))
    }

    /// An unsigned integer of 32 bits.
    ///
    /// # Errors
    /// When something else is next, or it does not fit.
    #[inline]
    pub fn unsigned32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let (bits, negative) = self.integer(what)?;
        match u32::try_from(bits) {
            Ok(value) if !negative => Ok(value),
            _ => Err(DecodeError::malformed(self.offset(), what)),
        }
    }

    /// A number of any kind, as a float.
    ///
    /// # Errors
    /// When something else is next.
    #[inline]
    pub fn float(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        match self.rest {
            [0xcb, ..] => {
                self.rest = &self.rest[1..];
                Ok(f64::from_be_bytes(*self.take(what)?))
            }
            [0xca, ..] => {
                self.rest = &self.rest[1..];
                Ok(f64::from(f32::from_be_bytes(*self.take(what)?)))
            }
            _ => {
                let (bits, negative) = self.integer(what)?;
                Ok(if negative { bits as i64 as f64 } else { bits as f64 })
            }
        }
    }

    /// A truth value; nil is false.
    ///
    /// # Errors
    /// When something else is next.
    #[inline]
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.marker(what)? {
            0xc2 | NIL => Ok(false),
            0xc3 => Ok(true),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Passes over one value of any type.
    ///
    /// # Errors
    /// When the body ends within it, or it nests too deep.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.skip_within(MSGPACK_MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), DecodeError> {
        const WHAT: &str = "a value";
        let bytes = match self.marker(WHAT)? {
            0x00..=0x7f | 0xe0..=0xff | NIL | 0xc2 | 0xc3 => 0,
            marker @ 0x80..=0x8f => return self.skip_values(usize::from(marker & 0x0f) * 2, depth),
            marker @ 0x90..=0x9f => return self.skip_values(usize::from(marker & 0x0f), depth),
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xc1 => return Err(self.unexpected(WHAT)),
            0xc4 | 0xd9 => usize::from(self.take::<1>(WHAT)?[0]),
            0xc5 | 0xda => self.length16(WHAT)?,
            0xc6 | 0xdb => self.length32(WHAT)?,
            // Extension types: one more byte than their length.
            0xc7 => usize::from(self.take::<1>(WHAT)?[0]) + 1,
            0xc8 => self.length16(WHAT)? + 1,
            0xc9 => self.length32(WHAT)?.saturating_add(1),
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            marker @ 0xd4..=0xd8 => (1 << (marker - 0xd4)) + 1,
            0xdc => {
                let elements = self.length16(WHAT)?;
                return self.skip_values(elements, depth);
            }
            0xdd => {
                let elements = self.length32(WHAT)?;
                return self.skip_values(elements, depth);
            }
            0xde => {
                let entries = self.length16(WHAT)?;
                return self.skip_values(entries * 2, depth);
            }
            0xdf => {
                let entries = self.length32(WHAT)?;
                return self.skip_values(entries.saturating_mul(2), depth);
            }
        };
        match self.rest.get(bytes..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(DecodeError::eof(self.total, WHAT)),
        }
    }

    fn skip_values(&mut self, values: usize, depth: usize) -> Result<(), DecodeError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(DecodeError::too_deep(self.offset())) };
        for _ in 0..values {
            self.skip_within(depth)?;
        }
        Ok(())
    }

    /// The 64 bits of an integer in two's complement, and whether it is negative; nil is 0.
    #[inline]
    fn integer(&mut self, what: &'static str) -> Result<(u64, bool), DecodeError> {
        let signed = |value: i64| (value as u64, value < 0);
        Ok(match self.marker(what)? {
            marker @ 0x00..=0x7f => (u64::from(marker), false),
            marker @ 0xe0..=0xff => signed(i64::from(marker as i8)),
            0xcc => (u64::from(self.take::<1>(what)?[0]), false),
            0xcd => (u64::from(u16::from_be_bytes(*self.take(what)?)), false),
            0xce => (u64::from(u32::from_be_bytes(*self.take(what)?)), false),
            0xcf => (u64::from_be_bytes(*self.take(what)?), false),
            0xd0 => signed(i64::from(i8::from_be_bytes(*self.take(what)?))),
            0xd1 => signed(i64::from(i16::from_be_bytes(*self.take(what)?))),
            0xd2 => signed(i64::from(i32::from_be_bytes(*self.take(what)?))),
            0xd3 => signed(i64::from_be_bytes(*self.take(what)?)),
            NIL => (0, false),
            _ => return Err(self.unexpected(what)),
        })
    }

    #[inline]
    fn marker(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        match self.rest {
            [marker, rest @ ..] => {
                self.rest = rest;
                Ok(*marker)
            }
            [] => Err(DecodeError::eof(self.total, what)),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(DecodeError::eof(self.total, what)),
        }
    }

    #[inline]
    fn length16(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        Ok(usize::from(u16::from_be_bytes(*self.take(what)?)))
    }

    #[inline]
    fn length32(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let length = u32::from_be_bytes(*self.take(what)?);
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// For a marker that was just consumed.
    #[cold]
    fn unexpected(&self, what: &'static str) -> DecodeError {
        DecodeError::malformed(self.offset() - 1, what)
    }
}

/// Text with every invalid sequence replaced by U+FFFD; `None` when the arena is full.
#[cold]
pub(crate) fn repaired<'b>(bytes: &[u8], arena: &'b Bump) -> Option<&'b str> {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    let replacement_if = |invalid: &[u8]| if invalid.is_empty() { 0 } else { REPLACEMENT.len() };
    let length: usize =
        bytes.utf8_chunks().map(|chunk| chunk.valid().len() + replacement_if(chunk.invalid())).sum();
    let mut text = List::new_in(arena);
    text.try_reserve_exact(length).ok()?;
    for chunk in bytes.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice(REPLACEMENT);
        }
    }
    std::str::from_utf8(text.into_bump_slice()).ok()
}
