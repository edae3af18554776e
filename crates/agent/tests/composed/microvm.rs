//! What the platform of a MicroVM says of its life, and what is sent before it is answered.

use crate::support::{
    Agent, Answer, Client, PATIENCE, Request, STATS, Setup, TRACES, get, held, post, spans,
};
use lastlight_agent::platform::Face;
use lastlight_agent::{Deadline, Instant};
use model::Signal;
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use testkit::Behaviour;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

/// A wrapper in a MicroVM, which sends nothing before it is asked to.
async fn setup() -> Setup {
    let setup = Setup::new().await.face(Face::Entrypoint);
    let url = setup.backend_url();
    setup
        .with("AWS_LAMBDA_MICROVM_IMAGE_ARN", "arn:aws:lambda:us-east-1:123456789012:microvm-image:shop")
        .with("DD_ENHANCED_METRICS_ENABLED", "false")
        .with("DD_LOGS_ENABLED", "true")
        .with("DD_LOGS_PORT", "0")
        .with("DD_LOGS_CONFIG_LOGS_DD_URL", &url)
        .with("DD_LOGS_CONFIG_BATCH_WAIT", "60s")
        .with("LASTLIGHT_FLUSH_PERIOD", "60s")
        .with("LASTLIGHT_STOP_TIMEOUT", "60s")
}

/// The same with a program that hears of it on this port.
async fn with_program(port: u16) -> Setup {
    setup().await.with("DD_AWS_MICROVM_USER_APP_PORT", &port.to_string())
}

