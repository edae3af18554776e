//! How what arrived is shown. A view turns it into text and does nothing else: no clock, no terminal,
//! no socket, so that what a user sees is what a test reads.

mod forest;
mod json;
mod logs;
mod metrics;
mod summary;
mod text;
mod tree;

pub use json::JsonLines;
pub use tree::{Tree, WIDTH_DEFAULT};

use crate::gather::Group;
use crate::logs::{LogRecord, Logs};
use crate::metric::{Check, Context, Event, Sketch};
use crate::store::Store;
use crate::tally::Tally;
use model::stats::StatsPayload;
use model::{Book, Signal};

/// Turns what arrived into text, complete lines each time.
pub trait View: Send {
    /// A trace, or a late part of one.
    fn trace(&mut self, group: Group<'_>) -> String;

    /// A statistics payload.
    fn stats(&mut self, payload: &StatsPayload) -> String;

    /// One value of a series, as it arrived: what it stands for and when, in seconds.
    fn point(&mut self, context: &Context, interval: u32, time: i64, value: f64) -> String;

    /// One bucket of a distribution, as it arrived.
    fn sketch(&mut self, context: &Context, sketch: &Sketch) -> String;

    /// An event, as it arrived.
    fn event(&mut self, event: &Event) -> String;

    /// A service check, as it arrived.
    fn check(&mut self, check: &Check) -> String;

    /// A log, as it arrived.
    fn log(&mut self, log: &LogRecord) -> String;

    /// Logs that came since the last time and belong to no trace, or to one that has not come.
    fn logs(&mut self, logs: &Logs) -> String;

    /// What changed in the store since the last time: what one flush of the agent brought.
    fn metrics(&mut self, store: &Store) -> String;

    /// A request that is not decoded, such as a profile.
    fn passed(&mut self, path: &str, bytes: u64) -> String;

    /// The end of the session.
    fn finish(&mut self, tally: &Tally, closing: &Closing) -> String;
}

/// What the agent says of itself at the end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Its report, for people.
    pub report: String,
    /// Its books, for programs.
    pub books: Vec<(Signal, Book)>,
}
