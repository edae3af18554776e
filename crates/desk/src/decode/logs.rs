//! Logs (`facts/delivery.md` §6): a list of objects, or one object. Whatever a value is, it is taken as what it can be,
//! as an intake does that answers before it looks.

use super::Malformed;
use crate::logs::LogRecord;
use crate::metric::tags;
use crate::record::cut;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Logs of one body. The intake takes 1,000 (`facts/delivery.md` §6); a list of empty ones takes far more memory than
/// its text.
const LOGS_MAX: usize = 10_000;
/// A message; the intake cuts at 1 MB (`facts/delivery.md` §6).
const MESSAGE_MAX_BYTES: usize = 1_000_000;
/// Attributes of one log.
const ATTRIBUTES_MAX: usize = 250;
/// Names and values of all attributes of one log.
const ATTRIBUTES_MAX_BYTES: usize = 256 * 1024;

/// Reads logs. One that says nothing at all, as in a request that only asks who is there, is none.
pub(crate) fn logs(body: &[u8]) -> Result<Vec<LogRecord>, Malformed> {
    let Bodies(logs) = super::json(body)?;
    Ok(logs)
}

struct Bodies(Vec<LogRecord>);

impl<'de> Deserialize<'de> for Bodies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Bodies;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a log, or a list of at most {LOGS_MAX} of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                Ok(Bodies(log(members)?.into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut logs = Vec::new();
                let mut seen = 0;
                while let Some(Body(log)) = sequence.next_element()? {
                    seen += 1;
                    if seen > LOGS_MAX {
                        return Err(serde::de::Error::invalid_length(seen, &self));
                    }
                    logs.extend(log);
                }
                Ok(Bodies(logs))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

struct Body(Option<LogRecord>);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Body;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a log")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                Ok(Body(log(members)?))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn log<'de, A: MapAccess<'de>>(mut members: A) -> Result<Option<LogRecord>, A::Error> {
    let mut filling = Filling::default();
    let mut says = false;
    while let Some(Name(name)) = members.next_key()? {
        says = true;
        filling.member(&name, members.next_value()?);
    }
    Ok(says.then_some(filling.log))
}

/// The name of a member, as text of the body where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A log while its members are read.
#[derive(Default)]
struct Filling {
    log: LogRecord,
    /// Bytes of the attributes.
    bytes: usize,
}

impl Filling {
    fn member(&mut self, name: &str, value: &RawValue) {
        let log = &mut self.log;
        match name {
            "message" => {
                let text = text(value);
                text[..text.floor_char_boundary(MESSAGE_MAX_BYTES)].clone_into(&mut log.message);
            }
            "status" => log.status = cut(&text(value)),
            "hostname" => log.host = cut(&text(value)),
            "service" => log.service = cut(&text(value)),
            "ddsource" => log.source = cut(&text(value)),
            "ddtags" => log.tags = tags(text(value).split(',').map(str::trim)),
            "timestamp" => match text(value).trim().parse::<f64>() {
                // The cast saturates.
                Ok(milliseconds) if milliseconds.is_finite() => log.timestamp_ms = Some(milliseconds as i64),
                _ => self.attribute(name, value),
            },
            "dd.trace_id" => match id(&text(value)) {
                // The casts take the halves.
                Some(id) => (log.trace_id_high, log.trace_id) = ((id >> 64) as u64, id as u64),
                None => self.attribute(name, value),
            },
            "dd.span_id" => match id(&text(value)).and_then(|id| u64::try_from(id).ok()) {
                Some(id) => log.span_id = id,
                None => self.attribute(name, value),
            },
            "dd" => match serde_json::from_str::<Correlation<'_>>(value.get()) {
                Ok(members) => {
                    for (name, value) in members.0 {
                        self.member(&format!("dd.{name}"), value);
                    }
                }
                Err(_) => self.attribute(name, value),
            },
            _ => self.attribute(name, value),
        }
    }

    /// Keeps a member that has no meaning here; of a repeated name the last value.
    fn attribute(&mut self, name: &str, value: &RawValue) {
        let bytes = self.bytes + name.len() + value.get().len();
        let log = &mut self.log;
        if bytes > ATTRIBUTES_MAX_BYTES || log.attributes.len() >= ATTRIBUTES_MAX {
            log.attributes_not_kept += 1;
            return;
        }
        self.bytes = bytes;
        log.attributes.insert(name.to_owned(), one_line(value));
    }
}

