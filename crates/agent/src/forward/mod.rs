//! From batches to the backend: the queues, the retries and the one HTTP client.
//!
//! Each kind of payload has a lane to each of its endpoints. A lane has its own queue, its own bound of
//! concurrent requests and its own idea of whether the endpoint answers; lanes never wait for each other
//! (losses.md L28, L30, L33). Nothing upstream waits for a lane either: [`Forwarder::submit`] only files
//! what was already admitted.
//!
//! A request whose answer arrived is settled in the same breath and never sent again. A request without an
//! answer, or with one that may pass, goes back to its place (`pipeline::retry`).

mod circuit;
pub mod client;
pub(crate) mod connect;
mod lane;
pub mod proxy;
mod sender;
mod status;
pub mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use sender::{ADDITIONAL_STOP_GRACE, Sender};
pub use status::{EndpointStatus, LastError};
pub use transport::{ATTEMPT_TIMEOUT, Reply, Transport, header_value};

use crate::logging::SayOnce;
use crate::room::{Room, percent_of};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri};
use lane::{Item, Lane};
use model::limits::{
    ADDITIONAL_ENDPOINT_MEMORY_PERCENT, EVENTS_MEMORY_PERCENT, LOGS_QUEUE_MEMORY_PERCENT,
    METRICS_QUEUE_MEMORY_PERCENT, REQUEST_BODY_MAX_BYTES, STATS_MEMORY_PERCENT,
};
use model::{Books, Receipt, Signal, Why};
use pipeline::queue::{Bounds, Policy};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::Notify;

/// What all additional endpoints together may hold, in percent of the memory bound.
pub const ADDITIONAL_MEMORY_MAX_PERCENT: usize = 36;
/// Most requests one lane holds. Together with [`REQUEST_OVERHEAD_BYTES`] the memory bound is reached first,
/// unless it is larger than 512 MiB.
pub const LANE_MAX_REQUESTS: usize = 1 << 20;
/// What holding a request takes beyond its body and headers, bytes.
pub const REQUEST_OVERHEAD_BYTES: usize = 512;

/// What the backend calls different payloads; each has a lane of its own to each endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Kind {
    /// Trace batches.
    Traces,
    /// Statistics.
    Stats,
    /// Metrics other than distributions.
    Series,
    /// Distributions.
    Sketches,
    /// Events.
    Events,
    /// Service checks.
    Checks,
    /// Logs.
    Logs,
    /// Data streams.
    DataStreams,
    /// Profiles.
    Profiles,
    /// The tracers' own telemetry.
    Telemetry,
    /// Snapshots of the debugger.
    DebuggerLogs,
    /// Diagnostics of the debugger.
    DebuggerDiagnostics,
    /// Symbol databases.
    SymbolDatabase,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Traces,
        Self::Stats,
        Self::Series,
        Self::Sketches,
        Self::Events,
        Self::Checks,
        Self::Logs,
        Self::DataStreams,
        Self::Profiles,
        Self::Telemetry,
        Self::DebuggerLogs,
        Self::DebuggerDiagnostics,
        Self::SymbolDatabase,
    ];

    /// The name used in status, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Stats => "stats",
            Self::Series => "series",
            Self::Sketches => "sketches",
            Self::Events => "events",
            Self::Checks => "checks",
            Self::Logs => "logs",
            Self::DataStreams => "data_streams",
            Self::Profiles => "profiles",
            Self::Telemetry => "telemetry",
            Self::DebuggerLogs => "debugger_logs",
            Self::DebuggerDiagnostics => "debugger_diagnostics",
            Self::SymbolDatabase => "symbol_database",
        }
    }

    /// Whose books it is on.
    pub fn signal(self) -> Signal {
        match self {
            Self::Traces => Signal::Traces,
            Self::Stats => Signal::Stats,
            Self::Series | Self::Sketches => Signal::Metrics,
            Self::Events => Signal::Events,
            Self::Checks => Signal::Checks,
            Self::Logs => Signal::Logs,
            _ => Signal::Proxied,
        }
    }
}

