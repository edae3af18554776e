//! From the aggregator to the forwarder: closed buckets in time, and everything at the end.

use super::{DogStatsD, Hot, seconds};
use crate::clock;
use crate::forward::Kind;
use crate::packing::Packer;
use crate::shipping::{Parcel, Wrap};
use lifecycle::Close;
use model::limits::{
    SERIES_BATCH_MAX_BYTES, SERIES_PACKED_MAX_BYTES, SKETCH_BATCH_MAX_BYTES, SKETCH_PACKED_MAX_BYTES,
};
use model::{Receipt, Why};
use pipeline::metrics::Flush;
use pipeline::outbox::{Batch, Outbox};
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::dogstatsd::Message;
use wire::intake::{checks, events};

/// Least time between two looks. A bucket is taken out as soon as it is over: samples of the next one that find its
/// values still there cost memory for both.
const TICK: Duration = Duration::from_millis(1);

/// How often a flush lets others go first between two of its steps; then it goes on, however many come.
const YIELDS_MAX_COUNT: u32 = 1_000;

/// How one kind of payload is made and sent.
#[derive(Debug)]
struct Form {
    parcel: Parcel,
    /// Makes the body of some entries, where it is more than one after the other.
    wrap: Option<fn(&Batch, &Surroundings) -> Vec<u8>>,
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

static SERIES: Form = Form {
    parcel: Parcel {
        kind: Kind::Series,
        path: "/api/v2/series",
        content_type: PROTOBUF,
        bytes_max: SERIES_BATCH_MAX_BYTES,
        packed_max: SERIES_PACKED_MAX_BYTES,
        advice: ADVICE,
    },
    wrap: None,
};
static SKETCHES: Form = Form { parcel: other(Kind::Sketches, "/api/beta/sketches", PROTOBUF), wrap: None };
static EVENTS: Form = Form { parcel: other(Kind::Events, "/intake/", JSON), wrap: Some(events_body) };
static CHECKS: Form =
    Form { parcel: other(Kind::Checks, "/api/v1/check_run", JSON), wrap: Some(checks_body) };

const ADVICE: &str = "use fewer or shorter tags (DD_TAGS, DD_DOGSTATSD_TAGS, those of the metric)";

const fn other(kind: Kind, path: &'static str, content_type: &'static str) -> Parcel {
    Parcel {
        kind,
        path,
        content_type,
        bytes_max: SKETCH_BATCH_MAX_BYTES,
        packed_max: SKETCH_PACKED_MAX_BYTES,
        advice: ADVICE,
    }
}

/// What events and service checks get that they do not say themselves.
#[derive(Debug)]
struct Surroundings {
    hostname: String,
    tags: Vec<String>,
}

/// Bytes of the time in front of a line that is held.
const TIME_BYTES: usize = size_of::<i64>();

/// Holds the line of an event or a service check, with the time when it came. It is encoded when it is sent: the
/// platform's tags may be known only then.
pub(super) fn hold_line(outbox: &mut Outbox, now_ns: i64, line: &[u8]) {
    outbox.push(1, 1, now_ns, |out| {
        out.extend_from_slice(&seconds(now_ns).to_le_bytes());
        out.extend_from_slice(line);
    });
}

/// The lines of a batch, each with the second in which it came.
fn held_lines(batch: &Batch) -> impl Iterator<Item = (i64, &[u8])> {
    batch.entries().filter_map(|entry| {
        let (time, line) = entry.split_first_chunk::<TIME_BYTES>()?;
        Some((i64::from_le_bytes(*time), line))
    })
}

/// Encodes the held lines of a batch one after the other; where each is, with what `encode` says of it.
fn encoded<'a, T>(
    batch: &'a Batch,
    around: &Surroundings,
    encode: impl Fn(Message<'a>, &events::Context<'_>, &mut Vec<u8>) -> Option<T>,
) -> (Vec<u8>, Vec<(T, Range<usize>)>) {
    let tags: Vec<&str> = around.tags.iter().map(String::as_str).collect();
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for (now, line) in held_lines(batch) {
        // What is held was parsed before.
        let Ok(message) = wire::dogstatsd::parse(line) else { continue };
        let start = bytes.len();
        let context = events::Context { hostname: &around.hostname, now, tags: &tags };
        if let Some(said) = encode(message, &context, &mut bytes) {
            places.push((said, start..bytes.len()));
        }
    }
    (bytes, places)
}

