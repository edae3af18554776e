use super::concentrator::{BLOCKED, BUCKET_NS, Concentrator};
use super::table::{Counted, GROUPS_MAX, VIEWS_MAX};
use super::view::View;
use crate::config::StatsConfig;
use crate::facts::SpanFacts;
use model::limits::STATS_BUCKET_MAX_KEYS;
use model::stats::{StatsGroup, TraceRoot};
use model::{Books, Bump, Chunk, Signal, Span, Why};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const AMPLE: usize = usize::MAX;

/// One span of a chunk.
#[derive(Clone, Debug)]
struct Spec {
    service: String,
    resource: String,
    start_ns: i64,
    duration: i64,
    error: bool,
    kind: &'static str,
    top_level: bool,
    measured: bool,
    partial: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            service: "web".into(),
            resource: "GET /".into(),
            start_ns: START,
            duration: 1_000_000,
            error: false,
            kind: "",
            top_level: true,
            measured: false,
            partial: false,
        }
    }
}

fn add(concentrator: &mut Concentrator, view: &View<'_>, specs: &[Spec], weight: f64, now_ns: i64) {
    add_from(concentrator, view, specs, "", weight, now_ns);
}

fn add_from(
    concentrator: &mut Concentrator,
    view: &View<'_>,
    specs: &[Spec],
    origin: &str,
    weight: f64,
    now_ns: i64,
) {
    let arena = Bump::new();
    let mut chunk = Chunk::new_in(&arena);
    chunk.origin = arena.alloc_str(origin);
    let mut facts = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let mut span = Span::new_in(&arena);
        span.service = arena.alloc_str(&spec.service);
        span.resource = arena.alloc_str(&spec.resource);
        span.name = "op";
        span.parent_id = index as u64;
        span.start = spec.start_ns;
        span.duration = spec.duration;
        span.error = i32::from(spec.error);
        span.meta.push(("region", "eu"));
        chunk.spans.push(span);
        facts.push(SpanFacts {
            top_level: spec.top_level,
            measured: spec.measured,
            partial: spec.partial,
            span_kind: spec.kind,
            ..SpanFacts::default()
        });
    }
    concentrator.add(view, &chunk, &facts, weight, now_ns);
}

fn groups(counted: &[Counted]) -> impl Iterator<Item = &StatsGroup> {
    counted.iter().flat_map(|counted| &counted.stats.buckets).flat_map(|bucket| &bucket.groups)
}

/// Settles what was flushed and returns hits, errors and top-level hits.
fn settle(counted: Vec<Counted>) -> (u64, u64, u64) {
    let mut sums = (0, 0, 0);
    for group in groups(&counted) {
        sums.0 += group.hits;
        sums.1 += group.errors;
        sums.2 += group.top_level_hits;
    }
    for Counted { stats, receipt } in counted {
        let groups: usize = stats.buckets.iter().map(|bucket| bucket.groups.len()).sum();
        assert_eq!(receipt.units(), groups as u64, "a receipt stands for the groups of its view");
        receipt.delivered();
    }
    sums
}

fn concentrator(books: &Books) -> Concentrator {
    Concentrator::new(&StatsConfig::default(), books, AMPLE, START)
}

#[derive(Clone, Debug)]
enum Step {
    Add { view: usize, specs: Vec<Spec> },
    Flush,
    Force,
    Wait(i64),
}

fn spec() -> impl Strategy<Value = Spec> {
    let kinds = prop::sample::select(vec!["", "internal", "server", "CLIENT", "producer", "consumer", "odd"]);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    // From long before the start to long after the end of any test.
    let times = prop_oneof![-60_i64..120, Just(-1_000_000), Just(1_000_000)];
    (0..4, 0..5, times, 0_i64..20_000_000_000, kinds, flags).prop_map(
        |(service, resource, seconds, duration, kind, (top_level, measured, partial, error))| Spec {
            service: format!("service-{service}"),
            resource: format!("resource-{resource}"),
            start_ns: START + seconds * SECOND,
            duration,
            error,
            kind,
            top_level,
            measured,
            partial,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3, prop::collection::vec(spec(), 0..8)).prop_map(|(view, specs)| Step::Add { view, specs }),
        2 => Just(Step::Flush),
        1 => Just(Step::Force),
        2 => (-5_i64..25).prop_map(Step::Wait),
    ]
}

fn counts(spec: &Spec) -> bool {
    let kind = matches!(spec.kind, "server" | "CLIENT" | "producer" | "consumer");
    (spec.top_level || spec.measured || kind) && !spec.partial
}

