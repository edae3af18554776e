//! Groups by view, bucket of time and key, bounded in number and in bytes.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::Receipt;
use model::limits::STATS_BUCKET_MAX_KEYS;
use model::stats::ClientStats;
use std::hash::{BuildHasher, Hasher};

/// Views held at one time; later ones share one whose fields say so.
pub(super) const VIEWS_MAX: usize = 256;
/// Groups held at one time, over all views and buckets, before new keys go to overflow groups.
pub(super) const GROUPS_MAX: u64 = 4 * STATS_BUCKET_MAX_KEYS as u64;

/// Statistics of one view, and the responsibility for their groups.
#[derive(Debug)]
#[must_use = "the groups must be delivered or dropped"]
pub struct Counted {
    /// What was counted.
    pub stats: ClientStats,
    /// One unit for each group that was accepted into it.
    pub receipt: Receipt,
}

/// All views.
#[derive(Debug)]
pub(super) struct Views<V> {
    table: HashTable<ViewState<V>>,
    hasher: RandomState,
    /// Heap bytes below `table`.
    bytes: usize,
    groups: u64,
}

/// One view; it goes when its last bucket does.
#[derive(Debug)]
pub(super) struct ViewState<V> {
    key: Box<[u8]>,
    pub(super) buckets: Vec<Bucket<V>>,
}

/// One bucket of time of one view.
#[derive(Debug)]
pub(super) struct Bucket<V> {
    pub(super) start_ns: i64,
    groups: HashTable<(Box<[u8]>, V)>,
    /// What the dimensions hold beside the keys; see `concentrator`.
    pub(super) dimensions: Dimensions,
    pub(super) receipt: Option<Receipt>,
    bytes: usize,
}

/// Distinct values of the dimensions that tend to explode, within one bucket.
#[derive(Debug, Default)]
pub(super) struct Dimensions {
    seen: [HashTable<u64>; 4],
}

impl Dimensions {
    /// Whether the value of a dimension was seen before or fits below `limit`.
    pub(super) fn admits(&mut self, dimension: usize, value: u64, limit: usize) -> bool {
        let Some(seen) = self.seen.get_mut(dimension) else { return true };
        if seen.find(value, |seen| *seen == value).is_some() {
            return true;
        }
        let admitted = seen.len() < limit;
        if admitted {
            seen.insert_unique(value, value, |seen| *seen);
        }
        admitted
    }

    fn bytes(&self) -> usize {
        self.seen.iter().map(HashTable::allocation_size).sum()
    }
}

/// What adding to a table changes beside the table: kept apart, so that a bucket and the totals can
/// be borrowed at once.
#[derive(Debug)]
pub(super) struct Totals<'t> {
    pub(super) hasher: &'t RandomState,
    pub(super) bytes: &'t mut usize,
    pub(super) groups: &'t mut u64,
}

impl Totals<'_> {
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        hash(self.hasher, key)
    }

    /// Whether a new key may have a group of its own.
    pub(super) fn has_room<V>(&self, bucket: &Bucket<V>, max_bytes: usize) -> bool {
        bucket.groups.len() < STATS_BUCKET_MAX_KEYS && *self.groups < GROUPS_MAX && *self.bytes < max_bytes
    }
}

impl<V> Views<V> {
    pub(super) fn new() -> Self {
        Self { table: HashTable::new(), hasher: RandomState::default(), bytes: 0, groups: 0 }
    }

