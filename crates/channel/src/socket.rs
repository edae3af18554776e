//! Sequenced packets: one call, one message, and at most one descriptor with it.

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Received {
    /// There is nothing now.
    Nothing,
    /// The other side has closed. An empty message looks the same, and nobody sends one.
    End,
    /// So many bytes of the buffer.
    Message(usize, Option<OwnedFd>),
    /// Longer than the buffer, or with more descriptors than one. All of them are closed.
    Unfit,
}

/// Sends without waiting. `Ok(false)` when there is no room now. Never raises SIGPIPE.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<bool, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds
        && !control.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(true),
            // Too many descriptors of this user are on their way; the receiver will take some.
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives without waiting. Every descriptor that came is owned from here on.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut is_reset = false;
    let message = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(message) => break message,
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(Errno::INTR) => {}
            // Said once when the other side left something of ours unread; what it sent before it left comes after.
            Err(Errno::CONNRESET) if !is_reset => is_reset = true,
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error),
        }
    };
    let mut fd = None;
    let mut is_fit = !message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = part {
            for another in fds {
                is_fit &= fd.is_none();
                fd = Some(another);
            }
        }
    }
    Ok(match message.bytes {
        _ if !is_fit => Received::Unfit,
        0 => Received::End,
        bytes => Received::Message(bytes, fd),
    })
}

/// Ends the connection for every process that has inherited it. Closing alone would leave it open in those.
pub(crate) fn hang_up(socket: impl AsFd) {
    // Fails when the other side was first.
    shutdown(socket, Shutdown::Both).ok();
}

/// Waits until something happens to one of `fds`, or `until`; without end when it is `None`. A signal is no event.
pub(crate) fn wait(fds: &mut [PollFd<'_>], until: Option<Instant>) -> Result<(), Errno> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match poll(fds, left.map(timespec).as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Waits for so long.
pub(crate) fn pause(duration: Duration) {
    wait(&mut [], Some(Instant::now() + duration)).ok();
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
