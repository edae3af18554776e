//! Logs: from bytes of a wrapped program, of files and of `/v1/input` to the forwarder.
//!
//! Whoever reads a stream runs its bytes to completion on its own thread: lines, records, rules, what a line says of
//! itself, the encoded form. Accepting a log is filing that form in the outbox, under a lock that is held for one copy.
//! Nothing here makes a reader wait: without room a log is dropped, and counted with that reason (losses.md L88).
//! One stage ([`Logs::run`]) takes batches out.

mod files;
mod held;
mod input;
mod program;
mod stream;

pub(crate) use files::Follower;
pub use program::ProgramOutput;
pub(crate) use stream::LogStream;

use crate::clock;
use crate::forward::{Forwarder, Kind};
use crate::logging::SayOnce;
use crate::packing::{Packer, Packing};
use crate::room::{Budget, Room};
use crate::shipping::{Parcel, Shipper, Wrap};
use lifecycle::Close;
use model::limits::{LOG_BATCH_MAX_BYTES, LOG_BATCH_MAX_COUNT};
use model::{Books, Hold, Receipt, Signal, Why};
use pipeline::logs::{Grouping, LogRules};
use pipeline::outbox::{Batch, Bounds, ENTRY_OVERHEAD_BYTES, Outbox};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, SetOnce};

/// Room that the outbox takes, or gives back, at one time.
const ROOM_STEP_BYTES: usize = 256 * 1024;
/// Least time between two looks at what is due.
const TICK: Duration = Duration::from_millis(5);
/// Room in a payload for the tags that are added when it is sent, for each log. More tags make more payloads.
const TAGS_RESERVE_BYTES: usize = 1_024;

static PARCEL: Parcel = Parcel {
    kind: Kind::Logs,
    path: "",
    content_type: "application/json",
    bytes_max: LOG_BATCH_MAX_BYTES,
    packed_max: LOG_BATCH_MAX_BYTES,
    advice: "use fewer or shorter tags (DD_TAGS)",
};

/// What the parts below need of the configuration.
#[derive(Debug)]
pub(crate) struct LogsSettings {
    /// Host of the agent; empty where there is none.
    pub(crate) hostname: String,
    /// Service of what says none; empty where there is none.
    pub(crate) service: String,
    /// Source of what says none.
    pub(crate) source: String,
    /// What is left out, kept, masked.
    pub(crate) rules: LogRules,
    /// Which lines belong together.
    pub(crate) grouping: Grouping,
    pub(crate) batch_wait: Duration,
    pub(crate) packing: Packing,
}

/// Everything from a stream of bytes to the forwarder.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) settings: Arc<LogsSettings>,
    hot: Mutex<Hot>,
    /// Streams whose last lines may wait for the next one.
    streams: Mutex<Vec<Arc<LogStream>>>,
    /// Tags of everything, between commas; set with the platform's.
    tags: SetOnce<String>,
    wake: Notify,
    /// Everything is to be sent now.
    flush: AtomicBool,
    books: Books,
    budget: Budget,
    counts: Counts,
    say: Arc<SayOnce>,
}

/// What was refused before it was accepted, and what was cut.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Entries of `/v1/input` that were none.
    pub(crate) bad_entries: AtomicU64,
    /// Logs that are longer than [`model::limits::LOG_MAX_BYTES`], each part counted.
    pub(crate) truncated: AtomicU64,
}

impl Counts {
    /// The part of `/lastlight/status` about logs.
    pub(crate) fn document(&self) -> Value {
        json!({
            "bad_entries": self.bad_entries.load(Ordering::Relaxed),
            "truncated": self.truncated.load(Ordering::Relaxed),
        })
    }

    /// Rows for `/lastlight/metrics`.
    pub(crate) fn families(&self, family: &mut impl FnMut(&str, &str, &str, Vec<(String, u64)>)) {
        let mut one = |name, help, count: &AtomicU64| {
            family(name, "counter", help, vec![(String::new(), count.load(Ordering::Relaxed))]);
        };
        one("logs_bad_entries_total", "Entries of /v1/input that were no logs.", &self.bad_entries);
        one("logs_truncated_total", "Parts of logs that were too long for one.", &self.truncated);
    }
}

