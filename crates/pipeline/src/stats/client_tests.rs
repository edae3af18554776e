use super::client::ClientAggregator;
use super::concentrator::BLOCKED;
use super::sketch::DdSketch;
use super::table::Counted;
use model::limits::STATS_BUCKET_MAX_KEYS;
use model::sketch::Sketch;
use model::stats::{ClientStats, StatsBucket, StatsGroup, TraceRoot};
use model::{Books, Signal, Why};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn sketch(values: &[f64]) -> Sketch {
    let mut sketch = DdSketch::default();
    for value in values {
        sketch.add(*value);
    }
    sketch.into_model()
}

fn group(resource: &str, hits: u64) -> StatsGroup {
    StatsGroup {
        service: "web".into(),
        resource: resource.into(),
        hits,
        errors: hits / 2,
        duration: hits * 1_000,
        top_level_hits: hits,
        ok_summary: sketch(&vec![1e6; hits as usize]),
        is_trace_root: TraceRoot::Yes,
        ..StatsGroup::default()
    }
}

fn payload(version: &str, buckets: Vec<(i64, Vec<StatsGroup>)>) -> ClientStats {
    let bucket = |(start, groups)| StatsBucket {
        start: start as u64,
        duration: 10 * SECOND as u64,
        groups,
        ..StatsBucket::default()
    };
    ClientStats {
        env: "prod".into(),
        version: version.into(),
        runtime_id: "differs".into(),
        buckets: buckets.into_iter().map(bucket).collect(),
        ..ClientStats::default()
    }
}

fn add(aggregator: &mut ClientAggregator, books: &Books, stats: ClientStats, now_ns: i64) {
    let units = stats.buckets.iter().map(|bucket| bucket.groups.len() as u64).sum();
    aggregator.add(stats, books.accept(Signal::Stats, units), now_ns);
}

fn settle(counted: Vec<Counted>) -> u64 {
    let mut hits = 0;
    for Counted { stats, receipt } in counted {
        let groups: Vec<&StatsGroup> = stats.buckets.iter().flat_map(|bucket| &bucket.groups).collect();
        assert!(receipt.units() >= groups.len() as u64);
        hits += groups.iter().map(|group| group.hits).sum::<u64>();
        receipt.delivered();
    }
    hits
}

#[test]
fn payloads_of_several_processes_become_one_view() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    for _ in 0..3 {
        add(&mut aggregator, &books, payload("1", vec![(START, vec![group("a", 2), group("b", 1)])]), START);
    }
    assert_eq!(aggregator.groups_held(), 2);
    let mut counted = aggregator.flush(START, true);
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].receipt.units(), 6);
    let groups = &mut counted[0].stats.buckets[0].groups;
    groups.sort_by(|one, other| one.resource.cmp(&other.resource));
    let merged = &groups[0];
    assert_eq!((merged.hits, merged.errors, merged.duration, merged.top_level_hits), (6, 3, 6_000, 6));
    assert_eq!(merged.is_trace_root, TraceRoot::Yes);
    assert_eq!(DdSketch::from_model(&merged.ok_summary).unwrap().count(), 6.0);
    settle(counted);
    assert_eq!((aggregator.held_bytes(), aggregator.groups_held()), (0, 0));
}

#[test]
fn l31_buckets_keep_their_times() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    let now = START + 11 * SECOND;
    let times = [START - 10 * SECOND, START, START + 3 * SECOND, START - 500 * SECOND, START + 900 * SECOND];
    let buckets = times.iter().map(|time| (*time, vec![group("a", 1)])).collect();
    add(&mut aggregator, &books, payload("1", buckets), now);
    let counted = aggregator.flush(now, true);
    let starts: Vec<i64> =
        (counted[0].stats.buckets.iter()).map(|bucket| (bucket.start as i64 - START) / SECOND).collect();
    // The oldest open bucket takes what is too old; the future one counts now.
    assert_eq!(starts, [-17, -9, 1, 3, 11]);
    assert!(counted[0].stats.buckets.iter().all(|bucket| bucket.duration == 10 * SECOND as u64));
    settle(counted);
}

#[test]
fn a_bucket_waits_for_other_processes_and_leaves_when_due() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    add(&mut aggregator, &books, payload("1", vec![(START, vec![group("a", 1)])]), START);
    let due = aggregator.next_flush_ns().unwrap();
    assert_eq!(due, START + 20 * SECOND);
    assert!(aggregator.flush(due - 1, false).is_empty());
    assert_eq!(settle(aggregator.flush(due, false)), 1);
    assert_eq!(aggregator.next_flush_ns(), None);
    assert!(aggregator.flush(due, true).is_empty());
}

#[test]
fn a_sketch_that_met_no_other_is_sent_as_it_came() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    let mut odd = group("a", 3);
    odd.ok_summary.mapping.interpolation = 3;
    odd.ok_summary.positive.sparse = vec![(-5, 2.5)];
    let sent = payload("1", vec![(START, vec![odd.clone()])]);
    add(&mut aggregator, &books, sent, START);
    let counted = aggregator.flush(START, true);
    assert_eq!(counted[0].stats.buckets[0].groups, [odd]);
    settle(counted);
}

