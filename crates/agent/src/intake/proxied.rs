//! Requests that are forwarded without being understood (`facts/trace-intake.md` §10).
//!
//! Profiles, data streams, telemetry and the debugger's uploads want nothing back: they are accepted,
//! queued, retried and booked like traces (losses.md L33 to L35). Event-platform, flare and lineage
//! requests are questions: they are passed through, and the backend's answer is the client's.

use super::body::{self, Bounds};
use super::door::{Body, Reason, Refusal};
use super::info::VERSION;
use super::labels::Labels;
use super::routes::Route;
use super::{Intake, Taken};
use crate::config::{Endpoint, EvpProxy, Secret};
use crate::forward::client::RequestError;
use crate::forward::{Kind, Outgoing, Target, header_value};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use model::limits::PROXIED_BODY_MAX_BYTES;
use model::{Outcome, Signal, Why};
use std::borrow::Cow;
use std::time::Duration;

/// Headers of an event-platform request that reach the backend.
pub(crate) const EVP_ALLOWED_HEADERS: &[&str] =
    &["Content-Type", "Accept-Encoding", "Content-Encoding", "User-Agent", "DD-CI-PROVIDER-NAME"];
/// How long the backend has to answer a request that is passed through.
const PASS_TIMEOUT: Duration = Duration::from_secs(30);
/// The biggest answer that is passed back.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;
/// `ddtags` of a debugger upload are cut here (`facts/trace-intake.md` §10).
const DEBUGGER_TAGS_MAX_BYTES: usize = 4_001;

const API_KEY: HeaderName = HeaderName::from_static("dd-api-key");
const APPLICATION_KEY: HeaderName = HeaderName::from_static("dd-application-key");
const ADDITIONAL_TAGS: HeaderName = HeaderName::from_static("x-datadog-additional-tags");
const REQUEST_ID: HeaderName = HeaderName::from_static("dd-request-id");
const EVP_ORIGIN: HeaderName = HeaderName::from_static("dd-evp-origin");

