//! How what arrived is shown. A view turns it into text and does nothing else: no clock, no terminal,
//! no socket, so that what a user sees is what a test reads.

mod forest;
mod json;
mod summary;
mod text;
mod tree;

pub use json::JsonLines;
pub use tree::{Tree, WIDTH_DEFAULT};

use crate::gather::Group;
use crate::tally::Tally;
use model::stats::StatsPayload;
use model::{Book, Signal};

/// Turns what arrived into text, complete lines each time.
pub trait View: Send {
    /// A trace, or a late part of one.
    fn trace(&mut self, group: Group<'_>) -> String;

    /// A statistics payload.
    fn stats(&mut self, payload: &StatsPayload) -> String;

    /// A request that is neither traces nor statistics, such as a profile.
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
