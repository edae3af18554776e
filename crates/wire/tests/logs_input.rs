//! Bodies of `/v1/input`.

#![allow(clippy::unwrap_used, missing_docs)]

use lastlight_wire::intake::logs::payload;
use lastlight_wire::logs::{Defaults, EntryError, input};
use lastlight_wire::{DecodeError, ErrorKind};
use model::limits::{LOG_BATCH_MAX_BYTES, LOG_MAX_BYTES};
use model::log::TRUNCATED;
use serde_json::{Value, json};

const DEFAULTS: Defaults<'static> =
    Defaults { now_ms: 1_700_000_000_000, hostname: "own", service: "main", source: "lastlight" };

/// Each entry as the intake would get it, with one more tag, or why not.
fn read(body: &[u8]) -> Result<Vec<Result<Value, EntryError>>, DecodeError> {
    let mut all = Vec::new();
    input(body, |entry| {
        all.push(entry.map(|entry| {
            let (mut open, mut sent) = (Vec::new(), Vec::new());
            entry.encode(&DEFAULTS, &mut open);
            payload(std::iter::once(&*open), "x:y", &mut sent);
            let mut sent: Value = serde_json::from_slice(&sent).unwrap();
            sent[0].take()
        }));
    })?;
    Ok(all)
}

fn one(body: &[u8]) -> Value {
    let mut all = read(body).unwrap();
    assert_eq!(all.len(), 1);
    all.pop().unwrap().unwrap()
}

#[test]
fn what_an_entry_says_is_kept_and_what_it_lacks_is_added() {
    let full = json!({
        "message": "m", "status": "warning", "timestamp": 5, "hostname": "h", "service": "s", "ddsource": "d",
        "lambda": {"arn": "a", "n": [1, 2.5, null]}, "é\"": true,
    });
    let mut sent = full.clone();
    sent["ddtags"] = "a:b,c".into();
    let mut expected = full;
    expected["ddtags"] = "a:b,c,x:y".into();
    assert_eq!(one(sent.to_string().as_bytes()), expected);
    let lacking = json!({
        "message": "m", "status": "info", "timestamp": 1_700_000_000_000_i64, "hostname": "own", "service": "main",
        "ddsource": "lastlight", "ddtags": "x:y",
    });
    assert_eq!(one(b"{\"message\":\"m\"}"), lacking);
    let empty = br#"[{"message":"m","status":null,"timestamp":null,"hostname":"","service":"","ddsource":null,"ddtags":""}]"#;
    assert_eq!(one(empty), lacking);
}

#[test]
fn an_entry_is_written_in_one_form() {
    let mut out = Vec::new();
    let body = br#" [ {"a" : {"b": 1.50e1}, "ddtags":"t","message":"m" , "status":3} ] "#;
    input(body, |entry| entry.unwrap().encode(&Defaults::default(), &mut out)).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"message":"m","status":3,"timestamp":0,"a":{"b": 1.50e1},"ddtags":"t"#
    );
}

#[test]
fn what_an_entry_says_by_another_name_is_no_lack() {
    let sent = one(br#"{"message":"m","level":"ERROR","@timestamp":"2024-02-29T12:30:45Z","dd":{"service":"a"},"host":"h"}"#);
    assert_eq!(sent["status"], "error");
    assert_eq!(sent["timestamp"], 1_709_209_845_000_i64);
    assert_eq!(sent["service"], "a");
    assert_eq!((sent.get("hostname"), &sent["host"]), (None, &"h".into()));
}

#[test]
fn l65_one_bad_entry_costs_itself_only() {
    let body = br#"[{"message":"a"},{"message":nope},17,{"status":"info"},{"message":"b","ddtags":["c"]},{"message":null},
        {"message":"c","timestamp":{}},{"message":"d"],{"message":"e"} x,,{"message":{"any":"thing"}},{"message":"f"}]"#;
    let all = read(body).unwrap();
    let reasons: Vec<_> = all.iter().map(|entry| entry.as_ref().err().copied()).collect();
    assert_eq!(
        reasons,
        [
            None,
            Some(EntryError::Malformed),
            Some(EntryError::NotAnObject),
            Some(EntryError::NoMessage),
            Some(EntryError::WrongType("ddtags")),
            Some(EntryError::NoMessage),
            Some(EntryError::WrongType("timestamp")),
            Some(EntryError::Malformed),
            Some(EntryError::Malformed),
            Some(EntryError::Malformed),
            None,
            None,
        ]
    );
    assert_eq!(all[10].as_ref().unwrap()["message"], json!({"any": "thing"}));
    assert_eq!(all[11].as_ref().unwrap()["message"], "f");
}

