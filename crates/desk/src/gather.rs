//! Parts of traces, held until each trace is worth showing.
//!
//! A trace reaches the backend in parts: each process sends its own, and long traces are flushed as
//! they grow. A trace is shown when its root and every parent are there and a short time was quiet,
//! or after a longer quiet time without them, or at the end. It is then kept for a while, so that a
//! late part is shown where it belongs. Its logs, which come by another way, are shown with whichever part comes next, or
//! as a part of their own. Time is an argument: how long the desk has been up.

use crate::logs::{LogRecord, TRACE_WAIT_MAX, Waiting};
use crate::record::SpanRecord;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Traces held at one time, shown ones included.
pub(crate) const TRACES_HELD_MAX: usize = 1_000;
/// Spans held at one time.
pub(crate) const SPANS_HELD_MAX: usize = 50_000;
/// Memory of the held spans, roughly.
pub(crate) const HELD_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Spans held of one trace; the rest is counted and said.
pub(crate) const SPANS_PER_TRACE_MAX: usize = 10_000;
/// How long a complete trace is quiet before it is shown.
pub(crate) const COMPLETE_QUIET: Duration = Duration::from_millis(300);
/// How long an incomplete one is: longer than tracers (1 s) and the agent wait to send.
pub(crate) const INCOMPLETE_QUIET: Duration = Duration::from_secs(5);
/// How long a shown trace is kept for late parts.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(120);

const _: () = assert!(SPANS_PER_TRACE_MAX < SPANS_HELD_MAX);

/// A trace, or a late part of one, ready to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// High half of the trace id; 0 when no span carried it.
    pub trace_id_high: u64,
    /// Low half of the trace id.
    pub trace_id: u64,
    /// 1 for the first part shown of the trace.
    pub part: u32,
    /// All spans held of the trace.
    pub spans: &'a [SpanRecord],
    /// Where the spans begin that were not shown before.
    pub fresh: usize,
    /// Spans that arrived since the last part and were not held.
    pub unheld: u64,
    /// The root and every parent are there.
    pub complete: bool,
    /// Logs of the trace that were not shown before, in the order of their arrival. There may be no fresh span then.
    pub logs: &'a [LogRecord],
}

/// The traces held.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    traces: HashMap<u64, Held>,
    spans: usize,
    bytes: usize,
    logs: Waiting,
}

#[derive(Debug, Default)]
struct Held {
    trace_id_high: u64,
    spans: Vec<SpanRecord>,
    bytes: usize,
    shown: usize,
    parts: u32,
    unheld: u64,
    last_arrival: Duration,
    complete: bool,
    /// Spans were added since `complete` was worked out.
    changed: bool,
    /// Logs arrived that were not shown.
    logs: bool,
}

impl Held {
    fn waits(&self) -> bool {
        self.has_spans() || self.logs
    }

    /// There are spans that were not shown.
    fn has_spans(&self) -> bool {
        self.shown < self.spans.len() || self.unheld > 0
    }

    /// Works `complete` out again where spans were added.
    fn refresh(&mut self) {
        if std::mem::take(&mut self.changed) {
            let ids: HashSet<u64> = self.spans.iter().map(|span| span.span_id).collect();
            let root = self.spans.iter().any(|span| span.parent_id == 0);
            self.complete =
                root && self.spans.iter().all(|span| span.parent_id == 0 || ids.contains(&span.parent_id));
        }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        if !self.waits() {
            return false;
        }
        self.refresh();
        let quiet = if self.complete || !self.has_spans() { COMPLETE_QUIET } else { INCOMPLETE_QUIET };
        now.saturating_sub(self.last_arrival) >= quiet
    }

