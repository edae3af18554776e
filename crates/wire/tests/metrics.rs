//! Series, sketches, events and service checks for the backend, against independent decoders.

#![allow(clippy::unwrap_used)]

mod support;

use lastlight_wire::ErrorKind;
use lastlight_wire::dogstatsd::{Message, parse};
use lastlight_wire::intake::events::Context;
use lastlight_wire::intake::{checks, events, series, sketches};
use model::metric::{Distribution, Event, Identity, Origin, Series, SeriesType, ServiceCheck, SketchPoint};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};
use support::metrics::{FULL_DISTRIBUTION, FULL_SERIES, series_message, sketch_message};
use testkit::metrics::proto::{MetricPayload, SketchPayload};

const EMPTY_SERIES: Series<'static> = Series {
    identity: Identity { name: [""; 3], host: "", resources: &[], tags: &[], origin: None },
    series_type: SeriesType::Gauge,
    interval: 0,
    points: &[],
};

fn series_bytes(all: &[Series<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    all.iter().for_each(|series| series::encode(series, &mut out));
    out
}

fn sketch_bytes(all: &[Distribution<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    all.iter().for_each(|distribution| sketches::encode(distribution, &mut out));
    out
}

#[test]
fn entries_one_after_the_other_are_a_payload() {
    let count = Series { series_type: SeriesType::Count, points: &[(17, 1.0)], ..FULL_SERIES };
    let all = [FULL_SERIES, EMPTY_SERIES, count];
    let payload = MetricPayload::decode(series_bytes(&all).as_slice()).unwrap();
    assert_eq!(payload.series, all.each_ref().map(series_message));

    let empty = Distribution { identity: EMPTY_SERIES.identity, points: &[] };
    let all = [FULL_DISTRIBUTION, empty, FULL_DISTRIBUTION];
    let payload = SketchPayload::decode(sketch_bytes(&all).as_slice()).unwrap();
    assert_eq!(payload.sketches, all.each_ref().map(sketch_message));
}

#[test]
fn l50_the_type_numbers_are_the_published_ones() {
    for (series_type, number) in [(SeriesType::Count, 1), (SeriesType::Rate, 2), (SeriesType::Gauge, 3)] {
        let bytes = series_bytes(&[Series { series_type, interval: 10, ..EMPTY_SERIES }]);
        assert_eq!(bytes, [0x0a, 4, 5 << 3, number, 8 << 3, 10]);
        assert_eq!(series::decode(&bytes).unwrap()[0].series_type, Some(series_type));
    }
}

#[test]
fn the_host_is_the_first_resource() {
    let payload = MetricPayload::decode(series_bytes(&[FULL_SERIES]).as_slice()).unwrap();
    let resources: Vec<_> =
        payload.series[0].resources.iter().map(|r| (r.r#type.as_str(), r.name.as_str())).collect();
    assert_eq!(resources, [("host", "web-1"), ("device", "eth0"), ("database", "orders")]);
    let homeless = Identity { host: "", resources: &[], ..FULL_SERIES.identity };
    let bytes = series_bytes(&[Series { identity: homeless, ..FULL_SERIES }]);
    assert!(MetricPayload::decode(bytes.as_slice()).unwrap().series[0].resources.is_empty());
}

#[test]
fn resources_of_a_distribution_are_tags_again() {
    let identity = Identity {
        resources: &[("device", "eth0"), ("database", "orders")],
        tags: &["a:1"],
        ..FULL_DISTRIBUTION.identity
    };
    let bytes = sketch_bytes(&[Distribution { identity, ..FULL_DISTRIBUTION }]);
    let payload = SketchPayload::decode(bytes.as_slice()).unwrap();
    assert_eq!(payload.sketches[0].tags, ["a:1", "device:eth0", "dd.internal.resource:database:orders"]);
    assert_eq!(payload.sketches[0].host, "web-1");
}

#[test]
fn the_outgoing_bytes_are_as_they_were() {
    assert!(series_bytes(&[FULL_SERIES]) == include_bytes!("../testdata/series.bin"), "series changed");
    assert!(
        sketch_bytes(&[FULL_DISTRIBUTION]) == include_bytes!("../testdata/sketches.bin"),
        "sketches changed"
    );
}

#[test]
fn what_was_sent_is_read_back() {
    let read = &series::decode(&series_bytes(&[EMPTY_SERIES, FULL_SERIES])).unwrap()[1];
    assert_eq!(read.name, FULL_SERIES.identity.name.concat());
    assert_eq!(read.tags, FULL_SERIES.identity.tags);
    assert_eq!(read.resources[0], ("host".to_owned(), "web-1".to_owned()));
    assert_eq!((read.series_type, read.interval), (Some(SeriesType::Rate), 10));
    assert_eq!(read.points, FULL_SERIES.points);
    assert_eq!(read.origin, FULL_SERIES.identity.origin);

    let read = &sketches::decode(&sketch_bytes(&[FULL_DISTRIBUTION])).unwrap()[0];
    assert_eq!(read.name, FULL_DISTRIBUTION.identity.name.concat());
    assert_eq!((read.host.as_str(), read.origin), ("web-1", FULL_DISTRIBUTION.identity.origin));
    assert_eq!(read.tags, FULL_DISTRIBUTION.identity.tags);
    for (read, sent) in read.points.iter().zip(FULL_DISTRIBUTION.points) {
        assert_eq!((read.timestamp, read.count), (sent.timestamp, sent.count));
        assert_eq!(
            (read.min, read.max, read.average, read.sum),
            (sent.min, sent.max, sent.average, sent.sum)
        );
        assert_eq!((&*read.keys, &*read.counts), (sent.keys, sent.counts));
    }
    assert_eq!(read.points.len(), 2);
}

#[test]
fn unknown_fields_are_passed_over_and_numbers_need_not_be_packed() {
    let series = series::decode(b"\x12\x00\x0a\x0b\x32\x01u\x3a\x01s\x28\x09\x12\x01x").unwrap();
    assert_eq!((series.len(), series[0].name.as_str(), series[0].series_type), (1, "x", None));
    let sketches =
        sketches::decode(b"\x12\x02\x0a\x00\x0a\x0c\x1a\x00\x3a\x08\x38\x03\x38\x04\x40\x05\x40\x06")
            .unwrap();
    assert_eq!((&*sketches[0].points[0].keys, &*sketches[0].points[0].counts), (&[-2, 2][..], &[5, 6][..]));
    // Metadata of the old kind, without an origin.
    assert_eq!(series::decode(b"\x0a\x02\x4a\x00").unwrap()[0].origin, None);
    assert_eq!(series::decode(b"\x0a\x04\x4a\x02\x0a\x00").unwrap()[0].origin, Some(Origin::default()));
    assert_eq!(series::decode(b"\x0a\x03\x12\x01\xff").unwrap()[0].name, "\u{fffd}");
}

#[test]
fn bodies_that_are_no_metrics_are_refused() {
    for (body, kind) in [
        (b"\x0a".as_slice(), ErrorKind::Eof),
        (b"\x0a\x05\x12\x01x", ErrorKind::Eof),
        (b"\x0a\xff\xff\xff\xff\x0f", ErrorKind::Eof),
        (b"\x0a\x02\x3a\x05", ErrorKind::Eof),
        (b"\x0f", ErrorKind::Malformed),
    ] {
        assert_eq!(series::decode(body).unwrap_err().kind, kind, "{body:x?}");
        assert_eq!(sketches::decode(body).unwrap_err().kind, kind, "{body:x?}");
    }
}

#[test]
fn l155_what_takes_far_more_memory_than_bytes_is_refused() {
    let empty = [0x0a, 0].repeat(1 << 16);
    assert_eq!(series::decode(&empty).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(sketches::decode(&empty).unwrap_err().kind, ErrorKind::TooLarge);
    // Short metrics with all there is to them are not meant.
    let tags: Vec<String> = (0..10).map(|tag| format!("t{tag}:a")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let identity = Identity { name: ["a", "", ""], tags: &tags, ..EMPTY_SERIES.identity };
    let small = Series { identity, points: &[(1_700_000_000, 0.1)], ..EMPTY_SERIES };
    assert_eq!(series::decode(&series_bytes(&vec![small; 10_000])).unwrap().len(), 10_000);
    let point = SketchPoint {
        timestamp: 1_700_000_000,
        count: 1,
        keys: &[1],
        counts: &[1],
        ..SketchPoint::default()
    };
    let small = Distribution { identity, points: &[point] };
    assert_eq!(sketches::decode(&sketch_bytes(&vec![small; 10_000])).unwrap().len(), 10_000);
}

fn context() -> Context<'static> {
    Context { hostname: "agent", now: 1_800_000_000, tags: &["env:prod", "quote:\""] }
}

fn event_json(event: &Event<'_>, context: &Context<'_>) -> Value {
    let mut out = Vec::new();
    events::encode(event, context, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn check_json(check: &ServiceCheck<'_>, context: &Context<'_>) -> Value {
    let mut out = Vec::new();
    checks::encode(check, context, &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn an_event_has_the_fields_the_backend_knows() {
    let line =
        "_e{6,12}:a\"tïe|one\\ntwo\\\u{1}|\u{7f}|d:17|h:web-1|k:key|p:low|s:chef|t:error|#a:1,,host:x,b\\"
            .as_bytes();
    let Ok(Message::Event(event)) = parse(line) else { panic!("{:?}", parse(line)) };
    assert_eq!(
        event_json(&event, &context()),
        json!({
            "msg_title": "a\"tïe", "msg_text": "one\ntwo\\\u{1}|\u{7f}", "timestamp": 17, "priority": "low",
            "host": "web-1", "tags": ["a:1", "b\\", "env:prod", "quote:\""], "alert_type": "error",
            "aggregation_key": "key", "source_type_name": "chef",
        })
    );
    let event = Event { title: "t".into(), ..Event::default() };
    let mut out = Vec::new();
    events::encode(&event, &Context { now: 5, ..Context::default() }, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"msg_title":"t","msg_text":"","timestamp":5,"priority":"normal","host":"","alert_type":"info"}"#
    );
}

#[test]
fn a_service_check_has_the_fields_the_backend_knows() {
    let Ok(Message::ServiceCheck(check)) = parse(b"_sc|db.up|2|d:17|h:web-1|#a:1|m:no \"answer\"") else {
        panic!()
    };
    assert_eq!(
        check_json(&check, &context()),
        json!({
            "check": "db.up", "host_name": "web-1", "timestamp": 17, "status": 2, "message": "no \"answer\"",
            "tags": ["a:1", "env:prod", "quote:\""],
        })
    );
    let mut out = Vec::new();
    checks::encode(&ServiceCheck { name: "x", ..ServiceCheck::default() }, &Context::default(), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"check":"x","host_name":"","timestamp":0,"status":0,"message":"","tags":[]}"#
    );
}

#[test]
fn the_host_is_the_messages_own_then_its_tags_then_the_agents() {
    for (own, tags, expected) in [
        (Some("own"), "host:tag", "own"),
        (Some(""), "a,host:tag,b", "tag"),
        (None, "host:one,host:two", "two"),
        (None, "a,host:", ""),
        (None, "hostess:x", "agent"),
        (None, "", "agent"),
    ] {
        let event = Event { host: own, tags, ..Event::default() };
        let check = ServiceCheck { host: own, tags, ..ServiceCheck::default() };
        assert_eq!(event_json(&event, &context())["host"], expected, "{own:?} {tags}");
        assert_eq!(check_json(&check, &context())["host_name"], expected, "{own:?} {tags}");
        assert!(!event_json(&event, &context())["tags"].to_string().contains("\"host:"));
    }
    let tags = "dd.internal.entity_id:x,a,dd.internal.card:low,dd.internal.jmx_check_name:y,dd.internal.z";
    let check = ServiceCheck { tags, ..ServiceCheck::default() };
    assert_eq!(check_json(&check, &Context::default())["tags"], json!(["a", "dd.internal.z"]));
}

#[test]
fn what_has_no_time_happened_now() {
    for (said, expected) in
        [(None, 1_800_000_000_i64), (Some(0), 1_800_000_000), (Some(-5), 1_800_000_000), (Some(1), 1)]
    {
        let event = Event { timestamp: said, ..Event::default() };
        let check = ServiceCheck { timestamp: said, ..ServiceCheck::default() };
        assert_eq!(event_json(&event, &context())["timestamp"], expected);
        assert_eq!(check_json(&check, &context())["timestamp"], expected);
    }
}

#[test]
fn events_of_one_source_stand_together() {
    let mut out = Vec::new();
    let all: [(&str, &[u8]); 4] = [("chef", b"1"), ("api", b"2"), ("chef", b"3"), ("a\"b", b"4")];
    events::payload(&all, "ho\"st", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"apiKey":"","events":{"a\"b":[4],"api":[2],"chef":[1,3]},"internalHostname":"ho\"st"}"#
    );
    let mut out = Vec::new();
    events::payload(&[], "", &mut out);
    assert_eq!(out, br#"{"apiKey":"","events":{},"internalHostname":""}"#);
    let source = |source_type| events::source(&Event { source_type, ..Event::default() });
    assert_eq!([source(None), source(Some("")), source(Some("chef"))], ["api", "api", "chef"]);
    let mut out = Vec::new();
    checks::payload(&[b"1", b"2"], &mut out);
    checks::payload(&[], &mut out);
    assert_eq!(out, b"[1,2][]");
}

proptest! {
    #[test]
    fn any_series_arrives_as_it_was(
        name in ".{0,200}", host in ".{0,9}", tags in prop::collection::vec(".{0,40}", 0..12),
        points in prop::collection::vec((any::<i64>(), -1e300..1e300_f64), 0..20),
        series_type in prop::sample::select(vec![SeriesType::Count, SeriesType::Rate, SeriesType::Gauge]),
        interval in any::<u32>(),
        origin in prop::option::of(any::<(u32, u32, u32)>()),
    ) {
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let origin = origin.map(|(product, category, service)| Origin { product, category, service });
        let identity = Identity { name: ["n.", &name, ""], host: &host, tags: &tags, origin, ..Identity::default() };
        let sent = Series { identity, series_type, interval, points: &points };
        let bytes = series_bytes(&[sent]);
        prop_assert_eq!(&MetricPayload::decode(bytes.as_slice()).unwrap().series, &vec![series_message(&sent)]);
        let read = &series::decode(&bytes).unwrap()[0];
        prop_assert_eq!(&read.points, &points);
        prop_assert_eq!(&read.tags, &tags);
        prop_assert_eq!(read.origin, origin);
    }

    #[test]
    fn any_distribution_arrives_as_it_was(
        name in ".{0,200}", host in ".{0,9}", tags in prop::collection::vec(".{0,40}", 0..12),
        bins in prop::collection::vec((any::<i32>(), any::<u32>()), 0..300),
        numbers in any::<(i64, u32)>(), values in prop::array::uniform4(-1e300..1e300_f64), count in 1_usize..4,
    ) {
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let (keys, counts): (Vec<_>, Vec<_>) = bins.into_iter().unzip();
        let [min, max, average, sum] = values;
        let point = SketchPoint {
            timestamp: numbers.0, count: u64::from(numbers.1), min, max, average, sum, keys: &keys, counts: &counts,
        };
        let points = vec![point; count];
        let identity = Identity { name: ["", &name, "!"], host: &host, tags: &tags, ..Identity::default() };
        let sent = Distribution { identity, points: &points };
        let bytes = sketch_bytes(&[sent]);
        prop_assert_eq!(&SketchPayload::decode(bytes.as_slice()).unwrap().sketches, &vec![sketch_message(&sent)]);
        let read = &sketches::decode(&bytes).unwrap()[0];
        prop_assert_eq!((&read.points[0].keys, &read.points[0].counts), (&keys, &counts));
        prop_assert_eq!(read.points.len(), count);
    }

    #[test]
    fn any_event_and_check_is_json(text in ".{0,60}", tags in ".{0,60}") {
        let event = Event { title: text.as_str().into(), text: text.as_str().into(), tags: &tags, ..Event::default() };
        prop_assert_eq!(&event_json(&event, &context())["msg_text"], &json!(text));
        let check = ServiceCheck { name: &text, message: text.as_str().into(), tags: &tags, ..ServiceCheck::default() };
        prop_assert_eq!(&check_json(&check, &context())["message"], &json!(text));
    }
}
