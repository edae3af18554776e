//! The list of `fork` under every interleaving of threads that ask for a value, of their process or of another.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p lastlight-sidecar --lib`.

use crate::list::List;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::{sync::Arc, thread};
use std::sync::Arc as Shared;
// Not those that loom looks at: they count, and decide nothing.
use std::sync::atomic::AtomicUsize as Count;

const US: u32 = 1;
const CHILD: u32 = 2;

/// What was made and dropped in one run.
#[derive(Clone, Default)]
struct Counts {
    made: Shared<Count>,
    dropped: Shared<Count>,
}

impl Counts {
    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Value {
    key: u32,
    /// Loom fails a thread that reaches it without what its maker wrote.
    uses: AtomicUsize,
    counts: Counts,
}

impl Value {
    fn new(key: u32, counts: &Counts) -> Self {
        counts.made.fetch_add(1, Ordering::Relaxed);
        Self { key, uses: AtomicUsize::new(0), counts: counts.clone() }
    }

    fn uses(&self) -> usize {
        self.uses.load(Ordering::Relaxed)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// As a thread does that works with its process's value.
fn use_one(list: &List<u32, Value>, key: u32, counts: &Counts) {
    let value = list.get(key, || Value::new(key, counts));
    assert_eq!(value.key, key);
    value.uses.fetch_add(1, Ordering::Relaxed);
}

/// The list once all other threads are gone.
fn alone(list: Arc<List<u32, Value>>) -> List<u32, Value> {
    Arc::try_unwrap(list).ok().expect("the threads were joined")
}

#[test]
fn two_threads_of_a_process_get_one_value_and_the_others_is_dropped() {
    loom::model(|| {
        let (list, counts) = (Arc::new(List::new()), Counts::default());
        let other = {
            let (list, counts) = (Arc::clone(&list), counts.clone());
            thread::spawn(move || use_one(&list, US, &counts))
        };
        use_one(&list, US, &counts);
        other.join().unwrap();
        let mut list = alone(list);
        assert_eq!(list.get_mut(US).map(|value| value.uses()), Some(2));
        assert_eq!(counts.made(), counts.dropped() + 1, "one is in the list, and what lost is not kept");
        list.clear(US);
        assert_eq!(counts.made(), counts.dropped());
    });
}

#[test]
fn what_a_child_adds_meanwhile_loses_nobodys_value() {
    loom::model(|| {
        let (list, counts) = (Arc::new(List::new()), Counts::default());
        let threads = [US, CHILD].map(|key| {
            let (list, counts) = (Arc::clone(&list), counts.clone());
            thread::spawn(move || use_one(&list, key, &counts))
        });
        use_one(&list, US, &counts);
        for thread in threads {
            thread.join().unwrap();
        }
        let mut list = alone(list);
        assert_eq!(list.get_mut(US).map(|value| value.uses()), Some(2));
        assert_eq!(list.get_mut(CHILD).map(|value| value.uses()), Some(1));
        assert_eq!(counts.made(), counts.dropped() + 2);
        list.clear(CHILD);
        assert_eq!(counts.made(), counts.dropped() + 1, "its own is dropped, its ancestor's is not");
        assert!(list.newest().is_none());
    });
}

#[test]
fn who_looks_finds_nothing_or_a_whole_value() {
    loom::model(|| {
        let (list, counts) = (Arc::new(List::new()), Counts::default());
        let looking = {
            let list: Arc<List<u32, Value>> = Arc::clone(&list);
            // Loom tries a look both before and after an exchange only where it is the other thread's.
            thread::spawn(move || list.newest().is_none_or(|value| value.key == US && value.uses() <= 1))
        };
        use_one(&list, US, &counts);
        assert!(looking.join().unwrap());
        alone(list).clear(US);
    });
}
