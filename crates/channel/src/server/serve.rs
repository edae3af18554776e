//! The server: what is done in one turn.

use super::accounts::Accounts;
use super::connection::{Connection, End, Read, contain};
use super::{ACCEPT_PAUSE, Mailbox, ServerOptions, Stopped, Turn};
use crate::counts::ServerCounts;
use crate::frame::{Denied, MESSAGE_MAX_BYTES, Reply};
use crate::peer::{Peer, our_pid};
use crate::rendezvous::{Rendezvous, ServingLock};
use crate::secret::random_number;
use crate::service::Service;
use crate::socket;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Connections that are accepted before clients are served again.
const ACCEPTS_MAX_COUNT: usize = 32;
/// Connections that are served in one turn.
const EVENTS_MAX_COUNT: usize = 128;
/// Rounds in which what clients had sent before a stop is read: as many turns as a client may have unanswered
/// submissions, and some.
const LAST_TURNS_MAX_COUNT: usize = 16;
/// What the kernel says of the mailbox and of the listener; connections have higher numbers.
const MAILBOX: u64 = 0;
const LISTENER: u64 = 1;

/// What a connection needs of the server.
pub(super) struct Context<'a> {
    pub(super) rendezvous: &'a Rendezvous,
    pub(super) service: &'a dyn Service,
    pub(super) options: &'a ServerOptions,
    pub(super) mailbox: &'a Arc<Mailbox>,
    pub(super) instance: u64,
    pub(super) accounts: &'a mut Accounts,
    pub(super) counts: &'a mut ServerCounts,
    pub(super) parts_bytes: &'a mut usize,
    pub(super) buffer: Vec<u8>,
    pub(super) now: Instant,
}

/// The server of a process tree. It has no thread and never waits: [`Server::turn`] is to be called when its descriptor is
/// readable ([`AsFd`]) or [`Turn::next`] has come, by the thread that made it. [`super::Serving`] is such a thread.
///
/// Every descriptor of it is of the table of descriptors of the thread that made it: where that thread has a table of its own,
/// the server, its lock, and every [`crate::Flushing`] and [`crate::Settling`] are to be dropped by threads with the same table. Dropped without
/// [`Server::stop`], it ends the connections and says nothing. In a child it is nothing, and ends nothing.
pub struct Server {
    lock: ServingLock,
    service: Arc<dyn Service>,
    pub(super) options: ServerOptions,
    pub(super) mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    /// Drawn by lot: tells clients this server from any other.
    instance: u64,
    accounts: Accounts,
    connections: HashMap<u64, Connection>,
    /// When something is to be done for which connection though nothing happens to it.
    deadlines: BTreeSet<(Instant, u64)>,
    next_id: u64,
    counts: ServerCounts,
    /// As of the last answers.
    pub(super) published: Arc<Mutex<ServerCounts>>,
    /// Bytes of all payloads in parts.
    parts_bytes: usize,
    /// Where a datagram is received. A byte longer than any may be, so that a longer one is seen.
    buffer: Vec<u8>,
    /// The listener is not looked at before.
    accept_after: Option<Instant>,
    pid: u32,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections.len();
        f.debug_struct("Server").field("lock", &self.lock).field("connections", &connections).finish()
    }
}

