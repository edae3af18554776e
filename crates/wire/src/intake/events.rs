//! Events for the backend, as JSON (`facts/delivery.md` §3.6).

use model::metric::Event;

/// What an event or a service check does not say itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Context<'a> {
    /// The host where nothing else is said; empty where there is none.
    pub hostname: &'a str,
    /// Seconds since 1970.
    pub now: i64,
    /// Tags of everything, appended to the message's own.
    pub tags: &'a [&'a str],
}

/// Appends one event as a JSON object.
pub fn encode(_event: &Event<'_>, _context: &Context<'_>, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}

/// Under which name [`payload`] lists an event: its source type, or `api`.
pub fn source<'a>(event: &Event<'a>) -> &'a str {
    event.source_type.filter(|source| !source.is_empty()).unwrap_or("api")
}

/// Appends the body of one request: `events` are pairs of a [`source`] and what [`encode`] wrote.
pub fn payload(_events: &[(&str, &[u8])], _internal_hostname: &str, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}
