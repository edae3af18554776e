//! Who is responsible for what we accepted.
//!
//! Accepting is a promise: every accepted unit ends in exactly one outcome, and the outcome is
//! counted. The types keep the promise: a [`Receipt`] cannot be copied, and one that is merely
//! forgotten still settles itself, as [`Why::Forgotten`] (always a bug; asserted zero in tests).

use std::fmt::Debug;
// Not one of those that loom looks at.
use std::sync::Arc as Shared;

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Let go of when all that it is attached to is settled: how somebody who keeps a copy learns that none is needed.
pub type Hold = Shared<dyn Debug + Send + Sync>;

/// The obligation to settle some accepted units of one signal.
///
/// Receipts merge when what they stand for is merged, as in an aggregate or a batch. Merging is an
/// addition: a receipt for a million units is as small as a receipt for one.
#[derive(Debug)]
#[must_use = "accepted units must end delivered or dropped"]
pub struct Receipt {
    ledger: Arc<Ledger>,
    /// Units not settled yet.
    units: u64,
    /// One for each payload of a client that keeps copies. Boxed: most receipts have none.
    #[expect(clippy::box_collection, reason = "a receipt is small")]
    holds: Option<Box<Vec<Hold>>>,
}

impl Receipt {
    /// Keeps `hold` until these units are settled, or those they are merged into. Not for a receipt that is always added
    /// to and taken from: it would keep all it ever got.
    pub fn attach(&mut self, hold: Hold) {
        self.holds.get_or_insert_default().push(hold);
    }

    /// How many units are still to be settled.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Takes over the units of `other`, a receipt of the same ledger.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.ledger, &other.ledger), "receipts of two ledgers");
        self.units += std::mem::take(&mut other.units);
        if let Some(holds) = other.holds.take() {
            let own = self.holds.get_or_insert_default();
            for hold in *holds {
                // Pieces of one payload come one after another.
                if !own.last().is_some_and(|last| Shared::ptr_eq(last, &hold)) {
                    own.push(hold);
                }
            }
        }
    }

    /// Splits off a receipt for at most `units` of these units.
    pub fn take(&mut self, units: u64) -> Self {
        let units = units.min(self.units);
        self.units -= units;
        let holds = if self.units == 0 { self.holds.take() } else { self.holds.clone() };
        Self { ledger: Arc::clone(&self.ledger), units, holds }
    }

    /// The backend has them.
    pub fn delivered(mut self) {
        self.settle(Outcome::Delivered);
    }

    /// They will not be delivered.
    pub fn dropped(mut self, why: Why) {
        self.settle(Outcome::Dropped(why));
    }

    /// Settles with an outcome decided elsewhere.
    pub fn settled(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        let units = std::mem::take(&mut self.units);
        if units > 0 {
            self.ledger.record(outcome, units);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.units == 0 {
            return;
        }
        let why = if std::thread::panicking() {
            Why::Panicked
        } else if self.ledger.closing.load(Ordering::Acquire) {
            Why::Deadline
        } else {
            Why::Forgotten
        };
        self.settle(Outcome::Dropped(why));
    }
}

/// How an accepted unit ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The backend acknowledged it.
    Delivered,
    /// It was dropped, by policy or as a loss.
    Dropped(Why),
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $policy:literal;)*) => {
        /// Why an accepted unit was not delivered.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
        #[repr(u8)]
        pub enum Why { $($(#[$doc])* $variant),* }

        impl Why {
            /// Every reason, in the order in which the books list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in reports, logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Dropped on purpose: an outcome of its own, not a loss.
            pub fn is_policy(self) -> bool {
                match self { $(Self::$variant => $policy),* }
            }
        }
    };
}

reasons! {
    /// The sampler decided against it.
    Sampled = "sampled", true;
    /// A filter rule (`DD_APM_FILTER_TAGS_*`, the metric blocklist) rejected it.
    Filtered = "filtered", true;
    /// Its resource is ignored (`DD_APM_IGNORE_RESOURCES`).
    Ignored = "ignored_resource", true;
    /// The signal has nowhere to go by configuration.
    Disabled = "disabled", true;
    /// It broke a rule of the reference, such as a zero trace id.
    Invalid = "invalid", false;
    /// The stop deadline passed first.
    Deadline = "deadline", false;
    /// It was evicted to admit newer data.
    QueueFull = "queue_full", false;
    /// It does not fit one request to the backend, alone.
    Oversized = "oversized", false;
    /// The backend answered 400.
    BadRequest = "backend_400", false;
    /// The backend answered 401 or 403: the API key is wrong.
    Forbidden = "backend_403", false;
    /// The backend answered 413.
    TooLarge = "backend_413", false;
    /// The backend refused it for good with another status.
    Refused = "backend_refused", false;
    /// A task panicked while it held it: a bug.
    Panicked = "panicked", false;
    /// Nobody settled it: a bug.
    Forgotten = "forgotten", false;
}

/// Counts of everything ever accepted of one signal, by how it ended.
#[derive(Debug)]
pub struct Ledger {
    accepted: AtomicU64,
    delivered: AtomicU64,
    /// Indexed by [`Why`].
    dropped: [AtomicU64; Why::ALL.len()],
    /// The stop deadline has passed: what is forgotten from now on was late, not lost.
    closing: AtomicBool,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            closing: AtomicBool::new(false),
        }
    }
}

impl Ledger {
    /// Takes responsibility for `units`.
    pub fn accept(ledger: &Arc<Self>, units: u64) -> Receipt {
        ledger.accepted.fetch_add(units, Ordering::Relaxed);
        Receipt { ledger: Arc::clone(ledger), units, holds: None }
    }

