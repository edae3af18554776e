//! The nouns of lastlight: what the bytes of clients mean, and what becomes batches.
//!
//! Nothing here reads bytes, a clock, a socket or a setting, and there is nothing to configure.
//! `wire` and `pipeline` agree on these types and never meet each other.

pub mod limits;
pub mod log;
pub mod metric;
pub mod order;
pub mod receipt;
pub mod sketch;
pub mod stats;
pub mod tags;
pub mod trace;

#[cfg(all(test, loom))]
mod interleavings;

pub use bumpalo::Bump;
pub use receipt::{Book, Books, Hold, Ledger, Outcome, Receipt, Signal, Why};
pub use trace::{AttributeValue, Chunk, List, Payload, Span, SpanEvent, SpanLink};
