//! The spans of a trace as rows of a tree: who stands below whom, what is folded, what is left out.

use crate::gather::Group;
use crate::record::SpanRecord;
use std::collections::HashMap;

/// Children of one parent with the same service and name that are shown one by one; those beyond
/// are folded into one row. Children with errors below them are shown as well, as many again.
pub(crate) const ALIKE_SHOWN_MAX: usize = 4;
/// Rows of one trace; the spans beyond are counted.
pub(crate) const ROWS_PER_TRACE_MAX: usize = 300;
/// Levels that are indented; deeper ones keep the indent and are marked.
pub(crate) const DEPTH_INDENTED_MAX: usize = 20;

/// One line of the tree.
#[derive(Debug)]
pub(crate) struct Row {
    /// Guides left of what is shown, connector included.
    pub(crate) guides: String,
    /// Guides for further lines about the same span.
    pub(crate) below: String,
    pub(crate) what: What,
}

/// What a row shows.
#[derive(Debug, PartialEq)]
pub(crate) enum What {
    /// A span.
    Span {
        /// Which.
        index: usize,
        /// The span it stands below.
        parent: Option<usize>,
        /// It was shown before and is here as the place of a late one.
        seen: bool,
    },
    /// Siblings like the ones above.
    Folded {
        /// How many siblings.
        siblings: usize,
        /// Spans with all below them.
        spans: usize,
        /// Sum of the siblings' durations, nanoseconds.
        duration: i64,
        /// Errors among all of them.
        errors: usize,
    },
    /// The trace has more spans than rows are shown.
    Rest(usize),
}

/// Arranges the spans of a group into rows.
pub(crate) fn rows(group: &Group<'_>) -> Vec<Row> {
    Forest::of(group).rows()
}

struct Forest<'a> {
    group: &'a Group<'a>,
    children: Vec<Vec<usize>>,
    parents: Vec<Option<usize>>,
    roots: Vec<usize>,
    /// Spans of each subtree that are to be shown, the top included.
    sizes: Vec<usize>,
    /// Errors of each subtree, the top included.
    errors: Vec<usize>,
    /// Subtrees that have logs to be shown.
    logged: Vec<bool>,
}

enum Step {
    Span { index: usize, guides: String, below: String, depth: usize },
    Row(Row),
}

