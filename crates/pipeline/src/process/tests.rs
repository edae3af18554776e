//! Whole chunks: spans in, text out.

use super::*;
use crate::config::{ReplaceRule, Rules, SamplingConfig, StatsConfig, TagRule};
use model::stats::TraceRoot;
use model::{Books, SpanLink};
use proptest::prelude::*;
use regex::Regex;

/// 2026-11-21, in nanoseconds.
const NOW_NS: i64 = 1_795_219_200_000_000_000;
const START_NS: i64 = NOW_NS - 1_000;

/// A span as a test writes it; `meta` and `metrics` stand after it.
#[derive(Clone, Debug, Default)]
struct Row {
    service: &'static str,
    name: &'static str,
    resource: &'static str,
    span_type: &'static str,
    span_id: u64,
    parent_id: u64,
    error: i32,
    meta: Vec<(&'static str, &'static str)>,
    metrics: Vec<(&'static str, f64)>,
}

fn row(
    service: &'static str,
    name: &'static str,
    resource: &'static str,
    span_id: u64,
    parent_id: u64,
) -> Row {
    Row { service, name, resource, span_id, parent_id, ..Row::default() }
}

/// A root that its tracer keeps.
fn kept_root() -> Row {
    Row { metrics: vec![(SAMPLING_PRIORITY, 1.0)], ..row("web", "http.request", "GET /", 1, 0) }
}

fn chunk_of<'a>(arena: &'a Bump, rows: &[Row]) -> Chunk<'a> {
    let mut chunk = Chunk::new_in(arena);
    for row in rows {
        let mut span = Span::new_in(arena);
        (span.service, span.name, span.resource) = (row.service, row.name, row.resource);
        (span.trace_id, span.span_id, span.parent_id) = (77, row.span_id, row.parent_id);
        (span.start, span.duration, span.error) = (START_NS, 500, row.error);
        span.span_type = row.span_type;
        span.meta.extend_from_slice_copy(&row.meta);
        span.metrics.extend_from_slice_copy(&row.metrics);
        chunk.spans.push(span);
    }
    chunk
}

/// One line for the chunk, one for each span, tags sorted.
fn text_of(processed: Processed, payload: &Payload<'_>, chunk: &Chunk<'_>) -> String {
    let mut text = format!("kept {} discarded {}", processed.kept, processed.discarded);
    if let Some(why) = processed.why {
        text += &format!(" ({}", why.name());
        text += &processed.fault.map_or(")".into(), |fault| format!(": {})", fault.name()));
    }
    for (name, value) in [
        ("env", payload.env),
        ("host", payload.hostname),
        ("version", payload.app_version),
        ("origin", chunk.origin),
    ] {
        if !value.is_empty() {
            text += &format!(" {name}={value}");
        }
    }
    if chunk.priority != PRIORITY_NONE {
        text += &format!(" priority={}", chunk.priority);
    }
    for (key, value) in payload.tags.iter().chain(&chunk.tags) {
        text += &format!(" {key}={value}");
    }
    for span in &chunk.spans {
        text += &format!(
            "\n{}<{} {}|{}|{}",
            span.span_id, span.parent_id, span.service, span.name, span.resource
        );
        let mut tags: Vec<_> = span.meta.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        tags.extend(span.metrics.iter().map(|(key, value)| format!(" {key}:{value}")));
        tags.sort();
        text.extend(tags);
    }
    text
}

/// A configuration that leaves sampling to the tracer.
fn config() -> ProcessConfig {
    ProcessConfig {
        env: "Default Env".into(),
        sampling: SamplingConfig { error_tps: 0.0, ..SamplingConfig::default() },
        ..ProcessConfig::default()
    }
}

fn check_client(config: ProcessConfig, client: Client<'_>, rows: &[Row], want: &str) {
    let arena = Bump::new();
    let mut payload = Payload::new_in(&arena);
    let mut chunk = chunk_of(&arena, rows);
    let processed =
        Processor::new(config, NOW_NS).chunk(&arena, &mut payload, &client, &mut chunk, None, NOW_NS);
    assert_eq!(text_of(processed, &payload, &chunk), want);
}

fn check(config: ProcessConfig, rows: &[Row], want: &str) {
    check_client(config, Client { lang: "python", ..Client::default() }, rows, want);
}

