//! Bodies to messages, and the cheap way: bodies to counts.

use super::state::{Arrived, Body};
use crate::{
    logs,
    metrics::decode::{self as metrics, Kind},
    proto::AgentPayload,
    stats::StatsPayload,
};
use bytes::Bytes;
use prost::Message;
use std::{borrow::Cow, io::Read};

/// Where traces go.
const TRACES_PATH: &str = "/api/v0.2/traces";
/// Where statistics go.
const STATS_PATH: &str = "/api/v0.2/stats";
/// Decompressed size of one body.
const DECODED_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// A body, its decompressed size, and whether it is beyond a limit of its intake.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) body: Body,
    pub(super) bytes: usize,
    pub(super) oversized: bool,
}

/// What a body counts for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: usize,
    pub(super) spans: u64,
    pub(super) groups: u64,
    pub(super) hits: u64,
}

/// Whether it goes to an intake whose limits are known: that of logs, or one of metrics.
pub(super) fn is_limited(arrived: &Arrived) -> bool {
    Kind::of(&arrived.path).is_some() || logs::is_path(&arrived.path)
}

/// Whether a body is beyond a limit by its bytes on the wire alone.
pub(super) fn is_oversized_on_the_wire(arrived: &Arrived) -> bool {
    let limit = match Kind::of(&arrived.path) {
        Some(kind) => kind.limits().wire_bytes,
        None if logs::is_path(&arrived.path) => logs::BODY_MAX_BYTES,
        None => return false,
    };
    arrived.body.len() > limit
}

pub(super) fn body(arrived: &Arrived) -> Decoded {
    let oversized = is_oversized_on_the_wire(arrived);
    let plain = match decompress(arrived) {
        Ok(plain) => plain,
        Err(error) => return Decoded { body: Body::Undecodable(error), bytes: 0, oversized },
    };
    if let Some(kind) = Kind::of(&arrived.path) {
        return metric_body(arrived, kind, &plain, oversized);
    }
    // Uploads of debuggers go to the same place, in parts of other kinds.
    let is_json =
        arrived.headers.get(http::header::CONTENT_TYPE).is_none_or(|kind| kind == "application/json");
    if logs::is_path(&arrived.path) && is_json {
        let (body, count) = match logs::decode(&plain) {
            Ok(logs) => {
                let count = logs.len();
                (Body::Logs(logs), count)
            }
            Err(error) => (Body::Undecodable(error), 0),
        };
        let oversized = oversized || plain.len() > logs::BODY_MAX_BYTES || count > logs::BODY_MAX_LOGS;
        return Decoded { body, bytes: plain.len(), oversized };
    }
    let decoded = if arrived.path.ends_with(TRACES_PATH) {
        AgentPayload::decode(&*plain).map(Body::Traces).map_err(|error| error.to_string())
    } else if arrived.path.ends_with(STATS_PATH) {
        rmp_serde::from_slice::<StatsPayload>(&plain).map(Body::Stats).map_err(|error| error.to_string())
    } else {
        Ok(Body::Other(Bytes::copy_from_slice(&plain)))
    };
    Decoded { body: decoded.unwrap_or_else(Body::Undecodable), bytes: plain.len(), oversized }
}

fn metric_body(arrived: &Arrived, kind: Kind, plain: &[u8], mut oversized: bool) -> Decoded {
    let content_type = arrived.headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.map_or("", |value| value.to_str().unwrap_or(""));
    let limits = kind.limits();
    oversized |= plain.len() > limits.decoded_bytes;
    let body = match kind.decode(plain, content_type) {
        Ok(decoded) => {
            oversized |= decoded.points() > limits.points;
            match decoded {
                metrics::Decoded::Series(series) => Body::Series(series),
                metrics::Decoded::Sketches(sketches) => Body::Sketches(sketches),
                metrics::Decoded::Events(events) => Body::Events(events),
                metrics::Decoded::Checks(checks) => Body::Checks(checks),
            }
        }
        Err(error) => Body::Undecodable(error),
    };
    Decoded { body, bytes: plain.len(), oversized }
}

pub(super) fn count(arrived: &Arrived) -> Result<Content, String> {
    let plain = decompress(arrived)?;
    let mut content = Content { bytes: plain.len(), ..Content::default() };
    if arrived.path.ends_with(TRACES_PATH) {
        content.spans = count_spans(&plain)?;
    } else if arrived.path.ends_with(STATS_PATH) {
        let stats = rmp_serde::from_slice::<StatsPayload>(&plain).map_err(|error| error.to_string())?;
        content.groups = stats.groups().count() as u64;
        content.hits = stats.groups().map(|group| group.hits).sum();
    }
    Ok(content)
}

