//! Protobuf, as far as it is needed: varints, lengths, fixed widths and maps.

use crate::error::DecodeError;

/// How a field's content is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

impl Wire {
    const fn number(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes => 2,
            Self::Fixed32 => 5,
        }
    }
}

/// The tag of a field with a number below 16, which is one byte.
pub(crate) const fn tag(field: u8, wire: Wire) -> u8 {
    assert!(field > 0 && field < 16);
    field << 3 | wire.number()
}

/// Bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a varint of the least length.
#[inline]
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed number as `sint32` writes it: small whichever its sign.
pub(crate) fn zigzag32(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

/// The `sint32` of a varint, of which only the low 32 bits count.
pub(crate) fn unzigzag32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// Appends a varint field, unless it is 0.
#[inline]
pub(crate) fn varint_field(field: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(tag(field, Wire::Varint));
        varint(value, out);
    }
}

/// Appends a double field, unless it is +0.0 (the only double that is a default).
#[inline]
pub(crate) fn double_field(field: u8, value: f64, out: &mut Vec<u8>) {
    fixed64_field(field, value.to_bits(), out);
}

/// Appends a field of eight bytes, unless it is 0.
#[inline]
pub(crate) fn fixed64_field(field: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(tag(field, Wire::Fixed64));
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a field of bytes or text, unless it is empty.
#[inline]
pub(crate) fn bytes_field(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        bytes_field_always(field, bytes, out);
    }
}

/// Appends a field of bytes or text, also when it is empty: one of several, which count.
#[inline]
pub(crate) fn bytes_field_always(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() < 0x80 {
        out.extend_from_slice(&[tag(field, Wire::Bytes), bytes.len() as u8]);
    } else {
        out.push(tag(field, Wire::Bytes));
        varint(bytes.len() as u64, out);
    }
    out.extend_from_slice(bytes);
}

/// Appends a field of text that is put together of parts, unless all are empty.
#[inline]
pub(crate) fn joined_field(field: u8, parts: &[&str], out: &mut Vec<u8>) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    if length > 0 {
        out.push(tag(field, Wire::Bytes));
        varint(length as u64, out);
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// Bytes that [`bytes_field`] appends.
#[inline]
fn bytes_field_len(bytes: &[u8]) -> usize {
    match bytes.len() {
        0 => 0,
        length => 1 + varint_len(length as u64) + length,
    }
}

/// Appends a map entry with a value of text or bytes. Its parts are omitted when empty.
#[inline]
pub(crate) fn map_entry(field: u8, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    const KEY: u8 = tag(1, Wire::Bytes);
    const VALUE: u8 = tag(2, Wire::Bytes);
    let field = tag(field, Wire::Bytes);
    // Nearly all tags: every length is one byte.
    if (1..0x80).contains(&key.len()) && (1..0x80).contains(&value.len()) && key.len() + value.len() < 0x7c {
        let length = 4 + key.len() + value.len();
        out.reserve(length + 2);
        out.extend_from_slice(&[field, length as u8, KEY, key.len() as u8]);
        out.extend_from_slice(key);
        out.extend_from_slice(&[VALUE, value.len() as u8]);
        out.extend_from_slice(value);
    } else {
        out.push(field);
        varint((bytes_field_len(key) + bytes_field_len(value)) as u64, out);
        bytes_field(1, key, out);
        bytes_field(2, value, out);
    }
}

/// Appends a map entry with a double.
#[inline]
pub(crate) fn map_entry_double(field: u8, key: &[u8], value: f64, out: &mut Vec<u8>) {
    let value_len = if value.to_bits() == 0 { 0 } else { 9 };
    out.push(tag(field, Wire::Bytes));
    varint((bytes_field_len(key) + value_len) as u64, out);
    bytes_field(1, key, out);
    double_field(2, value, out);
}

/// Appends a nested message, also when it is empty. `likely_len` is a guess at its length: when it takes as many
/// bytes to write as the true one, nothing has to be moved.
#[inline]
pub(crate) fn message(field: u8, likely_len: usize, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag(field, Wire::Bytes));
    let width = varint_len(likely_len as u64);
    let start = out.len();
    out.extend_from_slice(&[0; 10][..width]);
    content(out);
    let length = out.len() - start - width;
    let needed = varint_len(length as u64);
    if needed != width {
        if needed > width {
            out.resize(out.len() + needed - width, 0);
        }
        out.copy_within(start + width..start + width + length, start + needed);
        out.truncate(start + needed + length);
    }
    let mut value = length as u64;
    for byte in &mut out[start..start + needed] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[start + needed - 1] &= 0x7f;
}

