//! Spans of one request, from the context in its headers to the bytes that an agent takes; and DogStatsD lines.
//!
//! A language runtime holds one [`Trace`] per thread and uses it again for each request: [`Trace::extract`],
//! [`Trace::start`], tags, [`Trace::finish`], [`Trace::encode`], [`Trace::reset`]. Nothing here does I/O, reads a
//! clock or knows a process: times are arguments (nanoseconds since 1970, and durations in nanoseconds), and so are
//! the seed of the ids and the process's number, because a forked child must get new ones
//! ([`Trace::enter_process`]).
//!
//! Texts are bytes as the runtime has them; what is not UTF-8 is replaced by U+FFFD. All that is recorded is bounded
//! ([`TraceOptions::spans_max`], [`TraceOptions::bytes_max`] and the constants here), and what finds no room is
//! counted on the root span ([`SPANS_DROPPED`], [`TAGS_DROPPED`]), never lost silently.

mod context;
mod encode;
mod msgpack;
mod options;
mod sample;
pub mod statsd;
mod store;
mod trace;

pub use context::{
    DATADOG_TAGS_MAX_BYTES, ORIGIN_MAX_BYTES, PROPAGATED_TAGS_MAX_COUNT, Source, TRACEPARENT_MAX_BYTES,
    TRACESTATE_MAX_BYTES, TRACESTATE_MEMBER_MAX_BYTES, TRACESTATE_MEMBERS_MAX_COUNT,
};
pub use encode::{Counts, HEADERS_IGNORED, SPANS_DROPPED, TAGS_DROPPED, TEXTS_CUT, UNFINISHED};
pub use options::{BYTES_MAX_DEFAULT, SPANS_MAX_DEFAULT, TraceOptions};
pub use store::{KEY_MAX_BYTES, SPAN_TAGS_MAX_COUNT, TEXT_MAX_BYTES};
pub use trace::{Ids, NotRecorded, SpanId, Trace};
