//! The agent on a thread of its own, with a face that blocks: for a program whose main thread has other work.
//!
//! Whatever happens in here stays in here: a panic ends this thread and not the process, and every call from
//! outside returns in bounded time.

use crate::compose::{Bound, Running, SharedStrings};
use crate::report::Report;
use lifecycle::{Deadline, Instant};
use std::io;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Requests that wait for the agent's thread; one more means that it does not listen any more.
const ORDERS_MAX_COUNT: usize = 16;
/// How often what came since is flushed while a program takes its time to end: all that a kill can cost.
const ENDING_FLUSH_PERIOD: Duration = Duration::from_secs(1);
/// What is left of the grace when everything, open buckets too, is flushed once more.
const LAST_FLUSH_BEFORE: Duration = Duration::from_secs(1);
/// How much longer than its deadline a stop is waited for: counting what was late, and the threads' turn.
const STOP_SLACK: Duration = Duration::from_millis(500);

/// What the owner wants.
#[derive(Debug)]
enum Order {
    /// The platform's grace has begun, and ends then.
    Ending(Instant),
    /// The wrapped program's exit code.
    Ended(u8),
    Stop(String, Deadline),
}

/// A running agent and its thread.
#[derive(Debug)]
pub struct Embedded {
    orders: mpsc::Sender<Order>,
    ended: blocking::Receiver<Report>,
}

impl Embedded {
    /// Starts what was bound within `runtime`, on a new thread, and returns at once. What cannot start is logged, and
    /// the agent is then as if it had ended.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(runtime: Runtime, bound: Bound, strings: SharedStrings) -> io::Result<Self> {
        // What blocks (packing, looking up names) waits for a thread that there is, but panics where none can be had:
        // one is there from now on, as long as the runtime keeps it. The first asks whether there is one.
        let asked = thread::Builder::new().spawn(|| ())?;
        asked.join().ok();
        drop(runtime.spawn_blocking(|| ()));
        let (orders, received) = mpsc::channel(ORDERS_MAX_COUNT);
        let (report, ended) = blocking::sync_channel(1);
        thread::Builder::new().name("lastlight".to_owned()).spawn(move || {
            let last = runtime.block_on(async {
                let transports: Vec<_> = bound.transports().iter().map(ToString::to_string).collect();
                match bound.start(strings) {
                    Ok(running) => {
                        log::info!("listening on {}", transports.join(", "));
                        Some(run(running, received).await)
                    }
                    Err(error) => {
                        log::error!("the agent cannot start: {error}");
                        None
                    }
                }
            });
            // Nobody is left to read it when the owner did not wait.
            last.map(|last| report.send(last).ok());
            // Whatever still blocks a thread must not hold the exit up.
            runtime.shutdown_background();
        })?;
        Ok(Self { orders, ended })
    }

    /// The platform will end this process then: everything held is sent now, and what comes until then soon after
    /// it came. Returns at once.
    pub fn ending(&self, deadline: Instant) {
        self.orders.try_send(Order::Ending(deadline)).ok();
    }

    /// The wrapped program has ended so. Returns at once.
    pub fn program_ended(&self, exit_code: u8) {
        self.orders.try_send(Order::Ended(exit_code)).ok();
    }

    /// Stops by the deadline, which may be brought forward meanwhile. `None` when the agent could not start, or did
    /// not end in time.
    pub fn stop(self, cause: &str, deadline: &Deadline) -> Option<Report> {
        self.orders.try_send(Order::Stop(cause.to_owned(), deadline.clone())).ok()?;
        loop {
            let left = (deadline.instant() + STOP_SLACK).saturating_duration_since(Instant::now());
            // In steps, as the deadline may be brought forward meanwhile.
            match self.ended.recv_timeout(left.min(STOP_SLACK)) {
                Ok(report) => return Some(report),
                Err(blocking::RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return None,
            }
        }
    }
}

/// When to flush while the grace runs, and how much.
#[derive(Debug)]
struct Flushes {
    end: Instant,
    next: Instant,
    /// Everything was flushed once more before the end.
    was_last: bool,
}

impl Flushes {
    /// After everything was flushed at `now`.
    fn new(end: Instant, now: Instant) -> Self {
        Self { end, next: now + ENDING_FLUSH_PERIOD, was_last: false }
    }

    /// It is time: whether everything is to be flushed, open buckets too.
    fn turn(&mut self, now: Instant) -> bool {
        let is_last = !self.was_last && now + LAST_FLUSH_BEFORE >= self.end;
        self.was_last |= is_last;
        self.next = now + ENDING_FLUSH_PERIOD;
        is_last
    }
}

async fn run(running: Running, mut orders: mpsc::Receiver<Order>) -> Report {
    let mut flushes: Option<Flushes> = None;
    let mut died = false;
    loop {
        let next_flush = flushes.as_ref().map(|flushes| flushes.next);
        let order = tokio::select! {
            order = orders.recv() => order,
            stage = running.died(), if !died => {
                died = true;
                log::error!("the {stage} ended on its own; what it did is not done any more");
                continue;
            }
            () = tokio::time::sleep_until(next_flush.unwrap_or_else(Instant::now)), if next_flush.is_some() => {
                if let Some(flushes) = &mut flushes {
                    running.flush(flushes.turn(Instant::now()));
                }
                continue;
            }
        };
        match order {
            Some(Order::Ending(end)) => {
                running.flush(true);
                flushes = Some(Flushes::new(end, Instant::now()));
            }
            Some(Order::Ended(exit_code)) => running.program_ended(exit_code),
            Some(Order::Stop(cause, deadline)) => return running.stop(&cause, deadline).await,
            // The owner is gone without a word.
            None => {
                return running
                    .stop("nobody needs the agent any more", Deadline::at(Instant::now() + STOP_SLACK))
                    .await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_grace_runs_everything_is_flushed_once_more_a_second_before_its_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut flushes = Flushes::new(at(9), start);
        let mut told = Vec::new();
        while flushes.next < at(12) {
            let now = flushes.next;
            told.push((now.saturating_duration_since(start).as_secs(), flushes.turn(now)));
        }
        let whole: Vec<u64> = told.iter().filter(|(_, all)| *all).map(|(at, _)| *at).collect();
        assert_eq!(whole, [8]);
        assert_eq!(told.len(), 11, "and the rest each second: {told:?}");
        // A late turn, as when the processor was taken away, is the last one too.
        let mut late = Flushes::new(at(9), start);
        assert!(late.turn(at(20)) && !late.turn(at(21)));
    }
}
