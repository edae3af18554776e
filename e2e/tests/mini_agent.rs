//! The older mini agent's own binary and lastlight, the same requests to both: every difference is explained.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::Start,
    compare::{Case, Differences, PLATFORM, answers, start_mini_agent},
    folder, raw,
};
use std::collections::BTreeMap;
use testkit::{
    Backend,
    payload::{self, Mix, Template},
    proto::{AttributeAnyValue, Span, SpanEvent, SpanLink},
};

/// A moment both agents take for the present.
const NOW_NANOSECONDS: i64 = 1_790_000_000_000_000_000;

const HEADERS: &str = "datadog-meta-lang: python\r\ndatadog-meta-lang-version: 3.11.7\r\n\
    datadog-meta-lang-interpreter: CPython\r\ndatadog-meta-tracer-version: 4.16.0\r\n\
    datadog-container-id: abcdef\r\nx-datadog-trace-count: 10\r\n";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for serial in 0..3 {
        let traces = payload::mix(Mix { seed: serial + 1, ..Mix::default() });
        let body = Template::new(payload::v04(&traces), 200).request(serial, NOW_NANOSECONDS);
        cases.push(Case::traces("mix", HEADERS, &body));
    }
    let computed = "datadog-client-computed-top-level: yes\r\ndatadog-client-computed-stats: yes\r\n";
    cases.push(Case::traces(
        "the tracer computed",
        &format!("{HEADERS}{computed}"),
        &one(Span { ..span(11) }),
    ));
    cases.push(Case::traces("without headers", "", &one(span(12))));
    for (name, span) in spans() {
        cases.push(Case::traces(name, HEADERS, &one(span)));
    }
    let child = Span { trace_id: 41, parent_id: 41, service: "other".into(), ..span(42) };
    let family =
        vec![Span { meta: with(&[("env", "Prod"), ("_dd.origin", "synthetics")]), ..span(41) }, child];
    cases.push(Case::traces("parent and child", HEADERS, &payload::v04(&[family])));
    cases.push(Case::traces("no traces", HEADERS, &[0x90]));
    cases.push(Case::traces("an empty trace", HEADERS, &[0x91, 0x90]));
    cases.push(Case::traces("malformed", HEADERS, &[0xc1]));
    cases.push(Case { name: "an unknown path".into(), bytes: raw::request("POST", "/v9.9/traces", "", b"") });
    cases.push(Case { name: "a wrong method".into(), bytes: raw::request("GET", "/v0.4/traces", "", b"") });
    cases
}

fn span(id: u64) -> Span {
    Span { start: NOW_NANOSECONDS, ..payload::span(id) }
}

fn one(span: Span) -> Vec<u8> {
    payload::v04(&[vec![span]])
}

fn with(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Spans that each try one rule of normalization or obfuscation.
fn spans() -> Vec<(&'static str, Span)> {
    let event = SpanEvent {
        time_unix_nano: 7,
        name: "exception".into(),
        attributes: [("n".to_owned(), AttributeAnyValue { r#type: 2, int_value: 3, ..Default::default() })]
            .into(),
    };
    let link = SpanLink { trace_id: 8, span_id: 9, attributes: with(&[("k", "v")]), ..SpanLink::default() };
    vec![
        ("a service to normalize", Span { service: "Bad Service!!".into(), ..span(21) }),
        ("an empty service", Span { service: String::new(), ..span(22) }),
        ("a name to normalize", Span { name: "bad-name".into(), ..span(23) }),
        ("an empty name and resource", Span { name: String::new(), resource: String::new(), ..span(24) }),
        ("a negative duration", Span { duration: -5, ..span(25) }),
        ("a status that is none", Span { meta: with(&[("http.status_code", "abc")]), ..span(26) }),
        ("a long resource", Span { resource: "x".repeat(6_000), ..span(27) }),
        (
            "a long tag",
            Span { meta: with(&[("note", &"y".repeat(30_000)), (&"k".repeat(300), "v")]), ..span(28) },
        ),
        ("its own parent", Span { parent_id: 29, ..span(29) }),
        ("links and events", Span { span_links: vec![link], span_events: vec![event], ..span(30) }),
        (
            "structured tags",
            Span { meta_struct: [("appsec".to_owned(), vec![0x81, 0xa1, 0x61, 1])].into(), ..span(31) },
        ),
        (
            "a card number",
            Span {
                meta: with(&[("card.number", "4111 1111 1111 1111"), ("note", "4111111111111111")]),
                ..span(32)
            },
        ),
        (
            "a memcached command",
            Span {
                r#type: "memcached".into(),
                meta: with(&[("memcached.command", "set key 0 60 5\r\nvalue")]),
                ..span(33)
            },
        ),
        (
            "a mongodb query",
            Span {
                r#type: "mongodb".into(),
                meta: with(&[("mongodb.query", r#"{"find":"users","filter":{"name":"x"}}"#)]),
                ..span(34)
            },
        ),
        (
            "an elasticsearch body",
            Span {
                r#type: "elasticsearch".into(),
                meta: with(&[("elasticsearch.body", r#"{"query":{"match":{"name":"x"}}}"#)]),
                ..span(35)
            },
        ),
        (
            "a redis command",
            Span {
                r#type: "redis".into(),
                resource: "SET a b\nGET c".into(),
                meta: with(&[("redis.raw_command", "SET a b\nGET c")]),
                ..span(36)
            },
        ),
        (
            "a statement that does not parse",
            Span { r#type: "sql".into(), resource: "SELECT 'open".into(), ..span(37) },
        ),
        (
            "a Cassandra statement",
            Span { r#type: "cassandra".into(), resource: "SELECT * FROM t WHERE k = 'x'".into(), ..span(38) },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_to_the_mini_agent_is_explained() {
    let (our_backend, their_backend) = (Backend::start().await, Backend::start().await);
    let cases = cases();
    let lastlight = Start::new(&our_backend).set(PLATFORM.0, PLATFORM.1).start().await;
    let mini = start_mini_agent(&their_backend, &[]).await;
    let ours = answers(lastlight.port(), &cases).await;
    let theirs = answers(mini.port(), &cases).await;
    // Three payloads of 200 spans, and what the small ones carry.
    let sent = 600 + 2 + spans().len() as u64 + 2;
    their_backend.wait_until(|backend| backend.span_count() == sent, BOUND).await.unwrap();
    lastlight.stop().await;
    mini.stop().await;

    let mut differences = Differences::default();
    differences.answers(&theirs, &ours);
    let names = names(&their_backend.spans());
    let name = |id| names.get(&id).cloned().unwrap_or_default();
    differences.traces(&their_backend.traces(), &our_backend.traces(), name);
    let markdown = std::fs::read_to_string(folder().join("DIFFERENCES.md")).unwrap();
    differences.are_explained(&markdown, |kind| !kind.starts_with("metric"));
}

/// The cases of spans: their request, or their kind when they come from the mix.
fn names(arrived: &[Span]) -> BTreeMap<u64, String> {
    let kind = |span: &Span| match span.r#type.as_str() {
        "sql" => format!("mix: {}", span.resource.split(' ').next().unwrap_or_default()),
        _ => format!("mix: {}", span.name),
    };
    let mix = arrived.iter().map(|span| (span.span_id, kind(span)));
    let family = [
        (11, "the tracer computed"),
        (12, "without headers"),
        (41, "parent and child"),
        (42, "parent and child"),
    ];
    let single = spans().into_iter().map(|(name, span)| (span.span_id, name)).chain(family);
    mix.chain(single.map(|(id, name)| (id, name.to_owned()))).collect()
}
