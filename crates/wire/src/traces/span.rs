//! A span as a map with named fields (v0.3, v0.4, v0.7).

use model::{AttributeValue, Bump, List, Span, SpanEvent, SpanLink};

use super::{list, push};
use crate::error::DecodeError;
use crate::msgpack::Reader;

/// Least bytes of a span worth reserving room for; real ones take some hundred.
const SPAN_LEAST_BYTES: usize = 16;
/// Tags the pipeline adds to most spans; room for them spares moving the list.
const SPARE_TAGS: usize = 2;

/// Reads an array of spans.
pub(super) fn spans<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
    spans: &mut List<'b, Span<'b>>,
) -> Result<(), DecodeError> {
    const WHAT: &str = "an array of spans";
    let declared = reader.array(WHAT)?;
    *spans = list(arena, declared, 0, SPAN_LEAST_BYTES, reader, WHAT)?;
    for _ in 0..declared {
        // A nil is no span.
        if !reader.nil() {
            push(spans, Span::new_in(arena), reader.offset(), WHAT)?;
            // Filled where it stays: a span is too big to be moved about.
            if let Some(filled) = spans.last_mut() {
                span(reader, arena, filled)?;
            }
        }
    }
    Ok(())
}

fn span<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
    span: &mut Span<'b>,
) -> Result<(), DecodeError> {
    for _ in 0..reader.map("a span")? {
        match field(reader.bytes("the name of a span's field")?) {
            Field::Service => span.service = reader.text(arena, "the service of a span")?,
            Field::Name => span.name = reader.text(arena, "the name of a span")?,
            Field::Resource => span.resource = reader.text(arena, "the resource of a span")?,
            Field::TraceId => span.trace_id = reader.unsigned("the trace id of a span")?,
            Field::SpanId => span.span_id = reader.unsigned("the id of a span")?,
            Field::ParentId => span.parent_id = reader.unsigned("the parent id of a span")?,
            Field::Start => span.start = reader.signed("the start of a span")?,
            Field::Duration => span.duration = reader.signed("the duration of a span")?,
            Field::Error => span.error = reader.signed32("the error of a span")?,
            Field::Meta => span.meta = text_map(reader, arena, SPARE_TAGS)?,
            Field::Metrics => span.metrics = float_map(reader, arena)?,
            Field::Type => span.span_type = reader.text(arena, "the type of a span")?,
            Field::MetaStruct => span.meta_struct = bytes_map(reader, arena)?,
            Field::SpanLinks => span.links = links(reader, arena)?,
            Field::SpanEvents => span.events = events(reader, arena)?,
            Field::Unknown => reader.skip()?,
        }
    }
    Ok(())
}

enum Field {
    Service,
    Name,
    Resource,
    TraceId,
    SpanId,
    ParentId,
    Start,
    Duration,
    Error,
    Meta,
    Metrics,
    Type,
    MetaStruct,
    SpanLinks,
    SpanEvents,
    Unknown,
}

/// Finds a field by its name: the length first, then all its bytes at once.
#[inline]
fn field(name: &[u8]) -> Field {
    match name.len() {
        4 if name == b"name" => Field::Name,
        4 if name == b"meta" => Field::Meta,
        4 if name == b"type" => Field::Type,
        5 if name == b"start" => Field::Start,
        5 if name == b"error" => Field::Error,
        7 if name == b"service" => Field::Service,
        7 if name == b"span_id" => Field::SpanId,
        7 if name == b"metrics" => Field::Metrics,
        8 if name == b"resource" => Field::Resource,
        8 if name == b"trace_id" => Field::TraceId,
        8 if name == b"duration" => Field::Duration,
        9 if name == b"parent_id" => Field::ParentId,
        10 if name == b"span_links" => Field::SpanLinks,
        11 if name == b"meta_struct" => Field::MetaStruct,
        11 if name == b"span_events" => Field::SpanEvents,
        _ => Field::Unknown,
    }
}

/// Reads a map of text to text, with room for `spare` more entries.
pub(super) fn text_map<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
    spare: usize,
) -> Result<List<'b, (&'b str, &'b str)>, DecodeError> {
    const WHAT: &str = "a map of strings to strings";
    let declared = reader.map(WHAT)?;
    let mut map = list(arena, declared, spare, 2, reader, WHAT)?;
    for _ in 0..declared {
        let key = reader.text(arena, "the key of a string tag")?;
        let value = reader.text(arena, "the value of a string tag")?;
        push(&mut map, (key, value), reader.offset(), WHAT)?;
    }
    Ok(map)
}

fn float_map<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, (&'b str, f64)>, DecodeError> {
    const WHAT: &str = "a map of strings to numbers";
    let declared = reader.map(WHAT)?;
    let mut map = list(arena, declared, SPARE_TAGS, 2, reader, WHAT)?;
    for _ in 0..declared {
        let key = reader.text(arena, "the key of a numeric tag")?;
        let value = reader.float("the value of a numeric tag")?;
        push(&mut map, (key, value), reader.offset(), WHAT)?;
    }
    Ok(map)
}

