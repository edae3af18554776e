//! The handle that a language runtime holds.

use crate::clients::Clients;
use crate::fork;
use crate::host::Hosting;
use crate::message::{self, Message};
use crate::options::{InUse, Kind, OpenError, Options};
use channel::{ClientCounts, Outgoing, Rendezvous};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Why a payload was not taken. It is the caller's; unless the handle was closed, it is counted in [`Sidecar::counts`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotTaken {
    /// Too much has no answer yet.
    NoRoom {
        /// Not before.
        retry_after: Duration,
    },
    /// Over [`channel::frame::PAYLOAD_MAX_BYTES`].
    TooBig,
    /// Headers over their bounds ([`channel::frame::HEADERS_MAX_BYTES`], [`channel::frame::HEADERS_MAX_COUNT`]).
    Headers,
    /// The handle was closed in this process.
    Closed,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { .. } => f.write_str("too much waits for the sidecar already"),
            Self::TooBig => f.write_str("the payload is bigger than any may be"),
            Self::Headers => f.write_str("the headers are more, or longer, than they may be"),
            Self::Closed => f.write_str("the handle was closed"),
        }
    }
}

impl std::error::Error for NotTaken {}

/// The sidecar of a process tree, as seen from any of its processes.
///
/// To be opened before the host forks, in what will be the parent of all. A child's copy is a handle of its own: with a
/// connection of its own, counts from zero, and nothing to send; what waits in the parent is the parent's to send.
/// All calls may be made from any thread.
#[derive(Debug)]
pub struct Sidecar {
    hosting: Arc<Hosting>,
    clients: Clients,
}

impl Sidecar {
    /// Binds the tree's socket and, unless it is lazy, starts a server, in `ready_within` for each way that is tried. That
    /// none could be started is no error: it is said, and tried again later.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let lazy = options.lazy;
        let rendezvous = Rendezvous::bind().map_err(OpenError::Bind)?;
        let hosting = Arc::new(Hosting::new(Arc::clone(&rendezvous), options));
        let watching: Weak<Hosting> = Arc::downgrade(&hosting);
        fork::watch(watching);
        let clients = Clients::new(rendezvous, Arc::clone(&hosting));
        let sidecar = Arc::new(Self { hosting, clients });
        if !lazy {
            sidecar.ensure();
        }
        Ok(sidecar)
    }

    /// Starts a server if nobody serves, and waits for it no longer than `ready_within` for each way that is tried. Does
    /// nothing while an earlier attempt makes it wait.
    pub fn ensure(&self) {
        self.hosting.ensure();
    }

    /// Takes a payload to be delivered, or does not. It waits for no server: it costs some system calls and one copy, and stands
    /// behind other threads that submit, or wait for answers, for some milliseconds. Where nobody serves it starts a server.
    ///
    /// # Errors
    /// When it is not taken; nothing of it was sent.
    pub fn submit(&self, kind: Kind, headers: &[(&[u8], &[u8])], payload: &[u8]) -> Result<(), NotTaken> {
        match self.clients.submit(Outgoing { kind: kind as u16, headers, payload }) {
            Some(Ok(_)) => Ok(()),
            Some(Err(channel::NotTaken::NoRoom { retry_after })) => Err(NotTaken::NoRoom { retry_after }),
            Some(Err(channel::NotTaken::TooBig)) => Err(NotTaken::TooBig),
            Some(Err(channel::NotTaken::Headers)) => Err(NotTaken::Headers),
            None => Err(NotTaken::Closed),
        }
    }

    /// Goes on without waiting: connects, reads answers, sends.
    pub fn pump(&self) {
        self.clients.pump();
    }

    /// Has the server deliver what it accepted, after everything of this process was answered. True when all of it is
    /// delivered to the backend, or counted as dropped. Returns within the time, whatever the server does.
    pub fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        self.clients.settle(deadline)
            && self.clients.ask(deadline, |client, left| client.flush(left)) == Some(true)
    }

    /// Waits for the server's answers to everything that this process submitted.
    pub fn settle(&self, within: Duration) -> bool {
        self.clients.settle(Instant::now() + within)
    }

    /// Whether a server answers in time.
    pub fn ping(&self, within: Duration) -> bool {
        self.clients.ask(Instant::now() + within, |client, left| client.ping(left)) == Some(true)
    }

    /// What the server counts, as lines of text; `None` when it does not answer in time.
    pub fn server_stats(&self, within: Duration) -> Option<String> {
        self.clients.ask(Instant::now() + within, |client, left| client.stats(left))?
    }

    /// What this process submitted, and what became of it.
    #[must_use]
    pub fn counts(&self) -> ClientCounts {
        self.clients.counts()
    }

    /// Where the agent of this tree runs, as far as this process knows.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.hosting.in_use()
    }

    /// Whether a thread of this process serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.hosting.is_serving()
    }

    /// The oldest message that was not read: what would be a log line, of all handles of this process.
    #[must_use]
    pub fn next_message(&self) -> Option<Message> {
        self.hosting.look();
        message::next()
    }

    /// Waits for the server's answers to everything that this process submitted; where the server is a thread of this
    /// process, stops it, which delivers what it holds, and joins it. All of it within the time, and a moment for what was late
    /// to be counted. In this process the handle takes nothing from then on; called again, it says the same.
    pub fn close(&self, within: Duration) -> ClientCounts {
        let now = Instant::now();
        // Half of it is the server's, where it stops too.
        let for_client = if self.is_serving() { within / 2 } else { within };
        let counts = self.clients.close(now + for_client);
        self.hosting.close(now + within);
        counts
    }
}
