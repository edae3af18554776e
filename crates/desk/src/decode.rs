//! Bodies of metrics, events, checks and logs into records: protobuf as our agent sends it, JSON as others do
//! (`facts/delivery.md` §3, §6). Unknown fields are passed over; what is missing has its default.

mod logs;

pub(crate) use logs::logs;

use crate::metric::{Check, Context, Distribution, Event, Kind, Series, Sketch, Status, tags};
use crate::record::cut;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use wire::intake::{series::OwnedSeries, sketches::OwnedDistribution};

/// Entries of one JSON list. The agent's payloads have 10,000 points at most (`facts/delivery.md` §3.7); a list of
/// empty entries takes far more memory than its text.
const ENTRIES_MAX: usize = 200_000;

/// Why a body is not what its path says, in words.
pub(crate) type Malformed = String;

/// Reads series v2 in protobuf.
pub(crate) fn series(body: &[u8]) -> Result<Vec<Series>, Malformed> {
    let of = |series: OwnedSeries| Series {
        context: Context::new(
            &series.name,
            series.series_type.map_or(Kind::Unspecified, |kind| Kind::of_number(kind as u64)),
            "",
            series.tags.iter().map(String::as_str),
            series.resources.iter().map(|(kind, name)| (kind.as_str(), name.as_str())),
        ),
        interval: u32::try_from(series.interval).unwrap_or(0),
        points: series.points,
    };
    let decoded = wire::intake::series::decode(body).map_err(|error| error.to_string())?;
    Ok(decoded.into_iter().map(of).collect())
}

/// Reads sketches in protobuf.
pub(crate) fn sketches(body: &[u8]) -> Result<Vec<Distribution>, Malformed> {
    let of = |distribution: OwnedDistribution| Distribution {
        context: Context::new(
            &distribution.name,
            Kind::Distribution,
            &distribution.host,
            distribution.tags.iter().map(String::as_str),
            std::iter::empty(),
        ),
        points: distribution
            .points
            .into_iter()
            .map(|point| Sketch {
                timestamp: point.timestamp,
                count: point.count,
                min: point.min,
                max: point.max,
                average: point.average,
                sum: point.sum,
                bins: point.keys.into_iter().zip(point.counts).collect(),
            })
            .collect(),
    };
    let decoded = wire::intake::sketches::decode(body).map_err(|error| error.to_string())?;
    Ok(decoded.into_iter().map(of).collect())
}

/// Reads series v2 in JSON.
pub(crate) fn series_json(body: &[u8]) -> Result<Vec<Series>, Malformed> {
    let of = |series: SeriesV2<'_>| Series {
        context: Context::new(
            &series.metric,
            Kind::of_number(series.kind.unwrap_or(0)),
            "",
            series.tags.iter(),
            series.resources.0.iter().map(|resource| (&*resource.kind, &*resource.name)),
        ),
        interval: series.interval.unwrap_or(0),
        points: points(series.points.0.iter().map(|point| (point.timestamp, point.value))),
    };
    Ok(json::<SeriesBody<SeriesV2<'_>>>(body)?.series.0.into_iter().map(of).collect())
}

/// Reads series v1, which is always JSON.
pub(crate) fn series_v1(body: &[u8]) -> Result<Vec<Series>, Malformed> {
    let of = |series: SeriesV1<'_>| Series {
        context: Context::new(
            &series.metric,
            // The API's documented default.
            series.kind.as_deref().map_or(Kind::Gauge, Kind::of_word),
            series.host.as_deref().unwrap_or_default(),
            series.tags.iter(),
            series
                .device
                .as_deref()
                .filter(|device| !device.is_empty())
                .map(|name| ("device", name))
                .into_iter(),
        ),
        interval: series.interval.unwrap_or(0),
        points: points(series.points.0.iter().map(|(time, value)| (Some(*time), *value))),
    };
    Ok(json::<SeriesBody<SeriesV1<'_>>>(body)?.series.0.into_iter().map(of).collect())
}

