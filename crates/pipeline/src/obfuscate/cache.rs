//! Obfuscated statements, so that a program's few statements are read once and not with every span.
//!
//! Bounded in bytes, keys and values counted. Eviction is by two generations: what is found in the older one moves to the
//! younger; when the younger has had its half, the older one goes and the younger becomes it. That is close to least
//! recently used at no cost per hit.
//!
//! What is met for the first time is not kept: statements with their literals in them are new each time, and keeping
//! them would only push out those that repeat, and the processor's own caches with them.

use super::sql_tokens::Dialect;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks among which statements are spread by hash; twice the workers of a big machine's agent.
const SHARDS: usize = 8;
/// Counted for each entry beside its bytes: the entry, its table slot and the allocator's header.
const ENTRY_OVERHEAD_BYTES: usize = 56;
/// Statements of one shard met once that are remembered, by their hash alone; a power of two.
const MET_SLOTS: usize = 2_048;
/// Longer statements are read each time: they are rarely repeated and would evict hundreds of others.
pub(super) const STATEMENT_MAX_BYTES: usize = 16 * 1024;

/// How the cache fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Statements found.
    pub hits: u64,
    /// Statements not found.
    pub misses: u64,
    /// Statements held.
    pub entries: usize,
    /// Bytes held, keys and values and what keeping them takes.
    pub bytes: usize,
}

/// What is known of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<'s> {
    /// Obfuscation changes nothing.
    Unchanged,
    /// It cannot be read.
    Unreadable,
    /// It becomes this.
    Becomes(&'s str),
}

/// A statement that is not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// It was looked for before, not long ago: worth keeping.
    pub(super) met_before: bool,
}

pub(super) struct Cache {
    hasher: RandomState,
    /// Bytes one generation of one shard may hold; 0 switches the cache off.
    generation_max_bytes: usize,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// Part of the hash of what was not found, at a slot of another part.
    met: Option<Box<[u32; MET_SLOTS]>>,
    hits: u64,
    misses: u64,
}

#[derive(Default)]
struct Generation {
    entries: HashTable<Entry>,
    bytes: usize,
}

struct Entry {
    hash: u64,
    /// The statement, then what it becomes.
    text: Box<str>,
    statement_bytes: u32,
    dialect: Dialect,
    unreadable: bool,
    unchanged: bool,
}

impl Entry {
    fn is(&self, dialect: Dialect, statement: &str) -> bool {
        self.dialect == dialect
            && self.statement_bytes as usize == statement.len()
            && self.text.as_bytes()[..statement.len()] == *statement.as_bytes()
    }

    fn known(&self) -> Known<'_> {
        if self.unchanged {
            Known::Unchanged
        } else if self.unreadable {
            Known::Unreadable
        } else {
            Known::Becomes(&self.text[self.statement_bytes as usize..])
        }
    }

    fn bytes(&self) -> usize {
        self.text.len() + ENTRY_OVERHEAD_BYTES
    }
}

impl Cache {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            generation_max_bytes: max_bytes / SHARDS / 2,
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Whether this statement is worth looking up.
    pub(super) const fn takes(&self, statement: &str) -> bool {
        statement.len() <= STATEMENT_MAX_BYTES
            && statement.len() + ENTRY_OVERHEAD_BYTES <= self.generation_max_bytes
    }

    pub(super) fn hash(&self, dialect: Dialect, statement: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(statement.as_bytes());
        dialect.hash(&mut hasher);
        hasher.finish()
    }

