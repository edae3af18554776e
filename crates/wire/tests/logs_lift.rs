//! What a line that is JSON says of itself.

#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;

use lastlight_wire::logs::{Lifted, lift};
use model::limits::{LOG_MAX_BYTES, MSGPACK_MAX_DEPTH};
use model::log::LogStatus;
use proptest::prelude::*;

fn status(line: &str) -> Option<LogStatus> {
    lift(line.as_bytes()).status
}

#[test]
fn a_line_of_json_says_what_it_is() {
    let line = br#" {"message":"no \"connection\"","level":"WARNING","timestamp":"2024-02-29T12:30:45.678Z",
        "service":"shop","dd.trace_id":"6602953300000000aabbccdd00000001","dd":{"span_id":"17"},"a":[1,{"b":null}]} "#;
    assert_eq!(
        lift(line),
        Lifted {
            status: Some(LogStatus::Warn),
            timestamp_ms: Some(1_709_209_845_678),
            service: Some(Cow::Borrowed("shop")),
            trace_id: Some("6602953300000000aabbccdd00000001"),
            span_id: Some("17"),
        }
    );
}

#[test]
fn what_is_no_object_says_nothing() {
    for line in [
        "",
        "  ",
        "plain {\"level\":\"error\"}",
        "[{\"level\":\"error\"}]",
        "\"level\"",
        "{\"level\":\"error\"",
        "{\"level\":\"error\"} x",
        "{\"level\":\"error\"}{\"level\":\"error\"}",
        "{\"level\":\"error\",}",
        "{\"level\":\"error\" \"a\":1}",
        "{\"level\":\"error\",\"a\":01}",
        "{\"level\":\"error\",\"a\":tru}",
        "{\"level\":\"error\",\"a\":'b'}",
        "{\"level\":\"error\",\"a\":\"\t\"}",
        "{\"level\":\"error\",\"a\":\"\\x\"}",
        "{\"level\":\"error\",\"a\":[1,]}",
        "{\"level\":\"error\",a:1}",
        "{level: error}",
    ] {
        assert_eq!(lift(line.as_bytes()), Lifted::default(), "{line}");
    }
}

#[test]
fn of_several_attributes_the_first_of_the_documented_order_counts() {
    for line in [
        r#"{"status":"error","severity":"debug","level":"info","syslog":{"severity":7}}"#,
        r#"{"syslog.severity":7,"level":"info","severity":"debug","status":"error"}"#,
        r#"{"syslog":{"severity":3}}"#,
        r#"{"level":50,"status":"?","severity":{"a":1}}"#,
        r#"{"status":"info","status":"error"}"#,
    ] {
        assert_eq!(status(line), Some(LogStatus::Error), "{line}");
    }
    let line = br#"{"date":"2024-02-29T12:30:45Z","@timestamp":1700000000,"service":"","syslog":{"appname":"b"},
        "dd":{"service":"c","trace_id":7},"trace_id":"8","contextMap":{"dd.trace_id":"9","dd":{"span_id":"3"}}}"#;
    let lifted = lift(line);
    assert_eq!(lifted.timestamp_ms, Some(1_700_000_000_000));
    assert_eq!(lifted.service.as_deref(), Some("b"));
    assert_eq!((lifted.trace_id, lifted.span_id), (Some("7"), Some("3")));
}

#[test]
fn every_documented_attribute_is_known() {
    for name in ["status", "severity", "level", "syslog.severity"] {
        assert_eq!(status(&format!("{{\"{name}\":\"error\"}}")), Some(LogStatus::Error), "{name}");
    }
    for name in [
        "@timestamp",
        "timestamp",
        "_timestamp",
        "Timestamp",
        "eventTime",
        "date",
        "published_date",
        "syslog.timestamp",
    ] {
        let line = format!("{{\"{name}\":1700000000123}}");
        assert_eq!(lift(line.as_bytes()).timestamp_ms, Some(1_700_000_000_123), "{name}");
    }
    for name in ["service", "syslog.appname", "dd.service"] {
        assert_eq!(lift(format!("{{\"{name}\":\"a\"}}").as_bytes()).service.as_deref(), Some("a"), "{name}");
    }
    for name in ["dd.trace_id", "contextMap.dd.trace_id", "trace_id"] {
        assert_eq!(lift(format!("{{\"{name}\":\"1f\"}}").as_bytes()).trace_id, Some("1f"), "{name}");
    }
    for name in ["dd.span_id", "contextMap.dd.span_id", "span_id"] {
        assert_eq!(lift(format!("{{\"{name}\":\"1f\"}}").as_bytes()).span_id, Some("1f"), "{name}");
    }
}

#[test]
fn what_is_not_sound_is_not_lifted() {
    let line = br#"{"status":200,"timestamp":"yesterday","service":17,"dd.trace_id":"0","dd.span_id":"xyz"}"#;
    assert_eq!(lift(line), Lifted::default());
    let long = format!("{{\"service\":\"{}\",\"trace_id\":\"{}\"}}", "a".repeat(257), "1".repeat(40));
    assert_eq!(lift(long.as_bytes()), Lifted::default());
    assert_eq!(lift(b"{\"service\":\"a\xff\",\"level\":\"info\"}").service, None);
    assert_eq!(lift(b"{\"service\":\"\\ud800\"}").service, None);
    assert_eq!(lift(b"{\"service\":\"caf\\u00e9\"}").service.as_deref(), Some("caf\u{e9}"));
}

#[test]
fn a_line_may_be_long_but_not_deep() {
    let long = format!("{{\"a\":\"{}\",\"level\":\"error\"}}", "\\n\u{e9}xx".repeat(LOG_MAX_BYTES / 6));
    assert_eq!(status(&long), Some(LogStatus::Error));
    let many = format!("{{{}\"level\":\"error\"}}", "\"dd\":{\"a\":1},".repeat(LOG_MAX_BYTES / 13));
    assert_eq!(status(&many), Some(LogStatus::Error));
    let nested =
        |depth: usize| format!("{{\"level\":\"error\",\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(status(&nested(MSGPACK_MAX_DEPTH - 1)), Some(LogStatus::Error));
    assert_eq!(status(&nested(MSGPACK_MAX_DEPTH)), None);
    assert_eq!(status(&nested(LOG_MAX_BYTES / 2)), None);
    assert_eq!(status(&"{\"dd\":".repeat(LOG_MAX_BYTES / 6)), None);
}

proptest! {
    #[test]
    fn what_serde_takes_for_json_is_taken_for_json(value in json(3)) {
        let line = serde_json::json!({"level": "error", "v": value, "dd": value}).to_string();
        prop_assert_eq!(status(&line), Some(LogStatus::Error));
    }

    #[test]
    fn what_is_lifted_stood_in_json(mut line in "\\{\"level\":\"err\"[\\[\\]{}\",:0-9truefalsn\\\\ -]{0,12}\\}") {
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok();
        prop_assert_eq!(status(&line).is_some(), expected);
        line.push('x');
        prop_assert_eq!(status(&line), None);
    }
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}
