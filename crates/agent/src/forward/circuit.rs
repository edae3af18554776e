//! Whether an endpoint answers, and when to ask it again.

use pipeline::retry;
use tokio::time::Instant;

/// Failures in a row, with no success between them, after which an endpoint counts as failing. One bad answer
/// says something about a request; several say something about the endpoint.
pub(super) const OPEN_AFTER_FAILURES: u32 = 3;

/// Closed: requests flow. Open: probes only, at growing distances.
#[derive(Debug)]
pub(super) enum Circuit {
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    Open {
        /// Probes that failed since it opened.
        probes: u32,
        /// When the next probe may go.
        next: Instant,
    },
}

impl Circuit {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// An answer came: the endpoint is there, whatever it said. Whether it had been failing.
    pub(super) fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        *self = Self::Closed { failures: 0 };
        was_open
    }

    /// A request failed in a way that may pass. Whether the circuit opened by it.
    ///
    /// `was_probe`: it was sent while the circuit was open; others were under way before and say nothing new.
    /// `asked`: when the endpoint wants to be asked again.
    pub(super) fn failed(
        &mut self,
        was_probe: bool,
        asked: Option<Instant>,
        now: Instant,
        deadline: Option<Instant>,
        jitter: f64,
    ) -> bool {
        // Past the deadline nothing is sent any more; then any moment will do.
        let after = |attempt| {
            let at = retry::backoff(attempt, now.into_std(), deadline.map(Instant::into_std), jitter);
            at.map_or(now, Instant::from_std)
        };
        match self {
            Self::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < OPEN_AFTER_FAILURES && asked.is_none() {
                    return false;
                }
                *self = Self::Open { probes: 0, next: asked.unwrap_or_else(|| after(0)) };
                true
            }
            Self::Open { probes, next } => {
                if was_probe {
                    *probes = probes.saturating_add(1);
                    *next = asked.unwrap_or_else(|| after(*probes));
                } else if let Some(asked) = asked {
                    *next = asked.max(*next);
                }
                false
            }
        }
    }

    /// The next probe may go now.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Self::Open { next, .. } = self {
            *next = now;
        }
    }
}