fn hook(name: &str) -> Request {
    let path = format!("/aws/lambda-microvms/runtime/beta/v1/{name}");
    post(&path, *br#"{"microVmId":"mvm-1"}"#).header("Content-Type", "application/json")
}

async fn platform(agent: &Agent) -> Client {
    Client::tcp(agent.hooks.expect("a server for the platform")).await
}

async fn say(agent: &Agent, name: &str) -> Answer {
    platform(agent).await.exchange(hook(name)).await
}

/// Ten spans, a metric over UDP and a log.
async fn telemetry(agent: &Agent) {
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    assert_eq!(agent.send(post("/v1/input", *br#"[{"message":"hello"}]"#)).await.status, 200);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(b"sold:3|c", agent.udp.expect("a UDP socket")).expect("sent");
}

fn has_everything(agent: &Agent) {
    let backend = &agent.backend;
    assert_eq!((backend.span_count(), backend.stats_hits(), backend.logs().len()), (10, 10, 1));
    assert_eq!(backend.metrics().total("sold", &[]), 3.0);
}

#[tokio::test]
async fn suspend_and_terminate_are_answered_when_the_backend_has_everything() {
    for name in ["suspend", "terminate"] {
        let agent = setup().await.start().await;
        telemetry(&agent).await;
        assert_eq!(agent.backend.counts().requests, 0, "nothing was due");
        assert_eq!(say(&agent, name).await.status, 200);
        has_everything(&agent);
        agent.stop().await.delivered_once(1..=10);
    }
}

#[tokio::test]
async fn what_happens_to_the_machine_is_a_metric_and_sent_before_the_answer() {
    let agent = setup().await.with("DD_ENHANCED_METRICS_ENABLED", "true").start().await;
    let told = |event: &str| {
        let name = format!("aws.lambda.microvm.enhanced.{event}");
        agent.backend.metrics().sketch(&name, &[]).count
    };
    for name in ["launch", "suspend"] {
        assert_eq!(say(&agent, name).await.status, 200);
    }
    assert_eq!([told("launch"), told("suspend"), told("resume")], [1, 1, 0]);
    for name in ["resume", "terminate"] {
        assert_eq!(say(&agent, name).await.status, 200);
    }
    assert_eq!([told("resume"), told("terminate"), told("ready")], [1, 1, 0]);
    agent.stop().await;
}

#[tokio::test]
async fn what_a_socket_that_gathers_still_holds_is_sent_too() {
    let agent = setup().await.start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(agent.udp.expect("a UDP socket")).expect("a peer");
    socket.send(b"sold:1|c").expect("sent");
    // After a small batch a socket is left alone for some milliseconds.
    agent.status_until(|status| status["signals"]["metrics"]["accepted"] == 1).await;
    socket.send(b"sold:2|c").expect("sent");
    assert_eq!(say(&agent, "suspend").await.status, 200);
    assert_eq!(agent.backend.metrics().total("sold", &[]), 3.0);
    agent.stop().await;
}

#[tokio::test]
async fn an_answer_waits_for_the_backends() {
    let agent = setup().await.start().await;
    agent.backend.behave(held(TRACES));
    agent.backend.behave(Behaviour::status(503).on(STATS).times(2));
    telemetry(&agent).await;
    let at_answer = async {
        assert_eq!(say(&agent, "suspend").await.status, 200);
        has_everything(&agent);
    };
    let release = async {
        agent.backend_until(|backend| backend.stats_hits() == 10 && backend.logs().len() == 1).await;
        agent.backend.release();
    };
    tokio::join!(at_answer, release);
    agent.stop().await;
}

#[tokio::test]
async fn a_backend_that_does_not_answer_costs_the_bound_and_no_data() {
    let agent = setup().await.with("LASTLIGHT_STOP_TIMEOUT", "50ms").start().await;
    agent.backend.behave(held(TRACES));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    assert_eq!(say(&agent, "suspend").await.status, 200);
    assert_eq!(agent.book(Signal::Traces).held, 10);
    agent.backend.recover();
    agent.backend.release();
    assert_eq!(say(&agent, "resume").await.status, 200);
    agent.stop().await.delivered_once(1..=10);
}

#[tokio::test]
async fn terminate_is_not_answered_before_the_data_are_gone_when_a_stop_begins() {
    let agent = setup().await.start().await;
    agent.backend.behave(held(TRACES));
    assert_eq!(agent.send(spans(1..=10)).await.status, 200);
    let mut platform = platform(&agent).await;
    platform.write(&hook("terminate").bytes()).await;
    let in_flight = |status: &serde_json::Value| {
        let endpoints = status["endpoints"].as_array().expect("endpoints");
        endpoints.iter().any(|endpoint| endpoint["kind"] == "traces" && endpoint["in_flight"] == 1)
    };
    agent.status_until(in_flight).await;
    let (backend, receiver) = (agent.backend.url(), agent.address());
    let released = Cell::new(false);
    let release = async {
        // Nobody is let in any more: the stop has begun.
        while tokio::net::TcpStream::connect(receiver).await.is_ok() {
            tokio::task::yield_now().await;
        }
        released.set(true);
        let backend: SocketAddr = backend.trim_start_matches("http://").parse().expect("an address");
        assert_eq!(Client::tcp(backend).await.exchange(post("/_control/release", [])).await.status, 200);
    };
    let answer = async { (platform.answer().await.status, released.get()) };
    let (stopped, answer, ()) = tokio::join!(agent.stop(), answer, release);
    assert_eq!(answer, (200, true));
    stopped.delivered_once(1..=10);
}

#[tokio::test]
async fn without_a_programs_port_we_answer_ourselves() {
    for face in [Face::Entrypoint, Face::Sidecar] {
        let agent = setup().await.face(face).start().await;
        for name in ["ready", "validate", "launch", "run", "resume"] {
            let answer = say(&agent, name).await;
            assert_eq!((answer.status, answer.text()), (200, ""), "{name}");
        }
        if face == Face::Entrypoint {
            agent.running.program_ended(0);
            assert_eq!(say(&agent, "ready").await.status, 503);
            assert_eq!(say(&agent, "validate").await.status, 200);
        }
        agent.stop().await;
    }
}

#[tokio::test]
async fn nothing_else_is_served_to_the_platform_and_it_nowhere_else() {
    let agent = setup().await.start().await;
    let mut platform = platform(&agent).await;
    for (request, status) in [
        (spans([1]), 404),
        (get("/info"), 404),
        (hook("other"), 404),
        (hook("ready/"), 404),
        (hook("ready").method("GET"), 405),
        (hook("ready"), 200),
    ] {
        assert_eq!(platform.exchange(request.clone()).await.status, status, "{request:?}");
    }
    let large = post("/aws/lambda-microvms/runtime/beta/v1/launch", vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(platform.exchange(large).await.status, 413);
    assert_eq!(agent.send(hook("ready")).await.status, 404);
    agent.stop().await;
    let elsewhere = Setup::new().await.face(Face::Entrypoint).start().await;
    assert_eq!(elsewhere.hooks, None);
    elsewhere.stop().await;
}

/// The wrapped program: reads one request to its end and answers it.
async fn program(listener: &TcpListener, answer: &str) -> String {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"}") {
            match stream.read(&mut chunk).await.expect("a request") {
                0 => break,
                count => request.extend_from_slice(&chunk[..count]),
            }
        }
        // A connection without a request only asks whether somebody listens.
        if !request.is_empty() {
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            return String::from_utf8(request).expect("text");
        }
    }
}

#[tokio::test]
async fn a_program_hears_of_it_and_its_answer_is_the_platforms() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let agent = with_program(listener.local_addr().expect("an address").port()).await.start().await;
    let said = "HTTP/1.1 418 I'm a teapot\r\nContent-Type: text/tea\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nhot";
    for name in ["ready", "validate", "launch", "run", "resume", "suspend", "terminate"] {
        let (answer, request) = tokio::join!(say(&agent, name), program(&listener, said));
        assert_eq!((answer.status, answer.text()), (418, "hot"), "{name}");
        assert_eq!((answer.header("content-type"), answer.header("set-cookie")), (Some("text/tea"), None));
        let head = format!("POST /aws/lambda-microvms/runtime/beta/v1/{name} HTTP/1.1\r\n");
        assert!(request.starts_with(&head), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"microVmId\":\"mvm-1\"}"), "{request}");
        let request = request.to_lowercase();
        for header in ["content-type: application/json", "content-length: 21", "connection: close"] {
            assert!(request.contains(&format!("\r\n{header}\r\n")), "{request}");
        }
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_a_program_sends_before_it_answers_is_sent_on_before_the_platform_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let agent = with_program(listener.local_addr().expect("an address").port()).await.start().await;
    let last_words = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        telemetry(&agent).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("an answer");
    };
    let (answer, ()) = tokio::join!(say(&agent, "suspend"), last_words);
    assert_eq!(answer.status, 200);
    has_everything(&agent);
    agent.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_costs_its_time_and_no_data() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let setup = with_program(port).await;
    let setup = ["FORWARD", "READY", "VALIDATE"]
        .into_iter()
        .fold(setup, |setup, name| setup.with(&format!("DD_AWS_MICROVM_{name}_TIMEOUT_MS"), "100"));
    let agent = setup.start().await;
    telemetry(&agent).await;
    // The kernel takes the connections; nobody reads them.
    for name in ["terminate", "ready", "validate", "launch"] {
        assert_eq!(say(&agent, name).await.status, 504, "{name}");
    }
    has_everything(&agent);
    drop(listener);
    for (name, status) in [("suspend", 503), ("resume", 503), ("ready", 504), ("validate", 504)] {
        assert_eq!(say(&agent, name).await.status, status, "{name}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn whether_a_program_is_ready_waits_until_it_listens() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    // Bound, and not listening: connections are refused.
    let port = socket.local_addr().expect("an address").port();
    let agent = with_program(port).await.start().await;
    let mut platform = platform(&agent).await;
    platform.write(&hook("ready").bytes()).await;
    // Somebody who is not listened to is told at once, by the same server.
    assert_eq!(say(&agent, "resume").await.status, 503);
    let listener = socket.listen(16).expect("a listener");
    let said = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (answer, request) = tokio::join!(platform.answer(), program(&listener, said));
    assert_eq!(answer.status, 200);
    assert!(request.contains("/ready "), "{request}");
    agent.stop().await;
}

#[tokio::test]
async fn a_platform_that_says_nothing_does_not_hold_the_stop_up() {
    let agent = setup().await.start().await;
    let mut silent = platform(&agent).await;
    let mut kept = platform(&agent).await;
    assert_eq!(kept.exchange(hook("ready")).await.status, 200);
    let stop = agent.stop_at(Deadline::at(Instant::now() + PATIENCE));
    tokio::time::timeout(PATIENCE / 2, stop).await.expect("an end");
    assert!(silent.try_answer().await.is_none() && kept.try_answer().await.is_none(), "closed");
}
