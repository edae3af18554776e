//! A trace as msgpack v0.4 (`facts/trace-intake.md` §4.1): one chunk, the root first.

use std::io::Write as _;

use crate::context::Link;
use crate::msgpack::{self, Map};
use crate::store::{Text, Value};
use crate::trace::{Decision, Span, Trace};

/// Metric of the root: spans that found no room.
pub const SPANS_DROPPED: &str = "lastlight.spans_dropped";
/// Metric of the root: tags and names that found no room.
pub const TAGS_DROPPED: &str = "lastlight.tags_dropped";
/// Metric of the root: texts that were too long and lost their end.
pub const TEXTS_CUT: &str = "lastlight.texts_cut";
/// Metric of the root: headers of the request that were malformed or too long, and were not used.
pub const HEADERS_IGNORED: &str = "lastlight.headers_ignored";
/// Metric of a span that was not finished; its end is the root's.
pub const UNFINISHED: &str = "lastlight.unfinished";

/// What was encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans in the chunk. Without any nothing was written.
    pub spans: usize,
    /// Of these, spans that nobody had finished.
    pub unfinished: usize,
    /// Spans that found no room.
    pub spans_dropped: u64,
    /// Tags and names that found no room.
    pub tags_dropped: u64,
}

impl Trace {
    /// Appends the trace to `out`. Spans that are not finished end when the root ends, and a root that is not
    /// finished ends at `now` (nanoseconds since 1970). The trace stays as it is; see [`Trace::reset`].
    ///
    /// What the tracer says of itself never overrules a tag of the same name that was set.
    pub fn encode(&self, now: u64, out: &mut Vec<u8>) -> Counts {
        let mut counts = Counts {
            spans: self.spans.len(),
            unfinished: 0,
            spans_dropped: self.spans_dropped,
            tags_dropped: self.tags_dropped,
        };
        let Some(root) = self.spans.first() else { return counts };
        let end = root.duration.map_or(now, |duration| root.start.saturating_add(duration));
        msgpack::array(out, 1);
        msgpack::array(out, self.spans.len());
        for span in &self.spans {
            counts.unfinished += usize::from(span.duration.is_none());
            self.encode_span(span, end, out);
        }
        counts
    }

