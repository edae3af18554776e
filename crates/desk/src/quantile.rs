//! Quantiles: of latencies, out of the sketches that statistics carry (any DDSketch mapping in, one histogram
//! held), and of distributions, out of the reference's bins.

use crate::metric;
use model::sketch::{Bins, Mapping, Sketch};
use std::collections::BTreeMap;

/// Base of the histogram's own logarithm: values within 1 % of each other share a bin.
const GAMMA: f64 = 1.02;
/// Bins read of one sketch; the reference's hold 2,048.
const BINS_READ_MAX: usize = 20_000;
/// Values beyond this many nanoseconds (300 years) are damaged, not slow.
const VALUE_MAX: f64 = 1e19;

/// Counts of values by magnitude.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    bins: BTreeMap<i32, f64>,
    total: f64,
}

impl Histogram {
    /// Adds the values of a sketch. Negative values have no meaning as durations and are left out.
    pub(crate) fn add(&mut self, sketch: &Sketch) {
        self.count(0.0, sketch.zero_count);
        if !sketch.mapping.gamma.is_finite() || sketch.mapping.gamma <= 1.0 {
            return;
        }
        for (index, count) in indexed(&sketch.positive).take(BINS_READ_MAX) {
            self.count(value_of(&sketch.mapping, index), count);
        }
    }

    /// The least value that the share `q` of the values does not exceed, in the unit they came in.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let mut left = q * self.total;
        for (place, (bin, count)) in self.bins.iter().enumerate() {
            left -= count;
            // Sums of counts are rounded, so the last bin is the answer whatever is left.
            if left <= 0.0 || place + 1 == self.bins.len() {
                return Some(if *bin == i32::MIN { 0.0 } else { GAMMA.powf(f64::from(*bin) + 0.5) });
            }
        }
        None
    }

    fn count(&mut self, value: f64, count: f64) {
        if !(count.is_finite() && count > 0.0 && (0.0..VALUE_MAX).contains(&value)) {
            return;
        }
        // VALUE_MAX and the cast's saturation bound the number of bins to a few thousand.
        let bin = if value < 1.0 { i32::MIN } else { (value.ln() / GAMMA.ln()).floor() as i32 };
        *self.bins.entry(bin).or_default() += count;
        self.total += count;
    }
}

fn indexed(bins: &Bins) -> impl Iterator<Item = (i32, f64)> + '_ {
    let contiguous = (0_i32..)
        .zip(&bins.contiguous)
        .map(|(place, count)| (bins.first_index.saturating_add(place), *count));
    contiguous.chain(bins.sparse.iter().copied())
}

/// The middle of a bin: the reference's mappings, inverted.
fn value_of(mapping: &Mapping, index: i32) -> f64 {
    let place = f64::from(index) + 0.5 - mapping.index_offset;
    match mapping.interpolation {
        0 => (place * mapping.gamma.ln()).exp(),
        interpolation => {
            // An interpolated mapping is piecewise: a whole number of doublings, and a polynomial
            // that runs from 0 to 1 within each.
            let doublings = place * mapping.gamma.log2();
            let share = doublings - doublings.floor();
            doublings.floor().exp2() * (1.0 + inverse(interpolation, share))
        }
    }
}

/// Inverts the polynomial of an interpolation on 0..1, where it grows.
fn inverse(interpolation: i32, share: f64) -> f64 {
    let polynomial = |x: f64| match interpolation {
        2 => x * (4.0 - x) / 3.0,
        3 => ((6.0 / 35.0 * x - 3.0 / 5.0) * x + 10.0 / 7.0) * x,
        _ => x,
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if polynomial(middle) < share { low = middle } else { high = middle }
    }
    low
}

/// Bins of a merged sketch, as many as the reference's have (`facts/dogstatsd.md` §5).
pub(crate) const BINS_MAX: usize = 4_096;
/// Each bin of the reference is this much wider than the one below: 1 + 2 / 128.
const BIN_GAMMA: f64 = 1.015_625;
/// The key of 1.0: bins begin at 1e-9, whose logarithm to the base of [`BIN_GAMMA`] is −1337.
const BIN_BIAS: i32 = 1_338;

