//! A panic costs the request it happens in.
//!
//! What panics here is the process's logger, at words that only these tests make the agent say: the panic unwinds
//! through the agent's own request handling.

use crate::support::{Agent, Setup, get, post, recent, spans};
use model::{Signal, Why};
use std::sync::Once;
use testkit::payload::v04;

/// A path whose refusal cannot be logged.
const UNSPEAKABLE: &str = "/unspeakable";
/// Spans of a trace whose fault cannot be logged.
const UNSPEAKABLE_SPANS: u64 = 1_307;

struct Squeamish;

impl log::Log for Squeamish {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        let unspeakable = text.ends_with(&format!("not found: {UNSPEAKABLE}"))
            || text.starts_with(&format!("dropped {UNSPEAKABLE_SPANS} spans"));
        assert!(!unspeakable, "a test's panic in a request");
    }

    fn flush(&self) {}
}

fn squeamish() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Squeamish).expect("the only logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
}

#[tokio::test]
async fn l8_a_panic_in_a_request_is_its_500_and_nobody_elses() {
    squeamish();
    let agent = Agent::start().await;
    let mut other = agent.client().await;
    assert_eq!(other.exchange(spans([1])).await.status, 200);
    let mut unlucky = agent.client().await;
    let answer = unlucky.exchange(get(UNSPEAKABLE)).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.text().contains("internal error"), "{answer:?}");
    assert_eq!(unlucky.exchange(spans([2])).await.status, 200, "its own connection goes on");
    assert_eq!(other.exchange(spans([3])).await.status, 200, "other connections go on");
    assert_eq!(agent.send(spans([4])).await.status, 200, "the listener goes on");
    let status = agent.send(get("/lastlight/status")).await.json();
    let rows = status["refused"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["reason"] == "panicked" && row["requests"] == 1), "{rows:?}");
    agent.stop().await.delivered_once(1..=4);
}

#[tokio::test]
async fn l8_a_panic_after_accepting_books_the_spans_it_took_and_frees_their_room() {
    squeamish();
    let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
    let mut client = agent.client().await;
    let foreign: Vec<_> = (1..=UNSPEAKABLE_SPANS).map(|id| recent(10_000 + id)).collect();
    let answer = client.exchange(post("/v0.4/traces", v04(&[vec![recent(1)], foreign]))).await;
    assert_eq!(answer.status, 500);
    let book = agent.book(Signal::Traces);
    assert_eq!((book.accepted, book.held), (UNSPEAKABLE_SPANS + 1, 0));
    assert_eq!(book.dropped(Why::Panicked), UNSPEAKABLE_SPANS + 1);
    let status = client.exchange(get("/lastlight/status")).await.json();
    assert_eq!(status["memory"]["signals"]["traces"]["used_bytes"], 0);
    // The same worker, with the memory it uses over and over.
    for id in 2..=20 {
        assert_eq!(client.exchange(spans([id])).await.status, 200);
    }
    let stopped = agent
        .stop_at(lastlight_agent::Deadline::at(lastlight_agent::Instant::now() + crate::support::PATIENCE))
        .await;
    stopped.delivered_once(2..=20);
    assert_eq!(stopped.report.lost(), UNSPEAKABLE_SPANS + 1);
}
