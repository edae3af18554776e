//! Trace requests of tracers, decoded in place: strings stay slices of the body
//! (`facts/trace-intake.md` §4.1 to §4.3).
//!
//! A body is opened once and then read chunk by chunk, so that a caller may process a chunk and reset
//! its arena before the next one is decoded. Everything allocated lives in the caller's arena and obeys
//! its limit ([`Bump::set_allocation_limit`]): a body that would decode to more ends in
//! [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge), however little of it there is.

mod json;
mod span;
mod v05;
mod v07;

use model::{Bump, Chunk, List, Payload};

use crate::error::DecodeError;
use crate::msgpack::Reader;

/// How a trace request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// msgpack, arrays of arrays of spans; the same body as [`Format::V04`].
    V03,
    /// msgpack, arrays of arrays of spans.
    V04,
    /// msgpack, a dictionary of strings and spans that refer to it.
    V05,
    /// msgpack, a payload with its own fields, as the backend takes it.
    V07,
    /// JSON, arrays of arrays of spans (v0.3 and v0.4).
    JsonV04,
}

/// A trace request that is being decoded.
#[derive(Debug)]
pub struct TraceReader<'a> {
    body: Body<'a>,
    /// Chunks not decoded yet.
    left: usize,
}

#[derive(Debug)]
enum Body<'a> {
    V04(Reader<'a>),
    V05(Reader<'a>, List<'a, &'a str>),
    V07(Reader<'a>),
    Json(json::Reader<'a>),
}

impl<'a> TraceReader<'a> {
    /// Reads what precedes the chunks (v0.5: the dictionary; v0.7: the payload's fields, also those
    /// after the chunks) and nothing of the chunks. The payload's own list of chunks is empty.
    ///
    /// # Errors
    /// When the body is empty or something else than `format`, or the arena is full.
    pub fn open(format: Format, body: &'a [u8], arena: &'a Bump) -> Result<(Payload<'a>, Self), DecodeError> {
        let mut reader = Reader::new(body);
        let mut payload = Payload::new_in(arena);
        let (body, left) = match format {
            Format::V03 | Format::V04 => {
                let left = reader.array("an array of traces")?;
                (Body::V04(reader), left)
            }
            Format::V05 => {
                let (dictionary, left) = v05::open(&mut reader, arena)?;
                (Body::V05(reader, dictionary), left)
            }
            Format::V07 => {
                let (chunks, left) = v07::open(&mut reader, arena, &mut payload)?;
                (Body::V07(chunks), left)
            }
            Format::JsonV04 => {
                let (reader, left) = json::Reader::open(body, arena)?;
                (Body::Json(reader), left)
            }
        };
        Ok((payload, Self { body, left }))
    }

    /// Chunks that are still to be decoded, as the body declares them.
    pub fn chunk_count(&self) -> usize {
        self.left
    }

    /// Decodes the next chunk into `arena`, which may be another one than at [`TraceReader::open`].
    /// A chunk may be without spans.
    ///
    /// # Errors
    /// When the chunk cannot be understood or the arena is full. Nothing after it can be read then.
    pub fn next_chunk<'b>(&mut self, arena: &'b Bump) -> Result<Option<Chunk<'b>>, DecodeError>
    where
        'a: 'b,
    {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = 0;
        let mut chunk = Chunk::new_in(arena);
        match &mut self.body {
            Body::V04(reader) => span::spans(reader, arena, &mut chunk.spans)?,
            Body::V05(reader, dictionary) => v05::spans(reader, dictionary, arena, &mut chunk.spans)?,
            Body::V07(reader) => v07::chunk(reader, arena, &mut chunk)?,
            Body::Json(reader) => reader.chunk(arena, &mut chunk.spans)?,
        }
        self.left = left;
        Ok(Some(chunk))
    }

    /// Passes over the chunks that were not decoded. What follows the last one is ignored, as the
    /// reference does.
    ///
    /// # Errors
    /// When one of them ends early or nests too deep.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        for _ in 0..self.left {
            match &mut self.body {
                Body::V04(reader) | Body::V05(reader, _) | Body::V07(reader) => reader.skip()?,
                Body::Json(_) => break, // Their structure was checked when the body was opened.
            }
        }
        Ok(())
    }
}

/// An empty list with room for `declared` elements, as far as the rest of the body can hold so many of
/// at least `least` bytes each; plus room for `spare` that the pipeline may add.
#[inline]
pub(crate) fn list<'b, T>(
    arena: &'b Bump,
    declared: usize,
    spare: usize,
    least: usize,
    reader: &Reader<'_>,
    what: &'static str,
) -> Result<List<'b, T>, DecodeError> {
    let mut list = List::new_in(arena);
    if declared > 0 {
        let room = declared.min(reader.remaining() / least) + spare;
        list.try_reserve_exact(room).map_err(|_| DecodeError::too_large(reader.offset(), what))?;
    }
    Ok(list)
}

/// Appends, growing as far as the arena allows.
#[inline]
pub(crate) fn push<T>(
    list: &mut List<'_, T>,
    value: T,
    offset: usize,
    what: &'static str,
) -> Result<(), DecodeError> {
    if list.len() == list.capacity() {
        list.try_reserve(1).map_err(|_| DecodeError::too_large(offset, what))?;
    }
    list.push(value);
    Ok(())
}
