//! No panic passes to C, and none writes to the host's stderr.

use super::types::lastlight_result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a call came to where it did not come to `LASTLIGHT_OK`.
pub(super) type Outcome<T = ()> = Result<T, lastlight_result>;

/// Runs one call of C. Without memory to work with it is not begun.
pub(super) fn enter(call: impl FnOnce() -> Outcome) -> lastlight_result {
    silence_panics();
    if !has_memory() {
        return lastlight_result::NoMemory;
    }
    match contain(call) {
        Some(Ok(())) => lastlight_result::Ok,
        Some(Err(why)) => why,
        None => lastlight_result::Panicked,
    }
}

/// `None` where the call panicked.
pub(super) fn contain<T>(call: impl FnOnce() -> T) -> Option<T> {
    // Nothing is used after a panic but handles, whose locks look for poison.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // What a panic carries may panic when it is dropped; then it is not dropped.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(second);
            }
            None
        }
    }
}

/// The standard library's hook writes to stderr, which is the host's. The panic becomes a message.
///
/// This is the hook of the copy of the standard library in this library: no other Rust code of the process has it.
fn silence_panics() {
    // No `Once`: a child forked while another thread is in it would wait for ever.
    static IS_SET: AtomicBool = AtomicBool::new(cfg!(test));
    if !IS_SET.load(Relaxed) && !IS_SET.swap(true, Relaxed) {
        std::panic::set_hook(Box::new(|panic| log::error!("a bug, contained: {panic}")));
    }
}

#[cfg(not(test))]
fn has_memory() -> bool {
    super::memory::has_room()
}

#[cfg(test)]
fn has_memory() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l124_a_panic_does_not_pass_to_c() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(enter(|| panic!("a bug")), lastlight_result::Panicked);
        assert_eq!(enter(|| std::panic::panic_any(Bomb)), lastlight_result::Panicked);
        assert_eq!(enter(|| Ok(())), lastlight_result::Ok);
        assert_eq!(enter(|| Err(lastlight_result::Empty)), lastlight_result::Empty);
    }
}