/// Reads the events of an intake body; `None` when it is about something else, such as host metadata.
pub(crate) fn events(body: &[u8]) -> Result<Option<Vec<Event>>, Malformed> {
    let Some(sources) = json::<Intake<'_>>(body)?.events else { return Ok(None) };
    let mut events = Vec::new();
    for (source, list) in sources {
        events.extend(list.0.into_iter().map(|event| Event {
            title: cut(&event.msg_title),
            text: cut(&event.msg_text),
            timestamp: event.timestamp.unwrap_or(0),
            priority: cut(event.priority.as_deref().unwrap_or("normal")),
            alert_type: cut(event.alert_type.as_deref().unwrap_or("info")),
            host: cut(event.host.as_deref().unwrap_or_default()),
            tags: tags(event.tags.iter()),
            aggregation_key: cut(event.aggregation_key.as_deref().unwrap_or_default()),
            source: cut(event.source_type_name.as_deref().unwrap_or(&source)),
        }));
    }
    Ok(Some(events))
}

/// Reads service checks: a list of them, or one.
pub(crate) fn checks(body: &[u8]) -> Result<Vec<Check>, Malformed> {
    let list = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => vec![json::<CheckBody<'_>>(body)?],
        _ => json::<List<CheckBody<'_>>>(body)?.0,
    };
    let of = |check: CheckBody<'_>| Check {
        name: cut(&check.check),
        status: Status::of(check.status),
        timestamp: check.timestamp.unwrap_or(0),
        host: cut(check.host_name.as_deref().unwrap_or_default()),
        tags: tags(check.tags.iter()),
        message: cut(check.message.as_deref().unwrap_or_default()),
    };
    Ok(list.into_iter().map(of).collect())
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Points with a time and a value; a value that is null (another agent's NaN) is none. Times may have a fraction.
fn points(points: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Vec<(i64, f64)> {
    // The cast saturates.
    points.filter_map(|(time, value)| Some((time? as i64, value?))).collect()
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct SeriesBody<T> {
    series: List<T>,
}

#[derive(Deserialize)]
struct SeriesV2<'a> {
    #[serde(borrow)]
    metric: Cow<'a, str>,
    #[serde(default, rename = "type")]
    kind: Option<u64>,
    #[serde(default)]
    interval: Option<u32>,
    #[serde(default)]
    points: List<Point>,
    #[serde(default, borrow)]
    resources: List<Resource<'a>>,
    #[serde(default, borrow)]
    tags: Texts<'a>,
}

#[derive(Deserialize)]
struct Point {
    timestamp: Option<f64>,
    value: Option<f64>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SeriesV1<'a> {
    #[serde(borrow)]
    metric: Cow<'a, str>,
    #[serde(default, borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    interval: Option<u32>,
    #[serde(default)]
    points: List<(f64, Option<f64>)>,
    #[serde(default, borrow)]
    host: Text<'a>,
    #[serde(default, borrow)]
    device: Text<'a>,
    #[serde(default, borrow)]
    tags: Texts<'a>,
}

#[derive(Deserialize)]
struct Intake<'a> {
    #[serde(default, borrow)]
    events: Option<BTreeMap<Cow<'a, str>, List<EventBody<'a>>>>,
}

#[derive(Deserialize)]
struct EventBody<'a> {
    #[serde(default, borrow)]
    msg_title: Cow<'a, str>,
    #[serde(default, borrow)]
    msg_text: Cow<'a, str>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, borrow)]
    priority: Text<'a>,
    #[serde(default, borrow)]
    alert_type: Text<'a>,
    #[serde(default, borrow)]
    host: Text<'a>,
    #[serde(default, borrow)]
    tags: Texts<'a>,
    #[serde(default, borrow)]
    aggregation_key: Text<'a>,
    #[serde(default, borrow)]
    source_type_name: Text<'a>,
}

#[derive(Deserialize)]
struct CheckBody<'a> {
    #[serde(borrow)]
    check: Cow<'a, str>,
    status: i64,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, borrow)]
    host_name: Text<'a>,
    #[serde(default, borrow)]
    tags: Texts<'a>,
    #[serde(default, borrow)]
    message: Text<'a>,
}

/// A list within [`ENTRIES_MAX`]; null is an empty one.
struct List<T>(Vec<T>);

/// A list of texts.
#[derive(Default, Deserialize)]
struct Texts<'a>(#[serde(borrow)] List<OwnText<'a>>);

#[derive(Deserialize)]
struct OwnText<'a>(#[serde(borrow)] Cow<'a, str>);