/// Where a request goes; the endpoints of the kind complete it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Which endpoints.
    pub kind: Kind,
    /// What follows their URL: a path, a query that starts with `?`, or nothing.
    pub path: Cow<'static, str>,
}

/// One request to the backend, ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Where to.
    pub target: Target,
    /// Headers, without `DD-API-KEY`, which is each endpoint's own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, already compressed.
    pub body: Bytes,
    /// The obligation for what the body carries.
    pub receipt: Receipt,
    /// Room in the memory bound; it is made to fit the body.
    pub room: Room,
}

/// One place of the backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// An `http` or `https` URL that paths are added to, or the whole URL where the target has no path.
    pub url: String,
    /// The key sent as `DD-API-KEY`.
    pub api_key: HeaderValue,
}

/// The endpoints of one kind.
#[derive(Clone, Debug)]
pub struct Route {
    /// The kind.
    pub kind: Kind,
    /// The endpoint whose fate is on the agent's books.
    pub main: Endpoint,
    /// Endpoints that get a copy, with books and a bound of their own.
    pub additional: Vec<Endpoint>,
}

/// How to forward.
#[derive(Clone, Debug)]
pub struct ForwardSettings {
    /// `LASTLIGHT_MEMORY` less what statistics take while they are counted, bytes.
    pub memory_bytes: usize,
    /// One entry per kind; what has none is dropped as [`Why::Disabled`].
    pub routes: Vec<Route>,
}

impl ForwardSettings {
    /// What the additional endpoints may hold beyond what is admitted, bytes: the admission's
    /// [`crate::room::Budget`] is `memory_bytes` less this. The biggest request always keeps its place.
    pub fn additional_memory_bytes(&self) -> usize {
        let endpoints = additional_endpoints(&self.routes).len();
        let percent = (endpoints * ADDITIONAL_ENDPOINT_MEMORY_PERCENT).min(ADDITIONAL_MEMORY_MAX_PERCENT);
        let spare = self.memory_bytes.saturating_sub(REQUEST_BODY_MAX_BYTES + REQUEST_BODY_MAX_BYTES / 16);
        percent_of(self.memory_bytes, percent).min(spare)
    }
}

/// Files requests for their endpoints. Clones share the queues.
#[derive(Clone, Debug)]
pub struct Forwarder {
    shared: Arc<Shared>,
}

/// What the handles and the sender share.
#[derive(Debug)]
struct Shared {
    lanes: Vec<Arc<Lane>>,
    /// Something was filed, or waits were cut short.
    changed: Notify,
    say: SayOnce,
}

/// Makes the handle that files requests and the sender that sends them, to be run as one stage.
///
/// # Errors
/// When an endpoint's URL is none.
pub fn forwarder<T: Transport>(
    settings: &ForwardSettings,
    transport: Arc<T>,
) -> Result<(Forwarder, Sender<T>), String> {
    let additional = additional_endpoints(&settings.routes);
    let share = settings.additional_memory_bytes() / additional.len().max(1);
    let books: Vec<Books> = additional.iter().map(|_| Books::default()).collect();
    let mut lanes = Vec::new();
    for route in &settings.routes {
        let (policy, bytes) = match route.kind {
            // Statistics of a past minute are worth less than those of this one.
            Kind::Stats => (Policy::EvictOldest, percent_of(settings.memory_bytes, STATS_MEMORY_PERCENT)),
            // Nobody can be told to keep metrics, and the newest are worth the most.
            Kind::Series | Kind::Sketches => {
                (Policy::EvictOldest, percent_of(settings.memory_bytes, METRICS_QUEUE_MEMORY_PERCENT))
            }
            Kind::Events | Kind::Checks => {
                (Policy::EvictOldest, percent_of(settings.memory_bytes, EVENTS_MEMORY_PERCENT))
            }
            // Whoever wrote a line does not write it again, and the newest tell most of what is going on.
            Kind::Logs => (Policy::EvictOldest, percent_of(settings.memory_bytes, LOGS_QUEUE_MEMORY_PERCENT)),
            // Everything here was admitted against the memory bound, so this bound is never the first one.
            _ => (Policy::RefuseNew, usize::MAX),
        };
        let bounds = Bounds { items: LANE_MAX_REQUESTS, bytes };
        lanes.push(Arc::new(Lane::new(route.kind, &route.main, None, policy, bounds)?));
        for endpoint in &route.additional {
            let place = additional.iter().position(|(known, _)| *known == endpoint);
            let (Some((_, lanes_of_it)), Some(books)) =
                (place.and_then(|place| additional.get(place)), place.and_then(|place| books.get(place)))
            else {
                continue;
            };
            // Each of its lanes has a part of its own, so that traces cannot evict its statistics.
            let bounds = Bounds { items: LANE_MAX_REQUESTS, bytes: share / lanes_of_it };
            let books = Some(books.clone());
            lanes.push(Arc::new(Lane::new(route.kind, endpoint, books, Policy::EvictOldest, bounds)?));
        }
    }
    let shared = Arc::new(Shared { lanes, changed: Notify::new(), say: SayOnce::default() });
    Ok((Forwarder { shared: Arc::clone(&shared) }, Sender::new(shared, transport)))
}

