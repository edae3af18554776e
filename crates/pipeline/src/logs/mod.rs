//! From bytes that a program wrote to logs: lines, the lines that belong together, and the user's rules; and what to
//! read of a file that is followed.
//!
//! ```text
//!  pieces ─▶ lines ─▶ multi_line ─▶ rules ─▶ …
//! ```
//!
//! [`Stream`] is the first two for one stream; a [`rules::LogRules`] serves all of them.

pub mod lines;
pub mod multi_line;
mod parts;
pub mod registry;
pub mod rules;
mod stack;
#[cfg(test)]
mod stack_tests;
pub mod tail;
#[cfg(test)]
mod tests;

pub use lines::{Assembler, Message};
pub use multi_line::{Grouping, MultiLine};
pub use rules::{LogRules, Verdict};

/// Lines of one stream, put together.
///
/// The messages do not depend on how the bytes are cut into pieces; only what time each bears does.
#[derive(Debug)]
pub struct Stream {
    assembler: Assembler,
    groups: MultiLine,
}

impl Stream {
    /// Nothing was read yet.
    pub fn new(grouping: Grouping) -> Self {
        Self { assembler: Assembler::new(), groups: MultiLine::new(grouping) }
    }

    /// Takes a piece and emits every message that is known to be complete.
    pub fn push(&mut self, bytes: &[u8], now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        let Self { assembler, groups } = self;
        assembler.push(bytes, now_ns, &mut |line| groups.push(line, now_ns, emit));
    }

    /// Emits the group whose next line has not come in time. A line without its newline waits on.
    pub fn tick(&mut self, now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        self.groups.tick(now_ns, emit);
    }

    /// Emits everything held, a last line without newline too (losses.md L89). Then it is as new, but
    /// goes on counting [`Message::end`].
    pub fn finish(&mut self, now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        let Self { assembler, groups } = self;
        assembler.finish(&mut |line| groups.push(line, now_ns, emit));
        groups.finish(emit);
    }

    /// When [`Self::tick`] has something to do, if nothing comes before; nanoseconds since 1970.
    pub fn next_deadline_ns(&self) -> Option<i64> {
        self.groups.next_deadline_ns()
    }

    /// Memory held, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.assembler.held_bytes() + self.groups.held_bytes()
    }
}
