use super::*;
use crate::config::{ProbabilisticConfig, RareConfig};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

/// A chunk in the making.
#[derive(Clone, Default)]
struct Spec {
    priority: Option<i32>,
    trace_id: u64,
    service: &'static str,
    parent_id: u64,
    error: bool,
    exception_event: bool,
    single_spans: Vec<bool>,
    top_level: bool,
    root_meta: Vec<(&'static str, &'static str)>,
    root_metrics: Vec<(&'static str, f64)>,
}

/// What is left of a chunk after a decision.
struct Outcome {
    decision: Decision,
    priority: i32,
    dropped_trace: bool,
    spans: Vec<u64>,
    tags: Vec<(String, String)>,
    root_metrics: Vec<(String, f64)>,
}

impl Outcome {
    fn metric(&self, key: &str) -> Option<f64> {
        self.root_metrics.iter().find(|(existing, _)| existing == key).map(|(_, value)| *value)
    }
}

fn decide_at(samplers: &Samplers, spec: &Spec, weight: f64, now_ns: i64) -> Outcome {
    let arena = Bump::new();
    let mut chunk = Chunk::new_in(&arena);
    chunk.priority = spec.priority.unwrap_or(PRIORITY_NONE);
    let mut facts = Vec::new();
    for index in 0..spec.single_spans.len().max(1) {
        let mut span = Span::new_in(&arena);
        span.service = spec.service;
        span.trace_id = spec.trace_id;
        span.span_id = index as u64;
        span.parent_id = if index == 0 { spec.parent_id } else { 1 };
        if index == 0 {
            span.error = i32::from(spec.error);
            span.meta.extend(spec.root_meta.iter().copied());
            span.metrics.extend(spec.root_metrics.iter().copied());
        }
        chunk.spans.push(span);
        facts.push(SpanFacts {
            top_level: spec.top_level,
            has_exception_event: spec.exception_event && index == 0,
            single_span_sampled: spec.single_spans.get(index).copied().unwrap_or_default(),
            ..SpanFacts::default()
        });
    }
    let decision = samplers.decide(&arena, &mut chunk, 0, &facts, "", weight, now_ns);
    Outcome {
        decision,
        priority: chunk.priority,
        dropped_trace: chunk.dropped_trace,
        spans: chunk.spans.iter().map(|span| span.span_id).collect(),
        tags: chunk.tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        root_metrics: chunk.spans[0].metrics.iter().map(|(key, value)| ((*key).into(), *value)).collect(),
    }
}

fn decide(config: &SamplingConfig, spec: &Spec) -> Outcome {
    decide_at(&Samplers::new(config, "prod", START), spec, 0.0, START)
}

fn tracer(priority: i32) -> Spec {
    Spec { priority: Some(priority), service: "web", ..Spec::default() }
}

#[test]
fn l18_what_the_tracer_dropped_is_dropped() {
    let config = SamplingConfig { error_tps: 0.0, ..SamplingConfig::default() };
    for (priority, expected) in
        [(-1, Decision::Drop), (0, Decision::Drop), (1, Decision::Keep), (2, Decision::Keep)]
    {
        let outcome = decide(&config, &tracer(priority));
        assert_eq!(outcome.decision, expected, "{priority}");
        assert_eq!(outcome.dropped_trace, expected == Decision::Drop);
        assert_eq!(outcome.priority, priority);
    }
}

#[test]
fn errors_are_kept_where_the_tracer_dropped_by_itself_and_not_where_a_person_did() {
    let config = SamplingConfig::default();
    let failed = |priority| Spec { error: true, ..tracer(priority) };
    let kept = decide(&config, &failed(0));
    assert_eq!((kept.decision, kept.metric(ERRORS_RATE)), (Decision::Keep, Some(1.0)));
    assert_eq!(decide(&config, &failed(-1)).decision, Decision::Drop);

    let feature = SamplingConfig { error_rare_sample_tracer_drop: true, ..config };
    assert_eq!(decide(&feature, &failed(-1)).decision, Decision::Keep);
    let manual = Spec { root_meta: vec![(DECISION_MAKER, DECIDED_MANUALLY)], ..failed(-1) };
    assert_eq!(decide(&feature, &manual).decision, Decision::Drop);
    let rule = Spec { root_meta: vec![(DECISION_MAKER, "-3")], ..failed(-1) };
    assert_eq!(decide(&feature, &rule).decision, Decision::Keep);
}

#[test]
fn the_errors_sampler_can_be_switched_off() {
    let config = SamplingConfig { error_tps: 0.0, ..SamplingConfig::default() };
    assert_eq!(decide(&config, &Spec { error: true, ..tracer(0) }).decision, Decision::Drop);
}

#[test]
fn a_trace_without_priority_is_sampled_here() {
    let kept = decide(&SamplingConfig::default(), &Spec { service: "web", ..Spec::default() });
    assert_eq!((kept.decision, kept.metric(NO_PRIORITY_RATE)), (Decision::Keep, Some(1.0)));
    let none = SamplingConfig { target_tps: 0.0, ..SamplingConfig::default() };
    let dropped = decide(&none, &Spec { service: "web", trace_id: 1, ..Spec::default() });
    assert_eq!((dropped.decision, dropped.metric(NO_PRIORITY_RATE)), (Decision::Drop, None));
}

#[test]
fn the_rate_is_noted_on_roots_whose_tracer_did_not() {
    let config = SamplingConfig::default();
    assert_eq!(decide(&config, &tracer(1)).metric(LEGACY_RATE), Some(1.0));
    for told in [AGENT_RATE, RULE_RATE] {
        let spec = Spec { root_metrics: vec![(told, 0.5)], ..tracer(1) };
        assert_eq!(decide(&config, &spec).metric(LEGACY_RATE), None, "{told}");
    }
    let legacy = Spec { root_metrics: vec![(LEGACY_RATE, 0.25)], ..tracer(1) };
    assert_eq!(decide(&config, &legacy).metric(LEGACY_RATE), Some(0.25));
    for silent in [tracer(0), tracer(2), Spec { parent_id: 7, ..tracer(1) }] {
        assert_eq!(decide(&config, &silent).metric(LEGACY_RATE), None);
    }
}

#[test]
fn tracers_are_told_to_send_less_when_they_send_more_than_the_target() {
    let samplers = Samplers::new(&SamplingConfig::default(), "prod", START);
    let before = samplers.rates(START);
    assert_eq!(before.by_service, BTreeMap::from([("service:,env:".to_owned(), 1.0)]));
    // 100 traces a second from web, half of them dropped before they came here; 1 from jobs.
    for tick in 0..250 {
        decide_at(&samplers, &tracer(1), 1.0, START + tick * SECOND / 50);
    }
    for tick in 0..5 {
        decide_at(&samplers, &Spec { service: "jobs", ..tracer(0) }, 0.0, START + tick * SECOND);
    }
    assert!(Arc::ptr_eq(&before, &samplers.rates(START + 4 * SECOND)));
    let after = samplers.rates(START + 5 * SECOND);
    assert_ne!(after.version, before.version);
    assert_eq!(after.by_service["service:web,env:prod"], 0.09);
    assert_eq!(after.by_service["service:web,env:"], 0.09);
    assert_eq!(after.by_service["service:jobs,env:prod"], 1.0);
    assert_eq!(after.by_service["service:,env:"], 0.09);
    assert!(Arc::ptr_eq(&after, &samplers.rates(START + 9 * SECOND)));
}

#[test]
fn only_what_follows_the_rates_feeds_them() {
    let samplers = Samplers::new(&SamplingConfig::default(), "prod", START);
    for _ in 0..10_000 {
        decide_at(&samplers, &tracer(2), 0.0, START);
        decide_at(&samplers, &tracer(-1), 0.0, START);
    }
    assert_eq!(samplers.rates(START + 5 * SECOND).by_service.len(), 1);
}

#[test]
fn single_spans_are_kept_from_a_dropped_trace() {
    let spec = Spec { single_spans: vec![false, true, false, true], ..tracer(0) };
    let outcome = decide(&SamplingConfig::default(), &spec);
    assert_eq!(outcome.decision, Decision::KeepSingleSpans);
    assert_eq!(outcome.spans, [1, 3]);
    assert_eq!((outcome.priority, outcome.dropped_trace), (USER_KEEP, false));
    let kept = decide(&SamplingConfig::default(), &Spec { priority: Some(1), ..spec.clone() });
    assert_eq!((kept.decision, kept.spans.len()), (Decision::Keep, 4));
    let user_dropped = decide(&SamplingConfig::default(), &Spec { priority: Some(-1), ..spec });
    assert_eq!(user_dropped.decision, Decision::KeepSingleSpans);
}

#[test]
fn error_tracking_alone_keeps_errors_and_nothing_else() {
    let config = SamplingConfig { error_tracking_standalone: true, ..SamplingConfig::default() };
    let spec = Spec { single_spans: vec![true], ..tracer(2) };
    let dropped = decide(&config, &spec);
    assert_eq!((dropped.decision, dropped.tags.len()), (Decision::Drop, 0));
    for failed in [Spec { error: true, ..spec.clone() }, Spec { exception_event: true, ..spec }] {
        let kept = decide(&config, &failed);
        assert_eq!(kept.decision, Decision::Keep);
        assert_eq!(kept.tags, [(STANDALONE_ERROR.into(), "true".into())]);
    }
}

#[test]
fn the_probabilistic_sampler_decides_before_priorities() {
    let all = ProbabilisticConfig { percentage: 100.0, hash_seed: 0, full_trace_id: false };
    let config = SamplingConfig { probabilistic: Some(all), ..SamplingConfig::default() };
    let kept = decide(&config, &tracer(-1));
    assert_eq!((kept.decision, kept.priority, kept.metric("_dd.prob_sr")), (Decision::Keep, 1, Some(1.0)));
    assert_eq!(kept.tags, [(DECISION_MAKER.into(), DECIDED_PROBABILISTICALLY.into())]);

    let none = ProbabilisticConfig { percentage: 0.0, ..all };
    let config = SamplingConfig { probabilistic: Some(none), ..SamplingConfig::default() };
    let dropped = decide(&config, &tracer(2));
    assert_eq!((dropped.decision, dropped.priority), (Decision::Drop, 0));
    let failed = decide(&config, &Spec { error: true, ..tracer(0) });
    assert_eq!((failed.decision, failed.priority), (Decision::Keep, 1));
}

#[test]
fn a_rare_trace_is_kept_unless_its_priority_says_no() {
    let rare = RareConfig { tps: 5.0, ttl_seconds: 300, cardinality: 200 };
    let config = SamplingConfig { rare: Some(rare), ..SamplingConfig::default() };
    let spec = |priority| Spec { top_level: true, ..tracer(priority) };
    let samplers = Samplers::new(&config, "prod", START);
    let kept = decide_at(&samplers, &spec(0), 0.0, START);
    assert_eq!((kept.decision, kept.metric("_dd.rare")), (Decision::Keep, Some(1.0)));
    assert_eq!(decide_at(&samplers, &spec(0), 0.0, START).decision, Decision::Drop);
    assert_eq!(decide(&config, &spec(-1)).decision, Decision::Drop);
}

#[test]
fn a_chunk_without_its_root_is_dropped_not_a_panic() {
    let arena = Bump::new();
    let samplers = Samplers::new(&SamplingConfig::default(), "prod", START);
    let mut chunk = Chunk::new_in(&arena);
    assert_eq!(samplers.decide(&arena, &mut chunk, 0, &[], "", 0.0, START), Decision::Drop);
    assert!(chunk.dropped_trace);
}

#[test]
fn weights_are_inverse_rates_and_unusable_rates_count_once() {
    let arena = Bump::new();
    for (rate, expected) in [(0.25, 4.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0)] {
        let mut root = Span::new_in(&arena);
        root.metrics.push((SAMPLE_RATE, rate));
        assert_eq!(weight(&root), expected, "{rate}");
    }
    assert_eq!(weight(&Span::new_in(&arena)), 1.0);
}

#[test]
fn samplers_are_shared_by_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<Samplers>();
}
