//! Views to requests: as many groups in each as the backend takes (`facts/delivery.md` §4).

use super::Counted;
use model::limits::STATS_BATCH_MAX_GROUPS;
use model::stats::{ClientStats, StatsBucket, StatsPayload};
use model::{Receipt, Why};

/// What one request carries, and the responsibility for it.
#[derive(Debug)]
#[must_use = "the groups must be delivered or dropped"]
pub struct Part {
    /// The payload.
    pub payload: StatsPayload,
    /// One unit for each group that was accepted into it.
    pub receipt: Receipt,
}

/// Packs views into payloads of at most [`STATS_BATCH_MAX_GROUPS`] groups. A view stays whole unless it
/// is bigger by itself; then each payload has its part under the view's metadata. `envelope` gives the
/// fields about the agent; `split_payload` is set when there is more than one payload.
pub fn split(counted: Vec<Counted>, envelope: &StatsPayload) -> Vec<Part> {
    split_at(counted, envelope, STATS_BATCH_MAX_GROUPS)
}

fn split_at(counted: Vec<Counted>, envelope: &StatsPayload, max_groups: usize) -> Vec<Part> {
    let max_groups = max_groups.max(1);
    let mut parts: Vec<Part> = Vec::new();
    // Groups in the last part.
    let mut filled = 0;
    for Counted { stats, mut receipt } in counted {
        let groups = group_count(&stats);
        let mut left = stats;
        let mut remaining = groups;
        while remaining > 0 {
            let piece_groups = remaining.min(max_groups);
            let is_last = piece_groups == remaining;
            let piece =
                if is_last { std::mem::take(&mut left) } else { take_groups(&mut left, piece_groups) };
            // Merged groups carry more units than groups; the surplus stays with the last piece.
            let units = receipt.take(if is_last { u64::MAX } else { piece_groups as u64 });
            remaining -= piece_groups;
            match parts.last_mut().filter(|_| filled + piece_groups <= max_groups) {
                Some(part) => {
                    part.payload.stats.push(piece);
                    part.receipt.merge(units);
                    filled += piece_groups;
                }
                None => {
                    let payload = StatsPayload { stats: vec![piece], ..envelope.clone() };
                    parts.push(Part { payload, receipt: units });
                    filled = piece_groups;
                }
            }
        }
        match parts.last_mut() {
            Some(part) => part.receipt.merge(receipt),
            None => receipt.dropped(Why::Invalid),
        }
    }
    let split_payload = parts.len() > 1;
    for part in &mut parts {
        part.payload.split_payload = split_payload;
    }
    parts
}

fn group_count(stats: &ClientStats) -> usize {
    stats.buckets.iter().map(|bucket| bucket.groups.len()).sum()
}

/// Moves the last `wanted` groups of a view into another with the same metadata.
fn take_groups(stats: &mut ClientStats, mut wanted: usize) -> ClientStats {
    let rest = std::mem::take(&mut stats.buckets);
    let mut piece = stats.clone();
    stats.buckets = rest;
    while let Some(bucket) = stats.buckets.last_mut().filter(|_| wanted > 0) {
        let from = bucket.groups.len().saturating_sub(wanted);
        let groups = bucket.groups.split_off(from);
        wanted -= groups.len();
        let is_empty = bucket.groups.is_empty();
        piece.buckets.push(StatsBucket {
            start: bucket.start,
            duration: bucket.duration,
            groups,
            agent_time_shift: bucket.agent_time_shift,
        });
        if is_empty {
            stats.buckets.pop();
        }
    }
    piece.buckets.reverse();
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::stats::StatsGroup;
    use model::{Books, Signal};
    use proptest::prelude::*;

    fn view(books: &Books, index: usize, buckets: &[usize], surplus: u64) -> Counted {
        let group = |bucket: usize, group: usize| StatsGroup {
            resource: format!("{index}/{bucket}/{group}"),
            hits: 1,
            ..StatsGroup::default()
        };
        let buckets: Vec<StatsBucket> = (buckets.iter().enumerate())
            .map(|(bucket, groups)| StatsBucket {
                start: bucket as u64,
                groups: (0..*groups).map(|index| group(bucket, index)).collect(),
                ..StatsBucket::default()
            })
            .collect();
        let stats = ClientStats { version: index.to_string(), buckets, ..ClientStats::default() };
        let units = group_count(&stats) as u64 + surplus;
        Counted { receipt: books.accept(Signal::Stats, units), stats }
    }

    proptest! {
        #[test]
        fn every_group_and_every_unit_is_in_exactly_one_part(
            views in prop::collection::vec((prop::collection::vec(0_usize..12, 1..4), 0_u64..3), 0..8),
            max_groups in 1_usize..20,
        ) {
            let books = Books::default();
            let counted: Vec<Counted> = (views.iter().enumerate())
                .map(|(index, (buckets, surplus))| view(&books, index, buckets, *surplus))
                .collect();
            let mut expected: Vec<(String, u64, String)> = Vec::new();
            for view in &counted {
                for bucket in &view.stats.buckets {
                    let version = &view.stats.version;
                    expected.extend(bucket.groups.iter().map(|group| (version.clone(), bucket.start, group.resource.clone())));
                }
            }
            let envelope = StatsPayload { agent_env: "prod".into(), ..StatsPayload::default() };
            let parts = split_at(counted, &envelope, max_groups);
            let mut found = Vec::new();
            let count = parts.len();
            for part in parts {
                prop_assert_eq!(part.payload.split_payload, count > 1);
                prop_assert_eq!(&part.payload.agent_env, "prod");
                let groups: usize = part.payload.stats.iter().map(group_count).sum();
                prop_assert!((1..=max_groups).contains(&groups));
                prop_assert!(part.receipt.units() >= groups as u64);
                for view in &part.payload.stats {
                    for bucket in &view.buckets {
                        found.extend(bucket.groups.iter().map(|group| (view.version.clone(), bucket.start, group.resource.clone())));
                    }
                }
                part.receipt.delivered();
            }
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            let book = books.book(Signal::Stats);
            prop_assert_eq!((book.held, book.dropped(Why::Forgotten)), (0, 0));
        }
    }

    #[test]
    fn a_view_that_fits_stays_whole() {
        let books = Books::default();
        let counted = vec![view(&books, 0, &[6], 0), view(&books, 1, &[3, 3], 0), view(&books, 2, &[1], 0)];
        let parts = split_at(counted, &StatsPayload::default(), 10);
        let versions: Vec<Vec<&str>> = parts
            .iter()
            .map(|part| part.payload.stats.iter().map(|view| view.version.as_str()).collect())
            .collect();
        assert_eq!(versions, [vec!["0"], vec!["1", "2"]]);
        parts.into_iter().for_each(|part| part.receipt.delivered());
    }
}
