//! Who serves, and where: the decision of a tree, and what each of its processes does about it.

mod files;
mod gate;
mod spawn;
mod start;
mod subprocess;
mod thread;

use files::SharedNumber;
pub(crate) use files::inherited_control;
pub(crate) use gate::Gate;

use crate::fork::{BeforeFork, ProcessLocal};
use crate::message::{self, Level};
use crate::options::{InUse, Mode, Options};
use agent::SharedStrings;
use agent::config::source::{Fixed, Strings};
use agent::config::table::{DD_LOG_LEVEL, DD_TRACE_SIDECAR_CONNECTION_MODE, Setting};
use channel::{Rendezvous, ServedBy};
use log::LevelFilter;
use start::{Local, State};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// How often a lock is asked for that another thread holds for longer.
const LOCK_PERIOD: Duration = Duration::from_millis(2);
/// How long a master that went into the background waits for the server of the process that it was.
const RELIEVED_WITHIN: Duration = Duration::from_millis(500);

/// How long a thread that was just started for a fork, and is ready, may take to stand still.
const STANDING_WITHIN: Duration = Duration::from_secs(1);

/// Starts servers as decided. Its memory is inherited by children, and with it what was decided.
pub(crate) struct Hosting {
    rendezvous: Arc<Rendezvous>,
    mode: Mode,
    binary: Option<PathBuf>,
    /// A copy: what the host does to its environment later is nothing to us.
    strings: SharedStrings,
    ready_within: Duration,
    /// A [`Decided`].
    decided: AtomicU8,
    /// An [`InUse`].
    in_use: AtomicU8,
    /// The process that serves by a thread that this memory knows of; 0 when there is none.
    serving: AtomicU32,
    /// Its control socket, of which a child has a copy.
    serving_control: SharedNumber,
    /// The last process, of this line of forks, that made a client.
    used: AtomicU32,
    lazy: bool,
    /// Before which a thread stands that is started for a fork. A child's is open, whatever its parent's was.
    gates: ProcessLocal<Arc<Gate>>,
    local: ProcessLocal<Local>,
}

