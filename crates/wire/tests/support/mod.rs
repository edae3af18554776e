//! The outgoing messages as `prost` sees them: an independent oracle, and, through `serde`, the maker of the
//! msgpack and JSON bodies tracers send. The testkit's span is no such maker, since what it holds in `meta_struct`
//! would be numbers there; hence spans, and what holds them, are our own.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod metrics;
pub mod stats;

use std::collections::BTreeMap;

use lastlight_wire::DecodeError;
use lastlight_wire::intake::traces::TraceEncoder;
use lastlight_wire::traces::{Format, TraceReader};
use model::{Bump, Payload};
use prost::Message as _;
use serde::ser::{Serialize, SerializeMap, Serializer};
use testkit::proto::{AttributeAnyValue, AttributeArray, AttributeArrayValue, SpanEvent, SpanLink};

pub type Tags = BTreeMap<String, String>;

#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentPayload {
    #[prost(string, tag = "1")]
    pub host_name: String,
    #[prost(string, tag = "2")]
    pub env: String,
    #[prost(message, repeated, tag = "5")]
    pub tracer_payloads: Vec<TracerPayload>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub tags: Tags,
    #[prost(string, tag = "7")]
    pub agent_version: String,
    #[prost(double, tag = "8")]
    pub target_tps: f64,
    #[prost(double, tag = "9")]
    pub error_tps: f64,
    #[prost(bool, tag = "10")]
    pub rare_sampler_enabled: bool,
}

#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub struct TracerPayload {
    #[prost(string, tag = "1")]
    pub container_id: String,
    #[prost(string, tag = "2")]
    pub language_name: String,
    #[prost(string, tag = "3")]
    pub language_version: String,
    #[prost(string, tag = "4")]
    pub tracer_version: String,
    #[prost(string, tag = "5")]
    pub runtime_id: String,
    #[prost(message, repeated, tag = "6")]
    pub chunks: Vec<TraceChunk>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub tags: Tags,
    #[prost(string, tag = "8")]
    pub env: String,
    #[prost(string, tag = "9")]
    pub hostname: String,
    #[prost(string, tag = "10")]
    pub app_version: String,
}

#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub struct TraceChunk {
    #[prost(int32, tag = "1")]
    pub priority: i32,
    #[prost(string, tag = "2")]
    pub origin: String,
    #[prost(message, repeated, tag = "3")]
    pub spans: Vec<Span>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub tags: Tags,
    #[prost(bool, tag = "5")]
    pub dropped_trace: bool,
}

#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub struct Span {
    #[prost(string, tag = "1")]
    pub service: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub resource: String,
    #[prost(uint64, tag = "4")]
    pub trace_id: u64,
    #[prost(uint64, tag = "5")]
    pub span_id: u64,
    #[prost(uint64, tag = "6")]
    pub parent_id: u64,
    #[prost(int64, tag = "7")]
    pub start: i64,
    #[prost(int64, tag = "8")]
    pub duration: i64,
    #[prost(int32, tag = "9")]
    pub error: i32,
    #[prost(btree_map = "string, string", tag = "10")]
    pub meta: Tags,
    #[prost(btree_map = "string, double", tag = "11")]
    pub metrics: BTreeMap<String, f64>,
    #[prost(string, tag = "12")]
    #[serde(rename = "type")]
    pub span_type: String,
    #[prost(btree_map = "string, bytes", tag = "13")]
    #[serde(serialize_with = "structs")]
    pub meta_struct: BTreeMap<String, Vec<u8>>,
    #[prost(message, repeated, tag = "14")]
    pub span_links: Vec<SpanLink>,
    #[prost(message, repeated, tag = "15")]
    pub span_events: Vec<SpanEvent>,
}

/// `bin` in msgpack, base64 in JSON.
fn structs<S: Serializer>(map: &BTreeMap<String, Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    struct Bytes<'a>(&'a [u8], bool);
    impl Serialize for Bytes<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.1 {
                serializer.serialize_str(&base64(self.0))
            } else {
                serializer.serialize_bytes(self.0)
            }
        }
    }
    let human = serializer.is_human_readable();
    let mut entries = serializer.serialize_map(Some(map.len()))?;
    for (key, value) in map {
        entries.serialize_entry(key, &Bytes(value, human))?;
    }
    entries.end()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A body of the given format that holds the chunks of `payload`, as far as the format can say them.
pub fn body(format: Format, payload: &TracerPayload) -> Vec<u8> {
    let traces: Vec<_> = payload.chunks.iter().map(|chunk| &chunk.spans).collect();
    match format {
        Format::V03 | Format::V04 => rmp_serde::to_vec_named(&traces).unwrap(),
        Format::V05 => {
            let same = |span: &Span| testkit::proto::Span::decode(&*span.encode_to_vec()).unwrap();
            let traces: Vec<Vec<_>> = traces.iter().map(|spans| spans.iter().map(same).collect()).collect();
            testkit::payload::v05(&traces)
        }
        Format::V07 => rmp_serde::to_vec_named(payload).unwrap(),
        Format::JsonV04 => serde_json::to_vec(&traces).unwrap(),
    }
}

