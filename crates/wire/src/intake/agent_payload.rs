//! Reads back what [`super::traces`] writes, for the local backend.

use model::{AttributeValue, Bump, Chunk, List, Payload, Span, SpanEvent, SpanLink};

use crate::error::DecodeError;
use crate::msgpack::repaired;
use crate::protobuf::{Reader, Wire};
use crate::traces::push;

/// A trace payload as the backend gets it.
#[derive(Debug)]
pub struct AgentPayload<'a> {
    /// Host of the agent.
    pub host_name: &'a str,
    /// Environment of the agent.
    pub env: &'a str,
    /// Tags of everything in the payload.
    pub tags: List<'a, (&'a str, &'a str)>,
    /// Version of the agent.
    pub agent_version: &'a str,
    /// Traces a second the samplers aim at.
    pub target_tps: f64,
    /// Traces with errors a second the samplers aim at.
    pub error_tps: f64,
    /// The rare sampler is on.
    pub rare_sampler_enabled: bool,
    /// What tracers sent.
    pub payloads: List<'a, Payload<'a>>,
}

/// Reads an `AgentPayload` in place. Unknown fields are passed over.
///
/// # Errors
/// When the body is no such message, or the arena is full.
pub fn decode_agent_payload<'a>(body: &'a [u8], arena: &'a Bump) -> Result<AgentPayload<'a>, DecodeError> {
    const WHAT: &str = "tracer payloads";
    let mut agent = AgentPayload {
        host_name: "",
        env: "",
        tags: List::new_in(arena),
        agent_version: "",
        target_tps: 0.0,
        error_tps: 0.0,
        rare_sampler_enabled: false,
        payloads: List::new_in(arena),
    };
    let mut reader = Reader::new(body);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => agent.host_name = text(&mut reader, arena, "the agent's host")?,
            (2, Wire::Bytes) => agent.env = text(&mut reader, arena, "the agent's environment")?,
            (5, Wire::Bytes) => {
                let payload = tracer_payload(reader.message("a tracer payload")?, arena)?;
                push(&mut agent.payloads, payload, reader.offset(), WHAT)?;
            }
            (6, Wire::Bytes) => text_entry(&mut reader, arena, &mut agent.tags)?,
            (7, Wire::Bytes) => agent.agent_version = text(&mut reader, arena, "the agent's version")?,
            (8, Wire::Fixed64) => agent.target_tps = reader.double("the target rate")?,
            (9, Wire::Fixed64) => agent.error_tps = reader.double("the error rate")?,
            (10, Wire::Varint) => {
                agent.rare_sampler_enabled = reader.varint("the rare sampler's state")? != 0
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(agent)
}

fn tracer_payload<'a>(mut reader: Reader<'a>, arena: &'a Bump) -> Result<Payload<'a>, DecodeError> {
    let mut payload = Payload::new_in(arena);
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Bytes) => payload.container_id = text(r, arena, "the container id")?,
            (2, Wire::Bytes) => payload.language_name = text(r, arena, "the language's name")?,
            (3, Wire::Bytes) => payload.language_version = text(r, arena, "the language's version")?,
            (4, Wire::Bytes) => payload.tracer_version = text(r, arena, "the tracer's version")?,
            (5, Wire::Bytes) => payload.runtime_id = text(r, arena, "the runtime id")?,
            (6, Wire::Bytes) => {
                let chunk = chunk(r.message("a chunk")?, arena)?;
                push(&mut payload.chunks, chunk, r.offset(), "chunks")?;
            }
            (7, Wire::Bytes) => text_entry(r, arena, &mut payload.tags)?,
            (8, Wire::Bytes) => payload.env = text(r, arena, "the environment")?,
            (9, Wire::Bytes) => payload.hostname = text(r, arena, "the host name")?,
            (10, Wire::Bytes) => payload.app_version = text(r, arena, "the program's version")?,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(payload)
}

fn chunk<'a>(mut reader: Reader<'a>, arena: &'a Bump) -> Result<Chunk<'a>, DecodeError> {
    let mut chunk = Chunk::new_in(arena);
    // Here an absent number is 0; the tracer's missing decision is written as a number of its own.
    chunk.priority = 0;
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Varint) => chunk.priority = r.varint("the priority of a chunk")? as i32,
            (2, Wire::Bytes) => chunk.origin = text(r, arena, "the origin of a chunk")?,
            (3, Wire::Bytes) => {
                let span = span(r.message("a span")?, arena)?;
                push(&mut chunk.spans, span, r.offset(), "spans")?;
            }
            (4, Wire::Bytes) => text_entry(r, arena, &mut chunk.tags)?,
            (5, Wire::Varint) => chunk.dropped_trace = r.varint("whether a trace was dropped")? != 0,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(chunk)
}

