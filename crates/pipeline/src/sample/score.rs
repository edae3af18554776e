//! Samplers by signature: one for traces without a priority, one for traces with errors.

use super::SAMPLE_RATE;
use super::adaptive::{Adaptive, Seen};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use model::Span;

/// Signatures known by themselves; later ones share as many slots.
const SIGNATURES_MAX: usize = 100;

/// Counts by signature, and the rate each is kept at.
#[derive(Debug)]
pub(super) struct Score {
    adaptive: Adaptive,
    seen: HashMap<u64, Seen, RandomState>,
    /// Where the applied rate is noted on the root.
    rate_key: &'static str,
}

impl Score {
    pub(super) fn new(target_tps: f64, rate_key: &'static str) -> Self {
        Self { adaptive: Adaptive::new(target_tps), seen: HashMap::default(), rate_key }
    }

    /// Counts a trace and decides on it; the rate is noted on the root of a kept one.
    pub(super) fn sample(&mut self, root: &mut Span<'_>, signature: u64, now_ns: i64) -> bool {
        if self.adaptive.is_due(now_ns) {
            self.adaptive.evaluate(now_ns, self.seen.values_mut());
            self.seen.retain(|_, seen| seen.rate().is_some());
        }
        let signature = self.bounded(signature);
        let seen = self.seen.entry(signature).or_default();
        self.adaptive.count(seen, super::AppliedRates::of(root).weight() as f32);
        let rate = seen.rate().unwrap_or_else(|| self.adaptive.default_rate());
        let before = root.metric(SAMPLE_RATE).unwrap_or(1.0);
        let keep = keeps(root.trace_id, before * rate);
        if keep {
            root.set_metric(self.rate_key, rate);
        }
        keep
    }

    /// Known signatures stay themselves; past the bound new ones share slots, and the target.
    fn bounded(&self, signature: u64) -> u64 {
        if self.seen.len() < SIGNATURES_MAX || self.seen.contains_key(&signature) {
            signature
        } else {
            signature % SIGNATURES_MAX as u64
        }
    }
}

/// Whether a trace id is among the share `rate` of all: by the id, so that all chunks of a trace
/// meet the same fate.
fn keeps(trace_id: u64, rate: f64) -> bool {
    const KNUTH_FACTOR: u64 = 1_111_111_111_111_111_111;
    rate >= 1.0 || trace_id.wrapping_mul(KNUTH_FACTOR) < (rate * u64::MAX as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bump;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn ids_are_kept_by_the_share_tracers_use_too() {
        let kept = (1..=10_000_u64).filter(|id| keeps(id.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0.1)).count();
        assert!((900..1_100).contains(&kept), "{kept}");
        assert!(keeps(u64::MAX, 1.0) && !keeps(u64::MAX, 0.0) && !keeps(1, f64::NAN));
    }

    #[test]
    fn signatures_past_the_bound_share_slots() {
        let arena = Bump::new();
        let mut score = Score::new(10.0, "_dd.errors_sr");
        let mut root = Span::new_in(&arena);
        for signature in 0..100_000_u64 {
            score.sample(&mut root, signature.wrapping_mul(0x9e37_79b9_7f4a_7c15), SECOND);
        }
        assert!(score.seen.len() <= 2 * SIGNATURES_MAX, "{}", score.seen.len());
    }

    #[test]
    fn the_target_is_met_when_more_comes() {
        let arena = Bump::new();
        let mut score = Score::new(10.0, "_dd.errors_sr");
        let mut kept = 0;
        for tick in 0..60_000_u64 {
            let mut root = Span::new_in(&arena);
            root.trace_id = tick.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // A thousand traces a second for a minute; the first half settles.
            let keep = score.sample(&mut root, 7, tick as i64 * SECOND / 1_000);
            kept += u64::from(keep && tick >= 30_000);
            assert_eq!(root.metric("_dd.errors_sr").is_some(), keep);
        }
        assert!((200..400).contains(&kept), "{kept}");
    }
}