#[test]
fn l61_a_message_that_is_too_long_is_cut_and_says_so() {
    for part in ["a", "\u{e9}", "\u{1f4a9}", "\\n", "\\u00e9", "\\ud83d\\udca9", "ab\\\\\\\"c"] {
        for head in 0..2 {
            let message = format!("{}{}", "-".repeat(head), part.repeat(LOG_MAX_BYTES / part.len()));
            let body = format!("{{\"message\":\"{message}\",\"status\":\"info\"}}");
            let mut truncated = None;
            input(body.as_bytes(), |entry| truncated = Some(entry.unwrap().is_truncated())).unwrap();
            assert_eq!(truncated, Some(true));
            let sent = one(body.as_bytes());
            let kept = sent["message"].as_str().unwrap().strip_suffix(TRUNCATED).unwrap();
            let whole: String = serde_json::from_str(&format!("\"{message}\"")).unwrap();
            assert!(whole.starts_with(kept) && kept.len() < whole.len() && kept.len() > LOG_MAX_BYTES / 7);
        }
    }
    let fits = |length: usize| {
        let body = format!("{{\"message\":\"{}\"}}", "a".repeat(length - 14));
        let mut truncated = None;
        input(body.as_bytes(), |entry| truncated = Some(entry.unwrap().is_truncated())).unwrap();
        truncated
    };
    assert_eq!((fits(LOG_MAX_BYTES), fits(LOG_MAX_BYTES + 1)), (Some(false), Some(true)));
    for body in [
        format!("{{\"message\":\"a\",\"b\":\"{}\"}}", "a".repeat(LOG_MAX_BYTES)),
        format!("{{\"message\":[\"{}\"]}}", "a".repeat(LOG_MAX_BYTES)),
    ] {
        assert_eq!(read(body.as_bytes()).unwrap(), [Err(EntryError::TooLarge)]);
    }
}

#[test]
fn the_longest_entry_of_the_worst_bytes_goes_into_a_payload() {
    let frame = br#"{"message":"","b":""}"#.len();
    let worst = vec![0xff; (LOG_MAX_BYTES - frame) / 2];
    let body = [b"{\"message\":\"", &*worst, b"\",\"b\":\"", &*worst, b"\"}"].concat();
    let (mut open, mut sent) = (Vec::new(), Vec::new());
    input(&body, |entry| entry.unwrap().encode(&DEFAULTS, &mut open)).unwrap();
    payload(std::iter::once(&*open), "x:y", &mut sent);
    assert!(sent.len() > 2 * LOG_MAX_BYTES && sent.len() < LOG_BATCH_MAX_BYTES);
}

#[test]
fn what_readers_refuse_is_repaired() {
    let sent = one(b"{\"message\":\"a\xffb\\ud800\\n\\udc00\\ud83d\\udca9\\\\ud800\",\"\\ud800\":[\"\xe2\x82\"],\"ddtags\":\"\\udfff\"}");
    assert_eq!(sent["message"], "a\u{fffd}b\u{fffd}\n\u{fffd}\u{1f4a9}\\ud800");
    assert_eq!(sent["\u{fffd}"], json!(["\u{fffd}"]));
    assert_eq!(sent["ddtags"], "\u{fffd},x:y");
}

#[test]
fn a_body_that_does_not_end_where_it_says_is_refused_as_a_whole() {
    for (body, kind) in [
        ("", ErrorKind::Eof),
        (" ", ErrorKind::Eof),
        ("[", ErrorKind::Eof),
        ("null", ErrorKind::Malformed),
        ("\"a\"", ErrorKind::Malformed),
        ("[{\"message\":\"a\"}", ErrorKind::Eof),
        ("[{\"message\":\"a\"},{\"message\":\"b]", ErrorKind::Eof),
        ("{\"message\":\"a\"", ErrorKind::Eof),
        ("[{\"message\":\"a\"}}", ErrorKind::Malformed),
        ("[{\"message\":\"a\"}] x", ErrorKind::Malformed),
        ("{\"message\":\"a\"},{}", ErrorKind::Malformed),
    ] {
        let mut given = 0;
        let error = input(body.as_bytes(), |_| given += 1).unwrap_err();
        assert_eq!((error.kind, given), (kind, 0), "{body}");
    }
    assert_eq!(read(b" [ ] ").unwrap(), []);
}
