//! DogStatsD: lines from every transport into one aggregator, and from there to the forwarder.
//!
//! A batch of packets runs to completion on the task that received it, under one lock: each line is parsed in
//! place, finds its context and is added up. Accepting a sample is that addition; nothing is queued before it, so
//! that what the kernel still holds is all there is to drain at a stop. One stage ([`delivery`]) takes closed
//! buckets out, a slice of contexts at a time, so that receiving never waits for long.

mod books;
mod delivery;
pub(crate) mod listen;
mod own;
mod proxy;
pub(crate) mod sockets;
mod status;

pub(crate) use books::{Tally, TransportBook};
pub(crate) use own::OwnSample;

use crate::clock;
use crate::forward::Forwarder;
use crate::linger::Linger;
use crate::logging::SayOnce;
use crate::packing::Packing;
use crate::room::{Budget, Room};
use crate::shipping::Shipper;
use crate::transport::TransportName;
use model::limits::{SERIES_BATCH_MAX_BYTES, SERIES_BATCH_MAX_POINTS, SKETCH_BATCH_MAX_BYTES};
use model::metric::{Distribution, MetricType, Series};
use model::{Books, Receipt, Signal, Why};
use pipeline::metrics::{Aggregator, Key, LOOK_AHEAD, MetricsConfig, Refused, Sink, Spelled};
use pipeline::outbox::{Batch, Bounds, Outbox};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, SetOnce};
use wire::dogstatsd::{self, Message, Metric};
use wire::intake::{series, sketches};

/// Room that the aggregator takes, or gives back, at one time.
const ROOM_STEP_BYTES: usize = 256 * 1024;
/// Metrics for which looking ahead is worth it.
const LOOK_AHEAD_LEAST: usize = 4;
/// Encoded entries that may wait to be packed, beyond which samples with a timestamp of their own are refused: all
/// others wait as contexts.
const OUTBOX_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest time that an entry waits for others: samples with a timestamp, events and service checks
/// (`facts/dogstatsd.md` §5.1).
const OUTBOX_AGE_NS: i64 = 2_000_000_000;

/// Bounds of a payload of sketches, events or checks: bytes alone.
const PAYLOAD_BOUNDS: Bounds = Bounds { bytes: SKETCH_BATCH_MAX_BYTES, points: usize::MAX };

/// What the parts below need of the configuration.
#[derive(Debug)]
pub(crate) struct DogStatsDSettings {
    pub(crate) metrics: MetricsConfig,
    pub(crate) packing: Packing,
}

/// Everything from a line to the forwarder.
#[derive(Debug)]
pub(crate) struct DogStatsD {
    hot: Mutex<Hot>,
    /// How many wait for the lock to add samples.
    waiting: AtomicUsize,
    wake: Notify,
    /// Everything is to be sent now.
    flush: AtomicBool,
    books: Books,
    shipper: Shipper,
    hostname: String,
    say: Arc<SayOnce>,
    /// Books of each transport that is up.
    transports: Vec<Arc<TransportBook>>,
    /// Books of `/dogstatsd/v2/proxy`.
    proxied: Arc<TransportBook>,
    /// Set with the platform's tags.
    tagged: SetOnce<()>,
    /// How long sockets are read on once a stop began.
    linger: Arc<Linger>,
}

/// What a sample touches.
#[derive(Debug)]
struct Hot {
    aggregator: Aggregator,
    /// For metrics of our own.
    own: Box<Aggregator>,
    /// For all samples that are in the aggregator or in an outbox.
    receipt: Receipt,
    /// What the aggregator may take.
    room: Room,
    numbers: Vec<f64>,
    out: Out,
    events: Held,
    checks: Held,
    /// Tags of everything, for events and service checks.
    tags: Vec<String>,
    now_ns: i64,
    /// When the delivery stage will look again, in nanoseconds since 1970; `None`: when it is told.
    alarm_ns: Option<i64>,
}

/// Lines of events, or of service checks, that wait for their request.
#[derive(Debug)]
struct Held {
    lines: Outbox,
    room: Room,
    bytes_max: usize,
    receipt: Receipt,
}

impl Held {
    fn new(signal: Signal, books: &Books, budget: &Budget) -> Self {
        Self {
            lines: Outbox::new(PAYLOAD_BOUNDS),
            room: budget.force(signal, 0),
            bytes_max: budget.limit(signal) / 2,
            receipt: books.accept(signal, 0),
        }
    }