impl Texts<'_> {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.0.iter().map(|text| &*text.0)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = List<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of at most {ENTRIES_MAX} entries")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = sequence.next_element()? {
                    if list.len() == ENTRIES_MAX {
                        return Err(serde::de::Error::invalid_length(ENTRIES_MAX + 1, &self));
                    }
                    list.push(entry);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(kind: &str, name: &str) -> (String, String) {
        (kind.to_owned(), name.to_owned())
    }

    #[test]
    fn series_in_json_are_read_in_both_versions() {
        let v2 = br#"{"series":[{"metric":"a","type":3,"interval":10,"points":[{"timestamp":10,"value":1.5},
            {"timestamp":20,"value":null}],"tags":["b","a","b",""],
            "resources":[{"type":"host","name":"h"},{"type":"device","name":"eth0"}],"metadata":{"origin":{}}}]}"#;
        let context = Context {
            name: "a".to_owned(),
            kind: Kind::Gauge,
            host: "h".to_owned(),
            tags: vec!["a".to_owned(), "b".to_owned()],
            resources: vec![pair("device", "eth0")],
        };
        let expected = Series { context, interval: 10, points: vec![(10, 1.5)] };
        assert_eq!(series_json(v2), Ok(vec![expected.clone()]));
        let v1 = br#"{"series":[{"metric":"a","type":"gauge","interval":10,"points":[[10.0,1.5]],
            "tags":["a","b"],"host":"h","device":"eth0"}]}"#;
        assert_eq!(series_v1(v1), Ok(vec![expected]));
        assert_eq!(
            series_v1(br#"{"series":[{"metric":"\u0061","tags":null}]}"#).map(|list| list.len()),
            Ok(1)
        );
    }

    #[test]
    fn an_intake_body_without_events_is_something_else() {
        assert_eq!(events(br#"{"apiKey":"","meta":{},"internalHostname":"h"}"#), Ok(None));
        let found = events(
            br#"{"events":{"api":[{"msg_title":"t","msg_text":"x\ny","timestamp":5,"alert_type":"error","tags":["b","a"]}]}}"#,
        );
        let expected = Event {
            title: "t".to_owned(),
            text: "x\ny".to_owned(),
            timestamp: 5,
            priority: "normal".to_owned(),
            alert_type: "error".to_owned(),
            tags: vec!["a".to_owned(), "b".to_owned()],
            source: "api".to_owned(),
            ..Event::default()
        };
        assert_eq!(found, Ok(Some(vec![expected])));
    }

    #[test]
    fn checks_come_as_a_list_or_alone() {
        let one = r#"{"check":"db","host_name":"h","timestamp":5,"status":2,"message":"gone","tags":[]}"#;
        let expected = Check {
            name: "db".to_owned(),
            status: Status::Critical,
            timestamp: 5,
            host: "h".to_owned(),
            message: "gone".to_owned(),
            tags: Vec::new(),
        };
        assert_eq!(checks(format!(" {one}").as_bytes()), Ok(vec![expected.clone()]));
        assert_eq!(checks(format!("[{one},{one}]").as_bytes()), Ok(vec![expected.clone(), expected]));
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let many = format!(r#"{{"series":[{{"metric":"a","tags":[{}""]}}]}}"#, "\"\",".repeat(ENTRIES_MAX));
        assert!(series_json(many.as_bytes()).is_err_and(|error| error.contains("at most")));
        let deep = "[".repeat(1_000_000);
        for body in ["", "{", "null", "[]", "{\"series\":{}}", "{\"series\":[1]}", deep.as_str(), "\u{0}"] {
            assert!(series_json(body.as_bytes()).is_err(), "{:.20}", body);
            assert!(series_v1(body.as_bytes()).is_err(), "{:.20}", body);
        }
        for body in ["", "{", "{}", "[1]", "[{\"check\":1}]", deep.as_str()] {
            assert!(checks(body.as_bytes()).is_err(), "{:.20}", body);
        }
        for body in ["", "[1]", "{\"events\":[]}", "{\"events\":{\"a\":{}}}", deep.as_str()] {
            assert!(events(body.as_bytes()).is_err(), "{:.20}", body);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            text in r#"[\[\]{}:,"0-9a-z]{0,60}"#,
        ) {
            let nested = format!(r#"{{"series":[{{"metric":"a","points":[{text}]}}],"events":{{"a":[{text}]}}}}"#);
            for body in [body.as_slice(), text.as_bytes(), nested.as_bytes()] {
                series(body).ok();
                sketches(body).ok();
                series_json(body).ok();
                series_v1(body).ok();
                events(body).ok();
                checks(body).ok();
            }
        }
    }
}
