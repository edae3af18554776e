//! Statistics counted here, of spans whose tracer did not count them.

use super::key::{Fixed, KeyBuffer, LISTS, TEXTS, read_group};
use super::peer::{PeerTags, is_counted};
use super::sketch::DdSketch;
use super::table::{Bucket, Counted, Totals, Views, merge_receipt};
use super::view::{View, read_view, shared_view, write_view};
use crate::config::StatsConfig;
use crate::facts::SpanFacts;
use model::sketch::Sketch;
use model::stats::{StatsBucket, StatsGroup, TraceRoot};
use model::{Books, Chunk, Signal, Span};

/// Length of a bucket.
pub const BUCKET_NS: i64 = 10_000_000_000;
/// Newest buckets that are held back for late spans.
const BUCKETS_HELD_BACK: i64 = 2;

/// What stands for a value there is no room for.
pub const BLOCKED: &str = "agent_blocked_value";
/// Distinct resources of a bucket, as of the newest tracer library.
const RESOURCES_MAX: usize = 1_024;
/// Distinct HTTP endpoints of a bucket.
const ENDPOINTS_MAX: usize = 512;
/// Distinct sets of peer tags of a bucket.
const PEER_TAG_SETS_MAX: usize = 512;
/// Distinct sets of additional tags of a bucket.
const ADDITIONAL_TAG_SETS_MAX: usize = 100;
/// Additional tags of a key.
const ADDITIONAL_TAGS_MAX: usize = 4;
/// Value of an additional tag, in bytes.
const ADDITIONAL_VALUE_MAX_BYTES: usize = 200;

/// Lists of a key.
const PEER_LIST: usize = 0;
const ADDITIONAL_LIST: usize = 1;
const _: () = assert!(ADDITIONAL_LIST < LISTS);

/// Counts spans by the reference's key in buckets of ten seconds.
#[derive(Debug)]
pub struct Concentrator {
    keys: Keys,
    by_span_kind: bool,
    books: Books,
    max_bytes: usize,
    views: Views<Counts>,
    view_key: KeyBuffer,
    /// Older spans count in the bucket that starts here.
    oldest_ns: i64,
    blocked_spans: u64,
    random: fastrand::Rng,
}

/// Counts of one group. Hits are weighted by the sampling rate, so they are no whole numbers.
#[derive(Debug, Default)]
struct Counts {
    hits: f64,
    errors: f64,
    duration: f64,
    top_level_hits: f64,
    /// As the reference has it, one value for each span whatever its weight.
    ok: DdSketch,
    failed: Option<Box<DdSketch>>,
}

/// Makes the keys of spans.
#[derive(Debug)]
struct Keys {
    peer: PeerTags,
    additional: Vec<String>,
    buffer: KeyBuffer,
}

/// Which dimensions of a key are replaced, because their bucket holds too many values of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Blocked {
    resource: bool,
    endpoint: bool,
    peer: bool,
    additional: bool,
}

impl Concentrator {
    /// An empty concentrator. Groups are accepted into `books` when they are made; past `max_bytes`
    /// new keys share an overflow group and the next flush takes everything.
    pub fn new(config: &StatsConfig, books: &Books, max_bytes: usize, now_ns: i64) -> Self {
        let mut additional = config.additional_metric_tags.clone();
        model::order::sort(&mut additional);
        additional.dedup();
        additional.truncate(ADDITIONAL_TAGS_MAX);
        Self {
            keys: Keys { peer: PeerTags::new(config), additional, buffer: KeyBuffer::default() },
            by_span_kind: config.by_span_kind,
            books: books.clone(),
            max_bytes,
            views: Views::new(),
            view_key: KeyBuffer::default(),
            oldest_ns: align(now_ns),
            blocked_spans: 0,
            random: fastrand::Rng::with_seed(now_ns as u64),
        }
    }

