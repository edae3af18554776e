//! How long a log takes to be written, and a line of JSON to be asked what it says:
//! `cargo bench -p lastlight-wire --bench logs [-- <row>]`.
//!
//! Prints nanoseconds for each line and the speed over the line's bytes, the best of many short batches.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lastlight_wire::intake::logs::encode;
use lastlight_wire::logs::lift;
use model::log::{Log, LogStatus};

const RUN: Duration = Duration::from_secs(1);
const LINES: usize = 200;

fn main() {
    // Cargo adds `--bench`.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let plain =
        "2024-02-29 12:30:45.678 INFO [main] shop.Checkout - order 4711 of user 17 took 23 ms, 3 items left ";
    let json = r#"{"message":"order 4711 of user 17 took 23 ms","level":"info","timestamp":"2024-02-29T12:30:45.678Z","logger":"shop.Checkout","thread":"main","items":[{"id":1,"price":9.5},{"id":2,"price":1e3}],"dd":{"trace_id":"6602953300000000aabbccdd00000001","span_id":"1234567890123456789"}}"#;
    let rows = [
        ("plain", plain.to_owned()),
        ("long", plain.repeat(100)),
        ("accents", "Übergröße für Mädchen, naïve façade — ".repeat(3)),
        ("escapes", "\u{1b}[32mINFO\u{1b}[0m \"order\"\t4711 \"of\" user\n\tat main".repeat(2)),
        ("json", json.to_owned()),
        (
            "json_long",
            format!(
                "{},\"stack\":\"{}\"}}",
                &json[..json.len() - 1],
                "at shop.Checkout.pay(Checkout.java:17)\\n".repeat(250)
            ),
        ),
    ];
    println!(
        "{:<10} {:>10} {:>12} {:>10} {:>12} {:>10}",
        "", "bytes/line", "encode ns", "MB/s", "lift ns", "MB/s"
    );
    for (name, line) in &rows {
        if only.as_deref().is_some_and(|only| only != *name) {
            continue;
        }
        let log = Log {
            message: line.as_bytes(),
            status: LogStatus::Info,
            timestamp_ms: 1_709_209_845_678,
            hostname: "",
            service: "shop",
            source: "cloudrun",
            tags: "",
            trace_id: None,
            span_id: None,
        };
        let mut out = Vec::new();
        let encoded = measure(|| {
            out.clear();
            (0..LINES).for_each(|_| encode(black_box(&log), &mut out));
            black_box(&out);
        });
        let lifted = measure(|| {
            for _ in 0..LINES {
                black_box(lift(black_box(line.as_bytes())));
            }
        });
        let row = |best: Duration| {
            let nanoseconds = best.as_secs_f64() * 1e9 / LINES as f64;
            (nanoseconds, line.len() as f64 / nanoseconds * 1e3)
        };
        let ((encode_ns, encode_speed), (lift_ns, lift_speed)) = (row(encoded), row(lifted));
        println!(
            "{name:<10} {:>10} {encode_ns:>12.1} {encode_speed:>10.0} {lift_ns:>12.1} {lift_speed:>10.0}",
            line.len()
        );
    }
}

/// The shortest run of many.
fn measure(mut work: impl FnMut()) -> Duration {
    let end = Instant::now() + RUN;
    let mut best = Duration::MAX;
    while Instant::now() < end {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best
}
