//! What a job under `lastlight run` sent arrives, and a stop loses nothing that there was time for.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{Ended, Run, assert_job_logs, job};
use lastlight_e2e::{BOUND, full};
use std::{process::Stdio, time::Duration};
use testkit::{Action, Backend, Behaviour};
use tokio::task::JoinSet;

/// What the platform gives between SIGTERM and the kill; many times what is asked of a stop, as machines are busy.
const GRACE: Duration = Duration::from_secs(30);
/// What a stop is asked to take at most: enough for a slow answer to what a program says in its last second.
const STOP: Duration = Duration::from_secs(5);
/// Logs, samples and spans of the small job.
const SMALL: (u64, u64, u64) = (1_000, 500, 100);

/// Everything of a job is at the backend, once.
fn assert_arrived(backend: &Backend, (logs, samples, spans): (u64, u64, u64)) {
    assert_job_logs(&backend.logs(), logs);
    assert!(backend.missing(1..=spans).is_empty());
    assert_eq!(backend.duplicates(), [0_u64; 0]);
    let metrics = backend.metrics();
    assert_eq!(metrics.total("job.count", &[]), samples.div_ceil(2) as f64);
    assert_eq!(metrics.sketch("job.value", &[]).count, samples / 2);
    assert_eq!(metrics.replaced_others(), 0);
    assert_eq!(backend.counts().undecodable, 0);
    assert_eq!(backend.counts().oversized, 0);
}

/// What of a job is on the books: samples of our own come on top.
fn assert_accepted(ended: &Ended, backend: &Backend, (logs, samples, spans): (u64, u64, u64)) {
    let books = ended.books();
    assert_eq!(books.of("logs").accepted, logs, "{}", ended.tail());
    assert_eq!(books.of("traces").accepted, spans, "{}", ended.tail());
    assert!(books.of("metrics").accepted >= samples, "{}", ended.tail());
    assert_eq!(books.of("logs").delivered, backend.counts().logs, "{}", ended.tail());
    assert_eq!(books.of("traces").delivered, backend.counts().spans, "{}", ended.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_job_of_two_seconds_arrives_once() {
    for run in 0..if full() { 50 } else { 2 } {
        let backend = Backend::start().await;
        let amounts @ (logs, samples, spans) = (200_000, 50_000, 5_000);
        // As process 1 would have it: the output is read by somebody, who keeps none of it.
        let job = Run::new(&backend).stdout(Stdio::null()).sh(&job(logs, samples, spans, 2));
        let ended = job.ends().await;
        assert_eq!(ended.code, 0, "run {run}: {}", ended.tail());
        ended.without_loss();
        assert_accepted(&ended, &backend, amounts);
        assert_arrived(&backend, amounts);
    }
}

/// Backends that a stop may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Down,
    Slow,
    Refusing,
    HalfClosing,
    Silent,
}

impl Weather {
    const ALL: [Self; 5] = [Self::Down, Self::Slow, Self::Refusing, Self::HalfClosing, Self::Silent];

    fn befalls(self, backend: &Backend) {
        match self {
            Self::Down => backend.behave(Behaviour::refuse()),
            Self::Slow => backend.behave(Behaviour::slow(Duration::from_secs(2))),
            Self::Refusing => backend.behave(Behaviour::status(503)),
            Self::HalfClosing => {
                for request in 0..200 {
                    let closes = [Action::CloseBeforeReply, Action::CloseHalfRead][request / 2 % 2];
                    let action = if request % 2 == 0 { closes } else { Action::Acknowledge };
                    backend.behave(Behaviour::new(action).times(1));
                }
            }
            Self::Silent => backend.behave(Behaviour::new(Action::Hold)),
        }
    }
}

/// A program that is asked to end.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    /// What it does after its job.
    end: &'static str,
    code: i32,
}

/// Waits without an end, and without a word when the signal comes to the whole group.
const WAIT: &str = "while :; do sleep 60 & wait; done";

const ENDS: [Kind; 2] = [
    Kind { name: "ends at once", end: "trap 'exit 7' TERM; echo ready >&2", code: 7 },
    Kind { name: "takes a second", end: "trap 'sleep 1; exit 8' TERM; echo ready >&2", code: 8 },
];

