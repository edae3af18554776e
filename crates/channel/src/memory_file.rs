//! Payloads that are too big for a datagram: a memory file that its writer seals, so that its reader can trust that
//! neither size nor bytes change any more. It is read, never mapped: a mapped file that is cut short kills whoever
//! touches it (losses.md L123).

use crate::frame::PAYLOAD_MAX_BYTES;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::{Errno, pread, pwrite};
use std::os::fd::{AsFd, OwnedFd};

/// What makes a file final. The last keeps them all from being taken for less.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// A file of exactly these bytes, sealed.
///
/// # Errors
/// Where the system refuses memory files (a seccomp filter, an old kernel), or this user has no descriptors or memory
/// left.
pub(crate) fn write_sealed(payload: &[u8]) -> Result<OwnedFd, Errno> {
    let file = create()?;
    let mut written = 0;
    while written < payload.len() {
        match pwrite(&file, &payload[written..], written as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(bytes) => written += bytes,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

fn create() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 on can be told to refuse files that could be executed; older ones do not know the flag.
    match memfd_create(c"lastlight", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(c"lastlight", flags),
        other => other,
    }
}

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unfit {
    /// No memory file, or one that somebody can still change.
    Seals,
    /// Not of the declared size, or bigger than any may be.
    Size,
    /// It could not be read, or there is no memory for it.
    Unreadable,
}

/// The bytes of a file from somebody who is not trusted.
pub(crate) fn read_sealed(file: impl AsFd, declared: u64) -> Result<Vec<u8>, Unfit> {
    // Seals first: afterwards the size cannot change. What is no memory file has none.
    let seals = fcntl_get_seals(&file).map_err(|_| Unfit::Seals)?;
    if !seals.contains(SEALS) {
        return Err(Unfit::Seals);
    }
    let size = fstat(&file).map_err(|_| Unfit::Size)?.st_size;
    let bytes = usize::try_from(size).map_err(|_| Unfit::Size)?;
    if bytes as u64 != declared || bytes > PAYLOAD_MAX_BYTES {
        return Err(Unfit::Size);
    }
    let mut payload = Vec::new();
    payload.try_reserve_exact(bytes).map_err(|_| Unfit::Unreadable)?;
    while payload.len() < bytes {
        let at = payload.len() as u64;
        match pread(&file, rustix::buffer::spare_capacity(&mut payload), at) {
            Ok(0) => return Err(Unfit::Size),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Err(Unfit::Unreadable),
        }
    }
    // An allocator may have given more than was asked for, but the file has no more.
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::ftruncate;

    #[test]
    fn a_sealed_file_is_read_as_written() {
        let payload: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let file = write_sealed(&payload).unwrap();
        assert_eq!(read_sealed(&file, 100_000), Ok(payload));
        assert_eq!(read_sealed(write_sealed(&[]).unwrap(), 0), Ok(Vec::new()));
    }

    #[test]
    fn l123_what_can_still_be_cut_short_is_not_read() {
        let sealed = write_sealed(b"12345").unwrap();
        assert!(ftruncate(&sealed, 2).is_err() && pwrite(&sealed, b"x", 0).is_err());
        let all = [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE, SealFlags::SEAL];
        for missing in all {
            let file = create().unwrap();
            pwrite(&file, b"12345", 0).unwrap();
            fcntl_add_seals(&file, SEALS - missing - SealFlags::SEAL).unwrap();
            if missing != SealFlags::SEAL {
                fcntl_add_seals(&file, SealFlags::SEAL).unwrap();
            }
            assert_eq!(read_sealed(&file, 5), Err(Unfit::Seals), "without {missing:?}");
        }
    }

    #[test]
    fn l123_a_file_that_was_cut_short_before_it_was_sealed_is_not_read() {
        let file = create().unwrap();
        pwrite(&file, b"12345", 0).unwrap();
        ftruncate(&file, 2).unwrap();
        fcntl_add_seals(&file, SEALS).unwrap();
        assert_eq!(read_sealed(&file, 5), Err(Unfit::Size));
    }

    #[test]
    fn l125_a_file_is_as_big_as_it_is_and_not_as_it_is_said_to_be() {
        let file = write_sealed(b"12345").unwrap();
        for declared in [0, 4, 6, u64::MAX] {
            assert_eq!(read_sealed(&file, declared), Err(Unfit::Size));
        }
        // Sparse: it costs its maker nothing.
        let huge = create().unwrap();
        ftruncate(&huge, PAYLOAD_MAX_BYTES as u64 + 1).unwrap();
        fcntl_add_seals(&huge, SEALS).unwrap();
        assert_eq!(read_sealed(&huge, PAYLOAD_MAX_BYTES as u64 + 1), Err(Unfit::Size));
    }

    #[test]
    fn what_is_no_memory_file_is_not_read() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(read_sealed(&reader, 5), Err(Unfit::Seals));
        assert_eq!(read_sealed(std::fs::File::open("/dev/zero").unwrap(), 5), Err(Unfit::Seals));
    }
}
