//! Trace requests in every format, against an independent encoder and an independent decoder.

#![allow(clippy::unwrap_used)]

mod support;

use lastlight_wire::ErrorKind;
use lastlight_wire::intake::traces::{AgentHeader, TraceEncoder, agent_header, decode_agent_payload};
use lastlight_wire::traces::{Format, TraceReader};
use model::trace::PRIORITY_NONE;
use model::{AttributeValue, Bump};
use proptest::prelude::*;
use prost::Message as _;
use support::{AgentPayload, Span, TraceChunk, TracerPayload};
use support::{array, body, decode, encode, full_payload, said, single};
use testkit::proto::{AttributeAnyValue, AttributeArrayValue, SpanEvent, SpanLink};

const FORMATS: [Format; 5] = [Format::V03, Format::V04, Format::V05, Format::V07, Format::JsonV04];

/// Decodes a body and encodes it; what `prost` reads must be what was meant. Then reads it back ourselves.
fn carries(format: Format, payload: &TracerPayload) {
    let arena = Bump::new();
    let body = body(format, payload);
    let decoded = decode(format, &body, &arena).unwrap();
    let encoded = encode(&decoded);
    let read = AgentPayload::decode(&*encoded).unwrap();
    assert_eq!(read.tracer_payloads, [said(format, payload)], "{format:?}");

    let again = decode_agent_payload(&encoded, &arena).unwrap();
    assert_eq!(again.payloads.len(), 1);
    assert_eq!(encode(&again.payloads[0]), encoded, "{format:?}");
}

fn refused(format: Format, body: &[u8]) -> ErrorKind {
    let arena = Bump::new();
    decode(format, body, &arena).expect_err("a hostile body was accepted").kind
}

#[test]
fn every_format_carries_all_it_can_say() {
    for format in FORMATS {
        carries(format, &full_payload());
        carries(format, &TracerPayload::default());
    }
}

#[test]
fn prost_writes_what_we_read() {
    let arena = Bump::new();
    let agent = AgentPayload {
        host_name: "h".into(),
        env: "e".into(),
        tracer_payloads: vec![full_payload(), TracerPayload::default()],
        tags: [("k".to_string(), "v".to_string())].into(),
        agent_version: "1".into(),
        target_tps: 10.0,
        error_tps: 5.0,
        rare_sampler_enabled: true,
    };
    let body = agent.encode_to_vec();
    let read = decode_agent_payload(&body, &arena).unwrap();
    assert_eq!((read.host_name, read.env, read.agent_version), ("h", "e", "1"));
    assert_eq!((read.target_tps, read.error_tps, read.rare_sampler_enabled), (10.0, 5.0, true));
    assert_eq!(read.tags.as_slice(), [("k", "v")]);

    let mut written: Vec<u8> = read.payloads.iter().flat_map(encode).collect();
    let tags = [("k".to_string(), "v".to_string())];
    let header = AgentHeader {
        host_name: "h",
        env: "e",
        tags: &tags,
        agent_version: "1",
        target_tps: 10.0,
        error_tps: 5.0,
        rare_sampler_enabled: true,
    };
    agent_header(&header, &mut written);
    assert_eq!(AgentPayload::decode(&*written).unwrap(), agent);
}

#[test]
fn the_outgoing_bytes_are_as_they_were() {
    let arena = Bump::new();
    let incoming = body(Format::V07, &full_payload());
    let decoded = decode(Format::V07, &incoming, &arena).unwrap();
    let encoded = encode(&decoded);
    let golden = include_bytes!("../testdata/agent_payload.bin");
    assert!(encoded == golden, "the encoding of a payload changed");
}

#[test]
fn tags_of_all_spans_win_and_spare_the_named_span() {
    let arena = Bump::new();
    let body = body(Format::V04, &full_payload());
    let decoded = decode(Format::V04, &body, &arena).unwrap();
    let tags = [("env", "forced"), ("region", "eu")].map(|(k, v)| (k.to_string(), v.to_string()));
    let encoder = TraceEncoder::new(&tags, Some("sql"));
    let (mut content, mut out) = (Vec::new(), Vec::new());
    encoder.chunk(&decoded.chunks[0], &decoded.chunks[0].spans, &mut content);
    encoder.payload_fields(&decoded, &tags, &mut content);
    TraceEncoder::tracer_payload(&[&content], &mut out);
    let read = AgentPayload::decode(&*out).unwrap();
    let payload = &read.tracer_payloads[0];
    assert_eq!(payload.tags["region"], "eu");
    assert_eq!(payload.chunks[0].spans[0].meta["env"], "forced");
    assert_eq!(payload.chunks[0].spans[0].meta["region"], "eu");
    assert!(payload.chunks[0].spans[1].meta.is_empty());
}

