//! The span around a whole job (`facts/platforms.md` §4.1): whoever runs jobs sees one trace for each task, though
//! no tracer knows where a task begins.
//!
//! The first trace that comes gives the job's span its id, all 128 bits of it, and becomes the job's trace: its spans
//! without a parent become children of the job's span. Traces of other ids are left as they are. When none comes the
//! job's span stands alone, in a trace of its own. A trace whose spans all have parents elsewhere (it was propagated
//! into the job) gives its id too, and keeps its parents.

use model::Span;
use std::sync::atomic::{AtomicU64, Ordering};

/// The high half of a trace's id, as 16 hexadecimal digits: a tag of a span.
pub const TRACE_ID_HIGH: &str = "_dd.p.tid";

/// The ids of a job's span. Shared by whatever processes chunks; nothing waits for it.
#[derive(Debug)]
pub struct JobSpan {
    span_id: u64,
    own: (u64, u64),
    /// Low half of the id that was adopted; 0: none yet.
    low: AtomicU64,
    /// Its high half; 0: not known, or there is none.
    high: AtomicU64,
}

impl JobSpan {
    /// Makes ids of its own, in the form in which tracers do: the high half has the second of the start.
    pub fn new(start_ns: i64) -> Self {
        let seconds = u64::try_from(start_ns / 1_000_000_000).unwrap_or(0);
        // Some tracers read ids as signed numbers.
        let id = || fastrand::u64(1..=u64::MAX >> 1);
        Self { span_id: id(), own: (id(), seconds << 32), low: 0.into(), high: 0.into() }
    }

    /// Its id.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Low and high half of the id of its trace, as of now.
    pub fn trace_id(&self) -> (u64, u64) {
        match self.low.load(Ordering::Relaxed) {
            0 => self.own,
            low => (low, self.high.load(Ordering::Relaxed)),
        }
    }

    /// Takes in the spans of one chunk, which share a trace's id that is not 0.
    pub(super) fn adopt(&self, spans: &mut [Span<'_>]) {
        let Some(first) = spans.first().filter(|span| span.span_id != self.span_id) else { return };
        let known = self.low.compare_exchange(0, first.trace_id, Ordering::Relaxed, Ordering::Relaxed);
        if known.is_err_and(|known| known != first.trace_id) {
            return;
        }
        // The low half tells traces apart. Chunks of one trace may come with the high half or without.
        let high = first.meta(TRACE_ID_HIGH).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        self.high.compare_exchange(0, high, Ordering::Relaxed, Ordering::Relaxed).ok();
        for span in spans.iter_mut().filter(|span| span.parent_id == 0) {
            span.parent_id = self.span_id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bump;
    use proptest::prelude::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn span<'a>(arena: &'a Bump, trace_id: u64, span_id: u64, parent_id: u64) -> Span<'a> {
        Span { trace_id, span_id, parent_id, ..Span::new_in(arena) }
    }

    fn parents(spans: &[Span<'_>]) -> Vec<u64> {
        spans.iter().map(|span| span.parent_id).collect()
    }

    #[test]
    fn without_a_trace_the_job_has_one_of_its_own_that_says_when() {
        let job = JobSpan::new(1_795_219_200 * SECOND_NS);
        let (low, high) = job.trace_id();
        assert_eq!(high, 1_795_219_200 << 32);
        assert!(low != 0 && job.span_id() != 0 && low != job.span_id());
        assert!(low <= i64::MAX as u64 && job.span_id() <= i64::MAX as u64);
        assert_eq!(JobSpan::new(-1).trace_id().1, 0);
    }

    #[test]
    fn the_first_trace_is_the_jobs_and_roots_of_it_are_its_children() {
        let arena = Bump::new();
        let job = JobSpan::new(SECOND_NS);
        let mut first = [span(&arena, 7, 1, 0), span(&arena, 7, 2, 1), span(&arena, 7, 3, 0)];
        job.adopt(&mut first);
        assert_eq!(parents(&first), [job.span_id(), 1, job.span_id()]);
        let mut other = [span(&arena, 8, 4, 0)];
        job.adopt(&mut other);
        assert_eq!(parents(&other), [0]);
        let mut later = [span(&arena, 7, 5, 0)];
        job.adopt(&mut later);
        assert_eq!(parents(&later), [job.span_id()]);
        assert_eq!(job.trace_id(), (7, 0), "a trace of 64 bits has no high half");
    }

    #[test]
    fn a_propagated_trace_keeps_its_parents_and_gives_its_id() {
        let arena = Bump::new();
        let job = JobSpan::new(SECOND_NS);
        let mut chunk = [span(&arena, 7, 2, 99)];
        job.adopt(&mut chunk);
        assert_eq!((parents(&chunk), job.trace_id().0), (vec![99], 7));
    }

    #[test]
    fn the_high_half_comes_with_whichever_chunk_has_it_first() {
        let arena = Bump::new();
        let job = JobSpan::new(SECOND_NS);
        for (high, expected) in [
            ("", 0),
            ("not hex", 0),
            ("6774a1b200000000", 0x6774_a1b2_0000_0000),
            ("1", 0x6774_a1b2_0000_0000),
        ] {
            let mut chunk = [span(&arena, 7, 1, 0)];
            chunk[0].set_meta(TRACE_ID_HIGH, high);
            job.adopt(&mut chunk);
            assert_eq!(job.trace_id(), (7, expected), "{high}");
        }
    }

    #[test]
    fn the_jobs_own_span_is_no_child_of_itself() {
        let arena = Bump::new();
        let job = JobSpan::new(SECOND_NS);
        let mut own = [span(&arena, job.trace_id().0, job.span_id(), 0)];
        job.adopt(&mut own);
        assert_eq!((parents(&own), job.low.load(Ordering::Relaxed)), (vec![0], 0));
        job.adopt(&mut []);
    }

    proptest! {
        #[test]
        fn every_chunk_has_the_jobs_trace_or_is_left_alone(
            chunks in prop::collection::vec((1u64..4, prop::collection::vec((1u64..9, 0u64..3), 1..5)), 1..9),
        ) {
            let arena = Bump::new();
            let job = JobSpan::new(SECOND_NS);
            for (trace_id, rows) in &chunks {
                let mut spans: Vec<_> =
                    rows.iter().map(|(id, parent)| span(&arena, *trace_id, *id, *parent)).collect();
                job.adopt(&mut spans);
                prop_assert_eq!(job.trace_id().0, chunks[0].0);
                for (span, (_, parent)) in spans.iter().zip(rows) {
                    let is_child = *parent == 0 && *trace_id == chunks[0].0;
                    prop_assert_eq!(span.parent_id, if is_child { job.span_id() } else { *parent });
                }
            }
        }
    }
}
