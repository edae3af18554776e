//! Service checks: `_sc|<name>|<status>` and optional fields (`facts/dogstatsd.md` §2.3).

use model::metric::ServiceCheck;

use super::LineError;

/// How a service check begins.
pub(super) const PREFIX: &[u8] = b"_sc";

pub(super) fn parse(_line: &[u8]) -> Result<ServiceCheck<'_>, LineError> {
    // Skeleton: not read yet.
    Err(LineError::BadServiceCheck)
}
