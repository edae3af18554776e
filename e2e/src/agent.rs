//! A running agent: the real binary, or the mini agent.

use crate::{
    BOUND,
    books::{self, Books},
    variable,
};
use std::{
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};
use testkit::Backend;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// What an agent says when its listeners are up.
const LISTENING: &str = "listening on";
/// The setting of the UDP port for DogStatsD.
const STATSD_PORT: &str = "DD_DOGSTATSD_PORT";

/// The lastlight under test: `LASTLIGHT_BIN`, or what was built beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = variable("LASTLIGHT_BIN") {
        return path;
    }
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("the path of the test");
    let profile = test.ancestors().nth(2).expect("a target folder");
    let candidates = [profile.join("lastlight"), profile.with_file_name("release").join("lastlight")];
    let found = candidates.iter().find(|path| path.exists());
    found
        .cloned()
        .unwrap_or_else(|| panic!("build lastlight first, or set LASTLIGHT_BIN; looked at {candidates:?}"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("its address").port()
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port() -> u16 {
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("its address").port()
}

/// How to start lastlight.
#[derive(Debug)]
pub struct Start {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    port: u16,
    statsd_port: u16,
}

impl Start {
    /// lastlight on a free TCP port, sending everything to `backend`.
    pub fn new(backend: &Backend) -> Self {
        Self::with_backend(&backend.url())
    }

    /// The same with the backend's URL.
    pub fn with_backend(url: &str) -> Self {
        let port = free_port();
        let mut start =
            Self { program: binary(), arguments: Vec::new(), variables: Vec::new(), port, statsd_port: 0 };
        for (name, value) in variables(url, port) {
            if name == STATSD_PORT {
                start.statsd_port = value.parse().expect("a port");
            }
            start.variables.push((name.to_owned(), value));
        }
        start
    }

    /// Sets a variable.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Listens on a Unix socket too.
    pub fn socket(self, path: &Path) -> Self {
        self.set("DD_APM_RECEIVER_SOCKET", path.display().to_string())
    }

    /// Takes DogStatsD on Unix sockets in a folder too: datagrams at [`datagram_socket`], frames at
    /// [`stream_socket`].
    pub fn statsd_sockets(self, folder: &Path) -> Self {
        let (datagram, stream) = (datagram_socket(folder), stream_socket(folder));
        self.set("DD_DOGSTATSD_SOCKET", datagram.display().to_string())
            .set("DD_DOGSTATSD_STREAM_SOCKET", stream.display().to_string())
    }

    /// Listens on this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self.set("DD_APM_RECEIVER_PORT", port.to_string())
    }

    /// Runs a shell script that starts `"$LASTLIGHT"`, instead of lastlight itself.
    pub fn through_shell(mut self, script: &str) -> Self {
        let lastlight = std::mem::replace(&mut self.program, "/bin/bash".into());
        self.arguments = vec!["-c".into(), script.into()];
        self.set("LASTLIGHT", lastlight.display().to_string())
    }

    /// Starts without waiting for the listeners.
    pub fn spawn(self) -> Agent {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(inherited());
        command.envs(self.variables).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Agent::spawn(command, self.port, self.statsd_port)
    }

    /// Starts, and waits until it listens.
    pub async fn start(self) -> Agent {
        let agent = self.spawn();
        agent.says(LISTENING).await;
        agent
    }
}

/// Where [`Start::statsd_sockets`] takes datagrams.
pub fn datagram_socket(folder: &Path) -> PathBuf {
    folder.join("dsd.socket")
}

/// Where [`Start::statsd_sockets`] takes frames.
pub fn stream_socket(folder: &Path) -> PathBuf {
    folder.join("dsd_stream.socket")
}

/// The settings of where everything goes but logs.
pub const INTAKES: [&str; 5] = [
    "DD_APM_DD_URL",
    "DD_APM_PROFILING_DD_URL",
    "DD_APM_TELEMETRY_DD_URL",
    "DD_EVP_PROXY_CONFIG_DD_URL",
    "DD_DD_URL",
];

/// The variables by which lastlight sends everything to a backend, and listens where no other test does.
pub fn variables(backend: &str, port: u16) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("DD_API_KEY", "0123456789abcdef0123456789abcdef".to_owned()),
        ("DD_APM_RECEIVER_PORT", port.to_string()),
        (STATSD_PORT, free_udp_port().to_string()),
        ("DD_HOSTNAME", "e2e".to_owned()),
    ];
    variables.extend(INTAKES.map(|name| (name, backend.to_owned())));
    variables
}

