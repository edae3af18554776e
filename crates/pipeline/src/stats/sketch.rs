//! DDSketch: distributions within a relative error of 1 %, in bins whose width grows with the value.
//!
//! The sources disagree on the accuracy (`facts/trace-intake.md` §9): the reference agent has 0.01
//! and no offset, the older agent 1/129 with an offset that makes bin 1 the backend's smallest value,
//! 1e-9. The reference's is taken: its client aggregator and ours remap to it, so that sketches of
//! both meet bin by bin, and durations are whole nanoseconds, far above 1e-9 either way.

use model::sketch::{Bins, Mapping, Sketch};

/// Relative error of a quantile.
pub const RELATIVE_ACCURACY: f64 = 0.01;
/// Bins of one store; the lowest collapse when values spread further (a factor of 6e17).
pub const BINS_MAX: usize = 2_048;

/// Bins kept as pairs before they become an array.
const SCATTERED_MAX: usize = 16;
/// An array of bins grows by whole steps of this many.
const DENSE_STEP_BINS: usize = 32;
/// Output bins one input bin may be spread over when sketches of two accuracies meet.
const SPREAD_MAX_BINS: i32 = 256;

/// How values map to bins by their logarithm (`interpolation` 0), or something close to it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LogMapping {
    gamma: f64,
    /// 1 / ln(gamma).
    multiplier: f64,
    offset: f64,
    /// Anything but 0 approximates the logarithm in a way of its own: such bins meet their like only.
    interpolation: i32,
}

/// The reference agent's mapping.
const REFERENCE: LogMapping = LogMapping {
    gamma: (1.0 + RELATIVE_ACCURACY) / (1.0 - RELATIVE_ACCURACY),
    multiplier: 49.998_333_288_886_78,
    offset: 0.0,
    interpolation: 0,
};

impl LogMapping {
    /// `None` for mappings that make no sense.
    fn of(mapping: &Mapping) -> Option<Self> {
        let usable = mapping.gamma > 1.0 && mapping.gamma.is_finite();
        let multiplier = 1.0 / mapping.gamma.ln();
        let multiplier =
            if (multiplier - REFERENCE.multiplier).abs() < 1e-9 { REFERENCE.multiplier } else { multiplier };
        (usable && mapping.index_offset.is_finite() && multiplier.is_finite()).then_some(Self {
            gamma: mapping.gamma,
            multiplier,
            offset: mapping.index_offset,
            interpolation: mapping.interpolation,
        })
    }

    /// The bin of a value above zero.
    #[inline]
    fn index(&self, value: f64) -> i32 {
        let exact = value.ln() * self.multiplier + self.offset;
        // What `floor` does, without the call it is on processors that old builds must run on.
        let towards_zero = exact as i32;
        towards_zero.saturating_sub(i32::from(exact < f64::from(towards_zero)))
    }

    fn lower_bound(&self, index: i32) -> f64 {
        ((f64::from(index) - self.offset) / self.multiplier).exp()
    }

    /// The value within the relative accuracy of all values of a bin.
    fn value(&self, index: i32) -> f64 {
        self.lower_bound(index) * 2.0 * self.gamma / (1.0 + self.gamma)
    }

    fn same_bins(&self, other: &Self) -> bool {
        self.interpolation == other.interpolation
            && (self.multiplier - other.multiplier).abs() < 1e-9
            && (self.offset - other.offset).abs() < 1e-9
    }
}

/// A distribution that values and other distributions are added to.
#[derive(Clone, Debug)]
pub struct DdSketch {
    mapping: LogMapping,
    positive: Store,
    /// By magnitude; durations have none, sketches of clients might.
    negative: Option<Box<Store>>,
    zero_count: f64,
}

impl Default for DdSketch {
    /// An empty sketch with the reference's accuracy; it allocates nothing.
    fn default() -> Self {
        Self { mapping: REFERENCE, positive: Store::default(), negative: None, zero_count: 0.0 }
    }
}

