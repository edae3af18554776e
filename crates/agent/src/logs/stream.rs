//! One stream of bytes whose lines are logs.

use super::{Encoded, Logs, held};
use crate::clock::{self, MILLISECOND_NS};
use model::log::{Log, LogStatus};
use pipeline::logs::{Message, Stream, Verdict};
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::logs::lift;

/// One stream of bytes whose lines are logs: standard output, standard error, a file.
#[derive(Debug)]
pub(crate) struct LogStream {
    hub: Arc<Logs>,
    /// What a line is that does not say so itself.
    status: LogStatus,
    /// Tags of its own, between commas.
    tags: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: Stream,
    encoded: Encoded,
    /// Bytes of the stream whose logs are accepted, filtered or counted as dropped.
    settled: u64,
    is_finished: bool,
}

impl LogStream {
    /// A stream of `hub`, which looks after records that wait for a further line.
    pub(crate) fn new(hub: &Arc<Logs>, status: LogStatus, tags: &str) -> Arc<Self> {
        let records = Stream::new(hub.settings.grouping.clone());
        let state = State { records, encoded: Encoded::default(), settled: 0, is_finished: false };
        let stream =
            Arc::new(Self { hub: Arc::clone(hub), status, tags: tags.to_owned(), state: Mutex::new(state) });
        hub.streams().push(Arc::clone(&stream));
        stream
    }

    /// Takes bytes as they were written. Never waits for more than a copy.
    pub(crate) fn take(&self, bytes: &[u8]) {
        let now_ns = clock::unix_nanos();
        let was_waiting = self.next_deadline_ns().is_some();
        self.with(|records, emit| records.push(bytes, now_ns, emit));
        if !was_waiting && self.next_deadline_ns().is_some() {
            // A record began to wait for its next line.
            self.hub.wake.notify_one();
        }
    }

    /// Lets records go that have waited for long.
    pub(super) fn tick(&self, now_ns: i64) {
        self.with(|records, emit| records.tick(now_ns, emit));
    }

    /// Lets go of records that wait for a further line, not of unfinished lines.
    pub(super) fn flush(&self) {
        self.with(|records, emit| records.tick(i64::MAX, emit));
    }

    /// The stream has ended: an unterminated line is a log too (losses.md L89).
    pub(crate) fn finish(&self) {
        let now_ns = clock::unix_nanos();
        self.with(|records, emit| records.finish(now_ns, emit));
        self.lock().is_finished = true;
    }

    /// Ends the stream without its unterminated line, which somebody else will read.
    pub(crate) fn finish_at_line(&self) {
        self.flush();
        self.lock().is_finished = true;
    }

    /// How many bytes of the stream are behind the last log that was let go: accepted, left out by a rule, or counted
    /// as dropped. What was taken beyond them is lost with this process.
    pub(crate) fn settled(&self) -> u64 {
        self.lock().settled
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().is_finished
    }

    /// When [`Self::tick`] has something to do, in nanoseconds since 1970.
    pub(super) fn next_deadline_ns(&self) -> Option<i64> {
        self.lock().records.next_deadline_ns()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cost the read in which it happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, act: impl FnOnce(&mut Stream, &mut dyn FnMut(Message<'_>))) {
        let mut state = self.lock();
        let State { records, encoded, settled, .. } = &mut *state;
        encoded.clear();
        act(records, &mut |message| {
            *settled = message.end;
            self.encode(&message, encoded);
        });
        self.hub.file(encoded, None);
    }

    fn encode(&self, message: &Message<'_>, encoded: &mut Encoded) {
        let settings = &self.hub.settings;
        let bytes: Cow<'_, [u8]> = match settings.rules.apply(message.bytes) {
            Verdict::Keep => message.bytes.into(),
            Verdict::Masked(masked) => masked.into(),
            Verdict::Filtered { .. } => {
                encoded.filtered += 1;
                return;
            }
        };
        if message.truncated {
            self.hub.counts.truncated.fetch_add(1, Ordering::Relaxed);
        }
        let said = lift(&bytes);
        let has_own = said.service.is_some() || said.trace_id.is_some() || said.span_id.is_some();
        let is_plain = !has_own && self.tags.is_empty();
        let log = Log {
            message: &bytes,
            status: said.status.unwrap_or(self.status),
            timestamp_ms: said.timestamp_ms.unwrap_or(message.at_ns / MILLISECOND_NS),
            hostname: &settings.hostname,
            service: said.service.as_deref().unwrap_or(&settings.service),
            source: &settings.source,
            tags: &self.tags,
            trace_id: said.trace_id,
            span_id: said.span_id,
        };
        encoded.push(|out| held::hold(&log, is_plain, out));
    }
}
