//! Trace statistics in msgpack, by the keys of `facts/trace-intake.md` §4.5.

use serde::{Deserialize, Deserializer, Serialize};

/// Body of a request to `/api/v0.2/stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StatsPayload {
    /// Host of the agent.
    pub agent_hostname: String,
    /// Environment of the agent.
    pub agent_env: String,
    /// Views, one per traced process or key.
    #[serde(deserialize_with = "null_is_default")]
    pub stats: Vec<ClientStats>,
    /// Version of the agent.
    pub agent_version: String,
    /// The tracer computed them.
    pub client_computed: bool,
    /// One part of several.
    pub split_payload: bool,
}

impl StatsPayload {
    /// Every group of the payload.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.stats.iter().flat_map(|stats| &stats.stats).flat_map(|bucket| &bucket.stats)
    }
}

/// Body of a request to `/v0.6/stats`, and one view of a [`StatsPayload`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClientStats {
    /// Host the tracer reports.
    pub hostname: String,
    /// Environment.
    pub env: String,
    /// Version of the traced program.
    pub version: String,
    /// Buckets of time.
    #[serde(deserialize_with = "null_is_default")]
    pub stats: Vec<Bucket>,
    /// Language of the tracer.
    pub lang: String,
    /// Version of the tracer.
    pub tracer_version: String,
    /// Random id of the traced process.
    #[serde(rename = "RuntimeID")]
    pub runtime_id: String,
    /// Number of the payload within the process's life.
    pub sequence: u64,
    /// How an agent aggregated the payload.
    pub agent_aggregation: String,
    /// Main service of the process.
    pub service: String,
    /// Container of the process.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Container tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Commit of the traced program.
    pub git_commit_sha: String,
    /// Image of the container.
    pub image_tag: String,
    /// Hash of `process_tags`.
    pub process_tags_hash: u64,
    /// Tags of the process.
    pub process_tags: String,
}

/// Statistics of one span of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Bucket {
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// Length in nanoseconds.
    pub duration: u64,
    /// One entry per key.
    #[serde(deserialize_with = "null_is_default")]
    pub stats: Vec<Group>,
    /// By how much an agent moved the bucket.
    pub agent_time_shift: i64,
}

/// What is counted under one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Group {
    /// Key: service.
    pub service: String,
    /// Key: operation.
    pub name: String,
    /// Key: resource.
    pub resource: String,
    /// Key: HTTP status.
    #[serde(rename = "HTTPStatusCode")]
    pub http_status_code: u32,
    /// Key: span type.
    pub r#type: String,
    /// Key: database type.
    #[serde(rename = "DBType")]
    pub db_type: String,
    /// Spans.
    pub hits: u64,
    /// Spans with an error.
    pub errors: u64,
    /// Sum of durations in nanoseconds.
    pub duration: u64,
    /// Sketch of durations without an error (protobuf).
    #[serde(with = "serde_bytes")]
    pub ok_summary: Vec<u8>,
    /// Sketch of durations with an error (protobuf).
    #[serde(with = "serde_bytes")]
    pub error_summary: Vec<u8>,
    /// Key: synthetic traffic.
    pub synthetics: bool,
    /// Top-level spans among the hits.
    pub top_level_hits: u64,
    /// Key: span kind.
    pub span_kind: String,
    /// Key: tags of the peer.
    #[serde(deserialize_with = "null_is_default")]
    pub peer_tags: Vec<String>,
    /// Key: 0 not set, 1 root, 2 not a root.
    pub is_trace_root: i32,
    /// Key: gRPC status.
    #[serde(rename = "GRPCStatusCode")]
    pub grpc_status_code: String,
    /// Key: HTTP method.
    #[serde(rename = "HTTPMethod")]
    pub http_method: String,
    /// Key: HTTP route.
    #[serde(rename = "HTTPEndpoint")]
    pub http_endpoint: String,
    /// Key: where the service's name came from.
    #[serde(rename = "srv_src")]
    pub service_source: String,
    /// Deprecated key.
    #[serde(deserialize_with = "null_is_default")]
    pub span_derived_primary_tags: Vec<String>,
    /// Key: additional metric tags.
    #[serde(deserialize_with = "null_is_default")]
    pub additional_metric_tags: Vec<String>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
