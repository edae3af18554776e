//! The metrics of the session by context, the states of checks and the latest events, all bounded.
//!
//! Points are merged as a backend does: of two points of one series at one time the later one counts, two
//! sketches of one time add up.

use crate::metric::{Check, Context, Distribution, Event, Kind, Series, Status};
use crate::quantile::{BINS_MAX, MergedSketch};
use std::collections::{BTreeMap, VecDeque};

/// Contexts kept; the points of others are counted.
pub(crate) const CONTEXTS_MAX: usize = 10_000;
/// Memory of contexts, points and bins, roughly.
pub(crate) const KEPT_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Points kept of one context, for its sparkline: ten minutes.
pub(crate) const HISTORY_MAX: usize = 60;
/// Checks whose state is kept.
pub(crate) const CHECKS_MAX: usize = 1_000;
/// Events kept, the latest.
pub(crate) const EVENTS_MAX: usize = 8;
/// What a context costs beside its texts, its points and its bins.
const CONTEXT_BASE_BYTES: usize = 300;
/// What a point costs.
const POINT_BYTES: usize = 16;
/// What a bin costs, roughly.
const BIN_BYTES: usize = 24;

/// What is known of one context.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Of a rate or count: what its values add up to, by interval for a rate.
    pub(crate) total: f64,
    /// Seconds and values, ascending in time. Of a distribution: the 95th percentile of each bucket.
    pub(crate) history: VecDeque<(i64, f64)>,
    /// Of a distribution: all its values.
    pub(crate) sketch: MergedSketch,
    /// There are points that no view has shown.
    pub(crate) changed: bool,
}

impl Entry {
    /// The newest value.
    pub(crate) fn last(&self) -> f64 {
        self.history.back().map_or(0.0, |(_, value)| *value)
    }

    /// Places a value; gives the one that it replaces.
    fn place(&mut self, time: i64, value: f64) -> Option<f64> {
        // Nearly always the newest: at the end.
        let after = self.history.iter().rev().take_while(|(other, _)| *other > time).count();
        let place = self.history.len() - after;
        if let Some((_, old)) =
            place.checked_sub(1).and_then(|at| self.history.get_mut(at)).filter(|(other, _)| *other == time)
        {
            return Some(std::mem::replace(old, value));
        }
        self.history.insert(place, (time, value));
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        None
    }
}

/// The last that is known of one check.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) message: String,
    /// How often it was told.
    pub(crate) told: u64,
    /// It is not what a view has shown.
    pub(crate) changed: bool,
}

/// Name, host and tags of a check.
pub(crate) type CheckKey = (String, String, Vec<String>);

/// Metrics, events and checks of the session.
#[derive(Debug, Default)]
pub struct Store {
    /// Points of series received.
    pub points: u64,
    /// Sketches received.
    pub sketches: u64,
    /// Points and sketches of contexts beyond the bounds.
    pub unkept: u64,
    /// Events received.
    pub events: u64,
    /// Service checks received.
    pub checks: u64,
    pub(crate) contexts: BTreeMap<Context, Entry>,
    pub(crate) latest: VecDeque<Event>,
    /// Events that no view has shown.
    pub(crate) fresh: u64,
    pub(crate) states: BTreeMap<CheckKey, State>,
    bytes: usize,
}

impl Store {
    /// Contexts known.
    pub fn contexts(&self) -> usize {
        self.contexts.len()
    }

