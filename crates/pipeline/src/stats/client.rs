//! Statistics that tracers counted themselves, merged over processes and requests before they are
//! sent on (`facts/trace-intake.md` §8).
//!
//! Bucket times are kept (losses.md L31): each moves to the odd second before or after it, so that it
//! never meets a bucket counted here, and only what is too old or in the future moves further.

use super::concentrator::overflow_texts;
use super::key::{Fixed, KeyBuffer, read_group, write_group};
use super::sketch::{DdSketch, is_empty, model_bytes, unmergeable};
use super::table::{Counted, Views, merge_receipt};
use super::view::{View, read_view, shared_view, write_view};
use model::sketch::Sketch;
use model::stats::{ClientStats, StatsBucket, StatsGroup};
use model::{Receipt, Why};

/// Alignment of buckets.
const ALIGNMENT_NS: i64 = 2 * NANOS_PER_SECOND;
/// Length of a bucket as it is sent: what tracers count in.
const BUCKET_NS: i64 = 10 * NANOS_PER_SECOND;
/// A bucket waits that long for the same bucket of other processes.
const HELD_BACK_NS: i64 = 20 * NANOS_PER_SECOND;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Merges payloads of tracers by view, bucket and key.
#[derive(Debug)]
pub struct ClientAggregator {
    views: Views<Merged>,
    view_key: KeyBuffer,
    key: KeyBuffer,
    max_bytes: usize,
    /// Older buckets move here.
    oldest_ns: i64,
    blocked_groups: u64,
}

/// Counts of one group.
#[derive(Debug, Default)]
struct Merged {
    hits: u64,
    errors: u64,
    duration: u64,
    top_level_hits: u64,
    ok: Summary,
    failed: Summary,
}

/// A distribution: as it came until a second one is added.
#[derive(Debug)]
enum Summary {
    Received(Sketch),
    Merged(Box<DdSketch>),
}

impl Default for Summary {
    fn default() -> Self {
        Self::Received(Sketch::default())
    }
}

impl ClientAggregator {
    /// An empty aggregator. Past `max_bytes` new keys share an overflow group and the next flush
    /// takes everything.
    pub fn new(max_bytes: usize, now_ns: i64) -> Self {
        Self {
            views: Views::new(),
            view_key: KeyBuffer::default(),
            key: KeyBuffer::default(),
            max_bytes,
            oldest_ns: oldest(now_ns),
            blocked_groups: 0,
        }
    }

    /// Adds a payload whose groups are normalized and obfuscated. `receipt` stands for its groups; what
    /// it holds beyond them goes along with the last bucket.
    pub fn add(&mut self, stats: ClientStats, mut receipt: Receipt, now_ns: i64) {
        let mut buckets = stats.buckets;
        buckets.retain(|bucket| !bucket.groups.is_empty());
        if buckets.is_empty() {
            // A payload without groups says nothing; whoever accepted units for it counts them here.
            receipt.dropped(Why::Invalid);
            return;
        }
        write_view(
            &mut self.view_key,
            &View {
                env: &stats.env,
                hostname: &stats.hostname,
                version: &stats.version,
                container_id: &stats.container_id,
                git_commit_sha: &stats.git_commit_sha,
                image_tag: &stats.image_tag,
                lang: &stats.lang,
                service: &stats.service,
                process_tags: &stats.process_tags,
            },
        );
        let (state, mut totals) = self.views.view(self.view_key.bytes(), shared_view);
        let last = buckets.len() - 1;
        for (position, bucket) in buckets.into_iter().enumerate() {
            let start_ns = i64::try_from(bucket.start).unwrap_or(i64::MAX);
            let start_ns = if start_ns < self.oldest_ns {
                self.oldest_ns
            } else {
                align(start_ns.min(now_ns)).max(self.oldest_ns)
            };
            let held = state.bucket(start_ns, &mut totals);
            let units = if position == last { u64::MAX } else { bucket.groups.len() as u64 };
            merge_receipt(&mut held.receipt, receipt.take(units));
            for group in bucket.groups {
                write_group(&mut self.key, &group, unmergeable([&group.ok_summary, &group.error_summary]));
                let mut hash = totals.hash(self.key.bytes());
                if held.find(hash, self.key.bytes()).is_none() {
                    if !totals.has_room(held, self.max_bytes) {
                        self.blocked_groups += 1;
                        self.key.start(Fixed::default(), overflow_texts());
                        hash = totals.hash(self.key.bytes());
                    }
                    held.find_or_insert(hash, self.key.bytes(), &mut totals);
                }
                let grown = held.find(hash, self.key.bytes()).map_or(0, |merged| merged.add(group));
                held.grew(grown, &mut totals);
            }
        }
        drop(receipt);
    }

