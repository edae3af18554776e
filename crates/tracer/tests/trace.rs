//! What was recorded is what the agent's decoder reads.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use lastlight_tracer::{
    HEADERS_IGNORED, NotRecorded, SPAN_TAGS_MAX_COUNT, SPANS_DROPPED, SpanId, TAGS_DROPPED, TEXT_MAX_BYTES,
    TEXTS_CUT, Trace, TraceOptions, UNFINISHED,
};
use model::Bump;
use proptest::prelude::*;
use wire::traces::{Format, TraceReader};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// A span as the agent reads it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Read {
    service: String,
    name: String,
    resource: String,
    span_type: String,
    trace_id: u64,
    span_id: u64,
    parent_id: u64,
    start: i64,
    duration: i64,
    error: i32,
    meta: HashMap<String, String>,
    metrics: HashMap<String, f64>,
}

impl Read {
    fn meta(&self, key: &str) -> Option<&str> {
        self.meta.get(key).map(String::as_str)
    }

    fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.get(key).copied()
    }
}

fn read(trace: &Trace, now: u64) -> Vec<Read> {
    let mut body = Vec::new();
    let counts = trace.encode(now, &mut body);
    let arena = Bump::new();
    let (_, mut reader) = TraceReader::open(Format::V04, &body, &arena).unwrap();
    let chunk = reader.next_chunk(&arena).unwrap().unwrap();
    assert_eq!(reader.next_chunk(&arena).unwrap().map(|chunk| chunk.spans.len()), None);
    assert_eq!(chunk.spans.len(), counts.spans);
    let spans = chunk.spans.iter().map(|span| {
        let read = Read {
            service: span.service.into(),
            name: span.name.into(),
            resource: span.resource.into(),
            span_type: span.span_type.into(),
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            start: span.start,
            duration: span.duration,
            error: span.error,
            meta: span.meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            metrics: span.metrics.iter().map(|(key, value)| (key.to_string(), *value)).collect(),
        };
        assert_eq!(read.meta.len() + read.metrics.len(), span.meta.len() + span.metrics.len(), "a key twice");
        read
    });
    spans.collect()
}

fn options() -> TraceOptions {
    TraceOptions {
        service: "shop".into(),
        env: "prod".into(),
        version: "1.2".into(),
        language: "php".into(),
        language_version: "8.2".into(),
        interpreter: "cli".into(),
        tracer_version: "0.1".into(),
        runtime_id: "r-1".into(),
        process_id: 42,
        ..TraceOptions::default()
    }
}

fn trace() -> Trace {
    Trace::new(options(), 1)
}

#[test]
fn a_request_is_a_root_and_its_children() {
    let mut trace = trace();
    let root = trace.start(None, b"web.request", START).unwrap();
    trace.set_type(root, b"web").unwrap();
    trace.set_resource(root, b"GET /").unwrap();
    trace.tag(root, b"http.method", b"GET").unwrap();
    let query = trace.start(Some(root), b"query", START + 10).unwrap();
    trace.set_service(query, b"db").unwrap();
    trace.metric(query, b"rows", 3.0).unwrap();
    trace.error(query, b"Timeout", b"too slow", b"").unwrap();
    trace.finish(query, 20).unwrap();
    let later = trace.start(None, b"later", START + 40).unwrap();
    trace.finish(later, 5).unwrap();
    trace.finish(root, 100).unwrap();

    let ids = trace.ids(root).unwrap();
    assert_eq!(ids.trace_high, 1_700_000_000 << 32);
    let spans = read(&trace, 0);
    let [root, query, later] = &spans[..] else { panic!("{spans:?}") };
    let meta = [
        ("env", "prod"),
        ("version", "1.2"),
        ("language", "php"),
        ("runtime-id", "r-1"),
        ("_dd.p.dm", "-0"),
        ("_dd.p.tid", "6553f10000000000"),
        ("http.method", "GET"),
    ];
    assert_eq!(
        root,
        &Read {
            service: "shop".into(),
            name: "web.request".into(),
            resource: "GET /".into(),
            span_type: "web".into(),
            trace_id: ids.trace_low,
            span_id: ids.span,
            start: START as i64,
            duration: 100,
            meta: meta.map(|(key, value)| (key.into(), value.into())).into(),
            metrics: [("_dd.top_level", 1.0), ("_sampling_priority_v1", 1.0), ("process_id", 42.0)]
                .map(|(key, value)| (key.into(), value))
                .into(),
            ..Read::default()
        }
    );
    let meta = [
        ("env", "prod"),
        ("_dd.base_service", "shop"),
        ("error.type", "Timeout"),
        ("error.message", "too slow"),
    ];
    assert_eq!(query.meta, meta.map(|(key, value)| (key.into(), value.into())).into());
    assert_eq!(query.metrics, [("rows".into(), 3.0), ("_dd.top_level".into(), 1.0)].into());
    assert_eq!((query.service.as_str(), query.resource.as_str(), query.error), ("db", "query", 1));
    assert_eq!((query.parent_id, later.parent_id), (root.span_id, root.span_id));
    assert!(later.metrics.is_empty() && later.trace_id == root.trace_id);
}

