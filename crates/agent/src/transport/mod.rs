//! Where bytes come in, and where the operating system touches us.
//!
//! The only place in the crate that knows one system from another: sockets, signals, the parent
//! process. A transport is anything that yields byte streams; the Windows named pipe will be one more.

pub mod datagram;
mod file;
pub mod frames;
mod host;
pub mod line_stream;
mod reading;
#[cfg(unix)]
mod socket_file;
mod tcp;
#[cfg(unix)]
mod unix;

pub(crate) use file::file_identity;
pub use host::ParentGone;
#[cfg(feature = "signals")]
pub use host::Signals;
pub use tcp::Tcp;
#[cfg(unix)]
pub use unix::{Unix, UnixAddress};

use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// A bound listener of one kind.
///
/// Accepting is cancel-safe: a dropped `accept` future loses no connection.
pub trait Transport: Send + 'static {
    /// A connection, read and written as bytes.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// Whatever the system says; [`is_listener_dead`] tells whether trying again can help.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// What to call it in logs, `/info` and status.
    fn name(&self) -> &TransportName;
}

/// Kind and address of a bound listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportName {
    /// `tcp`, `unix`, `named_pipe`, `udp` or `unix_datagram`.
    pub kind: &'static str,
    /// Address as a client would write it.
    pub address: String,
}

impl fmt::Display for TransportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.address)
    }
}

/// A listener that could not be bound: where, why, and what to do about it.
#[derive(Debug)]
pub struct BindError {
    /// What was to be bound.
    pub name: TransportName,
    /// Why not.
    pub error: io::Error,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}; {}", self.name, self.error, self.advice)
    }
}

impl std::error::Error for BindError {}

/// Whether an accept error means that the listening socket itself is gone.
///
/// Everything else (a connection reset before it was accepted, no descriptors, no memory) passes: the
/// loop pauses and goes on (losses.md L10).
pub fn is_listener_dead(error: &io::Error) -> bool {
    // EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP: the descriptor no longer is a listening socket.
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(9 | 22 | 88 | 95));
    // WSAEBADF, WSAEINVAL, WSAENOTSOCK, ERROR_INVALID_HANDLE.
    #[cfg(not(unix))]
    return matches!(error.raw_os_error(), Some(10009 | 10022 | 10038 | 6));
}
