//! Values by whose they are, in a list that only grows: one exchange of a pointer adds to it, so a fork finds it whole
//! whatever other threads do.
//!
//! Built alone, with loom's atomics, for `interleavings.rs`.

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

/// One value for each key, from the newest to the oldest. Shared by all threads, so that what is to be changed needs a lock
/// of its own. Dropped without [`List::clear`] it leaks them.
pub(crate) struct List<K, T> {
    newest: AtomicPtr<Slot<K, T>>,
}

struct Slot<K, T> {
    key: K,
    value: T,
    older: *mut Slot<K, T>,
}

// `AtomicPtr` is for any `K` and `T`; a list makes, shares and drops them on any thread.
#[expect(unsafe_code, reason = "pointers say nothing about threads")]
// SAFETY: keys and values are owned.
unsafe impl<K: Send, T: Send> Send for List<K, T> {}
#[expect(unsafe_code, reason = "pointers say nothing about threads")]
// SAFETY: the list itself changes by atomic exchange alone, and its slots not at all; what one thread adds all others
// reach, and one of them may drop it.
unsafe impl<K: Send + Sync, T: Send + Sync> Sync for List<K, T> {}

impl<K: Copy + Eq, T> List<K, T> {
    /// Empty.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Empty; loom counts each one that is made.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The key's value, if it has one, in what the list was when `newest` was read.
    fn find(&self, newest: *mut Slot<K, T>, key: K) -> Option<&T> {
        let mut at = newest;
        loop {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: null, or a slot that was leaked from a box when it was added and is freed by `clear` alone, which has no
            // other borrow of `self` beside it. Slots are not written after they were added.
            let slot = unsafe { at.as_ref() }?;
            if slot.key == key {
                return Some(&slot.value);
            }
            at = slot.older;
        }
    }

    /// What was added last, by whatever key.
    pub(crate) fn newest(&self) -> Option<&T> {
        #[expect(unsafe_code, reason = "the list is of pointers")]
        // SAFETY: as in `find`.
        let slot = unsafe { self.newest.load(Ordering::Acquire).as_ref() };
        slot.map(|slot| &slot.value)
    }

    /// The key's value; made by `make` when there is none. What another thread makes at the same time wins.
    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> T) -> &T {
        // It is added to that list alone which was looked through.
        let older = self.newest.load(Ordering::Acquire);
        if let Some(value) = self.find(older, key) {
            return value;
        }
        let mut slot = Box::new(Slot { key, value: make(), older });
        loop {
            let older = slot.older;
            let new = Box::into_raw(slot);
            match self.newest.compare_exchange(older, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    #[expect(unsafe_code, reason = "the list is of pointers")]
                    // SAFETY: from the box above, and from here on as in `find`.
                    return unsafe { &(*new).value };
                }
                Err(newest) => {
                    #[expect(unsafe_code, reason = "the list is of pointers")]
                    // SAFETY: from the box above, and not added: nobody else has it.
                    let mut again = unsafe { Box::from_raw(new) };
                    if let Some(value) = self.find(newest, key) {
                        return value;
                    }
                    again.older = newest;
                    slot = again;
                }
            }
        }
    }

    /// The key's value, if it has one, for who has the list alone.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let mut at = self.newest.load(Ordering::Acquire);
        loop {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: as in `find`, and nobody else has the list while it is borrowed so.
            let slot = unsafe { at.as_mut() }?;
            if slot.key == key {
                return Some(&mut slot.value);
            }
            at = slot.older;
        }
    }

    /// Empties the list: drops the key's value, and forgets every other.
    pub(crate) fn clear(&mut self, key: K) {
        let mut at = self.newest.swap(ptr::null_mut(), Ordering::AcqRel);
        while !at.is_null() {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: as in `find`; nobody else has the list, and none of its slots is in it any more, so that each is
            // freed once.
            let slot = unsafe { Box::from_raw(at) };
            at = slot.older;
            if slot.key != key {
                std::mem::forget(slot);
            }
        }
    }
}
