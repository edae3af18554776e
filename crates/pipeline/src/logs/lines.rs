//! Lines of a stream that arrives in pieces of any size.

use super::parts::Parts;
use memchr::memchr;
use model::limits::LOG_MAX_BYTES;

/// A line, or several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The text without the newline at its end; never more than [`LOG_MAX_BYTES`].
    pub bytes: &'a [u8],
    /// When its first piece came, nanoseconds since 1970.
    pub at_ns: i64,
    /// How many bytes of the stream are behind it, its own newline included: where to read on, once this message and
    /// all before it are safe. Parts of one line, all but the last, repeat where their line began.
    pub end: u64,
    /// Whether this is a part of something longer; see [`model::log::TRUNCATED`].
    pub truncated: bool,
}

/// Cuts one stream into lines.
///
/// A line ends with `\n` or `\r\n`. Empty lines are emitted as they are: they may belong to a group, and
/// [`super::MultiLine`] leaves them out elsewhere. A line longer than [`LOG_MAX_BYTES`] goes in parts, of which each
/// but the last ends with [`model::log::TRUNCATED`] and each but the first begins with it. A line that lies within one piece is
/// emitted as a slice of it; only what has no newline yet is kept, at most one log of it.
#[derive(Debug, Default)]
pub struct Assembler {
    rest: Parts,
    /// When the rest began to come.
    since_ns: i64,
    /// Bytes of the stream up to the last newline.
    end: u64,
    /// Bytes of the rest, as they came.
    rest_bytes: u64,
}

impl Assembler {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a piece and emits the lines that end in it.
    pub fn push(&mut self, mut bytes: &[u8], now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        while let Some(at) = memchr(b'\n', bytes) {
            let line = &bytes[..at];
            bytes = &bytes[at + 1..];
            if self.rest_bytes == 0 {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() <= LOG_MAX_BYTES {
                    self.end += at as u64 + 1;
                    emit(Message { bytes: line, at_ns: now_ns, end: self.end, truncated: false });
                    continue;
                }
            }
            self.keep(line, now_ns, emit);
            self.rest.strip_carriage_return();
            self.end_line(1, emit);
        }
        self.keep(bytes, now_ns, emit);
    }

    /// Emits the last line although its newline never came (losses.md L89). Then it is as new, but goes on counting
    /// [`Message::end`].
    pub fn finish(&mut self, emit: &mut dyn FnMut(Message<'_>)) {
        if self.rest_bytes > 0 {
            self.end_line(0, emit);
        }
    }

    /// Memory held, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.rest.held_bytes()
    }

    fn keep(&mut self, bytes: &[u8], now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        if bytes.is_empty() {
            return;
        }
        if self.rest_bytes == 0 {
            self.since_ns = now_ns;
        }
        self.rest_bytes += bytes.len() as u64;
        let (at_ns, end) = (self.since_ns, self.end);
        self.rest.extend(bytes, &mut |part| emit(Message { bytes: part, at_ns, end, truncated: true }));
    }

    fn end_line(&mut self, newline_bytes: u64, emit: &mut dyn FnMut(Message<'_>)) {
        let (at_ns, begin) = (self.since_ns, self.end);
        self.end += self.rest_bytes + newline_bytes;
        self.rest_bytes = 0;
        let end = self.end;
        self.rest.end(&mut |bytes, truncated, last| {
            emit(Message { bytes, at_ns, end: if last { end } else { begin }, truncated });
        });
    }
}
