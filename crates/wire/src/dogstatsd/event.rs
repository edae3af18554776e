//! Events: `_e{<title bytes>,<text bytes>}:<title>|<text>` and optional fields (`facts/dogstatsd.md` §2.2).

use model::metric::Event;

use super::LineError;

/// How an event begins.
pub(super) const PREFIX: &[u8] = b"_e{";

pub(super) fn parse(_line: &[u8]) -> Result<Event<'_>, LineError> {
    // Skeleton: not read yet.
    Err(LineError::BadEvent)
}
