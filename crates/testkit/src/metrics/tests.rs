//! The bytes here are made by hand from the field numbers of the fact sheet, not by an encoder.

use super::{
    decode::{Decoded, Kind},
    *,
};

/// One field with a length: number, content of less than 128 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn series_of(kind: Kind, body: &[u8], content_type: &str) -> Vec<Series> {
    match kind.decode(body, content_type).unwrap() {
        Decoded::Series(series) => series,
        other => panic!("{other:?}"),
    }
}

fn sketches_of(body: &[u8]) -> Vec<SketchSeries> {
    match Kind::Sketches.decode(body, "application/x-protobuf").unwrap() {
        Decoded::Sketches(sketches) => sketches,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_protobuf_series_is_read_by_its_field_numbers() {
    // Timestamp 1000 is E8 07.
    let point = [double(1, 2.5), vec![2 << 3, 0xE8, 0x07]].concat();
    let origin = [3 << 3, 9, 4 << 3, 1, 5 << 3, 36, 6 << 3, 0xD8, 0x03];
    let series = [
        field(1, &[field(1, b"host"), field(2, b"h1")].concat()),
        field(1, &[field(1, b"device"), field(2, b"eth0")].concat()),
        field(2, b"page.views"),
        field(3, b"env:prod"),
        field(3, b"a"),
        field(4, &point),
        vec![5 << 3, 2],
        field(6, b"byte"),
        field(7, b"System"),
        vec![8 << 3, 10],
        field(9, &field(1, &origin)),
    ]
    .concat();
    let mut body = field(1, &series);
    let expected = Series {
        metric: "page.views".into(),
        tags: vec!["env:prod".into(), "a".into()],
        host: "h1".into(),
        resources: vec![("host".into(), "h1".into()), ("device".into(), "eth0".into())],
        series_type: RATE,
        interval: 10,
        points: vec![(1000, 2.5)],
        unit: "byte".into(),
        source_type_name: "System".into(),
        origin: Some(Origin { metric_type: 9, product: 1, category: 36, service: 472 }),
    };
    assert_eq!(series_of(Kind::Series, &body, "application/x-protobuf"), [expected]);
    body.pop();
    assert!(Kind::Series.decode(&body, "application/x-protobuf").is_err());
}

#[test]
fn sketches_are_read_by_their_field_numbers() {
    // sint32: 1338 is 2676 = F4 14; -1 is 1.
    let dogsketch = [
        vec![1 << 3, 0xE8, 0x07, 2 << 3, 3],
        double(3, -1.0),
        double(4, 1.0),
        double(5, 0.25),
        double(6, 0.75),
        field(7, &[0x01, 0xF4, 0x14]),
        field(8, &[1, 2]),
    ]
    .concat();
    let sketch = [field(1, b"lat"), field(2, b"h"), field(4, b"a:b"), field(7, &dogsketch)].concat();
    let body = [field(1, &sketch), field(2, b"")].concat();
    let expected =
        Sketch { count: 3, min: -1.0, max: 1.0, avg: 0.25, sum: 0.75, bins: vec![(-1, 1), (1338, 2)] };
    let found = sketches_of(&body);
    assert_eq!(found[0].points, [(1000, expected)]);
    assert_eq!(
        (&*found[0].metric, &*found[0].host, &found[0].tags[..]),
        ("lat", "h", &["a:b".to_owned()][..])
    );
}

#[test]
fn a_sketch_with_more_keys_than_counts_is_undecodable() {
    let sketch = field(7, &[field(7, &[2, 4]), field(8, &[1])].concat());
    assert!(Kind::Sketches.decode(&field(1, &sketch), "").is_err());
}

#[test]
fn the_mini_agents_json_is_read() {
    let body = br#"{"series":[{"metric":"m","points":[{"timestamp":10,"value":3.0}],"resources":[{"name":"h","type":"host"}],
        "type":0,"tags":["a"],"metadata":{"origin":{"origin_product":1,"origin_sub_product":35,"origin_product_detail":472}}},
        {"metric":"nan","points":[{"timestamp":10,"value":null}],"resources":[],"type":1,"tags":[],"metadata":null}]}"#;
    let series = series_of(Kind::Series, body, "application/json");
    assert_eq!(series[0].origin, Some(Origin { metric_type: 0, product: 1, category: 35, service: 472 }));
    assert_eq!((&*series[0].host, series[0].series_type), ("h", 0));
    assert!(series[1].points[0].1.is_nan());
    let mut metrics = Metrics::default();
    metrics.add_series(&series);
    assert_eq!(metrics.total("m", &["a"]), 3.0);
}

#[test]
fn series_v1_are_read() {
    let body = br#"{"series":[{"metric":"m","points":[[10,2.0]],"tags":null,"host":"h","type":"rate","interval":10,"device":"d"}]}"#;
    let series = series_of(Kind::SeriesV1, body, "application/json");
    let mut metrics = Metrics::default();
    metrics.add_series(&series);
    assert_eq!(metrics.total("m", &["device:d"]), 20.0);
}