#[tokio::test(flavor = "multi_thread")]
async fn l86_l92_a_stop_under_any_backend_balances_and_ends_in_time_with_the_childs_code() {
    let mut runs = JoinSet::new();
    for weather in Weather::ALL {
        for kind in ENDS {
            runs.spawn(stopped_under(weather, kind));
        }
    }
    let mut wrong = Vec::new();
    while let Some(run) = runs.join_next().await {
        wrong.extend(run.err().map(|error| error.to_string()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn stopped_under(weather: Weather, kind: Kind) {
    let what = format!("{weather:?}, {}", kind.name);
    let backend = Backend::start().await;
    weather.befalls(&backend);
    let (logs, samples, spans) = SMALL;
    let script = format!("{}; {}; {WAIT}", job(logs, samples, spans, 0), kind.end);
    let run = Run::new(&backend)
        .set("LASTLIGHT_STOP_TIMEOUT", format!("{}s", STOP.as_secs()))
        .stdout(Stdio::null());
    let run = run.sh(&script);
    run.says("ready").await;
    run.signal("TERM").await;
    let ended =
        run.ends_within(GRACE).await.unwrap_or_else(|| panic!("{what}: killed at the end of the grace"));
    assert_eq!(ended.code, kind.code, "{what}: {}", ended.tail());
    // `ready` is a log too.
    assert_accepted(&ended, &backend, (logs + 1, samples, spans));
    let books = ended.books();
    assert!(books.seconds <= STOP.as_secs_f64() + 1.0, "{what}: {}", ended.tail());
    match weather {
        Weather::HalfClosing | Weather::Slow => {
            ended.without_loss();
            assert!(backend.missing(1..=spans).is_empty(), "{what}");
            assert_eq!(backend.counts().logs, logs + 1, "{what}");
        }
        Weather::Down | Weather::Refusing | Weather::Silent => {
            assert_eq!((backend.counts().logs, backend.span_count()), (0, 0), "{what}");
            assert_eq!(books.of("traces").reasons.get("deadline"), Some(&spans), "{what}: {}", ended.tail());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l85_the_deadline_of_a_stop_counts_from_sigterm() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let script = format!("{}; trap 'sleep 4; exit 9' TERM; echo ready >&2; {WAIT}", job(10, 10, 10, 0));
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "6s").sh(&script);
    run.says("ready").await;
    run.signal("TERM").await;
    let ended = run.ends_within(GRACE).await.expect("its end within the grace");
    assert_eq!(ended.code, 9);
    // Four of the six seconds are the program's; counted from its end the stop would take all six.
    assert!(ended.books().seconds < 4.5, "{}", ended.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn l85_what_was_held_at_sigterm_is_safe_when_the_program_uses_up_the_grace() {
    let backend = Backend::start().await;
    let (logs, samples, spans) = SMALL;
    let script = format!("{}; trap 'echo no >&2' TERM; echo ready >&2; {WAIT}", job(logs, samples, spans, 0));
    // Nothing is sent for its age.
    let run = Run::new(&backend)
        .set("LASTLIGHT_FLUSH_PERIOD", "60s")
        .set("DD_LOGS_CONFIG_BATCH_WAIT", "60s")
        .stdout(Stdio::null());
    let mut run = run.sh(&script);
    run.says("ready").await;
    run.signal("TERM").await;
    let all = |backend: &Backend| {
        let metrics = backend.metrics();
        backend.counts().logs > logs
            && backend.span_count() == spans
            && metrics.total("job.count", &[]) == samples.div_ceil(2) as f64
            && metrics.sketch("job.value", &[]).count == samples / 2
    };
    backend.wait_until(all, BOUND).await.unwrap();
    // What came of the signal itself follows soon.
    let no = |backend: &Backend| backend.logs().iter().any(|log| log.message == "no");
    backend.wait_until(no, BOUND).await.unwrap();
    run.kill_all().await;
    assert_eq!(backend.duplicates(), [0_u64; 0]);
    assert!(backend.missing(1..=spans).is_empty());
}

/// Lines that a program wrote, of what came through on our own streams, in no order.
fn passed_on(ended: &Ended) -> Vec<String> {
    let streams = [String::from_utf8_lossy(&ended.stdout).into_owned(), ended.stderr.clone()];
    let lines = streams.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with("lastlight "));
    let mut lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stopped_in_its_middle_loses_nothing_of_what_it_wrote_and_was_told_is_taken() {
    for run in 0..if full() { 50 } else { 5 } {
        let backend = Backend::start().await;
        let job = Run::new(&backend)
            .set("DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION", "false")
            .sh(&format!("exec {}", job(50_000, 20_000, 5_000, 4)));
        let wanted = 1_000 + 1_500 * (run % 7);
        backend.wait_until(|backend| backend.counts().logs >= wanted, BOUND).await.unwrap();
        job.signal("TERM").await;
        let ended = job.ends_within(GRACE).await.expect("its end within the grace");
        assert_eq!(ended.code, 143, "{}", ended.tail());
        let books = ended.without_loss();
        let mut logs: Vec<_> = backend.logs().iter().map(|log| log.message.to_string()).collect();
        logs.sort_unstable();
        let passed_on = passed_on(&ended);
        assert!(logs == passed_on, "{} logs of {} lines: {}", logs.len(), passed_on.len(), ended.tail());
        assert!(logs.len() < 50_000, "it was stopped too late to say anything");
        assert_eq!(books.of("logs").delivered, logs.len() as u64);
        assert_eq!(books.of("traces").delivered, backend.span_count());
        // Every payload but the one under way was answered, and so taken whole.
        assert!(backend.missing(1..=backend.span_count()).is_empty(), "{}", ended.tail());
        assert_eq!(backend.duplicates(), [0_u64; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l92_what_a_slow_backend_takes_in_time_is_delivered_and_the_rest_is_counted() {
    let backend = Backend::start().await;
    // Slow for some, and then for longer than there is time.
    let some = 40;
    backend.behave(Behaviour::slow(Duration::from_millis(50)).on("/api/v2/logs").times(some));
    backend.behave(Behaviour::new(Action::Hold).on("/api/v2/logs"));
    let lines = 100_000;
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "2s").stdout(Stdio::null());
    let ended = run.sh(&job(lines, 500, 100, 0)).ends().await;
    assert_accepted(&ended, &backend, (lines, 500, 100));
    let logs = ended.books().of("logs");
    let requests = backend.counts().paths["/api/v2/logs"].statuses[&202];
    assert_eq!(requests, some, "{}", ended.tail());
    assert!(logs.delivered > 0 && logs.reasons.contains_key("deadline"), "{}", ended.tail());
    // The others are not behind them.
    assert_eq!((backend.span_count(), backend.metrics().total("job.count", &[])), (100, 250.0));
    assert!(ended.books().seconds < 3.5, "{}", ended.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_any_time_balances_too() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let (logs, samples, spans) = SMALL;
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "0s").stdout(Stdio::null());
    let ended = run.sh(&job(logs, samples, spans, 0)).ends().await;
    assert_eq!(ended.code, 0);
    assert_accepted(&ended, &backend, SMALL);
    assert_eq!(ended.books().of("logs").reasons.get("deadline"), Some(&logs), "{}", ended.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_request_to_end_hurries_the_stop() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let (logs, samples, spans) = SMALL;
    let script = format!("{}; trap 'exit 7' TERM; echo ready >&2; {WAIT}", job(logs, samples, spans, 0));
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "3600s").stdout(Stdio::null()).sh(&script);
    run.says("ready").await;
    // The first ends the program; those that come while its telemetry is stuck hurry. Two at once are one.
    let pid = run.pid();
    let hurrying = async {
        loop {
            drop(
                tokio::process::Command::new("kill")
                    .args(["-TERM", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status()
                    .await,
            );
        }
    };
    let ended = tokio::select! {
        ended = run.ends_within(GRACE) => ended.expect("its end within the grace"),
        () = hurrying => unreachable!("it never ends"),
    };
    assert_eq!(ended.code, 7, "{}", ended.tail());
    assert_accepted(&ended, &backend, (logs + 1, samples, spans));
}
