//! The HTTP client on real sockets: reuse, proxies, tunnels, TLS, and connections that die.

#![expect(clippy::unwrap_used, reason = "a stub that cannot do its part fails the test")]

mod stub;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Version, header};
use lastlight_agent::forward::client::{ClientSettings, HttpClient, RequestError};
use lastlight_agent::forward::proxy::{Proxy, ProxySettings};
use lastlight_agent::forward::tls::{MinimumTls, TlsSettings};
use lastlight_agent::forward::{
    Endpoint, ForwardSettings, Forwarder, Kind, Outgoing, Route, Target, Transport, forwarder,
};
use lastlight_agent::room::Budget;
use lifecycle::{Deadline, End, Stack};
use model::{Book, Books, Signal};
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stub::Stub;
use testkit::{Action, Backend, Behaviour, Body};

/// Far beyond anything a test needs; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn certificate() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/forward_client/backend.pem")
}

fn trusting() -> TlsSettings {
    TlsSettings { cert_file: Some(certificate()), ..TlsSettings::default() }
}

fn client(proxy: ProxySettings, tls: TlsSettings) -> HttpClient {
    HttpClient::new(&ClientSettings { proxy, tls, ..ClientSettings::default() })
}

fn plain() -> HttpClient {
    HttpClient::new(&ClientSettings::default())
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"body")).unwrap()
}

async fn status(client: &HttpClient, url: &str) -> Result<StatusCode, String> {
    client.send(post(url), PATIENCE).await.map(|reply| reply.status)
}

fn first_byte(body: &Body) -> u8 {
    match body {
        Body::Other(bytes) => bytes[0],
        other => panic!("{other:?}"),
    }
}

struct Rig {
    forwarder: Forwarder,
    books: Books,
    budget: Budget,
    stack: Stack,
}

impl Rig {
    fn new(url: &str, client: HttpClient) -> Self {
        let main = Endpoint { url: url.to_owned(), api_key: HeaderValue::from_static("key") };
        let route = Route { kind: Kind::Profiles, main, additional: Vec::new() };
        let settings = ForwardSettings { memory_bytes: 64 << 20, routes: vec![route] };
        let (forwarder, sender) = forwarder(&settings, Arc::new(client)).unwrap();
        let mut stack = Stack::default();
        stack.push("forward", NonZeroU32::MIN, |close| sender.run(close));
        Self { forwarder, books: Books::default(), budget: Budget::new(64 << 20), stack }
    }

    fn submit(&self, body: impl Into<Bytes>) {
        self.forwarder.submit(Outgoing {
            target: Target { kind: Kind::Profiles, path: Cow::Borrowed("/profile") },
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))],
            body: body.into(),
            receipt: self.books.accept(Signal::Proxied, 1),
            room: self.budget.take(Signal::Proxied, 0).unwrap(),
        });
    }

    async fn stop(self) -> Book {
        let deadline = Deadline::at(lifecycle::Instant::now() + PATIENCE);
        let ends = self.stack.unwind(deadline, || self.books.close()).await;
        assert_eq!(ends[0].end, End::Drained);
        let book = self.books.book(Signal::Proxied);
        assert_eq!((book.held, book.lost(), self.budget.total_used()), (0, 0, 0));
        book
    }
}

#[tokio::test]
async fn l72_one_connection_serves_request_after_request() {
    let stub = Stub::plain().await;
    let client = plain();
    for _ in 0..20 {
        assert_eq!(status(&client, &stub.url("/x")).await, Ok(StatusCode::OK));
    }
    assert_eq!((stub.connections(), stub.requests().len()), (1, 20));
    client.forget_connections();
    assert_eq!(status(&client, &stub.url("/x")).await, Ok(StatusCode::OK));
    assert_eq!(stub.connections(), 2, "what may have died in a freeze is not used again");
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_no_data() {
    for last_words in [stub::Death::Quiet, stub::Death::AfterNextRequest] {
        let mortal = stub::mortal(last_words).await;
        let rig = Rig::new(&mortal.url, plain());
        rig.submit("one");
        mortal.first_answer().await;
        rig.submit("two");
        assert_eq!(rig.stop().await.delivered, 2, "{last_words:?}");
        assert_eq!(mortal.answered(), ["one", "two"]);
    }
}

#[tokio::test]
async fn whatever_the_backend_does_everything_arrives_and_nothing_twice() {
    for action in [
        Action::Status(500),
        Action::Status(503),
        Action::Status(408),
        Action::Status(429),
        Action::CloseBeforeReply,
        Action::CloseHalfRead,
    ] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::new(action).times(6));
        let rig = Rig::new(&backend.url(), plain());
        for number in 0..20 {
            rig.submit(vec![number; 100_000]);
        }
        assert_eq!(rig.stop().await.delivered, 20, "{action:?}");
        let mut acknowledged: Vec<u8> =
            backend.acknowledged("/profile").iter().map(|request| first_byte(&request.body)).collect();
        acknowledged.sort_unstable();
        assert_eq!(acknowledged, (0..20).collect::<Vec<_>>(), "{action:?}");
        let request = &backend.acknowledged("/profile")[0];
        assert_eq!(
            (request.header("dd-api-key"), request.header("content-type")),
            (Some("key"), Some("text/plain"))
        );
    }
}