#[test]
fn spans_that_nobody_finished_end_with_the_root_and_say_so() {
    let mut trace = trace();
    let root = trace.start(None, b"root", START).unwrap();
    trace.start(Some(root), b"open", START + 30).unwrap();
    trace.start(Some(root), b"after", START + 300).unwrap();
    let spans = read(&trace, START + 90);
    assert_eq!(spans.iter().map(|span| span.duration).collect::<Vec<_>>(), [90, 60, 0]);
    trace.finish(root, 100).unwrap();
    assert_eq!(trace.finish(root, 7), Err(NotRecorded::Finished));
    let spans = read(&trace, 0);
    assert_eq!(spans.iter().map(|span| span.duration).collect::<Vec<_>>(), [100, 70, 0]);
    let unfinished: Vec<_> = spans.iter().map(|span| span.metric(UNFINISHED)).collect();
    assert_eq!(unfinished, [None, Some(1.0), Some(1.0)]);
    let counts = trace.encode(0, &mut Vec::new());
    assert_eq!((counts.spans, counts.unfinished), (3, 2));
}

#[test]
fn what_finds_no_room_is_counted_on_the_root() {
    let mut trace = Trace::new(TraceOptions { spans_max: 2, bytes_max: 4_096, ..options() }, 1);
    let root = trace.start(None, b"root", START).unwrap();
    let child = trace.start(None, b"child", START).unwrap();
    assert_eq!(trace.start(Some(child), b"no", START), Err(NotRecorded::NoRoom));
    trace.tag(root, b"fits", &[b'x'; 3_000]).unwrap();
    assert_eq!(trace.tag(root, b"long", &[b'x'; 3_000]), Err(NotRecorded::NoRoom));
    assert_eq!(trace.set_resource(child, &[b'x'; 3_000]), Err(NotRecorded::NoRoom));
    assert_eq!(trace.error(child, b"E", &[b'x'; 3_000], b"s"), Err(NotRecorded::NoRoom));
    let spans = read(&trace, START);
    assert_eq!(spans[0].metric(SPANS_DROPPED), Some(1.0));
    assert_eq!(spans[0].metric(TAGS_DROPPED), Some(3.0));
    assert_eq!(spans[0].meta("fits").map(str::len), Some(3_000));
    assert_eq!((spans[0].meta("long"), spans[1].resource.as_str(), spans[1].error), (None, "child", 1));
    assert_eq!((spans[1].meta("error.type"), spans[1].meta("error.stack")), (Some("E"), Some("s")));
}