#[test]
fn a_trace_is_normalized_obfuscated_and_marked() {
    check(
        config(),
        &[
            Row {
                meta: vec![
                    ("env", "Prod EU"),
                    ("version", "1.2"),
                    ("_dd.origin", "synthetics"),
                    ("_dd.hostname", "box"),
                    ("_dd.p.dm", "-1"),
                    ("http.status_code", "nonsense"),
                    ("_dd.tags.process", "entrypoint.name:app"),
                ],
                metrics: vec![(SAMPLING_PRIORITY, 2.0), ("_dd.measured", 1.0)],
                ..row("My Web!", "web-request", "GET /", 1, 0)
            },
            Row {
                span_type: "sql",
                meta: vec![("peer.service", "Data Base"), ("db.type", "mysql")],
                ..row("my_web", "mysql.query", "SELECT * FROM t WHERE id = 42", 2, 1)
            },
            Row { span_type: "redis", ..row("Cache", "redis", "SET key value", 3, 2) },
            row("", "", "", 4, 99),
        ],
        "kept 4 discarded 0 env=prod_eu host=box version=1.2 origin=synthetics priority=2 \
         _dd.tags.process=entrypoint.name:app _dd.p.dm=-1\n\
         1<0 my_web|web_request|GET / _dd.hostname=box _dd.measured:1 _dd.origin=synthetics _dd.p.dm=-1 \
         _dd.tags.process=entrypoint.name:app _sampling_priority_v1:2 _top_level:1 env=prod_eu version=1.2\n\
         2<1 my_web|mysql.query|SELECT * FROM t WHERE id = ? db.type=mysql peer.service=data_base \
         sql.query=SELECT * FROM t WHERE id = ?\n\
         3<2 cache|redis|SET _top_level:1\n\
         4<99 unnamed-python-service|unnamed_operation|unnamed_operation _top_level:1",
    );
}

#[test]
fn a_tracer_that_marks_top_level_is_believed() {
    check_client(
        config(),
        Client { computed_top_level: true, process_tags: "a:b", ..Client::default() },
        &[
            Row {
                metrics: vec![("_dd.top_level", 1.0), (SAMPLING_PRIORITY, 1.0)],
                ..row("a", "x", "r", 1, 0)
            },
            row("b", "x", "r", 2, 1),
        ],
        "kept 2 discarded 0 priority=1 _dd.tags.process=a:b\n\
         1<0 a|x|r _dd.top_level:1 _sampling_priority_rate_v1:1 _sampling_priority_v1:1 _top_level:1\n\
         2<1 b|x|r",
    );
}

#[test]
fn the_priority_may_stand_on_any_span() {
    check(
        config(),
        &[
            row("a", "x", "r", 1, 0),
            Row { metrics: vec![(SAMPLING_PRIORITY, 2.0)], ..row("a", "x", "r", 2, 1) },
        ],
        "kept 2 discarded 0 priority=2\n1<0 a|x|r _top_level:1\n2<1 a|x|r _sampling_priority_v1:2",
    );
}

#[test]
fn l16_root_tags_come_last_and_leave_the_origin_of_the_chunk() {
    let root_tags = vec![("_dd.origin".to_owned(), "cloudfunction".to_owned()), ("a".into(), "b".into())];
    check(
        ProcessConfig { root_tags, ..config() },
        &[
            Row {
                meta: vec![("_dd.origin", "synthetics")],
                metrics: vec![(SAMPLING_PRIORITY, 2.0)],
                ..row("a", "x", "r", 1, 0)
            },
            row("a", "x", "r", 2, 1),
        ],
        "kept 2 discarded 0 origin=synthetics priority=2\n\
         1<0 a|x|r _dd.origin=cloudfunction _sampling_priority_v1:2 _top_level:1 a=b\n\
         2<1 a|x|r",
    );
}

#[test]
fn l17_a_chunk_with_zero_or_foreign_ids_is_dropped_and_counted() {
    check(config(), &[kept_root(), row("a", "x", "r", 0, 1)], "kept 0 discarded 2 (invalid: span_id_zero)");
    let high = |high, span_id, parent| Row {
        meta: vec![("_dd.p.tid", high)],
        ..row("a", "x", "r", span_id, parent)
    };
    check(
        config(),
        &[high("640cfd8d00000000", 1, 0), high("640cfd8d00000001", 2, 1)],
        "kept 0 discarded 2 (invalid: foreign_span)",
    );

    let processor = Processor::new(config(), NOW_NS);
    for (trace_ids, fault) in [([77, 78], Fault::ForeignSpan), ([0, 0], Fault::TraceIdZero)] {
        let arena = Bump::new();
        let mut chunk = chunk_of(&arena, &[kept_root(), row("a", "x", "r", 2, 1)]);
        for (span, trace_id) in chunk.spans.iter_mut().zip(trace_ids) {
            span.trace_id = trace_id;
        }
        let mut payload = Payload::new_in(&arena);
        let processed = processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, None, NOW_NS);
        assert_eq!((processed.why, processed.fault), (Some(Why::Invalid), Some(fault)));
        assert_eq!(processor.faults().count(fault), 1, "{fault}");
        assert!(fault.drops_chunk());
    }
}