#[test]
fn a_chunk_can_be_written_in_parts() {
    let arena = Bump::new();
    let body = body(Format::V07, &full_payload());
    let decoded = decode(Format::V07, &body, &arena).unwrap();
    let chunk = &decoded.chunks[0];
    let encoder = TraceEncoder::new(&[], None);
    let mut content = Vec::new();
    for span in chunk.spans.chunks(1) {
        encoder.chunk(chunk, span, &mut content);
    }
    let mut out = Vec::new();
    TraceEncoder::tracer_payload(&[&content], &mut out);
    let read = AgentPayload::decode(&*out).unwrap();
    let whole = &full_payload().chunks[0];
    for (part, span) in read.tracer_payloads[0].chunks.iter().zip(&whole.spans) {
        assert_eq!(part, &TraceChunk { spans: vec![span.clone()], ..whole.clone() });
    }
    assert_eq!(read.tracer_payloads[0].chunks.len(), 2);
}

#[test]
fn nil_means_the_default_of_any_field() {
    let fields = [
        "service",
        "name",
        "resource",
        "trace_id",
        "span_id",
        "parent_id",
        "start",
        "duration",
        "error",
        "meta",
        "metrics",
        "type",
        "meta_struct",
        "span_links",
        "span_events",
    ];
    let mut body = vec![0x91, 0x91, 0x8f];
    for field in fields {
        rmp::encode::write_str(&mut body, field).unwrap();
        body.push(0xc0);
    }
    let json = format!("[[{{{}}}]]", fields.map(|field| format!("\"{field}\":null")).join(","));
    let arena = Bump::new();
    for (format, body) in [(Format::V04, body.as_slice()), (Format::JsonV04, json.as_bytes())] {
        let payload = decode(format, body, &arena).unwrap();
        let read = AgentPayload::decode(&*encode(&payload)).unwrap();
        assert_eq!(read.tracer_payloads[0].chunks[0].spans, [Span::default()]);
    }
}

#[test]
fn bodies_without_traces_are_no_error() {
    let arena = Bump::new();
    for (format, body) in [
        (Format::V04, b"\x90".as_slice()),
        (Format::V04, b"\xc0"),
        (Format::V05, b"\x92\x90\x90"),
        (Format::V05, b"\xc0"),
        (Format::V05, b"\x90"),
        (Format::V07, b"\x80"),
        (Format::V07, b"\xc0"),
        (Format::JsonV04, b" [ ] "),
        (Format::JsonV04, b"null"),
    ] {
        assert_eq!(decode(format, body, &arena).unwrap().chunks.len(), 0, "{format:?} {body:?}");
    }
    for (format, body) in [
        (Format::V04, b"\x92\x90\xc0".as_slice()),
        (Format::V05, b"\x92\x90\x92\x90\xc0"),
        (Format::V07, b"\x81\xa6chunks\x92\x80\x81\xa5spans\xc0"),
        (Format::JsonV04, b"[[], null ]"),
    ] {
        let payload = decode(format, body, &arena).unwrap();
        assert_eq!((payload.chunks.len(), payload.span_count()), (2, 0), "{format:?}");
        assert_eq!(payload.chunks[0].priority, PRIORITY_NONE);
    }
}

#[test]
fn bodies_that_are_no_traces_are_refused() {
    for format in FORMATS {
        assert_eq!(refused(format, b""), ErrorKind::Eof, "{format:?}");
    }
    assert_eq!(refused(Format::V04, b"\x81\xa1a\x01"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V04, b"\x91\x01"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V04, b"\x91\x91\x01"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V04, b"\x91\x91\x81\xa7service\x01"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V05, b"\x91\x90"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V05, b"\x92\x90\x91\x91\x91\x00"), ErrorKind::Malformed);
    assert_eq!(refused(Format::V07, b"\x91\x90"), ErrorKind::Malformed);
    assert_eq!(refused(Format::JsonV04, b"{}"), ErrorKind::Malformed);
    assert_eq!(refused(Format::JsonV04, b"[[{]]]"), ErrorKind::Malformed);
    assert_eq!(refused(Format::JsonV04, b"[[{\"service\":1}]]"), ErrorKind::Malformed);
    assert_eq!(refused(Format::JsonV04, b"[,[]]"), ErrorKind::Malformed);
    assert_eq!(refused(Format::JsonV04, b"[[]"), ErrorKind::Eof);
    assert_eq!(refused(Format::JsonV04, b"[\"a"), ErrorKind::Eof);
}