proptest! {
    #[test]
    fn every_counted_span_comes_out_once_in_any_order_of_adds_and_flushes(
        steps in prop::collection::vec(step(), 1..40),
        max_bytes in prop_oneof![Just(AMPLE), 0_usize..20_000],
    ) {
        let books = Books::default();
        let mut concentrator = Concentrator::new(&StatsConfig::default(), &books, max_bytes, START);
        let mut now = START;
        let (mut expected, mut found) = ((0, 0, 0), (0, 0, 0));
        for step in steps.into_iter().chain([Step::Force]) {
            let counted = match step {
                Step::Add { view, specs } => {
                    let version = format!("v{view}");
                    add(&mut concentrator, &View { env: "prod", version: &version, ..View::default() }, &specs, 1.0, now);
                    for spec in specs.iter().filter(|spec| counts(spec)) {
                        expected.0 += 1;
                        expected.1 += u64::from(spec.error);
                        expected.2 += u64::from(spec.top_level);
                    }
                    continue;
                }
                Step::Wait(seconds) => {
                    now += seconds * SECOND;
                    continue;
                }
                Step::Flush => {
                    let over = concentrator.held_bytes() > max_bytes;
                    let counted = concentrator.flush(now, false);
                    for bucket in counted.iter().flat_map(|counted| &counted.stats.buckets) {
                        prop_assert_eq!(bucket.start % BUCKET_NS as u64, 0);
                        prop_assert!(over || bucket.start as i64 <= now - 2 * BUCKET_NS);
                    }
                    counted
                }
                Step::Force => {
                    let counted = concentrator.flush(now, true);
                    prop_assert_eq!((concentrator.groups_held(), concentrator.held_bytes()), (0, 0));
                    prop_assert_eq!(concentrator.next_flush_ns(), None);
                    counted
                }
            };
            let sums = settle(counted);
            found = (found.0 + sums.0, found.1 + sums.1, found.2 + sums.2);
            let book = books.book(Signal::Stats);
            prop_assert_eq!(book.held, concentrator.groups_held());
        }
        prop_assert_eq!(found, expected);
        let book = books.book(Signal::Stats);
        prop_assert_eq!((book.held, book.lost()), (0, 0));
    }
}

#[test]
fn what_counts_is_top_level_measured_or_of_a_counted_kind_and_finished() {
    let none = Spec { top_level: false, ..Spec::default() };
    for (spec, expected) in [
        (Spec::default(), 1),
        (none.clone(), 0),
        (Spec { measured: true, ..none.clone() }, 1),
        (Spec { kind: "server", ..none.clone() }, 1),
        (Spec { kind: "Client", ..none.clone() }, 1),
        (Spec { kind: "internal", ..none.clone() }, 0),
        (Spec { kind: "client", partial: true, ..none.clone() }, 0),
        (Spec { partial: true, ..Spec::default() }, 0),
    ] {
        let books = Books::default();
        let mut concentrator = concentrator(&books);
        add(&mut concentrator, &View::default(), std::slice::from_ref(&spec), 1.0, START);
        assert_eq!(settle(concentrator.flush(START, true)).0, expected, "{spec:?}");
    }
    let config = StatsConfig { by_span_kind: false, ..StatsConfig::default() };
    let books = Books::default();
    let mut off = Concentrator::new(&config, &books, AMPLE, START);
    add(&mut off, &View::default(), &[Spec { kind: "server", ..none }], 1.0, START);
    assert!(off.flush(START, true).is_empty());
}

#[test]
fn spans_count_by_their_end_late_ones_in_the_oldest_bucket_and_future_ones_in_the_next() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    let at = |seconds: i64, duration: i64| Spec {
        start_ns: START + seconds * SECOND,
        duration: duration * SECOND,
        ..Spec::default()
    };
    let now = START + 35 * SECOND;
    settle(concentrator.flush(now, false));
    add(
        &mut concentrator,
        &View::default(),
        &[at(-500, 1), at(21, 1), at(29, 2), at(38, 1), at(5_000, 1)],
        1.0,
        now,
    );
    assert_eq!(concentrator.next_flush_ns(), Some(START + 40 * SECOND));
    assert!(concentrator.flush(START + 39 * SECOND, false).is_empty());
    let counted = concentrator.flush(START + 60 * SECOND, false);
    let buckets: Vec<(u64, u64)> = counted[0]
        .stats
        .buckets
        .iter()
        .map(|bucket| {
            ((bucket.start - START as u64) / SECOND as u64, bucket.groups.iter().map(|g| g.hits).sum())
        })
        .collect();
    assert_eq!(buckets, [(20, 2), (30, 2), (40, 1)]);
    settle(counted);
}

