//! `lastlight sidecar` on systems where there is none yet.

use agent::SharedStrings;
use std::process::ExitCode;

/// There is no such service here (EX_UNAVAILABLE).
const EXIT_UNAVAILABLE: u8 = 69;

/// Serves nothing.
#[must_use]
pub fn main(_strings: SharedStrings) -> ExitCode {
    ExitCode::from(EXIT_UNAVAILABLE)
}