#[test]
fn every_cut_of_a_body_is_refused() {
    for format in FORMATS {
        let body = body(format, &full_payload());
        for end in 0..body.len() {
            let kind = refused(format, &body[..end]);
            assert!(
                matches!(kind, ErrorKind::Eof | ErrorKind::Malformed),
                "{format:?} cut at {end}: {kind:?}"
            );
        }
    }
}

#[test]
fn what_follows_the_last_chunk_is_ignored() {
    let arena = Bump::new();
    for format in [Format::V04, Format::V05, Format::V07] {
        let mut body = body(format, &full_payload());
        body.extend_from_slice(b"\xc1garbage");
        assert_eq!(decode(format, &body, &arena).unwrap().chunks.len(), 2);
    }
}

#[test]
fn chunks_can_be_decoded_one_by_one_into_an_arena_that_is_reset() {
    for format in FORMATS {
        let body = body(format, &full_payload());
        let outer = Bump::new();
        let (_, mut reader) = TraceReader::open(format, &body, &outer).unwrap();
        let mut inner = Bump::new();
        let mut spans = 0;
        assert_eq!(reader.chunk_count(), 2);
        while reader.chunk_count() > 0 {
            spans += reader.next_chunk(&inner).unwrap().unwrap().spans.len();
            inner.reset();
        }
        assert_eq!((spans, reader.chunk_count()), (3, 0));
        reader.finish().unwrap();
    }
}

#[test]
fn chunks_nobody_read_are_still_checked() {
    let body = body(Format::V04, &full_payload());
    let arena = Bump::new();
    let (_, reader) = TraceReader::open(Format::V04, &body, &arena).unwrap();
    reader.finish().unwrap();
    let (_, reader) = TraceReader::open(Format::V04, &body[..body.len() - 1], &arena).unwrap();
    assert_eq!(reader.finish().unwrap_err().kind, ErrorKind::Eof);
}

#[test]
fn nothing_is_read_after_an_error() {
    let arena = Bump::new();
    let (_, mut reader) = TraceReader::open(Format::V04, b"\x92\x01\x90", &arena).unwrap();
    assert!(reader.next_chunk(&arena).is_err());
    assert!(reader.next_chunk(&arena).unwrap().is_none());
}

#[test]
fn v07_fields_after_the_chunks_are_known_before_them() {
    let body = b"\x82\xa6chunks\x91\x81\xa8priority\x02\xa3env\xa4prod";
    let arena = Bump::new();
    let (payload, mut reader) = TraceReader::open(Format::V07, body, &arena).unwrap();
    assert_eq!(payload.env, "prod");
    assert_eq!(reader.next_chunk(&arena).unwrap().unwrap().priority, 2);
}

