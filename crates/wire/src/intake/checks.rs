//! Service checks for the backend, as JSON (`facts/delivery.md` §3.6).

use model::metric::ServiceCheck;

pub use super::events::Context;

/// Appends one service check as a JSON object.
pub fn encode(_check: &ServiceCheck<'_>, _context: &Context<'_>, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}

/// Appends the body of one request, an array of what [`encode`] wrote.
pub fn payload(_checks: &[&[u8]], _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}