impl Server {
    /// A server of nobody yet. The socket was bound, so connections may wait in it already.
    ///
    /// # Errors
    /// When there is no descriptor to be had. The lock is given up then.
    pub fn new(lock: ServingLock, service: Arc<dyn Service>, options: ServerOptions) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new()?);
        let instance = random_number()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*mailbox, epoll::EventData::new_u64(MAILBOX), epoll::EventFlags::IN)?;
        let listener = lock.rendezvous().listener();
        epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self {
            lock,
            service,
            options,
            mailbox,
            epoll,
            instance,
            accounts: Accounts::default(),
            connections: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_id: LISTENER + 1,
            counts: ServerCounts::default(),
            published: Arc::default(),
            parts_bytes: 0,
            buffer: vec![0; MESSAGE_MAX_BYTES + 1],
            accept_after: None,
            pid: our_pid(),
        })
    }

    /// What was counted up to now.
    #[must_use]
    pub fn counts(&self) -> ServerCounts {
        self.counts
    }

    /// Does all that can be done now, within bounds, and waits for nothing. What it costs does not grow with clients that say
    /// nothing.
    pub fn turn(&mut self) -> Turn {
        self.mailbox.begin();
        let Some((ready, accepts)) = self.poll() else { return Turn { next: None, is_lost: true } };
        let mut has_more = ready.len() >= EVENTS_MAX_COUNT - 2;
        has_more |= self.serve(ready);
        let now = Instant::now();
        if self.accept_after.is_some_and(|after| after <= now) {
            self.listen(true);
        }
        let mut is_lost = false;
        if accepts && self.accept_after.is_none() {
            match self.accept() {
                Some(more) => has_more |= more,
                None => is_lost = true,
            }
        }
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let next = [deadline, self.accept_after, has_more.then_some(now)].into_iter().flatten().min();
        Turn { next, is_lost }
    }

    /// To whom something happened, and whether somebody waits to be accepted. `None` when the descriptor is not ours any
    /// more.
    fn poll(&mut self) -> Option<(Vec<u64>, bool)> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut space = [const { MaybeUninit::uninit() }; EVENTS_MAX_COUNT];
        let events = match epoll::wait(&self.epoll, &mut space, Some(&now)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => &mut [],
            Err(_) => return None,
        };
        let mut accepts = false;
        let mut ready = Vec::with_capacity(events.len());
        for event in events {
            match event.data.u64() {
                MAILBOX => self.mailbox.clear(),
                LISTENER => accepts = true,
                id => ready.push(id),
            }
        }
        Some((ready, accepts))
    }

    fn context(&mut self) -> (Context<'_>, &mut HashMap<u64, Connection>) {
        let context = Context {
            rendezvous: self.lock.rendezvous(),
            service: &*self.service,
            options: &self.options,
            mailbox: &self.mailbox,
            instance: self.instance,
            accounts: &mut self.accounts,
            counts: &mut self.counts,
            parts_bytes: &mut self.parts_bytes,
            buffer: std::mem::take(&mut self.buffer),
            now: Instant::now(),
        };
        (context, &mut self.connections)
    }

    fn publish(&self) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = self.counts;
    }

    /// Reads where something happened, counts, and only then answers: who has an answer finds it counted. Whether more
    /// may be there.
    fn serve(&mut self, mut touched: Vec<u64>) -> bool {
        let mut has_more = false;
        let mut ended: Vec<(u64, End)> = Vec::new();
        let (mut context, connections) = self.context();
        for id in &touched {
            let Some(connection) = connections.get_mut(id) else { continue };
            // What cannot be answered is not read.
            let read = match connection.check_deadlines(context.now) {
                Ok(()) if !connection.is_writing() => connection.read(&mut context),
                checked => checked.map(|()| Read::All),
            };
            match read {
                Ok(read) => has_more |= read == Read::Some,
                Err(end) => ended.push((*id, end)),
            }
        }
        self.buffer = context.buffer;
        self.check_deadlines(&mut touched, &mut ended);
        self.open_mail(&mut touched);
        self.publish();
        let now = Instant::now();
        for id in touched {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if ended.iter().any(|(its, _)| *its == id) {
                continue;
            }
            let account = self.accounts.told_over(connection.client(), id);
            connection.write(now, self.options.stalled_max, account);
            has_more |= connection.is_gone();
            self.expect(id);
        }
        self.end(&ended);
        has_more
    }

    /// What the service says of what it was given before, for each client once.
    fn open_mail(&mut self, touched: &mut Vec<u64>) {
        let letters = self.mailbox.take();
        for flushed in letters.flushed {
            if let Some(connection) = self.connections.get_mut(&flushed.connection) {
                connection.flushed(flushed.id, flushed.is_complete);
                touched.push(flushed.connection);
            }
        }
        for settled in letters.settled {
            self.counts.settled += 1;
            touched.extend(self.accounts.settle(settled.client, settled.id));
        }
        touched.sort_unstable();
        touched.dedup();
    }

    /// Whoever was to have done something by now.
    fn check_deadlines(&mut self, touched: &mut Vec<u64>, ended: &mut Vec<(u64, End)>) {
        let now = Instant::now();
        let due: Vec<_> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        for id in due {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            match connection.check_deadlines(now) {
                // Its flush is answered, or what it was to do was done just now.
                Ok(()) => touched.push(id),
                Err(_) if ended.iter().any(|(its, _)| *its == id) => {}
                Err(end) => ended.push((id, end)),
            }
        }
    }

    /// Waits for what comes next of a connection.
    fn expect(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let interest = connection.interest();
        if interest != connection.registered {
            // Fails for want of nothing: it is registered.
            epoll::modify(&self.epoll, &*connection, epoll::EventData::new_u64(id), interest).ok();
            connection.registered = interest;
        }
        let deadline = connection.next_deadline();
        if deadline != connection.scheduled {
            if let Some(at) = connection.scheduled {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            connection.scheduled = deadline;
        }
    }

    /// Ends connections: counts, and only then hangs up.
    fn end(&mut self, ended: &[(u64, End)]) {
        if ended.is_empty() {
            return;
        }
        let (mut context, connections) = self.context();
        let mut leaving = Vec::new();
        for (id, end) in ended {
            if let Some(mut connection) = connections.remove(id) {
                connection.conclude(*end, &mut context);
                leaving.push(connection);
            }
        }
        self.buffer = context.buffer;
        self.leave(leaving);
    }

    fn leave(&mut self, leaving: Vec<Connection>) {
        self.publish();
        let now = Instant::now();
        for connection in leaving {
            if let Some(at) = connection.scheduled {
                self.deadlines.remove(&(at, connection.id));
            }
            self.forget(&connection);
            self.counts.answers_lost += connection.leave(now);
        }
        self.publish();
    }

    /// Before a descriptor is closed: where a child has it too, closing would leave it registered.
    fn forget(&self, fd: impl AsFd) {
        epoll::delete(&self.epoll, fd).ok();
    }

    /// Takes who waits. Whether there may be more; `None` when the lock is lost: another process serves.
    fn accept(&mut self) -> Option<bool> {
        if !self.lock.is_held() {
            return None;
        }
        let mut may_be_more = true;
        for _ in 0..ACCEPTS_MAX_COUNT {
            if self.connections.len() >= self.options.connections_max_count && !self.evict() {
                // The backlog keeps them.
                self.listen(false);
                may_be_more = false;
                break;
            }
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(self.lock.rendezvous().listener(), flags) {
                Ok(socket) => self.admit(socket),
                Err(Errno::AGAIN) => {
                    may_be_more = false;
                    break;
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => {
                    self.counts.not_accepted += 1;
                    self.listen(false);
                    may_be_more = false;
                    break;
                }
            }
        }
        self.publish();
        Some(may_be_more)
    }

    /// Looks at the listener, or does not for a while.
    fn listen(&mut self, listens: bool) {
        let interest = if listens { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        let listener = self.lock.rendezvous().listener();
        epoll::modify(&self.epoll, listener, epoll::EventData::new_u64(LISTENER), interest).ok();
        self.accept_after = (!listens).then(|| Instant::now() + ACCEPT_PAUSE);
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
        let id = self.next_id;
        let connection = Connection::new(id, socket, peer, Instant::now() + self.options.handshake_max);
        if epoll::add(&self.epoll, &connection, epoll::EventData::new_u64(id), connection.registered).is_err()
        {
            self.counts.not_accepted += 1;
            socket::hang_up(&connection);
            return;
        }
        self.next_id += 1;
        self.connections.insert(id, connection);
        self.expect(id);
    }

    /// Closes connections of processes that are gone, which their children hold open. Whether there were any.
    fn evict(&mut self) -> bool {
        let gone = self.connections.iter().filter(|(_, its)| its.peer.is_gone());
        let gone: Vec<_> = gone.map(|(id, _)| (*id, End::Closed)).collect();
        self.counts.evicted += gone.len() as u64;
        self.end(&gone);
        !gone.is_empty()
    }

    /// Accepts no more connections, answers what clients had sent by now, says that it stops, closes all connections and
    /// gives up the lock. Waits for nobody; it takes as long as the service's calls, and begins none after
    /// `deadline`. Submissions that have not settled are the service's to see through: their clients forget them.
    pub fn stop(mut self, deadline: Instant) -> Stopped {
        let mut is_drained = false;
        for _ in 0..LAST_TURNS_MAX_COUNT {
            self.mailbox.begin();
            let all = self.connections.keys().copied().collect();
            is_drained = !self.serve(all);
            if is_drained || Instant::now() >= deadline {
                break;
            }
        }
        let (mut context, connections) = self.context();
        connections.values_mut().for_each(|connection| connection.close(&mut context));
        self.buffer = context.buffer;
        let leaving = self.connections.drain().map(|(_, connection)| connection).collect();
        self.leave(leaving);
        Stopped { in_time: is_drained, counts: self.counts }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.pid != our_pid() {
            // What a child has is its parent's, the kernel's list too.
            return;
        }
        self.mailbox.close();
        self.forget(self.lock.rendezvous().listener());
        for connection in self.connections.values() {
            self.forget(connection);
            socket::hang_up(connection);
        }
    }
}