#[test]
fn numbers_come_in_any_width_and_ids_also_signed() {
    let mut body = vec![0x91, 0x91, 0x86];
    for (key, value) in [
        ("trace_id", b"\xd3\xff\xff\xff\xff\xff\xff\xff\xfe".as_slice()),
        ("span_id", b"\xcc\x07"),
        ("parent_id", b"\xff"),
        ("start", b"\xcf\x00\x00\x00\x00\x00\x00\x00\x09"),
        ("duration", b"\xd1\xff\xfe"),
        ("metrics", b"\x84\xa1a\x05\xa1b\xca\x3f\x80\x00\x00\xa1c\xd0\xff\xc4\x01d\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        rmp::encode::write_str(&mut body, key).unwrap();
        body.extend_from_slice(value);
    }
    let arena = Bump::new();
    let payload = decode(Format::V04, &body, &arena).unwrap();
    let span = &payload.chunks[0].spans[0];
    assert_eq!((span.trace_id, span.span_id, span.parent_id), (u64::MAX - 1, 7, u64::MAX));
    assert_eq!((span.start, span.duration), (9, -2));
    assert_eq!(span.metrics.as_slice(), [("a", 5.0), ("b", 1.0), ("c", -1.0), ("d", u64::MAX as f64)]);
    // A start beyond the signed range is no time.
    assert_eq!(
        refused(Format::V04, b"\x91\x91\x81\xa5start\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        ErrorKind::Malformed
    );
}

#[test]
fn invalid_utf8_is_repaired_and_nothing_else_is_lost() {
    let arena = Bump::new();
    let v04 = b"\x91\x91\x82\xa7service\xa4a\xffb\xe2\xa4name\xc4\x02ok";
    let v05 = b"\x92\x92\xa0\xa4a\xffb\xe2\x91\x91\x9c\x01\x00\x00\x01\x01\x00\x00\x00\x00\xc0\xc0\x00";
    let json = b"[[{\"service\":\"a\xffb\xe2\",\"name\":\"\\ud800x\\n\"}]]";
    for (format, body, name) in [
        (Format::V04, v04.as_slice(), "ok"),
        (Format::V05, v05, ""),
        (Format::JsonV04, json, "\u{fffd}\u{fffd}\u{fffd}x\n"),
    ] {
        let payload = decode(format, body, &arena).unwrap();
        let span = &payload.chunks[0].spans[0];
        assert_eq!((span.service, span.name), ("a\u{fffd}b\u{fffd}", name), "{format:?}");
    }
}

#[test]
fn unknown_fields_are_passed_over_up_to_a_depth() {
    let nested = |depth: usize| {
        let mut body = b"\x91\x91\x82\xa1x".to_vec();
        body.extend(std::iter::repeat_n(0x91, depth));
        body.extend_from_slice(b"\x01\xa7service\xa1s");
        body
    };
    let arena = Bump::new();
    assert_eq!(decode(Format::V04, &nested(32), &arena).unwrap().chunks[0].spans[0].service, "s");
    assert_eq!(refused(Format::V04, &nested(33)), ErrorKind::TooDeep);
    assert_eq!(refused(Format::V04, &nested(1_000_000)), ErrorKind::TooDeep);

    let every_type = b"\x91\x91\x82\xa1x\x9a\xc2\xca\0\0\0\0\xcb\0\0\0\0\0\0\0\0\xd4\0\0\xd8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xc7\x01\0\0\xc8\0\x01\0\0\xdc\0\x01\xc0\xde\0\x01\x01\xdb\0\0\0\x01y\xd9\x01z\xa7service\xa1s";
    assert_eq!(decode(Format::V04, every_type, &arena).unwrap().chunks[0].spans[0].service, "s");

    let json = format!("[[{{\"x\":{}{},\"service\":\"s\"}}]]", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(refused(Format::JsonV04, json.as_bytes()), ErrorKind::TooDeep);
}

#[test]
fn an_array_within_an_array_is_no_attribute() {
    let json = br#"[[{"span_events":[{"attributes":{"a":{"type":4,"array_value":{"values":[
        {"type":4,"array_value":{"values":[{"type":2,"int_value":1}]}},{"type":2,"int_value":2}]}}}}]}]]"#;
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    let msgpack = rmp_serde::to_vec_named(&value).unwrap();
    let arena = Bump::new();
    for (format, body) in [(Format::JsonV04, json.as_slice()), (Format::V04, &msgpack)] {
        let payload = decode(format, body, &arena).unwrap();
        let (_, AttributeValue::Array(values)) = &payload.chunks[0].spans[0].events[0].attributes[0] else {
            panic!("no array");
        };
        assert!(matches!(values.as_slice(), [AttributeValue::String(""), AttributeValue::Int(2)]));
    }
}

#[test]
fn v05_an_index_outside_the_dictionary_is_refused() {
    let body = b"\x92\x91\xa0\x91\x91\x9c\x01\x00\x00\x01\x01\x00\x00\x00\x00\xc0\xc0\x00";
    assert_eq!(refused(Format::V05, body), ErrorKind::Malformed);
}

#[test]
fn l155_declared_lengths_allocate_nothing() {
    let bodies: [(Format, &[u8]); 8] = [
        (Format::V04, b"\xdd\xff\xff\xff\xff"),
        (Format::V04, b"\x91\xdd\xff\xff\xff\xff"),
        (Format::V04, b"\x91\x91\x81\xa4meta\xdf\xff\xff\xff\xff"),
        (Format::V04, b"\x91\x91\x81\xa4name\xdb\xff\xff\xff\xff"),
        (Format::V05, b"\x92\xdd\xff\xff\xff\xff"),
        (Format::V05, b"\x92\x90\x91\xdd\xff\xff\xff\xff"),
        (Format::V07, b"\x81\xa6chunks\xdd\xff\xff\xff\xff"),
        (Format::V07, b"\x81\xa4tags\xdf\xff\xff\xff\xff"),
    ];
    for (format, body) in bodies {
        let arena = Bump::new();
        arena.set_allocation_limit(Some(4096));
        assert_eq!(decode(format, body, &arena).unwrap_err().kind, ErrorKind::Eof, "{format:?} {body:x?}");
    }
}

