//! How one request reaches an endpoint: a trait, so that the sender is tried on a paused clock.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use std::time::{Duration, SystemTime};

/// Bound of one attempt, from connecting to the answer (losses.md L28); the stop deadline may cut it.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an answer's body is kept to explain a refusal.
pub(super) const DETAIL_MAX_BYTES: usize = 200;

/// Sends one request.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request and waits for the answer, at most `timeout`.
    ///
    /// # Errors
    /// Why there was no answer, in words. The request may or may not have arrived.
    fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Reply, String>> + Send;
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// How long the endpoint asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of its body, for people.
    pub detail: String,
}

/// `Retry-After`, in seconds or as an HTTP date (losses.md L113); a date that has passed means now.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The printable beginning of an answer's body.
pub(super) fn detail(body: &[u8]) -> String {
    let start = body.get(..DETAIL_MAX_BYTES).unwrap_or(body);
    let text: String =
        String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// A text as a header's value: what a header cannot carry becomes `_`, so that an odd tag never costs the
/// request (losses.md L36).
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let clean: Vec<u8> = text
            .bytes()
            .map(|byte| if (32..127).contains(&byte) || byte == b'\t' { byte } else { b'_' })
            .collect();
        HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str, now: SystemTime) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        retry_after(&headers, now)
    }

    #[test]
    fn l113_retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        assert_eq!(asked("120", now), Some(Duration::from_secs(120)));
        assert_eq!(asked(" 0 ", now), Some(Duration::ZERO));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(
            asked("Sun, 06 Nov 1994 08:49:37 GMT", now + Duration::from_secs(99)),
            Some(Duration::ZERO)
        );
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(asked(nonsense, now), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn l36_a_tag_that_is_no_header_value_is_made_one() {
        assert_eq!(header_value("env:prod,team:x"), "env:prod,team:x");
        assert_eq!(header_value("a\r\nb:1"), "a__b:1");
        assert_eq!(header_value("a\0b"), "a_b");
    }

    #[test]
    fn a_long_answer_is_cut_and_made_printable() {
        assert_eq!(detail(b" {\"error\":\n\"no\"} "), "{\"error\": \"no\"}");
        assert_eq!(detail(&[b'x'; 5_000]).len(), DETAIL_MAX_BYTES);
        assert!(detail(&[0xff; 10]).chars().all(|c| c == '\u{fffd}'));
    }
}
