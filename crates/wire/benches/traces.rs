//! How long a span takes to be read and written: `cargo bench -p lastlight-wire [-- <line>]`.
//!
//! Prints nanoseconds for each span and the speed over the received bytes, the best of many short batches.
//! The body is a SQL-heavy mix of 10 traces of 20 spans, some 78 kB in v0.4.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use lastlight_wire::intake::traces::TraceEncoder;
use lastlight_wire::traces::{Format, TraceReader};
use model::Bump;
use support::{Span, TraceChunk, TracerPayload, body};

const RUN: Duration = Duration::from_secs(1);
const BATCH_CALLS: u32 = 4;

fn main() {
    // Cargo adds `--bench`.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let payload = sql_mix();
    let spans = payload.chunks.iter().map(|chunk| chunk.spans.len()).sum::<usize>();
    println!("{:<10} {:>10} {:>12} {:>10}", "", "bytes/span", "ns/span", "MB/s");
    for (name, format) in
        [("v0.4", Format::V04), ("v0.5", Format::V05), ("v0.7", Format::V07), ("json", Format::JsonV04)]
    {
        if !wanted(name) {
            continue;
        }
        let body = body(format, &payload);
        let mut arena = Bump::new();
        let best = measure(|| {
            decode(format, &body, &arena);
            arena.reset();
        });
        report(name, spans, body.len(), best);
    }
    if !wanted("encode") {
        return;
    }
    let body = body(Format::V04, &payload);
    let arena = Bump::new();
    let (mut payload, mut reader) = TraceReader::open(Format::V04, &body, &arena).unwrap();
    while let Some(chunk) = reader.next_chunk(&arena).unwrap() {
        payload.chunks.push(chunk);
    }
    let tags: Vec<_> = (0..8).map(|tag| (format!("platform.tag.{tag}"), "some-value".to_owned())).collect();
    let encoder = TraceEncoder::new(&tags, None);
    let mut out = Vec::new();
    let best = measure(|| {
        out.clear();
        for chunk in &payload.chunks {
            encoder.chunk(chunk, &chunk.spans, &mut out);
        }
        black_box(&out);
    });
    report("encode", spans, out.len(), best);
}

fn decode(format: Format, body: &[u8], arena: &Bump) {
    let (_, mut reader) = TraceReader::open(format, body, arena).unwrap();
    while let Some(chunk) = reader.next_chunk(arena).unwrap() {
        black_box(&chunk);
    }
}

/// The best time of one call. Batches are short, so that some of them run undisturbed on a busy machine.
fn measure(mut call: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < RUN {
        let start = Instant::now();
        for _ in 0..BATCH_CALLS {
            call();
        }
        best = best.min(start.elapsed() / BATCH_CALLS);
    }
    best
}

fn report(name: &str, spans: usize, bytes: usize, time: Duration) {
    let nanoseconds = time.as_secs_f64() * 1e9;
    println!(
        "{name:<10} {:>10} {:>12.1} {:>10.0}",
        bytes / spans,
        nanoseconds / spans as f64,
        bytes as f64 / nanoseconds * 1e3
    );
}

fn sql_mix() -> TracerPayload {
    let text = str::to_owned;
    let span = |trace: u64, place: u64| {
        let sql = !place.is_multiple_of(3);
        let statement = format!(
            "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = {place}"
        );
        let mut meta: support::Tags = [
            ("env", "production"),
            ("version", "1.2.3"),
            ("component", if sql { "psycopg" } else { "flask" }),
            ("span.kind", if sql { "client" } else { "server" }),
            ("runtime-id", "0c1f2a34b5c6d7e8f90123456789abcd"),
            ("_dd.p.dm", "-0"),
            ("_dd.base_service", "shop"),
        ]
        .map(|(key, value)| (text(key), text(value)))
        .into();
        if sql {
            meta.insert(text("db.system"), text("postgresql"));
            meta.insert(text("db.name"), text("orders"));
        } else {
            meta.insert(text("http.url"), format!("http://shop.example/cart/{place}"));
            meta.insert(text("http.status_code"), text("200"));
        }
        Span {
            service: text(if sql { "postgres" } else { "shop" }),
            name: text(if sql { "postgres.query" } else { "flask.request" }),
            resource: if sql { statement } else { text("GET /cart/<id>") },
            trace_id: trace.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            span_id: (trace * 100 + place + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9),
            parent_id: if place == 0 { 0 } else { (trace * 100 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9) },
            start: 1_700_000_000_000_000_000 + place as i64 * 1_000,
            duration: 1_234_567,
            meta,
            metrics: [("_sampling_priority_v1", 1.0), ("_dd.measured", 1.0), ("process_id", 4242.0)]
                .map(|(key, value)| (text(key), value))
                .into(),
            span_type: text(if sql { "sql" } else { "web" }),
            ..Span::default()
        }
    };
    let chunk = |trace| TraceChunk {
        priority: 1,
        spans: (0..20).map(|place| span(trace, place)).collect(),
        ..TraceChunk::default()
    };
    TracerPayload { chunks: (1..=10).map(chunk).collect(), ..TracerPayload::default() }
}
