//! PID 1 around one child: what wraps a program and cannot be told from its absence.
//!
//! Every signal from outside goes on to the child, processes that lost their parent are reaped, the child stops and
//! goes on with us at a terminal, and the exit code is the child's. Facts: entrypoint.md §3 and §4, losses.md
//! L94 to L99. Nothing here knows telemetry: who does is told of what concerns it ([`Notice`]).
//!
//! ```no_run
//! # use lastlight_init as init;
//! use init::{Command, Notice, Options, Prepared};
//!
//! fn main() -> std::process::ExitCode {
//!     // Before anything else: threads started later inherit the blocked signals, none of which is lost from here on.
//!     let prepared = Prepared::block_signals().expect("signals can be blocked");
//!     // Sockets are bound here, without threads, so that the child finds them.
//!     let command = Command::from_arguments(std::env::args_os().skip(1));
//!     let supervisor = match command.and_then(|command| prepared.spawn(command, Options::default())) {
//!         Ok(supervisor) => supervisor,
//!         Err(error) => {
//!             eprintln!("{error}");
//!             return error.exit_code.into();
//!         }
//!     };
//!     // Threads, runtimes and slow look-ups from here on. This one waits:
//!     let ended = supervisor.run(|notice| match notice {
//!         Notice::TermReceived { first: true, .. } => { /* the deadline counts from now: flush what is held */ }
//!         _ => {}
//!     });
//!     // Requests to end still arrive while the rest is flushed.
//!     let (status, aftermath) = (ended.status, ended.aftermath);
//!     std::thread::spawn(move || aftermath.watch(|notice| { /* hurry */ }));
//!     init::exit_like(status).into()
//! }
//! ```
//!
//! # What the child gets
//! The signal mask that we got, before we blocked everything; the dispositions that we got, but the default for
//! SIGPIPE (Rust's runtime ignores it before `main`, and nobody can tell any more what it was) and for SIGCHLD
//! (glibc's `posix_spawn` also ignores its own 32 and 33 in whatever it starts, which nothing uses unasked); our
//! environment with the command's changes; our three streams unless the command has others; no other descriptor
//! that is close-on-exec.
//!
//! # Whose signals, whose terminal
//! The child gets a process group of its own, signals go to the whole group, and when our group has the terminal,
//! the child's gets it. There is one exception, a job of an interactive shell that could have other members: we are not
//! the leader of our group, or standard input or output is not the terminal (`lastlight run -- x | less`). There
//! the child stays in our group, since the terminal belongs to all of it; signals go to the child alone, and those
//! that the kernel sent (Ctrl-C) are not sent again, as the child has them already.
//!
//! A child that stops (Ctrl-Z) stops us too where a shell with job control waits for us, and goes on when the shell
//! continues us. As a session's leader, PID 1 among them, we go on, and a child that Ctrl-Z stopped
//! is continued at once, since nobody else could.
//!
//! # What a captured child sees that differs
//! [`Command::capture`] puts us between the child's output and ours, and what could be told is this:
//! - Standard output and error are pipes of 256 KiB where ours were files, pipes or sockets: a program that asks (few
//!   do) finds another kind, buffers as for a pipe, and is ahead of who reads by what the pipe holds. What is written to the
//!   two streams one after the other may come out the other way round. Opened by name (`/dev/stdout`), they can be
//!   written by any user the child becomes.
//! - Who reads ours and goes away is gone for the child too (SIGPIPE). What our stream refuses otherwise, a full disk,
//!   the child is not told; it is left out, and still shown.
//! - Where all three are the terminal that controls us, and we are the one process of a shell's job or lead the session,
//!   the child leads a session of its own with a terminal of its own, of the same modes, size and owner; keys are relayed
//!   and nothing shown is changed. Standard error that goes there is then part of [`Output::Stdout`], whose lines end
//!   in CR LF. A change of modes that the child leaves behind does not outlast it, nor do keys that it has not read,
//!   and what it leaves running in its session is hung up (SIGHUP). In the background it reads without being
//!   stopped. Ctrl-Z stops it as without us unless it catches SIGTSTP to stop itself later (editors, pagers, readline):
//!   the kernel stops nobody in a session that has no shell, so such a program goes on at once, as in a container.
//! - Where only outputs are a terminal, or other processes share it (a pipeline, a script), the child keeps our session, keys and
//!   signals, and only its output goes through a terminal of its own. A full-screen program that sets modes
//!   on its output rather than its input sets the wrong one there.
//! - As a session's leader with other standard input, the child is not in front: it is told of keys and sizes through us.
//!
//! Between the child and the sink stands nothing that could fail for both: the sink is called after the bytes are passed on, a
//! panic in it ends only the showing, where there can be no thread the supervisor's own passes on, and where there
//! can be no pipe or terminal the stream is ours as it is, which is said.
//!
//! # What ends, and what is left
//! The end is the end of the child's process, never an end of file: a grandchild that holds the output open holds nothing
//! up. What else has ended by then is reaped without waiting. What still runs is not signalled (as with tini; dumb-init
//! sends SIGTERM to it): the kernel kills it when PID 1 exits, and where we are not PID 1 it lives on, both as without us.
//!
//! # What it cannot do
//! Standard signals of one number that arrive together are one signal, and the value beside a queued real-time signal
//! is not passed on. SIGKILL and SIGSTOP cannot be caught: who kills us that way orphans the child. Code in
//! this process that waits for any child steals statuses ([`Status::Unknown`] at worst).
//!
//! # Outside Linux
//! The child is started, waited for and captured with the standard library alone; nothing is blocked, forwarded, reaped or
//! escalated, and the one notice is the child's end. A captured child has pipes also where we have a terminal, and
//! [`Captured::finish`] waits for an end of file up to its deadline.

