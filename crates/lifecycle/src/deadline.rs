//! A deadline that can still be moved.

use crate::rt::Instant;
use std::sync::Arc;
use tokio::sync::watch;

/// When the stop must be over. Clones share it; it can only be brought forward (a second signal hurries).
#[derive(Clone, Debug)]
pub struct Deadline {
    instant: Arc<watch::Sender<Instant>>,
}

impl Deadline {
    /// A stop that must be over at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self { instant: Arc::new(watch::Sender::new(instant)) }
    }

    /// The moment.
    pub fn instant(&self) -> Instant {
        *self.instant.borrow()
    }

    /// Brings the deadline forward to `instant`; a later instant changes nothing.
    pub fn hurry(&self, instant: Instant) {
        self.instant.send_if_modified(|current| {
            let sooner = instant < *current;
            if sooner {
                *current = instant;
            }
            sooner
        });
    }

    /// Waits until `part` (0 to 1) of the time from `from` to the deadline has passed, following changes.
    pub(crate) async fn share_passed(&self, from: Instant, part: f64) {
        let mut changes = self.instant.subscribe();
        loop {
            let whole = changes.borrow_and_update().saturating_duration_since(from);
            let end = from + whole.mul_f64(part.clamp(0.0, 1.0));
            tokio::select! {
                () = crate::rt::sleep_until(end) => return,
                // The sender lives in `self`, so `changed` cannot fail while we wait.
                _ = changes.changed() => {}
            }
        }
    }
}
