use super::*;
use proptest::prelude::*;

fn sketch_of(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    for value in values {
        sketch.add(*value, 1.0, 1);
    }
    sketch
}

fn bins_of(sketch: &mut Sketch) -> (Vec<i32>, Vec<u32>) {
    let mut bins = Bins::default();
    sketch.point(0, &mut bins);
    (bins.keys, bins.counts)
}

/// Half a bin: the greatest relative error of a value in it.
const ERROR: f64 = 1.0 / 128.0;

fn check_quantiles(values: &mut [f64]) {
    let mut sketch = sketch_of(values);
    values.sort_unstable_by(f64::total_cmp);
    for q in [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let exact = values[(q * (values.len() - 1) as f64).floor() as usize];
        let told = sketch.quantile(q);
        assert!((told - exact).abs() <= exact.abs() * ERROR + 1e-9, "quantile {q}: {told}, exactly {exact}");
    }
    let mut bins = Bins::default();
    let point = sketch.point(7, &mut bins);
    let sum: f64 = values.iter().sum();
    let scale: f64 = values.iter().map(|value| value.abs()).sum();
    assert_eq!((point.min, point.max), (values[0], *values.last().unwrap()));
    assert_eq!((point.timestamp, point.count), (7, values.len() as u64));
    assert!((point.sum - sum).abs() <= scale * 1e-9);
    assert!((point.average - sum / values.len() as f64).abs() <= scale / values.len() as f64 * 1e-9);
    assert_eq!(point.counts.iter().map(|count| u64::from(*count)).sum::<u64>(), point.count);
    assert!(point.keys.is_sorted() && point.keys.len() <= BINS_MAX);
}

#[test]
fn keys_are_those_of_the_reference() {
    // key(1) = bias; each power of γ is one bin further; the least value has bin 1.
    let gamma: f64 = 1.0 + 2.0 / 128.0;
    assert!((gamma.ln() - GAMMA_LN).abs() < 1e-16);
    assert!((gamma.powi(1 - BIAS) / LEAST - 1.0).abs() < 1e-12);
    assert_eq!([key(1.0), key(gamma), key(1.0 / gamma)], [1338, 1339, 1337]);
    assert_eq!([key(0.0), key(-0.0), key(9e-10), key(-9e-10)], [0, 0, 0, 0]);
    assert_eq!([key(1e-9), key(-1e-9), key(-1.0)], [1, -1, -1338]);
    assert_eq!([key(f64::MAX), key(f64::MIN)], [i16::MAX, -i16::MAX]);
    assert_eq!(key(100.0), 1338 + 297);
}

#[test]
fn quantiles_are_within_the_error_whatever_the_values() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut normal = move || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let mut random = fastrand::Rng::with_seed(8);
    check_quantiles(&mut (0..20_000).map(|_| random.f64() * 1_000.0).collect::<Vec<_>>());
    check_quantiles(&mut (0..20_000).map(|_| (normal() * 2.0).exp()).collect::<Vec<_>>());
    check_quantiles(&mut (0..5_000).map(|at| if at % 2 == 0 { 1e-8 } else { 1e9 }).collect::<Vec<_>>());
    check_quantiles(&mut (0..5_000).map(|_| random.f64() * 2_000.0 - 1_000.0).collect::<Vec<_>>());
    check_quantiles(&mut vec![0.0; 3_000]);
    check_quantiles(&mut vec![42.5; 3_000]);
    check_quantiles(&mut (0..1_000).map(|at| 1e200 * f64::from(at)).collect::<Vec<_>>());
    check_quantiles(&mut [-1e6, 1e-30, 3.0]);
}

#[test]
fn beyond_4096_bins_the_lowest_collapse_and_the_high_quantiles_stay() {
    let step = GAMMA_LN.exp();
    let mut values: Vec<f64> = (0..6_000).map(|at| 1e-8 * step.powi(at)).collect();
    let mut sketch = sketch_of(&values);
    values.sort_unstable_by(f64::total_cmp);
    let (keys, counts) = bins_of(&mut sketch);
    assert_eq!(keys.len(), BINS_MAX);
    assert_eq!(counts.iter().sum::<u32>(), 6_000);
    assert_eq!(counts[0], 6_000 - 4_096 + 1);
    for q in [0.5, 0.9, 0.99] {
        let exact = values[(q * 5_999.0) as usize];
        assert!((sketch.quantile(q) / exact - 1.0).abs() <= ERROR);
    }
}

#[test]
fn l45_the_weight_of_a_sample_is_its_rate() {
    let mut sketch = Sketch::default();
    sketch.add(10.0, 4.0, 4);
    sketch.add(30.0, 1.0 / 0.3, 3);
    let mut bins = Bins::default();
    let point = sketch.point(0, &mut bins);
    assert_eq!((point.count, point.counts), (7, [4, 3].as_slice()));
    assert_eq!(point.sum, 40.0 + 30.0 * (1.0 / 0.3));
    assert!((point.average - 140.0 / (4.0 + 1.0 / 0.3)).abs() < 1e-9);
}

#[test]
fn a_count_of_more_than_16_bits_is_several_bins_and_none_is_lost() {
    let mut sketch = Sketch::default();
    sketch.add(1.0, 200_000.0, 200_000);
    sketch.add(2.0, 1.0, 1);
    let (keys, counts) = bins_of(&mut sketch);
    assert_eq!(keys, [1338, 1338, 1338, 1338, key(2.0).into()]);
    assert_eq!(counts, [65_535, 65_535, 65_535, 3_395, 1]);
    // Too many for bins of the reference; and even too many for 32 bits.
    for _ in 0..3 {
        sketch.add(1.0, f64::from(u32::MAX), u32::MAX);
    }
    let (keys, counts) = bins_of(&mut sketch);
    assert!(keys.len() < BINS_MAX && keys.is_sorted());
    assert_eq!(counts.iter().map(|count| u64::from(*count)).sum::<u64>(), 3 * u64::from(u32::MAX) + 200_001);
}

#[test]
fn a_sketch_of_two_values_is_small_and_the_stated_growth_is_an_upper_bound() {
    assert!(sketch_of(&[1.0, 2.0]).heap_bytes() <= 16);
    let mut random = fastrand::Rng::with_seed(1);
    let mut sketch = Sketch::default();
    for _ in 0..30_000 {
        let weight = random.u32(1..3);
        let (before, growth) = (sketch.heap_bytes(), sketch.growth(weight));
        sketch.add((random.f64() * 80.0 - 20.0).exp(), 1.0, weight);
        assert!(sketch.heap_bytes() <= before + growth);
    }
    assert!(sketch.heap_bytes() < 8 * BINS_MAX + 2 * BUFFER_MAX_KEYS);
}

proptest! {
    #[test]
    fn the_order_of_values_and_how_they_are_grouped_do_not_matter(
        values in prop::collection::vec((prop_oneof![-1e3..1e3, -1e-8..1e-8, 0.0..1e12], 1u32..4), 1..1_500),
    ) {
        let mut once = Sketch::default();
        let mut backwards = Sketch::default();
        for (value, weight) in &values {
            once.add(*value, f64::from(*weight), *weight);
        }
        for (value, weight) in values.iter().rev() {
            for _ in 0..*weight {
                backwards.add(*value, 1.0, 1);
            }
        }
        prop_assert_eq!(bins_of(&mut once), bins_of(&mut backwards));
        prop_assert_eq!((once.min, once.max, once.count), (backwards.min, backwards.max, backwards.count));
    }
}