#[test]
fn events_and_checks_are_read() {
    let body = br#"{"apiKey":"","internalHostname":"h","events":{"api":[{"msg_title":"t","msg_text":"x\ny","timestamp":5,"alert_type":"error","tags":["a"]}]}}"#;
    let Decoded::Events(payload) = Kind::Events.decode(body, "application/json").unwrap() else {
        panic!("no events")
    };
    assert_eq!((&*payload.internal_hostname, &*payload.api_key), ("h", ""));
    let event = &payload.events[0];
    assert_eq!((&*event.source, &*event.title, &*event.text, event.timestamp), ("api", "t", "x\ny", 5));
    let body = br#"[{"check":"c","host_name":"h","timestamp":5,"status":2,"message":"m","tags":["a"]}]"#;
    let Decoded::Checks(checks) = Kind::Checks.decode(body, "application/json").unwrap() else {
        panic!("no checks")
    };
    assert_eq!((&*checks[0].name, checks[0].status, &*checks[0].message), ("c", 2, "m"));
}

fn series(metric: &str, tags: &[&str], host: &str, kind: i32, points: &[(i64, f64)]) -> Series {
    Series {
        metric: metric.into(),
        tags: tags.iter().map(ToString::to_string).collect(),
        host: host.into(),
        series_type: kind,
        interval: if kind == RATE { 10 } else { 0 },
        points: points.to_vec(),
        ..Series::default()
    }
}

#[test]
fn of_two_points_with_the_same_key_the_backend_keeps_the_last() {
    let mut metrics = Metrics::default();
    metrics.add_series(&[
        series("c", &["a", "b"], "", COUNT, &[(10, 1.0), (20, 4.0)]),
        series("c", &["b", "a", "a"], "", COUNT, &[(10, 2.0), (20, 4.0)]),
    ]);
    assert_eq!(metrics.total("c", &[]), 6.0);
    assert_eq!((metrics.replaced(), metrics.replaced_others()), (2, 1));
    assert_eq!(metrics.points("c", &["a"]), [(10, 2.0), (20, 4.0)]);
}

#[test]
fn tags_and_hosts_tell_series_apart_and_totals_sum_over_them() {
    let mut metrics = Metrics::default();
    metrics.add_series(&[
        series("c", &["a", "i:1"], "", COUNT, &[(10, 1.0)]),
        series("c", &["a", "i:2"], "", RATE, &[(10, 0.5)]),
        series("c", &["a", "i:2"], "h", COUNT, &[(10, 7.0)]),
        series("c", &["b"], "", COUNT, &[(10, 100.0)]),
        series("c", &["a"], "", GAUGE, &[(10, 1000.0)]),
    ]);
    assert_eq!(metrics.total("c", &["a"]), 13.0);
    assert_eq!(metrics.total("c", &["a", "i:2"]), 12.0);
    assert_eq!(metrics.total("c", &[]), 113.0);
    assert_eq!(metrics.replaced(), 0);
    assert_eq!(metrics.contexts("c", &["i:2"]).len(), 2);
    assert_eq!(metrics.names(), ["c"]);
    assert_eq!(metrics.summaries()["c"].gauges, 1000.0);
}

#[test]
fn a_gauge_is_its_last_value_in_time() {
    let mut metrics = Metrics::default();
    metrics.add_series(&[series("g", &["a"], "", GAUGE, &[(20, 2.0), (10, 1.0)])]);
    assert_eq!(metrics.gauge("g", &[]), Some(2.0));
    assert_eq!(metrics.gauge("g", &["b"]), None);
}

#[test]
#[should_panic(expected = "ambiguous")]
fn a_gauge_of_several_series_is_not_guessed() {
    let mut metrics = Metrics::default();
    metrics.add_series(&[
        series("g", &["a"], "", GAUGE, &[(10, 1.0)]),
        series("g", &["b"], "", GAUGE, &[(10, 1.0)]),
    ]);
    metrics.gauge("g", &[]);
}

#[test]
fn sketches_with_the_same_key_are_added() {
    let sketch = |value: f64, key| Sketch {
        count: 1,
        min: value,
        max: value,
        avg: value,
        sum: value,
        bins: vec![(key, 1)],
    };
    let of = |tag: &str, points| SketchSeries {
        metric: "d".into(),
        tags: vec![tag.into()],
        points,
        ..SketchSeries::default()
    };
    let mut metrics = Metrics::default();
    metrics.add_sketches(&[
        of("a", vec![(10, sketch(1.0, 1338))]),
        of("a", vec![(10, sketch(1.0, 1338)), (20, sketch(-1.0, -1338))]),
        of("b", vec![(10, sketch(0.0, 0))]),
    ]);
    let sum = metrics.sketch("d", &["a"]);
    assert_eq!((sum.count, sum.min, sum.max, sum.sum), (3, -1.0, 1.0, 1.0));
    assert_eq!(sum.bins, [(-1338, 1), (1338, 2)]);
    assert_eq!(metrics.sketch("d", &[]).count, 4);
    assert_eq!(metrics.summaries()["d"].sketched, 4);
    assert_eq!(metrics.sketch("none", &[]), Sketch::default());
}
