//! Linux: signal descriptors, `posix_spawn`, `waitpid`.

use super::Change;
use super::pty::Pty;
use super::pump::{self, Pump, Streams, Turn};
use super::relay::Relay;
use super::terminal::{self, Place, Terminal};
use crate::capture::{Captured, say};
use crate::command::{Command, SpawnError, Stream, run_first};
use crate::exit_code::{NOT_RUNNABLE, Status};
use crate::signals::{Sender, Signal};
use crate::supervise::{Event, Rules};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Named, signal as set_action};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::execve;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process as os;
use rustix::process::{Pid, RawPid, Resource, Rlimit, WaitOptions, WaitStatus};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Above every descriptor that `Command` may hand to the child as one of its three streams.
const FIRST_FREE_FD: RawFd = 3;

/// How long a terminal may take to show what the child wrote last, before it is given back.
const LAST_OUTPUT_MAX: Duration = Duration::from_secs(1);

/// Signals are blocked, and come out of a descriptor.
#[derive(Debug)]
pub(crate) struct Blocked {
    signals: SignalFd,
    /// The mask that we were given, and give the child.
    saved: SigSet,
}

/// The child and everything between it and the system.
#[derive(Debug)]
pub(crate) struct Host {
    signals: SignalFd,
    child: Pid,
    /// Whether the child leads a group of its own.
    own_group: bool,
    terminal: Option<Terminal>,
    own_pid: Pid,
    reaps_orphans: bool,
    kill_after: Option<Duration>,
    kill_at: Option<Instant>,
    /// Those that got no thread.
    pumps: Vec<Pump>,
    captured: Captured,
    ptys: Vec<Arc<Pty>>,
    relay: Option<Relayed>,
}

/// Gives the real terminal back, whatever happens to us.
#[derive(Debug)]
struct Relayed(Arc<Relay>);

impl Drop for Relayed {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Whom the child takes a terminal from before it becomes the program.
enum Front<'a> {
    /// Nobody.
    Nothing,
    /// Our group.
    Group(&'a Terminal),
    /// It is a session of its own, with this one.
    Session(OwnedFd),
}

pub(crate) fn block() -> io::Result<Blocked> {
    // All of them. What a fault of our own raises is not held back by a mask: it ends the process, as it should.
    let all = SigSet::all();
    let saved = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    match SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) {
        Ok(signals) => {
            // Who ignores SIGCHLD, or was started by one who does, is never told how a child ended.
            default_action(Named::SIGCHLD);
            Ok(Blocked { signals, saved })
        }
        Err(error) => {
            saved.thread_set_mask()?;
            Err(error.into())
        }
    }
}

#[expect(unsafe_code, reason = "there is no safe call that sets a signal's action")]
fn default_action(signal: Named) {
    // SAFETY: the default action runs no code of ours, so nothing can be wrong with a handler; the handlers
    // that are replaced are none (SIGCHLD, before any thread) or no longer needed (the process ends by the signal).
    // It fails for SIGKILL and SIGSTOP alone, which always have their default.
    unsafe { set_action(signal, SigHandler::SigDfl) }.ok();
}

pub(crate) fn spawn(
    blocked: Blocked,
    mut command: Command,
    kill_after: Option<Duration>,
    subreaper: bool,
) -> Result<(Host, Rules, Captured), SpawnError> {
    let Blocked { signals, saved } = blocked;
    let own_pid = os::getpid();
    let is_pid_1 = own_pid == Pid::INIT;
    let reaps_orphans = is_pid_1 || (subreaper && os::set_child_subreaper(Some(own_pid)).is_ok());
    let terminal = Terminal::open();
    let place = Place::of(terminal.as_ref());
    let own_group = place != Place::PartOfJob;

    let Streams { pumps, ptys, relay } = pump::prepare(&mut command, place);
    let relay = relay.map(Relayed);
    if let Some(Relayed(relay)) = &relay {
        // Before the child can be seen: what is typed from now on is the child's to echo.
        relay.take();
    }
    // A terminal whose size we are to follow stays with us: only those in front are told of it.
    let ours = terminal.as_ref().filter(|terminal| own_group && terminal.is_ours());
    let front = match (&relay, ptys.first(), ours) {
        (_, Some(pty), _) if relay.is_some() => Front::Session(pty.slave().map_err(refuse)?),
        (None, None, Some(terminal)) => Front::Group(terminal),
        _ => Front::Nothing,
    };
    let child = start(command, &saved, own_group, &front)?;
    drop(front);
    // Threads from here on.
    let captured = Captured::new(pumps.iter().map(Pump::progress).collect());
    let pumps = pumps.into_iter().filter_map(Pump::start).collect();
    if let Some(Relayed(relay)) = &relay
        && let Err(error) = relay.start()
    {
        say(&format!("what is typed does not reach the program: {error}"));
    }
    // The child's session has the other one.
    let terminal = terminal.filter(|_| relay.is_none());

    let host = Host {
        signals,
        child,
        own_group,
        terminal,
        own_pid,
        reaps_orphans,
        kill_after,
        kill_at: None,
        pumps,
        captured: captured.clone(),
        ptys,
        relay,
    };
    let rules = Rules {
        shared_group: !own_group,
        shell_looks: matches!(place, Place::Job | Place::PartOfJob) && !is_pid_1,
        nobody_continues: place == Place::SessionLeader,
        ..Rules::default()
    };
    Ok((host, rules, captured))
}

