//! Cost of counting and sampling, in nanoseconds: `cargo bench -p lastlight-pipeline --bench stats`.

use lastlight_pipeline::config::{SamplingConfig, StatsConfig};
use lastlight_pipeline::facts::SpanFacts;
use lastlight_pipeline::sample::Samplers;
use lastlight_pipeline::stats::sketch::DdSketch;
use lastlight_pipeline::stats::{Concentrator, View};
use model::{Books, Bump, Chunk, Span};
use std::hint::black_box;
use std::time::Instant;

const START: i64 = 1_700_000_000_000_000_000;
const SPANS: usize = 20;
const TAGS: usize = 12;

fn main() {
    println!("{:<44} {:>9}", "", "ns");
    for (name, eligible, peer) in [
        ("eligible span, known key", true, false),
        ("eligible client span with 3 peer tags", true, true),
        ("span that does not count", false, false),
    ] {
        report(name, SPANS, concentrator(eligible, peer));
    }
    report("value added to a sketch", 1_024, sketch());
    report("chunk kept by its priority", 1, samplers());
}

/// The best of several rounds, per item.
fn report(name: &str, items: usize, mut run: impl FnMut()) {
    const ROUNDS: usize = 40;
    const RUNS: usize = 2_000;
    let runs = RUNS * 20 / items.clamp(1, 400);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..runs {
            run();
        }
        best = best.min(started.elapsed().as_nanos() as f64 / (runs * items) as f64);
    }
    println!("{name:<44} {best:>9.1}");
}

fn chunk<'a>(arena: &'a Bump, eligible: bool, peer: bool) -> (Chunk<'a>, Vec<SpanFacts<'a>>) {
    let mut chunk = Chunk::new_in(arena);
    chunk.priority = 1;
    let mut facts = Vec::new();
    for index in 0..SPANS {
        let mut span = Span::new_in(arena);
        span.service = "checkout-service";
        span.name = "postgres.query";
        span.resource =
            arena.alloc_str(&format!("SELECT id, name FROM orders_{index} WHERE customer = ? LIMIT ?"));
        span.span_type = "sql";
        span.parent_id = index as u64;
        span.start = START;
        span.duration = 1_000_000 + 777_777 * index as i64;
        for tag in 0..TAGS {
            span.meta.push((arena.alloc_str(&format!("some.tag.{tag}")), "value"));
        }
        if peer {
            span.meta.extend([
                ("db.name", "orders"),
                ("out.host", "db.internal"),
                ("peer.service", "orders-db"),
            ]);
        }
        span.metrics.extend([("_dd.agent_psr", 1.0), ("process_id", 7.0), ("_sampling_priority_v1", 1.0)]);
        chunk.spans.push(span);
        let span_kind = if peer { "client" } else { "internal" };
        facts.push(SpanFacts {
            top_level: eligible,
            span_kind,
            http_status_code: 200,
            ..SpanFacts::default()
        });
    }
    (chunk, facts)
}

fn concentrator(eligible: bool, peer: bool) -> impl FnMut() {
    let arena = Box::leak(Box::new(Bump::new()));
    let (chunk, facts) = chunk(arena, eligible, peer);
    let books = Books::default();
    let mut concentrator = Concentrator::new(&StatsConfig::default(), &books, usize::MAX, START);
    let view = View { env: "production", version: "1.2.3", lang: "python", ..View::default() };
    move || concentrator.add(black_box(&view), black_box(&chunk), &facts, 1.0, START)
}

fn sketch() -> impl FnMut() {
    let mut random = fastrand::Rng::with_seed(1);
    let values: Vec<f64> = (0..1_024).map(|_| (12.0 + 6.0 * random.f64()).exp()).collect();
    let mut sketch = DdSketch::default();
    move || {
        for value in &values {
            black_box(sketch.add(black_box(*value)));
        }
    }
}

fn samplers() -> impl FnMut() {
    let arena = Box::leak(Box::new(Bump::new()));
    let (mut chunk, facts) = chunk(arena, true, false);
    let samplers = Samplers::new(&SamplingConfig::default(), "production", START);
    let arena = &*arena;
    move || {
        black_box(samplers.decide(arena, black_box(&mut chunk), 0, &facts, "production", 0.0, START));
    }
}
