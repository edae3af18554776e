//! Events for the backend, as JSON (`facts/delivery.md` §3.6).

use model::metric::{Alert, Event, Priority};

use super::json;

/// What an event or a service check does not say itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Context<'a> {
    /// The host where nothing else is said; empty where there is none.
    pub hostname: &'a str,
    /// Seconds since 1970.
    pub now: i64,
    /// Tags of everything, appended to the message's own.
    pub tags: &'a [&'a str],
}

impl Context<'_> {
    /// When something happened: a time before 1970 is none.
    pub(super) fn time(&self, said: Option<i64>) -> i64 {
        said.filter(|seconds| *seconds > 0).unwrap_or(self.now)
    }
}

/// An event as the backend names its fields. DogStatsD says no `event_type`.
#[derive(serde::Serialize)]
struct Body<'a> {
    msg_title: &'a str,
    msg_text: &'a str,
    timestamp: i64,
    priority: &'static str,
    host: &'a str,
    #[serde(skip_serializing_if = "json::Tags::is_empty")]
    tags: json::Tags<'a>,
    alert_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_type_name: Option<&'a str>,
}

/// Appends one event as a JSON object. A `host:` tag names the host unless the event does; it and the agent's internal
/// tags are not among the tags (`facts/dogstatsd.md` §2.5).
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let body = Body {
        msg_title: &event.title,
        msg_text: &event.text,
        timestamp: context.time(event.timestamp),
        priority: match event.priority {
            Priority::Normal => "normal",
            Priority::Low => "low",
        },
        host: json::host(event.host, event.tags, context.hostname),
        tags: json::Tags { own: event.tags, extra: context.tags },
        alert_type: match event.alert {
            Alert::Info => "info",
            Alert::Warning => "warning",
            Alert::Error => "error",
            Alert::Success => "success",
        },
        aggregation_key: event.aggregation_key.filter(|key| !key.is_empty()),
        source_type_name: event.source_type.filter(|source| !source.is_empty()),
    };
    json::write(&body, out);
}

/// Under which name [`payload`] lists an event: its source type, or `api`.
pub fn source<'a>(event: &Event<'a>) -> &'a str {
    event.source_type.filter(|source| !source.is_empty()).unwrap_or("api")
}

/// Appends the body of one request to `/intake/`: `events` are pairs of a [`source`] and what [`encode`] wrote, in any
/// order, which they keep within their source. The key is not in the body: it is a header.
pub fn payload(events: &[(&str, &[u8])], internal_hostname: &str, out: &mut Vec<u8>) {
    let mut sorted = events.to_vec();
    model::order::sort_by(&mut sorted, |(a, _), (b, _)| a.cmp(b));
    out.extend_from_slice(b"{\"apiKey\":\"\",\"events\":{");
    for (place, group) in sorted.chunk_by(|(a, _), (b, _)| a == b).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        json::write(&group[0].0, out);
        out.push(b':');
        json::array(group.iter().map(|(_, event)| *event), out);
    }
    out.extend_from_slice(b"},\"internalHostname\":");
    json::write(&internal_hostname, out);
    out.push(b'}');
}
