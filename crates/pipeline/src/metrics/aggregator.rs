//! Samples in, series out: the state of all contexts over time (`facts/dogstatsd.md` §5).

use super::config::MetricsConfig;
use super::emit::{Emitter, Taken};
use super::rules::{Rules, Spelling};
use super::store::{CHUNK_CONTEXTS, SHARDS, Store};
use super::value::{BLOCK_BYTES, Value, Weight, added};
use super::{BUCKET_SECONDS, ContextId, Flush, Key, LOOK_AHEAD, Refused, Sink, Spelled};
use model::Bump;
use model::metric::MetricType;
use std::collections::VecDeque;

/// Points a bucket may be told in before its last second; a flush on demand makes one more.
const PARTIALS_MAX: u32 = BUCKET_SECONDS - 1;
/// Buckets of which it is remembered that they were told in part; older ones are long over.
const PARTIAL_BUCKETS_MAX: usize = 8;
/// Samples of histograms one step tells, beyond which it ends early: they are sorted.
const STEP_SAMPLES: u64 = 16_384;
/// Shards of the tables one step of a flush looks at.
const STEP_SHARDS: usize = 8;

/// All contexts and their values.
///
/// A context has the value of one bucket. A sample of a later bucket moves it aside, so that a flush may go on chunk
/// by chunk while samples come in, and a late flush still tells each bucket apart.
#[derive(Debug)]
pub struct Aggregator {
    rules: Rules,
    emitter: Emitter,
    store: Store,
    pending: Pending,
    /// Heap of all values, those moved aside too.
    value_bytes: usize,
    bytes_max: usize,
    contexts_max: usize,
    /// Seconds since 1970.
    now: u32,
    /// Begin of the bucket of `now`.
    bucket: u32,
    /// Changes when a context goes.
    epoch: u32,
    flushing: Option<Flushing>,
    /// Asked for while another one was under way.
    next_flush: Option<Flush>,
    /// Buckets that begin before this were told, with their zeros.
    flushed_until: u32,
    /// Buckets that were told while they were open, and how often.
    partials: VecDeque<(u32, u32)>,
    expiry: u32,
    context_expiry: u32,
    arena: Bump,
}

/// Values of buckets that were over before they were told.
#[derive(Debug, Default)]
struct Pending {
    chunks: VecDeque<Vec<Moved>>,
}

#[derive(Debug)]
struct Moved {
    context: u32,
    /// The last sample, seconds since 1970.
    last: u32,
    samples: u32,
    /// Buckets of a count without samples: from the begin of the first to that of the one after the last.
    zeros: (u32, u32),
    value: Value,
}

/// A flush under way.
#[derive(Debug)]
struct Flushing {
    now: u32,
    /// Buckets that begin before this are closed.
    cutoff: u32,
    /// The open bucket, if it is told too, and how often it was before.
    open: Option<(u32, u32)>,
    /// Zeros are told from this bucket to the cutoff.
    zeros_from: u32,
    pending: Pending,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pending,
    /// The next context.
    Contexts(usize),
    Tables(usize),
}

// No `#[inline]` on what each sample passes through: it would be compiled at the caller's level, which is for size.
impl Aggregator {
    /// Nothing yet; `now` in seconds since 1970.
    pub fn new(config: MetricsConfig, now: i64) -> Self {
        let now = seconds(now);
        Self {
            emitter: Emitter::new(&config),
            store: Store::new(),
            pending: Pending::default(),
            value_bytes: 0,
            bytes_max: usize::MAX,
            contexts_max: config.contexts_max,
            now,
            bucket: bucket(now),
            epoch: 0,
            flushing: None,
            next_flush: None,
            flushed_until: bucket(now),
            partials: VecDeque::new(),
            expiry: config.expiry_seconds,
            // A context outlives the flush that takes its last value.
            context_expiry: config.context_expiry_seconds.max(1),
            arena: Bump::new(),
            rules: Rules::new(config),
        }
    }

    /// Sets the time of the samples that follow, in seconds since 1970; it never goes back.
    pub fn set_now(&mut self, now: i64) {
        self.now = self.now.max(seconds(now));
        self.bucket = bucket(self.now);
    }

    /// What contexts and values may take. A table that grows may go beyond it once, by a 64th of the tables.
    pub fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// Tags that become known late; on everything from the next step of a flush on, unless it has them.
    pub fn set_platform_tags(&mut self, tags: Vec<String>) {
        if self.store.len() == 0 {
            self.rules.add_tags(tags);
        } else {
            self.rules.set_platform_tags(tags);
        }
    }

