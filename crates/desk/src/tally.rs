//! What was seen over the whole session, for the summary.

use crate::logs::Logs;
use crate::quantile::Histogram;
use crate::record::SpanRecord;
use crate::store::Store;
use model::stats::StatsPayload;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Pairs of service and operation counted apart; what comes after is counted under [`OTHERS`].
pub(crate) const ROWS_MAX: usize = 500;
/// Trace ids remembered to count traces; beyond, the number is a lower bound.
const TRACE_IDS_MAX: usize = 200_000;
/// Paths counted apart.
const PATHS_MAX: usize = 50;
/// Root spans remembered as the slowest.
const SLOWEST_MAX: usize = 3;
/// The service under which everything beyond [`ROWS_MAX`] is counted.
pub(crate) const OTHERS: &str = "(others)";

/// Counts of the session.
#[derive(Debug, Default)]
pub struct Tally {
    /// Spans received.
    pub spans: u64,
    /// Spans with an error.
    pub errors: u64,
    /// Stats groups received.
    pub stats_groups: u64,
    /// Requests that were refused (they did not unpack or decode).
    pub refused: u64,
    /// Metrics, events and checks.
    pub metrics: Store,
    /// Logs.
    pub logs: Logs,
    /// By service and operation.
    pub(crate) rows: HashMap<(String, String), Row>,
    /// The slowest local roots, slowest first.
    pub(crate) slowest: Vec<Slow>,
    /// Requests and bytes by path, of what is not decoded.
    pub(crate) passed: BTreeMap<String, (u64, u64)>,
    trace_ids: HashSet<u64>,
}

/// One service's operation.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) spans: u64,
    pub(crate) errors: u64,
    /// From the statistics, not from the spans: sampling leaves spans out.
    pub(crate) latency: Histogram,
}

/// A slow root.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) duration: i64,
    pub(crate) service: String,
    pub(crate) resource: String,
    pub(crate) trace_id: (u64, u64),
}

impl Tally {
    /// Traces seen; at least this many after 200,000.
    pub fn traces(&self) -> usize {
        self.trace_ids.len()
    }

    pub(crate) fn add_span(&mut self, span: &SpanRecord) {
        self.spans += 1;
        self.errors += u64::from(span.error);
        if self.trace_ids.len() < TRACE_IDS_MAX {
            self.trace_ids.insert(span.trace_id);
        }
        let row = self.row(&span.service, &span.name);
        row.spans += 1;
        row.errors += u64::from(span.error);
        if span.parent_id == 0 {
            self.add_root(span);
        }
    }

    pub(crate) fn add_stats(&mut self, payload: &StatsPayload) {
        for group in payload.stats.iter().flat_map(|stats| &stats.buckets).flat_map(|bucket| &bucket.groups) {
            self.stats_groups += 1;
            let row = self.row(&group.service, &group.name);
            row.latency.add(&group.ok_summary);
            row.latency.add(&group.error_summary);
        }
    }

    pub(crate) fn add_passed(&mut self, path: &str, bytes: u64) {
        let path =
            if self.passed.len() < PATHS_MAX || self.passed.contains_key(path) { path } else { OTHERS };
        let (requests, total) = self.passed.entry(path.to_owned()).or_default();
        *requests += 1;
        *total = total.saturating_add(bytes);
    }

    fn row(&mut self, service: &str, name: &str) -> &mut Row {
        let key = (service.to_owned(), name.to_owned());
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&key) {
            return self.rows.entry((OTHERS.to_owned(), String::new())).or_default();
        }
        self.rows.entry(key).or_default()
    }

    fn add_root(&mut self, span: &SpanRecord) {
        let place = self.slowest.partition_point(|slow| slow.duration >= span.duration);
        if place < SLOWEST_MAX {
            self.slowest.truncate(SLOWEST_MAX - 1);
            let slow = Slow {
                duration: span.duration,
                service: span.service.clone(),
                resource: span.resource.clone(),
                trace_id: (span.trace_id_high, span.trace_id),
            };
            self.slowest.insert(place, slow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_roots_are_kept_in_order() {
        let mut tally = Tally::default();
        for duration in [5, 9, 1, 7, 3] {
            tally.add_span(&SpanRecord { duration, trace_id: duration as u64, ..SpanRecord::default() });
        }
        let slowest: Vec<_> = tally.slowest.iter().map(|slow| slow.duration).collect();
        assert_eq!(slowest, [9, 7, 5]);
        assert_eq!((tally.traces(), tally.spans), (5, 5));
    }

    #[test]
    fn rows_and_paths_are_bounded_and_the_rest_is_counted_together() {
        let mut tally = Tally::default();
        for number in 0..ROWS_MAX + 10 {
            tally.add_span(&SpanRecord { service: number.to_string(), ..SpanRecord::default() });
            tally.add_passed(&number.to_string(), 2);
        }
        assert_eq!(tally.rows.len(), ROWS_MAX + 1);
        assert_eq!(tally.rows[&(OTHERS.to_owned(), String::new())].spans, 10);
        assert_eq!(tally.passed.len(), PATHS_MAX + 1);
        assert_eq!(tally.passed.values().map(|(requests, _)| requests).sum::<u64>(), ROWS_MAX as u64 + 10);
    }
}
