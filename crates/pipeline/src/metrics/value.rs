//! What a context holds of one bucket of time.

use super::sketch::Sketch;
use hashbrown::HashTable;
use model::metric::MetricType;

/// What the allocator takes beside each block, roughly.
pub(super) const BLOCK_BYTES: usize = 16;

/// The samples of one context in one bucket.
#[derive(Debug, Default)]
pub(super) enum Value {
    /// None yet.
    #[default]
    Empty,
    /// The last of a gauge, the sum of a count.
    Number(f64),
    /// Of a set.
    Members(Box<Members>),
    /// Of a histogram or a timing.
    Histogram(Box<Histogram>),
    /// Of a distribution.
    Sketch(Box<Sketch>),
}

/// What one sample stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// 1/rate.
    pub(super) exact: f64,
    /// Its whole part, at least 1.
    pub(super) whole: u32,
}

impl Weight {
    /// `None` unless the rate is at most 1 and above 2⁻³².
    #[inline]
    pub(super) fn of(rate: f64) -> Option<Self> {
        if rate == 1.0 {
            return Some(Self { exact: 1.0, whole: 1 });
        }
        let exact = 1.0 / rate;
        (exact >= 1.0 && exact < f64::from(u32::MAX)).then_some(Self { exact, whole: exact as u32 })
    }
}

impl Value {
    /// What the first sample takes at most, where it takes any.
    pub(super) const FIRST_BYTES: usize = 320;

    /// Nothing yet of a type; must be one whose values take memory.
    pub(super) fn new(metric_type: MetricType) -> Self {
        match metric_type {
            MetricType::Gauge | MetricType::Count => Self::Empty,
            MetricType::Set => Self::Members(Box::default()),
            MetricType::Histogram | MetricType::Timing => Self::Histogram(Box::default()),
            MetricType::Distribution => Self::Sketch(Box::default()),
        }
    }

    /// Adds a finite value where it takes memory.
    pub(super) fn add(&mut self, value: f64, weight: Weight) {
        match self {
            Self::Histogram(histogram) => histogram.add(value, weight),
            Self::Sketch(sketch) => sketch.add(value, weight.exact, weight.whole),
            Self::Empty | Self::Number(_) | Self::Members(_) => {}
        }
    }

    /// Adds the hash of a member of a set.
    pub(super) fn add_member(&mut self, hash: u64) {
        if let Self::Members(members) = self {
            members.add(hash);
        }
    }

    /// The most bytes the next value may take.
    pub(super) fn growth(&self, weight: Weight) -> usize {
        match self {
            Self::Histogram(histogram) => histogram.growth(weight),
            Self::Sketch(sketch) => sketch.growth(weight.whole),
            Self::Empty | Self::Number(_) | Self::Members(_) => 0,
        }
    }

    /// The most bytes the next member may take.
    pub(super) fn member_growth(&self) -> usize {
        if let Self::Members(members) = self { members.growth() } else { 0 }
    }

    /// Reads what adding will read first, as a byte of no meaning.
    #[inline]
    pub(super) fn touch(&self) -> u8 {
        match self {
            Self::Sketch(sketch) => sketch.touch(),
            Self::Empty | Self::Number(_) | Self::Members(_) | Self::Histogram(_) => 0,
        }
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Bytes on the heap, with what the allocator takes beside them.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Empty | Self::Number(_) => 0,
            Self::Members(members) => size_of::<Members>() + members.heap_bytes() + 2 * BLOCK_BYTES,
            Self::Histogram(histogram) => size_of::<Histogram>() + histogram.heap_bytes() + 3 * BLOCK_BYTES,
            Self::Sketch(sketch) => size_of::<Sketch>() + sketch.heap_bytes() + 4 * BLOCK_BYTES,
        }
    }
}

/// A sum that stays finite.
#[inline]
pub(super) fn added(sum: f64, value: f64) -> f64 {
    (sum + value).clamp(f64::MIN, f64::MAX)
}

/// Distinct members of a set, by a 64-bit hash that is keyed per process.
///
/// Two of n members are taken for one with a probability of about n²/2⁶⁵: 3·10⁻⁸ for a million.
#[derive(Debug, Default)]
pub(super) struct Members {
    hashes: HashTable<u64>,
}

impl Members {
    pub(super) fn add(&mut self, hash: u64) {
        self.hashes.entry(hash, |held| *held == hash, |held| *held).or_insert(hash);
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The most bytes the next member may take.
    pub(super) fn growth(&self) -> usize {
        if self.hashes.len() < self.hashes.capacity() {
            return 0;
        }
        self.hashes.allocation_size() + 64
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.hashes.allocation_size()
    }
}

/// All values of a histogram: its percentiles are exact.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    values: Vec<f64>,
    /// Of each value; empty as long as all are 1.
    weights: Vec<u32>,
    /// Of all values by 1/rate.
    sum: f64,
    exact_weight: f64,
    count: u64,
}