mod capture;
mod command;
mod exit_code;
mod signals;
mod supervise;
mod sys;
mod words;

pub use capture::{Capture, Captured, Output, Sink};
pub use command::{Command, SpawnError, Stream};
pub use exit_code::{NOT_FOUND, NOT_RUNNABLE, Status};
pub use signals::Signal;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use supervise::{Action, Child, Event, Rules, State};
use sys::{Change, Host};

/// How the child is looked after.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long after the first of `term_signals` a child that still runs is killed, group and all. `None`, the
    /// default, leaves it to the platform's grace.
    pub kill_after: Option<Duration>,
    /// The signals that ask to end: SIGTERM, or what the image's `STOPSIGNAL` says.
    pub term_signals: Vec<Signal>,
    /// Whether to adopt and reap orphans where we are not PID 1. Not by default: who is PID 1 does it, and the
    /// orphan's parent is the one it would have had without us.
    pub subreaper: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { kill_after: None, term_signals: vec![Signal::TERM], subreaper: false }
    }
}

/// What concerns those around the child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A request to end arrived, and was passed on before this was said. The platform's grace counts from the first.
    TermReceived {
        /// One of [`Options::term_signals`], or after the child's end SIGHUP, SIGINT, SIGQUIT or SIGTERM.
        signal: Signal,
        /// Whether it is the first, before or after the child's end.
        first: bool,
    },
    /// The child was stopped; where a shell waits for us, this process stops after this was said.
    Stopped {
        /// By this signal.
        signal: Signal,
    },
    /// The child goes on.
    Continued,
    /// The child did not end in time and is killed.
    Killed,
    /// The child ended. The last before [`Supervisor::run`] returns.
    ChildExited(Status),
}

/// Signals are blocked and wait for the child and its supervisor.
#[derive(Debug)]
pub struct Prepared(sys::Blocked);

impl Prepared {
    /// Blocks every signal. To be called first in `main`, before any thread is started: threads inherit what
    /// is blocked, and a thread that does not block SIGTERM dies of it with all others (losses.md L96).
    /// Processes that others start in this process inherit it too.
    ///
    /// # Errors
    /// When the system has no signal descriptors. Signals are then as they were.
    pub fn block_signals() -> io::Result<Self> {
        sys::block().map(Self)
    }

    /// Starts the child. Signals that arrived since they were blocked reach it.
    ///
    /// # Errors
    /// With the exit code that says it: 127 when the program was not found, 126 when it cannot be run.
    /// Signals stay blocked.
    pub fn spawn(self, command: Command, options: Options) -> Result<Supervisor, SpawnError> {
        let Options { kill_after, term_signals, subreaper } = options;
        let (host, rules, captured) = sys::spawn(self.0, command, kill_after, subreaper)?;
        let rules = Rules { term: term_signals.into_iter().collect(), ..rules };
        Ok(Supervisor { host, rules, state: State::START, orphans_reaped: 0, captured })
    }
}