/// The value that a bin of a distribution stands for: key k > 0 for gamma^(k − bias), −k for the same
/// below zero, 0 for zero. Off by at most 1/128 from what was counted there.
pub(crate) fn bin_value(key: i32) -> f64 {
    let magnitude = || BIN_GAMMA.powf(f64::from(key.saturating_abs().saturating_sub(BIN_BIAS)));
    match key {
        0 => 0.0,
        1.. => magnitude(),
        _ => -magnitude(),
    }
}

/// The values of a distribution over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct MergedSketch {
    bins: BTreeMap<i32, u64>,
    binned: u64,
    /// How many values.
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl MergedSketch {
    /// Adds a bucket's values. Bins beyond `max_bins` are counted in the nearest that is there.
    pub(crate) fn add(&mut self, point: &metric::Sketch, max_bins: usize) {
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        let (min, max) = (finite(point.min), finite(point.max));
        (self.min, self.max) =
            if self.count == 0 { (min, max) } else { (self.min.min(min), self.max.max(max)) };
        self.count = self.count.saturating_add(point.count);
        self.sum += finite(point.sum);
        for (key, count) in &point.bins {
            let nearest = if self.bins.len() < max_bins { *key } else { self.nearest(*key) };
            let bin = self.bins.entry(nearest).or_default();
            *bin = bin.saturating_add(u64::from(*count));
            self.binned = self.binned.saturating_add(u64::from(*count));
        }
    }

    /// How many bins are not empty.
    pub(crate) fn bins(&self) -> usize {
        self.bins.len()
    }

    /// The mean of the values.
    pub(crate) fn average(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The value at the rank of the share `q`, within the least and the greatest.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.binned.checked_sub(1)? as f64) as u64;
        let mut below = 0_u64;
        for (key, count) in &self.bins {
            below = below.saturating_add(*count);
            if below > rank {
                return Some(bin_value(*key).max(self.min).min(self.max));
            }
        }
        Some(self.max)
    }

    fn nearest(&self, key: i32) -> i32 {
        let below = self.bins.range(..=key).next_back().map(|(key, _)| *key);
        let above = self.bins.range(key..).next().map(|(key, _)| *key);
        match (below, above) {
            (Some(below), Some(above)) if key.abs_diff(below) > above.abs_diff(key) => above,
            (Some(below), _) => below,
            (None, above) => above.unwrap_or(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values 1 ms … 100 ms under a mapping of 1 % accuracy.
    fn sketch(interpolation: i32) -> Sketch {
        let base: f64 = 1.01 / 0.99;
        let (gamma, log): (f64, fn(f64) -> f64) = match interpolation {
            0 => (base, f64::ln),
            1 => (base.powf(std::f64::consts::LN_2), |v| {
                let e = v.log2().floor();
                e + v / e.exp2() - 1.0
            }),
            _ => (base.powf(10.0 * std::f64::consts::LN_2 / 7.0), |v| {
                let e = v.log2().floor();
                let x = v / e.exp2() - 1.0;
                e + ((6.0 / 35.0 * x - 3.0 / 5.0) * x + 10.0 / 7.0) * x
            }),
        };
        let per_unit = if interpolation == 0 { gamma.ln() } else { gamma.log2() };
        let mut sketch =
            Sketch { mapping: Mapping { gamma, index_offset: 3.0, interpolation }, ..Sketch::default() };
        for value in 1..=100 {
            let index = (log(f64::from(value) * 1e6) / per_unit + 3.0).floor() as i32;
            sketch.positive.sparse.push((index, 1.0));
        }
        sketch
    }

    #[test]
    fn quantiles_of_every_mapping_are_within_their_accuracy() {
        for interpolation in [0, 1, 3] {
            let mut histogram = Histogram::default();
            histogram.add(&sketch(interpolation));
            for (q, expected) in [(0.5, 50e6), (0.95, 95e6), (0.0, 1e6)] {
                let found = histogram.quantile(q).unwrap();
                assert!((found / expected - 1.0).abs() < 0.05, "{interpolation} {q}: {found}");
            }
        }
    }

    #[test]
    fn sketches_add_up_and_zeros_count() {
        let mut histogram = Histogram::default();
        histogram.add(&Sketch { zero_count: 3.0, ..Sketch::default() });
        assert_eq!(histogram.quantile(0.5), Some(0.0));
        histogram.add(&sketch(0));
        histogram.add(&sketch(3));
        assert_eq!(histogram.total, 203.0);
    }

    #[test]
    fn a_damaged_sketch_adds_nothing_and_never_panics() {
        let mut histogram = Histogram::default();
        for gamma in [f64::NAN, 0.0, 1.0, f64::INFINITY, 1e300] {
            let mapping = Mapping { gamma, index_offset: f64::NEG_INFINITY, interpolation: 7 };
            let bins = Bins {
                first_index: i32::MAX,
                contiguous: vec![1.0, f64::NAN, -1.0],
                sparse: vec![(i32::MIN, 1.0)],
            };
            histogram.add(&Sketch { mapping, positive: bins, ..Sketch::default() });
        }
        assert!(histogram.bins.len() <= 2);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    /// A sketch of the values, as the reference bins them.
    fn binned(values: &[f64]) -> metric::Sketch {
        let key = |value: f64| match value {
            0.0 => 0,
            value => {
                let key = (value.abs().ln() / BIN_GAMMA.ln()).round() as i32 + BIN_BIAS;
                if value < 0.0 { -key } else { key }
            }
        };
        metric::Sketch {
            count: values.len() as u64,
            sum: values.iter().sum(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            bins: values.iter().map(|value| (key(*value), 1)).collect(),
            ..metric::Sketch::default()
        }
    }

    #[test]
    fn the_keys_of_the_reference_stand_for_their_values() {
        assert_eq!((bin_value(0), bin_value(BIN_BIAS), bin_value(-BIN_BIAS)), (0.0, 1.0, -1.0));
        assert!((bin_value(1) / 1e-9 - 1.0).abs() < 0.02, "{}", bin_value(1));
        // The agent's key of 100: 297 bins above 1.
        assert!((bin_value(1_635) / 100.0 - 1.0).abs() <= 1.0 / 128.0, "{}", bin_value(1_635));
        assert!(bin_value(i32::MAX).is_infinite() && bin_value(i32::MIN).is_infinite());
    }

    #[test]
    fn quantiles_of_merged_sketches_are_within_their_accuracy() {
        let values: Vec<f64> = (-50..=150).map(f64::from).collect();
        let mut merged = MergedSketch::default();
        merged.add(&binned(&values[..70]), BINS_MAX);
        merged.add(&binned(&values[70..]), BINS_MAX);
        assert_eq!((merged.count, merged.min, merged.max, merged.average()), (201, -50.0, 150.0, Some(50.0)));
        for (q, exact) in [(0.0, -50.0), (0.25, 0.0), (0.5, 50.0), (0.95, 140.0), (1.0, 150.0)] {
            let found = merged.quantile(q).unwrap();
            assert!((found - exact).abs() <= f64::abs(exact) / 128.0, "{q}: {found}");
        }
        assert_eq!(MergedSketch::default().quantile(0.5), None);
    }

    #[test]
    fn a_full_sketch_counts_in_the_nearest_bin_and_loses_no_value() {
        let mut merged = MergedSketch::default();
        let bins = vec![(i32::MIN, 1), (0, 1), (10, 1), (4, 1), (6, 1), (i32::MAX, u32::MAX)];
        let damaged = metric::Sketch { count: u64::MAX, min: f64::NAN, bins, ..metric::Sketch::default() };
        merged.add(&damaged, 3);
        merged.add(&damaged, 3);
        assert_eq!((merged.bins(), merged.bins[&0], merged.count), (3, 4, u64::MAX));
        assert!(merged.quantile(0.5).is_some_and(f64::is_finite));
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_accuracy_of_the_exact_one(
            mut values in proptest::collection::vec(prop_oneof![-1e6..1e6_f64, Just(0.0), 1e-8..1e-3_f64], 1..200),
            q in 0.0..=1.0_f64,
        ) {
            let mut merged = MergedSketch::default();
            for part in values.chunks(50) {
                merged.add(&binned(part), BINS_MAX);
            }
            let found = merged.quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            prop_assert!((found - exact).abs() <= exact.abs() / 128.0 + 1e-12, "{found} for {exact}");
        }
    }
}
