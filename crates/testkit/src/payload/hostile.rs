//! Trace requests nobody should send.

use super::{Format, Mix, Template, mix, span, v04, v05, v07};
use crate::proto::Span;

/// Nesting deeper than any decoder may follow on its stack.
const NESTING: usize = 200_000;
/// A moment at which the filled templates begin.
const NOW_NANOSECONDS: i64 = 1_790_000_000_000_000_000;

/// What an agent must do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Answer 400; nothing of it arrives.
    Refused,
    /// Answer 200; so many spans arrive.
    Delivered(usize),
    /// Answer 200 or 400, in bounded time and memory.
    Answered,
}

/// One such request.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What is wrong with it.
    pub name: String,
    /// The route it goes to.
    pub format: Format,
    /// Its body.
    pub body: Vec<u8>,
    /// What must become of it.
    pub expected: Expected,
}

/// All of them, deterministic by seed.
pub fn hostile(seed: u64) -> Vec<Hostile> {
    let mut cases = malformed();
    cases.extend(declared());
    cases.extend(nested());
    cases.extend(mistyped());
    cases.extend(invalid());
    cases.extend(truncated(seed));
    cases
}

fn case(name: &str, format: Format, body: impl Into<Vec<u8>>, expected: Expected) -> Hostile {
    Hostile { name: name.to_owned(), format, body: body.into(), expected }
}

fn malformed() -> Vec<Hostile> {
    let mut cases = Vec::new();
    for format in [Format::V04, Format::V05, Format::V07] {
        cases.push(case("an empty body", format, [], Expected::Refused));
        cases.push(case("a byte msgpack never uses", format, [0xc1], Expected::Refused));
        cases.push(case("plain text", format, *b"hello, this is no trace", Expected::Refused));
    }
    cases.push(case("no traces", Format::V04, [0x90], Expected::Delivered(0)));
    cases.push(case("an empty trace", Format::V04, [0x91, 0x90], Expected::Delivered(0)));
    cases.push(case("no traces, v0.5", Format::V05, [0x92, 0x90, 0x90], Expected::Delivered(0)));
    cases.push(case("one of two elements", Format::V05, [0x91, 0x90], Expected::Refused));
    // A dictionary of "" and a span whose service is string 9.
    let mut outside = vec![0x92, 0x91, 0xa0, 0x91, 0x91, 0x9c, 9];
    outside.extend([0, 0, 1, 1, 0, 0, 0, 0, 0x80, 0x80, 0]);
    cases.push(case("an index outside the dictionary", Format::V05, outside, Expected::Refused));
    cases.push(case("a span of 11", Format::V05, [0x92, 0x90, 0x91, 0x91, 0x9b], Expected::Refused));
    cases.push(case("a dictionary of numbers", Format::V05, [0x92, 0x91, 0x01, 0x90], Expected::Refused));
    cases
}

/// Lengths that are declared and not there.
fn declared() -> Vec<Hostile> {
    const FOUR_GIB: [u8; 4] = [0xff; 4];
    let with = |head: &[u8], kind: u8| [head, &[kind], &FOUR_GIB].concat();
    let span_key =
        |key: &[u8]| [&[0x91, 0x91, 0x81, 0xa0 | u8::try_from(key.len()).unwrap_or(0)], key].concat();
    let refused = |name, format, body| case(name, format, body, Expected::Refused);
    vec![
        refused("4 G traces", Format::V04, with(&[], 0xdd)),
        refused("4 G spans", Format::V04, with(&[0x91], 0xdd)),
        refused("4 G fields", Format::V04, with(&[0x91, 0x91], 0xdf)),
        refused("4 G tags", Format::V04, with(&span_key(b"meta"), 0xdf)),
        refused("4 G metrics", Format::V04, with(&span_key(b"metrics"), 0xdf)),
        refused("4 G links", Format::V04, with(&span_key(b"span_links"), 0xdd)),
        refused("4 G events", Format::V04, with(&span_key(b"span_events"), 0xdd)),
        refused("a name of 4 GiB", Format::V04, with(&span_key(b"name"), 0xdb)),
        refused("4 G values under an unknown key", Format::V04, with(&span_key(b"future"), 0xdd)),
        refused("4 G strings", Format::V05, with(&[0x92], 0xdd)),
        refused("4 G traces, v0.5", Format::V05, with(&[0x92, 0x90], 0xdd)),
        refused("4 G tags, v0.7", Format::V07, with(b"\x81\xa4tags", 0xdf)),
        refused("4 G chunks, v0.7", Format::V07, with(b"\x81\xa6chunks", 0xdd)),
    ]
}

fn nested() -> Vec<Hostile> {
    let deep = |head: &[u8], kind: &[u8]| {
        let mut body = head.to_vec();
        for _ in 0..NESTING {
            body.extend_from_slice(kind);
        }
        body.push(0xc0);
        body
    };
    vec![
        case("nested arrays", Format::V04, deep(&[], &[0x91]), Expected::Refused),
        case(
            "nested arrays under an unknown key",
            Format::V04,
            deep(b"\x91\x91\x81\xa6future", &[0x91]),
            Expected::Refused,
        ),
        case(
            "nested maps under an unknown key",
            Format::V04,
            deep(b"\x91\x91\x81\xa6future", &[0x81, 0xa1, b'k']),
            Expected::Refused,
        ),
        case(
            "nested maps as a tag",
            Format::V04,
            deep(b"\x91\x91\x81\xa4meta\x81\xa1k", &[0x81, 0xa1, b'k']),
            Expected::Refused,
        ),
        case("nested arrays, v0.5", Format::V05, deep(&[0x92, 0x90], &[0x91]), Expected::Refused),
        case(
            "nested maps, v0.7",
            Format::V07,
            deep(b"\x81\xa6future", &[0x81, 0xa1, b'k']),
            Expected::Refused,
        ),
    ]
}

