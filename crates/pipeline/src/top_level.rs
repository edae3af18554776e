//! Which span is the root of a chunk, and which spans are the first of their service in it
//! (`facts/trace-intake.md` §5, §5.3).

use model::{Bump, Span};

/// Spans of a chunk by their id: a table in the arena, open addressing, at most half full.
///
/// Ids come from clients, so the hash is multiplied by a secret of the process: nobody can choose ids
/// that all fall on one slot.
pub(crate) struct SpanIndex<'t> {
    /// Positions in the chunk; [`VACANT`] where there is none.
    slots: &'t [u32],
    multiplier: u64,
    /// How far a hash is shifted to become a slot.
    shift: u32,
}

const VACANT: u32 = u32::MAX;

impl<'t> SpanIndex<'t> {
    /// Indexes `spans`. Of two spans with one id the later counts.
    ///
    /// `multiplier` is odd and secret.
    pub(crate) fn new(arena: &'t Bump, spans: &[Span<'_>], multiplier: u64) -> Self {
        // At least two slots, so that the shift stays below the width.
        let bits = (spans.len().max(1) * 2).next_power_of_two().trailing_zeros();
        let shift = u64::BITS - bits;
        let slots = arena.alloc_slice_fill_copy(1 << bits, VACANT);
        for (position, span) in spans.iter().enumerate() {
            let slot = slot(slots, multiplier, shift, spans, span.span_id);
            // A chunk of 2^32 spans does not fit the request bound.
            slots[slot] = u32::try_from(position).unwrap_or(VACANT);
        }
        Self { slots, multiplier, shift }
    }

    /// The position of the span with this id.
    pub(crate) fn find(&self, spans: &[Span<'_>], span_id: u64) -> Option<usize> {
        let position = self.slots[slot(self.slots, self.multiplier, self.shift, spans, span_id)];
        (position != VACANT).then_some(position as usize)
    }
}

/// The slot that holds the id, or the vacant one where it belongs.
fn slot(slots: &[u32], multiplier: u64, shift: u32, spans: &[Span<'_>], span_id: u64) -> usize {
    let mut slot = (span_id.wrapping_mul(multiplier) >> shift) as usize;
    loop {
        let position = slots[slot];
        if position == VACANT || spans[position as usize].span_id == span_id {
            return slot;
        }
        slot = (slot + 1) & (slots.len() - 1);
    }
}

/// The position of the root of a chunk that is not empty: the last span without a parent; failing
/// that the first whose parent is not in the chunk (the reference takes any of several such parents);
/// failing that, in a circle of parents, the last.
pub(crate) fn root<'i>(spans: &[Span<'_>], index: impl FnOnce() -> &'i SpanIndex<'i>) -> usize {
    spans
        .iter()
        .rposition(|span| span.parent_id == 0)
        .or_else(|| {
            let index = index();
            spans.iter().position(|span| index.find(spans, span.parent_id).is_none())
        })
        .unwrap_or(spans.len() - 1)
}

/// Whether a span is the first of its service: it has no parent, its parent is not in the chunk, or its
/// parent belongs to another service.
pub(crate) fn is_top_level(spans: &[Span<'_>], index: &SpanIndex<'_>, span: &Span<'_>) -> bool {
    span.parent_id == 0
        || index.find(spans, span.parent_id).is_none_or(|parent| {
            let parent = spans[parent].service;
            // Spans of one decoded payload often share the very text.
            !std::ptr::eq(parent, span.service) && parent != span.service
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

    /// Spans given as (id, parent, service).
    fn spans<'a>(arena: &'a Bump, rows: &[(u64, u64, &'a str)]) -> Vec<Span<'a>> {
        rows.iter()
            .map(|(span_id, parent_id, service)| Span {
                span_id: *span_id,
                parent_id: *parent_id,
                service,
                ..Span::new_in(arena)
            })
            .collect()
    }

    fn check_root(rows: &[(u64, u64, &str)], want: usize) {
        let arena = Bump::new();
        let spans = spans(&arena, rows);
        let index = SpanIndex::new(&arena, &spans, MULTIPLIER);
        assert_eq!(root(&spans, || &index), want, "{rows:?}");
    }

    #[test]
    fn the_root_is_the_last_span_without_a_parent() {
        check_root(&[(1, 0, "a"), (2, 1, "a"), (3, 0, "a"), (4, 3, "a")], 2);
    }

    #[test]
    fn without_one_it_is_the_first_whose_parent_is_elsewhere() {
        check_root(&[(2, 1, "a"), (1, 77, "a"), (3, 77, "a"), (4, 88, "a")], 1);
    }

    #[test]
    fn in_a_circle_it_is_the_last() {
        check_root(&[(1, 2, "a"), (2, 1, "a")], 1);
        check_root(&[(7, 7, "a")], 0);
    }

    fn top_level(rows: &[(u64, u64, &str)]) -> Vec<bool> {
        let arena = Bump::new();
        let spans = spans(&arena, rows);
        let index = SpanIndex::new(&arena, &spans, MULTIPLIER);
        spans.iter().map(|span| is_top_level(&spans, &index, span)).collect()
    }

    #[test]
    fn the_first_span_of_a_service_is_top_level() {
        let rows = [(1, 0, "web"), (2, 1, "web"), (3, 2, "db"), (4, 3, "db"), (5, 99, "web")];
        assert_eq!(top_level(&rows), [true, false, true, false, true]);
    }

    #[test]
    fn of_two_parents_with_one_id_the_later_counts() {
        assert_eq!(top_level(&[(1, 0, "a"), (1, 0, "b"), (2, 1, "b")]), [true, true, false]);
    }

    proptest! {
        /// Against the rule written with a map, over few ids so that all cases meet.
        #[test]
        fn the_table_agrees_with_a_map(
            rows in prop::collection::vec((1_u64..40, 0_u64..40, 0_usize..3), 1..40),
            multiplier in any::<u64>(),
        ) {
            let rows: Vec<_> =
                rows.into_iter().map(|(id, parent, service)| (id, parent, ["a", "b", "c"][service])).collect();
            let by_id: HashMap<_, _> = rows.iter().map(|row| (row.0, row.2)).collect();
            let want: Vec<_> =
                rows.iter().map(|row| row.1 == 0 || by_id.get(&row.1) != Some(&row.2)).collect();
            let arena = Bump::new();
            let spans = spans(&arena, &rows);
            let index = SpanIndex::new(&arena, &spans, multiplier | 1);
            let got: Vec<_> = spans.iter().map(|span| is_top_level(&spans, &index, span)).collect();
            prop_assert_eq!(got, want);
        }
    }
}
