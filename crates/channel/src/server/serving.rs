//! A server on a thread of its own, for hosts without an event loop.

use super::{Server, ServerOptions, Stopped};
use crate::counts::ServerCounts;
use crate::peer::our_pid;
use crate::rendezvous::ServingLock;
use crate::service::Service;
use crate::socket;
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long dropping a server waits for it.
const DROP_MAX: Duration = Duration::from_secs(1);

/// A running server. It belongs to the process that started it: in a child it is nothing, and stops nothing.
#[derive(Debug)]
pub struct Serving {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    mailbox: Arc<super::Mailbox>,
    counts: Arc<Mutex<ServerCounts>>,
    pid: u32,
}

/// Between the server's thread and others.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop_by: Option<Instant>,
    is_drained: bool,
    is_ended: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds a lock here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells of the thread's end, however it ends.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0.state).is_ended = true;
        self.0.ended.notify_all();
    }
}

fn run(mut server: Server, shared: &Shared) {
    loop {
        let mut stop_by = lock(&shared.state).stop_by;
        let mut next = None;
        if stop_by.is_none() {
            let turn = server.turn();
            next = turn.next;
            stop_by = turn.is_lost.then(|| Instant::now() + server.options.handshake_max);
        }
        if let Some(deadline) = stop_by {
            let stopped = server.stop(deadline);
            lock(&shared.state).is_drained = stopped.in_time;
            return;
        }
        // What the system refuses is a wait that ends at once; then there is no memory, which may pass.
        if socket::wait(&mut [PollFd::new(&server, PollFlags::IN)], next).is_err() {
            socket::pause(super::ACCEPT_PAUSE);
        }
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
        let server = Server::new(serving, service, options)?;
        let shared = Arc::new(Shared { state: Mutex::default(), ended: Condvar::new() });
        let (mailbox, counts) = (Arc::clone(&server.mailbox), Arc::clone(&server.published));
        let end = End(Arc::clone(&shared));
        let theirs = Arc::clone(&shared);
        // A new thread inherits what is blocked (losses.md L127).
        let former = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let spawned = Builder::new().name("lastlight-serve".to_owned()).spawn(move || {
            // Dropped last, after the lock.
            let _end = end;
            run(server, &theirs);
        });
        former.thread_set_mask()?;
        Ok(Self { thread: Some(spawned?), shared, mailbox, counts, pid: our_pid() })
    }

    /// What was counted up to the last answers. Zero in a child of the process that started it.
    #[must_use]
    pub fn counts(&self) -> ServerCounts {
        if self.pid != our_pid() {
            // The thread may have held the lock when the process forked; nobody would ever give it up here.
            return ServerCounts::default();
        }
        *lock(&self.counts)
    }

    /// Whether the thread runs, in this process.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pid == our_pid() && !lock(&self.shared.state).is_ended
    }

    /// As [`Server::stop`], on its thread. Returns by `deadline`, whatever clients or the service do: what is not
    /// `in_time` may still be in a call of the service, and gives up the lock when that returns. `None` in a child of
    /// the process that started it.
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
        self.mailbox.wake();
        state = lock(&self.shared.state);
        while !state.is_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (is_ended, is_drained) = (state.is_ended, state.is_drained);
        drop(state);
        let stopped = Stopped { in_time: is_ended && is_drained, counts: *lock(&self.counts) };
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
