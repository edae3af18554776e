//! The other faces of the same agent: the sidecar (`lastlight run` without a command) and `lastlight dev -- command`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{Run, Running, assert_job_logs};
use lastlight_e2e::BOUND;
use lastlight_e2e::agent::INTAKES;
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Write,
    net::{IpAddr, UdpSocket},
    ops::Range,
    path::Path,
};
use testkit::{Backend, payload};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A sidecar that listens. Logs are on by themselves.
async fn sidecar(backend: &Backend, files: &Path) -> Running {
    let run = Run::new(backend).unset("DD_LOGS_ENABLED").words(&["run"]).set("DD_LOG_LEVEL", "info");
    let run = run
        .set("DD_LOGS_CONFIG_BATCH_WAIT", "100ms")
        .set("DD_SERVERLESS_LOG_PATH", files.join("*.log").display().to_string())
        .start(&[]);
    run.says("listening on").await;
    run
}

fn write(to: &mut File, lines: Range<u64>) {
    for number in lines {
        writeln!(to, "{number} line of a file").unwrap();
    }
}

fn append(path: &Path, lines: Range<u64>) {
    write(&mut OpenOptions::new().append(true).create(true).open(path).unwrap(), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_follows_files_over_rotation_and_restart_and_neither_repeats_nor_skips() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("app.log");
    append(&path, 0..100);
    let run = sidecar(&backend, files.path()).await;
    backend.wait_until(|backend| backend.counts().logs >= 100, BOUND).await.unwrap();
    // The old file gets more after it was renamed, as a program that has it open writes it.
    let mut old = OpenOptions::new().append(true).open(&path).unwrap();
    write(&mut old, 100..150);
    std::fs::rename(&path, files.path().join("app.log.1")).unwrap();
    append(&path, 150..200);
    write(&mut old, 200..250);
    backend.wait_until(|backend| backend.counts().logs >= 250, BOUND).await.unwrap();
    append(&path, 250..300);
    write!(OpenOptions::new().append(true).open(&path).unwrap(), "300 line without its end").unwrap();
    run.signal("TERM").await;
    let ended = run.ends().await;
    assert_eq!(ended.code, 0, "{}", ended.tail());
    assert_eq!(ended.without_loss().of("logs").delivered, 301, "{}", ended.tail());
    assert_job_logs(&backend.logs(), 301);
    // While nobody looks.
    append(&path, 0..0);
    writeln!(OpenOptions::new().append(true).open(&path).unwrap()).unwrap();
    append(&path, 301..350);
    let run = sidecar(&backend, files.path()).await;
    backend.wait_until(|backend| backend.counts().logs >= 350, BOUND).await.unwrap();
    run.signal("TERM").await;
    run.ends().await.without_loss();
    assert_job_logs(&backend.logs(), 350);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_wrapped_program_are_followed_beside_its_output() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let pattern = files.path().join("*.log").display().to_string();
    let run = Run::new(&backend).set("DD_SERVERLESS_LOG_PATH", pattern);
    let script = "file=${DD_SERVERLESS_LOG_PATH%/*}/app.log; echo 'to the file' > \"$file\"; echo 'to stdout'; \
        printf 'unfinished' >> \"$file\"; exit 5";
    let ended = run.sh(script).ends().await;
    assert_eq!(ended.code, 5);
    ended.without_loss();
    let messages: BTreeSet<_> = backend.logs().iter().map(|log| log.message.to_string()).collect();
    let wanted = ["to stdout", "to the file", "unfinished"].map(str::to_owned);
    assert_eq!(messages, wanted.into());
    assert_eq!(backend.counts().logs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn l90_a_sidecar_that_is_stopped_at_once_has_read_its_files_to_their_ends() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    append(&files.path().join("one.log"), 0..60_000);
    append(&files.path().join("other.log"), 60_000..100_000);
    let run = sidecar(&backend, files.path()).await;
    run.signal("TERM").await;
    let ended = run.ends().await;
    assert_eq!(ended.without_loss().of("logs").delivered, 100_000, "{}", ended.tail());
    assert_job_logs(&backend.logs(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn l103_a_sidecar_that_is_killed_skips_nothing_when_it_comes_back() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("app.log");
    append(&path, 0..1_000);
    let mut run = sidecar(&backend, files.path()).await;
    backend.wait_until(|backend| backend.counts().logs >= 1_000, BOUND).await.unwrap();
    append(&path, 1_000..2_000);
    run.kill_all().await;
    let run = sidecar(&backend, files.path()).await;
    backend
        .wait_until(|backend| backend.logs().iter().any(|log| log.message.starts_with("1999 ")), BOUND)
        .await
        .unwrap();
    run.signal("TERM").await;
    run.ends().await.without_loss();
    // It may repeat what it had no time to note.
    let numbers: BTreeSet<_> = backend.logs().iter().map(|log| log.message.to_string()).collect();
    assert_eq!(numbers.len(), 2_000);
}

/// An address of this machine that is not loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it only says by which address it would.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_heard_from_other_containers_and_says_that_it_is_one() {
    let Some(address) = own_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let run = sidecar(&backend, files.path()).await;
    let body = payload::v04(&[vec![payload::span(1)]]);
    let mut stream = TcpStream::connect((address, run.port())).await.unwrap();
    let request =
        lastlight_e2e::raw::request("POST", "/v0.4/traces", "content-type: application/msgpack\r\n", &body);
    stream.write_all(&request).await.unwrap();
    let mut answer = String::new();
    timeout(BOUND, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let statsd = UdpSocket::bind((address, 0)).unwrap();
    statsd.send_to(b"side.count:3|c", (address, run.statsd_port())).unwrap();
    run.signal("TERM").await;
    let ended = run.ends().await;
    assert_eq!(ended.code, 0);
    ended.without_loss();
    assert!(backend.missing([1]).is_empty());
    assert_eq!(backend.metrics().total("side.count", &[]), 3.0);
    let span = &backend.spans()[0];
    assert!(span.meta.contains_key("_dd.datadog_sidecar_version"), "{span:?}");
    assert!(!span.meta.contains_key("datadog_init_version"), "{span:?}");
}

/// `lastlight dev` with these words; what is on its standard output.
async fn dev(words: &[&str], script: &str) -> String {
    // The backend is inside.
    let mut run = Run::to("http://127.0.0.1:9");
    for name in INTAKES.into_iter().chain(["DD_API_KEY", "DD_LOGS_CONFIG_LOGS_DD_URL", "DD_LOGS_ENABLED"]) {
        run = run.unset(name);
    }
    let ended = run.words(words).sh(script).ends().await;
    assert_eq!(ended.code, 3, "{}", ended.tail());
    assert!(ended.stderr.contains("to stderr"), "{}", ended.tail());
    String::from_utf8(ended.stdout).unwrap() + &ended.stderr
}

/// A program that sends the span 1 of trace 1 and says a line within it.
const TRACED: &str = "echo 'to stderr' >&2; \
    \"$JOB\" 0 0 1 0 \"$DD_DOGSTATSD_PORT\" \"$DD_APM_RECEIVER_PORT\"; \
    echo '{\"message\":\"paid with a card\",\"level\":\"warn\",\"dd.trace_id\":\"1\",\"dd.span_id\":\"1\"}'; exit 3";

#[tokio::test(flavor = "multi_thread")]
async fn dev_shows_the_logs_of_a_program_beside_its_traces() {
    let shown = dev(&["dev", "--"], TRACED).await;
    let lines: Vec<_> = shown.lines().collect();
    let place =
        |what: &str| lines.iter().position(|line| line.contains(what) && !line.contains("dd.trace_id"));
    let (span, log) = (place("web.request"), place("paid with a card"));
    assert!(span.is_some() && log.is_some(), "{shown}");
    assert!(shown.contains("1 traces, 1 spans") || shown.contains("1 trace, 1 span"), "{shown}");
    assert!(span < log, "below its trace: {shown}");
    // It hangs on the trace, whose block is without an empty line.
    assert!(lines[span.unwrap()..log.unwrap()].iter().all(|line| !line.trim().is_empty()), "{shown}");
}
