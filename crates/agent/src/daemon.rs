//! The agent as a process: runs until it is told to stop, drains, and says how it went.

use crate::compose::{Bound, SharedStrings, StartError};
use crate::report::Report;
use crate::transport::{ParentGone, Signals};
use lifecycle::{Deadline, Instant};
use std::time::Duration;

/// How long a stop may still take after a second signal.
pub const HURRIED_STOP: Duration = Duration::from_secs(1);

/// How the daemon ended.
#[derive(Debug)]
pub struct Ended {
    /// The last line.
    pub report: Report,
    /// A part of the agent died; the process should say so with its exit code.
    pub died: bool,
}

/// Runs a bound agent until a signal, the end of the parent process or the death of a part of it.
///
/// # Errors
/// When it cannot start; signals that cannot be handled are no reason.
pub async fn run(
    bound: Bound,
    strings: SharedStrings,
    stop_timeout: Duration,
    exit_with_parent: bool,
) -> Result<Ended, StartError> {
    // First of all, so that a parent or a signal in our first millisecond is not missed.
    let parent = exit_with_parent.then(ParentGone::watch);
    let mut signals = Signals::new().inspect_err(|error| log::error!("cannot handle signals: {error}")).ok();
    let transports: Vec<_> = bound.transports().iter().map(ToString::to_string).collect();
    let running = bound.start(strings)?;
    log::info!("listening on {}", transports.join(", "));

    let parent_gone = async {
        match &parent {
            Some(parent) => parent.wait().await,
            None => std::future::pending().await,
        }
    };
    let (cause, died) = tokio::select! {
        signal = next(&mut signals) => (signal.to_owned(), false),
        () = parent_gone => ("the parent process is gone".to_owned(), false),
        stage = running.died() => {
            log::error!("the {stage} ended on its own; stopping so that whoever supervises this process notices");
            (format!("the {stage} died"), true)
        }
    };
    let deadline = Deadline::at(Instant::now() + stop_timeout);
    let hurried = deadline.clone();
    let stop = running.stop(&cause, deadline);
    tokio::pin!(stop);
    let report = loop {
        tokio::select! {
            report = &mut stop => break report,
            signal = next(&mut signals) => {
                log::warn!("{signal} again: hurrying");
                hurried.hurry(Instant::now() + HURRIED_STOP);
            }
        }
    };
    Ok(Ended { report, died })
}

async fn next(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