fn span<'a>(mut reader: Reader<'a>, arena: &'a Bump) -> Result<Span<'a>, DecodeError> {
    let mut span = Span::new_in(arena);
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Bytes) => span.service = text(r, arena, "the service of a span")?,
            (2, Wire::Bytes) => span.name = text(r, arena, "the name of a span")?,
            (3, Wire::Bytes) => span.resource = text(r, arena, "the resource of a span")?,
            (4, Wire::Varint) => span.trace_id = r.varint("the trace id of a span")?,
            (5, Wire::Varint) => span.span_id = r.varint("the id of a span")?,
            (6, Wire::Varint) => span.parent_id = r.varint("the parent id of a span")?,
            (7, Wire::Varint) => span.start = r.varint("the start of a span")? as i64,
            (8, Wire::Varint) => span.duration = r.varint("the duration of a span")? as i64,
            (9, Wire::Varint) => span.error = r.varint("the error of a span")? as i32,
            (10, Wire::Bytes) => text_entry(r, arena, &mut span.meta)?,
            (11, Wire::Bytes) => {
                let entry = entry(r, arena, Wire::Fixed64, |reader| reader.double("a numeric tag"))?;
                push(&mut span.metrics, (entry.0, entry.1.unwrap_or(0.0)), r.offset(), "numeric tags")?;
            }
            (12, Wire::Bytes) => span.span_type = text(r, arena, "the type of a span")?,
            (13, Wire::Bytes) => {
                let entry = entry(r, arena, Wire::Bytes, |reader| reader.bytes("a structured tag"))?;
                push(
                    &mut span.meta_struct,
                    (entry.0, entry.1.unwrap_or(&[])),
                    r.offset(),
                    "structured tags",
                )?;
            }
            (14, Wire::Bytes) => {
                let link = link(r.message("a span link")?, arena)?;
                push(&mut span.links, link, r.offset(), "span links")?;
            }
            (15, Wire::Bytes) => {
                let event = event(r.message("a span event")?, arena)?;
                push(&mut span.events, event, r.offset(), "span events")?;
            }
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(span)
}

fn link<'a>(mut reader: Reader<'a>, arena: &'a Bump) -> Result<SpanLink<'a>, DecodeError> {
    let mut link = SpanLink {
        trace_id: 0,
        trace_id_high: 0,
        span_id: 0,
        attributes: List::new_in(arena),
        tracestate: "",
        flags: 0,
    };
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Varint) => link.trace_id = r.varint("the trace id of a span link")?,
            (2, Wire::Varint) => link.trace_id_high = r.varint("the high trace id of a span link")?,
            (3, Wire::Varint) => link.span_id = r.varint("the span id of a span link")?,
            (4, Wire::Bytes) => text_entry(r, arena, &mut link.attributes)?,
            (5, Wire::Bytes) => link.tracestate = text(r, arena, "the trace state of a span link")?,
            (6, Wire::Varint) => link.flags = r.varint("the flags of a span link")? as u32,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(link)
}

fn event<'a>(mut reader: Reader<'a>, arena: &'a Bump) -> Result<SpanEvent<'a>, DecodeError> {
    let mut event = SpanEvent { time_unix_nano: 0, name: "", attributes: List::new_in(arena) };
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Fixed64) => event.time_unix_nano = r.fixed64("the time of a span event")?,
            (2, Wire::Bytes) => event.name = text(r, arena, "the name of a span event")?,
            (3, Wire::Bytes) => {
                let (key, value) = entry(r, arena, Wire::Bytes, |reader| {
                    attribute(reader.message("an attribute value")?, arena, true)
                })?;
                let value = value.unwrap_or(AttributeValue::String(""));
                push(&mut event.attributes, (key, value), r.offset(), "attributes")?;
            }
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(event)
}

/// An element of an array is no array (`may_be_array` is false): the format has no arrays of arrays.
fn attribute<'a>(
    mut reader: Reader<'a>,
    arena: &'a Bump,
    may_be_array: bool,
) -> Result<AttributeValue<'a>, DecodeError> {
    let (mut kind, mut string, mut boolean, mut int, mut double) = (0, "", false, 0, 0.0);
    let mut array = List::new_in(arena);
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Varint) => kind = r.varint("the type of an attribute value")?,
            (2, Wire::Bytes) => string = text(r, arena, "a string attribute")?,
            (3, Wire::Varint) => boolean = r.varint("a boolean attribute")? != 0,
            (4, Wire::Varint) => int = r.varint("an integer attribute")? as i64,
            (5, Wire::Fixed64) => double = r.double("a float attribute")?,
            (6, Wire::Bytes) if may_be_array => {
                let mut values = r.message("an array attribute")?;
                while let Some(field) = values.field()? {
                    match field {
                        (1, Wire::Bytes) => {
                            let value = attribute(values.message("an attribute value")?, arena, false)?;
                            push(&mut array, value, values.offset(), "attribute values")?;
                        }
                        (_, wire) => values.skip(wire)?,
                    }
                }
            }
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(match kind {
        1 => AttributeValue::Bool(boolean),
        2 => AttributeValue::Int(int),
        3 => AttributeValue::Double(double),
        4 if may_be_array => AttributeValue::Array(array),
        _ => AttributeValue::String(string),
    })
}

fn text<'a>(reader: &mut Reader<'a>, arena: &'a Bump, what: &'static str) -> Result<&'a str, DecodeError> {
    let bytes = reader.bytes(what)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => repaired(bytes, arena).ok_or_else(|| DecodeError::too_large(reader.offset(), what)),
    }
}

fn text_entry<'a>(
    reader: &mut Reader<'a>,
    arena: &'a Bump,
    map: &mut List<'a, (&'a str, &'a str)>,
) -> Result<(), DecodeError> {
    let (key, value) = entry(reader, arena, Wire::Bytes, |reader| text(reader, arena, "the value of a tag"))?;
    push(map, (key, value.unwrap_or("")), reader.offset(), "tags")
}

/// Reads a map's entry; a part that is missing has its default.
fn entry<'a, T>(
    reader: &mut Reader<'a>,
    arena: &'a Bump,
    wire: Wire,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<(&'a str, Option<T>), DecodeError> {
    let mut reader = reader.message("a map's entry")?;
    let (mut key, mut value) = ("", None);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => key = text(&mut reader, arena, "the key of a map's entry")?,
            (2, found) if found == wire => value = Some(read(&mut reader)?),
            (_, found) => reader.skip(found)?,
        }
    }
    Ok((key, value))
}
