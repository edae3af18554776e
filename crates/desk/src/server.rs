//! The desk's HTTP face: the paths of the intake (`facts/delivery.md` §1), on loopback.

use crate::body::{self, Refusal};
use crate::decode;
use crate::session::Session;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Connections served at one time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Bodies read and decoded at one time.
const BODIES_AT_ONCE_MAX: usize = 4;
/// How long a request may take to arrive.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How often the view looks for traces that are due.
const TICK: Duration = Duration::from_millis(100);
/// How long the listener rests after an accept error, such as out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a task does.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What all connections share.
pub(crate) struct Shared {
    session: Mutex<Option<Session>>,
    bodies: Semaphore,
    start: Instant,
}

impl Shared {
    pub(crate) fn new(session: Session) -> Arc<Self> {
        let session = Mutex::new(Some(session));
        Arc::new(Self { session, bodies: Semaphore::new(BODIES_AT_ONCE_MAX), start: Instant::now() })
    }

    /// Runs on the session, unless it has ended.
    fn with<T>(&self, run: impl FnOnce(&mut Session, Duration) -> T) -> Option<T> {
        let now = self.start.elapsed();
        self.session.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(|session| run(session, now))
    }

    /// Ends the session.
    pub(crate) fn take(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Serves until `stop` is sent or dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stop: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stop => return,
            _ = ticks.tick() => {
                shared.with(Session::tick);
            }
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    // Boxed as the agent's tasks are, whose code then serves.
                    let served = connection(stream, Arc::clone(&shared));
                    connections.spawn(Box::pin(served) as Task);
                }
                Err(error) => {
                    log::warn!("the desk could not accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        // Who shuts down its side after the request still hears the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("a connection to the desk ended: {error}");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let taken = match tokio::time::timeout(REQUEST_MAX, take(request, &path, shared)).await {
        Ok(taken) => taken,
        Err(_) => return respond(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"),
    };
    match taken {
        Ok(status) => respond(status, "{}"),
        Err(refusal) => {
            shared.with(|session, _| session.refused(&path, &refusal));
            respond(refusal.status(), &refusal.reason())
        }
    }
}

async fn take(request: Request<Incoming>, path: &str, shared: &Shared) -> Result<StatusCode, Refusal> {
    let gone = StatusCode::SERVICE_UNAVAILABLE;
    let writes = matches!(*request.method(), Method::POST | Method::PUT);
    let Some(kind) = Kind::of(path, request.headers()).filter(|_| writes) else {
        let bytes = body::measure(request.into_body()).await?;
        return Ok(shared
            .with(|session, _| session.passed(path, bytes))
            .map_or(gone, |()| StatusCode::ACCEPTED));
    };
    let (parts, body) = request.into_parts();
    let encoding = match parts.headers.get(http::header::CONTENT_ENCODING) {
        Some(value) => Some(value.to_str().map_err(|_| Refusal::UnknownEncoding("not ASCII".to_owned()))?),
        None => None,
    };
    // The semaphore is never closed; were it, the request would only go unthrottled.
    let _permit = shared.bodies.acquire().await.ok();
    let packed = body::read(body, body::BODY_MAX_BYTES).await?;
    let body = body::unpack(packed, encoding, body::UNPACKED_MAX_BYTES)?;
    let shown = shared.with(|session, now| match kind {
        Kind::Traces => session.traces(&body, now),
        Kind::Stats => session.stats(&body),
        Kind::Series => session.series(decode::series(&body), now),
        Kind::SeriesJson => session.series(decode::series_json(&body), now),
        Kind::SeriesV1 => session.series(decode::series_v1(&body), now),
        Kind::Sketches => session.sketches(&body, now),
        Kind::Events => session.events(path, &body, now),
        Kind::Checks => session.checks(&body, now),
        Kind::Logs => session.logs(&body, now),
    });
    shown.transpose().map(|taken| taken.map_or(gone, |()| kind.taken()))
}

/// What is decoded.
#[derive(Clone, Copy)]
enum Kind {
    Traces,
    Stats,
    Series,
    SeriesJson,
    SeriesV1,
    Sketches,
    Events,
    Checks,
    Logs,
}

impl Kind {
    fn of(path: &str, headers: &HeaderMap) -> Option<Self> {
        let says_json = || {
            let said = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            said.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("application/json"))
        };
        Some(match path {
            "/api/v0.2/traces" => Self::Traces,
            "/api/v0.2/stats" => Self::Stats,
            "/api/v2/series" if says_json() => Self::SeriesJson,
            "/api/v2/series" => Self::Series,
            "/api/v1/series" => Self::SeriesV1,
            "/api/beta/sketches" => Self::Sketches,
            "/intake/" | "/intake" => Self::Events,
            "/api/v1/check_run" => Self::Checks,
            "/api/v2/logs" => Self::Logs,
            _ => return None,
        })
    }

    /// The status that a backend answers with.
    fn taken(self) -> StatusCode {
        match self {
            Self::Traces | Self::Stats => StatusCode::OK,
            _ => StatusCode::ACCEPTED,
        }
    }
}

fn respond(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    let kind = if status.is_success() { "application/json" } else { "text/plain" };
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