#[test]
fn l19_an_empty_chunk_leaves_nothing_to_send() {
    let processor = Processor::new(config(), NOW_NS);
    let arena = Bump::new();
    let mut payload = Payload::new_in(&arena);
    let mut chunk = Chunk::new_in(&arena);
    let processed = processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, None, NOW_NS);
    assert_eq!(processed, Processed { fault: Some(Fault::EmptyTrace), ..Processed::default() });
    assert_eq!(processor.faults().count(Fault::EmptyTrace), 1);
}

#[test]
fn what_is_repaired_is_counted_by_kind() {
    let processor = Processor::new(config(), NOW_NS);
    let arena = Bump::new();
    let mut payload = Payload::new_in(&arena);
    let mut chunk = chunk_of(&arena, &[kept_root(), row("", "-", "", 77, 77)]);
    chunk.spans[0].start = 42;
    chunk.spans[1].duration = i64::MAX;
    chunk.spans[1].links.push(SpanLink {
        trace_id: 1,
        trace_id_high: 0,
        span_id: 1,
        attributes: bumpalo::vec![in &arena; ("link.name", "a link")],
        tracestate: "",
        flags: 0,
    });
    processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, None, NOW_NS);
    assert_eq!((chunk.spans[0].start, chunk.spans[0].duration), (NOW_NS - 500, 500));
    assert_eq!((chunk.spans[1].parent_id, chunk.spans[1].duration), (0, 0));
    assert_eq!(chunk.spans[1].links[0].attributes.as_slice(), [("link.name", "a_link")]);
    let met: Vec<_> = processor.faults().met().map(|(fault, count)| (fault.name(), count)).collect();
    let want = [
        ("service_empty", 1),
        ("span_name_invalid", 1),
        ("resource_empty", 1),
        ("invalid_duration", 1),
        ("invalid_start_date", 1),
    ];
    assert_eq!(met, want);
}

#[test]
fn the_http_status_is_a_number_from_100_to_599() {
    for (status, stays) in [
        ("100", true),
        ("599", true),
        ("99", false),
        ("600", false),
        ("+200", false),
        ("", false),
        ("x", false),
    ] {
        let arena = Bump::new();
        let mut payload = Payload::new_in(&arena);
        let mut chunk = chunk_of(&arena, &[kept_root()]);
        chunk.spans[0].meta.push(("http.status_code", status));
        let processor = Processor::new(config(), NOW_NS);
        processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, None, NOW_NS);
        assert_eq!(chunk.spans[0].meta("http.status_code").is_some(), stays, "{status:?}");
    }
}

#[test]
fn the_policies_of_the_user_drop_whole_chunks() {
    let ignore = Rules { ignore_resources: vec![Regex::new("^GET /$").unwrap()], ..Rules::default() };
    check(
        ProcessConfig { rules: ignore, ..config() },
        &[kept_root(), row("a", "x", "r", 2, 1)],
        "kept 0 discarded 2 (ignored_resource) priority=1",
    );
    let require = Rules { require: vec![TagRule::new("team").unwrap()], ..Rules::default() };
    check(
        ProcessConfig { rules: require, ..config() },
        &[kept_root(), Row { meta: vec![("team", "a")], ..row("a", "x", "r", 2, 1) }],
        "kept 0 discarded 2 (filtered) priority=1",
    );
}

#[test]
fn rules_apply_after_obfuscation_and_truncation() {
    let rules = [("resource.name", r"id = \?", "id = #"), ("*", "^(.{200}).*$", "$1!")];
    let replace =
        rules.iter().map(|(name, pattern, by)| ReplaceRule::new(name, pattern, by).unwrap()).collect();
    check(
        ProcessConfig { rules: Rules { replace, ..Rules::default() }, ..config() },
        &[Row { span_type: "sql", ..Row { resource: "SELECT 1 FROM t WHERE id = 42", ..kept_root() } }],
        "kept 1 discarded 0 priority=1\n\
         1<0 web|http.request|SELECT ? FROM t WHERE id = # _sampling_priority_rate_v1:1 \
         _sampling_priority_v1:1 _top_level:1 sql.query=SELECT ? FROM t WHERE id = ?",
    );
}

