//! The thread that passes on what the child writes: out of a pipe, into our own stream, and to who wants to see it.

use crate::capture::{Capture, Output, Progress, say};
use crate::command::{Command, Stream};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{FileType, Mode, fchmod, fstat};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::fcntl_setpipe_size;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What a pipe is to hold while nobody reads, in bytes: the most that the kernel gives to everybody.
const PIPE_BYTES: usize = 1 << 20;
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

    fn forget(&self) {
        read(&self.0, &mut [0_u8; 8]).ok();
    }
}

/// One stream, from the child to ours.
#[derive(Debug)]
pub(super) struct Pump {
    from: OwnedFd,
    output: Output,
    capture: Capture,
    progress: Arc<Progress>,
    buffer: Vec<u8>,
    /// See [`LAST_BYTES_MAX`].
    last_bytes: usize,
    /// Ours is a pipe, whose last reader can go.
    to_pipe: bool,
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

/// Gives the command the streams that are captured, and what passes them on. Where there can be no pipe nothing is
/// captured, and the streams are ours.
pub(super) fn prepare(command: &mut Command) -> Vec<Pump> {
    let Some(capture) = command.capture.take() else { return Vec::new() };
    let mut pumps = Vec::new();
    for (stream, output) in [(&mut command.stdout, Output::Stdout), (&mut command.stderr, Output::Stderr)] {
        if !matches!(stream, Stream::Inherit) {
            continue;
        }
        let made =
            pipe().and_then(|(reader, writer)| Ok((Pump::new(reader, output, capture.clone())?, writer)));
        match made {
            Ok((pump, writer)) => {
                *stream = Stream::Fd(writer);
                pumps.push(pump);
            }
            Err(error) => {
                say(&format!("the program's {output} is not captured: no pipe can be made: {error}"))
            }
        }
    }
    pumps
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
    pub(super) fn new(from: OwnedFd, output: Output, capture: Capture) -> io::Result<Self> {
        ioctl_fionbio(&from, true)?;
        let to_pipe = with_stream(output, |to| fstat(to))
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        Ok(Self {
            from,
            output,
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
                let passed_on = with_stream(self.output, |to| pass_on(to, read));
                self.capture.show(self.output, read);
                self.last_bytes = self.last_bytes.saturating_sub(if finishing { length } else { 0 });
                if passed_on.is_ok() { Turn::Again } else { Turn::Over }
            }
            Err(Errno::AGAIN) => Turn::Wait,
            Err(Errno::INTR) => Turn::Again,
            Err(_) => Turn::Over,
        };
        if turn == Turn::Over || (finishing && (turn == Turn::Wait || self.last_bytes == 0)) {
            self.progress.is_done();
        }
        turn
    }

    /// Passes on what the child has left.
    pub(super) fn drain(&mut self) {
        self.progress.finish();
        while self.last_bytes > 0 && self.turn() == Turn::Again {}
    }

    /// Waits until something is there, or nobody reads what we write, or the child has ended.
    fn wait(&mut self) {
        with_stream(self.output, |to| {
            let mut waited = [
                PollFd::new(&self.from, PollFlags::IN),
                PollFd::new(&self.progress.wake.0, PollFlags::IN),
                PollFd::new(&to, PollFlags::empty()),
            ];
            // Any other stream may be in error for as long as it likes.
            let count = if self.to_pipe { 3 } else { 2 };
            poll(&mut waited[..count], None).ok();
            self.progress.wake.forget();
        });
    }
}

impl AsFd for Pump {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

fn with_stream<T>(output: Output, what: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    match output {
        Output::Stdout => what(io::stdout().as_fd()),
        Output::Stderr => what(io::stderr().as_fd()),
    }
}

/// Writes all of it. An error when nobody reads our stream any more; what another error refuses (a full disk) is left
/// out, as programs that write there do.
fn pass_on(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
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
