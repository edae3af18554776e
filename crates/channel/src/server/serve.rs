//! The loop of the server's thread.

use super::connection::{Connection, End, Turn, contain};
use super::{Mailbox, ServerOptions, Shared};
use crate::counts::ServerCounts;
use crate::frame::{Denied, MESSAGE_MAX_BYTES, Reply};
use crate::peer::Peer;
use crate::rendezvous::{Rendezvous, ServingLock};
use crate::service::Service;
use crate::socket;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that are accepted before clients are served again.
const ACCEPTS_MAX_COUNT: usize = 32;
/// How long no connection is accepted when there are no descriptors, or no places.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Rounds in which what clients had sent before a stop is read: as many turns as a client may have unanswered
/// submissions, and some.
const LAST_TURNS_MAX_COUNT: usize = 16;

/// What a connection needs of the server.
pub(super) struct Context<'a> {
    pub(super) rendezvous: &'a Rendezvous,
    pub(super) service: &'a dyn Service,
    pub(super) options: &'a ServerOptions,
    pub(super) mailbox: &'a Arc<Mailbox>,
    pub(super) counts: &'a mut ServerCounts,
    pub(super) parts_bytes: &'a mut usize,
    pub(super) buffer: Vec<u8>,
    pub(super) now: Instant,
}

pub(super) struct Loop {
    lock: ServingLock,
    service: Arc<dyn Service>,
    options: ServerOptions,
    shared: Arc<Shared>,
    connections: Vec<Connection>,
    next_id: u64,
    counts: ServerCounts,
    /// Bytes of all payloads in parts.
    parts_bytes: usize,
    /// Where a datagram is received. A byte longer than any may be, so that a longer one is seen.
    buffer: Vec<u8>,
    accept_after: Option<Instant>,
}

