//! What must hold of every decoder, whatever the bytes: it returns, its memory is bounded, and what it
//! accepted it can write and read again. The fuzz targets and the replay in `tests/hostile.rs` share these.

use lastlight_wire::ErrorKind;
use lastlight_wire::dogstatsd::{self, Message};
use lastlight_wire::intake::traces::{AgentHeader, TraceEncoder, agent_header, decode_agent_payload};
use lastlight_wire::intake::{logs, series, sketches};
use lastlight_wire::logs::{Defaults, input, lift};
use lastlight_wire::sketch;
use lastlight_wire::stats::{decode_client_stats, decode_stats_payload, encode_stats_payload};
use lastlight_wire::traces::{Format, TraceReader};
use model::limits::METRIC_LINE_MAX_BYTES;
use model::log::{Log, LogStatus};
use model::metric::{Distribution, Identity, Series, SeriesType, SketchPoint};
use model::stats::StatsPayload;
use model::{Bump, Payload};

/// What one body may decode to here; far more than the seeds need.
const ARENA_BYTES: usize = 1 << 20;

/// Takes any bytes and panics when what must hold does not.
pub type Target = fn(&[u8]);

/// Every target, by the name of its directory of seeds.
pub const ALL: [(&str, Target); 15] = [
    ("v04", v04),
    ("v04_round_trip", v04_round_trip),
    ("v05", v05),
    ("v07", v07),
    ("json", json),
    ("client_stats", client_stats),
    ("stats_payload", stats_payload),
    ("agent_payload", agent_payload),
    ("ddsketch", ddsketch),
    ("dogstatsd", dogstatsd),
    ("series", series),
    ("sketches", sketches),
    ("log", log),
    ("log_lift", log_lift),
    ("log_input", log_input),
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

/// A packet of lines, and the packet as one line, since over HTTP nothing bounds a line but the parser.
pub fn dogstatsd(packet: &[u8]) {
    let mut read = 0;
    for line in dogstatsd::lines(packet) {
        assert!(!line.is_empty() && !line.contains(&b'\n'));
        read += line.len();
        dogstatsd_line(line);
    }
    assert!(read <= packet.len());
    dogstatsd_line(packet);
}

fn dogstatsd_line(line: &[u8]) {
    let Ok(message) = dogstatsd::parse(line) else { return };
    match &message {
        Message::Metric(metric) => {
            assert!(!metric.name.is_empty() && !metric.values.is_empty());
            assert!(metric.rate > 0.0 && metric.rate <= 1.0);
            assert!(metric.timestamp.is_none_or(|seconds| seconds > 0));
            let mut numbers = Vec::new();
            if metric.numbers(&mut numbers).is_ok() {
                assert!(!numbers.is_empty() && numbers.iter().all(|number| number.is_finite()));
            }
            // At least a digit each, and a colon between.
            assert!(numbers.len() <= metric.values.len().div_ceil(2));
        }
        // What is replaced takes three bytes for one.
        Message::Event(event) => assert!(event.title.len() + event.text.len() <= 3 * line.len()),
        Message::ServiceCheck(check) => assert!(check.status < 4 && check.message.len() <= 3 * line.len()),
    }
    let mut printed = Vec::new();
    dogstatsd::print(&message, &mut printed);
    if printed.len() <= METRIC_LINE_MAX_BYTES {
        assert!(
            dogstatsd::parse(&printed).expect("our own line") == message,
            "the message changed on its way"
        );
    }
}

pub fn series(body: &[u8]) {
    let Ok(all) = series::decode(body) else { return };
    let written = encode_series(&all);
    if let Some(again) = again(series::decode(&written)) {
        assert_eq!(again.len(), all.len());
        assert!(encode_series(&again) == written, "the series changed on their way");
    }
}

fn encode_series(all: &[series::OwnedSeries]) -> Vec<u8> {
    let mut out = Vec::new();
    for owned in all {
        let resources: Vec<_> = owned.resources.iter().map(|(kind, name)| (&**kind, &**name)).collect();
        let tags: Vec<_> = owned.tags.iter().map(String::as_str).collect();
        let series = Series {
            identity: Identity {
                name: ["", &owned.name, ""],
                host: "",
                resources: &resources,
                tags: &tags,
                origin: owned.origin,
            },
            series_type: owned.series_type.unwrap_or(SeriesType::Gauge),
            interval: u32::try_from(owned.interval).unwrap_or(0),
            points: &owned.points,
        };
        series::encode(&series, &mut out);
    }
    out
}

pub fn sketches(body: &[u8]) {
    let Ok(all) = sketches::decode(body) else { return };
    let written = encode_sketches(&all);
    if let Some(again) = again(sketches::decode(&written)) {
        assert_eq!(again.len(), all.len());
        assert!(encode_sketches(&again) == written, "the sketches changed on their way");
    }
}

fn encode_sketches(all: &[sketches::OwnedDistribution]) -> Vec<u8> {
    let mut out = Vec::new();
    for owned in all {
        let tags: Vec<_> = owned.tags.iter().map(String::as_str).collect();
        let points: Vec<_> = owned
            .points
            .iter()
            .map(|point| SketchPoint {
                timestamp: point.timestamp,
                count: point.count,
                min: point.min,
                max: point.max,
                average: point.average,
                sum: point.sum,
                keys: &point.keys,
                counts: &point.counts,
            })
            .collect();
        let identity = Identity {
            name: ["", &owned.name, ""],
            host: &owned.host,
            resources: &[],
            tags: &tags,
            origin: owned.origin,
        };
        sketches::encode(&Distribution { identity, points: &points }, &mut out);
    }
    out
}

/// Any bytes as a message, and what is text of them as everything else.
pub fn log(message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    let log = Log {
        message,
        status: LogStatus::Notice,
        timestamp_ms: i64::MIN,
        hostname: &text,
        service: &text,
        source: &text,
        tags: &text,
        trace_id: Some(&text),
        span_id: None,
    };
    let mut open = Vec::new();
    logs::encode(&log, &mut open);
    let sent = sent(&[&open, &open], &text);
    assert_eq!(sent[0], sent[1]);
    for member in ["message", "hostname", "service", "ddsource", "dd.trace_id"] {
        assert_eq!(sent[0].get(member).map_or("", |member| member.as_str().expect("text")), text);
    }
    let tags = if text.is_empty() { String::new() } else { format!("{text},{text}") };
    assert_eq!(sent[0]["ddtags"], tags);
}

fn sent(entries: &[&[u8]], tags: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let mut body = Vec::new();
    logs::payload(entries.iter().copied(), tags, &mut body);
    serde_json::from_slice(&body).expect("our own encoding")
}

pub fn log_lift(line: &[u8]) {
    let lifted = lift(line);
    if lifted != lastlight_wire::logs::Lifted::default() {
        let text = String::from_utf8_lossy(line);
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "not JSON, but lifted");
    }
    assert!(lifted.service.is_none_or(|service| !service.is_empty()));
    for id in [lifted.trace_id, lifted.span_id].into_iter().flatten() {
        assert!((1..40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

pub fn log_input(body: &[u8]) {
    let defaults = Defaults { now_ms: 7, hostname: "h", service: "s", source: "d" };
    let mut entries = 0;
    let read = input(body, |entry| {
        entries += 1;
        let Ok(entry) = entry else { return };
        assert!(!entry.is_truncated());
        let mut open = Vec::new();
        entry.encode(&defaults, &mut open);
        // What is not UTF-8 takes three bytes for one.
        assert!(open.len() <= 3 * body.len() + 256);
        let mut sent = Vec::new();
        logs::payload([&*open, &*open].into_iter(), "a:b", &mut sent);
        let sent = std::str::from_utf8(&sent).expect("UTF-8");
        // Not values: a number may be out of their range.
        let sent: Vec<Names> = serde_json::from_str(sent).expect("our own encoding");
        for name in ["message", "status", "timestamp", "service", "ddsource", "ddtags"] {
            assert!(sent.iter().all(|log| log.contains_key(name)), "no {name}");
        }
    });
    assert!(read.is_ok() || entries == 0, "entries of a body that was refused");
    assert!(entries <= body.len());
}

type Names = std::collections::HashMap<String, serde::de::IgnoredAny>;

/// What was read of our own encoding, unless it is too big: without what was passed over, the body is shorter, and so
/// is the memory it may take.
fn again<T>(read: Result<T, lastlight_wire::DecodeError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
            None
        }
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
