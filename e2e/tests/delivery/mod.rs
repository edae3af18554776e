//! Programs under `lastlight run` and what arrives of them.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod metadata;

use lastlight_e2e::{
    BOUND,
    agent::{binary, free_port, kill, variables},
    books::{Books, parse},
};
use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use testkit::{Backend, Log};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// A program under `lastlight run`, before it starts.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    variables: Vec<(String, String)>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Run {
    /// With logs on, on free ports, sending everything to `backend`.
    pub(crate) fn new(backend: &Backend) -> Self {
        Self::to(&backend.url())
    }

    /// The same with the backend's URL.
    pub(crate) fn to(url: &str) -> Self {
        let run = Self {
            program: binary(),
            arguments: ["run", "--"].map(str::to_owned).to_vec(),
            variables: Vec::new(),
            stdout: None,
            stderr: None,
        };
        let run =
            variables(url, free_port()).into_iter().fold(run, |run, (name, value)| run.set(name, value));
        run.set("DD_LOGS_CONFIG_LOGS_DD_URL", url)
            .set("DD_LOGS_PORT", free_port().to_string())
            .set("DD_LOGS_ENABLED", "true")
            .set("JOB", env!("CARGO_BIN_EXE_e2e-job"))
    }

    /// Sets a variable.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Takes a variable away.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self
    }

    /// By other words than `lastlight run --`.
    pub(crate) fn words(mut self, words: &[&str]) -> Self {
        self.arguments = words.iter().map(ToString::to_string).collect();
        self
    }

    /// Its standard output goes there, and not to the test.
    pub(crate) fn stdout(mut self, to: Stdio) -> Self {
        self.stdout = Some(to);
        self
    }

    /// Its standard error goes there, and not to the test.
    pub(crate) fn stderr(mut self, to: Stdio) -> Self {
        self.stderr = Some(to);
        self
    }

    /// What a variable was set to.
    ///
    /// # Panics
    /// When it was not.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(had, _)| had == name).unwrap_or_else(|| panic!("{name}")).1
    }

    fn port(&self, name: &str) -> u16 {
        self.variable(name).parse().expect("a port")
    }

    /// Runs a shell script.
    pub(crate) fn sh(self, script: &str) -> Running {
        self.start(&["sh", "-c", script])
    }

    /// Runs the Python at hand; nothing of it is needed but its standard library.
    pub(crate) fn python(self, script: &str) -> Running {
        self.start(&["python3", "-c", script])
    }

    /// Runs a command, in a process group of its own.
    pub(crate) fn start(mut self, words: &[&str]) -> Running {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(words);
        command.env_clear().envs(inherited()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        command.stdout(stdout.unwrap_or_else(Stdio::piped)).stderr(stderr.unwrap_or_else(Stdio::piped));
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().expect("it starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let mut readers = JoinSet::new();
        if let Some(from) = child.stdout.take() {
            readers.spawn(read(from, Arc::clone(&stdout)));
        }
        if let Some(from) = child.stderr.take() {
            readers.spawn(read(from, Arc::clone(&stderr)));
        }
        let pid = child.id().expect("a running command");
        Running { child, pid, began, run: self, stdout, stderr, readers }
    }
}

/// What was written so far.
#[derive(Debug, Default)]
struct Written {
    bytes: Mutex<Vec<u8>>,
    changes: watch::Sender<()>,
}

impl Written {
    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has(&self, what: &str) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        memchr::memmem::find(&bytes, what.as_bytes()).is_some()
    }
}

async fn read(mut from: impl AsyncRead + Unpin, into: Arc<Written>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        into.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..length]);
        into.changes.send_replace(());
    }
}

/// A program under `lastlight run`. Killed with its group when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: u32,
    began: Instant,
    run: Run,
    stdout: Arc<Written>,
    stderr: Arc<Written>,
    readers: JoinSet<()>,
}

impl Running {
    /// The process id of lastlight.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Port of `/v1/input`.
    pub(crate) fn logs_port(&self) -> u16 {
        self.run.port("DD_LOGS_PORT")
    }

    /// Port of traces.
    pub(crate) fn port(&self) -> u16 {
        self.run.port("DD_APM_RECEIVER_PORT")
    }

    /// Port of DogStatsD.
    pub(crate) fn statsd_port(&self) -> u16 {
        self.run.port("DD_DOGSTATSD_PORT")
    }

    /// What is on standard error so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Waits until standard output has something.
    pub(crate) async fn prints(&self, what: &str) {
        self.waits(&self.stdout, what).await;
    }

    /// Waits until standard error has something.
    pub(crate) async fn says(&self, what: &str) {
        self.waits(&self.stderr, what).await;
    }

