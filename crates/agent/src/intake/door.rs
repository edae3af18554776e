//! What is turned away before it is accepted: the sender is told, and keeps its data.

use super::routes::Route;
use crate::logging::SayOnce;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use std::sync::atomic::{AtomicU64, Ordering};

/// The body type of every answer.
pub(crate) type Body = Full<bytes::Bytes>;

/// How long a sender is asked to wait when there is no room, seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident;)*) => {
        /// Why a request was not accepted.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        pub(crate) enum Reason { $($(#[$doc])* $variant),* }

        impl Reason {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in status and metrics.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The status of the answer (`facts/trace-intake.md` §1.2).
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }
        }
    };
}

refusals! {
    /// The body does not decode.
    Malformed = "malformed", BAD_REQUEST;
    /// Neither Content-Length nor chunked.
    LengthRequired = "length_required", LENGTH_REQUIRED;
    /// The body, or what it decodes to, is over the bound.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE;
    /// The body did not arrive in time.
    Timeout = "timeout", REQUEST_TIMEOUT;
    /// The memory bound is reached.
    NoRoom = "no_room", TOO_MANY_REQUESTS;
    /// No such path.
    NotFound = "not_found", NOT_FOUND;
    /// The path takes other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The route does not take this content type.
    UnsupportedMedia = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// A browser sent it from another site.
    CrossSite = "cross_site", FORBIDDEN;
    /// The connection broke before the body was complete.
    Disconnected = "disconnected", BAD_REQUEST;
    /// The backend of a pass-through route could not be reached.
    BadGateway = "bad_gateway", BAD_GATEWAY;
    /// The route is switched off (`facts/trace-intake.md` §1).
    Disabled = "disabled", SERVICE_UNAVAILABLE;
    /// Our own fault: the request panicked.
    Panicked = "panicked", INTERNAL_SERVER_ERROR;
}

/// A request that is not accepted, and the words for its sender.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut body = self.message.clone();
        body.push('\n');
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self.reason {
            Reason::NoRoom => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            Reason::MethodNotAllowed => {
                headers.insert(header::ALLOW, HeaderValue::from_static("PUT, POST"));
            }
            // What is left of the body will not be read, so the connection cannot be used again.
            Reason::TooLarge | Reason::Timeout | Reason::Disconnected | Reason::LengthRequired => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Counts of requests turned away, by route and reason.
#[derive(Debug)]
pub(crate) struct Door {
    refused: Box<[[AtomicU64; Reason::ALL.len()]; Route::COUNT]>,
    say: SayOnce,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            refused: Box::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)))),
            say: SayOnce::default(),
        }
    }
}

impl Door {
    /// Counts a refusal, says it once an interval, and makes the answer.
    pub(crate) fn refuse(&self, route: Route, refusal: &Refusal) -> Response<Body> {
        self.refused[route as usize][refusal.reason as usize].fetch_add(1, Ordering::Relaxed);
        let kind = format!("{} {}", route.name(), refusal.reason.name());
        self.say.warn(&kind, || {
            format!(
                "refused a request to {} with {}: {}",
                route.name(),
                refusal.reason.status().as_u16(),
                refusal.message
            )
        });
        refusal.response()
    }

    /// The counts above zero: route, reason, requests.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        Route::ALL.iter().flat_map(move |route| {
            Reason::ALL.iter().filter_map(move |reason| {
                let count = self.refused[*route as usize][*reason as usize].load(Ordering::Relaxed);
                (count > 0).then(|| (route.name(), reason.name(), count))
            })
        })
    }
}
