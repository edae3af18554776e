//! The client: what a language runtime holds. It has no thread; what is to be done is done by its calls.

mod link;
mod options;
mod queue;
mod steps;

use crate::counts::ClientCounts;
use crate::frame::{
    HEADER_BYTES, INLINE_MAX_BYTES, Message, PAYLOAD_MAX_BYTES, REPLY_MAX_BYTES, Reason, encode_headers,
    headers, headers_fit,
};
use crate::peer::our_pid;
use crate::rendezvous::Rendezvous;
use crate::socket;
use link::Link;
pub use options::*;
use queue::{Prepared, Queue, Ways};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a caller is told that finds no room here.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Unread answers from which on a submission reads them.
const READ_FROM_COUNT: usize = 8;

/// An answer that a call waits for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Awaited {
    #[default]
    Nothing,
    Reply(u64),
    Pong,
    Flushed(bool),
    Stats(Vec<u8>),
}

/// One process's side of the channel. After a `fork` the child's copy is a client of its own: with a connection of its
/// own, nothing to send, and counts from zero; what waits in the parent is the parent's to send.
///
/// Not to be shared over a lock that another thread may hold while the process forks: the child would wait for it for ever.
pub struct Client {
    rendezvous: Arc<Rendezvous>,
    options: ClientOptions,
    promote: Option<Promote>,
    ways: Ways,
    buffer: Vec<u8>,
    /// All that is of one process.
    own: Own,
}

/// What a child does not inherit.
#[derive(Debug)]
struct Own {
    pid: u32,
    link: Link,
    queue: Queue,
    counts: ClientCounts,
    next_id: u64,
    /// What this process calls itself, drawn by lot when it first connects.
    name: Option<u64>,
    /// The last server that took us in.
    instance: Option<u64>,
    /// When the last answer or notice came.
    heard: Option<Instant>,
    /// Connections in a row that did not come about, or ended before the server had answered.
    failures: u32,
    /// When the server took us in.
    welcomed: Option<Instant>,
    not_before: Option<Instant>,
    /// Servers that were asked for in a row, of which none was of use yet.
    promotions: u32,
    promote_not_before: Option<Instant>,
    /// The server had no room: nothing is sent before.
    paused_until: Option<Instant>,
    /// The server said that it stops.
    is_closing: bool,
    checked: Option<Instant>,
    awaited: Awaited,
    /// When the question was sent.
    asked: Option<Instant>,
    refused: Option<Reason>,
    trouble: Option<Trouble>,
    /// Of its own in each process: forked ones would come together otherwise.
    chance: fastrand::Rng,
}

impl Own {
    fn new() -> Self {
        Self {
            pid: our_pid(),
            link: Link::Down,
            queue: Queue::default(),
            counts: ClientCounts::default(),
            next_id: 1,
            name: None,
            instance: None,
            heard: None,
            failures: 0,
            welcomed: None,
            not_before: None,
            promotions: 0,
            promote_not_before: None,
            paused_until: None,
            is_closing: false,
            checked: None,
            awaited: Awaited::Nothing,
            asked: None,
            refused: None,
            trouble: None,
            chance: fastrand::Rng::with_seed(our_pid().into()),
        }
    }
}

fn is_up(own: &Own) -> bool {
    own.link.is_up()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("rendezvous", &self.rendezvous).field("own", &self.own).finish()
    }
}

impl Client {
    /// A client that is not connected yet. With `promote` it has one started when there is none.
    #[must_use]
    pub fn new(rendezvous: Arc<Rendezvous>, options: ClientOptions, promote: Option<Promote>) -> Self {
        // Where there are no sockets now, the least that a kernel gives.
        let datagram_max_bytes = link::datagram_max_bytes(options.send_buffer_bytes).unwrap_or(4096);
        let ways = Ways {
            inline_datagram_max_bytes: (datagram_max_bytes / 2).max(HEADER_BYTES),
            datagram_max_bytes,
            files: options.files_max_count > 0,
        };
        let buffer = vec![0; REPLY_MAX_BYTES + 1];
        Self { rendezvous, options, promote, ways, buffer, own: Own::new() }
    }

