//! What a real socket will not do on request, and what real time would take too long for.

use super::*;
use crate::config::source::Fixed;
use model::{Book, Signal};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use testkit::Backend;
use testkit::payload::{span, v04};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far beyond anything a test needs; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const BAD_DESCRIPTOR: i32 = 9;
const NO_DESCRIPTORS: i32 = 24;

async fn agent(backend: &Backend) -> (Running, SocketAddr) {
    let strings = Fixed::new()
        .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .with("DD_APM_DD_URL", &backend.url())
        .with("DD_ENV", "test");
    let mut config = Config::load(&strings).expect("a configuration");
    config.receiver.port = Some(0);
    config.dogstatsd.udp = Vec::new();
    let bound = bind(config).await.expect("a port");
    let address = bound.tcp_address().expect("a port");
    (bound.start(Arc::new(strings)).expect("a start"), address)
}

/// A request of one trace; the answer.
async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, id: u64, headers: &str) -> String {
    let body = v04(&[vec![span(id)]]);
    let length = body.len();
    let head = format!(
        "POST /v0.4/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("written");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

async fn post(address: SocketAddr, id: u64, headers: &str) -> String {
    send(TcpStream::connect(address).await.expect("a connection"), id, headers).await
}

/// Stops, with every book balanced; the traces' one.
async fn stop(running: Running) -> Book {
    let report = running.stop("a test", Deadline::at(Instant::now() + PATIENCE)).await;
    assert_eq!(report.lost(), 0, "{report}");
    assert!(report.books.iter().all(|(_, book)| book.held == 0), "{report}");
    report.books.iter().find(|(signal, _)| *signal == Signal::Traces).expect("traces").1
}

/// A listener that accepts what it is told to.
struct Scripted {
    name: TransportName,
    accepts: VecDeque<io::Result<DuplexStream>>,
}

impl Scripted {
    /// Pushed onto the stack of an agent, with an intake of its own.
    fn push(accepts: Vec<io::Result<DuplexStream>>, running: &mut Running) {
        let name = TransportName { kind: "scripted", address: "here".into() };
        let (to_intake, connections) = server::hand_over();
        running.stack.push("scripted intake", INTAKE_SHARE, |close| server::connections(connections, close));
        let (permits, say) = (Arc::new(Semaphore::new(8)), Arc::default());
        let accepting = Accepting { permits, connections: to_intake, say, linger: Arc::default() };
        let listener = Listener::new(Self { name, accepts: accepts.into() });
        let server = Server::Intake(Arc::clone(&running.intake));
        listener.push("scripted listener", &mut running.stack, server, accepting);
    }
}

impl Transport for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        match self.accepts.pop_front() {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn name(&self) -> &TransportName {
        &self.name
    }
}

#[tokio::test]
async fn l7_a_listener_that_dies_is_named_and_everything_is_drained() {
    let backend = Backend::start().await;
    let (mut running, address) = agent(&backend).await;
    let (client, accepted) = tokio::io::duplex(64 * 1024);
    let dead = io::Error::from_raw_os_error(BAD_DESCRIPTOR);
    Scripted::push(vec![Ok(accepted), Err(dead)], &mut running);
    let died = timeout(PATIENCE, running.died()).await.expect("noticed");
    assert_eq!(died, "scripted listener");
    // Until the stop, the other listener and the connections of the dead one go on.
    post(address, 1, "").await;
    send(client, 2, "").await;
    let book = stop(running).await;
    assert_eq!((book.accepted, book.delivered), (2, 2));
    assert_eq!(backend.missing([1, 2]), [] as [u64; 0]);
}

#[tokio::test]
async fn l10_an_accept_error_that_may_pass_is_survived_and_counted() {
    let backend = Backend::start().await;
    let (mut running, _) = agent(&backend).await;
    let (client, accepted) = tokio::io::duplex(64 * 1024);
    let full = || Err(io::Error::from_raw_os_error(NO_DESCRIPTORS));
    let reset = Err(io::ErrorKind::ConnectionAborted.into());
    Scripted::push(vec![full(), full(), reset, Ok(accepted)], &mut running);
    tokio::select! {
        died = running.died() => panic!("the {died} died"),
        _ = send(client, 1, "") => {}
    }
    assert_eq!(stop(running).await.delivered, 1);
}

/// What the tracers of `shop` are told a while later.
fn rate(running: &Running) -> f64 {
    let later = clock::unix_nanos() + 6_000_000_000;
    running.intake.processor.rates(later).by_service["service:shop,env:test"]
}

/// The sampler counts in buckets of five seconds; two requests belong to the same one.
async fn in_one_bucket<T>(work: impl AsyncFn() -> T) -> T {
    let bucket = || clock::unix_nanos() / 5_000_000_000;
    for _ in 0..10 {
        let before = bucket();
        let done = work().await;
        if bucket() == before {
            return done;
        }
    }
    panic!("ten times over five seconds");
}

#[tokio::test]
async fn l14_what_each_request_says_was_dropped_before_reaches_the_feedback() {
    let backend = Backend::start().await;
    let rate = in_one_bucket(async || {
        let (running, address) = agent(&backend).await;
        // Both requests end up in one batch.
        post(address, 1, "Datadog-Client-Dropped-P0-Traces: 999\r\n").await;
        post(address, 2, "Datadog-Client-Dropped-P0-Traces: 2999\r\n").await;
        let rate = rate(&running);
        stop(running).await;
        rate
    })
    .await;
    // 1,000 and 3,000 traces in five seconds are 800 a second, of which 10 are wanted.
    assert!((rate - 10.0 / 800.0).abs() < 1e-6, "{rate}");
}

#[tokio::test]
async fn load_over_the_target_lowers_the_rates_and_tracers_are_told() {
    let backend = Backend::start().await;
    let (running, address) = agent(&backend).await;
    let before = post(address, 1, "Datadog-Rates-Payload-Version: 0-0\r\n").await;
    assert!(before.ends_with(r#"{"rate_by_service":{"service:,env:":1.0}}"#), "{before}");
    post(address, 2, "Datadog-Client-Dropped-P0-Traces: 9999\r\n").await;
    let rate = rate(&running);
    assert!(rate > 0.0 && rate < 0.01, "{rate}");
    let version = version(&before).to_owned();
    let after = post(address, 3, &format!("Datadog-Rates-Payload-Version: {version}\r\n")).await;
    assert!(after.contains(r#""service:shop,env:test":0.00"#), "{after}");
    let version = self::version(&after);
    let again = post(address, 4, &format!("Datadog-Rates-Payload-Version: {version}\r\n")).await;
    assert!(again.ends_with("\r\n\r\n{}"), "{again}");
    assert_eq!(self::version(&again), version);
    stop(running).await;
}

fn version(answer: &str) -> &str {
    let line = answer.lines().find_map(|line| line.strip_prefix("datadog-rates-payload-version: "));
    line.unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn l54_buckets_wait_for_the_platforms_tags() {
    let backend = Backend::start().await;
    let strings = Fixed::new()
        .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .with("DD_DD_URL", &backend.url())
        .with("DD_HOSTNAME", "here");
    let config = Config::load(&strings).expect("a configuration");
    let (books, client) = (Books::default(), HttpClient::new(&settings::client(&config)));
    let forward_settings = settings::forward(&config);
    let (forwarder, sender) = forward::forwarder(&forward_settings, Arc::new(client)).expect("an endpoint");
    let budget = Budget::new(forward_settings.memory_bytes);
    let settings = settings::dogstatsd(&config);
    let dogstatsd =
        DogStatsD::new(settings, &books, budget, forwarder, Arc::default(), Vec::new(), Arc::default());
    let dogstatsd = Arc::new(dogstatsd);
    let line = (&b"job.runs:1|c"[..], false);
    dogstatsd.take(std::iter::once(line), Default::default(), &mut Default::default());

    let mut stack = Stack::default();
    stack.push("forward", FORWARD_SHARE, |close| sender.run(close));
    let (hearing, heard) = mpsc::channel(1);
    let delivering = Arc::clone(&dogstatsd);
    stack.push("metrics", METRICS_SHARE, |close| delivering.run(heard, close));
    // Nobody listens any more: everything is to be flushed as soon as the stop begins.
    drop(hearing);
    stack.push("metadata", LIGHT_SHARE, |close: Close| async move {
        close.stop_begun().await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        dogstatsd.set_platform_tags(vec!["origin:cloudfunction".into()]);
    });
    stack.unwind(Deadline::at(Instant::now() + PATIENCE), || ()).await;
    let contexts = backend.series();
    assert_eq!(contexts.len(), 1);
    assert_eq!(contexts[0].tags, ["origin:cloudfunction"]);
}
