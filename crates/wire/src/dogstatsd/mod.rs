//! DogStatsD: lines of bytes to samples, events and service checks (`facts/dogstatsd.md` §2).
//!
//! A datagram, a frame of a stream or the body of a request is cut into [`lines`]; each is [`parse`]d alone, so
//! that a bad line costs nothing but itself (losses.md L47). What comes of a line borrows it: nothing is copied
//! and nothing is allocated, except for an event's text that has to be changed. Names, values and tags of
//! metrics stay bytes; whoever makes a context of them replaces what is not UTF-8.
//!
//! The grammar is the reference's, to the letter. Where it differs, it refuses what nobody can mean: numbers that
//! are not finite (L52), and sample rates that are not above 0 and at most 1 (L116).

mod check;
mod error;
mod event;
mod lines;
mod metric;
mod number;
mod print;

pub use error::LineError;
pub use lines::{Lines, lines};
pub use metric::Metric;
pub use print::print;

use model::limits::METRIC_LINE_MAX_BYTES;
use model::metric::{Event, ServiceCheck};

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// Samples of one metric.
    Metric(Metric<'a>),
    /// Something happened.
    Event(Event<'a>),
    /// The state of something.
    ServiceCheck(ServiceCheck<'a>),
}

/// Reads one line, without its line feed. By its begin it is an event (`_e{`), a service check (`_sc`), or else a
/// metric.
///
/// # Errors
/// When the line is not what it begins as, or longer than [`METRIC_LINE_MAX_BYTES`]. A metric's values are not
/// read here, but by [`Metric::numbers`].
pub fn parse(line: &[u8]) -> Result<Message<'_>, LineError> {
    if line.len() > METRIC_LINE_MAX_BYTES {
        return Err(LineError::TooLong);
    }
    if line.first() == Some(&b'_') {
        if line.starts_with(event::PREFIX) {
            return event::parse(line).map(Message::Event);
        }
        if line.starts_with(check::PREFIX) {
            return check::parse(line).map(Message::ServiceCheck);
        }
    }
    metric::parse(line).map(Message::Metric)
}
