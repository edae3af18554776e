//! Latencies out of the sketches that statistics carry: any DDSketch mapping in, one histogram held.

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
