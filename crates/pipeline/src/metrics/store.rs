//! Contexts and how they are found again.
//!
//! A context keeps the first spelling it was met in. A table of spellings leads from bytes as sent to a context
//! without any parsing; a second one, by what spellings mean, is asked only when a spelling is new. Both are split
//! in shards, so that growing one never takes long; contexts lie in chunks that never move and go when they are empty.

use super::Key;
use super::rules::{Canonical, Rules, Spelling};
use super::table::{Entry, Table};
use super::value::{BLOCK_BYTES, Value};
use foldhash::fast::RandomState;
use model::Bump;
use model::metric::MetricType;
use std::hash::{BuildHasher, Hasher};

/// Contexts in one chunk; a step of a flush visits one.
pub(super) const CHUNK_CONTEXTS: usize = 1_024;
/// Other spellings of one context that are remembered; further ones are read anew each time.
const ALIASES_MAX: usize = 8;
pub(super) const SHARDS: usize = 64;
const NONE: u32 = u32::MAX;
/// Marks an index of an alias in a table of spellings.
const ALIAS: u32 = 1 << 31;

/// One metric.
#[derive(Debug)]
pub(super) struct Context {
    /// Name and tags as first sent, and behind them what the mapper made of the name. Empty: a vacant place.
    text: Box<[u8]>,
    pub(super) value: Value,
    /// When the last sample came, in seconds since 1970: the value is of that bucket.
    pub(super) last: u32,
    /// Samples in the value.
    pub(super) samples: u32,
    canonical: u32,
    /// The first other spelling; of a vacant place the next one.
    next: u32,
    name_length: u16,
    pub(super) metric_type: MetricType,
    mapped: bool,
}

/// Another spelling of a context.
#[derive(Debug)]
struct Alias {
    text: Box<[u8]>,
    context: u32,
    next: u32,
    name_length: u16,
}

#[derive(Debug)]
struct Chunk {
    places: Vec<Context>,
    vacant: u32,
    live: u32,
}

/// All contexts.
#[derive(Debug)]
pub(super) struct Store {
    spellings: [Table; SHARDS],
    meanings: [Table; SHARDS],
    hasher: RandomState,
    chunks: Vec<Option<Chunk>>,
    /// No chunk before this one has a vacant place.
    vacant: usize,
    aliases: Vec<Alias>,
    vacant_alias: u32,
    live_aliases: usize,
    live: usize,
    held_chunks: usize,
    bytes: usize,
}

