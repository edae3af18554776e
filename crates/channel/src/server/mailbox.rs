//! What the service says later, on its way to the server.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ends of flushes: at most one for each [`crate::Flushing`] that the service was given.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    flushed: Vec<Flushed>,
    /// The server is in a turn, at whose end it looks here anyway.
    is_awake: bool,
    is_closed: bool,
}

/// A flush ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flushed {
    pub(super) connection: u64,
    pub(super) id: u64,
    pub(super) is_complete: bool,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), wake })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put_flushed(&self, connection: u64, id: u64, is_complete: bool) {
        self.put(|state| state.flushed.push(Flushed { connection, id, is_complete }));
    }

    fn put(&self, letter: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        let wakes = !state.is_awake && state.flushed.is_empty();
        letter(&mut state);
        drop(state);
        if wakes {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        // Fails when the counter is full, and then the server is woken.
        write(&self.wake, &1_u64.to_ne_bytes()).ok();
    }

    /// A turn begins: nobody needs to wake the server until [`Mailbox::take`].
    pub(super) fn begin(&self) {
        self.state().is_awake = true;
    }

    /// It was woken.
    pub(super) fn clear(&self) {
        read(&self.wake, &mut [0_u8; 8]).ok();
    }

    /// What is there. From here on what comes wakes the server.
    pub(super) fn take(&self) -> Vec<Flushed> {
        let mut state = self.state();
        state.is_awake = false;
        std::mem::take(&mut state.flushed)
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        (state.is_closed, state.flushed) = (true, Vec::new());
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
