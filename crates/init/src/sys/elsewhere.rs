//! Systems without signal descriptors: the standard library alone. The child is started, waited for and captured; signals
//! are neither held back nor passed on, so Ctrl-C is the child's and ours at once, and nobody but the child is reaped.
//! A captured child writes into pipes also where we have a terminal.

use super::Change;
use crate::capture::{Capture, Captured, Output, Progress, say};
use crate::command::{Command, SpawnError, Stream};
use crate::exit_code::{NOT_FOUND, NOT_RUNNABLE, Status};
use crate::signals::{Sender, Signal};
use crate::supervise::{Event, Rules};
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at once.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes that are read after the child's end, from a stream that another process goes on filling.
const LAST_BYTES_MAX: usize = 2 << 20;

/// Nothing is.
#[derive(Debug)]
pub(crate) struct Blocked;

/// The child.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    ended: Option<Status>,
    told: bool,
}

/// A blocking read cannot be woken; it ends with the stream.
#[derive(Debug)]
pub(crate) struct Wake;

impl Wake {
    pub(crate) fn wake(&self) {}
}

pub(crate) fn block() -> io::Result<Blocked> {
    Ok(Blocked)
}

pub(crate) fn spawn(
    _: Blocked,
    command: Command,
    _kill_after: Option<Duration>,
    _subreaper: bool,
) -> Result<(Host, Rules, Captured), SpawnError> {
    let name = command.program().display().to_string();
    let captures = |stream: &Stream| command.capture.is_some() && matches!(stream, Stream::Inherit);
    let mut process = std::process::Command::new(command.program());
    process.args(&command.arguments);
    for (name, value) in &command.edits {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    let piped = |stream: &Stream| captures(stream).then(Stdio::piped);
    let (stdout, stderr) = (piped(&command.stdout), piped(&command.stderr));
    let capture = command.capture;
    process.stdin(stdio(command.stdin));
    process.stdout(stdout.unwrap_or_else(|| stdio(command.stdout)));
    process.stderr(stderr.unwrap_or_else(|| stdio(command.stderr)));
    let mut child = process.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            SpawnError { exit_code: NOT_FOUND, text: format!("cannot run {name}: not found") }
        }
        _ => SpawnError { exit_code: NOT_RUNNABLE, text: format!("cannot run {name}: {error}") },
    })?;
    // Its copies of the child's streams, if it was given any.
    drop(process);
    let mut captured = Vec::new();
    if let Some(capture) = capture {
        if let Some(stdout) = child.stdout.take() {
            captured.push(pump(stdout, Output::Stdout, capture.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            captured.push(pump(stderr, Output::Stderr, capture));
        }
    }
    Ok((Host { child, ended: None, told: false }, Rules::default(), Captured::new(captured)))
}

fn stdio(stream: Stream) -> Stdio {
    match stream {
        Stream::Inherit => Stdio::inherit(),
        #[cfg(unix)]
        Stream::Fd(fd) => fd.into(),
    }
}

/// Passes on what comes out of a pipe, on a thread of its own.
fn pump(mut from: impl Read + Send + 'static, output: Output, capture: Capture) -> Arc<Progress> {
    let progress = Arc::new(Progress::new(Wake));
    let shared = Arc::clone(&progress);
    let copy = move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut last_bytes = LAST_BYTES_MAX;
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let bytes = &buffer[..length];
            let passed_on = match output {
                Output::Stdout => pass_on(io::stdout().lock(), bytes),
                Output::Stderr => pass_on(io::stderr().lock(), bytes),
            };
            capture.show(output, bytes);
            // Nobody reads ours any more, so nobody reads the child's.
            if passed_on.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
                break;
            }
            if shared.is_finishing() {
                last_bytes = last_bytes.saturating_sub(length);
                if last_bytes == 0 {
                    shared.is_done();
                }
            }
        }
        shared.is_done();
    };
    if let Err(error) = std::thread::Builder::new().name("capture".into()).spawn(copy) {
        say(&format!("the program's {output} is lost: {error}"));
        progress.is_done();
    }
    progress
}

fn pass_on(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    match to.write_all(bytes) {
        // The console of Windows takes text alone.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            to.write_all(String::from_utf8_lossy(bytes).as_bytes())?;
        }
        written => written?,
    }
    to.flush()
}

pub(crate) fn die_by(_: Signal) {}

impl Host {
    pub(crate) fn child_pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn reaps_orphans(&self) -> bool {
        false
    }

    /// Blocks until the child has ended, and then for good: nothing else arrives here.
    pub(crate) fn wait(&mut self) {
        while self.ended.is_some() {
            std::thread::park();
        }
        self.ended = Some(self.child.wait().map_or(Status::Unknown, status));
    }

    pub(crate) fn next_signal(&mut self) -> Option<(Signal, Sender)> {
        None
    }

    pub(crate) fn grace_is_over(&mut self) -> bool {
        false
    }

    pub(crate) fn next_change(&mut self) -> Option<Change> {
        let ended = self.ended.filter(|_| !self.told)?;
        self.told = true;
        Some(Change::Child(Event::Ended(ended)))
    }

    pub(crate) fn forward(&self, _: Signal) {}

    pub(crate) fn start_grace(&mut self) {}

    pub(crate) fn hand_over(&self) {}

    pub(crate) fn take_back(&mut self) {}

    pub(crate) fn stop_ourselves(&self) {}
}

#[cfg(unix)]
fn status(status: ExitStatus) -> Status {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).map(Status::Exited);
    code.or(status.signal().and_then(Signal::new).map(Status::Killed)).unwrap_or(Status::Unknown)
}

#[cfg(not(unix))]
fn status(status: ExitStatus) -> Status {
    // A code beyond a byte stays what it says: that it is not 0.
    status.code().map_or(Status::Unknown, |code| Status::Exited(u8::try_from(code).unwrap_or(u8::MAX)))
}