    fn show(&mut self, trace_id: u64, logs: &[LogRecord], show: &mut dyn FnMut(Group<'_>)) {
        self.refresh();
        self.logs = false;
        if self.has_spans() {
            self.parts = self.parts.saturating_add(1);
        } else if logs.is_empty() {
            // They had to leave.
            return;
        }
        show(Group {
            trace_id_high: self.trace_id_high,
            trace_id,
            part: self.parts,
            spans: &self.spans,
            fresh: self.shown,
            unheld: std::mem::take(&mut self.unheld),
            complete: self.complete,
            logs,
        });
        self.shown = self.spans.len();
    }

    fn start(&self) -> i64 {
        self.spans.iter().map(|span| span.start).min().unwrap_or(0)
    }
}

impl Gathering {
    /// Takes a span. What must go to make room is shown first.
    pub(crate) fn add(&mut self, span: SpanRecord, now: Duration, show: &mut dyn FnMut(Group<'_>)) {
        let cost = span.cost();
        let known = self.traces.contains_key(&span.trace_id);
        if (!known && self.traces.len() >= TRACES_HELD_MAX)
            || self.spans >= SPANS_HELD_MAX
            || self.bytes.saturating_add(cost) > HELD_MAX_BYTES
        {
            self.make_room(span.trace_id, show);
        }
        let full = self.spans >= SPANS_HELD_MAX || self.bytes.saturating_add(cost) > HELD_MAX_BYTES;
        let held = self.traces.entry(span.trace_id).or_default();
        held.last_arrival = now;
        if held.trace_id_high == 0 {
            held.trace_id_high = span.trace_id_high;
        }
        if full || held.spans.len() >= SPANS_PER_TRACE_MAX {
            held.unheld = held.unheld.saturating_add(1);
            return;
        }
        held.changed = true;
        held.bytes += cost;
        held.spans.push(span);
        self.bytes += cost;
        self.spans += 1;
    }

    /// Takes a log of a trace; gives how many others had to leave.
    pub(crate) fn add_log(&mut self, log: LogRecord, now: Duration) -> u64 {
        if let Some(held) = self.traces.get_mut(&log.trace_id) {
            // Spans that wait do not wait longer for a log.
            if !held.waits() {
                held.last_arrival = now;
            }
            held.logs = true;
        }
        self.logs.add(log, now)
    }

    /// Gives the logs that have waited long enough for a trace that has not come.
    pub(crate) fn take_stale_logs(&mut self, now: Duration) -> Vec<LogRecord> {
        let Self { traces, logs, .. } = self;
        match now.checked_sub(TRACE_WAIT_MAX) {
            Some(since) => logs.take_stale(since, |trace_id| traces.contains_key(&trace_id)),
            None => Vec::new(),
        }
    }

    /// Gives the logs of all traces that have not come.
    pub(crate) fn take_all_logs(&mut self) -> Vec<LogRecord> {
        self.logs.take_stale(Duration::MAX, |_| false)
    }

    /// Shows what has been quiet long enough, oldest first, and forgets what was shown long ago.
    pub(crate) fn tick(&mut self, now: Duration, show: &mut dyn FnMut(Group<'_>)) {
        let mut due: Vec<_> = self
            .traces
            .iter_mut()
            .filter_map(|(id, held)| held.is_due(now).then(|| (held.start(), *id)))
            .collect();
        model::order::sort(&mut due);
        for (_, id) in due {
            if let Some(held) = self.traces.get_mut(&id) {
                held.show(id, &self.logs.take(id), show);
            }
        }
        let old: Vec<u64> = self
            .traces
            .iter()
            .filter(|(_, held)| !held.waits() && now.saturating_sub(held.last_arrival) >= LATE_MAX)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.forget(id);
        }
    }

    /// Shows everything that waits, oldest first.
    pub(crate) fn finish(&mut self, show: &mut dyn FnMut(Group<'_>)) {
        let mut waiting: Vec<_> = self
            .traces
            .iter()
            .filter(|(_, held)| held.waits())
            .map(|(id, held)| (held.start(), *id))
            .collect();
        model::order::sort(&mut waiting);
        for (_, id) in waiting {
            if let Some(held) = self.traces.get_mut(&id) {
                held.show(id, &self.logs.take(id), show);
            }
        }
    }

    /// Lets go of a quarter of the traces: shown ones first, then the longest quiet, which are
    /// shown as they are. `keep` is about to grow and stays.
    fn make_room(&mut self, keep: u64, show: &mut dyn FnMut(Group<'_>)) {
        let mut order: Vec<_> = self
            .traces
            .iter()
            .filter(|(id, _)| **id != keep)
            .map(|(id, held)| (held.waits(), held.last_arrival, held.start(), *id))
            .collect();
        model::order::sort(&mut order);
        let share = self.traces.len().div_ceil(4);
        for (waits, _, _, id) in order.into_iter().take(share) {
            if let Some(held) = self.traces.get_mut(&id).filter(|_| waits) {
                held.show(id, &self.logs.take(id), show);
            }
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(held) = self.traces.remove(&id) {
            self.spans -= held.spans.len();
            self.bytes -= held.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(trace_id: u64, span_id: u64, parent_id: u64) -> SpanRecord {
        SpanRecord { trace_id, span_id, parent_id, start: trace_id as i64, ..SpanRecord::default() }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What was shown: trace, part, fresh spans, complete.
    type Shown = Vec<(u64, u32, usize, bool)>;

    fn record(shown: &mut Shown) -> impl FnMut(Group<'_>) {
        |group| shown.push((group.trace_id, group.part, group.spans.len() - group.fresh, group.complete))
    }

    #[test]
    fn a_complete_trace_is_shown_once_after_a_short_quiet_time() {
        let mut gathering = Gathering::default();
        let mut shown = Shown::new();
        let mut show = record(&mut shown);
        gathering.add(span(1, 11, 10), ms(0), &mut show);
        gathering.add(span(1, 10, 0), ms(100), &mut show);
        gathering.tick(ms(399), &mut show);
        gathering.tick(ms(400), &mut show);
        gathering.tick(ms(9_000), &mut show);
        gathering.finish(&mut show);
        drop(show);
        assert_eq!(shown, [(1, 1, 2, true)]);
    }

    #[test]
    fn without_its_root_a_trace_waits_longer_and_is_shown_all_the_same() {
        let mut gathering = Gathering::default();
        let mut shown = Shown::new();
        let mut show = record(&mut shown);
        gathering.add(span(1, 11, 10), ms(0), &mut show);
        gathering.tick(ms(4_999), &mut show);
        gathering.tick(ms(5_000), &mut show);
        drop(show);
        assert_eq!(shown, [(1, 1, 1, false)]);
    }

    #[test]
    fn a_late_part_is_joined_to_the_trace_it_belongs_to() {
        let mut gathering = Gathering::default();
        let mut shown = Shown::new();
        let mut show = record(&mut shown);
        gathering.add(span(1, 10, 0), ms(0), &mut show);
        gathering.tick(ms(300), &mut show);
        gathering.add(span(1, 12, 10), ms(2_000), &mut show);
        gathering.tick(ms(2_300), &mut show);
        drop(show);
        assert_eq!(shown, [(1, 1, 1, true), (1, 2, 1, true)]);
    }

    #[test]
    fn the_end_shows_what_waits_in_the_order_of_its_start() {
        let mut gathering = Gathering::default();
        let mut shown = Shown::new();
        let mut show = record(&mut shown);
        for id in [3, 1, 2] {
            gathering.add(span(id, 10, 0), ms(0), &mut show);
        }
        gathering.finish(&mut show);
        drop(show);
        assert_eq!(shown.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn the_bound_on_traces_shows_the_oldest_early_and_loses_none() {
        let mut gathering = Gathering::default();
        let mut shown = Shown::new();
        let mut show = record(&mut shown);
        let all = 3 * TRACES_HELD_MAX as u64;
        for id in 1..=all {
            gathering.add(span(id, 10, 0), ms(id), &mut show);
            assert!(gathering.traces.len() <= TRACES_HELD_MAX);
        }
        gathering.finish(&mut show);
        drop(show);
        assert_eq!(shown.len() as u64, all);
        assert_eq!(shown[0].0, 1);
    }

    #[test]
    fn the_spans_of_a_giant_trace_beyond_the_bound_are_counted() {
        let mut gathering = Gathering::default();
        let mut unheld = 0;
        let mut held = 0;
        let mut show = |group: Group<'_>| {
            unheld = group.unheld;
            held = group.spans.len();
        };
        for id in 0..SPANS_PER_TRACE_MAX as u64 + 7 {
            gathering.add(span(1, id + 1, 0), ms(0), &mut show);
        }
        gathering.finish(&mut show);
        assert_eq!((held, unheld), (SPANS_PER_TRACE_MAX, 7));
    }

    #[test]
    fn the_memory_of_held_spans_stays_within_its_bound() {
        let mut gathering = Gathering::default();
        let mut shown = 0;
        let mut show = |group: Group<'_>| shown += group.spans.len() - group.fresh + group.unheld as usize;
        for id in 1..=800 {
            let resource = "x".repeat(100_000);
            gathering.add(SpanRecord { resource, ..span(id, 10, 0) }, ms(id), &mut show);
            assert!(gathering.bytes <= HELD_MAX_BYTES);
        }
        gathering.finish(&mut show);
        assert_eq!(shown, 800);
    }

    #[test]
    fn what_was_shown_long_ago_is_forgotten() {
        let mut gathering = Gathering::default();
        let mut show = |_: Group<'_>| {};
        gathering.add(span(1, 10, 0), ms(0), &mut show);
        gathering.tick(ms(300), &mut show);
        gathering.tick(LATE_MAX, &mut show);
        assert_eq!((gathering.traces.len(), gathering.spans, gathering.bytes), (0, 0, 0));
    }
}
