//! The thread that passes on what the child writes: out of a pipe, into our own stream, and to who wants to see it.

use super::pty::Pty;
use super::relay::Relay;
use super::terminal::Place;
use crate::capture::{Capture, Output, Progress, say};
use crate::command::{Command, Stream};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{FileType, Mode, fchmod, fstat};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::fcntl_setpipe_size;
use rustix::termios::{isatty, tcgetpgrp};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What a pipe is to hold while nobody reads, in bytes. Measured, a bigger one is no faster; and all pipes of a user count
/// against 64 MiB, beyond which the kernel gives that user's other programs tiny ones.
const PIPE_BYTES: usize = 256 << 10;
/// Bytes read at once.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes that are read after the child's end, from a stream that another process goes on filling: more than the
/// child can have left in it.
const LAST_BYTES_MAX: usize = 2 * PIPE_BYTES;

/// Wakes a pump that waits for the child.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // Fails when the counter is full, and who waits is woken.
        write(&self.0, &1_u64.to_ne_bytes()).ok();
    }

    pub(super) fn forget(&self) {
        read(&self.0, &mut [0_u8; 8]).ok();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One stream, from the child to ours.
#[derive(Debug)]
pub(super) struct Pump {
    from: From,
    output: Output,
    /// Which of ours it goes to.
    to: Output,
    capture: Capture,
    progress: Arc<Progress>,
    buffer: Vec<u8>,
    /// See [`LAST_BYTES_MAX`].
    last_bytes: usize,
    /// Ours is a pipe, whose last reader can go.
    to_pipe: bool,
}

/// Where the child's output comes out.
#[derive(Debug)]
enum From {
    Pipe(OwnedFd),
    Pty(Arc<Pty>),
    /// Of a terminal whose keys are relayed too.
    Relay(Arc<Pty>, Arc<Relay>),
}

/// What stands between the child's streams and ours.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) pumps: Vec<Pump>,
    /// What takes the sizes of real terminals.
    pub(super) ptys: Vec<Arc<Pty>>,
    /// The child gets a terminal of its own for its session.
    pub(super) relay: Option<Arc<Relay>>,
}

/// How it goes on.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// There was something, and there may be more.
    Again,
    /// There is nothing now.
    Wait,
    /// Nobody writes any more, or nobody reads.
    Over,
}

/// Gives the command the streams that are captured, and what passes them on: a terminal for a terminal, a pipe for all
/// else. Where it cannot be made nothing is captured, and the stream is ours.
pub(super) fn prepare(command: &mut Command, place: Place) -> Streams {
    let mut streams = Streams::default();
    let Some(capture) = command.capture.take() else { return streams };
    if let Err(error) = streams.relay_terminal(command, &capture, place) {
        say(&format!("the program has no terminal of its own: {error}"));
    }
    for output in [Output::Stdout, Output::Stderr] {
        if let Err(error) = streams.capture_one(command, output, &capture) {
            say(&format!("the program's {output} is not captured: {error}"));
        }
    }
    streams
}

impl Streams {
    /// Where all is one terminal, and ours alone, the child gets one too.
    fn relay_terminal(&mut self, command: &mut Command, capture: &Capture, place: Place) -> io::Result<()> {
        let inherits = |stream: &Stream| matches!(stream, Stream::Inherit);
        let ours_alone = matches!(place, Place::Job | Place::SessionLeader);
        if !ours_alone || !inherits(&command.stdin) || !inherits(&command.stdout) {
            return Ok(());
        }
        let controls_us = tcgetpgrp(io::stdin()).is_ok();
        if !controls_us
            || terminal(Output::Stdout).is_none_or(|device| Some(device) != device_of(io::stdin()))
        {
            return Ok(());
        }
        let pty = Arc::new(Pty::like(Output::Stdout, true)?);
        let relay = Arc::new(Relay::new(Arc::clone(&pty), matches!(place, Place::Job))?);
        let from = From::Relay(Arc::clone(&pty), Arc::clone(&relay));
        let pump = Pump::new(from, Output::Stdout, capture.clone())?;
        let (stdin, stdout) = (pty.slave()?, pty.slave()?);
        if inherits(&command.stderr) && terminal(Output::Stderr) == terminal(Output::Stdout) {
            command.stderr = Stream::Fd(pty.slave()?);
        }
        (command.stdin, command.stdout) = (Stream::Fd(stdin), Stream::Fd(stdout));
        self.pumps.push(pump);
        self.ptys.push(pty);
        self.relay = Some(relay);
        Ok(())
    }

    fn capture_one(&mut self, command: &mut Command, output: Output, capture: &Capture) -> io::Result<()> {
        let (stream, other) = match output {
            Output::Stdout => (&mut command.stdout, &mut command.stderr),
            Output::Stderr => (&mut command.stderr, &mut command.stdout),
        };
        if output == Output::Stdout && command.stdout_is_stderr {
            let (reader, writer) = pipe()?;
            self.pumps.push(Pump::to(From::Pipe(reader), output, Output::Stderr, capture.clone())?);
            *stream = Stream::Fd(writer);
            return Ok(());
        }
        if !matches!(stream, Stream::Inherit) {
            return Ok(());
        }
        if let Some(device) = terminal(output) {
            let pty = Arc::new(Pty::like(output, false)?);
            let pump = Pump::new(From::Pty(Arc::clone(&pty)), output, capture.clone())?;
            let theirs = pty.slave()?;
            // Standard output comes first, so the other is standard error.
            if matches!(other, Stream::Inherit) && terminal(Output::Stderr) == Some(device) {
                *other = Stream::Fd(pty.slave()?);
            }
            *stream = Stream::Fd(theirs);
            self.pumps.push(pump);
            self.ptys.push(pty);
        } else {
            let (reader, writer) = pipe()?;
            self.pumps.push(Pump::new(From::Pipe(reader), output, capture.clone())?);
            *stream = Stream::Fd(writer);
        }
        Ok(())
    }
}

