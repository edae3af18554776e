//! What is kept (`facts/trace-intake.md` §7): the reference agent's samplers, in its order.
//!
//! Shared by all workers: each sampler sits behind a short lock of its own, and a chunk takes at
//! most one or two of them. Losses.md L18: without a sampler everything a tracer sends is forwarded.

mod adaptive;
mod priority;
mod probabilistic;
mod rare;
mod score;
mod signature;
#[cfg(test)]
mod tests;

use crate::config::SamplingConfig;
use crate::facts::SpanFacts;
use model::trace::PRIORITY_NONE;
use model::{Bump, Chunk, Span};
use priority::Priority;
use probabilistic::Probabilistic;
use rare::Rare;
use score::Score;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rate applied by a client before, as a share of all traces.
pub const SAMPLE_RATE: &str = "_sample_rate";
/// Rate applied by a pre-sampler before, as a share of all traces.
const PRE_SAMPLER_RATE: &str = "_dd1.sr.rapre";
/// Rate of the agent's reply, as the tracer applied it.
const AGENT_RATE: &str = "_dd.agent_psr";
/// Rate of a rule, as the tracer applied it.
const RULE_RATE: &str = "_dd.rule_psr";
/// Where the rate goes when the tracer told none.
const LEGACY_RATE: &str = "_sampling_priority_rate_v1";
/// Rate of the errors sampler.
const ERRORS_RATE: &str = "_dd.errors_sr";
/// Rate of the no-priority sampler.
const NO_PRIORITY_RATE: &str = "_dd.no_p_sr";
/// Who decided, a tag of the chunk.
const DECISION_MAKER: &str = "_dd.p.dm";
/// [`DECISION_MAKER`] of a person.
const DECIDED_MANUALLY: &str = "-4";
/// [`DECISION_MAKER`] of the probabilistic sampler.
const DECIDED_PROBABILISTICALLY: &str = "-9";
/// Marks chunks kept by error tracking standalone, a tag of the chunk.
const STANDALONE_ERROR: &str = "_dd.error_tracking_standalone.error";

/// Priority of a chunk the probabilistic sampler dropped.
const AUTO_DROP: i32 = 0;
/// Priority of a chunk the probabilistic sampler kept.
const AUTO_KEEP: i32 = 1;
/// Priority of single spans that are kept.
const USER_KEEP: i32 = 2;
/// Priority of a chunk a person dropped.
const USER_DROP: i32 = -1;

/// What becomes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All of it is sent.
    Keep,
    /// Only the spans marked for single-span sampling are sent; the others were removed from the
    /// chunk, so facts and root found before no longer match it.
    KeepSingleSpans,
    /// None of it is sent.
    Drop,
}

/// What tracers are told about how much to sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Rate from 0 to 1 by `service:<service>,env:<env>`; `service:,env:` is the default.
    pub by_service: BTreeMap<String, f64>,
    /// Changes when a rate does: seconds since the epoch and a counter, both hexadecimal.
    pub version: String,
}

/// All samplers of one agent.
#[derive(Debug)]
pub struct Samplers {
    agent_env: String,
    standalone: bool,
    keep_after_tracer_drop: bool,
    priority: Mutex<Priority>,
    no_priority: Mutex<Score>,
    /// `None` when switched off (0 traces a second).
    errors: Option<Mutex<Score>>,
    rare: Option<Mutex<Rare>>,
    probabilistic: Option<Probabilistic>,
}

impl Samplers {
    /// Samplers that have seen nothing. `agent_env` stands for an empty environment.
    pub fn new(config: &SamplingConfig, agent_env: &str, now_ns: i64) -> Self {
        let errors = (config.error_tps > 0.0).then(|| Mutex::new(Score::new(config.error_tps, ERRORS_RATE)));
        Self {
            agent_env: agent_env.to_owned(),
            standalone: config.error_tracking_standalone,
            keep_after_tracer_drop: config.error_rare_sample_tracer_drop,
            priority: Mutex::new(Priority::new(config.target_tps, agent_env, now_ns)),
            no_priority: Mutex::new(Score::new(config.target_tps, NO_PRIORITY_RATE)),
            errors,
            rare: config.rare.as_ref().map(|rare| Mutex::new(Rare::new(rare, now_ns))),
            probabilistic: config.probabilistic.as_ref().map(Probabilistic::new),
        }
    }

