//! State of one process, in memory that children inherit.
//!
//! A `fork` copies memory while other threads of the parent hold locks that nobody will ever give up in the child, over
//! data that may be half written. So nothing is unlocked or made good here: a child does not touch what is its parent's,
//! and begins with its own.

mod list;

use list::List;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
/// A fork finds the list whole (see `list.rs`). What is an ancestor's is never dropped: it may be half written.
pub(crate) struct ProcessLocal<T> {
    list: List<Identity, Mutex<T>>,
}

impl<T> ProcessLocal<T> {
    pub(crate) const fn new() -> Self {
        Self { list: List::new() }
    }

    /// This process's value; made by `make` when there is none. What another thread makes at the same time wins.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &Mutex<T> {
        self.list.get(Identity::now(), || Mutex::new(make()))
    }

    /// This process's value, if it has one, without waiting for anybody.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let value = self.list.get_mut(Identity::now())?;
        Some(value.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of the value of the nearest ancestor that had one; `None` where a thread of it was just at it.
    fn inherited(&self) -> Option<T>
    where
        T: Clone,
    {
        // What a fork finds unlocked is whole: of what other threads wrote it leaves out the end alone.
        self.list.newest()?.try_lock().ok().map(|value| value.clone())
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
        self.list.clear(Identity::now());
    }
}

/// What is to be done before this process forks, on the thread that does.
pub(crate) trait BeforeFork: Send + Sync {
    /// In bounded time, and without a lock that another thread holds for longer.
    fn before_fork(&self);

    /// Afterwards, in the process that forked. Makes nothing and takes no time.
    fn after_fork(&self);
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
        // SAFETY: the handlers are functions of this library, which unwind over nobody.
        let result = unsafe { nix::libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        INSTALLED.store(result == 0, Ordering::Relaxed);
    }
}

fn with_handles<R>(work: impl FnOnce(&mut Handles) -> R) -> R {
    HANDLES.with(|| HANDLES.inherited().unwrap_or_default(), work)
}

/// In the process that forks, before it does. No lock is held over the fork.
extern "C" fn prepare() {
    each(|handle| handle.before_fork());
}

/// In the process that forked, or could not.
extern "C" fn parent() {
    each(|handle| handle.after_fork());
}

fn each(work: fn(&dyn BeforeFork)) {
    // What panicked has said so already.
    catch_unwind(|| {
        let handles = with_handles(|handles| handles.clone());
        handles.iter().filter_map(Weak::upgrade).for_each(|handle: Arc<dyn BeforeFork>| work(&*handle));
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
        // Held for ever, as by a thread that the fork left behind.
        let held = local.list.get(ancestor, || Mutex::new(Counted(Arc::clone(&dropped))));
        std::mem::forget(held.lock().unwrap());
        local.with(|| Counted(Arc::clone(&dropped)), |_| ());
        assert_eq!(Arc::strong_count(&dropped), 3);
        drop(local);
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "its own alone");
    }
}
