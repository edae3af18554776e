//! The stop: what was taken is finished, what cannot be is counted.

use crate::support::{Agent, Client, PATIENCE, STATS, Setup, TRACES, held, post, recent, spans};
use lastlight_agent::{Deadline, Instant};
use lifecycle::End;
use model::{Signal, Why};
use std::time::Duration;
use testkit::Behaviour;

#[tokio::test]
async fn l3_a_stop_right_after_the_answer_delivers_traces_and_statistics() {
    let setup = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s");
    let agent = setup.start().await;
    assert_eq!(agent.send(spans(1..=100)).await.status, 200);
    assert_eq!(agent.backend.counts().requests, 0, "nothing was due before the stop");
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=100);
    assert_eq!(stopped.backend.stats_hits(), 100);
    assert!(stopped.report.ends.iter().all(|stage| stage.end == End::Drained), "{}", stopped.report);
}

/// Clients that have written their requests before a stop begins; the agent may have accepted none of them yet.
async fn written_before_the_stop() {
    const CLIENTS: u64 = 16;
    let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
    let mut clients = Vec::new();
    for id in 1..=CLIENTS {
        let mut client = if id % 2 == 0 { agent.client().await } else { Client::unix(agent.socket()).await };
        client.write(&spans([id]).bytes()).await;
        clients.push(client);
    }
    let answers = async {
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
    };
    let (stopped, ()) = tokio::join!(agent.stop(), answers);
    stopped.delivered_once(1..=CLIENTS);
    assert_eq!(stopped.book(Signal::Traces).accepted, CLIENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_serves_what_the_kernel_had_taken() {
    for _ in 0..50 {
        written_before_the_stop().await;
    }
}

#[tokio::test]
async fn a_stop_serves_what_the_kernel_had_taken_also_on_one_thread() {
    for _ in 0..50 {
        written_before_the_stop().await;
    }
}

#[tokio::test]
async fn l91_l110_a_request_under_way_at_the_stop_is_awaited_and_counts() {
    let agent = Setup::new().await.start().await;
    // To the backend: on its way, not answered.
    agent.backend.behave(held(TRACES));
    assert_eq!(agent.send(spans([1])).await.status, 200);
    agent.status_until(|status| in_flight(status, "traces") == 1).await;
    // From a client: half of it is here.
    let request = spans([2]).bytes();
    let (first, rest) = request.split_at(request.len() - 10);
    let mut client = agent.client().await;
    client.write(first).await;
    agent
        .status_until(|status| status["memory"]["signals"]["traces"]["used_bytes"].as_u64() > Some(400))
        .await;
    let (backend, address) = (agent.backend.url(), agent.address());
    let rest = async {
        // Nobody is let in any more: the stop has begun.
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        client.write(rest).await;
        let answer = client.answer().await;
        release(&backend).await;
        answer
    };
    let (stopped, answer) = tokio::join!(agent.stop(), rest);
    assert_eq!(answer.status, 200);
    stopped.delivered_once(1..=2);
}

/// Lets the backend answer, from where the backend itself is not at hand.
async fn release(url: &str) {
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let released = Client::tcp(address).await.exchange(post("/_control/release", [])).await;
    assert_eq!(released.status, 200, "{released:?}");
}

fn in_flight(status: &serde_json::Value, kind: &str) -> u64 {
    let endpoints = status["endpoints"].as_array().expect("endpoints");
    endpoints
        .iter()
        .filter(|endpoint| endpoint["kind"] == kind)
        .filter_map(|endpoint| endpoint["in_flight"].as_u64())
        .sum()
}

#[tokio::test]
async fn l110_a_deadline_that_passes_counts_what_is_left() {
    let agent = Agent::start().await;
    agent.backend.behave(held("/"));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    assert_eq!(agent.send(post("/profiling/v1/input", *b"profile")).await.status, 200);
    let stopped = agent.stop_at(Deadline::at(Instant::now() + Duration::from_millis(200))).await;
    let traces = stopped.book(Signal::Traces);
    assert_eq!((traces.accepted, traces.delivered, traces.dropped(Why::Deadline)), (10, 0, 10));
    let stats = stopped.book(Signal::Stats);
    assert_eq!((stats.accepted, stats.dropped(Why::Deadline)), (1, 1));
    assert_eq!(stopped.book(Signal::Proxied).dropped(Why::Deadline), 1);
    assert_eq!(stopped.report.lost(), 12);
    let line = stopped.report.to_string();
    assert!(line.contains("accepted=10 delivered=0 dropped=10 (deadline=10) held=0 spans"), "{line}");
    assert!(line.contains("stage forward ran out of time"), "{line}");
}

#[tokio::test]
async fn a_deadline_in_the_past_still_accounts_for_everything() {
    let agent = Agent::start().await;
    agent.backend.behave(held("/"));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    let stopped = agent.stop_at(Deadline::at(Instant::now())).await;
    let traces = stopped.book(Signal::Traces);
    assert_eq!((traces.accepted, traces.dropped(Why::Deadline)), (10, 10));
}

#[tokio::test]
async fn a_second_signal_hurries_the_stop() {
    let agent = Agent::start().await;
    agent.backend.behave(held("/"));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    // Without the second signal this would take an hour.
    let deadline = Deadline::at(Instant::now() + Duration::from_secs(3_600));
    let stop = tokio::time::timeout(PATIENCE, agent.stop_at(deadline.clone()));
    let second = async {
        tokio::task::yield_now().await;
        deadline.hurry(Instant::now());
    };
    let (stopped, ()) = tokio::join!(stop, second);
    assert_eq!(stopped.expect("hurried").book(Signal::Traces).dropped(Why::Deadline), 10);
}

#[tokio::test]
async fn a_backend_that_comes_back_during_the_stop_gets_everything() {
    let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
    agent.backend.behave(Behaviour::status(503).times(3));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    agent.stop().await.delivered_once(1..=10);
}

#[tokio::test]
async fn l28_l30_at_the_stop_neither_kind_waits_for_the_other() {
    for (hanging, other) in [(TRACES, STATS), (STATS, TRACES)] {
        let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
        agent.backend.behave(held(hanging));
        assert_eq!(agent.send(spans(1..=3)).await.status, 200);
        let address = agent.backend.url();
        let passed = async {
            let address: std::net::SocketAddr =
                address.trim_start_matches("http://").parse().expect("an address");
            // The other kind arrives while this one hangs; only then is it let go.
            let wanted = if other == STATS { r#"{"hits":3}"# } else { r#"{"spans":3}"# };
            let reached = Client::tcp(address).await.exchange(post("/_control/wait", wanted)).await;
            assert_eq!(reached.status, 200, "{other}");
            release(&format!("http://{address}")).await;
        };
        let (stopped, ()) = tokio::join!(agent.stop(), passed);
        stopped.delivered_once(1..=3);
        assert_eq!(stopped.backend.stats_hits(), 3);
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_stop_up() {
    let agent = Agent::start().await;
    let mut kept = agent.client().await;
    assert_eq!(kept.exchange(spans([1])).await.status, 200);
    let mut silent = Client::unix(agent.socket()).await;
    let stopped = tokio::time::timeout(PATIENCE, agent.stop()).await.expect("an end");
    stopped.delivered_once([1]);
    assert!(kept.try_answer().await.is_none() && silent.try_answer().await.is_none(), "closed");
}

#[tokio::test]
async fn a_span_that_ended_just_now_is_in_the_statistics_of_the_stop() {
    let agent = Agent::start().await;
    let mut failed = recent(7);
    failed.error = 1;
    assert_eq!(agent.send(post("/v0.4/traces", testkit::payload::v04(&[vec![failed]]))).await.status, 200);
    let stopped = agent.stop().await;
    let payloads = stopped.backend.stats();
    let groups: Vec<_> = payloads.iter().flat_map(|payload| payload.groups()).collect();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].hits, groups[0].errors, groups[0].top_level_hits), (1, 1, 1));
    assert_eq!((groups[0].service.as_str(), groups[0].resource.as_str()), ("shop", "GET /"));
}
