//! `POST /v1/input` of the built binary: logs over HTTP on a port of their own, as the mini agent offers it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{Ended, Run, Running};
use lastlight_e2e::{BOUND, agent::memory, raw};
use serde_json::{Value, json};
use std::net::TcpListener;
use testkit::{Action, Backend, Behaviour};

const MIB: u64 = 1024 * 1024;
/// Holds on until it is told to end.
const WAIT: &str = "trap 'exit 0' TERM; echo up >&2; while :; do sleep 60 & wait; done";

/// A program that waits, with a port for logs that is open.
async fn start(run: Run) -> Running {
    let run = run.set("DD_LOG_LEVEL", "info").sh(WAIT);
    run.says("up").await;
    run.says("listening on").await;
    run
}

async fn post(run: &Running, body: &[u8]) -> raw::Answer {
    raw::send(run.logs_port(), &raw::request("POST", "/v1/input", "content-type: application/json\r\n", body))
        .await
}

async fn stop(run: Running) -> Ended {
    run.signal("TERM").await;
    run.ends().await
}

/// Texts of the posted logs at the backend, not of the waiting program.
fn posted(backend: &Backend) -> Vec<String> {
    let logs = backend.logs();
    logs.iter().map(|log| log.message.to_string()).filter(|text| text != "up").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn l59_what_was_taken_just_before_the_stop_arrives_as_it_was_said() {
    let backend = Backend::start().await;
    let run =
        start(Run::new(&backend).set("DD_LOGS_CONFIG_BATCH_WAIT", "60s").set("DD_TAGS", "team:web")).await;
    let entries = json!([
        {"message": "a", "status": "warn", "ddsource": "node", "service": "cart", "hostname": "h", "ddtags": "x:y",
            "timestamp": 1_900_000_000_000_i64, "amount": {"eur": 3}},
        {"message": "b"},
    ]);
    assert_eq!(post(&run, entries.to_string().as_bytes()).await.status, 200);
    assert_eq!(post(&run, json!({"message": "c"}).to_string().as_bytes()).await.status, 200);
    let ended = stop(run).await;
    ended.without_loss();
    assert_eq!(posted(&backend), ["a", "b", "c"]);
    let logs = backend.logs();
    let log = |text: &str| logs.iter().find(|log| log.message == text).unwrap();
    let a = log("a");
    assert_eq!((&*a.status, &*a.ddsource, &*a.service, &*a.hostname), ("warn", "node", "cart", "h"));
    assert_eq!((a.timestamp, &a.attributes["amount"]), (1_900_000_000_000, &json!({"eur": 3})));
    assert!(a.has_tag("x:y") && a.has_tag("team:web"), "{a:?}");
    assert_eq!((&*log("b").status, &*log("b").hostname), ("info", "e2e"));
}

#[tokio::test(flavor = "multi_thread")]
async fn l65_one_bad_entry_costs_itself_and_is_counted() {
    let backend = Backend::start().await;
    let run = start(Run::new(&backend)).await;
    let entries = json!([{"message": "a"}, 17, {"no": "message"}, {"message": "b", "ddtags": {"x": 1}}, {"message": "c"}]);
    assert_eq!(post(&run, entries.to_string().as_bytes()).await.status, 200);
    let status = raw::send(run.port(), &raw::request("GET", "/lastlight/status", "", b"")).await;
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["logs"]["bad_entries"], 3, "{status}");
    for body in [&b"{\"message\":"[..], b"[{\"message\":\"a\"}", b"17", b""] {
        assert_eq!(post(&run, body).await.status, 400, "{}", String::from_utf8_lossy(body));
    }
    let ended = stop(run).await;
    ended.without_loss();
    assert_eq!(posted(&backend), ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l61_an_entry_longer_than_a_log_may_be_arrives_cut_and_marked() {
    let backend = Backend::start().await;
    let run = start(Run::new(&backend)).await;
    let entries = json!([{"message": "x".repeat(2_000_000), "service": "cart"}, {"message": "short"}]);
    assert_eq!(post(&run, entries.to_string().as_bytes()).await.status, 200);
    let ended = stop(run).await;
    ended.without_loss();
    let posted = posted(&backend);
    assert_eq!(posted.len(), 2);
    assert!(posted[0].ends_with("...TRUNCATED...") && (500_000..1_000_000).contains(&posted[0].len()));
    assert_eq!((&*posted[1], backend.counts().oversized), ("short", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn l64_a_chunked_body_beyond_the_bound_is_refused_while_it_is_read() {
    let backend = Backend::start().await;
    let run = start(Run::new(&backend).set("DD_APM_MAX_PAYLOAD_SIZE", "1MiB")).await;
    let before = memory(run.pid(), "VmHWM");
    // It never ends; the answer comes all the same.
    let mut body = b"POST /v1/input HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..512 {
        body.extend_from_slice(b"10000\r\n");
        body.resize(body.len() + 0x10000, b' ');
        body.extend_from_slice(b"\r\n");
    }
    let answer = raw::send(run.logs_port(), &body).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let grown = memory(run.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes for a bound of one MiB");
    assert_eq!(post(&run, br#"{"message":"after"}"#).await.status, 200);
    stop(run).await.without_loss();
    assert_eq!(posted(&backend), ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l60_memory_is_bounded_while_the_intake_is_away_and_senders_keep_what_finds_no_room() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::status(503).on("/api/v2/logs"));
    let run = Run::new(&backend).set("LASTLIGHT_MEMORY", "36MiB").set("LASTLIGHT_STOP_TIMEOUT", "1s");
    let run = start(run).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut statuses = [0_u64, 0];
    for _ in 0..60 {
        // What compresses badly: 100 logs of 10 kB.
        let text =
            |random: &mut fastrand::Rng| -> String { (0..10_000).map(|_| random.alphanumeric()).collect() };
        let entries: Vec<_> = (0..100).map(|_| json!({"message": text(&mut random)})).collect();
        match post(&run, Value::from(entries).to_string().as_bytes()).await.status {
            200 => statuses[0] += 1,
            429 => statuses[1] += 1,
            other => panic!("{other}"),
        }
    }
    let peak = memory(run.pid(), "VmHWM");
    assert!(peak < 90 * MIB, "{peak}");
    let ended = stop(run).await;
    let logs = ended.books().of("logs").clone();
    assert_eq!(logs.accepted, statuses[0] * 100 + 1, "{}", ended.tail());
    assert_eq!(logs.delivered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn l60_what_the_intake_cannot_take_now_is_sent_again() {
    for status in [408, 429, 500, 503] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(status).on("/api/v2/logs").times(2));
        let run = start(Run::new(&backend)).await;
        assert_eq!(post(&run, br#"[{"message":"a"},{"message":"b"}]"#).await.status, 200);
        stop(run).await.without_loss();
        assert_eq!(posted(&backend), ["a", "b"], "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l62_a_stuck_log_intake_delays_neither_traces_nor_metrics() {
    let backend = Backend::start().await;
    // It refuses once, which is seen, and is stuck from then on.
    backend.behave(Behaviour::status(503).on("/api/v2/logs").times(1));
    backend.behave(Behaviour::new(Action::Hold).on("/api/v2/logs"));
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "1s").set("DD_LOGS_CONFIG_BATCH_WAIT", "10ms");
    let run = start(run).await;
    assert_eq!(post(&run, br#"{"message":"a"}"#).await.status, 200);
    let asked = |backend: &Backend| backend.counts().paths.contains_key("/api/v2/logs");
    backend.wait_until(asked, BOUND).await.unwrap();
    let body = testkit::payload::v04(&[vec![testkit::payload::span(1)]]);
    assert_eq!(raw::post(run.port(), "/v0.4/traces", &body).await.status, 200);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"a.count:1|c", ("127.0.0.1", run.statsd_port())).await.unwrap();
    let both =
        |backend: &Backend| backend.missing([1]).is_empty() && backend.metrics().names().contains(&"a.count");
    backend.wait_until(both, BOUND).await.unwrap();
    stop(run).await.books();
}

#[tokio::test(flavor = "multi_thread")]
async fn l63_a_port_that_is_taken_is_said_and_costs_nothing_else() {
    let backend = Backend::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = start(Run::new(&backend).set("DD_LOGS_PORT", port.to_string())).await;
    // It says which port and which setting, and does not say that it listens there.
    let said = run.said();
    let about: Vec<_> = said.lines().filter(|line| line.contains(&port.to_string())).collect();
    assert!(matches!(about[..], [line] if line.contains("in use")), "{said}");
    let body = testkit::payload::v04(&[vec![testkit::payload::span(1)]]);
    assert_eq!(raw::post(run.port(), "/v0.4/traces", &body).await.status, 200);
    let ended = stop(run).await;
    assert_eq!(ended.without_loss().of("logs").delivered, 1);
    assert!(backend.missing([1]).is_empty());
}
