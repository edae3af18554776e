//! The reference's sketch of a distribution: bins whose width grows with the value, so that every quantile
//! is within 1/128 of the exact one (`facts/dogstatsd.md` §5).
//!
//! The bin of a positive value is `round(ln(value) / ln(γ)) + 1338` with γ = 1 + 2/128, halves to even; that of a
//! negative one mirrors it; what is nearer to zero than about 1e-9 is in bin 0. Beyond 4,096 bins the lowest collapse.

use super::value::added;
use model::metric::SketchPoint;

/// Bins of one sketch.
pub(super) const BINS_MAX: usize = 4_096;
/// Keys kept before they are sorted into bins.
const BUFFER_MAX_KEYS: usize = 512;
/// ln(1 + 2 · 1/128).
const GAMMA_LN: f64 = 0.015_504_186_535_965_254;
/// Makes the bin of the least value 1.
const BIAS: i32 = 1_338;
/// γ to the power of 1 − [`BIAS`]: what is less is in bin 0.
const LEAST: f64 = 9.941_854_089_121_45e-10;
/// The bin of everything that is too great for one of its own.
const KEY_MAX: i32 = i16::MAX as i32;
/// What a bin of the reference holds; more is written as several bins of one key.
const BIN_MAX_COUNT: u32 = u16::MAX as u32;

/// Values of one context in one bucket of time.
#[derive(Debug)]
pub(super) struct Sketch {
    /// Keys of single values, in the order in which they came.
    buffer: Vec<i16>,
    /// Ascending. A key is there twice where its count does not fit.
    keys: Vec<i16>,
    counts: Vec<u32>,
    count: u64,
    /// Of all values by their exact weights, 1/rate.
    weight: f64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Room to write bins as they are sent; reused.
#[derive(Debug, Default)]
pub(super) struct Bins {
    keys: Vec<i32>,
    counts: Vec<u32>,
}

impl Default for Sketch {
    /// Empty; it allocates nothing.
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            keys: Vec::new(),
            counts: Vec::new(),
            count: 0,
            weight: 0.0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Sketch {
    /// Adds a finite value that stands for `exact` values. Bins and count take whole numbers: `weight`, at least 1.
    #[inline]
    pub(super) fn add(&mut self, value: f64, exact: f64, weight: u32) {
        self.count += u64::from(weight);
        self.weight += exact;
        self.sum = added(self.sum, value * exact);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let key = key(value);
        if weight > 1 {
            self.insert(key, weight);
            self.trim();
            return;
        }
        if self.buffer.len() == BUFFER_MAX_KEYS {
            self.settle();
        }
        self.buffer.push(key);
    }

    /// Says what the values sum up to, where it is known better.
    pub(super) fn set_sum(&mut self, sum: f64, weight: f64) {
        (self.sum, self.weight) = (sum, weight);
    }

    /// Reads what adding will read first, as a byte of no meaning.
    #[inline]
    pub(super) fn touch(&self) -> u8 {
        self.count as u8
    }

    /// The most bytes the next value may take.
    #[inline]
    pub(super) fn growth(&self, weight: u32) -> usize {
        const BIN_BYTES: usize = 6;
        let bins = self.keys.len();
        if weight > 1 {
            // Both vectors of bins double at most.
            let full = bins == self.keys.capacity() || bins == self.counts.capacity();
            return if full { BIN_BYTES * bins.max(4) } else { 0 };
        }
        match self.buffer.len() {
            // It makes at most as many bins as it has keys.
            BUFFER_MAX_KEYS => BIN_BYTES * BUFFER_MAX_KEYS,
            length if length == self.buffer.capacity() => 2 * length.max(4),
            _ => 0,
        }
    }

    /// Bytes on the heap.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        2 * (self.buffer.capacity() + self.keys.capacity()) + 4 * self.counts.capacity()
    }

