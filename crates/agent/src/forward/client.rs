//! The one HTTP client: every signal, every endpoint, and the routes that are passed through
//! (losses.md L29, L72).

use super::connect::Connector;
use super::proxy::{Proxies, ProxySettings};
use super::tls::{Tls, TlsSettings};
use super::transport::{self, Reply, Transport};
use bytes::{Bytes, BytesMut};
use http::uri::Scheme;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Default of [`ClientSettings::connect_timeout`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed after this time, before the intake does it after 60 s
/// (`facts/trace-intake.md` §10).
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(47);
/// Idle connections kept per host.
pub const POOL_MAX_IDLE_PER_HOST: usize = 8;
/// HTTP/2: a connection with requests under way is asked for a sign of life this often. A dead one would
/// otherwise be shared by every retry after a freeze.
pub const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long the rest of an answer is waited for, so that its connection can be used again.
const ANSWER_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of an answer is read for the same purpose, bytes.
const ANSWER_BODY_MAX_BYTES: usize = 64 * 1024;

/// How to reach the backend.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Through whom.
    pub proxy: ProxySettings,
    /// Trusting whom.
    pub tls: TlsSettings,
    /// Bound of making a connection: name, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            proxy: ProxySettings::default(),
            tls: TlsSettings::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

type Pool = Client<Connector, Full<Bytes>>;

#[derive(Debug)]
struct Inner {
    proxies: Arc<Proxies>,
    connector: Connector,
    pool: Mutex<Pool>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum RequestError {
    /// There was none in time.
    Timeout(Duration),
    /// Its body is larger than asked for, bytes.
    TooLarge(usize),
    /// The connection could not be made, or broke; in words.
    Failed(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(bound) => write!(f, "no answer within {bound:?}"),
            Self::TooLarge(bound) => write!(f, "the answer is larger than {bound} bytes"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RequestError {}

impl HttpClient {
    /// A client without connections. Nothing is read, resolved or connected yet.
    pub fn new(settings: &ClientSettings) -> Self {
        let proxies = Arc::new(Proxies::new(&settings.proxy));
        let tls = Arc::new(Tls::new(settings.tls.clone()));
        let connector = Connector::new(Arc::clone(&proxies), tls, settings.connect_timeout);
        let pool = Mutex::new(pool(&connector));
        Self { inner: Arc::new(Inner { proxies, connector, pool }) }
    }

    /// Forgets idle connections: after a thaw they may be dead without having said so. Requests under way
    /// are not touched.
    pub fn forget_connections(&self) {
        let fresh = pool(&self.inner.connector);
        *self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Sends a request of a pass-through route and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer within `timeout`, or none of at most `answer_max_bytes`.
    pub async fn request(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        answer_max_bytes: usize,
    ) -> Result<Response<Bytes>, RequestError> {
        let whole = async {
            let (head, body) = self.start(request).await?.into_parts();
            Ok(Response::from_parts(head, read(body, answer_max_bytes).await?))
        };
        tokio::time::timeout(timeout, whole).await.unwrap_or(Err(RequestError::Timeout(timeout)))
    }

    async fn start(&self, request: Request<Bytes>) -> Result<Response<Incoming>, RequestError> {
        let (mut head, body) = request.into_parts();
        // In a tunnel the credentials are the tunnel's; a forward proxy wants them with each request.
        if head.uri.scheme() == Some(&Scheme::HTTP)
            && let Some(proxy) = self.inner.proxies.intercept(&head.uri)
            && let Some(credentials) = proxy.basic_auth()
        {
            head.headers.insert(header::PROXY_AUTHORIZATION, credentials.clone());
        }
        let pool = self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = pool.request(Request::from_parts(head, Full::new(body))).await;
        sent.map_err(|error| RequestError::Failed(chain(&error)))
    }
}

impl Transport for HttpClient {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Reply, String> {
        let started = tokio::time::timeout(timeout, self.start(request)).await;
        let answer =
            started.unwrap_or(Err(RequestError::Timeout(timeout))).map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        // The answer is here, whatever becomes of its body.
        let body = tokio::time::timeout(ANSWER_BODY_TIMEOUT, read(body, ANSWER_BODY_MAX_BYTES)).await;
        Ok(Reply {
            status: head.status,
            retry_after: transport::retry_after(&head.headers, SystemTime::now()),
            detail: body.ok().and_then(Result::ok).map_or_else(String::new, |body| transport::detail(&body)),
        })
    }
}

fn pool(connector: &Connector) -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_INTERVAL)
        .retry_canceled_requests(true)
        .build(connector.clone())
}

async fn read(mut body: Incoming, max_bytes: usize) -> Result<Bytes, RequestError> {
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(RequestError::TooLarge(max_bytes));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RequestError::Failed(chain(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max_bytes - whole.len() {
            return Err(RequestError::TooLarge(max_bytes));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
