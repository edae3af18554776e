//! v0.5: `[dictionary, traces]`, where a span is an array of twelve whose strings are indexes into
//! the dictionary (`facts/trace-intake.md` §4.2).

use model::{Bump, List, Span};

use super::{list, push};
use crate::error::DecodeError;
use crate::msgpack::Reader;

/// Fields of a span.
const SPAN_FIELDS: usize = 12;
/// Tags the pipeline adds to most spans; room for them spares moving the list.
const SPARE_TAGS: usize = 2;

/// Reads the dictionary and the number of traces.
pub(super) fn open<'a>(
    reader: &mut Reader<'a>,
    arena: &'a Bump,
) -> Result<(List<'a, &'a str>, usize), DecodeError> {
    const WHAT: &str = "a dictionary of strings";
    let start = reader.offset();
    if reader.nil() {
        return Ok((List::new_in(arena), 0));
    }
    match reader.array("an array of a dictionary and traces")? {
        0 => return Ok((List::new_in(arena), 0)),
        2 => {}
        _ => return Err(DecodeError::malformed(start, "an array of two, a dictionary and traces,")),
    }
    let declared = reader.array(WHAT)?;
    let mut dictionary = list(arena, declared, 0, 1, reader, WHAT)?;
    for _ in 0..declared {
        let text = reader.text(arena, "a string of the dictionary")?;
        push(&mut dictionary, text, reader.offset(), WHAT)?;
    }
    Ok((dictionary, reader.array("an array of traces")?))
}

/// Reads an array of spans.
pub(super) fn spans<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    dictionary: &[&'a str],
    arena: &'b Bump,
    spans: &mut List<'b, Span<'b>>,
) -> Result<(), DecodeError> {
    const WHAT: &str = "an array of spans";
    let declared = reader.array(WHAT)?;
    *spans = list(arena, declared, 0, SPAN_FIELDS, reader, WHAT)?;
    for _ in 0..declared {
        // A nil is no span.
        if !reader.nil() {
            let span = span(reader, dictionary, arena)?;
            push(spans, span, reader.offset(), WHAT)?;
        }
    }
    Ok(())
}

fn span<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    dictionary: &[&'a str],
    arena: &'b Bump,
) -> Result<Span<'b>, DecodeError> {
    let start = reader.offset();
    if reader.array("a span")? != SPAN_FIELDS {
        return Err(DecodeError::malformed(start, "a span of twelve fields"));
    }
    let mut span = Span::new_in(arena);
    span.service = text(reader, dictionary)?;
    span.name = text(reader, dictionary)?;
    span.resource = text(reader, dictionary)?;
    span.trace_id = reader.unsigned("the trace id of a span")?;
    span.span_id = reader.unsigned("the id of a span")?;
    span.parent_id = reader.unsigned("the parent id of a span")?;
    span.start = reader.signed("the start of a span")?;
    span.duration = reader.signed("the duration of a span")?;
    span.error = reader.signed32("the error of a span")?;

    let declared = reader.map("the string tags of a span")?;
    span.meta = list(arena, declared, SPARE_TAGS, 2, reader, "the string tags of a span")?;
    for _ in 0..declared {
        let tag = (text(reader, dictionary)?, text(reader, dictionary)?);
        push(&mut span.meta, tag, reader.offset(), "the string tags of a span")?;
    }
    let declared = reader.map("the numeric tags of a span")?;
    span.metrics = list(arena, declared, SPARE_TAGS, 2, reader, "the numeric tags of a span")?;
    for _ in 0..declared {
        let tag = (text(reader, dictionary)?, reader.float("the value of a numeric tag")?);
        push(&mut span.metrics, tag, reader.offset(), "the numeric tags of a span")?;
    }
    span.span_type = text(reader, dictionary)?;
    Ok(span)
}

/// The string an index refers to; nil is the empty string.
#[inline]
fn text<'a>(reader: &mut Reader<'a>, dictionary: &[&'a str]) -> Result<&'a str, DecodeError> {
    if reader.nil() {
        return Ok("");
    }
    let offset = reader.offset();
    let index = reader.unsigned32("an index into the dictionary")?;
    match usize::try_from(index).ok().and_then(|index| dictionary.get(index)) {
        Some(text) => Ok(text),
        None => Err(DecodeError::malformed(offset, "an index within the dictionary")),
    }
}
