//! A DDSketch as data: logarithmic bins and their counts. How values are added, merged and remapped is
//! `pipeline`'s; how it is written is `wire`'s.

/// How a sketch maps values to bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mapping {
    /// Base of the logarithm: (1 + accuracy) / (1 - accuracy).
    pub gamma: f64,
    /// Added to each bin's index.
    pub index_offset: f64,
    /// 0 none (logarithmic), 1 linear, 2 quadratic, 3 cubic.
    pub interpolation: i32,
}

/// Bins: counts at `first_index`, `first_index + 1`, …, plus scattered ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bins {
    /// Index of `contiguous[0]`.
    pub first_index: i32,
    /// Counts of neighbouring bins.
    pub contiguous: Vec<f64>,
    /// Counts by index.
    pub sparse: Vec<(i32, f64)>,
}

/// The distribution of some values, within a relative accuracy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// How values map to bins.
    pub mapping: Mapping,
    /// Values above zero.
    pub positive: Bins,
    /// Values below zero, by magnitude.
    pub negative: Bins,
    /// Values too close to zero for a bin.
    pub zero_count: f64,
}
