//! The controlling terminal: whether there is one, whose it is, and to whom it is handed.
//!
//! Setting the terminal's group out of the background would stop this process, were SIGTTOU not blocked.

use rustix::process::{Pid, getpid};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

/// The terminal that controls this session.
#[derive(Debug)]
pub(super) struct Terminal(OwnedFd);

/// Where we stand between a terminal and a shell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// No terminal controls us.
    NoTerminal,
    /// We lead the session: there is no shell above us.
    SessionLeader,
    /// A shell made us the one process of a job that has the terminal's streams.
    Job,
    /// A job with other members: a pipeline, a script.
    PartOfJob,
}

impl Terminal {
    /// Opens it. Also when standard input is something else: `less < file` reads keys from it all the same.
    pub(super) fn open() -> Option<Self> {
        if let Ok(terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") {
            return Some(Self(terminal.into()));
        }
        // No such device in a small image; the descriptor says whether it is the controlling one.
        tcgetpgrp(io::stdin()).ok()?;
        io::stdin().as_fd().try_clone_to_owned().ok().map(Self)
    }

    /// Gives the terminal to a group if another has it.
    pub(super) fn hand(&self, from: Pid, to: Pid) {
        if self.belongs_to(from) {
            self.give_to(to);
        }
    }

    /// Gives the terminal to a group, whoever has it.
    pub(super) fn give_to(&self, group: Pid) {
        // Fails when the group is gone, or the terminal: then nobody misses it.
        tcsetpgrp(&self.0, group).ok();
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Whether our group has it.
    pub(super) fn is_ours(&self) -> bool {
        own_group().is_some_and(|group| self.belongs_to(group))
    }

    /// Makes it our group's, if `from` has it.
    pub(super) fn take_from(&self, from: Pid) {
        if let Some(group) = own_group() {
            self.hand(from, group);
        }
    }

    /// Whether a group has it.
    pub(super) fn belongs_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|foreground| foreground == group)
    }
}

/// Our process group; none where its leader lies outside our PID namespace, as `unshare --pid` makes it.
pub(super) fn own_group() -> Option<Pid> {
    // Not rustix's call, nor its `getsid`: their answer cannot be 0, which is what the kernel then says.
    Pid::from_raw(nix::unistd::getpgrp().as_raw())
}

/// Whether our group has the terminal that is our standard input.
pub(super) fn in_front() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|foreground| Some(foreground) == own_group())
}

impl Place {
    pub(super) fn of(terminal: Option<&Terminal>) -> Self {
        if terminal.is_none() {
            return Self::NoTerminal;
        }
        if nix::unistd::getsid(None).is_ok_and(|session| session == nix::unistd::getpid()) {
            return Self::SessionLeader;
        }
        let streams_are_terminals = isatty(io::stdin()) && isatty(io::stdout());
        if own_group() == Some(getpid()) && streams_are_terminals { Self::Job } else { Self::PartOfJob }
    }
}
