//! A descriptor that is no socket of the runtime's own, watched by it.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Told when there is something to read. Must be called within a runtime.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "the runtime has no other way")]
    // SAFETY: an owned descriptor stays open, and the same, for as long as it is owned, which is as long as it is watched.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}
