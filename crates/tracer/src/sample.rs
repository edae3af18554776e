//! Which traces are kept (`facts/trace-intake.md` §4.1, §7).

/// Kept or not because somebody said so.
pub(crate) const MANUAL: &str = "-4";
/// Kept because no rule says otherwise.
pub(crate) const DEFAULT: &str = "-0";
/// Kept by a rate that was configured here.
pub(crate) const RULE: &str = "-3";

/// Least and greatest priority there is: dropped and kept by the user.
pub(crate) const PRIORITIES: std::ops::RangeInclusive<i32> = -1..=2;

/// Whether a trace id is among the share `rate` of all: by its low 64 bits, so that all who take part in a trace
/// decide alike (Knuth's multiplicative hash with the factor that tracers and agent share).
pub(crate) fn keeps(trace_id: u64, rate: f64) -> bool {
    const KNUTH_FACTOR: u64 = 1_111_111_111_111_111_111;
    rate >= 1.0 || trace_id.wrapping_mul(KNUTH_FACTOR) < (rate * u64::MAX as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_ids_that_is_kept_is_the_rate() {
        let mut ids = fastrand::Rng::with_seed(7);
        let kept = (0..100_000).filter(|_| keeps(ids.u64(..) >> 1, 0.25)).count();
        assert!((24_000..26_000).contains(&kept), "{kept}");
        assert!((1..1000).all(|id| keeps(id, 1.0) && !keeps(id, 0.0)));
    }

    #[test]
    fn the_decision_is_the_one_other_tracers_make() {
        // 1 hashes to the factor itself, which is 0.0602 of the range.
        assert!(keeps(1, 0.061) && !keeps(1, 0.060));
    }
}
