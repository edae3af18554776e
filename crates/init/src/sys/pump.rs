//! The thread that passes on what the child writes: out of a pipe, into our own stream, and to who wants to see it.

use crate::capture::{Capture, Output, Progress};
use crate::command::{Command, Stream};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::fcntl_setpipe_size;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

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
    fn new() -> io::Result<Self> {
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
pub(super) struct Pump {
    from: OwnedFd,
    output: Output,
    capture: Capture,
    progress: Arc<Progress>,
}

/// Gives the command the streams that are captured, and what passes them on.
pub(super) fn prepare(command: &mut Command) -> io::Result<Vec<Pump>> {
    let Some(capture) = command.capture.take() else { return Ok(Vec::new()) };
    let mut pumps = Vec::new();
    for (stream, output) in [(&mut command.stdout, Output::Stdout), (&mut command.stderr, Output::Stderr)] {
        if matches!(stream, Stream::Inherit) {
            let (reader, writer) = pipe()?;
            *stream = Stream::Fd(writer);
            pumps.push(Pump::new(reader, output, capture.clone())?);
        }
    }
    Ok(pumps)
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
    fn new(from: OwnedFd, output: Output, capture: Capture) -> io::Result<Self> {
        ioctl_fionbio(&from, true)?;
        Ok(Self { from, output, capture, progress: Arc::new(Progress::new(Wake::new()?)) })
    }

    /// On a thread of its own, which ends with the stream.
    pub(super) fn start(self) -> Arc<Progress> {
        let progress = Arc::clone(&self.progress);
        std::thread::Builder::new().name("capture".into()).spawn(move || self.run()).ok();
        progress
    }

    fn run(self) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut last_bytes = LAST_BYTES_MAX;
        loop {
            // Looked at before reading: what the child wrote was there before that was said.
            let finishing = self.progress.is_finishing();
            match read(&self.from, &mut buffer[..]) {
                Ok(0) => break,
                Ok(length) => {
                    let passed_on = self.pass_on(&buffer[..length]);
                    self.capture.show(self.output, &buffer[..length]);
                    if passed_on.is_err() {
                        break;
                    }
                    if finishing {
                        last_bytes = last_bytes.saturating_sub(length);
                        if last_bytes == 0 {
                            self.progress.is_done();
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    if finishing {
                        self.progress.is_done();
                    }
                    let wake = PollFd::new(&self.progress.wake.0, PollFlags::IN);
                    poll(&mut [PollFd::new(&self.from, PollFlags::IN), wake], None).ok();
                    self.progress.wake.forget();
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.progress.is_done();
    }

    /// An error when nobody reads our stream any more.
    fn pass_on(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let to: BorrowedFd<'_> = match self.output {
            Output::Stdout => stdout.as_fd(),
            Output::Stderr => stderr.as_fd(),
        };
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
}