#[test]
fn tags_of_one_span_are_bounded_and_the_last_value_counts() {
    let mut trace = trace();
    let root = trace.start(None, b"root", START).unwrap();
    for tag in 0..u32::from(SPAN_TAGS_MAX_COUNT) + 5 {
        let result = trace.metric(root, tag.to_string().as_bytes(), 1.0);
        assert_eq!(result.is_ok(), tag < u32::from(SPAN_TAGS_MAX_COUNT));
    }
    trace.tag(root, b"7", b"text now").unwrap();
    trace.tag(root, b"7", b"text").unwrap();
    trace.metric(root, b"8", 2.0).unwrap();
    let spans = read(&trace, START);
    assert_eq!(
        (spans[0].meta("7"), spans[0].metric("7"), spans[0].metric("8")),
        (Some("text"), None, Some(2.0))
    );
    assert_eq!(spans[0].metric(TAGS_DROPPED), Some(5.0));
}

#[test]
fn a_text_that_is_no_text_or_too_long_is_repaired_and_cut() {
    let mut trace = trace();
    let root = trace.start(None, b"ro\xffot", START).unwrap();
    trace.tag(root, b"long", "é".repeat(TEXT_MAX_BYTES).as_bytes()).unwrap();
    let spans = read(&trace, START);
    assert_eq!(spans[0].name, "ro\u{fffd}ot");
    let long = spans[0].meta("long").unwrap();
    assert!(long.ends_with("é...") && (TEXT_MAX_BYTES - 1..=TEXT_MAX_BYTES).contains(&long.len()));
    assert_eq!(spans[0].metric(TEXTS_CUT), Some(1.0));
}

#[test]
fn what_is_set_overrules_what_the_tracer_says() {
    let mut trace = trace();
    let root = trace.start(None, b"root", START).unwrap();
    trace.tag(root, b"env", b"mine").unwrap();
    trace.metric(root, b"_dd.top_level", 0.0).unwrap();
    let spans = read(&trace, START);
    assert_eq!((spans[0].meta("env"), spans[0].metric("_dd.top_level")), (Some("mine"), Some(0.0)));
}

#[test]
fn a_rate_keeps_its_share_and_a_word_overrules_it() {
    let with = |rate| {
        let mut trace = Trace::new(TraceOptions { sample_rate: Some(rate), ..options() }, 1);
        trace.start(None, b"root", START).unwrap();
        trace
    };
    let kept = read(&with(7.0), START);
    assert_eq!((kept[0].metric("_sampling_priority_v1"), kept[0].meta("_dd.p.dm")), (Some(2.0), Some("-3")));
    assert_eq!(kept[0].metric("_dd.rule_psr"), Some(1.0));
    let mut dropped = with(0.0);
    let spans = read(&dropped, START);
    assert_eq!((spans[0].metric("_sampling_priority_v1"), spans[0].meta("_dd.p.dm")), (Some(-1.0), None));
    assert_eq!(dropped.keep(3), Err(NotRecorded::Invalid));
    dropped.keep(2).unwrap();
    let spans = read(&dropped, START);
    assert_eq!(
        (spans[0].metric("_sampling_priority_v1"), spans[0].meta("_dd.p.dm")),
        (Some(2.0), Some("-4"))
    );
}

#[test]
fn misuse_is_an_answer() {
    let mut trace = trace();
    let none = SpanId(0);
    assert!(trace.encode(START, &mut Vec::new()).spans == 0 && trace.is_empty());
    assert_eq!(trace.tag(none, b"k", b"v"), Err(NotRecorded::NoSuchSpan));
    assert_eq!(trace.inject(none, |_, _| ()), Err(NotRecorded::NoSuchSpan));
    assert_eq!(trace.start(Some(SpanId(3)), b"n", START), Err(NotRecorded::NoSuchSpan));
    let root = trace.start(None, b"root", START).unwrap();
    assert_eq!(trace.tag(root, b"", b"v"), Err(NotRecorded::Invalid));
    assert_eq!(trace.metric(root, b"k", f64::INFINITY), Err(NotRecorded::Invalid));
    assert_eq!(trace.extract([]), Err(NotRecorded::Begun));
    // The ends of time.
    trace.start(None, b"late", u64::MAX).unwrap();
    trace.finish(SpanId(1), u64::MAX).unwrap();
    let spans = read(&trace, START);
    assert_eq!((spans[1].start, spans[1].duration), (i64::MAX, 0));
}

