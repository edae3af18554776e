//! Statistics as `rmp-serde` and `prost` see them: an independent oracle.

use std::collections::BTreeMap;

use model::sketch::{Bins, Mapping, Sketch};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload, TraceRoot};
use prost::Message as _;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, prost::Message)]
pub struct DdSketch {
    #[prost(message, tag = "1")]
    pub mapping: Option<IndexMapping>,
    #[prost(message, tag = "2")]
    pub positive: Option<Store>,
    #[prost(message, tag = "3")]
    pub negative: Option<Store>,
    #[prost(double, tag = "4")]
    pub zero_count: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexMapping {
    #[prost(double, tag = "1")]
    pub gamma: f64,
    #[prost(double, tag = "2")]
    pub index_offset: f64,
    #[prost(int32, tag = "3")]
    pub interpolation: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Store {
    #[prost(btree_map = "sint32, double", tag = "1")]
    pub sparse: BTreeMap<i32, f64>,
    #[prost(double, repeated, tag = "2")]
    pub contiguous: Vec<f64>,
    #[prost(sint32, tag = "3")]
    pub first_index: i32,
}

pub fn prost_sketch(sketch: &Sketch) -> DdSketch {
    let store = |bins: &Bins| {
        Some(Store {
            sparse: bins.sparse.iter().copied().collect(),
            contiguous: bins.contiguous.clone(),
            first_index: bins.first_index,
        })
    };
    let Mapping { gamma, index_offset, interpolation } = sketch.mapping;
    DdSketch {
        mapping: Some(IndexMapping { gamma, index_offset, interpolation }),
        positive: store(&sketch.positive),
        negative: store(&sketch.negative),
        zero_count: sketch.zero_count,
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Payload {
    pub agent_hostname: String,
    pub agent_env: String,
    pub stats: Vec<Client>,
    pub agent_version: String,
    pub client_computed: bool,
    pub split_payload: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Client {
    pub hostname: String,
    pub env: String,
    pub version: String,
    pub stats: Vec<Bucket>,
    pub lang: String,
    pub tracer_version: String,
    #[serde(rename = "RuntimeID")]
    pub runtime_id: String,
    pub sequence: u64,
    pub agent_aggregation: String,
    pub service: String,
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    pub tags: Vec<String>,
    pub git_commit_sha: String,
    pub image_tag: String,
    pub process_tags_hash: u64,
    pub process_tags: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Bucket {
    pub start: u64,
    pub duration: u64,
    pub stats: Vec<Group>,
    pub agent_time_shift: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Group {
    pub service: String,
    pub name: String,
    pub resource: String,
    #[serde(rename = "HTTPStatusCode")]
    pub http_status_code: u32,
    #[serde(rename = "Type")]
    pub span_type: String,
    #[serde(rename = "DBType")]
    pub db_type: String,
    pub hits: u64,
    pub errors: u64,
    pub duration: u64,
    pub ok_summary: Binary,
    pub error_summary: Binary,
    pub synthetics: bool,
    pub top_level_hits: u64,
    pub span_kind: String,
    pub peer_tags: Vec<String>,
    pub is_trace_root: i32,
    #[serde(rename = "GRPCStatusCode")]
    pub grpc_status_code: String,
    #[serde(rename = "HTTPMethod")]
    pub http_method: String,
    #[serde(rename = "HTTPEndpoint")]
    pub http_endpoint: String,
    #[serde(rename = "srv_src")]
    pub service_source: String,
    pub span_derived_primary_tags: Vec<String>,
    pub additional_metric_tags: Vec<String>,
}

/// `bin` in msgpack, which serde writes for no vector of bytes by itself.
#[derive(Debug, PartialEq)]
pub struct Binary(pub Vec<u8>);

impl Serialize for Binary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Binary;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bin")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Binary, E> {
                Ok(Binary(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

pub fn payload(stats: &StatsPayload) -> Payload {
    Payload {
        agent_hostname: stats.agent_hostname.clone(),
        agent_env: stats.agent_env.clone(),
        stats: stats.stats.iter().map(client).collect(),
        agent_version: stats.agent_version.clone(),
        client_computed: stats.client_computed,
        split_payload: stats.split_payload,
    }
}

pub fn client(stats: &ClientStats) -> Client {
    Client {
        hostname: stats.hostname.clone(),
        env: stats.env.clone(),
        version: stats.version.clone(),
        stats: stats.buckets.iter().map(bucket).collect(),
        lang: stats.lang.clone(),
        tracer_version: stats.tracer_version.clone(),
        runtime_id: stats.runtime_id.clone(),
        sequence: stats.sequence,
        agent_aggregation: stats.agent_aggregation.clone(),
        service: stats.service.clone(),
        container_id: stats.container_id.clone(),
        tags: stats.tags.clone(),
        git_commit_sha: stats.git_commit_sha.clone(),
        image_tag: stats.image_tag.clone(),
        process_tags_hash: stats.process_tags_hash,
        process_tags: stats.process_tags.clone(),
    }
}

fn bucket(bucket: &StatsBucket) -> Bucket {
    Bucket {
        start: bucket.start,
        duration: bucket.duration,
        stats: bucket.groups.iter().map(group).collect(),
        agent_time_shift: bucket.agent_time_shift,
    }
}

fn group(group: &StatsGroup) -> Group {
    Group {
        service: group.service.clone(),
        name: group.name.clone(),
        resource: group.resource.clone(),
        http_status_code: group.http_status_code,
        span_type: group.span_type.clone(),
        db_type: group.db_type.clone(),
        hits: group.hits,
        errors: group.errors,
        duration: group.duration,
        ok_summary: Binary(prost_sketch(&group.ok_summary).encode_to_vec()),
        error_summary: Binary(prost_sketch(&group.error_summary).encode_to_vec()),
        synthetics: group.synthetics,
        top_level_hits: group.top_level_hits,
        span_kind: group.span_kind.clone(),
        peer_tags: group.peer_tags.clone(),
        is_trace_root: match group.is_trace_root {
            TraceRoot::NotSet => 0,
            TraceRoot::Yes => 1,
            TraceRoot::No => 2,
        },
        grpc_status_code: group.grpc_status_code.clone(),
        http_method: group.http_method.clone(),
        http_endpoint: group.http_endpoint.clone(),
        service_source: group.service_source.clone(),
        span_derived_primary_tags: group.span_derived_primary_tags.clone(),
        additional_metric_tags: group.additional_metric_tags.clone(),
    }
}

pub fn full_sketch() -> Sketch {
    Sketch {
        mapping: Mapping { gamma: 1.015_625, index_offset: 0.5, interpolation: 0 },
        positive: Bins {
            first_index: -3,
            contiguous: vec![1.0, 0.0, 2.5],
            sparse: vec![(-900, 1.0), (900, 4.0)],
        },
        negative: Bins::default(),
        zero_count: 2.0,
    }
}

pub fn full_client() -> ClientStats {
    let group = StatsGroup {
        service: "shop".into(),
        name: "http.request".into(),
        resource: "GET /?".into(),
        http_status_code: 500,
        span_type: "web".into(),
        db_type: "db".into(),
        hits: 200,
        errors: 70_000,
        duration: u64::MAX,
        ok_summary: full_sketch(),
        error_summary: Sketch { zero_count: 0.0, ..full_sketch() },
        synthetics: true,
        top_level_hits: 5,
        span_kind: "server".into(),
        peer_tags: vec!["db.name:x".into(), "out.host:y".into()],
        is_trace_root: TraceRoot::Yes,
        grpc_status_code: "2".into(),
        http_method: "GET".into(),
        http_endpoint: "/?".into(),
        service_source: "m".into(),
        span_derived_primary_tags: vec!["p:1".into()],
        additional_metric_tags: vec!["a:1".into()],
    };
    let plain = StatsGroup {
        is_trace_root: TraceRoot::No,
        ok_summary: full_sketch(),
        error_summary: full_sketch(),
        ..StatsGroup::default()
    };
    ClientStats {
        hostname: "h".into(),
        env: "prod".into(),
        version: "1".into(),
        lang: "php".into(),
        tracer_version: "2".into(),
        runtime_id: "r".into(),
        sequence: 7,
        agent_aggregation: "counts".into(),
        service: "shop".into(),
        container_id: "c".into(),
        tags: vec!["t:1".into()],
        git_commit_sha: "f00".into(),
        image_tag: "latest".into(),
        process_tags_hash: u64::MAX,
        process_tags: "a:b".into(),
        buckets: vec![
            StatsBucket {
                start: 1_700_000_000_000_000_000,
                duration: 10_000_000_000,
                groups: vec![group, plain],
                agent_time_shift: -5,
            },
            StatsBucket { agent_time_shift: 5, ..StatsBucket::default() },
        ],
    }
}

pub fn full_stats_payload() -> StatsPayload {
    StatsPayload {
        agent_hostname: "a".into(),
        agent_env: "e".into(),
        stats: vec![full_client(), ClientStats::default()],
        agent_version: "7".into(),
        client_computed: true,
        split_payload: true,
    }
}
