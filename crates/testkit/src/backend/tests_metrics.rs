//! The metric intakes over the wire.

use super::{
    tests::{post_with, request},
    *,
};
use crate::metrics::{
    COUNT,
    proto::{Dogsketch, MetricPayload, MetricPoint, MetricSeries, SketchMessage, SketchPayload},
};
use prost::Message;

fn body(metric: &str, points: usize) -> Vec<u8> {
    let points = vec![MetricPoint { value: 2.0, timestamp: 10 }; points];
    let series = MetricSeries { metric: metric.into(), points, r#type: COUNT, ..MetricSeries::default() };
    MetricPayload { series: vec![series] }.encode_to_vec()
}

async fn post(backend: &Backend, path: &str, headers: &str, body: &[u8]) -> String {
    post_with(backend, path, headers, body).await.unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn metrics_are_decoded_in_every_encoding_and_merged() {
    let backend = Backend::start().await;
    let plain = body("c", 1);
    let zstd = zstd::encode_all(&*plain, 1).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, &plain).unwrap();
    let gzip = gzip.finish().unwrap();
    for (headers, bytes) in [
        ("", &plain),
        ("content-encoding: zstd\r\n", &zstd),
        ("content-encoding: gzip\r\ncontent-type: application/x-protobuf\r\n", &gzip),
    ] {
        assert_eq!(post(&backend, "/api/v2/series", headers, bytes).await, "202");
    }
    assert_eq!(backend.counts().points, 3);
    assert_eq!(backend.series().len(), 3);
    // The three have one key.
    assert_eq!(backend.metrics().total("c", &[]), 2.0);
    assert_eq!(backend.metrics().replaced(), 2);
}

#[tokio::test]
async fn every_metric_intake_is_known() {
    let backend = Backend::start().await;
    let dogsketch =
        Dogsketch { cnt: 2, min: 1.0, max: 1.0, k: vec![1338], n: vec![2], ..Dogsketch::default() };
    let sketch =
        SketchMessage { metric: "d".into(), dogsketches: vec![dogsketch], ..SketchMessage::default() };
    let sketches = SketchPayload { sketches: vec![sketch] }.encode_to_vec();
    post(&backend, "/api/beta/sketches", "", &sketches).await;
    post(&backend, "/intake/", "", br#"{"events":{"api":[{"msg_title":"t"}]}}"#).await;
    post(&backend, "/api/v1/check_run", "", br#"[{"check":"c","status":1}]"#).await;
    assert_eq!(backend.sketches()[0].points[0].1.count, 2);
    assert_eq!(backend.metrics().sketch("d", &[]).quantile(0.5), 1.0);
    assert_eq!(backend.events()[0].title, "t");
    assert_eq!(backend.checks()[0].status, 1);
    let counts = backend.counts();
    assert_eq!((counts.sketched, counts.events, counts.checks, counts.undecodable), (2, 1, 1, 0));
}

#[tokio::test]
async fn what_is_beyond_a_limit_of_the_intake_is_answered_413_and_has_not_arrived() {
    let backend = Backend::start().await;
    assert_eq!(post(&backend, "/api/v2/series", "", &body("fits", 10_000)).await, "202");
    assert_eq!(post(&backend, "/api/v2/series", "", &body("points", 10_001)).await, "413");
    // Compressed it is small, but not when it is not.
    let long = zstd::encode_all(&*body(&"x".repeat(5_242_880), 1), 1).unwrap();
    assert_eq!(post(&backend, "/api/v2/series", "content-encoding: zstd\r\n", &long).await, "413");
    // On the wire.
    assert_eq!(post(&backend, "/api/v2/series", "", &body(&"x".repeat(512_000), 1)).await, "413");
    let checks = format!(r#"[{{"check":"{}"}}]"#, "x".repeat(5 * 512 * 1024));
    assert_eq!(post(&backend, "/api/v1/check_run", "", checks.as_bytes()).await, "413");
    assert_eq!(backend.metrics().names(), ["fits"]);
    assert!(backend.checks().is_empty());
    assert_eq!(backend.counts().oversized, 4);
}

#[tokio::test]
async fn a_scripted_answer_comes_before_the_limits() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::status(503).times(1));
    assert_eq!(post(&backend, "/api/v2/series", "", &body("c", 10_001)).await, "503");
    assert!(backend.metrics().names().is_empty());
}

#[tokio::test]
async fn metrics_that_were_only_kept_are_merged_the_same() {
    let backend = Backend::start_with(Options { keep: Keep::Counts, ..Options::default() }).unwrap();
    assert_eq!(post(&backend, "/api/v2/series", "", &body("c", 1)).await, "202");
    assert_eq!(post(&backend, "/api/v2/series", "", b"\xff").await, "202");
    assert_eq!(post(&backend, "/api/v2/series", "", &body(&"x".repeat(512_000), 1)).await, "413");
    assert_eq!(backend.metrics().total("c", &[]), 2.0);
    let counts = backend.counts();
    assert_eq!((counts.points, counts.undecodable, counts.oversized), (1, 1, 1));
    let merged = request(&backend, "GET", "/_metrics", "", b"").await.unwrap();
    assert!(merged.contains(r#""total":2.0"#) && merged.contains(r#""replaced":0"#), "{merged}");
}
