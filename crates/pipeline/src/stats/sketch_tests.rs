use super::sketch::{BINS_MAX, DdSketch, RELATIVE_ACCURACY, is_empty};
use model::sketch::{Bins, Mapping, Sketch};
use proptest::prelude::*;

/// A hair above the accuracy, for the rounding of logarithms at the edges of bins.
const TOLERANCE: f64 = RELATIVE_ACCURACY + 1e-9;

fn sketch_of(values: &[f64]) -> DdSketch {
    let mut sketch = DdSketch::default();
    for value in values {
        sketch.add(*value);
    }
    sketch
}

fn exact(sorted: &[f64], q: f64) -> f64 {
    sorted[(q * (sorted.len() - 1) as f64).floor() as usize]
}

fn assert_quantiles(sketch: &DdSketch, values: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    for q in [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0] {
        let (found, exact) = (sketch.quantile(q).unwrap(), exact(&sorted, q));
        prop_assert!((found - exact).abs() <= tolerance * exact.abs(), "q {q}: {found} for {exact}");
    }
    Ok(())
}

/// A duration of each magnitude, as different programs have them.
fn duration() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0_u64..1_000_000_000).prop_map(|nanos| nanos as f64),
        (0.0_f64..25.0).prop_map(|logarithm| logarithm.exp().floor()),
        Just(0.0),
        Just(1.0),
        prop::sample::select(vec![1e3, 1e6, 1e9, 1e12]),
    ]
}

fn with_mapping(sketch: &DdSketch, gamma: f64, values: &[f64]) -> Sketch {
    let mapping = Mapping { gamma, index_offset: 0.5, interpolation: 0 };
    let mut model = sketch.clone().into_model();
    model.mapping = mapping;
    model.positive = Bins::default();
    for value in values.iter().filter(|value| **value > 0.0) {
        let index = (value.ln() / gamma.ln() + 0.5).floor() as i32;
        model.positive.sparse.push((index, 1.0));
    }
    model
}

proptest! {
    #[test]
    fn quantiles_are_within_the_accuracy(values in prop::collection::vec(duration(), 1..400)) {
        let sketch = sketch_of(&values);
        prop_assert_eq!(sketch.count(), values.len() as f64);
        assert_quantiles(&sketch, &values, TOLERANCE)?;
    }

    #[test]
    fn a_merge_equals_adding_all(
        left in prop::collection::vec(duration(), 1..200),
        right in prop::collection::vec(duration(), 1..200),
    ) {
        let mut merged = sketch_of(&left);
        merged.merge(&sketch_of(&right));
        let all: Vec<f64> = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(merged.count(), all.len() as f64);
        assert_quantiles(&merged, &all, TOLERANCE)?;
    }

    #[test]
    fn what_is_sent_and_read_again_is_the_same(values in prop::collection::vec(duration(), 0..300)) {
        let sent = sketch_of(&values).into_model();
        prop_assert!(sent.positive.contiguous.len() <= BINS_MAX);
        prop_assert_eq!(is_empty(&sent), values.is_empty());
        let read = DdSketch::from_model(&sent).unwrap();
        prop_assert_eq!(read.count(), values.len() as f64);
        if !values.is_empty() {
            assert_quantiles(&read, &values, TOLERANCE)?;
        }
    }

    #[test]
    fn sketches_of_two_accuracies_merge_within_both(
        left in prop::collection::vec(duration(), 1..200),
        right in prop::collection::vec(duration(), 1..200),
    ) {
        let gamma = 130.0 / 128.0;
        let other = with_mapping(&sketch_of(&right), gamma, &right);
        let mut merged = sketch_of(&left);
        merged.merge(&DdSketch::from_model(&other).unwrap());
        let all: Vec<f64> = left.iter().chain(&right).copied().collect();
        prop_assert!((merged.count() - all.len() as f64).abs() < 1e-6 * all.len() as f64);
        // A value may land one bin off, and its rank with it: each accuracy and one bin more.
        let mut sorted = all.clone();
        sorted.sort_by(f64::total_cmp);
        for q in [0.25, 0.5, 0.9] {
            let found = merged.quantile(q).unwrap();
            let rank = (q * (sorted.len() - 1) as f64).floor() as usize;
            let below = sorted[rank.saturating_sub(1)] * 0.95;
            let above = sorted[(rank + 1).min(sorted.len() - 1)] * 1.05;
            prop_assert!((below..=above).contains(&found), "q {}: {} not in {}..{}", q, found, below, above);
        }
    }

    #[test]
    fn hostile_sketches_neither_panic_nor_grow_without_bound(
        gamma in any::<f64>(), offset in any::<f64>(), zero in any::<f64>(), first in any::<i32>(),
        counts in prop::collection::vec(any::<f64>(), 0..50),
        sparse in prop::collection::vec((any::<i32>(), any::<f64>()), 0..50),
        interpolation in 0..2,
    ) {
        let bins = Bins { first_index: first, contiguous: counts, sparse };
        let mapping = Mapping { gamma, index_offset: offset, interpolation };
        let hostile = Sketch { mapping, positive: bins.clone(), negative: bins, zero_count: zero };
        if let Some(read) = DdSketch::from_model(&hostile) {
            let mut merged = sketch_of(&[1.0, 5e8]);
            merged.merge(&read);
            prop_assert!(merged.held_bytes() <= 3 * BINS_MAX * 8);
            prop_assert!(merged.into_model().positive.contiguous.len() <= BINS_MAX);
        }
    }
}

