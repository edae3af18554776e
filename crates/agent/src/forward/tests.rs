//! The sender against an in-memory backend, on a paused clock.

use super::lane::{CONCURRENT_SENDS, PROBE_PATIENCE, STRIKES_MAX};
use super::*;
use crate::room::Budget;
use http::{Request, StatusCode};
use lifecycle::{Deadline, End, Stack, StageEnd};
use model::Book;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MEMORY: usize = 64 * 1024 * 1024;
const MAIN: &str = "https://main.test";
const OTHER: &str = "https://other.test/";

/// What the backend does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16),
    AnswerAfter(u16, Duration),
    RetryAfter(u16, Duration),
    Break,
    Hang,
    Panic,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    host: String,
    path: String,
    key: String,
    body: Bytes,
    acknowledged: bool,
}

type Script = Box<dyn Fn(&Seen, u64) -> Act + Send + Sync>;

struct Scripted {
    script: Script,
    seen: Mutex<Vec<Seen>>,
    active: Mutex<(usize, usize)>,
}

impl Scripted {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.seen().into_iter().filter(|seen| seen.acknowledged).map(|seen| seen.body).collect()
    }

    fn most_active(&self) -> usize {
        self.active.lock().unwrap().1
    }
}

struct Active<'a>(&'a Scripted);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.lock().unwrap().0 -= 1;
    }
}

impl Transport for Scripted {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Reply, String> {
        let text = |value: Option<&HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
        let seen = Seen {
            at: Instant::now(),
            host: request.uri().host().unwrap().to_owned(),
            path: request.uri().path_and_query().unwrap().to_string(),
            key: text(request.headers().get("dd-api-key")),
            body: request.body().clone(),
            acknowledged: false,
        };
        let number = {
            let mut log = self.seen.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let _active = {
            let mut active = self.active.lock().unwrap();
            active.0 += 1;
            active.1 = active.1.max(active.0);
            Active(self)
        };
        let reply = |code: u16, retry_after| Reply {
            status: StatusCode::from_u16(code).unwrap(),
            retry_after,
            detail: String::new(),
        };
        let answer = async {
            match (self.script)(&seen, number as u64) {
                Act::Answer(code) => Ok(reply(code, None)),
                Act::AnswerAfter(code, wait) => {
                    sleep(wait).await;
                    Ok(reply(code, None))
                }
                Act::RetryAfter(code, wait) => Ok(reply(code, Some(wait))),
                Act::Break => Err("connection reset".to_owned()),
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("the test's own panic"),
            }
        };
        let result =
            tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err("timed out".to_owned()));
        if result.as_ref().is_ok_and(|reply| reply.status.is_success()) {
            self.seen.lock().unwrap()[number].acknowledged = true;
        }
        result
    }
}

struct Rig {
    books: Books,
    budget: Budget,
    forwarder: Forwarder,
    backend: Arc<Scripted>,
    stack: Stack,
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint { url: url.to_owned(), api_key: HeaderValue::from_static("key") }
}

fn settings(additional: &[&str]) -> ForwardSettings {
    let additional: Vec<_> = additional.iter().map(|url| endpoint(url)).collect();
    let route = |kind| Route { kind, main: endpoint(MAIN), additional: additional.clone() };
    ForwardSettings {
        memory_bytes: MEMORY,
        routes: vec![route(Kind::Traces), route(Kind::Stats), route(Kind::Profiles)],
    }
}

impl Rig {
    fn new(script: impl Fn(&Seen, u64) -> Act + Send + Sync + 'static) -> Self {
        Self::with(&settings(&[]), script)
    }

    fn with(settings: &ForwardSettings, script: impl Fn(&Seen, u64) -> Act + Send + Sync + 'static) -> Self {
        let backend =
            Arc::new(Scripted { script: Box::new(script), seen: Mutex::default(), active: Mutex::default() });
        let (forwarder, sender) = forwarder(settings, Arc::clone(&backend)).unwrap();
        let mut stack = Stack::default();
        stack.push("forward", NonZeroU32::MIN, |close| sender.run(close));
        Self { books: Books::default(), budget: Budget::new(MEMORY), forwarder, backend, stack }
    }

