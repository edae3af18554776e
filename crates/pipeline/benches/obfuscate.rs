//! What obfuscation costs: `cargo bench -p lastlight-pipeline --bench obfuscate`.
//!
//! Prints nanoseconds per statement and per span, the best of several rounds, so that a busy machine shows least.

use lastlight_pipeline::config::ObfuscationConfig;
use lastlight_pipeline::obfuscate::Obfuscator;
use model::{Bump, Span};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 400;
/// Shorter than a time slice, so that some rounds run undisturbed.
const ROUND: Duration = Duration::from_millis(1);

const SHORT: &str = "SELECT id, name FROM users WHERE id = 42";
const TYPICAL: &str = "SELECT o.id, o.total, c.name, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE \
                       o.status = 'shipped' AND o.created_at > '2024-01-01 00:00:00' AND o.total >= 19.99 LIMIT 50";

fn main() {
    let list = format!(
        "SELECT * FROM items WHERE sku IN ({})",
        (0..120).map(|n| format!("'SKU-{n:05}'")).collect::<Vec<_>>().join(", ")
    );
    let insert = format!(
        "INSERT INTO events (id, kind, payload, at) VALUES {}",
        (0..40).map(|n| format!("({n}, 'click', '{{\"x\": {n}}}', NOW())")).collect::<Vec<_>>().join(", ")
    );
    println!("{:<26}{:>8}{:>12}{:>12}{:>12}", "statement", "bytes", "hit ns", "miss ns", "miss MB/s");
    for (name, statement) in
        [("short", SHORT), ("typical", TYPICAL), ("list of 120", &list), ("insert of 40 rows", &insert)]
    {
        let cached = Obfuscator::new(ObfuscationConfig::default());
        let hit = sql_span(&cached, statement, 0);
        let uncached =
            Obfuscator::new(ObfuscationConfig { cache_max_bytes: 0, ..ObfuscationConfig::default() });
        let miss = sql_span(&uncached, statement, 0);
        println!(
            "{name:<26}{:>8}{hit:>12.1}{miss:>12.1}{:>12.0}",
            statement.len(),
            statement.len() as f64 * 1e3 / miss
        );
    }
    println!("\n{:<26}{:>8}{:>12}", "span", "tags", "ns");
    let obfuscator = Obfuscator::new(ObfuscationConfig::default());
    println!("{:<26}{:>8}{:>12.1}", "sql, cached", 14, sql_span(&obfuscator, TYPICAL, 14));
    let web = [("http.url", "https://shop.example/cart/17?token=abc"), ("http.status_code", "200")];
    println!("{:<26}{:>8}{:>12.1}", "web", 16, span(&obfuscator, "web", "GET /cart/?", &web, 14));
    println!("{:<26}{:>8}{:>12.1}", "internal", 10, span(&obfuscator, "", "render", &[], 10));
    let redis = [("redis.raw_command", "SET session:1234 0123456789abcdef EX 3600")];
    println!(
        "{:<26}{:>8}{:>12.1}",
        "redis",
        11,
        span(&obfuscator, "redis", "SET session:1234 x", &redis, 10)
    );
    let mongo =
        [("mongodb.query", r#"{"find":"users","filter":{"age":{"$gt":21},"name":"Ada"},"limit":10}"#)];
    println!("{:<26}{:>8}{:>12.1}", "mongodb", 11, span(&obfuscator, "mongodb", "find users", &mongo, 10));

    for threads in [1, 2, 4] {
        let obfuscator = Obfuscator::new(ObfuscationConfig::default());
        let slowest = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| sql_span(&obfuscator, TYPICAL, 0))).collect();
            workers.into_iter().map(|worker| worker.join().expect("worker")).fold(0.0, f64::max)
        });
        println!("{:<26}{threads:>8}{slowest:>12.1}", "one statement, threads");
    }
}

fn sql_span(obfuscator: &Obfuscator, statement: &str, plain_tags: usize) -> f64 {
    span(obfuscator, "sql", statement, &[("sql.query", statement)], plain_tags)
}

/// Nanoseconds to obfuscate one span; building it is measured apart and taken off.
fn span(
    obfuscator: &Obfuscator,
    span_type: &str,
    resource: &str,
    tags: &[(&str, &str)],
    plain_tags: usize,
) -> f64 {
    const PLAIN: [(&str, &str); 14] = [
        ("component", "flask"),
        ("span.kind", "server"),
        ("runtime-id", "5f1c2b7ad1c14e0f9b0c2f4e6d8a9b10"),
        ("language", "python"),
        ("_dd.p.dm", "-1"),
        ("_dd.p.tid", "6634d1f200000000"),
        ("http.method", "GET"),
        ("http.useragent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("out.host", "10.0.0.17"),
        ("db.name", "shop"),
        ("db.user", "web"),
        ("env", "production"),
        ("version", "1.2.3"),
        ("request.id", "20240101-112233-445566"),
    ];
    let build = |arena: &Bump, obfuscate: bool| {
        // The arena outlives the span, and is emptied between batches.
        for _ in 0..64 {
            let mut span = Span::new_in(arena);
            span.span_type = arena.alloc_str(span_type);
            span.resource = arena.alloc_str(resource);
            span.meta.reserve(tags.len() + plain_tags + 1);
            for (key, value) in tags.iter().chain(&PLAIN[..plain_tags.min(PLAIN.len())]) {
                span.meta.push((arena.alloc_str(key), arena.alloc_str(value)));
            }
            if obfuscate {
                let span: &mut Span<'_> = &mut span;
                obfuscator.span(arena, span);
            }
            black_box(&span);
        }
    };
    let best = |obfuscate: bool| {
        (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let mut spans = 0_u32;
                let mut arena = Bump::with_capacity(256 * 1024);
                while start.elapsed() < ROUND {
                    arena.reset();
                    build(&arena, obfuscate);
                    spans += 64;
                }
                start.elapsed().as_nanos() as f64 / f64::from(spans)
            })
            .fold(f64::INFINITY, f64::min)
    };
    best(true) - best(false)
}
