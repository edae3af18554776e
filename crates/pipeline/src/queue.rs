//! A first-in, first-out queue with a bound in items and one in bytes, and a stated policy for both.
//!
//! What an item is worth (a receipt, room in the memory bound) goes out with it: the queue never
//! drops anything itself, it hands over what it will not hold (losses.md L107, L111).

use std::collections::VecDeque;

/// Who gives way when a bound is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// The new item is handed back. For data whose sender can still be told to wait.
    RefuseNew,
    /// The oldest items are handed over. For data whose newest part is worth the most.
    EvictOldest,
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Most items.
    pub items: usize,
    /// Most bytes, as declared at [`Queue::push`].
    pub bytes: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    policy: Policy,
    bounds: Bounds,
    entries: VecDeque<Entry<T>>,
    bytes: usize,
    next_place: u64,
}

/// An item that was taken out, and the place it had.
#[derive(Debug)]
pub struct Entry<T> {
    /// The item.
    pub item: T,
    bytes: usize,
    place: u64,
}

impl<T> Entry<T> {
    /// The bytes it counts for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new(policy: Policy, bounds: Bounds) -> Self {
        Self { policy, bounds, entries: VecDeque::new(), bytes: 0, next_place: 0 }
    }

    /// Items held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The items held, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.item)
    }

    /// The items held, oldest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.item)
    }

    /// Adds the newest item and returns, oldest first, what had to give way: the caller settles it.
    ///
    /// An item larger than the bound is held alone under [`Policy::EvictOldest`]: it gave way to
    /// nothing, and a queue of one still moves (losses.md L108).
    #[must_use = "what gave way must be settled"]
    pub fn push(&mut self, item: T, bytes: usize) -> Vec<T> {
        let place = self.next_place;
        match self.policy {
            Policy::RefuseNew if !self.fits(bytes) => return vec![item],
            Policy::RefuseNew | Policy::EvictOldest => {}
        }
        self.next_place += 1;
        let mut evicted = Vec::new();
        while !self.fits(bytes) {
            match self.pop() {
                Some(oldest) => evicted.push(oldest.item),
                None => break,
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push_back(Entry { item, bytes, place });
        evicted
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<Entry<T>> {
        self.remove(0)
    }

    /// Takes the oldest item that `wanted` accepts.
    pub fn pop_where(&mut self, wanted: impl Fn(&T) -> bool) -> Option<Entry<T>> {
        let index = self.entries.iter().position(|entry| wanted(&entry.item))?;
        self.remove(index)
    }

    /// Takes the item with the smallest key; among equals the oldest.
    pub fn pop_min_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K) -> Option<Entry<T>> {
        let (index, _) = self.entries.iter().enumerate().min_by_key(|(_, entry)| key(&entry.item))?;
        self.remove(index)
    }

    /// Puts an item back where it was taken, before everything that came later.
    ///
    /// Under [`Policy::RefuseNew`] it always has its place: it was admitted, and nothing may take that
    /// back. Under [`Policy::EvictOldest`] a queue that has filled up meanwhile hands over the oldest,
    /// which may be the item itself.
    #[must_use = "what gave way must be settled"]
    pub fn put_back(&mut self, entry: Entry<T>) -> Vec<T> {
        let index = self.entries.partition_point(|held| held.place < entry.place);
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.entries.insert(index, entry);
        let mut evicted = Vec::new();
        if self.policy == Policy::EvictOldest {
            while self.entries.len() > 1
                && (self.entries.len() > self.bounds.items || self.bytes > self.bounds.bytes)
            {
                evicted.extend(self.pop().map(|oldest| oldest.item));
            }
        }
        evicted
    }

    /// Takes everything, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        self.bytes = 0;
        self.entries.drain(..).map(|entry| entry.item)
    }

    fn fits(&self, bytes: usize) -> bool {
        self.entries.len() < self.bounds.items
            && self.bytes.checked_add(bytes).is_some_and(|sum| sum <= self.bounds.bytes)
    }

    fn remove(&mut self, index: usize) -> Option<Entry<T>> {
        let entry = self.entries.remove(index)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(policy: Policy, items: usize, bytes: usize) -> Queue<u32> {
        Queue::new(policy, Bounds { items, bytes })
    }

    fn held(queue: &Queue<u32>) -> Vec<u32> {
        queue.iter().copied().collect()
    }

    #[test]
    fn what_does_not_fit_is_handed_back_or_evicts_the_oldest() {
        let mut refusing = queue(Policy::RefuseNew, 2, 100);
        assert_eq!(refusing.push(1, 60), []);
        assert_eq!(refusing.push(2, 60), [2], "too many bytes");
        assert_eq!(refusing.push(3, 40), []);
        assert_eq!(refusing.push(4, 0), [4], "too many items");
        assert_eq!(held(&refusing), [1, 3]);

        let mut evicting = queue(Policy::EvictOldest, 3, 100);
        for item in 1..=3 {
            assert_eq!(evicting.push(item, 30), []);
        }
        assert_eq!(evicting.push(4, 60), [1, 2]);
        assert_eq!((held(&evicting), evicting.bytes()), (vec![3, 4], 90));
    }

    #[test]
    fn l108_an_item_larger_than_the_bound_is_held_alone() {
        let mut queue = queue(Policy::EvictOldest, 3, 100);
        assert_eq!(queue.push(1, 10), []);
        assert_eq!(queue.push(2, 500), [1]);
        assert_eq!(held(&queue), [2]);
        let taken = queue.pop().unwrap();
        assert_eq!(queue.put_back(taken), []);
        assert_eq!(queue.push(3, 10), [2]);
    }

    #[test]
    fn l111_a_retried_item_keeps_its_place() {
        let mut queue = queue(Policy::RefuseNew, 3, 100);
        for item in 1..=3 {
            assert_eq!(queue.push(item, 30), []);
        }
        let (first, second) = (queue.pop().unwrap(), queue.pop().unwrap());
        assert_eq!(queue.push(4, 30), []);
        assert_eq!(queue.push(5, 30), []);
        assert_eq!(queue.put_back(second), [], "an admitted item is never refused");
        assert_eq!(queue.put_back(first), []);
        assert_eq!(held(&queue), [1, 2, 3, 4, 5]);
        assert_eq!(queue.bytes(), 150);
    }

    #[test]
    fn an_item_that_comes_back_to_a_full_evicting_queue_gives_way() {
        let mut queue = queue(Policy::EvictOldest, 2, 100);
        assert_eq!(queue.push(1, 40), []);
        let taken = queue.pop().unwrap();
        assert_eq!(queue.push(2, 40), []);
        assert_eq!(queue.push(3, 40), []);
        assert_eq!(queue.put_back(taken), [1]);
        assert_eq!(held(&queue), [2, 3]);
    }

    #[test]
    fn the_smallest_key_goes_first_and_the_oldest_among_equals() {
        let mut queue = queue(Policy::RefuseNew, 9, 100);
        for item in [31, 12, 22, 41] {
            assert_eq!(queue.push(item, 1), []);
        }
        assert_eq!(queue.pop_min_by_key(|item| item % 10).unwrap().item, 31);
        assert_eq!(queue.pop_where(|item| item % 2 == 0).unwrap().item, 12);
        assert_eq!(held(&queue), [22, 41]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop,
        PutBack,
        Finish,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..60).prop_map(Step::Push),
            2 => Just(Step::Pop),
            2 => Just(Step::PutBack),
            1 => Just(Step::Finish),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_or_gives_way_or_is_held(
            refuse: bool, steps in proptest::collection::vec(step(), 0..200),
        ) {
            let policy = if refuse { Policy::RefuseNew } else { Policy::EvictOldest };
            let mut queue = queue(policy, 8, 150);
            let (mut pushed, mut gone, mut finished) = (0_u32, Vec::new(), Vec::new());
            let mut out = Vec::new();
            for step in steps {
                match step {
                    Step::Push(bytes) => {
                        gone.extend(queue.push(pushed, bytes));
                        pushed += 1;
                    }
                    Step::Pop => out.extend(queue.pop()),
                    Step::PutBack => if let Some(entry) = out.pop() { gone.extend(queue.put_back(entry)); },
                    Step::Finish => finished.extend(out.pop().map(|entry| entry.item)),
                }
                let places: Vec<u32> = held(&queue);
                prop_assert!(places.is_sorted(), "first in, first out");
                prop_assert_eq!(queue.bytes(), queue.entries.iter().map(Entry::bytes).sum::<usize>());
                if policy == Policy::EvictOldest {
                    prop_assert!(queue.len() <= 8 && queue.bytes() <= 150);
                }
            }
            let mut all: Vec<u32> = held(&queue);
            all.extend(gone);
            all.extend(finished);
            all.extend(out.into_iter().map(|entry| entry.item));
            all.sort_unstable();
            prop_assert_eq!(all, (0..pushed).collect::<Vec<_>>());
        }
    }
}
