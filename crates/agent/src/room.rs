//! The memory bound (`LASTLIGHT_MEMORY`): room is reserved before a byte of telemetry is read, and given
//! back when the last byte is sent or dropped.
//!
//! Who finds no room is told so and keeps its data (429), instead of being made to wait or growing the
//! process (losses.md L6, L33). Each signal has a share, so that one cannot take the whole bound from the
//! others.

use model::Signal;
use model::limits::{
    EVENTS_MEMORY_PERCENT, LOGS_MEMORY_PERCENT, METRICS_MEMORY_PERCENT, PROXIED_MEMORY_PERCENT,
    STATS_MEMORY_PERCENT,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory all telemetry may take, over all signals. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    total: Share,
    signals: [Share; Signal::ALL.len()],
}

#[derive(Debug)]
struct Share {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Share {
    fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: AtomicUsize::new(0) }
    }

    fn used(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    // The counters guard no other memory, so no ordering beyond their own is needed.
    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn force(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Pool {
    fn take(&self, signal: Signal, bytes: usize) -> bool {
        let share = &self.signals[signal as usize];
        if !share.take(bytes) {
            return false;
        }
        let taken = self.total.take(bytes);
        if !taken {
            share.give_back(bytes);
        }
        taken
    }

    fn force(&self, signal: Signal, bytes: usize) {
        self.signals[signal as usize].force(bytes);
        self.total.force(bytes);
    }

    fn give_back(&self, signal: Signal, bytes: usize) {
        self.total.give_back(bytes);
        self.signals[signal as usize].give_back(bytes);
    }
}

impl Budget {
    /// `total_bytes` for all signals together; their shares are those of `model::limits`.
    pub fn new(total_bytes: usize) -> Self {
        let signals = Signal::ALL.map(|signal| Share::new(percent_of(total_bytes, percent(signal))));
        Self { pool: Arc::new(Pool { total: Share::new(total_bytes), signals }) }
    }

    /// Reserves room, or says that there is none now.
    #[must_use = "room that is dropped is given back"]
    pub fn take(&self, signal: Signal, bytes: usize) -> Option<Room> {
        self.pool.take(signal, bytes).then(|| Room { pool: Arc::clone(&self.pool), signal, bytes })
    }

    /// Reserves room for data that cannot be refused any more, even beyond the bound; until that is
    /// given back [`Budget::take`] refuses.
    pub fn force(&self, signal: Signal, bytes: usize) -> Room {
        self.pool.force(signal, bytes);
        Room { pool: Arc::clone(&self.pool), signal, bytes }
    }

    /// The bound of all signals together, bytes.
    pub fn total_bytes(&self) -> usize {
        self.pool.total.limit_bytes
    }

    /// The bound of one signal, bytes.
    pub fn limit(&self, signal: Signal) -> usize {
        self.pool.signals[signal as usize].limit_bytes
    }

    /// What one signal has reserved, bytes.
    pub fn used(&self, signal: Signal) -> usize {
        self.pool.signals[signal as usize].used()
    }

    /// What all signals have reserved, bytes.
    pub fn total_used(&self) -> usize {
        self.pool.total.used()
    }
}

/// Reserved memory; given back when dropped.
#[derive(Debug)]
pub struct Room {
    pool: Arc<Pool>,
    signal: Signal,
    bytes: usize,
}

impl Room {
    /// The bytes reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// For whom.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Reserves `more` bytes; `false`, and nothing changed, when there is no room.
    #[must_use = "without room nothing may be held"]
    pub fn grow(&mut self, more: usize) -> bool {
        let taken = self.pool.take(self.signal, more);
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Gives back all but `bytes`. Never grows.
    pub fn shrink_to(&mut self, bytes: usize) {
        drop(self.split(self.bytes.saturating_sub(bytes)));
    }

    /// Makes the room exactly `bytes`: what is held already is counted even when it is more than there
    /// was room for, and until that is given back [`Budget::take`] refuses.
    pub fn cover(&mut self, bytes: usize) {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.pool.force(self.signal, more);
            self.bytes = bytes;
        } else {
            self.shrink_to(bytes);
        }
    }

    /// Takes over the bytes of `other`, room of the same signal.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(
            Arc::ptr_eq(&self.pool, &other.pool) && self.signal == other.signal,
            "two kinds of room"
        );
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Splits off at most `bytes` of these bytes.
    #[must_use = "room that is dropped is given back"]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { pool: Arc::clone(&self.pool), signal: self.signal, bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pool.give_back(self.signal, self.bytes);
    }
}

impl pipeline::batch::Merge for Room {
    fn merge(&mut self, other: Self) {
        Self::merge(self, other);
    }
}

/// Traces may take what nobody else has taken; the others leave room for them.
fn percent(signal: Signal) -> usize {
    match signal {
        Signal::Traces => 100,
        Signal::Stats => STATS_MEMORY_PERCENT,
        Signal::Metrics => METRICS_MEMORY_PERCENT,
        Signal::Events | Signal::Checks => EVENTS_MEMORY_PERCENT,
        Signal::Logs => LOGS_MEMORY_PERCENT,
        Signal::Proxied => PROXIED_MEMORY_PERCENT,
    }
}