#[test]
fn the_headers_that_go_along_name_language_and_count() {
    let trace = trace();
    let headers: Vec<_> = trace.headers().collect();
    assert_eq!(
        headers,
        [
            ("content-type", "application/msgpack"),
            ("x-datadog-trace-count", "1"),
            ("datadog-client-computed-top-level", "yes"),
            ("datadog-meta-lang", "php"),
            ("datadog-meta-lang-version", "8.2"),
            ("datadog-meta-lang-interpreter", "cli"),
            ("datadog-meta-tracer-version", "0.1"),
        ]
    );
}

#[test]
fn a_forked_child_shares_no_ids_and_sends_nothing_of_its_parent() {
    let mut parent = trace();
    parent.start(None, b"root", START).unwrap();
    let mut child = trace();
    child.start(None, b"root", START).unwrap();
    assert_eq!(parent.ids(SpanId(0)), child.ids(SpanId(0)));
    child.enter_process(43, "r-2", 2);
    assert!(child.is_empty());
    parent.reset();
    parent.start(None, b"root", START).unwrap();
    child.start(None, b"root", START).unwrap();
    let (of_parent, of_child) = (parent.ids(SpanId(0)).unwrap(), child.ids(SpanId(0)).unwrap());
    assert!(of_parent.trace_low != of_child.trace_low && of_parent.span != of_child.span);
    let spans = read(&child, START);
    assert_eq!((spans[0].metric("process_id"), spans[0].meta("runtime-id")), (Some(43.0), Some("r-2")));
}

#[test]
fn a_trace_is_used_again_without_a_trace_of_the_last_one() {
    let mut trace = trace();
    let headers: [(&[u8], &[u8]); 4] = [
        (b"x-datadog-trace-id", b"5"),
        (b"x-datadog-parent-id", b"6"),
        (b"x-datadog-origin", b"synthetics"),
        (b"x-datadog-tags", b"nonsense"),
    ];
    trace.extract(headers).unwrap();
    let root = trace.start(None, b"root", START).unwrap();
    trace.tag(root, b"k", b"v").unwrap();
    trace.keep(-1).unwrap();
    let spans = read(&trace, START);
    assert_eq!((spans[0].trace_id, spans[0].parent_id, spans[0].meta("_dd.p.tid")), (5, 6, None));
    assert_eq!(spans[0].meta("_dd.origin"), Some("synthetics"));
    assert_eq!(spans[0].metric(HEADERS_IGNORED), Some(1.0));
    assert_eq!(spans[0].meta("_dd.propagation_error"), Some("decoding_error"));
    trace.reset();
    trace.start(None, b"root", START).unwrap();
    let again = read(&trace, START);
    assert_eq!((again[0].parent_id, again[0].meta("_dd.origin"), again[0].meta("k")), (0, None, None));
    assert_eq!(again[0].metric("_sampling_priority_v1"), Some(1.0));
    assert_eq!((again[0].metric(HEADERS_IGNORED), again[0].meta("_dd.propagation_error")), (None, None));
    assert_ne!(again[0].trace_id, 5);
}

