//! A table from hashes to indexes, with linear probing: a look-up among millions touches one cache line of it and
//! one page, where a table with control bytes touches two of each.

/// 32 bits of a hash, and what they lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) hash: u32,
    /// Never `u32::MAX`, which marks a vacant place.
    pub(super) index: u32,
}

const VACANT: Entry = Entry { hash: 0, index: u32::MAX };
/// Low bits of a hash that chose the table.
const SHARD_BITS: u32 = super::store::SHARDS.ilog2();
const PLACES_MIN: usize = 8;

/// Holds entries; their number is never more than three quarters of the places.
#[derive(Debug)]
pub(super) struct Table {
    /// A power of two, or none.
    places: Vec<Entry>,
    live: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), live: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Entry>()
    }

    /// The index of an entry with a hash that also `matches`.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        // An empty table ends it at once.
        while let Some(entry) = self.places.get(at).filter(|entry| **entry != VACANT) {
            if entry.hash == hash && matches(entry.index) {
                return Some(entry.index);
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        None
    }

    /// The index of the first entry with a hash, whether or not it is the one that is looked for.
    #[inline]
    pub(super) fn first(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, entry: Entry) {
        if (self.live + 1) * 4 > self.places.len() * 3 {
            self.resize((self.places.len() * 2).max(PLACES_MIN));
        }
        self.live += 1;
        self.put(entry);
    }

    /// Removes an entry, if it is there. Those behind it that were pushed on by it move back.
    pub(super) fn remove(&mut self, entry: Entry) {
        let mut hole = self.home(entry.hash);
        loop {
            match self.places.get(hole) {
                None | Some(&VACANT) => return,
                Some(held) if *held == entry => break,
                Some(_) => hole = (hole + 1) & (self.places.len() - 1),
            }
        }
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let held = self.places[at];
            if held == VACANT {
                break;
            }
            let pushed = at.wrapping_sub(self.home(held.hash)) & mask;
            if pushed >= at.wrapping_sub(hole) & mask {
                self.places[hole] = held;
                hole = at;
            }
        }
        self.places[hole] = VACANT;
        self.live -= 1;
    }

    /// Gives back what is far too much.
    pub(super) fn shrink(&mut self) {
        if self.live == 0 {
            *self = Self::new();
        } else if self.live * 8 < self.places.len() && self.places.len() > PLACES_MIN {
            self.resize((self.live * 2).next_power_of_two().max(PLACES_MIN));
        }
    }

    fn resize(&mut self, places: usize) {
        let before = std::mem::replace(&mut self.places, vec![VACANT; places]);
        for entry in before.into_iter().filter(|entry| *entry != VACANT) {
            self.put(entry);
        }
    }

    fn put(&mut self, entry: Entry) {
        let mut at = self.home(entry.hash);
        while self.places[at] != VACANT {
            at = (at + 1) & (self.places.len() - 1);
        }
        self.places[at] = entry;
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash >> SHARD_BITS) as usize & self.places.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, btree_map};

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0u32..400, 0u32..6, 0u8..8), 1..600),
        ) {
            let mut table = Table::new();
            let mut map = BTreeMap::new();
            for (index, hash, what) in steps {
                // Few hashes, at the end of the places too: long chains that wrap around.
                let entry = Entry { hash: hash.wrapping_mul(0x3fff_ffc0) ^ (index % 3) << SHARD_BITS, index };
                match what {
                    0..5 => {
                        if let btree_map::Entry::Vacant(place) = map.entry(index) {
                            place.insert(entry.hash);
                            table.insert(entry);
                        }
                    }
                    5..7 => {
                        if let Some(hash) = map.remove(&index) {
                            table.remove(Entry { hash, index });
                        }
                        // Not there any more: nothing happens.
                        table.remove(entry);
                    }
                    _ => table.shrink(),
                }
                prop_assert_eq!(table.live, map.len());
                for (index, hash) in &map {
                    prop_assert_eq!(table.find(*hash, |held| held == *index), Some(*index));
                }
                prop_assert_eq!(table.find(entry.hash, |_| false), None);
            }
            for (index, hash) in map {
                table.remove(Entry { hash, index });
            }
            table.shrink();
            prop_assert_eq!(table.bytes(), 0);
        }
    }
}
