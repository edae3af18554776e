//! Where a thread that was started for a fork stands still until that is over.
//!
//! glibc's `fork` looks whether there are other threads *before* it calls its handlers. Where ours starts the first one, it takes
//! none of the allocator's locks, and the child, which does not make them good either, hangs for ever over the one that the
//! thread happens to hold: at its next `malloc`, or its next `fork`.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread stands at most, should nobody tell it that the fork is over.
const STANDING_MAX: Duration = Duration::from_secs(5);

/// Allocates nothing. No lock is held by who stands.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Open,
    Closed,
    /// Closed, and somebody stands before it.
    Standing,
}

impl Gate {
    pub(super) fn close(&self) {
        *self.lock() = State::Closed;
    }

    /// Waits until somebody stands before it, so that nothing else is done by a thread that comes to it.
    pub(super) fn await_standing(&self, within: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, within, |state| *state == State::Closed);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == State::Standing
    }

    pub(super) fn open(&self) {
        *self.lock() = State::Open;
        self.changed.notify_all();
    }

    /// Goes through, or stands until it is open.
    pub(crate) fn pass(&self) {
        let mut state = self.lock();
        if *state == State::Open {
            return;
        }
        *state = State::Standing;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, STANDING_MAX, |state| *state == State::Standing));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const WITHIN: Duration = Duration::from_secs(30);

    #[test]
    fn who_comes_while_it_is_closed_stands_until_it_is_open() {
        let (gate, passed) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        gate.pass();
        gate.close();
        let (its, flag) = (Arc::clone(&gate), Arc::clone(&passed));
        let thread = std::thread::spawn(move || {
            its.pass();
            flag.store(true, Ordering::Relaxed);
        });
        assert!(gate.await_standing(WITHIN));
        assert!(!passed.load(Ordering::Relaxed));
        gate.open();
        thread.join().unwrap();
        assert!(passed.load(Ordering::Relaxed));
    }

    #[test]
    fn nobody_is_waited_for_longer_than_asked() {
        let gate = Gate::default();
        gate.close();
        assert!(!gate.await_standing(Duration::from_millis(1)));
        gate.open();
        assert!(!gate.await_standing(WITHIN), "open, so that nobody stands");
    }
}