/// What a started program gets of our own environment: nothing that configures it.
pub(crate) fn inherited() -> Vec<(&'static str, PathBuf)> {
    ["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((*name, variable(name)?))).collect()
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    port: u16,
    statsd_port: u16,
    said: Arc<Said>,
    _readers: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    changes: watch::Sender<Ended>,
}

/// How many of the two outputs have ended.
type Ended = u8;

impl Agent {
    pub(crate) fn spawn(mut command: Command, port: u16, statsd_port: u16) -> Self {
        let mut child = command.kill_on_drop(true).spawn().expect("the agent starts");
        let said = Arc::new(Said::default());
        let mut readers = JoinSet::new();
        readers.spawn(read(child.stderr.take().expect("its stderr"), Arc::clone(&said)));
        readers.spawn(read(child.stdout.take().expect("its stdout"), Arc::clone(&said)));
        Self { child, port, statsd_port, said, _readers: readers }
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its UDP port for DogStatsD.
    pub fn statsd_port(&self) -> u16 {
        self.statsd_port
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running agent")
    }

    /// Everything it said so far, on either output.
    pub fn lines(&self) -> Vec<String> {
        self.said.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it says something; the line.
    ///
    /// # Panics
    /// When it ends or a minute passes without.
    pub async fn says(&self, what: &str) -> String {
        let mut changes = self.said.changes.subscribe();
        let found = timeout(BOUND, async {
            loop {
                let ended = *changes.borrow_and_update();
                if let Some(line) = self.lines().into_iter().find(|line| line.contains(what)) {
                    return Some(line);
                }
                if ended == 2 || changes.changed().await.is_err() {
                    return None;
                }
            }
        });
        match found.await {
            Ok(Some(line)) => line,
            _ => panic!("it never said {what:?}, but:\n{}", self.lines().join("\n")),
        }
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, signal: &str) {
        kill(self.pid(), signal).await;
    }

    /// A figure of `/proc/<pid>/status` such as `VmHWM`, bytes.
    pub fn memory(&self, field: &str) -> u64 {
        memory(self.pid(), field)
    }

    /// Waits for its end: how it ended and what it said.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub async fn ends(mut self) -> Stopped {
        let status = timeout(BOUND, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end:\n{}", self.lines().join("\n")));
        let mut changes = self.said.changes.subscribe();
        // Descendants may hold its outputs open for longer than it lives.
        drop(timeout(BOUND, changes.wait_for(|ended| *ended == 2)).await);
        let lines = self.lines();
        Stopped { status: status.expect("its status"), books: books::last(&lines), lines }
    }

    /// Stops it by SIGTERM.
    pub async fn stop(self) -> Stopped {
        self.signal("TERM").await;
        self.ends().await
    }
}

/// An agent that has ended.
#[derive(Debug)]
pub struct Stopped {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What its last line says, when it says it.
    pub books: Option<Books>,
    /// Everything it said.
    pub lines: Vec<String>,
}

impl Stopped {
    /// Asserts a clean end with nothing held, lost or forgotten; the books.
    ///
    /// # Panics
    /// When something was lost.
    pub fn without_loss(&self) -> &Books {
        let said = self.lines.join("\n");
        assert_eq!(self.status.code(), Some(0), "{said}");
        let books = self.books.as_ref().unwrap_or_else(|| panic!("no last line:\n{said}"));
        for (signal, book) in &books.signals {
            assert_eq!(book.held, 0, "{signal}: {said}");
            assert_eq!(book.lost(), 0, "{signal}: {said}");
            assert_eq!(book.accepted, book.delivered + book.dropped, "{signal}: {said}");
        }
        books
    }
}

/// Sends a signal to a process.
pub async fn kill(pid: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await;
    assert!(sent.is_ok_and(|status| status.success()), "SIG{signal} to {pid}");
}

/// A figure of `/proc/<pid>/status`, bytes.
pub fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    let kilobytes: u64 =
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    kilobytes * 1024
}

async fn read(output: impl AsyncRead + Unpin, said: Arc<Said>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        said.changes.send_modify(|_| ());
    }
    said.changes.send_modify(|ended| *ended += 1);
}