    /// What contexts and values take.
    pub fn bytes(&self) -> usize {
        let flushing = self.flushing.as_ref().map_or(0, |flushing| flushing.pending.bytes());
        self.store.bytes() + self.value_bytes + self.pending.bytes() + flushing
    }

    #[cfg(test)]
    pub(super) fn value_bytes_for_test(&self) -> usize {
        self.value_bytes
    }

    /// How many contexts are held.
    pub fn contexts(&self) -> usize {
        self.store.len()
    }

    /// Finds or makes a context. A spelling met before allocates nothing.
    ///
    /// # Errors
    /// When it is not wanted, has no name, or there is no room.
    pub fn context(&mut self, key: &Key<'_>) -> Result<ContextId, Refused> {
        self.context_of(self.spelled(key), key)
    }

    /// Begins to find a context, for [`Aggregator::context_of`].
    pub fn spelled(&self, key: &Key<'_>) -> Spelled {
        Spelled(self.store.hash(key.name, key.tags, key.metric_type))
    }

    /// Reads what finding some contexts and adding to them will read. Among many contexts each read is one of
    /// memory far away; here they wait for it together instead of one after the other.
    pub fn look_ahead(&self, spelled: &[Spelled; LOOK_AHEAD]) {
        let candidates = spelled.map(|spelled| self.store.candidate(spelled.0));
        let touched = candidates.map(|candidate| candidate.map_or(0, |index| self.store.touch(index)));
        std::hint::black_box(touched);
    }

    /// Finds or makes the context of a key that was [`Aggregator::spelled`].
    ///
    /// # Errors
    /// As for [`Aggregator::context`].
    pub fn context_of(&mut self, spelled: Spelled, key: &Key<'_>) -> Result<ContextId, Refused> {
        let hash = spelled.0;
        let index = match self.store.find(hash, key) {
            Some(index) => index,
            None => {
                let mut arena = std::mem::take(&mut self.arena);
                let admitted = self.admit(&arena, hash, key);
                arena.reset();
                self.arena = arena;
                admitted?
            }
        };
        Ok(ContextId { index, epoch: self.epoch })
    }

    /// Adds a value, taken with the probability `rate`: to a gauge, a count, a histogram or a distribution.
    ///
    /// # Errors
    /// When value or rate make no sense, the context is a set, or there is no room.
    pub fn add(&mut self, id: ContextId, value: f64, rate: f64) -> Result<(), Refused> {
        let weight = Weight::of(rate).ok_or(Refused::BadRate)?;
        let scaled = value * weight.exact;
        if !scaled.is_finite() {
            return Err(Refused::BadValue);
        }
        self.check(id)?;
        let context = self.store.get_mut(id.index);
        if context.last < self.bucket {
            if context.metric_type == MetricType::Set {
                return Err(Refused::WrongType);
            }
            self.turn(id.index)?;
        }
        let context = self.store.get_mut(id.index);
        match (context.metric_type, &mut context.value) {
            (MetricType::Gauge, held) => *held = Value::Number(value),
            (MetricType::Count, Value::Number(sum)) => *sum = added(*sum, scaled),
            (MetricType::Count, held) => *held = Value::Number(scaled),
            (MetricType::Set, _) => return Err(Refused::WrongType),
            (MetricType::Distribution, Value::Sketch(sketch)) if sketch.growth(weight.whole) == 0 => {
                sketch.add(value, weight.exact, weight.whole);
            }
            _ => return self.grow(id.index, |held| held.add(value, weight), |held| held.growth(weight)),
        }
        context.samples += 1;
        context.last = self.now;
        Ok(())
    }

    /// Adds a member to a set.
    ///
    /// # Errors
    /// When the context is no set or there is no room.
    pub fn add_member(&mut self, id: ContextId, member: &[u8]) -> Result<(), Refused> {
        self.check(id)?;
        let context = self.store.get(id.index);
        if context.metric_type != MetricType::Set {
            return Err(Refused::WrongType);
        }
        if context.last < self.bucket {
            self.turn(id.index)?;
        }
        let hash = self.store.hash_member(member);
        self.grow(id.index, |held| held.add_member(hash), Value::member_growth)
    }