    /// Counts the spans of a chunk that are top level, measured, or of a counted kind, each by its
    /// end. `facts` holds one entry for each span; `weight` says how many traces the chunk stands for
    /// ([`crate::sample::weight`]).
    ///
    /// To be called before anything overwrites the chunk's origin (losses.md L16).
    pub fn add(
        &mut self,
        view: &View<'_>,
        chunk: &Chunk<'_>,
        facts: &[SpanFacts<'_>],
        weight: f64,
        now_ns: i64,
    ) {
        let weight = if weight.is_finite() && weight > 0.0 { weight } else { 1.0 };
        let synthetics = chunk.origin.starts_with("synthetics");
        // A span that ends in the future would wait for it, held; a skewed clock is no reason to.
        let newest = align(now_ns).saturating_add(BUCKET_NS).max(self.oldest_ns);
        let by_span_kind = self.by_span_kind;
        let mut spans = chunk.spans.iter().zip(facts).filter(|(_, facts)| {
            (facts.top_level || facts.measured || (by_span_kind && is_counted(facts.span_kind)))
                && !facts.partial
        });
        let Some(first) = spans.next() else { return };
        write_view(&mut self.view_key, view);
        let (state, mut totals) = self.views.view(self.view_key.bytes(), shared_view);
        for (span, facts) in std::iter::once(first).chain(spans) {
            let end = span.start.saturating_add(span.duration);
            let start_ns = align(end).clamp(self.oldest_ns, newest);
            let bucket = state.bucket(start_ns, &mut totals);
            let key = self.keys.write(span, facts, synthetics, Blocked::default());
            let hash = totals.hash(key);
            let grown = match bucket.find(hash, key) {
                Some(counts) => counts.add(span, facts.top_level, weight),
                None => {
                    let slow = Slow {
                        books: &self.books,
                        max_bytes: self.max_bytes,
                        blocked: &mut self.blocked_spans,
                    };
                    let make = |keys: &mut Keys, blocked| {
                        keys.write(span, facts, synthetics, blocked);
                    };
                    slow.counts(bucket, &mut self.keys, span, facts, make, &mut totals).add(
                        span,
                        facts.top_level,
                        weight,
                    )
                }
            };
            if grown > 0 {
                bucket.grew(grown, &mut totals);
            }
        }
    }

    /// Takes out the buckets that are complete (all of them when `force`), by view.
    pub fn flush(&mut self, now_ns: i64, force: bool) -> Vec<Counted> {
        let force = force || self.is_over();
        let newest = now_ns.saturating_sub(BUCKETS_HELD_BACK * BUCKET_NS);
        let mut flushed = Vec::new();
        let random = &mut self.random;
        let books = &self.books;
        self.views.drain(
            |start_ns| force || start_ns <= newest,
            |view, buckets| flushed.push(export(view, buckets, books, random)),
        );
        let oldest = align(now_ns).saturating_sub((BUCKETS_HELD_BACK - 1) * BUCKET_NS);
        self.oldest_ns = self.oldest_ns.max(oldest);
        flushed
    }

    /// When a bucket will be complete next; a time in the past when memory asks for it.
    pub fn next_flush_ns(&self) -> Option<i64> {
        let oldest = self.views.oldest_start_ns()?;
        Some(if self.is_over() { oldest } else { oldest.saturating_add(BUCKETS_HELD_BACK * BUCKET_NS) })
    }

    /// Groups held.
    pub fn groups_held(&self) -> u64 {
        self.views.groups()
    }

    /// Heap bytes held, or taken at the flush if that is more.
    pub fn held_bytes(&self) -> usize {
        self.views.held_bytes()
    }

    /// Spans counted under [`BLOCKED`] values since the start, for want of room.
    pub fn blocked_spans(&self) -> u64 {
        self.blocked_spans
    }

    fn is_over(&self) -> bool {
        self.held_bytes() > self.max_bytes
    }
}

/// What is needed when a key is new.
struct Slow<'s> {
    books: &'s Books,
    max_bytes: usize,
    blocked: &'s mut u64,
}

impl Slow<'_> {
    /// The counts of a key that was not found: new ones, or those of a key with less detail.
    #[cold]
    fn counts<'b>(
        self,
        bucket: &'b mut Bucket<Counts>,
        keys: &mut Keys,
        span: &Span<'_>,
        facts: &SpanFacts<'_>,
        make: impl Fn(&mut Keys, Blocked),
        totals: &mut Totals<'_>,
    ) -> &'b mut Counts {
        let blocked = self.dimensions(bucket, keys, span, facts, totals);
        if blocked != Blocked::default() {
            *self.blocked += 1;
            make(keys, blocked);
        }
        let mut hash = totals.hash(keys.buffer.bytes());
        let found = bucket.find(hash, keys.buffer.bytes()).is_some();
        if !found && !totals.has_room(bucket, self.max_bytes) {
            if blocked == Blocked::default() {
                *self.blocked += 1;
            }
            keys.buffer.start(Fixed::default(), overflow_texts());
            hash = totals.hash(keys.buffer.bytes());
        }
        if bucket.find(hash, keys.buffer.bytes()).is_none() {
            merge_receipt(&mut bucket.receipt, self.books.accept(Signal::Stats, 1));
            return bucket.insert(hash, keys.buffer.bytes(), Counts::default(), totals);
        }
        bucket.find(hash, keys.buffer.bytes()).expect("found above")
    }

    /// Counts the values of the dimensions of the key in the buffer.
    fn dimensions(
        &self,
        bucket: &mut Bucket<Counts>,
        keys: &Keys,
        span: &Span<'_>,
        facts: &SpanFacts<'_>,
        totals: &mut Totals<'_>,
    ) -> Blocked {
        let mut is_blocked = |dimension, value: &[u8], limit| {
            let value = (!value.is_empty()).then(|| totals.hash(value));
            value.is_some_and(|value| !bucket.admits(dimension, value, limit, totals))
        };
        Blocked {
            resource: is_blocked(0, span.resource.as_bytes(), RESOURCES_MAX),
            endpoint: is_blocked(1, facts.http_endpoint.as_bytes(), ENDPOINTS_MAX),
            peer: is_blocked(2, keys.buffer.list(PEER_LIST), PEER_TAG_SETS_MAX),
            additional: is_blocked(3, keys.buffer.list(ADDITIONAL_LIST), ADDITIONAL_TAG_SETS_MAX),
        }
    }
}

