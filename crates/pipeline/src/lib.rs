//! Nouns to batches: what is kept, how it is normalized, obfuscated and counted, when a batch is
//! full, what is retried and when.
//!
//! Every decision is a function of state, input and `now`; nothing here reads a clock, a socket or
//! a byte format.

pub mod batch;
pub mod config;
pub mod facts;
pub mod logs;
pub mod metrics;
pub mod normalize;
pub mod obfuscate;
pub mod outbox;
pub mod process;
pub mod queue;
pub mod retry;
pub mod rules;
pub mod sample;
mod scan;
pub mod stats;
mod top_level;
pub mod truncate;
