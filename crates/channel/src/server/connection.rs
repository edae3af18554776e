//! One client, from its first byte to its end.

use super::accounts::{Account, NOTICES_MAX_COUNT};
use super::serve::Context;
use crate::counts::ServerCounts;
use crate::frame::{
    Carried, Denied, HEADER_BYTES, Headers, Message, PROOF_BYTES, PROTOCOL, REPLY_MAX_BYTES, Reason, Reply,
    STATS_MAX_BYTES, headers,
};
use crate::memory_file::read_sealed;
use crate::peer::Peer;
use crate::secret::{Nonces, Role, random};
use crate::service::{Announced, Answer, Flushing, Settling, Submission};
use crate::socket::{self, Received};
use rustix::event::epoll::EventFlags;
use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages of one client before it is another's turn.
const TURN_MAX_COUNT: usize = 32;
/// Bytes of answers that are gathered before they are sent, and above which nothing more is read.
const ANSWERS_MAX_BYTES: usize = 4 << 10;
const _: () =
    assert!(ANSWERS_MAX_BYTES + STATS_MAX_BYTES + (4 + NOTICES_MAX_COUNT) * HEADER_BYTES <= REPLY_MAX_BYTES);
/// Longest wait for a flush that a client may ask for.
const FLUSH_MAX: Duration = Duration::from_secs(60);
/// How long a client is to keep what comes in parts while others' parts fill the memory for them.
const PARTS_RETRY_AFTER: Duration = Duration::from_millis(200);

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    socket: OwnedFd,
    pub(super) peer: Peer,
    stage: Stage,
    /// What the client's process calls itself.
    client: u64,
    /// There are notices that the socket had no room for. They may wait for as long as the client does not read.
    has_notices: bool,
    /// Answers that are not sent yet.
    answers: Vec<u8>,
    answers_count: u64,
    /// The socket had no room for them; by then it must have.
    answers_by: Option<Instant>,
    parts: Option<Parts>,
    flush: Option<(u64, Instant)>,
    /// Its other end is gone: nothing can be answered any more, but what it had sent is still there.
    is_gone: bool,
    /// What the kernel is to tell of.
    pub(super) registered: EventFlags,
    /// When the server looks here though nothing happens.
    pub(super) scheduled: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Hello { by: Instant },
    Proof { nonces: Nonces, by: Instant },
    Open,
}

/// A payload that comes in parts.
#[derive(Debug)]
struct Parts {
    id: u64,
    kind: u16,
    resent: bool,
    headers: Vec<u8>,
    total: u64,
    /// Parts up to here came, whether they were kept or not.
    offset: u64,
    payload: Vec<u8>,
    /// Already decided: the rest is not kept.
    answer: Option<Answer>,
    by: Instant,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The client closed it.
    Closed,
    /// It said what nobody says.
    Malformed,
    /// It does not know the secret.
    Secret,
    /// It speaks another version.
    Protocol,
    /// It did not do in time what it had to.
    Timeout,
    /// The system refuses.
    Failed,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// Everything that was there.
    All,
    /// There may be more.
    Some,
}

impl Connection {
    pub(super) fn new(id: u64, socket: OwnedFd, peer: Peer, by: Instant) -> Self {
        Self {
            id,
            socket,
            peer,
            stage: Stage::Hello { by },
            client: 0,
            has_notices: false,
            answers: Vec::new(),
            answers_count: 0,
            answers_by: None,
            parts: None,
            flush: None,
            is_gone: false,
            registered: EventFlags::IN,
            scheduled: None,
        }
    }

    /// What to wait for. Whoever does not read its answers is not read.
    pub(super) fn interest(&self) -> EventFlags {
        match (self.is_writing(), self.has_notices) {
            (true, _) => EventFlags::OUT,
            (false, true) => EventFlags::IN | EventFlags::OUT,
            (false, false) => EventFlags::IN,
        }
    }

    /// What the client's process calls itself, once it has proven itself.
    pub(super) fn client(&self) -> Option<u64> {
        matches!(self.stage, Stage::Open).then_some(self.client)
    }

    /// Whether its other end is gone, so that it is to be read until nothing is left.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether the next thing to wait for is room for answers rather than messages.
    pub(super) fn is_writing(&self) -> bool {
        !self.answers.is_empty()
    }