/// Headers that end at each hop, or that we write ourselves.
const NOT_FORWARDED: &[&str] = &[
    "connection",
    "content-length",
    "dd-api-key",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Intake {
    /// Accepts a request whose sender wants no answer of the backend.
    pub(super) fn queue(
        &self,
        route: Route,
        uri: &Uri,
        sent: &HeaderMap,
        taken: Taken<'_>,
        labels: &Labels,
    ) -> Response<Body> {
        let mut headers = forwarded(sent);
        let query = uri.query();
        let (kind, path): (_, Cow<'static, str>) = match route {
            Route::PipelineStats => (Kind::DataStreams, "/api/v0.1/pipeline_stats".into()),
            Route::Telemetry => {
                self.telemetry_headers(&mut headers);
                let path = uri.path().strip_prefix("/telemetry/proxy").unwrap_or_default();
                (Kind::Telemetry, with_query(path, query))
            }
            Route::DebuggerInput | Route::DebuggerDiagnostics | Route::SymDb => {
                let kind = match route {
                    Route::DebuggerInput => Kind::DebuggerLogs,
                    Route::SymDb => Kind::SymbolDatabase,
                    _ => Kind::DebuggerDiagnostics,
                };
                headers.push((REQUEST_ID, request_id()));
                headers.push((EVP_ORIGIN, HeaderValue::from_static("agent-debugger")));
                (kind, debugger_query(&labels.proxied_tags, sent, query).into())
            }
            _ => (Kind::Profiles, "".into()),
        };
        if matches!(route, Route::PipelineStats | Route::Profiling) {
            additional_tags(&mut headers, &labels.proxied_tags);
        }
        let mut receipt = self.books.accept(Signal::Proxied, 1);
        let Taken { bytes, room, hold } = taken;
        if let Some(hold) = hold {
            receipt.attach(hold);
        }
        let target = Target { kind, path };
        let body = Bytes::from(bytes.into_owned());
        self.egress.forwarder.submit(Outgoing { target, headers, body, receipt, room });
        answer(route)
    }

    /// Passes a question through and the backend's answer back.
    pub(super) async fn pass(
        &self,
        route: Route,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let (head, incoming) = request.into_parts();
        let plan = self.plan(route, &head.uri, &head.headers)?;
        let has_body = head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        let received = if has_body {
            let bounds = Bounds {
                max_bytes: plan.body_max_bytes.min(self.budget.limit(Signal::Proxied)),
                timeout: self.settings.read_timeout,
                room_per_byte: 1,
            };
            Some(body::read(&self.budget, Signal::Proxied, &head.headers, incoming, bounds).await?)
        } else {
            None
        };
        // The room is held until the answer is here.
        let (bytes, _room) = received.map(|received| (received.bytes, received.room)).unzip();
        self.ask(head.method, plan, bytes.unwrap_or_default()).await
    }

    async fn ask(&self, method: Method, plan: Plan, body: Vec<u8>) -> Result<Response<Body>, Refusal> {
        let mut outgoing = Request::new(Bytes::from(body));
        *outgoing.method_mut() = method;
        *outgoing.uri_mut() = plan.uri;
        outgoing.headers_mut().extend(plan.headers);
        let answer = self.client.request(outgoing, plan.timeout, ANSWER_MAX_BYTES).await;
        match answer {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = head.status;
                for (name, value) in &head.headers {
                    if !NOT_FORWARDED.contains(&name.as_str()) {
                        response.headers_mut().append(name, value.clone());
                    }
                }
                Ok(response)
            }
            Err(error) => {
                let what = match error {
                    RequestError::Timeout(_) => "did not answer in time",
                    RequestError::TooLarge(_) => "answered too much",
                    RequestError::Failed(_) => "could not be reached",
                };
                Err(Refusal::new(Reason::BadGateway, format!("the backend {what}: {error}")))
            }
        }
    }

    /// Passes on what somebody said who waits for no answer, and says how it ended.
    pub(crate) async fn say(&self, plan: Plan, body: Vec<u8>) -> Outcome {
        match self.ask(Method::POST, plan, body).await {
            Ok(answer) if answer.status().is_success() => Outcome::Delivered,
            Ok(answer) => Outcome::Dropped(match answer.status().as_u16() {
                400 => Why::BadRequest,
                401 | 403 => Why::Forbidden,
                413 => Why::TooLarge,
                _ => Why::Refused,
            }),
            Err(_) => Outcome::Dropped(Why::Refused),
        }
    }

    /// What a request that is passed through becomes, or why it cannot be.
    pub(crate) fn plan(&self, route: Route, uri: &Uri, headers: &HeaderMap) -> Result<Plan, Refusal> {
        match route {
            Route::EvpProxy => match &self.passes.evp {
                Some(evp) => self.evp_plan(evp, uri, headers),
                None => {
                    Err(Refusal::new(Reason::MethodNotAllowed, "the event-platform proxy is switched off"))
                }
            },
            Route::TracerFlare => self.plain_plan(&self.passes.tracer_flare, headers, |key| (API_KEY, key)),
            _ => match &self.passes.openlineage {
                Some(endpoint) => self.plain_plan(endpoint, headers, |key| {
                    let mut bearer = b"Bearer ".to_vec();
                    bearer.extend_from_slice(key.as_bytes());
                    let value = HeaderValue::from_bytes(&bearer).unwrap_or(key);
                    (header::AUTHORIZATION, value)
                }),
                None => Err(Refusal::new(Reason::NotFound, "the OpenLineage route is switched off")),
            },
        }
    }

    fn plain_plan(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        key_header: impl Fn(HeaderValue) -> (HeaderName, HeaderValue),
    ) -> Result<Plan, Refusal> {
        let mut forwarded = forwarded(headers);
        forwarded.push(key_header(self.key(endpoint.api_key.as_ref())));
        Ok(Plan {
            uri: target(endpoint.url.as_str())?,
            headers: forwarded.into_iter().collect(),
            body_max_bytes: PROXIED_BODY_MAX_BYTES,
            timeout: PASS_TIMEOUT,
        })
    }

    fn evp_plan(&self, evp: &EvpProxy, uri: &Uri, headers: &HeaderMap) -> Result<Plan, Refusal> {
        let bad = |what: &str| Refusal::new(Reason::BadGateway, format!("event-platform proxy: {what}"));
        let subdomain = headers
            .get("x-datadog-evp-subdomain")
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| bad("the header X-Datadog-EVP-Subdomain is missing"))?;
        let allowed =
            |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        if subdomain.is_empty() || !allowed(subdomain, "_.-") {
            return Err(bad("the subdomain has characters other than letters, digits, `_`, `.` and `-`"));
        }
        // `/evp_proxy/vN` goes, what follows stays.
        let path = uri.path().get("/evp_proxy/v1".len()..).unwrap_or("/");
        if !allowed(path, "/_+-") {
            return Err(bad("the path has characters that are not passed on"));
        }
        let query = uri.query().unwrap_or_default();
        if !allowed(query, "/_+-@?&=.:\"") {
            return Err(bad("the query has characters that are not passed on"));
        }
        let mut passed = HeaderMap::new();
        for name in EVP_ALLOWED_HEADERS {
            if let Some(value) = headers.get(*name)
                && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            {
                passed.insert(name, value.clone());
            }
        }
        passed.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(""));
        passed.insert(header::VIA, header_value(&format!("trace-agent {VERSION}")));
        passed.insert("x-datadog-hostname", header_value(&self.settings.hostname));
        passed.insert("x-datadog-agentdefaultenv", header_value(&self.settings.env));
        if let Some(container) = headers.get("datadog-container-id") {
            passed.insert("datadog-container-id", container.clone());
        }
        passed.insert(API_KEY, self.key(evp.api_key.as_ref()));
        if headers.get("x-datadog-needsappkey").is_some_and(|value| value == "true") {
            let Some(key) = &evp.application_key else {
                return Err(bad("the request needs an application key, and none is set (DD_APP_KEY)"));
            };
            passed.insert(APPLICATION_KEY, secret_value(key));
        }
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        Ok(Plan {
            uri: target(&format!("{}{path}{query}", evp.target.base(subdomain)))?,
            headers: passed,
            body_max_bytes: evp.body_max_bytes,
            timeout: evp.timeout,
        })
    }

    fn telemetry_headers(&self, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        let settings = &self.settings;
        headers.push((HeaderName::from_static("dd-agent-hostname"), header_value(&settings.hostname)));
        headers.push((HeaderName::from_static("dd-agent-env"), header_value(&settings.env)));
        if let Some(resource) = settings.cloud_resource_type {
            headers.push((HeaderName::from_static("dd-cloud-provider"), header_value(settings.cloud)));
            headers.push((
                HeaderName::from_static("dd-cloud-resource-type"),
                HeaderValue::from_static(resource),
            ));
        }
    }

    fn key(&self, own: Option<&Secret>) -> HeaderValue {
        own.map_or_else(|| self.passes.api_key.clone(), secret_value)
    }
}

