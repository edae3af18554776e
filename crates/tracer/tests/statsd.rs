//! DogStatsD lines, as the agent reads them.

#![allow(clippy::unwrap_used)]

use lastlight_tracer::statsd::{
    Alert, Event, Kind, LINE_MAX_BYTES, MESSAGE_MAX_BYTES, NAME_MAX_BYTES, Refused, ServiceCheck,
    TITLE_MAX_BYTES, event_line, metric_line, service_check_line, set_line,
};
use model::metric::MetricType;
use proptest::prelude::*;
use wire::dogstatsd::{Message, lines, parse};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn borrowed(pairs: &Pairs) -> Vec<(&[u8], &[u8])> {
    pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// The one message of `out`.
fn only(out: &[u8]) -> Message<'_> {
    assert_eq!(out.last(), Some(&b'\n'));
    assert!(out.len() <= LINE_MAX_BYTES);
    let all: Vec<_> = lines(out).collect();
    assert_eq!(all.len(), 1, "{:?}", String::from_utf8_lossy(out));
    parse(all[0]).unwrap_or_else(|error| panic!("{error:?} of {:?}", String::from_utf8_lossy(out)))
}

fn tag_count(pairs: &Pairs) -> usize {
    pairs.iter().filter(|(name, _)| !name.is_empty()).count()
}

fn count_of(tags: &[u8]) -> usize {
    if tags.is_empty() { 0 } else { tags.split(|byte| *byte == b',').count() }
}

/// Bytes that mean something in a line, more often than others.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"|".to_vec()),
        Just(b"|#".to_vec()),
        Just(b",".to_vec()),
        Just(b":".to_vec()),
        Just(b"_e{1,1}:".to_vec()),
        Just(b"_sc|".to_vec()),
        Just(b"\nforged:1|c".to_vec()),
        Just(b"|d:1|h:other|k:k|p:low|s:s|t:error|m:m".to_vec()),
        Just("é😀".as_bytes().to_vec()),
        "[a-z._ 0-9]{1,6}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn hostile_tags() -> impl Strategy<Value = Pairs> {
    prop::collection::vec((hostile(), hostile()), 0..5)
}

fn kind() -> impl Strategy<Value = (Kind, MetricType)> {
    prop::sample::select(vec![
        (Kind::Count, MetricType::Count),
        (Kind::Gauge, MetricType::Gauge),
        (Kind::Histogram, MetricType::Histogram),
        (Kind::Distribution, MetricType::Distribution),
        (Kind::Timing, MetricType::Timing),
    ])
}

proptest! {
    #[test]
    fn a_sample_reads_as_that_sample_and_nothing_else(
        (kind, metric_type) in kind(),
        name in hostile(),
        value in any::<f64>(),
        tags in hostile_tags(),
        rate in prop_oneof![Just(1.0), 0.0..=1.0f64],
    ) {
        let mut out = b"before:1|c\n".to_vec();
        let before = out.len();
        match metric_line(&mut out, kind, &name, value, &borrowed(&tags), rate) {
            Err(_) => prop_assert_eq!(out.len(), before),
            Ok(()) => {
                let Message::Metric(metric) = only(&out[before..]) else { panic!("no metric") };
                prop_assert_eq!(metric.metric_type, metric_type);
                let mut numbers = Vec::new();
                metric.numbers(&mut numbers).unwrap();
                prop_assert_eq!(numbers, vec![value]);
                prop_assert_eq!(metric.rate, if kind == Kind::Gauge { 1.0 } else { rate });
                prop_assert_eq!(count_of(metric.tags), tag_count(&tags));
                prop_assert_eq!(metric.timestamp, None);
                prop_assert_eq!(metric.container_id, None);
                if name.iter().all(|byte| byte.is_ascii_alphanumeric()) {
                    prop_assert_eq!(metric.name, &name[..]);
                }
            }
        }
    }

    #[test]
    fn a_member_of_a_set_reads_as_one_member(name in hostile(), member in hostile(), tags in hostile_tags()) {
        let mut out = Vec::new();
        if set_line(&mut out, &name, &member, &borrowed(&tags)).is_ok() {
            let Message::Metric(metric) = only(&out) else { panic!("no metric") };
            prop_assert_eq!(metric.metric_type, MetricType::Set);
            prop_assert!(!metric.values.is_empty());
            prop_assert_eq!(count_of(metric.tags), tag_count(&tags));
        } else {
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn an_event_reads_as_that_event_and_nothing_else(
        title in hostile(),
        text in hostile(),
        others in (hostile(), hostile(), hostile()),
        timestamp in prop::option::of(any::<u64>()),
        is_low_priority in any::<bool>(),
        tags in hostile_tags(),
    ) {
        let (host, aggregation_key, source_type) = &others;
        let tags_borrowed = borrowed(&tags);
        let event = Event {
            title: &title, text: &text, timestamp, host, aggregation_key, source_type,
            alert: Alert::Warning, is_low_priority, tags: &tags_borrowed,
        };
        let mut out = Vec::new();
        if event_line(&mut out, &event).is_err() {
            prop_assert!(title.is_empty() && out.is_empty());
            return Ok(());
        }
        let Message::Event(read) = only(&out) else { panic!("no event") };
        prop_assert_eq!(read.alert, model::metric::Alert::Warning);
        prop_assert_eq!(read.priority == model::metric::Priority::Low, is_low_priority);
        prop_assert_eq!(read.timestamp, timestamp.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)));
        prop_assert_eq!(read.host.is_some(), !host.is_empty());
        prop_assert_eq!(read.aggregation_key.is_some(), !aggregation_key.is_empty());
        prop_assert_eq!(read.source_type.is_some(), !source_type.is_empty());
        prop_assert_eq!(count_of(read.tags.as_bytes()), tag_count(&tags));
        if let Ok(text) = std::str::from_utf8(&text) && !text.contains(['\r', '\\']) {
            prop_assert_eq!(&read.text[..], text);
        }
    }

    #[test]
    fn a_service_check_reads_as_that_check_and_nothing_else(
        name in hostile(),
        status in 0..5u8,
        host in hostile(),
        message in hostile(),
        tags in hostile_tags(),
    ) {
        let tags_borrowed = borrowed(&tags);
        let check = ServiceCheck {
            name: &name, status, timestamp: Some(7), host: &host, tags: &tags_borrowed, message: &message,
        };
        let mut out = Vec::new();
        if service_check_line(&mut out, &check).is_err() {
            prop_assert!((name.is_empty() || name.len() > NAME_MAX_BYTES || status > 3) && out.is_empty());
            return Ok(());
        }
        let Message::ServiceCheck(read) = only(&out) else { panic!("no service check") };
        prop_assert_eq!(read.status, status);
        prop_assert_eq!(read.timestamp, Some(7));
        prop_assert_eq!(read.host.is_some(), !host.is_empty());
        prop_assert_eq!(read.message.is_empty(), message.is_empty());
        prop_assert_eq!(count_of(read.tags.as_bytes()), tag_count(&tags));
    }
}

