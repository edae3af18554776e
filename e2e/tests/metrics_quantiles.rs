//! Distributions from a client's lines to the backend's quantiles, against the exact ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    agent::{Agent, Start, stream_socket},
    raw,
};
use std::{io::Write, os::unix::net::UnixStream};
use testkit::{Backend, metrics::Sketch};

const VALUES: usize = 100_000;
/// The reference's bound (`facts/dogstatsd.md` §5), and what writing a value down costs.
const RELATIVE_ERROR_MAX: f64 = 1.0 / 128.0 + 1e-6;
/// The least value that is not taken for 0.
const LEAST: f64 = 1e-9;
const QUANTILES: [f64; 11] = [0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0];

/// Lines of packed values, in frames.
fn write(mut stream: UnixStream, name: &str, values: &[f64]) {
    for frame in values.chunks(200) {
        let lines: Vec<_> = frame
            .chunks(20)
            .map(|values| {
                let values: Vec<_> = values.iter().map(f64::to_string).collect();
                format!("{name}:{}|d|#a:1\n", values.join(":"))
            })
            .collect();
        let lines = lines.concat();
        stream.write_all(&u32::try_from(lines.len()).unwrap().to_le_bytes()).unwrap();
        stream.write_all(lines.as_bytes()).unwrap();
    }
}

/// What the backend has of these values.
async fn sketch(values: &[f64]) -> Sketch {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let agent = Start::new(&backend).statsd_sockets(folder.path()).start().await;
    let (path, sent) = (stream_socket(folder.path()), values.to_vec());
    let written =
        tokio::task::spawn_blocking(move || write(UnixStream::connect(path).unwrap(), "spread", &sent));
    written.await.unwrap();
    let books = stopped(agent).await;
    assert_eq!(books, values.len() as u64);
    let sketch = backend.metrics().sketch("spread", &["a:1"]);
    assert_eq!((sketch.count, sketch.binned()), (values.len() as u64, values.len() as u64));
    sketch
}

/// Samples it accepted, and delivered.
async fn stopped(agent: Agent) -> u64 {
    agent.stop().await.without_loss().of("metrics").accepted
}

/// Every quantile that is at least `from`, and the figures that are exact.
async fn quantiles_are_right(mut values: Vec<f64>, from: f64) {
    let sketch = sketch(&values).await;
    values.sort_unstable_by(f64::total_cmp);
    let (count, sum) = (values.len(), values.iter().sum::<f64>());
    let last = count - 1;
    assert_eq!((sketch.min, sketch.max), (values[0], values[last]));
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    #[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
    let count = count as f64;
    assert!((sketch.sum - sum).abs() <= 1e-9 * largest * count, "{} instead of {sum}", sketch.sum);
    assert!((sketch.avg - sum / count).abs() <= 1e-9 * largest, "{}", sketch.avg);
    for quantile in QUANTILES.into_iter().filter(|quantile| *quantile >= from) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a small list"
        )]
        let exact = values[(quantile * last as f64).round_ties_even() as usize];
        let told = sketch.quantile(quantile);
        let error = (told - exact).abs();
        assert!(
            error <= RELATIVE_ERROR_MAX * exact.abs() || exact.abs() < LEAST && told.abs() <= LEAST,
            "quantile {quantile}: {told} instead of {exact}"
        );
    }
}

fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

#[tokio::test(flavor = "multi_thread")]
async fn quantiles_of_log_normal_values_are_right() {
    let mut random = random();
    // The sum of twelve is as good as normal.
    let normal = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    quantiles_are_right((0..VALUES).map(|_| normal(&mut random).exp() * 20.0).collect(), 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quantiles_of_uniform_values_are_right() {
    let mut random = random();
    quantiles_are_right((0..VALUES).map(|_| random.f64() * 1_000.0).collect(), 0.0).await;
}

/// Descending, on both sides of 0, most of them alike, and in almost as many bins (3,600) as a sketch may have.
#[tokio::test(flavor = "multi_thread")]
async fn quantiles_of_values_that_make_it_hard_are_right() {
    let mut random = random();
    let mut values: Vec<f64> = (0..VALUES)
        .map(|number| match number % 5 {
            0 => 42.0,
            1 => 0.0,
            2 => -10_f64.powf(random.f64() * 6.0 - 3.0),
            3 => 10_f64.powf(random.f64() * 18.0 - 9.0),
            // At the edges of bins.
            _ => (1.0 + 2.0 / 128.0_f64).powi(random.i32(-600..600)),
        })
        .collect();
    values.sort_unstable_by(|one, other| other.total_cmp(one));
    quantiles_are_right(values, 0.0).await;
}

/// Twice as many orders of magnitude as there are bins for: the lowest, here the negative ones, are given up.
#[tokio::test(flavor = "multi_thread")]
async fn quantiles_above_what_the_bins_hold_are_right() {
    let mut random = random();
    let values = (0..VALUES).map(|_| {
        let size = 10_f64.powf(random.f64() * 28.0 - 8.0);
        if random.bool() { size } else { -size }
    });
    quantiles_are_right(values.collect(), 0.75).await;
}

/// What rates stand for is in the quantiles too.
#[tokio::test(flavor = "multi_thread")]
async fn l45_a_sample_rate_weighs_in_the_quantiles() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).start().await;
    // 100 times 1 and 300 times 1000, of which only the latter were sampled.
    let lines = ["spread:1|d\n".repeat(100), "spread:1000|d|@0.1\n".repeat(30)].concat();
    let request = raw::request("POST", "/dogstatsd/v2/proxy", "", lines.as_bytes());
    assert_eq!(raw::send(agent.port(), &request).await.status, 200);
    assert_eq!(stopped(agent).await, 130);
    let sketch = backend.metrics().sketch("spread", &[]);
    assert_eq!((sketch.count, sketch.binned(), sketch.sum.round()), (400, 400, 300_100.0));
    assert!((sketch.quantile(0.2) - 1.0).abs() <= RELATIVE_ERROR_MAX);
    assert!((sketch.quantile(0.3) / 1_000.0 - 1.0).abs() <= RELATIVE_ERROR_MAX);
}
