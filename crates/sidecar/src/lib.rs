//! The agent in a thread or a subprocess of a process tree, and the handle by which a language runtime reaches it.
//!
//! Facts: sidecar.md, losses.md J and K. Linux only so far.
//!
//! A [`Sidecar`] is opened once, before its host forks, and used from every process and thread of the tree: it binds the
//! tree's [`channel::Rendezvous`], sees to it that one process serves it, and submits payloads over a client of its own in each
//! process. What it would log, it keeps ([`Sidecar::next_message`]); it writes to no stream of its host, handles no signal,
//! and leaves nothing to be done at the host's exit.

// The runtime does not build for loom: what loom looks at is built alone.
#[cfg(all(test, loom))]
mod interleavings;
#[cfg(all(test, loom))]
#[path = "fork/list.rs"]
mod list;

#[cfg(all(target_os = "linux", not(loom)))]
mod clients;
#[cfg(all(target_os = "linux", not(loom)))]
mod control;
#[cfg(all(target_os = "linux", not(loom)))]
mod fork;
#[cfg(all(target_os = "linux", not(loom)))]
mod handle;
#[cfg(all(target_os = "linux", not(loom)))]
mod host;
#[cfg(all(target_os = "linux", not(loom)))]
mod message;
#[cfg(all(target_os = "linux", not(loom)))]
mod options;
#[cfg(not(loom))]
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
pub mod process;
#[cfg(all(target_os = "linux", not(loom)))]
mod serve;
#[cfg(all(target_os = "linux", not(loom)))]
mod service;
#[cfg(all(target_os = "linux", not(loom)))]
mod watch;

#[cfg(all(target_os = "linux", not(loom)))]
pub use channel::ClientCounts;
#[cfg(all(target_os = "linux", not(loom)))]
pub use handle::{NotTaken, Sidecar};
#[cfg(all(target_os = "linux", not(loom)))]
pub use message::{Level, MESSAGE_MAX_BYTES, MESSAGES_MAX_COUNT, Message};
#[cfg(all(target_os = "linux", not(loom)))]
pub use options::{InUse, Kind, Mode, OpenError, Options, READY_WITHIN, UnknownMode};
