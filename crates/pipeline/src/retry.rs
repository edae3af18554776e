//! What is sent again, and when.
//!
//! `facts/delivery.md` §8 compares what others do. Here every signal follows one table: no answer, 408,
//! 429 and 5xx are tried again for as long as memory and the stop deadline allow; any 2xx is a success
//! (losses.md L27); every other answer is final, because sending the same bytes again cannot change it
//! (L109: a wrong URL retried for ever).

use model::Why;
use std::time::{Duration, Instant};

/// Longest wait after a first failure.
pub const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// Longest wait after any number of failures: an endpoint that is back is found within this time.
pub const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// Shortest wait. Full jitter alone may wait zero, which with a fast refusal is a busy loop.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// Longest `Retry-After` that is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Before a stop deadline one wait takes at most this fraction of the time left, so that several tries fit.
pub const TRIES_BEFORE_DEADLINE: u32 = 6;

/// What came back from one attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// An HTTP status.
    Status {
        /// The status code.
        code: u16,
        /// How long the backend asked to wait, as seconds or already taken from an HTTP date.
        retry_after: Option<Duration>,
    },
    /// No answer: refused, reset, closed half-way or timed out.
    Nothing,
}

impl Answer {
    /// A status without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None }
    }

    /// How long the backend asked to wait, bounded by [`RETRY_AFTER_MAX`].
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
            Self::Nothing => None,
        }
    }
}

/// What becomes of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The backend has it.
    Delivered,
    /// It is sent again at this moment, which lies after `now` and before the deadline.
    RetryAt(Instant),
    /// It is given up.
    Drop(Why),
}

/// Decides after attempt number `attempt` (0 is the first) was answered.
///
/// `deadline` is the end of the stop, when one has begun. `jitter` lies in 0..1; anything else,
/// NaN included, counts as the nearest bound.
pub fn decide(attempt: u32, answer: Answer, now: Instant, deadline: Option<Instant>, jitter: f64) -> Verdict {
    let code = match answer {
        Answer::Nothing => return again(attempt, None, now, deadline, jitter),
        Answer::Status { code, .. } => code,
    };
    match code {
        200..=299 => Verdict::Delivered,
        408 | 429 | 500..=599 => again(attempt, answer.retry_after(), now, deadline, jitter),
        400 => Verdict::Drop(Why::BadRequest),
        401 | 403 => Verdict::Drop(Why::Forbidden),
        413 => Verdict::Drop(Why::TooLarge),
        _ => Verdict::Drop(Why::Refused),
    }
}

/// When to try again after failure number `attempt` (0 is the first); `None` when the deadline comes first.
///
/// Full jitter: anywhere between [`BACKOFF_MIN`] and a bound that doubles from [`BACKOFF_BASE`] to
/// [`BACKOFF_MAX`].
pub fn backoff(attempt: u32, now: Instant, deadline: Option<Instant>, jitter: f64) -> Option<Instant> {
    // losses.md L153: the shift cannot overflow and a jitter of zero divides nothing.
    let doubled = 1_u32.checked_shl(attempt).and_then(|factor| BACKOFF_BASE.checked_mul(factor));
    let bound = doubled.map_or(BACKOFF_MAX, |bound| bound.min(BACKOFF_MAX));
    let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
    wait(now, deadline, bound.mul_f64(jitter))
}

fn again(
    attempt: u32,
    retry_after: Option<Duration>,
    now: Instant,
    deadline: Option<Instant>,
    jitter: f64,
) -> Verdict {
    let at = match retry_after {
        Some(asked) => wait(now, deadline, asked),
        None => backoff(attempt, now, deadline, jitter),
    };
    at.map_or(Verdict::Drop(Why::Deadline), Verdict::RetryAt)
}