    /// Decides on a chunk, counts it, and writes down on root and chunk what was decided.
    ///
    /// `root` is the index of the chunk's root, `facts` holds one entry for each span, and
    /// `client_dropped_p0_weight` is the number of traces the client dropped for each chunk it sent.
    #[allow(clippy::too_many_arguments, reason = "one call for each chunk, from one place")]
    pub fn decide<'a>(
        &self,
        arena: &'a Bump,
        chunk: &mut Chunk<'a>,
        root: usize,
        facts: &[SpanFacts<'a>],
        env: &str,
        client_dropped_p0_weight: f64,
        now_ns: i64,
    ) -> Decision {
        if chunk.spans.get(root).is_none() {
            chunk.dropped_trace = true;
            return Decision::Drop;
        }
        let env = if env.is_empty() { self.agent_env.as_str() } else { env };
        let keep = self.sample(arena, chunk, root, facts, env, client_dropped_p0_weight, now_ns);
        chunk.dropped_trace = !keep;
        if keep {
            Decision::Keep
        } else if !self.standalone && keep_single_spans(chunk, facts) {
            Decision::KeepSingleSpans
        } else {
            Decision::Drop
        }
    }

    /// The rates as of now; the same allocation as long as they do not change.
    pub fn rates(&self, now_ns: i64) -> Arc<Rates> {
        lock(&self.priority).rates(now_ns)
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments of `decide`")]
    fn sample<'a>(
        &self,
        arena: &'a Bump,
        chunk: &mut Chunk<'a>,
        root: usize,
        facts: &[SpanFacts<'a>],
        env: &str,
        client_dropped_p0_weight: f64,
        now_ns: i64,
    ) -> bool {
        if self.standalone {
            if !has_error(chunk) && !facts.iter().any(|facts| facts.has_exception_event) {
                return false;
            }
            set_tag(chunk, STANDALONE_ERROR, "true");
            return self.sample_errors(arena, chunk, root, facts, env, now_ns);
        }
        // First of all, so that what another sampler keeps counts as seen.
        let rare = self.rare.as_ref().is_some_and(|rare| lock(rare).sample(chunk, facts, env, now_ns));
        if let Some(probabilistic) = &self.probabilistic {
            let keep = if rare {
                true
            } else if probabilistic.sample(&mut chunk.spans[root]) {
                set_tag(chunk, DECISION_MAKER, DECIDED_PROBABILISTICALLY);
                true
            } else {
                has_error(chunk) && self.sample_errors(arena, chunk, root, facts, env, now_ns)
            };
            chunk.priority = if keep { AUTO_KEEP } else { AUTO_DROP };
            return keep;
        }
        let has_priority = chunk.priority != PRIORITY_NONE;
        if has_priority && chunk.priority < 0 && (!self.keep_after_tracer_drop || is_manual_drop(chunk, root))
        {
            return false;
        }
        if rare {
            return true;
        }
        let kept = if has_priority {
            self.sample_priority(chunk, root, env, client_dropped_p0_weight, now_ns)
        } else {
            let signature = signature::of_chunk(arena, chunk, root, facts, env);
            lock(&self.no_priority).sample(&mut chunk.spans[root], signature, now_ns)
        };
        kept || (has_error(chunk) && self.sample_errors(arena, chunk, root, facts, env, now_ns))
    }

    fn sample_priority(
        &self,
        chunk: &mut Chunk<'_>,
        root: usize,
        env: &str,
        client_dropped_p0_weight: f64,
        now_ns: i64,
    ) -> bool {
        let keep = chunk.priority > 0;
        // Only what the tracer decided by itself feeds back: the others do not follow our rates.
        if chunk.priority == AUTO_DROP || chunk.priority == AUTO_KEEP {
            let root = &mut chunk.spans[root];
            let applied = AppliedRates::of(root);
            let weight = applied.weight() + client_dropped_p0_weight;
            let rate = lock(&self.priority).count(root.service, env, weight as f32, now_ns);
            if keep && root.parent_id == 0 && !applied.has_priority_rate {
                root.set_metric(LEGACY_RATE, rate);
            }
        }
        keep
    }

    fn sample_errors<'a>(
        &self,
        arena: &'a Bump,
        chunk: &mut Chunk<'a>,
        root: usize,
        facts: &[SpanFacts<'a>],
        env: &str,
        now_ns: i64,
    ) -> bool {
        let Some(errors) = &self.errors else { return false };
        let signature = signature::of_chunk(arena, chunk, root, facts, env);
        lock(errors).sample(&mut chunk.spans[root], signature, now_ns)
    }
}

/// How many traces a root stands for in statistics: the inverse of its `_sample_rate`, 1 without a
/// usable one.
pub fn weight(root: &Span<'_>) -> f64 {
    1.0 / usable(root.metric(SAMPLE_RATE))
}

/// Rates that were applied to a trace before it came here, found in one pass.
#[derive(Clone, Copy, Debug, Default)]
struct AppliedRates {
    client: Option<f64>,
    pre_sampler: Option<f64>,
    has_priority_rate: bool,
}

impl AppliedRates {
    fn of(root: &Span<'_>) -> Self {
        let mut rates = Self::default();
        for (key, value) in &root.metrics {
            match *key {
                SAMPLE_RATE => rates.client = Some(*value),
                PRE_SAMPLER_RATE => rates.pre_sampler = Some(*value),
                AGENT_RATE | RULE_RATE | LEGACY_RATE => rates.has_priority_rate = true,
                _ => {}
            }
        }
        rates
    }

