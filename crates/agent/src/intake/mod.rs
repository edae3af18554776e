//! The receiver: HTTP requests of tracers, on every transport alike.
//!
//! Accepting is one point: room is reserved, the body read and decoded, a receipt taken, the data enqueued,
//! and then the answer says 2xx. Before that point the sender is told and keeps its data ([`door`]).

mod body;
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
use crate::room::Budget;
use body::Bounds;
use client::ClientHeaders;
use door::{Body, Door, Reason, Refusal};
use egress::Egress;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use labels::LabelsCell;
use model::{Books, Signal};
use pipeline::process::Processor;
use proxied::Passes;
use routes::Route;
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
            Route::EvpProxy | Route::OpenLineage | Route::TracerFlare => self.pass(route, request).await,
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
            Route::TracesV02 | Route::TracesV03 | Route::TracesV04 | Route::TracesV05 | Route::TracesV07 => {
                let (head, incoming) = request.into_parts();
                cross_site(&head.headers)?;
                let bounds = self.bounds(TRACE_ROOM_PER_BYTE);
                let received =
                    body::read(&self.budget, Signal::Traces, &head.headers, incoming, bounds).await?;
                let labels = self.labels.ready().await;
                self.traces(route, &head.headers, received, labels)
            }
            Route::Stats => {
                let (head, incoming) = request.into_parts();
                if self.egress.client_stats_are_full() {
                    return Err(body::no_room());
                }
                let bounds = self.bounds(STATS_ROOM_PER_BYTE);
                // A body that could never have room is too large, not early.
                let largest = self.budget.limit(Signal::Stats) / STATS_ROOM_PER_BYTE;
                let bounds = Bounds { max_bytes: bounds.max_bytes.min(largest), ..bounds };
                let received =
                    body::read(&self.budget, Signal::Stats, &head.headers, incoming, bounds).await?;
                self.stats(&ClientHeaders::read(&head.headers), received)
            }
            Route::DogStatsD => {
                let Some(dogstatsd) = &self.dogstatsd else {
                    return Err(Refusal::new(Reason::Disabled, "DogStatsD is off (DD_USE_DOGSTATSD)"));
                };
                let (head, incoming) = request.into_parts();
                cross_site(&head.headers)?;
                let bounds = self.bounds(1);
                let largest = self.budget.limit(Signal::Metrics);
                let bounds = Bounds { max_bytes: bounds.max_bytes.min(largest), ..bounds };
                let received =
                    body::read(&self.budget, Signal::Metrics, &head.headers, incoming, bounds).await?;
                if dogstatsd.take_body(&received.bytes) {
                    Ok(json("{}".into()))
                } else {
                    Err(body::no_room())
                }
            }
            Route::LogsInput => {
                let Some(logs) = &self.logs else {
                    return Err(Refusal::new(Reason::Disabled, "logs are off (DD_LOGS_ENABLED)"));
                };
                let (head, incoming) = request.into_parts();
                cross_site(&head.headers)?;
                if !logs.has_room() {
                    return Err(body::no_room());
                }
                let bounds = self.bounds(1);
                let largest = self.budget.limit(Signal::Logs) / 2;
                let bounds = Bounds { max_bytes: bounds.max_bytes.min(largest), ..bounds };
                let received =
                    body::read(&self.budget, Signal::Logs, &head.headers, incoming, bounds).await?;
                match logs.take_body(&received.bytes) {
                    Ok(()) => Ok(json("{}".into())),
                    Err(error) => Err(Refusal::new(Reason::Malformed, error.to_string())),
                }
            }
            Route::PipelineStats
            | Route::Profiling
            | Route::Telemetry
            | Route::DebuggerInput
            | Route::DebuggerDiagnostics
            | Route::SymDb => self.queue(route, request).await,
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
fn cross_site(headers: &http::HeaderMap) -> Result<(), Refusal> {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Refusal::new(Reason::CrossSite, "cross-site request rejected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
