//! What would be log lines: kept for the host, which says them where its own lines go.

use crate::fork::ProcessLocal;
use log::{LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;

/// Messages that wait in one process. One more and the oldest goes, and is counted.
pub const MESSAGES_MAX_COUNT: usize = 64;
/// Longest text of a message, bytes; what is beyond is cut.
pub const MESSAGE_MAX_BYTES: usize = 1024;

/// How much it matters.
pub type Level = log::Level;

/// One thing to be said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub text: String,
}

/// The messages of one process.
#[derive(Debug, Default)]
struct Ring {
    messages: VecDeque<Message>,
    dropped: u64,
}

impl Ring {
    fn push(&mut self, level: Level, mut text: String) {
        if text.contains(['\n', '\r']) {
            // Errors of a configuration, one a line.
            let lines: Vec<&str> = text.split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
            text = lines.join("; ");
        }
        if text.len() > MESSAGE_MAX_BYTES {
            text.truncate(text.floor_char_boundary(MESSAGE_MAX_BYTES));
        }
        if self.messages.len() == MESSAGES_MAX_COUNT {
            self.messages.pop_front();
            self.dropped += 1;
        }
        self.messages.push_back(Message { level, text });
    }

    fn pop(&mut self) -> Option<Message> {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!("{dropped} older messages were not read in time");
            return Some(Message { level: Level::Warn, text });
        }
        self.messages.pop_front()
    }
}

/// All handles of a process share one: so does its logger.
static RING: ProcessLocal<Ring> = ProcessLocal::new();

/// Keeps a message.
pub(crate) fn say(level: Level, text: String) {
    RING.with(Ring::default, |ring| ring.push(level, text));
}

/// The oldest message that was not read.
pub(crate) fn next() -> Option<Message> {
    RING.with(Ring::default, Ring::pop)
}

/// Records of the agent on a thread of this process become messages.
#[derive(Debug)]
struct Kept;

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries below are chatty, and their worries reach us as errors anyway.
        metadata.target().starts_with("lastlight") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(record.level(), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Installs the logger of a process that may serve by a thread. The first wins: a host that is written in Rust and
/// shares this copy of the `log` crate keeps its own.
pub(crate) fn install(level: LevelFilter) {
    if log::set_logger(&Kept).is_ok() {
        log::set_max_level(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_bounded_and_counted() {
        let mut ring = Ring::default();
        for number in 0..MESSAGES_MAX_COUNT + 5 {
            ring.push(Level::Info, number.to_string());
        }
        assert!(ring.pop().is_some_and(|message| message.text.starts_with("5 older")));
        assert!(ring.pop().is_some_and(|message| message.text == "5"));
        assert_eq!(std::iter::from_fn(|| ring.pop()).count(), MESSAGES_MAX_COUNT - 1);
    }

    #[test]
    fn a_message_is_one_line() {
        let mut ring = Ring::default();
        ring.push(Level::Warn, "a: wrong\nb: wrong too\r\n".to_owned());
        assert!(ring.pop().is_some_and(|message| message.text == "a: wrong; b: wrong too"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut ring = Ring::default();
        ring.push(Level::Info, "é".repeat(MESSAGE_MAX_BYTES));
        assert!(ring.pop().is_some_and(|message| message.text.len() == MESSAGE_MAX_BYTES));
        ring.push(Level::Info, format!("x{}", "é".repeat(MESSAGE_MAX_BYTES)));
        assert!(ring.pop().is_some_and(|message| message.text.len() == MESSAGE_MAX_BYTES - 1));
    }
}
