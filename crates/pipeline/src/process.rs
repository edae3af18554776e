//! One chunk from the decoder to the batch, in the reference agent's order (`facts/trace-intake.md` §5):
//! normalize, find the root, ignore, filter, put under the job's span, obfuscate, truncate, replace, mark top level,
//! count, sample, and last of all set the root's tags (losses.md L16).

mod client_stats;
mod job;
#[cfg(test)]
mod tests;

pub use job::{JobSpan, TRACE_ID_HIGH};

use crate::config::ProcessConfig;
use crate::facts::SpanFacts;
use crate::normalize::span::{Found, Last, Normalizer};
use crate::normalize::{self, Fault, Faults};
use crate::obfuscate::Obfuscator;
use crate::rules::RuleSet;
use crate::sample::{self, Decision, Rates, Samplers};
use crate::scan::{self, TopLevel};
use crate::stats::{Concentrator, View};
use crate::top_level::{self, SpanIndex};
use crate::truncate;
use bumpalo::collections::Vec as ArenaVec;
use model::trace::PRIORITY_NONE;
use model::{Bump, Chunk, Payload, Span, Why};
use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};

/// Sampling priority, where old tracers put it: a metric of the root or of another span.
const SAMPLING_PRIORITY: &str = "_sampling_priority_v1";
/// Origin of the trace, where old tracers put it: a tag of the root.
const ORIGIN: &str = "_dd.origin";
/// Who decided on sampling: a tag of a span, promoted to the chunk.
const DECISION_MAKER: &str = "_dd.p.dm";
/// Host of the tracer, where old tracers put it: a tag of the root.
const HOSTNAME: &str = "_dd.hostname";
/// Tags of the traced process: a tag of the payload.
const PROCESS_TAGS: &str = "_dd.tags.process";
/// Rate at which the client sampled, repeated for the backend when it is below 1.
const CLIENT_RATE: &str = "_dd1.sr.rcusr";

/// What a client says of its request, in headers or in a v0.7 payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'r> {
    /// Language of the tracer.
    pub lang: &'r str,
    /// Version of the tracer.
    pub tracer_version: &'r str,
    /// Container the tracer runs in.
    pub container_id: &'r str,
    /// `X-Datadog-Process-Tags`.
    pub process_tags: &'r str,
    /// The tracer marked top-level spans itself.
    pub computed_top_level: bool,
    /// The tracer counted its spans itself.
    pub computed_stats: bool,
    /// Traces of priority 0 the tracer dropped before this request.
    pub dropped_p0_traces: u64,
    /// Their spans.
    pub dropped_p0_spans: u64,
    /// Chunks in the request.
    pub chunks_in_payload: usize,
}

impl Client<'_> {
    /// Traces the client dropped for each chunk it sent.
    fn dropped_p0_weight(&self) -> f64 {
        self.dropped_p0_traces as f64 / self.chunks_in_payload.max(1) as f64
    }
}

/// What became of a chunk: kept and discarded spans add up to those received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// Spans left in the chunk, to be sent.
    pub kept: usize,
    /// Spans removed from it.
    pub discarded: u64,
    /// Why they were; `None` when there are none.
    pub why: Option<Why>,
    /// What was wrong with a chunk that could not be repaired.
    pub fault: Option<Fault>,
}

/// All that happens to a chunk, shared by the workers.
pub struct Processor {
    env: String,
    resource_max_bytes: usize,
    root_tags: Vec<(String, String)>,
    rules: RuleSet,
    obfuscator: Obfuscator,
    samplers: Samplers,
    faults: Faults,
    /// Secret of the tables of span ids.
    id_multiplier: u64,
    /// Around everything, where one job is all that this process runs.
    job: Option<Arc<JobSpan>>,
}

impl Processor {
    /// A processor that has seen nothing.
    pub fn new(config: ProcessConfig, now_ns: i64) -> Self {
        let env = normalize::tag_value(&Bump::new(), &config.env).to_owned();
        Self {
            resource_max_bytes: if config.big_resource {
                truncate::BIG_RESOURCE_MAX_BYTES
            } else {
                truncate::RESOURCE_MAX_BYTES
            },
            root_tags: config.root_tags,
            rules: RuleSet::new(config.rules),
            obfuscator: Obfuscator::new(config.obfuscation),
            samplers: Samplers::new(&config.sampling, &env, now_ns),
            faults: Faults::default(),
            id_multiplier: fastrand::u64(..) | 1,
            env,
            job: None,
        }
    }

    /// Puts the trace that comes first under the span of a job.
    #[must_use]
    pub fn under_job(self, job: Option<Arc<JobSpan>>) -> Self {
        Self { job, ..self }
    }

