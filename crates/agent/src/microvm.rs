//! What the platform of a MicroVM says of its life, as requests (`facts/platforms.md` §9).
//!
//! | request | here | with a program that hears of it too |
//! |---|---|---|
//! | `ready` | 200 while the program runs, else 503 | once it listens: its answer |
//! | `validate` | 200 | once it listens: its answer |
//! | `launch`, `run` | 200 | its answer |
//! | `resume` | connections of before the freeze are forgotten, what waits is sent; 200 | then: its answer |
//! | `suspend`, `terminate` | everything is sent; 200 when it is gone | meanwhile, and again behind: its answer |
//!
//! The answer to `terminate` is what ends the machine. So it comes when the backend has what was held, within
//! `LASTLIGHT_STOP_TIMEOUT`, and not before it because a stop has begun: these connections are served below everything
//! else. A program that does not answer in time is answered for with 504, one that cannot be reached with 503.

use crate::config::MicroVm;
use crate::flush::Flush;
use crate::forward::client::{ClientSettings, HttpClient, RequestError};
use crate::intake::door::Body;
use crate::transport::{BindError, Tcp};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// What every path starts with.
const PREFIX: &str = "/aws/lambda-microvms/runtime/beta/v1/";
/// How long a request, head and body each, may take to come.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Biggest body of a request, and of the program's answer, bytes: they are some words.
const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Pause between two tries to reach a program that does not listen yet.
const REACH_PAUSE: Duration = Duration::from_millis(50);

/// What the platform says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Is everything up, so that a snapshot can be taken?
    Ready,
    /// Did everything come back from the snapshot?
    Validate,
    /// The machine begins.
    Launch,
    /// It goes on.
    Resume,
    /// It will be frozen.
    Suspend,
    /// It will be gone.
    Terminate,
}

impl Hook {
    fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix(PREFIX)? {
            "ready" => Self::Ready,
            "validate" => Self::Validate,
            // The newer name is the second one.
            "launch" | "run" => Self::Launch,
            "resume" => Self::Resume,
            "suspend" => Self::Suspend,
            "terminate" => Self::Terminate,
            _ => return None,
        })
    }

    /// What enhanced metrics call it; none for a question.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Launch => Some("launch"),
            Self::Resume => Some("resume"),
            Self::Suspend => Some("suspend"),
            Self::Terminate => Some("terminate"),
            Self::Ready | Self::Validate => None,
        }
    }

    /// Whether it is a question, to which no telemetry belongs.
    fn is_question(self) -> bool {
        matches!(self, Self::Ready | Self::Validate)
    }

    /// Whether what is held may never get another chance.
    fn ends(self) -> bool {
        matches!(self, Self::Suspend | Self::Terminate)
    }
}

/// Who else wants to know, before anything is flushed: what happens, and to which machine, once the platform has said.
pub(crate) type Tell = Box<dyn Fn(Hook, Option<&str>) + Send + Sync>;

/// Answers the platform.
pub(crate) struct Hooks {
    settings: MicroVm,
    flush: Flush,
    /// How long the backend may take.
    flush_timeout: Duration,
    /// For the program alone: through no proxy.
    client: HttpClient,
    tell: Tell,
    /// The machine's name, as its launch said it.
    machine: OnceLock<String>,
    program_ended: AtomicBool,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Binds where the platform looks for us.
pub(crate) fn bind(settings: &MicroVm) -> Option<Result<Tcp, BindError>> {
    let mut last = None;
    for address in &settings.listen {
        match Tcp::bind_now(*address) {
            Ok(bound) => return Some(Ok(bound)),
            Err(error) => last = Some(error),
        }
    }
    let mut error = last?;
    error.advice =
        "choose another port with DD_AWS_MICROVM_LIFECYCLE_PORT, where the platform knows it".into();
    Some(Err(error))
}

impl Hooks {
    pub(crate) fn new(settings: MicroVm, flush: Flush, flush_timeout: Duration, tell: Tell) -> Self {
        Self {
            settings,
            flush,
            flush_timeout,
            client: HttpClient::new(&ClientSettings::default()),
            tell,
            machine: OnceLock::new(),
            program_ended: AtomicBool::new(false),
        }
    }

    /// The wrapped program has ended; nothing is ready any more.
    pub(crate) fn program_ended(&self) {
        self.program_ended.store(true, Ordering::Relaxed);
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(hook) = Hook::of(request.uri().path()) else { return status(StatusCode::NOT_FOUND) };
        if request.method() != Method::POST {
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (head, body) = request.into_parts();
        let body = match timeout(READ_TIMEOUT, Limited::new(body, BODY_MAX_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return status(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return status(StatusCode::REQUEST_TIMEOUT),
        };
        log::debug!("MicroVM: {hook:?}");
        match hook {
            Hook::Launch => self.launched(&body),
            Hook::Resume => self.flush.egress.thawed(),
            _ => {}
        }
        if !hook.is_question() {
            (self.tell)(hook, self.machine.get().map(String::as_str));
        }
        if hook.ends() {
            // On its way while the program still thinks; what the program has to say of it follows.
            self.flush.ask(true);
        }
        let response = match self.settings.app_port {
            Some(port) => self.pass_on(hook, port, &head.uri, &head.headers, body).await,
            None if hook == Hook::Ready && self.program_ended.load(Ordering::Relaxed) => {
                status(StatusCode::SERVICE_UNAVAILABLE)
            }
            None => status(StatusCode::OK),
        };
        if hook.ends() && !self.flush.through(self.flush_timeout).await {
            log::warn!(
                "MicroVM: not everything was delivered within {:?} of the platform's {hook:?}; it is kept, and lost if the machine does not go on (LASTLIGHT_STOP_TIMEOUT)",
                self.flush_timeout
            );
        }
        response
    }

    fn launched(&self, body: &[u8]) {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let machine = body.as_ref().and_then(|body| body["microVmId"].as_str()).filter(|id| !id.is_empty());
        if let Some(machine) = machine {
            self.machine.set(machine.to_owned()).ok();
        }
    }

    /// The program's answer, or one that says why there is none.
    async fn pass_on(
        &self,
        hook: Hook,
        port: u16,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Body> {
        let end = Instant::now()
            + match hook {
                Hook::Ready => self.settings.ready_timeout,
                Hook::Validate => self.settings.validate_timeout,
                _ => self.settings.forward_timeout,
            };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if hook.is_question() && timeout_at(end, reached(address)).await.is_err() {
            return status(StatusCode::GATEWAY_TIMEOUT);
        }
        let Ok(uri) = format!("http://{address}{}", uri.path()).parse() else {
            return status(StatusCode::BAD_REQUEST);
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        if let Some(kind) = headers.get(header::CONTENT_TYPE) {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        // A kept connection would be dead after a freeze.
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let left = end.saturating_duration_since(Instant::now());
        match self.client.request(request, left, BODY_MAX_BYTES).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let mut response = status(head.status);
                *response.body_mut() = Full::from(body);
                if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
                    response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                }
                response
            }
            Err(error) => {
                log::warn!("MicroVM: the program on port {port} has no answer to {hook:?}: {error}");
                status(match error {
                    RequestError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
                    RequestError::TooLarge(_) => StatusCode::BAD_GATEWAY,
                    RequestError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
                })
            }
        }
    }
}

/// Waits until somebody listens; whoever calls it bounds that wait.
async fn reached(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        sleep(REACH_PAUSE).await;
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}
