//! Randomness that a fork does not double.

use std::time::{SystemTime, UNIX_EPOCH};

/// A number that nobody else has: from the kernel, as anything that is kept in memory is a child's too.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the kernel writes at most as many bytes.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if got == 8 {
        return u64::from_ne_bytes(bytes);
    }
    // Refused, as by a filter of system calls: at least another one in each process and each time.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (u64::from(std::process::id()) << 32) ^ since.as_nanos() as u64
}
