//! What is behind a server: the agent, in `sidecar`. The channel knows kinds and bytes.

use crate::frame::{Denied, Headers, Reason};
use crate::peer::Peer;
use crate::server::Mailbox;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A payload that came as a whole.
#[derive(Debug)]
pub struct Submission<'a> {
    /// Unique among those of its client process.
    pub id: u64,
    /// What it is, by an agreement of client and service.
    pub kind: u16,
    /// It was sent before, over a connection that ended without an answer or to a server that died before it had settled, so
    /// it may have been accepted or even delivered.
    pub resent: bool,
    /// Beside the payload.
    pub headers: Headers<'a>,
    /// Owned where it did not come in the datagram itself.
    pub payload: Cow<'a, [u8]>,
    /// Who sent it.
    pub peer: Peer,
    /// To be kept, if it is accepted, until it is delivered or dropped for a reason that was counted.
    pub settling: Settling,
}

/// A submission that is accepted and not settled: its client keeps a copy, and when this server dies sends it to the next.
/// Settled when the last clone is dropped: the client is told, and forgets the copy. Dropped before the submission is
/// answered, it is settled with accepting, which costs no word more.
///
/// A service that answers [`Answer::NoRoom`] or [`Answer::Refused`] may do with it as it likes. It is to be dropped by a thread that
/// has the server's table of descriptors, and may outlive the server.
#[derive(Clone)]
pub struct Settling {
    inner: Arc<Unsettled>,
}

struct Unsettled {
    mailbox: Arc<Mailbox>,
    client: u64,
    id: u64,
    is_accepted: AtomicBool,
}

impl Settling {
    pub(crate) fn new(mailbox: Arc<Mailbox>, client: u64, id: u64) -> Self {
        Self { inner: Arc::new(Unsettled { mailbox, client, id, is_accepted: AtomicBool::new(false) }) }
    }

    /// The submission was accepted. Whether it has settled: then nobody else has it. Otherwise its end will be told.
    pub(crate) fn accept(self) -> bool {
        // Seen by whoever drops the last clone, which is after this one went.
        self.inner.is_accepted.store(true, Ordering::Relaxed);
        match Arc::into_inner(self.inner) {
            Some(mut last) => {
                *last.is_accepted.get_mut() = false;
                true
            }
            None => false,
        }
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settling").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if *self.is_accepted.get_mut() {
            self.mailbox.put_settled(self.client, self.id);
        }
    }
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
    /// The service answers for it from here on: the one point of accepting. Its client keeps a copy until
    /// [`Submission::settling`] is dropped.
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