    /// Takes one chunk through everything. Afterwards it holds what is to be sent, possibly nothing, and
    /// `payload` has what its old-style root told of the process.
    ///
    /// `stats` is where spans are counted, unless their tracer did.
    pub fn chunk<'a>(
        &self,
        arena: &'a Bump,
        payload: &mut Payload<'a>,
        client: &Client<'_>,
        chunk: &mut Chunk<'a>,
        stats: Option<&Mutex<Concentrator>>,
        now_ns: i64,
    ) -> Processed {
        let received = chunk.spans.len();
        payload.env = normalize::tag_value(arena, payload.env);
        let mut normalizer = Normalizer {
            arena,
            lang: client.lang,
            now_ns,
            faults: &self.faults,
            found: Found::default(),
            last: Last::default(),
        };
        let normalized = normalizer.chunk(&mut chunk.spans);
        let found = normalizer.found;
        set_process_tags(arena, payload, client, found.process_tags);
        if let Err(fault) = normalized {
            self.faults.record(fault);
            return Processed { fault: Some(fault), ..discard(chunk, Why::Invalid) };
        }

        let index = OnceCell::new();
        let indexed = |spans: &[Span<'_>]| SpanIndex::new(arena, spans, self.id_multiplier);
        let root = top_level::root(&chunk.spans, || index.get_or_init(|| indexed(&chunk.spans)));
        set_chunk_attributes(chunk, root, found.decision_maker);
        if self.rules.ignores(chunk.spans[root].resource) {
            return discard(chunk, Why::Ignored);
        }
        if self.rules.rejects(&chunk.spans[root]) {
            return discard(chunk, Why::Filtered);
        }

        // Before spans are counted: only the job's span is then the root of a trace.
        if let Some(job) = &self.job {
            job.adopt(&mut chunk.spans);
        }

        let mut facts = ArenaVec::with_capacity_in(received, arena);
        let index = (!client.computed_top_level).then(|| index.get_or_init(|| indexed(&chunk.spans)));
        for position in 0..received {
            let top_level = match index {
                Some(index) => {
                    TopLevel::Agent(top_level::is_top_level(&chunk.spans, index, &chunk.spans[position]))
                }
                None => TopLevel::Tracer,
            };
            facts.push(self.span(arena, &mut chunk.spans[position], top_level));
        }
        set_client_rate(&mut chunk.spans[root]);
        set_payload_attributes(payload, &chunk.spans[root], root, &facts);

        let env = if payload.env.is_empty() { self.env.as_str() } else { payload.env };
        if let Some(stats) = stats.filter(|_| !client.computed_stats) {
            let view = view(payload, client, env, &chunk.spans[root], root, &facts);
            let weight = sample::weight(&chunk.spans[root]);
            // Counts stay valid at every step, so a panic elsewhere does not spoil them.
            let mut stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
            stats.add(&view, chunk, &facts, weight, now_ns);
        }
        let weight = client.dropped_p0_weight();
        let sent_root = match self.samplers.decide(arena, chunk, root, &facts, env, weight, now_ns) {
            Decision::Keep => Some(root),
            // The others are gone from the chunk.
            Decision::KeepSingleSpans => {
                let alone = |facts: &&SpanFacts<'_>| facts.single_span_sampled;
                alone(&&facts[root]).then(|| facts[..root].iter().filter(alone).count())
            }
            Decision::Drop => return discard(chunk, Why::Sampled),
        };
        if let Some(root) = sent_root.and_then(|root| chunk.spans.get_mut(root)) {
            for (key, value) in &self.root_tags {
                root.set_meta(arena.alloc_str(key), arena.alloc_str(value));
            }
        }
        let kept = chunk.spans.len();
        let discarded = (received - kept) as u64;
        Processed { kept, discarded, why: (discarded > 0).then_some(Why::Sampled), fault: None }
    }

    /// The rates tracers are told, as of now.
    pub fn rates(&self, now_ns: i64) -> Arc<Rates> {
        self.samplers.rates(now_ns)
    }

    /// The rules, for statistics that tracers computed.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The obfuscator, for statistics that tracers computed.
    pub fn obfuscator(&self) -> &Obfuscator {
        &self.obfuscator
    }

    /// What was wrong with what was received.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The environment that stands for an empty one, normalized. Payloads keep theirs empty: the backend
    /// takes it from the batch.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// Hides, cuts, replaces and reads one span.
    fn span<'a>(&self, arena: &'a Bump, span: &mut Span<'a>, top_level: TopLevel) -> SpanFacts<'a> {
        self.obfuscator.span(arena, span);
        if self.rules.replaces() {
            // Rules see what is cut already, as they do in the reference.
            truncate::span(arena, span, self.resource_max_bytes);
            self.rules.replace(arena, span);
            scan::span(arena, span, top_level, false)
        } else {
            span.resource = truncate::at(span.resource, self.resource_max_bytes);
            scan::span(arena, span, top_level, true)
        }
    }
}

