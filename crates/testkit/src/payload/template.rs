//! Bytes of a request with marks that are replaced for each sending.

use std::ops::Range;

/// High bytes of an id that is a mark; the low two bytes are its place.
const ID_MARK: u64 = 0xa5a5_5a5a_c3c3_0000;
/// High bytes of a start that is a mark; the low two bytes are tens of microseconds after the trace began.
const START_MARK: i64 = 0x1b5b_5b5b_5b5b_0000;
/// A literal that differs in each request.
const LITERAL_MARK: &str = "48151623";
/// Marks are 8 bytes.
const WIDTH: usize = 8;
/// Ids one template may use.
const IDS_MAX: u64 = 1 << 16;
/// How long ago the traces began.
const AGE_NANOSECONDS: i64 = 500_000_000;

/// A request whose ids, starts and literals are replaced in place: cheap enough to outrun what is measured.
///
/// Request `serial` gets the ids `first_id(serial) + place`, so that what was sent is known without keeping it.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    patches: Vec<(usize, Patch)>,
    spans: usize,
}

#[derive(Clone, Copy, Debug)]
enum Patch {
    Id(u16),
    Start(u16),
    Literal(u32),
}

impl Template {
    /// Finds the marks in an encoded payload of `spans` spans.
    pub fn new(bytes: Vec<u8>, spans: usize) -> Self {
        let mut patches = Vec::new();
        let mut literals = 0;
        let (id_mark, start_mark) = (ID_MARK.to_be_bytes(), START_MARK.to_be_bytes());
        let mut at = 0;
        while at + WIDTH <= bytes.len() {
            let window = &bytes[at..at + WIDTH];
            let place = u16::from_be_bytes([window[6], window[7]]);
            let patch = if window[..6] == id_mark[..6] {
                Patch::Id(place)
            } else if window[..6] == start_mark[..6] {
                Patch::Start(place)
            } else if window == LITERAL_MARK.as_bytes() {
                literals += 1;
                Patch::Literal(literals)
            } else {
                at += 1;
                continue;
            };
            patches.push((at, patch));
            at += WIDTH;
        }
        Self { bytes, patches, spans }
    }

    /// The mark of an id.
    pub fn id(place: u16) -> u64 {
        ID_MARK + u64::from(place)
    }

    /// The mark of a start.
    pub fn start(ten_microseconds: u16) -> i64 {
        START_MARK + i64::from(ten_microseconds)
    }

    /// The mark of a literal.
    pub fn literal() -> &'static str {
        LITERAL_MARK
    }

    /// How many spans a request carries.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Length of a request.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The id of place 0 in request `serial`.
    pub fn first_id(serial: u64) -> u64 {
        (serial + 1) * IDS_MAX
    }

    /// Span ids of request `serial` of [`super::mix`], whose spans stand at the places from 0.
    pub fn span_ids(&self, serial: u64) -> Range<u64> {
        let first = Self::first_id(serial);
        first..first + self.spans as u64
    }

    /// Writes request `serial` to the end of `out`.
    pub fn write(&self, serial: u64, now_nanoseconds: i64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        let body = &mut out[begin..];
        let first_id = Self::first_id(serial);
        for (at, patch) in &self.patches {
            let value = match *patch {
                Patch::Id(place) => (first_id + u64::from(place)).to_be_bytes(),
                Patch::Start(later) => {
                    (now_nanoseconds - AGE_NANOSECONDS + i64::from(later) * 10_000).to_be_bytes()
                }
                Patch::Literal(number) => digits(serial * 1009 + u64::from(number)),
            };
            body[*at..*at + WIDTH].copy_from_slice(&value);
        }
    }

    /// Request `serial` as bytes of its own.
    pub fn request(&self, serial: u64, now_nanoseconds: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.write(serial, now_nanoseconds, &mut out);
        out
    }
}

fn digits(mut number: u64) -> [u8; WIDTH] {
    let mut text = [b'0'; WIDTH];
    // Not starting with 0, which would not be a decimal number.
    text[0] = b'1';
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    text
}
