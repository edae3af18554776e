//! What is behind a server: the agent, later. The channel knows kinds and bytes.

use crate::frame::{Denied, Headers, Reason};
use crate::peer::Peer;
use crate::server::Mailbox;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A payload that came as a whole.
#[derive(Debug)]
pub struct Submission<'a> {
    /// Unique among those of its client process.
    pub id: u64,
    /// What it is, by an agreement of client and service.
    pub kind: u16,
    /// It was sent before over a connection that ended without an answer, so it may have been accepted.
    pub resent: bool,
    /// Beside the payload.
    pub headers: Headers<'a>,
    /// Owned where it did not come in the datagram itself.
    pub payload: Cow<'a, [u8]>,
    /// Who sent it.
    pub peer: Peer,
}

/// A payload before it is read.
#[derive(Debug)]
pub struct Announced<'a> {
    /// As in [`Submission`].
    pub kind: u16,
    /// As in [`Submission`].
    pub headers: Headers<'a>,
    /// Length of the payload.
    pub bytes: u64,
    /// Who sends it.
    pub peer: Peer,
}

/// What becomes of a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The service answers for it from here on: the one point of accepting.
    Accepted,
    /// The client is to keep it and send it again.
    NoRoom {
        /// Not before. In milliseconds on the wire.
        retry_after: Duration,
    },
    /// The client is to drop and count it.
    Refused(Reason),
}

/// What a server serves. Called in [`crate::Server::turn`], so each call delays all clients; none of them waits in a
/// submission of its own, though. A panic is contained and counted; one over a submission is answered as
/// [`Reason::Panicked`].
pub trait Service: Send + Sync + 'static {
    /// Room before reading: a payload that is not in its datagram is not read unless this is `None`. Nothing is reserved
    /// by it, and [`Service::submit`] decides.
    fn admit(&self, _announced: &Announced<'_>) -> Option<Answer> {
        None
    }

    /// Takes a payload or does not. Must not wait.
    fn submit(&self, submission: Submission<'_>) -> Answer;

    /// Starts to deliver all that was accepted. Returns at once, and says later how it went; not after `deadline`.
    fn flush(&self, deadline: Instant, flushing: Flushing);

    /// What the service counts: lines of text, cut at [`crate::frame::STATS_MAX_BYTES`] together with the channel's own.
    fn stats(&self) -> String {
        String::new()
    }

    /// Somebody was not served: to be said once. Counted already.
    fn denied(&self, _peer: Peer, _why: Denied) {}
}

/// A flush whose client waits. Dropped, it was not complete.
#[derive(Debug)]
pub struct Flushing {
    mailbox: Arc<Mailbox>,
    connection: u64,
    id: u64,
    complete: bool,
}

impl Flushing {
    pub(crate) fn new(mailbox: Arc<Mailbox>, connection: u64, id: u64) -> Self {
        Self { mailbox, connection, id, complete: false }
    }

    /// Tells the client, without waiting, from any thread that has the server's table of descriptors.
    pub fn done(mut self, complete: bool) {
        self.complete = complete;
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.mailbox.put_flushed(self.connection, self.id, self.complete);
    }
}