impl<'a> Forest<'a> {
    fn of(group: &'a Group<'a>) -> Self {
        let spans = group.spans;
        let mut by_id: HashMap<u64, usize> = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            by_id.entry(span.span_id).or_insert(index);
        }
        let find =
            |span: &SpanRecord| (span.parent_id != 0).then(|| by_id.get(&span.parent_id).copied()).flatten();
        let mut parents: Vec<_> = spans.iter().map(find).collect();
        cut_cycles(&mut parents);
        let mut logged = vec![false; spans.len()];
        for index in group.logs.iter().filter_map(|log| by_id.get(&log.span_id)) {
            logged[*index] = true;
        }
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (index, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => children[*parent].push(index),
                None => roots.push(index),
            }
        }
        let mut forest = Self {
            group,
            children,
            parents,
            roots,
            sizes: vec![0; spans.len()],
            errors: vec![0; spans.len()],
            logged,
        };
        forest.measure();
        forest.order();
        forest
    }

    /// Sizes of subtrees, from the leaves up. Of a late part only the fresh spans count, so that
    /// branches without one have size zero and, unless they have logs, are left out.
    fn measure(&mut self) {
        let mut pre_order = Vec::with_capacity(self.group.spans.len());
        let mut stack = self.roots.clone();
        while let Some(index) = stack.pop() {
            pre_order.push(index);
            stack.extend(&self.children[index]);
        }
        for index in pre_order.into_iter().rev() {
            if index >= self.group.fresh {
                self.sizes[index] += 1;
                self.errors[index] += usize::from(self.group.spans[index].error);
            }
            if let Some(parent) = self.parents[index] {
                self.sizes[parent] += self.sizes[index];
                self.errors[parent] += self.errors[index];
                self.logged[parent] |= self.logged[index];
            }
        }
    }

    fn order(&mut self) {
        let (spans, sizes, logged) = (self.group.spans, &self.sizes, &self.logged);
        let key = |index: &usize| (spans[*index].start, *index);
        for list in self.children.iter_mut().chain([&mut self.roots]) {
            list.retain(|index| sizes[*index] > 0 || logged[*index]);
            model::order::sort_by(list, |a, b| key(a).cmp(&key(b)));
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut left: usize = self.roots.iter().map(|root| self.sizes[*root]).sum();
        let mut stack = Vec::new();
        if let [root] = self.roots[..] {
            stack.push(Step::Span { index: root, guides: String::new(), below: String::new(), depth: 0 });
        } else {
            self.push_level(&self.roots, "", 0, &mut stack);
        }
        while let Some(step) = stack.pop() {
            if rows.len() >= ROWS_PER_TRACE_MAX {
                rows.push(Row { guides: String::new(), below: String::new(), what: What::Rest(left) });
                break;
            }
            match step {
                Step::Row(row) => {
                    if let What::Folded { spans, .. } = row.what {
                        left = left.saturating_sub(spans);
                    }
                    rows.push(row);
                }
                Step::Span { index, guides, below, depth } => {
                    let seen = index < self.group.fresh;
                    left = left.saturating_sub(usize::from(!seen));
                    let children = &self.children[index];
                    let continued = if children.is_empty() { "  " } else { "│ " };
                    rows.push(Row {
                        guides,
                        below: format!("{below}{continued}"),
                        what: What::Span { index, parent: self.parents[index], seen },
                    });
                    self.push_level(children, &below, depth + 1, &mut stack);
                }
            }
        }
        rows
    }

    /// Puts siblings on the stack, the first on top.
    fn push_level(&self, siblings: &[usize], guides: &str, depth: usize, stack: &mut Vec<Step>) {
        let steps = self.fold(siblings);
        let last = steps.len().saturating_sub(1);
        let mut placed = Vec::with_capacity(steps.len());
        for (place, what) in steps.into_iter().enumerate() {
            let deep = depth > DEPTH_INDENTED_MAX;
            let (connector, below) = match (deep, place == last) {
                (true, _) => ("⋯ ", ""),
                (false, true) => ("└─ ", "   "),
                (false, false) => ("├─ ", "│  "),
            };
            let (connector, below) = (format!("{guides}{connector}"), format!("{guides}{below}"));
            placed.push(match what {
                Ok(index) => Step::Span { index, guides: connector, below, depth },
                Err(folded) => Step::Row(Row { guides: connector, below, what: folded }),
            });
        }
        stack.extend(placed.into_iter().rev());
    }

    /// Siblings in their order, with those beyond the first few of a kind folded where the first
    /// of them stood.
    fn fold(&self, siblings: &[usize]) -> Vec<Result<usize, What>> {
        #[derive(Default)]
        struct Alike {
            shown: usize,
            with_errors: usize,
            fold: Option<usize>,
        }
        let mut kinds: HashMap<(&str, &str), (usize, Alike)> = HashMap::new();
        for index in siblings {
            let span = &self.group.spans[*index];
            kinds.entry((&span.service, &span.name)).or_default().0 += 1;
        }
        let mut folded: Vec<Result<usize, What>> = Vec::new();
        for &index in siblings {
            let span = &self.group.spans[index];
            let Some((total, alike)) = kinds.get_mut(&(span.service.as_str(), span.name.as_str())) else {
                continue;
            };
            // A fold of one would take as much room as the span.
            if *total <= ALIKE_SHOWN_MAX + 1 || alike.shown < ALIKE_SHOWN_MAX {
                alike.shown += 1;
                folded.push(Ok(index));
                continue;
            }
            if self.errors[index] > 0 && alike.with_errors < ALIKE_SHOWN_MAX {
                alike.with_errors += 1;
                folded.push(Ok(index));
                continue;
            }
            let place = *alike.fold.get_or_insert_with(|| {
                folded.push(Err(What::Folded { siblings: 0, spans: 0, duration: 0, errors: 0 }));
                folded.len() - 1
            });
            if let Err(What::Folded { siblings, spans, duration, errors }) = &mut folded[place] {
                *siblings += 1;
                *spans += self.sizes[index];
                *duration = duration.saturating_add(span.duration);
                *errors += self.errors[index];
            }
        }
        folded
    }
}

