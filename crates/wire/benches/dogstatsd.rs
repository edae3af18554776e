//! How long a line takes to be read, with its values: `cargo bench -p lastlight-wire --bench dogstatsd [-- <row>]`.
//!
//! Prints nanoseconds for each line and the speed over the received bytes, the best of many short batches. The
//! datagrams have 18 lines of some 50 bytes each; `mixed` has counts, gauges, distributions and histograms.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lastlight_wire::dogstatsd::{Message, lines, parse};

const RUN: Duration = Duration::from_secs(1);
const DATAGRAMS: usize = 64;
const LINES: usize = 18;

fn main() {
    // Cargo adds `--bench`.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:<10} {:>10} {:>12} {:>10}", "", "bytes/line", "ns/line", "MB/s");
    for (name, line) in [
        ("mixed", mixed as fn(usize) -> String),
        ("plain", |number| format!("page.views:{}|c", number % 10)),
        ("long", |number| {
            let tags: Vec<_> = (0..12).map(|tag| format!("some.longer.tag.{tag}:value-{number}")).collect();
            format!("shop.checkout.duration:{}.25|d|@0.5|#{}", number % 1000, tags.join(","))
        }),
        ("packed", |number| {
            let values: Vec<_> = (0..8).map(|value| format!("{}.{value}", number % 1000 + value)).collect();
            format!("shop.checkout.duration:{}|d|#env:prod,service:shop", values.join(":"))
        }),
        ("full", |number| {
            format!(
                "shop.checkout.duration:{}|d|@0.5|#env:prod,service:shop|c:ci-0c1f2a34b5c6|T1700000000|card:low",
                number % 1000
            )
        }),
    ] {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let datagrams: Vec<String> = (0..DATAGRAMS)
            .map(|datagram| {
                (0..LINES).map(|place| line(datagram * LINES + place)).collect::<Vec<_>>().join("\n")
            })
            .collect();
        let mut values = Vec::new();
        let best = measure(|| {
            let mut sum = 0.0;
            for datagram in &datagrams {
                for line in lines(datagram.as_bytes()) {
                    let message = parse(line).unwrap();
                    if let Message::Metric(metric) = &message {
                        metric.numbers(&mut values).unwrap();
                        sum += values[0];
                    }
                    black_box(&message);
                }
            }
            black_box(sum);
        });
        let bytes = datagrams.iter().map(String::len).sum::<usize>();
        let (count, nanoseconds) = (DATAGRAMS * LINES, best.as_secs_f64() * 1e9);
        println!(
            "{name:<10} {:>10} {:>12.1} {:>10.0}",
            bytes / count,
            nanoseconds / count as f64,
            bytes as f64 / nanoseconds * 1e3
        );
    }
}

/// The best time of one call, so that one of many runs undisturbed on a busy machine.
fn measure(mut call: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < RUN {
        let start = Instant::now();
        call();
        best = best.min(start.elapsed());
    }
    best
}

fn mixed(number: usize) -> String {
    let tags = format!("env:prod,service:shop,shard:{}", number * 7 % 100);
    match number % 4 {
        0 => format!("shop.requests.count:{}|c|#{tags}", number % 5 + 1),
        1 => format!("shop.pool.in_use:{}|g|#{tags}", number * 31 % 1000),
        2 => format!("shop.checkout.duration:{}.{}|d|#{tags}", number * 17 % 500, number % 100),
        _ => format!("shop.db.query:0.{:04}|h|#{tags}", number * 97 % 10_000),
    }
}
