//! The probabilistic sampler: a hash of the trace id decides, the same on every agent and collector.

use crate::config::ProbabilisticConfig;
use model::Span;

/// Share of the traces kept, a metric of the root.
const RATE: &str = "_dd.prob_sr";
/// Values the hash is reduced to.
const BUCKETS: u32 = 0x4000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Probabilistic {
    seed: [u8; 4],
    /// Hashes below it are kept.
    threshold: u32,
    rate: f64,
    full_trace_id: bool,
}

impl Probabilistic {
    pub(super) fn new(config: &ProbabilisticConfig) -> Self {
        // The reference calculates in single precision; so do we, lest the last bucket differ.
        let threshold = (config.percentage as f32 * (BUCKETS as f32 / 100.0)) as u32;
        Self {
            seed: config.hash_seed.to_le_bytes(),
            threshold,
            rate: config.percentage / 100.0,
            full_trace_id: config.full_trace_id,
        }
    }

    /// Decides on a trace by its root, and notes the rate on it.
    pub(super) fn sample(&self, root: &mut Span<'_>) -> bool {
        let keep = match self.hash(root) {
            Some(hash) => hash & (BUCKETS - 1) < self.threshold,
            // An id nobody can read was not kept by other agents either.
            None => false,
        };
        if keep {
            root.set_metric(RATE, self.rate);
        }
        keep
    }

    fn hash(&self, root: &Span<'_>) -> Option<u32> {
        let seeded = fnv_1a(FNV_OFFSET, &self.seed);
        if !self.full_trace_id {
            // The low half alone, in the place of the high one.
            let id = fnv_1a(seeded, &root.trace_id.to_be_bytes());
            return Some(fnv_1a(id, &[0; 8]));
        }
        if let Some(hexadecimal) = root.meta("otel.trace_id") {
            return hash_hexadecimal(seeded, hexadecimal.as_bytes());
        }
        let high = match root.meta("_dd.p.tid") {
            Some(high) => u64::from_str_radix(high, 16).ok()?,
            None => 0,
        };
        Some(fnv_1a(fnv_1a(seeded, &high.to_be_bytes()), &root.trace_id.to_be_bytes()))
    }
}

const FNV_OFFSET: u32 = 2_166_136_261;
const FNV_PRIME: u32 = 16_777_619;

fn fnv_1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME))
}

fn hash_hexadecimal(mut hash: u32, digits: &[u8]) -> Option<u32> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    for pair in pairs {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        hash = fnv_1a(hash, &[(high << 4 | low) as u8]);
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bump;

    fn sampler(percentage: f64, full_trace_id: bool) -> Probabilistic {
        Probabilistic::new(&ProbabilisticConfig { percentage, hash_seed: 22, full_trace_id })
    }

    #[test]
    fn the_hash_is_fnv_1a_over_seed_and_sixteen_bytes_of_id() {
        // FNV-1a of "a" and "foobar", from the published test vectors of the hash.
        assert_eq!(fnv_1a(FNV_OFFSET, b"a"), 0xe40c_292c);
        assert_eq!(fnv_1a(FNV_OFFSET, b"foobar"), 0xbf9c_f968);
        let arena = Bump::new();
        let mut root = Span::new_in(&arena);
        root.trace_id = 0x0102_0304_0506_0708;
        let by_hand = fnv_1a(FNV_OFFSET, &[22, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sampler(50.0, false).hash(&root), Some(by_hand));
        root.set_meta("_dd.p.tid", "1112131415161718");
        let full = [22, 0, 0, 0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(sampler(50.0, true).hash(&root), Some(fnv_1a(FNV_OFFSET, &full)));
        assert_eq!(sampler(50.0, false).hash(&root), Some(by_hand));
        root.set_meta("otel.trace_id", "11121314151617180102030405060708");
        assert_eq!(sampler(50.0, true).hash(&root), Some(fnv_1a(FNV_OFFSET, &full)));
    }

    #[test]
    fn an_unreadable_full_id_is_not_kept() {
        let arena = Bump::new();
        for (key, value) in [("_dd.p.tid", "xyz"), ("otel.trace_id", "123"), ("otel.trace_id", "zz")] {
            let mut root = Span::new_in(&arena);
            root.set_meta(key, value);
            assert!(!sampler(100.0, true).sample(&mut root), "{key} {value}");
        }
    }

    #[test]
    fn the_kept_share_is_the_configured_one() {
        let arena = Bump::new();
        let sampler = sampler(25.0, false);
        let mut kept = 0;
        for id in 0..20_000_u64 {
            let mut root = Span::new_in(&arena);
            root.trace_id = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if sampler.sample(&mut root) {
                kept += 1;
                assert_eq!(root.metric(RATE), Some(0.25));
            }
        }
        assert!((4_700..5_300).contains(&kept), "{kept}");
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let arena = Bump::new();
        for id in 0..1_000 {
            let mut root = Span::new_in(&arena);
            root.trace_id = id;
            assert!(sampler(100.0, false).sample(&mut root));
            assert!(!sampler(0.0, false).sample(&mut root));
        }
    }
}
