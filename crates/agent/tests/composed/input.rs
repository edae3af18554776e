//! Bad input: answered, bounded, counted; what is good beside it arrives.

use crate::support::{Agent, Request, Setup, get, post, recent, spans};
use lastlight_agent::config::Config;
use model::{Signal, Why};
use testkit::payload::{Expected, hostile, v04};

#[tokio::test]
async fn the_whole_hostile_set_is_answered_and_costs_nothing() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut delivered = 0;
    for case in hostile(7) {
        let accepted = agent.book(Signal::Traces);
        let answer = client.exchange(post(case.format.path(), case.body.clone())).await;
        let name = format!("{} to {}: {answer:?}", case.name, case.format.path());
        let now = agent.book(Signal::Traces);
        match case.expected {
            Expected::Refused => {
                assert_eq!(answer.status, 400, "{name}");
                assert_eq!(now.accepted, accepted.accepted, "{name}");
            }
            Expected::Delivered(spans) => {
                assert_eq!(answer.status, 200, "{name}");
                let kept = now.accepted
                    - accepted.accepted
                    - (now.dropped(Why::Invalid) - accepted.dropped(Why::Invalid));
                assert_eq!(kept, spans as u64, "{name}");
                delivered += kept;
            }
            Expected::Answered => {
                assert!(matches!(answer.status, 200 | 400), "{name}");
                let invalid = now.dropped(Why::Invalid) - accepted.dropped(Why::Invalid);
                delivered += now.accepted - accepted.accepted - invalid;
            }
        }
        if answer.header("connection") == Some("close") {
            client = agent.client().await;
        }
    }
    agent.backend_until(|backend| backend.span_count() == delivered).await;
    agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    assert_eq!(client.exchange(spans([4_000])).await.status, 200, "still alive");
    let stopped = agent.stop_losing_what_is_invalid().await;
    assert_eq!(stopped.book(Signal::Traces).delivered, delivered + 1);
    assert_eq!(stopped.backend.span_count(), delivered + 1);
}

fn small_bodies(config: &mut Config) {
    config.receiver.body_max_bytes = 100_000;
}

#[tokio::test]
async fn a_declared_length_over_the_bound_is_refused_before_the_body() {
    let agent = Setup::new().await.change(small_bodies).start().await;
    for path in ["/v0.4/traces", "/v0.5/traces", "/v0.7/traces", "/v0.6/stats"] {
        let mut client = agent.client().await;
        // Only the head is sent: the answer does not wait for the rest.
        let request = post(path, vec![0xc0; 100_001]).bytes();
        client.write(&request[..request.len() - 100_001]).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{path}");
        assert!(answer.text().starts_with("payload-too-large"), "{answer:?}");
    }
    agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    agent.stop().await;
}

#[tokio::test]
async fn l24_a_chunked_body_over_the_bound_is_cut_off_while_it_is_read() {
    let agent = Setup::new().await.change(small_bodies).start().await;
    for path in ["/v0.4/traces", "/v0.6/stats"] {
        let mut client = agent.client().await;
        // The body never ends: whoever reads it to its end never answers.
        let endless = post(path, vec![0xc0; 150_000]).chunked_bytes(10_000);
        client.write(&endless[..endless.len() - 5]).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{path}");
    }
    let status = agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    assert_eq!(status["signals"]["traces"]["accepted"], 0);
    agent.stop().await;
}

#[tokio::test]
async fn l24_while_a_chunked_body_is_read_its_room_is_what_has_come() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let body = v04(&[(1..=400)
        .map(|id| {
            let mut span = recent(id);
            span.trace_id = 1;
            span
        })
        .collect::<Vec<_>>()]);
    let bytes = post("/v0.4/traces", body.clone()).chunked_bytes(1_000);
    client.write(&bytes[..bytes.len() - 5]).await;
    // Two bytes of room for each of the body, and nothing for what a client might still send.
    let used = body.len() as u64 * 2;
    agent.status_until(|status| status["memory"]["signals"]["traces"]["used_bytes"] == used).await;
    assert_eq!(agent.book(Signal::Traces).accepted, 0);
    client.write(&bytes[bytes.len() - 5..]).await;
    assert_eq!(client.answer().await.status, 200);
    agent.stop().await.delivered_once(1..=400);
}

#[tokio::test]
async fn a_head_that_is_none_is_refused_and_the_next_connection_served() {
    let agent = Agent::start().await;
    let long = [b"GET /info HTTP/1.1\r\nX-Long: ".as_slice(), &vec![b'a'; 1_000_000], b"\r\n\r\n"].concat();
    let length = |value: &str| {
        format!("POST /v0.4/traces HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n").into_bytes()
    };
    let both =
        b"POST /v0.4/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx".to_vec();
    for head in [
        b"\x16\x03\x01 not http\r\n\r\n".to_vec(),
        length("-1"),
        length("x"),
        length("99999999999999999999"),
        both,
        long,
    ] {
        let mut client = agent.client().await;
        client.write(&head).await;
        let answer = client.try_answer().await.expect("an answer");
        assert!(matches!(answer.status, 400 | 413 | 431), "{answer:?}");
        assert!(client.try_answer().await.is_none(), "closed");
    }
    // Only a number beyond all bounds is a number, and too large.
    let mut client = agent.client().await;
    client.write(&length("18446744073709551615")).await;
    assert!(client.try_answer().await.is_none_or(|answer| matches!(answer.status, 400 | 413 | 431)));
    let refused = agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    assert!(refused["refused"].as_array().is_some_and(|rows| !rows.is_empty()), "{refused}");
    assert_eq!(agent.send(spans([1])).await.status, 200);
    agent.stop().await.delivered_once([1]);
}

#[tokio::test]
async fn what_is_refused_is_counted_by_route_and_reason() {
    let agent = Agent::start().await;
    let requests: [(Request, &str, &str); 4] = [
        (get("/nowhere"), "unknown", "not_found"),
        (get("/v0.4/traces"), "/v0.4/traces", "method_not_allowed"),
        (get("/v0.5/traces").method("POST"), "/v0.5/traces", "length_required"),
        (post("/v0.6/stats", *b"\xc1"), "/v0.6/stats", "malformed"),
    ];
    for (request, route, reason) in requests {
        agent.send(request).await;
        let status = agent.send(get("/lastlight/status")).await.json();
        let rows = status["refused"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["route"] == route && row["reason"] == reason);
        assert_eq!(row.and_then(|row| row["requests"].as_u64()), Some(1), "{rows:?}");
    }
    agent.stop().await;
}