/// A running child and whoever looks after it.
#[derive(Debug)]
pub struct Supervisor {
    host: Host,
    rules: Rules,
    state: State,
    orphans_reaped: u64,
    captured: Captured,
}

/// The child is gone.
#[derive(Debug)]
pub struct Ended {
    /// The child's exit code, 128 + n when a signal killed it: what `main` returns.
    pub exit_code: u8,
    /// How the child ended.
    pub status: Status,
    /// Ended processes besides the child that were reaped while it ran.
    pub orphans_reaped: u64,
    /// What the child wrote last, perhaps still on its way: [`Captured::finish`]. Done at once where nothing is captured.
    pub captured: Captured,
    /// What still arrives: for the time in which the rest is flushed.
    pub aftermath: Aftermath,
}

/// Signals and orphans after the child's end.
#[derive(Debug)]
pub struct Aftermath(Supervisor);

impl Supervisor {
    /// The child's process number.
    #[must_use]
    pub fn child_pid(&self) -> u32 {
        self.host.child_pid()
    }

    /// Whether processes that lost their parent become ours: as PID 1 or as a subreaper.
    #[must_use]
    pub fn reaps_orphans(&self) -> bool {
        self.host.reaps_orphans()
    }

    /// What is captured of the child's output; empty where nothing is.
    #[must_use]
    pub fn captured(&self) -> Captured {
        self.captured.clone()
    }

    /// Looks after the child until it has ended, and blocks this thread so long. `notify` is called on this thread, after
    /// the child was served; it should return soon, as signals wait meanwhile. Its panics end here.
    pub fn run(mut self, mut notify: impl FnMut(Notice)) -> Ended {
        let status = loop {
            self.turn(&mut notify);
            if let Child::Ended(status) = self.state.child {
                break status;
            }
        };
        Ended {
            exit_code: status.exit_code(),
            status,
            orphans_reaped: self.orphans_reaped,
            captured: self.captured.clone(),
            aftermath: Aftermath(self),
        }
    }

    /// Waits for something to happen and does all that follows.
    fn turn(&mut self, notify: &mut impl FnMut(Notice)) {
        self.host.wait();
        // Signals go first: after the child is reaped there is nobody to send them to.
        while let Some((signal, from)) = self.host.next_signal() {
            self.handle(Event::Signal { signal, from }, notify);
        }
        if self.host.grace_is_over() {
            self.handle(Event::GraceOver, notify);
        }
        // A SIGCHLD stands for any number of changes. This ends: what is there is taken, not what will be.
        while let Some(change) = self.host.next_change() {
            match change {
                Change::Child(event) => self.handle(event, notify),
                Change::OrphanReaped => self.orphans_reaped += 1,
                Change::OrphanOther => {}
                Change::NoChildren => {
                    // Nothing happens to one whose end was seen.
                    self.handle(Event::Ended(Status::Unknown), notify);
                    break;
                }
            }
        }
    }

    fn handle(&mut self, event: Event, notify: &mut impl FnMut(Notice)) {
        let (state, actions) = self.state.step(&self.rules, event);
        self.state = state;
        for action in actions {
            match action {
                Action::Forward(signal) => self.host.forward(signal),
                Action::Kill => self.host.forward(Signal::KILL),
                Action::StartGrace => self.host.start_grace(),
                Action::HandOver => self.host.hand_over(),
                Action::TakeBack => self.host.take_back(),
                Action::StopOurselves => self.host.stop_ourselves(),
                // A crash of the agent is not the child's. The panic's message was printed where it began.
                Action::Tell(notice) => drop(catch_unwind(AssertUnwindSafe(|| notify(notice)))),
            }
        }
    }
}

impl Aftermath {
    /// Tells of requests to end and reaps orphans, for as long as this process lives: to be run on a thread of its own.
    pub fn watch(mut self, mut notify: impl FnMut(Notice)) {
        loop {
            self.0.turn(&mut notify);
        }
    }
}

/// The exit code for `main` to return, as the last thing done. Does not return where a shell at a terminal waits for us and a
/// signal killed the child: then that signal ends this process too, without a core file.
#[must_use]
pub fn exit_like(status: Status) -> u8 {
    if let Status::Killed(signal) = status {
        sys::die_by(signal);
    }
    status.exit_code()
}
