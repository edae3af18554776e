use super::*;
use crate::proto::{AttributeAnyValue, SpanEvent, SpanLink};
use std::collections::{HashMap, HashSet};

/// msgpack read without knowing what it means.
fn value(bytes: &[u8]) -> serde_json::Value {
    rmp_serde::from_slice(bytes).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_payload_and_another_one_does_not() {
    assert_eq!(mix(Mix::default()), mix(Mix::default()));
    assert_ne!(mix(Mix::default()), mix(Mix { seed: 2, ..Mix::default() }));
}

#[test]
fn the_default_mix_is_ten_traces_of_twenty_spans_in_about_78_kilobytes() {
    let traces = mix(Mix::default());
    assert_eq!(traces.iter().map(Vec::len).collect::<Vec<_>>(), [20; 10]);
    let bytes = v04(&traces).len();
    assert!((74_000..82_000).contains(&bytes), "{bytes}");
    let sql = traces.iter().flatten().filter(|span| span.r#type == "sql").count();
    assert!(sql >= 100, "{sql}");
}

#[test]
fn each_request_of_a_template_has_ids_starts_and_literals_of_its_own() {
    let traces = mix(Mix::default());
    for format in [Format::V04, Format::V05, Format::V07, Format::Otlp] {
        let template = Template::new(format.encode(&traces), 200);
        let (one, two) = (template.request(0, 1 << 60), template.request(1, 1 << 60));
        assert_eq!(one.len(), template.len());
        assert_ne!(one, two, "{format:?}");
        assert!(template.span_ids(0).end <= template.span_ids(1).start);
    }
    let template = Template::new(v04(&traces), 200);
    let decoded = value(&template.request(7, 1 << 60));
    let spans: Vec<_> =
        decoded.as_array().unwrap().iter().flat_map(|trace| trace.as_array().unwrap()).collect();
    let ids: HashSet<_> = spans.iter().map(|span| span["span_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, template.span_ids(7).collect());
    for span in &spans {
        assert!((1_i64 << 60).abs_diff(span["start"].as_i64().unwrap()) <= 500_000_000);
        let parent = span["parent_id"].as_u64().unwrap();
        assert!(parent == 0 || ids.contains(&parent), "{parent}");
        assert!(!span["resource"].as_str().unwrap().contains(Template::literal()));
    }
}

type Indexes<V> = HashMap<usize, V>;
type V05Span = (usize, usize, usize, u64, u64, u64, i64, i64, i32, Indexes<usize>, Indexes<f64>, usize);

#[test]
fn v04_carries_links_and_events_and_v05_shares_strings() {
    let event = SpanEvent {
        time_unix_nano: 5,
        name: "retry".into(),
        attributes: [("n".to_owned(), AttributeAnyValue { r#type: 2, int_value: 3, ..Default::default() })]
            .into(),
    };
    let traces = vec![vec![Span {
        span_links: vec![SpanLink { span_id: 9, ..SpanLink::default() }],
        span_events: vec![event],
        ..span(1)
    }]];
    let v04 = value(&v04(&traces));
    assert_eq!(v04[0][0]["span_links"][0]["span_id"], 9);
    assert_eq!(v04[0][0]["span_events"][0]["attributes"]["n"]["int_value"], 3);
    let (strings, spans): (Vec<String>, Vec<Vec<V05Span>>) = rmp_serde::from_slice(&v05(&traces)).unwrap();
    let span = &spans[0][0];
    assert_eq!((strings[span.0].as_str(), strings[span.2].as_str()), ("shop", "GET /"));
    assert_eq!((span.3, span.10.len()), (1, 1));
    let v07 = value(&v07(&traces));
    assert_eq!(v07["chunks"][0]["spans"][0]["service"], "shop");
    assert_eq!(v07["chunks"][0]["priority"], 1);
}

#[test]
fn hostile_requests_have_names_of_their_own_per_format() {
    let cases = hostile(1);
    let names: HashSet<_> = cases.iter().map(|case| (case.name.clone(), case.format.path())).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn client_stats_are_maps_with_the_reference_s_keys() {
    let stats = client_stats(1, 1_790_000_000_000_000_000, 3);
    let bytes = rmp_serde::to_vec_named(&stats).unwrap();
    assert_eq!(rmp_serde::from_slice::<crate::stats::ClientStats>(&bytes).unwrap(), stats);
    assert!(bytes.windows(15).any(|window| window == b"HTTPStatusCode\xcc"));
}