impl DdSketch {
    /// Reads a sketch. `None` when its mapping makes no sense.
    pub fn from_model(sketch: &Sketch) -> Option<Self> {
        if is_empty(sketch) {
            return Some(Self::default());
        }
        let mut read = Self { mapping: LogMapping::of(&sketch.mapping)?, ..Self::default() };
        read.zero_count = count(sketch.zero_count);
        for (index, count) in bins(&sketch.positive) {
            read.positive.add(index, count);
        }
        for (index, count) in bins(&sketch.negative) {
            read.negative.get_or_insert_default().add(index, count);
        }
        Some(read)
    }

    /// The sketch as it is sent.
    pub fn into_model(self) -> Sketch {
        Sketch {
            mapping: Mapping {
                gamma: self.mapping.gamma,
                index_offset: self.mapping.offset,
                interpolation: 0,
            },
            positive: self.positive.into_model(),
            negative: self.negative.map(|store| store.into_model()).unwrap_or_default(),
            zero_count: self.zero_count,
        }
    }

    /// Adds a value, and returns by how many bytes the sketch grew. Negative values and those that
    /// are no number do not occur in durations and count as zero.
    #[inline]
    pub fn add(&mut self, value: f64) -> usize {
        if value >= f64::MIN_POSITIVE {
            self.positive.add(self.mapping.index(value), 1.0)
        } else {
            self.zero_count += 1.0;
            0
        }
    }

    /// Adds all values of another sketch, and returns by how many bytes this one grew. Where the two
    /// map differently both are first brought to the reference's mapping. That takes logarithmic
    /// mappings; otherwise nothing is added, and [`unmergeable`] tells before.
    pub fn merge(&mut self, other: &Self) -> usize {
        let before = self.held_bytes();
        if self.count() == 0.0 {
            self.mapping = other.mapping;
        }
        let same = self.mapping.same_bins(&other.mapping);
        if !same && (self.mapping.interpolation != 0 || other.mapping.interpolation != 0) {
            return 0;
        }
        self.zero_count += other.zero_count;
        if same {
            self.positive.merge(&other.positive, &self.mapping, &self.mapping);
            if let Some(negative) = &other.negative {
                self.negative.get_or_insert_default().merge(negative, &self.mapping, &self.mapping);
            }
        } else {
            self.remap();
            self.positive.merge(&other.positive, &other.mapping, &REFERENCE);
            if let Some(negative) = &other.negative {
                self.negative.get_or_insert_default().merge(negative, &other.mapping, &REFERENCE);
            }
        }
        self.held_bytes().saturating_sub(before)
    }

    /// How many values it holds.
    pub fn count(&self) -> f64 {
        let negative = self.negative.as_ref().map_or(0.0, |store| store.count());
        self.zero_count + self.positive.count() + negative
    }

    /// The value below which a share `q` of all values lies; `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count <= 0.0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * (count - 1.0);
        let mut below = 0.0;
        if let Some(negative) = &self.negative {
            for (index, count) in negative.sorted().into_iter().rev() {
                below += count;
                if below > rank {
                    return Some(-self.mapping.value(index));
                }
            }
        }
        below += self.zero_count;
        if below > rank {
            return Some(0.0);
        }
        let bins = self.positive.sorted();
        for (index, count) in &bins {
            below += count;
            if below > rank {
                return Some(self.mapping.value(*index));
            }
        }
        Some(bins.last().map_or(0.0, |(index, _)| self.mapping.value(*index)))
    }

    /// Heap bytes it holds, or takes when it is sent if that is more.
    pub fn held_bytes(&self) -> usize {
        let negative = self.negative.as_ref().map_or(0, |store| size_of::<Store>() + store.held_bytes());
        self.positive.held_bytes() + negative
    }

    /// Brings the bins to the reference's mapping.
    fn remap(&mut self) {
        if self.mapping.same_bins(&REFERENCE) {
            return;
        }
        let mapping = std::mem::replace(&mut self.mapping, REFERENCE);
        let positive = std::mem::take(&mut self.positive);
        self.positive.merge(&positive, &mapping, &REFERENCE);
        if let Some(store) = &mut self.negative {
            let negative = std::mem::take(&mut **store);
            store.merge(&negative, &mapping, &REFERENCE);
        }
    }
}

/// Whether a sketch holds no value.
pub fn is_empty(sketch: &Sketch) -> bool {
    count(sketch.zero_count) == 0.0
        && bins(&sketch.positive).next().is_none()
        && bins(&sketch.negative).next().is_none()
}

