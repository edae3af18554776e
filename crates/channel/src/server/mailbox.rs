//! What the service says later, on its way to the server.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most one letter for each [`crate::Flushing`] and [`crate::Settling`] that the service was given.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    letters: Letters,
    /// The server is in a turn, at whose end it looks here anyway.
    is_awake: bool,
    is_closed: bool,
}

/// What came since the last time.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) flushed: Vec<Flushed>,
    pub(super) settled: Vec<Settled>,
}

/// A submission settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) client: u64,
    pub(super) id: u64,
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
        self.put(|letters| letters.flushed.push(Flushed { connection, id, is_complete }));
    }

    pub(crate) fn put_settled(&self, client: u64, id: u64) {
        self.put(|letters| letters.settled.push(Settled { client, id }));
    }

    fn put(&self, letter: impl FnOnce(&mut Letters)) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        let is_empty = state.letters.flushed.is_empty() && state.letters.settled.is_empty();
        let wakes = !state.is_awake && is_empty;
        letter(&mut state.letters);
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
    pub(super) fn take(&self) -> Letters {
        let mut state = self.state();
        state.is_awake = false;
        std::mem::take(&mut state.letters)
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        (state.is_closed, state.letters) = (true, Letters::default());
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