/// The terminal that one of our streams is.
fn terminal(output: Output) -> Option<u64> {
    with_stream(output, |stream| if isatty(stream) { device_of(stream) } else { None })
}

fn device_of(stream: impl AsFd) -> Option<u64> {
    fstat(stream).ok().map(|stat| stat.st_rdev)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    // Refused where this user has many pipes already; smaller ones do too.
    fcntl_setpipe_size(&writer, PIPE_BYTES).ok();
    // For a child that becomes another user and opens `/dev/stdout`: the way there, its own `/proc`, is nobody else's.
    fchmod(&writer, Mode::from_raw_mode(0o666)).ok();
    Ok((reader.into(), writer.into()))
}

impl Pump {
    fn new(from: From, output: Output, capture: Capture) -> io::Result<Self> {
        Self::to(from, output, output, capture)
    }

    fn to(from: From, output: Output, to: Output, capture: Capture) -> io::Result<Self> {
        ioctl_fionbio(&from, true)?;
        let to_pipe = with_stream(to, |to| fstat(to))
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        Ok(Self {
            from,
            output,
            to,
            capture,
            progress: Arc::new(Progress::new(Wake::new()?)),
            buffer: vec![0; BUFFER_BYTES],
            last_bytes: LAST_BYTES_MAX,
            to_pipe,
        })
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// On a thread of its own, which ends with the stream. Where there can be no thread the pump is left, for
    /// whoever waits for the child: a child whose output nobody takes would stand still.
    pub(super) fn start(self) -> Option<Self> {
        let shared = Arc::new(Mutex::new(Some(self)));
        let theirs = Arc::clone(&shared);
        let take = |slot: &Mutex<Option<Self>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let started = std::thread::Builder::new().name("capture".into()).spawn(move || {
            if let Some(mut pump) = take(&theirs) {
                pump.run();
            }
        });
        if started.is_ok() { None } else { take(&shared) }
    }

    fn run(&mut self) {
        loop {
            match self.turn() {
                Turn::Again => {}
                Turn::Wait => self.wait(),
                Turn::Over => return,
            }
        }
    }

    /// Passes on once what is there.
    pub(super) fn turn(&mut self) -> Turn {
        // Looked at before reading: what the child wrote was there before that was said.
        let finishing = self.progress.is_finishing();
        let turn = match read(&self.from, &mut self.buffer[..]) {
            Ok(0) => Turn::Over,
            Ok(length) => {
                let read = &self.buffer[..length];
                let write = |bytes: &[u8]| with_stream(self.to, |to| pass_on(to, bytes));
                let passed_on = match &self.from {
                    From::Relay(_, relay) => relay.show(read, write),
                    From::Pipe(_) | From::Pty(_) => write(read),
                };
                self.capture.show(self.output, read);
                self.last_bytes = self.last_bytes.saturating_sub(if finishing { length } else { 0 });
                // A pipe that gave less than was asked for is empty.
                let empty = matches!(self.from, From::Pipe(_)) && length < self.buffer.len() && !finishing;
                match (passed_on, empty) {
                    (Err(_), _) => Turn::Over,
                    (Ok(()), true) => Turn::Wait,
                    (Ok(()), false) => Turn::Again,
                }
            }
            Err(Errno::AGAIN) => self.nothing_came(),
            Err(Errno::INTR) => Turn::Again,
            Err(_) => Turn::Over,
        };
        if turn == Turn::Over || (finishing && (turn == Turn::Wait || self.last_bytes == 0)) {
            self.progress.is_done();
        }
        turn
    }

    fn nothing_came(&self) -> Turn {
        if let From::Relay(_, relay) = &self.from {
            relay.show_held(|bytes| with_stream(self.to, |to| pass_on(to, bytes))).ok();
        }
        Turn::Wait
    }

    /// Passes on what the child has left.
    pub(super) fn drain(&mut self) {
        self.progress.finish();
        while self.last_bytes > 0 && self.turn() == Turn::Again {}
    }

    /// Waits until something is there, or nobody reads what we write, or the child has ended.
    fn wait(&mut self) {
        with_stream(self.to, |to| {
            let mut waited = [
                PollFd::new(&self.from, PollFlags::IN),
                PollFd::new(&self.progress.wake, PollFlags::IN),
                PollFd::new(&to, PollFlags::empty()),
            ];
            // Any other stream may be in error for as long as it likes.
            let count = if self.to_pipe { 3 } else { 2 };
            poll(&mut waited[..count], None).ok();
            if !waited[1].revents().is_empty() {
                self.progress.wake.forget();
            }
        });
    }
}

impl AsFd for Pump {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

impl AsFd for From {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pipe(reader) => reader.as_fd(),
            Self::Pty(pty) | Self::Relay(pty, _) => pty.as_fd(),
        }
    }
}

pub(super) fn with_stream<T>(output: Output, what: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    match output {
        Output::Stdout => what(io::stdout().as_fd()),
        Output::Stderr => what(io::stderr().as_fd()),
    }
}

/// Writes all of it. An error when nobody reads our stream any more; what another error refuses (a full disk) is left
/// out, as programs that write there do.
pub(super) fn pass_on(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            // Somebody who shares it has made it so.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&to, PollFlags::OUT)], None).ok();
            }
            Err(Errno::PIPE) => return Err(Errno::PIPE),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}
