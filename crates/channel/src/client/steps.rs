//! What a client does without waiting, and what it waits for.

use super::link::Link;
use super::options::{BACKOFF_MAX, ClientOptions, SERVER_CHECK_PERIOD, Trouble};
use super::queue::Sending;
use super::{Awaited, Client, Own};
use crate::frame::Reply;
use crate::rendezvous::ServedBy;
use crate::secret::random_number;
use crate::socket::{self, Received};
use rustix::event::{PollFd, PollFlags};
use std::time::{Duration, Instant};

/// How long a connection must have been of use for its end to be no failure.
const HEALTHY_AFTER: Duration = Duration::from_secs(1);
/// Steps of one call: connect, prove, send, and the same again when the first server is gone.
const STEPS_MAX_COUNT: usize = 6;

impl Client {
    /// Waits for the socket, or for the next thing to do.
    pub(super) fn wait(&mut self, deadline: Instant, for_room: bool) {
        let own = &self.own;
        let now = Instant::now();
        let mut until = deadline;
        let mut is_writing = for_room;
        match &own.link {
            Link::Down => until = until.min(own.not_before.unwrap_or(now)),
            Link::Greeting { since, .. } => {
                until = until.min(*since + self.options.handshake_max).min(now + SERVER_CHECK_PERIOD);
            }
            Link::Up { .. } => {
                if own.queue.sent() > 0 || own.awaited != Awaited::Nothing {
                    until = until.min(now + SERVER_CHECK_PERIOD);
                }
                match own.paused_until {
                    Some(paused) if own.queue.has_unsent() => until = until.min(paused),
                    // Unless it waits for an answer: then the socket has room.
                    _ => is_writing |= own.queue.has_unsent() && own.queue.sent() == 0,
                }
            }
        }
        let awaited = if is_writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        // What the system refuses is a wait that ends at once, and a deadline ends those.
        match own.link.socket() {
            Some(socket) => {
                socket::wait(&mut [PollFd::from_borrowed_fd(socket, awaited)], Some(until)).ok();
            }
            None => socket::pause(until.saturating_duration_since(now)),
        }
    }

    /// All that can be done without waiting.
    pub(super) fn step(&mut self, now: Instant, reads: bool) {
        for _ in 0..STEPS_MAX_COUNT {
            self.check_server(now);
            match &self.own.link {
                Link::Down => {
                    if self.own.not_before.is_some_and(|not_before| now < not_before) {
                        return;
                    }
                    let greeted = self.own.name().and_then(|name| {
                        Link::greet(&self.rendezvous, name, self.options.send_buffer_bytes, now)
                    });
                    match greeted {
                        Ok(link) => self.own.link = link,
                        Err(trouble) => return self.lose(trouble, now),
                    }
                }
                Link::Greeting { .. } => {
                    let link = std::mem::replace(&mut self.own.link, Link::Down);
                    let handshake_max = self.options.handshake_max;
                    match link.prove(&self.rendezvous, handshake_max, &mut self.buffer, now) {
                        Ok(link) => self.own.link = link,
                        // Whether it is tried again at once is the backoff's to say.
                        Err(trouble) => {
                            self.lose(trouble, now);
                            continue;
                        }
                    }
                    if !self.own.link.is_up() {
                        return;
                    }
                }
                Link::Up { .. } => {
                    if self.exchange(now, reads) {
                        return;
                    }
                }
            }
        }
    }

    /// Reads and sends. False when the connection ended over it.
    fn exchange(&mut self, now: Instant, reads: bool) -> bool {
        if reads && !self.read(now) {
            return false;
        }
        if self.own.paused_until.is_some_and(|until| now < until) {
            return true;
        }
        self.own.paused_until = None;
        let Some(socket) = self.own.link.socket() else { return false };
        match self.own.queue.send(socket, self.ways, now) {
            Sending::Done | Sending::Full => true,
            Sending::Ended => {
                // Answers that came before the end are answers.
                if self.read(now) {
                    self.lose(Trouble::Lost, now);
                }
                false
            }
        }
    }

    /// Reads every answer that is there. False when the connection ended.
    fn read(&mut self, now: Instant) -> bool {
        let is_open = self.read_all(now);
        // What has settled may have been the last to be read.
        self.own.counts.unretained += self.own.queue.trim(self.options.retained_max_bytes);
        is_open
    }