/// Tells sketches apart that [`DdSketch::merge`] cannot merge: 0 for all that can be.
pub fn unmergeable(sketches: [&Sketch; 2]) -> u32 {
    sketches.into_iter().filter(|sketch| sketch.mapping.interpolation != 0 && !is_empty(sketch)).fold(
        0,
        |tag, sketch| {
            let Mapping { gamma, index_offset, interpolation } = sketch.mapping;
            let mapping =
                gamma.to_bits() ^ index_offset.to_bits().rotate_left(21) ^ u64::from(interpolation as u32);
            let mixed = (mapping ^ u64::from(tag)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 32) as u32 | 1
        },
    )
}

/// Heap bytes of a sketch as data.
pub fn model_bytes(sketch: &Sketch) -> usize {
    let bytes =
        |bins: &Bins| bins.contiguous.capacity() * 8 + bins.sparse.capacity() * size_of::<(i32, f64)>();
    bytes(&sketch.positive) + bytes(&sketch.negative)
}

/// The bins that count something. Anything but a finite number above zero counts nothing.
fn bins(bins: &Bins) -> impl Iterator<Item = (i32, f64)> + '_ {
    let first = i64::from(bins.first_index);
    let contiguous = bins.contiguous.iter().enumerate().map(move |(position, count)| {
        let index = first.saturating_add(position as i64).min(i64::from(i32::MAX));
        (index as i32, *count)
    });
    let sparse = bins.sparse.iter().copied();
    contiguous.chain(sparse).filter(|(_, bin)| count(*bin) > 0.0)
}

fn count(count: f64) -> f64 {
    if count.is_finite() && count > 0.0 { count } else { 0.0 }
}

/// Counts by bin. Most groups of a bucket see a few durations only: those stay pairs.
#[derive(Clone, Debug)]
enum Store {
    /// In no order; each index once.
    Scattered(Vec<(i32, f64)>),
    /// Neighbouring bins from `first` on.
    Dense { first: i32, counts: Vec<f64> },
}

impl Default for Store {
    fn default() -> Self {
        Self::Scattered(Vec::new())
    }
}

impl Store {
    /// Counts and returns by how many bytes the store grew.
    #[inline]
    fn add(&mut self, index: i32, count: f64) -> usize {
        match self {
            Self::Scattered(bins) => {
                if let Some((_, bin)) = bins.iter_mut().find(|(existing, _)| *existing == index) {
                    *bin += count;
                    return 0;
                }
            }
            Self::Dense { first, counts } => {
                let position = i64::from(index) - i64::from(*first);
                if let Some(bin) =
                    usize::try_from(position).ok().and_then(|position| counts.get_mut(position))
                {
                    *bin += count;
                    return 0;
                }
            }
        }
        self.add_new(index, count)
    }

    #[cold]
    fn add_new(&mut self, index: i32, count: f64) -> usize {
        let before = self.held_bytes();
        if let Self::Scattered(bins) = self {
            if bins.len() < SCATTERED_MAX {
                bins.push((index, count));
                return self.held_bytes().saturating_sub(before);
            }
            let bins = std::mem::take(bins);
            *self = Self::Dense { first: index, counts: Vec::new() };
            for (index, count) in bins {
                self.add_dense(index, count);
            }
        }
        self.add_dense(index, count);
        self.held_bytes().saturating_sub(before)
    }

    fn add_dense(&mut self, index: i32, count: f64) {
        let Self::Dense { first, counts } = self else { return };
        if counts.is_empty() {
            *first = index;
        }
        let (low, end) = (i64::from(*first), i64::from(*first) + counts.len() as i64);
        let index = i64::from(index);
        if index >= end {
            // Wider than the store may be: its lowest bins collapse into the lowest that stays.
            let new_low = low.max(index - BINS_MAX as i64 + 1);
            let drop = usize::try_from(new_low - low).unwrap_or(usize::MAX).min(counts.len());
            let collapsed: f64 = counts.drain(..drop).sum();
            *first = new_low as i32;
            resize(counts, (index - new_low + 1) as usize);
            counts[0] += collapsed;
            counts[(index - new_low) as usize] += count;
        } else if index < low {
            let new_low = index.max(end - BINS_MAX as i64);
            let room = (low - new_low) as usize;
            let length = counts.len() + room;
            resize(counts, length);
            counts.rotate_right(room);
            *first = new_low as i32;
            counts[0] += count;
        } else {
            counts[(index - low) as usize] += count;
        }
    }

