//! Servers of a few lines for what the scripted backend does not do: TLS, tunnels, dying connections.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as the stub saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

/// Which TLS the stub speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tls {
    Any,
    Only12,
}

#[derive(Debug, Default)]
struct Log {
    connections: AtomicUsize,
    requests: Mutex<Vec<Seen>>,
}

/// Answers everything with 200, `/teapot` as a teapot, `/hang` never.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

impl Stub {
    pub(crate) async fn plain() -> Self {
        Self::start(None).await
    }

    pub(crate) async fn secure(tls: Tls) -> Self {
        let versions: &[_] = match tls {
            Tls::Any => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Tls::Only12 => &[&rustls::version::TLS12],
        };
        // Self-signed, made for these tests (backend.test, localhost) and trusted nowhere else.
        let certificate = CertificateDer::from_pem_slice(include_bytes!("backend.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("backend.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log.requests.lock().unwrap().clone()
    }

    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&log);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(stream, tls.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, log, _tasks: tasks }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, log: Arc<Log>) {
    let Some(tls) = tls else { return serve(TokioIo::new(stream), false, log).await };
    // A client that does not trust us says so and goes.
    let Ok(stream) = tls.accept(stream).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(TokioIo::new(stream), http2, log).await;
}

async fn serve(io: impl Read + Write + Unpin + Send + 'static, http2: bool, log: Arc<Log>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let log = Arc::clone(&log);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            if head.uri.path() == "/hang" {
                std::future::pending::<()>().await;
            }
            let teapot = head.uri.path() == "/teapot";
            log.requests.lock().unwrap().push(Seen {
                uri: head.uri,
                version: head.version,
                headers: head.headers,
            });
            let answer = if teapot { Bytes::from_static(b"short and stout") } else { body };
            let mut response = Response::new(Full::new(answer));
            if teapot {
                *response.status_mut() = StatusCode::IM_A_TEAPOT;
            }
            Ok::<_, Infallible>(response)
        }
    });
    // Clients leave as they like.
    if http2 {
        drop(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await,
        );
    } else {
        drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
    }
}

/// A proxy that tunnels its one connection to `target`, whatever the client asked for.
pub(crate) struct Tunnel {
    pub(crate) address: SocketAddr,
    head: Mutex<Option<oneshot::Receiver<String>>>,
    _tasks: JoinSet<()>,
}

impl Tunnel {
    pub(crate) async fn head(&self) -> String {
        let head = self.head.lock().unwrap().take().unwrap();
        head.await.unwrap()
    }
}

pub(crate) async fn tunnel(target: SocketAddr) -> Tunnel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, head) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        tell.send(read_head(&mut client).await.unwrap()).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let mut server = TcpStream::connect(target).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    });
    Tunnel { address, head: Mutex::new(Some(head)), _tasks: tasks }
}

/// How the first connection of [`mortal`] ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// Closed right after its first answer, which promised to keep it open.
    Quiet,
    /// Closed after the next request was read, without an answer.
    AfterNextRequest,
}

/// A server whose first connection dies and whose later ones live.
pub(crate) struct Mortal {
    pub(crate) url: String,
    first: Notify,
    answered: Mutex<Vec<String>>,
}

impl Mortal {
    pub(crate) async fn first_answer(&self) {
        self.first.notified().await;
    }

    pub(crate) fn answered(&self) -> Vec<String> {
        self.answered.lock().unwrap().clone()
    }
}

pub(crate) struct Running {
    mortal: Arc<Mortal>,
    _tasks: JoinSet<()>,
}

impl std::ops::Deref for Running {
    type Target = Mortal;

    fn deref(&self) -> &Mortal {
        &self.mortal
    }
}

pub(crate) async fn mortal(death: Death) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mortal = Arc::new(Mortal { url, first: Notify::new(), answered: Mutex::default() });
    let mut tasks = JoinSet::new();
    let state = Arc::clone(&mortal);
    tasks.spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        answer(&mut first, &state).await;
        match death {
            Death::Quiet => {
                drop(first);
                state.first.notify_one();
            }
            Death::AfterNextRequest => {
                state.first.notify_one();
                // The client may also have opened another connection; this one is then just closed.
                let another = tokio::select! {
                    _ = read_request(&mut first) => None,
                    another = listener.accept() => another.ok(),
                };
                drop(first);
                if let Some((mut stream, _)) = another {
                    while answer(&mut stream, &state).await {}
                }
            }
        }
        while let Ok((mut stream, _)) = listener.accept().await {
            while answer(&mut stream, &state).await {}
        }
    });
    Running { mortal, _tasks: tasks }
}

async fn answer(stream: &mut TcpStream, state: &Mortal) -> bool {
    let Some(body) = read_request(stream).await else { return false };
    // Noted before the answer is out: who has the answer may look at once.
    state.answered.lock().unwrap().push(body);
    stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.is_ok()
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let head = read_head(stream).await?.to_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}
