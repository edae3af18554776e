//! Transports: bound first, all at once, and said when they cannot be had.

use crate::support::{Agent, Client, PATIENCE, Setup, get, post, spans};
use lastlight_agent::config::{Config, SocketAddress};
use lastlight_agent::{StartError, bind};
use model::Signal;
use tokio::net::TcpListener;

#[tokio::test]
async fn l13_who_connects_and_sends_between_bind_and_start_is_served() {
    let bound = Setup::new().await.bind().await;
    let mut client = Client::tcp(bound.tcp.expect("a port")).await;
    client.write(&spans([1]).bytes()).await;
    let agent = bound.start();
    let mut over_unix = Client::unix(agent.socket()).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(over_unix.exchange(spans([2])).await.status, 200);
    agent.stop().await.delivered_once(1..=2);
}

#[tokio::test]
async fn l12_a_taken_port_is_fatal_alone_and_the_error_names_it_and_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = holder.local_addr().expect("an address").port();
    let setup = Setup::new().await;
    let mut config = setup.config();
    config.receiver.port = Some(port);
    config.receiver.socket = None;
    let error = bind(config).await.expect_err("no transport is left");
    assert!(matches!(&error, StartError::Bind(errors) if errors.len() == 1));
    let text = error.to_string();
    assert!(
        text.contains(&format!("tcp 127.0.0.1:{port}")) && text.contains("DD_APM_RECEIVER_PORT"),
        "{text}"
    );
}

#[tokio::test]
async fn l12_a_taken_port_beside_a_socket_costs_only_itself() {
    let holder = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = holder.local_addr().expect("an address").port();
    let setup = Setup::new().await;
    let mut config = setup.config();
    config.receiver.port = Some(port);
    let bound = bind(config).await.expect("the socket is enough");
    let kinds: Vec<_> = bound.transports().iter().map(|name| name.kind).collect();
    assert_eq!(kinds, ["unix", "udp", "unix_datagram", "unix_stream"]);
}

#[tokio::test]
async fn l12_without_any_transport_every_reason_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let setup = Setup::new().await;
    let mut config = setup.config();
    config.receiver.port = Some(holder.local_addr().expect("an address").port());
    config.receiver.socket = Some(SocketAddress::File("/nonexistent-directory/apm.socket".into()));
    let text = bind(config).await.expect_err("no transport is left").to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("DD_APM_RECEIVER_SOCKET") && text.contains("/nonexistent-directory"), "{text}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_socket_serves() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("lastlight-composed-{}", std::process::id());
    let agent = Setup::new().await.with("DD_APM_RECEIVER_SOCKET", &format!("@{name}")).start().await;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let stream = std::os::unix::net::UnixStream::connect_addr(&address).expect("a connection");
    stream.set_nonblocking(true).expect("a socket");
    let mut client = Client::over(tokio::net::UnixStream::from_std(stream).expect("a socket"));
    assert_eq!(client.exchange(spans([1])).await.status, 200);
    let info = client.exchange(get("/info")).await.json();
    assert_eq!(info["config"]["receiver_socket"], format!("@{name}"));
    agent.stop().await.delivered_once([1]);
}

#[tokio::test]
async fn a_receiver_that_is_switched_off_takes_nothing_and_stops() {
    let setup = Setup::new().await.with("DD_APM_RECEIVER_ENABLED", "false");
    let bound = setup.bind().await;
    assert_eq!(bound.tcp, None);
    bound.start().stop().await;
}

fn two_connections(config: &mut Config) {
    config.receiver.connections_max = 2;
}

#[tokio::test]
async fn l26_over_the_connection_bound_clients_wait_in_the_kernel_and_are_served_in_turn() {
    let agent = Setup::new().await.change(two_connections).start().await;
    let mut first = agent.client().await;
    let mut second = Client::unix(agent.socket()).await;
    assert_eq!(first.exchange(spans([1])).await.status, 200);
    assert_eq!(second.exchange(spans([2])).await.status, 200);
    let mut third = agent.client().await;
    third.write(&spans([3]).bytes()).await;
    // The two that were let in are answered, and nobody else is: the third is still in the kernel.
    for id in 4..24 {
        assert_eq!(first.exchange(spans([id])).await.status, 200);
    }
    let status = first.exchange(get("/lastlight/status")).await.json();
    let open: u64 = transports(&status).iter().filter_map(|transport| transport["open"].as_u64()).sum();
    assert_eq!(open, 2, "{status}");
    assert_eq!(agent.book(Signal::Traces).accepted, 22);
    drop(second);
    assert_eq!(third.answer().await.status, 200);
    agent.stop().await.delivered_once(1..24);
}

fn transports(status: &serde_json::Value) -> &[serde_json::Value] {
    status["transports"].as_array().expect("transports")
}

fn impatient(config: &mut Config) {
    config.receiver.read_timeout = std::time::Duration::from_millis(50);
}

#[tokio::test]
async fn l26_a_body_that_does_not_come_is_answered_408_and_a_head_that_does_not_come_is_closed() {
    let agent = Setup::new().await.change(impatient).start().await;
    let request = spans([1]).bytes();
    let mut slow_body = agent.client().await;
    slow_body.write(&request[..request.len() - 1]).await;
    let answer = slow_body.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(slow_body.try_answer().await.is_none());
    let mut slow_head = Client::unix(agent.socket()).await;
    slow_head.write(b"POST /v0.4/traces HTTP/1.1\r\nHost: agent\r\n").await;
    assert!(slow_head.try_answer().await.is_none_or(|answer| answer.status == 408));
    let mut silent = agent.client().await;
    assert!(silent.try_answer().await.is_none());
    let status = agent.status_until(|status| status["memory"]["used_bytes"] == 0).await;
    assert_eq!(status["signals"]["traces"]["accepted"], 0);
    // Who is not slow is served meanwhile and after.
    assert_eq!(agent.send(spans([2])).await.status, 200);
    agent.stop().await.delivered_once([2]);
}

#[tokio::test]
async fn a_client_that_shuts_its_side_down_after_the_request_is_served() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    client.write(&spans([1]).bytes()).await;
    client.finish().await;
    assert_eq!(client.answer().await.status, 200);
    agent.stop().await.delivered_once([1]);
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_nothing_behind() {
    let agent = Agent::start().await;
    let request = post("/v0.4/traces", vec![0xc0; 1_000_000]).bytes();
    for cut in [1, 40, 200, 500_000] {
        let mut client = agent.client().await;
        client.write(&request[..cut]).await;
    }
    let status = agent
        .status_until(|status| {
            status["memory"]["used_bytes"] == 0
                && transports(status).iter().all(|t| t["open"].as_u64() <= Some(1))
        })
        .await;
    assert_eq!(status["signals"]["traces"]["accepted"], 0);
    assert_eq!(agent.send(spans([1])).await.status, 200);
    tokio::time::timeout(PATIENCE, agent.stop()).await.expect("an end").delivered_once([1]);
}
