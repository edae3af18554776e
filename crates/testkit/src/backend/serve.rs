//! The sockets of a backend.

use super::{
    Keep,
    behaviour::{Action, Behaviour, Verdict},
    control,
    decode::{self, Decoded},
    state::{Answer, Arrived, Counts, State},
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Connections waiting to be accepted.
const BACKLOG: u32 = 1024;

/// What the outside tells the accept loop.
#[derive(Debug)]
pub(super) enum Command {
    /// Refuse connections from a moment on, for ever or for a period.
    Refuse(Instant, Option<Duration>),
    /// Listen again.
    Listen,
    /// End.
    Stop,
}

pub(super) type Commands = mpsc::UnboundedSender<Command>;

#[expect(clippy::disallowed_methods, reason = "commands come from tests, one by one, not from the network")]
pub(super) fn commands() -> (Commands, mpsc::UnboundedReceiver<Command>) {
    mpsc::unbounded_channel()
}

/// What the handle and the tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    keep: Keep,
    state: Mutex<State>,
    version: watch::Sender<u64>,
    /// Counts releases: a held request waits for the next one.
    released: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            state: Mutex::default(),
            version: watch::Sender::new(0),
            released: watch::Sender::new(0),
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn behave(&self, mut behaviour: Behaviour, commands: &Commands) {
        behaviour.add(Instant::now());
        match behaviour.refusal() {
            Some((from, period)) => drop(commands.send(Command::Refuse(from, period))),
            None => self.lock().rules.push_back(behaviour),
        }
    }

    pub(super) fn recover(&self, commands: &Commands) {
        self.lock().rules.clear();
        self.release();
        drop(commands.send(Command::Listen));
    }

    pub(super) fn release(&self) {
        self.lock().rules.retain(|rule| rule.action() != Action::Hold);
        self.released.send_modify(|releases| *releases += 1);
    }

    pub(super) fn reset(&self) {
        self.lock().reset();
        self.changed();
    }

    fn verdict(&self, path: &str) -> Verdict {
        let mut state = self.lock();
        let now = Instant::now();
        state.rules.retain(|rule| !rule.is_over(now));
        state.rules.iter_mut().find(|rule| rule.fits(path, now)).map(Behaviour::use_once).unwrap_or_default()
    }

    /// Books a request; decodes it unless that was done, or is to be done later.
    fn record(&self, arrived: Arrived, decoded: Option<Decoded>, answer: Answer) {
        if self.keep == Keep::Counts {
            self.lock().defer(arrived, answer);
        } else {
            let decoded = decoded.unwrap_or_else(|| decode::body(&arrived));
            self.lock().record(arrived, decoded, answer, self.keep);
        }
        self.changed();
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that is ours, listening or not.
#[derive(Debug)]
pub(super) struct Bound {
    address: SocketAddr,
    /// Bound but never listening: keeps the port ours, refusing, while no listener is open.
    _placeholder: TcpSocket,
    listener: TcpListener,
}

impl Bound {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

pub(super) fn bind(wanted: SocketAddr) -> io::Result<Bound> {
    let placeholder = TcpSocket::new_v4()?;
    if wanted.port() != 0 {
        // A fixed port may still have connections in TIME_WAIT from the run before.
        placeholder.set_reuseaddr(true)?;
    }
    placeholder.bind(wanted)?;
    placeholder.set_reuseaddr(true)?;
    let address = placeholder.local_addr()?;
    Ok(Bound { address, _placeholder: placeholder, listener: listen(address)? })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts and serves until told to stop.
pub(super) async fn run(bound: Bound, shared: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<Command>) {
    let Bound { address, _placeholder, listener } = bound;
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut refusals: Vec<(Instant, Option<Duration>)> = Vec::new();
    let (to_self, mut from_connections) = commands();
    loop {
        let now = Instant::now();
        refusals.retain(|(from, period)| period.is_none_or(|period| *from + period > now));
        if refusals.iter().any(|(from, _)| *from <= now) {
            if listener.take().is_some() {
                connections.shutdown().await;
            }
        } else if listener.is_none() {
            listener = Some(listen(address).expect("the placeholder keeps the port"));
        }
        // When the next refusal begins or ends.
        let moments =
            refusals.iter().flat_map(|(from, period)| [Some(*from), period.map(|period| *from + period)]);
        let next = moments.flatten().filter(|moment| *moment > now).min();
        let changed = async {
            match next {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
        };
        let command = tokio::select! {
            accepted = accept(listener.as_ref()) => {
                // An accept error is the client's or a passing lack of descriptors.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared), to_self.clone()));
                }
                continue;
            }
            () = changed => continue,
            Some(_) = connections.join_next() => continue,
            Some(command) = from_connections.recv() => command,
            command = inbox.recv() => command.unwrap_or(Command::Stop),
        };
        match command {
            Command::Refuse(from, period) => refusals.push((from, period)),
            Command::Listen => refusals.clear(),
            Command::Stop => return connections.shutdown().await,
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, commands: Commands) {
    drop(stream.set_nodelay(true));
    let service = hyper::service::service_fn(move |request| {
        let (shared, commands) = (Arc::clone(&shared), commands.clone());
        async move { answer(request, shared, commands).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(1024 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's affair; what it brought is in the books.
    drop(connection.await);
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Close;

impl std::fmt::Display for Close {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed as told")
    }
}

impl std::error::Error for Close {}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    commands: Commands,
) -> Result<Response<Full<Bytes>>, Close> {
    if request.uri().path().starts_with("/_") {
        return Ok(control::answer(request, &shared, &commands).await);
    }
    let (head, body) = request.into_parts();
    let path = if head.uri.scheme().is_some() { head.uri.to_string() } else { head.uri.path().to_owned() };
    // Before the verdict: a release between the two must not be missed.
    let mut released = shared.released.subscribe();
    let verdict = shared.verdict(&path);
    let mut receiving = Receiving {
        shared: &shared,
        arrived: Some(Arrived {
            method: head.method,
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: Bytes::new(),
        }),
        decoded: None,
    };
    let half = (verdict.action == Action::CloseHalfRead)
        .then(|| body.size_hint().exact().map_or(1, |length| length.div_ceil(2)));
    let Ok(bytes) = read(body, half).await else { return Err(Close) };
    receiving.body(bytes);
    if half.is_some() {
        receiving.end(Answer::Closed);
        return Err(Close);
    }
    if verdict.action == Action::Hold {
        shared.changed();
        drop(released.changed().await);
    }
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    let status = match verdict.action {
        Action::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        Action::CloseBeforeReply => {
            receiving.end(Answer::Closed);
            return Err(Close);
        }
        _ if receiving.is_oversized() => StatusCode::PAYLOAD_TOO_LARGE,
        // Stats must be answered with exactly 202 for older agents.
        _ => StatusCode::ACCEPTED,
    };
    receiving.end(Answer::Status(status.as_u16()));
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(value) = verdict.retry_after {
        response = response.header("retry-after", value);
    }
    Ok(response.body(Full::new(Bytes::from_static(b"{}"))).unwrap_or_default())
}

/// Reads a body, or its first `limit` bytes and what came with them.
async fn read(mut body: Incoming, limit: Option<u64>) -> hyper::Result<Bytes> {
    let Some(limit) = limit else { return Ok(body.collect().await?.to_bytes()) };
    let mut read = BytesMut::new();
    while (read.len() as u64) < limit {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// A request that is booked however its connection ends.
struct Receiving<'a> {
    shared: &'a Shared,
    arrived: Option<Arrived>,
    decoded: Option<Decoded>,
}

impl Receiving<'_> {
    fn body(&mut self, bytes: Bytes) {
        if let Some(arrived) = &mut self.arrived {
            arrived.body = bytes;
        }
    }

    /// Whether its intake refuses it as too big.
    fn is_oversized(&mut self) -> bool {
        match &self.arrived {
            Some(arrived) if self.shared.keep == Keep::Counts => decode::is_oversized_on_the_wire(arrived),
            Some(arrived) if decode::is_limited(arrived) => {
                self.decoded.get_or_insert_with(|| decode::body(arrived)).oversized
            }
            _ => false,
        }
    }

    fn end(&mut self, answer: Answer) {
        if let Some(arrived) = self.arrived.take() {
            self.shared.record(arrived, self.decoded.take(), answer);
        }
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.end(Answer::Abandoned);
    }
}

/// An answer of the control routes.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(body.to_string()))).unwrap_or_default()
}
