//! The outgoing trace payload, `AgentPayload` in protobuf (`facts/trace-intake.md` §4.3), written in
//! one pass, and its reading back for the local backend.
//!
//! A payload is put together of parts: chunks and the fields of their `TracerPayload`, wrapped by
//! [`TraceEncoder::tracer_payload`], one after the other, and at the end what [`agent_header`] writes.

use model::{AttributeValue, Chunk, Payload, Span, SpanEvent, SpanLink};

pub use super::agent_payload::{AgentPayload, decode_agent_payload};
use crate::protobuf::{
    Wire, bytes_field, double_field, fixed64_field, map_entry, map_entry_double, message, tag, varint,
    varint_field,
};

/// A first guess at the length of a span, in bytes.
const SPAN_LIKELY_BYTES: usize = 600;

/// Writes chunks.
#[derive(Clone, Debug)]
pub struct TraceEncoder {
    /// Entries of `Span.meta`, for spans that are not named `skip_name`.
    span_tags: Vec<u8>,
    /// Entries of `Span.meta`, for every span.
    always: Vec<u8>,
    skip_name: Option<Box<str>>,
}

impl TraceEncoder {
    /// `span_tags` are added to every span except those named `skip_name`. They win over a span's own tag of the
    /// same key, for in protobuf the last entry of a map counts.
    pub fn new(span_tags: &[(String, String)], skip_name: Option<&str>) -> Self {
        let mut encoded = Vec::new();
        for (key, value) in span_tags {
            map_entry(SPAN_META, key.as_bytes(), value.as_bytes(), &mut encoded);
        }
        Self { span_tags: encoded, always: Vec::new(), skip_name: skip_name.map(Box::from) }
    }

    /// Adds tags to every span, whatever its name.
    #[must_use]
    pub fn always(mut self, tags: &[(String, String)]) -> Self {
        for (key, value) in tags {
            map_entry(SPAN_META, key.as_bytes(), value.as_bytes(), &mut self.always);
        }
        self
    }

    /// Appends one `chunks` field of a `TracerPayload` with the priority, origin, tags and dropped flag of
    /// `chunk` and the given `spans`: all of the chunk's or a part of them, so that a chunk that is too big for
    /// one payload can be split.
    pub fn chunk(&self, chunk: &Chunk<'_>, spans: &[Span<'_>], out: &mut Vec<u8>) {
        let likely = spans.len().saturating_mul(SPAN_LIKELY_BYTES + self.span_tags.len() + self.always.len());
        message(6, likely, out, |out| {
            // An int32 is written sign-extended to 64 bits.
            varint_field(1, i64::from(chunk.priority) as u64, out);
            bytes_field(2, chunk.origin.as_bytes(), out);
            for span in spans {
                self.span(span, out);
            }
            for (key, value) in &chunk.tags {
                map_entry(4, key.as_bytes(), value.as_bytes(), out);
            }
            varint_field(5, u64::from(chunk.dropped_trace), out);
        });
    }

    /// Appends the fields of a `TracerPayload` other than its chunks. `extra_tags` win over the payload's own.
    pub fn payload_fields(&self, payload: &Payload<'_>, extra_tags: &[(String, String)], out: &mut Vec<u8>) {
        bytes_field(1, payload.container_id.as_bytes(), out);
        bytes_field(2, payload.language_name.as_bytes(), out);
        bytes_field(3, payload.language_version.as_bytes(), out);
        bytes_field(4, payload.tracer_version.as_bytes(), out);
        bytes_field(5, payload.runtime_id.as_bytes(), out);
        for (key, value) in &payload.tags {
            map_entry(7, key.as_bytes(), value.as_bytes(), out);
        }
        for (key, value) in extra_tags {
            map_entry(7, key.as_bytes(), value.as_bytes(), out);
        }
        bytes_field(8, payload.env.as_bytes(), out);
        bytes_field(9, payload.hostname.as_bytes(), out);
        bytes_field(10, payload.app_version.as_bytes(), out);
    }

    /// Appends one `tracerPayloads` field of an `AgentPayload` around content that is already encoded:
    /// what [`TraceEncoder::chunk`] and [`TraceEncoder::payload_fields`] wrote, in any order.
    pub fn tracer_payload(content_parts: &[&[u8]], out: &mut Vec<u8>) {
        let length: usize = content_parts.iter().map(|part| part.len()).sum();
        out.reserve(length + TRACER_PAYLOAD_OVERHEAD_BYTES);
        Self::tracer_payload_start(length, out);
        for part in content_parts {
            out.extend_from_slice(part);
        }
    }

    /// Appends what stands before `content_bytes` of content in [`TraceEncoder::tracer_payload`], for
    /// whoever puts the content itself behind it.
    pub fn tracer_payload_start(content_bytes: usize, out: &mut Vec<u8>) {
        out.push(tag(5, Wire::Bytes));
        varint(content_bytes as u64, out);
    }

    fn span(&self, span: &Span<'_>, out: &mut Vec<u8>) {
        message(3, SPAN_LIKELY_BYTES, out, |out| {
            bytes_field(1, span.service.as_bytes(), out);
            bytes_field(2, span.name.as_bytes(), out);
            bytes_field(3, span.resource.as_bytes(), out);
            varint_field(4, span.trace_id, out);
            varint_field(5, span.span_id, out);
            varint_field(6, span.parent_id, out);
            varint_field(7, span.start as u64, out);
            varint_field(8, span.duration as u64, out);
            varint_field(9, i64::from(span.error) as u64, out);
            for (key, value) in &span.meta {
                map_entry(SPAN_META, key.as_bytes(), value.as_bytes(), out);
            }
            if self.skip_name.as_deref() != Some(span.name) {
                out.extend_from_slice(&self.span_tags);
            }
            out.extend_from_slice(&self.always);
            for (key, value) in &span.metrics {
                map_entry_double(11, key.as_bytes(), *value, out);
            }
            bytes_field(12, span.span_type.as_bytes(), out);
            for (key, value) in &span.meta_struct {
                map_entry(13, key.as_bytes(), value, out);
            }
            for link in &span.links {
                message(14, 64, out, |out| self::link(link, out));
            }
            for event in &span.events {
                message(15, 64, out, |out| self::event(event, out));
            }
        });
    }
}

