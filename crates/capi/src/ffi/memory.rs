//! The allocator of the C library: a host does not die of our want of memory.
//!
//! Rust aborts where an allocation fails that nobody expected to. Here such an allocation comes out of a reserve, which lies in
//! the library's own data (so it cannot fail, costs nothing until it is touched, and goes with `dlclose`). A call is not begun
//! when the reserve runs low and the system has nothing (`LASTLIGHT_NO_MEMORY`); what one call needs beside copies of what it
//! was given, for which failure is expected, is far less than what is left then. Our own thread waits instead, and tries again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The reserve.
const RESERVE_BYTES: usize = 1 << 20;
/// A call is not begun with less of it, unless the system has as much.
const CALL_MIN_BYTES: usize = 512 << 10;
/// More than this in one piece is no small change: whoever asks for it can take a refusal.
const PIECE_MAX_BYTES: usize = 128 << 10;
/// What our own thread takes out of the reserve without waiting: it may hold a lock that a caller wants.
const OWN_PIECE_MAX_BYTES: usize = 1 << 10;
/// How long our own thread waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);
/// The name of the library's own threads begins so.
const OWN_NAME: &[u8] = b"lastlight";

#[global_allocator]
static ALLOCATOR: Careful = Careful { reserve: Reserve::new() };

struct Careful {
    reserve: Reserve,
}

/// Whether there is memory for a call.
pub(super) fn has_room() -> bool {
    if ALLOCATOR.reserve.left() >= CALL_MIN_BYTES {
        return true;
    }
    let Ok(layout) = Layout::from_size_align(CALL_MIN_BYTES, 1) else { return false };
    // SAFETY: the layout has a size; what was allocated is freed by the same allocator with the same layout.
    unsafe {
        let probe = System.alloc(layout);
        if !probe.is_null() {
            System.dealloc(probe, layout);
        }
        !probe.is_null()
    }
}

// SAFETY: memory comes from `System` or from the reserve, each of which keeps the contract, and goes back to where it came
// from, which its address tells. Nothing here unwinds or allocates.
unsafe impl GlobalAlloc for Careful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract is the caller's.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { self.otherwise(layout) } else { memory }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if self.reserve.has(memory) {
            self.reserve.give_back();
        } else {
            // SAFETY: not of the reserve, so of `System`, with this layout.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract is the caller's.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = self.otherwise(layout);
        if !memory.is_null() {
            // SAFETY: as many bytes were allocated.
            unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.reserve.has(memory) {
            // SAFETY: of `System`, with this layout.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: `realloc`'s caller says that the new size with this alignment is a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: `size` is not zero, as the contract says; both have as many bytes as are copied, and are apart.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

impl Careful {
    /// The system has nothing.
    #[cold]
    fn otherwise(&self, layout: Layout) -> *mut u8 {
        if !is_own_thread() {
            return if layout.size() <= PIECE_MAX_BYTES {
                self.reserve.take(layout)
            } else {
                ptr::null_mut()
            };
        }
        if layout.size() <= OWN_PIECE_MAX_BYTES && self.reserve.left() >= CALL_MIN_BYTES {
            let memory = self.reserve.take(layout);
            if !memory.is_null() {
                return memory;
            }
        }
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "the runtime of this thread cannot go on without memory"
            )]
            std::thread::sleep(PAUSE);
            // SAFETY: the layout has a size, as `alloc`'s caller says.
            let memory = unsafe { System.alloc(layout) };
            if !memory.is_null() {
                return memory;
            }
        }
    }
}

/// A thread of this library's, but not a program of this name: its first thread has the process's number.
fn is_own_thread() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes.
    let answer = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    // SAFETY: no arguments, no failure.
    let is_first = unsafe { libc::getpid() == libc::gettid() };
    answer == 0 && !is_first && name.starts_with(OWN_NAME)
}

/// Memory that is handed out from the front, and is all free again when all of it was given back.
struct Reserve {
    memory: UnsafeCell<Memory>,
    /// How many bytes are handed out, and in the upper half, how many pieces.
    state: AtomicU64,
}

/// Pages, so that every alignment up to theirs is a matter of the offset.
#[repr(align(4096))]
#[expect(dead_code, reason = "reached by its address alone")]
struct Memory([u8; RESERVE_BYTES]);

// SAFETY: every byte is handed out to one owner at a time, which `state` decides.
unsafe impl Sync for Reserve {}

const ONE_PIECE: u64 = 1 << 32;

impl Reserve {
    const fn new() -> Self {
        Self { memory: UnsafeCell::new(Memory([0; RESERVE_BYTES])), state: AtomicU64::new(0) }
    }

    fn left(&self) -> usize {
        RESERVE_BYTES - used(self.state.load(Relaxed))
    }

    fn has(&self, memory: *mut u8) -> bool {
        (memory as usize).wrapping_sub(self.memory.get() as usize) < RESERVE_BYTES
    }

    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 4096 {
            return ptr::null_mut();
        }
        let mut start = 0;
        let taken = self.state.fetch_update(std::sync::atomic::Ordering::AcqRel, Relaxed, |state| {
            start = used(state).next_multiple_of(layout.align());
            let end = start.checked_add(layout.size()).filter(|end| *end <= RESERVE_BYTES)?;
            Some((state & !(ONE_PIECE - 1)) + ONE_PIECE + end as u64)
        });
        match taken {
            // SAFETY: `start` and as many bytes after it are within.
            Ok(_) => unsafe { self.memory.get().cast::<u8>().add(start) },
            Err(_) => ptr::null_mut(),
        }
    }

    fn give_back(&self) {
        // Never fails: the update is always some.
        self.state
            .fetch_update(std::sync::atomic::Ordering::AcqRel, Relaxed, |state| {
                let state = state - ONE_PIECE;
                Some(if state < ONE_PIECE { 0 } else { state })
            })
            .ok();
    }
}

/// How many bytes of the reserve are handed out.
fn used(state: u64) -> usize {
    (state & (ONE_PIECE - 1)) as usize
}
