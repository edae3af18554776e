//! Stops: what was accepted arrives, whoever stops whom and when.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::{Start, binary, free_port, kill, variables},
    clients, full, raw,
};
use testkit::{Action, Backend, Behaviour, payload};

/// Requests before the stop.
const TRACES: &str = "5";

/// Runs of the programs that are stopped right after their last request.
fn runs() -> usize {
    if full() { 100 } else { 6 }
}

/// The platform stops program and agent in the same moment, right after the last answer.
async fn stopped_together(count_in_tracer: bool) {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).start().await;
    let url = agent.url();
    let stats = if count_in_tracer { "true" } else { "false" };
    let variables = [("DD_TRACE_AGENT_URL", url.as_str()), ("DD_TRACE_STATS_COMPUTATION_ENABLED", stats)];
    let mut client = clients::python("python_client.py", &["wait", TRACES], &variables);
    let sent = client.sent().await;
    let (stopped, ()) = tokio::join!(agent.stop(), async {
        kill(client.pid(), "TERM").await;
        client.ends().await;
    });
    let books = stopped.without_loss();
    assert_eq!(books.of("traces").delivered, sent.spans.len() as u64);
    assert_eq!(backend.missing(sent.spans), [0_u64; 0]);
    assert_eq!(backend.duplicates(), [0_u64; 0]);
    if !count_in_tracer {
        assert_eq!(backend.stats_hits(), sent.counted);
    }
}

/// The program started the agent, as a compat layer does, and is stopped alone: its tracer sends while it
/// ends, and the agent ends after it.
async fn parent_stopped(count_in_tracer: bool) {
    let backend = Backend::start().await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let (backend_url, lastlight) = (backend.url(), binary().display().to_string());
    let stats = if count_in_tracer { "true" } else { "false" };
    let settings = variables(&backend_url, port);
    let mut environment: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.extend([
        ("DD_TRACE_AGENT_URL", url.as_str()),
        ("DD_TRACE_STATS_COMPUTATION_ENABLED", stats),
        ("LASTLIGHT_EXIT_WITH_PARENT", "true"),
    ]);
    let mut client = clients::python("python_client.py", &["hold", TRACES, &lastlight], &environment);
    let sent = client.sent().await;
    kill(client.pid(), "TERM").await;
    client.ends().await;
    let arrived = |backend: &Backend| {
        backend.missing(sent.spans.iter().copied()).is_empty() && backend.stats_hits() >= sent.counted
    };
    backend.wait_until(arrived, BOUND).await.unwrap();
    assert_eq!(backend.duplicates(), [0_u64; 0]);
    assert_eq!(backend.stats_hits(), sent.counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_and_its_agent_stopped_right_after_the_last_request_lose_nothing() {
    for run in 0..runs() {
        stopped_together(run % 2 == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_stopped_right_after_its_last_request_loses_nothing_through_the_agent_it_started() {
    for run in 0..runs() {
        parent_stopped(run % 2 == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_parent_is_killed_drains_and_ends() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let start = Start::new(&backend).set("LASTLIGHT_EXIT_WITH_PARENT", "true");
    // `wait` keeps the shell as the parent.
    let shell = start.through_shell(r#""$LASTLIGHT" & echo "agent $!"; wait"#).start().await;
    assert_eq!(
        raw::post(shell.port(), "/v0.4/traces", &payload::v04(&[vec![payload::span(1)]])).await.status,
        200
    );
    kill(shell.pid(), "KILL").await;
    backend.release();
    // The shell's outputs end when the agent, which inherited them, ends.
    let stopped = shell.ends().await;
    let books = stopped.books.as_ref().unwrap_or_else(|| panic!("no last line: {:?}", stopped.lines));
    assert!(books.cause.contains("parent"), "{books:?}");
    assert_eq!((books.of("traces").delivered, books.of("traces").held), (1, 0));
    assert!(backend.missing([1]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_waits_for_the_port_of_an_agent_that_drains() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let first = Start::new(&backend).start().await;
    assert_eq!(
        raw::post(first.port(), "/v0.4/traces", &payload::v04(&[vec![payload::span(1)]])).await.status,
        200
    );
    let port = first.port();
    first.signal("TERM").await;
    let second = Start::new(&backend).port(port).spawn();
    // Only once the second has been started may the first one end.
    backend.release();
    let stopped = first.ends().await;
    assert_eq!(stopped.without_loss().of("traces").delivered, 1);
    second.says("listening on").await;
    assert_eq!(raw::post(port, "/v0.4/traces", &payload::v04(&[vec![payload::span(2)]])).await.status, 200);
    second.stop().await.without_loss();
    assert!(backend.missing([1, 2]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_runs_out_of_time_counts_what_is_left_and_says_so_when_asked() {
    for (strict, code) in [("false", 0), ("true", 75)] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(503));
        let start =
            Start::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "300ms").set("LASTLIGHT_STRICT_EXIT", strict);
        let agent = start.start().await;
        assert_eq!(
            raw::post(agent.port(), "/v0.4/traces", &payload::v04(&[vec![payload::span(1)]])).await.status,
            200
        );
        let stopped = agent.stop().await;
        assert_eq!(stopped.status.code(), Some(code), "{:?}", stopped.lines);
        let books = stopped.books.expect("a last line");
        let traces = books.of("traces");
        assert_eq!((traces.accepted, traces.delivered, traces.held), (1, 0, 0));
        assert_eq!(traces.reasons, [("deadline".to_owned(), 1)].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_hurries() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let agent = Start::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "3600s").start().await;
    assert_eq!(
        raw::post(agent.port(), "/v0.4/traces", &payload::v04(&[vec![payload::span(1)]])).await.status,
        200
    );
    // Each signal is waited for by what it does: two at once are one.
    agent.signal("TERM").await;
    let hurried = async {
        loop {
            let lines = agent.lines();
            if lines.iter().any(|line| line.contains("hurrying")) {
                return;
            }
            agent.signal("TERM").await;
        }
    };
    tokio::time::timeout(BOUND, hurried).await.expect("the second signal is heard");
    let stopped = agent.ends().await;
    let books = stopped.books.expect("a last line");
    assert_eq!(books.of("traces").held, 0);
    assert_eq!(books.of("traces").reasons, [("deadline".to_owned(), 1)].into());
}
