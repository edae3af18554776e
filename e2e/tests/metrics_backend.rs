//! A backend that fails in every way, one after the other, while samples come in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::{Start, datagram_socket},
    full, raw,
};
use std::time::Duration;
use testkit::{
    Action, Backend, Behaviour,
    statsd::{self, Kind, Load, Mix, Target, Traffic},
};

/// Samples a second.
const RATE: f64 = 50_000.0;
/// What may be left of the trouble when the agent is told to stop, and what is kept for the rest.
const STOP_TIMEOUT: &str = "30s";

#[tokio::test(flavor = "multi_thread")]
async fn l41_l42_l57_a_bad_backend_loses_no_sample_and_gets_none_twice() {
    // 20 s of it when asked for, else 3 s.
    let seconds = if full() { 20 } else { 3 };
    let trouble = [
        Behaviour::status(503),
        Behaviour::refuse(),
        Behaviour::new(Action::CloseBeforeReply),
        Behaviour::status(429).retry_after("1"),
        Behaviour::new(Action::CloseHalfRead),
        Behaviour::status(500),
    ];
    let step = Duration::from_secs(seconds) / u32::try_from(trouble.len()).unwrap();
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let start =
        Start::new(&backend).statsd_sockets(folder.path()).set("LASTLIGHT_STOP_TIMEOUT", STOP_TIMEOUT);
    let agent = start.start().await;
    // The trouble begins with the load when buckets are closed meanwhile, else with the stop that closes them.
    let begins = Duration::from_secs(if full() { 0 } else { seconds });
    for (number, behaviour) in (0..).zip(trouble) {
        backend.behave(behaviour.after(begins + step * number).period(step));
    }
    let target = Target::UnixDatagram(datagram_socket(folder.path()));
    let kinds = vec![Kind::Count, Kind::Gauge, Kind::Distribution, Kind::Histogram];
    let mix = Mix { contexts: 2_000, kinds, count_max: 3, ..Mix::default() };
    let mut load = Load::new(target, Duration::from_secs(seconds));
    (load.rate, load.mix) = (Some(RATE), mix.clone());
    let report = tokio::task::spawn_blocking(move || statsd::run(&load)).await.unwrap().unwrap();
    let stopped = agent.stop().await;
    let lines = stopped.lines.join("\n");
    assert_eq!(stopped.without_loss().of("metrics").accepted, report.samples, "{lines}");
    let expected = Traffic::new(&mix).expected(report.datagrams);
    let wrong = expected.differences(&backend.metrics());
    assert!(wrong.is_empty(), "{wrong:?}\n{lines}");
    assert_eq!(backend.metrics().replaced(), 0);
    // As much as a machine with other work lets through.
    assert!(report.samples_per_second > RATE / 2.0, "{report:?}");
    let counts = backend.counts();
    let refused = |path: &str| {
        let path = &counts.paths[path];
        path.closed > 0 || path.statuses.keys().any(|status| *status >= 300)
    };
    assert!(refused("/api/v2/series") || refused("/api/beta/sketches"), "the trouble took place: {counts:?}");
}

/// Neither has a host name, so that only a tag of its own keeps its series apart.
#[tokio::test(flavor = "multi_thread")]
async fn l101_l120_two_instances_of_a_scaled_out_program_add_up() {
    const LINES: &[u8] =
        b"fleet.hits:1|c|#a:1\nfleet.busy:2|g|#a:1\nfleet.time:5|h|#a:1\nfleet.spread:5|d|#a:1\n_sc|fleet.up|0";
    let backend = Backend::start().await;
    let start = || Start::new(&backend).set("DD_HOSTNAME", "none");
    let agents = [start().start().await, start().start().await];
    for (agent, times) in agents.iter().zip([30, 12]) {
        let body = [LINES, b"\n"].concat().repeat(times);
        let request = raw::request("POST", "/dogstatsd/v2/proxy", "", &body);
        assert_eq!(raw::send(agent.port(), &request).await.status, 200);
    }
    // At once, so that what they send is in the same bucket and meets at the backend.
    let [one, other] = agents.map(lastlight_e2e::agent::Agent::stop);
    let (one, other) = tokio::join!(one, other);
    for stopped in [&one, &other] {
        stopped.without_loss();
    }
    backend.wait_until(|backend| backend.checks().len() == 42, BOUND).await.unwrap();
    let metrics = backend.metrics();
    assert_eq!(metrics.total("fleet.hits", &["a:1"]).round(), 42.0);
    assert_eq!(metrics.total("fleet.time.count", &["a:1"]).round(), 42.0);
    assert_eq!(metrics.sketch("fleet.spread", &["a:1"]).count, 42);
    assert_eq!(metrics.contexts("fleet.busy", &["a:1"]).len(), 2);
    // The backend adds distributions up by itself: no series more.
    assert_eq!(metrics.contexts("fleet.spread", &["a:1"]).len(), 1);
    assert!(metrics.merged().all(|merged| merged.context.host.is_empty()));
    assert_eq!(metrics.replaced(), 0);
}
