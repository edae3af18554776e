//! The one server of a process tree, driven by whoever has an event loop.

mod accounts;
mod connection;
mod mailbox;
mod serve;
mod serving;

use crate::counts::ServerCounts;
pub(crate) use mailbox::Mailbox;
pub use serve::Server;
pub use serving::Serving;
use std::time::{Duration, Instant};

/// Clients at one time. More wait in the backlog.
pub const CONNECTIONS_MAX_COUNT: usize = 1024;
/// Time for a client to prove itself.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(1);
/// Time between two parts of a payload, and for a client to read its answers.
pub const STALLED_MAX: Duration = Duration::from_secs(10);
/// Bytes of all payloads that come in parts and are not whole yet.
pub const PARTS_MAX_BYTES: usize = 64 << 20;
/// How long no connection is accepted when there are no descriptors, or no places.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of a server, for tests and small hosts.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// [`CONNECTIONS_MAX_COUNT`].
    pub connections_max_count: usize,
    /// [`HANDSHAKE_MAX`].
    pub handshake_max: Duration,
    /// [`STALLED_MAX`].
    pub stalled_max: Duration,
    /// [`PARTS_MAX_BYTES`].
    pub parts_max_bytes: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max_count: CONNECTIONS_MAX_COUNT,
            handshake_max: HANDSHAKE_MAX,
            stalled_max: STALLED_MAX,
            parts_max_bytes: PARTS_MAX_BYTES,
        }
    }
}

/// What a [`Server::turn`] leaves to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// When the next turn is due though nothing happens to the descriptor. Past when there is more to do at once: what
    /// drives the server may let others go first, and is not told by the descriptor again.
    pub next: Option<Instant>,
    /// Another process serves, or nobody can with this server: it is to be stopped.
    pub is_lost: bool,
}

/// What is known of a server's end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stopped {
    /// Whether everything that clients had sent was answered by the deadline.
    pub in_time: bool,
    /// As of then.
    pub counts: ServerCounts,
}
