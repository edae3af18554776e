//! The backend's metric messages, by the field numbers of `facts/delivery.md` §3.1 and §3.5.

use super::{Origin, Series, Sketch, SketchSeries};

/// Body of a request to `/api/v2/series`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPayload {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<MetricSeries>,
}

/// Values of one metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricSeries {
    /// What it belongs to.
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    /// Name.
    #[prost(string, tag = "2")]
    pub metric: String,
    /// Tags.
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    /// Values.
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<MetricPoint>,
    /// 1 count, 2 rate, 3 gauge.
    #[prost(int32, tag = "5")]
    pub r#type: i32,
    /// Unit.
    #[prost(string, tag = "6")]
    pub unit: String,
    /// What collected it.
    #[prost(string, tag = "7")]
    pub source_type_name: String,
    /// Seconds each value stands for.
    #[prost(int64, tag = "8")]
    pub interval: i64,
    /// Who made it.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

/// What a series belongs to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// Such as `host`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// One value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPoint {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// About a series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// Who made it.
    #[prost(message, optional, tag = "1")]
    pub origin: Option<OriginMessage>,
}

/// Who made a series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OriginMessage {
    /// 9: not indexed.
    #[prost(int32, tag = "3")]
    pub metric_type: i32,
    /// 1: serverless.
    #[prost(int32, tag = "4")]
    pub product: i32,
    /// The platform.
    #[prost(int32, tag = "5")]
    pub category: i32,
    /// What kind of metric.
    #[prost(int32, tag = "6")]
    pub service: i32,
}

/// Body of a request to `/api/beta/sketches`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SketchPayload {
    /// The sketches.
    #[prost(message, repeated, tag = "1")]
    pub sketches: Vec<SketchMessage>,
}

/// Sketches of one metric. Field 3, an older form of distribution, is not read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SketchMessage {
    /// Name.
    #[prost(string, tag = "1")]
    pub metric: String,
    /// Host.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Tags.
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    /// One for each bucket.
    #[prost(message, repeated, tag = "7")]
    pub dogsketches: Vec<Dogsketch>,
    /// Who made it.
    #[prost(message, optional, tag = "8")]
    pub metadata: Option<Metadata>,
}

/// One sketch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dogsketch {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub ts: i64,
    /// Number of values.
    #[prost(int64, tag = "2")]
    pub cnt: i64,
    /// The least.
    #[prost(double, tag = "3")]
    pub min: f64,
    /// The greatest.
    #[prost(double, tag = "4")]
    pub max: f64,
    /// The mean.
    #[prost(double, tag = "5")]
    pub avg: f64,
    /// The sum.
    #[prost(double, tag = "6")]
    pub sum: f64,
    /// Keys of the bins.
    #[prost(sint32, repeated, tag = "7")]
    pub k: Vec<i32>,
    /// Values in each bin.
    #[prost(uint32, repeated, tag = "8")]
    pub n: Vec<u32>,
}

impl From<MetricSeries> for Series {
    fn from(sent: MetricSeries) -> Self {
        let resources: Vec<_> =
            sent.resources.into_iter().map(|resource| (resource.r#type, resource.name)).collect();
        let host = resources.iter().find(|(kind, _)| kind == "host").map(|(_, name)| name.clone());
        Self {
            metric: sent.metric,
            tags: sent.tags,
            host: host.unwrap_or_default(),
            resources,
            series_type: sent.r#type,
            interval: sent.interval,
            points: sent.points.into_iter().map(|point| (point.timestamp, point.value)).collect(),
            unit: sent.unit,
            source_type_name: sent.source_type_name,
            origin: origin(sent.metadata),
        }
    }
}

impl From<SketchMessage> for SketchSeries {
    fn from(sent: SketchMessage) -> Self {
        Self {
            metric: sent.metric,
            tags: sent.tags,
            host: sent.host,
            points: sent.dogsketches.into_iter().map(|sketch| (sketch.ts, Sketch::from(sketch))).collect(),
            origin: origin(sent.metadata),
        }
    }
}

impl From<Dogsketch> for Sketch {
    fn from(sent: Dogsketch) -> Self {
        let count = u64::try_from(sent.cnt).unwrap_or(0);
        let mut sketch =
            Self { count, min: sent.min, max: sent.max, avg: sent.avg, sum: sent.sum, bins: Vec::new() };
        sketch.add_bins(sent.k.into_iter().zip(sent.n.into_iter().map(u64::from)));
        sketch
    }
}

fn origin(metadata: Option<Metadata>) -> Option<Origin> {
    let OriginMessage { metric_type, product, category, service } = metadata?.origin?;
    Some(Origin { metric_type, product, category, service })
}