fn events_body(batch: &Batch, around: &Surroundings) -> Vec<u8> {
    let (bytes, places) = encoded(batch, around, |message, context, out| {
        let Message::Event(event) = message else { return None };
        events::encode(&event, context, out);
        Some(events::source(&event))
    });
    let listed: Vec<(&str, &[u8])> =
        places.into_iter().map(|(source, place)| (source, &bytes[place])).collect();
    let mut body = Vec::new();
    events::payload(&listed, &around.hostname, &mut body);
    body
}

fn checks_body(batch: &Batch, around: &Surroundings) -> Vec<u8> {
    let (bytes, places) = encoded(batch, around, |message, context, out| {
        let Message::ServiceCheck(check) = message else { return None };
        checks::encode(&check, context, out);
        Some(())
    });
    let listed: Vec<&[u8]> = places.into_iter().map(|((), place)| &bytes[place]).collect();
    let mut body = Vec::new();
    checks::payload(&listed, &mut body);
    body
}

impl DogStatsD {
    /// Runs as a stage. `hearing` ends when no listener is left: what they held is then flushed at once, while
    /// requests of other signals still finish (losses.md L86).
    pub(crate) async fn run(self: Arc<Self>, mut hearing: mpsc::Receiver<Infallible>, close: Close) {
        let mut stopping = false;
        let mut flushed = false;
        // A bucket that is over before the metadata server has answered would lack the platform's tags.
        tokio::select! {
            _ = self.tagged.wait() => {}
            () = close.requested() => {}
        }
        loop {
            let wait = self.next_look(flushed);
            tokio::select! {
                () = self.wake.notified(), if !flushed => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = close.stop_begun(), if !stopping => {
                    stopping = true;
                    continue;
                }
                _ = hearing.recv(), if stopping && !flushed => {
                    flushed = true;
                    self.flush_in_time(Flush::All, &close).await;
                    continue;
                }
                () = close.requested() => break,
            }
            let all = self.flush.swap(false, Ordering::AcqRel);
            self.flush_in_time(if all { Flush::All } else { Flush::Closed }, &close).await;
        }
        self.flush_in_time(Flush::All, &close).await;
        self.let_go();
    }

    /// Flushes until this stage's time is spent.
    async fn flush_in_time(&self, mode: Flush, close: &Close) {
        tokio::select! {
            biased;
            () = close.abandoned() => {}
            () = self.flush(mode) => {}
        }
    }

    /// What was not flushed in time is on the books as late; nothing is held any more.
    fn let_go(&self) {
        let mut hot = self.lock();
        let Hot { receipt, events, checks, .. } = &mut *hot;
        for receipt in [receipt, &mut events.receipt, &mut checks.receipt] {
            receipt.take(u64::MAX).dropped(Why::Deadline);
        }
    }

