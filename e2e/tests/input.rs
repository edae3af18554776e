//! Bad input over raw sockets: each case has its status, costs bounded memory, and harms no other request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{BOUND, agent::Start, raw};
use testkit::{
    Action, Backend, Behaviour,
    payload::{self, Expected, Format, Mix, Template},
    proto::Span,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const MIB: u64 = 1024 * 1024;

fn good(id: u64) -> Vec<u8> {
    payload::v04(&[vec![payload::span(id)]])
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused_or_repaired_and_cost_nothing() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).start().await;
    let before = agent.memory("VmHWM");
    let mut delivered = 0;
    for case in payload::hostile(7) {
        let answer = raw::post(agent.port(), case.format.path(), &case.body).await;
        let what = format!("{} ({}): {answer:?}", case.name, case.format.path());
        match case.expected {
            Expected::Refused => assert_eq!(answer.status, 400, "{what}"),
            Expected::Answered => assert!([200, 400].contains(&answer.status), "{what}"),
            Expected::Delivered(spans) => {
                assert_eq!(answer.status, 200, "{what}");
                delivered += spans as u64;
            }
        }
    }
    assert_eq!(raw::post(agent.port(), "/v0.4/traces", &good(1)).await.status, 200);
    let grown = agent.memory("VmHWM") - before;
    assert!(grown < 40 * MIB, "{grown} bytes for bodies of a few kilobytes");
    let stopped = agent.stop().await;
    assert_eq!(stopped.status.code(), Some(0));
    let traces = stopped.books.as_ref().expect("a last line").of("traces");
    assert_eq!((traces.held, traces.accepted), (0, traces.delivered + traces.dropped));
    assert_eq!(traces.dropped, traces.reasons.get("invalid").copied().unwrap_or(0), "{traces:?}");
    assert!(traces.delivered > delivered, "{traces:?}");
    assert!(backend.missing([1]).is_empty());
    assert!(stopped.lines.len() < 60, "logged at most once per kind and interval: {:?}", stopped.lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_request_has_its_status() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).set("DD_APM_MAX_PAYLOAD_SIZE", "1MiB").start().await;
    let big = vec![0x90; 2 * 1024 * 1024];
    let declared = b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n".to_vec();
    let mut chunked = b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&big[..0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let cases: [(&str, u16, Vec<u8>); 11] = [
        (
            "malformed",
            400,
            raw::request("POST", "/v0.4/traces", "content-type: application/msgpack\r\n", b"\xc1"),
        ),
        (
            "malformed stats",
            400,
            raw::request("POST", "/v0.6/stats", "content-type: application/msgpack\r\n", b"\xc1"),
        ),
        (
            "a length that is no number",
            400,
            b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n".to_vec(),
        ),
        ("no HTTP at all", 400, b"\x16\x03\x01 hello\r\n\r\n".to_vec()),
        ("no length", 411, b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("a body over the limit", 413, raw::request("POST", "/v0.4/traces", "", &big)),
        ("a declared length over the limit", 413, declared),
        ("a chunked body over the limit, cut off while it is read", 413, chunked),
        ("an unknown path", 404, raw::request("POST", "/v9.9/traces", "", b"")),
        ("an unknown version of a known path", 404, raw::request("POST", "/evp_proxy/v9/x", "", b"")),
        ("a wrong method", 405, raw::request("GET", "/v0.4/traces", "", b"")),
    ];
    for (name, status, bytes) in cases {
        let answer = raw::send(agent.port(), &bytes).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let answer = raw::post(agent.port(), "/v0.4/traces", &good(1)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let books = agent.stop().await;
    assert_eq!(books.without_loss().of("traces").delivered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_are_ended_and_others_served_meanwhile() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).set("DD_APM_RECEIVER_TIMEOUT", "200ms").start().await;
    let mut slow_head = TcpStream::connect(("127.0.0.1", agent.port())).await.unwrap();
    slow_head.write_all(b"POST /v0.4/traces HT").await.unwrap();
    let mut slow_body = TcpStream::connect(("127.0.0.1", agent.port())).await.unwrap();
    slow_body
        .write_all(b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        .await
        .unwrap();
    let mut broken_off = TcpStream::connect(("127.0.0.1", agent.port())).await.unwrap();
    broken_off
        .write_all(b"POST /v0.4/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        .await
        .unwrap();
    broken_off.shutdown().await.unwrap();
    assert_eq!(raw::post(agent.port(), "/v0.4/traces", &good(1)).await.status, 200);
    assert_eq!(raw::read(slow_body).await.expect("an answer").status, 408);
    // Closed, with or without an answer; `read` fails when it stays open.
    drop(raw::read(slow_head).await);
    drop(raw::read(broken_off).await);
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, 1);
}

/// A span of trace 1 with 50 kB of noise.
fn noisy(id: u64, random: &mut fastrand::Rng) -> Span {
    let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(50_000).collect();
    Span { trace_id: 1, meta: [("noise".to_owned(), noise)].into(), ..payload::span(id) }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_the_sender_keeps_its_data() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let agent = Start::new(&backend).set("LASTLIGHT_MEMORY", "40MiB").start().await;
    let (mut accepted, mut random) = (Vec::new(), fastrand::Rng::with_seed(1));
    let refused = loop {
        // 1 MB that does not compress well: held bytes are what is bounded.
        let first = accepted.len() as u64 + 1;
        let spans: Vec<_> = (first..first + 20).map(|id| noisy(id, &mut random)).collect();
        let answer = raw::post(agent.port(), "/v0.4/traces", &payload::v04(&[spans])).await;
        match answer.status {
            200 => accepted.extend(first..first + 20),
            _ => break answer,
        }
        assert!(accepted.len() < 20_000, "1 GB was taken with a bound of 40 MiB");
    };
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let peak = agent.memory("VmHWM");
    assert!(peak < 90 * MIB, "{peak} bytes with a bound of 40 MiB");
    backend.release();
    let all = accepted.len() as u64;
    backend.wait_until(|backend| backend.span_count() >= all, BOUND).await.unwrap();
    assert_eq!(backend.missing(accepted.iter().copied()), [0_u64; 0]);
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, accepted.len() as u64);
    assert_eq!(backend.duplicates(), [0_u64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l1_a_body_between_the_batch_size_and_the_request_limit_is_delivered() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).start().await;
    let mut expected = Vec::new();
    // About 4, 10 and 20 MB; the last one a single trace, larger than any batch.
    for (serial, mix) in [(0, (50, 200)), (1, (125, 200)), (2, (1, 50_000))] {
        let traces = payload::mix(Mix { seed: 1, traces: mix.0, spans: mix.1 });
        let template = Template::new(Format::V04.encode(&traces), mix.0 * mix.1);
        let body = template.request(serial, 1_790_000_000_000_000_000);
        assert!(body.len() > 3_500_000, "{}", body.len());
        assert_eq!(raw::post(agent.port(), "/v0.4/traces", &body).await.status, 200);
        expected.extend(template.span_ids(serial));
    }
    // One span of 5 MB cannot be split.
    let wide = Span {
        meta: [("note".to_owned(), "x".repeat(5_000_000)), ("env".to_owned(), "test".to_owned())].into(),
        ..payload::span(5)
    };
    assert_eq!(raw::post(agent.port(), "/v0.4/traces", &payload::v04(&[vec![wide]])).await.status, 200);
    expected.push(5);
    backend.wait_until(|backend| backend.missing(expected.iter().copied()).is_empty(), BOUND).await.unwrap();
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, expected.len() as u64);
    for request in backend.acknowledged("/api/v0.2/traces") {
        assert!(request.decoded_bytes < 3_300_000, "a batch of {} bytes", request.decoded_bytes);
    }
}