    /// Takes a payload to be delivered: sends it, or keeps it until it can be sent. Never waits; it costs some
    /// system calls and one copy of the payload. Over a new or lost connection one call may also start a server.
    ///
    /// What is taken is sent until the server answers: at least once, and exactly once unless a connection ends between the
    /// server's accepting and its answer. [`crate::Submission::resent`] tells those.
    ///
    /// # Errors
    /// When it is not taken; nothing of it was sent.
    pub fn submit(&mut self, outgoing: Outgoing<'_>) -> Result<u64, NotTaken> {
        self.check_process();
        let now = Instant::now();
        let result = self.take(outgoing, now);
        match result {
            Ok(_) => self.own.counts.submitted += 1,
            Err(NotTaken::NoRoom { .. }) => self.own.counts.no_room += 1,
            Err(_) => self.own.counts.not_taken += 1,
        }
        if result.is_ok() {
            self.step(now, self.own.queue.sent() >= READ_FROM_COUNT);
        }
        result
    }

    fn take(&mut self, outgoing: Outgoing<'_>, now: Instant) -> Result<u64, NotTaken> {
        let Outgoing { kind, headers: list, payload } = outgoing;
        if payload.len() > PAYLOAD_MAX_BYTES {
            return Err(NotTaken::TooBig);
        }
        if !headers_fit(list) {
            return Err(NotTaken::Headers);
        }
        let encoded = encode_headers(list);
        // With one byte at least of a payload in parts.
        if HEADER_BYTES + encoded.len() >= self.ways.datagram_max_bytes {
            return Err(NotTaken::Headers);
        }
        let headers = headers(&encoded).map_err(|_| NotTaken::Headers)?;
        if !self.has_room(payload.len()) {
            self.step(now, true);
            self.make_room(payload.len());
            if !self.has_room(payload.len()) {
                let left = self.own.paused_until.map(|until| until.saturating_duration_since(now));
                return Err(NotTaken::NoRoom { retry_after: left.unwrap_or(RETRY_AFTER).max(RETRY_AFTER) });
            }
        }
        let id = self.own.next_id;
        let prepared = Prepared::new(id, kind, headers, payload, self.ways);
        if prepared.are_files_refused {
            // Asking each time would cost the copy twice.
            self.ways.files = false;
        }
        self.own.counts.in_parts += u64::from(prepared.is_in_parts);
        self.own.next_id += 1;
        self.own.queue.push(id, prepared);
        Ok(id)
    }

    fn needs_file(&self, bytes: usize) -> bool {
        self.ways.files && bytes > INLINE_MAX_BYTES.min(self.ways.inline_datagram_max_bytes)
    }

    /// Whether there is room, and a descriptor too, unless copies have it.
    fn has_room(&self, bytes: usize) -> bool {
        let queue = &self.own.queue;
        let file_fits = !self.needs_file(bytes) || queue.files() < self.options.files_max_count;
        let fits = queue.len() < self.options.outstanding_max_count
            && queue.bytes() + bytes <= self.options.outstanding_max_bytes;
        (queue.len() == 0 || fits) && file_fits
    }

    /// Descriptors are for what is new first.
    fn make_room(&mut self, bytes: usize) {
        if self.needs_file(bytes) && self.own.queue.files() >= self.options.files_max_count {
            self.own.counts.unretained += self.own.queue.free_file();
        }
    }

    /// Goes on without waiting: connects, reads answers, sends. For an event loop, or whenever it suits.
    pub fn pump(&mut self) {
        self.check_process();
        self.step(Instant::now(), true);
    }

    /// Waits for the answers to everything that was taken. Where copies are kept of what was accepted it is looked whether its
    /// server lives, and if not, waited for the next one's.
    pub fn settle(&mut self, within: Duration) -> bool {
        self.check_process();
        self.check_retained();
        self.wait_until(Instant::now() + within, Own::is_answered)
    }

    /// Has the server deliver what it accepted, after everything of ours was answered. Returns within the time, whatever
    /// the server does; true when all of it is done.
    pub fn flush(&mut self, within: Duration) -> bool {
        self.check_process();
        let deadline = Instant::now() + within;
        self.check_retained();
        let ask = |id, now| {
            let left = deadline.saturating_duration_since(now).as_millis();
            Message::Flush { id, within_ms: left.try_into().unwrap_or(u64::MAX) }
        };
        // Also over a second connection: the next server may have to get first what the former had accepted.
        let is_ready = |own: &Own| own.welcomed.is_some() && own.queue.len() == 0;
        matches!(self.ask(deadline, is_ready, ask), Some(Awaited::Flushed(true)))
    }

