//! Encoded items collected until one request's worth is there.
//!
//! The bound is on the bytes that are sent, not on those that were received (losses.md L15). The bytes
//! are opaque: an item is whatever may be appended to another one, such as one protobuf field.

use model::{Receipt, Why};
use std::time::{Duration, Instant};

/// When a batch is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Most bytes of one batch. A single item that is bigger goes alone (losses.md L1).
    pub bytes: usize,
    /// Most weight of one batch, in whatever the caller weighs (groups, entries).
    pub weight: usize,
    /// How long the first item waits at most.
    pub age: Duration,
}

/// Something that stands for the items of a batch together, such as the memory they take.
pub trait Merge {
    /// Takes over what `other` stands for.
    fn merge(&mut self, other: Self);
}

impl Merge for () {
    fn merge(&mut self, (): Self) {}
}

/// What one request carries: never empty (losses.md L19).
#[derive(Debug)]
pub struct Batch<H = ()> {
    /// The items, one after the other.
    pub bytes: Vec<u8>,
    /// The obligation for all of them.
    pub receipt: Receipt,
    /// What else stands for all of them.
    pub held: H,
    /// Their weights, added up.
    pub weight: usize,
    /// How many they are.
    pub items: usize,
}

/// Collects items into batches.
#[derive(Debug)]
pub struct Batcher<H = ()> {
    bounds: Bounds,
    open: Option<Open<H>>,
    /// Memory of a batch that was sent, for the next one.
    spare: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Open<H> {
    batch: Batch<H>,
    since: Instant,
}

impl<H: Merge> Batcher<H> {
    /// A batcher that holds nothing.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, open: None, spare: None }
    }

    /// Adds an item, given in parts that follow each other; when it would not fit, the batch so far is
    /// closed and returned, and the item opens the next one.
    ///
    /// An item without bytes says nothing to the backend: what it stands for is dropped as
    /// [`Why::Invalid`].
    #[must_use = "a closed batch must be sent"]
    pub fn push(
        &mut self,
        parts: &[&[u8]],
        receipt: Receipt,
        held: H,
        weight: usize,
        now: Instant,
    ) -> Option<Batch<H>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if length == 0 {
            receipt.dropped(Why::Invalid);
            return None;
        }
        if let Some(open) = &mut self.open
            && open.batch.fits(length, weight, &self.bounds)
        {
            open.batch.reserve(length, &self.bounds);
            open.batch.add(parts, receipt, held, weight);
            return None;
        }
        let mut bytes = self.spare.take().unwrap_or_default();
        bytes.reserve_exact(length);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let batch = Batch { bytes, receipt, held, weight, items: 1 };
        self.open.replace(Open { batch, since: now }).map(|open| open.batch)
    }

    /// Takes back the memory of a batch whose bytes are not needed any more, one at most: under load
    /// batches follow each other, and fresh megabytes cost page faults. What was mostly empty goes, so
    /// that an agent that became quiet holds nothing.
    pub fn reuse(&mut self, mut bytes: Vec<u8>) {
        let was_busy = bytes.len() >= self.bounds.bytes / 2 && bytes.capacity() <= 2 * self.bounds.bytes;
        bytes.clear();
        self.spare = was_busy.then_some(bytes);
    }

    /// When the batch so far must go: [`Bounds::age`] after its first item, or at once when it is full.
    pub fn next_deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let full = open.batch.bytes.len() >= self.bounds.bytes || open.batch.weight >= self.bounds.weight;
        let age = if full { Duration::ZERO } else { self.bounds.age };
        Some(open.since.checked_add(age).unwrap_or(open.since))
    }

    /// Closes the batch if it must go by `now`.
    #[must_use = "a closed batch must be sent"]
    pub fn due(&mut self, now: Instant) -> Option<Batch<H>> {
        if self.next_deadline()? <= now { self.finish() } else { None }
    }

    /// Closes the batch so far.
    #[must_use = "a closed batch must be sent"]
    pub fn finish(&mut self) -> Option<Batch<H>> {
        self.open.take().map(|open| open.batch)
    }

    /// Bytes collected so far.
    pub fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.batch.bytes.len())
    }
}

impl<H: Merge> Batch<H> {
    fn fits(&self, bytes: usize, weight: usize, bounds: &Bounds) -> bool {
        self.bytes.len().checked_add(bytes).is_some_and(|sum| sum <= bounds.bytes)
            && self.weight.checked_add(weight).is_some_and(|sum| sum <= bounds.weight)
    }

