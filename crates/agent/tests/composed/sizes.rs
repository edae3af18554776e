//! Sizes: what is accepted can be sent, in requests the backend takes, and is bounded in memory.

use crate::support::{Agent, Client, Request, Setup, TRACES, get, held, post, recent};
use model::Signal;
use model::limits::{MEMORY_MIN_BYTES, TRACE_BATCH_MAX_BYTES};
use testkit::Body;
use testkit::payload::{Format, v04, v05};
use testkit::proto::Span;

/// Text that does not compress to nothing.
fn noise(random: &mut fastrand::Rng, length: usize) -> String {
    std::iter::repeat_with(|| random.alphanumeric()).take(length).collect()
}

/// One trace of spans with a tag of a size each.
fn trace(ids: std::ops::Range<u64>, tag_bytes: usize) -> Vec<Span> {
    let mut random = fastrand::Rng::with_seed(ids.start);
    let first = ids.start;
    ids.map(|id| {
        let mut span = recent(id);
        span.trace_id = first;
        span.parent_id = if id == first { 0 } else { first };
        span.meta.insert("noise".into(), noise(&mut random, tag_bytes));
        span
    })
    .collect()
}

fn largest_sent(backend: &testkit::Backend) -> usize {
    backend.acknowledged(TRACES).iter().map(|request| request.decoded_bytes).max().unwrap_or(0)
}

