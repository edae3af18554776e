//! What DogStatsD clients say they sent, and what must have arrived of it.

use crate::clients::Client;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use testkit::{Backend, Metrics, metrics::Context};

/// What the client libraries count about themselves.
pub const CLIENT_METRICS: &str = "datadog.dogstatsd.client.";
/// What `DD_HISTOGRAM_AGGREGATES` must say for [`Sent::differences`].
pub const AGGREGATES: &str = "max min median avg count sum";
/// Suffixes of a histogram with these aggregates and the percentile of the default.
const SUFFIXES: [&str; 7] = ["max", "min", "median", "avg", "count", "sum", "95percentile"];

/// What a client sent.
#[derive(Clone, Debug, Deserialize)]
pub struct Sent {
    /// Samples, in order.
    pub samples: Vec<Sample>,
    /// Events; fields as the intake has them, without `msg_`.
    pub events: Vec<Value>,
    /// Service checks; fields as the intake has them.
    pub checks: Vec<Value>,
    /// Packets that the client itself dropped.
    pub dropped: u64,
    /// Whether the client adds up in itself, and sends fewer samples than its calls.
    #[serde(default)]
    pub adds_up: bool,
    /// What the client says it counted itself, when it tells the agent.
    #[serde(default)]
    pub client_metrics: Option<u64>,
}

/// One sample.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// `c`, `g`, `h`, `ms`, `d` or `s`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// A number, or a member of a set.
    pub value: Value,
    /// Tags of the call.
    pub tags: Vec<String>,
    /// Sample rate.
    pub rate: f64,
    /// Seconds since 1970, when the sample has a time of its own.
    #[serde(default)]
    pub time: Option<i64>,
}

/// All samples of one type, name, tags and time.
#[derive(Debug, Default)]
struct Group {
    values: Vec<(f64, f64)>,
    members: BTreeSet<String>,
    time: Option<i64>,
}

impl Client {
    /// Waits for the line that says what it sent, and for its end.
    ///
    /// # Panics
    /// When it fails, or a minute passes.
    pub async fn sent_samples(mut self) -> Sent {
        let sent = serde_json::from_value(self.said().await).expect("what was sent");
        self.ends().await;
        sent
    }
}