    /// Makes room as a vector does, by doubling, but not beyond the bound.
    fn reserve(&mut self, more: usize, bounds: &Bounds) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).min(bounds.bytes);
            self.bytes.reserve_exact(doubled.max(needed) - self.bytes.len());
        }
    }

    fn add(&mut self, parts: &[&[u8]], receipt: Receipt, held: H, weight: usize) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.receipt.merge(receipt);
        self.held.merge(held);
        self.weight += weight;
        self.items += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Books, Signal};
    use proptest::prelude::*;

    const AGE: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds = Bounds { bytes: 10, weight: 100, age: AGE };

    fn receipt(books: &Books, units: u64) -> Receipt {
        books.accept(Signal::Traces, units)
    }

    #[test]
    fn a_batch_closes_before_it_would_pass_the_bound() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b"12345"], receipt(&books, 1), (), 1, now).is_none());
        assert!(
            batcher.push(&[b"67890"], receipt(&books, 2), (), 1, now).is_none(),
            "exactly full still fits"
        );
        let batch = batcher.push(&[b"x"], receipt(&books, 4), (), 1, now).unwrap();
        assert_eq!((&*batch.bytes, batch.receipt.units(), batch.items), (&b"1234567890"[..], 3, 2));
        batch.receipt.delivered();
        let rest = batcher.finish().unwrap();
        assert_eq!((&*rest.bytes, rest.receipt.units()), (&b"x"[..], 4));
        rest.receipt.delivered();
        assert!(batcher.finish().is_none());
    }

    #[test]
    fn l1_an_item_larger_than_the_bound_goes_alone_and_the_next_ones_still_go() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b"small"], receipt(&books, 1), (), 1, now).is_none());
        let giant = [7; 35];
        let before = batcher.push(&[&giant[..]], receipt(&books, 1), (), 1, now).unwrap();
        assert_eq!(&*before.bytes, b"small");
        assert_eq!(batcher.next_deadline(), Some(now), "nothing can join it, so it goes at once");
        let alone = batcher.push(&[b"later"], receipt(&books, 1), (), 1, now).unwrap();
        assert_eq!((&*alone.bytes, alone.items), (&giant[..], 1));
        let last = batcher.finish().unwrap();
        assert_eq!(&*last.bytes, b"later");
        for batch in [before, alone, last] {
            batch.receipt.delivered();
        }
        assert_eq!(books.book(Signal::Traces).delivered, 3);
    }

    #[test]
    fn l15_the_weight_is_a_bound_of_its_own() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b"a"], receipt(&books, 1), (), 60, now).is_none());
        let batch = batcher.push(&[b"b"], receipt(&books, 1), (), 60, now).unwrap();
        assert_eq!(batch.weight, 60);
        batch.receipt.delivered();
        batcher.finish().unwrap().receipt.delivered();
    }

    #[test]
    fn l19_nothing_makes_no_batch() {
        let books = Books::default();
        let mut batcher = Batcher::<()>::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b""], receipt(&books, 1), (), 0, now).is_none());
        assert!(batcher.finish().is_none());
        assert_eq!(batcher.next_deadline(), None);
        let book = books.book(Signal::Traces);
        assert_eq!((book.held, book.dropped(Why::Invalid)), (0, 1));
    }

    #[test]
    fn the_parts_of_an_item_follow_each_other_and_are_counted_as_one() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b"1", b"", b"23"], receipt(&books, 1), (), 1, now).is_none());
        assert!(batcher.push(&[b"456", b"7"], receipt(&books, 1), (), 1, now).is_none());
        let full = batcher.push(&[b"89", b"ab"], receipt(&books, 1), (), 1, now).unwrap();
        assert_eq!((&*full.bytes, full.items), (&b"1234567"[..], 2));
        let rest = batcher.finish().unwrap();
        assert_eq!(&*rest.bytes, b"89ab");
        full.receipt.delivered();
        rest.receipt.delivered();
    }

    #[test]
    fn memory_is_used_again_while_batches_are_big_and_never_more_than_the_bound() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        let fill = |batcher: &mut Batcher, items: usize| {
            for _ in 0..items {
                assert!(batcher.push(&[b"123"], receipt(&books, 1), (), 1, now).is_none());
            }
            let batch = batcher.finish().unwrap();
            batch.receipt.delivered();
            batch.bytes
        };
        let big = fill(&mut batcher, 3);
        assert!(big.capacity() <= BOUNDS.bytes);
        let memory = big.as_ptr();
        batcher.reuse(big);
        let small = fill(&mut batcher, 1);
        assert_eq!(small.as_ptr(), memory);
        assert_eq!(&*small, b"123");
        batcher.reuse(small);
        assert!(batcher.spare.is_none(), "a quiet agent holds nothing");
    }

    #[test]
    fn the_first_item_decides_when_the_batch_is_due() {
        let books = Books::default();
        let mut batcher = Batcher::new(BOUNDS);
        let now = Instant::now();
        assert!(batcher.push(&[b"a"], receipt(&books, 1), (), 1, now).is_none());
        assert!(batcher.push(&[b"b"], receipt(&books, 1), (), 1, now + AGE / 2).is_none());
        assert_eq!(batcher.next_deadline(), Some(now + AGE));
        assert!(batcher.due(now + AGE / 2).is_none());
        batcher.due(now + AGE).unwrap().receipt.delivered();
        assert!(batcher.due(now + 9 * AGE).is_none());
    }

    proptest! {
        #[test]
        fn every_byte_and_unit_comes_out_once_and_in_order(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..25), 0..60),
        ) {
            let books = Books::default();
            let mut batcher = Batcher::new(BOUNDS);
            let now = Instant::now();
            let mut batches = Vec::new();
            for item in &items {
                batches.extend(batcher.push(&[item], receipt(&books, 1), (), 1, now));
            }
            batches.extend(batcher.finish());
            for batch in &batches {
                prop_assert!(!batch.bytes.is_empty());
                prop_assert!(batch.bytes.len() <= BOUNDS.bytes || batch.items == 1);
            }
            prop_assert_eq!(batches.iter().flat_map(|batch| batch.bytes.clone()).collect::<Vec<_>>(), items.concat());
            for batch in batches {
                batch.receipt.delivered();
            }
            prop_assert_eq!(books.book(Signal::Traces).delivered, items.len() as u64);
        }
    }
}
