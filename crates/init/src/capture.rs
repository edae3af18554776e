//! What the child writes, seen on its way to where it goes.
//!
//! Bytes as they come, in order, without a notion of lines. The program's output comes first: it is passed on
//! before anybody here looks at it, and whatever happens to who looks, it is passed on.

use crate::sys::Wake;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Which of the child's two output streams.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Output {
    /// Standard output; standard error too where both go to one terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// Who is shown what the child wrote: at least one byte each time, of one stream in order, on a thread of that
/// stream. What the child writes meanwhile waits, so it should return soon.
pub type Sink = Arc<dyn Fn(Output, &[u8]) + Send + Sync>;

/// The wish to see what the child writes ([`crate::Command::capture`]).
#[derive(Clone)]
pub struct Capture {
    sink: Sink,
    /// It panicked once.
    broken: Arc<AtomicBool>,
}

impl Capture {
    /// Shows it to this sink. After a panic of the sink nobody is shown anything any more, which is said once on
    /// standard error; the child's output is still passed on.
    #[must_use]
    pub fn new(sink: Sink) -> Self {
        Self { sink, broken: Arc::default() }
    }

    /// Shows bytes to the sink.
    pub(crate) fn show(&self, output: Output, bytes: &[u8]) {
        if bytes.is_empty() || self.broken.load(Ordering::Relaxed) {
            return;
        }
        // The panic's message was printed where it began.
        let shown = catch_unwind(AssertUnwindSafe(|| (self.sink)(output, bytes)));
        if shown.is_err() && !self.broken.swap(true, Ordering::Relaxed) {
            say("the capture of the program's output has crashed; the output is still passed on");
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Capture").finish_non_exhaustive()
    }
}

/// What is captured of a child's output.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<[Arc<Progress>]>);

impl Captured {
    pub(crate) fn new(streams: Vec<Arc<Progress>>) -> Self {
        Self(streams.into())
    }

    /// Waits until what the child wrote before its end is passed on and shown, or the deadline has come, and says
    /// whether it is. To be called after the child's end. An end of file is not waited for: a process that the child left
    /// behind may hold the stream open. What such a process writes is passed on and shown for as long as this
    /// process lives, after this too.
    pub fn finish(&self, deadline: Instant) -> bool {
        // All of them first: they end side by side.
        for progress in self.0.iter() {
            progress.finish();
        }
        self.0.iter().all(|progress| progress.wait_until(deadline))
    }
}

/// How far one stream is: between who copies and who waits for that.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) wake: Wake,
    finishing: AtomicBool,
    done: Mutex<bool>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, finishing: AtomicBool::new(false), done: Mutex::new(false), changed: Condvar::new() }
    }

    /// Says that the child has ended.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.wake.wake();
    }

    /// Whether the child has ended: what can be read now is the last of it.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    /// Says that what the child wrote is passed on and shown.
    pub(crate) fn is_done(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn wait_until(&self, deadline: Instant) -> bool {
        let mut done = self.lock();
        while !*done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            done = self.changed.wait_timeout(done, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // Nothing panics while it is held.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the user: one write, as the child writes there too.
pub(crate) fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).ok();
}
