//! Accept loops and connections: what one of them does never ends another.

use super::Intake;
use super::door::{Body, Reason, Refusal};
use super::routes::Route;
use crate::linger::Linger;
use crate::logging::SayOnce;
use crate::microvm::{self, Hooks};
use crate::transport::{Transport, TransportName, is_listener_dead};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lifecycle::Close;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Pause after an accept error that may pass, such as no descriptors (losses.md L10): first, and at most.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// After the stop began, a listener goes on until none has come for a while ([`Linger`]): connections
/// that the kernel had already taken are served, not reset. No longer than this in all: clients that keep coming
/// do not keep the stop waiting.
const ACCEPT_LINGER_MAX: Duration = Duration::from_millis(100);
/// A request's head may take this many times the body's time; idle connections count as waiting for a head.
const HEAD_TIMEOUT_FACTOR: u32 = 6;
/// Accepted connections that wait to be served.
const HAND_OVER_COUNT: usize = 64;
/// Bytes of head and body read ahead, per connection.
const READ_AHEAD_MAX_BYTES: usize = 256 * 1024;

/// What is known of one listener.
#[derive(Debug)]
pub(crate) struct TransportState {
    /// Kind and address.
    pub(crate) name: TransportName,
    /// Connections accepted since the start.
    pub(crate) connections: AtomicU64,
    /// Connections open now.
    pub(crate) open: AtomicUsize,
    /// Accept errors survived.
    pub(crate) accept_errors: AtomicU64,
}

impl TransportState {
    /// A listener that has accepted nothing yet.
    pub(crate) fn new(name: TransportName) -> Self {
        Self {
            name,
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            accept_errors: AtomicU64::new(0),
        }
    }
}

/// A connection on its way from the accept loop to the intake.
pub(crate) type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The hand-over from accept loops to the intake stage.
pub(crate) fn hand_over() -> (mpsc::Sender<Connection>, mpsc::Receiver<Connection>) {
    mpsc::channel(HAND_OVER_COUNT)
}

/// What every accept loop shares.
#[derive(Clone)]
pub(crate) struct Accepting {
    /// Connections that may be open at one time, over all transports.
    pub(crate) permits: Arc<Semaphore>,
    /// Where they are served.
    pub(crate) connections: mpsc::Sender<Connection>,
    /// For what goes wrong.
    pub(crate) say: Arc<SayOnce>,
    /// How long it goes on after the stop began.
    pub(crate) linger: Arc<Linger>,
}

