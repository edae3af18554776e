//! The runtime under the stack: tokio, or the scheduler of an interleaving test.
//!
//! Under `--cfg shuttle` tasks are shuttle's, which explores their orders, and time is a future that
//! may fire after any number of other steps: every race between a stage and its deadline is then tried.

use std::pin::Pin;

/// What a task does.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[cfg(not(shuttle))]
pub(crate) use tokio::task::JoinHandle;
#[cfg(not(shuttle))]
pub use tokio::time::Instant;

#[cfg(not(shuttle))]
pub(crate) fn spawn(task: Task) -> JoinHandle<()> {
    // The one place a task is made: everything that runs is a stage.
    #[expect(clippy::disallowed_methods, reason = "lifecycle is where tasks come from")]
    tokio::spawn(task)
}

#[cfg(not(shuttle))]
pub(crate) async fn sleep_until(instant: Instant) {
    tokio::time::sleep_until(instant).await;
}

#[cfg(shuttle)]
pub(crate) use shuttle::future::JoinHandle;
#[cfg(shuttle)]
pub use std::time::Instant;

#[cfg(shuttle)]
pub(crate) fn spawn(task: Task) -> JoinHandle<()> {
    shuttle::future::spawn(task)
}

#[cfg(shuttle)]
pub(crate) async fn sleep_until(_: Instant) {
    // A task of its own: the scheduler decides at which moment the time is up.
    let up = shuttle::future::spawn(async {});
    assert!(up.await.is_ok());
}
