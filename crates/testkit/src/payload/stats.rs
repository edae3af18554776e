//! Client-computed statistics (`facts/trace-intake.md` §4.5).

use crate::{
    proto::{DdSketch, IndexMapping, Store},
    stats::{Bucket, ClientStats, Group},
};
use prost::Message;

/// One payload of a tracer: a bucket with `groups` groups of ten hits each.
pub fn client_stats(seed: u64, bucket_start: u64, groups: usize) -> ClientStats {
    let mut random = fastrand::Rng::with_seed(seed);
    let groups = (0..groups).map(|number| group(number, &mut random)).collect();
    ClientStats {
        env: "prod".into(),
        version: "1.2.3".into(),
        lang: "python".into(),
        tracer_version: "4.16.0".into(),
        runtime_id: format!("{:032x}", random.u128(..)),
        sequence: 1,
        service: "shop".into(),
        stats: vec![Bucket {
            start: bucket_start,
            duration: 10_000_000_000,
            stats: groups,
            agent_time_shift: 0,
        }],
        ..ClientStats::default()
    }
}

fn group(number: usize, random: &mut fastrand::Rng) -> Group {
    Group {
        service: "shop".into(),
        name: "web.request".into(),
        resource: format!("GET /orders/{number}"),
        http_status_code: 200,
        r#type: "web".into(),
        hits: 10,
        errors: 1,
        duration: random.u64(1_000_000..50_000_000),
        ok_summary: sketch(9.0, random.i32(1_000..2_000)),
        error_summary: sketch(1.0, random.i32(1_000..2_000)),
        top_level_hits: 10,
        span_kind: "server".into(),
        is_trace_root: 1,
        http_method: "GET".into(),
        ..Group::default()
    }
}

fn sketch(count: f64, index: i32) -> Vec<u8> {
    let store = |counts: Vec<f64>| Store {
        contiguous_bin_counts: counts,
        contiguous_bin_index_offset: index,
        ..Store::default()
    };
    DdSketch {
        mapping: Some(IndexMapping { gamma: 1.015_625, index_offset: 0.0, interpolation: 0 }),
        positive_values: Some(store(vec![count])),
        negative_values: Some(store(Vec::new())),
        zero_count: 0.0,
    }
    .encode_to_vec()
}