async fn delivered(request: Request, ids: std::ops::Range<u64>) {
    let agent = Agent::start().await;
    assert_eq!(agent.send(request).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once(ids);
    let largest = largest_sent(&stopped.backend);
    assert!(largest > 1_000_000 && largest <= TRACE_BATCH_MAX_BYTES, "{largest}");
}

#[tokio::test]
async fn l1_a_chunk_bigger_than_a_batch_is_split_at_its_spans() {
    for format in [Format::V04, Format::V05, Format::V07] {
        let body = format.encode(&[trace(1..301, 20_000)]);
        assert!(body.len() > 6_000_000);
        delivered(post(format.path(), body), 1..301).await;
    }
}

#[tokio::test]
async fn l1_a_body_of_many_chunks_of_20_mb_is_delivered() {
    let traces: Vec<_> = (0..1_000).map(|number| trace(number * 10 + 1..number * 10 + 11, 2_000)).collect();
    let body = v04(&traces);
    assert!((20_000_000..26_214_400).contains(&body.len()), "{}", body.len());
    delivered(post("/v0.4/traces", body), 1..10_001).await;
}

#[tokio::test]
async fn l1_a_span_bigger_than_a_batch_goes_alone_and_its_neighbours_go() {
    let mut giant = recent(2);
    // Tags are cut to 25,000 bytes; a structured one is not.
    giant.meta_struct.insert("document".into(), vec![7; TRACE_BATCH_MAX_BYTES + 1]);
    let agent = Agent::start().await;
    let body = v04(&[vec![recent(1)], vec![giant], vec![recent(3)]]);
    assert_eq!(agent.send(post("/v0.4/traces", body)).await.status, 200);
    let stopped = agent.stop().await;
    stopped.delivered_once(1..=3);
    let alone = stopped.backend.acknowledged(TRACES).into_iter().any(|request| match &request.body {
        Body::Traces(payload) => payload.spans().map(|span| span.span_id).collect::<Vec<_>>() == [2],
        _ => false,
    });
    assert!(alone);
}

#[tokio::test]
async fn l154_l15_a_batch_is_measured_as_it_is_sent_also_when_the_body_was_smaller() {
    // In v0.5 a string is sent once however many spans carry it; what leaves repeats it.
    let text = "x".repeat(10_000);
    let spans: Vec<_> = (1..=1_200)
        .map(|id| {
            let mut span = recent(id);
            span.trace_id = 1;
            span.meta.insert("same".into(), text.clone());
            span
        })
        .collect();
    for body in [
        v05(std::slice::from_ref(&spans)),
        v05(&spans
            .iter()
            .map(|span| vec![Span { trace_id: span.span_id, ..span.clone() }])
            .collect::<Vec<_>>()),
    ] {
        assert!(body.len() < 150_000);
        let agent = Setup::new().await.with("LASTLIGHT_FLUSH_PERIOD", "60s").start().await;
        assert_eq!(agent.send(post("/v0.5/traces", body)).await.status, 200);
        let stopped = agent.stop().await;
        stopped.delivered_once(1..=1_200);
        let sizes: Vec<_> =
            stopped.backend.acknowledged(TRACES).iter().map(|request| request.decoded_bytes).collect();
        assert!(sizes.iter().all(|size| *size <= TRACE_BATCH_MAX_BYTES), "{sizes:?}");
        assert!((4..=8).contains(&sizes.len()), "12 MB in batches: {sizes:?}");
    }
}

#[tokio::test]
async fn a_small_body_that_means_gigabytes_is_refused_and_takes_no_memory() {
    // 25,000 bytes times 100 tags times 1,000 spans.
    let text = "x".repeat(25_000);
    let mut span = recent(1);
    for tag in 0..100 {
        span.meta.insert(format!("tag{tag}"), text.clone());
    }
    let spans: Vec<_> = (1..=1_000).map(|id| Span { span_id: id, ..recent(id) }).collect();
    let body = bomb(&spans, &span);
    assert!(body.len() < 1_000_000, "{}", body.len());
    let agent = Agent::start().await;
    let answer = agent.send(post("/v0.5/traces", body)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(agent.book(Signal::Traces).accepted, 0);
    agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    agent.stop().await;
}

/// A v0.5 body of these spans with the tags of another.
fn bomb(spans: &[Span], tags: &Span) -> Vec<u8> {
    let mut spans = spans.to_vec();
    for span in &mut spans {
        span.trace_id = 1;
        span.meta.clone_from(&tags.meta);
    }
    v05(&[spans])
}

#[tokio::test]
async fn l114_l117_without_room_the_sender_is_asked_to_come_again_and_loses_nothing() {
    let agent = Setup::new()
        .await
        .with("LASTLIGHT_MEMORY", &MEMORY_MIN_BYTES.to_string())
        .with("LASTLIGHT_COMPRESSION", "none")
        .start()
        .await;
    agent.backend.behave(held(TRACES));
    let bodies: Vec<_> = (0..25_u64)
        .map(|number| post("/v0.4/traces", v04(&[trace(number * 100 + 1..number * 100 + 101, 20_000)])))
        .collect();
    let mut client = agent.client().await;
    let mut refused = Vec::new();
    for body in bodies {
        let answer = client.exchange(body.clone()).await;
        match answer.status {
            200 => {}
            429 => {
                assert_eq!(answer.header("retry-after"), Some("1"));
                refused.push(body);
            }
            _ => panic!("{answer:?}"),
        }
        let status = client.exchange(get("/lastlight/status")).await.json();
        let memory = &status["memory"];
        assert!(memory["used_bytes"].as_u64() <= memory["limit_bytes"].as_u64(), "{memory}");
    }
    // 50 MB were sent to an agent that may hold 32 MiB: it shed, and it lives.
    assert!(refused.len() > 5 && refused.len() < 20, "{}", refused.len());
    let booked = agent.book(Signal::Traces);
    assert_eq!((booked.accepted, booked.lost()), ((25 - refused.len() as u64) * 100, 0));
    agent.backend.release();
    agent.status_until(|status| status["memory"]["signals"]["traces"]["used_bytes"] == 0).await;
    for body in refused {
        while client.exchange(body.clone()).await.status == 429 {}
    }
    agent.stop().await.delivered_once(1..=2_500);
}

#[tokio::test]
async fn l115_when_a_sender_hears_2xx_its_data_is_booked() {
    let agent = Agent::start().await;
    agent.backend.behave(held("/"));
    let mut over_unix = Client::unix(agent.socket()).await;
    let mut client = agent.client().await;
    for number in 1..=20 {
        let client = if number % 2 == 0 { &mut client } else { &mut over_unix };
        let ids = number * 10..number * 10 + 10;
        assert_eq!(client.exchange(post("/v0.4/traces", v04(&[trace(ids, 10)]))).await.status, 200);
        assert_eq!(agent.book(Signal::Traces).accepted, number * 10);
        assert_eq!(client.exchange(post("/profiling/v1/input", *b"p")).await.status, 200);
        assert_eq!(agent.book(Signal::Proxied).accepted, number);
    }
    agent.backend.release();
    agent.stop().await.delivered_once(10..210);
}
