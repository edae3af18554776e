//! Sending what is held before its time, and knowing when it is gone.

use crate::dogstatsd::DogStatsD;
use crate::intake::egress::Egress;
use crate::logs::Logs;
use model::{Books, Signal};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long what a program has just sent may be on its way to us: in a pipe, or in the kernel's buffer of a socket that
/// is read some milliseconds later together with what follows.
const ARRIVAL: Duration = Duration::from_millis(20);
/// How often the books are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(5);
/// How often what came since is asked to be sent, too.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// Everything that holds telemetry.
#[derive(Clone, Debug)]
pub(crate) struct Flush {
    pub(crate) egress: Arc<Egress>,
    pub(crate) dogstatsd: Arc<DogStatsD>,
    pub(crate) logs: Option<Arc<Logs>>,
    pub(crate) books: Books,
}

impl Flush {
    /// Sends what is held as soon as may be; with `all` the open buckets of metrics and statistics too, whose parts
    /// then arrive as points of their own.
    pub(crate) fn ask(&self, all: bool) {
        self.egress.flush_now(all);
        if all {
            self.dogstatsd.flush_now();
        }
        if let Some(logs) = &self.logs {
            logs.flush_now();
        }
    }

    /// Sends everything, and waits until all that was held at the time of the call is delivered, or dropped for a
    /// reason; `false` when that took longer than `bound`.
    ///
    /// The books do not tell old units from new ones, so that for each signal a moment is waited for at which nothing
    /// is held: while a program goes on sending without a pause, all of `bound` may pass. Copies to additional endpoints
    /// have books of their own, and are not waited for.
    pub(crate) async fn through(&self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        sleep(ARRIVAL.min(bound)).await;
        let mut ask_at = Instant::now();
        let mut open = Signal::ALL.to_vec();
        loop {
            let now = Instant::now();
            if ask_at <= now {
                self.ask(true);
                ask_at = now + ASK_PERIOD;
            }
            open.retain(|signal| self.books.book(*signal).held > 0);
            if open.is_empty() || now >= end {
                return open.is_empty();
            }
            sleep(LOOK_PERIOD).await;
        }
    }
}