impl Histogram {
    /// Adds a finite value.
    #[inline]
    pub(super) fn add(&mut self, value: f64, weight: Weight) {
        if weight.whole > 1 && self.weights.is_empty() {
            self.weights.reserve_exact(self.values.capacity().max(4));
            self.weights.resize(self.values.len(), 1);
        }
        if weight.whole > 1 || !self.weights.is_empty() {
            self.weights.push(weight.whole);
        }
        self.values.push(value);
        self.sum = added(self.sum, value * weight.exact);
        self.exact_weight += weight.exact;
        self.count += u64::from(weight.whole);
    }

    /// The most bytes the next value may take.
    #[inline]
    pub(super) fn growth(&self, weight: Weight) -> usize {
        let length = self.values.len();
        let values = if length == self.values.capacity() { 8 * length.max(4) } else { 0 };
        let weights =
            if weight.whole == 1 && self.weights.is_empty() || self.weights.len() < self.weights.capacity() {
                0
            } else {
                8 * self.values.capacity().max(4)
            };
        values + weights
    }

    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        8 * self.values.capacity() + 4 * self.weights.capacity()
    }

    /// Each value with its weight, in no order.
    pub(super) fn weighted(&self) -> impl Iterator<Item = (f64, u32)> + '_ {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1));
        self.values.iter().copied().zip(weights)
    }

    /// What is said of the values, which are sorted in `sorted`; there must be one.
    pub(super) fn summary<'s>(&self, sorted: &'s mut Vec<(f64, u32)>) -> Summary<'s> {
        sorted.clear();
        sorted.extend(self.weighted());
        sorted.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
        Summary { sorted, sum: self.sum, average: self.sum / self.exact_weight, count: self.count }
    }

    /// The values as a sketch.
    pub(super) fn sketch(&self) -> Sketch {
        let mut sketch = Sketch::default();
        // The exact weights of single values are gone; the exact sum is put right below.
        for (value, weight) in self.weighted() {
            sketch.add(value, f64::from(weight), weight);
        }
        sketch.set_sum(self.sum, self.exact_weight);
        sketch
    }
}

/// What is said of the values of a histogram (`facts/dogstatsd.md` §5).
#[derive(Debug)]
pub(super) struct Summary<'s> {
    sorted: &'s [(f64, u32)],
    /// By exact weights.
    pub(super) sum: f64,
    /// By exact weights.
    pub(super) average: f64,
    /// By whole weights.
    pub(super) count: u64,
}

impl Summary<'_> {
    pub(super) fn min(&self) -> f64 {
        self.sorted.first().map_or(0.0, |(value, _)| *value)
    }

    pub(super) fn max(&self) -> f64 {
        self.sorted.last().map_or(0.0, |(value, _)| *value)
    }

    pub(super) fn median(&self) -> f64 {
        self.at((self.count - 1) / 2)
    }

    pub(super) fn percentile(&self, percent: u8) -> f64 {
        self.at((u64::from(percent) * self.count).saturating_sub(1) / 100)
    }

    /// The value at an index of the sorted values, each there as often as its weight says.
    fn at(&self, index: u64) -> f64 {
        let mut before = 0;
        let found = self.sorted.iter().find(|(_, weight)| {
            before += u64::from(*weight);
            before > index
        });
        found.map_or_else(|| self.max(), |(value, _)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn l116_a_rate_is_above_0_and_at_most_1() {
        assert_eq!(Weight::of(0.5).map(|weight| (weight.exact, weight.whole)), Some((2.0, 2)));
        assert_eq!(Weight::of(0.3).map(|weight| weight.whole), Some(3));
        for rate in [0.0, -0.5, 1.5, 1e-10, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Weight::of(rate).is_none(), "{rate}");
        }
    }

    proptest! {
        #[test]
        fn indexes_are_those_of_the_values_written_out(
            values in prop::collection::vec((-100i32..100, 1u32..5), 1..40), percent in 0u8..=100,
        ) {
            let mut histogram = Histogram::default();
            let mut all = Vec::new();
            for (value, weight) in &values {
                let weight = Weight { exact: f64::from(*weight), whole: *weight };
                let (before, growth) = (histogram.heap_bytes(), histogram.growth(weight));
                histogram.add(f64::from(*value), weight);
                prop_assert!(histogram.heap_bytes() <= before + growth);
                all.extend(std::iter::repeat_n(f64::from(*value), weight.whole as usize));
            }
            all.sort_unstable_by(f64::total_cmp);
            let mut sorted = Vec::new();
            let summary = histogram.summary(&mut sorted);
            prop_assert_eq!(summary.median(), all[(all.len() - 1) / 2]);
            prop_assert_eq!(summary.percentile(percent), all[(percent as usize * all.len()).saturating_sub(1) / 100]);
            prop_assert_eq!((summary.min(), summary.max()), (all[0], all[all.len() - 1]));
            prop_assert_eq!(summary.count, all.len() as u64);
            prop_assert!((summary.average - all.iter().sum::<f64>() / all.len() as f64).abs() < 1e-9);
        }
    }
}