/// Where the routes that are passed through go.
#[derive(Debug)]
pub(crate) struct Passes {
    pub(crate) api_key: HeaderValue,
    pub(crate) evp: Option<EvpProxy>,
    pub(crate) tracer_flare: Endpoint,
    pub(crate) openlineage: Option<Endpoint>,
}

/// What a request that is passed through becomes.
pub(crate) struct Plan {
    uri: Uri,
    headers: HeaderMap,
    body_max_bytes: usize,
    timeout: Duration,
}

/// A key as a header value that is not printed.
pub(crate) fn secret_value(key: &Secret) -> HeaderValue {
    let mut value = header_value(key.expose());
    value.set_sensitive(true);
    value
}

fn target(url: &str) -> Result<Uri, Refusal> {
    url.parse().map_err(|error| Refusal::new(Reason::BadGateway, format!("{url:?} is no target: {error}")))
}

/// The client's headers without those of its hop.
fn forwarded(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut forwarded: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !NOT_FORWARDED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    forwarded.push((header::VIA, header_value(&format!("trace-agent {VERSION}"))));
    if !headers.contains_key(header::USER_AGENT) {
        // An absent one would be taken for ours.
        forwarded.push((header::USER_AGENT, HeaderValue::from_static("")));
    }
    forwarded
}

/// Joins our tags to those the client sent.
fn additional_tags(headers: &mut Vec<(HeaderName, HeaderValue)>, ours: &str) {
    if ours.is_empty() {
        return;
    }
    let theirs = headers.iter_mut().find(|(name, _)| *name == ADDITIONAL_TAGS);
    match theirs {
        Some((_, value)) => {
            let mut joined = value.as_bytes().to_vec();
            joined.push(b',');
            joined.extend_from_slice(ours.as_bytes());
            // Both parts are header values, so the whole is one (losses.md L36: the request goes either way).
            if let Ok(joined) = HeaderValue::from_bytes(&joined) {
                *value = joined;
            }
        }
        None => headers.push((ADDITIONAL_TAGS, header_value(ours))),
    }
}