fn start(command: Command, mask: &SigSet, own_group: bool, front: &Front<'_>) -> Result<Pid, SpawnError> {
    let environment = command.environment(std::env::vars_os());
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let variables = environment.into_iter().map(|(name, value)| c_string(assignment(name, value)));
    let variables: Vec<CString> = variables.collect::<Result<_, _>>()?;
    let words = std::iter::once(command.program.clone()).chain(command.arguments).map(c_string);
    let words: Vec<CString> = words.collect::<Result<_, _>>()?;
    let streams = [command.stdin, command.stdout, command.stderr];
    let pid = if !matches!(front, Front::Nothing) {
        let image = Image { words, variables, mask: *mask };
        run_first(&command.program, path.as_deref(), |path| spawn_in_front(path, &image, &streams, front))?
    } else {
        let attributes = attributes(mask, own_group).map_err(|error| refuse(error.into()))?;
        let (actions, _open_until_spawned) = copies(streams).map_err(refuse)?;
        let run = |path: &Path| {
            // Cheaper than a process for each entry of `PATH`.
            std::fs::metadata(path)?;
            Ok(posix_spawn(path, &actions, &attributes, &words, &variables)?.as_raw())
        };
        run_first(&command.program, path.as_deref(), run)?
    };
    Pid::from_raw(pid).ok_or_else(|| refuse(io::Error::other("it has no number")))
}

fn refuse(error: io::Error) -> SpawnError {
    SpawnError { exit_code: NOT_RUNNABLE, text: format!("cannot start a process: {error}") }
}

/// What the child becomes.
#[derive(Clone)]
struct Image {
    words: Vec<CString>,
    variables: Vec<CString>,
    mask: SigSet,
}

/// Starts the child as the terminal's group, or its session. It takes the terminal itself before it becomes the program: given
/// to it afterwards, what the program reads before that, and a Ctrl-Z of that moment, would go astray. That is the
/// one thing that `posix_spawn` cannot do.
#[expect(unsafe_code, reason = "there is no safe call that runs code between fork and exec")]
fn spawn_in_front(
    path: &Path,
    image: &Image,
    streams: &[Stream; 3],
    front: &Front<'_>,
) -> io::Result<RawPid> {
    // Looked at first, as each attempt that fails takes the terminal along.
    std::fs::metadata(path)?;
    let mut process = std::process::Command::new(path);
    let stdio = |stream: &Stream| {
        Ok::<_, io::Error>(match stream {
            Stream::Inherit => Stdio::inherit(),
            Stream::Fd(fd) => fd.try_clone()?.into(),
        })
    };
    process.stdin(stdio(&streams[0])?).stdout(stdio(&streams[1])?).stderr(stdio(&streams[2])?);
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (group, session) = match front {
        Front::Nothing => (None, None),
        Front::Group(terminal) => (Some(terminal.try_clone()?), None),
        Front::Session(terminal) => (None, Some(terminal.try_clone()?)),
    };
    if group.is_some() {
        process.process_group(0);
    }
    let image = image.clone();
    let become_program = move || {
        if let Some(terminal) = &group {
            // Every signal is still blocked, SIGTTOU among them, which would stop a group in the background here.
            terminal.give_to(os::getpid());
        }
        if let Some(terminal) = &session {
            os::setsid()?;
            os::ioctl_tiocsctty(terminal)?;
        }
        image.mask.thread_set_mask()?;
        match execve(&path, &image.words, &image.variables) {
            Ok(never) => match never {},
            Err(error) => Err(error.into()),
        }
    };
    // SAFETY: between fork and exec the child makes system calls, and `execve` allocates two arrays of pointers:
    // this is before any thread (`Prepared::block_signals`), and C libraries keep allocation working across a fork.
    unsafe { process.pre_exec(become_program) };
    let spawned = process.spawn();
    if let (Err(_), Front::Group(terminal), Some(group)) = (&spawned, front, terminal::own_group()) {
        terminal.give_to(group);
    }
    // Waited for by number, like every other.
    spawned.map(|child| child.id().cast_signed())
}

