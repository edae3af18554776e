//! The agent as what a channel serves: kinds and headers of submissions to routes and headers of requests.

use crate::Kind;
use agent::local::{Local, NotAccepted};
use agent::{HeaderMap, HeaderName, HeaderValue, Uri};
use channel::{Announced, Answer, Denied, Flushing, Headers, Peer, Reason, Service, Submission};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The header that says where a [`Kind::Request`] goes.
const PATH: &[u8] = b":path";

/// An agent on this thread, behind a channel.
#[derive(Debug)]
pub(crate) struct AgentService {
    local: Local,
    routes: Routes,
    flushes: Mutex<Vec<(Instant, Flushing)>>,
    /// Somebody was not served, and that was said.
    was_denied: AtomicBool,
}

/// The routes of the kinds that have one each.
#[derive(Debug)]
struct Routes {
    traces_v04: Uri,
    traces_v05: Uri,
    stats: Uri,
    dogstatsd: Uri,
    telemetry: Uri,
    logs: Uri,
}

impl Routes {
    fn new() -> Self {
        Self {
            traces_v04: Uri::from_static("/v0.4/traces"),
            traces_v05: Uri::from_static("/v0.5/traces"),
            stats: Uri::from_static("/v0.6/stats"),
            dogstatsd: Uri::from_static("/dogstatsd/v2/proxy"),
            telemetry: Uri::from_static("/telemetry/proxy/api/v2/apmtelemetry"),
            logs: Uri::from_static("/v1/input"),
        }
    }

    fn of(&self, kind: u16, headers: &Headers<'_>) -> Result<Uri, Reason> {
        let uri = match Kind::try_from(kind).map_err(|_| Reason::Kind)? {
            Kind::TracesV04 => &self.traces_v04,
            Kind::TracesV05 => &self.traces_v05,
            Kind::Stats => &self.stats,
            Kind::DogStatsD => &self.dogstatsd,
            Kind::Telemetry => &self.telemetry,
            Kind::Logs => &self.logs,
            Kind::Request => {
                let path = headers.get(PATH).ok_or(Reason::Invalid)?;
                // A path and no address: whoever sends it does not say to whom.
                let is_path = path.first() == Some(&b'/');
                return Uri::try_from(path).ok().filter(|_| is_path).ok_or(Reason::Invalid);
            }
        };
        Ok(uri.clone())
    }
}

impl AgentService {
    pub(crate) fn new(local: Local) -> Arc<Self> {
        Arc::new(Self {
            local,
            routes: Routes::new(),
            flushes: Mutex::default(),
            was_denied: AtomicBool::new(false),
        })
    }

    /// Flushes that clients asked for since the last call: until when, and whom to tell.
    pub(crate) fn take_flushes(&self) -> Vec<(Instant, Flushing)> {
        std::mem::take(&mut *self.flushes())
    }

    /// Delivers everything; whether that was done by then.
    pub(crate) fn flushed_by(&self, deadline: Instant) -> impl Future<Output = bool> + Send + use<> {
        self.local.flush(deadline.saturating_duration_since(Instant::now()))
    }

    fn flushes(&self) -> MutexGuard<'_, Vec<(Instant, Flushing)>> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for AgentService {
    fn admit(&self, announced: &Announced<'_>) -> Option<Answer> {
        let uri = match self.routes.of(announced.kind, &announced.headers) {
            Ok(uri) => uri,
            Err(reason) => return Some(Answer::Refused(reason)),
        };
        let admitted = self.local.admits(&uri, &header_map(&announced.headers), announced.bytes);
        admitted.err().map(|why| answer(&why))
    }

    fn submit(&self, submission: Submission<'_>) -> Answer {
        let uri = match self.routes.of(submission.kind, &submission.headers) {
            Ok(uri) => uri,
            Err(reason) => return Answer::Refused(reason),
        };
        let headers = header_map(&submission.headers);
        let hold = Arc::new(submission.settling);
        match self.local.submit(&uri, &headers, submission.payload, hold) {
            Ok(()) => Answer::Accepted,
            Err(why) => answer(&why),
        }
    }

    fn flush(&self, deadline: Instant, flushing: Flushing) {
        self.flushes().push((deadline, flushing));
    }

    fn stats(&self) -> String {
        self.local.status()
    }

    fn denied(&self, peer: Peer, why: Denied) {
        // Whoever it is may come again and again.
        if !self.was_denied.swap(true, Ordering::Relaxed) {
            log::warn!(
                "a process is not served: {why:?} (process {}, user {}); from now on that is counted only",
                peer.pid,
                peer.uid
            );
        }
    }
}

fn answer(why: &NotAccepted) -> Answer {
    match why {
        NotAccepted::Later { retry_after } => Answer::NoRoom { retry_after: *retry_after },
        NotAccepted::TooLarge => Answer::Refused(Reason::TooBig),
        NotAccepted::Malformed => Answer::Refused(Reason::Invalid),
        NotAccepted::NoRoute => Answer::Refused(Reason::Kind),
        NotAccepted::Panicked => Answer::Refused(Reason::Panicked),
    }
}

/// What cannot be a header of HTTP is left out: it has no meaning to any route.
fn header_map(headers: &Headers<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}
