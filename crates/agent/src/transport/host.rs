//! The process around us: signals, and the parent that started us.

#[cfg(feature = "signals")]
use std::io;

/// The signals that ask the agent to stop.
#[cfg(all(unix, feature = "signals"))]
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(all(unix, feature = "signals"))]
impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// The console events that ask the agent to stop.
#[cfg(all(windows, feature = "signals"))]
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    brk: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(all(windows, feature = "signals"))]
impl Signals {
    /// Takes over Ctrl-C, Ctrl-Break, console close and system shutdown.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::windows;
        Ok(Self {
            interrupt: windows::ctrl_c()?,
            brk: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.brk.recv() => "Ctrl-Break",
            _ = self.close.recv() => "console close",
            _ = self.shutdown.recv() => "system shutdown",
        }
    }
}

/// Waits for the end of the process that started us.
#[derive(Debug)]
pub struct ParentGone {
    #[cfg(target_os = "linux")]
    parent: Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>,
    #[cfg(unix)]
    parent_id: u32,
}

impl ParentGone {
    /// Begins to watch the parent. Call it early: a parent that is gone already cannot be told from `init`.
    #[cfg(unix)]
    pub fn watch() -> Self {
        let parent_id = std::os::unix::process::parent_id();
        Self {
            #[cfg(target_os = "linux")]
            parent: open(parent_id),
            parent_id,
        }
    }

    /// Begins to watch the parent. Not yet done on Windows, where a job object will do it.
    #[cfg(windows)]
    pub fn watch() -> Self {
        Self {}
    }

    /// Waits until the parent is gone.
    pub async fn wait(&self) {
        #[cfg(target_os = "linux")]
        if let Some(parent) = &self.parent {
            // Readable means that the process has ended; an error means that we cannot know, so poll.
            if parent.readable().await.is_ok() {
                return;
            }
        }
        #[cfg(unix)]
        {
            /// Where there is no descriptor of a process, its id is looked at this often.
            const PARENT_POLL: std::time::Duration = std::time::Duration::from_secs(1);
            while std::os::unix::process::parent_id() == self.parent_id {
                tokio::time::sleep(PARENT_POLL).await;
            }
        }
        #[cfg(windows)]
        std::future::pending::<()>().await;
    }
}

/// A descriptor that becomes readable when the process ends, so that nothing has to poll.
#[cfg(target_os = "linux")]
fn open(parent_id: u32) -> Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = Pid::from_raw(i32::try_from(parent_id).ok()?)?;
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // It may have died, and its id been taken, between the two calls; then we have another parent by now.
    if std::os::unix::process::parent_id() != parent_id {
        return None;
    }
    #[expect(
        deprecated,
        reason = "an owned descriptor upholds I/O safety; the replacement is unsafe to call"
    )]
    tokio::io::unix::AsyncFd::with_interest(descriptor, tokio::io::Interest::READABLE).ok()
}