/// What a log touches.
#[derive(Debug)]
struct Hot {
    outbox: Outbox,
    /// For all logs in the outbox.
    receipt: Receipt,
    room: Room,
    /// Logs that went into the outbox, and out of it, since the start.
    filed: u64,
    sent: u64,
    /// Which logs in the outbox somebody keeps a copy of, by those numbers.
    holds: VecDeque<(Range<u64>, Hold)>,
    /// The stage has ended: nobody is left to send what comes.
    is_over: bool,
}

/// Encoded logs, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many more there were that rules left out.
    filtered: u64,
}

impl Encoded {
    /// Adds one, as [`held`] has it or open, as `wire::intake::logs::encode` writes it.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.filtered = 0;
    }
}

impl Logs {
    pub(crate) fn new(settings: LogsSettings, books: &Books, budget: Budget, say: Arc<SayOnce>) -> Self {
        let bounds = Bounds {
            bytes: LOG_BATCH_MAX_BYTES - LOG_BATCH_MAX_COUNT * TAGS_RESERVE_BYTES,
            points: LOG_BATCH_MAX_COUNT,
        };
        Self {
            settings: Arc::new(settings),
            hot: Mutex::new(Hot {
                outbox: Outbox::new(bounds),
                receipt: books.accept(Signal::Logs, 0),
                filed: 0,
                sent: 0,
                holds: VecDeque::new(),
                room: budget.force(Signal::Logs, 0),
                is_over: false,
            }),
            streams: Mutex::default(),
            tags: SetOnce::new(),
            wake: Notify::new(),
            flush: AtomicBool::new(false),
            books: books.clone(),
            budget,
            counts: Counts::default(),
            say,
        }
    }

    /// The tags of everything, once they are known. Batches wait for them, so whoever calls it bounds that wait; the
    /// first call wins.
    pub(crate) fn set_tags(&self, tags: &[String]) {
        self.tags.set(tags.join(",")).ok();
    }

