//! Messages to lines, in one canonical form: for tests, relays and fuzzers.

use super::Message;

/// Appends `message` as one line, without a line feed. Reading it gives `message` again.
pub fn print(_message: &Message<'_>, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}
