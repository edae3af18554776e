//! Statistics that have everything, and the testkit's view of them.

use model::sketch::{Bins, Mapping, Sketch};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload, TraceRoot};
use prost::Message as _;
use testkit::proto::{DdSketch, IndexMapping, Store};
use testkit::stats as sent;

pub fn prost_sketch(sketch: &Sketch) -> DdSketch {
    let store = |bins: &Bins| {
        Some(Store {
            bin_counts: bins.sparse.iter().copied().collect(),
            contiguous_bin_counts: bins.contiguous.clone(),
            contiguous_bin_index_offset: bins.first_index,
        })
    };
    let Mapping { gamma, index_offset, interpolation } = sketch.mapping;
    DdSketch {
        mapping: Some(IndexMapping { gamma, index_offset, interpolation }),
        positive_values: store(&sketch.positive),
        negative_values: store(&sketch.negative),
        zero_count: sketch.zero_count,
    }
}

pub fn payload(stats: &StatsPayload) -> sent::StatsPayload {
    sent::StatsPayload {
        agent_hostname: stats.agent_hostname.clone(),
        agent_env: stats.agent_env.clone(),
        stats: stats.stats.iter().map(client).collect(),
        agent_version: stats.agent_version.clone(),
        client_computed: stats.client_computed,
        split_payload: stats.split_payload,
    }
}

pub fn client(stats: &ClientStats) -> sent::ClientStats {
    sent::ClientStats {
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

fn bucket(bucket: &StatsBucket) -> sent::Bucket {
    sent::Bucket {
        start: bucket.start,
        duration: bucket.duration,
        stats: bucket.groups.iter().map(group).collect(),
        agent_time_shift: bucket.agent_time_shift,
    }
}

fn group(group: &StatsGroup) -> sent::Group {
    sent::Group {
        service: group.service.clone(),
        name: group.name.clone(),
        resource: group.resource.clone(),
        http_status_code: group.http_status_code,
        r#type: group.span_type.clone(),
        db_type: group.db_type.clone(),
        hits: group.hits,
        errors: group.errors,
        duration: group.duration,
        ok_summary: prost_sketch(&group.ok_summary).encode_to_vec(),
        error_summary: prost_sketch(&group.error_summary).encode_to_vec(),
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
