//! What the program's environment gets in addition, never instead (`facts/platforms.md` §7, §8).

use super::instrument;
use agent::config::source::Strings;
use std::path::Path;

/// Set for the program where it is not set.
const DEFAULTS: [(&str, &str); 5] = [
    // The agent beside the program has no such endpoint of its own to offer, and every start would tell of itself.
    ("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false"),
    ("DD_REMOTE_CONFIGURATION_ENABLED", "false"),
    // The host is nobody's.
    ("DD_HOSTNAME", "none"),
    ("DD_APM_ENABLED", "true"),
    ("DD_TRACE_ENABLED", "true"),
];

/// Variables of the program that differ from ours.
pub(super) fn edits(strings: &dyn Strings, is_there: &dyn Fn(&Path) -> bool) -> Vec<(&'static str, String)> {
    let defaults = DEFAULTS.iter().filter(|(name, _)| strings.get(name).is_none_or(|value| value.is_empty()));
    let defaults = defaults.map(|(name, value)| (*name, (*value).to_owned()));
    defaults.chain(instrument::edits(strings, is_there)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::config::source::Fixed;

    #[test]
    fn defaults_never_override() {
        let strings = Fixed::new().with("DD_HOSTNAME", "mine").with("DD_TRACE_ENABLED", "");
        let edits = edits(&strings, &|_| false);
        assert!(edits.iter().all(|(name, _)| *name != "DD_HOSTNAME"));
        assert!(edits.contains(&("DD_TRACE_ENABLED", "true".to_owned())));
        assert_eq!(edits.len(), DEFAULTS.len() - 1);
    }
}
