//! The rare sampler: keeps a trace of each kind that was not seen for a while.

use super::signature;
use crate::config::RareConfig;
use crate::facts::SpanFacts;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use model::Chunk;

/// Marks the span that was rare, a metric.
const RARE: &str = "_dd.rare";
/// Traces that may be kept at once after a quiet time.
const BURST: f64 = 50.0;
/// A signature is renewed when that much of its time has passed.
const RENEWAL_NS: i64 = 60 * NANOS_PER_SECOND;
/// Services that are told apart; later ones share as many slots.
const SERVICES_MAX: u64 = 1_000;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Rare {
    tokens: Tokens,
    ttl_ns: i64,
    cardinality: u64,
    services: HashMap<u64, Signatures, RandomState>,
}

/// Signatures of one service, with the time until which each counts as seen.
#[derive(Debug, Default)]
struct Signatures {
    expiry: HashMap<u64, i64, RandomState>,
    /// There were too many: signatures share slots from then on.
    shrunk: bool,
}

#[derive(Debug)]
struct Tokens {
    left: f64,
    per_second: f64,
    filled_ns: i64,
}

impl Rare {
    pub(super) fn new(config: &RareConfig, now_ns: i64) -> Self {
        let ttl_ns = i64::try_from(config.ttl_seconds).unwrap_or(i64::MAX).saturating_mul(NANOS_PER_SECOND);
        Self {
            tokens: Tokens { left: BURST, per_second: config.tps, filled_ns: now_ns },
            ttl_ns,
            cardinality: config.cardinality.max(1) as u64,
            services: HashMap::default(),
        }
    }

    /// Whether the chunk holds a top-level or measured span of a kind not seen lately. Then all its
    /// spans count as seen.
    pub(super) fn sample(
        &mut self,
        chunk: &mut Chunk<'_>,
        facts: &[SpanFacts<'_>],
        env: &str,
        now_ns: i64,
    ) -> bool {
        let counted = |facts: &SpanFacts<'_>| facts.top_level || facts.measured;
        let mut rare = false;
        for (span, facts) in chunk.spans.iter_mut().zip(facts).filter(|(_, facts)| counted(facts)) {
            let signature = signature::of_span(span, facts, "", true);
            let cardinality = self.cardinality;
            let seen = self.signatures(span.service, env);
            let signature = seen.slot(signature, cardinality);
            let is_seen = seen.expiry.get(&signature).is_some_and(|expiry| now_ns <= *expiry);
            if !is_seen && self.tokens.take(now_ns) {
                span.set_metric(RARE, 1.0);
                rare = true;
                break;
            }
        }
        if rare {
            let expiry = now_ns.saturating_add(self.ttl_ns);
            for (span, facts) in chunk.spans.iter().zip(facts).filter(|(_, facts)| counted(facts)) {
                let signature = signature::of_span(span, facts, "", true);
                let cardinality = self.cardinality;
                self.signatures(span.service, env).add(signature, expiry, cardinality);
            }
        }
        rare
    }

    fn signatures(&mut self, service: &str, env: &str) -> &mut Signatures {
        let mut key = signature::of_service(service, env);
        if self.services.len() as u64 >= SERVICES_MAX && !self.services.contains_key(&key) {
            key %= SERVICES_MAX;
        }
        self.services.entry(key).or_default()
    }
}

impl Signatures {
    fn slot(&self, signature: u64, cardinality: u64) -> u64 {
        if self.shrunk { signature % cardinality } else { signature }
    }

    fn add(&mut self, signature: u64, expiry: i64, cardinality: u64) {
        let slot = self.slot(signature, cardinality);
        if self.expiry.get(&slot).is_some_and(|stored| expiry.saturating_sub(*stored) < RENEWAL_NS) {
            return;
        }
        self.expiry.insert(slot, expiry);
        if self.expiry.len() as u64 > cardinality {
            // A service with endless resources must not spend the tokens of all others.
            self.shrunk = true;
            self.expiry = self.expiry.drain().map(|(slot, expiry)| (slot % cardinality, expiry)).collect();
        }
    }
}

impl Tokens {
    fn take(&mut self, now_ns: i64) -> bool {
        let elapsed = now_ns.saturating_sub(self.filled_ns).max(0);
        self.filled_ns = self.filled_ns.max(now_ns);
        self.left = (self.left + elapsed as f64 / NANOS_PER_SECOND as f64 * self.per_second).min(BURST);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Bump, Span};

    fn rare(cardinality: usize) -> Rare {
        Rare::new(&RareConfig { tps: 5.0, ttl_seconds: 300, cardinality }, 0)
    }

    fn sample(rare: &mut Rare, resource: &str, now_ns: i64) -> bool {
        let arena = Bump::new();
        let mut chunk = Chunk::new_in(&arena);
        let mut span = Span::new_in(&arena);
        span.service = "web";
        span.resource = arena.alloc_str(resource);
        chunk.spans.push(span);
        let facts = [SpanFacts { top_level: true, ..SpanFacts::default() }];
        let kept = rare.sample(&mut chunk, &facts, "prod", now_ns);
        assert_eq!(chunk.spans[0].metric(RARE), kept.then_some(1.0));
        kept
    }

    #[test]
    fn a_kind_is_rare_once_in_its_time_to_live() {
        let mut rare = rare(200);
        assert!(sample(&mut rare, "GET /", 0));
        assert!(!sample(&mut rare, "GET /", 300 * NANOS_PER_SECOND));
        assert!(sample(&mut rare, "GET /", 301 * NANOS_PER_SECOND));
        assert!(sample(&mut rare, "GET /other", 301 * NANOS_PER_SECOND));
    }

    #[test]
    fn only_top_level_and_measured_spans_are_rare() {
        let arena = Bump::new();
        let mut chunk = Chunk::new_in(&arena);
        chunk.spans.push(Span::new_in(&arena));
        assert!(!rare(200).sample(&mut chunk, &[SpanFacts::default()], "prod", 0));
        let measured = [SpanFacts { measured: true, ..SpanFacts::default() }];
        assert!(rare(200).sample(&mut chunk, &measured, "prod", 0));
    }

    #[test]
    fn a_burst_is_bounded_and_refilled_by_the_second() {
        let mut rare = rare(10_000);
        let kept = (0..1_000).filter(|index| sample(&mut rare, &format!("{index}"), 0)).count();
        assert_eq!(kept, 50);
        let kept =
            (0..1_000).filter(|index| sample(&mut rare, &format!("b{index}"), NANOS_PER_SECOND)).count();
        assert_eq!(kept, 5);
    }

    #[test]
    fn a_service_with_endless_resources_is_bounded() {
        let mut rare = rare(20);
        for second in 0..1_000 {
            sample(&mut rare, &format!("{second}"), second * NANOS_PER_SECOND);
        }
        assert!(rare.services.values().all(|signatures| signatures.expiry.len() <= 20));
        for service in 0..5_000 {
            rare.signatures(&format!("s{service}"), "prod");
        }
        assert!(rare.services.len() as u64 <= 2 * SERVICES_MAX);
    }
}