#[test]
fn a_group_says_all_that_was_known() {
    let books = Books::default();
    let config = StatsConfig {
        additional_metric_tags: ["zone", "region", "region", "a", "b", "c"].map(String::from).to_vec(),
        ..StatsConfig::default()
    };
    let mut concentrator = Concentrator::new(&config, &books, AMPLE, START);
    let arena = Bump::new();
    let mut chunk = Chunk::new_in(&arena);
    let mut span = Span::new_in(&arena);
    (span.service, span.name, span.resource, span.span_type) = ("db", "query", "SELECT ?", "sql");
    (span.start, span.duration, span.error, span.parent_id) = (START, 5_000_000, 1, 9);
    let long = "x".repeat(201);
    span.meta.extend([("db.name", "main"), ("region", "eu"), ("b", arena.alloc_str(&long))]);
    chunk.spans.push(span);
    let facts = [SpanFacts {
        measured: true,
        span_kind: "client",
        http_status_code: 503,
        http_method: "GET",
        http_endpoint: "/users",
        grpc_status_code: "14",
        service_source: "redis",
        ..SpanFacts::default()
    }];
    let view = View {
        env: "prod",
        hostname: "h",
        version: "2",
        container_id: "c",
        git_commit_sha: "g",
        image_tag: "i",
        lang: "python",
        service: "s",
        process_tags: "b:2,a:1",
    };
    concentrator.add(&view, &chunk, &facts, 1.0, START);
    let counted = concentrator.flush(START, true);
    let stats = counted[0].stats.clone();
    let group = &stats.buckets[0].groups[0];
    assert_eq!(
        (group.service.as_str(), group.name.as_str(), group.resource.as_str()),
        ("db", "query", "SELECT ?")
    );
    assert_eq!((group.span_type.as_str(), group.span_kind.as_str()), ("sql", "client"));
    assert_eq!((group.http_status_code, group.grpc_status_code.as_str()), (503, "14"));
    assert_eq!((group.http_method.as_str(), group.http_endpoint.as_str()), ("GET", "/users"));
    assert_eq!((group.service_source.as_str(), group.is_trace_root), ("redis", TraceRoot::No));
    assert_eq!(group.peer_tags, ["db.name:main"]);
    assert_eq!(group.additional_metric_tags, [&format!("b:{BLOCKED}"), "region:eu"]);
    assert_eq!((group.hits, group.errors, group.top_level_hits, group.duration), (1, 1, 0, 5_000_000));
    assert_eq!(group.error_summary.positive.contiguous, [1.0]);
    assert!(group.ok_summary.positive.contiguous.is_empty() && group.ok_summary.mapping.gamma > 1.0);
    assert_eq!((stats.env.as_str(), stats.hostname.as_str(), stats.version.as_str()), ("prod", "h", "2"));
    assert_eq!((stats.container_id.as_str(), stats.git_commit_sha.as_str()), ("c", "g"));
    assert_eq!((stats.image_tag.as_str(), stats.lang.as_str(), stats.service.as_str()), ("i", "python", "s"));
    assert_eq!(stats.process_tags_hash, super::process_tags_hash("a:1,b:2"));
    assert_ne!(stats.process_tags_hash, 0);
    settle(counted);
}

#[test]
fn l16_synthetic_traffic_is_flagged_by_the_origin_of_its_chunk() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    for origin in ["synthetics-browser", "synthetics", "lambda", ""] {
        add_from(&mut concentrator, &View::default(), &[Spec::default()], origin, 1.0, START);
    }
    let counted = concentrator.flush(START, true);
    let mut flags: Vec<(bool, u64)> = groups(&counted).map(|group| (group.synthetics, group.hits)).collect();
    flags.sort_unstable();
    assert_eq!(flags, [(false, 2), (true, 2)]);
    settle(counted);
}

#[test]
fn l32_hits_are_weighted_and_rounded_so_that_their_sum_stays() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    let specs: Vec<Spec> =
        (0..1_000).map(|index| Spec { service: format!("s{index}"), ..Spec::default() }).collect();
    add(&mut concentrator, &View::default(), &specs, 2.5, START);
    let hits = settle(concentrator.flush(START, true)).0;
    assert!((2_400..2_600).contains(&hits), "{hits}");
    add(&mut concentrator, &View::default(), &specs[..1], 10.0, START);
    for unusable in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        add(&mut concentrator, &View::default(), &specs[..1], unusable, START);
    }
    assert_eq!(settle(concentrator.flush(START, true)).0, 14);
}

