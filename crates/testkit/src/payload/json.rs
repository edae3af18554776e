//! Trace payloads in JSON (`facts/trace-intake.md` §4.1).

use crate::proto::Span;
use serde_json::{Value, json};

/// Writes a v0.3 or v0.4 payload in JSON. Structured tags, links and events are left out.
pub fn v04_json(traces: &[Vec<Span>]) -> Vec<u8> {
    let trace = |trace: &Vec<Span>| Value::Array(trace.iter().map(span).collect());
    Value::Array(traces.iter().map(trace).collect()).to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    json!({
        "service": span.service, "name": span.name, "resource": span.resource, "type": span.r#type,
        "trace_id": span.trace_id, "span_id": span.span_id, "parent_id": span.parent_id,
        "start": span.start, "duration": span.duration, "error": span.error,
        "meta": span.meta, "metrics": span.metrics,
    })
}