    fn merge(&mut self, other: &Self, from: &LogMapping, to: &LogMapping) {
        other.for_each(|index, count| {
            if from.same_bins(to) {
                self.add(index, count);
            } else {
                self.add_remapped(index, count, from, to);
            }
        });
    }

    /// Spreads a bin of one mapping over the bins of another, in proportion to what they share, so
    /// that remapping leaves neither gaps nor peaks.
    fn add_remapped(&mut self, index: i32, count: f64, from: &LogMapping, to: &LogMapping) {
        let low = from.lower_bound(index);
        let high = from.lower_bound(index.saturating_add(1));
        let (first, last) = (to.index(low), to.index(high));
        if !(low > 0.0 && high > low && high.is_finite()) || last.saturating_sub(first) > SPREAD_MAX_BINS {
            let value = from.value(index).clamp(f64::MIN_POSITIVE, f64::MAX);
            self.add(to.index(value), count);
            return;
        }
        let mut left = count;
        for bin in first..last {
            let share = (to.lower_bound(bin + 1).min(high) - to.lower_bound(bin).max(low)) / (high - low);
            let share = (share.clamp(0.0, 1.0) * count).min(left);
            if share > 0.0 {
                self.add(bin, share);
                left -= share;
            }
        }
        if left > 0.0 {
            self.add(last, left);
        }
    }

    fn for_each(&self, mut each: impl FnMut(i32, f64)) {
        match self {
            Self::Scattered(bins) => bins.iter().for_each(|(index, count)| each(*index, *count)),
            Self::Dense { first, counts } => {
                let bins = (*first..).zip(counts).filter(|(_, count)| **count > 0.0);
                bins.for_each(|(index, count)| each(index, *count));
            }
        }
    }

    fn sorted(&self) -> Vec<(i32, f64)> {
        let mut bins = Vec::new();
        self.for_each(|index, count| bins.push((index, count)));
        bins.sort_unstable_by_key(|(index, _)| *index);
        bins
    }

    fn count(&self) -> f64 {
        let mut sum = 0.0;
        self.for_each(|_, count| sum += count);
        sum
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Scattered(bins) => {
                let lowest = bins.iter().map(|(index, _)| i64::from(*index)).min().unwrap_or(0);
                let highest = bins.iter().map(|(index, _)| i64::from(*index)).max().unwrap_or(-1);
                let sent = usize::try_from(highest - lowest + 1).unwrap_or(0).min(BINS_MAX) * 8;
                sent.max(bins.capacity() * size_of::<(i32, f64)>())
            }
            Self::Dense { counts, .. } => counts.capacity() * 8,
        }
    }

    /// Contiguous bins, as the reference sends them.
    fn into_model(mut self) -> Bins {
        if let Self::Scattered(bins) = self {
            let highest = bins.iter().map(|(index, _)| *index).max();
            self = Self::Dense { first: 0, counts: Vec::new() };
            // The highest first: then the lowest collapse, and the array is allocated once or twice.
            let lowest = bins.iter().map(|(index, _)| *index).min();
            for index in highest.into_iter().chain(lowest) {
                self.add_dense(index, 0.0);
            }
            for (index, count) in bins {
                self.add_dense(index, count);
            }
        }
        let Self::Dense { first, counts } = self else { return Bins::default() };
        Bins {
            first_index: if counts.is_empty() { 0 } else { first },
            contiguous: counts,
            sparse: Vec::new(),
        }
    }
}

fn resize(counts: &mut Vec<f64>, length: usize) {
    let length = length.min(BINS_MAX);
    if length > counts.capacity() {
        let rounded = length.next_multiple_of(DENSE_STEP_BINS).min(BINS_MAX);
        counts.reserve_exact(rounded - counts.len());
    }
    counts.resize(length, 0.0);
}