impl Sent {
    /// Units in the books of metrics for it: one a sample.
    pub fn units(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Where the backend has something else, something more or something less.
    ///
    /// `tags` are on everything; names stand behind `prefix`. Everything but what the clients count about
    /// themselves is compared: names with tags, and of each count its total, of each gauge the last value, of
    /// sets the members, of histograms number, sum, least and greatest, and of distributions the same.
    pub fn differences(&self, backend: &Backend, prefix: &str, tags: &[&str]) -> Vec<String> {
        let metrics = backend.metrics();
        let mut wrong = Vec::new();
        let mut known = BTreeSet::new();
        for ((kind, name, own), group) in &self.groups(prefix, tags) {
            let mut check = |what: &str, arrived: f64, wanted: f64| {
                if !alike(arrived, wanted) {
                    wrong.push(format!("{name} {own:?} {what}: {arrived} instead of {wanted}"));
                }
            };
            group.compare(kind, name, own, &metrics, &mut check);
            let suffixes: Vec<_> = match kind.as_str() {
                "h" | "ms" => SUFFIXES.iter().map(|suffix| format!("{name}.{suffix}")).collect(),
                _ => vec![name.clone()],
            };
            known.extend(suffixes.into_iter().map(|name| (name, own.clone())));
        }
        let arrived: BTreeSet<_> = metrics
            .merged()
            .map(|merged| merged.context)
            .filter(|context| !context.metric.starts_with(CLIENT_METRICS))
            .map(|context| (context.metric.clone(), context.tags.clone()))
            .collect();
        wrong.extend(arrived.symmetric_difference(&known).map(|odd| format!("on one side only: {odd:?}")));
        if metrics.replaced() > 0 {
            wrong.push(format!("{} points took the place of another", metrics.replaced()));
        }
        // The intake gets them by source.
        let mut events: Vec<_> = backend.events().iter().map(event).collect();
        events.sort_by_key(|event| self.events.iter().position(|sent| sent["title"] == event["title"]));
        compare("events", &self.events, &events, tags, &mut wrong);
        let checks: Vec<_> = backend.checks().iter().map(|check| serde_json::json!(check)).collect();
        compare("checks", &self.checks, &checks, tags, &mut wrong);
        wrong
    }

    /// By type, name and tags.
    fn groups(&self, prefix: &str, tags: &[&str]) -> BTreeMap<(String, String, Vec<String>), Group> {
        let mut groups = BTreeMap::<_, Group>::new();
        for sample in &self.samples {
            let key = (sample.kind.clone(), format!("{prefix}{}", sample.name), tag_set(&sample.tags, tags));
            let group = groups.entry(key).or_default();
            group.time = sample.time;
            match &sample.value {
                Value::String(member) => drop(group.members.insert(member.clone())),
                value => group.values.push((value.as_f64().expect("a number"), sample.rate)),
            }
        }
        groups
    }
}

impl Group {
    fn compare(
        &self,
        kind: &str,
        name: &str,
        tags: &[String],
        metrics: &Metrics,
        check: &mut impl FnMut(&str, f64, f64),
    ) {
        // One context, and not those that have more tags.
        let exact = |name: &str| {
            let fits = |context: &Context| context.metric == name && context.tags == tags;
            metrics.merged().find(|merged| fits(merged.context))
        };
        let values = |suffix: &str| -> Vec<f64> {
            let found = exact(&format!("{name}{suffix}"));
            found.into_iter().flat_map(|merged| merged.points.values().map(|point| point.value)).collect()
        };
        let happened = |suffix: &str| -> f64 {
            let found = exact(&format!("{name}{suffix}"));
            found.into_iter().flat_map(|merged| merged.points.values()).map(|point| point.happened()).sum()
        };
        let weighted = |weight: fn(f64) -> f64, with: fn(f64) -> f64| -> f64 {
            self.values.iter().map(|(value, rate)| with(*value) * weight(*rate)).sum()
        };
        let number = weighted(f64::recip, |_| 1.0);
        let sum = weighted(f64::recip, |value| value);
        let least = self.values.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
        let greatest = self.values.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
        let least_of = |values: Vec<f64>| values.into_iter().fold(f64::INFINITY, f64::min);
        let greatest_of = |values: Vec<f64>| values.into_iter().fold(f64::NEG_INFINITY, f64::max);
        match kind {
            "c" => check("total", happened(""), sum),
            "g" => {
                let last = values("").last().copied().unwrap_or(f64::NAN);
                check("last value", last, self.values.last().expect("a value").0);
            }
            "h" | "ms" => {
                check("count", happened(".count"), weighted(|rate| rate.recip().trunc(), |_| 1.0));
                check("sum", values(".sum").iter().sum(), sum);
                check("min", least_of(values(".min")), least);
                check("max", greatest_of(values(".max")), greatest);
            }
            "d" => {
                let sketches = exact(name).into_iter().flat_map(|merged| merged.sketches.values());
                let mut sketch = testkit::metrics::Sketch::default();
                sketches.for_each(|part| sketch.add(part));
                #[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
                check("count", sketch.count as f64, number);
                check("sum", sketch.sum, sum);
                check("min", sketch.min, least);
                check("max", sketch.max, greatest);
            }
            "s" => {
                #[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
                let members = self.members.len() as f64;
                let buckets = values("");
                let at_least = buckets.iter().sum::<f64>();
                // Members that came in several buckets are in each of them.
                check("members", if buckets.len() > 1 { members.min(at_least) } else { at_least }, members);
                check("members of a bucket", greatest_of(buckets).max(members), members);
            }
            other => panic!("unknown type {other}"),
        }
        if let Some(time) = self.time {
            let arrived = exact(name).and_then(|merged| merged.points.keys().next().copied());
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
            check("time", arrived.unwrap_or(0) as f64, time as f64);
        }
    }
}

/// An event with the names the clients' lists have.
fn event(event: &testkit::metrics::Event) -> Value {
    let mut value = serde_json::json!(event);
    if let Some(fields) = value.as_object_mut() {
        for name in ["title", "text"] {
            let text = fields.remove(&format!("msg_{name}"));
            fields.insert(name.into(), text.unwrap_or_default());
        }
    }
    value
}

/// Every item on both sides, in order; of the fields those that the client named.
fn compare(what: &str, sent: &[Value], arrived: &[Value], tags: &[&str], wrong: &mut Vec<String>) {
    if sent.len() != arrived.len() {
        wrong.push(format!("{what}: {} instead of {}: {arrived:?}", arrived.len(), sent.len()));
    }
    for (sent, arrived) in sent.iter().zip(arrived) {
        for (field, wanted) in sent.as_object().expect("fields") {
            let texts = |value: &Value| -> Vec<String> {
                serde_json::from_value(value.clone()).expect("a list of texts")
            };
            let same = match field.as_str() {
                "tags" => tag_set(&texts(wanted), tags) == tag_set(&texts(&arrived[field]), &[]),
                _ => arrived[field] == *wanted,
            };
            if !same {
                wrong.push(format!("{what}: {field}: {} instead of {wanted}", arrived[field]));
            }
        }
    }
}

/// Sorted, each once.
fn tag_set(own: &[String], more: &[&str]) -> Vec<String> {
    let all: BTreeSet<_> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Rates are sums divided by their interval, so they are off by roundings.
fn alike(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}