    fn read_all(&mut self, now: Instant) -> bool {
        loop {
            let Some(socket) = self.own.link.socket() else { return false };
            let length = match socket::receive(socket, &mut self.buffer) {
                Ok(Received::Nothing) => return true,
                Ok(Received::Message(length, None)) => length,
                Ok(Received::End) => {
                    let trouble = if self.own.is_closing { Trouble::Stopped } else { Trouble::Lost };
                    self.lose(trouble, now);
                    return false;
                }
                Ok(Received::Unfit | Received::Message(_, Some(_))) | Err(_) => {
                    self.lose(Trouble::Lost, now);
                    return false;
                }
            };
            let buffer = std::mem::take(&mut self.buffer);
            let trouble = self.own.take_replies(&buffer[..length], now);
            self.buffer = buffer;
            if let Some(trouble) = trouble {
                self.lose(trouble, now);
                return false;
            }
        }
    }

    /// Finds out whether the server is gone though its connections live on in others' hands, and has another started where
    /// this process may.
    fn check_server(&mut self, now: Instant) {
        let owed = match &self.own.link {
            Link::Down => {
                if self.own.not_before.is_none_or(|not_before| now >= not_before) {
                    self.promote(now);
                }
                return;
            }
            Link::Greeting { since, .. } => Some(*since),
            Link::Up { .. } => self.own.queue.owed_since().or(self.own.asked),
        };
        // Who has copies only is owed nothing in any time, but is to know when they are all there is.
        let copied = self.own.heard.filter(|_| owed.is_none() && self.own.queue.retained() > 0);
        if owed.or(copied).is_none_or(|since| now < since + SERVER_CHECK_PERIOD) {
            return;
        }
        if self.own.checked.is_some_and(|checked| now < checked + SERVER_CHECK_PERIOD) {
            return;
        }
        self.own.checked = Some(now);
        let is_late = owed.is_some_and(|since| now >= since + self.options.answer_max);
        // What it answered before it went is an answer.
        if self.own.link.is_up() && (is_late || self.has_other_server()) && self.read(now) {
            self.lose(Trouble::NoServer, now);
        }
        // A connection in the backlog is good for whoever serves; one that a dead server took is found by the handshake's
        // deadline.
        self.promote(now);
    }

    /// Whether somebody else serves by now, or nobody, than who took this connection in.
    fn has_other_server(&self) -> bool {
        let Link::Up { server, .. } = &self.own.link else { return false };
        let current = self.rendezvous.server();
        current != *server && current != ServedBy::Unknown
    }

    /// Where copies are kept: whether who accepted them still serves.
    pub(super) fn check_retained(&mut self) {
        let now = Instant::now();
        if self.own.queue.retained() > 0 && self.has_other_server() && self.read(now) {
            self.lose(Trouble::NoServer, now);
        }
    }

    /// Has a server started where there is none. It may take a while, so the time afterwards is another.
    fn promote(&mut self, now: Instant) {
        let Some(promote) = &mut self.promote else { return };
        if self.own.promote_not_before.is_some_and(|not_before| now < not_before) {
            return;
        }
        if !matches!(self.rendezvous.server(), ServedBy::Nobody | ServedBy::Unknown) {
            return;
        }
        match promote(&self.rendezvous) {
            Ok(()) => self.own.counts.promoted += 1,
            Err(error) => {
                self.own.trouble = Some(Trouble::System(error.raw_os_error().unwrap_or(0)));
            }
        }
        // Forgiven with a connection that was of use.
        self.own.promotions = self.own.promotions.saturating_add(1);
        let pause = self.own.pause(self.own.promotions, &self.options);
        self.own.promote_not_before = Some(Instant::now() + pause);
    }

