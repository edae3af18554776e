//! The receiver: HTTP requests of tracers, on every transport alike.
//!
//! Accepting is one point: room is reserved, the body read and decoded, a receipt taken, the data enqueued,
//! and then the answer says 2xx. Before that point the sender is told and keeps its data ([`door`]).

pub(crate) mod body;
mod client;
pub(crate) mod door;
pub(crate) mod egress;
mod info;
pub(crate) mod job;
pub(crate) mod labels;
pub(crate) mod proxied;
pub(crate) mod routes;
pub(crate) mod server;
mod stats;
pub(crate) mod status;
mod traces;

pub(crate) use info::{Info, VERSION};
pub(crate) use server::TransportState;
pub(crate) use status::labels as labels_text;

use crate::dogstatsd::DogStatsD;
use crate::forward::client::HttpClient;
use crate::linger::Linger;
use crate::logging::SayOnce;
use crate::logs::Logs;
use crate::room::{Budget, Room};
use body::{Bounds, Received};
use client::ClientHeaders;
use door::{Body, Door, Reason, Refusal};
use egress::Egress;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use labels::{Labels, LabelsCell};
use model::limits::PROXIED_BODY_MAX_BYTES;
use model::{Books, Hold, Signal};
use pipeline::process::Processor;
use proxied::Passes;
use routes::Route;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Room taken per byte of a trace body: what is encoded from it, with the platform's tags, is bigger.
const TRACE_ROOM_PER_BYTE: usize = 2;

/// Room taken per byte of a statistics body: itself, and the groups it decodes to.
const STATS_ROOM_PER_BYTE: usize = 1 + wire::stats::DECODED_BYTES_PER_BODY_BYTE;

/// What the receiver needs of the configuration.
#[derive(Debug)]
pub(crate) struct IntakeSettings {
    pub(crate) body_max_bytes: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) compute_stats: bool,
    pub(crate) hostname: String,
    pub(crate) env: String,
    pub(crate) platform: &'static str,
    pub(crate) cloud: &'static str,
    pub(crate) cloud_resource_type: Option<&'static str>,
}

/// A body that was read, and the room that is taken for it.
#[derive(Debug)]
pub(crate) struct Taken<'b> {
    pub(crate) bytes: Cow<'b, [u8]>,
    pub(crate) room: Room,
    /// Kept until what is accepted of it is settled. Samples of metrics are summed up, and let go of it at once.
    pub(crate) hold: Option<Hold>,
}

/// Everything a request may need; shared by all connections.
pub(crate) struct Intake {
    pub(crate) settings: IntakeSettings,
    pub(crate) books: Books,
    pub(crate) budget: Budget,
    pub(crate) door: Door,
    pub(crate) say: Arc<SayOnce>,
    pub(crate) info: Info,
    pub(crate) processor: Processor,
    pub(crate) labels: LabelsCell,
    pub(crate) rates: traces::RatesReply,
    pub(crate) egress: Arc<Egress>,
    /// None: switched off.
    pub(crate) dogstatsd: Option<Arc<DogStatsD>>,
    /// None: switched off.
    pub(crate) logs: Option<Arc<Logs>>,
    pub(crate) client: HttpClient,
    pub(crate) passes: Passes,
    pub(crate) transports: Vec<Arc<TransportState>>,
    pub(crate) started: Instant,
    pub(crate) draining: AtomicBool,
    /// How long connections are read on once a stop began.
    pub(crate) linger: Arc<Linger>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("books", &self.books).finish_non_exhaustive()
    }
}

impl Intake {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Answers one request.
    async fn handle(&self, route: Route, request: Request<Incoming>) -> Response<Body> {
        match self.dispatch(route, request).await {
            Ok(response) => response,
            Err(refusal) => self.door.refuse(route, &refusal),
        }
    }

    async fn dispatch(&self, route: Route, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        match route {
            Route::Unknown => {
                let path: String = request.uri().path().chars().take(100).collect();
                Err(Refusal::new(Reason::NotFound, format!("404 page not found: {path}")))
            }
            Route::Info => Ok(json(self.info.body())),
            Route::Status => Ok(json(self.status_document().to_string().into())),
            Route::Metrics => {
                let mut response = Response::new(Full::from(self.metrics_text()));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                Ok(response)
            }
            // Without remote configuration an empty answer keeps tracers quiet.
            Route::RemoteConfig => Ok(json("{}".into())),
            _ if route.is_passed_through() => self.pass(route, request).await,
            _ if !matches!(*request.method(), Method::PUT | Method::POST) => Err(Refusal::new(
                Reason::MethodNotAllowed,
                format!("{} takes PUT and POST, not {}", route.name(), request.method()),
            )),
            Route::Services => {
                let mut response = Response::new(Full::from("OK\n"));
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                Ok(response)
            }
            _ => {
                let (head, incoming) = request.into_parts();
                let (signal, bounds) = self.reading(route, &head.headers)?;
                let Received { bytes, room } =
                    body::read(&self.budget, signal, &head.headers, incoming, bounds).await?;
                let labels = if route.needs_labels() { Some(self.labels.ready().await) } else { None };
                let taken = Taken { bytes: bytes.into(), room, hold: None };
                self.take(route, &head.uri, &head.headers, taken, labels)
            }
        }
    }