/// One accept loop; `serve` makes what a connection does. Returns when it was asked to close and the kernel's
/// queue is empty, or when the listening socket died, which the stack notices.
pub(crate) async fn listen<T, S, C>(
    mut transport: T,
    state: Arc<TransportState>,
    accepting: Accepting,
    serve: S,
    close: Close,
) where
    T: Transport,
    S: Fn(T::Stream, Close) -> C + Send + Sync + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let Accepting { permits, connections, say, linger } = accepting;
    let connection = |stream, permit| {
        let guard = Open::new(&state, permit);
        let served = serve(stream, close.clone());
        Box::pin(async move {
            let _guard = guard;
            served.await;
        })
    };
    let mut pause = ACCEPT_PAUSE;
    loop {
        // A permit first: over the bound, connections wait in the kernel.
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = close.requested() => break,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = transport.accept() => accepted,
            () = close.requested() => break,
        };
        match accepted {
            Ok(stream) => {
                pause = ACCEPT_PAUSE;
                if connections.send(connection(stream, permit)).await.is_err() {
                    return;
                }
            }
            Err(error) if is_listener_dead(&error) => {
                log::error!("the listener on {} died: {error}", state.name);
                return;
            }
            Err(error) => {
                state.accept_errors.fetch_add(1, Ordering::Relaxed);
                say.warn("accept", || {
                    format!("cannot accept on {}: {error}; pausing, connections wait", state.name)
                });
                tokio::select! {
                    () = sleep(pause) => {}
                    () = close.requested() => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
    // What the kernel took before the stop is served.
    let end = Instant::now() + ACCEPT_LINGER_MAX;
    while Instant::now() < end {
        let Ok(Ok(stream)) = timeout(linger.silence(), transport.accept()).await else { break };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
        if connections.send(connection(stream, permit)).await.is_err() {
            break;
        }
    }
}

/// An open connection; counts itself out however it ends (losses.md L139).
struct Open {
    state: Arc<TransportState>,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(state: &Arc<TransportState>, permit: OwnedSemaphorePermit) -> Self {
        state.connections.fetch_add(1, Ordering::Relaxed);
        state.open.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::clone(state), _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who answers requests. One type, so that there is one server.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// The receiver.
    Intake(Arc<Intake>),
    /// What the platform of a MicroVM says.
    Hooks(Arc<Hooks>),
}

/// What a connection is read from and written to.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Serves the HTTP requests of one connection. Of any kind by a pointer, so that there is one server of HTTP/1.
pub(crate) async fn serve(stream: Box<dyn Duplex>, server: Server, stopping: Close) {
    let read_timeout = match &server {
        Server::Intake(intake) => intake.settings.read_timeout,
        Server::Hooks(_) => microvm::READ_TIMEOUT,
    };
    let read = Arc::new(AtomicU64::new(0));
    // Bytes read when the last answer was made: while no more come, the connection is idle.
    let answered_at = AtomicU64::new(0);
    let service = service_fn(|request| {
        let answered = answer(server.clone(), request);
        let (read, answered_at) = (&read, &answered_at);
        async move {
            let answer = answered.await;
            answered_at.store(read.load(Ordering::Relaxed), Ordering::Relaxed);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout * HEAD_TIMEOUT_FACTOR)
        .max_buf_size(READ_AHEAD_MAX_BYTES)
        // A client that sent its request and shut down its side still counts.
        .half_close(true)
        .serve_connection(TokioIo::new(Counted { stream, read: Arc::clone(&read) }), service);
    let mut connection = pin!(connection);
    let note = |result| {
        let is_idle = read.load(Ordering::Relaxed) == answered_at.load(Ordering::Relaxed);
        if let Server::Intake(intake) = &server {
            note(intake, result, is_idle);
        }
    };
    tokio::select! {
        biased;
        // Errors here are the client's own doing (reset, bad head); hyper has answered what it could.
        result = connection.as_mut() => return note(result),
        () = stopping.stop_begun() => {}
    }
    let linger = match &server {
        Server::Intake(intake) => intake.linger.silence(),
        Server::Hooks(_) => Linger::default().silence(),
    };
    tokio::select! {
        biased;
        result = connection.as_mut() => return note(result),
        // A request that the kernel had already taken is served, not reset.
        () = sleep(linger) => {}
    }
    connection.as_mut().graceful_shutdown();
    note(connection.await);
}

fn note(intake: &Intake, result: Result<(), hyper::Error>, is_idle: bool) {
    if let Err(error) = result
        && (error.is_parse() || (error.is_timeout() && !is_idle))
    {
        let reason = if error.is_timeout() { Reason::Timeout } else { Reason::Malformed };
        // hyper has answered; this counts it and says it once.
        let _ =
            intake.door.refuse(Route::Unknown, &Refusal::new(reason, format!("bad request head: {error}")));
    }
}

/// A stream that counts what is read from it.
struct Counted {
    stream: Box<dyn Duplex>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.read.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Serves connections until every accept loop is gone and every connection ended.
pub(crate) async fn connections(mut incoming: mpsc::Receiver<Connection>, close: Close) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            connection = incoming.recv() => match connection {
                Some(connection) => { open.spawn(connection); }
                None => break,
            },
            Some(_) = open.join_next() => {}
            () = close.abandoned() => break,
        }
    }
    tokio::select! {
        () = async { while open.join_next().await.is_some() {} } => {}
        () = close.abandoned() => open.shutdown().await,
    }
}

/// Answers one request; a panic costs that request only (losses.md L8).
async fn answer(
    server: Server,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let intake = match server {
        Server::Intake(intake) => intake,
        Server::Hooks(hooks) => {
            // Boxed: the receiver's requests need no place for it.
            let answer = catch_unwind(AssertUnwindSafe(Box::pin(hooks.answer(request)))).await;
            return Ok(answer.unwrap_or_else(|()| {
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }));
        }
    };
    let route = Route::of(request.uri().path());
    let work = AssertUnwindSafe(intake.handle(route, request));
    let mut response = match catch_unwind(work).await {
        Ok(response) => response,
        Err(()) => intake.door.refuse(
            route,
            &Refusal::new(Reason::Panicked, "internal error: the request was not accepted; please report it"),
        ),
    };
    if route != Route::Info {
        intake.info.stamp(response.headers_mut());
    }
    Ok(response)
}

/// Polls a future, turning a panic into `Err`.
async fn catch_unwind<F: Future>(work: AssertUnwindSafe<F>) -> Result<F::Output, ()> {
    let mut work = pin!(work.0);
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(_) => Poll::Ready(Err(())),
        }
    })
    .await
}