/// The number of `Span.meta`.
const SPAN_META: u8 = 10;
/// The most bytes [`TraceEncoder::tracer_payload`] adds to the content it wraps.
pub const TRACER_PAYLOAD_OVERHEAD_BYTES: usize = 11;

/// What an `AgentPayload` says of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AgentHeader<'a> {
    /// Host of the agent.
    pub host_name: &'a str,
    /// Environment of the agent.
    pub env: &'a str,
    /// Tags of everything in the payload.
    pub tags: &'a [(String, String)],
    /// Version of the agent.
    pub agent_version: &'a str,
    /// Traces a second the samplers aim at.
    pub target_tps: f64,
    /// Traces with errors a second the samplers aim at.
    pub error_tps: f64,
    /// The rare sampler is on.
    pub rare_sampler_enabled: bool,
}

/// Appends the fields of an `AgentPayload` other than its tracer payloads.
pub fn agent_header(header: &AgentHeader<'_>, out: &mut Vec<u8>) {
    bytes_field(1, header.host_name.as_bytes(), out);
    bytes_field(2, header.env.as_bytes(), out);
    for (key, value) in header.tags {
        map_entry(6, key.as_bytes(), value.as_bytes(), out);
    }
    bytes_field(7, header.agent_version.as_bytes(), out);
    double_field(8, header.target_tps, out);
    double_field(9, header.error_tps, out);
    varint_field(10, u64::from(header.rare_sampler_enabled), out);
}

fn link(link: &SpanLink<'_>, out: &mut Vec<u8>) {
    varint_field(1, link.trace_id, out);
    varint_field(2, link.trace_id_high, out);
    varint_field(3, link.span_id, out);
    for (key, value) in &link.attributes {
        map_entry(4, key.as_bytes(), value.as_bytes(), out);
    }
    bytes_field(5, link.tracestate.as_bytes(), out);
    varint_field(6, u64::from(link.flags), out);
}

fn event(event: &SpanEvent<'_>, out: &mut Vec<u8>) {
    fixed64_field(1, event.time_unix_nano, out);
    bytes_field(2, event.name.as_bytes(), out);
    for (key, value) in &event.attributes {
        message(3, key.len() + 16, out, |out| {
            bytes_field(1, key.as_bytes(), out);
            message(2, 8, out, |out| attribute(value, out));
        });
    }
}

fn attribute(value: &AttributeValue<'_>, out: &mut Vec<u8>) {
    match value {
        AttributeValue::Array(values) => {
            varint_field(1, 4, out);
            message(6, values.len() * 8, out, |out| {
                for value in values {
                    message(1, 8, out, |out| scalar(value, out));
                }
            });
        }
        value => scalar(value, out),
    }
}

/// An attribute value that is no array. The format has no arrays of arrays: one becomes an empty string.
fn scalar(value: &AttributeValue<'_>, out: &mut Vec<u8>) {
    match value {
        AttributeValue::String(text) => bytes_field(2, text.as_bytes(), out),
        AttributeValue::Bool(value) => {
            varint_field(1, 1, out);
            varint_field(3, u64::from(*value), out);
        }
        AttributeValue::Int(value) => {
            varint_field(1, 2, out);
            varint_field(4, *value as u64, out);
        }
        AttributeValue::Double(value) => {
            varint_field(1, 3, out);
            double_field(5, *value, out);
        }
        AttributeValue::Array(_) => {}
    }
}
