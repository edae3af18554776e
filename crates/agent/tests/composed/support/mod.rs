//! The vocabulary: an agent in this process, its clients, and a backend that remembers.
//!
//! Every agent is stopped by [`Agent::stop`] or one of its kin, which hold the books to the promise: nothing is
//! held, nothing was forgotten, and what was accepted was delivered or dropped for a reason.

mod client;

pub(crate) use client::{Answer, Client, Request, get, post};

use lastlight_agent::config::{BaseUrl, Config, UdpAddress, source::Fixed};
use lastlight_agent::platform::{Face, Probe};
use lastlight_agent::{Bound, Deadline, Instant, Report, Running, SharedStrings, bind};
use model::{Book, Signal, Why};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use testkit::payload::span;
use testkit::proto::Span;
use testkit::{Action, Backend, Behaviour};

/// Far beyond anything a test needs; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Where batches of traces arrive.
pub(crate) const TRACES: &str = "/api/v0.2/traces";
/// Where statistics arrive.
pub(crate) const STATS: &str = "/api/v0.2/stats";

/// An agent to be: what its user sets.
pub(crate) struct Setup {
    strings: Fixed,
    backend: Backend,
    directory: tempfile::TempDir,
    face: Face,
    change: Vec<fn(&mut Config)>,
}

impl Setup {
    /// An agent of a test, all of whose routes lead to a backend of its own.
    pub(crate) async fn new() -> Self {
        let backend = Backend::start().await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = backend.url();
        let mut strings = Fixed::new()
            .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
            .with("DD_HOSTNAME", "here")
            .with("DD_ENV", "test")
            .with("DD_APM_RECEIVER_SOCKET", &directory.path().join("apm.socket").display().to_string())
            .with("DD_DOGSTATSD_SOCKET", &directory.path().join("dsd.socket").display().to_string())
            .with("DD_DOGSTATSD_STREAM_SOCKET", &directory.path().join("stream.socket").display().to_string())
            .with("DD_DD_URL", &url)
            .with("LASTLIGHT_FLUSH_PERIOD", "10ms");
        for name in [
            "DD_APM_DD_URL",
            "DD_APM_PROFILING_DD_URL",
            "DD_APM_TELEMETRY_DD_URL",
            "DD_APM_DEBUGGER_DD_URL",
            "DD_APM_DEBUGGER_DIAGNOSTICS_DD_URL",
            "DD_APM_SYMDB_DD_URL",
            "DD_EVP_PROXY_CONFIG_DD_URL",
            "DD_OL_PROXY_CONFIG_DD_URL",
        ] {
            strings = strings.with(name, &url);
        }
        Self { strings, backend, directory, face: Face::Agent, change: Vec::new() }
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.strings = self.strings.with(name, value);
        self
    }

    /// Where the backend is.
    pub(crate) fn backend_url(&self) -> String {
        self.backend.url()
    }

    /// Runs as another part of a program.
    pub(crate) fn face(self, face: Face) -> Self {
        Self { face, ..self }
    }

    /// Changes what no variable says.
    pub(crate) fn change(mut self, change: fn(&mut Config)) -> Self {
        self.change.push(change);
        self
    }

    pub(crate) fn config(&self) -> Config {
        let config = Config::load_for(&self.strings, self.face, &Probe::of_this_system());
        let mut config = config.expect("a configuration");
        config.receiver.port = Some(0);
        config.dogstatsd.udp = UdpAddress::only(SocketAddr::from(([127, 0, 0, 1], 0)));
        if let Some(microvm) = &mut config.microvm {
            microvm.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        }
        config.endpoints.tracer_flare.url = BaseUrl::new(&self.backend.url()).expect("a URL");
        for change in &self.change {
            change(&mut config);
        }
        config
    }

    /// Takes the sockets and starts nothing.
    pub(crate) async fn bind(self) -> BoundAgent {
        let bound = bind(self.config()).await.expect("the sockets");
        let (tcp, udp, hooks) = (bound.tcp_address(), bound.dogstatsd_address(), bound.microvm_address());
        BoundAgent { bound, tcp, udp, hooks, setup: self }
    }

    pub(crate) async fn start(self) -> Agent {
        self.bind().await.start()
    }
}

/// An agent that holds its sockets.
pub(crate) struct BoundAgent {
    bound: Bound,
    pub(crate) tcp: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    hooks: Option<SocketAddr>,
    setup: Setup,
}