    /// How long until something is due. Once everything was flushed for the stop, what still comes waits for the
    /// end.
    fn next_look(&self, flushed: bool) -> Option<Duration> {
        let mut hot = self.lock();
        hot.alarm_ns = if flushed { None } else { hot.due_ns() };
        let wait = hot.alarm_ns?.saturating_sub(clock::unix_nanos());
        Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).max(TICK))
    }

    /// Sends closed buckets and what has waited for long, or everything.
    async fn flush(&self, mode: Flush) {
        let mut packer = Packer::default();
        {
            let mut hot = self.lock();
            hot.begin(clock::unix_nanos());
            hot.aggregator.begin_flush(mode);
            hot.own.begin_flush(mode);
        }
        loop {
            let more = {
                let mut hot = self.lock();
                let Hot { aggregator, own, out, .. } = &mut *hot;
                // The own ones are few: the steps of one flush.
                own.flush_step(out) | aggregator.flush_step(out)
            };
            self.send(false, &mut packer).await;
            if !more {
                break;
            }
            // The lock is not fair: whoever waits for it goes first, or packets would pile up in the kernel.
            for _ in 0..YIELDS_MAX_COUNT {
                if self.waiting.load(Ordering::Relaxed) == 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        self.send(true, &mut packer).await;
        self.lock().shrink();
    }

    /// Sends full batches, or with `all` whatever there is.
    async fn send(&self, all: bool, packer: &mut Packer) {
        loop {
            let Some((form, batch, receipt)) = self.lock().pop(all) else { break };
            self.send_batch(form, batch, receipt, packer).await;
        }
    }

    /// Packs and submits a batch.
    async fn send_batch(&self, form: &Form, batch: Batch, receipt: Receipt, packer: &mut Packer) {
        let wrap = form.wrap.map(|wrap| {
            let around = self.surroundings();
            Arc::new(move |batch: &Batch| wrap(batch, &around)) as Wrap
        });
        self.shipper.ship(&form.parcel, batch, receipt, wrap, packer).await;
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { hostname: self.hostname.clone(), tags: self.lock().tags.clone() }
    }
}

impl Hot {
    /// The next batch that is due, with its part of the books.
    fn pop(&mut self, all: bool) -> Option<(&'static Form, Batch, Receipt)> {
        if let Some(batch) = self.out.series.pop(all) {
            let receipt = self.receipt.take(batch.samples());
            return Some((&SERIES, batch, receipt));
        }
        if let Some(batch) = self.out.sketches.pop(all) {
            let receipt = self.receipt.take(batch.samples());
            return Some((&SKETCHES, batch, receipt));
        }
        if let Some((batch, receipt)) = self.events.pop(all) {
            return Some((&EVENTS, batch, receipt));
        }
        self.checks.pop(all).map(|(batch, receipt)| (&CHECKS, batch, receipt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::outbox::Bounds;

    fn batch(lines: &[&str]) -> Batch {
        let mut outbox = Outbox::new(Bounds { bytes: usize::MAX, points: usize::MAX });
        for line in lines {
            hold_line(&mut outbox, 1_700_000_000_000_000_000, line.as_bytes());
        }
        outbox.pop(true).expect("a batch")
    }

    fn around() -> Surroundings {
        Surroundings { hostname: "here".into(), tags: vec!["team:blue".into()] }
    }

    #[test]
    fn events_are_listed_by_source_with_the_tags_known_when_they_are_sent() {
        let lines = ["_e{1,1}:a|x", "_e{1,1}:b|y|s:nginx|#own:tag|d:5", "_e{1,1}:c|z"];
        let body: serde_json::Value =
            serde_json::from_slice(&events_body(&batch(&lines), &around())).expect("JSON");
        let of = |source: &str, at: usize| &body["events"][source][at];
        assert_eq!((&of("api", 0)["msg_title"], &of("api", 1)["msg_title"]), (&"a".into(), &"c".into()));
        assert_eq!(of("api", 0)["timestamp"], 1_700_000_000);
        assert_eq!(of("nginx", 0)["timestamp"], 5);
        assert_eq!(of("nginx", 0)["tags"], serde_json::json!(["own:tag", "team:blue"]));
        assert_eq!(body["internalHostname"], "here");
    }

    #[test]
    fn checks_are_an_array() {
        let body = checks_body(&batch(&["_sc|a|1", "_sc|b|0|d:7|h:there"]), &around());
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body[0]["check"], &body[0]["timestamp"]), (&"a".into(), &1_700_000_000.into()));
        assert_eq!((&body[1]["host_name"], &body[1]["timestamp"]), (&"there".into(), &7.into()));
        assert_eq!(body[1]["tags"], serde_json::json!(["team:blue"]));
    }
}