fn with_query(path: &str, query: Option<&str>) -> Cow<'static, str> {
    match query {
        Some(query) => format!("{path}?{query}").into(),
        None => path.to_owned().into(),
    }
}

/// The query of a debugger upload: our tags, the client's header, the original `ddtags`, cut to the bound.
fn debugger_query(ours: &str, headers: &HeaderMap, query: Option<&str>) -> String {
    let header = headers.get(&ADDITIONAL_TAGS).and_then(|value| value.to_str().ok()).unwrap_or("");
    let pairs = || query.unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    let original = pairs().find_map(|pair| pair.strip_prefix("ddtags=")).unwrap_or("");
    let mut tags = String::new();
    for part in [&escape(ours), &escape(header), original] {
        if !part.is_empty() {
            if !tags.is_empty() {
                tags.push_str("%2C");
            }
            tags.push_str(part);
        }
    }
    cut(&mut tags, DEBUGGER_TAGS_MAX_BYTES);
    let mut query: String = pairs().filter(|pair| !pair.starts_with("ddtags=")).collect::<Vec<_>>().join("&");
    if !tags.is_empty() {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str("ddtags=");
        query.push_str(&tags);
    }
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Cuts encoded text without leaving half an escape.
fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes && text.is_char_boundary(max_bytes) {
        text.truncate(max_bytes);
        if let Some(at) = text.rfind('%').filter(|at| at + 3 > text.len()) {
            text.truncate(at);
        }
    }
}

/// Percent-encodes a query value (RFC 3986: everything but unreserved characters).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A random version 4 UUID.
fn request_id() -> HeaderValue {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0xc << 60) | (0x4 << 76) | (0x8 << 60);
    let hex = format!("{bits:032x}");
    header_value(&format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// What the sender of a queued request hears (`facts/trace-intake.md` §1).
fn answer(route: Route) -> Response<Body> {
    let (status, body) = match route {
        Route::Profiling => {
            (StatusCode::OK, "{\"message\":\"Successfully buffered profiling request to be flushed\"}")
        }
        Route::PipelineStats => {
            (StatusCode::OK, "{\"message\":\"Successfully buffered data streams request to be flushed\"}")
        }
        Route::Telemetry => (StatusCode::OK, "{}"),
        // What the intake of the debugger answers.
        _ => (StatusCode::ACCEPTED, "{}"),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tags_join_the_clients() {
        let mut headers = vec![(ADDITIONAL_TAGS, HeaderValue::from_static("a:1"))];
        additional_tags(&mut headers, "b:2");
        assert_eq!(headers[0].1, "a:1,b:2");
        let mut headers = Vec::new();
        additional_tags(&mut headers, "b:2");
        assert_eq!(headers[0].1, "b:2");
    }

    #[test]
    fn l36_tags_that_are_no_header_do_not_cost_the_request() {
        let mut headers = vec![(ADDITIONAL_TAGS, HeaderValue::from_static("a:1"))];
        additional_tags(&mut headers, "b:line\nbreak");
        assert_eq!(headers[0].1, "a:1");
    }

    #[test]
    fn the_debuggers_query_carries_all_tags_and_stays_a_query() {
        let mut headers = HeaderMap::new();
        headers.insert(ADDITIONAL_TAGS, HeaderValue::from_static("c:d e"));
        let query = debugger_query("a:b", &headers, Some("x=1&ddtags=f%3Ag"));
        assert_eq!(query, "?x=1&ddtags=a%3Ab%2Cc%3Ad%20e%2Cf%3Ag");
        assert_eq!(debugger_query("", &HeaderMap::new(), None), "");
        let long = debugger_query(&"t".repeat(10_000), &HeaderMap::new(), None);
        assert_eq!(long.len(), "?ddtags=".len() + DEBUGGER_TAGS_MAX_BYTES);
        let escapes = debugger_query(&":".repeat(10_000), &HeaderMap::new(), None);
        assert!(escapes.ends_with("%3A") && escapes.len() <= "?ddtags=".len() + DEBUGGER_TAGS_MAX_BYTES);
    }

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let id = request_id();
        let id = id.to_str().expect("text");
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