fn assignment(name: OsString, value: OsString) -> OsString {
    let mut assignment = name;
    assignment.push("=");
    assignment.push(value);
    assignment
}

fn c_string(text: OsString) -> Result<CString, SpawnError> {
    CString::new(text.into_vec()).map_err(|error| SpawnError {
        exit_code: NOT_RUNNABLE,
        text: format!("the command or its environment holds a zero byte, at {}", error.nul_position()),
    })
}

fn attributes(mask: &SigSet, own_group: bool) -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    attributes.set_sigmask(mask)?;
    // The one signal that Rust's runtime ignores for itself.
    attributes.set_sigdefault(&SigSet::from(Named::SIGPIPE))?;
    if own_group {
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
        // 0: a new group, named after the child.
        attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    }
    attributes.set_flags(flags)?;
    Ok(attributes)
}

/// What makes the streams the child's, and the descriptors that must be open until then.
fn copies(streams: [Stream; 3]) -> io::Result<(PosixSpawnFileActions, Vec<OwnedFd>)> {
    let mut actions = PosixSpawnFileActions::init()?;
    let mut open = Vec::new();
    for (target, stream) in (0..).zip(streams) {
        if let Stream::Fd(fd) = stream {
            // Out of the way of the targets: else the first copy could overwrite the second's source.
            let fd = if fd.as_raw_fd() < FIRST_FREE_FD {
                rustix::io::fcntl_dupfd_cloexec(&fd, FIRST_FREE_FD)?
            } else {
                fd
            };
            actions.add_dup2(fd.as_raw_fd(), target)?;
            open.push(fd);
        }
    }
    Ok((actions, open))
}

impl Host {
    pub(crate) fn child_pid(&self) -> u32 {
        number(self.child)
    }

    pub(crate) fn reaps_orphans(&self) -> bool {
        self.reaps_orphans
    }

    /// Blocks until a signal arrived or the grace is over.
    pub(crate) fn wait(&mut self) {
        let left = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        // More than the kernel can count is no end.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut waited = vec![PollFd::new(&self.signals, PollFlags::IN)];
        waited.extend(self.pumps.iter().map(|pump| PollFd::new(pump, PollFlags::IN)));
        // A failure is an interruption; what there is to do is looked for anyway.
        poll(&mut waited, left.as_ref()).ok();
        self.pumps.retain_mut(|pump| pump.turn() != Turn::Over);
    }

    /// Passes on what the child left, where no thread does.
    fn drain(&mut self) {
        for pump in &mut self.pumps {
            pump.drain();
        }
    }

    pub(crate) fn next_signal(&mut self) -> Option<(Signal, Sender)> {
        loop {
            let info = self.signals.read_signal().ok().flatten()?;
            let signal = Signal::new(i32::try_from(info.ssi_signo).ok()?)?;
            let told = signal == Signal::WINCH && self.follow_sizes();
            if !told {
                return Some((signal, Sender::of(info.ssi_pid, info.ssi_code, number(self.own_pid))));
            }
        }
    }

    /// Gives the child's terminals the sizes of the real ones, and says whether the child is told by that.
    fn follow_sizes(&self) -> bool {
        // All of them, not up to the first.
        let changed = self.ptys.iter().filter(|pty| pty.take_size()).count() > 0;
        if changed && self.relay.is_none() && !self.own_group {
            // It was told together with us, and may have looked before us.
            os::kill_process(self.child, os::Signal::WINCH).ok();
        }
        changed && self.relay.is_some()
    }

    pub(crate) fn start_grace(&mut self) {
        self.kill_at = self.kill_after.and_then(|after| Instant::now().checked_add(after));
    }

    /// Says so once.
    pub(crate) fn grace_is_over(&mut self) -> bool {
        self.kill_at.take_if(|at| *at <= Instant::now()).is_some()
    }