    /// Of which signal the body of a request is, and what it may cost; what can be refused before it is read, is.
    pub(crate) fn reading(&self, route: Route, headers: &HeaderMap) -> Result<(Signal, Bounds), Refusal> {
        // A body that could never have room is too large, not early.
        let within = |signal: Signal, room_per_byte: usize, max_bytes: usize| {
            let largest = max_bytes.min(self.budget.limit(signal) / room_per_byte);
            (signal, Bounds { max_bytes: largest, timeout: self.settings.read_timeout, room_per_byte: 1 })
        };
        let body_max_bytes = self.settings.body_max_bytes;
        match route {
            Route::TracesV02 | Route::TracesV03 | Route::TracesV04 | Route::TracesV05 | Route::TracesV07 => {
                cross_site(headers)?;
                Ok((Signal::Traces, self.bounds(TRACE_ROOM_PER_BYTE)))
            }
            Route::Stats if self.egress.client_stats_are_full() => Err(body::no_room()),
            Route::Stats => {
                let (signal, bounds) = within(Signal::Stats, STATS_ROOM_PER_BYTE, body_max_bytes);
                Ok((signal, Bounds { room_per_byte: STATS_ROOM_PER_BYTE, ..bounds }))
            }
            Route::DogStatsD if self.dogstatsd.is_none() => {
                Err(Refusal::new(Reason::Disabled, "DogStatsD is off (DD_USE_DOGSTATSD)"))
            }
            Route::DogStatsD => {
                cross_site(headers)?;
                Ok(within(Signal::Metrics, 1, body_max_bytes))
            }
            Route::LogsInput => {
                let Some(logs) = &self.logs else {
                    return Err(Refusal::new(Reason::Disabled, "logs are off (DD_LOGS_ENABLED)"));
                };
                cross_site(headers)?;
                if !logs.has_room() {
                    return Err(body::no_room());
                }
                // The body, and what is made of it.
                Ok(within(Signal::Logs, 2, body_max_bytes))
            }
            _ => Ok(within(Signal::Proxied, 1, PROXIED_BODY_MAX_BYTES)),
        }
    }

    /// Accepts the body of a request, or refuses it whole. Does not wait: what needs labels is too early without.
    pub(crate) fn take(
        &self,
        route: Route,
        uri: &Uri,
        headers: &HeaderMap,
        taken: Taken<'_>,
        labels: Option<&Labels>,
    ) -> Result<Response<Body>, Refusal> {
        let labels = || {
            let early = "the platform's tags are not known yet; try again";
            labels.ok_or_else(|| Refusal::new(Reason::NoRoom, early))
        };
        match route {
            Route::TracesV02 | Route::TracesV03 | Route::TracesV04 | Route::TracesV05 | Route::TracesV07 => {
                self.traces(route, headers, taken, labels()?)
            }
            Route::Stats => self.stats(&ClientHeaders::read(headers), taken),
            Route::DogStatsD => {
                let took = self.dogstatsd.as_ref().is_some_and(|dogstatsd| dogstatsd.take_body(&taken.bytes));
                if took { Ok(json("{}".into())) } else { Err(body::no_room()) }
            }
            Route::LogsInput => match self.logs.as_ref().map(|logs| logs.take_body(&taken.bytes, taken.hold))
            {
                Some(Err(error)) => Err(Refusal::new(Reason::Malformed, error.to_string())),
                _ => Ok(json("{}".into())),
            },
            _ => Ok(self.queue(route, uri, headers, taken, labels()?)),
        }
    }

    fn bounds(&self, room_per_byte: usize) -> Bounds {
        Bounds { max_bytes: self.settings.body_max_bytes, timeout: self.settings.read_timeout, room_per_byte }
    }
}

fn json(body: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A web page of another site must not feed the agent (`facts/trace-intake.md` §1.2).
fn cross_site(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Refusal::new(Reason::CrossSite, "cross-site request rejected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