/// What a body of the given format can say of `payload`.
pub fn said(format: Format, payload: &TracerPayload) -> TracerPayload {
    if format == Format::V07 {
        return payload.clone();
    }
    let span = |span: &Span| match format {
        Format::V05 => Span {
            meta_struct: BTreeMap::new(),
            span_links: Vec::new(),
            span_events: Vec::new(),
            ..span.clone()
        },
        _ => span.clone(),
    };
    let chunk = |chunk: &TraceChunk| TraceChunk {
        priority: model::trace::PRIORITY_NONE,
        spans: chunk.spans.iter().map(span).collect(),
        ..TraceChunk::default()
    };
    TracerPayload { chunks: payload.chunks.iter().map(chunk).collect(), ..TracerPayload::default() }
}

/// Decodes a whole body.
pub fn decode<'a>(format: Format, body: &'a [u8], arena: &'a Bump) -> Result<Payload<'a>, DecodeError> {
    let (mut payload, mut reader) = TraceReader::open(format, body, arena)?;
    while let Some(chunk) = reader.next_chunk(arena)? {
        payload.chunks.push(chunk);
    }
    reader.finish()?;
    Ok(payload)
}

/// Writes an agent payload of one tracer payload.
pub fn encode(payload: &Payload<'_>) -> Vec<u8> {
    let encoder = TraceEncoder::new(&[], None);
    let (mut chunks, mut fields, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in &payload.chunks {
        encoder.chunk(chunk, &chunk.spans, &mut chunks);
    }
    encoder.payload_fields(payload, &[], &mut fields);
    TraceEncoder::tracer_payload(&[&chunks, &fields], &mut out);
    out
}

/// An attribute with one value.
pub fn single(value: AttributeArrayValue) -> AttributeAnyValue {
    let AttributeArrayValue { r#type, string_value, bool_value, int_value, double_value } = value;
    AttributeAnyValue { r#type, string_value, bool_value, int_value, double_value, array_value: None }
}

/// An attribute with an array of values.
pub fn array(values: Vec<AttributeArrayValue>) -> AttributeAnyValue {
    AttributeAnyValue {
        r#type: 4,
        array_value: Some(AttributeArray { values }),
        ..AttributeAnyValue::default()
    }
}

/// Two traces with everything a payload can hold.
pub fn full_payload() -> TracerPayload {
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let value = |r#type| AttributeArrayValue { r#type, ..AttributeArrayValue::default() };
    let values = [
        AttributeArrayValue { string_value: "text".into(), ..value(0) },
        AttributeArrayValue { bool_value: true, ..value(1) },
        AttributeArrayValue { int_value: -5, ..value(2) },
        AttributeArrayValue { double_value: 1.5, ..value(3) },
    ];
    let array = array(values.to_vec());
    let [string, boolean, int, double] = values.map(single);
    let root = Span {
        service: "shop".into(),
        name: "http.request".into(),
        resource: "GET /cart/?".into(),
        trace_id: u64::MAX,
        span_id: 1 << 63,
        parent_id: 0,
        start: 1_700_000_000_000_000_000,
        duration: 1_234_567,
        error: 1,
        meta: tags(&[("env", "prod"), ("note", "grüße, 世界"), ("empty", ""), ("long", &"x".repeat(300))]),
        metrics: [("_sampling_priority_v1".to_string(), 1.0), ("zero".to_string(), 0.0)].into(),
        span_type: "web".into(),
        meta_struct: [("appsec".to_string(), vec![0x81, 0xa1, 0x61, 0x01]), ("none".to_string(), vec![])]
            .into(),
        span_links: vec![SpanLink {
            trace_id: 9,
            trace_id_high: 8,
            span_id: 7,
            attributes: tags(&[("link.name", "parent")]),
            tracestate: "dd=s:1".into(),
            flags: 1 << 31 | 1,
        }],
        span_events: vec![SpanEvent {
            time_unix_nano: 1_700_000_000_000_000_001,
            name: "exception".into(),
            attributes: [("s", string), ("b", boolean), ("i", int), ("d", double), ("a", array)]
                .map(|(key, value)| (key.to_string(), value))
                .into(),
        }],
    };
    let child =
        Span { name: "sql".into(), trace_id: u64::MAX, span_id: 2, parent_id: 1 << 63, ..Span::default() };
    let other =
        Span { service: "job".into(), trace_id: 5, span_id: 6, start: -1, duration: -2, ..Span::default() };
    TracerPayload {
        container_id: "abc".into(),
        language_name: "python".into(),
        language_version: "3.12".into(),
        tracer_version: "2.9".into(),
        runtime_id: "r-1".into(),
        chunks: vec![
            TraceChunk {
                priority: -1,
                origin: "lambda".into(),
                spans: vec![root, child],
                tags: tags(&[("_dd.p.dm", "-4")]),
                dropped_trace: true,
            },
            TraceChunk { priority: 2, spans: vec![other], ..TraceChunk::default() },
        ],
        tags: tags(&[("_dd.tags.process", "a:b")]),
        env: "prod".into(),
        hostname: "host".into(),
        app_version: "1.2.3".into(),
    }
}