#[tokio::test]
async fn a_refusing_backend_gets_everything_when_it_is_back() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::refuse());
    let rig = Rig::new(&backend.url(), plain());
    for number in 0..20 {
        rig.submit(vec![number; 10]);
    }
    backend.recover();
    assert_eq!(rig.stop().await.delivered, 20);
    assert_eq!(backend.acknowledged("/profile").len(), 20);
}

#[tokio::test]
async fn l29_a_plain_target_goes_through_the_proxy_with_credentials() {
    let proxy = Stub::plain().await;
    let through = Proxy::new(&format!("http://user:secret@{}", proxy.address)).unwrap();
    let settings = ProxySettings { http: Some(through), ..ProxySettings::default() };
    let client = client(settings, TlsSettings::default());
    assert_eq!(status(&client, "http://backend.test/api?x=1").await, Ok(StatusCode::OK));
    let [request] = &proxy.requests()[..] else { panic!("one request") };
    assert_eq!(request.uri.to_string(), "http://backend.test/api?x=1");
    assert_eq!(request.headers[header::PROXY_AUTHORIZATION], "Basic dXNlcjpzZWNyZXQ=");
    assert_eq!(request.headers[header::HOST], "backend.test");
}

#[tokio::test]
async fn a_no_proxy_target_is_reached_directly() {
    let (proxy, target) = (Stub::plain().await, Stub::plain().await);
    let settings = ProxySettings {
        http: Some(Proxy::new(&proxy.address.to_string()).unwrap()),
        no_proxy: vec!["127.0.0.1".to_owned()],
        ..ProxySettings::default()
    };
    let client = client(settings, TlsSettings::default());
    assert_eq!(status(&client, &target.url("/x")).await, Ok(StatusCode::OK));
    assert_eq!((proxy.requests().len(), target.requests().len()), (0, 1));
    assert!(!target.requests()[0].headers.contains_key(header::PROXY_AUTHORIZATION));
}

#[tokio::test]
async fn a_secure_target_goes_through_a_tunnel_and_speaks_http2() {
    let target = Stub::secure(stub::Tls::Any).await;
    let tunnel = stub::tunnel(target.address).await;
    let through = Proxy::new(&format!("http://user:secret@{}", tunnel.address)).unwrap();
    let settings = ProxySettings { https: Some(through), ..ProxySettings::default() };
    let client = client(settings, trusting());
    assert_eq!(status(&client, "https://backend.test/api").await, Ok(StatusCode::OK));
    let head = tunnel.head().await.to_lowercase();
    assert!(head.starts_with("connect backend.test:443 http/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{head}");
    let [request] = &target.requests()[..] else { panic!("one request") };
    assert_eq!((request.version, request.uri.host()), (Version::HTTP_2, Some("backend.test")));
    assert!(!request.headers.contains_key(header::PROXY_AUTHORIZATION), "the credentials are the tunnel's");
}

#[tokio::test]
async fn who_is_trusted_is_a_setting() {
    let target = Stub::secure(stub::Tls::Any).await;
    let url = target.secure_url("/x");
    let none = ProxySettings::default;
    let stranger = status(&client(none(), TlsSettings::default()), &url).await.unwrap_err();
    // On a machine without roots the message is that there are none.
    assert!(stranger.contains("certificate"), "{stranger}");
    assert_eq!(status(&client(none(), trusting()), &url).await, Ok(StatusCode::OK));
    let anybody = TlsSettings { skip_validation: true, ..TlsSettings::default() };
    assert_eq!(status(&client(none(), anybody), &url).await, Ok(StatusCode::OK));
    let missing = TlsSettings { cert_file: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() };
    let missing = status(&client(none(), missing), &url).await.unwrap_err();
    assert!(missing.contains("DD_TLS_CERT_FILE /nowhere/ca.pem"), "{missing}");
}

#[tokio::test]
async fn the_oldest_version_of_tls_is_a_setting() {
    let old = Stub::secure(stub::Tls::Only12).await;
    let none = ProxySettings::default;
    assert_eq!(status(&client(none(), trusting()), &old.secure_url("/x")).await, Ok(StatusCode::OK));
    let newest = TlsSettings { minimum: MinimumTls::Tls13, ..trusting() };
    assert!(status(&client(none(), newest), &old.secure_url("/x")).await.is_err());
}

#[tokio::test]
async fn a_pass_through_answer_is_whole_or_an_error() {
    let stub = Stub::plain().await;
    let client = plain();
    let answer = client.request(post(&stub.url("/teapot")), PATIENCE, 100).await.unwrap();
    assert_eq!((answer.status(), &**answer.body()), (StatusCode::IM_A_TEAPOT, &b"short and stout"[..]));
    let large = client.request(post(&stub.url("/teapot")), PATIENCE, 14).await;
    assert!(matches!(large, Err(RequestError::TooLarge(14))));
    let bound = Duration::from_millis(1);
    let late = client.request(post(&stub.url("/hang")), bound, 100).await;
    assert!(matches!(late, Err(RequestError::Timeout(_))), "{late:?}");
    let late = client.send(post(&stub.url("/hang")), bound).await;
    assert_eq!(late.unwrap_err(), "no answer within 1ms");
    drop(stub);
    let gone = client.request(post("http://127.0.0.1:1/"), PATIENCE, 100).await;
    assert!(matches!(&gone, Err(RequestError::Failed(why)) if why.contains("refused")), "{gone:?}");
}