    /// Passes values that carry a timestamp on at once, as one point (`facts/dogstatsd.md` §5.1): of a count
    /// the sum, of a gauge the last one.
    ///
    /// # Errors
    /// When it is not wanted, has no name, is no gauge or count, or values or rate make no sense.
    pub fn timestamped(
        &mut self,
        key: &Key<'_>,
        values: &[f64],
        rate: f64,
        timestamp: i64,
        sink: &mut impl Sink,
    ) -> Result<(), Refused> {
        let weight = Weight::of(rate).ok_or(Refused::BadRate)?;
        let value = match key.metric_type {
            MetricType::Gauge => values.last().copied(),
            MetricType::Count => values.iter().map(|value| value * weight.exact).reduce(added),
            _ => return Err(Refused::UnsupportedTimestamp),
        };
        if !values.iter().all(|value| (value * weight.exact).is_finite()) {
            return Err(Refused::BadValue);
        }
        if key.name.is_empty() || key.name.len() > usize::from(u16::MAX) {
            return Err(Refused::BadName);
        }
        let Some(value) = value.map(Value::Number) else { return Ok(()) };
        let Self { rules, emitter, arena, .. } = self;
        let mapped = rules.map(key.name);
        let canonical = rules.read(arena, spelling(key, mapped.as_ref()));
        let blocked = rules.blocks(canonical.name);
        if !blocked {
            let samples = values.len() as u64;
            let taken = Taken { metric_type: key.metric_type, timestamp, value, samples };
            emitter.emit(rules, arena, &canonical, taken, std::iter::empty(), sink);
        }
        drop(canonical);
        arena.reset();
        if blocked { Err(Refused::Blocked) } else { Ok(()) }
    }

    /// When something closes or expires, in seconds since 1970; `None`: nothing is held.
    pub fn next_flush(&self) -> Option<i64> {
        if self.store.len() == 0 {
            return None;
        }
        let until = self.flushing.as_ref().map_or(self.flushed_until, |flushing| flushing.cutoff);
        Some(i64::from(until + BUCKET_SECONDS))
    }

    /// Begins a flush of what is there now; samples may be added between its steps. While another one is under
    /// way it begins when that one is over.
    pub fn begin_flush(&mut self, mode: Flush) {
        if self.flushing.is_some() {
            if self.next_flush != Some(Flush::All) {
                self.next_flush = Some(mode);
            }
            return;
        }
        let open = (mode == Flush::All).then(|| (self.bucket, self.tell_partly()));
        self.flushing = Some(Flushing {
            now: self.now,
            cutoff: self.bucket,
            open,
            zeros_from: self.flushed_until,
            pending: std::mem::take(&mut self.pending),
            step: Step::Pending,
        });
    }

    /// Takes one step, of a thousand contexts at most and less than a millisecond unless a single histogram takes
    /// longer; true while there is more.
    pub fn flush_step(&mut self, sink: &mut impl Sink) -> bool {
        let Some(mut flushing) = self.flushing.take() else { return false };
        flushing.step = match flushing.step {
            Step::Pending => match flushing.pending.chunks.pop_front() {
                Some(chunk) => {
                    for moved in chunk {
                        self.tell_moved(&flushing, moved, sink);
                    }
                    Step::Pending
                }
                None => Step::Contexts(0),
            },
            Step::Contexts(mut at) if at / CHUNK_CONTEXTS < self.store.chunks() => {
                let chunk = at / CHUNK_CONTEXTS;
                let end = chunk * CHUNK_CONTEXTS + self.store.places(chunk);
                let mut samples = 0;
                while at < end && samples < STEP_SAMPLES {
                    samples += u64::from(self.visit(&flushing, at as u32, sink));
                    at += 1;
                }
                if at >= end {
                    self.store.release(chunk);
                    at = (chunk + 1) * CHUNK_CONTEXTS;
                }
                Step::Contexts(at)
            }
            Step::Contexts(_) => Step::Tables(0),
            Step::Tables(at) if at < SHARDS => {
                for shard in at..(at + STEP_SHARDS).min(SHARDS) {
                    self.store.shrink_shard(shard);
                }
                Step::Tables(at + STEP_SHARDS)
            }
            Step::Tables(_) => {
                self.store.shrink();
                self.flushed_until = flushing.cutoff;
                return match self.next_flush.take() {
                    Some(mode) => {
                        self.begin_flush(mode);
                        true
                    }
                    None => false,
                };
            }
        };
        self.flushing = Some(flushing);
        true
    }

