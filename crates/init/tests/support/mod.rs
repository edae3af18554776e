//! Real processes, with a bound on every wait.

#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "all of this is test code")]

pub(crate) mod session;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bound of each wait. Nothing here takes that long; a hang does.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
/// Lines that may wait to be read.
const LINES_MAX_COUNT: usize = 100_000;

/// The supervisor and the probe.
pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_init-probe");

/// A supervisor with its child.
pub(crate) struct Wrapper {
    process: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Wrapper {
    /// `init-probe run OPTIONS -- COMMAND`.
    pub(crate) fn start(options: &[&str], command: &[&str]) -> Self {
        let mut wrapper = Command::new(PROBE);
        wrapper.arg("run").args(options).arg("--").args(command);
        Self::of(&mut wrapper)
    }

    /// Any command, without a terminal's input.
    pub(crate) fn of(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdout = lines(process.stdout.take().unwrap());
        let stderr = lines(process.stderr.take().unwrap());
        Self { process, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The next line of the child.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(WAIT_MAX).expect("a line of the child")
    }

    /// The next line on standard error.
    pub(crate) fn err_line(&self) -> String {
        self.stderr.recv_timeout(WAIT_MAX).expect("a line on standard error")
    }

    /// Waits for a line of the supervisor.
    pub(crate) fn said(&self, line: &str) {
        let line = format!("init: {line}");
        while self.stderr.recv_timeout(WAIT_MAX).unwrap_or_else(|_| panic!("no line {line:?}")) != line {}
    }

    /// Waits for the end of the process, not of its output.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.pid());
        let (done, waited) = sync_channel::<()>(1);
        let guard = thread::spawn(move || {
            if waited.recv_timeout(WAIT_MAX) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                kill(pid, Signal::SIGKILL).ok();
                panic!("a process did not end");
            }
        });
        let status = self.process.wait().unwrap();
        drop(done);
        guard.join().unwrap();
        status
    }

    /// Waits for the end of process and output.
    pub(crate) fn end(mut self) -> Left {
        let status = self.wait();
        let rest = |lines: &Receiver<String>| {
            let mut rest = Vec::new();
            loop {
                match lines.recv_timeout(WAIT_MAX) {
                    Ok(line) => rest.push(line),
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return rest,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("output does not end"),
                }
            }
        };
        Left { status, stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }

    /// Waits for the end and gives the exit code.
    pub(crate) fn code(self) -> i32 {
        let left = self.end();
        left.status.code().unwrap_or_else(|| panic!("no exit code: {left:?}"))
    }
}

/// Waits for what no descriptor tells.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < end, "it does not come");
        thread::yield_now();
    }
}

/// The exit code of a command under the supervisor.
pub(crate) fn code_of(options: &[&str], command: &[&str]) -> i32 {
    Wrapper::start(options, command).code()
}

/// The lines of a stream, read as they come.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(LINES_MAX_COUNT);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Sends signals by number, real-time ones too, in order.
pub(crate) fn send_numbers(pid: i32, numbers: &[u8]) {
    let script: Vec<String> = numbers.iter().map(|number| format!("kill -{number} {pid}")).collect();
    assert!(Command::new("sh").arg("-c").arg(script.join("\n")).status().unwrap().success());
}

/// Runs the probe as PID 1 of a namespace of its own; `None`, said aloud, where that is not permitted.
pub(crate) fn as_pid_1(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Option<Wrapper> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        unshare
    };
    if !unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no PID namespaces here");
        return None;
    }
    Some(Wrapper::of(unshare().arg(PROBE).args(arguments)))
}
