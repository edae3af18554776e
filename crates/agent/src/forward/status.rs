//! How an endpoint is doing, for `/lastlight/status`.

use super::Kind;
use model::{Book, Signal, Why};
use std::time::Duration;

/// One lane: one kind of payload to one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// What goes there.
    pub kind: Kind,
    /// Where, without the key.
    pub url: String,
    /// The main endpoint of the kind; otherwise one that gets copies.
    pub is_main: bool,
    /// It did not answer lately: one request at a time finds out when it does again.
    pub is_failing: bool,
    /// Requests waiting.
    pub queued_requests: usize,
    /// Bytes of the requests waiting.
    pub queued_bytes: usize,
    /// Requests sent and not answered yet.
    pub in_flight: usize,
    /// Attempts begun since the start.
    pub requests_sent: u64,
    /// Of those, attempts after the first of their request.
    pub retries: u64,
    /// Body bytes of all attempts.
    pub bytes_sent: u64,
    /// Requests acknowledged.
    pub requests_delivered: u64,
    /// Units (spans, groups, requests) acknowledged.
    pub units_delivered: u64,
    /// Units dropped, by reason.
    pub units_dropped: Vec<(Why, u64)>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// Books of an additional endpoint for this kind's signal (shared by the kinds of that signal); those of
    /// the main one are the agent's.
    pub book: Option<(Signal, Book)>,
}

/// Something that went wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastError {
    /// What, in words.
    pub message: String,
    /// How long ago.
    pub age: Duration,
}