    /// Holds a line; `false` when there is no room.
    fn hold(&mut self, now_ns: i64, line: &[u8]) -> bool {
        let has_room = self.room.bytes() <= self.bytes_max;
        if has_room {
            delivery::hold_line(&mut self.lines, now_ns, line);
            self.room.cover(self.lines.held_bytes());
        }
        has_room
    }

    fn pop(&mut self, all: bool) -> Option<(Batch, Receipt)> {
        let batch = self.lines.pop(all)?;
        self.room.shrink_to(self.lines.held_bytes());
        let receipt = self.receipt.take(batch.samples());
        Some((batch, receipt))
    }
}

/// Where the aggregator puts what is ready.
#[derive(Debug)]
struct Out {
    series: Outbox,
    sketches: Outbox,
    now_ns: i64,
}

impl Sink for Out {
    fn series(&mut self, series: &Series<'_>, samples: u64) {
        self.series.push(samples, series.points.len(), self.now_ns, |out| series::encode(series, out));
    }

    fn distribution(&mut self, distribution: &Distribution<'_>, samples: u64) {
        let points = distribution.points.len();
        self.sketches.push(samples, points, self.now_ns, |out| sketches::encode(distribution, out));
    }
}

impl Out {
    fn held_bytes(&self) -> usize {
        self.series.held_bytes() + self.sketches.held_bytes()
    }
}

/// How the lines of a packet are told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing {
    /// A last line without a newline is refused (`DD_DOGSTATSD_EOL_REQUIRED`).
    pub(crate) eol_required: bool,
}

impl DogStatsD {
    pub(crate) fn new(
        settings: DogStatsDSettings,
        books: &Books,
        budget: Budget,
        forwarder: Forwarder,
        say: Arc<SayOnce>,
        transports: Vec<Arc<TransportBook>>,
        linger: Arc<Linger>,
    ) -> Self {
        let now_ns = clock::unix_nanos();
        let hostname = settings.metrics.hostname.clone();
        let tags = event_tags(&settings.metrics);
        let hot = Hot {
            own: own::aggregator(&settings.metrics, seconds(now_ns)),
            aggregator: Aggregator::new(settings.metrics, seconds(now_ns)),
            receipt: books.accept(Signal::Metrics, 0),
            room: budget.force(Signal::Metrics, 0),
            numbers: Vec::new(),
            out: Out {
                series: Outbox::new(Bounds {
                    bytes: SERIES_BATCH_MAX_BYTES,
                    points: SERIES_BATCH_MAX_POINTS,
                }),
                sketches: Outbox::new(PAYLOAD_BOUNDS),
                now_ns,
            },
            events: Held::new(Signal::Events, books, &budget),
            checks: Held::new(Signal::Checks, books, &budget),
            tags,
            now_ns,
            alarm_ns: None,
        };
        let proxied = TransportName { kind: "http", address: "/dogstatsd/v2/proxy".into() };
        Self {
            hot: Mutex::new(hot),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
            flush: AtomicBool::new(false),
            books: books.clone(),
            shipper: Shipper { forwarder, budget, packing: settings.packing, say: Arc::clone(&say) },
            hostname,
            say,
            transports,
            proxied: Arc::new(TransportBook::new(proxied)),
            tagged: SetOnce::new(),
            linger,
        }
    }

    /// The platform's tags, once they are known. Buckets wait for them, so whoever calls it bounds that wait.
    pub(crate) fn set_platform_tags(&self, tags: Vec<String>) {
        let mut hot = self.lock();
        hot.tags.extend(tags.iter().cloned());
        hot.own.set_platform_tags(tags.clone());
        hot.aggregator.set_platform_tags(tags);
        drop(hot);
        // The first call wins, as with the tags of spans.
        self.tagged.set(()).ok();
    }

    /// Sends what is held as soon as may be, open buckets too.
    pub(crate) fn flush_now(&self) {
        self.flush.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Takes what is in some packets, given as their bytes and whether their end was cut off. Never waits for
    /// anything but other packets. A panic costs these packets and is counted (losses.md L8).
    pub(crate) fn take<'a>(
        &self,
        packets: impl Iterator<Item = (&'a [u8], bool)>,
        framing: Framing,
        tally: &mut Tally,
    ) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut hot = self.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        hot.begin(clock::unix_nanos());
        let before = tally.clone();
        let taken = catch_unwind(AssertUnwindSafe(|| {
            let mut group = Group::default();
            for (bytes, is_cut) in packets {
                tally.packets += 1;
                tally.bytes += bytes.len() as u64;
                hot.packet(whole_lines(bytes, is_cut, framing, tally), &mut group, tally);
            }
            hot.group(&mut group, tally);
        }));
        if taken.is_err() {
            tally.panicked += 1;
        }
        self.account(&mut hot, &before, tally);
        if hot.is_early() {
            drop(hot);
            self.wake.notify_one();
        }
        if tally.without_room() > before.without_room() {
            self.say.warn("metrics without room", || {
                "metrics were refused: there is no room for more contexts (LASTLIGHT_METRIC_CONTEXTS, LASTLIGHT_MEMORY); fewer different tag values help".into()
            });
        }
    }

