//! The one clock of the daemon's telemetry: wall time in nanoseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of a millisecond.
pub(crate) const MILLISECOND_NS: i64 = 1_000_000;

/// Nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