/// Makes a span whose ancestors lead back to itself a root.
fn cut_cycles(parents: &mut [Option<usize>]) {
    /// Not looked at, on the path walked now, or known to lead to a root.
    const NEW: u8 = 0;
    const WALKED: u8 = 1;
    const ROOTED: u8 = 2;
    let mut states = vec![NEW; parents.len()];
    let mut path = Vec::new();
    for first in 0..parents.len() {
        let mut index = first;
        while states[index] == NEW {
            states[index] = WALKED;
            path.push(index);
            match parents[index] {
                Some(parent) if states[parent] == WALKED => parents[index] = None,
                Some(parent) => index = parent,
                None => {}
            }
        }
        for walked in path.drain(..) {
            states[walked] = ROOTED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(span_id: u64, parent_id: u64, name: &str) -> SpanRecord {
        SpanRecord {
            span_id,
            parent_id,
            start: span_id as i64,
            duration: 10,
            name: name.to_owned(),
            ..SpanRecord::default()
        }
    }

    fn group(spans: &[SpanRecord], fresh: usize) -> Group<'_> {
        Group { trace_id_high: 0, trace_id: 1, part: 1, spans, fresh, unheld: 0, complete: true, logs: &[] }
    }

    /// The rows as text: guides, then the span's name or what else stands there.
    fn drawn(spans: &[SpanRecord], fresh: usize) -> Vec<String> {
        let show = |row: Row| match row.what {
            What::Span { index, seen: false, .. } => format!("{}{}", row.guides, spans[index].name),
            What::Span { index, seen: true, .. } => format!("{}({})", row.guides, spans[index].name),
            What::Folded { siblings, spans, duration, errors } => {
                format!("{}+{siblings} {spans} {duration} {errors}", row.guides)
            }
            What::Rest(left) => format!("rest {left}"),
        };
        rows(&group(spans, fresh)).into_iter().map(show).collect()
    }

    #[test]
    fn children_stand_below_their_parent_in_the_order_of_their_start() {
        let spans = [span(3, 1, "late"), span(1, 0, "root"), span(2, 1, "early"), span(4, 2, "leaf")];
        assert_eq!(drawn(&spans, 0), ["root", "├─ early", "│  └─ leaf", "└─ late"]);
    }

    #[test]
    fn spans_without_their_parent_stand_side_by_side() {
        let spans = [span(1, 77, "one"), span(2, 78, "two"), span(3, 2, "leaf")];
        assert_eq!(drawn(&spans, 0), ["├─ one", "└─ two", "   └─ leaf"]);
    }

    #[test]
    fn a_cycle_is_cut_and_every_span_is_shown() {
        let spans = [span(1, 2, "a"), span(2, 1, "b"), span(3, 3, "own parent"), span(4, 1, "c")];
        let drawn = drawn(&spans, 0);
        assert_eq!(drawn.len(), 4, "{drawn:?}");
    }

    #[test]
    fn many_alike_are_folded_and_those_with_errors_stay() {
        let mut spans = vec![span(1, 0, "root")];
        spans.extend((2..12).map(|id| span(id, 1, "query")));
        spans.push(span(20, 2, "inner"));
        spans[8].error = true;
        spans.push(span(30, 11, "inner"));
        assert_eq!(
            drawn(&spans, 0),
            [
                "root",
                "├─ query",
                "│  └─ inner",
                "├─ query",
                "├─ query",
                "├─ query",
                "├─ +5 6 50 0",
                "└─ query"
            ]
        );
    }

    #[test]
    fn one_more_than_the_bound_is_shown_not_folded() {
        let mut spans = vec![span(1, 0, "root")];
        spans.extend((2..=2 + ALIKE_SHOWN_MAX as u64).map(|id| span(id, 1, "query")));
        assert_eq!(drawn(&spans, 0).len(), ALIKE_SHOWN_MAX + 2);
    }

    #[test]
    fn of_a_late_part_only_the_way_to_the_fresh_spans_is_shown() {
        let spans = [span(1, 0, "root"), span(2, 1, "other"), span(3, 1, "way"), span(4, 3, "late")];
        assert_eq!(drawn(&spans, 3), ["(root)", "└─ (way)", "   └─ late"]);
    }

    #[test]
    fn a_wide_trace_ends_with_the_number_of_spans_left_out() {
        let mut spans = vec![span(1, 0, "root")];
        spans.extend((2..1_002).map(|id| span(id, 1, &id.to_string())));
        let drawn = drawn(&spans, 0);
        assert_eq!(drawn.len(), ROWS_PER_TRACE_MAX + 1);
        assert_eq!(drawn[ROWS_PER_TRACE_MAX], format!("rest {}", 1_001 - ROWS_PER_TRACE_MAX));
    }

    #[test]
    fn a_very_deep_trace_stays_within_the_indent() {
        let spans: Vec<_> = (1..=200).map(|id| span(id, id - 1, "deep")).collect();
        let rows = rows(&group(&spans, 0));
        assert_eq!(rows.len(), 200);
        assert!(rows.iter().all(|row| row.guides.chars().count() <= 3 * DEPTH_INDENTED_MAX + 3));
    }
}
