//! One kind of payload on its way to one endpoint: the queue, what is under way, and what came of it.

use super::circuit::Circuit;
use super::status::{EndpointStatus, LastError};
use super::transport::Reply;
use super::{Endpoint, Kind};
use crate::logging::SayOnce;
use crate::room::Room;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use model::{Books, Receipt, Why};
use pipeline::queue::{Bounds, Entry, Policy, Queue};
use pipeline::retry::{self, Answer, Verdict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one lane under way at one time: answers that take 2 s still keep up with four batches a second.
pub(super) const CONCURRENT_SENDS: usize = 8;
/// The same once a stop has begun: requests that hang, as on connections that died in a freeze, must not take
/// the time of those that wait behind them.
pub(super) const CONCURRENT_STOP_SENDS: usize = 16;
/// Probes of a failing endpoint under way at one time. More than one only when an earlier one hangs.
pub(super) const CONCURRENT_PROBES: usize = 4;
/// After this time without an answer to a probe another one goes. Once a stop has begun, it goes at once.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(4);
/// How often a request may be answered with 5xx by an endpoint that takes others, before it counts as
/// refused: otherwise it would be sent for ever.
pub(super) const STRIKES_MAX: u32 = 50;

/// Name of the header that carries the key.
static API_KEY: HeaderName = HeaderName::from_static("dd-api-key");

/// A request that waits.
#[derive(Debug)]
pub(super) struct Item {
    uri: Uri,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    body: Bytes,
    receipt: Receipt,
    /// None for copies: the lanes of additional endpoints have a bound of their own.
    _room: Option<Room>,
    attempts: u32,
    strikes: u32,
    not_before: Option<Instant>,
}

impl Item {
    pub(super) fn new(
        uri: Uri,
        headers: Arc<[(HeaderName, HeaderValue)]>,
        body: Bytes,
        receipt: Receipt,
        room: Option<Room>,
    ) -> Self {
        Self { uri, headers, body, receipt, _room: room, attempts: 0, strikes: 0, not_before: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }
}

/// The lane.
#[derive(Debug)]
pub(super) struct Lane {
    kind: Kind,
    url: String,
    api_key: HeaderValue,
    /// Of an additional endpoint.
    books: Option<Books>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue<Item>,
    circuit: Circuit,
    in_flight: usize,
    /// Of those in flight, sent while the circuit was open.
    probing: usize,
    /// Nothing is taken any more.
    closed: bool,
    last_delivery: Option<Instant>,
    counts: Counts,
    last_error: Option<(String, Instant)>,
}

#[derive(Debug, Default)]
struct Counts {
    requests_sent: u64,
    retries: u64,
    bytes_sent: u64,
    requests_delivered: u64,
    units_delivered: u64,
    units_dropped: [u64; Why::ALL.len()],
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    entry: Entry<Item>,
    flight: Flight,
}

/// The place of a request among those in flight, freed when the request ends, however it ends.
#[derive(Debug)]
struct Flight {
    lane: Arc<Lane>,
    is_probe: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.is_probe {
            state.probing = state.probing.saturating_sub(1);
        }
    }
}

impl Attempt {
    /// The request, with the key of the endpoint.
    pub(super) fn request(&self) -> Request<Bytes> {
        let item = &self.entry.item;
        let mut request = Request::new(item.body.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = item.uri.clone();
        let headers = request.headers_mut();
        for (name, value) in item.headers.iter() {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(API_KEY.clone(), self.flight.lane.api_key.clone());
        request
    }

    /// Settles the request, or puts it back to its place.
    pub(super) fn finish(
        self,
        result: Result<Reply, String>,
        now: Instant,
        deadline: Option<Instant>,
        say: &SayOnce,
    ) {
        let Self { entry, flight } = self;
        let lane = Arc::clone(&flight.lane);
        lane.finish(entry, flight.is_probe, result, now, deadline, say);
    }
}

impl Lane {
    pub(super) fn new(
        kind: Kind,
        endpoint: &Endpoint,
        books: Option<Books>,
        policy: Policy,
        bounds: Bounds,
    ) -> Result<Self, String> {
        let uri: Uri = endpoint.url.parse().map_err(|error| format!("{:?}: {error}", endpoint.url))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(format!("{:?} is not an http or https URL", endpoint.url));
        }
        let mut api_key = endpoint.api_key.clone();
        api_key.set_sensitive(true);
        let state = State {
            queue: Queue::new(policy, bounds),
            circuit: Circuit::Closed { failures: 0 },
            in_flight: 0,
            probing: 0,
            closed: false,
            last_delivery: None,
            counts: Counts::default(),
            last_error: None,
        };
        Ok(Self { kind, url: endpoint.url.clone(), api_key, books, state: Mutex::new(state) })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The books of an additional endpoint; `None` for a main one.
    pub(super) fn books(&self) -> Option<&Books> {
        self.books.as_ref()
    }

    pub(super) fn submit(&self, item: Item, bytes: usize, say: &SayOnce) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            // Too late: whoever still submits outlived its stage, and the deadline is what cut it short.
            return item.receipt.dropped(Why::Deadline);
        }
        let evicted = state.queue.push(item, bytes);
        self.evict(state, evicted, say);
    }

    /// The next request to send, if one may go now.
    pub(super) fn next(self: &Arc<Self>, now: Instant, stopping: bool) -> Option<Attempt> {
        let mut state = self.state();
        let State { queue, circuit, in_flight, probing, .. } = &mut *state;
        let is_probe = circuit.is_open();
        let mut entry = match circuit {
            Circuit::Closed { .. } if *in_flight < sends(stopping) => {
                queue.pop_where(|item| item.is_due(now))?
            }
            Circuit::Open { next, .. } if *next <= now && *probing < CONCURRENT_PROBES => {
                // The least tried first: a request that the endpoint cannot digest must not be every probe.
                let entry = queue.pop_min_by_key(|item| item.attempts)?;
                if !stopping {
                    *next = now + PROBE_PATIENCE;
                }
                entry
            }
            _ => return None,
        };
        state.in_flight += 1;
        state.probing += usize::from(is_probe);
        state.counts.requests_sent += 1;
        state.counts.retries += u64::from(entry.item.attempts > 0);
        state.counts.bytes_sent += entry.item.body.len() as u64;
        entry.item.attempts = entry.item.attempts.saturating_add(1);
        drop(state);
        Some(Attempt { entry, flight: Flight { lane: Arc::clone(self), is_probe } })
    }

    /// When [`Lane::next`] may have something, if nothing else happens before.
    pub(super) fn wakes_at(&self, stopping: bool) -> Option<Instant> {
        let state = self.state();
        match &state.circuit {
            _ if state.queue.is_empty() => None,
            Circuit::Open { next, .. } => (state.probing < CONCURRENT_PROBES).then_some(*next),
            Circuit::Closed { .. } if state.in_flight < sends(stopping) => {
                state.queue.iter().filter_map(|item| item.not_before).min()
            }
            Circuit::Closed { .. } => None,
        }
    }

    /// Cuts every wait short.
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        state.circuit.hurry(Instant::now());
        for item in state.queue.iter_mut() {
            item.not_before = None;
        }
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.queue.is_empty() && state.in_flight == 0
    }

    pub(super) fn last_delivery(&self) -> Option<Instant> {
        self.state().last_delivery
    }

    /// Takes nothing any more and lets go of what waits: the receipts settle themselves.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let rest: Vec<Item> = state.queue.drain().collect();
        drop(state);
        if let Some(books) = &self.books {
            books.close();
        }
        drop(rest);
    }

    pub(super) fn status(&self, now: Instant) -> EndpointStatus {
        let state = self.state();
        let counts = &state.counts;
        let dropped = Why::ALL.iter().map(|why| (*why, counts.units_dropped[*why as usize]));
        EndpointStatus {
            kind: self.kind,
            url: self.url.clone(),
            is_main: self.books.is_none(),
            is_failing: state.circuit.is_open(),
            queued_requests: state.queue.len(),
            queued_bytes: state.queue.bytes(),
            in_flight: state.in_flight,
            requests_sent: counts.requests_sent,
            retries: counts.retries,
            bytes_sent: counts.bytes_sent,
            requests_delivered: counts.requests_delivered,
            units_delivered: counts.units_delivered,
            units_dropped: dropped.filter(|(_, units)| *units > 0).collect(),
            last_error: state.last_error.as_ref().map(|(message, at)| LastError {
                message: message.clone(),
                age: now.saturating_duration_since(*at),
            }),
            book: self.books.as_ref().map(|books| (self.kind.signal(), books.book(self.kind.signal()))),
        }
    }

    fn finish(
        &self,
        mut entry: Entry<Item>,
        was_probe: bool,
        result: Result<Reply, String>,
        now: Instant,
        deadline: Option<Instant>,
        say: &SayOnce,
    ) {
        let (answer, message) = match &result {
            Ok(reply) => (
                Answer::Status { code: reply.status.as_u16(), retry_after: reply.retry_after },
                format!("{} {}", reply.status, reply.detail).trim().to_owned(),
            ),
            Err(error) => (Answer::Nothing, error.clone()),
        };
        let end = deadline.map(Instant::into_std);
        // Drawn per answer; `fastrand` is seeded per thread and not for secrets.
        let jitter = fastrand::f64();
        let verdict = retry::decide(entry.item.strikes, answer, now.into_std(), end, jitter);
        let mut state = self.state();
        if verdict != Verdict::Delivered {
            state.last_error = Some((message.clone(), now));
        }
        match verdict {
            Verdict::Delivered => {
                let recovered = state.circuit.answered();
                state.counts.requests_delivered += 1;
                state.counts.units_delivered += entry.item.receipt.units();
                state.last_delivery = Some(now);
                drop(state);
                entry.item.receipt.delivered();
                if recovered {
                    log::info!("{} at {} are taken again", self.kind.name(), self.url);
                }
            }
            Verdict::RetryAt(at) => {
                let at = Instant::from_std(at);
                let asked = answer.retry_after().map(|_| at);
                let is_strike = !was_probe
                    && !state.circuit.is_open()
                    && matches!(answer, Answer::Status { code: 500.., .. });
                let opened = state.circuit.failed(was_probe, asked, now, deadline, jitter);
                // In an outage the circuit decides when; a wait of its own would only delay the recovery.
                entry.item.not_before = (!was_probe).then_some(at);
                entry.item.strikes += u32::from(is_strike);
                if entry.item.strikes >= STRIKES_MAX {
                    self.give_up(state, entry.item, Why::Refused, &message, say);
                    return;
                }
                if state.closed {
                    // Nobody would take it out again; its receipt settles by the closed books.
                    drop(state);
                    return drop(entry);
                }
                let evicted = state.queue.put_back(entry);
                self.evict(state, evicted, say);
                if opened {
                    self.say(say, "failing", || format!("is failing and will be tried again: {message}"));
                }
            }
            Verdict::Drop(why) => {
                if answer != Answer::Nothing {
                    state.circuit.answered();
                }
                self.give_up(state, entry.item, why, &message, say);
            }
        }
    }

    fn give_up(&self, mut state: MutexGuard<'_, State>, item: Item, why: Why, message: &str, say: &SayOnce) {
        let units = item.receipt.units();
        state.counts.units_dropped[why as usize] += units;
        drop(state);
        item.receipt.dropped(why);
        self.say(say, why.name(), || {
            let hint = if why == Why::Forbidden { ": check DD_API_KEY and DD_SITE" } else { "" };
            format!("{units} {} dropped ({}): {message}{hint}", self.kind.signal().unit(), why.name())
        });
    }

    /// Settles what had to give way to newer requests.
    fn evict(&self, mut state: MutexGuard<'_, State>, evicted: Vec<Item>, say: &SayOnce) {
        if evicted.is_empty() {
            return;
        }
        let units: u64 = evicted.iter().map(|item| item.receipt.units()).sum();
        state.counts.units_dropped[Why::QueueFull as usize] += units;
        let last_error = state.last_error.as_ref().map(|(message, _)| message.clone());
        drop(state);
        for item in evicted {
            item.receipt.dropped(Why::QueueFull);
        }
        self.say(say, Why::QueueFull.name(), || {
            let because = last_error.map(|message| format!(": {message}")).unwrap_or_default();
            let unit = self.kind.signal().unit();
            format!("its queue is full, the oldest {units} {unit} gave way{because}")
        });
    }

    /// Once per endpoint, kind and interval.
    fn say(&self, say: &SayOnce, what: &str, message: impl FnOnce() -> String) {
        say.warn(&format!("{what} {} {}", self.kind.name(), self.url), || {
            format!("{}: {} {}", self.kind.name(), self.url, message())
        });
    }

    // The state is counters and a queue: a panic elsewhere leaves it sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sends(stopping: bool) -> usize {
    if stopping { CONCURRENT_STOP_SENDS } else { CONCURRENT_SENDS }
}
