//! What was accepted, on its way to the forwarder: trace batches, the statistics of our own counting and
//! those of tracers. One stage closes batches when they are full or old, and everything when it ends.

use super::info::VERSION;
use super::status::{labels, object};
use crate::clock;
use crate::forward::client::HttpClient;
use crate::forward::{EndpointStatus, Forwarder, Kind, Target};
use crate::packing::{Packer, Packing};
use crate::room::{Budget, Room};
use crate::shipping::outgoing;
use lifecycle::Close;
use model::limits::TRACE_BATCH_MAX_BYTES;
use model::stats::{ClientStats, StatsPayload};
use model::{Books, Receipt, Signal};
use pipeline::batch::{Batch, Batcher, Bounds};
use pipeline::config::StatsConfig;
use pipeline::stats::split::{Part, split};
use pipeline::stats::{ClientAggregator, Concentrator, Counted};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Room in a batch for the fields of the agent around the traces.
pub(crate) const HEADER_RESERVE_BYTES: usize = 64 * 1024;
/// Least time between two looks at the statistics.
const STATS_TICK: Duration = Duration::from_secs(1);

/// See [`Egress::flush_now`].
const FLUSH_TRACES: u8 = 1;
const FLUSH_STATS: u8 = 2;

/// A timer this late was frozen with the process: connections that were idle may be dead (`facts/platforms.md` §5).
const THAW_LATENESS: Duration = Duration::from_secs(5);

/// How batches are made and who they are from.
#[derive(Clone, Debug)]
pub(crate) struct EgressSettings {
    /// Host of the agent; empty where there is none.
    pub(crate) hostname: String,
    /// Environment of the agent.
    pub(crate) env: String,
    /// Fields of the agent, appended to each trace payload.
    pub(crate) header: Vec<u8>,
    /// How trace payloads are packed.
    pub(crate) packing: Packing,
    /// Longest time a span waits for its batch.
    pub(crate) flush_period: Duration,
    /// Memory for statistics while they are counted.
    pub(crate) counting_bytes: usize,
}

