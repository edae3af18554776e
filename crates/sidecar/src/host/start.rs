//! How a process starts a server: by which way, how often, and what is said of it.

use super::subprocess::Subprocess;
use super::thread::{Retired, ServerThread};
use super::{Decided, Hosting, wait};
use crate::control::{self, Said};
use crate::message::{self, Level};
use crate::options::{InUse, Mode};
use channel::Descriptor;
use channel::frame::PROTOCOL;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The pause after a second failure in a row; each further one is twice as long. After the first there is none.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A server that served for so long was a good one: what failed before is forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Subprocesses in a row that failed, after which `auto` means a thread.
const SUBPROCESSES_MAX_COUNT: u32 = 5;
/// How long a handle that was never closed waits for its thread.
pub(super) const DROP_MAX: Duration = Duration::from_secs(1);

/// Whether it did not even take what it was handed, or took it and went, is the same to a reader.
pub(super) const ENDED_EARLY: &str = "it ended before it was ready";

/// What one process has started.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) state: State,
    /// Nothing is started here any more.
    pub(super) is_closed: bool,
    /// Servers in a row that did not become ready, or ended soon.
    failures: u32,
    not_before: Option<Instant>,
    /// The last failure that was said.
    said: Option<String>,
    /// Threads that ended, or will; to be joined.
    retired: Vec<Retired>,
}

#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    /// Not ready yet.
    Starting {
        server: Server,
        begun: Instant,
        until: Instant,
    },
    Serving {
        server: Server,
        begun: Instant,
    },
}

/// One that this process started.
#[derive(Debug)]
pub(super) enum Server {
    Subprocess(Subprocess),
    Thread(ServerThread),
}

/// Where a server is started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Subprocess,
    Thread,
}

impl Way {
    fn in_use(self) -> InUse {
        match self {
            Self::Subprocess => InUse::Subprocess,
            Self::Thread => InUse::Thread,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Subprocess => "in a subprocess",
            Self::Thread => "on a thread of this process",
        }
    }
}

impl Server {
    fn way(&self) -> Way {
        match self {
            Self::Subprocess(_) => Way::Subprocess,
            Self::Thread(_) => Way::Thread,
        }
    }

    fn control(&self) -> &Descriptor {
        match self {
            Self::Subprocess(subprocess) => &subprocess.control,
            Self::Thread(thread) => &thread.control,
        }
    }

    /// `Ok(None)`: it is gone, or we are for it.
    fn heard(&self) -> io::Result<Option<Said>> {
        self.control().get().map_or(Ok(None), control::heard)
    }

    /// Waits until it says something.
    pub(super) fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if let Some(control) = self.control().get() {
            wait(&mut [PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN)], left);
        }
    }
}

impl Local {
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    /// Whether a thread of this process serves, or is about to.
    pub(super) fn has_thread(&self) -> bool {
        matches!(
            &self.state,
            State::Starting { server: Server::Thread(_), .. }
                | State::Serving { server: Server::Thread(_), .. }
        )
    }

    /// Leaves a server alone that ended, or will: a subprocess as nobody is at the other end of its control socket.
    fn retire(&mut self, server: Server) {
        if let Server::Thread(thread) = server {
            self.retired.push(thread.retire());
        }
        for thread in self.retired.extract_if(.., |thread| thread.has_ended()) {
            thread.join(Instant::now() + DROP_MAX);
        }
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + backoff(self.failures));
    }

    fn say_failure(&mut self, text: String) {
        if self.said.as_ref() != Some(&text) {
            message::say(Level::Warn, text.clone());
            self.said = Some(text);
        }
    }
}

