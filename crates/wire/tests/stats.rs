//! Statistics and sketches, against independent encoders and decoders.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use lastlight_wire::sketch::STORE_MAX_BINS;
use lastlight_wire::stats::{decode_client_stats, decode_stats_payload, encode_stats_payload};
use lastlight_wire::{ErrorKind, sketch};
use model::sketch::{Bins, Mapping, Sketch};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload, TraceRoot};
use proptest::prelude::*;
use prost::Message as _;
use serde::de::IgnoredAny;
use support::stats::{client, full_client, full_sketch, full_stats_payload, payload, prost_sketch};
use testkit::proto::{DdSketch, IndexMapping, Store};
use testkit::stats as sent;

fn encoded(payload: &StatsPayload) -> Vec<u8> {
    let mut out = Vec::new();
    encode_stats_payload(payload, &mut out);
    out
}

/// Every name of a body, and what stands below it.
#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum Names {
    Map(BTreeMap<String, Names>),
    Array(Vec<Names>),
    Value(IgnoredAny),
}

fn names(body: &[u8]) -> Names {
    rmp_serde::from_slice(body).unwrap()
}

/// What was meant is what the testkit reads. It passes over names it does not know, and takes the default for those it
/// misses: hence the names are compared too.
fn arrives(meant: &StatsPayload, body: &[u8]) {
    let meant = payload(meant);
    assert_eq!(rmp_serde::from_slice::<sent::StatsPayload>(body).unwrap(), meant);
    assert_eq!(names(body), names(&rmp_serde::to_vec_named(&meant).unwrap()));
}

fn sketch_bytes(sketch: &Sketch) -> Vec<u8> {
    let mut out = Vec::new();
    sketch::encode(sketch, &mut out);
    out
}

fn refused(sketch: &DdSketch) -> ErrorKind {
    sketch::decode(&sketch.encode_to_vec()).expect_err("a bad sketch was accepted").kind
}

#[test]
fn what_a_tracer_sends_is_read_whole() {
    let stats = full_client();
    let named = rmp_serde::to_vec_named(&client(&stats)).unwrap();
    assert_eq!(decode_client_stats(&named).unwrap(), stats);
}

#[test]
fn the_backend_gets_every_field_by_its_name() {
    let stats = full_stats_payload();
    let body = encoded(&stats);
    arrives(&stats, &body);
    assert_eq!(decode_stats_payload(&body).unwrap(), stats);
    assert_eq!(decode_stats_payload(&encoded(&StatsPayload::default())).unwrap(), StatsPayload::default());
}

#[test]
fn the_outgoing_bytes_are_as_they_were() {
    let golden = include_bytes!("../testdata/stats_payload.bin");
    assert!(encoded(&full_stats_payload()) == golden, "the encoding of statistics changed");
}

#[test]
fn absent_and_nil_fields_have_their_defaults() {
    assert_eq!(decode_client_stats(b"\x80").unwrap(), ClientStats::default());
    assert_eq!(decode_client_stats(b"\xc0").unwrap(), ClientStats::default());
    let body = b"\x85\xa3Env\xc0\xa8Sequence\xc0\xa4Tags\xc0\xa7Unknown\x91\x01\xa5Stats\x93\xc0\x80\x81\xa5Stats\x91\x83\xa9OkSummary\xc0\xa4Hits\xc0\xa4Type\xc0";
    let stats = decode_client_stats(body).unwrap();
    let second = StatsBucket { groups: vec![StatsGroup::default()], ..StatsBucket::default() };
    assert_eq!(stats.buckets, [StatsBucket::default(), second]);
}

