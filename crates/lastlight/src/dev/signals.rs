//! Signals to `lastlight dev`, on each system.

use std::process::ExitStatus;
use tokio::process::Child;

/// A wish that we end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, a supervisor.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

#[cfg(unix)]
mod system {
    use super::{Child, ExitStatus, Signal};
    use rustix::process::{Pid, kill_process};
    use std::io;
    use std::os::unix::process::ExitStatusExt as _;
    use tokio::signal::unix::{self, SignalKind};

    /// The signals, caught from when this is made.
    #[derive(Debug)]
    pub(in super::super) struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
        hang_up: unix::Signal,
    }

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: unix::signal(SignalKind::interrupt())?,
                terminate: unix::signal(SignalKind::terminate())?,
                hang_up: unix::signal(SignalKind::hangup())?,
            })
        }

        pub(in super::super) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.hang_up.recv() => Signal::HangUp,
            }
        }
    }

    impl Signal {
        /// Passes the signal on to a command that has not been waited for.
        pub(in super::super) fn send(self, child: &Child) {
            let signal = match self {
                Self::Interrupt => rustix::process::Signal::INT,
                Self::Terminate => rustix::process::Signal::TERM,
                Self::HangUp => rustix::process::Signal::HUP,
            };
            let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(Err(error)) = id.map(|id| kill_process(id, signal)) {
                log::debug!("the signal could not be passed on: {error}");
            }
        }
    }

    pub(in super::super) fn ended_by(status: ExitStatus) -> Option<i32> {
        status.signal()
    }
}

#[cfg(windows)]
mod system {
    use super::{Child, ExitStatus, Signal};
    use std::io;
    use tokio::signal::windows;

    /// The events of the console, caught from when this is made.
    #[derive(Debug)]
    pub(in super::super) struct Signals {
        interrupt: windows::CtrlC,
        terminate: windows::CtrlBreak,
        hang_up: windows::CtrlClose,
    }

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: windows::ctrl_c()?,
                terminate: windows::ctrl_break()?,
                hang_up: windows::ctrl_close()?,
            })
        }

        pub(in super::super) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.hang_up.recv() => Signal::HangUp,
            }
        }
    }

    impl Signal {
        /// Nothing to do: the console sends its events to the command too.
        pub(in super::super) fn send(self, _child: &Child) {}
    }

    pub(in super::super) fn ended_by(_status: ExitStatus) -> Option<i32> {
        None
    }
}

pub(super) use system::{Signals, ended_by};
