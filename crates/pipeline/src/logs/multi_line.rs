//! Lines that belong together: by the user's rule, or stack traces and indented lines as they are recognized.

use super::lines::Message;
use super::parts::Parts;
use super::stack::Trace;
use regex::Regex;

/// How long a group waits for its next line: the reference agent's one second.
pub const FLUSH_TIMEOUT_NS: i64 = 1_000_000_000;
/// Lines of one group, empty ones among them; a longer one goes in parts. Beyond the deepest traces that runtimes print
/// (Java: 1,024 frames for each cause).
pub const GROUP_MAX_LINES: usize = 5_000;

/// Which lines belong together.
#[derive(Clone, Debug, Default)]
pub enum Grouping {
    /// Each line stands alone and goes out at once.
    #[default]
    Off,
    /// `DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION`: indented lines belong to the line above them, the parts of a stack
    /// trace to each other, and a trace to the log that announces it; see `stack.rs`. Lines that begin with `{` stand
    /// alone.
    ///
    /// The reference takes every line without a date and time for a part of the last line that has one. This is not
    /// done here: lines that say nothing of belonging together stay apart.
    Automatic,
    /// A `multi_line` rule: a line that the pattern matches begins a log, every other one belongs to the log before it.
    Begins(Regex),
}

/// Puts the lines of one stream together.
///
/// Whether a line is complete is known from the next one, so that, unless [`Grouping::Off`], each but a line of JSON is
/// held until then or for [`FLUSH_TIMEOUT_NS`]. A line that comes later, before [`Self::tick`] was called, still belongs
/// to its group: a process that was kept from running tears nothing apart. Lines in a group are separated by `\n`; empty
/// ones stay where they are within it and are left out elsewhere. A group that is longer than one log may be, or than
/// [`GROUP_MAX_LINES`], goes in parts like a long line; a line that is itself a part stands alone.
#[derive(Debug)]
pub struct MultiLine {
    grouping: Grouping,
    open: Parts,
    /// Lines in `open`; 0 when no group is open.
    lines: usize,
    /// Empty lines after them, which belong to the group only if something follows.
    blanks: usize,
    trace: Trace,
    /// When its first line came.
    at_ns: i64,
    /// [`Message::end`] of what went before it.
    begin: u64,
    /// [`Message::end`] of its last line.
    end: u64,
    deadline_ns: i64,
}

impl MultiLine {
    /// Holds nothing yet.
    pub fn new(grouping: Grouping) -> Self {
        Self {
            grouping,
            open: Parts::default(),
            lines: 0,
            blanks: 0,
            trace: Trace::default(),
            at_ns: 0,
            begin: 0,
            end: 0,
            deadline_ns: 0,
        }
    }

    /// Takes a line and emits what is known to be complete by it.
    pub fn push(&mut self, line: Message<'_>, now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        let stands_alone = match &self.grouping {
            Grouping::Off => {
                if !line.bytes.is_empty() {
                    emit(line);
                }
                return;
            }
            _ if line.truncated => true,
            _ if line.bytes.is_empty() => {
                self.blank(emit);
                return;
            }
            Grouping::Automatic => {
                if self.lines > 0 && self.trace.joins(line.bytes, self.blanks, self.open.bytes()) {
                    self.join(line, now_ns, emit);
                    return;
                }
                line.bytes[0] == b'{'
            }
            Grouping::Begins(pattern) => {
                if self.lines > 0 && !pattern.is_match(&String::from_utf8_lossy(line.bytes)) {
                    self.join(line, now_ns, emit);
                    return;
                }
                false
            }
        };
        self.finish(emit);
        if stands_alone {
            self.begin = line.end;
            emit(line);
        } else {
            self.begin(line, now_ns);
        }
    }

    /// Emits the group when its next line has not come in time.
    pub fn tick(&mut self, now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        if self.next_deadline_ns().is_some_and(|deadline_ns| deadline_ns <= now_ns) {
            self.finish(emit);
        }
    }

    /// Emits the group that is open.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Message<'_>)) {
        if self.lines == 0 {
            return;
        }
        let Self { at_ns, begin, end, .. } = *self;
        self.open.end(&mut |bytes, truncated, last| {
            emit(Message { bytes, at_ns, end: if last { end } else { begin }, truncated });
        });
        self.begin = end;
        self.lines = 0;
        self.blanks = 0;
    }

    /// When [`Self::tick`] has something to do, nanoseconds since 1970; `None` when nothing is held.
    pub fn next_deadline_ns(&self) -> Option<i64> {
        (self.lines > 0).then_some(self.deadline_ns)
    }

    /// Memory held, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.open.held_bytes()
    }

    fn begin(&mut self, line: Message<'_>, now_ns: i64) {
        if matches!(self.grouping, Grouping::Automatic) {
            self.trace = Trace::begin(line.bytes);
        }
        // A line is no longer than one log: no part goes out yet.
        self.open.extend(line.bytes, &mut |_| {});
        self.lines = 1;
        self.at_ns = line.at_ns;
        self.end = line.end;
        self.deadline_ns = now_ns.saturating_add(FLUSH_TIMEOUT_NS);
    }

    fn join(&mut self, line: Message<'_>, now_ns: i64, emit: &mut dyn FnMut(Message<'_>)) {
        let (at_ns, begin) = (self.at_ns, self.begin);
        let mut part = |bytes: &[u8]| emit(Message { bytes, at_ns, end: begin, truncated: true });
        for _ in 0..=self.blanks {
            self.open.extend(b"\n", &mut part);
        }
        if self.lines + self.blanks >= GROUP_MAX_LINES {
            self.open.part(&mut part);
            self.lines = 0;
            self.blanks = 0;
        }
        self.open.extend(line.bytes, &mut part);
        self.lines += 1 + std::mem::take(&mut self.blanks);
        self.end = line.end;
        self.deadline_ns = now_ns.saturating_add(FLUSH_TIMEOUT_NS);
    }

    fn blank(&mut self, emit: &mut dyn FnMut(Message<'_>)) {
        if self.lines == 0 {
            return;
        }
        self.blanks += 1;
        if self.lines + self.blanks > GROUP_MAX_LINES {
            self.finish(emit);
        }
    }
}