    /// What was refused or cut.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sends what is held as soon as may be, records that wait for a further line too.
    pub(crate) fn flush_now(&self) {
        self.flush.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether there is room for more: who can wait should.
    pub(crate) fn has_room(&self) -> bool {
        let held = self.lock().room.bytes();
        held < self.budget.limit(Signal::Logs) / 2
    }

    /// Accepts encoded logs, or drops those that find no room. Never waits. `hold` is kept until all of them are settled.
    pub(crate) fn file(&self, encoded: &Encoded, hold: Option<Hold>) {
        if encoded.filtered > 0 {
            self.books.accept(Signal::Logs, encoded.filtered).dropped(Why::Filtered);
        }
        if encoded.ends.is_empty() {
            return;
        }
        let now_ns = clock::unix_nanos();
        let mut dropped = 0;
        let mut hot = self.lock();
        if hot.is_over {
            // What a program left behind still writes after the stop's time.
            return self.books.accept(Signal::Logs, encoded.ends.len() as u64).dropped(Why::Deadline);
        }
        let was_empty = hot.outbox.since_ns().is_none();
        let mut start = 0;
        // Looked up once: it is a sum over all batches.
        let mut held = hot.outbox.held_bytes();
        for &end in &encoded.ends {
            let entry = &encoded.bytes[start..end];
            start = end;
            let needed = held + entry.len() + ENTRY_OVERHEAD_BYTES;
            if needed > hot.room.bytes() && !hot.room.grow(ROOM_STEP_BYTES.max(entry.len())) {
                dropped += 1;
                continue;
            }
            held = needed;
            hot.outbox.push(1, 1, now_ns, |out| out.extend_from_slice(entry));
        }
        // Memory grows in steps of its own.
        let held = hot.outbox.held_bytes();
        hot.room.cover(held);
        let taken = encoded.ends.len() as u64 - dropped;
        hot.receipt.merge(self.books.accept(Signal::Logs, taken));
        hot.filed += taken;
        if let Some(hold) = hold {
            let filed = hot.filed;
            hot.holds.push_back((filed - taken..filed, hold));
        }
        let is_full = hot.outbox.has_full();
        drop(hot);
        if dropped > 0 {
            self.books.accept(Signal::Logs, dropped).dropped(Why::QueueFull);
            self.say.warn("logs without room", || {
                "logs were dropped: they come faster than the backend takes them (LASTLIGHT_MEMORY is the bound)"
                    .into()
            });
        }
        if was_empty || is_full {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hot> {
        // A panic cost the read in which it happened; what was filed is whole.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Arc<LogStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs as a stage: batches in time, and everything at the end.
    pub(crate) async fn run(self: Arc<Self>, forwarder: Forwarder, close: Close) {
        let shipper = Shipper {
            forwarder,
            budget: self.budget.clone(),
            packing: self.settings.packing,
            say: Arc::clone(&self.say),
        };
        // Before the metadata server has answered, the platform's tags would be missing. At a stop they are set by a stage
        // upstream, which has ended when this one is asked to.
        tokio::select! {
            _ = self.tags.wait() => {}
            () = close.requested() => {}
        }
        let mut stopping = false;
        loop {
            let wait = self.next_look();
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = close.stop_begun(), if !stopping => {
                    stopping = true;
                    self.flush.store(true, Ordering::Release);
                }
                () = close.requested() => break,
            }
            let all = self.flush.swap(false, Ordering::AcqRel);
            self.flush_in_time(all, &shipper, &close).await;
        }
        self.flush_in_time(true, &shipper, &close).await;
        let mut hot = self.lock();
        hot.is_over = true;
        hot.receipt.take(u64::MAX).dropped(Why::Deadline);
        hot.holds.clear();
    }

    /// Flushes until this stage's time is spent.
    async fn flush_in_time(&self, all: bool, shipper: &Shipper, close: &Close) {
        let now_ns = clock::unix_nanos();
        let streams = self.streams().clone();
        for stream in &streams {
            if all { stream.flush() } else { stream.tick(now_ns) }
        }
        self.streams().retain(|stream| !stream.is_finished());
        let is_due = self.due_ns().is_some_and(|due| due <= now_ns);
        tokio::select! {
            biased;
            () = close.abandoned() => {}
            () = self.send(all || is_due, shipper) => {}
        }
    }

    /// When what is held is due, in nanoseconds since 1970.
    fn due_ns(&self) -> Option<i64> {
        let batch_wait = i64::try_from(self.settings.batch_wait.as_nanos()).unwrap_or(i64::MAX);
        self.lock().outbox.since_ns().map(|since| since.saturating_add(batch_wait))
    }

    /// How long until something is due.
    fn next_look(&self) -> Option<Duration> {
        let records = self.streams().iter().filter_map(|stream| stream.next_deadline_ns()).min();
        let due = self.due_ns().into_iter().chain(records).min()?;
        let wait = due.saturating_sub(clock::unix_nanos());
        Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).max(TICK))
    }

    /// Sends full batches, or with `all` whatever there is.
    async fn send(&self, all: bool, shipper: &Shipper) {
        let (tags, settings) = (self.tags.get().cloned().unwrap_or_default(), Arc::clone(&self.settings));
        let mut packer = Packer::default();
        let wrap: Wrap = Arc::new(move |batch: &Batch| held::body(batch, &tags, &settings));
        loop {
            let (batch, receipt) = {
                let mut hot = self.lock();
                let Some(batch) = hot.outbox.pop(all) else { break };
                let mut receipt = hot.receipt.take(batch.samples());
                hot.sent += batch.samples();
                let sent = hot.sent;
                while let Some((logs, hold)) = hot.holds.front()
                    && logs.start < sent
                {
                    receipt.attach(Hold::clone(hold));
                    if logs.end > sent {
                        // The rest is in the next batch.
                        break;
                    }
                    hot.holds.pop_front();
                }
                let needed = hot.outbox.held_bytes().next_multiple_of(ROOM_STEP_BYTES);
                hot.room.shrink_to(needed);
                (batch, receipt)
            };
            shipper.ship(&PARCEL, batch, receipt, Some(Arc::clone(&wrap)), &mut packer).await;
        }
    }
}

#[cfg(test)]
mod tests;
