//! The backend's trace messages, by the field numbers of `facts/trace-intake.md` §4.3.

use serde::Serialize;
use std::collections::BTreeMap;

/// Body of a request to `/api/v0.2/traces`.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct AgentPayload {
    /// Host of the agent.
    #[prost(string, tag = "1")]
    pub host_name: String,
    /// Environment of the agent.
    #[prost(string, tag = "2")]
    pub env: String,
    /// One for each traced process (or request).
    #[prost(message, repeated, tag = "5")]
    pub tracer_payloads: Vec<TracerPayload>,
    /// Tags of everything.
    #[prost(btree_map = "string, string", tag = "6")]
    pub tags: BTreeMap<String, String>,
    /// Version of the agent.
    #[prost(string, tag = "7")]
    pub agent_version: String,
    /// Target of the priority sampler.
    #[prost(double, tag = "8")]
    pub target_tps: f64,
    /// Target of the error sampler.
    #[prost(double, tag = "9")]
    pub error_tps: f64,
    /// Whether the rare sampler is on.
    #[prost(bool, tag = "10")]
    pub rare_sampler_enabled: bool,
}

impl AgentPayload {
    /// Every span of the payload.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.tracer_payloads.iter().flat_map(|payload| &payload.chunks).flat_map(|chunk| &chunk.spans)
    }
}

/// What one traced process sent.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct TracerPayload {
    /// Container the tracer runs in.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Language of the tracer.
    #[prost(string, tag = "2")]
    pub language_name: String,
    /// Version of the language.
    #[prost(string, tag = "3")]
    pub language_version: String,
    /// Version of the tracer.
    #[prost(string, tag = "4")]
    pub tracer_version: String,
    /// Random id of the traced process.
    #[prost(string, tag = "5")]
    pub runtime_id: String,
    /// The traces, or parts of traces.
    #[prost(message, repeated, tag = "6")]
    pub chunks: Vec<TraceChunk>,
    /// Tags of the payload.
    #[prost(btree_map = "string, string", tag = "7")]
    pub tags: BTreeMap<String, String>,
    /// Environment.
    #[prost(string, tag = "8")]
    pub env: String,
    /// Host the tracer reports.
    #[prost(string, tag = "9")]
    pub hostname: String,
    /// Version of the traced program.
    #[prost(string, tag = "10")]
    pub app_version: String,
}

/// The spans of one trace in one payload.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct TraceChunk {
    /// Sampling priority.
    #[prost(int32, tag = "1")]
    pub priority: i32,
    /// Origin of the trace.
    #[prost(string, tag = "2")]
    pub origin: String,
    /// The spans.
    #[prost(message, repeated, tag = "3")]
    pub spans: Vec<Span>,
    /// Tags of the chunk.
    #[prost(btree_map = "string, string", tag = "4")]
    pub tags: BTreeMap<String, String>,
    /// The sampler dropped the trace.
    #[prost(bool, tag = "5")]
    pub dropped_trace: bool,
}

/// One unit of work.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Span {
    /// Service.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Operation.
    #[prost(string, tag = "2")]
    pub name: String,
    /// What the operation worked on.
    #[prost(string, tag = "3")]
    pub resource: String,
    /// Low 64 bits of the trace id.
    #[prost(uint64, tag = "4")]
    pub trace_id: u64,
    /// Id of the span.
    #[prost(uint64, tag = "5")]
    pub span_id: u64,
    /// Id of the parent, 0 for a root.
    #[prost(uint64, tag = "6")]
    pub parent_id: u64,
    /// Start, nanoseconds since the Unix epoch.
    #[prost(int64, tag = "7")]
    pub start: i64,
    /// Duration in nanoseconds.
    #[prost(int64, tag = "8")]
    pub duration: i64,
    /// 0 or 1.
    #[prost(int32, tag = "9")]
    pub error: i32,
    /// Tags with string values.
    #[prost(btree_map = "string, string", tag = "10")]
    pub meta: BTreeMap<String, String>,
    /// Tags with numeric values.
    #[prost(btree_map = "string, double", tag = "11")]
    pub metrics: BTreeMap<String, f64>,
    /// Kind of work.
    #[prost(string, tag = "12")]
    pub r#type: String,
    /// Tags with opaque values.
    #[prost(btree_map = "string, bytes", tag = "13")]
    pub meta_struct: BTreeMap<String, Vec<u8>>,
    /// Causal links.
    #[prost(message, repeated, tag = "14")]
    pub span_links: Vec<SpanLink>,
    /// Timed events.
    #[prost(message, repeated, tag = "15")]
    pub span_events: Vec<SpanEvent>,
}