fn wait(now: Instant, deadline: Option<Instant>, wanted: Duration) -> Option<Instant> {
    let Some(deadline) = deadline else {
        return now.checked_add(wanted.max(BACKOFF_MIN));
    };
    let left = deadline.saturating_duration_since(now);
    let at = now.checked_add(wanted.min(left / TRIES_BEFORE_DEADLINE).max(BACKOFF_MIN))?;
    (at < deadline).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn verdict(code: u16) -> Verdict {
        decide(0, Answer::status(code), Instant::now(), None, 0.5)
    }

    #[test]
    fn l27_any_2xx_is_a_success() {
        for code in [200, 202, 204, 299] {
            assert_eq!(verdict(code), Verdict::Delivered, "{code}");
        }
    }

    #[test]
    fn l34_what_may_pass_is_tried_again() {
        for code in [408, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(verdict(code), Verdict::RetryAt(_)), "{code}");
        }
        let nothing = decide(0, Answer::Nothing, Instant::now(), None, 0.5);
        assert!(matches!(nothing, Verdict::RetryAt(_)));
    }

    #[test]
    fn l109_what_cannot_pass_is_given_up_with_its_reason() {
        assert_eq!(verdict(400), Verdict::Drop(Why::BadRequest));
        assert_eq!(verdict(401), Verdict::Drop(Why::Forbidden));
        assert_eq!(verdict(403), Verdict::Drop(Why::Forbidden));
        assert_eq!(verdict(413), Verdict::Drop(Why::TooLarge));
        for code in [100, 301, 302, 307, 404, 405, 411, 415, 422, 499, 600, 0] {
            assert_eq!(verdict(code), Verdict::Drop(Why::Refused), "{code}");
        }
    }

    #[test]
    fn l113_retry_after_is_obeyed_up_to_its_bound() {
        let now = Instant::now();
        let asked = |wait| Answer::Status { code: 429, retry_after: Some(wait) };
        assert_eq!(decide(0, asked(7 * SECOND), now, None, 0.0), Verdict::RetryAt(now + 7 * SECOND));
        let day = decide(0, asked(86_400 * SECOND), now, None, 0.0);
        assert_eq!(day, Verdict::RetryAt(now + RETRY_AFTER_MAX));
        assert_eq!(decide(0, asked(Duration::ZERO), now, None, 0.0), Verdict::RetryAt(now + BACKOFF_MIN));
        let endless = Answer::Status { code: 503, retry_after: Some(Duration::MAX) };
        assert_eq!(decide(0, endless, now, None, 0.0), Verdict::RetryAt(now + RETRY_AFTER_MAX));
    }

    #[test]
    fn the_bound_doubles_up_to_its_maximum() {
        let now = Instant::now();
        let longest = |attempt| backoff(attempt, now, None, 1.0).unwrap() - now;
        assert_eq!(longest(0), BACKOFF_BASE);
        assert_eq!(longest(1), 2 * BACKOFF_BASE);
        assert_eq!(longest(3), 8 * BACKOFF_BASE);
        assert_eq!(longest(10), BACKOFF_MAX);
    }

    #[test]
    fn l153_no_attempt_and_no_jitter_overflows() {
        let now = Instant::now();
        for attempt in [0, 31, 32, 64, u32::MAX] {
            for jitter in [0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let at = backoff(attempt, now, None, jitter).unwrap();
                assert!((BACKOFF_MIN..=BACKOFF_MAX).contains(&(at - now)), "{attempt} {jitter}");
            }
        }
    }

    #[test]
    fn past_the_deadline_nothing_is_tried() {
        let now = Instant::now();
        assert_eq!(decide(0, Answer::Nothing, now, Some(now), 0.5), Verdict::Drop(Why::Deadline));
        assert_eq!(
            decide(0, Answer::status(503), now + SECOND, Some(now), 0.5),
            Verdict::Drop(Why::Deadline)
        );
    }

    #[test]
    fn l92_several_tries_fit_before_the_deadline() {
        // The worst case: every wait is the longest allowed, after an outage so long that the bound is reached.
        let start = Instant::now();
        let deadline = start + 9 * SECOND;
        let mut now = start;
        let mut tries = 0;
        while let Some(at) = backoff(20, now, Some(deadline), 1.0) {
            now = at;
            tries += 1;
        }
        assert!(tries > TRIES_BEFORE_DEADLINE, "{tries}");
        assert!(deadline - now <= BACKOFF_MIN, "the last try is close to the deadline");
    }

    proptest! {
        #[test]
        fn a_retry_lies_after_now_and_before_the_deadline(
            attempt: u32, millis in 0_u64..100_000, jitter: f64, asked in proptest::option::of(0_u64..1_000_000),
        ) {
            let now = Instant::now();
            let deadline = now + Duration::from_millis(millis);
            let answer = Answer::Status { code: 503, retry_after: asked.map(Duration::from_secs) };
            match decide(attempt, answer, now, Some(deadline), jitter) {
                Verdict::RetryAt(at) => prop_assert!(now < at && at < deadline),
                other => {
                    prop_assert_eq!(other, Verdict::Drop(Why::Deadline));
                    prop_assert!(deadline - now <= BACKOFF_MIN);
                }
            }
        }
    }
}