fn mistyped() -> Vec<Hostile> {
    let field = |bytes: &[u8]| [b"\x91\x91\x81", bytes].concat();
    vec![
        case("a map as the body", Format::V04, [0x80], Expected::Refused),
        case("a trace that is a number", Format::V04, [0x91, 0x01], Expected::Refused),
        case("a span that is text", Format::V04, [0x91, 0x91, 0xa1, b'x'], Expected::Refused),
        case("a name that is an array", Format::V04, field(b"\xa4name\x90"), Expected::Refused),
        case("tags that are an array", Format::V04, field(b"\xa4meta\x90"), Expected::Refused),
        case("metrics that are text", Format::V04, field(b"\xa7metrics\xa1x"), Expected::Refused),
        case("an id that is a map", Format::V04, field(b"\xa8trace_id\x80"), Expected::Refused),
        case("a start that is an array", Format::V04, field(b"\xa5start\x90"), Expected::Refused),
        case("a key that is an array", Format::V04, field(b"\x90\xc0"), Expected::Refused),
        case("an id that is negative", Format::V04, field(b"\xa7span_id\xff"), Expected::Answered),
        case("an id that is text", Format::V04, field(b"\xa7span_id\xa15"), Expected::Answered),
        case(
            "an error that does not fit",
            Format::V04,
            field(b"\xa5error\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
            Expected::Answered,
        ),
        case("a chunk that is text, v0.7", Format::V07, *b"\x81\xa6chunks\x91\xa1x", Expected::Refused),
    ]
}

/// Well formed, but against the rules of `facts/trace-intake.md` §5.1.
fn invalid() -> Vec<Hostile> {
    let delivered =
        |name, spans: Vec<Span>, count| case(name, Format::V04, v04(&[spans]), Expected::Delivered(count));
    let child = |id: u64| Span { trace_id: 11, parent_id: 11, ..span(id) };
    let utf8 = v04(&[vec![Span { service: "svc-XX".into(), ..span(21) }]]);
    let mut cases = vec![
        delivered("a zero trace id", vec![Span { trace_id: 0, ..span(11) }], 0),
        delivered("a zero span id", vec![Span { span_id: 0, ..span(11) }], 0),
        delivered("a foreign trace id", vec![span(11), Span { trace_id: 99, ..child(12) }], 0),
        delivered("a start before 2000", vec![Span { start: 5, ..span(13) }], 1),
        delivered("a negative duration", vec![Span { duration: -5, ..span(14) }], 1),
        delivered(
            "an end beyond all time",
            vec![Span { start: i64::MAX - 1, duration: i64::MAX, ..span(15) }],
            1,
        ),
        delivered(
            "metrics that are no numbers",
            vec![Span {
                metrics: [("nan".to_owned(), f64::NAN), ("inf".to_owned(), f64::INFINITY)].into(),
                ..span(16)
            }],
            1,
        ),
        delivered("a span that is its own parent", vec![Span { parent_id: 17, ..span(17) }], 1),
        delivered("a long resource", vec![Span { resource: "x".repeat(100_000), ..span(18) }], 1),
        case(
            "spans of null",
            Format::V04,
            [
                0x91, 0x91, 0x83, 0xa4, b'n', b'a', b'm', b'e', 0xc0, 0xa4, b'm', b'e', b't', b'a', 0xc0,
                0xa4, b't', b'y', b'p', b'e', 0xc0,
            ],
            Expected::Delivered(0),
        ),
        case(
            "a zero trace id, v0.5",
            Format::V05,
            v05(&[vec![Span { trace_id: 0, ..span(11) }]]),
            Expected::Delivered(0),
        ),
        case(
            "a zero trace id, v0.7",
            Format::V07,
            v07(&[vec![Span { trace_id: 0, ..span(11) }]]),
            Expected::Delivered(0),
        ),
    ];
    // The reference replaces what is not UTF-8 rather than losing the span.
    let body = replace(utf8, b"svc-XX", b"svc-\xff\xfe");
    cases.push(case("a service that is not UTF-8", Format::V04, body, Expected::Answered));
    cases
}

fn truncated(seed: u64) -> Vec<Hostile> {
    let mut random = fastrand::Rng::with_seed(seed);
    let traces = mix(Mix { seed, traces: 2, spans: 10 });
    let mut cases = Vec::new();
    for format in [Format::V04, Format::V05, Format::V07] {
        let body = Template::new(format.encode(&traces), 20).request(0, NOW_NANOSECONDS);
        for _ in 0..8 {
            let at = random.usize(1..body.len() - 1);
            cases.push(case(&format!("cut off after {at} bytes"), format, &body[..at], Expected::Refused));
        }
    }
    cases
}

fn replace(mut body: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if let Some(at) = body.windows(from.len()).position(|window| window == from) {
        body[at..at + to.len()].copy_from_slice(to);
    }
    body
}
