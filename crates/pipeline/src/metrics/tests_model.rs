//! The aggregator against the plainest thing that could be right.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// Name, spelling of the tags, type, value, rate.
    Sample(usize, usize, usize, i32, f64),
    Advance(i64),
    Flush(bool),
    /// A closed flush with samples between its steps.
    FlushAmid(usize),
}

const NAMES: [&str; 3] = ["a", "b", "datadog.c"];
/// The first three mean the same.
const SPELLINGS: [&str; 5] = ["x:1,y:2", "y:2,x:1", "x:1,,x:1,y:2", "x:1", "host:h,x:1"];
const MEANINGS: [usize; 5] = [0, 0, 0, 1, 2];

/// Name, meaning of tags, type.
type Which = (usize, usize, usize);
/// Series and time, and what was told of it: the sum of the values of its points, and how many samples.
type Points = BTreeMap<(Which, i64), (f64, u64)>;

/// Every sample in a map by its bucket, and told when the bucket is.
#[derive(Default)]
struct Model {
    now: i64,
    open: BTreeMap<(Which, i64), Vec<(f64, f64)>>,
    last: BTreeMap<Which, i64>,
    /// Buckets in which a count was sampled.
    sampled: BTreeSet<(Which, i64)>,
    told: Points,
    parts: BTreeMap<i64, i64>,
    taken: u64,
}

impl Model {
    fn bucket(&self) -> i64 {
        self.now / 10 * 10
    }

    fn sample(&mut self, which: Which, value: f64, rate: f64) {
        let bucket = self.bucket();
        // Zeros since the last sample, which nothing tells any more once there is a later one.
        self.zeros(which, bucket);
        self.open.entry((which, bucket)).or_default().push((value, rate));
        self.sampled.insert((which, bucket));
        self.last.insert(which, self.now);
        self.taken += 1;
    }

    fn zeros(&mut self, which: Which, until: i64) {
        let Some(last) = self.last.get(&which).filter(|_| MetricType::ALL[which.2] == MetricType::Count)
        else {
            return;
        };
        for bucket in (last / 10 * 10 + 10..until.min(last + 300)).step_by(10) {
            self.told.entry((which, bucket)).or_insert((0.0, 0));
        }
    }

    fn flush(&mut self, all: bool) {
        let cutoff = self.bucket();
        let parts = self.parts.clone();
        let due = |bucket: i64| bucket < cutoff || all;
        for ((which, bucket), samples) in std::mem::take(&mut self.open) {
            if !due(bucket) {
                self.open.insert((which, bucket), samples);
                continue;
            }
            let time = bucket + parts.get(&bucket).copied().unwrap_or(0);
            let sum = |by: fn(&(f64, f64)) -> f64| samples.iter().map(by).sum::<f64>();
            let value = match MetricType::ALL[which.2] {
                MetricType::Gauge => samples.last().unwrap().0,
                MetricType::Count => sum(|(value, rate)| value / rate) / 10.0,
                MetricType::Set => {
                    samples.iter().map(|(value, _)| *value as i64).collect::<BTreeSet<_>>().len() as f64
                }
                MetricType::Histogram | MetricType::Timing => {
                    samples.iter().map(|(value, _)| *value).fold(f64::MIN, f64::max)
                }
                MetricType::Distribution => sum(|(value, rate)| value / rate),
            };
            let count = samples.len() as u64;
            let held = self.told.insert((which, time), (value, count));
            assert!(held.is_none() || time >= bucket + 9, "the model tells one point twice");
        }
        for which in self.last.keys().copied().collect::<Vec<_>>() {
            self.zeros(which, cutoff);
            let count = if MetricType::ALL[which.2] == MetricType::Count { 300 } else { 0 };
            if self.now - self.last[&which] >= 20 + count {
                self.last.remove(&which);
            }
        }
        if all {
            let part = self.parts.entry(cutoff).or_default();
            *part = (*part + 1).min(9);
        }
    }
}

