//! Service checks for the backend, as JSON (`facts/delivery.md` §3.6).

use model::metric::ServiceCheck;

pub use super::events::Context;
use super::json;

/// A service check as the backend names its fields.
#[derive(serde::Serialize)]
struct Body<'a> {
    check: &'a str,
    host_name: &'a str,
    timestamp: i64,
    status: u8,
    message: &'a str,
    tags: json::Tags<'a>,
}

/// Appends one service check as a JSON object. Host and tags are those of [`super::events::encode`].
pub fn encode(check: &ServiceCheck<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let body = Body {
        check: check.name,
        host_name: json::host(check.host, check.tags, context.hostname),
        timestamp: context.time(check.timestamp),
        status: check.status,
        message: &check.message,
        tags: json::Tags { own: check.tags, extra: context.tags },
    };
    json::write(&body, out);
}

/// Appends the body of one request to `/api/v1/check_run`, an array of what [`encode`] wrote.
pub fn payload(checks: &[&[u8]], out: &mut Vec<u8>) {
    json::array(checks.iter().copied(), out);
}