    /// The view of a key, made when there is none. When there are too many it is that of `shared`.
    pub(super) fn view<'v>(
        &'v mut self,
        key: &[u8],
        shared: impl FnOnce() -> Vec<u8>,
    ) -> (&'v mut ViewState<V>, Totals<'v>) {
        let Self { table, hasher, bytes, groups } = self;
        let mut hashed = hash(hasher, key);
        let mut owned = None;
        if table.len() >= VIEWS_MAX && table.find(hashed, |view| *view.key == *key).is_none() {
            let shared = shared();
            hashed = hash(hasher, &shared);
            owned = Some(shared);
        }
        let key = owned.as_deref().unwrap_or(key);
        let view = table
            .entry(hashed, |view| *view.key == *key, |view| hash(hasher, &view.key))
            .or_insert_with(|| {
                *bytes += key.len();
                ViewState { key: key.into(), buckets: Vec::new() }
            })
            .into_mut();
        (view, Totals { hasher, bytes, groups })
    }

    /// Takes out the buckets that are due, view by view, and forgets views without any.
    pub(super) fn drain(
        &mut self,
        mut is_due: impl FnMut(i64) -> bool,
        mut take: impl FnMut(&[u8], Vec<Bucket<V>>),
    ) {
        let Self { table, bytes, groups, .. } = self;
        table.retain(|view| {
            let due: Vec<Bucket<V>> = view.buckets.extract_if(.., |bucket| is_due(bucket.start_ns)).collect();
            for bucket in &due {
                *bytes = bytes.saturating_sub(bucket.bytes);
                *groups = groups.saturating_sub(bucket.groups.len() as u64);
            }
            if !due.is_empty() {
                take(&view.key, due);
            }
            if view.buckets.is_empty() {
                *bytes = bytes.saturating_sub(view.key.len());
            }
            !view.buckets.is_empty()
        });
        if table.is_empty() {
            *table = HashTable::new();
        }
    }

    /// Groups held.
    pub(super) fn groups(&self) -> u64 {
        self.groups
    }

    /// Heap bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + self.table.allocation_size()
    }

    /// Start of the oldest bucket.
    pub(super) fn oldest_start_ns(&self) -> Option<i64> {
        self.table.iter().flat_map(|view| &view.buckets).map(|bucket| bucket.start_ns).min()
    }
}

impl<V> ViewState<V> {
    /// The bucket that starts at a time, made when there is none.
    #[inline]
    pub(super) fn bucket(&mut self, start_ns: i64, totals: &mut Totals<'_>) -> &mut Bucket<V> {
        let found = self.buckets.iter().position(|bucket| bucket.start_ns == start_ns);
        let position = found.unwrap_or_else(|| {
            let bytes = size_of::<Bucket<V>>();
            *totals.bytes += bytes;
            self.buckets.push(Bucket {
                start_ns,
                groups: HashTable::new(),
                dimensions: Dimensions::default(),
                receipt: None,
                bytes,
            });
            self.buckets.len() - 1
        });
        &mut self.buckets[position]
    }
}

impl<V> Bucket<V> {
    #[inline]
    pub(super) fn find(&mut self, hash: u64, key: &[u8]) -> Option<&mut V> {
        self.groups.find_mut(hash, |(existing, _)| **existing == *key).map(|(_, value)| value)
    }

    /// The value of a key, made when there is none.
    pub(super) fn find_or_insert(&mut self, hash: u64, key: &[u8], totals: &mut Totals<'_>)
    where
        V: Default,
    {
        if self.find(hash, key).is_none() {
            self.insert(hash, key, V::default(), totals);
        }
    }

    /// Inserts a key that was not found.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], value: V, totals: &mut Totals<'_>) -> &mut V {
        let (before, hasher) = (self.groups.allocation_size(), totals.hasher);
        // Room first: the table cannot be measured while the new entry is borrowed.
        self.groups.reserve(1, |(key, _)| self::hash(hasher, key));
        let grown = self.groups.allocation_size() - before + key.len();
        self.grew(grown, totals);
        *totals.groups += 1;
        let entry = self.groups.insert_unique(hash, (key.into(), value), |(key, _)| self::hash(hasher, key));
        &mut entry.into_mut().1
    }

    /// Accounts bytes that were allocated below this bucket.
    #[inline]
    pub(super) fn grew(&mut self, bytes: usize, totals: &mut Totals<'_>) {
        self.bytes += bytes;
        *totals.bytes += bytes;
    }

    /// Whether a value of a dimension may be told apart; accounts what remembering it takes.
    pub(super) fn admits(
        &mut self,
        dimension: usize,
        value: u64,
        limit: usize,
        totals: &mut Totals<'_>,
    ) -> bool {
        let before = self.dimensions.bytes();
        let admitted = self.dimensions.admits(dimension, value, limit);
        let grown = self.dimensions.bytes() - before;
        self.grew(grown, totals);
        admitted
    }

    pub(super) fn into_groups(self) -> impl Iterator<Item = (Box<[u8]>, V)> {
        self.groups.into_iter()
    }
}

/// Adds a receipt to one that may not be there yet.
pub(super) fn merge_receipt(held: &mut Option<Receipt>, receipt: Receipt) {
    match held {
        Some(held) => held.merge(receipt),
        None => *held = Some(receipt),
    }
}

#[inline]
fn hash(hasher: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}
