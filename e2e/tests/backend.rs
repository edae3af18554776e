//! A backend that fails in every way, one after the other, under load.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{BOUND, agent::Start, full};
use std::time::Duration;
use testkit::{
    Action, Backend, Behaviour,
    load::{Load, Pace, Target, run},
};

/// Payloads of 200 spans a second.
const RATE: f64 = 40.0;
/// Peak of the whole process, with the default bound of 64 MiB for what is held.
const PEAK_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// The mini agent keeps senders waiting for seconds; nobody waits for a backend here.
const SLOWEST_ANSWER_MS: f64 = 1_000.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_backend_loses_nothing_gets_nothing_twice_and_slows_nobody() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).start().await;
    // 20 s of it when asked for, else 5 s.
    let step = Duration::from_millis(if full() { 3_300 } else { 800 });
    let trouble = [
        Behaviour::status(500),
        Behaviour::status(503).retry_after("1"),
        Behaviour::refuse(),
        Behaviour::new(Action::CloseBeforeReply),
        Behaviour::new(Action::CloseHalfRead),
        Behaviour::slow(Duration::from_secs(2)),
    ];
    let phases = u32::try_from(trouble.len()).unwrap();
    for (number, behaviour) in (0..).zip(trouble) {
        backend.behave(behaviour.after(step * number).period(step));
    }
    let mut load = Load::new(Target::Tcp(agent.port()), Pace::PerSecond(RATE), step * phases);
    load.connections = 4;
    let mix = load.mix;
    let report = tokio::task::spawn_blocking(move || run(&load)).await.unwrap();
    assert_eq!(report.failed, 0, "{:?}", report.statuses);
    assert_eq!(report.statuses, [(200, report.acknowledged)].into());
    let arrived = |backend: &Backend| backend.missing(report.span_ids(mix)).is_empty();
    backend.wait_until(arrived, BOUND).await.unwrap();
    let peak = agent.memory("VmHWM");
    let stopped = agent.stop().await;
    assert_eq!(stopped.without_loss().of("traces").delivered, report.spans);
    assert_eq!(backend.duplicates(), [0_u64; 0]);
    assert!(peak < PEAK_MAX_BYTES, "{peak} bytes");
    assert!(report.p99_ms < SLOWEST_ANSWER_MS, "p99 of {} ms", report.p99_ms);
    let counts = backend.counts();
    assert!(counts.paths["/api/v0.2/traces"].closed > 0, "the trouble took place: {counts:?}");
    // Statistics survive it as well: every span of the mix is a client, a server or top level but the handler.
    let handlers = report.spans / 20;
    assert_eq!(backend.stats_hits(), report.spans - handlers);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_refuses_for_good_is_counted_and_not_sent_again() {
    for (status, reason) in [(400, "backend_400"), (403, "backend_403"), (413, "backend_413")] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(status));
        let agent = Start::new(&backend).start().await;
        let body = testkit::payload::v04(&[vec![testkit::payload::span(1)]]);
        assert_eq!(lastlight_e2e::raw::post(agent.port(), "/v0.4/traces", &body).await.status, 200);
        let stopped = agent.stop().await;
        assert_eq!(stopped.status.code(), Some(0));
        let books = stopped.books.expect("a last line");
        assert_eq!(books.of("traces").reasons, [(reason.to_owned(), 1)].into());
        let told: Vec<_> = stopped.lines.iter().filter(|line| line.contains(&status.to_string())).collect();
        assert!(!told.is_empty(), "{:?}", stopped.lines);
        assert_eq!(backend.counts().paths["/api/v0.2/traces"].requests, 1);
    }
}
