//! Transports: stale and live sockets, taken ports, no descriptors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{BOUND, agent::Start, raw};
use std::os::unix::fs::PermissionsExt;
use testkit::{Backend, payload};
use tokio::net::TcpStream;

fn request(id: u64) -> Vec<u8> {
    raw::request(
        "POST",
        "/v0.4/traces",
        "content-type: application/msgpack\r\n",
        &payload::v04(&[vec![payload::span(id)]]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_replaced_and_removed_at_the_end() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apm.socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let agent = Start::new(&backend).socket(&path).start().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o722);
    assert_eq!(raw::send_unix(&path, &request(1)).await.status, 200);
    assert_eq!(raw::send(agent.port(), &request(2)).await.status, 200);
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, 2);
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_socket_is_left_to_its_owner_and_tcp_serves() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apm.socket");
    let owner = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let agent = Start::new(&backend).socket(&path).start().await;
    agent.says(&path.display().to_string()).await;
    assert_eq!(raw::send(agent.port(), &request(1)).await.status, 200);
    agent.stop().await.without_loss();
    assert!(path.exists());
    drop(owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abstract_socket_serves_like_tcp() {
    let backend = Backend::start().await;
    let name = format!("@lastlight-e2e-{}", std::process::id());
    let agent = Start::new(&backend).set("DD_APM_RECEIVER_SOCKET", name.clone()).start().await;
    let mix = payload::Mix { traces: 1, ..payload::Mix::default() };
    let target = testkit::load::Target::Unix(name.into());
    let mut load = testkit::load::Load::new(target, testkit::load::Pace::Saturate, BOUND);
    (load.mix, load.requests_max) = (mix, 3);
    let report = tokio::task::spawn_blocking(move || testkit::load::run(&load)).await.unwrap();
    assert_eq!((report.acknowledged, report.failed), (3, 0));
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, report.spans);
    assert!(backend.missing(report.span_ids(mix)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_fatal_alone_and_a_warning_beside_a_socket() {
    let backend = Backend::start().await;
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let stopped = Start::new(&backend).port(port).spawn().ends().await;
    assert_ne!(stopped.status.code(), Some(0));
    assert!(stopped.lines.join("\n").contains(&port.to_string()), "{:?}", stopped.lines);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apm.socket");
    let agent = Start::new(&backend).port(port).socket(&path).start().await;
    assert_eq!(raw::send_unix(&path, &request(1)).await.status, 200);
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_having_no_descriptors_left_is_survived() {
    let backend = Backend::start().await;
    let agent = Start::new(&backend).through_shell("ulimit -n 40; exec \"$LASTLIGHT\"").start().await;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(("127.0.0.1", agent.port())).await.unwrap());
    }
    agent.says("cannot accept").await;
    drop(crowd);
    assert_eq!(raw::send(agent.port(), &request(1)).await.status, 200);
    assert_eq!(agent.stop().await.without_loss().of("traces").delivered, 1);
}
