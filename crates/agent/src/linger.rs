//! How long a stop listens on after the last that came.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a client has under way, from its call to our socket, takes less.
const CLIENTS: Duration = Duration::from_millis(10);
/// The wrapped program has ended, and all it sent is in the kernel's hands.
const NOBODY: Duration = Duration::from_millis(1);

/// How long a stop listens on after the last that came.
#[derive(Debug, Default)]
pub(crate) struct Linger {
    nobody_sends: AtomicBool,
}

impl Linger {
    /// The one that sends is gone.
    pub(crate) fn nobody_sends(&self) {
        self.nobody_sends.store(true, Ordering::Relaxed);
    }

    /// The silence that is waited for.
    pub(crate) fn silence(&self) -> Duration {
        if self.nobody_sends.load(Ordering::Relaxed) { NOBODY } else { CLIENTS }
    }
}
