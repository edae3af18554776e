//! The stack of running stages.

use crate::deadline::Deadline;
use crate::rt::{self, Instant, JoinHandle};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a stage may take to let go of what it holds once its time is spent.
pub const ABANDON_GRACE: Duration = Duration::from_millis(50);
/// How long an aborted task is waited for. A task that blocks without awaiting cannot be aborted, so
/// this wait needs an end too.
pub const ABORT_GRACE: Duration = Duration::from_millis(50);

/// A stack of running stages; the top is the most upstream one.
#[derive(Debug)]
pub struct Stack {
    stages: Vec<Running>,
    stopping: Stopping,
    /// The first stage that ended without having been asked to.
    died: watch::Sender<Option<&'static str>>,
}

/// Told to every stage at once when the stop begins.
#[derive(Clone, Debug, Default)]
struct Stopping {
    token: CancellationToken,
    deadline: Arc<OnceLock<Deadline>>,
}

/// What a stage knows of its end.
#[derive(Clone, Debug)]
pub struct Close {
    stopping: Stopping,
    close: CancellationToken,
    abandon: CancellationToken,
}

impl Close {
    /// Fires when the stage must take in nothing more, finish what it holds and return.
    pub async fn requested(&self) {
        self.close.cancelled().await;
    }

    /// Whether the stage must take in nothing more.
    pub fn is_requested(&self) -> bool {
        self.close.is_cancelled()
    }

    /// Fires when the stop begins, before it is this stage's turn: time to hurry, not to close.
    pub async fn stop_begun(&self) {
        self.stopping.token.cancelled().await;
    }

    /// When the whole stop must be over; `None` while no stop has begun.
    pub fn deadline(&self) -> Option<Instant> {
        self.stopping.deadline.get().map(Deadline::instant)
    }

    /// Fires when the stage's time is spent: it must let go of what it holds and return within
    /// [`ABANDON_GRACE`].
    pub async fn abandoned(&self) {
        self.abandon.cancelled().await;
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self { stages: Vec::new(), stopping: Stopping::default(), died: watch::Sender::new(None) }
    }
}

impl Stack {
    /// Starts a stage above all the ones already running.
    ///
    /// `share` weighs the time it gets to finish against the stages below it. The stage ends by
    /// returning after [`Close::requested`]; if it returns before, or panics, [`Stack::died`] tells.
    pub fn push<F>(&mut self, name: &'static str, share: NonZeroU32, run: impl FnOnce(Close) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let close = Close {
            stopping: self.stopping.clone(),
            close: CancellationToken::new(),
            abandon: CancellationToken::new(),
        };
        // Boxed: a task of each type of stage would be code of its own.
        let stage = Box::pin(run(close.clone()));
        self.add(name, share, close, stage);
    }

    fn add(&mut self, name: &'static str, share: NonZeroU32, close: Close, stage: rt::Task) {
        let watcher = Watcher { name, close: close.close.clone(), died: self.died.clone() };
        let task = rt::spawn(Box::pin(async move {
            let _watcher = watcher;
            stage.await;
        }));
        self.stages.push(Running { name, share, close, task });
    }

    /// Waits until a stage ends without having been asked to, and names it.
    pub fn died(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut died = self.died.subscribe();
        async move {
            let name = died.wait_for(Option::is_some).await.ok().and_then(|name| *name);
            match name {
                Some(name) => name,
                // The stack is gone, and with it whoever could die.
                None => std::future::pending().await,
            }
        }
    }

    /// Stops every stage, most upstream first, and says how each one ended.
    ///
    /// A stage gets its share of the time left; what it does not use goes to the stages below it.
    /// `overdue` is called before the first stage is abandoned.
    pub async fn unwind(mut self, deadline: Deadline, overdue: impl Fn()) -> Vec<StageEnd> {
        // A stack is unwound once, so the cell is empty.
        self.stopping.deadline.set(deadline.clone()).ok();
        self.stopping.token.cancel();
        let mut ends = Vec::with_capacity(self.stages.len());
        while let Some(stage) = self.stages.pop() {
            let shares_below: u32 = self.stages.iter().map(|below| below.share.get()).sum();
            let part = f64::from(stage.share.get()) / f64::from(stage.share.get() + shares_below);
            let name = stage.name;
            let end = stage.end(&deadline, part, &overdue).await;
            ends.push(StageEnd { name, end });
        }
        ends
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Stages left running would outlive whoever answers for them.
        debug_assert!(
            self.stages.is_empty() || std::thread::panicking(),
            "a stack was dropped without being unwound"
        );
        for stage in &self.stages {
            stage.close.close.cancel();
            stage.task.abort();
        }
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StageEnd {
    /// The stage.
    pub name: &'static str,
    /// How.
    pub end: End,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It finished what it held and returned.
    Drained,
    /// It did not finish in time and let go of the rest.
    Overdue,
    /// It did not even let go in time and was aborted.
    Aborted,
    /// It panicked.
    Panicked,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    share: NonZeroU32,
    close: Close,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(mut self, deadline: &Deadline, part: f64, overdue: &impl Fn()) -> End {
        self.close.close.cancel();
        // Biased to the task: a stage that is done in the moment its time is up was done.
        tokio::select! {
            biased;
            result = &mut self.task => return ended(result.is_ok(), End::Drained),
            () = deadline.share_passed(now(), part) => {}
        }
        overdue();
        self.close.abandon.cancel();
        tokio::select! {
            biased;
            result = &mut self.task => return ended(result.is_ok(), End::Overdue),
            () = rt::sleep_until(now() + ABANDON_GRACE) => {}
        }
        self.task.abort();
        tokio::select! {
            biased;
            _ = &mut self.task => {}
            () = rt::sleep_until(now() + ABORT_GRACE) => {}
        }
        End::Aborted
    }
}

fn ended(returned: bool, end: End) -> End {
    if returned { end } else { End::Panicked }
}

fn now() -> Instant {
    Instant::now()
}

/// Tells when a stage's future is dropped, by return or by panic, before it was asked to close.
struct Watcher {
    name: &'static str,
    close: CancellationToken,
    died: watch::Sender<Option<&'static str>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.close.is_cancelled() {
            self.died.send_if_modified(|first| {
                let is_first = first.is_none();
                if is_first {
                    *first = Some(self.name);
                }
                is_first
            });
        }
    }
}

#[cfg(all(test, not(shuttle)))]
#[path = "stack_tests.rs"]
mod tests;

#[cfg(all(test, shuttle))]
#[path = "interleavings.rs"]
mod interleavings;
