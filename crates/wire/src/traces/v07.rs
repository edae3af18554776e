//! v0.7: a payload as the backend takes it, in msgpack with snake-case keys
//! (`facts/trace-intake.md` §4.3).

use model::{Bump, Chunk, Payload};

use super::span::{spans, text_map};
use crate::error::DecodeError;
use crate::msgpack::Reader;

/// Reads the payload's own fields; returns a reader that stands at the first chunk, and their number.
pub(super) fn open<'a>(
    reader: &mut Reader<'a>,
    arena: &'a Bump,
    payload: &mut Payload<'a>,
) -> Result<(Reader<'a>, usize), DecodeError> {
    let mut chunks = (Reader::new(&[]), 0);
    for _ in 0..reader.map("a trace payload")? {
        match reader.bytes("the name of a payload's field")? {
            b"container_id" => payload.container_id = reader.text(arena, "the container id")?,
            b"language_name" => payload.language_name = reader.text(arena, "the language's name")?,
            b"language_version" => payload.language_version = reader.text(arena, "the language's version")?,
            b"tracer_version" => payload.tracer_version = reader.text(arena, "the tracer's version")?,
            b"runtime_id" => payload.runtime_id = reader.text(arena, "the runtime id")?,
            b"env" => payload.env = reader.text(arena, "the environment")?,
            b"hostname" => payload.hostname = reader.text(arena, "the host name")?,
            b"app_version" => payload.app_version = reader.text(arena, "the program's version")?,
            b"tags" => payload.tags = text_map(reader, arena, 1)?,
            b"chunks" => {
                let count = reader.array("an array of chunks")?;
                chunks = (reader.clone(), count);
                for _ in 0..count {
                    reader.skip()?;
                }
            }
            _ => reader.skip()?,
        }
    }
    Ok(chunks)
}

/// Reads one chunk. One without a priority carries no decision of the tracer.
pub(super) fn chunk<'a: 'b, 'b>(
    reader: &mut Reader<'a>,
    arena: &'b Bump,
    chunk: &mut Chunk<'b>,
) -> Result<(), DecodeError> {
    for _ in 0..reader.map("a chunk")? {
        match reader.bytes("the name of a chunk's field")? {
            b"priority" => {
                if !reader.nil() {
                    chunk.priority = reader.signed32("the priority of a chunk")?;
                }
            }
            b"origin" => chunk.origin = reader.text(arena, "the origin of a chunk")?,
            b"spans" => spans(reader, arena, &mut chunk.spans)?,
            b"tags" => chunk.tags = text_map(reader, arena, 1)?,
            b"dropped_trace" => chunk.dropped_trace = reader.boolean("whether a trace was dropped")?,
            _ => reader.skip()?,
        }
    }
    Ok(())
}
