//! The same traces as OTLP, for agents that take nothing else.

use crate::proto::Span;
use prost::Message;
use std::collections::BTreeMap;

/// Writes an `ExportTraceServiceRequest` with one resource for each service.
pub fn otlp(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut services: BTreeMap<&str, Vec<OtlpSpan>> = BTreeMap::new();
    for span in traces.iter().flatten() {
        services.entry(&span.service).or_default().push(convert(span));
    }
    let resource_spans = services.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", service),
                text("deployment.environment.name", "prod"),
                text("service.version", "1.2.3"),
                text("telemetry.sdk.language", "python"),
            ],
        }),
        scope_spans: vec![ScopeSpans { spans }],
    });
    Request { resource_spans: resource_spans.collect() }.encode_to_vec()
}

fn convert(span: &Span) -> OtlpSpan {
    let kind = match span.meta.get("span.kind").map(String::as_str) {
        Some("internal") => 1,
        Some("server") => 2,
        Some("client") => 3,
        _ => 0,
    };
    // OTLP times are little-endian: a start mark would not be found, so a plain time stands there.
    let start = 1_790_000_000_000_000_000;
    let mut attributes: Vec<_> = span.meta.iter().map(|(key, value)| text(key, value)).collect();
    attributes.push(text("resource.name", &span.resource));
    attributes.push(text("span.type", &span.r#type));
    attributes.extend(span.metrics.iter().map(|(key, value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { double_value: Some(*value), ..AnyValue::default() }),
    }));
    let mut trace_id = vec![0; 8];
    trace_id.extend_from_slice(&span.trace_id.to_be_bytes());
    OtlpSpan {
        trace_id,
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: if span.parent_id == 0 { Vec::new() } else { span.parent_id.to_be_bytes().to_vec() },
        name: span.name.clone(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add_signed(span.duration),
        attributes,
        status: (span.error != 0).then_some(Status { code: 2 }),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { string_value: Some(value.to_owned()), ..AnyValue::default() }),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// A choice of one field in the protocol; here fields of which one is set.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
    #[prost(double, optional, tag = "4")]
    double_value: Option<f64>,
}
