//! The few msgpack values that a trace needs.

pub(crate) fn array(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=15 => out.push(0x90 | length as u8),
        16..=0xffff => {
            out.push(0xdc);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// For at most 15 entries.
pub(crate) fn small_map(out: &mut Vec<u8>, length: u8) {
    debug_assert!(length <= 15);
    out.push(0x80 | length);
}

/// A map whose length is known later; see [`Map::end`].
pub(crate) struct Map {
    at: usize,
    length: u16,
}

impl Map {
    pub(crate) fn begin(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend_from_slice(&[0xde, 0, 0]);
        Self { at, length: 0 }
    }

    pub(crate) fn text(&mut self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        self.length += 1;
        text(out, key);
        text(out, value);
    }

    pub(crate) fn float(&mut self, out: &mut Vec<u8>, key: &[u8], value: f64) {
        self.length += 1;
        text(out, key);
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn end(self, out: &mut [u8]) {
        out[self.at + 1..self.at + 3].copy_from_slice(&self.length.to_be_bytes());
    }
}

/// `text` is UTF-8.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}
