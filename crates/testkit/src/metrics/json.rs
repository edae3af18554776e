//! The JSON forms: series v2 as the mini agent sends it, series v1, events.

use super::{Event, EventPayload, EventsBySource, Origin, Series};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct V2 {
    series: Vec<V2Series>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct V2Series {
    metric: String,
    points: Vec<V2Point>,
    resources: Vec<V2Resource>,
    r#type: i32,
    interval: i64,
    unit: String,
    source_type_name: String,
    tags: Vec<String>,
    metadata: Option<V2Metadata>,
}

#[derive(Deserialize)]
struct V2Point {
    timestamp: i64,
    /// Null for what JSON cannot say (`facts/losses.md` L52).
    value: Option<f64>,
}

#[derive(Deserialize)]
struct V2Resource {
    r#type: String,
    name: String,
}

#[derive(Deserialize)]
struct V2Metadata {
    origin: Option<V2Origin>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct V2Origin {
    origin_product: i32,
    origin_sub_product: i32,
    origin_product_detail: i32,
}

impl From<V2> for Vec<Series> {
    fn from(sent: V2) -> Self {
        sent.series.into_iter().map(Series::from).collect()
    }
}

impl From<V2Series> for Series {
    fn from(sent: V2Series) -> Self {
        let resources: Vec<_> =
            sent.resources.into_iter().map(|resource| (resource.r#type, resource.name)).collect();
        let host = resources.iter().find(|(kind, _)| kind == "host").map(|(_, name)| name.clone());
        let origin = sent.metadata.and_then(|metadata| metadata.origin).map(|origin| Origin {
            metric_type: 0,
            product: origin.origin_product,
            category: origin.origin_sub_product,
            service: origin.origin_product_detail,
        });
        Self {
            metric: sent.metric,
            tags: sent.tags,
            host: host.unwrap_or_default(),
            resources,
            series_type: sent.r#type,
            interval: sent.interval,
            points: sent
                .points
                .into_iter()
                .map(|point| (point.timestamp, point.value.unwrap_or(f64::NAN)))
                .collect(),
            unit: sent.unit,
            source_type_name: sent.source_type_name,
            origin,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct V1 {
    series: Vec<V1Series>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct V1Series {
    metric: String,
    points: Vec<(i64, f64)>,
    tags: Option<Vec<String>>,
    host: String,
    r#type: String,
    interval: i64,
    source_type_name: String,
    device: String,
}

impl From<V1> for Vec<Series> {
    fn from(sent: V1) -> Self {
        sent.series.into_iter().map(Series::from).collect()
    }
}

impl From<V1Series> for Series {
    fn from(sent: V1Series) -> Self {
        let resources = [("host", &sent.host), ("device", &sent.device)]
            .into_iter()
            .filter(|(_, name)| !name.is_empty())
            .map(|(kind, name)| (kind.to_owned(), name.clone()))
            .collect();
        let series_type = match sent.r#type.as_str() {
            "count" => super::COUNT,
            "rate" => super::RATE,
            "gauge" => super::GAUGE,
            _ => 0,
        };
        Self {
            metric: sent.metric,
            tags: sent.tags.unwrap_or_default(),
            host: sent.host,
            resources,
            series_type,
            interval: sent.interval,
            points: sent.points,
            source_type_name: sent.source_type_name,
            ..Self::default()
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Intake {
    api_key: String,
    internal_hostname: String,
    events: EventsBySource,
}

impl From<Intake> for EventPayload {
    fn from(sent: Intake) -> Self {
        let events = sent.events.into_iter().flat_map(|(source, events)| {
            events.into_iter().map(move |event| Event { source: source.clone(), ..event })
        });
        Self { events: events.collect(), api_key: sent.api_key, internal_hostname: sent.internal_hostname }
    }
}
