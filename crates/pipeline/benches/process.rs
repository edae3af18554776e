//! What processing costs for each span of a realistic chunk: 20 spans of a web request with SQL, Redis and
//! HTTP calls, 10 string and 4 numeric tags each.
//!
//! `cargo bench -p lastlight-pipeline --bench process`

use lastlight_pipeline::config::{ObfuscationConfig, ProcessConfig, ReplaceRule, Rules, StatsConfig};
use lastlight_pipeline::process::{Client, Processor};
use lastlight_pipeline::stats::Concentrator;
use model::{Books, Bump, Chunk, Payload, Span};
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

const SPANS: u64 = 20;
const ROUNDS: u64 = 20_000;
/// The best of so many measurements is printed: the others were disturbed.
const REPEATS: usize = 7;
/// Room for statistics: all that are counted here.
const STATS_MAX_BYTES: usize = 16 << 20;
const NOW_NS: i64 = 1_795_219_200_000_000_000;

/// (service, name, resource, type) of the spans, in turn.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("checkout-api", "http.request", "POST /cart/:id/checkout", "web"),
    (
        "postgres",
        "postgres.query",
        "SELECT id, name, price FROM items WHERE cart_id = 48151 AND state IN (1, 2, 3)",
        "sql",
    ),
    ("redis", "redis.command", "GET session:8f14e45f", "redis"),
    ("payments", "http.client", "POST /v1/charge", "http"),
    ("checkout-api", "template.render", "cart/summary.html", ""),
];

fn fill<'a>(arena: &'a Bump, chunk: &mut Chunk<'a>, round: u64) {
    chunk.spans.reserve(SPANS as usize);
    for number in 0..SPANS {
        let (service, name, resource, span_type) = KINDS[(number % 5) as usize];
        let mut span = Span::new_in(arena);
        span.service = service;
        span.name = name;
        span.resource = resource;
        span.span_type = span_type;
        span.trace_id = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        // Ids as tracers draw them, parents as a request nests them.
        let id = |number: u64| (round ^ number).wrapping_mul(0xD6E8_FEB8_6659_FD93) | 1;
        span.span_id = id(number);
        span.parent_id = if number == 0 { 0 } else { id(number / 2) };
        span.start = NOW_NS;
        span.duration = 1_000_000 + number as i64;
        span.meta.reserve_exact(10);
        span.meta.extend_from_slice_copy(&[
            ("env", "production"),
            ("version", "2026.11.3"),
            ("component", "net/http"),
            ("span.kind", if span_type == "web" { "server" } else { "client" }),
            ("language", "python"),
            ("http.method", "POST"),
            ("http.status_code", "200"),
            ("runtime-id", "5f3c1e0b7a9d4c2e8f6a1b3c5d7e9f01"),
            ("peer.service", "postgres-main"),
            ("_dd.base_service", "checkout-api"),
        ]);
        span.metrics.reserve_exact(5);
        span.metrics.extend_from_slice_copy(&[
            ("_dd.measured", 1.0),
            ("_sampling_priority_v1", 1.0),
            ("process_id", 4711.0),
            ("_dd.agent_psr", 1.0),
        ]);
        chunk.spans.push(span);
    }
}

/// Nanoseconds for each span, building the chunk included.
fn run(mut process: impl for<'a> FnMut(&'a Bump, &mut Payload<'a>, &mut Chunk<'a>)) -> f64 {
    let mut arena = Bump::new();
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        for round in 0..ROUNDS {
            {
                let mut payload = Payload::new_in(&arena);
                let mut chunk = Chunk::new_in(&arena);
                fill(&arena, &mut chunk, round);
                process(&arena, &mut payload, &mut chunk);
                black_box(&chunk);
            }
            arena.reset();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (ROUNDS * SPANS) as f64);
    }
    best
}

fn main() {
    let build = run(|_, _, _| {});
    let measure = |name: &str, config: ProcessConfig, client: Client<'_>, counts: bool| {
        let processor = Processor::new(config, NOW_NS);
        let stats = Mutex::new(Concentrator::new(
            &StatsConfig::default(),
            &Books::default(),
            STATS_MAX_BYTES,
            NOW_NS,
        ));
        let stats = counts.then_some(&stats);
        let total = run(|arena, payload, chunk| {
            black_box(processor.chunk(arena, payload, &client, chunk, stats, NOW_NS));
        });
        println!("{name:48} {:7.1} ns/span", total - build);
    };
    let client = Client { lang: "python", chunks_in_payload: 1, ..Client::default() };
    let plain = || {
        let mut obfuscation = ObfuscationConfig::default();
        obfuscation.credit_cards.enabled = false;
        ProcessConfig { obfuscation, ..ProcessConfig::default() }
    };
    println!("{:48} {build:7.1} ns/span", "(building the chunk, subtracted below)");
    let marked = Client { computed_top_level: true, computed_stats: true, ..client };
    measure("client marked and counted, no card search", plain(), marked, false);
    measure("client marked and counted", ProcessConfig::default(), marked, false);
    measure("client counted", ProcessConfig::default(), Client { computed_stats: true, ..client }, false);
    measure("everything here", ProcessConfig::default(), client, true);
    let replace = vec![ReplaceRule::new("*", "token=([^&]*)", "token=?").expect("a rule")];
    let rules = Rules { replace, ..Rules::default() };
    measure(
        "everything here, one replace rule for *",
        ProcessConfig { rules, ..ProcessConfig::default() },
        client,
        true,
    );
}
