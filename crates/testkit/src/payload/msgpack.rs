//! Trace payloads in msgpack (`facts/trace-intake.md` §4.1–§4.3).

use crate::proto::{AttributeAnyValue, Span};
use rmp::encode::{self, RmpWrite};
use std::collections::HashMap;

/// Writing to memory cannot fail.
const IN_MEMORY: &str = "writing to memory";

/// Writes a v0.4 (or v0.3) payload.
pub fn v04(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.array(traces.len());
    for trace in traces {
        out.spans(trace);
    }
    out.0
}

/// Writes a v0.5 payload: what it cannot carry (links, events, structured tags) is left out.
pub fn v05(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut dictionary = Dictionary::default();
    dictionary.index("");
    let mut body = Writer::default();
    body.array(traces.len());
    for trace in traces {
        body.array(trace.len());
        for span in trace {
            body.array(12);
            for text in [&span.service, &span.name, &span.resource] {
                body.unsigned(dictionary.index(text));
            }
            body.id(span.trace_id);
            body.id(span.span_id);
            body.id(span.parent_id);
            body.signed(span.start);
            body.signed(span.duration);
            body.signed(span.error.into());
            body.map(span.meta.len());
            for (key, value) in &span.meta {
                body.unsigned(dictionary.index(key));
                body.unsigned(dictionary.index(value));
            }
            body.map(span.metrics.len());
            for (key, value) in &span.metrics {
                body.unsigned(dictionary.index(key));
                body.double(*value);
            }
            body.unsigned(dictionary.index(&span.r#type));
        }
    }
    let mut out = Writer::default();
    out.array(2);
    out.array(dictionary.strings.len());
    for text in &dictionary.strings {
        out.text(text);
    }
    out.0.extend_from_slice(&body.0);
    out.0
}

/// Writes a v0.7 payload; each chunk takes priority and origin from its first span.
pub fn v07(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(9);
    for (key, value) in [
        ("container_id", ""),
        ("language_name", "python"),
        ("language_version", "3.11.7"),
        ("tracer_version", "4.16.0"),
        ("runtime_id", "5f3a1f7ab1d24ea5a6d5c0ffee123456"),
        ("env", "prod"),
        ("hostname", ""),
        ("app_version", "1.2.3"),
    ] {
        out.text(key);
        out.text(value);
    }
    out.text("chunks");
    out.array(traces.len());
    for trace in traces {
        let first = trace.first();
        let priority =
            first.and_then(|span| span.metrics.get("_sampling_priority_v1")).copied().unwrap_or(1.0);
        let origin = first.and_then(|span| span.meta.get("_dd.origin")).map_or("", String::as_str);
        out.map(5);
        out.text("priority");
        #[expect(clippy::cast_possible_truncation, reason = "priorities are -1 to 2")]
        out.signed(priority as i64);
        out.text("origin");
        out.text(origin);
        out.text("spans");
        out.spans(trace);
        out.text("tags");
        out.map(0);
        out.text("dropped_trace");
        encode::write_bool(&mut out.0, false).expect(IN_MEMORY);
    }
    out.0
}

#[derive(Debug, Default)]
struct Dictionary<'a> {
    strings: Vec<&'a str>,
    indexes: HashMap<&'a str, u64>,
}

impl<'a> Dictionary<'a> {
    fn index(&mut self, text: &'a str) -> u64 {
        *self.indexes.entry(text).or_insert_with(|| {
            self.strings.push(text);
            self.strings.len() as u64 - 1
        })
    }
}

#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn spans(&mut self, spans: &[Span]) {
        self.array(spans.len());
        for span in spans {
            self.span(span);
        }
    }

    fn span(&mut self, span: &Span) {
        let optional =
            [!span.meta_struct.is_empty(), !span.span_links.is_empty(), !span.span_events.is_empty()];
        self.map(12 + optional.iter().filter(|present| **present).count());
        for (key, id) in
            [("trace_id", span.trace_id), ("parent_id", span.parent_id), ("span_id", span.span_id)]
        {
            self.text(key);
            self.id(id);
        }
        for (key, value) in [
            ("service", &span.service),
            ("resource", &span.resource),
            ("name", &span.name),
            ("type", &span.r#type),
        ] {
            self.text(key);
            self.text(value);
        }
        for (key, value) in
            [("error", i64::from(span.error)), ("start", span.start), ("duration", span.duration)]
        {
            self.text(key);
            self.signed(value);
        }
        self.text("meta");
        self.map(span.meta.len());
        for (key, value) in &span.meta {
            self.text(key);
            self.text(value);
        }
        self.text("metrics");
        self.map(span.metrics.len());
        for (key, value) in &span.metrics {
            self.text(key);
            self.double(*value);
        }
        if optional[0] {
            self.text("meta_struct");
            self.map(span.meta_struct.len());
            for (key, value) in &span.meta_struct {
                self.text(key);
                encode::write_bin(&mut self.0, value).expect(IN_MEMORY);
            }
        }
        if optional[1] {
            self.links(span);
        }
        if optional[2] {
            self.events(span);
        }
    }

    fn links(&mut self, span: &Span) {
        self.text("span_links");
        self.array(span.span_links.len());
        for link in &span.span_links {
            self.map(6);
            for (key, id) in [
                ("trace_id", link.trace_id),
                ("trace_id_high", link.trace_id_high),
                ("span_id", link.span_id),
            ] {
                self.text(key);
                self.id(id);
            }
            self.text("attributes");
            self.map(link.attributes.len());
            for (key, value) in &link.attributes {
                self.text(key);
                self.text(value);
            }
            self.text("tracestate");
            self.text(&link.tracestate);
            self.text("flags");
            self.unsigned(link.flags.into());
        }
    }

    fn events(&mut self, span: &Span) {
        self.text("span_events");
        self.array(span.span_events.len());
        for event in &span.span_events {
            self.map(3);
            self.text("time_unix_nano");
            self.id(event.time_unix_nano);
            self.text("name");
            self.text(&event.name);
            self.text("attributes");
            self.map(event.attributes.len());
            for (key, value) in &event.attributes {
                self.text(key);
                self.attribute(value);
            }
        }
    }

    fn attribute(&mut self, value: &AttributeAnyValue) {
        self.map(2);
        self.text("type");
        self.signed(value.r#type.into());
        match value.r#type {
            0 => {
                self.text("string_value");
                self.text(&value.string_value);
            }
            1 => {
                self.text("bool_value");
                encode::write_bool(&mut self.0, value.bool_value).expect(IN_MEMORY);
            }
            2 => {
                self.text("int_value");
                self.signed(value.int_value);
            }
            3 => {
                self.text("double_value");
                self.double(value.double_value);
            }
            _ => {
                let values = value.array_value.as_ref().map_or(&[][..], |array| &array.values);
                self.text("array_value");
                self.map(1);
                self.text("values");
                self.array(values.len());
                for value in values {
                    self.attribute(&AttributeAnyValue {
                        r#type: value.r#type,
                        string_value: value.string_value.clone(),
                        bool_value: value.bool_value,
                        int_value: value.int_value,
                        double_value: value.double_value,
                        array_value: None,
                    });
                }
            }
        }
    }

    fn array(&mut self, length: usize) {
        encode::write_array_len(&mut self.0, u32::try_from(length).expect("a short list")).expect(IN_MEMORY);
    }

    fn map(&mut self, length: usize) {
        encode::write_map_len(&mut self.0, u32::try_from(length).expect("a short map")).expect(IN_MEMORY);
    }

    fn text(&mut self, text: &str) {
        encode::write_str(&mut self.0, text).expect(IN_MEMORY);
    }

    fn double(&mut self, value: f64) {
        encode::write_f64(&mut self.0, value).expect(IN_MEMORY);
    }

    fn signed(&mut self, value: i64) {
        encode::write_sint(&mut self.0, value).expect(IN_MEMORY);
    }

    fn unsigned(&mut self, value: u64) {
        encode::write_uint(&mut self.0, value).expect(IN_MEMORY);
    }

    /// Ids always take nine bytes, like the random ids of tracers.
    fn id(&mut self, id: u64) {
        self.0.write_u8(0xcf).expect(IN_MEMORY);
        self.0.extend_from_slice(&id.to_be_bytes());
    }
}