    /// When something is to be done without anything happening.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Hello { by } | Stage::Proof { by, .. } => Some(*by),
            Stage::Open => None,
        };
        let parts = self.parts.as_ref().map(|parts| parts.by);
        let flush = self.flush.map(|(_, by)| by);
        [stage, self.answers_by, parts, flush].into_iter().flatten().min()
    }

    /// # Errors
    /// When the client did not do in time what it had to.
    pub(super) fn check_deadlines(&mut self, now: Instant) -> Result<(), End> {
        if let Some((id, by)) = self.flush
            && by <= now
        {
            self.flushed(id, false);
        }
        if self.next_deadline().is_some_and(|by| by <= now) { Err(End::Timeout) } else { Ok(()) }
    }

    /// Bytes of a payload in parts.
    pub(super) fn parts_bytes(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.payload.len())
    }

    /// Reads and answers what is there, within the bounds of one turn. Answers are gathered, not sent.
    ///
    /// # Errors
    /// When the connection is to end.
    pub(super) fn read(&mut self, context: &mut Context<'_>) -> Result<Read, End> {
        for _ in 0..TURN_MAX_COUNT {
            if self.answers.len() >= ANSWERS_MAX_BYTES {
                return Ok(Read::Some);
            }
            let buffer = &mut *context.buffer;
            let (length, fd) = match socket::receive(&self.socket, buffer) {
                Ok(Received::Nothing) => return Ok(Read::All),
                Ok(Received::End) => return Err(End::Closed),
                Ok(Received::Unfit) => return Err(End::Malformed),
                Ok(Received::Message(length, fd)) => (length, fd),
                Err(_) => return Err(End::Failed),
            };
            // Borrowed apart from the rest of the context, and given back below.
            let datagram = std::mem::take(&mut context.buffer);
            let result = match Message::decode(&datagram[..length]) {
                Ok(message) => self.handle(message, fd, context),
                Err(_) => Err(End::Malformed),
            };
            context.buffer = datagram;
            result?;
        }
        Ok(Read::Some)
    }

    fn handle(
        &mut self,
        message: Message<'_>,
        fd: Option<OwnedFd>,
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        let carries = matches!(message, Message::Submit { payload: Carried::Descriptor { .. }, .. });
        // A payload without its file is answered below; a descriptor that nobody asked for is an attack.
        if fd.is_some() && !carries {
            return Err(End::Malformed);
        }
        match (&self.stage, message) {
            (Stage::Hello { by }, Message::Hello { protocol, client, nonce }) => {
                let by = *by;
                self.client = client;
                self.greet(protocol, nonce, by, context)
            }
            (Stage::Proof { nonces, .. }, Message::Proof { proof }) => {
                let rendezvous = context.rendezvous;
                if !rendezvous.secret().is_proven(Role::Client, rendezvous.name(), nonces, &proof) {
                    return Err(End::Secret);
                }
                self.stage = Stage::Open;
                context.counts.clients += 1;
                let settled_below = context.accounts.open(self.client, self.id);
                self.answer(Reply::Welcome { instance: context.instance, settled_below });
                Ok(())
            }
            (Stage::Open, Message::Submit { id, kind, resent, headers, payload }) => {
                let whole = Whole { id, kind, resent, headers };
                match payload {
                    Carried::Inline(bytes) => {
                        let outcome = self.submit(whole, Cow::Borrowed(bytes), context);
                        self.answer_submission(id, resent, outcome, context);
                    }
                    Carried::Descriptor { bytes } => {
                        let outcome = self.submit_file(whole, bytes, fd, context);
                        self.answer_submission(id, resent, outcome, context);
                    }
                    Carried::Part { total, offset, part } => {
                        self.take_part(whole, total, offset, part, context)?;
                    }
                }
                Ok(())
            }
            (Stage::Open, Message::Flush { id, within_ms }) => {
                self.flush(id, Duration::from_millis(within_ms).min(FLUSH_MAX), context);
                Ok(())
            }
            (Stage::Open, Message::Ping { id }) => {
                self.answer(Reply::Pong { id });
                Ok(())
            }
            (Stage::Open, Message::Stats { id }) => {
                let service = context.service;
                let of_service = contain(context.counts, || service.stats()).unwrap_or_default();
                let text = context.counts.lines() + &of_service;
                self.answer(Reply::Stats { id, text: text.as_bytes() });
                Ok(())
            }
            (Stage::Open, Message::Close) => Err(End::Closed),
            _ => Err(End::Malformed),
        }
    }

    fn greet(
        &mut self,
        protocol: u16,
        client: [u8; PROOF_BYTES],
        by: Instant,
        context: &Context<'_>,
    ) -> Result<(), End> {
        if protocol != PROTOCOL {
            return Err(End::Protocol);
        }
        let nonces = Nonces { client, server: random().map_err(|_| End::Failed)? };
        let rendezvous = context.rendezvous;
        let proof = rendezvous.secret().prove(Role::Server, rendezvous.name(), &nonces);
        self.stage = Stage::Proof { nonces, by };
        self.answer(Reply::Challenge { nonce: nonces.server, proof });
        Ok(())
    }

    fn submit(&self, whole: Whole<'_>, payload: Cow<'_, [u8]>, context: &mut Context<'_>) -> Outcome {
        let bytes = payload.len() as u64;
        let Whole { id, kind, resent, headers } = whole;
        let settling = Settling::new(Arc::clone(context.mailbox), self.client, id);
        let theirs = settling.clone();
        let submission = Submission { id, kind, resent, headers, payload, peer: self.peer, settling: theirs };
        let service = context.service;
        let answer = contain(context.counts, || service.submit(submission))
            .unwrap_or(Answer::Refused(Reason::Panicked));
        if answer != Answer::Accepted {
            return answer.into();
        }
        context.counts.accepted_bytes += bytes;
        let is_settled = settling.accept();
        if is_settled {
            context.counts.settled += 1;
        } else {
            context.accounts.accept(self.client, id);
        }
        Outcome { answer, is_settled }
    }

    fn admit(
        &self,
        kind: u16,
        headers: Headers<'_>,
        bytes: u64,
        context: &mut Context<'_>,
    ) -> Option<Answer> {
        let announced = Announced { kind, headers, bytes, peer: self.peer };
        let service = context.service;
        contain(context.counts, || service.admit(&announced))
            .unwrap_or(Some(Answer::Refused(Reason::Panicked)))
    }

    fn submit_file(
        &self,
        whole: Whole<'_>,
        bytes: u64,
        file: Option<OwnedFd>,
        context: &mut Context<'_>,
    ) -> Outcome {
        let unfit = Answer::Refused(Reason::Payload);
        let Some(file) = file else { return unfit.into() };
        if let Some(answer) = self.admit(whole.kind, whole.headers, bytes, context) {
            return answer.into();
        }
        let Ok(payload) = read_sealed(&file, bytes) else { return unfit.into() };
        // A process that is forked meanwhile inherits the file, so it is not kept for as long as the service takes.
        drop(file);
        self.submit(whole, Cow::Owned(payload), context)
    }

    fn take_part(
        &mut self,
        whole: Whole<'_>,
        total: u64,
        offset: u64,
        part: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        let by = context.now + context.options.stalled_max;
        let mut parts = match self.parts.take() {
            None if offset == 0 => Parts {
                id: whole.id,
                kind: whole.kind,
                resent: whole.resent,
                headers: whole.headers.encoded().to_vec(),
                total,
                offset: 0,
                payload: Vec::new(),
                answer: self.admit(whole.kind, whole.headers, total, context),
                by,
            },
            Some(parts) if parts.id == whole.id && parts.total == total && parts.offset == offset => parts,
            // The payload that was begun breaks off with the connection.
            other => {
                self.parts = other;
                return Err(End::Malformed);
            }
        };
        parts.offset += part.len() as u64;
        parts.by = by;
        if parts.answer.is_none() {
            let fits = *context.parts_bytes + part.len() <= context.options.parts_max_bytes;
            if fits && parts.payload.try_reserve(part.len()).is_ok() {
                parts.payload.extend_from_slice(part);
                *context.parts_bytes += part.len();
            } else {
                *context.parts_bytes -= parts.payload.len();
                parts.payload = Vec::new();
                parts.answer = Some(Answer::NoRoom { retry_after: PARTS_RETRY_AFTER });
            }
        }
        if parts.offset < parts.total {
            self.parts = Some(parts);
            return Ok(());
        }
        *context.parts_bytes -= parts.payload.len();
        let Parts { id, kind, resent, payload, answer, .. } = parts;
        let headers = headers(&parts.headers).unwrap_or_default();
        let whole = Whole { id, kind, resent, headers };
        let outcome = match answer {
            Some(answer) => answer.into(),
            None => self.submit(whole, Cow::Owned(payload), context),
        };
        self.answer_submission(id, resent, outcome, context);
        Ok(())
    }

    fn flush(&mut self, id: u64, within: Duration, context: &mut Context<'_>) {
        if self.flush.is_some() {
            // Whoever asks twice did not wait for the first.
            return self.answer(Reply::Flushed { id, complete: false });
        }
        let deadline = context.now + within;
        self.flush = Some((id, deadline));
        let flushing = Flushing::new(Arc::clone(context.mailbox), self.id, id);
        let service = context.service;
        // A panic drops it, which is an answer.
        contain(context.counts, || service.flush(deadline, flushing));
    }

    /// A flush ended, one that is still waited for or not.
    pub(super) fn flushed(&mut self, id: u64, complete: bool) {
        if self.flush.is_some_and(|(waited, _)| waited == id) {
            self.flush = None;
            self.answer(Reply::Flushed { id, complete });
        }
    }

    fn answer_submission(&mut self, id: u64, resent: bool, outcome: Outcome, context: &mut Context<'_>) {
        let counts = &mut *context.counts;
        counts.submitted += 1;
        counts.resent += u64::from(resent);
        self.answer(match outcome.answer {
            Answer::Accepted => {
                counts.accepted += 1;
                Reply::Accepted { id, settled: outcome.is_settled }
            }
            Answer::NoRoom { retry_after } => {
                counts.no_room += 1;
                let retry_after_ms = retry_after.as_millis().try_into().unwrap_or(u64::MAX);
                Reply::NoRoom { id, retry_after_ms }
            }
            Answer::Refused(reason) => {
                counts.refused += 1;
                Reply::Refused { id, reason }
            }
        });
    }

    fn answer(&mut self, reply: Reply<'_>) {
        reply.encode(&mut self.answers);
        self.answers_count += 1;
    }

    /// Sends the answers that were gathered, and what has settled, if the socket takes them. A client that is gone is to be read
    /// to its end: a process that is killed has submitted what is in the socket, whether it still hears of it or not.
    pub(super) fn write(&mut self, now: Instant, stalled_max: Duration, account: Option<&mut Account>) {
        if self.is_gone {
            self.answers.clear();
            return;
        }
        let answers_bytes = self.answers.len();
        let mut account = account;
        let told = account.as_mut().map_or(0, |account| account.notices(&mut self.answers));
        if self.answers.is_empty() {
            self.has_notices = false;
            return;
        }
        match socket::send(&self.socket, &self.answers, None) {
            Ok(true) => {
                self.answers.clear();
                self.answers_count = 0;
                self.answers_by = None;
                self.has_notices = account.is_some_and(|account| {
                    account.told(told);
                    account.has_untold()
                });
            }
            Ok(false) => {
                self.answers.truncate(answers_bytes);
                self.has_notices = told > 0;
                if answers_bytes > 0 {
                    self.answers_by.get_or_insert(now + stalled_max);
                }
            }
            Err(_) => {
                self.is_gone = true;
                self.answers.clear();
                self.answers_by = None;
                self.has_notices = false;
            }
        }
    }

    /// Counts why it ends, and says it where there is room.
    pub(super) fn conclude(&mut self, end: End, context: &mut Context<'_>) {
        let counts = &mut *context.counts;
        let denied = match end {
            End::Closed | End::Failed => None,
            End::Malformed => {
                counts.malformed += 1;
                Some(Denied::Malformed)
            }
            End::Secret => {
                counts.denied_secret += 1;
                Some(Denied::Secret)
            }
            End::Protocol => {
                counts.denied_protocol += 1;
                Some(Denied::Protocol)
            }
            End::Timeout => {
                counts.timeouts += 1;
                None
            }
        };
        if self.parts.is_some() {
            *context.parts_bytes -= self.parts_bytes();
            self.parts = None;
            counts.broken_off += 1;
        }
        if let Some(client) = self.client() {
            context.accounts.leave(client, self.id);
        }
        if let Some(denied) = denied {
            contain(counts, || context.service.denied(self.peer, denied));
            Reply::Denied(denied).encode(&mut self.answers);
        }
    }

    /// Gives the last answers and hangs up. How many could not be given.
    pub(super) fn leave(mut self, now: Instant) -> u64 {
        let unsaid = self.answers_count;
        self.write(now, Duration::ZERO, None);
        let is_said = !self.is_gone && !self.is_writing();
        socket::hang_up(&self.socket);
        if is_said { 0 } else { unsaid }
    }

    /// The server stops.
    pub(super) fn close(&mut self, context: &mut Context<'_>) {
        if let Some((id, _)) = self.flush {
            self.flushed(id, false);
        }
        if matches!(self.stage, Stage::Open) {
            Reply::Closing.encode(&mut self.answers);
        }
        self.conclude(End::Closed, context);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What became of a submission.
#[derive(Clone, Copy)]
struct Outcome {
    answer: Answer,
    /// Accepted, and settled already.
    is_settled: bool,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { answer, is_settled: false }
    }
}

/// What is said of a payload besides its bytes.
#[derive(Clone, Copy)]
struct Whole<'a> {
    id: u64,
    kind: u16,
    resent: bool,
    headers: Headers<'a>,
}

/// Every call of the service goes through here. `None` when it panicked, which is counted.
pub(super) fn contain<T>(counts: &mut ServerCounts, call: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(call)).ok();
    counts.panics += u64::from(result.is_none());
    result
}
