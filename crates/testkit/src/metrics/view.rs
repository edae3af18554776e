//! What the backend makes of what it got.
//!
//! Of two points with the same name, tags, host and time it keeps the one that came last, whatever their
//! types; sketches with the same name, tags, host and time add up (`facts/dogstatsd.md` §5.3).

use super::{COUNT, RATE, Series, Sketch, SketchSeries, tag_set};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What the backend tells series apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Context {
    /// Name.
    pub metric: String,
    /// Tags, sorted, each once; a resource of type `device` is one of them, other resources are not.
    pub tags: Vec<String>,
    /// Host.
    pub host: String,
}

impl Context {
    fn fits(&self, metric: &str, tags: &[&str]) -> bool {
        self.metric == metric && tags.iter().all(|tag| self.tags.iter().any(|had| had == tag))
    }
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The value.
    pub value: f64,
    /// Its type, as sent.
    pub series_type: i32,
    /// Seconds it stands for.
    pub interval: i64,
}

impl Point {
    /// What a count or rate says happened; 0 for a gauge. What has no type is taken for a count
    /// (`facts/delivery.md` §3.2).
    pub fn happened(&self) -> f64 {
        match self.series_type {
            0 | COUNT => self.value,
            #[expect(clippy::cast_precision_loss, reason = "intervals are seconds")]
            RATE => self.value * self.interval as f64,
            _ => 0.0,
        }
    }
}

/// One context with what is left of it after the merge.
#[derive(Clone, Copy, Debug)]
pub struct Merged<'a> {
    /// What the backend tells it apart by.
    pub context: &'a Context,
    /// By timestamp.
    pub points: &'a BTreeMap<i64, Point>,
    /// By timestamp.
    pub sketches: &'a BTreeMap<i64, Sketch>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Timeline {
    points: BTreeMap<i64, Point>,
    sketches: BTreeMap<i64, Sketch>,
}

/// Everything acknowledged, merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    timelines: HashMap<Context, Timeline>,
    replaced: u64,
    replaced_others: u64,
}

/// The figures of one metric name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Contexts with a point or a sketch.
    pub contexts: u64,
    /// Points.
    pub points: u64,
    /// What counts and rates say happened.
    pub total: f64,
    /// Σ of the last value of each context that is a gauge.
    pub gauges: f64,
    /// Values in sketches.
    pub sketched: u64,
    /// Σ of the values in sketches.
    pub sketched_sum: f64,
}

impl Metrics {
    /// Merges series in the order in which they were sent.
    pub fn add_series(&mut self, series: &[Series]) {
        for sent in series {
            let devices = sent.resources.iter().filter(|(kind, _)| kind == "device");
            let devices = devices.map(|(_, name)| format!("device:{name}"));
            let timeline = self.timeline(&sent.metric, sent.tags.iter().cloned().chain(devices), &sent.host);
            let (mut replaced, mut others) = (0, 0);
            for &(timestamp, value) in &sent.points {
                let point = Point { value, series_type: sent.series_type, interval: sent.interval };
                if let Some(before) = timeline.points.insert(timestamp, point) {
                    replaced += 1;
                    others += u64::from(before != point);
                }
            }
            self.replaced += replaced;
            self.replaced_others += others;
        }
    }

    /// Merges sketches.
    pub fn add_sketches(&mut self, sketches: &[SketchSeries]) {
        for sent in sketches {
            let timeline = self.timeline(&sent.metric, sent.tags.iter().cloned(), &sent.host);
            for (timestamp, sketch) in &sent.points {
                timeline.sketches.entry(*timestamp).or_default().add(sketch);
            }
        }
    }

    fn timeline(
        &mut self,
        metric: &str,
        tags: impl IntoIterator<Item = String>,
        host: &str,
    ) -> &mut Timeline {
        let context = Context { metric: metric.into(), tags: tag_set(tags), host: host.into() };
        self.timelines.entry(context).or_default()
    }

    /// How often something was counted by a metric, over all series that have these tags: Σ of counts and
    /// Σ of rates × interval, after the merge. Gauges and sketches are not in it.
    pub fn total(&self, metric: &str, tags: &[&str]) -> f64 {
        self.fitting(metric, tags).flat_map(|(_, line)| line.points.values()).map(Point::happened).sum()
    }

    /// The last value of the one series that has these tags.
    ///
    /// # Panics
    /// When several series have them: say more tags.
    pub fn gauge(&self, metric: &str, tags: &[&str]) -> Option<f64> {
        let mut fitting = self.fitting(metric, tags).filter(|(_, line)| !line.points.is_empty());
        let (context, line) = fitting.next()?;
        if let Some((other, _)) = fitting.next() {
            panic!("{metric} {tags:?} is ambiguous: {context:?} and {other:?}");
        }
        line.points.last_key_value().map(|(_, point)| point.value)
    }

    /// Time and value of every point of the series that have these tags, in order of time.
    pub fn points(&self, metric: &str, tags: &[&str]) -> Vec<(i64, f64)> {
        let points = self.fitting(metric, tags).flat_map(|(_, line)| &line.points);
        let mut points: Vec<_> = points.map(|(timestamp, point)| (*timestamp, point.value)).collect();
        points.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        points
    }

    /// The sketches of the series that have these tags, over all times, added up; of count 0 without any.
    pub fn sketch(&self, metric: &str, tags: &[&str]) -> Sketch {
        let mut sum = Sketch::default();
        for (_, line) in self.fitting(metric, tags) {
            line.sketches.values().for_each(|sketch| sum.add(sketch));
        }
        sum
    }

    /// Every context, in no order.
    pub fn merged(&self) -> impl Iterator<Item = Merged<'_>> {
        self.timelines.iter().map(|(context, Timeline { points, sketches })| Merged {
            context,
            points,
            sketches,
        })
    }

    /// Every context that has these tags, sorted.
    pub fn contexts(&self, metric: &str, tags: &[&str]) -> Vec<&Context> {
        let mut contexts: Vec<_> = self.fitting(metric, tags).map(|(context, _)| context).collect();
        contexts.sort_unstable();
        contexts
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.timelines.keys().map(|context| context.metric.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Figures by name.
    pub fn summaries(&self) -> BTreeMap<&str, Summary> {
        let mut summaries = BTreeMap::<_, Summary>::new();
        for (context, line) in &self.timelines {
            let summary = summaries.entry(context.metric.as_str()).or_default();
            summary.contexts += 1;
            summary.points += line.points.len() as u64;
            summary.total += line.points.values().map(Point::happened).sum::<f64>();
            let last = line.points.values().next_back().filter(|point| point.series_type == super::GAUGE);
            summary.gauges += last.map_or(0.0, |point| point.value);
            summary.sketched += line.sketches.values().map(|sketch| sketch.count).sum::<u64>();
            summary.sketched_sum += line.sketches.values().map(|sketch| sketch.sum).sum::<f64>();
        }
        summaries
    }

    /// Points that took the place of an earlier one.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Of these, those that said something else than the earlier one: what the backend silently loses.
    pub fn replaced_others(&self) -> u64 {
        self.replaced_others
    }

    fn fitting(&self, metric: &str, tags: &[&str]) -> impl Iterator<Item = (&Context, &Timeline)> {
        self.timelines.iter().filter(move |(context, _)| context.fits(metric, tags))
    }
}
