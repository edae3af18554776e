//! Trace statistics: hits, errors and latencies by service, name, resource and the rest of the
//! reference's key. Field meanings and numbers: `facts/trace-intake.md` §4.5.

use crate::sketch::Sketch;

/// Statistics of one traced process, or of one such view held by the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientStats {
    /// Host the tracer reports.
    pub hostname: String,
    /// Environment.
    pub env: String,
    /// Version of the traced program.
    pub version: String,
    /// Language of the tracer.
    pub lang: String,
    /// Version of the tracer.
    pub tracer_version: String,
    /// Random id of the traced process.
    pub runtime_id: String,
    /// Number of the payload within the process's life.
    pub sequence: u64,
    /// How an agent aggregated the payload; empty when it did not.
    pub agent_aggregation: String,
    /// Main service of the process.
    pub service: String,
    /// Container the process runs in.
    pub container_id: String,
    /// Container tags.
    pub tags: Vec<String>,
    /// Commit of the traced program.
    pub git_commit_sha: String,
    /// Image of the container.
    pub image_tag: String,
    /// Hash of `process_tags`.
    pub process_tags_hash: u64,
    /// Comma-separated tags of the process.
    pub process_tags: String,
    /// The statistics.
    pub buckets: Vec<StatsBucket>,
}

/// Statistics of one span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsBucket {
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// Length in nanoseconds.
    pub duration: u64,
    /// One entry per key.
    pub groups: Vec<StatsGroup>,
    /// By how much an agent moved the bucket, nanoseconds.
    pub agent_time_shift: i64,
}

/// Whether a group counts trace roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TraceRoot {
    /// Not known.
    #[default]
    NotSet,
    /// All spans of the group are roots.
    Yes,
    /// None is.
    No,
}

/// What is counted under one key in one bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsGroup {
    /// Key: service.
    pub service: String,
    /// Key: operation.
    pub name: String,
    /// Key: resource, obfuscated.
    pub resource: String,
    /// Key: HTTP status, 0 when there is none.
    pub http_status_code: u32,
    /// Key: span type.
    pub span_type: String,
    /// Key: database type (old tracers).
    pub db_type: String,
    /// Spans.
    pub hits: u64,
    /// Spans with an error.
    pub errors: u64,
    /// Sum of durations, nanoseconds.
    pub duration: u64,
    /// Durations of spans without an error, nanoseconds.
    pub ok_summary: Sketch,
    /// Durations of spans with an error, nanoseconds.
    pub error_summary: Sketch,
    /// Key: synthetic traffic.
    pub synthetics: bool,
    /// Top-level spans among the hits.
    pub top_level_hits: u64,
    /// Key: `span.kind`.
    pub span_kind: String,
    /// Key: `key:value` of the peer.
    pub peer_tags: Vec<String>,
    /// Key: whether the spans are trace roots.
    pub is_trace_root: TraceRoot,
    /// Key: gRPC status.
    pub grpc_status_code: String,
    /// Key: HTTP method.
    pub http_method: String,
    /// Key: HTTP route.
    pub http_endpoint: String,
    /// Key: where the service's name came from.
    pub service_source: String,
    /// Key: tags derived from the span (deprecated by the reference).
    pub span_derived_primary_tags: Vec<String>,
    /// Key: additional metric tags.
    pub additional_metric_tags: Vec<String>,
}

/// What one stats request to the backend carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsPayload {
    /// Host of the agent.
    pub agent_hostname: String,
    /// Environment of the agent.
    pub agent_env: String,
    /// Views, one per traced process or key.
    pub stats: Vec<ClientStats>,
    /// Version of the agent.
    pub agent_version: String,
    /// The tracer computed them, not the agent.
    pub client_computed: bool,
    /// The payload is one part of several.
    pub split_payload: bool,
}
