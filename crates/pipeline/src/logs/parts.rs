//! Text that grows up to one log, and beyond it goes out in parts.

use model::limits::LOG_MAX_BYTES;
use model::log::TRUNCATED;

/// Capacity kept between logs; what a longer one needed is given back.
const RETAINED_MAX_BYTES: usize = 16 * 1024;

/// Bytes held beyond [`LOG_MAX_BYTES`] until it is known that they are too many: a `\r` that a newline may follow,
/// and one more.
const LOOK_AHEAD_BYTES: usize = 2;

// A part carries far more than its two markers.
const _: () = assert!(LOG_MAX_BYTES > 64 * TRUNCATED.len());

/// The text of one log so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Begins with [`TRUNCATED`] when a part went before.
    held: Vec<u8>,
    /// Whether a part went before.
    continued: bool,
}

impl Parts {
    /// Appends text. Parts that are full go out by `emit`.
    pub(super) fn extend(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LOG_MAX_BYTES + LOOK_AHEAD_BYTES - self.held.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.append(now);
            if self.held.len() == LOG_MAX_BYTES + LOOK_AHEAD_BYTES {
                self.cut(emit);
            }
            bytes = later;
        }
    }

    /// Emits what is left: each text, whether it is a part, and whether it is the last. Then it is empty.
    pub(super) fn end(&mut self, emit: &mut dyn FnMut(&[u8], bool, bool)) {
        while self.held.len() > LOG_MAX_BYTES {
            self.cut(&mut |part| emit(part, true, false));
        }
        emit(&self.held, self.continued, true);
        self.clear();
    }

    /// Emits what is held as a part that is continued.
    pub(super) fn part(&mut self, emit: &mut dyn FnMut(&[u8])) {
        while self.held.len() > LOG_MAX_BYTES - TRUNCATED.len() {
            self.cut(emit);
        }
        self.held.extend_from_slice(TRUNCATED.as_bytes());
        emit(&self.held);
        self.held.clear();
        self.held.extend_from_slice(TRUNCATED.as_bytes());
        self.continued = true;
    }

    /// Removes a `\r` at the end, before its newline.
    pub(super) fn strip_carriage_return(&mut self) {
        if self.held.last() == Some(&b'\r') {
            self.held.pop();
        }
    }

    /// What is held, with the marker at its beginning if there is one.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.held
    }

    /// Memory held, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    fn clear(&mut self) {
        self.continued = false;
        if self.held.capacity() > RETAINED_MAX_BYTES {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }

    /// Grows by doubling, never beyond what a part can need.
    fn append(&mut self, bytes: &[u8]) {
        let need = self.held.len() + bytes.len();
        if need > self.held.capacity() {
            const MOST_BYTES: usize = LOG_MAX_BYTES + LOOK_AHEAD_BYTES + TRUNCATED.len();
            let target = need.max(self.held.capacity() * 2).clamp(256, MOST_BYTES);
            self.held.reserve_exact(target - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }

    /// Emits a full part, not cutting a character of UTF-8 in two.
    fn cut(&mut self, emit: &mut dyn FnMut(&[u8])) {
        let at = character_start(&self.held, LOG_MAX_BYTES - TRUNCATED.len());
        // Some bytes more than the marker: what was looked ahead, and a character.
        let rest = self.held.split_off(at);
        self.held.extend_from_slice(TRUNCATED.as_bytes());
        emit(&self.held);
        self.held.clear();
        self.held.extend_from_slice(TRUNCATED.as_bytes());
        self.held.extend_from_slice(&rest);
        self.continued = true;
    }
}

/// The last position up to `at` where a character of UTF-8 begins; `at` itself in text that is none.
fn character_start(bytes: &[u8], at: usize) -> usize {
    const CHARACTER_MAX_BYTES: usize = 4;
    let is_within = |position: usize| bytes.get(position).is_some_and(|byte| byte & 0xC0 == 0x80);
    (0..CHARACTER_MAX_BYTES).map(|back| at - back).find(|position| !is_within(*position)).unwrap_or(at)
}
