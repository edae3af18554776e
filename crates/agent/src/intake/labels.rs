//! The tags of the platform, which on Google's clouds are complete only when the metadata server has answered.
//!
//! The sockets are bound long before (losses.md L13); a request that is here sooner waits for the tags,
//! bounded by the look-up's own bound and by a stop (losses.md L9: unknown is a value).

use crate::platform::Tags;
use std::sync::OnceLock;
use tokio::sync::Notify;
use wire::intake::traces::TraceEncoder;

/// Tags in the form in which they are used.
#[derive(Debug)]
pub(crate) struct Labels {
    /// Writes spans with the platform's tags.
    pub(crate) encoder: TraceEncoder,
    /// Tags of each tracer payload.
    pub(crate) payload_tags: Vec<(String, String)>,
    /// Origin of chunks whose tracer named none.
    pub(crate) chunk_origin: Option<&'static str>,
    /// For `X-Datadog-Additional-Tags`.
    pub(crate) proxied_tags: String,
}

impl Labels {
    pub(crate) fn new(tags: &Tags) -> Self {
        Self {
            encoder: TraceEncoder::new(&tags.span_unless_skipped, tags.skipped_span_name).always(&tags.span),
            payload_tags: tags.payload.clone(),
            chunk_origin: tags.chunk_origin,
            proxied_tags: tags.proxied_header(),
        }
    }
}

/// Labels that may not be known yet.
#[derive(Debug, Default)]
pub(crate) struct LabelsCell {
    labels: OnceLock<Labels>,
    known: Notify,
}

impl LabelsCell {
    /// Makes them known; the first call wins.
    pub(crate) fn set(&self, labels: Labels) {
        // A second set means that a stop was faster than the look-up.
        self.labels.set(labels).ok();
        self.known.notify_waiters();
    }

    /// When they are known.
    pub(crate) fn get(&self) -> Option<&Labels> {
        self.labels.get()
    }

    /// Waits until they are known. Whoever calls [`LabelsCell::set`] bounds the wait.
    pub(crate) async fn ready(&self) -> &Labels {
        loop {
            let known = self.known.notified();
            if let Some(labels) = self.labels.get() {
                return labels;
            }
            known.await;
        }
    }
}
