//! Requests that are forwarded without being understood (`facts/trace-intake.md` §10).

use crate::support::{Agent, Setup, get, post};
use model::Signal;
use std::sync::Arc;
use testkit::{Action, Backend, Behaviour, Body, Received};

fn only(backend: &Backend, path: &str) -> Arc<Received> {
    let requests = backend.acknowledged(path);
    assert_eq!(requests.len(), 1, "{path}: {:?}", backend.counts().paths);
    Arc::clone(&requests[0])
}

fn body(received: &Received) -> &[u8] {
    match &received.body {
        Body::Other(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

const QUEUED: [(&str, &str); 6] = [
    ("/profiling/v1/input", "/api/v2/profile"),
    ("/v0.1/pipeline_stats", "/api/v0.1/pipeline_stats"),
    ("/telemetry/proxy/api/v2/apmtelemetry", "/api/v2/apmtelemetry"),
    ("/debugger/v1/input", "/api/v2/logs"),
    ("/debugger/v2/input", "/api/v2/debugger"),
    ("/symdb/v1/input", "/api/v2/debugger"),
];

#[tokio::test]
async fn a_queued_request_arrives_whole_with_the_key_and_without_the_hop() {
    for (path, target) in QUEUED {
        let agent = Agent::start().await;
        let request = post(path, vec![0xff, 0x00, 0x0a, 0x7f])
            .header("Content-Type", "multipart/form-data; boundary=b")
            .header("X-Own", "kept")
            .header("DD-API-KEY", "the client's")
            .header("Connection", "keep-alive");
        assert!(matches!(agent.send(request).await.status, 200 | 202), "{path}");
        let stopped = agent.stop().await;
        assert_eq!(stopped.book(Signal::Proxied).delivered, 1);
        let received = only(&stopped.backend, target);
        assert_eq!(body(&received), [0xff, 0x00, 0x0a, 0x7f]);
        assert_eq!(received.method, http::Method::POST);
        assert_eq!(received.header("dd-api-key"), Some("0123456789abcdef0123456789abcdef"), "{path}");
        assert_eq!(received.headers.get_all("dd-api-key").iter().count(), 1, "{path}");
        assert_eq!(received.header("content-type"), Some("multipart/form-data; boundary=b"));
        assert_eq!((received.header("x-own"), received.header("connection")), (Some("kept"), None));
        assert!(received.header("via").is_some_and(|via| via.starts_with("trace-agent ")), "{path}");
        assert_eq!(received.header("user-agent"), Some(""), "an absent one is not replaced by ours");
    }
}

#[tokio::test]
async fn a_queued_request_is_retried_booked_and_drained_at_the_stop() {
    for (path, target) in QUEUED {
        let agent = Agent::start().await;
        agent.backend.behave(Behaviour::status(503).on(target).times(2));
        agent.backend.behave(Behaviour::new(Action::CloseBeforeReply).on(target).times(1));
        for _ in 0..5 {
            assert!(matches!(agent.send(post(path, *b"x")).await.status, 200 | 202));
        }
        assert_eq!(agent.book(Signal::Proxied).accepted, 5);
        let stopped = agent.stop().await;
        assert_eq!(stopped.book(Signal::Proxied).delivered, 5, "{path}");
        assert_eq!(stopped.backend.acknowledged(target).len(), 5, "{path}");
    }
}

#[tokio::test]
async fn profiles_and_data_streams_carry_our_tags_after_the_clients() {
    for (path, target) in &QUEUED[..2] {
        let agent = Setup::new().await.with("DD_TAGS", "team:night,room:7").start().await;
        let request = post(path, *b"x").header("X-Datadog-Additional-Tags", "host:there");
        assert_eq!(agent.send(request).await.status, 200);
        let stopped = agent.stop().await;
        let received = only(&stopped.backend, target);
        let tags = received.header("x-datadog-additional-tags").expect("tags");
        assert!(
            tags.starts_with("host:there,") && tags.contains("team:night") && tags.contains("room:7"),
            "{tags}"
        );
    }
}

#[tokio::test]
async fn telemetry_keeps_path_and_query_and_says_who_we_are() {
    let agent = Agent::start().await;
    assert_eq!(agent.send(post("/telemetry/proxy/api/v2/apmtelemetry?x=1&y=2", *b"{}")).await.status, 200);
    let stopped = agent.stop().await;
    let received = only(&stopped.backend, "/api/v2/apmtelemetry");
    assert_eq!(received.query, "x=1&y=2");
    assert_eq!(
        (received.header("dd-agent-hostname"), received.header("dd-agent-env")),
        (Some("here"), Some("test"))
    );
    assert_eq!(received.header("dd-cloud-provider"), None);
}

#[tokio::test]
async fn telemetry_says_on_which_cloud_we_are() {
    let agent = Setup::new()
        .await
        .with("FUNCTIONS_WORKER_RUNTIME", "node")
        .with("FUNCTIONS_EXTENSION_VERSION", "~4")
        .with("WEBSITE_SITE_NAME", "shop")
        .start()
        .await;
    assert_eq!(agent.send(post("/telemetry/proxy/api/v2/apmtelemetry", *b"{}")).await.status, 200);
    let stopped = agent.stop().await;
    let received = only(&stopped.backend, "/api/v2/apmtelemetry");
    assert_eq!(received.header("dd-cloud-provider"), Some("Azure"));
    assert_eq!(received.header("dd-cloud-resource-type"), Some("AzureAppService"));
}

#[tokio::test]
async fn telemetry_that_is_switched_off_is_not_sent() {
    let agent = Setup::new().await.with("DD_APM_TELEMETRY_ENABLED", "false").start().await;
    agent.send(post("/telemetry/proxy/api/v2/apmtelemetry", *b"{}")).await;
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.counts().requests, 0);
}

#[tokio::test]
async fn debugger_uploads_carry_an_id_their_origin_and_their_tags_in_the_query() {
    for (path, target) in &QUEUED[3..] {
        let agent = Setup::new().await.with("DD_TAGS", "team:night").start().await;
        let request =
            post(&format!("{path}?ddtags=a%3Ab"), *b"[]").header("X-Datadog-Additional-Tags", "c:d");
        assert_eq!(agent.send(request).await.status, 202);
        let stopped = agent.stop().await;
        let received = only(&stopped.backend, target);
        assert_eq!(received.header("dd-evp-origin"), Some("agent-debugger"));
        assert_eq!(received.header("dd-request-id").map(str::len), Some(36));
        assert!(
            received.query.starts_with("ddtags=") && received.query.ends_with("c%3Ad%2Ca%3Ab"),
            "{}",
            received.query
        );
        assert!(received.query.contains("team%3Anight"), "{}", received.query);
    }
}

fn event(path: &str) -> crate::support::Request {
    post(path, *b"event").header("X-Datadog-EVP-Subdomain", "citestcycle-intake")
}

#[tokio::test]
async fn an_event_is_passed_through_and_the_backends_answer_is_the_clients() {
    let agent = Agent::start().await;
    for status in [200, 202, 400, 429, 500, 503] {
        agent.backend.behave(Behaviour::status(status).retry_after("7").times(1));
        let answer = agent.send(event("/evp_proxy/v2/api/v2/citestcycle?a=b")).await;
        assert_eq!((answer.status, answer.text()), (status, "{}"));
        assert_eq!(
            (answer.header("content-type"), answer.header("retry-after")),
            (Some("application/json"), Some("7"))
        );
    }
    // A question is asked once: the client decides whether to ask again.
    assert_eq!(agent.backend.counts().paths["/api/v2/citestcycle"].requests, 6);
    let received = agent.backend.acknowledged("/api/v2/citestcycle");
    assert_eq!((received[0].query.as_str(), body(&received[0])), ("a=b", b"event".as_slice()));
    let stopped = agent.stop().await;
    assert_eq!(stopped.book(Signal::Proxied).accepted, 0);
}

#[tokio::test]
async fn of_an_events_headers_only_those_that_are_allowed_pass() {
    let agent = Agent::start().await;
    let request = event("/evp_proxy/v4/api/v2/llmobs")
        .header("User-Agent", "tracer")
        .header("DD-CI-PROVIDER-NAME", "ci")
        .header("Cookie", "secret")
        .header("X-Own", "1")
        .header("Datadog-Container-ID", "abc");
    assert_eq!(agent.send(request).await.status, 202);
    let received = only(&agent.backend, "/api/v2/llmobs");
    for (name, value) in [
        ("user-agent", Some("tracer")),
        ("dd-ci-provider-name", Some("ci")),
        ("content-type", Some("application/msgpack")),
        ("datadog-container-id", Some("abc")),
        ("x-datadog-hostname", Some("here")),
        ("x-datadog-agentdefaultenv", Some("test")),
        ("dd-api-key", Some("0123456789abcdef0123456789abcdef")),
        ("dd-application-key", None),
        ("cookie", None),
        ("x-own", None),
        ("x-datadog-evp-subdomain", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn an_event_whose_subdomain_path_or_query_could_lead_elsewhere_is_refused() {
    let agent = Agent::start().await;
    let event_to =
        |subdomain: &str| post("/evp_proxy/v2/api", *b"e").header("X-Datadog-EVP-Subdomain", subdomain);
    let bad = [
        post("/evp_proxy/v2/api", *b"e"),
        event_to(""),
        event_to("evil.example/path?"),
        event_to("user@evil"),
        event("/evp_proxy/v2/api/%2e%2e/x"),
        event("/evp_proxy/v2/../x"),
        event("/evp_proxy/v2/api?a=%00"),
        event("/evp_proxy/v2/api;x"),
        event("/evp_proxy/v2/api").header("X-Datadog-NeedsAppKey", "true"),
    ];
    for request in bad {
        let answer = agent.send(request.clone()).await;
        assert_eq!(answer.status, 502, "{request:?}: {answer:?}");
    }
    assert_eq!(agent.backend.counts().requests, 0);
    agent.stop().await;
}

#[tokio::test]
async fn an_event_that_asks_for_the_application_key_gets_it() {
    let agent = Setup::new().await.with("DD_APP_KEY", "application").start().await;
    assert_eq!(
        agent.send(event("/evp_proxy/v2/api").header("X-Datadog-NeedsAppKey", "true")).await.status,
        202
    );
    assert_eq!(only(&agent.backend, "/api").header("dd-application-key"), Some("application"));
    agent.stop().await;
}

#[tokio::test]
async fn events_that_are_switched_off_are_refused() {
    let agent = Setup::new().await.with("DD_EVP_PROXY_CONFIG_ENABLED", "false").start().await;
    assert_eq!(agent.send(event("/evp_proxy/v2/api")).await.status, 405);
    agent.stop().await;
}

#[tokio::test]
async fn a_question_whose_backend_is_away_is_answered_502() {
    let agent = Agent::start().await;
    agent.backend.behave(Behaviour::new(Action::CloseBeforeReply));
    for request in [
        event("/evp_proxy/v2/api"),
        post("/tracer_flare/v1", *b"f"),
        post("/openlineage/api/v1/lineage", *b"{}"),
    ] {
        let answer = agent.send(request).await;
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn lineage_and_flares_carry_their_keys_as_each_wants_it() {
    let agent = Agent::start().await;
    assert_eq!(agent.send(post("/openlineage/api/v1/lineage", *b"{}")).await.status, 202);
    assert_eq!(agent.send(post("/tracer_flare/v1", *b"f")).await.status, 202);
    let requests = agent.backend.requests();
    let [lineage, flare] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(lineage.header("authorization"), Some("Bearer 0123456789abcdef0123456789abcdef"));
    assert_eq!(flare.header("dd-api-key"), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(agent.send(get("/evp_proxy/v1/api")).await.status, 502, "no subdomain, no body");
    agent.stop().await;
}
