//! What the tracer takes of its host: `cargo bench -p lastlight-tracer`.
//!
//! Prints nanoseconds, the best of many short batches, for a warm [`Trace`] that is used again and again. A request
//! is a root with ten tags and children with six each, of some 20 bytes; `encode` is only that part of a request.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lastlight_tracer::statsd::{Kind, metric_line};
use lastlight_tracer::{SpanId, Trace, TraceOptions};

const RUN: Duration = Duration::from_secs(1);
const START: u64 = 1_700_000_000_000_000_000;
const HEADERS: [(&str, &str); 9] = [
    ("host", "shop.example"),
    ("user-agent", "a browser of some length, as they are"),
    ("x-datadog-trace-id", "1234567890123456789"),
    ("x-datadog-parent-id", "987654321"),
    ("x-datadog-sampling-priority", "1"),
    ("x-datadog-tags", "_dd.p.dm=-1,_dd.p.tid=640cfd8d00000000"),
    ("traceparent", "00-640cfd8d00000000112210f47de98115-000000003ade68b1-01"),
    ("tracestate", "dd=s:1;p:000000003ade68b1;t.dm:-1,other=value"),
    ("accept", "*/*"),
];

fn main() {
    let options = TraceOptions {
        service: "shop".into(),
        env: "prod".into(),
        version: "1.2.3".into(),
        language: "php".into(),
        runtime_id: "3f2b8f0e-0000-4000-8000-000000000000".into(),
        process_id: 4_711,
        ..TraceOptions::default()
    };
    let mut trace = Trace::new(options, 1);
    let mut body = Vec::new();
    println!("{:<28} {:>12} {:>12}", "", "ns", "ns/span");
    for children in [0, 9, 99, 999] {
        let spans = children + 1;
        let whole = measure(|| {
            trace.reset();
            request(&mut trace, children);
            body.clear();
            black_box(trace.encode(START, &mut body));
        });
        row(&format!("request of {spans}, {} bytes", body.len()), whole, spans);
        let encode = measure(|| {
            body.clear();
            black_box(trace.encode(START, &mut body));
        });
        row(&format!("  encode of {spans}"), encode, spans);
    }
    let extract = measure(|| {
        trace.reset();
        let headers = HEADERS.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        black_box(trace.extract(headers).unwrap());
    });
    row("extract from 9 headers", extract, 1);
    let root = trace.start(None, b"root", START).unwrap();
    row("inject", measure(|| trace.inject(root, |name, value| _ = black_box((name, value))).unwrap()), 1);
    let line = measure(|| {
        body.clear();
        let tags: [(&[u8], &[u8]); 2] = [(b"env", b"prod"), (b"service", b"shop")];
        metric_line(&mut body, Kind::Count, b"shop.checkout.duration", 1.0, black_box(&tags), 1.0).unwrap();
    });
    row("metric line with 2 tags", line, 1);
}

fn request(trace: &mut Trace, children: usize) {
    let root = trace.start(None, b"web.request", START).unwrap();
    trace.set_type(root, b"web").unwrap();
    trace.set_resource(root, b"GET /some/page/of/the/shop").unwrap();
    tags(trace, root, 10);
    for child in 0..children {
        let span = trace.start(Some(root), b"mysqli.query", START + child as u64).unwrap();
        trace.set_service(span, b"mysqli").unwrap();
        trace.set_type(span, b"sql").unwrap();
        trace.set_resource(span, b"SELECT * FROM goods WHERE id = ?").unwrap();
        tags(trace, span, 6);
        trace.finish(span, 1_000).unwrap();
    }
    trace.finish(root, 1_000_000).unwrap();
}

fn tags(trace: &mut Trace, span: SpanId, count: usize) {
    const KEYS: [&[u8]; 10] = [
        b"http.method",
        b"http.url",
        b"http.route",
        b"http.useragent",
        b"span.kind",
        b"component",
        b"db.type",
        b"db.instance",
        b"out.host",
        b"db.user",
    ];
    for key in KEYS.into_iter().take(count - 1) {
        trace.tag(span, key, b"a value of some bytes").unwrap();
    }
    trace.metric(span, b"http.status_code", 200.0).unwrap();
}

fn row(name: &str, nanoseconds: f64, spans: usize) {
    println!("{name:<28} {nanoseconds:>12.0} {:>12.1}", nanoseconds / spans as f64);
}

/// Nanoseconds for one call, of the best batch.
fn measure(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let mut batch = 1_u32;
    let begin = Instant::now();
    while begin.elapsed() < RUN {
        let from = Instant::now();
        (0..batch).for_each(|_| call());
        let took = from.elapsed();
        best = best.min(took.as_nanos() as f64 / f64::from(batch));
        if took < Duration::from_micros(200) {
            batch *= 2;
        }
    }
    best
}
