//! What the intake gets of a log.

#![allow(clippy::unwrap_used, missing_docs)]

use lastlight_wire::intake::logs::{encode, payload};
use model::limits::{LOG_BATCH_MAX_BYTES, LOG_MAX_BYTES};
use model::log::{Log, LogStatus, TRUNCATED};
use proptest::prelude::*;
use serde_json::{Value, json};

fn log() -> Log<'static> {
    Log {
        message: b"",
        status: LogStatus::Info,
        timestamp_ms: 0,
        hostname: "",
        service: "",
        source: "",
        tags: "",
        trace_id: None,
        span_id: None,
    }
}

fn encoded(log: &Log<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(log, &mut out);
    out
}

fn body(entries: &[&[u8]], tags: &str) -> String {
    let mut out = Vec::new();
    payload(entries.iter().copied(), tags, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_log_is_an_object_whose_tags_are_open() {
    let full = Log {
        message: "caf\u{e9} \"x\"\n\x1b[1m".as_bytes(),
        status: LogStatus::Emergency,
        timestamp_ms: 1_700_000_000_123,
        hostname: "web-1",
        service: "shop",
        source: "cloudrun",
        tags: "env:prod,a:\"b\"",
        trace_id: Some("6602953340000000000a"),
        span_id: Some("123"),
    };
    assert_eq!(
        String::from_utf8(encoded(&full)).unwrap(),
        "{\"message\":\"caf\u{e9} \\\"x\\\"\\n\\u001b[1m\",\"status\":\"emergency\",\"timestamp\":1700000000123,\
         \"hostname\":\"web-1\",\"service\":\"shop\",\"ddsource\":\"cloudrun\",\
         \"dd.trace_id\":\"6602953340000000000a\",\"dd.span_id\":\"123\",\"ddtags\":\"env:prod,a:\\\"b\\\""
    );
    assert_eq!(
        encoded(&log()),
        b"{\"message\":\"\",\"status\":\"info\",\"timestamp\":0,\"ddtags\":\"",
        "what is empty is left out"
    );
}

#[test]
fn tags_that_become_known_later_follow_a_logs_own() {
    let plain = encoded(&log());
    let tagged = encoded(&Log { tags: "a:b", ..log() });
    let odd = encoded(&Log { tags: "a:\"", ..log() });
    let head = "{\"message\":\"\",\"status\":\"info\",\"timestamp\":0,\"ddtags\":\"";
    assert_eq!(body(&[], "x"), "[]");
    assert_eq!(body(&[&plain], ""), format!("[{head}\"}}]"));
    assert_eq!(
        body(&[&plain, &tagged, &odd], "env:\"p\",x"),
        format!("[{head}env:\\\"p\\\",x\"}},{head}a:b,env:\\\"p\\\",x\"}},{head}a:\\\",env:\\\"p\\\",x\"}}]")
    );
    assert_eq!(body(&[&tagged, &odd], ""), format!("[{head}a:b\"}},{head}a:\\\"\"}}]"));
}

#[test]
fn a_status_is_a_word_of_the_intake() {
    for status in LogStatus::ALL {
        let sent: Value = serde_json::from_str(&body(&[&encoded(&Log { status, ..log() })], "")).unwrap();
        assert_eq!(sent[0]["status"], status.name());
    }
}

#[test]
fn the_longest_log_of_the_worst_bytes_goes_into_a_payload() {
    for (part, kept) in
        [(&b"\x01"[..], false), (b"a\x01", false), (b"\"", true), (b"a", true), (b"\xff", false)]
    {
        let message = part.repeat(LOG_MAX_BYTES / part.len());
        let sent = body(&[&encoded(&Log { message: &message, ..log() })], "env:prod");
        assert!(sent.len() < LOG_BATCH_MAX_BYTES);
        let sent: Value = serde_json::from_str(&sent).unwrap();
        let text = sent[0]["message"].as_str().unwrap();
        let whole = String::from_utf8_lossy(&message);
        match text.strip_suffix(TRUNCATED) {
            Some(begin) => assert!(!kept && whole.starts_with(begin) && begin.len() > LOG_MAX_BYTES / 4),
            None => assert!(kept && text == whole),
        }
    }
}

/// Text with what has to be escaped, and bytes that are no text.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[a-zA-Z0-9 ]{0,40}".prop_map(String::into_bytes),
        2 => "\\PC{0,8}".prop_map(String::into_bytes),
        2 => prop::collection::vec(prop::sample::select(&b"\"\\\n\t\x1b\x00\x7f\x1f #]!"[..]), 0..4),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => Just(b"\xe2\x82".to_vec()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_message_arrives_whatever_its_bytes(message in message(), tags in "\\PC{0,12}", more in "\\PC{0,12}") {
        let first = Log { message: &message, tags: &tags, timestamp_ms: -5, hostname: &tags, ..log() };
        let entry = encoded(&first);
        let sent: Value = serde_json::from_str(&body(&[&entry, &encoded(&log()), &entry], &more)).unwrap();
        let expected_tags = match (&*tags, &*more) {
            ("", more) => more.to_owned(),
            (tags, "") => tags.to_owned(),
            (tags, more) => format!("{tags},{more}"),
        };
        let mut expected = json!({
            "message": String::from_utf8_lossy(&message),
            "status": "info",
            "timestamp": -5,
            "ddtags": expected_tags,
        });
        if !tags.is_empty() {
            expected["hostname"] = tags.into();
        }
        prop_assert_eq!(&sent[0], &expected);
        prop_assert_eq!(&sent[2], &expected);
        prop_assert_eq!(sent[1]["ddtags"].as_str(), Some(&*more));
    }
}