#[test]
fn a_body_that_decodes_to_more_than_the_arena_may_hold_is_refused() {
    const BYTES: usize = 25_000_000;
    let filled = |head: &[u8], byte: u8| {
        let mut body = head.to_vec();
        body.resize(BYTES, byte);
        body
    };
    let length = |marker: u8, length: usize| {
        let mut head = vec![marker];
        head.extend_from_slice(&(length as u32).to_be_bytes());
        head
    };
    let maps = filled(&[b"\x91".as_slice(), &length(0xdd, BYTES - 6)].concat(), 0x80);
    let tags = filled(&[b"\x91\x91\x81\xa4meta".as_slice(), &length(0xdf, BYTES / 2 - 20)].concat(), 0xa0);
    let dictionary = filled(&[b"\x92".as_slice(), &length(0xdd, BYTES - 6)].concat(), 0xa0);
    let json = format!("[[{}{{}}]]", "{},".repeat(BYTES / 3));
    for (format, body) in [
        (Format::V04, maps.as_slice()),
        (Format::V04, &tags),
        (Format::V05, &dictionary),
        (Format::JsonV04, json.as_bytes()),
    ] {
        let arena = Bump::new();
        arena.set_allocation_limit(Some(32 << 20));
        let result = TraceReader::open(format, body, &arena)
            .and_then(|(_, mut reader)| reader.next_chunk(&arena).map(drop));
        assert_eq!(result.unwrap_err().kind, ErrorKind::TooLarge, "{format:?}");
        assert!(arena.allocated_bytes() <= 32 << 20);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z._]{0,12}", 1 => "\\PC{0,20}", 1 => "[ab]{120,140}"]
}

fn tags() -> impl Strategy<Value = support::Tags> {
    prop::collection::btree_map(text(), text(), 0..5)
}

fn scalar() -> impl Strategy<Value = AttributeArrayValue> {
    let of = |r#type| AttributeArrayValue { r#type, ..AttributeArrayValue::default() };
    prop_oneof![
        text().prop_map(move |string_value| AttributeArrayValue { string_value, ..of(0) }),
        any::<bool>().prop_map(move |bool_value| AttributeArrayValue { bool_value, ..of(1) }),
        any::<i64>().prop_map(move |int_value| AttributeArrayValue { int_value, ..of(2) }),
        (-1e9..1e9).prop_map(move |double_value| AttributeArrayValue { double_value, ..of(3) }),
    ]
}

fn value() -> impl Strategy<Value = AttributeAnyValue> {
    prop_oneof![
        4 => scalar().prop_map(single),
        1 => prop::collection::vec(scalar(), 0..20).prop_map(array),
    ]
}

prop_compose! {
    fn link()(
        trace_id in any::<u64>(), trace_id_high in any::<u64>(), span_id in any::<u64>(),
        attributes in tags(), tracestate in text(), flags in any::<u32>(),
    ) -> SpanLink {
        SpanLink { trace_id, trace_id_high, span_id, attributes, tracestate, flags }
    }
}

prop_compose! {
    fn event()(
        time_unix_nano in any::<u64>(), name in text(),
        attributes in prop::collection::btree_map(text(), value(), 0..4),
    ) -> SpanEvent {
        SpanEvent { time_unix_nano, name, attributes }
    }
}

prop_compose! {
    fn span()(
        (service, name, resource, span_type) in (text(), text(), text(), text()),
        (trace_id, span_id, parent_id) in any::<(u64, u64, u64)>(),
        (start, duration, error) in any::<(i64, i64, i32)>(),
        meta in tags(),
        metrics in prop::collection::btree_map(text(), -1e12..1e12, 0..5),
        meta_struct in prop::collection::btree_map(text(), prop::collection::vec(any::<u8>(), 0..200), 0..2),
        span_links in prop::collection::vec(link(), 0..2),
        span_events in prop::collection::vec(event(), 0..2),
    ) -> Span {
        Span {
            service, name, resource, trace_id, span_id, parent_id, start, duration, error, meta, metrics, span_type,
            meta_struct, span_links, span_events,
        }
    }
}

prop_compose! {
    fn chunk()(
        priority in -2..4, origin in text(), spans in prop::collection::vec(span(), 0..5), tags in tags(),
        dropped_trace in any::<bool>(),
    ) -> TraceChunk {
        TraceChunk { priority, origin, spans, tags, dropped_trace }
    }
}

prop_compose! {
    fn payload()(
        strings in prop::collection::vec(text(), 8), chunks in prop::collection::vec(chunk(), 0..4), tags in tags(),
    ) -> TracerPayload {
        let [container_id, language_name, language_version, tracer_version, runtime_id, env, hostname, app_version] =
            strings.try_into().unwrap();
        TracerPayload {
            container_id, language_name, language_version, tracer_version, runtime_id, chunks, tags, env, hostname,
            app_version,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_payload_arrives_as_it_was_meant(payload in payload()) {
        for format in FORMATS {
            carries(format, &payload);
        }
    }
}
