//! The metric payloads as `prost` sees them, and some that have everything.

use model::metric::{Distribution, Identity, Origin, Series, SeriesType, SketchPoint};

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPayload {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<MetricSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricSeries {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(string, tag = "2")]
    pub metric: String,
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<MetricPoint>,
    #[prost(int32, tag = "5")]
    pub series_type: i32,
    #[prost(string, tag = "6")]
    pub unit: String,
    #[prost(string, tag = "7")]
    pub source_type_name: String,
    #[prost(int64, tag = "8")]
    pub interval: i64,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    #[prost(string, tag = "1")]
    pub resource_type: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPoint {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub origin: Option<OriginMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OriginMessage {
    #[prost(uint32, tag = "4")]
    pub product: u32,
    #[prost(uint32, tag = "5")]
    pub category: u32,
    #[prost(uint32, tag = "6")]
    pub service: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SketchPayload {
    #[prost(message, repeated, tag = "1")]
    pub sketches: Vec<Sketch>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sketch {
    #[prost(string, tag = "1")]
    pub metric: String,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub dogsketches: Vec<Dogsketch>,
    #[prost(message, optional, tag = "8")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Dogsketch {
    #[prost(int64, tag = "1")]
    pub ts: i64,
    #[prost(int64, tag = "2")]
    pub cnt: i64,
    #[prost(double, tag = "3")]
    pub min: f64,
    #[prost(double, tag = "4")]
    pub max: f64,
    #[prost(double, tag = "5")]
    pub avg: f64,
    #[prost(double, tag = "6")]
    pub sum: f64,
    #[prost(sint32, repeated, tag = "7")]
    pub k: Vec<i32>,
    #[prost(uint32, repeated, tag = "8")]
    pub n: Vec<u32>,
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub fn metadata(origin: Option<Origin>) -> Option<Metadata> {
    origin.map(|Origin { product, category, service }| Metadata {
        origin: Some(OriginMessage { product, category, service }),
    })
}

/// What must arrive of a series.
pub fn series_message(series: &Series<'_>) -> MetricSeries {
    let Series { identity, series_type, interval, points } = series;
    let host = Some(("host", identity.host)).filter(|(_, host)| !host.is_empty());
    MetricSeries {
        resources: host
            .iter()
            .chain(identity.resources)
            .map(|(kind, name)| Resource { resource_type: (*kind).to_owned(), name: (*name).to_owned() })
            .collect(),
        metric: identity.name.concat(),
        tags: texts(identity.tags),
        points: points
            .iter()
            .map(|(timestamp, value)| MetricPoint { value: *value, timestamp: *timestamp })
            .collect(),
        series_type: *series_type as i32,
        interval: i64::from(*interval),
        metadata: metadata(identity.origin),
        ..MetricSeries::default()
    }
}

/// What must arrive of a distribution without further resources.
pub fn sketch_message(distribution: &Distribution<'_>) -> Sketch {
    let Distribution { identity, points } = distribution;
    Sketch {
        metric: identity.name.concat(),
        host: identity.host.to_owned(),
        tags: texts(identity.tags),
        dogsketches: points
            .iter()
            .map(|point| Dogsketch {
                ts: point.timestamp,
                cnt: point.count as i64,
                min: point.min,
                max: point.max,
                avg: point.average,
                sum: point.sum,
                k: point.keys.to_vec(),
                n: point.counts.to_vec(),
            })
            .collect(),
        metadata: metadata(identity.origin),
    }
}

pub const IDENTITY: Identity<'static> = Identity {
    name: ["shop.", "checkout.duration", ".95percentile"],
    host: "web-1",
    resources: &[("device", "eth0"), ("database", "orders")],
    tags: &["env:prod", "service:shop", "région:zürich"],
    origin: Some(Origin { product: 1, category: 35, service: 472 }),
};

pub const FULL_SERIES: Series<'static> = Series {
    identity: IDENTITY,
    series_type: SeriesType::Rate,
    interval: 10,
    points: &[(1_700_000_000, 2.5), (1_700_000_010, 0.0), (0, -0.0)],
};

pub const FULL_DISTRIBUTION: Distribution<'static> = Distribution {
    identity: Identity { resources: &[], ..IDENTITY },
    points: &[
        SketchPoint {
            timestamp: 1_700_000_000,
            count: 600,
            min: -0.25,
            max: 12.5,
            average: 3.25,
            sum: 1950.0,
            keys: &[-1250, 0, 1338, 1500],
            counts: &[1, 99, 300, 200],
        },
        SketchPoint {
            timestamp: 1_700_000_010,
            count: 1,
            min: 1.0,
            max: 1.0,
            average: 1.0,
            sum: 1.0,
            keys: &[1338],
            counts: &[1],
        },
    ],
};
