//! State of one process, in memory that children inherit.
//!
//! A `fork` copies memory while other threads of the parent hold locks that nobody will ever give up in the child, over
//! data that may be half written. So nothing is unlocked or made good here: a child does not touch what is its parent's,
//! and begins with its own.

use std::fmt;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Forks that handlers saw, along the line of this process's ancestors. With the number of the process it tells a process
/// from an ancestor that is gone and whose number it got.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Who this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pid: u32,
    generation: u32,
}

impl Identity {
    /// Of this process, asked anew each time: `fork` changes it.
    pub(crate) fn now() -> Self {
        Self { pid: std::process::id(), generation: GENERATION.load(Ordering::Relaxed) }
    }
}

/// A value for each process of a line of forks, made when it is first asked for.
///
/// A list that only grows, from this process's to its ancestors': one exchange of a pointer adds to it, so a fork finds it
/// whole whatever other threads do. What is an ancestor's is never dropped: it may be half written.
pub(crate) struct ProcessLocal<T> {
    newest: AtomicPtr<Slot<T>>,
}

struct Slot<T> {
    identity: Identity,
    value: Mutex<T>,
    older: *mut Slot<T>,
}

// `AtomicPtr` is for any `T`; the values are reached from all threads, one at a time.
#[expect(unsafe_code, reason = "pointers say nothing about threads")]
// SAFETY: the values are owned, and handed out behind a mutex.
unsafe impl<T: Send> Send for ProcessLocal<T> {}
#[expect(unsafe_code, reason = "pointers say nothing about threads")]
// SAFETY: as above; the list itself changes by atomic exchange alone, and its slots not at all.
unsafe impl<T: Send> Sync for ProcessLocal<T> {}

impl<T> ProcessLocal<T> {
    pub(crate) const fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// This process's value, if it has one.
    fn find(&self, identity: Identity) -> Option<&Mutex<T>> {
        let mut at: *const Slot<T> = self.newest.load(Ordering::Acquire);
        loop {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: null, or a slot that was leaked from a box when it was added and is freed by `drop` alone, which has no
            // other borrow of `self` beside it. Slots are not written after they were added.
            let slot = unsafe { at.as_ref() }?;
            if slot.identity == identity {
                return Some(&slot.value);
            }
            at = slot.older;
        }
    }

    /// This process's value; made by `make` when there is none. What another thread makes at the same time wins.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &Mutex<T> {
        let identity = Identity::now();
        if let Some(value) = self.find(identity) {
            return value;
        }
        let older = self.newest.load(Ordering::Acquire);
        let mut slot = Box::new(Slot { identity, value: Mutex::new(make()), older });
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
                    if let Some(value) = self.find(identity) {
                        return value;
                    }
                    again.older = newest;
                    slot = again;
                }
            }
        }
    }

    /// This process's value, if it has one, without waiting for anybody.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let identity = Identity::now();
        let mut at = *self.newest.get_mut();
        loop {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: as in `find`, and nobody else has the list while it is borrowed so.
            let slot = unsafe { at.as_mut() }?;
            if slot.identity == identity {
                return Some(slot.value.get_mut().unwrap_or_else(PoisonError::into_inner));
            }
            at = slot.older;
        }
    }

    /// A copy of the value of the nearest ancestor that had one; `None` where a thread of it was just at it.
    fn inherited(&self) -> Option<T>
    where
        T: Clone,
    {
        #[expect(unsafe_code, reason = "the list is of pointers")]
        // SAFETY: as in `find`.
        let slot = unsafe { self.newest.load(Ordering::Acquire).as_ref() }?;
        // What a fork finds unlocked is whole: of what other threads wrote it leaves out the end alone.
        slot.value.try_lock().ok().map(|value| value.clone())
    }

    /// Works with this process's value. Waits for other threads of it that do.
    pub(crate) fn with<R>(&self, make: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        // A panic over it is contained further up, and values here are good after each of their calls.
        work(&mut self.get(make).lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for ProcessLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessLocal").finish_non_exhaustive()
    }
}

impl<T> Drop for ProcessLocal<T> {
    fn drop(&mut self) {
        let identity = Identity::now();
        let mut at = *self.newest.get_mut();
        while !at.is_null() {
            #[expect(unsafe_code, reason = "the list is of pointers")]
            // SAFETY: as in `find`; nobody else has the list any more, so that each slot is freed once.
            let slot = unsafe { Box::from_raw(at) };
            at = slot.older;
            if slot.identity != identity {
                std::mem::forget(slot);
            }
        }
    }
}

/// What is to be done before this process forks, on the thread that does.
pub(crate) trait BeforeFork: Send + Sync {
    /// In bounded time, and without a lock that another thread holds for longer.
    fn before_fork(&self);
}

type Handles = Vec<Weak<dyn BeforeFork>>;

/// Those that are open. A child inherits its parent's.
static HANDLES: ProcessLocal<Handles> = ProcessLocal::new();
/// The handlers are there: once for all processes of the tree, as they are inherited too. Unloading the library takes them
/// away, as they are registered as the library's.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// From now on `handle` is told of each fork, as long as it lives. Where handlers cannot be had it is not.
pub(crate) fn watch(handle: Weak<dyn BeforeFork>) {
    with_handles(|handles| {
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(handle);
    });
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        #[expect(unsafe_code, reason = "there is no safe call that asks to be told of forks")]
        // SAFETY: both handlers are functions of this library, which unwind over nobody.
        let result = unsafe { nix::libc::pthread_atfork(Some(prepare), None, Some(child)) };
        INSTALLED.store(result == 0, Ordering::Relaxed);
    }
}

fn with_handles<R>(work: impl FnOnce(&mut Handles) -> R) -> R {
    HANDLES.with(|| HANDLES.inherited().unwrap_or_default(), work)
}

/// In the process that forks, before it does. No lock is held over the fork.
extern "C" fn prepare() {
    // What panicked has said so already.
    catch_unwind(|| {
        let handles = with_handles(|handles| handles.clone());
        handles.iter().filter_map(Weak::upgrade).for_each(|handle: Arc<dyn BeforeFork>| handle.before_fork());
    })
    .ok();
}

/// In the child, where nothing may be done but this.
extern "C" fn child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn threads_of_one_process_share_one_value() {
        let local = Arc::new(ProcessLocal::new());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let local = Arc::clone(&local);
                std::thread::spawn(move || (0..1000).for_each(|_| local.with(|| 0_u32, |value| *value += 1)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(local.with(|| 0, |value| *value), 8000);
    }

    #[test]
    fn what_is_an_ancestors_is_neither_found_nor_dropped() {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicUsize::new(0));
        let local = ProcessLocal::new();
        let ancestor = Identity { pid: u32::MAX, generation: 0 };
        let slot = Slot {
            identity: ancestor,
            value: Mutex::new(Counted(Arc::clone(&dropped))),
            older: ptr::null_mut(),
        };
        local.newest.store(Box::into_raw(Box::new(slot)), Ordering::Release);
        // Held for ever, as by a thread that the fork left behind.
        let held = local.find(ancestor).unwrap().lock().unwrap();
        std::mem::forget(held);
        local.with(|| Counted(Arc::clone(&dropped)), |_| ());
        assert_eq!(Arc::strong_count(&dropped), 3);
        drop(local);
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "its own alone");
    }
}