    /// The sketch as it is sent, its bins in `bins`.
    pub(super) fn point<'b>(&mut self, timestamp: i64, bins: &'b mut Bins) -> SketchPoint<'b> {
        self.settle();
        bins.fill(&self.keys, &self.counts);
        // Rounding must not put the mean beside the values.
        let average = (self.sum / self.weight).clamp(self.min, self.max);
        let Self { count, min, max, sum, .. } = *self;
        SketchPoint { timestamp, count, min, max, average, sum, keys: &bins.keys, counts: &bins.counts }
    }

    /// Sorts the buffer into the bins.
    fn settle(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.buffer.sort_unstable();
        let mut merged = (Vec::new(), Vec::new());
        let runs = self.buffer.chunk_by(|one, other| one == other);
        let length = self.keys.len() + runs.clone().count();
        merged.0.reserve_exact(length);
        merged.1.reserve_exact(length);
        let mut held = self.keys.iter().copied().zip(self.counts.iter().copied()).peekable();
        for run in runs {
            let (key, mut count) = (run[0], run.len() as u32);
            while let Some((lower, count)) = held.next_if(|(held, _)| *held < key) {
                merged.0.push(lower);
                merged.1.push(count);
            }
            if let Some((_, more)) =
                held.next_if(|(held, more)| *held == key && more.checked_add(count).is_some())
            {
                count += more;
            }
            merged.0.push(key);
            merged.1.push(count);
        }
        for (key, count) in held {
            merged.0.push(key);
            merged.1.push(count);
        }
        (self.keys, self.counts) = merged;
        self.buffer.clear();
        self.trim();
    }

    /// Adds to one bin.
    fn insert(&mut self, key: i16, count: u32) {
        let at = self.keys.partition_point(|held| *held < key);
        let held = self.keys.get(at).is_some_and(|held| *held == key);
        match self.counts.get_mut(at).filter(|_| held).and_then(|held| Some((held.checked_add(count)?, held)))
        {
            Some((sum, held)) => *held = sum,
            None => {
                self.keys.insert(at, key);
                self.counts.insert(at, count);
            }
        }
    }

    /// The lowest bins collapse into the lowest that stays.
    fn trim(&mut self) {
        if self.keys.len() <= BINS_MAX {
            return;
        }
        let excess = self.keys.len() - BINS_MAX;
        let lowest = self.keys[excess];
        self.keys.drain(..excess);
        for count in self.counts.drain(..excess).collect::<Vec<_>>() {
            self.insert(lowest, count);
        }
    }

    /// The value that is the least or equal to a share `q` of all values but its own error; for tests.
    #[cfg(test)]
    pub(super) fn quantile(&mut self, q: f64) -> f64 {
        self.settle();
        let rank = (q * (self.count - 1) as f64).floor() as u64;
        let mut seen = 0;
        for (key, count) in self.keys.iter().zip(&self.counts) {
            seen += u64::from(*count);
            if seen > rank {
                return value(*key).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

impl Bins {
    /// Writes bins as the reference does: what is more than 16 bits hold as several bins of one key. Where that
    /// would be more bins than a sketch may have, counts are written whole.
    fn fill(&mut self, keys: &[i16], counts: &[u32]) {
        self.keys.clear();
        self.counts.clear();
        let split: usize = counts.iter().map(|count| count.div_ceil(BIN_MAX_COUNT) as usize).sum();
        for (key, count) in keys.iter().zip(counts) {
            let mut count = *count;
            if split > counts.len() && split <= BINS_MAX {
                while count > BIN_MAX_COUNT {
                    self.keys.push(i32::from(*key));
                    self.counts.push(BIN_MAX_COUNT);
                    count -= BIN_MAX_COUNT;
                }
            }
            self.keys.push(i32::from(*key));
            self.counts.push(count);
        }
    }
}

/// The bin of a value.
#[inline]
fn key(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < LEAST {
        return 0;
    }
    let key = (magnitude.ln() / GAMMA_LN).round_ties_even() as i32 + BIAS;
    let key = key.clamp(1, KEY_MAX) as i16;
    if value < 0.0 { -key } else { key }
}

/// The middle of a bin.
#[cfg(test)]
fn value(key: i16) -> f64 {
    match key {
        0 => 0.0,
        _ => (f64::from(i32::from(key).abs() - BIAS) * GAMMA_LN).exp().copysign(f64::from(key)),
    }
}

#[cfg(test)]
#[path = "sketch_tests.rs"]
mod tests;