    /// Nothing has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.points + self.sketches + self.events + self.checks == 0
    }

    pub(crate) fn add_series(&mut self, series: Series) {
        let points = series.points.len() as u64;
        self.points += points;
        let kind = series.context.kind;
        let Some((entry, bytes)) = self.entry(series.context) else {
            self.unkept += points;
            return;
        };
        let before = entry.history.len();
        for (time, value) in series.points.into_iter().filter(|(_, value)| value.is_finite()) {
            let old = entry.place(time, value).unwrap_or(0.0);
            match kind {
                Kind::Rate => entry.total += (value - old) * f64::from(series.interval.max(1)),
                Kind::Count => entry.total += value - old,
                _ => {}
            }
            entry.changed = true;
        }
        *bytes += (entry.history.len() - before) * POINT_BYTES;
    }

    pub(crate) fn add_distribution(&mut self, distribution: Distribution) {
        let points = distribution.points.len() as u64;
        self.sketches += points;
        let Some((entry, bytes)) = self.entry(distribution.context) else {
            self.unkept += points;
            return;
        };
        let (before, bins) = (entry.history.len(), entry.sketch.bins());
        for point in &distribution.points {
            let room = (KEPT_MAX_BYTES.saturating_sub(*bytes) / BIN_BYTES + bins).min(BINS_MAX);
            entry.sketch.add(point, room);
            let mut bucket = MergedSketch::default();
            bucket.add(point, BINS_MAX);
            if let Some(value) = bucket.quantile(0.95) {
                entry.place(point.timestamp, value);
            }
            entry.changed = true;
        }
        *bytes += (entry.history.len() - before) * POINT_BYTES;
        *bytes += entry.sketch.bins().saturating_sub(bins) * BIN_BYTES;
    }

    pub(crate) fn add_event(&mut self, event: Event) {
        self.events += 1;
        self.fresh += 1;
        if self.latest.len() == EVENTS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(event);
    }

    pub(crate) fn add_check(&mut self, check: Check) {
        self.checks += 1;
        let key = (check.name, check.host, check.tags);
        if self.states.len() >= CHECKS_MAX && !self.states.contains_key(&key) {
            return;
        }
        let state = self.states.entry(key).or_default();
        state.changed |= state.told == 0 || (state.status, &state.message) != (check.status, &check.message);
        state.told += 1;
        (state.status, state.message) = (check.status, check.message);
    }

    /// A view has shown all that changed.
    pub(crate) fn shown(&mut self) {
        self.contexts.values_mut().for_each(|entry| entry.changed = false);
        self.states.values_mut().for_each(|state| state.changed = false);
        self.fresh = 0;
    }

    /// The entry of a context and the bytes of all, unless it is new and the bounds are reached.
    fn entry(&mut self, context: Context) -> Option<(&mut Entry, &mut usize)> {
        if !self.contexts.contains_key(&context) {
            let bytes = self.bytes + CONTEXT_BASE_BYTES + context.cost();
            if self.contexts.len() >= CONTEXTS_MAX || bytes > KEPT_MAX_BYTES {
                return None;
            }
            self.bytes = bytes;
        }
        Some((self.contexts.entry(context).or_default(), &mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Sketch;

    fn context(name: &str, kind: Kind) -> Context {
        Context { name: name.to_owned(), kind, ..Context::default() }
    }

    fn series(name: &str, kind: Kind, points: &[(i64, f64)]) -> Series {
        Series { context: context(name, kind), interval: 10, points: points.to_vec() }
    }

    fn only(store: &Store) -> &Entry {
        store.contexts.values().next().unwrap()
    }

    #[test]
    fn a_rate_adds_up_by_its_interval_and_a_count_as_it_is() {
        let mut store = Store::default();
        store.add_series(series("a", Kind::Rate, &[(10, 0.5), (20, 1.5)]));
        assert_eq!((only(&store).total, only(&store).last()), (20.0, 1.5));
        let mut store = Store::default();
        store.add_series(series("a", Kind::Count, &[(10, 5.0), (20, 2.0)]));
        assert_eq!(only(&store).total, 7.0);
    }

    #[test]
    fn of_two_points_at_one_time_the_later_one_counts_and_late_ones_find_their_place() {
        let mut store = Store::default();
        store.add_series(series("a", Kind::Rate, &[(20, 1.0), (10, 2.0), (20, 3.0)]));
        assert_eq!((only(&store).total, only(&store).last()), (50.0, 3.0));
        assert_eq!(only(&store).history, [(10, 2.0), (20, 3.0)]);
    }

    #[test]
    fn the_kind_is_part_of_the_context() {
        let mut store = Store::default();
        store.add_series(series("a", Kind::Rate, &[(10, 1.0)]));
        store.add_series(series("a", Kind::Gauge, &[(10, 1.0)]));
        assert_eq!(store.contexts(), 2);
    }

    #[test]
    fn history_and_contexts_are_bounded_and_what_did_not_fit_is_counted() {
        let mut store = Store::default();
        let points: Vec<_> = (0..100).map(|time| (time * 10, 1.0)).collect();
        for number in 0..CONTEXTS_MAX + 7 {
            let points = if number < 3 { &points } else { &points[..2] };
            store.add_series(series(&number.to_string(), Kind::Count, points));
        }
        let entry = &store.contexts[&context("0", Kind::Count)];
        assert_eq!((entry.history.len(), entry.history[0].0, entry.total), (HISTORY_MAX, 400, 100.0));
        assert_eq!((store.contexts(), store.unkept), (CONTEXTS_MAX, 14));
    }

    #[test]
    fn long_texts_and_many_bins_stay_within_the_bound_of_bytes() {
        let mut store = Store::default();
        for number in 0..1_000 {
            let name = format!("{number}{}", "x".repeat(90_000));
            store.add_series(series(&name, Kind::Count, &[(0, 1.0)]));
        }
        assert!(store.bytes <= KEPT_MAX_BYTES && store.unkept > 0);
        let mut store = Store::default();
        for number in 0..1_000 {
            let bins = (0..3_000).map(|key| (key, 1)).collect();
            let point = Sketch { count: 3_000, bins, max: 1e20, ..Sketch::default() };
            let context = context(&number.to_string(), Kind::Distribution);
            store.add_distribution(Distribution { context, points: vec![point] });
        }
        assert!(store.bytes <= KEPT_MAX_BYTES + 1_000 * BIN_BYTES, "{}", store.bytes);
    }

    #[test]
    fn values_that_are_no_numbers_change_nothing() {
        let mut store = Store::default();
        store.add_series(series("a", Kind::Rate, &[(10, f64::NAN), (20, f64::INFINITY)]));
        assert!(!only(&store).changed);
        assert_eq!((only(&store).total, store.points), (0.0, 2));
    }

    #[test]
    fn a_check_that_says_the_same_again_has_not_changed() {
        let mut store = Store::default();
        let check = |status| Check { name: "db".to_owned(), status, ..Check::default() };
        let changed = |store: &Store| store.states.values().any(|state| state.changed);
        store.add_check(check(Status::Ok));
        assert!(changed(&store));
        store.shown();
        store.add_check(check(Status::Ok));
        assert!(!changed(&store));
        store.add_check(check(Status::Critical));
        assert!(changed(&store));
        assert_eq!(store.states.values().next().map(|state| state.told), Some(3));
    }

    #[test]
    fn checks_and_events_are_bounded_and_counted() {
        let mut store = Store::default();
        for number in 0..CHECKS_MAX + 5 {
            store.add_check(Check { name: number.to_string(), ..Check::default() });
            store.add_event(Event { title: number.to_string(), ..Event::default() });
        }
        assert_eq!((store.states.len(), store.latest.len()), (CHECKS_MAX, EVENTS_MAX));
        assert_eq!((store.checks, store.events, store.fresh), (1_005, 1_005, 1_005));
        assert_eq!(store.latest.back().map(|event| event.title.as_str()), Some("1004"));
    }
}