    /// Takes out the buckets no process adds to any more (all of them when `force`), by view.
    pub fn flush(&mut self, now_ns: i64, force: bool) -> Vec<Counted> {
        let force = force || self.is_over();
        let newest = oldest(now_ns);
        let mut flushed = Vec::new();
        self.views.drain(
            |start_ns| force || start_ns < newest,
            |view, buckets| {
                let mut receipt = None;
                let mut stats = read_view(view);
                for mut bucket in buckets {
                    if let Some(held) = bucket.receipt.take() {
                        merge_receipt(&mut receipt, held);
                    }
                    stats.buckets.push(StatsBucket {
                        start: bucket.start_ns.max(0) as u64,
                        duration: BUCKET_NS as u64,
                        groups: bucket.into_groups().map(|(key, merged)| merged.export(&key)).collect(),
                        agent_time_shift: 0,
                    });
                }
                model::order::sort_by(&mut stats.buckets, |a, b| a.start.cmp(&b.start));
                flushed.extend(receipt.map(|receipt| Counted { stats, receipt }));
            },
        );
        self.oldest_ns = newest;
        flushed
    }

    /// When a bucket is due next; a time in the past when memory asks for it.
    pub fn next_flush_ns(&self) -> Option<i64> {
        let oldest = self.views.oldest_start_ns()?;
        let wait = HELD_BACK_NS - ALIGNMENT_NS + NANOS_PER_SECOND;
        Some(if self.is_over() { oldest } else { oldest.saturating_add(wait) })
    }

    /// Groups held.
    pub fn groups_held(&self) -> u64 {
        self.views.groups()
    }

    /// Heap bytes held, or taken at the flush if that is more.
    pub fn held_bytes(&self) -> usize {
        self.views.held_bytes()
    }

    /// Groups merged under [`super::BLOCKED`] since the start, for want of room.
    pub fn blocked_groups(&self) -> u64 {
        self.blocked_groups
    }

    fn is_over(&self) -> bool {
        self.held_bytes() > self.max_bytes
    }
}

impl Merged {
    /// Adds a group and returns by how many bytes this one grew.
    fn add(&mut self, group: StatsGroup) -> usize {
        self.hits = self.hits.saturating_add(group.hits);
        self.errors = self.errors.saturating_add(group.errors);
        self.duration = self.duration.saturating_add(group.duration);
        self.top_level_hits = self.top_level_hits.saturating_add(group.top_level_hits);
        self.ok.add(group.ok_summary) + self.failed.add(group.error_summary)
    }

    fn export(self, key: &[u8]) -> StatsGroup {
        StatsGroup {
            hits: self.hits,
            errors: self.errors,
            duration: self.duration,
            top_level_hits: self.top_level_hits,
            ok_summary: self.ok.into_model(),
            error_summary: self.failed.into_model(),
            ..read_group(key)
        }
    }
}

impl Summary {
    fn add(&mut self, sketch: Sketch) -> usize {
        let before = self.held_bytes();
        match self {
            Self::Received(held) if is_empty(held) => *self = Self::Received(sketch),
            Self::Received(_) | Self::Merged(_) if is_empty(&sketch) => {}
            // A sketch nobody can read leaves the counts of its group right, as in the reference.
            Self::Received(held) => {
                let mut merged = DdSketch::from_model(held).unwrap_or_default();
                if let Some(sketch) = DdSketch::from_model(&sketch) {
                    merged.merge(&sketch);
                }
                *self = Self::Merged(Box::new(merged));
            }
            Self::Merged(merged) => {
                if let Some(sketch) = DdSketch::from_model(&sketch) {
                    merged.merge(&sketch);
                }
            }
        }
        self.held_bytes().saturating_sub(before)
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Received(sketch) => model_bytes(sketch),
            Self::Merged(merged) => size_of::<DdSketch>() + merged.held_bytes(),
        }
    }

    fn into_model(self) -> Sketch {
        match self {
            Self::Received(sketch) => sketch,
            Self::Merged(merged) => merged.into_model(),
        }
    }
}

/// The start of the oldest bucket that is still open.
fn oldest(now_ns: i64) -> i64 {
    align(now_ns.saturating_add(ALIGNMENT_NS - HELD_BACK_NS))
}

/// An odd second: buckets counted here start at multiples of ten.
fn align(time_ns: i64) -> i64 {
    let even = time_ns.saturating_sub(time_ns.rem_euclid(ALIGNMENT_NS));
    even.saturating_add(NANOS_PER_SECOND)
}