    /// The context of a spelling that was not met before.
    #[cold]
    fn admit(&mut self, arena: &Bump, hash: u32, key: &Key<'_>) -> Result<u32, Refused> {
        if key.name.is_empty() || key.name.len() > usize::from(u16::MAX) {
            return Err(Refused::BadName);
        }
        let mapped = self.rules.map(key.name);
        let canonical = self.rules.read(arena, spelling(key, mapped.as_ref()));
        if self.rules.blocks(canonical.name) {
            return Err(Refused::Blocked);
        }
        if self.rules.ignores(key.metric_type) {
            return Err(Refused::NoAggregates);
        }
        let (meaning, known) = self.store.find_meaning(&self.rules, arena, &canonical, key.metric_type);
        if let Some(index) = known {
            let room = self.bytes_max.saturating_sub(self.bytes());
            self.store.remember(hash, key, index, room);
            return Ok(index);
        }
        if self.store.len() >= self.contexts_max {
            return Err(Refused::ContextsFull);
        }
        let mapped_bytes = mapped.as_ref().map_or(0, |(name, tags)| name.len() + tags.len() + 8);
        let need = self.store.need(key.name.len() + key.tags.len() + mapped_bytes);
        if self.bytes().saturating_add(need) > self.bytes_max {
            return Err(Refused::MemoryFull);
        }
        if self.store.len() == 0 && self.flushing.is_none() {
            self.flushed_until = self.flushed_until.max(self.bucket);
        }
        self.store.insert(hash, meaning, key, mapped.as_ref(), self.now).ok_or(Refused::ContextsFull)
    }

    #[inline]
    fn check(&self, id: ContextId) -> Result<(), Refused> {
        if id.epoch == self.epoch { Ok(()) } else { Err(Refused::Stale) }
    }

    /// Adds to a value that may take more memory by it.
    fn grow(
        &mut self,
        index: u32,
        add: impl FnOnce(&mut Value),
        growth: impl FnOnce(&Value) -> usize,
    ) -> Result<(), Refused> {
        let context = self.store.get(index);
        let growth = match &context.value {
            // The block itself, and the least of what is in it.
            Value::Empty => Value::FIRST_BYTES,
            held => growth(held),
        };
        if growth > 0 && self.bytes().saturating_add(growth) > self.bytes_max {
            return Err(Refused::MemoryFull);
        }
        let context = self.store.get_mut(index);
        if context.value.is_empty() {
            context.value = Value::new(context.metric_type);
            self.value_bytes += context.value.bytes();
        }
        let before = context.value.bytes();
        add(&mut context.value);
        self.value_bytes = self.value_bytes + context.value.bytes() - before;
        context.samples += 1;
        context.last = self.now;
        Ok(())
    }

    /// Moves aside what a context has of an older bucket; of a count also the buckets without samples since.
    #[cold]
    fn turn(&mut self, index: u32) -> Result<(), Refused> {
        let context = self.store.get(index);
        let after = bucket(context.last) + BUCKET_SECONDS;
        let zeros = match context.metric_type {
            MetricType::Count => (after.max(self.told_until(index)), self.bucket),
            _ => (0, 0),
        };
        if context.value.is_empty() && zeros.0 >= zeros.1 {
            return Ok(());
        }
        let growth = self.pending.growth();
        if growth > 0 && self.bytes().saturating_add(growth) > self.bytes_max {
            return Err(Refused::MemoryFull);
        }
        let context = self.store.get_mut(index);
        self.pending.push(Moved {
            context: index,
            last: context.last,
            samples: std::mem::take(&mut context.samples),
            zeros,
            value: std::mem::take(&mut context.value),
        });
        // Whatever is refused now, the buckets up to this one are taken care of.
        context.last = self.bucket;
        Ok(())
    }

    /// Up to which bucket the zeros of a context were told.
    fn told_until(&self, index: u32) -> u32 {
        match &self.flushing {
            Some(flushing) if flushing.visited(index) => flushing.cutoff,
            Some(flushing) => flushing.zeros_from,
            None => self.flushed_until,
        }
    }

    /// Counts that the open bucket is told once more: how often it was before.
    fn tell_partly(&mut self) -> u32 {
        let told = self.told_partly(self.bucket);
        match self.partials.back_mut().filter(|(bucket, _)| *bucket == self.bucket) {
            Some((_, times)) => *times = (told + 1).min(PARTIALS_MAX),
            None => self.partials.push_back((self.bucket, 1)),
        }
        if self.partials.len() > PARTIAL_BUCKETS_MAX {
            self.partials.pop_front();
        }
        told
    }

    fn told_partly(&self, bucket: u32) -> u32 {
        self.partials.iter().find(|(told, _)| *told == bucket).map_or(0, |(_, times)| *times)
    }

