//! Descriptors in a host that may close what is not its own.

use rustix::fs::fstat;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A descriptor that is closed only while its number is still ours. A host that closes all it does not know (to become a
/// daemon, say) has our numbers for files of its own soon after: what we closed, wrote to or shut down then would be its.
#[derive(Debug)]
pub struct Descriptor {
    /// `None` when dropped alone.
    fd: Option<OwnedFd>,
    identity: Option<(u64, u64)>,
}

impl Descriptor {
    /// Of a descriptor that was just made.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        let identity = identity(fd.as_fd());
        Self { fd: Some(fd), identity }
    }

    /// The descriptor, if the number is still ours.
    #[must_use]
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        self.is_ours().then(|| self.as_fd())
    }

    /// As a host does that closes it and opens a file of its own.
    #[cfg(test)]
    pub(crate) fn steal(&mut self, theirs: impl AsFd) {
        rustix::io::dup2(theirs, self.fd.as_mut().expect("a descriptor")).expect("its number");
    }

    fn is_ours(&self) -> bool {
        self.identity.is_some() && self.fd.as_ref().is_some_and(|fd| identity(fd.as_fd()) == self.identity)
    }
}

/// The number, of which it was asked a moment ago whether it is still ours.
impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("there until it is dropped").as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.is_ours() {
            // Somebody else's now, or nobody's.
            std::mem::forget(self.fd.take());
        }
    }
}

/// Device and number of a file.
fn identity(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_number_that_is_somebody_elses_by_now_is_neither_used_nor_closed() {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let mut ours = Descriptor::new(reader.into());
        assert!(ours.get().is_some());
        ours.steal(File::open("/proc/self/stat").expect("a file"));
        assert!(ours.get().is_none());
        let theirs = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&ours.as_fd()));
        drop(ours);
        assert_eq!(std::fs::read_link(theirs).expect("still open").file_name(), Some("stat".as_ref()));
    }
}