/// A share of `bytes`, without overflow.
pub(crate) fn percent_of(bytes: usize, percent: usize) -> usize {
    (bytes / 100).saturating_mul(percent).saturating_add((bytes % 100).saturating_mul(percent) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn l33_no_room_is_an_answer_and_room_comes_back() {
        let budget = Budget::new(1_000);
        let held = budget.take(Signal::Traces, 900).unwrap();
        assert!(budget.take(Signal::Traces, 101).is_none());
        assert_eq!(budget.used(Signal::Traces), 900, "a refusal takes nothing");
        drop(held);
        assert_eq!((budget.used(Signal::Traces), budget.total_used()), (0, 0));
        assert!(budget.take(Signal::Traces, 1_000).is_some());
    }

    #[test]
    fn a_signal_cannot_take_more_than_its_share() {
        let budget = Budget::new(1_000);
        let proxied = budget.take(Signal::Proxied, 500).unwrap();
        assert!(budget.take(Signal::Proxied, 1).is_none());
        let stats = budget.take(Signal::Stats, 250).unwrap();
        assert!(budget.take(Signal::Stats, 1).is_none());
        assert!(budget.take(Signal::Traces, 250).is_some(), "there is always some left for traces");
        drop((proxied, stats));
    }

    #[test]
    fn what_is_forced_beyond_the_bound_keeps_others_out_until_it_is_gone() {
        let budget = Budget::new(100);
        let mut room = budget.take(Signal::Traces, 80).unwrap();
        room.cover(130);
        assert_eq!(budget.total_used(), 130);
        assert!(budget.take(Signal::Traces, 0).is_none());
        room.cover(90);
        assert!(budget.take(Signal::Traces, 10).is_some());
        drop(budget.force(Signal::Stats, 1_000));
        assert_eq!(budget.total_used(), 90);
    }

    #[test]
    fn shares_do_not_overflow() {
        assert_eq!(percent_of(usize::MAX, 100), usize::MAX);
        assert_eq!(percent_of(199, 50), 99);
        assert_eq!(percent_of(99, 25), 24);
        assert!(Budget::new(usize::MAX).take(Signal::Traces, usize::MAX).is_some());
        let budget = Budget::new(usize::MAX);
        let held = budget.take(Signal::Traces, 5).unwrap();
        assert!(budget.take(Signal::Traces, usize::MAX).is_none());
        drop(held);
    }

    #[test]
    fn threads_never_hold_more_than_the_bound_together() {
        let budget = Budget::new(1_000);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let budget = budget.clone();
                scope.spawn(move || {
                    for step in 0..2_000_usize {
                        let signal = Signal::ALL[(thread + step) % Signal::ALL.len()];
                        let room = budget.take(signal, (step * 7 + thread * 31) % 400);
                        assert!(budget.total_used() <= 1_000);
                        assert!(budget.used(signal) <= budget.limit(signal));
                        drop(room);
                    }
                });
            }
        });
        assert_eq!(budget.total_used(), 0);
        assert_eq!(Signal::ALL.map(|signal| budget.used(signal)), [0; Signal::ALL.len()]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize),
        Grow(usize, usize),
        Shrink(usize, usize),
        Cover(usize, usize),
        Merge(usize),
        Split(usize, usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (which, bytes) = (0_usize..8, 0_usize..400);
        prop_oneof![
            bytes.clone().prop_map(Step::Take),
            (which.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Grow(which, bytes)),
            (which.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Shrink(which, bytes)),
            (which.clone(), bytes.clone()).prop_map(|(which, bytes)| Step::Cover(which, bytes)),
            which.clone().prop_map(Step::Merge),
            (which.clone(), bytes).prop_map(|(which, bytes)| Step::Split(which, bytes)),
            which.prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn what_is_used_is_what_the_rooms_hold(steps in proptest::collection::vec(step(), 0..100)) {
            let budget = Budget::new(1_000);
            let mut rooms: Vec<Room> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(bytes) => {
                        let before = budget.total_used();
                        let room = budget.take(Signal::Traces, bytes);
                        prop_assert_eq!(room.is_some(), before + bytes <= 1_000);
                        rooms.extend(room);
                    }
                    Step::Grow(which, bytes) => if let Some(room) = rooms.get_mut(which) {
                        let before = room.bytes();
                        let grown = room.grow(bytes);
                        prop_assert_eq!(room.bytes(), if grown { before + bytes } else { before });
                    },
                    Step::Shrink(which, bytes) => if let Some(room) = rooms.get_mut(which) {
                        let before = room.bytes();
                        room.shrink_to(bytes);
                        prop_assert_eq!(room.bytes(), before.min(bytes));
                    },
                    Step::Cover(which, bytes) => if let Some(room) = rooms.get_mut(which) {
                        room.cover(bytes);
                        prop_assert_eq!(room.bytes(), bytes);
                    },
                    Step::Merge(which) => if which + 1 < rooms.len() {
                        let other = rooms.remove(which + 1);
                        rooms[which].merge(other);
                    },
                    Step::Split(which, bytes) => if let Some(room) = rooms.get_mut(which) {
                        let part = room.split(bytes);
                        rooms.push(part);
                    },
                    Step::Drop(which) => if which < rooms.len() { drop(rooms.remove(which)); },
                }
                let held: usize = rooms.iter().map(Room::bytes).sum();
                prop_assert_eq!((budget.total_used(), budget.used(Signal::Traces)), (held, held));
            }
            rooms.clear();
            prop_assert_eq!(budget.total_used(), 0);
        }
    }
}