#[test]
fn a_statement_is_obfuscated_before_it_is_cut() {
    // Cut first, the literal would be open and the statement unreadable.
    let statement: &'static str =
        Box::leak(format!("SELECT '{}' , {}", "x".repeat(5_000), "a, ".repeat(2_000)).into_boxed_str());
    let arena = Bump::new();
    let mut payload = Payload::new_in(&arena);
    let mut chunk = chunk_of(&arena, &[Row { span_type: "sql", resource: statement, ..kept_root() }]);
    let processor = Processor::new(config(), NOW_NS);
    processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, None, NOW_NS);
    let span = &chunk.spans[0];
    assert!(span.resource.starts_with("SELECT ?"), "{}", &span.resource[..20]);
    assert_eq!(span.resource.len(), truncate::RESOURCE_MAX_BYTES);
}

#[test]
fn a_trace_its_tracer_drops_leaves_its_single_spans() {
    let single = |span_id, parent_id| Row {
        metrics: vec![("_dd.span_sampling.mechanism", 8.0)],
        ..row("a", "x", "r", span_id, parent_id)
    };
    let dropped = Row { metrics: vec![(SAMPLING_PRIORITY, -1.0)], ..kept_root() };
    let root_tags = vec![("tag".to_owned(), "root".to_owned())];
    check(
        ProcessConfig { root_tags: root_tags.clone(), ..config() },
        &[dropped.clone(), single(2, 1), row("a", "x", "r", 3, 1), single(4, 3)],
        "kept 2 discarded 2 (sampled) priority=2\n\
         2<1 a|x|r _dd.span_sampling.mechanism:8 _top_level:1\n\
         4<3 a|x|r _dd.span_sampling.mechanism:8",
    );
    // The root is one of them: its tags are set on it.
    let mut root = dropped.clone();
    root.metrics.push(("_dd.span_sampling.mechanism", 8.0));
    check(
        ProcessConfig { root_tags, ..config() },
        &[single(2, 1), row("a", "x", "r", 3, 1), root],
        "kept 2 discarded 1 (sampled) priority=2\n\
         2<1 a|x|r _dd.span_sampling.mechanism:8 _top_level:1\n\
         1<0 web|http.request|GET / _dd.span_sampling.mechanism:8 _sampling_priority_v1:-1 _top_level:1 tag=root",
    );
    check(config(), &[dropped, row("a", "x", "r", 3, 1)], "kept 0 discarded 2 (sampled) priority=-1");
}

#[test]
fn the_rate_of_the_client_is_repeated_for_the_backend() {
    check(
        config(),
        &[Row { metrics: vec![("_sample_rate", 0.5), (SAMPLING_PRIORITY, 2.0)], ..row("a", "x", "r", 1, 0) }],
        "kept 1 discarded 0 priority=2\n\
         1<0 a|x|r _dd1.sr.rcusr:0.5 _sample_rate:0.5 _sampling_priority_v1:2 _top_level:1",
    );
}

