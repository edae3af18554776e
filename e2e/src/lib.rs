//! The parts of the end-to-end tests: the real binary, real clients and raw requests.
//!
//! The backend is `testkit`'s, in the process of the test. Nothing here sleeps: the binary is waited for by
//! what it says on stderr and by its end, the backend by what it received.

pub mod agent;
pub mod books;
pub mod clients;
pub mod compare;
pub mod php;
pub mod raw;
pub mod statsd;
pub mod tap;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest wait for anything that is expected.
pub const BOUND: Duration = Duration::from_secs(60);

/// Whether the long runs are asked for (`LASTLIGHT_E2E_FULL`).
pub fn full() -> bool {
    variable("LASTLIGHT_E2E_FULL").is_some()
}

/// The folder of the tests.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `e2e/setup` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    let path = folder().join(".deps").join(path);
    assert!(path.exists(), "{} is missing: run e2e/setup", path.display());
    path
}

#[expect(clippy::disallowed_methods, reason = "a test asks where its binary is")]
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