fn metric(kind: Kind, name: &str, value: f64, tags: &[(&str, &str)], rate: f64) -> Result<String, Refused> {
    let tags: Vec<_> = tags.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut out = Vec::new();
    metric_line(&mut out, kind, name.as_bytes(), value, &tags, rate)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn samples_are_written_as_the_grammar_says() {
    assert_eq!(metric(Kind::Count, "page.views", 1.0, &[], 1.0).unwrap(), "page.views:1|c\n");
    assert_eq!(
        metric(Kind::Timing, "t", 12.25, &[("env", "prod"), ("canary", "")], 0.5).unwrap(),
        "t:12.25|ms|@0.5|#env:prod,canary\n"
    );
    assert_eq!(metric(Kind::Gauge, "g", -3.0, &[], 0.5).unwrap(), "g:-3|g\n");
    assert_eq!(metric(Kind::Distribution, "d", 1e300, &[], 1.0).unwrap(), "d:1e300|d\n");
    assert_eq!(metric(Kind::Histogram, "h", 0.000_001, &[], 1.0).unwrap(), "h:0.000001|h\n");
    let mut out = Vec::new();
    set_line(&mut out, b"users", b"a:b|c", &[(b"k", b"v,w")]).unwrap();
    assert_eq!(out, b"users:a:b_c|s|#k:v_w\n");
}

#[test]
fn a_name_or_a_tag_cannot_forge_another_sample() {
    let forged = metric(Kind::Count, "a:9|c\nb:1|c|#x", 1.0, &[("k|@0.1\nc:1|c", "v,w")], 1.0).unwrap();
    assert_eq!(forged, "a_9_c_b_1_c_#x:1|c|#k_@0.1_c:1_c:v_w\n");
    assert_eq!(metric(Kind::Count, "_e{1,1}", 1.0, &[], 1.0), Err(Refused::Name));
    assert_eq!(metric(Kind::Count, "_sc", 1.0, &[], 1.0), Err(Refused::Name));
}

#[test]
fn what_cannot_be_said_is_refused() {
    assert_eq!(metric(Kind::Count, "", 1.0, &[], 1.0), Err(Refused::Name));
    assert_eq!(metric(Kind::Count, "a", f64::NAN, &[], 1.0), Err(Refused::Value));
    for rate in [0.0, -0.1, 1.1, f64::NAN] {
        assert_eq!(metric(Kind::Count, "a", 1.0, &[], rate), Err(Refused::Range));
    }
    let name = "a".repeat(NAME_MAX_BYTES);
    assert!(metric(Kind::Count, &name, 1.0, &[], 1.0).is_ok());
    assert_eq!(metric(Kind::Count, &(name + "a"), 1.0, &[], 1.0), Err(Refused::TooLong));
    assert_eq!(
        metric(Kind::Count, "a", 1.0, &[("k", &"v".repeat(LINE_MAX_BYTES))], 1.0),
        Err(Refused::TooLong)
    );
}

#[test]
fn events_and_checks_are_written_as_the_grammar_says() {
    let mut out = Vec::new();
    let event = Event {
        title: b"two\nlines",
        text: "é|x".as_bytes(),
        timestamp: Some(1_700_000_000),
        host: b"h",
        aggregation_key: b"k",
        source_type: b"s",
        alert: Alert::Error,
        is_low_priority: true,
        tags: &[(b"env", b"prod")],
    };
    event_line(&mut out, &event).unwrap();
    let line = "_e{10,4}:two\\nlines|é|x|d:1700000000|h:h|k:k|p:low|s:s|t:error|#env:prod\n";
    assert_eq!(out, line.as_bytes());
    out.clear();
    let check = ServiceCheck { name: b"db", status: 2, message: b"no\nroute", ..ServiceCheck::default() };
    service_check_line(&mut out, &check).unwrap();
    assert_eq!(out, b"_sc|db|2|m:no\\nroute\n");
}

#[test]
fn long_titles_and_texts_are_cut_at_a_letter() {
    let (title, text) = ("é".repeat(TITLE_MAX_BYTES), "x".repeat(10 * MESSAGE_MAX_BYTES));
    let mut out = Vec::new();
    event_line(&mut out, &Event { title: title.as_bytes(), text: text.as_bytes(), ..Event::default() })
        .unwrap();
    let Message::Event(event) = only(&out) else { panic!("no event") };
    assert_eq!((event.title.len(), event.text.len()), (TITLE_MAX_BYTES, MESSAGE_MAX_BYTES));
}