impl Loop {
    pub(super) fn new(
        lock: ServingLock,
        service: Arc<dyn Service>,
        options: ServerOptions,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            lock,
            service,
            options,
            shared,
            connections: Vec::new(),
            next_id: 0,
            counts: ServerCounts::default(),
            parts_bytes: 0,
            buffer: vec![0; MESSAGE_MAX_BYTES + 1],
            accept_after: None,
        }
    }

    /// Until somebody stops it, or the lock is lost.
    pub(super) fn run(&mut self) {
        loop {
            if let Some(deadline) = self.shared.stop_by() {
                return self.stop(deadline);
            }
            let events = self.wait();
            for (connection, id, complete) in self.shared.mailbox.take() {
                if let Some(connection) = self.connections.iter_mut().find(|its| its.id == connection) {
                    connection.flushed(id, complete);
                }
            }
            let (listener, connections) = events.split_first().map_or((&false, &[][..]), |both| both);
            self.serve(connections);
            if *listener && !self.accept() {
                return self.stop(Instant::now() + self.options.handshake_max);
            }
        }
    }

    /// For the listener and each connection whether something happened to it.
    fn wait(&mut self) -> Vec<bool> {
        let now = Instant::now();
        let mut until = self.connections.iter().filter_map(Connection::next_deadline).min();
        self.accept_after = self.accept_after.filter(|after| *after > now);
        if let Some(after) = self.accept_after {
            until = Some(until.map_or(after, |until| until.min(after)));
        }
        let rendezvous = self.lock.rendezvous();
        let listener = rendezvous.listener();
        let accepts = if self.accept_after.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = Vec::with_capacity(2 + self.connections.len());
        fds.push(PollFd::new(&self.shared.mailbox.wake, PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(listener, accepts));
        fds.extend(self.connections.iter().map(|connection| {
            // Whoever does not read its answers is not read.
            let awaited = if connection.is_writing() { PollFlags::OUT } else { PollFlags::IN };
            PollFd::new(connection, awaited)
        }));
        if socket::wait(&mut fds, until).is_err() {
            // No memory for it, which may pass: a turn without events, and not a busy one.
            socket::pause(ACCEPT_PAUSE);
        }
        fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect()
    }

    fn context(&mut self) -> (Context<'_>, &mut Vec<Connection>) {
        let context = Context {
            rendezvous: self.lock.rendezvous(),
            service: &*self.service,
            options: &self.options,
            mailbox: &self.shared.mailbox,
            counts: &mut self.counts,
            parts_bytes: &mut self.parts_bytes,
            buffer: std::mem::take(&mut self.buffer),
            now: Instant::now(),
        };
        (context, &mut self.connections)
    }

    /// Reads where something happened, counts, and only then answers: who has an answer finds it counted. Whether more
    /// may be there.
    fn serve(&mut self, events: &[bool]) -> bool {
        let mut has_more = false;
        let mut ended: Vec<(u64, End)> = Vec::new();
        let (mut context, connections) = self.context();
        for (connection, event) in connections.iter_mut().zip(events) {
            let checked = connection.check_deadlines(context.now);
            // What cannot be answered is not read.
            let read = match checked {
                Ok(()) if *event && !connection.is_writing() => connection.read(&mut context),
                checked => checked.map(|()| Turn::Empty),
            };
            match read {
                Ok(turn) => has_more |= turn == Turn::More,
                Err(end) => ended.push((connection.id, end)),
            }
        }
        self.buffer = context.buffer;
        self.shared.publish(self.counts);
        let (context, connections) = self.context();
        for connection in connections.iter_mut() {
            let is_ending = ended.iter().any(|(id, _)| *id == connection.id);
            if !is_ending && let Err(end) = connection.write(context.now, context.options.stalled_max) {
                ended.push((connection.id, end));
            }
        }
        self.buffer = context.buffer;
        self.end(&ended);
        has_more
    }

    /// Ends connections: counts, and only then hangs up.
    fn end(&mut self, ended: &[(u64, End)]) {
        if ended.is_empty() {
            return;
        }
        let (mut context, connections) = self.context();
        let mut leaving = Vec::new();
        for (id, end) in ended {
            if let Some(index) = connections.iter().position(|connection| connection.id == *id) {
                let mut connection = connections.swap_remove(index);
                connection.conclude(*end, &mut context);
                leaving.push(connection);
            }
        }
        self.buffer = context.buffer;
        self.leave(leaving);
    }

    fn leave(&mut self, leaving: Vec<Connection>) {
        self.shared.publish(self.counts);
        let now = Instant::now();
        self.counts.answers_lost += leaving.into_iter().map(|connection| connection.leave(now)).sum::<u64>();
        self.shared.publish(self.counts);
    }

    /// Takes who waits. False when the lock is lost: another process serves.
    fn accept(&mut self) -> bool {
        if !self.lock.is_held() {
            return false;
        }
        for _ in 0..ACCEPTS_MAX_COUNT {
            if self.connections.len() >= self.options.connections_max_count && !self.evict() {
                // The backlog keeps them.
                self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                break;
            }
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(self.lock.rendezvous().listener(), flags) {
                Ok(socket) => self.admit(socket),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => {
                    self.counts.not_accepted += 1;
                    self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    break;
                }
            }
        }
        self.shared.publish(self.counts);
        true
    }

    fn admit(&mut self, socket: OwnedFd) {
        let Ok(peer) = Peer::of(&socket) else {
            self.counts.not_accepted += 1;
            return;
        };
        if !self.lock.rendezvous().owner().permits(peer) {
            self.counts.denied_user += 1;
            contain(&mut self.counts, || self.service.denied(peer, Denied::User));
            let mut reply = Vec::new();
            Reply::Denied(Denied::User).encode(&mut reply);
            socket::send(&socket, &reply, None).ok();
            socket::hang_up(&socket);
            return;
        }
        let by = Instant::now() + self.options.handshake_max;
        self.connections.push(Connection::new(self.next_id, socket, peer, by));
        self.next_id += 1;
    }

    /// Closes connections of processes that are gone, which their children hold open. Whether there were any.
    fn evict(&mut self) -> bool {
        let gone: Vec<_> = self.connections.iter().filter(|its| its.peer.is_gone()).collect();
        let gone: Vec<_> = gone.into_iter().map(|its| (its.id, End::Closed)).collect();
        self.counts.evicted += gone.len() as u64;
        self.end(&gone);
        !gone.is_empty()
    }

    /// Answers what was sent by now, closes, and leaves the rest to the next server.
    fn stop(&mut self, deadline: Instant) {
        let mut is_drained = false;
        for _ in 0..LAST_TURNS_MAX_COUNT {
            let events = vec![true; self.connections.len()];
            is_drained = !self.serve(&events);
            if is_drained || Instant::now() >= deadline {
                break;
            }
        }
        let (mut context, connections) = self.context();
        connections.iter_mut().for_each(|connection| connection.close(&mut context));
        self.buffer = context.buffer;
        let leaving = std::mem::take(&mut self.connections);
        self.leave(leaving);
        if is_drained {
            self.shared.set_drained();
        }
    }
}