#[test]
fn bodies_that_are_no_statistics_are_refused() {
    for (body, kind) in [
        (b"".as_slice(), ErrorKind::Eof),
        (b"\x90", ErrorKind::Malformed),
        (b"\x81\xa5Stats\x01", ErrorKind::Malformed),
        (b"\x81\xa5Stats\x91\x81\xa5Stats\x91\x81\xa4Hits\xa1x", ErrorKind::Malformed),
        (b"\x81\xa5Stats\x91\x81\xa5Stats\x91\x81\xa9OkSummary\xc4\x02\x0b\x01", ErrorKind::Malformed),
        (b"\x81\xa5Stats\xdd\xff\xff\xff\xff", ErrorKind::Eof),
        (b"\x81\xa3Env\xdb\xff\xff\xff\xff", ErrorKind::Eof),
    ] {
        assert_eq!(decode_client_stats(body).unwrap_err().kind, kind, "{body:x?}");
    }
    let body = encoded(&full_stats_payload());
    for end in 0..body.len() {
        assert!(decode_stats_payload(&body[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn the_offset_of_a_bad_sketch_is_that_in_the_body() {
    let body = b"\x81\xa5Stats\x91\x81\xa5Stats\x91\x81\xa9OkSummary\xc4\x02\x08\x80";
    let error = decode_client_stats(body).unwrap_err();
    assert_eq!((error.kind, error.offset), (ErrorKind::Eof, body.len()));
}

#[test]
fn a_body_that_decodes_to_much_more_than_it_is_is_refused() {
    let mut body = b"\x81\xa5Stats\x91\x81\xa5Stats\xdd\x00\x0f\x42\x40".to_vec();
    body.resize(body.len() + 1_000_000, 0x80);
    assert_eq!(decode_client_stats(&body).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn a_sketch_survives_and_reads_as_prost_reads_it() {
    let sketch = full_sketch();
    let bytes = sketch_bytes(&sketch);
    assert_eq!(sketch::decode(&bytes).unwrap(), sketch);
    assert_eq!(DdSketch::decode(&*bytes).unwrap(), prost_sketch(&sketch));
    assert_eq!(sketch::decode(&prost_sketch(&sketch).encode_to_vec()).unwrap(), sketch);
    assert_eq!(sketch_bytes(&Sketch::default()), b"");
    assert_eq!(sketch::decode(b"").unwrap(), Sketch::default());
}

#[test]
fn counts_that_are_not_packed_are_read_too() {
    let mut store = Vec::new();
    for count in [1.0_f64, 2.0] {
        store.push(2 << 3 | 1);
        store.extend_from_slice(&count.to_le_bytes());
    }
    let mut bytes = DdSketch {
        mapping: Some(IndexMapping { gamma: 1.02, ..IndexMapping::default() }),
        ..DdSketch::default()
    }
    .encode_to_vec();
    bytes.extend_from_slice(&[2 << 3 | 2, store.len() as u8]);
    bytes.extend_from_slice(&store);
    assert_eq!(sketch::decode(&bytes).unwrap().positive.contiguous, [1.0, 2.0]);
}

#[test]
fn sketches_no_value_could_be_read_by_are_refused() {
    let good = prost_sketch(&full_sketch());
    let mapped = |gamma, index_offset, interpolation| DdSketch {
        mapping: Some(IndexMapping { gamma, index_offset, interpolation }),
        ..good.clone()
    };
    let stored = |store| DdSketch { positive_values: Some(store), ..good.clone() };
    for bad in [
        DdSketch { mapping: None, ..good.clone() },
        mapped(1.0, 0.0, 0),
        mapped(0.5, 0.0, 0),
        mapped(f64::NAN, 0.0, 0),
        mapped(f64::INFINITY, 0.0, 0),
        mapped(1.02, f64::NAN, 0),
        mapped(1.02, 0.0, 4),
        mapped(1.02, 0.0, -1),
        DdSketch { zero_count: f64::NAN, ..good.clone() },
        DdSketch { zero_count: -1.0, ..good.clone() },
        stored(Store { contiguous_bin_counts: vec![-1.0], ..Store::default() }),
        stored(Store { contiguous_bin_counts: vec![f64::INFINITY], ..Store::default() }),
        stored(Store { bin_counts: [(1, f64::NAN)].into(), ..Store::default() }),
        stored(Store {
            contiguous_bin_counts: vec![1.0; 2],
            contiguous_bin_index_offset: i32::MAX - 1,
            ..Store::default()
        }),
    ] {
        assert_eq!(refused(&bad), ErrorKind::Malformed, "{bad:?}");
    }
    for bad in [
        stored(Store { contiguous_bin_counts: vec![1.0; STORE_MAX_BINS + 1], ..Store::default() }),
        stored(Store {
            bin_counts: (0..=STORE_MAX_BINS as i32).map(|bin| (bin, 1.0)).collect(),
            ..Store::default()
        }),
    ] {
        assert_eq!(refused(&bad), ErrorKind::TooLarge);
    }
    let most = stored(Store { contiguous_bin_counts: vec![1.0; STORE_MAX_BINS], ..Store::default() });
    assert!(sketch::decode(&most.encode_to_vec()).is_ok());
}

fn bins() -> impl Strategy<Value = Bins> {
    let count = || 0.0..1e9;
    (
        -100_000..100_000,
        prop::collection::vec(count(), 0..20),
        prop::collection::btree_map(any::<i32>(), count(), 0..5),
    )
        .prop_map(|(first_index, contiguous, sparse)| Bins {
            first_index,
            contiguous,
            sparse: sparse.into_iter().collect(),
        })
}

fn any_sketch() -> impl Strategy<Value = Sketch> {
    (1.000_1..4.0, -10.0..10.0, 0..4, bins(), bins(), 0.0..100.0).prop_map(
        |(gamma, index_offset, interpolation, positive, negative, zero_count)| Sketch {
            mapping: Mapping { gamma, index_offset, interpolation },
            positive,
            negative,
            zero_count,
        },
    )
}

prop_compose! {
    fn group()(
        (service, resource, peer_tags) in ("\\PC{0,40}", "[a-z]{0,300}", prop::collection::vec("[a-z:]{0,9}", 0..20)),
        (hits, errors, duration, top_level_hits) in any::<(u64, u64, u64, u64)>(),
        (http_status_code, synthetics) in any::<(u32, bool)>(),
        (ok_summary, error_summary) in (any_sketch(), any_sketch()),
        root in 0..3,
    ) -> StatsGroup {
        let is_trace_root = [TraceRoot::NotSet, TraceRoot::Yes, TraceRoot::No][root as usize];
        StatsGroup {
            service, resource, peer_tags, hits, errors, duration, top_level_hits, http_status_code, synthetics,
            ok_summary, error_summary, is_trace_root, ..StatsGroup::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_statistics_survive_and_read_as_they_were_meant(
        groups in prop::collection::vec(group(), 0..20),
        (start, duration, sequence) in any::<(u64, u64, u64)>(),
        agent_time_shift in any::<i64>(),
    ) {
        let bucket = StatsBucket { start, duration, groups, agent_time_shift };
        let stats = ClientStats { sequence, buckets: vec![bucket], ..ClientStats::default() };
        let named = rmp_serde::to_vec_named(&client(&stats)).unwrap();
        prop_assert_eq!(&decode_client_stats(&named).unwrap(), &stats);

        let whole = StatsPayload { stats: vec![stats], ..StatsPayload::default() };
        let body = encoded(&whole);
        arrives(&whole, &body);
        prop_assert_eq!(decode_stats_payload(&body).unwrap(), whole);
    }

    #[test]
    fn any_sketch_survives(sketch in any_sketch()) {
        let bytes = sketch_bytes(&sketch);
        prop_assert_eq!(DdSketch::decode(&*bytes).unwrap(), prost_sketch(&sketch));
        prop_assert_eq!(sketch::decode(&bytes).unwrap(), sketch);
    }
}

/// So that each test above also checks our spelling, and that nothing is missing or too much.
#[test]
fn names_the_testkit_passes_over_are_compared() {
    let right = b"\x81\xa5Stats\x91\x81\xa4Hits\xc0";
    assert_eq!(names(right), names(b"\x81\xa5Stats\x91\x81\xa4Hits\x07"));
    for wrong in [
        b"\x81\xa5Stats\x91\x81\xa4hits\xc0".as_slice(),
        b"\x81\xa5Stats\x91\x80",
        b"\x81\xa5Stats\x91\x82\xa4Hits\xc0\xa1x\xc0",
    ] {
        assert_ne!(names(right), names(wrong));
    }
}
