//! Cost of aggregating metrics, in nanoseconds and bytes: `cargo bench -p lastlight-pipeline --bench metrics`.

use lastlight_pipeline::metrics::{Aggregator, Flush, Key, LOOK_AHEAD, MetricsConfig, Sink, Spelled};
use model::metric::{Distribution, MetricType, Series};
use std::hint::black_box;
use std::time::Instant;

const START: i64 = 1_700_000_000;
/// Samples of one round.
const SAMPLES: usize = 500_000;
/// Rounds at each number of contexts; the best one counts.
const ROUNDS: usize = 4;

/// Takes what a flush makes, and nothing of it.
struct Nothing;

impl Sink for Nothing {
    fn series(&mut self, series: &Series<'_>, _samples: u64) {
        black_box(series);
    }

    fn distribution(&mut self, distribution: &Distribution<'_>, _samples: u64) {
        black_box(distribution);
    }
}

fn main() {
    use MetricType::{Count, Distribution, Gauge, Histogram};
    println!(
        "{:<24} {:>9} {:>10} {:>10} {:>10} {:>12} {:>12} {:>10}",
        "", "contexts", "ns/sample", "ns/new", "bytes/ctx", "resident/ctx", "ns/ctx flush", "ms/step"
    );
    let mixes: [(&str, &[MetricType], usize); 4] = [
        ("count", &[Count], usize::MAX),
        ("count, gauge", &[Count, Gauge], usize::MAX),
        ("c, g, distribution", &[Count, Gauge, Distribution], usize::MAX),
        ("c, g, d, histogram", &[Count, Gauge, Distribution, Histogram], 100_000),
    ];
    for (name, mix, most) in mixes {
        for contexts in [1_000, 10_000, 100_000, 1_000_000] {
            if contexts <= most {
                report(name, mix, contexts);
            }
        }
    }
}

fn report(name: &str, mix: &[MetricType], contexts: usize) {
    let text = |at: usize| {
        // Names of 21 and tags of 39 bytes.
        format!("checkout.requests.{:03}env:prod,version:1.2,customer:{at:014}", at % 1_000)
    };
    fn key(text: &[u8], metric_type: MetricType) -> Key<'_> {
        let (name, tags) = text.split_at(21);
        Key { name, tags, metric_type }
    }
    let of_type = |at: usize| mix[at % mix.len()];
    // One behind the other, as in the buffers of a listener: reading them costs no cache miss.
    let mut random = fastrand::Rng::with_seed(1);
    let order: Vec<usize> = (0..SAMPLES).map(|_| random.usize(0..contexts)).collect();
    let sent: Vec<u8> = order.iter().flat_map(|at| text(*at).into_bytes()).collect();
    let length = sent.len() / SAMPLES;
    let resident = resident_bytes();
    let mut aggregator =
        Aggregator::new(MetricsConfig { contexts_max: contexts, ..Default::default() }, START);
    let started = Instant::now();
    for at in 0..contexts {
        let id = aggregator.context(&key(text(at).as_bytes(), of_type(at))).expect("there is room");
        aggregator.add(id, at as f64, 1.0).expect("there is room");
    }
    let new = started.elapsed().as_nanos() as f64 / contexts as f64;
    let bytes = aggregator.bytes() as f64 / contexts as f64;
    let resident = resident_bytes().saturating_sub(resident) as f64 / contexts as f64;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for (group, texts) in order.chunks_exact(LOOK_AHEAD).zip(sent.chunks_exact(length * LOOK_AHEAD)) {
            let key =
                |index: usize| black_box(key(&texts[index * length..][..length], of_type(group[index])));
            let spelled: [Spelled; LOOK_AHEAD] = std::array::from_fn(|index| aggregator.spelled(&key(index)));
            aggregator.look_ahead(&spelled);
            for (index, at) in group.iter().enumerate() {
                let id = aggregator.context_of(spelled[index], &key(index)).expect("it is known");
                aggregator.add(id, black_box(*at as f64), 1.0).expect("there is room");
            }
        }
        best = best.min(started.elapsed().as_nanos() as f64 / SAMPLES as f64);
    }
    aggregator.set_now(START + 10);
    let mut longest = 0.0_f64;
    let flush = Instant::now();
    aggregator.begin_flush(Flush::Closed);
    loop {
        let step = Instant::now();
        let more = aggregator.flush_step(&mut Nothing);
        longest = longest.max(step.elapsed().as_secs_f64() * 1e3);
        if !more {
            break;
        }
    }
    let flush = flush.elapsed().as_nanos() as f64 / contexts as f64;
    println!(
        "{name:<24} {contexts:>9} {best:>10.1} {new:>10.1} {bytes:>10.1} {resident:>12.1} {flush:>12.1} {longest:>10.2}"
    );
}

/// What the process has in memory, where the system says so.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * 4_096)
}