    /// Puts on the books what was taken.
    fn account(&self, hot: &mut Hot, before: &Tally, after: &Tally) {
        let samples: u64 = after.samples.iter().sum::<u64>() - before.samples.iter().sum::<u64>();
        if samples > 0 {
            hot.receipt.merge(self.books.accept(Signal::Metrics, samples));
        }
        if after.blocked > before.blocked {
            self.books.accept(Signal::Metrics, after.blocked - before.blocked).dropped(Why::Filtered);
        }
        if after.events > before.events {
            hot.events.receipt.merge(self.books.accept(Signal::Events, after.events - before.events));
        }
        if after.checks > before.checks {
            hot.checks.receipt.merge(self.books.accept(Signal::Checks, after.checks - before.checks));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hot> {
        // A panic cost the packet in which it happened; sums and contexts are still whole enough to be sent.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a packet that came whole.
fn whole_lines<'a>(bytes: &'a [u8], is_cut: bool, framing: Framing, tally: &mut Tally) -> &'a [u8] {
    let needs_end = is_cut || framing.eol_required;
    if !needs_end || (bytes.ends_with(b"\n") && !is_cut) {
        return bytes;
    }
    // A cut line may still parse, as something that was never said (losses.md L48).
    if is_cut {
        tally.truncated += 1
    } else {
        tally.unterminated += 1
    }
    let end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    &bytes[..end]
}

/// Metrics of some lines, whose contexts are looked for together.
#[derive(Default)]
struct Group<'a> {
    metrics: [Option<Metric<'a>>; LOOK_AHEAD],
    spelled: [Spelled; LOOK_AHEAD],
    length: usize,
}

impl<'a> Group<'a> {
    /// Adds one; whether there is room for no more.
    #[inline]
    fn push(&mut self, metric: Metric<'a>, spelled: Spelled) -> bool {
        self.metrics[self.length] = Some(metric);
        self.spelled[self.length] = spelled;
        self.length += 1;
        self.length == LOOK_AHEAD
    }
}

impl Hot {
    fn begin(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        self.out.now_ns = now_ns;
        self.aggregator.set_now(seconds(now_ns));
        self.own.set_now(seconds(now_ns));
    }

    fn packet<'a>(&mut self, lines: &'a [u8], group: &mut Group<'a>, tally: &mut Tally) {
        for line in dogstatsd::lines(lines) {
            match dogstatsd::parse(line) {
                Ok(Message::Metric(metric)) => {
                    let key = Key { name: metric.name, tags: metric.tags, metric_type: metric.metric_type };
                    if group.push(metric, self.aggregator.spelled(&key)) {
                        self.group(group, tally);
                    }
                }
                Ok(Message::Event(_)) => {
                    let held = self.events.hold(self.now_ns, line);
                    *if held { &mut tally.events } else { &mut tally.no_room } += 1;
                }
                Ok(Message::ServiceCheck(_)) => {
                    let held = self.checks.hold(self.now_ns, line);
                    *if held { &mut tally.checks } else { &mut tally.no_room } += 1;
                }
                Err(error) => tally.bad_lines[error as usize] += 1,
            }
        }
    }

    /// Takes the metrics of a group, in their order.
    fn group(&mut self, group: &mut Group<'_>, tally: &mut Tally) {
        if group.length >= LOOK_AHEAD_LEAST {
            self.aggregator.look_ahead(&group.spelled);
        }
        for (metric, spelled) in group.metrics.iter().flatten().zip(group.spelled).take(group.length) {
            self.metric(metric, spelled, tally);
        }
        group.length = 0;
    }

    #[inline]
    fn metric(&mut self, metric: &Metric<'_>, spelled: Spelled, tally: &mut Tally) {
        let metric_type = metric.metric_type;
        let key = Key { name: metric.name, tags: metric.tags, metric_type };
        if metric_type == MetricType::Set {
            let added = self.with_room(|hot| {
                let id = hot.aggregator.context_of(spelled, &key)?;
                hot.aggregator.add_member(id, metric.values)
            });
            return tally.sampled(metric_type, 1, added);
        }
        if let Err(error) = metric.numbers(&mut self.numbers) {
            tally.bad_lines[error as usize] += 1;
            return;
        }
        let count = self.numbers.len() as u64;
        if let Some(timestamp) = metric.timestamp {
            let taken = self.timestamped(&key, metric.rate, timestamp);
            return tally.sampled(metric_type, count, taken);
        }
        let id = match self.with_room(|hot| hot.aggregator.context_of(spelled, &key)) {
            Ok(id) => id,
            Err(why) => return tally.sampled(metric_type, count, Err(why)),
        };
        for index in 0..self.numbers.len() {
            let value = self.numbers[index];
            let added = self.with_room(|hot| hot.aggregator.add(id, value, metric.rate));
            tally.sampled(metric_type, 1, added);
        }
    }

    /// Tries again with more room, where there is some and that is what was missing.
    #[inline]
    fn with_room<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        match attempt(self) {
            Err(Refused::MemoryFull) if self.grow() => attempt(self),
            result => result,
        }
    }

