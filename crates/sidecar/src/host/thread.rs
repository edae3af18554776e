//! A server on a thread of the host.

use super::files::{self, Given, Table};
use super::gate::Gate;
use crate::control::{self, Said, Told};
use crate::message::{self, Level};
use crate::serve::serve;
use agent::SharedStrings;
use channel::{Descriptor, Rendezvous};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// As debuggers and `top` show it.
const NAME: &str = "lastlight";
/// Its stack, bytes; the system gives as much of it as is used.
const STACK_BYTES: usize = 2 << 20;
/// How long a new thread may take for its first system calls.
const TABLE_WITHIN: Duration = Duration::from_secs(5);
/// How much longer than its deadline a stop is waited for: counting what was late, and the threads' turn.
const STOP_SLACK: Duration = Duration::from_millis(500);

/// The one thread, and the host's end of its control socket.
#[derive(Debug)]
pub(crate) struct ServerThread {
    pub(super) control: Descriptor,
    /// Disconnected by the thread's end.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl ServerThread {
    /// Starts it, with all signals blocked and, where that can be had, a table of descriptors of its own. What it says next
    /// comes over its control socket; when it is ready it passes `gate`, and does nothing before.
    pub(crate) fn start(
        rendezvous: &Rendezvous,
        strings: SharedStrings,
        gate: Arc<Gate>,
    ) -> io::Result<Self> {
        let (server, owner) = control::pair()?;
        let rendezvous = rendezvous.try_clone()?;
        let given = Given::new(server);
        // Its life is this process's, whatever that one closes: an end of its own keeps the other from ending. It is told to stop.
        let lifeline = Given::new(owner.try_clone()?);
        let numbers = [given.number(), lifeline.number(), rendezvous.listener().as_raw_fd()];
        let (table_taken, table) = sync_channel(1);
        let (end, ended) = sync_channel(0);
        // A new thread inherits what is blocked (losses.md L127).
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let spawned = Builder::new().name(NAME.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let _end: std::sync::mpsc::SyncSender<()> = end;
            let table = files::take_table(numbers);
            let (control, lifeline) = (given.take(), lifeline.take());
            table_taken.send(table).ok();
            // A guest's panic ends this thread, and is told.
            let work = || match table {
                Table::Own => match files::fit_runtime(rendezvous, control, lifeline) {
                    Ok((rendezvous, control, _lifeline)) => drop(serve(rendezvous, control, strings, &gate)),
                    Err(error) => message::say(Level::Warn, format!("no runtime for the sidecar: {error}")),
                },
                Table::Shared => drop(serve(rendezvous, control, strings, &gate)),
            };
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                message::say(
                    Level::Error,
                    "the sidecar's thread panicked; another one is started".to_owned(),
                );
            }
        });
        mask.thread_set_mask()?;
        let thread = spawned?;
        match table.recv_timeout(TABLE_WITHIN) {
            Ok(Table::Own) => files::close_copies(numbers),
            Ok(Table::Shared) => {}
            // Whose the numbers are is not known.
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        Ok(Self { control: Descriptor::new(owner), ended, thread })
    }

    /// Has it deliver what it holds by the deadline. What it said of that, and whether it has ended: afterwards nothing of it
    /// is left.
    pub(crate) fn stop(self, deadline: Instant) -> (Option<String>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(control) = self.control.get() {
            let within_ms = left.as_millis().try_into().unwrap_or(u64::MAX);
            control::tell(control, Told::Stop { within_ms });
        }
        let Self { control: owner, ended, thread } = self;
        let is_ended = Retired { ended, thread }.join(deadline + STOP_SLACK);
        let mut report = None;
        while let Some(Ok(Some(said))) = owner.get().map(control::heard) {
            if let Said::Stopped(text) = said {
                report = Some(text);
            }
        }
        (report, is_ended)
    }

    /// Leaves it to itself, to end soon if it has not.
    pub(crate) fn retire(self) -> Retired {
        if let Some(control) = self.control.get() {
            control::tell(control, Told::Stop { within_ms: 0 });
        }
        Retired { ended: self.ended, thread: self.thread }
    }
}

/// A thread that ended, or will.
#[derive(Debug)]
pub(crate) struct Retired {
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Retired {
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end. Whether nothing of it is left.
    pub(crate) fn join(self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_ended = matches!(self.ended.recv_timeout(left), Err(RecvTimeoutError::Disconnected));
        if is_ended {
            // Only its last instructions are left; afterwards its code may be unloaded.
            self.thread.join().ok();
        }
        is_ended
    }
}