/// What `dd` holds: the ids, and what else a tracer adds. One with more members than that is an attribute as a whole.
struct Correlation<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Correlation<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const MEMBERS_MAX: usize = 20;
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Correlation<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "at most {MEMBERS_MAX} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some((Name(name), value)) = members.next_entry()? {
                    if list.len() == MEMBERS_MAX {
                        return Err(serde::de::Error::invalid_length(list.len() + 1, &self));
                    }
                    list.push((cut(&name), value));
                }
                Ok(Correlation(list))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A value as text: a text's own, nothing for null, for all others their JSON.
fn text(value: &RawValue) -> Cow<'_, str> {
    match value.get() {
        "null" => Cow::Borrowed(""),
        json if json.starts_with('"') => match serde_json::from_str::<Name<'_>>(json) {
            Ok(Name(text)) => text,
            // Such as half of a surrogate pair: what was written says more than nothing.
            Err(_) => Cow::Borrowed(json),
        },
        json => Cow::Borrowed(json),
    }
}

/// The value without the line breaks it may have between its parts; there are none within its texts.
fn one_line(value: &RawValue) -> String {
    value.get().replace(['\n', '\r'], " ")
}

/// An id as tracers write it: a decimal number, or hexadecimal in 32 digits (W3C) or where it has letters. Without a
/// trace some write 0, which is an id as well and stands for none.
fn id(text: &str) -> Option<u128> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && text.len() != 32 {
        return text.parse().ok();
    }
    let is_hexadecimal = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hexadecimal { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(body: &str) -> LogRecord {
        let mut logs = logs(body.as_bytes()).unwrap();
        assert_eq!(logs.len(), 1, "{body}");
        logs.remove(0)
    }

    #[test]
    fn a_log_is_read_with_all_its_members_alone_or_in_a_list() {
        let body = r#"{"message":"sold\nout \u00e9","status":"warn","timestamp":1790000000123,"hostname":"here",
            "service":"shop","ddsource":"python","ddtags":"env:dev, a:b,,env:dev","dd.trace_id":"3237998080",
            "dd.span_id":"61","user":{"id":[1,
            2]},"ratio":0.50}"#;
        let expected = LogRecord {
            message: "sold\nout é".to_owned(),
            status: "warn".to_owned(),
            timestamp_ms: Some(1_790_000_000_123),
            host: "here".to_owned(),
            service: "shop".to_owned(),
            source: "python".to_owned(),
            tags: vec!["a:b".to_owned(), "env:dev".to_owned()],
            trace_id: 0xc0ff_ee00,
            span_id: 61,
            attributes: [("ratio", "0.50"), ("user", "{\"id\":[1,             2]}")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..LogRecord::default()
        };
        assert_eq!(one(body), expected);
        assert_eq!(logs(format!(" [{body},{body}]").as_bytes()), Ok(vec![expected.clone(), expected]));
        assert_eq!(logs(b"[]"), Ok(Vec::new()));
        assert_eq!(logs(b"{}"), Ok(Vec::new()));
    }

    #[test]
    fn ids_are_read_in_every_form_that_tracers_write_and_zero_is_none() {
        let ids = |trace: &str, span: &str| {
            let log = one(&format!(r#"{{"dd":{{"trace_id":{trace},"span_id":{span},"env":"dev"}}}}"#));
            assert_eq!(log.attributes.get("dd.env").map(String::as_str), Some("\"dev\""));
            (log.trace_id_high, log.trace_id, log.span_id)
        };
        assert_eq!(ids("\"3237998080\"", "\"61\""), (0, 0xc0ff_ee00, 61));
        assert_eq!(ids("18446744073709551615", "61"), (0, u64::MAX, 61));
        let w3c = "\"672012340000000000000000c0ffee00\"";
        assert_eq!(ids(w3c, "\"00000000000000ef\""), (0x6720_1234_0000_0000, 0xc0ff_ee00, 0xef));
        assert_eq!(ids("\"00000000000000000000000000000010\"", "\"0\""), (0, 0x10, 0));
        assert_eq!(ids("\"0\"", "null"), (0, 0, 0));
        let log = one(r#"{"dd.trace_id":"none","dd.span_id":"-1","dd":7}"#);
        let kept: Vec<_> = log.attributes.values().map(String::as_str).collect();
        assert_eq!((log.trace_id, log.span_id, kept), (0, 0, vec!["7", "\"-1\"", "\"none\""]));
    }

    #[test]
    fn a_member_of_another_type_is_taken_as_what_it_can_be_and_not_lost() {
        let log = one(r#"{"message":{"a":1},"status":3,"service":null,"timestamp":"1790000000000.5"}"#);
        assert_eq!((log.message.as_str(), log.status.as_str(), log.service.as_str()), ("{\"a\":1}", "3", ""));
        assert_eq!(log.timestamp_ms, Some(1_790_000_000_000));
        let log = one(r#"{"message":true,"timestamp":"2026-01-01T00:00:00Z","ddtags":["a"]}"#);
        assert_eq!((log.message.as_str(), log.timestamp_ms), ("true", None));
        assert_eq!(log.attributes["timestamp"], "\"2026-01-01T00:00:00Z\"");
    }

    #[test]
    fn what_is_beyond_a_bound_is_cut_or_counted() {
        let log = one(&format!(r#"{{"message":"{}"}}"#, "é".repeat(MESSAGE_MAX_BYTES)));
        assert!(log.message.len() <= MESSAGE_MAX_BYTES && log.message.ends_with('é'));
        let members: Vec<_> = (0..ATTRIBUTES_MAX + 9).map(|number| format!("\"{number}\":1")).collect();
        let log = one(&format!("{{{}}}", members.join(",")));
        assert_eq!((log.attributes.len(), log.attributes_not_kept), (ATTRIBUTES_MAX, 9));
        let log = one(&format!(r#"{{"a":"{}","b":1}}"#, "x".repeat(ATTRIBUTES_MAX_BYTES)));
        assert_eq!((log.attributes.len(), log.attributes_not_kept), (1, 1));
        let members: Vec<_> = (0..100).map(|number| format!("\"{number}\":1")).collect();
        let log = one(&format!(r#"{{"dd":{{{}}}}}"#, members.join(",")));
        assert_eq!(log.attributes.keys().collect::<Vec<_>>(), ["dd"]);
        let empty = |count: usize| logs(format!("[{}{{}}]", "{},".repeat(count - 1)).as_bytes());
        assert_eq!(empty(LOGS_MAX), Ok(Vec::new()));
        assert!(empty(LOGS_MAX + 1).is_err_and(|error| error.contains("at most")));
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = "[".repeat(1_000_000);
        let deep_member = format!(r#"{{"dd":{deep}"#);
        for body in
            ["", "{", "null", "1", "[1]", "[null]", "[{}", "{\"a\":}", "[[{}]]", &deep, &deep_member, "\u{0}"]
        {
            assert!(logs(body.as_bytes()).is_err(), "{:.20}", body);
        }
        assert!(logs(b"{\"message\":\"\xff\"}").is_err());
        // Valid to the end, and no deeper for being read.
        let closed = format!(r#"{{"a":{deep}{}}}"#, "]".repeat(1_000_000));
        assert!(logs(closed.as_bytes()).is_ok_and(|logs| logs[0].attributes_not_kept == 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            text in r#"[\[\]{}:,"0-9a-z\\]{0,60}"#,
        ) {
            let nested = format!(r#"[{{"dd":{text},"timestamp":{text},"dd.trace_id":{text}}}]"#);
            let named = format!(r#"[{{"message":"{text}","dd.span_id":"{text}","ddtags":"{text}"}}]"#);
            for body in [body.as_slice(), text.as_bytes(), nested.as_bytes(), named.as_bytes()] {
                logs(body).ok();
            }
        }

        #[test]
        fn what_any_text_says_is_kept(message: String, service in "[^\\n]{0,20}", attribute: String) {
            let body = serde_json::json!({"message": message, "service": service, "other": attribute});
            let log = one(&body.to_string());
            prop_assert_eq!(&log.message, &message);
            prop_assert_eq!(&log.service, &service);
            prop_assert_eq!(serde_json::from_str::<String>(&log.attributes["other"]).ok(), Some(attribute));
        }
    }
}