    fn weight(&self) -> f64 {
        1.0 / (usable(self.client) * usable(self.pre_sampler))
    }
}

/// A rate above 0 and up to 1; anything else means that nothing was sampled.
fn usable(rate: Option<f64>) -> f64 {
    rate.filter(|rate| *rate > 0.0 && *rate <= 1.0).unwrap_or(1.0)
}

fn has_error(chunk: &Chunk<'_>) -> bool {
    chunk.spans.iter().any(|span| span.error != 0)
}

fn is_manual_drop(chunk: &Chunk<'_>, root: usize) -> bool {
    let of_chunk = chunk.tags.iter().rev().find(|(key, _)| *key == DECISION_MAKER).map(|(_, value)| *value);
    let decision_maker = of_chunk.or_else(|| chunk.spans.get(root)?.meta(DECISION_MAKER));
    chunk.priority == USER_DROP && decision_maker == Some(DECIDED_MANUALLY)
}

fn set_tag<'a>(chunk: &mut Chunk<'a>, key: &'a str, value: &'a str) {
    chunk.tags.retain(|(existing, _)| *existing != key);
    chunk.tags.push((key, value));
}

/// Reduces the chunk to the spans its tracer wants kept by themselves; leaves it alone when there
/// are none.
fn keep_single_spans(chunk: &mut Chunk<'_>, facts: &[SpanFacts<'_>]) -> bool {
    if !facts.iter().any(|facts| facts.single_span_sampled) {
        return false;
    }
    let mut facts = facts.iter();
    chunk.spans.retain(|_| facts.next().is_some_and(|facts| facts.single_span_sampled));
    // As the reference marks them: the backend keeps what comes with this priority.
    chunk.priority = USER_KEEP;
    chunk.dropped_trace = false;
    !chunk.spans.is_empty()
}

/// Samplers stay usable after a panic elsewhere: their state is counts, valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
