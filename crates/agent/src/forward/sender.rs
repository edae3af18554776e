//! The stage that sends.

use super::Shared;
use super::lane::{Attempt, Lane};
use super::transport::{ATTEMPT_TIMEOUT, Transport};
use lifecycle::Close;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Once everything is with the main endpoints, how long a stop waits for additional ones that take
/// nothing. Each request one of them does take begins the time anew, so a slow one can finish.
pub const ADDITIONAL_STOP_GRACE: Duration = Duration::from_secs(2);

/// Sends what the [`super::Forwarder`] files, until its stage is closed and everything is settled.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared>,
    transport: Arc<T>,
}

impl<T: Transport> Sender<T> {
    pub(super) fn new(shared: Arc<Shared>, transport: Arc<T>) -> Self {
        Self { shared, transport }
    }

    /// Runs as a stage.
    ///
    /// When the stop begins, waits are cut short and further ones fit the time left. When the stage is
    /// closed, it drains all lanes side by side and returns. Requests under way are awaited until the
    /// stage is abandoned; then what is left settles by the closed books as late.
    pub async fn run(self, close: Close) {
        let Self { shared, transport } = self;
        // However this ends, by return, abort or panic, nothing stays behind in the lanes.
        let lanes = Lanes(&shared.lanes);
        let mut sends = JoinSet::new();
        let mut stopping = false;
        let mut closing = None;
        loop {
            for lane in lanes.0 {
                while let Some(attempt) = lane.next(Instant::now(), stopping) {
                    // Boxed: a task of each type would be code of its own.
                    let send = send(attempt, Arc::clone(&transport), Arc::clone(&shared), close.clone());
                    sends.spawn(Box::pin(send) as Pin<Box<dyn Future<Output = ()> + Send>>);
                }
            }
            let give_up = match lanes.ends_at(&mut closing) {
                Ending::Open => None,
                Ending::Done => break,
                Ending::Waiting(until) => Some(until),
            };
            let wake = lanes.0.iter().filter_map(|lane| lane.wakes_at(stopping)).chain(give_up).min();
            tokio::select! {
                biased;
                () = close.abandoned() => break,
                Some(_) = sends.join_next() => {}
                () = close.stop_begun(), if !stopping => {
                    stopping = true;
                    for lane in lanes.0 {
                        lane.hurry();
                    }
                }
                () = close.requested(), if closing.is_none() => closing = Some(Closing::default()),
                () = shared.changed.notified() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        drop(lanes);
        // An aborted task still holds its receipt until it is awaited.
        sends.shutdown().await;
    }
}

/// One attempt, settled in the same breath as its answer arrives.
async fn send<T: Transport>(attempt: Attempt, transport: Arc<T>, shared: Arc<Shared>, close: Close) {
    let now = Instant::now();
    let left = close.deadline().map(|deadline| deadline.saturating_duration_since(now));
    let timeout = left.map_or(ATTEMPT_TIMEOUT, |left| left.min(ATTEMPT_TIMEOUT));
    let result = transport.send(attempt.request(), timeout).await;
    attempt.finish(result, Instant::now(), close.deadline(), &shared.say);
}

struct Lanes<'a>(&'a [Arc<Lane>]);

/// A stage that was asked to close.
#[derive(Debug, Default)]
struct Closing {
    /// Since when the main endpoints have everything.
    main_done: Option<Instant>,
}

enum Ending {
    /// More may be submitted.
    Open,
    /// Nothing is left, or nobody takes what is left.
    Done,
    /// Only additional endpoints have something left, and this long to take some of it.
    Waiting(Instant),
}

impl Lanes<'_> {
    fn ends_at(&self, closing: &mut Option<Closing>) -> Ending {
        let Some(closing) = closing else { return Ending::Open };
        let (additional, main): (Vec<_>, Vec<_>) = self.0.iter().partition(|lane| lane.books().is_some());
        if !main.iter().all(|lane| lane.is_idle()) {
            return Ending::Open;
        }
        if additional.iter().all(|lane| lane.is_idle()) {
            return Ending::Done;
        }
        let now = Instant::now();
        let done = *closing.main_done.get_or_insert(now);
        let progress = additional.iter().filter_map(|lane| lane.last_delivery()).max();
        let until = progress.map_or(done, |at| at.max(done)) + ADDITIONAL_STOP_GRACE;
        if until <= now { Ending::Done } else { Ending::Waiting(until) }
    }
}

impl Drop for Lanes<'_> {
    fn drop(&mut self) {
        for lane in self.0 {
            lane.close();
        }
    }
}
