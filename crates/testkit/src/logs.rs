//! What the backend's log intake gets, decoded (`facts/delivery.md` §6).

use serde::{
    Deserialize, Serialize,
    de::{Deserializer, Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{fmt, ops::Deref, sync::Arc};

/// Where logs go.
const PATH: &str = "/api/v2/logs";
/// Bytes of one body after decompression.
pub const BODY_MAX_BYTES: usize = 5_000_000;
/// Logs of one body.
pub const BODY_MAX_LOGS: usize = 1_000;

/// One log, as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Log {
    /// The text; as JSON where it was no text.
    pub message: Text,
    /// How bad it is.
    pub status: Text,
    /// Milliseconds since 1970; 0 without one.
    pub timestamp: i64,
    /// The host; empty without one.
    pub hostname: Text,
    /// The service; empty without one.
    pub service: Text,
    /// What wrote it; empty without one.
    pub ddsource: Text,
    /// Tags, between commas.
    pub ddtags: Text,
    /// Every other member.
    pub attributes: Map<String, Value>,
}

impl Log {
    /// Whether it has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.ddtags.split(',').any(|had| had == tag)
    }

    fn text(&mut self, name: &str) -> Option<&mut Text> {
        Some(match name {
            "message" => &mut self.message,
            "status" => &mut self.status,
            "hostname" => &mut self.hostname,
            "service" => &mut self.service,
            "ddsource" => &mut self.ddsource,
            "ddtags" => &mut self.ddtags,
            _ => return None,
        })
    }
}

/// Text that is cheap to copy, and shared between the logs of one body where it is the same: hundreds of thousands of
/// logs are held.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Default for Text {
    fn default() -> Self {
        Self("".into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// Whether a path is the log intake's.
pub(crate) fn is_path(path: &str) -> bool {
    path.ends_with(PATH)
}

/// Decodes a decompressed body: an array of objects. A member that is there twice is an error, since of these one is
/// lost.
pub(crate) fn decode(plain: &[u8]) -> Result<Vec<Log>, String> {
    let sent: Vec<Members> = serde_json::from_slice(plain).map_err(|error| error.to_string())?;
    let mut logs: Vec<Log> = Vec::with_capacity(sent.len());
    for Members(members) in sent {
        // What is the same as before is shared.
        let mut log = logs.last().cloned().unwrap_or_default();
        log.attributes.clear();
        log.timestamp = 0;
        let mut said = Vec::with_capacity(members.len());
        for (name, value) in members {
            match (log.text(&name), value) {
                (Some(text), Value::String(value)) if *text != *value => *text = Text(value.into()),
                (Some(_), Value::String(_)) => {}
                (Some(text), value) if name == "message" => *text = Text(value.to_string().into()),
                (Some(_), _) => return Err(format!("`{name}` of a log is no text")),
                (None, value) => match value.as_i64().filter(|_| name == "timestamp") {
                    Some(milliseconds) => log.timestamp = milliseconds,
                    None => drop(log.attributes.insert(name.clone(), value)),
                },
            }
            said.push(name);
        }
        for name in ["message", "status", "hostname", "service", "ddsource", "ddtags"] {
            if !said.iter().any(|said| said == name)
                && let Some(text) = log.text(name)
            {
                *text = Text::default();
            }
        }
        logs.push(log);
    }
    Ok(logs)
}

/// An object's members, each name once.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a log")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.iter().any(|(had, _)| *had == name) {
                        return Err(A::Error::custom(format!("`{name}` twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_decoded_with_every_other_member() {
        let body = br#"[{"message":"a","status":"info","timestamp":17,"hostname":"h","service":"s","ddsource":"d",
            "ddtags":"a:b,c","dd.trace_id":"7","n":{"x":[1]}},{"message":"b","service":"s"},{"message":{"c":1}}]"#;
        let logs = decode(body).unwrap();
        let first = &logs[0];
        assert_eq!((&*first.message, &*first.status, first.timestamp), ("a", "info", 17));
        assert_eq!((&*first.hostname, &*first.service, &*first.ddsource), ("h", "s", "d"));
        assert!(first.has_tag("c") && !first.has_tag("a"));
        assert_eq!(
            Value::from(first.attributes.clone()),
            serde_json::json!({"dd.trace_id": "7", "n": {"x": [1]}})
        );
        assert_eq!(logs[1], Log { message: Text("b".into()), service: Text("s".into()), ..Log::default() });
        assert!(Arc::ptr_eq(&first.service.0, &logs[1].service.0));
        assert_eq!(logs[2], Log { message: Text(r#"{"c":1}"#.into()), ..Log::default() });
    }

    #[test]
    fn what_is_no_array_of_logs_is_refused() {
        for body in [
            &b""[..],
            b"{}",
            b"[17]",
            b"[{\"message\":\"a\"}",
            b"[{\"message\":\"a\xff\"}]",
            b"[{\"message\":\"a\",\"message\":\"a\"}]",
            b"[{\"message\":\"a\",\"x\":1,\"x\":1}]",
            b"[{\"message\":\"a\",\"status\":1}]",
            b"[{\"message\":\"\\ud800\"}]",
        ] {
            assert!(decode(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(decode(b"[]"), Ok(Vec::new()));
    }
}
