//! The agent in a thread or a subprocess of a process tree, and the handle by which a language runtime reaches it.
//!
//! Facts: sidecar.md, losses.md J and K. Linux only so far.
//!
//! A [`Sidecar`] is opened once, before its host forks, and used from every process and thread of the tree: it binds the
//! tree's [`channel::Rendezvous`], sees to it that one process serves it, and submits payloads over a client of its own in each
//! process. What it would log, it keeps ([`Sidecar::next_message`]); it writes to no stream of its host, handles no signal,
//! and leaves nothing to be done at the host's exit.

#[cfg(target_os = "linux")]
mod clients;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod handle;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod message;
#[cfg(target_os = "linux")]
mod options;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
pub mod process;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod service;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
pub use channel::ClientCounts;
#[cfg(target_os = "linux")]
pub use handle::{NotTaken, Sidecar};
#[cfg(target_os = "linux")]
pub use message::{Level, MESSAGE_MAX_BYTES, MESSAGES_MAX_COUNT, Message};
#[cfg(target_os = "linux")]
pub use options::{InUse, Kind, Mode, OpenError, Options, READY_WITHIN, UnknownMode};