/// The points the aggregator told.
fn gather(told: &[Told], points: &mut Points) {
    for told in told {
        let (base, suffix) = match told.name.rsplit_once('.') {
            Some((base, suffix)) if base != "datadog" => (base, suffix),
            _ => (told.name.as_str(), ""),
        };
        let Some(name) = NAMES.iter().position(|name| base == [name, ".type"].concat() || base == *name)
        else {
            panic!("{}", told.name)
        };
        // Types are told apart by a tag, which the test added.
        let of_type = told.tags.iter().find_map(|tag| tag.strip_prefix("type:")).unwrap().parse().unwrap();
        let meaning = if told.host == "h" { 2 } else { usize::from(told.tags.len() == 2) };
        if !matches!(suffix, "" | "max") {
            assert_eq!(told.samples, 0);
            continue;
        }
        for (at, (time, value)) in told.points.iter().enumerate() {
            let samples = if at == 0 { told.samples } else { 0 };
            let held = points.insert(((name, meaning, of_type), *time), (*value, samples));
            assert!(held.is_none() || time % 10 == 9, "told twice: {} at {time}", told.name);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..NAMES.len(), 0..SPELLINGS.len(), 0..6usize, -50..50i32, prop_oneof![Just(1.0), Just(0.5), Just(0.25)])
            .prop_map(|(name, tags, of_type, value, rate)| Step::Sample(name, tags, of_type, value, rate)),
        4 => prop_oneof![Just(1i64), 1..12i64, 10..60i64, Just(330i64)].prop_map(Step::Advance),
        2 => any::<bool>().prop_map(Step::Flush),
        1 => (0..SPELLINGS.len()).prop_map(Step::FlushAmid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn it_tells_what_the_model_tells_and_each_sample_once(steps in prop::collection::vec(step(), 1..80)) {
        let mut aggregator = aggregator();
        let mut model = Model { now: 1_000, ..Model::default() };
        let mut told = Vec::new();
        let sample = |aggregator: &mut Aggregator, model: &mut Model, name: usize, tags: usize, of_type: usize, value, rate| {
            let tags_of_type = format!("{},type:{of_type}", SPELLINGS[tags]);
            let letters = MetricType::ALL[of_type].letters();
            send(aggregator, NAMES[name], &tags_of_type, letters, &[value], rate);
            model.sample((name, MEANINGS[tags], of_type), value, rate);
        };
        for step in steps {
            match step {
                Step::Sample(name, tags, of_type, value, rate) => {
                    sample(&mut aggregator, &mut model, name, tags, of_type, f64::from(value), rate);
                }
                Step::Advance(by) => {
                    model.now += by;
                    aggregator.set_now(model.now);
                }
                Step::Flush(everything) => {
                    told.extend(flush(&mut aggregator, if everything { Flush::All } else { Flush::Closed }));
                    model.flush(everything);
                }
                Step::FlushAmid(tags) => {
                    // What comes after its begin is of the open bucket: the flush does not see it.
                    model.flush(false);
                    let mut collected = Collected::default();
                    aggregator.begin_flush(Flush::Closed);
                    let mut more = true;
                    for at in 0..4 {
                        sample(&mut aggregator, &mut model, at % 3, tags, at, 7.0, 1.0);
                        more = more && aggregator.flush_step(&mut collected);
                    }
                    while aggregator.flush_step(&mut collected) {}
                    told.extend(collected.0);
                }
            }
        }
        told.extend(flush(&mut aggregator, Flush::All));
        model.flush(true);
        prop_assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), model.taken);
        let mut points = Points::new();
        gather(&told, &mut points);
        let (told, wanted): (Vec<_>, Vec<_>) = (points.iter().collect(), model.told.iter().collect());
        prop_assert_eq!(told.len(), wanted.len(), "{:?}\n{:?}", told, wanted);
        for (((which, time), (value, samples)), (place, (wanted, of))) in told.into_iter().zip(wanted) {
            prop_assert_eq!((which, time), (&place.0, &place.1));
            prop_assert!((value - wanted).abs() < 1e-6, "{:?} at {}: {} for {}", which, time, value, wanted);
            prop_assert_eq!(samples, of);
        }
        prop_assert_eq!(aggregator.contexts(), model.last.len());
    }
}