    /// Looks a statement up and lets `use_it` take what is known, under the shard's lock: copy and return.
    pub(super) fn find<T>(
        &self,
        hash: u64,
        dialect: Dialect,
        statement: &str,
        use_it: impl FnOnce(Known<'_>) -> T,
    ) -> Result<T, Unknown> {
        let mut guard = self.shard(hash);
        let shard = &mut *guard;
        if let Some(entry) = shard.young.entries.find(hash, |entry| entry.is(dialect, statement)) {
            shard.hits += 1;
            return Ok(use_it(entry.known()));
        }
        let Ok(found) = shard.old.entries.find_entry(hash, |entry| entry.is(dialect, statement)) else {
            shard.misses += 1;
            return Err(Unknown { met_before: shard.meet(hash) });
        };
        let (entry, _) = found.remove();
        shard.old.bytes -= entry.bytes();
        shard.hits += 1;
        let result = use_it(entry.known());
        shard.insert(entry, self.generation_max_bytes);
        Ok(result)
    }

    /// Remembers a statement that was not found, though met before.
    pub(super) fn insert(&self, hash: u64, dialect: Dialect, statement: &str, known: Known<'_>) {
        let becomes = match known {
            Known::Becomes(text) => text,
            _ => "",
        };
        if statement.len() + becomes.len() + ENTRY_OVERHEAD_BYTES > self.generation_max_bytes {
            return;
        }
        let Ok(statement_bytes) = u32::try_from(statement.len()) else { return };
        let mut text = String::with_capacity(statement.len() + becomes.len());
        text.push_str(statement);
        text.push_str(becomes);
        let entry = Entry {
            hash,
            text: text.into_boxed_str(),
            statement_bytes,
            dialect,
            unreadable: known == Known::Unreadable,
            unchanged: known == Known::Unchanged,
        };
        let mut shard = self.shard(hash);
        // Another worker may have met the same statement at the same time.
        if shard.young.entries.find(hash, |entry| entry.is(dialect, statement)).is_none() {
            shard.insert(entry, self.generation_max_bytes);
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats::default();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            stats.hits += shard.hits;
            stats.misses += shard.misses;
            stats.entries += shard.young.entries.len() + shard.old.entries.len();
            stats.bytes += shard.young.bytes + shard.old.bytes;
        }
        stats
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table uses the top and the low bits; these lie between.
        let shard = (hash >> 32) as usize % SHARDS;
        // A panic under the lock leaves at worst a statement unaccounted for.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Notes that a statement was not found, and says whether it was noted before.
    fn meet(&mut self, hash: u64) -> bool {
        let met = self.met.get_or_insert_with(|| Box::new([0; MET_SLOTS]));
        let fingerprint = (hash >> 32) as u32;
        let before = std::mem::replace(&mut met[hash as usize % MET_SLOTS], fingerprint);
        before == fingerprint
    }

    fn insert(&mut self, entry: Entry, generation_max_bytes: usize) {
        if self.young.bytes + entry.bytes() > generation_max_bytes {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += entry.bytes();
        self.young.entries.insert_unique(entry.hash, entry, |entry| entry.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(cache: &Cache, dialect: Dialect, statement: &str) -> Option<String> {
        cache.find(cache.hash(dialect, statement), dialect, statement, |known| format!("{known:?}")).ok()
    }

    fn put(cache: &Cache, dialect: Dialect, statement: &str, known: Known<'_>) {
        cache.insert(cache.hash(dialect, statement), dialect, statement, known);
    }

    #[test]
    fn a_statement_is_known_per_dialect() {
        let cache = Cache::new(1 << 20);
        put(&cache, Dialect::MySql, "a", Known::Becomes("b"));
        put(&cache, Dialect::Generic, "a", Known::Unreadable);
        put(&cache, Dialect::Oracle, "a", Known::Unchanged);
        assert_eq!(look(&cache, Dialect::MySql, "a").as_deref(), Some("Becomes(\"b\")"));
        assert_eq!(look(&cache, Dialect::Generic, "a").as_deref(), Some("Unreadable"));
        assert_eq!(look(&cache, Dialect::Oracle, "a").as_deref(), Some("Unchanged"));
        assert_eq!(look(&cache, Dialect::PostgreSql, "a"), None);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.entries), (3, 1, 3));
    }

    #[test]
    fn the_byte_bound_holds_and_what_is_used_stays() {
        let max = 64 * 1024;
        let cache = Cache::new(max);
        let value = "x".repeat(100);
        put(&cache, Dialect::Generic, "favourite", Known::Becomes(&value));
        for n in 0..10_000 {
            put(&cache, Dialect::Generic, &format!("statement {n}"), Known::Becomes(&value));
            assert!(cache.stats().bytes <= max);
            assert!(look(&cache, Dialect::Generic, "favourite").is_some(), "evicted at {n}");
        }
        assert!(look(&cache, Dialect::Generic, "statement 0").is_none());
        assert!(look(&cache, Dialect::Generic, "statement 9999").is_some());
        assert!(cache.stats().entries > 100);
    }

    #[test]
    fn inserting_twice_counts_once() {
        let cache = Cache::new(1 << 20);
        put(&cache, Dialect::Generic, "a", Known::Unchanged);
        let once = cache.stats();
        put(&cache, Dialect::Generic, "a", Known::Unchanged);
        assert_eq!(cache.stats(), once);
    }

    #[test]
    fn what_is_met_again_is_worth_keeping() {
        let cache = Cache::new(1 << 20);
        let meet = |statement| {
            let hash = cache.hash(Dialect::Generic, statement);
            cache.find(hash, Dialect::Generic, statement, |_| ()).unwrap_err().met_before
        };
        assert!(!meet("a"));
        assert!(meet("a"));
        assert!(!meet("b"));
        assert!(meet("a"), "still, though another one came between");
    }

    #[test]
    fn size_zero_switches_the_cache_off() {
        let cache = Cache::new(0);
        assert!(!cache.takes(""));
        put(&cache, Dialect::Generic, "", Known::Unchanged);
        assert_eq!(cache.stats().entries, 0);
    }

    #[test]
    fn long_statements_are_not_taken() {
        let cache = Cache::new(1 << 30);
        assert!(cache.takes(&"x".repeat(STATEMENT_MAX_BYTES)));
        assert!(!cache.takes(&"x".repeat(STATEMENT_MAX_BYTES + 1)));
    }
}
