//! The test vocabulary of lastlight: a scripted backend, payloads of every trace version, hostile
//! inputs, DogStatsD lines and load generators.
//!
//! Nothing here uses lastlight's own codecs: what the agent sends is decoded by `prost` and `rmp-serde`
//! after the field numbers and keys of `facts/trace-intake.md` §4 and `facts/delivery.md` §3, so that a
//! mistake in `wire` cannot hide itself.

pub mod backend;
pub mod load;
pub mod logs;
pub mod metrics;
pub mod payload;
pub mod proto;
pub mod stats;
pub mod statsd;

pub use backend::{Action, Answer, Backend, Behaviour, Body, Keep, Received};
pub use logs::Log;
pub use metrics::Metrics;
