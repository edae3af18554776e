//! The feedback loop all adaptive samplers share: counts by signature in a ring of buckets, a target
//! of traces a second spread over signatures, and the rates that follow.

/// Length of one bucket.
const BUCKET_SECONDS: i64 = 5;
/// Buckets that are remembered: 30 seconds.
const BUCKETS: usize = 6;
/// How fast a rate may rise, for each evaluation.
const RATE_INCREASE_MAX: f64 = 1.2;

/// Counts of one signature.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    buckets: [f32; BUCKETS],
    /// Set by the first evaluation after it was seen.
    rate: Option<f64>,
}

impl Seen {
    /// The rate of this signature, if one was evaluated.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    fn max(&self) -> f32 {
        self.buckets.iter().copied().fold(0.0, f32::max)
    }

    /// Forgets what is too old for bucket `new` and returns the largest count of the window before
    /// it, the bucket that `new` replaces included.
    fn rotate(&mut self, previous: i64, new: i64) -> f32 {
        let mut max = 0.0_f32;
        for bucket in (1..=BUCKETS as i64).map(|step| previous.saturating_add(step)) {
            let count = &mut self.buckets[slot(bucket)];
            if bucket < new {
                *count = 0.0;
                continue;
            }
            max = max.max(*count);
            if bucket == new {
                *count = 0.0;
            }
        }
        max
    }
}

/// The state beside the signatures, which their owner keeps.
#[derive(Debug)]
pub(super) struct Adaptive {
    target_tps: f64,
    bucket: i64,
    total: Seen,
    /// Lowest rate of any signature; 0 before the first evaluation.
    lowest_rate: f64,
}

impl Adaptive {
    pub(super) fn new(target_tps: f64) -> Self {
        Self { target_tps, bucket: 0, total: Seen::default(), lowest_rate: 0.0 }
    }

    /// Whether rates are due for an evaluation.
    pub(super) fn is_due(&self, now_ns: i64) -> bool {
        bucket_of(now_ns) != self.bucket
    }

    /// Evaluates the rates of all signatures. Those that neither are seen any more nor hold a rate
    /// below 1 lose their rate: their owner forgets them.
    pub(super) fn evaluate<'s>(&mut self, now_ns: i64, signatures: impl Iterator<Item = &'s mut Seen>) {
        let new = bucket_of(now_ns);
        let previous = std::mem::replace(&mut self.bucket, new);
        let mut seen: Vec<(&mut Seen, f64)> = signatures
            .map(|signature| {
                let tps = f64::from(signature.rotate(previous, new)) / BUCKET_SECONDS as f64;
                (signature, tps)
            })
            .collect();
        if seen.is_empty() {
            return;
        }
        self.total.rotate(previous, new);
        let share = share_of_each(self.target_tps, seen.iter().map(|(_, tps)| *tps).collect());
        self.lowest_rate = 1.0;
        for (signature, tps) in &mut seen {
            let mut rate = if share < *tps { share / *tps } else { 1.0 };
            if let Some(previous) = signature.rate.filter(|previous| *previous > 0.0) {
                rate = rate.min(previous * RATE_INCREASE_MAX);
            }
            let rate = rate.clamp(0.0, 1.0);
            let gone = rate == 1.0 && *tps == 0.0;
            signature.rate = (!gone).then_some(rate);
            if !gone {
                self.lowest_rate = self.lowest_rate.min(rate);
            }
        }
    }

    /// Counts a trace.
    pub(super) fn count(&mut self, signature: &mut Seen, weight: f32) {
        let slot = slot(self.bucket);
        signature.buckets[slot] += weight;
        self.total.buckets[slot] += weight;
    }

    /// The rate of a signature that has none of its own.
    pub(super) fn default_rate(&self) -> f64 {
        if self.target_tps <= 0.0 {
            return 0.0;
        }
        let tps = f64::from(self.total.max()) / BUCKET_SECONDS as f64;
        let rate = if self.target_tps < tps { self.target_tps / tps } else { 1.0 };
        if self.lowest_rate > 0.0 { rate.min(self.lowest_rate) } else { rate }
    }
}

/// Spreads the target evenly, giving what slow signatures do not use to the others.
fn share_of_each(mut target_tps: f64, mut seen: Vec<f64>) -> f64 {
    seen.sort_unstable_by(f64::total_cmp);
    let mut share = target_tps / seen.len() as f64;
    for (index, tps) in seen.iter().enumerate() {
        let left = seen.len() - index - 1;
        if *tps >= share || left == 0 {
            break;
        }
        target_tps -= tps;
        share = target_tps / left as f64;
    }
    share
}

fn bucket_of(now_ns: i64) -> i64 {
    now_ns.div_euclid(BUCKET_SECONDS * 1_000_000_000)
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn what_slow_signatures_leave_goes_to_the_fast_ones() {
        assert_eq!(share_of_each(10.0, vec![1.0, 100.0]), 9.0);
        assert_eq!(share_of_each(10.0, vec![100.0, 100.0]), 5.0);
        assert_eq!(share_of_each(10.0, vec![3.0]), 10.0);
        assert_eq!(share_of_each(10.0, vec![2.0, 100.0, 3.0]), 5.0);
    }

    #[test]
    fn a_rate_falls_at_once_and_rises_by_a_fifth_each_evaluation() {
        let mut adaptive = Adaptive::new(10.0);
        let mut seen = Seen::default();
        adaptive.evaluate(5 * SECOND, [&mut seen].into_iter());
        adaptive.count(&mut seen, 5_000.0);
        adaptive.evaluate(10 * SECOND, [&mut seen].into_iter());
        assert_eq!(seen.rate(), Some(0.01));
        // 30 seconds later the burst has left the window.
        adaptive.evaluate(45 * SECOND, [&mut seen].into_iter());
        assert_eq!(seen.rate(), Some(0.012));
        for step in 10..60 {
            adaptive.evaluate(step * BUCKET_SECONDS * SECOND, [&mut seen].into_iter());
        }
        assert_eq!(seen.rate(), None, "back at 1 and unseen: forgotten");
    }

    #[test]
    fn an_unknown_signature_gets_the_lower_of_the_lowest_rate_and_the_share_of_everything_seen() {
        let mut adaptive = Adaptive::new(10.0);
        assert_eq!(adaptive.default_rate(), 1.0);
        let (mut slow, mut fast) = (Seen::default(), Seen::default());
        adaptive.evaluate(5 * SECOND, [&mut slow, &mut fast].into_iter());
        adaptive.count(&mut slow, 5.0);
        adaptive.count(&mut fast, 495.0);
        assert_eq!(adaptive.default_rate(), 0.1);
        adaptive.evaluate(10 * SECOND, [&mut slow, &mut fast].into_iter());
        assert_eq!(slow.rate(), Some(1.0));
        let lowest = fast.rate().unwrap();
        assert!((lowest - 9.0 / 99.0).abs() < 1e-12);
        assert_eq!(adaptive.default_rate(), lowest);
        assert_eq!(Adaptive::new(0.0).default_rate(), 0.0);
    }

    #[test]
    fn a_clock_that_steps_back_or_far_ahead_loses_nothing_but_old_counts() {
        let mut adaptive = Adaptive::new(10.0);
        let mut seen = Seen::default();
        for now in [100 * SECOND, 50 * SECOND, -SECOND, i64::MAX, i64::MIN, 0] {
            if adaptive.is_due(now) {
                adaptive.evaluate(now, [&mut seen].into_iter());
            }
            adaptive.count(&mut seen, 1.0);
        }
        assert!(adaptive.default_rate() > 0.0);
    }
}