#[test]
fn l32_endless_resources_share_one_value_and_no_hit_is_lost() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    for index in 0..5_000 {
        let spec = Spec { resource: format!("GET /{index}"), ..Spec::default() };
        add(&mut concentrator, &View::default(), &[spec], 1.0, START);
    }
    assert_eq!(concentrator.groups_held(), 1_025);
    assert_eq!(concentrator.blocked_spans(), 5_000 - 1_024);
    let counted = concentrator.flush(START, true);
    let blocked: Vec<_> = groups(&counted).filter(|group| group.resource == BLOCKED).collect();
    assert_eq!(blocked.len(), 1);
    assert_eq!((blocked[0].service.as_str(), blocked[0].hits), ("web", 5_000 - 1_024));
    assert_eq!(settle(counted).0, 5_000);
}

#[test]
fn l137_a_full_bucket_counts_in_an_overflow_group_and_no_hit_is_lost() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    for index in 0..STATS_BUCKET_MAX_KEYS + 500 {
        let spec = Spec { service: format!("s{index}"), ..Spec::default() };
        add(&mut concentrator, &View::default(), &[spec], 1.0, START);
    }
    assert_eq!(concentrator.groups_held(), STATS_BUCKET_MAX_KEYS as u64 + 1);
    let counted = concentrator.flush(START, true);
    let overflow = groups(&counted).find(|group| group.service == BLOCKED).unwrap();
    assert_eq!((overflow.hits, overflow.name.as_str(), overflow.resource.as_str()), (500, BLOCKED, BLOCKED));
    assert_eq!(settle(counted).0, STATS_BUCKET_MAX_KEYS as u64 + 500);
}

#[test]
fn l25_views_go_with_their_last_bucket_and_are_bounded() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    for index in 0..2 * VIEWS_MAX {
        let version = index.to_string();
        add(
            &mut concentrator,
            &View { env: "prod", version: &version, ..View::default() },
            &[Spec::default()],
            1.0,
            START,
        );
    }
    let counted = concentrator.flush(START + 20 * SECOND, false);
    assert_eq!(counted.len(), VIEWS_MAX + 1);
    let shared = counted.iter().find(|counted| counted.stats.env == BLOCKED).unwrap();
    assert_eq!(shared.stats.buckets[0].groups[0].hits, VIEWS_MAX as u64);
    assert_eq!(settle(counted).0, 2 * VIEWS_MAX as u64);
    assert_eq!((concentrator.held_bytes(), concentrator.groups_held()), (0, 0));
}

#[test]
fn the_number_of_groups_is_bounded_over_all_views() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    for view in 0..6 {
        let version = format!("{view}");
        let specs: Vec<Spec> =
            (0..6_000).map(|index| Spec { service: format!("s{index}"), ..Spec::default() }).collect();
        add(
            &mut concentrator,
            &View { env: "prod", version: &version, ..View::default() },
            &specs,
            1.0,
            START,
        );
    }
    assert!(concentrator.groups_held() <= GROUPS_MAX + 6);
    assert_eq!(settle(concentrator.flush(START, true)).0, 36_000);
}

#[test]
fn past_its_bytes_it_takes_no_new_keys_and_asks_to_be_flushed() {
    let books = Books::default();
    let mut concentrator = Concentrator::new(&StatsConfig::default(), &books, 50_000, START);
    for index in 0..2_000 {
        let spec = Spec { service: format!("s{index}"), resource: "r".repeat(200), ..Spec::default() };
        add(&mut concentrator, &View::default(), &[spec], 1.0, START);
    }
    assert!(concentrator.held_bytes() < 100_000, "{}", concentrator.held_bytes());
    assert!(concentrator.next_flush_ns().unwrap() <= START);
    assert_eq!(settle(concentrator.flush(START, false)).0, 2_000);
    assert_eq!(concentrator.held_bytes(), 0);
}

#[test]
fn a_group_with_one_hit_costs_well_under_a_kilobyte() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    let specs: Vec<Spec> = (0..1_000)
        .map(|index| Spec { resource: format!("GET /api/v1/users/{index}/orders"), ..Spec::default() })
        .collect();
    add(&mut concentrator, &View::default(), &specs, 1.0, START);
    let each = concentrator.held_bytes() / 1_000;
    assert!(each < 600, "{each}");
    settle(concentrator.flush(START, true));
}

#[test]
fn what_is_dropped_unflushed_is_not_forgotten_silently() {
    let books = Books::default();
    let mut concentrator = concentrator(&books);
    add(&mut concentrator, &View::default(), &[Spec::default()], 1.0, START);
    drop(concentrator);
    assert_eq!(books.book(Signal::Stats).dropped(Why::Forgotten), 1);
}
