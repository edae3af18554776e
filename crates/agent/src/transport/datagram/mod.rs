//! Datagram sockets, read in batches: UDP and Unix (`facts/dogstatsd.md` §1).
//!
//! A datagram that is longer than the bound is handed out as cut (losses.md L48), and what the kernel had
//! to drop because nobody read in time is counted (L39), where the system tells.

mod packets;
mod receive;
#[cfg(test)]
mod tests;
mod udp;
#[cfg(unix)]
mod unix;

pub use packets::{Packet, Packets};
pub use udp::Udp;
#[cfg(unix)]
pub use unix::UnixDatagram;

use super::TransportName;
use std::io;

/// Receive buffer that a socket asks the kernel for when no setting names another: what arrives in some
/// ten milliseconds at a million samples a second.
pub const RECEIVE_BUFFER_WISH_BYTES: usize = 4 * 1024 * 1024;

/// How a datagram socket is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramOptions {
    /// `DD_DOGSTATSD_SO_RCVBUF`: the receive buffer to ask for. `None` raises the system's default to
    /// [`RECEIVE_BUFFER_WISH_BYTES`].
    pub receive_buffer_bytes: Option<usize>,
    /// Whether an IPv6 socket takes IPv4 too, which makes sense for `[::]`. Without effect on others.
    pub dual_stack: bool,
}

/// What one call of [`Datagrams::receive`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets now in the batch.
    pub packets: usize,
    /// Datagrams that the kernel dropped, as far as became known since the last call. The kernel tells
    /// with the next datagram that it could queue: see [`Datagrams::ask_for_drops`].
    pub kernel_dropped: u64,
    /// Whether the batch is full, so that there may be more at once.
    pub more: bool,
}

/// A bound socket that yields datagrams.
pub trait Datagrams: Send + 'static {
    /// Waits until something can be received. Cancel-safe. May return although nothing is there.
    ///
    /// # Errors
    /// Whatever the system says; [`super::is_listener_dead`] tells whether trying again can help.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Receives what is there, at most a batch, without waiting; 0 packets when nothing is there. What the
    /// batch held before is forgotten. It asks the kernel itself, so that a loop of it until 0 packets
    /// empties the socket (losses.md L87), whether or not [`Datagrams::readable`] was asked before.
    ///
    /// # Errors
    /// As for [`Datagrams::readable`]; the batch is empty then.
    fn receive(&self, packets: &mut Packets) -> io::Result<Received>;

    /// Makes the kernel tell what it dropped after the last datagram that it queued, by sending the socket
    /// an empty datagram, which a later [`Datagrams::receive`] hands out like any other. For a stop, once
    /// the socket has been emptied. Does nothing where the kernel does not drop, or does not tell.
    fn ask_for_drops(&self) {}

    /// What to call it in logs and status; kinds are `udp` and `unix_datagram`.
    fn name(&self) -> &TransportName;
}
