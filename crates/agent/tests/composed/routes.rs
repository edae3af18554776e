//! What each route answers (`facts/trace-intake.md` §1, §2.2, §3.4).

use crate::support::{Agent, Answer, Client, Request, get, post, recent, spans, traces};
use model::Signal;
use testkit::payload::{v04, v04_json, v05, v07};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const RATES: &str = r#"{"rate_by_service":{"service:,env:":1.0}}"#;

struct Case {
    request: Request,
    status: u16,
    kind: &'static str,
    body: Option<&'static str>,
    spans: u64,
}

fn case(request: Request, status: u16, kind: &'static str, body: impl Into<Option<&'static str>>) -> Case {
    Case { request, status, kind, body: body.into(), spans: 0 }
}

fn traced(request: Request, kind: &'static str, body: impl Into<Option<&'static str>>) -> Case {
    Case { spans: 1, ..case(request, 200, kind, body) }
}

fn cases() -> Vec<Case> {
    let json =
        |path: &str, id: u64| post(path, v04_json(&traces([id]))).header("Content-Type", "application/json");
    let mut cases = vec![
        traced(json("/v0.2/traces", 1), TEXT, "OK\n"),
        traced(post("/v0.3/traces", v04(&traces([2]))), TEXT, "OK\n"),
        traced(json("/v0.3/traces", 3), TEXT, "OK\n"),
        traced(post("/v0.4/traces", v04(&traces([4]))), JSON, None),
        traced(post("/v0.4/traces", v04(&traces([5]))).method("PUT"), JSON, None),
        traced(json("/v0.4/traces", 6), JSON, None),
        traced(post("/v0.5/traces", v05(&traces([7]))), JSON, None),
        traced(post("/v0.7/traces", v07(&traces([8]))), JSON, None),
        traced(post("/v0.4/traces/", v04(&traces([9]))), JSON, None),
        case(post("/v0.4/traces", [0x90]), 200, JSON, None),
        case(post("/v0.6/stats", [0x80]), 200, JSON, "{}"),
        case(get("/info"), 200, JSON, None),
        case(get("/v0.7/config"), 200, JSON, "{}"),
        case(post("/v0.7/config", *b"{}"), 200, JSON, "{}"),
        case(get("/lastlight/status"), 200, JSON, None),
        case(get("/lastlight/metrics"), 200, "text/plain; version=0.0.4; charset=utf-8", None),
        case(
            post("/profiling/v1/input", *b"p"),
            200,
            JSON,
            r#"{"message":"Successfully buffered profiling request to be flushed"}"#,
        ),
        case(
            post("/v0.1/pipeline_stats", *b"p"),
            200,
            JSON,
            r#"{"message":"Successfully buffered data streams request to be flushed"}"#,
        ),
        case(post("/telemetry/proxy/api/v2/apmtelemetry", *b"{}"), 200, JSON, "{}"),
        case(post("/debugger/v1/input", *b"[]"), 202, JSON, "{}"),
        case(post("/debugger/v1/diagnostics", *b"[]"), 202, JSON, "{}"),
        case(post("/debugger/v2/input", *b"[]"), 202, JSON, "{}"),
        case(post("/symdb/v1/input", *b"[]"), 202, JSON, "{}"),
        case(post("/tracer_flare/v1", *b"f"), 202, JSON, "{}"),
        case(post("/openlineage/api/v1/lineage", *b"{}"), 202, JSON, "{}"),
        case(
            post("/evp_proxy/v2/api/v2/llmobs", *b"{}").header("X-Datadog-EVP-Subdomain", "llmobs-intake"),
            202,
            JSON,
            "{}",
        ),
        // What is wrong.
        case(get("/"), 404, TEXT, None),
        case(get("/v1.0/traces"), 404, TEXT, None),
        case(get("/evp_proxy/v5/x"), 404, TEXT, None),
        case(get("/v0.4/traces"), 405, TEXT, None),
        case(get("/v0.6/stats"), 405, TEXT, None),
        case(post("/v0.5/traces", *b"x").method("DELETE"), 405, TEXT, None),
        case(get("/v0.4/traces").method("POST"), 411, TEXT, None),
        case(get("/v0.6/stats").method("PUT"), 411, TEXT, None),
        case(get("/profiling/v1/input").method("POST"), 411, TEXT, None),
        case(post("/v0.4/traces", []).header("Sec-Fetch-Site", "cross-site"), 403, TEXT, None),
        case(post("/v0.4/traces", *b"\x91\x91"), 400, TEXT, None),
        case(post("/v0.6/stats", *b"\xc1"), 400, TEXT, None),
    ];
    for path in ["/services", "/v0.1/services", "/v0.2/services", "/v0.3/services", "/v0.4/services"] {
        cases.push(case(post(path, *b"ignored"), 200, TEXT, "OK\n"));
    }
    cases
}

