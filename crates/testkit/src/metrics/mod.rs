//! What the backend's metric intakes get, decoded, and merged as the backend merges it.
//!
//! The messages follow the field numbers and keys of `facts/delivery.md` §3 (those of an origin are the
//! reference's); the bins of a sketch are the reference's (`facts/dogstatsd.md` §5).

pub(crate) mod decode;
mod json;
pub mod proto;
mod sketch;
mod view;

pub use sketch::Sketch;
pub use view::{Context, Merged, Metrics, Point, Summary};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A series type of the published list: a number of things that happened.
pub const COUNT: i32 = 1;
/// A series type of the published list: that number by second.
pub const RATE: i32 = 2;
/// A series type of the published list: a state.
pub const GAUGE: i32 = 3;

/// One series, as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// Name.
    pub metric: String,
    /// Tags in the order in which they were sent.
    pub tags: Vec<String>,
    /// The host: the resource of type `host`, or the field of series v1; empty without one.
    pub host: String,
    /// Every resource in the order in which it was sent, the host too: type and name.
    pub resources: Vec<(String, String)>,
    /// As sent: [`COUNT`], [`RATE`], [`GAUGE`], or 0 for unspecified (`facts/delivery.md` §3.2).
    pub series_type: i32,
    /// Seconds each value stands for.
    pub interval: i64,
    /// Timestamp (seconds since 1970) and value, in the order in which they were sent.
    pub points: Vec<(i64, f64)>,
    /// Unit.
    pub unit: String,
    /// What collected it.
    pub source_type_name: String,
    /// Who made it, when that was said.
    pub origin: Option<Origin>,
}

/// The sketches of one metric, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SketchSeries {
    /// Name.
    pub metric: String,
    /// Tags in the order in which they were sent.
    pub tags: Vec<String>,
    /// The host; empty without one.
    pub host: String,
    /// Timestamp (seconds since 1970) and sketch, in the order in which they were sent.
    pub points: Vec<(i64, Sketch)>,
    /// Who made it, when that was said.
    pub origin: Option<Origin>,
}

/// Who made a metric (`facts/dogstatsd.md` §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// 3 in protobuf; 9 marks a series that is not indexed.
    pub metric_type: i32,
    /// 4 in protobuf.
    pub product: i32,
    /// 5 in protobuf, `origin_sub_product` in JSON.
    pub category: i32,
    /// 6 in protobuf, `origin_product_detail` in JSON.
    pub service: i32,
}

/// One event of a body for `/intake/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The key under which it was sent.
    #[serde(skip_deserializing)]
    pub source: String,
    /// Title.
    #[serde(rename = "msg_title")]
    pub title: String,
    /// Text.
    #[serde(rename = "msg_text")]
    pub text: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// `normal` or `low`.
    pub priority: String,
    /// The host; empty without one.
    pub host: String,
    /// Tags.
    pub tags: Vec<String>,
    /// `info`, `warning`, `error` or `success`.
    pub alert_type: String,
    /// Events with the same key are shown as one.
    pub aggregation_key: String,
    /// What sent it.
    pub source_type_name: String,
    /// Kind.
    pub event_type: String,
}

/// A body for `/intake/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventPayload {
    /// The key in the body; the reference leaves it empty and authenticates by header.
    pub api_key: String,
    /// The agent's host.
    pub internal_hostname: String,
    /// Every event.
    pub events: Vec<Event>,
}

/// One service check of a body for `/api/v1/check_run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Of what.
    #[serde(rename = "check")]
    pub name: String,
    /// The host; empty without one.
    #[serde(rename = "host_name")]
    pub host: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// 0 fine, 1 warning, 2 critical, 3 unknown.
    pub status: i32,
    /// In words.
    pub message: String,
    /// Tags.
    pub tags: Vec<String>,
}

/// What one body may hold (`facts/delivery.md` §3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on the wire.
    pub wire_bytes: usize,
    /// Bytes after decompression.
    pub decoded_bytes: usize,
    /// Points of all series.
    pub points: usize,
}

/// Of series v2.
pub const SERIES_LIMITS: Limits = Limits { wire_bytes: 512_000, decoded_bytes: 5_242_880, points: 10_000 };
/// Of sketches, series v1, events and service checks.
pub const OTHER_LIMITS: Limits =
    Limits { wire_bytes: 5 * 512 * 1024, decoded_bytes: 4 * 1024 * 1024, points: usize::MAX };

/// Orders and joins tags as the backend does: sorted, each once.
fn tag_set(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut tags: Vec<_> = tags.into_iter().collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Events by the key under which they were sent.
type EventsBySource = BTreeMap<String, Vec<Event>>;

#[cfg(test)]
mod tests;
