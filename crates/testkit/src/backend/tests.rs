use super::*;
use crate::proto::{Span, TraceChunk, TracerPayload};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const BOUND: Duration = Duration::from_secs(20);

fn trace_body(span_ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let spans = span_ids.into_iter().map(|span_id| Span { span_id, ..Span::default() }).collect();
    let chunk = TraceChunk { spans, ..TraceChunk::default() };
    let tracer = TracerPayload { chunks: vec![chunk], ..TracerPayload::default() };
    AgentPayload { tracer_payloads: vec![tracer], ..AgentPayload::default() }.encode_to_vec()
}

/// Everything the backend says until it closes the connection.
async fn post(backend: &Backend, path: &str, body: &[u8]) -> io::Result<String> {
    post_with(backend, path, "", body).await
}

/// The same with further header lines.
pub(super) async fn post_with(
    backend: &Backend,
    path: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<String> {
    request(backend, "POST", path, headers, body).await
}

pub(super) async fn request(
    backend: &Backend,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", backend.port())).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn status(backend: &Backend, body: &[u8]) -> String {
    match post(backend, "/api/v0.2/traces", body).await {
        Ok(answer) => answer.split(' ').nth(1).unwrap_or("closed").to_owned(),
        Err(_) => "closed".to_owned(),
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_remembered_and_the_rest_is_not_counted_as_arrived() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::status(503).times(2).retry_after("1"));
    let refused = post(&backend, "/api/v0.2/traces", &trace_body([1, 2])).await.unwrap();
    assert!(refused.contains("503") && refused.contains("retry-after: 1"), "{refused}");
    assert_eq!(status(&backend, &trace_body([1, 2])).await, "503");
    assert_eq!(status(&backend, &trace_body([1, 2])).await, "202");
    assert_eq!(status(&backend, &trace_body([2, 3])).await, "202");
    backend.wait_until(|backend| backend.span_count() == 4, BOUND).await.unwrap();
    assert_eq!(backend.duplicates(), [2]);
    assert_eq!(backend.missing([1, 2, 3, 4]), [4]);
    let counts = backend.counts();
    assert_eq!((counts.requests, counts.acknowledged, counts.duplicates), (4, 2, 1));
    assert_eq!(counts.paths["/api/v0.2/traces"].statuses, [(202, 2), (503, 2)].into());
    assert_eq!(backend.requests().len(), 4);
    assert_eq!(backend.spans().len(), 4);
}

#[tokio::test]
async fn connections_are_closed_before_the_reply_and_half_way_through_the_body() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::CloseBeforeReply).times(1));
    backend.behave(Behaviour::new(Action::CloseHalfRead).times(1));
    // More than one read takes, so that the second half is still on its way.
    let body = AgentPayload { env: "x".repeat(16_000_000), ..AgentPayload::default() }.encode_to_vec();
    assert_eq!(status(&backend, &body).await, "closed");
    assert_eq!(status(&backend, &body).await, "closed");
    assert_eq!(status(&backend, &trace_body([9])).await, "202");
    assert_eq!(backend.counts().paths["/api/v0.2/traces"].closed, 2);
    assert_eq!(backend.span_count(), 1);
    let requests = backend.requests();
    assert_eq!(requests[0].wire_bytes, body.len());
    assert!(requests[1].wire_bytes < body.len());
}

#[tokio::test]
async fn a_refusing_backend_keeps_its_port_and_comes_back() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::refuse());
    // A request on its way when the listener closes is reset: both look the same to a client.
    while status(&backend, &trace_body([1])).await != "closed" {}
    let refused = TcpStream::connect(("127.0.0.1", backend.port())).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    backend.recover();
    while status(&backend, &trace_body([2])).await != "202" {}
    assert!(backend.missing([2]).is_empty());
}

#[tokio::test]
async fn rules_follow_each_other_in_time() {
    let backend = Backend::start().await;
    let step = Duration::from_millis(20);
    // The first rule that fits decides, so there is no gap between the two.
    backend.behave(Behaviour::status(503).after(2 * step));
    backend.behave(Behaviour::status(500));
    backend.behave(Behaviour::refuse().after(step).period(step));
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("503") {
        seen.push(status(&backend, &trace_body([1])).await);
    }
    seen.dedup();
    // A slow machine may miss the first two and see the end of the refusal late, but never another order.
    let ranks: Vec<_> =
        seen.iter().map(|status| ["500", "closed", "503"].iter().position(|s| s == status)).collect();
    assert!(ranks.is_sorted() && !ranks.contains(&None), "{seen:?}");
    assert_eq!(backend.span_count(), 0);
}

#[tokio::test]
async fn a_rule_holds_only_for_its_path() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::status(500).on("/api/v0.2/stats"));
    assert_eq!(status(&backend, &trace_body([1])).await, "202");
    let stats = post(&backend, "/api/v0.2/stats", b"\x80").await.unwrap();
    assert!(stats.contains("500"), "{stats}");
    assert!(backend.stats().is_empty());
}

#[tokio::test]
async fn a_held_request_is_acknowledged_when_it_is_released() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::new(Action::Hold));
    let body = trace_body([1]);
    let (answer, ()) = tokio::join!(status(&backend, &body), async {
        backend.shared.changes().changed().await.unwrap();
        assert_eq!(backend.span_count(), 0);
        backend.release();
    });
    assert_eq!(answer, "202");
}

#[tokio::test]
async fn counts_are_the_same_when_bodies_are_only_counted() {
    let backend = Backend::start_with(Options { keep: Keep::Counts, ..Options::default() }).unwrap();
    assert_eq!(status(&backend, &trace_body([1, 2, 3])).await, "202");
    assert_eq!(status(&backend, b"\xff").await, "202");
    let counts = backend.counts();
    assert_eq!((counts.spans, counts.requests, counts.undecodable), (3, 2, 1));
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn scripts_steer_it_and_read_what_it_got() {
    let backend = Backend::start().await;
    let rule = br#"{"action": {"status": 429}, "path": "/api", "times": 1, "retry_after": "2"}"#;
    assert!(post(&backend, "/_control/behave", rule).await.unwrap().contains("200 OK"));
    assert!(post(&backend, "/_control/behave", b"{\"action\": 1}").await.unwrap().contains("400"));
    assert_eq!(status(&backend, &trace_body([5])).await, "429");
    assert_eq!(status(&backend, &trace_body([5])).await, "202");
    assert!(post(&backend, "/_control/wait", b"{\"spans\": 1}").await.unwrap().contains("200 OK"));
    let late = post(&backend, "/_control/wait", b"{\"spans\": 2, \"timeout_ms\": 1}").await.unwrap();
    assert!(late.contains("408"), "{late}");
    let dump = backend.dump();
    assert_eq!(dump["spans"][0]["span_id"], 5);
    assert_eq!(dump["requests"][0]["answer"]["status"], 429);
    assert!(post(&backend, "/_control/reset", b"").await.unwrap().contains("200 OK"));
    assert_eq!(backend.counts(), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded_by_real_time_on_a_paused_clock_too() {
    let backend = Backend::start().await;
    let error = backend.wait_until(|_| false, Duration::from_millis(1)).await.unwrap_err();
    assert!(error.contains("not within"), "{error}");
}