    /// Waits for a connection to a server that has proven itself.
    pub fn connect(&mut self, within: Duration) -> bool {
        self.check_process();
        self.wait_until(Instant::now() + within, is_up)
    }

    /// Whether a server answers in time. Connects where nothing is connected.
    pub fn ping(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        self.ask(deadline, is_up, |id, _| Message::Ping { id }).is_some()
    }

    /// What the server counts, as lines of text.
    pub fn stats(&mut self, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        match self.ask(deadline, is_up, |id, _| Message::Stats { id }) {
            Some(Awaited::Stats(text)) => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        }
    }

    /// Waits for the answers to everything, and closes. What has no answer by then is lost, and counted.
    pub fn close(mut self, within: Duration) -> ClientCounts {
        self.check_process();
        let deadline = Instant::now() + within;
        self.check_retained();
        self.wait_until(deadline, Own::is_answered);
        // Before it has proven itself a client has nothing to say, and would be taken for who it is not.
        if let Link::Up { socket, .. } = &self.own.link {
            let mut message = Vec::new();
            Message::Close.encode(&mut message);
            socket::send(socket, &message, None).ok();
        }
        self.own.link.hang_up();
        self.own.counts.lost += self.own.queue.len() as u64;
        let retained = self.own.queue.retained() as u64;
        self.own.queue = Queue::default();
        ClientCounts { retained, ..self.counts() }
    }

    /// What this process counted. Zero in a child before its first call.
    #[must_use]
    pub fn counts(&self) -> ClientCounts {
        if self.own.pid != our_pid() {
            return ClientCounts::default();
        }
        let queue = &self.own.queue;
        ClientCounts { waiting: queue.len() as u64, retained: queue.retained() as u64, ..self.own.counts }
    }

    /// Why the last submission was refused for good, if any was.
    #[must_use]
    pub fn last_refusal(&self) -> Option<Reason> {
        self.own.refused
    }

    /// Why there is no connection, or was none the last time.
    #[must_use]
    pub fn last_trouble(&self) -> Option<Trouble> {
        self.own.trouble
    }

    /// A forked child leaves what is its parent's: closes its copies, which ends nothing.
    fn check_process(&mut self) {
        if self.own.pid != our_pid() {
            self.own = Own::new();
        } else if self.own.link.is_stolen() {
            self.lose(Trouble::Lost, Instant::now());
        }
    }

    /// Sends a question, over as many connections as it takes, and waits for its answer.
    fn ask(
        &mut self,
        deadline: Instant,
        is_ready: impl Fn(&Own) -> bool,
        question: impl Fn(u64, Instant) -> Message<'static>,
    ) -> Option<Awaited> {
        self.check_process();
        while self.wait_until(deadline, &is_ready) {
            let id = self.own.next_id;
            self.own.next_id += 1;
            let mut message = Vec::new();
            question(id, Instant::now()).encode(&mut message);
            let sent = self.own.link.socket().map(|socket| socket::send(socket, &message, None));
            match sent {
                Some(Ok(true)) => {
                    self.own.awaited = Awaited::Reply(id);
                    self.own.asked = Some(Instant::now());
                    // Lost with the connection, and asked again.
                    let is_waiting = |own: &Own| own.awaited == Awaited::Reply(id);
                    self.wait_until(deadline, |own| !is_waiting(own));
                    let awaited = std::mem::take(&mut self.own.awaited);
                    self.own.asked = None;
                    match awaited {
                        Awaited::Nothing => {}
                        Awaited::Reply(_) => return None,
                        answer => return Some(answer),
                    }
                }
                Some(Ok(false)) => {
                    self.wait(deadline, true);
                }
                _ => self.lose(Trouble::Lost, Instant::now()),
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
        None
    }

    /// Goes on until it is so, or the deadline. At least one step is done. Connects even when there is nothing to send.
    fn wait_until(&mut self, deadline: Instant, is_so: impl Fn(&Own) -> bool) -> bool {
        loop {
            let now = Instant::now();
            self.step(now, true);
            if is_so(&self.own) {
                return true;
            }
            if now >= deadline {
                return false;
            }
            self.wait(deadline, false);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.own.pid == our_pid() {
            self.own.link.hang_up();
        }
    }
}
