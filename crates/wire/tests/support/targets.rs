//! What must hold of every decoder, whatever the bytes: it returns, its memory is bounded, and what it
//! accepted it can write and read again. The fuzz targets and the replay in `tests/hostile.rs` share these.

use lastlight_wire::intake::traces::{AgentHeader, TraceEncoder, agent_header, decode_agent_payload};
use lastlight_wire::sketch;
use lastlight_wire::stats::{decode_client_stats, decode_stats_payload, encode_stats_payload};
use lastlight_wire::traces::{Format, TraceReader};
use model::stats::StatsPayload;
use model::{Bump, Payload};

/// What one body may decode to here; far more than the seeds need.
const ARENA_BYTES: usize = 1 << 20;

/// Takes any bytes and panics when what must hold does not.
pub type Target = fn(&[u8]);

/// Every target, by the name of its directory of seeds.
pub const ALL: [(&str, Target); 9] = [
    ("v04", v04),
    ("v04_round_trip", v04_round_trip),
    ("v05", v05),
    ("v07", v07),
    ("json", json),
    ("client_stats", client_stats),
    ("stats_payload", stats_payload),
    ("agent_payload", agent_payload),
    ("ddsketch", ddsketch),
];

pub fn v04(body: &[u8]) {
    traces(Format::V04, body);
}

pub fn v05(body: &[u8]) {
    traces(Format::V05, body);
}

pub fn v07(body: &[u8]) {
    traces(Format::V07, body);
}

pub fn json(body: &[u8]) {
    traces(Format::JsonV04, body);
}

/// Chunk by chunk into an arena that is reset, as for big bodies.
fn traces(format: Format, body: &[u8]) {
    let (outer, mut inner) = (arena(), arena());
    let Ok((_, mut reader)) = TraceReader::open(format, body, &outer) else { return };
    let count = reader.chunk_count();
    let mut read = 0;
    while reader.chunk_count() > 0 {
        match reader.next_chunk(&inner) {
            Ok(chunk) => read += usize::from(chunk.is_some()),
            Err(error) => {
                assert!(error.offset <= body.len() || format == Format::JsonV04, "{error}");
                bounded(&inner);
                return;
            }
        }
        bounded(&inner);
        inner.reset();
    }
    assert_eq!(read, count);
    assert!(reader.finish().is_ok(), "nothing was left to be wrong");
    bounded(&outer);
}

pub fn v04_round_trip(body: &[u8]) {
    let arena = arena();
    let Ok((mut payload, mut reader)) = TraceReader::open(Format::V04, body, &arena) else { return };
    loop {
        match reader.next_chunk(&arena) {
            Ok(Some(chunk)) => {
                if payload.chunks.try_reserve(1).is_err() {
                    return;
                }
                payload.chunks.push(chunk);
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    survives(&payload);
}

pub fn agent_payload(body: &[u8]) {
    let arena = arena();
    if let Ok(agent) = decode_agent_payload(body, &arena) {
        agent.payloads.iter().for_each(survives);
    }
    bounded(&arena);
}

/// What was decoded can be written, and reads as what it was.
fn survives(payload: &Payload<'_>) {
    let written = encode(payload);
    let arena = Bump::new();
    let again = decode_agent_payload(&written, &arena).expect("our own encoding");
    assert_eq!(again.payloads.len(), 1);
    assert_eq!(again.payloads[0].span_count(), payload.span_count());
    assert!(encode(&again.payloads[0]) == written, "the payload changed on its way");
}

fn encode(payload: &Payload<'_>) -> Vec<u8> {
    let encoder = TraceEncoder::new(&[], None);
    let (mut content, mut out) = (Vec::new(), Vec::new());
    for chunk in &payload.chunks {
        encoder.chunk(chunk, &chunk.spans, &mut content);
    }
    encoder.payload_fields(payload, &[], &mut content);
    TraceEncoder::tracer_payload(&[&content], &mut out);
    agent_header(&AgentHeader { host_name: "h", ..AgentHeader::default() }, &mut out);
    out
}

pub fn client_stats(body: &[u8]) {
    if let Ok(stats) = decode_client_stats(body) {
        stats_survive(StatsPayload { stats: vec![stats], ..StatsPayload::default() });
    }
}

pub fn stats_payload(body: &[u8]) {
    if let Ok(stats) = decode_stats_payload(body) {
        stats_survive(stats);
    }
}

fn stats_survive(stats: StatsPayload) {
    let mut written = Vec::new();
    encode_stats_payload(&stats, &mut written);
    let again = decode_stats_payload(&written).expect("our own encoding");
    assert!(again == stats, "the statistics changed on their way");
}

pub fn ddsketch(body: &[u8]) {
    if let Ok(sketch) = sketch::decode(body) {
        let mut written = Vec::new();
        sketch::encode(&sketch, &mut written);
        assert!(
            sketch::decode(&written).expect("our own encoding") == sketch,
            "the sketch changed on its way"
        );
    }
}

fn arena() -> Bump {
    let arena = Bump::new();
    arena.set_allocation_limit(Some(ARENA_BYTES));
    arena
}

fn bounded(arena: &Bump) {
    assert!(arena.allocated_bytes() <= ARENA_BYTES, "the arena passed its limit");
}
