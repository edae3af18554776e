//! Automatic instrumentation: what a tracer's folder in the image asks of the program's environment
//! (`facts/platforms.md` §7).

use agent::config::source::Strings;
use std::path::Path;

/// Whether a folder is there.
pub(super) fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Variables for the tracer whose folder is found first.
pub(super) fn edits(
    _strings: &dyn Strings,
    _is_folder: &dyn Fn(&Path) -> bool,
) -> Vec<(&'static str, String)> {
    Vec::new()
}
