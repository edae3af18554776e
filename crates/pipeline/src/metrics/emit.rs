//! What the value of one context becomes (`facts/dogstatsd.md` §5).

use super::config::{Aggregates, MetricsConfig};
use super::rules::{Canonical, Rules};
use super::sketch::{Bins, Sketch};
use super::value::{Histogram, Value};
use super::{BUCKET_SECONDS, Sink};
use model::Bump;
use model::metric::{Distribution, Identity, MetricType, Series, SeriesType};

/// Tells a sink, with room to write what it is told.
#[derive(Debug)]
pub(super) struct Emitter {
    aggregates: Aggregates,
    /// With the suffix of the name.
    percentiles: Vec<(u8, String)>,
    /// Prefix of the distributions that histograms are copied to.
    copies: Option<String>,
    bins: Bins,
    sorted: Vec<(f64, u32)>,
    points: Vec<(i64, f64)>,
}

/// One value and when it was.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) metric_type: MetricType,
    /// Seconds since 1970.
    pub(super) timestamp: i64,
    pub(super) value: Value,
    pub(super) samples: u64,
}

impl Emitter {
    pub(super) fn new(config: &MetricsConfig) -> Self {
        let mut percentiles: Vec<u8> = config.percentiles.iter().map(|percent| (*percent).min(100)).collect();
        model::order::sort(&mut percentiles);
        percentiles.dedup();
        Self {
            aggregates: config.aggregates,
            percentiles: percentiles
                .iter()
                .map(|percent| (*percent, format!(".{percent}percentile")))
                .collect(),
            copies: config.copy_to_distribution.then(|| config.copy_prefix.clone()),
            bins: Bins::default(),
            sorted: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Tells of one value; of a count with zeros at the times of `zeros` after it.
    pub(super) fn emit(
        &mut self,
        rules: &Rules,
        arena: &Bump,
        canonical: &Canonical<'_>,
        taken: Taken,
        zeros: impl Iterator<Item = i64>,
        sink: &mut impl Sink,
    ) {
        let Taken { metric_type, timestamp, value, samples } = taken;
        if let Value::Sketch(mut sketch) = value {
            let names = ["", rules.namespace(canonical.name), canonical.name];
            return self.distribution(rules, arena, canonical, names, &mut sketch, timestamp, samples, sink);
        }
        let (tags, resources) = rules.series_tags(arena, canonical);
        let identity = Identity {
            name: [rules.namespace(canonical.name), canonical.name, ""],
            host: canonical.host,
            resources: &resources,
            tags: &tags,
            origin: rules.origin(canonical.name),
        };
        self.points.clear();
        match value {
            Value::Histogram(histogram) => {
                let told = self.histogram(&identity, &histogram, timestamp, samples, sink);
                if let Some(prefix) = self.copies.take() {
                    let names = [&prefix, identity.name[0], canonical.name];
                    let (sketch, rest) = (&mut histogram.sketch(), samples - told);
                    self.distribution(rules, arena, canonical, names, sketch, timestamp, rest, sink);
                    self.copies = Some(prefix);
                }
                return;
            }
            Value::Number(number) if metric_type == MetricType::Count => {
                self.points.push((timestamp, number / f64::from(BUCKET_SECONDS)));
            }
            Value::Number(number) => self.points.push((timestamp, number)),
            Value::Members(members) => self.points.push((timestamp, members.len() as f64)),
            Value::Empty | Value::Sketch(_) => {}
        }
        self.points.extend(zeros.map(|time| (time, 0.0)));
        let (series_type, interval) = match metric_type {
            MetricType::Count => (SeriesType::Rate, BUCKET_SECONDS),
            _ => (SeriesType::Gauge, 0),
        };
        sink.series(&Series { identity, series_type, interval, points: &self.points }, samples);
    }

    /// All series of a histogram. The first one answers for the samples: how many were told.
    fn histogram(
        &mut self,
        identity: &Identity<'_>,
        histogram: &Histogram,
        timestamp: i64,
        samples: u64,
        sink: &mut impl Sink,
    ) -> u64 {
        let summary = histogram.summary(&mut self.sorted);
        let mut rest = samples;
        let mut series = |suffix: &str, series_type, interval, value: f64| {
            let identity = Identity { name: [identity.name[0], identity.name[1], suffix], ..*identity };
            let points = &[(timestamp, value)];
            sink.series(&Series { identity, series_type, interval, points }, std::mem::take(&mut rest));
        };
        let Aggregates { max, min, sum, avg, median, count } = self.aggregates;
        for (wanted, suffix, value) in [
            (max, ".max", summary.max()),
            (min, ".min", summary.min()),
            (sum, ".sum", summary.sum),
            (avg, ".avg", summary.average),
            (median, ".median", summary.median()),
        ] {
            if wanted {
                series(suffix, SeriesType::Gauge, 0, value);
            }
        }
        if count {
            let rate = summary.count as f64 / f64::from(BUCKET_SECONDS);
            series(".count", SeriesType::Rate, BUCKET_SECONDS, rate);
        }
        for (percent, suffix) in &self.percentiles {
            series(suffix, SeriesType::Gauge, 0, summary.percentile(*percent));
        }
        samples - rest
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one noun")]
    fn distribution(
        &mut self,
        rules: &Rules,
        arena: &Bump,
        canonical: &Canonical<'_>,
        name: [&str; 3],
        sketch: &mut Sketch,
        timestamp: i64,
        samples: u64,
        sink: &mut impl Sink,
    ) {
        let tags = rules.distribution_tags(arena, canonical);
        let origin = rules.origin(canonical.name);
        let identity = Identity { name, host: canonical.host, resources: &[], tags: &tags, origin };
        let points = &[sketch.point(timestamp, &mut self.bins)];
        sink.distribution(&Distribution { identity, points }, samples);
    }
}
