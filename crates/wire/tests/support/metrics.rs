//! Metrics that have everything, and what must arrive of them as the testkit's messages.

use model::metric::{Distribution, Identity, Origin, Series, SeriesType, SketchPoint};
use testkit::metrics::proto::{
    Dogsketch, Metadata, MetricPoint, MetricSeries, OriginMessage, Resource, SketchMessage,
};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub fn metadata(origin: Option<Origin>) -> Option<Metadata> {
    origin.map(|Origin { product, category, service }| Metadata {
        origin: Some(OriginMessage {
            metric_type: 0,
            product: product.cast_signed(),
            category: category.cast_signed(),
            service: service.cast_signed(),
        }),
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
            .map(|(kind, name)| Resource { r#type: (*kind).to_owned(), name: (*name).to_owned() })
            .collect(),
        metric: identity.name.concat(),
        tags: texts(identity.tags),
        points: points
            .iter()
            .map(|(timestamp, value)| MetricPoint { value: *value, timestamp: *timestamp })
            .collect(),
        r#type: *series_type as i32,
        interval: i64::from(*interval),
        metadata: metadata(identity.origin),
        ..MetricSeries::default()
    }
}

/// What must arrive of a distribution without further resources.
pub fn sketch_message(distribution: &Distribution<'_>) -> SketchMessage {
    let Distribution { identity, points } = distribution;
    SketchMessage {
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
