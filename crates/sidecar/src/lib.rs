//! The channel between language runtimes and the one sidecar of their process tree.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod counts;
pub mod frame;
mod memory_file;
mod peer;
mod rendezvous;
mod secret;
mod server;
mod service;
mod socket;

pub use counts::{ClientCounts, ServerCounts};
pub use frame::{Denied, Headers, Reason};
pub use peer::{Owner, Peer};
pub use rendezvous::{BACKLOG_MAX_COUNT, Rendezvous, Server, ServingLock};
pub use server::{
    CONNECTIONS_MAX_COUNT, HANDSHAKE_MAX, PARTS_MAX_BYTES, STALLED_MAX, ServerOptions, Serving, Stopped,
};
pub use service::{Announced, Answer, Flushing, Service, Submission};