impl Hosting {
    /// Hears what a server said. Does not wait.
    pub(super) fn advance(&self, local: &mut Local, now: Instant) {
        match std::mem::take(&mut local.state) {
            State::Idle => {}
            State::Starting { server, begun, until } => match server.heard() {
                Ok(Some(Said::Ready { protocol, version })) if protocol == u32::from(PROTOCOL) => {
                    self.is_ready(&server, &version, local);
                    local.state = State::Serving { server, begun };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && now < until => {
                    local.state = State::Starting { server, begun, until };
                }
                other => {
                    let why = match other {
                        Ok(Some(Said::NotNeeded)) if self.is_served() => {
                            self.set_in_use(server.way().in_use());
                            local.retire(server);
                            return;
                        }
                        Ok(Some(Said::NotNeeded)) => {
                            "another process took the socket and gave it up".to_owned()
                        }
                        Ok(Some(Said::Ready { version, .. })) => {
                            format!("its version {version} is another one's")
                        }
                        Ok(Some(Said::Failed(why))) => why,
                        Ok(Some(Said::Stopped(_)) | None) => ENDED_EARLY.to_owned(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            format!("it was not ready within {} ms", (until - begun).as_millis())
                        }
                        Err(_) => "it says what no sidecar says".to_owned(),
                    };
                    let way = server.way();
                    if let Server::Subprocess(subprocess) = &server {
                        subprocess.spawned.kill();
                    }
                    local.retire(server);
                    self.fail(local, way, &why, now);
                }
            },
            State::Serving { server, begun } => match server.heard() {
                // As it was told to: by us no more, or by the master that this process became (`relieve_parent`).
                Ok(Some(Said::Stopped(_))) => {
                    self.serving.store(0, Ordering::Relaxed);
                    local.retire(server);
                }
                Ok(Some(_)) | Err(_) => local.state = State::Serving { server, begun },
                Ok(None) => self.ended(local, server, begun, now),
            },
        }
    }

    fn is_ready(&self, server: &Server, version: &str, local: &mut Local) {
        let way = server.way();
        self.set_in_use(way.in_use());
        if way == Way::Thread {
            self.serving_control.set(server.control().as_fd());
            self.serving.store(std::process::id(), Ordering::Relaxed);
        }
        if self.decided() == Decided::NotYet {
            let decided = if way == Way::Thread { Decided::Thread } else { Decided::Subprocess };
            self.decided.store(decided as u8, Ordering::Relaxed);
            message::say(Level::Info, format!("lastlight {version} runs {}", way.text()));
        } else if local.failures > 0 {
            message::say(Level::Info, format!("lastlight {version} runs again {}", way.text()));
        }
        local.said = None;
    }

    /// A server that had been ready is gone.
    fn ended(&self, local: &mut Local, server: Server, begun: Instant, now: Instant) {
        let way = server.way();
        local.retire(server);
        if way == Way::Thread {
            self.serving.store(0, Ordering::Relaxed);
        }
        if now.saturating_duration_since(begun) >= HEALTHY_AFTER {
            local.failures = 0;
        }
        self.fail(local, way, "it ended on its own", now);
    }

    /// Starts a server unless a failure is too recent. Whether one starts. Nobody serves.
    pub(super) fn begin(&self, local: &mut Local, now: Instant) -> bool {
        if let State::Serving { server, begun } = std::mem::take(&mut local.state) {
            // It does not serve any more, whatever it does.
            self.ended(local, server, begun, now);
        }
        if local.is_starting() {
            return true;
        }
        if local.is_closed || local.not_before.is_some_and(|not_before| now < not_before) {
            return false;
        }
        self.start(local, self.way(), now)
    }

    fn way(&self) -> Way {
        match (self.mode, self.decided()) {
            (Mode::Thread, _) | (Mode::Auto, Decided::Thread) => Way::Thread,
            (Mode::Subprocess, _) | (Mode::Auto, _) => Way::Subprocess,
        }
    }

    fn start(&self, local: &mut Local, way: Way, now: Instant) -> bool {
        let strings = Arc::clone(&self.strings);
        let started = if !self.rendezvous.is_intact() {
            Err("its socket was closed in this process".to_owned())
        } else if way == Way::Thread {
            let thread = ServerThread::start(&self.rendezvous, strings, self.gate());
            thread.map(Server::Thread).map_err(|error| format!("no thread: {error}"))
        } else {
            Subprocess::start(&self.rendezvous, self.binary.as_deref(), &*strings).map(Server::Subprocess)
        };
        match started {
            Ok(server) => {
                local.state = State::Starting { server, begun: now, until: now + self.ready_within };
                true
            }
            Err(why) => {
                self.fail(local, way, &why, now);
                local.is_starting()
            }
        }
    }

    /// A server could not be had, or is gone. `auto` starts a thread where there was no subprocess yet, or too many.
    fn fail(&self, local: &mut Local, way: Way, why: &str, now: Instant) {
        local.failed(now);
        let is_left = way == Way::Subprocess && self.mode == Mode::Auto;
        if is_left && (self.decided() == Decided::NotYet || local.failures >= SUBPROCESSES_MAX_COUNT) {
            self.decided.store(Decided::Thread as u8, Ordering::Relaxed);
            let text =
                format!("lastlight is to run {}, as it cannot run {}: {why}", Way::Thread.text(), way.text());
            message::say(Level::Warn, text);
            (local.failures, local.not_before) = (0, None);
            if !local.is_closed {
                self.start(local, Way::Thread, now);
            }
            return;
        }
        if self.in_use.load(Ordering::Relaxed) == InUse::NotYet as u8 || local.failures > 1 {
            self.set_in_use(InUse::Nothing);
        }
        local.say_failure(format!("lastlight does not run {}: {why}; it is tried again later", way.text()));
    }

    /// Stops the server if it is a thread of this process, and joins every thread that there was.
    pub(super) fn end(&self, local: &mut Local, deadline: Instant) {
        if let State::Starting { server, .. } | State::Serving { server, .. } =
            std::mem::take(&mut local.state)
        {
            match server {
                Server::Thread(thread) => {
                    self.serving.store(0, Ordering::Relaxed);
                    let (report, is_ended) = thread.stop(deadline);
                    if let Some(report) = report {
                        message::say(Level::Info, report);
                    }
                    if !is_ended {
                        let text = "the sidecar's thread did not end in time, and still runs";
                        message::say(Level::Error, text.to_owned());
                    }
                }
                // It ends with the last process of the tree, and stays as long for the others.
                Server::Subprocess(_) => {}
            }
        }
        for thread in std::mem::take(&mut local.retired) {
            thread.join(deadline);
        }
    }
}

/// Doubled with each failure up to the longest.
fn backoff(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => BACKOFF_FIRST.saturating_mul(1 << doublings.min(16)).min(BACKOFF_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let pauses: Vec<u128> = (0..=5).map(|failures| backoff(failures).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 100, 200, 400, 800]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