/// Everything between accepting and sending.
#[derive(Debug)]
pub(crate) struct Egress {
    traces: Mutex<Batcher<Room>>,
    /// Batches that are closed and not yet packed; bounded by the room they hold.
    pub(super) closed: Mutex<VecDeque<Batch<Room>>>,
    pub(super) concentrator: Mutex<Concentrator>,
    clients: Mutex<ClientAggregator>,
    /// Of the batch before, while batches follow each other.
    packer: Mutex<Option<Packer>>,
    wake: Notify,
    /// What was asked to be sent now: [`FLUSH_TRACES`] and [`FLUSH_STATS`].
    flush: AtomicU8,
    settings: EgressSettings,
    budget: Budget,
    pub(super) forwarder: Forwarder,
    client: HttpClient,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held cost that request; the data inside is still whole enough to be sent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Egress {
    pub(crate) fn new(
        settings: EgressSettings,
        stats: &StatsConfig,
        books: &Books,
        budget: Budget,
        forwarder: Forwarder,
        client: HttpClient,
    ) -> Self {
        let bounds = Bounds {
            bytes: TRACE_BATCH_MAX_BYTES - HEADER_RESERVE_BYTES,
            weight: usize::MAX,
            age: settings.flush_period,
        };
        let now = clock::unix_nanos();
        // What is counted here and what tracers counted have half of it each.
        let share = settings.counting_bytes / 2;
        Self {
            traces: Mutex::new(Batcher::new(bounds)),
            closed: Mutex::default(),
            concentrator: Mutex::new(Concentrator::new(stats, books, share, now)),
            clients: Mutex::new(ClientAggregator::new(share, now)),
            packer: Mutex::default(),
            wake: Notify::new(),
            flush: AtomicU8::new(0),
            settings,
            budget,
            forwarder,
            client,
        }
    }

    /// Files one encoded tracer payload, given in parts. Never waits.
    pub(super) fn push_traces(&self, parts: &[&[u8]], receipt: Receipt, room: Room) {
        let now = Instant::now();
        let mut traces = lock(&self.traces);
        let was_empty = traces.bytes() == 0;
        let full = traces.push(parts, receipt, room, 1, now);
        // After a freeze the timer is late; whatever comes next notices that the batch is old (losses.md L93).
        let old = traces.due(now);
        drop(traces);
        let closed = full.is_some() || old.is_some();
        if closed {
            lock(&self.closed).extend(full.into_iter().chain(old));
        }
        if closed || was_empty {
            self.wake.notify_one();
        }
    }

    /// Files what a tracer counted.
    pub(super) fn push_client_stats(&self, stats: ClientStats, receipt: Receipt) {
        lock(&self.clients).add(stats, receipt, clock::unix_nanos());
        self.wake.notify_one();
    }

    /// Whether the tracers' statistics fill their memory, until the next flush takes them.
    pub(super) fn client_stats_are_full(&self) -> bool {
        lock(&self.clients).held_bytes() > self.settings.counting_bytes / 2
    }

    /// Sends what is held as soon as may be, with `all` the open buckets of statistics too.
    pub(crate) fn flush_now(&self, all: bool) {
        let asked = if all { FLUSH_TRACES | FLUSH_STATS } else { FLUSH_TRACES };
        self.flush.fetch_or(asked, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// The process was frozen: connections that were idle may be dead, and what waits for its next try is tried now.
    pub(crate) fn thawed(&self) {
        self.client.forget_connections();
        self.forwarder.kick();
    }

    /// Runs as a stage: closes batches in time, and everything at the end.
    pub(crate) async fn run(self: Arc<Self>, close: Close) {
        let mut stopping = false;
        loop {
            let wake_at = self.next_wake();
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(wake_at.unwrap_or_else(Instant::now).into()), if wake_at.is_some() => {}
                // What is held leaves at once, while requests under way still finish.
                () = close.stop_begun(), if !stopping => {
                    stopping = true;
                    self.close_batch();
                }
                () = close.requested() => break,
            }
            if wake_at.is_some_and(|at| at.elapsed() > THAW_LATENESS) {
                self.thawed();
            }
            let asked = self.flush.swap(0, Ordering::AcqRel);
            if asked & FLUSH_TRACES > 0 {
                self.close_batch();
            }
            self.flush(stopping || asked & FLUSH_STATS > 0).await;
            if asked > 0 {
                // What waits for its next try is tried now.
                self.forwarder.kick();
            }
        }
        self.close_batch();
        self.flush(true).await;
    }

    fn close_batch(&self) {
        let batch = lock(&self.traces).finish();
        lock(&self.closed).extend(batch);
    }

    /// When something is due; `None` when nothing is held, so that an idle agent sleeps.
    fn next_wake(&self) -> Option<Instant> {
        let batch = lock(&self.traces).next_deadline();
        let now = clock::unix_nanos();
        let counted = lock(&self.concentrator).next_flush_ns();
        let clients = lock(&self.clients).next_flush_ns();
        let stats = [counted, clients].into_iter().flatten().min().map(|due| {
            let wait = Duration::from_nanos(u64::try_from(due.saturating_sub(now)).unwrap_or(0));
            Instant::now() + wait.max(STATS_TICK)
        });
        [batch, stats].into_iter().flatten().min()
    }

    async fn flush(&self, force_stats: bool) {
        let due = lock(&self.traces).due(Instant::now());
        lock(&self.closed).extend(due);
        loop {
            let batch = lock(&self.closed).pop_front();
            let Some(batch) = batch else { break };
            self.send_traces(batch).await;
        }
        let now = clock::unix_nanos();
        let counted = lock(&self.concentrator).flush(now, force_stats);
        let clients = lock(&self.clients).flush(now, force_stats);
        self.send_stats(counted, false).await;
        self.send_stats(clients, true).await;
    }

    async fn send_traces(&self, batch: Batch<Room>) {
        let Batch { mut bytes, receipt, held: room, .. } = batch;
        bytes.extend_from_slice(&self.settings.header);
        let target = Target { kind: Kind::Traces, path: Cow::Borrowed("/api/v0.2/traces") };
        self.send(target, "application/x-protobuf", bytes, self.settings.packing, receipt, room).await;
    }

    /// Keeps the memory of a batch that was packed, if it was a big one.
    fn keep(&self, bytes: Vec<u8>, packer: Packer) {
        let was_busy = bytes.len() >= TRACE_BATCH_MAX_BYTES / 2;
        *lock(&self.packer) = was_busy.then_some(packer);
        lock(&self.traces).reuse(bytes);
    }

    async fn send_stats(&self, counted: Vec<Counted>, client_computed: bool) {
        let envelope = StatsPayload {
            agent_hostname: self.settings.hostname.clone(),
            agent_env: self.settings.env.clone(),
            stats: Vec::new(),
            agent_version: VERSION.to_owned(),
            client_computed,
            split_payload: false,
        };
        for Part { payload, receipt } in split(counted, &envelope) {
            let mut bytes = Vec::new();
            wire::stats::encode_stats_payload(&payload, &mut bytes);
            let room = self.budget.force(Signal::Stats, bytes.len());
            let target = Target { kind: Kind::Stats, path: Cow::Borrowed("/api/v0.2/stats") };
            // The stats intake takes gzip (`facts/delivery.md` §4).
            self.send(target, "application/msgpack", bytes, Packing::Gzip(1), receipt, room).await;
        }
    }

    async fn send(
        &self,
        target: Target,
        content_type: &'static str,
        bytes: Vec<u8>,
        packing: Packing,
        receipt: Receipt,
        room: Room,
    ) {
        let packer = lock(&self.packer).take().unwrap_or_default();
        let Some((packed, mut bytes, packer)) = packer.pack_aside(bytes, packing).await else {
            return receipt.dropped(model::Why::Panicked);
        };
        if packed.is_some() && target.kind == Kind::Traces {
            self.keep(std::mem::take(&mut bytes), packer);
        }
        self.forwarder.submit(outgoing(target, content_type, packed, bytes, receipt, room));
    }
}

/// An endpoint in `/lastlight/status`.
pub(super) fn endpoint_document(status: &EndpointStatus) -> Value {
    json!({
        "kind": status.kind.name(),
        "url": status.url,
        "main": status.is_main,
        "failing": status.is_failing,
        "queued_requests": status.queued_requests,
        "queued_bytes": status.queued_bytes,
        "in_flight": status.in_flight,
        "requests_sent": status.requests_sent,
        "retries": status.retries,
        "bytes_sent": status.bytes_sent,
        "requests_delivered": status.requests_delivered,
        "units_delivered": status.units_delivered,
        "units_dropped": object(&mut status.units_dropped.iter().map(|(why, units)| (why.name().to_owned(), Value::from(*units)))),
        "last_error": status.last_error.as_ref().map(|error| json!({
            "message": error.message,
            "seconds_ago": error.age.as_secs(),
        })),
    })
}

/// Endpoints in `/lastlight/metrics`.
pub(super) fn endpoint_families(
    endpoints: &[EndpointStatus],
    family: &mut impl FnMut(&str, &str, &str, Vec<(String, u64)>),
) {
    let rows = |value: fn(&EndpointStatus) -> u64| {
        endpoints
            .iter()
            .map(|endpoint| {
                let main = if endpoint.is_main { "true" } else { "false" };
                let labels =
                    labels(&[("kind", endpoint.kind.name()), ("url", &endpoint.url), ("main", main)]);
                (labels, value(endpoint))
            })
            .collect::<Vec<_>>()
    };
    family(
        "endpoint_queued_requests",
        "gauge",
        "Requests waiting for an endpoint.",
        rows(|e| e.queued_requests as u64),
    );
    family("endpoint_queued_bytes", "gauge", "Their size.", rows(|e| e.queued_bytes as u64));
    family(
        "endpoint_requests_total",
        "counter",
        "Requests sent, retries included.",
        rows(|e| e.requests_sent),
    );
    family("endpoint_retries_total", "counter", "Requests sent again.", rows(|e| e.retries));
    family("endpoint_sent_bytes_total", "counter", "Bytes of bodies sent.", rows(|e| e.bytes_sent));
    family(
        "endpoint_failing",
        "gauge",
        "1 while an endpoint does not answer.",
        rows(|e| u64::from(e.is_failing)),
    );
}