impl Keys {
    #[inline]
    fn write(&mut self, span: &Span<'_>, facts: &SpanFacts<'_>, synthetics: bool, blocked: Blocked) -> &[u8] {
        let fixed = Fixed {
            http_status_code: facts.http_status_code,
            synthetics,
            is_trace_root: if span.parent_id == 0 { TraceRoot::Yes } else { TraceRoot::No },
            apart: 0,
        };
        let texts = [
            span.service,
            span.name,
            if blocked.resource { BLOCKED } else { span.resource },
            span.span_type,
            facts.span_kind,
            facts.grpc_status_code,
            facts.http_method,
            if blocked.endpoint { BLOCKED } else { facts.http_endpoint },
            facts.service_source,
            "",
        ];
        self.buffer.start(fixed, texts);
        let peer = blocked.peer.then_some(BLOCKED);
        self.peer.write(span, facts, peer, &mut self.buffer, PEER_LIST);
        for name in &self.additional {
            let Some(value) = span.meta(name).filter(|value| !value.is_empty()) else { continue };
            let fits = value.len() <= ADDITIONAL_VALUE_MAX_BYTES && !blocked.additional;
            let value = if fits { value } else { BLOCKED };
            self.buffer.item(ADDITIONAL_LIST, |bytes| {
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(b':');
                bytes.extend_from_slice(value.as_bytes());
            });
        }
        self.buffer.bytes()
    }
}

impl Counts {
    #[inline]
    fn add(&mut self, span: &Span<'_>, top_level: bool, weight: f64) -> usize {
        let duration = span.duration.max(0) as f64;
        self.hits += weight;
        self.duration += duration * weight;
        if top_level {
            self.top_level_hits += weight;
        }
        if span.error == 0 {
            return self.ok.add(duration);
        }
        self.errors += weight;
        let is_new = self.failed.is_none();
        let grown = self.failed.get_or_insert_default().add(duration);
        if is_new { grown + size_of::<DdSketch>() } else { grown }
    }

    fn export(self, key: &[u8], random: &mut fastrand::Rng) -> StatsGroup {
        StatsGroup {
            hits: round(self.hits, random),
            errors: round(self.errors, random),
            duration: round(self.duration, random),
            top_level_hits: round(self.top_level_hits, random),
            ok_summary: self.ok.into_model(),
            error_summary: self.failed.map_or_else(empty_sketch, |sketch| sketch.into_model()),
            ..read_group(key)
        }
    }
}

/// Rounds up as often as the fraction says, so that sums over many groups are right.
fn round(value: f64, random: &mut fastrand::Rng) -> u64 {
    let whole = value as u64;
    whole.saturating_add(u64::from(random.f64() < value - whole as f64))
}

fn empty_sketch() -> Sketch {
    DdSketch::default().into_model()
}

fn export(view: &[u8], buckets: Vec<Bucket<Counts>>, books: &Books, random: &mut fastrand::Rng) -> Counted {
    let mut receipt = books.accept(Signal::Stats, 0);
    let mut stats = read_view(view);
    for mut bucket in buckets {
        if let Some(held) = bucket.receipt.take() {
            receipt.merge(held);
        }
        stats.buckets.push(StatsBucket {
            start: bucket.start_ns.max(0) as u64,
            duration: BUCKET_NS as u64,
            groups: bucket.into_groups().map(|(key, counts)| counts.export(&key, random)).collect(),
            agent_time_shift: 0,
        });
    }
    model::order::sort_by(&mut stats.buckets, |a, b| a.start.cmp(&b.start));
    Counted { stats, receipt }
}

/// The key of all keys there is no room for.
pub(super) fn overflow_texts() -> [&'static str; TEXTS] {
    [BLOCKED, BLOCKED, BLOCKED, BLOCKED, "", "", "", "", "", ""]
}

fn align(time_ns: i64) -> i64 {
    time_ns.saturating_sub(time_ns.rem_euclid(BUCKET_NS))
}
