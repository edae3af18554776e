//! Bytes to nouns and nouns to bytes: what tracers send, and what the backend takes.
//!
//! Nothing here does I/O or reads a clock. Every decoder takes hostile bytes: it answers with a
//! [`DecodeError`], never with a panic, and what it allocates is bounded by the body's length or by the
//! arena's limit, never by a length the body merely declares (losses.md L155).

pub mod dogstatsd;
pub mod error;
pub mod intake;
pub mod logs;
pub mod msgpack;
mod protobuf;
mod repeated;
pub mod sketch;
pub mod stats;
pub mod traces;

pub use error::{DecodeError, ErrorKind};
