//! Sketches with the reference's bins.

use serde::Serialize;

/// Ratio of the values of neighbouring keys: 1 + 2 ε with ε = 1/128.
const GAMMA: f64 = 1.0 + 2.0 / 128.0;
/// Key of the value 1.
const BIAS: i32 = 1338;

/// How values are distributed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sketch {
    /// How many.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The mean.
    pub avg: f64,
    /// The sum.
    pub sum: f64,
    /// Key and how many values, ascending, each key once.
    pub bins: Vec<(i32, u64)>,
}

impl Sketch {
    /// Adds the values of another one.
    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        #[expect(clippy::cast_precision_loss, reason = "counts of tests stay far below 2^53")]
        {
            self.avg = self.sum / self.count as f64;
        }
        self.add_bins(other.bins.iter().copied());
    }

    pub(super) fn add_bins(&mut self, bins: impl IntoIterator<Item = (i32, u64)>) {
        self.bins.extend(bins);
        self.bins.sort_unstable_by_key(|(key, _)| *key);
        self.bins.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
    }

    /// How many values the bins hold; equals the count in a sketch that is right.
    pub fn binned(&self) -> u64 {
        self.bins.iter().map(|(_, values)| values).sum()
    }

    /// The value of rank `q` (0 to 1) of those in the bins: the centre of its bin, not below the least and
    /// not above the greatest. Off by at most 1/128 of the true one where a bin was not collapsed.
    pub fn quantile(&self, q: f64) -> f64 {
        if q <= 0.0 || self.bins.is_empty() {
            return self.min;
        }
        if q >= 1.0 {
            return self.max;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of tests stay far below 2^53")]
        let rank = (q * self.binned().saturating_sub(1) as f64).round_ties_even();
        let mut below = 0;
        for (key, values) in &self.bins {
            below += values;
            #[expect(clippy::cast_precision_loss, reason = "counts of tests stay far below 2^53")]
            if below as f64 > rank {
                return value(*key).clamp(self.min, self.max.max(self.min));
            }
        }
        self.max
    }
}

/// The value a key stands for.
fn value(key: i32) -> f64 {
    match key {
        0 => 0.0,
        1.. => GAMMA.powi(key - BIAS),
        _ => -GAMMA.powi(-key - BIAS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of 1 is the bias, that of 2 the next whole logarithm.
    fn of(keys: &[(i32, u64)], min: f64, max: f64, sum: f64) -> Sketch {
        let mut sketch = Sketch { min, max, sum, ..Sketch::default() };
        sketch.add_bins(keys.iter().copied());
        sketch.count = sketch.binned();
        sketch.avg = sum / sketch.count as f64;
        sketch
    }

    #[test]
    fn quantiles_are_the_values_of_the_keys() {
        // ln 100 / ln(1 + 1/64) = 297.03
        let sketch = of(&[(-1338, 1), (0, 1), (1338, 2), (1338 + 297, 1)], -1.0, 100.0, 101.0);
        assert_eq!(sketch.quantile(0.0), -1.0);
        assert_eq!(sketch.quantile(0.25), 0.0);
        assert_eq!(sketch.quantile(0.5), 1.0);
        assert_eq!(sketch.quantile(1.0), 100.0);
        assert!((sketch.quantile(0.9) / 100.0 - 1.0).abs() < 1.0 / 128.0);
    }

    #[test]
    fn a_key_that_comes_twice_is_one_bin() {
        let sketch = of(&[(5, 65_535), (7, 1), (5, 10)], 1.0, 2.0, 3.0);
        assert_eq!(sketch.bins, [(5, 65_545), (7, 1)]);
    }

    #[test]
    fn sketches_add_up() {
        let mut sum = Sketch::default();
        sum.add(&of(&[(1338, 2)], 1.0, 1.0, 2.0));
        sum.add(&Sketch::default());
        sum.add(&of(&[(1338, 1), (1400, 1)], 1.0, 2.6, 3.6));
        assert_eq!(sum.bins, [(1338, 3), (1400, 1)]);
        assert_eq!((sum.count, sum.min, sum.max), (4, 1.0, 2.6));
        assert!((sum.sum - 5.6).abs() < 1e-12 && (sum.avg - 1.4).abs() < 1e-12);
    }
}
