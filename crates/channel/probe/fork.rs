//! `fork` without exec, as hosts do it: what is tried here cannot be tried without.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Runs `child` in a child process, which ends with it.
#[expect(unsafe_code, reason = "fork has no safe call; only the tests' processes do it")]
pub(crate) fn spawn(child: impl FnOnce()) -> Pid {
    // SAFETY: the child uses the allocator and starts threads, which glibc makes usable after a fork; no lock that it takes
    // is held by another thread of the probe, whose only other thread is a server's, and that one's are left alone.
    match unsafe { fork() }.expect("a process can be forked") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process at once, as a child must that shares its parent's handlers.
            unsafe { nix::libc::_exit(i32::from(ended.is_err())) }
        }
    }
}

/// Waits for the end of a child; true when it was as it should be.
pub(crate) fn ended_well(child: Pid) -> bool {
    matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
}