    /// There is no connection, or no longer. What had no answer will be sent over the next.
    pub(super) fn lose(&mut self, trouble: Trouble, now: Instant) {
        let own = &mut self.own;
        let (again, lost) = own.queue.connection_ended(own.is_closing);
        own.counts.resent += again;
        own.counts.lost += lost;
        own.counts.disconnected += 1;
        own.counts.squatted += u64::from(trouble == Trouble::Squatted);
        own.trouble = Some(trouble);
        own.link.hang_up();
        if matches!(own.awaited, Awaited::Reply(_)) {
            own.awaited = Awaited::Nothing;
        }
        // Another one is tried at once only when the last was of use: a server that ends over what it gets would be
        // started again and again otherwise.
        let was_of_use = own.welcomed.is_some_and(|welcomed| now >= welcomed + HEALTHY_AFTER);
        own.failures = if was_of_use { 0 } else { own.failures.saturating_add(1) };
        if was_of_use {
            (own.promotions, own.promote_not_before) = (0, None);
        }
        let pause = own.pause(own.failures, &self.options);
        own.not_before = (own.failures > 0).then(|| now + pause);
        (own.welcomed, own.is_closing, own.checked) = (None, false, None);
    }
}

impl Own {
    /// Whether there is nothing to wait for: what was taken is answered, and who may have left us with copies alone is not gone.
    pub(super) fn is_answered(&self) -> bool {
        self.queue.len() == 0 && (self.queue.retained() == 0 || self.welcomed.is_some())
    }

    fn name(&mut self) -> Result<u64, Trouble> {
        let name = match self.name {
            Some(name) => name,
            None => random_number().map_err(|_| Trouble::System(0))?,
        };
        self.name = Some(name);
        Ok(name)
    }

    /// A server took us in. Another one than before gets what that one had accepted and not settled.
    fn welcome(&mut self, instance: u64, settled_below: u64) {
        match self.instance.replace(instance) {
            // No submission has the number 0.
            Some(former) if former == instance => self.queue.forget(settled_below, 0..=0),
            _ => {
                let (again, lost) = self.queue.take_back();
                self.counts.accepted -= again + lost;
                self.counts.taken_back += again;
                self.counts.lost += lost;
            }
        }
    }

    /// Chance takes up to a half of it, so that a hundred clients do not come together.
    fn pause(&mut self, failures: u32, options: &ClientOptions) -> Duration {
        backoff(failures, options).mul_f64(1.0 - self.chance.f64() / 2.0)
    }

    /// Takes the replies of a datagram. What is none of a server's ends the connection.
    fn take_replies(&mut self, mut datagram: &[u8], now: Instant) -> Option<Trouble> {
        self.heard = Some(now);
        while !datagram.is_empty() {
            let Ok((reply, rest)) = Reply::decode(datagram) else { return Some(Trouble::Lost) };
            datagram = rest;
            match reply {
                Reply::Welcome { instance, settled_below } => {
                    self.counts.connected += 1;
                    self.welcomed = Some(now);
                    self.welcome(instance, settled_below);
                }
                Reply::Accepted { id, settled } => {
                    let is_known =
                        if settled { self.queue.settle(id, now) } else { self.queue.retain(id, now) };
                    self.counts.accepted += u64::from(is_known);
                }
                Reply::Settled { below, first, last } => self.queue.forget(below, first..=last),
                Reply::Refused { id, reason } => {
                    if self.queue.settle(id, now) {
                        self.counts.refused += 1;
                        self.refused = Some(reason);
                    }
                }
                Reply::NoRoom { id, retry_after_ms } => {
                    if self.queue.put_back(id, now) {
                        self.counts.no_room_answers += 1;
                        let pause = Duration::from_millis(retry_after_ms).min(BACKOFF_MAX);
                        self.paused_until = self.paused_until.max(Some(now + pause));
                    }
                }
                Reply::Flushed { id, complete } => self.answered(id, Awaited::Flushed(complete)),
                Reply::Pong { id } => self.answered(id, Awaited::Pong),
                Reply::Stats { id, text } => self.answered(id, Awaited::Stats(text.to_vec())),
                Reply::Closing => {
                    self.is_closing = true;
                    // It sees through what it accepted.
                    self.queue.forget_all();
                }
                Reply::Denied(denied) => return Some(Trouble::Denied(denied)),
                Reply::Challenge { .. } => return Some(Trouble::Lost),
            }
        }
        None
    }

    fn answered(&mut self, id: u64, answer: Awaited) {
        if self.awaited == Awaited::Reply(id) {
            self.awaited = answer;
        }
    }
}

/// Doubled with each failure up to the longest.
fn backoff(failures: u32, options: &ClientOptions) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    options.backoff_first.saturating_mul(1 << doublings).min(options.backoff_max)
}