impl BoundAgent {
    pub(crate) fn start(self) -> Agent {
        let Self { bound, tcp, udp, hooks, setup } = self;
        let unix = setup.directory.path().join("apm.socket");
        let strings: SharedStrings = Arc::new(setup.strings);
        let running = bound.start(strings).expect("a start");
        Agent { running, tcp, udp, hooks, unix, backend: setup.backend, directory: setup.directory }
    }
}

/// An agent at work.
pub(crate) struct Agent {
    pub(crate) running: Running,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) udp: Option<SocketAddr>,
    /// Where the platform of a MicroVM says what happens to it.
    pub(crate) hooks: Option<SocketAddr>,
    pub(crate) unix: PathBuf,
    pub(crate) backend: Backend,
    directory: tempfile::TempDir,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        Setup::new().await.start().await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.expect("a TCP transport")
    }

    /// A socket of the test's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.unix
    }

    /// A connection over TCP.
    pub(crate) async fn client(&self) -> Client {
        Client::tcp(self.address()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.client().await.exchange(request).await
    }

    pub(crate) fn book(&self, signal: Signal) -> Book {
        self.running.books().book(signal)
    }

    /// Waits for the backend.
    pub(crate) async fn backend_until(&self, condition: impl Fn(&Backend) -> bool) {
        self.backend.wait_until(condition, PATIENCE).await.expect("the backend got it");
    }

    /// Asks for the status until `condition` holds: each answer is a chance for everything else to go on.
    pub(crate) async fn status_until(
        &self,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut client = self.client().await;
        let asking = async {
            loop {
                let status = client.exchange(get("/lastlight/status")).await.json();
                if condition(&status) {
                    return status;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("a status like this")
    }

    /// Stops with all the time it needs, and expects that nothing is lost.
    pub(crate) async fn stop(self) -> Stopped {
        let stopped = self.stop_at(Deadline::at(Instant::now() + PATIENCE)).await;
        assert_eq!(stopped.report.lost(), 0, "{}", stopped.report);
        stopped
    }

    /// The same where invalid data was sent, which is dropped for that reason only.
    pub(crate) async fn stop_losing_what_is_invalid(self) -> Stopped {
        let stopped = self.stop_at(Deadline::at(Instant::now() + PATIENCE)).await;
        assert_eq!(
            stopped.report.lost(),
            stopped.book(Signal::Traces).dropped(Why::Invalid),
            "{}",
            stopped.report
        );
        stopped
    }

    /// Stops by a deadline.
    pub(crate) async fn stop_at(self, deadline: Deadline) -> Stopped {
        let report = self.running.stop("a test", deadline).await;
        for (signal, book) in &report.books {
            let settled = book.delivered + book.drops().map(|(_, units)| units).sum::<u64>();
            assert_eq!((book.held, book.accepted), (0, settled), "{}: {report}", signal.name());
            assert_eq!(book.dropped(Why::Forgotten), 0, "{}: {report}", signal.name());
        }
        Stopped { report, backend: self.backend }
    }
}

/// How it ended.
pub(crate) struct Stopped {
    pub(crate) report: Report,
    pub(crate) backend: Backend,
}

impl Stopped {
    pub(crate) fn book(&self, signal: Signal) -> Book {
        self.report.books.iter().find(|(of, _)| *of == signal).expect("books of every signal").1
    }

    /// Every one of these ids arrived, once.
    pub(crate) fn delivered_once(&self, ids: impl IntoIterator<Item = u64>) {
        assert_eq!(self.backend.missing(ids), [] as [u64; 0], "missing");
        assert_eq!(self.backend.duplicates(), [] as [u64; 0], "twice");
        assert_eq!(self.backend.counts().undecodable, 0);
    }
}

/// Traces of one span each, with these ids.
pub(crate) fn traces(ids: impl IntoIterator<Item = u64>) -> Vec<Vec<Span>> {
    ids.into_iter().map(|id| vec![recent(id)]).collect()
}

/// A span that ended a moment ago.
pub(crate) fn recent(id: u64) -> Span {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    Span { start: i64::try_from(now.as_nanos()).expect("this century") - 1_000_000, ..span(id) }
}

/// A v0.4 request of spans with these ids.
pub(crate) fn spans(ids: impl IntoIterator<Item = u64>) -> Request {
    post("/v0.4/traces", testkit::payload::v04(&traces(ids)))
}

/// The backend takes requests to this path and does not answer.
pub(crate) fn held(path: &str) -> Behaviour {
    Behaviour::new(Action::Hold).on(path)
}
