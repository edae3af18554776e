//! The receiver without a socket: requests of whoever shares the agent's thread.
//!
//! The same routes, bounds and books as over HTTP; what differs is that the caller has the body already, does not wait,
//! and gets no answer of the backend: what is passed through over HTTP is sent here, and booked.

use crate::flush::Flush;
use crate::intake::door::{Reason, Refusal};
use crate::intake::proxied::Plan;
use crate::intake::routes::Route;
use crate::intake::{Intake, Taken};
use crate::room::Room;
use http::{HeaderMap, Uri};
use lifecycle::Close;
use model::{Hold, Receipt, Signal, Why};
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Requests to be passed through that wait; one more finds no room.
const PASSES_MAX_COUNT: usize = 64;
/// How long a sender without room, or too early for the platform's tags, is asked to wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Hands requests to a running agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Local {
    intake: Arc<Intake>,
    flush: Flush,
    passes: mpsc::Sender<Pass>,
}

/// Why a request was not accepted. It was counted, and is the sender's.
#[derive(Debug, Eq, PartialEq)]
pub enum NotAccepted {
    /// Not now.
    Later {
        /// Not before.
        retry_after: Duration,
    },
    /// Over a bound.
    TooLarge,
    /// Its bytes are not what the route takes.
    Malformed,
    /// No such route, or one that is switched off.
    NoRoute,
    /// A fault of ours.
    Panicked,
}

impl From<Reason> for NotAccepted {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::NoRoom | Reason::Timeout => Self::Later { retry_after: RETRY_AFTER },
            Reason::TooLarge => Self::TooLarge,
            Reason::NotFound | Reason::MethodNotAllowed | Reason::Disabled | Reason::CrossSite => {
                Self::NoRoute
            }
            Reason::Panicked => Self::Panicked,
            Reason::Malformed
            | Reason::LengthRequired
            | Reason::UnsupportedMedia
            | Reason::Disconnected
            | Reason::BadGateway => Self::Malformed,
        }
    }
}

impl Local {
    pub(crate) fn new(intake: Arc<Intake>, flush: Flush, passes: mpsc::Sender<Pass>) -> Self {
        Self { intake, flush, passes }
    }

    /// Accepts a request, or does not. `hold` is kept until all that was accepted of it is delivered, or dropped for a
    /// counted reason; metrics are summed up, and let go of it at once. Does not wait.
    ///
    /// # Errors
    /// Why not. It was counted.
    pub fn submit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: Cow<'_, [u8]>,
        hold: Hold,
    ) -> Result<(), NotAccepted> {
        let route = Route::of(uri.path());
        let accepted = catch_unwind(AssertUnwindSafe(|| self.accept(route, uri, headers, body, hold)));
        let refused = accepted
            .unwrap_or_else(|_| Err(Refusal::new(Reason::Panicked, "internal error: please report it")));
        refused.map_err(|refusal| {
            // The answer is for HTTP.
            drop(self.intake.door.refuse(route, &refusal));
            refusal.reason.into()
        })
    }

    /// Whether a body of so many bytes may have room: asked before it is read. Nothing is taken by it.
    ///
    /// # Errors
    /// Why not. It was not counted.
    pub fn admits(&self, uri: &Uri, headers: &HeaderMap, bytes: u64) -> Result<(), NotAccepted> {
        let (signal, bounds) =
            self.intake.reading(Route::of(uri.path()), headers).map_err(|refusal| refusal.reason)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > bounds.max_bytes {
            return Err(NotAccepted::TooLarge);
        }
        let budget = &self.intake.budget;
        let is_full = budget.used(signal).saturating_add(bytes) > budget.limit(signal);
        if is_full { Err(Reason::NoRoom.into()) } else { Ok(()) }
    }

    fn accept(
        &self,
        route: Route,
        uri: &Uri,
        headers: &HeaderMap,
        body: Cow<'_, [u8]>,
        hold: Hold,
    ) -> Result<(), Refusal> {
        let intake = &self.intake;
        if !route.takes_body() {
            return Err(Refusal::new(Reason::NotFound, format!("{} takes nothing", route.name())));
        }
        let (signal, bounds) = intake.reading(route, headers)?;
        let room = bounds.take(&intake.budget, signal, body.len())?;
        if route.is_passed_through() {
            return self.pass(intake.plan(route, uri, headers)?, body, room, hold);
        }
        let taken = Taken { bytes: body, room, hold: Some(hold) };
        intake.take(route, uri, headers, taken, intake.labels.get()).map(drop)
    }

    fn pass(&self, plan: Plan, body: Cow<'_, [u8]>, room: Room, hold: Hold) -> Result<(), Refusal> {
        let no_room = || Refusal::new(Reason::NoRoom, "too many requests wait to be passed on");
        let place = self.passes.try_reserve().map_err(|_| no_room())?;
        let mut receipt = self.intake.books.accept(Signal::Proxied, 1);
        receipt.attach(hold);
        place.send(Pass { plan, body: body.into_owned(), receipt, room });
        Ok(())
    }

    /// Delivers all that was accepted up to now, open buckets of metrics too; `false` when that took longer.
    pub fn flush(&self, within: Duration) -> impl Future<Output = bool> + Send + use<> {
        let flush = self.flush.clone();
        async move { flush.through(within).await }
    }

    /// What the agent counts, as JSON.
    pub fn status(&self) -> String {
        self.intake.status_document().to_string()
    }
}

/// A request on its way to the backend, whose answer nobody waits for.
pub(crate) struct Pass {
    plan: Plan,
    body: Vec<u8>,
    receipt: Receipt,
    /// Given back when it is done.
    room: Room,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A queue of them, and the stage that empties it, one after another.
pub(crate) fn passes() -> (mpsc::Sender<Pass>, mpsc::Receiver<Pass>) {
    mpsc::channel(PASSES_MAX_COUNT)
}

pub(crate) async fn run(intake: Arc<Intake>, mut passes: mpsc::Receiver<Pass>, close: Close) {
    loop {
        let pass = tokio::select! {
            biased;
            pass = passes.recv() => pass,
            () = close.requested() => {
                // What waits is still passed on.
                passes.close();
                passes.recv().await
            }
        };
        let Some(Pass { plan, body, receipt, room }) = pass else { break };
        tokio::select! {
            biased;
            outcome = intake.say(plan, body) => receipt.settled(outcome),
            () = close.abandoned() => receipt.dropped(Why::Deadline),
        }
        drop(room);
    }
    close.requested().await;
}

#[cfg(test)]
mod tests;