/// Empties the chunk.
fn discard(chunk: &mut Chunk<'_>, why: Why) -> Processed {
    let discarded = chunk.spans.len() as u64;
    chunk.spans.clear();
    Processed { kept: 0, discarded, why: (discarded > 0).then_some(why), fault: None }
}

/// Process tags: the payload's, else those of the first span, else the header's (§3.2).
fn set_process_tags<'a>(
    arena: &'a Bump,
    payload: &mut Payload<'a>,
    client: &Client<'_>,
    of_span: Option<&'a str>,
) {
    if process_tags(payload).is_some() {
        return;
    }
    if let Some(tags) = of_span {
        payload.tags.push((PROCESS_TAGS, tags));
    } else if !client.process_tags.is_empty() {
        payload.tags.push((PROCESS_TAGS, arena.alloc_str(client.process_tags)));
    }
}

fn process_tags<'a>(payload: &Payload<'a>) -> Option<&'a str> {
    payload.tags.iter().rev().find(|(key, _)| *key == PROCESS_TAGS).map(|(_, value)| *value)
}

/// Priority, origin and decision maker, which old tracers put on spans.
fn set_chunk_attributes<'a>(chunk: &mut Chunk<'a>, root: usize, decision_maker: Option<&'a str>) {
    if chunk.priority == PRIORITY_NONE {
        let of_root = chunk.spans[root].metric(SAMPLING_PRIORITY);
        let of_any = || chunk.spans.iter().find_map(|span| span.metric(SAMPLING_PRIORITY));
        if let Some(priority) = of_root.or_else(of_any) {
            chunk.priority = priority as i32;
        }
    }
    if chunk.origin.is_empty() {
        chunk.origin = chunk.spans[root].meta(ORIGIN).unwrap_or_default();
    }
    if let Some(decision_maker) = decision_maker
        && !chunk.tags.iter().any(|(key, _)| *key == DECISION_MAKER)
    {
        chunk.tags.push((DECISION_MAKER, decision_maker));
    }
}

/// Host, environment and version, which old tracers put on spans.
fn set_payload_attributes<'a>(
    payload: &mut Payload<'a>,
    root_span: &Span<'a>,
    root: usize,
    facts: &[SpanFacts<'a>],
) {
    if payload.hostname.is_empty() {
        payload.hostname = root_span.meta(HOSTNAME).unwrap_or_default();
    }
    if payload.env.is_empty() {
        payload.env = first(root, facts, |facts| facts.env);
    }
    if payload.app_version.is_empty() {
        payload.app_version = first(root, facts, |facts| facts.version);
    }
}

/// What the root has, else the first span that has it.
fn first<'a>(root: usize, facts: &[SpanFacts<'a>], fact: impl Fn(&SpanFacts<'a>) -> &'a str) -> &'a str {
    match fact(&facts[root]) {
        "" => facts.iter().map(fact).find(|text| !text.is_empty()).unwrap_or_default(),
        text => text,
    }
}

/// Repeats the client's rate for the backend when it is below 1.
fn set_client_rate(root: &mut Span<'_>) {
    match root.metric(sample::SAMPLE_RATE) {
        Some(rate) if rate < 1.0 => root.set_metric(CLIENT_RATE, rate),
        _ => root.metrics.retain(|(key, _)| *key != CLIENT_RATE),
    }
}

/// The traced process, as statistics see it. Its main service is what spans of other services name as
/// their base, else the root's own.
fn view<'v>(
    payload: &Payload<'v>,
    client: &Client<'v>,
    env: &'v str,
    root_span: &Span<'v>,
    root: usize,
    facts: &[SpanFacts<'v>],
) -> View<'v> {
    let base_service = first(root, facts, |facts| facts.base_service);
    View {
        env,
        hostname: payload.hostname,
        version: payload.app_version,
        container_id: client.container_id,
        git_commit_sha: first(root, facts, |facts| facts.git_commit_sha),
        // Container tags would tell; none are looked up.
        image_tag: "",
        lang: client.lang,
        service: if base_service.is_empty() { root_span.service } else { base_service },
        process_tags: process_tags(payload).unwrap_or_default(),
    }
}
