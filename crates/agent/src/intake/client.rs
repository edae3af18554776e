//! What a request's headers say of the tracer (`facts/trace-intake.md` §3.1).

use http::HeaderMap;
use pipeline::process::Client;

/// The sender of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientHeaders<'r> {
    pub(crate) lang: &'r str,
    pub(crate) lang_version: &'r str,
    pub(crate) tracer_version: &'r str,
    pub(crate) container_id: &'r str,
    pub(crate) process_tags: &'r str,
    pub(crate) computed_top_level: bool,
    pub(crate) computed_stats: bool,
    pub(crate) dropped_p0_traces: u64,
    pub(crate) dropped_p0_spans: u64,
    /// The tracer obfuscated its resources itself (stats).
    pub(crate) obfuscated: bool,
    /// Version of the sampling rates the tracer has; `None` when it did not say.
    pub(crate) rates_version: Option<&'r str>,
}

impl<'r> ClientHeaders<'r> {
    pub(crate) fn read(headers: &'r HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let number = |name: &str| text(name).trim().parse().unwrap_or(0);
        Self {
            lang: text("datadog-meta-lang"),
            lang_version: text("datadog-meta-lang-version"),
            tracer_version: text("datadog-meta-tracer-version"),
            container_id: container_id(text("datadog-container-id"), text("datadog-entity-id")),
            process_tags: text("x-datadog-process-tags"),
            computed_top_level: boolean(text("datadog-client-computed-top-level")),
            computed_stats: boolean(text("datadog-client-computed-stats")),
            dropped_p0_traces: number("datadog-client-dropped-p0-traces"),
            dropped_p0_spans: number("datadog-client-dropped-p0-spans"),
            obfuscated: !text("datadog-obfuscation-version").is_empty(),
            rates_version: headers.get("datadog-rates-payload-version").and_then(|value| value.to_str().ok()),
        }
    }
}

impl ClientHeaders<'_> {
    /// The part that processing knows of.
    pub(crate) fn client(&self) -> Client<'_> {
        Client {
            lang: self.lang,
            tracer_version: self.tracer_version,
            container_id: self.container_id,
            process_tags: self.process_tags,
            computed_top_level: self.computed_top_level,
            computed_stats: self.computed_stats,
            dropped_p0_traces: self.dropped_p0_traces,
            dropped_p0_spans: self.dropped_p0_spans,
            chunks_in_payload: 0,
        }
    }
}

/// The container of the deprecated header, else of the entity's `ci-`/`cid-` part.
fn container_id<'r>(container: &'r str, entity: &'r str) -> &'r str {
    if !container.is_empty() {
        return container;
    }
    entity
        .split(',')
        .map(str::trim)
        .find_map(|part| part.strip_prefix("cid-").or_else(|| part.strip_prefix("ci-")))
        .unwrap_or("")
}

/// Every value but the few that mean no means yes, as the reference has it.
fn boolean(text: &str) -> bool {
    !matches!(text, "" | "0" | "f" | "F" | "false" | "False" | "FALSE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_as_the_reference_reads_them() {
        for no in ["", "0", "f", "F", "false", "False", "FALSE"] {
            assert!(!boolean(no), "{no:?}");
        }
        for yes in ["1", "t", "true", "yes", "no", "fALSE"] {
            assert!(boolean(yes), "{yes:?}");
        }
    }

    #[test]
    fn the_container_stands_in_either_header() {
        assert_eq!(container_id("abc", "ci-def"), "abc");
        assert_eq!(container_id("", "in-1234, ci-def"), "def");
        assert_eq!(container_id("", "cid-def"), "def");
        assert_eq!(container_id("", "in-1234"), "");
    }
}