/// A causal link to a span.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct SpanLink {
    /// Low 64 bits of the trace id.
    #[prost(uint64, tag = "1")]
    pub trace_id: u64,
    /// High 64 bits of the trace id.
    #[prost(uint64, tag = "2")]
    pub trace_id_high: u64,
    /// The linked span.
    #[prost(uint64, tag = "3")]
    pub span_id: u64,
    /// Tags of the link.
    #[prost(btree_map = "string, string", tag = "4")]
    pub attributes: BTreeMap<String, String>,
    /// W3C trace state.
    #[prost(string, tag = "5")]
    pub tracestate: String,
    /// W3C trace flags; bit 31 says that they were set.
    #[prost(uint32, tag = "6")]
    pub flags: u32,
}

/// Something that happened at one moment within a span.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct SpanEvent {
    /// When.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Tags of the event.
    #[prost(btree_map = "string, message", tag = "3")]
    pub attributes: BTreeMap<String, AttributeAnyValue>,
}

/// The value of a span event's tag.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct AttributeAnyValue {
    /// 0 string, 1 bool, 2 int, 3 double, 4 array.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Type 0.
    #[prost(string, tag = "2")]
    pub string_value: String,
    /// Type 1.
    #[prost(bool, tag = "3")]
    pub bool_value: bool,
    /// Type 2.
    #[prost(int64, tag = "4")]
    pub int_value: i64,
    /// Type 3.
    #[prost(double, tag = "5")]
    pub double_value: f64,
    /// Type 4.
    #[prost(message, optional, tag = "6")]
    pub array_value: Option<AttributeArray>,
}

/// The values of an array.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct AttributeArray {
    /// In order. Elements are never arrays themselves.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AttributeArrayValue>,
}

/// One value of an array.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct AttributeArrayValue {
    /// 0 string, 1 bool, 2 int, 3 double.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Type 0.
    #[prost(string, tag = "2")]
    pub string_value: String,
    /// Type 1.
    #[prost(bool, tag = "3")]
    pub bool_value: bool,
    /// Type 2.
    #[prost(int64, tag = "4")]
    pub int_value: i64,
    /// Type 3.
    #[prost(double, tag = "5")]
    pub double_value: f64,
}

/// A distribution of values.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct DdSketch {
    /// How values map to bins.
    #[prost(message, optional, tag = "1")]
    pub mapping: Option<IndexMapping>,
    /// Values above zero.
    #[prost(message, optional, tag = "2")]
    pub positive_values: Option<Store>,
    /// Values below zero.
    #[prost(message, optional, tag = "3")]
    pub negative_values: Option<Store>,
    /// Values near zero.
    #[prost(double, tag = "4")]
    pub zero_count: f64,
}

impl DdSketch {
    /// How many values the sketch holds.
    pub fn count(&self) -> f64 {
        let store = |store: &Option<Store>| {
            store.as_ref().map_or(0.0, |store| {
                store.bin_counts.values().sum::<f64>() + store.contiguous_bin_counts.iter().sum::<f64>()
            })
        };
        store(&self.positive_values) + store(&self.negative_values) + self.zero_count
    }
}

/// Mapping of a sketch.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct IndexMapping {
    /// Base of the logarithm.
    #[prost(double, tag = "1")]
    pub gamma: f64,
    /// Added to each index.
    #[prost(double, tag = "2")]
    pub index_offset: f64,
    /// 0 none, 1 linear, 2 quadratic, 3 cubic.
    #[prost(int32, tag = "3")]
    pub interpolation: i32,
}

/// Bins of a sketch.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Store {
    /// Counts by index.
    #[prost(btree_map = "sint32, double", tag = "1")]
    pub bin_counts: BTreeMap<i32, f64>,
    /// Counts of neighbouring bins.
    #[prost(double, repeated, tag = "2")]
    pub contiguous_bin_counts: Vec<f64>,
    /// Index of the first of them.
    #[prost(sint32, tag = "3")]
    pub contiguous_bin_index_offset: i32,
}