fn bytes_map<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, (&'b str, &'b [u8])>, DecodeError> {
    const WHAT: &str = "a map of strings to bytes";
    let declared = reader.map(WHAT)?;
    let mut map = list(arena, declared, 0, 2, reader, WHAT)?;
    for _ in 0..declared {
        let key = reader.text(arena, "the key of a structured tag")?;
        let value = reader.bytes("the value of a structured tag")?;
        push(&mut map, (key, value), reader.offset(), WHAT)?;
    }
    Ok(map)
}

fn links<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, SpanLink<'b>>, DecodeError> {
    const WHAT: &str = "an array of span links";
    let declared = reader.array(WHAT)?;
    let mut links = list(arena, declared, 0, SPAN_LEAST_BYTES, reader, WHAT)?;
    for _ in 0..declared {
        if reader.nil() {
            continue;
        }
        let mut link = SpanLink {
            trace_id: 0,
            trace_id_high: 0,
            span_id: 0,
            attributes: List::new_in(arena),
            tracestate: "",
            flags: 0,
        };
        for _ in 0..reader.map("a span link")? {
            match reader.bytes("the name of a span link's field")? {
                b"trace_id" => link.trace_id = reader.unsigned("the trace id of a span link")?,
                b"trace_id_high" => {
                    link.trace_id_high = reader.unsigned("the high trace id of a span link")?
                }
                b"span_id" => link.span_id = reader.unsigned("the span id of a span link")?,
                b"attributes" => link.attributes = text_map(reader, arena, 0)?,
                b"tracestate" => link.tracestate = reader.text(arena, "the trace state of a span link")?,
                b"flags" => link.flags = reader.unsigned32("the flags of a span link")?,
                _ => reader.skip()?,
            }
        }
        push(&mut links, link, reader.offset(), WHAT)?;
    }
    Ok(links)
}

fn events<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, SpanEvent<'b>>, DecodeError> {
    const WHAT: &str = "an array of span events";
    let declared = reader.array(WHAT)?;
    let mut events = list(arena, declared, 0, SPAN_LEAST_BYTES, reader, WHAT)?;
    for _ in 0..declared {
        if reader.nil() {
            continue;
        }
        let mut event = SpanEvent { time_unix_nano: 0, name: "", attributes: List::new_in(arena) };
        for _ in 0..reader.map("a span event")? {
            match reader.bytes("the name of a span event's field")? {
                b"time_unix_nano" => event.time_unix_nano = reader.unsigned("the time of a span event")?,
                b"name" => event.name = reader.text(arena, "the name of a span event")?,
                b"attributes" => event.attributes = attributes(reader, arena)?,
                _ => reader.skip()?,
            }
        }
        push(&mut events, event, reader.offset(), WHAT)?;
    }
    Ok(events)
}

fn attributes<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, (&'b str, AttributeValue<'b>)>, DecodeError> {
    const WHAT: &str = "a map of strings to attribute values";
    let declared = reader.map(WHAT)?;
    let mut attributes = list(arena, declared, 0, 4, reader, WHAT)?;
    for _ in 0..declared {
        let key = reader.text(arena, "the key of an attribute")?;
        let value = attribute(reader, arena, Nesting::Value)?;
        push(&mut attributes, (key, value), reader.offset(), WHAT)?;
    }
    Ok(attributes)
}

/// Whether a value may be an array: the format has no arrays of arrays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Value,
    Element,
}

/// Reads a map with a `type` and a field for each type; the type says which field counts.
fn attribute<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
    nesting: Nesting,
) -> Result<AttributeValue<'b>, DecodeError> {
    let mut kind = 0;
    let mut string = "";
    let mut boolean = false;
    let mut int = 0;
    let mut double = 0.0;
    let mut array = List::new_in(arena);
    for _ in 0..reader.map("an attribute value")? {
        match reader.bytes("the name of an attribute value's field")? {
            b"type" => kind = reader.signed32("the type of an attribute value")?,
            b"string_value" => string = reader.text(arena, "a string attribute")?,
            b"bool_value" => boolean = reader.boolean("a boolean attribute")?,
            b"int_value" => int = reader.signed("an integer attribute")?,
            b"double_value" => double = reader.float("a float attribute")?,
            b"array_value" if nesting == Nesting::Value => array = elements(reader, arena)?,
            _ => reader.skip()?,
        }
    }
    Ok(match kind {
        1 => AttributeValue::Bool(boolean),
        2 => AttributeValue::Int(int),
        3 => AttributeValue::Double(double),
        4 if nesting == Nesting::Value => AttributeValue::Array(array),
        _ => AttributeValue::String(string),
    })
}

/// Reads a map whose field `values` is an array of attribute values.
fn elements<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
) -> Result<List<'b, AttributeValue<'b>>, DecodeError> {
    const WHAT: &str = "an array of attribute values";
    let mut values = List::new_in(arena);
    for _ in 0..reader.map("an array attribute")? {
        match reader.bytes("the name of an array attribute's field")? {
            b"values" => {
                let declared = reader.array(WHAT)?;
                values = list(arena, declared, 0, 2, reader, WHAT)?;
                for _ in 0..declared {
                    let value = attribute(reader, arena, Nesting::Element)?;
                    push(&mut values, value, reader.offset(), WHAT)?;
                }
            }
            _ => reader.skip()?,
        }
    }
    Ok(values)
}