#[test]
fn values_further_apart_than_the_bins_reach_collapse_at_the_low_end() {
    let mut values = vec![f64::MIN_POSITIVE, 1e-200, 1e-100, 1.0];
    values.extend((0..2_000).map(|step| 1e9 + f64::from(step) * 1e6));
    let sketch = sketch_of(&values);
    assert_eq!(sketch.count(), values.len() as f64);
    assert!(sketch.held_bytes() <= BINS_MAX * 8);
    let median = sketch.quantile(0.5).unwrap();
    assert!((median / 1.998e9 - 1.0).abs() < 0.011, "{median}");
    let mut reversed = values.clone();
    reversed.reverse();
    assert_eq!(sketch_of(&reversed).quantile(0.99), sketch.quantile(0.99));
    assert_eq!(sketch_of(&reversed).count(), values.len() as f64);
}

#[test]
fn many_log_normal_values_are_within_the_accuracy() {
    let mut random = fastrand::Rng::with_seed(7);
    let normal = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let values: Vec<f64> = (0..100_000).map(|_| (16.0 + 2.0 * normal(&mut random)).exp().floor()).collect();
    assert_quantiles(&sketch_of(&values), &values, TOLERANCE).unwrap();
}

#[test]
fn the_multiplier_is_the_inverse_logarithm_of_gamma() {
    let sent = sketch_of(&[1.0, 1e9]).into_model();
    let gamma = 1.01_f64 / 0.99;
    assert_eq!(sent.mapping, Mapping { gamma, index_offset: 0.0, interpolation: 0 });
    assert_eq!(sent.positive.first_index, 0);
    assert_eq!(sent.positive.contiguous.len() as f64, (1e9_f64.ln() / gamma.ln()).floor() + 1.0);
}

#[test]
fn one_value_costs_less_than_a_hundred_bytes() {
    let mut sketch = DdSketch::default();
    assert_eq!(sketch.held_bytes(), 0);
    assert_eq!(sketch.add(5e6), sketch.held_bytes());
    assert!(sketch.held_bytes() + size_of::<DdSketch>() <= 192, "{}", sketch.held_bytes());
    assert_eq!(sketch.add(5e6), 0);
}

#[test]
fn negative_values_of_clients_stay_negative() {
    let mut model = sketch_of(&[1e6]).into_model();
    model.negative = sketch_of(&[1e6, 1e6]).into_model().positive;
    let mut read = DdSketch::from_model(&model).unwrap();
    read.merge(&read.clone());
    assert_eq!(read.count(), 6.0);
    assert!((read.quantile(0.1).unwrap() + 1e6).abs() < 1.1e4);
    assert!((read.quantile(1.0).unwrap() - 1e6).abs() < 1.1e4);
}