    fn submit(&self, kind: Kind, body: impl Into<Bytes>, units: u64) {
        let body = body.into();
        self.forwarder.submit(Outgoing {
            target: Target { kind, path: Cow::Borrowed("/intake") },
            headers: Vec::new(),
            room: self.budget.take(kind.signal(), body.len()).unwrap(),
            body,
            receipt: self.books.accept(kind.signal(), units),
        });
    }

    fn traces(&self) -> Book {
        self.books.book(Signal::Traces)
    }

    fn lane(&self, kind: Kind, url: &str) -> EndpointStatus {
        self.forwarder.status().into_iter().find(|lane| lane.kind == kind && lane.url == url).unwrap()
    }

    async fn stop(self, within: Duration) -> (Arc<Scripted>, Books, End, Duration) {
        let start = Instant::now();
        let books = self.books.clone();
        let ends = self.stack.unwind(Deadline::at(start + within), || books.close()).await;
        let [StageEnd { end, .. }] = ends[..] else { panic!("{ends:?}") };
        for signal in Signal::ALL {
            let book = self.books.book(signal);
            assert_eq!((book.held, book.dropped(Why::Forgotten)), (0, 0), "{signal:?}");
        }
        assert_eq!(self.budget.total_used(), 0, "all room is given back");
        (self.backend, self.books, end, start.elapsed())
    }
}

/// Every body once, in any order.
fn assert_each_once(backend: &Scripted, sent: impl IntoIterator<Item = String>) {
    let mut got: Vec<Bytes> = backend.bodies();
    got.sort();
    let mut sent: Vec<Bytes> = sent.into_iter().map(Bytes::from).collect();
    sent.sort();
    assert_eq!(got, sent);
}