fn check(name: &str, case: &Case, answer: &Answer) {
    let asked = format!("{name}: {:?}: {answer:?}", case.request);
    assert_eq!(answer.status, case.status, "{asked}");
    assert_eq!(answer.header("content-type"), Some(case.kind), "{asked}");
    if let Some(body) = case.body {
        assert_eq!(answer.text(), body, "{asked}");
    }
    if case.status == 405 {
        assert_eq!(answer.header("allow"), Some("PUT, POST"), "{asked}");
    }
}

#[tokio::test]
async fn every_route_answers_as_the_facts_say_on_every_transport() {
    let agent = Agent::start().await;
    let mut accepted = 0;
    for transport in ["tcp", "unix"] {
        for case in cases() {
            let mut client =
                if transport == "tcp" { agent.client().await } else { Client::unix(agent.socket()).await };
            let answer = client.exchange(case.request.clone()).await;
            check(transport, &case, &answer);
            accepted += case.spans;
            assert_eq!(agent.book(Signal::Traces).accepted, accepted, "{:?}", case.request);
        }
    }
    let stopped = agent.stop().await;
    assert_eq!(stopped.book(Signal::Traces).delivered, accepted);
    assert_eq!(stopped.book(Signal::Proxied).delivered, 2 * 7);
}

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    for id in 1..=20 {
        let answer = client.exchange(spans([id])).await;
        assert_eq!((answer.status, answer.text()), (200, RATES));
        assert_eq!(client.exchange(get("/nowhere")).await.status, 404);
    }
    agent.stop().await.delivered_once(1..=20);
}

#[tokio::test]
async fn the_state_header_is_the_digest_of_the_info_document() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let info = client.exchange(get("/info")).await;
    assert_eq!(info.header("datadog-agent-state"), None);
    let digest = ring::digest::digest(&ring::digest::SHA256, &info.body);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for request in [spans([1]), get("/nowhere"), get("/v0.4/traces"), post("/v0.6/stats", [0x80])] {
        let answer = client.exchange(request).await;
        assert_eq!(answer.header("datadog-agent-state"), Some(hex.as_str()), "{answer:?}");
        assert_eq!(answer.header("datadog-agent-version"), info.json()["version"].as_str());
    }
    let document = info.json();
    let endpoints: Vec<_> = document["endpoints"].as_array().expect("endpoints").iter().collect();
    assert!(endpoints.iter().any(|endpoint| *endpoint == "/evp_proxy/v2/"), "{endpoints:?}");
    assert_eq!(document["config"]["receiver_port"], agent.address().port());
    assert_eq!(document["config"]["receiver_socket"], agent.socket().display().to_string());
    assert!(info.text().starts_with("{\n\t\""), "indented with tabs");
    agent.stop().await;
}

#[tokio::test]
async fn a_tracer_that_knows_the_rates_is_not_told_them_again() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let first = client.exchange(spans([1]).header("Datadog-Rates-Payload-Version", "")).await;
    let version = first.header("datadog-rates-payload-version").expect("a version").to_owned();
    assert_eq!(first.text(), RATES);
    let (seconds, count) = version.split_once('-').expect("seconds and a count");
    assert!(i64::from_str_radix(seconds, 16).is_ok() && u64::from_str_radix(count, 16).is_ok(), "{version}");
    let silent = client.exchange(spans([2])).await;
    assert_eq!(silent.header("datadog-rates-payload-version"), None);
    assert_eq!(silent.text(), RATES);
    let stale = client.exchange(spans([3]).header("Datadog-Rates-Payload-Version", "0-0")).await;
    assert_ne!(stale.text(), "{}");
    let current = stale.header("datadog-rates-payload-version").expect("a version").to_owned();
    let known = client.exchange(spans([4]).header("Datadog-Rates-Payload-Version", &current)).await;
    // Rates are evaluated every five seconds: between two requests they may have been.
    if known.header("datadog-rates-payload-version") == Some(current.as_str()) {
        assert_eq!(known.text(), "{}");
    } else {
        assert_ne!(known.text(), "{}");
    }
    agent.stop().await.delivered_once(1..=4);
}

#[tokio::test]
async fn l20_a_body_that_does_not_decode_is_the_senders_error_and_nothing_of_it_is_accepted() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let good = v04(&[vec![recent(1)], vec![recent(2)]]);
    // The last span is cut off: what came before it is not accepted either.
    for path in ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.7/traces", "/v0.6/stats"] {
        let answer = client.exchange(post(path, &good[..good.len() - 1])).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(!answer.body.is_empty());
    }
    assert_eq!(agent.book(Signal::Traces).accepted, 0);
    assert_eq!(agent.book(Signal::Stats).accepted, 0);
    assert_eq!(client.exchange(post("/v0.4/traces", good)).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=2);
    assert_eq!(stopped.book(Signal::Traces).accepted, 2);
}
