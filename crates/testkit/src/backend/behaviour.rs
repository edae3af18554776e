//! What a backend is told to do.

use serde::Deserialize;
use std::time::{Duration, Instant};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is acknowledged, like without a rule (to be combined with a delay).
    Acknowledge,
    /// It is answered with a status.
    Status(u16),
    /// Its body is read, then the connection is closed without an answer.
    CloseBeforeReply,
    /// Half of its body is read, then the connection is closed.
    CloseHalfRead,
    /// It waits until [`super::Backend::release`], then it is acknowledged.
    Hold,
    /// No connection: the port refuses, open connections are closed.
    Refuse,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Behaviour {
    action: Action,
    path: String,
    delay: Duration,
    retry_after: Option<String>,
    times: Option<u64>,
    wait: Duration,
    from: Option<Instant>,
    period: Option<Duration>,
}

impl Behaviour {
    /// A rule for every path, without an end.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            path: String::new(),
            delay: Duration::ZERO,
            retry_after: None,
            times: None,
            wait: Duration::ZERO,
            from: None,
            period: None,
        }
    }

    /// Answers with a status.
    pub fn status(status: u16) -> Self {
        Self::new(Action::Status(status))
    }

    /// Acknowledges after a delay.
    pub fn slow(delay: Duration) -> Self {
        Self::new(Action::Acknowledge).delay(delay)
    }

    /// Refuses connections.
    pub fn refuse() -> Self {
        Self::new(Action::Refuse)
    }

    /// Only for paths that start so. Ignored by [`Action::Refuse`].
    pub fn on(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Waits that long before it acts.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a `Retry-After` header to the answer.
    pub fn retry_after(mut self, value: &str) -> Self {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// Holds for so many requests. Ignored by [`Action::Refuse`].
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Begins so long after it was added, not at once.
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Holds for so long, from when it begins.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = Some(period);
        self
    }

    pub(super) fn add(&mut self, now: Instant) {
        self.from = Some(now + self.wait);
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    /// When connections are refused, and for how long, when this is such a rule.
    pub(super) fn refusal(&self) -> Option<(Instant, Option<Duration>)> {
        self.from.filter(|_| self.action == Action::Refuse).map(|from| (from, self.period))
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        let until = self.from.zip(self.period).map(|(from, period)| from + period);
        self.times == Some(0) || until.is_some_and(|until| now >= until)
    }

    pub(super) fn fits(&self, path: &str, now: Instant) -> bool {
        self.from.is_some_and(|from| now >= from) && path.starts_with(&self.path)
    }

    pub(super) fn use_once(&mut self) -> Verdict {
        if let Some(times) = &mut self.times {
            *times = times.saturating_sub(1);
        }
        Verdict { action: self.action, delay: self.delay, retry_after: self.retry_after.clone() }
    }
}

/// What one request gets.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) action: Action,
    pub(super) delay: Duration,
    pub(super) retry_after: Option<String>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { action: Action::Acknowledge, delay: Duration::ZERO, retry_after: None }
    }
}

/// A rule as `POST /_control/behave` takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BehaviourRequest {
    action: Action,
    #[serde(default)]
    path: String,
    #[serde(default)]
    delay_ms: u64,
    retry_after: Option<String>,
    times: Option<u64>,
    #[serde(default)]
    after_ms: u64,
    for_ms: Option<u64>,
}

impl From<BehaviourRequest> for Behaviour {
    fn from(request: BehaviourRequest) -> Self {
        Self {
            action: request.action,
            path: request.path,
            delay: Duration::from_millis(request.delay_ms),
            retry_after: request.retry_after,
            times: request.times,
            wait: Duration::from_millis(request.after_ms),
            from: None,
            period: request.for_ms.map(Duration::from_millis),
        }
    }
}