#[tokio::test(start_paused = true)]
async fn what_is_submitted_arrives_with_the_key_and_is_settled() {
    let rig = Rig::new(|_, _| Act::Answer(202));
    rig.submit(Kind::Traces, "a", 3);
    sleep(SECOND).await;
    let seen = rig.backend.seen();
    assert_eq!((&*seen[0].host, &*seen[0].path, &*seen[0].key), ("main.test", "/intake", "key"));
    let lane = rig.lane(Kind::Traces, MAIN);
    assert_eq!((lane.requests_delivered, lane.units_delivered, lane.bytes_sent), (1, 3, 1));
    assert_eq!((lane.queued_requests, lane.in_flight, lane.last_error), (0, 0, None));
    let (_, books, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!((books.book(Signal::Traces).delivered, end), (3, End::Drained));
    assert_eq!(took, Duration::ZERO, "an idle forwarder does not delay the stop");
}

#[test]
fn l71_urls_are_joined_by_one_slash() {
    for url in ["https://a.test", "https://a.test/"] {
        assert_eq!(join(url, "/api/v0.2/traces"), "https://a.test/api/v0.2/traces");
        assert_eq!(join(url, "api"), "https://a.test/api");
    }
    assert_eq!(join("https://a.test/pre/", "/x?y=/"), "https://a.test/pre/x?y=/");
    assert_eq!(join("https://a.test/whole", ""), "https://a.test/whole");
    assert_eq!(join("https://a.test/whole", "?ddtags=a%3Ab"), "https://a.test/whole?ddtags=a%3Ab");
}

#[test]
fn a_url_that_is_none_stops_the_start() {
    let transport = || {
        Arc::new(Scripted {
            script: Box::new(|_, _| Act::Hang),
            seen: Mutex::default(),
            active: Mutex::default(),
        })
    };
    for url in ["", "a.test", "ftp://a.test", "https://", "http://a b"] {
        let mut settings = settings(&[]);
        settings.routes[0].main = endpoint(url);
        assert!(forwarder(&settings, transport()).is_err(), "{url:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_endpoints_is_an_outcome() {
    let rig = Rig::new(|_, _| Act::Answer(202));
    rig.submit(Kind::Telemetry, "a", 1);
    assert_eq!(rig.books.book(Signal::Proxied).dropped(Why::Disabled), 1);
    rig.stop(SECOND).await;
}

/// 40 payloads a second for `outage` while the backend does `act`; then it recovers.
async fn outage(act: Act) {
    const LENGTH: Duration = Duration::from_secs(20);
    let start = Instant::now();
    let rig = Rig::new(
        move |seen, _| if seen.at < start + LENGTH { act } else { Act::AnswerAfter(202, SECOND / 100) },
    );
    let mut sent = Vec::new();
    for number in 0..880 {
        sent.push(number.to_string());
        rig.submit(Kind::Traces, number.to_string(), 200);
        sleep(SECOND / 40).await;
    }
    // Two seconds of load after the outage, then four more: the first probe comes within BACKOFF_MAX.
    sleep(4 * SECOND).await;
    let seen = rig.backend.seen();
    let first = seen.iter().find(|seen| seen.acknowledged).expect("recovered").at;
    assert!(first <= start + LENGTH + 4 * SECOND, "{:?}", first - start);
    assert_eq!(rig.traces().held, 0, "the backlog is gone within seconds: {:?}", rig.traces());
    let during = seen.iter().filter(|seen| seen.at < start + LENGTH).count();
    assert!(during < 80, "a failing endpoint is probed, not flooded: {during} requests");
    assert!(rig.backend.most_active() > 1 && rig.backend.most_active() <= CONCURRENT_SENDS + 1);
    let (backend, books, ..) = rig.stop(9 * SECOND).await;
    assert_each_once(&backend, sent);
    let book = books.book(Signal::Traces);
    assert_eq!((book.delivered, book.lost()), (880 * 200, 0));
}

#[tokio::test(start_paused = true)]
async fn l4_l91_twenty_seconds_of_503_lose_nothing() {
    outage(Act::Answer(503)).await;
}

#[tokio::test(start_paused = true)]
async fn l4_twenty_seconds_of_broken_connections_lose_nothing() {
    outage(Act::Break).await;
}

#[tokio::test(start_paused = true)]
async fn l27_twenty_seconds_of_429_lose_nothing() {
    outage(Act::RetryAfter(429, SECOND)).await;
}

#[tokio::test(start_paused = true)]
async fn replies_after_two_seconds_keep_up_with_a_batch_a_second() {
    let rig = Rig::new(|_, _| Act::AnswerAfter(202, 2 * SECOND));
    for number in 0..30 {
        rig.submit(Kind::Traces, number.to_string(), 1);
        sleep(SECOND).await;
        assert_eq!(rig.lane(Kind::Traces, MAIN).queued_requests, 0);
    }
    let (backend, ..) = rig.stop(9 * SECOND).await;
    assert_each_once(&backend, (0..30).map(|number| number.to_string()));
}

#[tokio::test(start_paused = true)]
async fn l6_l28_l30_a_hanging_kind_delays_nobody_else() {
    let start = Instant::now();
    let rig = Rig::new(|seen, _| if seen.body.starts_with(b"trace") { Act::Hang } else { Act::Answer(202) });
    for number in 0..100 {
        rig.submit(Kind::Traces, format!("trace {number}"), 1);
    }
    rig.submit(Kind::Stats, "stats", 1);
    rig.submit(Kind::Profiles, "profile", 1);
    assert_eq!(start.elapsed(), Duration::ZERO, "submitting never waits");
    tokio::task::yield_now().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.backend.bodies(), [&b"stats"[..], b"profile"]);
    assert_eq!(rig.lane(Kind::Traces, MAIN).in_flight, CONCURRENT_SENDS);
    // L28: every attempt ends.
    sleep(ATTEMPT_TIMEOUT).await;
    let lane = rig.lane(Kind::Traces, MAIN);
    assert!(lane.is_failing);
    assert_eq!(lane.last_error.unwrap().message, "timed out");
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn l34_l109_what_the_backend_refuses_is_dropped_once_with_its_reason() {
    for (code, why) in [
        (400, Why::BadRequest),
        (403, Why::Forbidden),
        (404, Why::Refused),
        (413, Why::TooLarge),
        (302, Why::Refused),
    ] {
        let rig = Rig::new(move |_, _| Act::Answer(code));
        rig.submit(Kind::Traces, "a", 7);
        sleep(60 * SECOND).await;
        assert_eq!(rig.traces().dropped(why), 7, "{code}");
        let lane = rig.lane(Kind::Traces, MAIN);
        assert_eq!((lane.requests_sent, &*lane.units_dropped), (1, &[(why, 7)][..]));
        let error = lane.last_error.unwrap();
        assert!(error.message.starts_with(&code.to_string()), "{error:?}");
        assert_eq!(error.age, 60 * SECOND);
        rig.stop(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn l113_retry_after_holds_the_whole_lane_back() {
    let start = Instant::now();
    let rig =
        Rig::new(|_, number| if number == 0 { Act::RetryAfter(429, 5 * SECOND) } else { Act::Answer(202) });
    rig.submit(Kind::Traces, "a", 1);
    sleep(SECOND).await;
    rig.submit(Kind::Traces, "b", 1);
    sleep(9 * SECOND).await;
    let times: Vec<_> = rig.backend.seen().iter().map(|seen| (seen.at - start).as_secs()).collect();
    assert_eq!(times, [0, 5, 5]);
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn l107_l111_a_retried_request_keeps_its_place() {
    let start = Instant::now();
    let rig = Rig::new(move |seen, _| if seen.at < start + SECOND { Act::Break } else { Act::Answer(202) });
    for number in 0..30 {
        rig.submit(Kind::Traces, format!("{number:02}"), 1);
    }
    sleep(20 * SECOND).await;
    let bodies = rig.backend.bodies();
    assert_eq!(bodies.len(), 30);
    // The probe that found the endpoint back is the only one out of order.
    assert!(bodies[1..].is_sorted(), "{bodies:?}");
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn l1_a_request_the_backend_cannot_digest_holds_nobody_up_and_ends() {
    let rig = Rig::new(|seen, _| if seen.body == "poison" { Act::Answer(500) } else { Act::Answer(202) });
    rig.submit(Kind::Traces, "poison", 1);
    for number in 0..1_000 {
        rig.submit(Kind::Traces, number.to_string(), 1);
        sleep(SECOND).await;
        // Alone it looks like an outage, and others wait for a probe, but never longer than that.
        assert!(rig.lane(Kind::Traces, MAIN).queued_requests <= 6, "after {number}");
    }
    let poisoned = rig.backend.seen().iter().filter(|seen| seen.body == "poison").count();
    let most = STRIKES_MAX as usize;
    assert!((most..most + 10).contains(&poisoned), "{poisoned}");
    let book = rig.traces();
    assert_eq!((book.delivered, book.dropped(Why::Refused), book.held), (1_000, 1, 0));
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_sending_costs_that_request_only() {
    let rig = Rig::new(|seen, _| if seen.body == "bad" { Act::Panic } else { Act::Answer(202) });
    rig.submit(Kind::Traces, "bad", 2);
    rig.submit(Kind::Traces, "good", 1);
    sleep(SECOND).await;
    let book = rig.traces();
    assert_eq!((book.delivered, book.dropped(Why::Panicked), book.held), (1, 2, 0));
    assert_eq!(rig.lane(Kind::Traces, MAIN).in_flight, 0);
    let (.., end, _) = rig.stop(SECOND).await;
    assert_eq!(end, End::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_kick_cuts_the_waits_short() {
    let rig =
        Rig::new(|_, number| if number == 0 { Act::RetryAfter(503, 30 * SECOND) } else { Act::Answer(202) });
    rig.submit(Kind::Traces, "a", 1);
    sleep(SECOND).await;
    assert_eq!(rig.traces().held, 1);
    rig.forwarder.kick();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.traces().delivered, 1);
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn l92_a_stop_retries_at_once_and_drains_everything() {
    let start = Instant::now();
    let recovery = start + 60 * SECOND;
    let rig = Rig::new(move |seen, _| {
        if seen.at < recovery {
            Act::RetryAfter(503, 25 * SECOND)
        } else {
            Act::AnswerAfter(202, SECOND / 10)
        }
    });
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.push(number.to_string());
        rig.submit(Kind::Traces, number.to_string(), 1);
        rig.submit(Kind::Stats, format!("s{number}"), 1);
        sent.push(format!("s{number}"));
    }
    sleep(61 * SECOND).await;
    assert_eq!(rig.traces().held, 100, "the next probe is due much later");
    let (backend, _, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!(end, End::Drained);
    assert!(took < 2 * SECOND, "{took:?}");
    assert_each_once(&backend, sent);
}

#[tokio::test(start_paused = true)]
async fn l92_a_backend_that_comes_back_before_the_deadline_gets_everything() {
    let start = Instant::now();
    let rig =
        Rig::new(move |seen, _| if seen.at < start + 67 * SECOND { Act::Break } else { Act::Answer(202) });
    for number in 0..50 {
        rig.submit(Kind::Traces, number.to_string(), 1);
    }
    sleep(60 * SECOND).await;
    let (backend, books, end, _) = rig.stop(9 * SECOND).await;
    assert_eq!((end, books.book(Signal::Traces).delivered), (End::Drained, 50));
    assert_each_once(&backend, (0..50).map(|number| number.to_string()));
}

#[tokio::test(start_paused = true)]
async fn l92_l110_what_the_deadline_cuts_off_is_counted() {
    let rig = Rig::new(|seen, _| if seen.body.starts_with(b"hang") { Act::Hang } else { Act::Answer(503) });
    for number in 0..20 {
        rig.submit(Kind::Traces, format!("hang {number}"), 1);
        rig.submit(Kind::Profiles, number.to_string(), 1);
    }
    sleep(SECOND).await;
    let (backend, books, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!(end, End::Overdue);
    assert!(took <= 9 * SECOND + lifecycle::ABANDON_GRACE, "{took:?}");
    assert_eq!(books.book(Signal::Traces).dropped(Why::Deadline), 20);
    assert_eq!(books.book(Signal::Proxied).dropped(Why::Deadline), 20);
    assert!(backend.seen().len() < 1_000, "a failing endpoint is not flooded in the end either");
}

#[tokio::test(start_paused = true)]
async fn l35_l110_a_request_under_way_is_awaited_and_not_sent_twice() {
    let rig = Rig::new(|_, _| Act::AnswerAfter(202, 8 * SECOND));
    rig.submit(Kind::Traces, "a", 1);
    rig.submit(Kind::Profiles, "b", 1);
    sleep(SECOND).await;
    let (backend, _, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!((end, took), (End::Drained, 7 * SECOND));
    assert_eq!(backend.seen().len(), 2);
    assert_each_once(&backend, ["a".to_owned(), "b".to_owned()]);
}

/// A rig whose circuit has opened and whose only probe hangs; 20 requests, of which 17 were never tried.
async fn hanging_probe() -> Rig {
    let start = Instant::now();
    let rig = Rig::new(move |seen, number| match number {
        3 => Act::Hang,
        _ if seen.at < start + SECOND => Act::Break,
        _ => Act::Answer(202),
    });
    for number in 0..3 {
        rig.submit(Kind::Traces, number.to_string(), 1);
    }
    sleep(SECOND).await;
    for number in 3..20 {
        rig.submit(Kind::Traces, number.to_string(), 1);
    }
    sleep(SECOND).await;
    let lane = rig.lane(Kind::Traces, MAIN);
    assert!(lane.is_failing && lane.in_flight == 1, "{lane:?}");
    rig
}

#[tokio::test(start_paused = true)]
async fn one_hanging_probe_does_not_hide_the_recovery() {
    let rig = hanging_probe().await;
    sleep(PROBE_PATIENCE).await;
    assert_eq!(rig.traces().delivered, 19);
    sleep(ATTEMPT_TIMEOUT).await;
    assert_eq!(rig.traces().delivered, 20);
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn one_hanging_probe_does_not_take_the_stop_from_the_others() {
    let (_, books, ..) = hanging_probe().await.stop(9 * SECOND).await;
    let book = books.book(Signal::Traces);
    assert_eq!((book.delivered, book.dropped(Why::Deadline)), (19, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_on_dead_connections_do_not_take_the_stop_from_the_others() {
    let rig = Rig::new(|_, number| if number < 8 { Act::Hang } else { Act::Answer(202) });
    for number in 0..100 {
        rig.submit(Kind::Traces, number.to_string(), 1);
    }
    sleep(SECOND).await;
    assert_eq!(rig.traces().delivered, 0);
    let (_, books, ..) = rig.stop(9 * SECOND).await;
    let book = books.book(Signal::Traces);
    assert_eq!((book.delivered, book.dropped(Why::Deadline)), (92, 8));
}

#[tokio::test(start_paused = true)]
async fn an_additional_endpoint_gets_a_copy_and_its_own_books() {
    let rig = Rig::with(&settings(&[OTHER]), |seen, _| {
        if seen.host == "other.test" { Act::Answer(403) } else { Act::Answer(202) }
    });
    rig.submit(Kind::Traces, "a", 5);
    sleep(SECOND).await;
    let hosts: Vec<_> =
        rig.backend.seen().iter().map(|seen| (seen.host.clone(), seen.path.clone())).collect();
    assert!(hosts.contains(&("other.test".to_owned(), "/intake".to_owned())), "{hosts:?}");
    assert_eq!((rig.traces().delivered, rig.traces().accepted), (5, 5));
    let (signal, book) = rig.lane(Kind::Traces, OTHER).book.unwrap();
    assert_eq!((signal, book.accepted, book.dropped(Why::Forbidden)), (Signal::Traces, 5, 5));
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_additional_endpoint_slows_nothing_and_evicts_its_oldest() {
    let settings = settings(&[OTHER]);
    let rig =
        Rig::with(&settings, |seen, _| if seen.host == "other.test" { Act::Break } else { Act::Answer(202) });
    let megabyte = Bytes::from(vec![0; 1024 * 1024]);
    for _ in 0..100 {
        rig.submit(Kind::Traces, megabyte.clone(), 1);
        rig.submit(Kind::Stats, "s", 1);
        sleep(SECOND / 10).await;
        assert_eq!((rig.traces().held, rig.budget.total_used()), (0, 0));
    }
    let (other, stats) = (rig.lane(Kind::Traces, OTHER), rig.lane(Kind::Stats, OTHER));
    assert!(other.is_failing && other.queued_bytes <= settings.additional_memory_bytes() / 3);
    let book = other.book.unwrap().1;
    assert_eq!(book.held + book.dropped(Why::QueueFull), 100);
    assert_eq!(stats.queued_requests + stats.in_flight, 100, "traces do not evict statistics");
    let forwarder = rig.forwarder.clone();
    let (_, _, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!((end, took), (End::Drained, ADDITIONAL_STOP_GRACE), "it cannot hold the exit");
    for lane in forwarder.status().iter().filter(|lane| !lane.is_main) {
        let book = lane.book.unwrap().1;
        assert_eq!((book.held, book.dropped(Why::Forgotten)), (0, 0), "{lane:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_additional_endpoint_that_takes_things_is_waited_for() {
    let rig = Rig::with(&settings(&[OTHER]), |seen, _| {
        let slow = seen.host == "other.test";
        Act::AnswerAfter(202, if slow { 3 * SECOND / 2 } else { Duration::ZERO })
    });
    for number in 0..64 {
        rig.submit(Kind::Traces, number.to_string(), 1);
    }
    let (backend, _, end, took) = rig.stop(9 * SECOND).await;
    assert_eq!(end, End::Drained);
    assert!(took > 2 * ADDITIONAL_STOP_GRACE, "{took:?}");
    assert_eq!(backend.bodies().len(), 128);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_be_told_to_keep_evicts_its_oldest_and_says_so() {
    for (kind, percent) in [
        (Kind::Stats, STATS_MEMORY_PERCENT),
        (Kind::Series, METRICS_QUEUE_MEMORY_PERCENT),
        (Kind::Sketches, METRICS_QUEUE_MEMORY_PERCENT),
        (Kind::Events, EVENTS_MEMORY_PERCENT),
        (Kind::Checks, EVENTS_MEMORY_PERCENT),
        (Kind::Logs, LOGS_QUEUE_MEMORY_PERCENT),
    ] {
        let routes = vec![Route { kind, main: endpoint(MAIN), additional: Vec::new() }];
        let settings = ForwardSettings { memory_bytes: MEMORY, routes };
        let rig = Rig::with(&settings, |_, _| Act::Break);
        let bound = percent_of(MEMORY, percent);
        let body = Bytes::from(vec![0; bound / 16]);
        for _ in 0..20 {
            // Admission would refuse; what is computed here comes anyway.
            rig.forwarder.submit(Outgoing {
                target: Target { kind, path: Cow::Borrowed("/intake") },
                headers: Vec::new(),
                room: rig.budget.force(kind.signal(), body.len()),
                body: body.clone(),
                receipt: rig.books.accept(kind.signal(), 1),
            });
            sleep(Duration::from_millis(1)).await;
        }
        assert!(rig.lane(kind, MAIN).queued_bytes <= bound, "{}", kind.name());
        let book = rig.books.book(kind.signal());
        assert_eq!(book.dropped(Why::QueueFull) + book.held, 20, "{}", kind.name());
        assert!(book.dropped(Why::QueueFull) >= 4, "{}", kind.name());
        rig.stop(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_takes_exactly_its_room_until_it_is_sent() {
    let rig = Rig::new(|_, number| if number == 0 { Act::Break } else { Act::AnswerAfter(202, SECOND) });
    let body = Bytes::from(vec![0; 1_000]);
    // More was reserved for what the body once was.
    rig.forwarder.submit(Outgoing {
        target: Target { kind: Kind::Traces, path: Cow::Borrowed("/intake") },
        headers: vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))],
        room: rig.budget.take(Signal::Traces, 1_000_000).unwrap(),
        body,
        receipt: rig.books.accept(Signal::Traces, 1),
    });
    let held = 1_000 + "content-type".len() + "text/plain".len() + REQUEST_OVERHEAD_BYTES;
    assert_eq!(rig.budget.total_used(), held);
    sleep(SECOND).await;
    assert_eq!(rig.budget.total_used(), held, "waiting and under way alike");
    sleep(SECOND).await;
    assert_eq!(rig.budget.total_used(), 0);
    rig.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_counted() {
    let rig = Rig::new(|_, _| Act::Answer(202));
    let (forwarder, budget) = (rig.forwarder.clone(), rig.budget.clone());
    let (_, books, ..) = rig.stop(SECOND).await;
    forwarder.submit(Outgoing {
        target: Target { kind: Kind::Traces, path: Cow::Borrowed("/intake") },
        headers: Vec::new(),
        body: Bytes::from_static(b"late"),
        receipt: books.accept(Signal::Traces, 1),
        room: budget.take(Signal::Traces, 4).unwrap(),
    });
    assert_eq!(books.book(Signal::Traces).dropped(Why::Deadline), 1);
    assert_eq!(budget.total_used(), 0);
}

#[test]
fn additional_endpoints_never_take_the_biggest_requests_place() {
    for memory_bytes in [32 << 20, 64 << 20, 1 << 30] {
        for count in 0..20 {
            let urls: Vec<String> = (0..count).map(|number| format!("https://{number}.test")).collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let settings = ForwardSettings { memory_bytes, ..settings(&urls) };
            let additional = settings.additional_memory_bytes();
            assert!(additional <= percent_of(memory_bytes, ADDITIONAL_MEMORY_MAX_PERCENT));
            assert!(memory_bytes - additional > REQUEST_BODY_MAX_BYTES);
            assert_eq!(additional == 0, count == 0);
        }
    }
}