#[test]
fn sketches_of_another_kind_of_mapping_stay_apart_and_meet_their_like() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    for interpolation in [0, 3, 3, 0] {
        let mut group = group("a", 2);
        group.ok_summary.mapping.interpolation = interpolation;
        add(&mut aggregator, &books, payload("1", vec![(START, vec![group])]), START);
    }
    let counted = aggregator.flush(START, true);
    let groups = &counted[0].stats.buckets[0].groups;
    assert_eq!(groups.len(), 2);
    for group in groups {
        assert_eq!((group.hits, group.resource.as_str()), (4, "a"));
        assert_eq!(DdSketch::from_model(&group.ok_summary).unwrap().count(), 4.0);
    }
    settle(counted);
}

#[test]
fn units_without_groups_are_dropped_by_name() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    aggregator.add(payload("1", vec![(START, vec![])]), books.accept(Signal::Stats, 3), START);
    assert_eq!(books.book(Signal::Stats).dropped(Why::Invalid), 3);
    assert_eq!(aggregator.held_bytes(), 0);
    // Units beyond the groups, of some the rules removed, go along.
    aggregator.add(payload("1", vec![(START, vec![group("a", 1)])]), books.accept(Signal::Stats, 3), START);
    let counted = aggregator.flush(START, true);
    assert_eq!(counted[0].receipt.units(), 3);
    settle(counted);
    assert_eq!(books.book(Signal::Stats).held, 0);
}

#[test]
fn endless_keys_share_an_overflow_group() {
    let books = Books::default();
    let mut aggregator = ClientAggregator::new(usize::MAX, START);
    let many = STATS_BUCKET_MAX_KEYS + 100;
    let groups =
        (0..many).map(|index| StatsGroup { ok_summary: Sketch::default(), ..group(&index.to_string(), 1) });
    add(&mut aggregator, &books, payload("1", vec![(START, groups.collect())]), START);
    assert_eq!(aggregator.groups_held(), STATS_BUCKET_MAX_KEYS as u64 + 1);
    assert_eq!(aggregator.blocked_groups(), 100);
    let counted = aggregator.flush(START, true);
    let overflow = counted[0].stats.buckets[0].groups.iter().find(|group| group.service == BLOCKED).unwrap();
    assert_eq!(overflow.hits, 100);
    assert_eq!(counted[0].receipt.units(), many as u64);
    assert_eq!(settle(counted), many as u64);
}

#[derive(Clone, Debug)]
enum Step {
    Add { version: usize, buckets: Vec<(i64, Vec<(usize, u64)>)> },
    Flush { force: bool },
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let groups = prop::collection::vec((0_usize..6, 0_u64..20), 0..5);
    let buckets = prop::collection::vec((-60_i64..60, groups), 0..4);
    prop_oneof![
        4 => (0_usize..3, buckets).prop_map(|(version, buckets)| Step::Add { version, buckets }),
        2 => prop::bool::weighted(0.2).prop_map(|force| Step::Flush { force }),
        2 => (-5_i64..15).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn every_hit_comes_out_once_in_any_order_of_adds_and_flushes(
        steps in prop::collection::vec(step(), 1..40),
        max_bytes in prop_oneof![Just(usize::MAX), 0_usize..20_000],
    ) {
        let books = Books::default();
        let mut aggregator = ClientAggregator::new(max_bytes, START);
        let mut now = START;
        let (mut expected, mut found) = (0, 0);
        for step in steps.into_iter().chain([Step::Flush { force: true }]) {
            match step {
                Step::Wait(seconds) => now += seconds * SECOND,
                Step::Add { version, buckets } => {
                    let buckets: Vec<(i64, Vec<StatsGroup>)> = (buckets.into_iter())
                        .map(|(seconds, groups)| {
                            expected += groups.iter().map(|(_, hits)| hits).sum::<u64>();
                            let groups = groups.iter().map(|(key, hits)| group(&key.to_string(), *hits));
                            (START + seconds * SECOND, groups.collect())
                        })
                        .collect();
                    add(&mut aggregator, &books, payload(&version.to_string(), buckets), now);
                }
                Step::Flush { force } => {
                    let counted = aggregator.flush(now, force);
                    for bucket in counted.iter().flat_map(|counted| &counted.stats.buckets) {
                        prop_assert_eq!(bucket.start / SECOND as u64 % 2, 1);
                        for group in &bucket.groups {
                            let values = DdSketch::from_model(&group.ok_summary).unwrap().count();
                            prop_assert_eq!(values, group.hits as f64);
                        }
                    }
                    found += settle(counted);
                    if force {
                        prop_assert_eq!((aggregator.groups_held(), aggregator.held_bytes()), (0, 0));
                    }
                }
            }
        }
        prop_assert_eq!(found, expected);
        let book = books.book(Signal::Stats);
        prop_assert_eq!((book.held, book.dropped(Why::Forgotten)), (0, 0));
    }
}
