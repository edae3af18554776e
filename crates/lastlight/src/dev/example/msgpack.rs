//! As much msgpack as a v0.4 trace request needs (`facts/trace-intake.md` §4.1).

/// One span, as a tracer would hold it.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) resource: String,
    pub(super) kind: &'static str,
    pub(super) trace_id: u64,
    pub(super) span_id: u64,
    pub(super) parent_id: u64,
    pub(super) start: i64,
    pub(super) duration: i64,
    pub(super) error: bool,
    pub(super) meta: Vec<(&'static str, String)>,
    pub(super) metrics: Vec<(&'static str, f64)>,
    /// Trace and span it is linked to.
    pub(super) link: Option<(u64, u64)>,
    /// Something that happened.
    pub(super) event: Option<Event>,
}

/// Something that happened within a span.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) time: i64,
    pub(super) name: &'static str,
    pub(super) attributes: Vec<(&'static str, &'static str)>,
}

/// A request's body: traces of spans.
pub(super) fn traces(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut out = Vec::new();
    array(traces.len(), &mut out);
    for spans in traces {
        array(spans.len(), &mut out);
        for span in spans {
            self::span(span, &mut out);
        }
    }
    out
}

fn span(span: &Span, out: &mut Vec<u8>) {
    map(12 + usize::from(span.link.is_some()) + usize::from(span.event.is_some()), out);
    for (key, value) in
        [("service", span.service), ("name", span.name), ("resource", &span.resource), ("type", span.kind)]
    {
        text(key, out);
        text(value, out);
    }
    for (key, value) in
        [("trace_id", span.trace_id), ("span_id", span.span_id), ("parent_id", span.parent_id)]
    {
        text(key, out);
        unsigned(value, out);
    }
    for (key, value) in [("start", span.start), ("duration", span.duration), ("error", i64::from(span.error))]
    {
        text(key, out);
        signed(value, out);
    }
    text("meta", out);
    map(span.meta.len(), out);
    for (key, value) in &span.meta {
        text(key, out);
        text(value, out);
    }
    text("metrics", out);
    map(span.metrics.len(), out);
    for (key, value) in &span.metrics {
        text(key, out);
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
    if let Some((trace_id, span_id)) = span.link {
        text("span_links", out);
        array(1, out);
        map(2, out);
        text("trace_id", out);
        unsigned(trace_id, out);
        text("span_id", out);
        unsigned(span_id, out);
    }
    if let Some(Event { time, name, attributes }) = &span.event {
        text("span_events", out);
        array(1, out);
        map(3, out);
        text("time_unix_nano", out);
        signed(*time, out);
        text("name", out);
        text(name, out);
        text("attributes", out);
        map(attributes.len(), out);
        for (key, value) in attributes {
            text(key, out);
            map(2, out);
            text("type", out);
            unsigned(0, out);
            text("string_value", out);
            text(value, out);
        }
    }
}

/// Lengths of ours fit 32 bits by far; a saturated one would only make the request malformed.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn array(items: usize, out: &mut Vec<u8>) {
    out.push(0xdd);
    out.extend_from_slice(&length(items));
}

fn map(entries: usize, out: &mut Vec<u8>) {
    out.push(0xdf);
    out.extend_from_slice(&length(entries));
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.push(0xdb);
    out.extend_from_slice(&length(text.len()));
    out.extend_from_slice(text.as_bytes());
}

fn unsigned(number: u64, out: &mut Vec<u8>) {
    out.push(0xcf);
    out.extend_from_slice(&number.to_be_bytes());
}

fn signed(number: i64, out: &mut Vec<u8>) {
    out.push(0xd3);
    out.extend_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_a_map_with_its_keys() {
        let span = Span {
            service: "shop",
            trace_id: 0x0102,
            start: -1,
            metrics: vec![("m", 1.5)],
            meta: vec![("k", "v".to_owned())],
            ..Span::default()
        };
        let body = traces(&[vec![span]]);
        assert_eq!(body[..15], [0xdd, 0, 0, 0, 1, 0xdd, 0, 0, 0, 1, 0xdf, 0, 0, 0, 12]);
        let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
        assert!(has(b"\xdb\0\0\0\x07service\xdb\0\0\0\x04shop"));
        assert!(has(b"\xdb\0\0\0\x08trace_id\xcf\0\0\0\0\0\0\x01\x02"));
        assert!(has(b"\xdb\0\0\0\x05start\xd3\xff\xff\xff\xff\xff\xff\xff\xff"));
        assert!(has(b"\xdb\0\0\0\x04meta\xdf\0\0\0\x01\xdb\0\0\0\x01k\xdb\0\0\0\x01v"));
        assert!(has(b"\xdb\0\0\0\x01m\xcb\x3f\xf8\0\0\0\0\0\0"));
    }
}
