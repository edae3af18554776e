//! What must always be true of the tree, and cannot be said to the compiler.

use crate::{capi, edges, losses, source};
use std::path::{Path, PathBuf};

/// Generated from the settings table.
pub(crate) const SETTINGS_DOCUMENT: &str = "docs/settings.md";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Everything that is not as it should be, one line each: where, what, and what to do.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let files = source::files(root);
    let mut problems = edges::problems(root);
    problems.extend(source::problems(&files));
    problems.extend(losses::problems(&files));
    problems.extend(settings_document(root));
    problems.extend(capi::problems(root));
    problems
}

fn settings_document(root: &Path) -> Option<String> {
    let written = std::fs::read_to_string(root.join(SETTINGS_DOCUMENT)).unwrap_or_default();
    (written != agent::config::table::markdown())
        .then(|| format!("{SETTINGS_DOCUMENT}: differs from the settings table: run `cargo xtask settings`"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let problems = super::problems(&super::root());
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }
}