/// A position in a protobuf message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    body: &'a [u8],
    offset: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, offset: 0, end: body.len() }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn remaining(&self) -> usize {
        self.end - self.offset
    }

    /// The next field's number and how it is written; `None` at the end of the message.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Wire)>, DecodeError> {
        const WHAT: &str = "the tag of a field";
        if self.offset == self.end {
            return Ok(None);
        }
        let start = self.offset;
        let tag = self.varint(WHAT)?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            5 => Wire::Fixed32,
            _ => return Err(DecodeError::malformed(start, WHAT)),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok(Some((number, wire))),
            _ => Err(DecodeError::malformed(start, WHAT)),
        }
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take::<1>(what)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::malformed(self.offset, what))
    }

    pub(crate) fn fixed64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(*self.take(what)?))
    }

    pub(crate) fn double(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.fixed64(what)?))
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let message = self.message(what)?;
        Ok(&message.body[message.offset..message.end])
    }

    /// A reader of the nested message that is next.
    pub(crate) fn message(&mut self, what: &'static str) -> Result<Self, DecodeError> {
        let length = usize::try_from(self.varint(what)?).unwrap_or(usize::MAX);
        if length > self.remaining() {
            return Err(DecodeError::eof(self.end, what));
        }
        let offset = self.offset;
        self.offset += length;
        Ok(Self { body: self.body, offset, end: self.offset })
    }

    pub(crate) fn skip(&mut self, wire: Wire) -> Result<(), DecodeError> {
        const WHAT: &str = "a field";
        match wire {
            Wire::Varint => self.varint(WHAT).map(drop),
            Wire::Fixed64 => self.take::<8>(WHAT).map(drop),
            Wire::Fixed32 => self.take::<4>(WHAT).map(drop),
            Wire::Bytes => self.message(WHAT).map(drop),
        }
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], DecodeError> {
        match self.body[self.offset..self.end].first_chunk::<N>() {
            Some(bytes) => {
                self.offset += N;
                Ok(bytes)
            }
            None => Err(DecodeError::eof(self.end, what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_take_the_fewest_bytes() {
        for bits in 0..64 {
            for value in [1 << bits, (1 << bits) - 1, u64::MAX >> (63 - bits)] {
                let mut out = Vec::new();
                varint(value, &mut out);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(Reader::new(&out).varint("a varint").unwrap(), value);
                assert!(out.len() == 1 || *out.last().unwrap() != 0);
            }
        }
    }

    #[test]
    fn a_varint_ends_after_ten_bytes() {
        assert!(Reader::new(&[0xff; 11]).varint("a varint").is_err());
        assert!(Reader::new(&[0xff; 5]).varint("a varint").is_err());
    }

    #[test]
    fn a_message_is_framed_right_however_wrong_the_guess_of_its_length_was() {
        for length in [0_usize, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            for guess in [0_usize, 127, 128, 16_384, usize::MAX] {
                let mut out = b"before".to_vec();
                message(3, guess, &mut out, |out| out.resize(out.len() + length, 7));
                let mut reader = Reader::new(&out[6..]);
                assert_eq!(reader.field().unwrap(), Some((3, Wire::Bytes)));
                assert_eq!(reader.bytes("a message").unwrap(), vec![7; length]);
                assert_eq!(reader.remaining(), 0);
                assert_eq!(out.len(), 6 + 1 + varint_len(length as u64) + length);
            }
        }
    }

    #[test]
    fn zigzag_keeps_every_number() {
        for value in [0, 1, -1, 63, -64, i32::MAX, i32::MIN] {
            assert_eq!(unzigzag32(u64::from(zigzag32(value))), value);
        }
        assert_eq!((zigzag32(-1), zigzag32(1), zigzag32(i32::MIN)), (1, 2, u32::MAX));
    }
}