    pub(crate) fn next_change(&mut self) -> Option<Change> {
        match os::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(Some((pid, status))) if pid == self.child => Some(self.change_of_child(status)),
            Ok(Some((_, status))) if status.exited() || status.signaled() => Some(Change::OrphanReaped),
            Ok(Some(_)) => Some(Change::OrphanOther),
            Ok(None) => None,
            Err(_no_children) => Some(Change::NoChildren),
        }
    }

    fn change_of_child(&self, status: WaitStatus) -> Change {
        let signal = |number: Option<i32>| number.and_then(Signal::new);
        if status.continued() {
            return Change::Child(Event::Continued);
        }
        if let Some(signal) = signal(status.stopping_signal()) {
            let of_terminal = matches!(signal, Signal::TTIN | Signal::TTOU);
            let terminal = self.terminal.as_ref().filter(|_| self.own_group);
            let in_front = of_terminal
                && terminal.is_some_and(|terminal| terminal.belongs_to(self.child) || terminal.is_ours());
            return Change::Child(Event::Stopped { signal, in_front });
        }
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
        let killed = signal(status.terminating_signal());
        let ended = code.map(Status::Exited).or(killed.map(Status::Killed));
        Change::Child(Event::Ended(ended.unwrap_or(Status::Unknown)))
    }

    /// Sends a signal to the child's group, or to the child where the group is ours too. The child is not
    /// reaped, so the number is still its own.
    pub(crate) fn forward(&self, signal: Signal) {
        let signal = raw(signal);
        let sent = if self.own_group {
            os::kill_process_group(self.child, signal)
        } else {
            os::kill_process(self.child, signal)
        };
        // A child of another user cannot be told, nor one that has moved to another group and left
        // none behind; the child itself then still can.
        if sent.is_err() && self.own_group {
            os::kill_process(self.child, signal).ok();
        }
        if let Some(Relayed(relay)) = self.relay.as_ref().filter(|_| signal == os::Signal::TSTP) {
            relay.stop_those_in_front();
        }
    }

    pub(crate) fn hand_over(&self) {
        if let Some(Relayed(relay)) = &self.relay {
            relay.take();
        }
        let terminal = self.terminal.as_ref().filter(|_| self.own_group);
        if let (Some(terminal), Some(group)) = (terminal, terminal::own_group()) {
            terminal.hand(group, self.child);
        }
    }

    /// The child has ended.
    pub(crate) fn take_back(&mut self) {
        self.drain();
        if let Some(Relayed(relay)) = &self.relay {
            // The last of it belongs to the terminal as it is now.
            self.captured.finish(Instant::now() + LAST_OUTPUT_MAX);
            relay.end();
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|_| self.own_group) {
            terminal.take_from(self.child);
        }
    }

    /// Returns when somebody has continued us.
    pub(crate) fn stop_ourselves(&self) {
        if let Some(Relayed(relay)) = &self.relay {
            relay.give_back();
        }
        os::kill_process(self.own_pid, os::Signal::STOP).ok();
        if let Some(Relayed(relay)) = &self.relay {
            relay.take();
        }
    }
}

/// Ends this process by a signal, where a shell at a terminal would see that and the signal can do it.
pub(crate) fn die_by(signal: Signal) {
    let place = Place::of(Terminal::open().as_ref());
    if os::getpid() == Pid::INIT || !matches!(place, Place::Job | Place::PartOfJob) {
        return;
    }
    // Real-time signals have no name; they end in their exit code.
    let Ok(named) = Named::try_from(i32::from(signal.number())) else { return };
    os::setrlimit(
        Resource::Core,
        Rlimit { current: Some(0), maximum: os::getrlimit(Resource::Core).maximum },
    )
    .ok();
    default_action(named);
    // To this thread, where it is pending until it is let in.
    nix::sys::signal::raise(named).ok();
    SigSet::from(named).thread_unblock().ok();
}

fn number(pid: Pid) -> u32 {
    // A process number is positive.
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[expect(unsafe_code, reason = "real-time signals have no safe constructor")]
fn raw(signal: Signal) -> os::Signal {
    let number = i32::from(signal.number());
    // SAFETY: what must not be sent are the C library's own signals, 32 and 33. A `Signal` arrived through
    // the descriptor, whose set (`sigfillset`) leaves those out, or is a named constant.
    os::Signal::from_named_raw(number).unwrap_or_else(|| unsafe { os::Signal::from_raw_unchecked(number) })
}
