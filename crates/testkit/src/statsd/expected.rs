//! What must arrive.

use super::{Kind, Traffic};
use crate::metrics::{COUNT, Merged, Metrics, Point, RATE, Sketch};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Differences told by [`Expected::differences`] at most.
const DIFFERENCES_MAX: usize = 20;

/// What must arrive of some traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Samples of all kinds.
    pub samples: u64,
    /// By kind.
    pub kinds: BTreeMap<Kind, KindTotal>,
    /// By context, in the order of their numbers; those without a sample are not in it.
    pub contexts: Vec<ContextTotal>,
}

/// What must arrive of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct KindTotal {
    /// Contexts.
    pub contexts: u64,
    /// Samples.
    pub samples: u64,
    /// Their sum; 0 for sets.
    pub sum: f64,
    /// Different members of sets.
    pub members: u64,
}

/// What must arrive of one context.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextTotal {
    /// Name.
    pub name: String,
    /// Tags in the order in which they are sent.
    pub tags: Vec<String>,
    /// Kind.
    pub kind: Kind,
    /// Samples.
    pub samples: u64,
    /// Their sum.
    pub sum: f64,
    /// The value sent last.
    pub last: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Different members of a set.
    pub members: u64,
}

impl Expected {
    pub(super) fn of(traffic: &Traffic, samples: u64) -> Self {
        #[derive(Clone, Default)]
        struct Quarters {
            samples: u64,
            sum: u64,
            last: u32,
            min: u32,
            max: u32,
            members: HashSet<u32>,
        }
        let all = traffic.lines.len() as u64;
        let mut quarters = vec![Quarters::default(); traffic.contexts];
        let (rounds, rest) = (samples / all, samples % all);
        for (place, (context, value)) in traffic.lines.iter().enumerate() {
            let times = rounds + u64::from((place as u64) < rest);
            if times == 0 {
                break;
            }
            let total = &mut quarters[*context as usize];
            (total.min, total.max) = if total.samples == 0 {
                (*value, *value)
            } else {
                (total.min.min(*value), total.max.max(*value))
            };
            total.samples += times;
            total.sum += times * u64::from(*value);
            total.last = *value;
            if traffic.kind(*context) == Kind::Set {
                total.members.insert(*value);
            }
        }
        // Of the unfinished round, which comes after whole ones.
        for (context, value) in &traffic.lines[..usize::try_from(rest).unwrap_or(0)] {
            quarters[*context as usize].last = *value;
        }
        let mut kinds = BTreeMap::<_, KindTotal>::new();
        let mut contexts = Vec::new();
        for (context, total) in (0u32..).zip(quarters).filter(|(_, total)| total.samples > 0) {
            let kind = traffic.kind(context);
            #[expect(clippy::cast_precision_loss, reason = "sums stay far below 2^53")]
            let sum = if kind == Kind::Set { 0.0 } else { total.sum as f64 / 4.0 };
            let of_kind = kinds.entry(kind).or_default();
            of_kind.contexts += 1;
            of_kind.samples += total.samples;
            of_kind.sum += sum;
            of_kind.members += total.members.len() as u64;
            contexts.push(ContextTotal {
                name: traffic.name(context),
                tags: Traffic::tags(context),
                kind,
                samples: total.samples,
                sum,
                last: f64::from(total.last) / 4.0,
                min: f64::from(total.min) / 4.0,
                max: f64::from(total.max) / 4.0,
                members: total.members.len() as u64,
            });
        }
        Self { samples, kinds, contexts }
    }

    /// Where the backend has something else: empty when every sample arrived, once.
    ///
    /// Of each context: the total of a count, the last value of a gauge, number, sum, least and greatest of a
    /// distribution, `<name>.count` and `.max` of a histogram or timing, and of a set that it was seen (how
    /// many members depends on how samples fall into buckets).
    pub fn differences(&self, metrics: &Metrics) -> Vec<String> {
        let found = Found::new(metrics);
        let mut differences = Vec::new();
        for context in &self.contexts {
            if differences.len() == DIFFERENCES_MAX {
                differences.push("and more".to_owned());
                break;
            }
            let (arrived, wanted) = found.compare(context);
            if !arrived.iter().zip(&wanted).all(|(arrived, wanted)| alike(*arrived, *wanted)) {
                let (name, tag) = (&context.name, &context.tags[0]);
                differences.push(format!("{name} {tag}: {arrived:?} instead of {wanted:?}"));
            }
        }
        differences
    }
}

/// Rates are sums divided by their interval, so they are off by roundings.
fn alike(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

/// What arrived, by name and the tag that is the context's own.
struct Found<'a>(HashMap<&'a str, HashMap<&'a str, Vec<Merged<'a>>>>);

impl<'a> Found<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        let mut names = HashMap::<_, HashMap<_, Vec<_>>>::new();
        for merged in metrics.merged() {
            if let Some(tag) = merged.context.tags.iter().find(|tag| tag.starts_with("ctx:")) {
                let of_name = names.entry(merged.context.metric.as_str()).or_default();
                of_name.entry(tag.as_str()).or_default().push(merged);
            }
        }
        Self(names)
    }

    fn of(&self, name: &str, tag: &str) -> impl Iterator<Item = &Merged<'a>> {
        self.0.get(name).and_then(|tags| tags.get(tag)).into_iter().flatten()
    }

    fn compare(&self, context: &ContextTotal) -> ([f64; 4], [f64; 4]) {
        let tag = context.tags[0].as_str();
        let happened = |name: &str| {
            let points = self.of(name, tag).flat_map(|merged| merged.points.values());
            points
                .filter(|point| matches!(point.series_type, 0 | COUNT | RATE))
                .map(Point::happened)
                .sum::<f64>()
        };
        let values = |name: &str| {
            let points = self.of(name, tag).flat_map(|merged| merged.points.iter());
            points.map(|(timestamp, point)| (*timestamp, point.value)).collect::<BTreeMap<_, _>>()
        };
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        match context.kind {
            Kind::Count => ([happened(&context.name), 0.0, 0.0, 0.0], [context.sum, 0.0, 0.0, 0.0]),
            Kind::Gauge => {
                let last = values(&context.name).pop_last().map_or(f64::NAN, |(_, value)| value);
                ([last, 0.0, 0.0, 0.0], [context.last, 0.0, 0.0, 0.0])
            }
            Kind::Distribution => {
                let mut sketch = Sketch::default();
                let found = self.of(&context.name, tag).flat_map(|merged| merged.sketches.values());
                found.for_each(|part| sketch.add(part));
                (
                    [sketch.count as f64, sketch.sum, sketch.min, sketch.max],
                    [context.samples as f64, context.sum, context.min, context.max],
                )
            }
            Kind::Histogram | Kind::Timing => {
                let count = happened(&format!("{}.count", context.name));
                let max = values(&format!("{}.max", context.name)).into_values().fold(f64::NAN, f64::max);
                ([count, max, 0.0, 0.0], [context.samples as f64, context.max, 0.0, 0.0])
            }
            Kind::Set => {
                let seen = values(&context.name).into_values().any(|members| members > 0.0);
                ([f64::from(u8::from(seen)), 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0])
            }
        }
    }
}