fn shard(hash: u32) -> usize {
    hash as usize % SHARDS
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            spellings: [const { Table::new() }; SHARDS],
            meanings: [const { Table::new() }; SHARDS],
            hasher: RandomState::default(),
            chunks: Vec::new(),
            vacant: 0,
            aliases: Vec::new(),
            vacant_alias: NONE,
            live_aliases: 0,
            live: 0,
            held_chunks: 0,
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Bytes of everything but the values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
            + self.aliases.capacity() * size_of::<Alias>()
            + self.chunks.capacity() * size_of::<Option<Chunk>>()
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Hash of a spelling.
    #[inline]
    pub(super) fn hash(&self, name: &[u8], tags: &[u8], metric_type: MetricType) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        // Where the name ends is part of it; the halves meet in 64 bits.
        hasher.write_u64((name.len() as u64) << 8 | metric_type as u64);
        hasher.write(tags);
        hasher.finish() as u32
    }

    /// Hash of the member of a set.
    pub(super) fn hash_member(&self, member: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(member);
        hasher.finish()
    }

    fn hash_meaning(&self, canonical: &Canonical<'_>, metric_type: MetricType) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u8(metric_type as u8);
        for part in [canonical.name, canonical.host].iter().chain(canonical.tags.iter()) {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish() as u32
    }

    /// The context of a spelling that was met before.
    #[inline]
    pub(super) fn find(&self, hash: u32, key: &Key<'_>) -> Option<u32> {
        let found = self.spellings[shard(hash)].find(hash, |index| {
            let (text, name_length, context) = self.spelling(index);
            let context = self.get(context);
            context.metric_type == key.metric_type
                && usize::from(name_length) == key.name.len()
                && text.len() == key.name.len() + key.tags.len()
                && text.starts_with(key.name)
                && text.ends_with(key.tags)
        })?;
        Some(if found & ALIAS == 0 { found } else { self.aliases[(found & !ALIAS) as usize].context })
    }

    /// What a table of spellings has for a hash, right or wrong.
    #[inline]
    pub(super) fn candidate(&self, hash: u32) -> Option<u32> {
        self.spellings[shard(hash)].first(hash)
    }

    /// Reads of a candidate what finding it and adding to it will read, as a byte of no meaning.
    #[inline]
    pub(super) fn touch(&self, candidate: u32) -> u8 {
        let (text, _, context) = self.spelling(candidate);
        let value = self.get(context).value.touch();
        let ends = text.first().zip(text.last()).map_or(0, |(first, last)| first ^ last);
        ends ^ value
    }

    /// Text, length of the name, and context of what a table of spellings points to.
    #[inline]
    fn spelling(&self, index: u32) -> (&[u8], u16, u32) {
        if index & ALIAS == 0 {
            let context = self.get(index);
            (context.spelled(), context.name_length, index)
        } else {
            let alias = &self.aliases[(index & !ALIAS) as usize];
            (&alias.text, alias.name_length, alias.context)
        }
    }

    /// The context that means the same, and the hash to look it up by.
    pub(super) fn find_meaning(
        &self,
        rules: &Rules,
        arena: &Bump,
        canonical: &Canonical<'_>,
        metric_type: MetricType,
    ) -> (u32, Option<u32>) {
        let hash = self.hash_meaning(canonical, metric_type);
        let found = self.meanings[shard(hash)].find(hash, |index| {
            let context = self.get(index);
            let other = rules.read(arena, context.meaning());
            context.metric_type == metric_type
                && other.name == canonical.name
                && other.host == canonical.host
                && other.tags == canonical.tags
        });
        (hash, found)
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Context {
        let (chunk, place) = (index as usize / CHUNK_CONTEXTS, index as usize % CHUNK_CONTEXTS);
        &self.chunks[chunk].as_ref().expect("an index of a context is of a chunk that is held").places[place]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut Context {
        let (chunk, place) = (index as usize / CHUNK_CONTEXTS, index as usize % CHUNK_CONTEXTS);
        &mut self.chunks[chunk].as_mut().expect("an index of a context is of a chunk that is held").places
            [place]
    }

    /// How many places of a chunk are to be visited.
    pub(super) fn places(&self, chunk: usize) -> usize {
        self.chunks.get(chunk).and_then(Option::as_ref).map_or(0, |chunk| chunk.places.len())
    }

    /// What a new context would take, roughly.
    pub(super) fn need(&self, text: usize) -> usize {
        const ENTRIES: usize = 2 * 2 * size_of::<Entry>();
        let full = self.live == self.held_chunks * CHUNK_CONTEXTS;
        text + BLOCK_BYTES + ENTRIES + if full { CHUNK_CONTEXTS * size_of::<Context>() } else { 0 }
    }

    /// Makes a context; no spelling and no meaning like it must be there. `None`: no more can be counted.
    pub(super) fn insert(
        &mut self,
        hash: u32,
        meaning: u32,
        key: &Key<'_>,
        mapped: Option<&(Vec<u8>, Vec<u8>)>,
        now: u32,
    ) -> Option<u32> {
        let chunk = self.vacant_chunk()?;
        let context = Context {
            text: written(key, mapped),
            value: Value::Empty,
            last: now,
            samples: 0,
            canonical: meaning,
            next: NONE,
            name_length: u16::try_from(key.name.len()).ok()?,
            metric_type: key.metric_type,
            mapped: mapped.is_some(),
        };
        self.bytes += context.text.len() + BLOCK_BYTES;
        let held = self.chunks[chunk].as_mut()?;
        let place = if held.vacant == NONE {
            held.places.push(context);
            held.places.len() - 1
        } else {
            let place = held.vacant as usize;
            let vacant = std::mem::replace(&mut held.places[place], context);
            held.vacant = vacant.next;
            place
        };
        held.live += 1;
        self.live += 1;
        let index = (chunk * CHUNK_CONTEXTS + place) as u32;
        enter(&mut self.spellings, &mut self.bytes, Entry { hash, index });
        enter(&mut self.meanings, &mut self.bytes, Entry { hash: meaning, index });
        Some(index)
    }

    /// A chunk with a vacant place.
    fn vacant_chunk(&mut self) -> Option<usize> {
        let vacant =
            |chunk: &Option<Chunk>| chunk.as_ref().is_none_or(|chunk| (chunk.live as usize) < CHUNK_CONTEXTS);
        let found = self.chunks[self.vacant..].iter().position(vacant).map(|at| self.vacant + at);
        let at = found.unwrap_or(self.chunks.len());
        if at >= ALIAS as usize / CHUNK_CONTEXTS {
            return None;
        }
        self.vacant = at;
        if at == self.chunks.len() {
            self.chunks.push(None);
        }
        if self.chunks[at].is_none() {
            let places = Vec::with_capacity(CHUNK_CONTEXTS);
            self.bytes += CHUNK_CONTEXTS * size_of::<Context>();
            self.held_chunks += 1;
            self.chunks[at] = Some(Chunk { places, vacant: NONE, live: 0 });
        }
        Some(at)
    }

    /// Remembers another spelling, unless the context has many already or the text is too big for `room`.
    pub(super) fn remember(&mut self, hash: u32, key: &Key<'_>, context: u32, room: usize) {
        let Ok(name_length) = u16::try_from(key.name.len()) else { return };
        let need =
            key.name.len() + key.tags.len() + BLOCK_BYTES + size_of::<Alias>() + 4 * size_of::<Entry>();
        let mut known = 0;
        let mut next = self.get(context).next;
        while next != NONE {
            known += 1;
            next = self.aliases[next as usize].next;
        }
        if known == ALIASES_MAX || need > room {
            return;
        }
        let text = written(key, None);
        self.bytes += text.len() + BLOCK_BYTES;
        let alias = Alias { text, context, next: self.get(context).next, name_length };
        let at = match self.vacant_alias {
            NONE => {
                self.aliases.push(alias);
                self.aliases.len() as u32 - 1
            }
            at => {
                self.vacant_alias = self.aliases[at as usize].next;
                self.aliases[at as usize] = alias;
                at
            }
        };
        self.live_aliases += 1;
        self.get_mut(context).next = at;
        enter(&mut self.spellings, &mut self.bytes, Entry { hash, index: at | ALIAS });
    }

    /// Forgets a context; its chunk stays until it is released.
    pub(super) fn remove(&mut self, index: u32) {
        let context = self.get(index);
        let (metric_type, mut next, meaning) = (context.metric_type, context.next, context.canonical);
        let hash = self.hash_text(context.spelled(), context.name_length, metric_type);
        leave(&mut self.spellings, Entry { hash, index });
        leave(&mut self.meanings, Entry { hash: meaning, index });
        while next != NONE {
            let text = std::mem::take(&mut self.aliases[next as usize].text);
            let hash = self.hash_text(&text, self.aliases[next as usize].name_length, metric_type);
            leave(&mut self.spellings, Entry { hash, index: next | ALIAS });
            self.bytes -= text.len() + BLOCK_BYTES;
            self.live_aliases -= 1;
            let following = std::mem::replace(&mut self.aliases[next as usize].next, self.vacant_alias);
            self.vacant_alias = next;
            next = following;
        }
        let (at, place) = (index as usize / CHUNK_CONTEXTS, index as usize % CHUNK_CONTEXTS);
        let chunk = self.chunks[at].as_mut().expect("the context was just found in it");
        let context = &mut chunk.places[place];
        self.bytes -= context.text.len() + BLOCK_BYTES;
        context.text = Box::default();
        context.value = Value::Empty;
        context.next = std::mem::replace(&mut chunk.vacant, place as u32);
        chunk.live -= 1;
        self.live -= 1;
        self.vacant = self.vacant.min(at);
    }

    /// Gives a chunk back if there is nothing in it.
    pub(super) fn release(&mut self, chunk: usize) {
        if let Some(held) = self.chunks.get_mut(chunk)
            && held.as_ref().is_some_and(|held| held.live == 0)
        {
            *held = None;
            self.held_chunks -= 1;
            self.bytes -= CHUNK_CONTEXTS * size_of::<Context>();
        }
    }

    fn hash_text(&self, text: &[u8], name_length: u16, metric_type: MetricType) -> u32 {
        let (name, tags) = text.split_at(usize::from(name_length));
        self.hash(name, tags, metric_type)
    }

    /// Gives back what one shard of the tables has too much of.
    pub(super) fn shrink_shard(&mut self, at: usize) {
        for table in [&mut self.spellings[at], &mut self.meanings[at]] {
            let before = table.bytes();
            table.shrink();
            self.bytes -= before - table.bytes();
        }
    }

    /// Gives back the rest of what is not needed.
    pub(super) fn shrink(&mut self) {
        let used = self.chunks.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.chunks.truncate(used);
        self.chunks.shrink_to(2 * used);
        self.vacant = self.vacant.min(used);
        if self.live_aliases == 0 {
            self.aliases = Vec::new();
            self.vacant_alias = NONE;
        }
    }
}

impl Context {
    /// Whether nothing is here.
    pub(super) fn is_vacant(&self) -> bool {
        self.text.is_empty()
    }

    #[inline]
    fn spelled(&self) -> &[u8] {
        if self.mapped { &self.text[..self.split().0] } else { &self.text }
    }

    /// Of a mapped context: where the spelling ends, and where the name of the mapper.
    fn split(&self) -> (usize, usize) {
        let length = self.text.len() - 8;
        let number =
            |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| self.text[at + byte])) as usize;
        (number(length), number(length + 4))
    }

    /// What its meaning is read from.
    pub(super) fn meaning(&self) -> Spelling<'_> {
        let name_length = usize::from(self.name_length);
        if !self.mapped {
            let (name, tags) = self.text.split_at(name_length);
            return Spelling { name, tags, mapped_tags: &[] };
        }
        let (spelled, named) = self.split();
        Spelling {
            name: &self.text[spelled..named],
            tags: &self.text[name_length..spelled],
            mapped_tags: &self.text[named..self.text.len() - 8],
        }
    }
}

/// The text of a context.
fn written(key: &Key<'_>, mapped: Option<&(Vec<u8>, Vec<u8>)>) -> Box<[u8]> {
    let Some((name, tags)) = mapped else {
        return [key.name, key.tags].concat().into_boxed_slice();
    };
    let spelled = (key.name.len() + key.tags.len()) as u32;
    let named = spelled + name.len() as u32;
    [key.name, key.tags, name, tags, &spelled.to_le_bytes(), &named.to_le_bytes()].concat().into_boxed_slice()
}

fn enter(shards: &mut [Table; SHARDS], bytes: &mut usize, entry: Entry) {
    let table = &mut shards[shard(entry.hash)];
    let before = table.bytes();
    table.insert(entry);
    *bytes += table.bytes() - before;
}

fn leave(shards: &mut [Table; SHARDS], entry: Entry) {
    shards[shard(entry.hash)].remove(entry);
}