    /// From now on a forgotten receipt counts as [`Why::Deadline`].
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The counts at one moment; `held` is never negative.
    pub fn book(&self) -> Book {
        // Settled before accepted: whoever sees a settlement sees the acceptance behind it.
        let mut dropped = [0; Why::ALL.len()];
        for (count, counter) in dropped.iter_mut().zip(&self.dropped) {
            *count = counter.load(Ordering::Acquire);
        }
        let delivered = self.delivered.load(Ordering::Acquire);
        let settled = delivered + dropped.iter().sum::<u64>();
        let accepted = self.accepted.load(Ordering::Relaxed);
        Book { accepted, delivered, dropped, held: accepted - settled }
    }

    fn record(&self, outcome: Outcome, units: u64) {
        match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::Dropped(why) => &self.dropped[why as usize],
        }
        .fetch_add(units, Ordering::Release);
    }
}

/// A ledger read at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Book {
    /// Units accepted since the start.
    pub accepted: u64,
    /// Units the backend acknowledged.
    pub delivered: u64,
    dropped: [u64; Why::ALL.len()],
    /// Units accepted and not settled yet. Zero after a complete stop.
    pub held: u64,
}

impl Book {
    /// Units dropped for one reason.
    pub fn dropped(&self, why: Why) -> u64 {
        self.dropped[why as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (Why, u64)> + '_ {
        Why::ALL.iter().map(|why| (*why, self.dropped(*why))).filter(|(_, units)| *units > 0)
    }

    /// Units lost: dropped for a reason that is not a policy.
    pub fn lost(&self) -> u64 {
        self.drops().filter(|(why, _)| !why.is_policy()).map(|(_, units)| units).sum()
    }
}

/// A kind of telemetry with books of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Signal {
    /// Unit: span.
    Traces,
    /// Unit: group (one key in one bucket).
    Stats,
    /// Unit: sample (one value of a DogStatsD line).
    Metrics,
    /// Unit: event.
    Events,
    /// Unit: service check.
    Checks,
    /// Unit: log (a line, or several that belong together).
    Logs,
    /// Unit: request.
    Proxied,
}

impl Signal {
    /// Every signal, in the order of the report.
    pub const ALL: [Self; 7] =
        [Self::Traces, Self::Stats, Self::Metrics, Self::Events, Self::Checks, Self::Logs, Self::Proxied];

    /// The name used in reports, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Stats => "stats",
            Self::Metrics => "metrics",
            Self::Events => "events",
            Self::Checks => "checks",
            Self::Logs => "logs",
            Self::Proxied => "proxied",
        }
    }

    /// What one counted unit is.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Stats => "groups",
            Self::Metrics => "samples",
            Self::Events => "events",
            Self::Checks => "checks",
            Self::Logs => "logs",
            Self::Proxied => "requests",
        }
    }
}

/// The ledgers of all signals.
#[derive(Clone, Debug, Default)]
pub struct Books {
    ledgers: [Arc<Ledger>; Signal::ALL.len()],
}

impl Books {
    /// Takes responsibility for `units` of `signal`.
    pub fn accept(&self, signal: Signal, units: u64) -> Receipt {
        Ledger::accept(&self.ledgers[signal as usize], units)
    }

    /// The counts of one signal.
    pub fn book(&self, signal: Signal) -> Book {
        self.ledgers[signal as usize].book()
    }

    /// From now on forgotten receipts count as [`Why::Deadline`].
    pub fn close(&self) {
        for ledger in &self.ledgers {
            ledger.close();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_let_go_of_when_its_last_unit_is_settled() {
        let books = Books::default();
        let (first, second): (Hold, Hold) = (Shared::new(1), Shared::new(2));
        let kept = |hold: &Hold| Shared::strong_count(hold) - 1;
        let mut receipt = books.accept(Signal::Traces, 3);
        receipt.attach(Shared::clone(&first));
        let part = receipt.take(1);
        assert_eq!(kept(&first), 2);
        let mut other = books.accept(Signal::Traces, 1);
        other.attach(Shared::clone(&second));
        receipt.merge(other);
        receipt.merge(part);
        receipt.delivered();
        assert_eq!((kept(&first), kept(&second)), (0, 0));
    }

    #[test]
    fn every_unit_settles_exactly_once() {
        let books = Books::default();
        books.accept(Signal::Traces, 1).delivered();
        books.accept(Signal::Traces, 2).dropped(Why::Refused);
        drop(books.accept(Signal::Traces, 3));
        let book = books.book(Signal::Traces);
        assert_eq!((book.accepted, book.held, book.delivered), (6, 0, 1));
        assert_eq!(book.dropped(Why::Refused), 2);
        assert_eq!(book.dropped(Why::Forgotten), 3);
        assert_eq!(books.book(Signal::Stats), Book::default());
    }

    #[test]
    fn a_merged_receipt_settles_for_both_and_a_split_one_apart() {
        let books = Books::default();
        let mut batch = books.accept(Signal::Traces, 1);
        batch.merge(books.accept(Signal::Traces, 4));
        let part = batch.take(2);
        batch.delivered();
        part.dropped(Why::Sampled);
        let book = books.book(Signal::Traces);
        assert_eq!((book.held, book.delivered, book.dropped(Why::Sampled)), (0, 3, 2));
        assert_eq!(book.lost(), 0);
    }

    #[test]
    fn what_is_forgotten_after_the_deadline_was_late() {
        let books = Books::default();
        let receipt = books.accept(Signal::Stats, 5);
        books.close();
        drop(receipt);
        assert_eq!(books.book(Signal::Stats).dropped(Why::Deadline), 5);
    }
}
