//! Bad backends and several of them: nothing lost, nothing twice, nobody waits for another.

use crate::support::{Agent, STATS, Setup, TRACES, held, post, spans};
use model::{Signal, Why};
use testkit::payload::client_stats;
use testkit::stats::StatsPayload;
use testkit::{Action, Backend, Behaviour};

#[tokio::test]
async fn a_backend_that_fails_in_every_way_gets_each_span_once() {
    let agent = Agent::start().await;
    for behaviour in [
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::status(429).retry_after("0"),
        Behaviour::status(408),
        Behaviour::new(Action::CloseBeforeReply),
        Behaviour::new(Action::CloseHalfRead),
    ] {
        agent.backend.behave(behaviour.on(TRACES).times(1));
    }
    for id in 1..=30 {
        assert_eq!(agent.send(spans([id])).await.status, 200);
    }
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=30);
    let traces = stopped.backend.counts().paths[TRACES].clone();
    assert_eq!(traces.closed, 2, "{traces:?}");
}

#[tokio::test]
async fn what_the_backend_refuses_for_good_is_counted_with_its_reason() {
    for (status, why) in
        [(400, Why::BadRequest), (403, Why::Forbidden), (413, Why::TooLarge), (418, Why::Refused)]
    {
        let agent = Agent::start().await;
        agent.backend.behave(Behaviour::status(status).on(TRACES));
        assert_eq!(agent.send(spans(1..=5)).await.status, 200);
        let deadline =
            lastlight_agent::Deadline::at(lastlight_agent::Instant::now() + crate::support::PATIENCE);
        let stopped = agent.stop_at(deadline).await;
        let book = stopped.book(Signal::Traces);
        assert_eq!((book.accepted, book.delivered, book.dropped(why)), (5, 0, 5), "{status}");
        assert_eq!(stopped.backend.counts().paths[TRACES].requests, 1, "asked once");
    }
}

#[tokio::test]
async fn l28_l30_a_kind_that_hangs_delays_no_other() {
    let agent = Agent::start().await;
    agent.backend.behave(held(TRACES));
    agent.backend.behave(held(STATS));
    let mut client = agent.client().await;
    for id in 1..=20 {
        assert_eq!(client.exchange(spans([id])).await.status, 200);
        assert_eq!(client.exchange(stats(id, 1)).await.status, 200);
        assert_eq!(client.exchange(post("/profiling/v1/input", *b"p")).await.status, 200);
    }
    // Traces and statistics hang; profiles pass, and whoever sends is answered.
    agent.backend_until(|backend| backend.acknowledged("/api/v2/profile").len() == 20).await;
    assert_eq!((agent.backend.span_count(), agent.backend.stats_hits()), (0, 0));
    agent.backend.release();
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=20);
    assert_eq!(stopped.backend.stats_hits(), 20 + 20 * 10);
}

/// Statistics of a tracer: so many groups of ten hits.
fn stats(seed: u64, groups: usize) -> crate::support::Request {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let bucket = now.as_secs() / 10 * 10_000_000_000;
    let body = rmp_serde::to_vec_named(&client_stats(seed, bucket, groups)).expect("msgpack");
    post("/v0.6/stats", body).header("Datadog-Meta-Lang", "python")
}

#[tokio::test]
async fn statistics_of_tracers_are_passed_on_with_their_buckets_and_merged() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let recent_bucket = now.as_secs() / 10 * 10_000_000_000 - 10_000_000_000;
    for start in [recent_bucket, recent_bucket] {
        let body = rmp_serde::to_vec_named(&client_stats(3, start, 5)).expect("msgpack");
        assert_eq!(client.exchange(post("/v0.6/stats", body)).await.status, 200);
    }
    assert_eq!(agent.book(Signal::Stats).accepted, 10);
    let stopped = agent.stop().await;
    let payloads = stopped.backend.stats();
    assert!(payloads.iter().all(|payload| payload.client_computed), "{payloads:?}");
    let buckets: Vec<_> =
        payloads.iter().flat_map(|payload| &payload.stats).flat_map(|stats| &stats.stats).collect();
    assert_eq!(buckets.len(), 1, "one bucket of both requests");
    // On an odd second next to the tracer's own (never on one that is counted here).
    assert!(
        buckets[0].start.abs_diff(recent_bucket) <= 1_000_000_000,
        "{} {recent_bucket}",
        buckets[0].start
    );
    assert_eq!(buckets[0].duration, 10_000_000_000);
    assert_eq!(buckets[0].stats.len(), 5);
    assert!(buckets[0].stats.iter().all(|group| (group.hits, group.errors) == (20, 2)));
    assert_eq!(stopped.book(Signal::Stats).delivered, 10);
}

#[tokio::test]
async fn a_tracer_that_counts_itself_is_not_counted_twice() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let counted = spans(1..=5).header("Datadog-Client-Computed-Stats", "yes");
    assert_eq!(client.exchange(counted).await.status, 200);
    assert_eq!(client.exchange(spans(6..=8)).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=8);
    assert_eq!(stopped.backend.stats_hits(), 3);
    assert!(stopped.backend.stats().iter().all(|payload: &StatsPayload| !payload.client_computed));
}

async fn dual(second: &Backend) -> Agent {
    let endpoints = serde_json::json!({ second.url(): ["another-key"] }).to_string();
    Setup::new().await.with("DD_APM_ADDITIONAL_ENDPOINTS", &endpoints).start().await
}

#[tokio::test]
async fn an_additional_endpoint_gets_the_same_under_its_own_key() {
    let second = Backend::start().await;
    let agent = dual(&second).await;
    for id in 1..=10 {
        assert_eq!(agent.send(spans([id])).await.status, 200);
    }
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=10);
    assert_eq!(second.missing(1..=10), [] as [u64; 0]);
    assert_eq!((second.duplicates(), second.stats_hits()), (Vec::new(), 10));
    let keys = |backend: &Backend| {
        backend
            .acknowledged(TRACES)
            .iter()
            .map(|r| r.header("dd-api-key").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert!(keys(&second).iter().all(|key| key.as_deref() == Some("another-key")));
    assert!(
        keys(&stopped.backend).iter().all(|key| key.as_deref() == Some("0123456789abcdef0123456789abcdef"))
    );
}

#[tokio::test]
async fn an_additional_endpoint_that_refuses_connections_holds_nothing_up() {
    let second = Backend::start().await;
    second.behave(Behaviour::refuse());
    let agent = dual(&second).await;
    for id in 1..=10 {
        assert_eq!(agent.send(spans([id])).await.status, 200);
    }
    agent.backend_until(|backend| backend.span_count() == 10).await;
    let status =
        agent.status_until(|status| status["endpoints"].to_string().contains("\"last_error\":{")).await;
    let endpoints = status["endpoints"].as_array().expect("endpoints");
    let failed: Vec<_> = endpoints.iter().filter(|endpoint| !endpoint["last_error"].is_null()).collect();
    assert!(
        failed.iter().all(|endpoint| endpoint["main"] == false && endpoint["url"] == second.url()),
        "{failed:?}"
    );
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=10);
    assert_eq!(second.span_count(), 0);
}

#[tokio::test]
async fn an_additional_endpoint_that_hangs_holds_the_main_one_up_not_at_all() {
    let second = Backend::start().await;
    second.behave(held("/"));
    let agent = dual(&second).await;
    for id in 1..=30 {
        assert_eq!(agent.send(spans([id])).await.status, 200);
    }
    agent.backend_until(|backend| backend.span_count() == 30).await;
    second.release();
    agent.stop().await.delivered_once(1..=30);
    assert_eq!(second.span_count(), 30);
}
