//! Receiving a batch without waiting, and the kernel's count of drops.

use super::Received;
use super::packets::{Filled, Packets};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(target_os = "linux")]
pub(super) use linux::{batch, buffer_bytes, prepare};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{batch, buffer_bytes, prepare};

/// The kernel's count of dropped datagrams as it stood when last told: it only grows, and wraps around.
#[derive(Debug, Default)]
pub(super) struct Drops(AtomicU32);

impl Drops {
    /// What was dropped since the last time. A count that is behind belongs to a datagram that another
    /// processor queued late, and tells nothing new.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "Linux alone tells"))]
    pub(super) fn since_last(&self, told: u32) -> u64 {
        let ahead = told.wrapping_sub(self.0.load(Ordering::Relaxed));
        if ahead == 0 || ahead > u32::MAX / 2 {
            return 0;
        }
        self.0.store(told, Ordering::Relaxed);
        u64::from(ahead)
    }
}

/// Runs `batch` in the way that keeps the runtime's belief about the socket true: `try_io` is the socket's
/// own, which runs its closure only where the runtime believes that something is there, and takes
/// `WouldBlock` for the word that nothing is left.
pub(super) fn receive(
    packets: &mut Packets,
    mut batch: impl FnMut(&mut Packets) -> io::Result<Received>,
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
) -> io::Result<Received> {
    let mut outcome = None;
    let believed = try_io(&mut || {
        let result = batch(packets);
        // A batch that is not full left nothing behind: that spares the next wait a call in vain.
        let emptied = matches!(&result, Ok(received) if !received.more);
        outcome = Some(result);
        if emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (outcome, believed) {
        (Some(result), _) => result,
        // The runtime may only not know yet: what a client has sent before a stop is read all the same.
        (None, _) => batch(packets),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::super::{DatagramOptions, RECEIVE_BUFFER_WISH_BYTES, Received};
    use super::{Drops, Filled, Packets, io};
    use nix::errno::Errno;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
    use std::io::IoSliceMut;
    use std::os::fd::{AsFd, AsRawFd};

    /// Has the kernel tell its drops, and raises the receive buffer.
    pub(in super::super) fn prepare(socket: &(impl AsFd + ?Sized), options: &DatagramOptions) {
        // Where the kernel does not know an option, the socket is as good as without: nothing to report.
        setsockopt(&socket, sockopt::RxqOvfl, &1).ok();
        let wish = match options.receive_buffer_bytes {
            Some(bytes) => bytes,
            None if buffer_bytes(socket) < RECEIVE_BUFFER_WISH_BYTES => RECEIVE_BUFFER_WISH_BYTES,
            None => return,
        };
        // Past the limit `net.core.rmem_max` for those who may, else up to it.
        if setsockopt(&socket, sockopt::RcvBufForce, &wish).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &wish).ok();
        }
    }

    /// The receive buffer in the unit in which it is asked for: the kernel doubles it for its own overhead.
    pub(in super::super) fn buffer_bytes(socket: &(impl AsFd + ?Sized)) -> usize {
        nix::sys::socket::getsockopt(&socket, sockopt::RcvBuf).unwrap_or(0) / 2
    }

    /// Headers of the first call of a batch. The kernel's structures cannot stay with the batch: they hold
    /// pointers, which do not move between threads, and the kernel writes over the room they offer for its drop
    /// counter. Making a few for the usual case, and the others when those were filled, costs 3 % of the
    /// calls themselves.
    const FIRST_PACKETS: usize = 8;

    pub(in super::super) fn batch(
        socket: &(impl AsFd + ?Sized),
        drops: &Drops,
        packets: &mut Packets,
    ) -> io::Result<Received> {
        let slots = packets.slots();
        let (mut memory, filled) = packets.parts();
        filled.clear();
        let mut kernel_dropped = 0;
        let first = FIRST_PACKETS.min(slots);
        for wanted in [first, slots - first] {
            let before = filled.len();
            match call(socket, drops, memory.by_ref().take(wanted), filled) {
                Ok(dropped) => kernel_dropped += dropped,
                Err(Errno::EAGAIN) => break,
                // What came before it is handed out; the error, if it lasts, comes again.
                Err(_) if !filled.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
            if filled.len() < before + wanted || filled.len() == slots {
                break;
            }
        }
        Ok(Received { packets: filled.len(), kernel_dropped, more: filled.len() == slots })
    }

    /// One `recvmmsg` into `slots`; says how many datagrams the kernel told that it dropped.
    fn call<'a>(
        socket: &(impl AsFd + ?Sized),
        drops: &Drops,
        slots: impl Iterator<Item = &'a mut [u8]>,
        filled: &mut Vec<Filled>,
    ) -> nix::Result<u64> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = slots.map(|slot| [IoSliceMut::new(slot)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(slices.len(), Some(nix::cmsg_space!(u32)));
        let socket = socket.as_fd().as_raw_fd();
        let mut kernel_dropped = 0;
        for message in recvmmsg(socket, &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None)? {
            filled.push(Filled {
                bytes: message.bytes,
                truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            });
            for told in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(told) = told {
                    kernel_dropped += drops.since_last(told);
                }
            }
        }
        Ok(kernel_dropped)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::super::{DatagramOptions, RECEIVE_BUFFER_WISH_BYTES, Received};
    use super::{Drops, Filled, Packets, io};
    use socket2::SockRef;
    use std::io::Read as _;

    #[cfg(unix)]
    pub(in super::super) trait Handle: std::os::fd::AsFd {}
    #[cfg(unix)]
    impl<S: std::os::fd::AsFd> Handle for S {}
    #[cfg(windows)]
    pub(in super::super) trait Handle: std::os::windows::io::AsSocket {}
    #[cfg(windows)]
    impl<S: std::os::windows::io::AsSocket> Handle for S {}

    /// What Windows says of a datagram that is longer than the slot, which it has filled.
    const WSAEMSGSIZE: i32 = 10_040;

    /// Raises the receive buffer.
    pub(in super::super) fn prepare(socket: &impl Handle, options: &DatagramOptions) {
        let wish = match options.receive_buffer_bytes {
            Some(bytes) => bytes,
            None if buffer_bytes(socket) < RECEIVE_BUFFER_WISH_BYTES => RECEIVE_BUFFER_WISH_BYTES,
            None => return,
        };
        // A refusal leaves what was; what was granted is asked for and reported.
        SockRef::from(socket).set_recv_buffer_size(wish).ok();
    }

    /// The receive buffer.
    pub(in super::super) fn buffer_bytes(socket: &impl Handle) -> usize {
        SockRef::from(socket).recv_buffer_size().unwrap_or(0)
    }

    pub(in super::super) fn batch(
        socket: &impl Handle,
        _drops: &Drops,
        packets: &mut Packets,
    ) -> io::Result<Received> {
        let slots = packets.slots();
        let (memory, filled) = packets.parts();
        filled.clear();
        let socket = SockRef::from(socket);
        for slot in memory {
            match (&*socket).read(slot) {
                Ok(bytes) => filled.push(Filled { bytes, truncated: false }),
                Err(error) if cfg!(windows) && error.raw_os_error() == Some(WSAEMSGSIZE) => {
                    filled.push(Filled { bytes: slot.len(), truncated: true });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What came before it is handed out; the error, if it lasts, comes again.
                Err(_) if !filled.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Received { packets: filled.len(), kernel_dropped: 0, more: filled.len() == slots })
    }
}