    #[cold]
    fn timestamped(&mut self, key: &Key<'_>, rate: f64, timestamp: i64) -> Result<(), Refused> {
        if self.out.held_bytes() > OUTBOX_MAX_BYTES {
            return Err(Refused::MemoryFull);
        }
        self.aggregator.timestamped(key, &self.numbers, rate, timestamp, &mut self.out)
    }

    /// Takes more room for contexts, if there is some.
    #[cold]
    fn grow(&mut self) -> bool {
        let grown = self.room.grow(ROOM_STEP_BYTES);
        self.aggregator.set_bytes_max(self.room.bytes());
        grown
    }

    /// Gives back room that is not needed any more.
    fn shrink(&mut self) {
        let needed = self.aggregator.bytes().next_multiple_of(ROOM_STEP_BYTES);
        self.room.shrink_to(needed);
        self.aggregator.set_bytes_max(self.room.bytes());
    }

    /// When the delivery stage should look, in nanoseconds since 1970; `None` when nothing is held.
    fn due_ns(&self) -> Option<i64> {
        let buckets = [self.aggregator.next_flush(), self.own.next_flush()];
        let buckets = buckets.into_iter().flatten().map(|at| at * 1_000_000_000);
        let waiting = [&self.out.series, &self.out.sketches, &self.events.lines, &self.checks.lines];
        let aged =
            waiting.into_iter().filter_map(|outbox| outbox.since_ns()).map(|since| since + OUTBOX_AGE_NS);
        buckets.chain(aged).min()
    }

    /// Whether something is due before the delivery stage looks again; it will be told once.
    fn is_early(&mut self) -> bool {
        let due = self.due_ns();
        let is_early = due.is_some_and(|due| self.alarm_ns.is_none_or(|alarm| due < alarm));
        if is_early {
            self.alarm_ns = due;
        }
        is_early
    }
}

/// Tags that events and service checks get: what every series gets.
fn event_tags(config: &MetricsConfig) -> Vec<String> {
    let unified = [("env", &config.env), ("service", &config.service), ("version", &config.version)];
    let unified = unified.into_iter().filter_map(|(key, value)| Some(format!("{key}:{}", value.as_ref()?)));
    config.tags.iter().cloned().chain(unified).collect()
}

fn seconds(nanos: i64) -> i64 {
    nanos.div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l48_what_is_left_of_a_cut_packet_are_its_whole_lines() {
        let lines = |bytes: &'static [u8], is_cut, eol_required| {
            let mut tally = Tally::default();
            let whole = whole_lines(bytes, is_cut, Framing { eol_required }, &mut tally);
            (whole, tally.truncated, tally.unterminated)
        };
        assert_eq!(lines(b"a:1|c\nb:2|c", false, false), (&b"a:1|c\nb:2|c"[..], 0, 0));
        assert_eq!(lines(b"a:1|c\nb:2|c", true, false), (&b"a:1|c\n"[..], 1, 0));
        assert_eq!(
            lines(b"a:1|c\n", true, false),
            (&b"a:1|c\n"[..], 1, 0),
            "something was cut off behind it"
        );
        assert_eq!(lines(b"a:1|c", true, true), (&b""[..], 1, 0));
        assert_eq!(lines(b"a:1|c\nb:2|c", false, true), (&b"a:1|c\n"[..], 0, 1));
        assert_eq!(lines(b"a:1|c\n", false, true), (&b"a:1|c\n"[..], 0, 0));
    }
}