#[test]
fn spans_are_counted_unless_their_tracer_did() {
    for (computed_stats, hits) in [(false, 2), (true, 0)] {
        let arena = Bump::new();
        let mut payload = Payload::new_in(&arena);
        let stats =
            Mutex::new(Concentrator::new(&StatsConfig::default(), &Books::default(), usize::MAX, NOW_NS));
        // Dropped by sampling, counted all the same, twice for its client's rate.
        let root = Row {
            metrics: vec![(SAMPLING_PRIORITY, -1.0), ("_sample_rate", 0.5)],
            ..row("web", "http.request", "GET /", 1, 0)
        };
        let mut chunk = chunk_of(&arena, &[root]);
        let client = Client { computed_stats, ..Client::default() };
        let processor = Processor::new(config(), NOW_NS);
        let processed = processor.chunk(&arena, &mut payload, &client, &mut chunk, Some(&stats), NOW_NS);
        assert_eq!(processed.kept, 0);
        let mut counted = 0;
        for flushed in stats.into_inner().unwrap().flush(NOW_NS, true) {
            assert_eq!((flushed.stats.env.as_str(), flushed.stats.service.as_str()), ("default_env", "web"));
            counted += flushed
                .stats
                .buckets
                .iter()
                .flat_map(|bucket| &bucket.groups)
                .map(|group| group.hits)
                .sum::<u64>();
            flushed.receipt.delivered();
        }
        assert_eq!(counted, hits);
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    let words =
        prop::sample::select(vec!["", "web", "Web 2!", "redis", "sql", "SELECT 'a", "é🐶", "_x-", "GET /9"]);
    let keys = prop::sample::select(vec![
        "env",
        "http.status_code",
        "_dd.p.dm",
        "_dd.origin",
        "peer.service",
        "sql.query",
        "http.url",
        "_dd.p.tid",
    ]);
    let numbers = prop::sample::select(vec![
        SAMPLING_PRIORITY,
        "_dd.span_sampling.mechanism",
        "_top_level",
        "_dd.top_level",
        "_sample_rate",
    ]);
    (
        [words.clone(), words.clone(), words.clone(), words.clone()],
        (0_u64..9, 0_u64..9, 0_i32..2),
        prop::collection::vec((keys, words), 0..4),
        prop::collection::vec(
            (numbers, prop::sample::select(vec![-1.0, 0.0, 0.5, 1.0, 8.0, f64::NAN])),
            0..4,
        ),
    )
        .prop_map(
            |([service, name, resource, span_type], (span_id, parent_id, error), meta, metrics)| Row {
                service,
                name,
                resource,
                span_type,
                span_id,
                parent_id,
                error,
                meta,
                metrics,
            },
        )
}

proptest! {
    #[test]
    fn every_span_is_kept_or_discarded_for_a_reason(
        rows in prop::collection::vec(any_row(), 0..12),
        computed_top_level in any::<bool>(),
        with_rules in any::<bool>(),
    ) {
        let rules = Rules {
            replace: vec![ReplaceRule::new("*", "e", "$0$0").unwrap()],
            reject: vec![TagRule::new("env:web").unwrap()],
            ..Rules::default()
        };
        let config = ProcessConfig { rules: if with_rules { rules } else { Rules::default() }, ..config() };
        let processor = Processor::new(config, NOW_NS);
        let arena = Bump::new();
        let mut payload = Payload::new_in(&arena);
        let mut chunk = chunk_of(&arena, &rows);
        let client = Client { computed_top_level, ..Client::default() };
        let processed = processor.chunk(&arena, &mut payload, &client, &mut chunk, None, NOW_NS);
        prop_assert_eq!(processed.kept, chunk.spans.len());
        prop_assert_eq!(processed.kept + processed.discarded as usize, rows.len());
        prop_assert_eq!(processed.why.is_some(), processed.discarded > 0);
        for span in &chunk.spans {
            prop_assert!(!span.service.is_empty() && !span.name.is_empty() && !span.resource.is_empty());
        }
    }
}

#[test]
fn only_the_jobs_span_is_counted_as_the_root_of_its_trace() {
    let job = Arc::new(JobSpan::new(START_NS));
    let processor = Processor::new(config(), NOW_NS).under_job(Some(Arc::clone(&job)));
    let stats = Mutex::new(Concentrator::new(&StatsConfig::default(), &Books::default(), 1 << 20, NOW_NS));
    let arena = Bump::new();
    let process = |span_id, trace_id, resource| {
        let row = Row { resource, span_id, ..kept_root() };
        let mut chunk = chunk_of(&arena, &[row]);
        chunk.spans[0].trace_id = trace_id;
        let mut payload = Payload::new_in(&arena);
        processor.chunk(&arena, &mut payload, &Client::default(), &mut chunk, Some(&stats), NOW_NS);
        chunk.spans[0].parent_id
    };
    assert_eq!(process(5, 77, "first"), job.span_id());
    assert_eq!(process(6, 78, "of another trace"), 0);
    assert_eq!(process(job.span_id(), job.trace_id().0, "the job"), 0);
    let mut counted = stats.lock().unwrap().flush(NOW_NS, true);
    let mut roots = Vec::new();
    for counted in &mut counted {
        for group in counted.stats.buckets.iter().flat_map(|bucket| &bucket.groups) {
            roots.push((group.resource.clone(), group.is_trace_root == TraceRoot::Yes));
        }
        counted.receipt.take(u64::MAX).delivered();
    }
    roots.sort();
    let expected = [("first", false), ("of another trace", true), ("the job", true)];
    assert_eq!(roots, expected.map(|(resource, is_root)| (resource.to_owned(), is_root)));
}