    /// The headers that go with what [`Trace::encode`] wrote, to `/v0.4/traces` (`facts/trace-intake.md` §3.1).
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let options = &self.options;
        [
            ("content-type", "application/msgpack"),
            ("x-datadog-trace-count", "1"),
            ("datadog-client-computed-top-level", "yes"),
            ("datadog-meta-lang", options.language.as_str()),
            ("datadog-meta-lang-version", options.language_version.as_str()),
            ("datadog-meta-lang-interpreter", options.interpreter.as_str()),
            ("datadog-meta-tracer-version", options.tracer_version.as_str()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }

    fn encode_span(&self, span: &Span, end: u64, out: &mut Vec<u8>) {
        // The wire's times are signed, and so is their sum.
        let start = span.start.min(i64::MAX as u64);
        let duration = span.duration.unwrap_or(end.saturating_sub(start)).min(i64::MAX as u64 - start);
        let resource = if span.resource.is_none() { span.name } else { span.resource };
        let has_type = !self.store.get(span.span_type).is_empty();
        let link = self.context.link.as_ref().filter(|_| span.parent.is_none());
        msgpack::small_map(out, 11 + u8::from(has_type) + u8::from(link.is_some()));
        out.extend_from_slice(b"\xa7service");
        msgpack::text(out, self.service_of(span));
        out.extend_from_slice(b"\xa4name");
        self.text(out, span.name);
        out.extend_from_slice(b"\xa8resource");
        self.text(out, resource);
        if has_type {
            out.extend_from_slice(b"\xa4type");
            self.text(out, span.span_type);
        }
        out.extend_from_slice(b"\xa8trace_id");
        msgpack::unsigned(out, self.context.trace_low);
        out.extend_from_slice(b"\xa7span_id");
        msgpack::unsigned(out, span.id);
        out.extend_from_slice(b"\xa9parent_id");
        msgpack::unsigned(out, span.parent_id);
        out.extend_from_slice(b"\xa5start");
        msgpack::unsigned(out, start);
        out.extend_from_slice(b"\xa8duration");
        msgpack::unsigned(out, duration);
        out.extend_from_slice(b"\xa5error");
        msgpack::unsigned(out, u64::from(span.is_error));
        out.extend_from_slice(b"\xa4meta");
        self.meta(span, out);
        out.extend_from_slice(b"\xa7metrics");
        self.metrics(span, out);
        if let Some(link) = link {
            out.extend_from_slice(b"\xaaspan_links");
            msgpack::array(out, 1);
            encode_link(link, out);
        }
    }

    fn meta(&self, span: &Span, out: &mut Vec<u8>) {
        let mut map = Map::begin(out);
        for (key, value) in self.store.tags(span.tags) {
            if let Value::Text(value) = value {
                map.text(out, key, self.store.get(value));
            }
        }
        let options = &self.options;
        let mut own = |key: &str, value: &[u8]| {
            if !value.is_empty() && !self.store.has(span.tags, key.as_bytes()) {
                map.text(out, key.as_bytes(), value);
            }
        };
        own("env", options.env.as_bytes());
        if self.service_of(span) == options.service.as_bytes() {
            own("version", options.version.as_bytes());
        } else {
            own("_dd.base_service", options.service.as_bytes());
        }
        if span.parent.is_none() {
            own("language", options.language.as_bytes());
            own("runtime-id", options.runtime_id.as_bytes());
            own("_dd.hostname", options.hostname.as_bytes());
            own("_dd.origin", self.context.origin.as_bytes());
            own("_dd.p.dm", self.decision().maker.as_bytes());
            for (key, value) in self.context.tags() {
                own(key, value.as_bytes());
            }
            let mut hex = [0; 16];
            if self.context.trace_high != 0 {
                own("_dd.p.tid", hex_of(self.context.trace_high, &mut hex));
            }
            if let Some(id) = self.context.last_parent_id {
                own("_dd.parent_id", hex_of(id, &mut hex));
            }
            own("_dd.propagation_error", self.context.error.unwrap_or_default().as_bytes());
        }
        map.end(out);
    }

    fn metrics(&self, span: &Span, out: &mut Vec<u8>) {
        let mut map = Map::begin(out);
        for (key, value) in self.store.tags(span.tags) {
            if let Value::Number(value) = value {
                map.float(out, key, value);
            }
        }
        let mut own = |key: &str, value: f64| {
            if !self.store.has(span.tags, key.as_bytes()) {
                map.float(out, key.as_bytes(), value);
            }
        };
        if self.is_top_level(span) {
            own("_dd.top_level", 1.0);
        }
        if span.duration.is_none() {
            own(UNFINISHED, 1.0);
        }
        if span.parent.is_none() {
            let Decision { priority, rate, .. } = self.decision();
            own("_sampling_priority_v1", f64::from(priority));
            if let Some(rate) = rate {
                own("_dd.rule_psr", rate);
            }
            if self.options.process_id != 0 {
                own("process_id", f64::from(self.options.process_id));
            }
            for (key, count) in [
                (SPANS_DROPPED, self.spans_dropped),
                (TAGS_DROPPED, self.tags_dropped),
                (TEXTS_CUT, self.store.cut),
                (HEADERS_IGNORED, u64::from(self.context.ignored)),
            ] {
                if count > 0 {
                    own(key, count as f64);
                }
            }
        }
        map.end(out);
    }

    fn text(&self, out: &mut Vec<u8>, text: Text) {
        msgpack::text(out, self.store.get(text));
    }

    fn service_of(&self, span: &Span) -> &[u8] {
        if span.service.is_none() { self.options.service.as_bytes() } else { self.store.get(span.service) }
    }

    /// The root, and what has another service than its parent (`facts/trace-intake.md` §5.3).
    fn is_top_level(&self, span: &Span) -> bool {
        match span.parent.and_then(|place| self.spans.get(place as usize)) {
            Some(parent) => self.service_of(span) != self.service_of(parent),
            None => true,
        }
    }
}

fn encode_link(link: &Link, out: &mut Vec<u8>) {
    const FLAGS_ARE_KNOWN: u64 = 1 << 31;
    msgpack::small_map(out, 6);
    for (key, number) in [
        ("trace_id", link.trace_low),
        ("trace_id_high", link.trace_high),
        ("span_id", link.span_id),
        ("flags", u64::from(link.is_sampled) | FLAGS_ARE_KNOWN),
    ] {
        msgpack::text(out, key.as_bytes());
        msgpack::unsigned(out, number);
    }
    msgpack::text(out, b"tracestate");
    msgpack::text(out, link.tracestate.as_bytes());
    msgpack::text(out, b"attributes");
    let mut map = Map::begin(out);
    map.text(out, b"reason", b"terminated_context");
    map.text(out, b"context_headers", b"tracecontext");
    map.end(out);
}

fn hex_of(id: u64, hex: &mut [u8; 16]) -> &[u8] {
    write!(&mut hex[..], "{id:016x}").expect("16 digits are 16 bytes");
    hex
}