    /// The time of the point of a bucket. Each part of it has a second of its own: of two points of one series and
    /// one time the backend would keep one.
    fn timestamp(&self, flushing: &Flushing, bucket: u32) -> i64 {
        let part = match flushing.open {
            Some((open, part)) if open == bucket => part,
            _ => self.told_partly(bucket),
        };
        i64::from(bucket + part)
    }

    fn tell_moved(&mut self, flushing: &Flushing, moved: Moved, sink: &mut impl Sink) {
        let Moved { context, last, samples, zeros, value } = moved;
        self.tell(flushing, context, last, value, samples, zeros, sink);
    }

    /// Tells what is due of one context, and forgets it when it is long silent; how many samples were sorted for it.
    fn visit(&mut self, flushing: &Flushing, index: u32, sink: &mut impl Sink) -> u32 {
        let context = self.store.get_mut(index);
        if context.is_vacant() {
            return 0;
        }
        let (last, is_count) = (context.last, context.metric_type == MetricType::Count);
        let begin = bucket(last);
        let (mut value, mut samples) = (Value::Empty, 0);
        if begin < flushing.cutoff || flushing.open.is_some_and(|(open, _)| begin <= open) {
            value = std::mem::take(&mut context.value);
            samples = std::mem::take(&mut context.samples);
        }
        let is_idle = context.value.is_empty();
        let sorted = if matches!(value, Value::Histogram(_)) { samples } else { 0 };
        let zeros = match is_count {
            true => (flushing.zeros_from.max(begin + BUCKET_SECONDS), flushing.cutoff),
            false => (0, 0),
        };
        self.tell(flushing, index, last, value, samples, zeros, sink);
        let expiry = self.context_expiry.saturating_add(if is_count { self.expiry } else { 0 });
        if is_idle && flushing.now.saturating_sub(last) >= expiry {
            self.store.remove(index);
            self.epoch = self.epoch.wrapping_add(1);
        }
        sorted
    }

    /// Tells a value and zeros, if there are any.
    #[expect(clippy::too_many_arguments, reason = "the parts of a bucket")]
    fn tell(
        &mut self,
        flushing: &Flushing,
        index: u32,
        last: u32,
        value: Value,
        samples: u32,
        zeros: (u32, u32),
        sink: &mut impl Sink,
    ) {
        let zeros = zeros.0..zeros.1.min(last.saturating_add(self.expiry));
        if value.is_empty() && zeros.is_empty() {
            return;
        }
        self.value_bytes -= value.bytes();
        let timestamp = self.timestamp(flushing, bucket(last));
        let zeros = zeros.step_by(BUCKET_SECONDS as usize).map(i64::from);
        let Self { rules, emitter, arena, store, .. } = self;
        let context = store.get(index);
        let canonical = rules.read(arena, context.meaning());
        let taken = Taken { metric_type: context.metric_type, timestamp, value, samples: samples.into() };
        emitter.emit(rules, arena, &canonical, taken, zeros, sink);
        drop(canonical);
        arena.reset();
    }
}

impl Flushing {
    fn visited(&self, index: u32) -> bool {
        match self.step {
            Step::Pending => false,
            Step::Contexts(at) => (index as usize) < at,
            Step::Tables(_) => true,
        }
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        self.chunks.len() * (CHUNK_CONTEXTS * size_of::<Moved>() + BLOCK_BYTES)
    }

    /// What the next one takes.
    fn growth(&self) -> usize {
        let full = self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_CONTEXTS);
        if full { CHUNK_CONTEXTS * size_of::<Moved>() } else { 0 }
    }

    fn push(&mut self, moved: Moved) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_CONTEXTS => chunk.push(moved),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_CONTEXTS);
                chunk.push(moved);
                self.chunks.push_back(chunk);
            }
        }
    }
}

/// Begin of the bucket of a time.
#[inline]
fn bucket(now: u32) -> u32 {
    now - now % BUCKET_SECONDS
}

/// Times before 1970 are 1970, those after 2106 are the last of them.
fn seconds(now: i64) -> u32 {
    const LAST: i64 = u32::MAX as i64 - 100_000;
    now.clamp(0, LAST) as u32
}

fn spelling<'a>(key: &Key<'a>, mapped: Option<&'a (Vec<u8>, Vec<u8>)>) -> Spelling<'a> {
    match mapped {
        Some((name, mapped_tags)) => Spelling { name, tags: key.tags, mapped_tags },
        None => Spelling { name: key.name, tags: key.tags, mapped_tags: &[] },
    }
}
