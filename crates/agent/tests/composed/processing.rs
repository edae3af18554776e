//! What rules and processing do, seen at the backend.

use crate::support::{Agent, Setup, TRACES, post, recent};
use model::{Signal, Why};
use testkit::Body;
use testkit::payload::v04;
use testkit::proto::{Span, TracerPayload};

fn with_resource(id: u64, resource: &str) -> Span {
    Span { resource: resource.into(), ..recent(id) }
}

fn tagged(id: u64, key: &str, value: &str) -> Span {
    let mut span = recent(id);
    span.meta.insert(key.into(), value.into());
    span
}

#[tokio::test]
async fn filters_and_ignored_resources_drop_by_policy_and_the_rest_arrives() {
    let agent = Setup::new()
        .await
        .with("DD_APM_FILTER_TAGS_REJECT", "noisy:true")
        .with("DD_APM_IGNORE_RESOURCES", "GET /health.*")
        .start()
        .await;
    let traces = vec![
        vec![tagged(1, "noisy", "true")],
        vec![with_resource(2, "GET /healthz")],
        vec![recent(3)],
        vec![tagged(4, "noisy", "false")],
    ];
    assert_eq!(agent.send(post("/v0.4/traces", v04(&traces))).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once([3, 4]);
    let book = stopped.book(Signal::Traces);
    assert_eq!((book.accepted, book.delivered), (4, 2));
    assert_eq!((book.dropped(Why::Filtered), book.dropped(Why::Ignored)), (1, 1));
    assert_eq!(stopped.backend.stats_hits(), 2, "what is dropped by a rule is not counted");
}

#[tokio::test]
async fn replacements_and_obfuscation_reach_the_backend_and_no_secret_does() {
    let agent = Setup::new()
        .await
        .with("DD_APM_REPLACE_TAGS", r#"[{"name":"user.mail","pattern":"[^@]+@","repl":"?@"}]"#)
        .with("DD_APM_OBFUSCATION_HTTP_REMOVE_QUERY_STRING", "true")
        .start()
        .await;
    let mut sql = with_resource(1, "SELECT id FROM users WHERE mail = 'joe@example.com' AND pin = 4711");
    sql.r#type = "sql".into();
    let mut redis = with_resource(2, "AUTH joe hunter2");
    redis.r#type = "redis".into();
    redis.meta.insert("redis.raw_command".into(), "AUTH joe hunter2".into());
    let mail = tagged(3, "user.mail", "joe@example.com");
    let card = tagged(4, "payment", "4111 1111 1111 1111");
    let url = tagged(5, "http.url", "https://shop.example/cart?token=hunter2");
    let traces = [sql, redis, mail, card, url].map(|span| vec![span]);
    assert_eq!(agent.send(post("/v0.4/traces", v04(&traces))).await.status, 200);
    let stopped = agent.stop().await;
    let spans = stopped.backend.spans();
    let span = |id: u64| spans.iter().find(|span| span.span_id == id).expect("the span");
    assert_eq!(span(1).resource, "SELECT id FROM users WHERE mail = ? AND pin = ?");
    assert_eq!(span(2).resource, "AUTH");
    assert_eq!(span(2).meta["redis.raw_command"], "AUTH ?");
    assert_eq!(span(3).meta["user.mail"], "?@example.com");
    assert_eq!(span(4).meta["payment"], "?");
    assert!(!span(5).meta["http.url"].contains("token"), "{}", span(5).meta["http.url"]);
    let everything = format!("{spans:?} {:?}", stopped.backend.stats());
    for secret in ["hunter2", "joe@", "4711", "4111"] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn what_the_tracer_says_of_itself_is_in_the_payload() {
    let agent = Agent::start().await;
    let request = post("/v0.4/traces", v04(&[vec![recent(1)]]))
        .header("Datadog-Meta-Lang", "python")
        .header("Datadog-Meta-Lang-Version", "3.13.1")
        .header("Datadog-Meta-Tracer-Version", "4.16.0")
        .header("Datadog-Container-ID", "abcdef");
    assert_eq!(agent.send(request).await.status, 200);
    let stopped = agent.stop().await;
    let payloads = stopped.backend.traces();
    let [payload] = &payloads[..] else { panic!("{payloads:?}") };
    assert_eq!((payload.host_name.as_str(), payload.env.as_str()), ("here", "test"));
    let [TracerPayload { language_name, language_version, tracer_version, container_id, chunks, .. }] =
        &payload.tracer_payloads[..]
    else {
        panic!("{payload:?}")
    };
    let said = [language_name, language_version, tracer_version, container_id].map(String::as_str);
    assert_eq!(said, ["python", "3.13.1", "4.16.0", "abcdef"]);
    assert_eq!((chunks.len(), chunks[0].priority), (1, 1));
    let request = &stopped.backend.acknowledged(TRACES)[0];
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("content-encoding"), Some("zstd"));
}

#[tokio::test]
async fn requests_of_different_tracers_share_a_batch_and_keep_their_names() {
    let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
    for (id, lang) in [(1, "python"), (2, "nodejs")] {
        let request = post("/v0.4/traces", v04(&[vec![recent(id)]])).header("Datadog-Meta-Lang", lang);
        assert_eq!(agent.send(request).await.status, 200);
    }
    let stopped = agent.stop().await;
    let requests = stopped.backend.acknowledged(TRACES);
    let [request] = &requests[..] else { panic!("{requests:?}") };
    let Body::Traces(payload) = &request.body else { panic!("{request:?}") };
    let langs: Vec<_> = payload
        .tracer_payloads
        .iter()
        .map(|payload| (payload.language_name.as_str(), payload.chunks[0].spans[0].span_id))
        .collect();
    assert_eq!(langs, [("python", 1), ("nodejs", 2)]);
}

#[tokio::test]
async fn every_compression_reaches_the_backend_whole() {
    for (compression, encoding) in [("zstd", Some("zstd")), ("gzip", Some("gzip")), ("none", None)] {
        let agent = Setup::new().await.with("LASTLIGHT_COMPRESSION", compression).start().await;
        assert_eq!(agent.send(crate::support::spans(1..=50)).await.status, 200);
        let stopped = agent.stop().await;
        stopped.delivered_once(1..=50);
        assert!(
            stopped.backend.acknowledged(TRACES).iter().all(|r| r.header("content-encoding") == encoding)
        );
    }
}

#[tokio::test]
async fn l9_a_google_function_whose_metadata_nobody_tells_is_tagged_unknown_and_delivered() {
    // A server that is there and is not Google's: it says nothing that counts.
    let metadata = testkit::Backend::start().await;
    let agent = Setup::new()
        .await
        .with("K_SERVICE", "checkout")
        .with("FUNCTION_TARGET", "handler")
        .with("GCE_METADATA_HOST", metadata.url().trim_start_matches("http://"))
        .start()
        .await;
    assert_eq!(agent.send(crate::support::spans(1..=2)).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=2);
    for span in stopped.backend.spans() {
        assert_eq!(span.meta["gcrfx.location"], "unknown");
        assert_eq!(span.meta["gcrfx.project_id"], "unknown");
        assert_eq!(span.meta["gcrfx.resource_name"], "projects/unknown/locations/unknown/functions/checkout");
    }
}

#[tokio::test]
async fn l9_a_request_that_waits_for_metadata_is_answered_when_the_stop_begins() {
    // Its server takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = silent.local_addr().expect("an address").to_string();
    let agent = Setup::new()
        .await
        .with("FUNCTION_NAME", "checkout")
        .with("GCP_PROJECT", "shop")
        .with("GCE_METADATA_HOST", &host)
        .start()
        .await;
    let mut client = agent.client().await;
    client.write(&crate::support::spans([1]).bytes()).await;
    let (stopped, answer) = tokio::join!(agent.stop(), client.answer());
    assert_eq!(answer.status, 200);
    stopped.delivered_once([1]);
    let span = &stopped.backend.spans()[0];
    assert_eq!(
        (span.meta["gcrfx.location"].as_str(), span.meta["gcrfx.project_id"].as_str()),
        ("unknown", "shop")
    );
}