/// One call.
#[derive(Clone, Debug)]
enum Step {
    Start { parent: Option<u8>, name: String },
    Name(u8, String),
    Service(u8, String),
    Resource(u8, String),
    Type(u8, String),
    Tag(u8, String, String),
    Metric(u8, String, f64),
    Finish(u8, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let text = || prop_oneof!["[a-c]{0,3}", "\\PC{0,40}", "[a-z]{200,300}"];
    let key = || "[a-e]{1,2}";
    prop_oneof![
        (prop::option::of(any::<u8>()), text()).prop_map(|(parent, name)| Step::Start { parent, name }),
        (any::<u8>(), text()).prop_map(|(span, text)| Step::Name(span, text)),
        (any::<u8>(), text()).prop_map(|(span, text)| Step::Service(span, text)),
        (any::<u8>(), text()).prop_map(|(span, text)| Step::Resource(span, text)),
        (any::<u8>(), text()).prop_map(|(span, text)| Step::Type(span, text)),
        (any::<u8>(), key(), text()).prop_map(|(span, key, text)| Step::Tag(span, key, text)),
        (any::<u8>(), key(), -1e9..1e9).prop_map(|(span, key, value)| Step::Metric(span, key, value)),
        (any::<u8>(), any::<u32>()).prop_map(|(span, duration)| Step::Finish(span, duration)),
    ]
}

/// A span as it should be.
#[derive(Default)]
struct Wanted {
    read: Read,
    resource: Option<String>,
    is_finished: bool,
}

proptest! {
    #[test]
    fn what_was_recorded_is_what_is_read(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..60)) {
        let mut trace = Trace::new(TraceOptions { service: "s".into(), ..TraceOptions::default() }, seed);
        let mut wanted: Vec<Wanted> = Vec::new();
        for (time, step) in steps.into_iter().enumerate() {
            let count = wanted.len().max(1);
            let place = |span: u8| usize::from(span) % count;
            let id = |span: u8| SpanId(place(span) as u32);
            match step {
                Step::Start { parent, name } => {
                    let parent = parent.filter(|_| !wanted.is_empty());
                    let start = START + time as u64;
                    let span = trace.start(parent.map(id), name.as_bytes(), start).unwrap();
                    let parent = parent.map(place).or((!wanted.is_empty()).then_some(0));
                    let ids = trace.ids(span).unwrap();
                    wanted.push(Wanted {
                        read: Read {
                            service: "s".into(),
                            name,
                            trace_id: ids.trace_low,
                            span_id: ids.span,
                            parent_id: parent.map_or(0, |parent| wanted[parent].read.span_id),
                            start: start as i64,
                            ..Read::default()
                        },
                        ..Wanted::default()
                    });
                }
                _ if wanted.is_empty() => {}
                Step::Name(span, text) => {
                    trace.set_name(id(span), text.as_bytes()).unwrap();
                    wanted[place(span)].read.name = text;
                }
                Step::Service(span, text) => {
                    trace.set_service(id(span), text.as_bytes()).unwrap();
                    wanted[place(span)].read.service = text;
                }
                Step::Resource(span, text) => {
                    trace.set_resource(id(span), text.as_bytes()).unwrap();
                    wanted[place(span)].resource = Some(text);
                }
                Step::Type(span, text) => {
                    trace.set_type(id(span), text.as_bytes()).unwrap();
                    wanted[place(span)].read.span_type = text;
                }
                Step::Tag(span, key, text) => {
                    trace.tag(id(span), key.as_bytes(), text.as_bytes()).unwrap();
                    wanted[place(span)].read.metrics.remove(&key);
                    wanted[place(span)].read.meta.insert(key, text);
                }
                Step::Metric(span, key, value) => {
                    trace.metric(id(span), key.as_bytes(), value).unwrap();
                    wanted[place(span)].read.meta.remove(&key);
                    wanted[place(span)].read.metrics.insert(key, value);
                }
                Step::Finish(span, duration) => {
                    let span_wanted = &mut wanted[place(span)];
                    let result = trace.finish(id(span), u64::from(duration));
                    prop_assert_eq!(result.is_err(), span_wanted.is_finished);
                    if result.is_ok() {
                        span_wanted.read.duration = i64::from(duration);
                        span_wanted.is_finished = true;
                    }
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let spans = read(&trace, START);
        prop_assert_eq!(spans.len(), wanted.len());
        for (mut span, wanted) in spans.into_iter().zip(wanted) {
            // What the tracer adds is told by its name.
            span.meta.retain(|key, _| key.len() < 3);
            span.metrics.retain(|key, _| key.len() < 3);
            if !wanted.is_finished {
                span.duration = 0;
            }
            let resource = wanted.resource.unwrap_or_else(|| wanted.read.name.clone());
            prop_assert_eq!(span, Read { resource, ..wanted.read });
        }
    }
}
