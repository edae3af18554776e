//! What tells one file from another.

use std::fs::Metadata;

/// Device and number of a file, which it keeps when it is renamed; zeros where the system tells none.
#[cfg(unix)]
pub(crate) fn file_identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Device and number of a file, which it keeps when it is renamed; zeros where the system tells none.
#[cfg(not(unix))]
pub(crate) fn file_identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
