//! The one server of a process tree: a thread that serves all connections.

mod connection;
mod serve;

use crate::counts::ServerCounts;
use crate::peer::our_pid;
use crate::rendezvous::ServingLock;
use crate::service::Service;
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use serve::Loop;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Clients at one time. More wait in the backlog.
pub const CONNECTIONS_MAX_COUNT: usize = 1024;
/// Time for a client to prove itself.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(1);
/// Time between two parts of a payload, and for a client to read its answers.
pub const STALLED_MAX: Duration = Duration::from_secs(10);
/// Bytes of all payloads that come in parts and are not whole yet.
pub const PARTS_MAX_BYTES: usize = 64 << 20;
/// How long dropping a server waits for it.
const DROP_MAX: Duration = Duration::from_secs(1);

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

/// A running server. It belongs to the process that started it: in a child it is nothing, and stops nothing.
#[derive(Debug)]
pub struct Serving {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    pid: u32,
}

/// What is known of a server's end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stopped {
    /// Whether everything that clients had sent was answered by the deadline. Otherwise the thread may still be in a call of
    /// the service, and gives up the lock when that returns.
    pub in_time: bool,
    /// As of now.
    pub counts: ServerCounts,
}

/// Between the server's thread and others.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    ended: Condvar,
    pub(crate) mailbox: Arc<Mailbox>,
}

#[derive(Debug, Default)]
struct State {
    counts: ServerCounts,
    stop_by: Option<Instant>,
    is_drained: bool,
    is_ended: bool,
}

/// Ends of flushes on their way to the server's thread: at most one for each [`crate::Flushing`] that the service was given.
#[derive(Debug)]
pub(crate) struct Mailbox {
    flushed: Mutex<Vec<(u64, u64, bool)>>,
    wake: OwnedFd,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds a lock here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { flushed: Mutex::default(), wake })
    }

    pub(crate) fn put(&self, connection: u64, id: u64, complete: bool) {
        lock(&self.flushed).push((connection, id, complete));
        self.wake();
    }

    fn wake(&self) {
        // Fails when the counter is full, and then the thread is woken.
        write(&self.wake, &1_u64.to_ne_bytes()).ok();
    }

    fn take(&self) -> Vec<(u64, u64, bool)> {
        read(&self.wake, &mut [0_u8; 8]).ok();
        std::mem::take(&mut *lock(&self.flushed))
    }
}

impl Shared {
    fn stop_by(&self) -> Option<Instant> {
        lock(&self.state).stop_by
    }

    fn publish(&self, counts: ServerCounts) {
        lock(&self.state).counts = counts;
    }

    fn set_drained(&self) {
        lock(&self.state).is_drained = true;
    }
}

/// Tells of the thread's end, however it ends.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0.state).is_ended = true;
        self.0.ended.notify_all();
    }
}

impl Serving {
    /// Starts to serve. The socket was bound and connections may wait in it already, so this is heard from the first
    /// moment on; the thread blocks every signal.
    ///
    /// # Errors
    /// When there is no thread or descriptor to be had. The lock is given up then.
    pub fn start(
        serving: ServingLock,
        service: Arc<dyn Service>,
        options: ServerOptions,
    ) -> io::Result<Self> {
        let pid = our_pid();
        let mailbox = Arc::new(Mailbox::new()?);
        let shared = Arc::new(Shared { state: Mutex::default(), ended: Condvar::new(), mailbox });
        let end = End(Arc::clone(&shared));
        let mut server = Loop::new(serving, service, options, Arc::clone(&shared));
        // A new thread inherits what is blocked (losses.md L127).
        let former = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let spawned = Builder::new().name("lastlight-serve".to_owned()).spawn(move || {
            // Dropped last, after the lock.
            let _end = end;
            server.run();
            drop(server);
        });
        former.thread_set_mask()?;
        Ok(Self { thread: Some(spawned?), shared, pid })
    }

    /// What was counted up to the last answers. Zero in a child of the process that started it.
    #[must_use]
    pub fn counts(&self) -> ServerCounts {
        if self.pid != our_pid() {
            // The thread may have held the lock when the process forked; nobody would ever give it up here.
            return ServerCounts::default();
        }
        lock(&self.shared.state).counts
    }

    /// Whether the thread runs, in this process.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pid == our_pid() && !lock(&self.shared.state).is_ended
    }

    /// Stops: accepts no more connections, answers what clients had sent by now, closes all connections and gives up the
    /// lock. Returns by `deadline`, whatever clients or the service do; `None` in a child of the process that
    /// started it.
    pub fn stop(mut self, deadline: Instant) -> Option<Stopped> {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Instant) -> Option<Stopped> {
        let thread = self.thread.take()?;
        if self.pid != our_pid() {
            // There is no such thread here.
            std::mem::forget(thread);
            return None;
        }
        let mut state = lock(&self.shared.state);
        state.stop_by = Some(deadline);
        drop(state);
        self.shared.mailbox.wake();
        state = lock(&self.shared.state);
        while !state.is_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let stopped = Stopped { in_time: state.is_ended && state.is_drained, counts: state.counts };
        let is_ended = state.is_ended;
        drop(state);
        if is_ended {
            // Only its last instructions are left; afterwards its code may be unloaded.
            thread.join().ok();
        }
        Some(stopped)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end(Instant::now() + DROP_MAX);
    }
}
