//! Traces as clients send them, borrowed from the received body.
//!
//! One request is decoded once. Strings stay slices of the body; what is rewritten (normalized,
//! obfuscated) is allocated in the request's arena, so every string is a plain `&'a str` and the
//! whole payload is freed at once. Field meanings: `facts/trace-intake.md` §4.

use bumpalo::Bump;

/// A growable list that lives in the request's arena.
pub type List<'a, T> = bumpalo::collections::Vec<'a, T>;

/// Priority of a chunk for which the tracer made no decision.
pub const PRIORITY_NONE: i32 = -128;

/// What one trace request carries.
#[derive(Debug)]
pub struct Payload<'a> {
    /// Container the tracer runs in.
    pub container_id: &'a str,
    /// Language of the tracer, such as `python`.
    pub language_name: &'a str,
    /// Version of the language.
    pub language_version: &'a str,
    /// Version of the tracer.
    pub tracer_version: &'a str,
    /// Random id of the traced process.
    pub runtime_id: &'a str,
    /// Environment all chunks share.
    pub env: &'a str,
    /// Host the tracer reports.
    pub hostname: &'a str,
    /// Version of the traced program.
    pub app_version: &'a str,
    /// Tags of the whole payload.
    pub tags: List<'a, (&'a str, &'a str)>,
    /// The traces, or parts of traces.
    pub chunks: List<'a, Chunk<'a>>,
}

impl<'a> Payload<'a> {
    /// A payload without metadata and chunks.
    pub fn new_in(arena: &'a Bump) -> Self {
        Self {
            container_id: "",
            language_name: "",
            language_version: "",
            tracer_version: "",
            runtime_id: "",
            env: "",
            hostname: "",
            app_version: "",
            tags: List::new_in(arena),
            chunks: List::new_in(arena),
        }
    }

    /// How many spans all chunks hold.
    pub fn span_count(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.spans.len()).sum()
    }
}

/// The spans of one trace in one payload.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Sampling priority: -1 user drop, 0 auto drop, 1 auto keep, 2 user keep, or
    /// [`PRIORITY_NONE`].
    pub priority: i32,
    /// Where the trace came from, such as `synthetics` or `lambda`.
    pub origin: &'a str,
    /// The spans.
    pub spans: List<'a, Span<'a>>,
    /// Tags of the chunk.
    pub tags: List<'a, (&'a str, &'a str)>,
    /// The sampler dropped the trace; what is left are single spans worth keeping.
    pub dropped_trace: bool,
}

impl<'a> Chunk<'a> {
    /// An empty chunk without a sampling decision.
    pub fn new_in(arena: &'a Bump) -> Self {
        Self {
            priority: PRIORITY_NONE,
            origin: "",
            spans: List::new_in(arena),
            tags: List::new_in(arena),
            dropped_trace: false,
        }
    }
}

/// One unit of work of a traced program.
#[derive(Debug)]
pub struct Span<'a> {
    /// Service the work belongs to.
    pub service: &'a str,
    /// Operation, such as `http.request`.
    pub name: &'a str,
    /// What the operation worked on, such as `GET /users`.
    pub resource: &'a str,
    /// Low 64 bits of the trace id.
    pub trace_id: u64,
    /// Id of the span within its trace.
    pub span_id: u64,
    /// Id of the parent; 0 for a root.
    pub parent_id: u64,
    /// Start, nanoseconds since the Unix epoch.
    pub start: i64,
    /// Duration in nanoseconds.
    pub duration: i64,
    /// 0, or 1 when the work failed.
    pub error: i32,
    /// Tags with string values. A key that stands twice means its last value.
    pub meta: List<'a, (&'a str, &'a str)>,
    /// Tags with numeric values. A key that stands twice means its last value.
    pub metrics: List<'a, (&'a str, f64)>,
    /// Kind of work: `web`, `sql`, `redis`, ….
    pub span_type: &'a str,
    /// Tags with structured (opaque) values.
    pub meta_struct: List<'a, (&'a str, &'a [u8])>,
    /// Causal links to other spans.
    pub links: List<'a, SpanLink<'a>>,
    /// Timed events of the span.
    pub events: List<'a, SpanEvent<'a>>,
}

impl<'a> Span<'a> {
    /// A span with every field empty.
    pub fn new_in(arena: &'a Bump) -> Self {
        Self {
            service: "",
            name: "",
            resource: "",
            trace_id: 0,
            span_id: 0,
            parent_id: 0,
            start: 0,
            duration: 0,
            error: 0,
            meta: List::new_in(arena),
            metrics: List::new_in(arena),
            span_type: "",
            meta_struct: List::new_in(arena),
            links: List::new_in(arena),
            events: List::new_in(arena),
        }
    }

    /// The value of a string tag.
    pub fn meta(&self, key: &str) -> Option<&'a str> {
        self.meta.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    /// The value of a numeric tag.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    /// Sets a string tag, replacing every earlier value.
    pub fn set_meta(&mut self, key: &'a str, value: &'a str) {
        let mut found = false;
        for (k, v) in self.meta.iter_mut() {
            if *k == key {
                *v = value;
                found = true;
            }
        }
        if !found {
            self.meta.push((key, value));
        }
    }

    /// Sets a numeric tag, replacing every earlier value.
    pub fn set_metric(&mut self, key: &'a str, value: f64) {
        let mut found = false;
        for (k, v) in self.metrics.iter_mut() {
            if *k == key {
                *v = value;
                found = true;
            }
        }
        if !found {
            self.metrics.push((key, value));
        }
    }
}

/// A causal link from one span to another, possibly of another trace.
#[derive(Debug)]
pub struct SpanLink<'a> {
    /// Low 64 bits of the linked trace id.
    pub trace_id: u64,
    /// High 64 bits of the linked trace id.
    pub trace_id_high: u64,
    /// The linked span.
    pub span_id: u64,
    /// Tags of the link.
    pub attributes: List<'a, (&'a str, &'a str)>,
    /// W3C trace state.
    pub tracestate: &'a str,
    /// W3C trace flags; bit 31 says that they were set.
    pub flags: u32,
}

/// Something that happened at one moment within a span.
#[derive(Debug)]
pub struct SpanEvent<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What.
    pub name: &'a str,
    /// Tags of the event.
    pub attributes: List<'a, (&'a str, AttributeValue<'a>)>,
}

/// The value of a span event's tag.
#[derive(Debug)]
pub enum AttributeValue<'a> {
    /// Text.
    String(&'a str),
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Floating-point number.
    Double(f64),
    /// Values of one of the other kinds.
    Array(List<'a, AttributeValue<'a>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_repeated_tag_counts() {
        let arena = Bump::new();
        let mut span = Span::new_in(&arena);
        span.meta.push(("env", "one"));
        span.meta.push(("env", "two"));
        assert_eq!(span.meta("env"), Some("two"));
        span.set_meta("env", "three");
        assert_eq!(span.meta.as_slice(), [("env", "three"), ("env", "three")]);
    }
}