/// What `auto` means in this tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Decided {
    NotYet = 0,
    Subprocess = 1,
    Thread = 2,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting")
            .field("rendezvous", &self.rendezvous)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Hosting {
    pub(crate) fn new(rendezvous: Arc<Rendezvous>, options: Options) -> Self {
        let Options { mode, binary, strings, ready_within, lazy } = options;
        message::install(log_level(&*strings));
        let word = mode.or_else(|| said(&*strings, &DD_TRACE_SIDECAR_CONNECTION_MODE)).unwrap_or_default();
        let mode = match word.parse() {
            Ok(mode) => mode,
            Err(_) if word.trim().is_empty() => Mode::Auto,
            Err(allowed) => {
                let word: String = word.chars().take(32).collect();
                let text = format!("{word:?} is no way to connect to the sidecar ({allowed}): auto it is");
                message::say(Level::Warn, text);
                Mode::Auto
            }
        };
        Self {
            rendezvous,
            mode,
            binary,
            strings: Arc::new(copy(&*strings)),
            ready_within,
            decided: AtomicU8::new(Decided::NotYet as u8),
            in_use: AtomicU8::new(InUse::NotYet as u8),
            serving: AtomicU32::new(0),
            serving_control: SharedNumber::default(),
            used: AtomicU32::new(0),
            lazy,
            gates: ProcessLocal::new(),
            local: ProcessLocal::new(),
        }
    }

    fn decided(&self) -> Decided {
        match self.decided.load(Ordering::Relaxed) {
            1 => Decided::Subprocess,
            2 => Decided::Thread,
            _ => Decided::NotYet,
        }
    }

    fn set_in_use(&self, in_use: InUse) {
        self.in_use.store(in_use as u8, Ordering::Relaxed);
    }

    /// Where the agent of this tree runs, as this process knows.
    pub(crate) fn in_use(&self) -> InUse {
        self.look();
        match self.in_use.load(Ordering::Relaxed) {
            1 => InUse::Subprocess,
            2 => InUse::Thread,
            3 => InUse::Nothing,
            _ => InUse::NotYet,
        }
    }

    /// Whether a thread of this process serves.
    pub(crate) fn is_serving(&self) -> bool {
        self.look();
        self.serving.load(Ordering::Relaxed) == std::process::id() && self.rendezvous.server() == ServedBy::Us
    }

    fn is_served(&self) -> bool {
        !matches!(self.rendezvous.server(), ServedBy::Nobody | ServedBy::Unknown)
    }

    /// Hears what a server said meanwhile.
    pub(crate) fn look(&self) {
        if let Some(mut local) = self.try_lock() {
            self.advance(&mut local, Instant::now());
        }
    }

    /// Nobody serves, says a client: starts a server as decided, and does not wait until it is ready.
    pub(crate) fn promote(&self) {
        // Another thread is at it otherwise.
        let Some(mut local) = self.try_lock() else { return };
        let now = Instant::now();
        self.advance(&mut local, now);
        if !local.is_starting() && !self.is_served() {
            self.begin(&mut local, now);
        }
    }

    /// Starts a server if nobody serves, and waits until it is ready or none of the ways is left.
    pub(crate) fn ensure(&self) {
        // Of two ways, each.
        let deadline = Instant::now() + 2 * self.ready_within;
        let Some(mut local) = self.lock_by(deadline) else { return };
        self.ensure_now(&mut local);
    }

    fn ensure_now(&self, local: &mut Local) {
        loop {
            let now = Instant::now();
            self.advance(local, now);
            if let State::Starting { server, until, .. } = &local.state {
                server.wait(*until);
            } else if self.is_served() || !self.begin(local, now) {
                return;
            }
        }
    }

    /// Stops the server if it is a thread of this process, joins it, and starts none any more.
    pub(crate) fn close(&self, deadline: Instant) {
        let Some(mut local) = self.lock_by(deadline) else { return };
        local.is_closed = true;
        self.end(&mut local, deadline);
    }

    /// This process has a client from now on.
    pub(crate) fn note_use(&self) {
        self.used.store(std::process::id(), Ordering::Relaxed);
    }

    /// Whether the process that serves is our parent, and we are what it became: a master that goes into the background forks,
    /// and its first half ends a moment later. Of the other children of one that serves, none forks before it has
    /// something to submit.
    fn is_served_by_daemonizer(&self) -> bool {
        let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
        let serving = self.serving.load(Ordering::Relaxed);
        self.lazy
            && serving != std::process::id()
            && u32::try_from(parent) == Ok(serving)
            && self.rendezvous.server() == ServedBy::Other(parent)
            && self.used.load(Ordering::Relaxed) != std::process::id()
    }

    /// Has the parent's thread give up the socket, and waits for it. What it may have accepted it delivers meanwhile.
    fn relieve_parent(&self) {
        let Some(control) = self.serving_control.get() else { return };
        let within_ms = RELIEVED_WITHIN.as_millis().try_into().unwrap_or(u64::MAX);
        crate::control::tell(control, crate::control::Told::Stop { within_ms });
        let deadline = Instant::now() + RELIEVED_WITHIN;
        while self.is_served() && Instant::now() < deadline {
            pause(LOCK_PERIOD);
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Local>> {
        match self.local().try_lock() {
            Ok(local) => Some(local),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock_by(&self, deadline: Instant) -> Option<MutexGuard<'_, Local>> {
        loop {
            let local = self.try_lock();
            if local.is_some() || Instant::now() >= deadline {
                return local;
            }
            pause(LOCK_PERIOD);
        }
    }

    fn gate(&self) -> Arc<Gate> {
        self.gates.with(Arc::default, |gate| Arc::clone(gate))
    }

    fn local(&self) -> &Mutex<Local> {
        self.local.get(Local::default)
    }
}

impl BeforeFork for Hosting {
    /// The process that forks serves its children, so that it is none of those that serves: a worker of a pool may end at
    /// any time.
    fn before_fork(&self) {
        if let Some(mut local) = self.try_lock() {
            if self.is_served_by_daemonizer() {
                self.relieve_parent();
            }
            let (had_thread, gate) = (local.has_thread(), self.gate());
            gate.close();
            self.ensure_now(&mut local);
            if local.has_thread() && !had_thread {
                gate.await_standing(STANDING_WITHIN);
            }
        }
    }

    fn after_fork(&self) {
        self.gate().open();
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        // Nobody else has it any more. A thread that was not stopped is, as its code may go.
        let Some(local) = self.local.get_mut() else { return };
        let mut local = std::mem::take(local);
        if !local.is_closed {
            self.end(&mut local, Instant::now() + start::DROP_MAX);
        }
    }
}

/// The text of a setting: of the first of its names that is set, and not empty.
fn said(strings: &dyn Strings, setting: &Setting) -> Option<String> {
    setting.names.iter().find_map(|name| strings.get(name).filter(|text| !text.is_empty()))
}

fn copy(strings: &dyn Strings) -> Fixed {
    let names = strings.names();
    let pairs = names.into_iter().filter_map(|name| strings.get(&name).map(|value| (name, value)));
    strings.unreadable().iter().fold(pairs.collect(), |copy: Fixed, name| copy.with_unreadable(name))
}

/// Warnings, as behind a runtime's channel, unless something else is asked for. Nonsense is said by the agent, when it starts.
pub(crate) fn log_level(strings: &dyn Strings) -> LevelFilter {
    match said(strings, &DD_LOG_LEVEL) {
        Some(text) => agent::config::log_level(&text).unwrap_or(LevelFilter::Info),
        None => LevelFilter::Warn,
    }
}

/// Waits for so long.
pub(crate) fn pause(duration: Duration) {
    wait(&mut [], duration);
}

/// Waits until something happens to one of `fds`, at most for so long. A signal may end it, which callers see by the clock.
fn wait(fds: &mut [rustix::event::PollFd<'_>], duration: Duration) {
    let timeout = rustix::event::Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    };
    rustix::event::poll(fds, Some(&timeout)).ok();
}