fn decompress(arrived: &Arrived) -> Result<Cow<'_, [u8]>, String> {
    let encoding = arrived.headers.get(http::header::CONTENT_ENCODING);
    let encoding = encoding.map_or("", |value| value.to_str().unwrap_or("not text"));
    let mut plain = Vec::new();
    let read = match encoding {
        "" | "identity" => return Ok(Cow::Borrowed(&arrived.body)),
        "gzip" => {
            flate2::read::MultiGzDecoder::new(&*arrived.body).take(DECODED_MAX_BYTES).read_to_end(&mut plain)
        }
        "deflate" => {
            flate2::read::ZlibDecoder::new(&*arrived.body).take(DECODED_MAX_BYTES).read_to_end(&mut plain)
        }
        "zstd" => zstd::stream::read::Decoder::new(&*arrived.body)
            .and_then(|decoder| decoder.take(DECODED_MAX_BYTES).read_to_end(&mut plain)),
        other => return Err(format!("unknown Content-Encoding {other:?}")),
    };
    read.map_err(|error| format!("{encoding}: {error}"))?;
    Ok(Cow::Owned(plain))
}

/// Counts spans by walking the nesting `tracerPayloads` (5) / `chunks` (6) / `spans` (3), without
/// decoding what a span holds.
fn count_spans(payload: &[u8]) -> Result<u64, String> {
    let mut spans = 0;
    for tracer_payload in messages(payload, 5) {
        for chunk in messages(tracer_payload?, 6) {
            for span in messages(chunk?, 3) {
                span?;
                spans += 1;
            }
        }
    }
    Ok(spans)
}

/// The messages in one field of a message.
fn messages(mut rest: &[u8], wanted: u64) -> impl Iterator<Item = Result<&[u8], String>> {
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            match field(&mut rest) {
                Some((number, Some(bytes))) if number == wanted => return Some(Ok(bytes)),
                Some(_) => {}
                None => {
                    rest = &[];
                    return Some(Err("truncated or malformed protobuf".to_owned()));
                }
            }
        }
        None
    })
}

/// Takes one field off: its number, and its bytes when it has a length.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(rest)?;
    let bytes = match key & 7 {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            rest.split_off(..8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some(rest.split_off(..length)?)
        }
        5 => {
            rest.split_off(..4)?;
            None
        }
        _ => return None,
    };
    Some((key >> 3, bytes))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Span, TraceChunk, TracerPayload};
    use std::io::Write;

    fn payload() -> AgentPayload {
        let chunk =
            TraceChunk { spans: vec![Span { span_id: 7, ..Span::default() }; 3], ..TraceChunk::default() };
        let tracer = TracerPayload { chunks: vec![chunk.clone(), chunk], ..TracerPayload::default() };
        AgentPayload { target_tps: 10.0, tracer_payloads: vec![tracer], ..AgentPayload::default() }
    }

    fn arrived(path: &str, encoding: &'static str, body: Vec<u8>) -> Arrived {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static(encoding));
        Arrived {
            method: http::Method::POST,
            path: path.into(),
            query: String::new(),
            headers,
            body: body.into(),
        }
    }

    #[test]
    fn spans_are_counted_the_same_with_and_without_decoding() {
        let plain = payload().encode_to_vec();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let bodies = [
            ("identity", plain.clone()),
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(&*plain, 1).unwrap()),
        ];
        for (encoding, bytes) in bodies {
            let request = arrived(TRACES_PATH, encoding, bytes);
            assert_eq!(count(&request).unwrap().spans, 6, "{encoding}");
            assert_eq!(body(&request).body, Body::Traces(payload()), "{encoding}");
        }
    }

    #[test]
    fn what_is_cut_off_is_undecodable_both_ways() {
        let mut bytes = payload().encode_to_vec();
        bytes.pop();
        bytes.pop();
        let request = arrived(TRACES_PATH, "identity", bytes);
        assert!(matches!(body(&request).body, Body::Undecodable(_)));
        assert!(count(&request).is_err());
    }

    #[test]
    fn stats_are_decoded_from_maps_with_null_lists() {
        let stats = StatsPayload { agent_env: "prod".into(), ..StatsPayload::default() };
        let request = arrived(STATS_PATH, "identity", rmp_serde::to_vec_named(&stats).unwrap());
        assert_eq!(body(&request).body, Body::Stats(stats));
        let null = b"\x81\xa5Stats\xc0".to_vec();
        assert_eq!(body(&arrived(STATS_PATH, "identity", null)).body, Body::Stats(StatsPayload::default()));
    }
}