/// The different additional endpoints, each with how many kinds go there.
fn additional_endpoints(routes: &[Route]) -> Vec<(&Endpoint, usize)> {
    let mut endpoints: Vec<(&Endpoint, usize)> = Vec::new();
    for endpoint in routes.iter().flat_map(|route| &route.additional) {
        match endpoints.iter_mut().find(|(known, _)| *known == endpoint) {
            Some((_, kinds)) => *kinds += 1,
            None => endpoints.push((endpoint, 1)),
        }
    }
    endpoints
}

impl Forwarder {
    /// Files a request with the main endpoint, and a copy with each additional one. Never blocks, and
    /// never fails for lack of space: room was taken when the data were admitted.
    pub fn submit(&self, outgoing: Outgoing) {
        let Outgoing { target, headers, body, receipt, mut room } = outgoing;
        let headers: Arc<[_]> = headers.into();
        let (units, bytes) = (receipt.units(), cost(&headers, &body));
        room.cover(bytes);
        let mut main = Some((receipt, room));
        for lane in self.shared.lanes.iter().filter(|lane| lane.kind() == target.kind) {
            let uri = match join(lane.url(), &target.path).parse::<Uri>() {
                Ok(uri) => uri,
                Err(error) => {
                    self.shared.say.warn("request target", || {
                        format!("a {} request has no valid target: {error}", target.kind.name())
                    });
                    continue;
                }
            };
            let (receipt, room) = match lane.books() {
                Some(books) => (books.accept(target.kind.signal(), units), None),
                None => match main.take() {
                    Some((receipt, room)) => (receipt, Some(room)),
                    None => continue,
                },
            };
            let item = Item::new(uri, Arc::clone(&headers), body.clone(), receipt, room);
            lane.submit(item, bytes, &self.shared.say);
        }
        if let Some((receipt, _)) = main {
            let known = self.shared.lanes.iter().any(|lane| lane.kind() == target.kind);
            receipt.dropped(if known { Why::Invalid } else { Why::Disabled });
        }
        self.shared.changed.notify_one();
    }

    /// Cuts every wait short: what is held is tried now. For a flush, and after a thaw.
    pub fn kick(&self) {
        for lane in &self.shared.lanes {
            lane.hurry();
        }
        self.shared.changed.notify_one();
    }

    /// How each endpoint is doing.
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.shared.lanes.iter().map(|lane| lane.status(tokio::time::Instant::now())).collect()
    }
}

/// Memory a request takes, bytes.
fn cost(headers: &[(HeaderName, HeaderValue)], body: &Bytes) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    body.len() + headers + REQUEST_OVERHEAD_BYTES
}

/// An endpoint's URL and what follows it, with one slash between them (losses.md L71).
fn join(url: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('?') {
        format!("{url}{path}")
    } else {
        format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'))
    }
}