    async fn waits(&self, written: &Written, what: &str) {
        let mut changes = written.changes.subscribe();
        let found = timeout(BOUND, async {
            loop {
                changes.borrow_and_update();
                if written.has(what) {
                    return;
                }
                changes.changed().await.expect("the sender is ours");
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what:?} never came: {}", self.said()));
    }

    /// Sends a signal to lastlight alone, as a platform does.
    pub(crate) async fn signal(&self, signal: &str) {
        kill(self.pid, signal).await;
    }

    /// Kills lastlight and everything it started, as a platform does at the end of its grace.
    pub(crate) async fn kill_all(&mut self) {
        kill_group(self.pid).await;
        drop(timeout(BOUND, self.child.wait()).await);
    }

    /// Its end, when it comes before `grace` is over; nothing then, and everything is killed.
    pub(crate) async fn ends_within(mut self, grace: Duration) -> Option<Ended> {
        let Ok(status) = timeout(grace, self.child.wait()).await else {
            kill_group(self.pid).await;
            return None;
        };
        let lasted = self.began.elapsed();
        let readers = std::mem::take(&mut self.readers);
        // Descendants may hold its outputs open for longer than it lives.
        drop(timeout(BOUND, readers.join_all()).await);
        let stderr = self.said();
        let books = stderr.lines().rev().find_map(parse);
        let status = status.expect("its status");
        Some(Ended { code: code(status), books, stdout: self.stdout.bytes(), stderr, lasted })
    }

    /// Its end.
    ///
    /// # Panics
    /// When it does not come within a minute.
    pub(crate) async fn ends(self) -> Ended {
        let said = Arc::clone(&self.stderr);
        let ended = self.ends_within(BOUND).await;
        ended.unwrap_or_else(|| panic!("it does not end: {}", String::from_utf8_lossy(&said.bytes())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            let group = format!("-{}", self.pid);
            drop(
                std::process::Command::new("kill")
                    .args(["-KILL", "--", &group])
                    .stderr(Stdio::null())
                    .status(),
            );
        }
    }
}

async fn kill_group(pid: u32) {
    let group = format!("-{pid}");
    let sent = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().await;
    assert!(sent.is_ok(), "kill cannot be run");
}

/// An exit code, as a shell has it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"))
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) books: Option<Books>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) lasted: Duration,
}

impl Ended {
    /// The books, which balance, with nothing held.
    ///
    /// # Panics
    /// When they do not, or are not there.
    pub(crate) fn books(&self) -> &Books {
        let tail = self.tail();
        let books = self.books.as_ref().unwrap_or_else(|| panic!("no last line: {tail}"));
        for (signal, book) in &books.signals {
            assert_eq!(book.held, 0, "{signal}: {tail}");
            assert_eq!(book.accepted, book.delivered + book.dropped, "{signal}: {tail}");
            let reasons: u64 = book.reasons.values().sum();
            assert_eq!(book.dropped, reasons, "{signal}: {tail}");
        }
        books
    }

    /// The books, of which nothing was lost.
    ///
    /// # Panics
    /// When something was.
    pub(crate) fn without_loss(&self) -> &Books {
        let books = self.books();
        for (signal, book) in &books.signals {
            assert_eq!(book.lost(), 0, "{signal}: {}", self.tail());
        }
        books
    }

    /// The end of what it said, for messages.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<_> = self.stderr.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// Where to look first when they differ: texts that did not arrive once each.
///
/// # Panics
/// When the logs are not the lines of a job, each once.
pub(crate) fn assert_job_logs(logs: &[Log], lines: u64) {
    let mut numbers = BTreeSet::new();
    for log in logs {
        let number: Option<u64> = log.message.split(' ').next().and_then(|word| word.parse().ok());
        let number = number.unwrap_or_else(|| panic!("no line of the job: {log:?}"));
        assert!(numbers.insert(number), "twice: {log:?}");
    }
    let missing: Vec<_> = (0..lines).filter(|number| !numbers.contains(number)).take(5).collect();
    assert!(missing.is_empty(), "{} of {lines} lines; not {missing:?} …", numbers.len());
    assert_eq!(numbers.len() as u64, lines);
}

/// The child that logs, counts and traces, as a word list of a shell script: `"$JOB" …`.
pub(crate) fn job(logs: u64, samples: u64, spans: u64, seconds: u64) -> String {
    format!("\"$JOB\" {logs} {samples} {spans} {seconds} \"$DD_DOGSTATSD_PORT\" \"$DD_APM_RECEIVER_PORT\"")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test hands on where programs are, and nothing that configures"
)]
fn inherited() -> Vec<(&'static str, String)> {
    ["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect()
}
