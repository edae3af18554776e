//! What a user may decide about processing, already parsed and checked.
//!
//! Defaults are the reference agent's (`facts/trace-intake.md` §6, §7; `facts/settings.md` §3).

mod logs;

pub use logs::{LogRule, LogRuleKind};

use regex::Regex;
use std::fmt;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct ProcessConfig {
    /// Environment of spans that have none (`DD_ENV`).
    pub env: String,
    /// What is hidden from the backend.
    pub obfuscation: ObfuscationConfig,
    /// What is replaced, rejected and ignored.
    pub rules: Rules,
    /// What is kept.
    pub sampling: SamplingConfig,
    /// What is counted.
    pub stats: StatsConfig,
    /// Feature `big_resource`: resources up to 15,000 bytes instead of 5,000.
    pub big_resource: bool,
    /// Tags set on the root span of each chunk last of all, after it was counted (losses.md L16).
    pub root_tags: Vec<(String, String)>,
}

/// User rules on traces.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `DD_APM_REPLACE_TAGS`, applied in order after obfuscation.
    pub replace: Vec<ReplaceRule>,
    /// `DD_APM_FILTER_TAGS_REJECT`: a root that has one is dropped.
    pub reject: Vec<TagRule>,
    /// `DD_APM_FILTER_TAGS_REGEX_REJECT`.
    pub reject_regex: Vec<TagRegexRule>,
    /// `DD_APM_FILTER_TAGS_REQUIRE`: a root that lacks one is dropped.
    pub require: Vec<TagRule>,
    /// `DD_APM_FILTER_TAGS_REGEX_REQUIRE`.
    pub require_regex: Vec<TagRegexRule>,
    /// `DD_APM_IGNORE_RESOURCES`, matched against the root's resource.
    pub ignore_resources: Vec<Regex>,
}

/// What a replace rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplaceTarget {
    /// `*`: every tag value.
    AllTags,
    /// `resource.name`: the resource.
    Resource,
    /// One tag.
    Tag(String),
}

/// One entry of `DD_APM_REPLACE_TAGS`.
#[derive(Clone, Debug)]
pub struct ReplaceRule {
    /// Where.
    pub target: ReplaceTarget,
    /// What.
    pub pattern: Regex,
    /// By what; `$1` and `${name}` stand for groups.
    pub replacement: String,
}

impl ReplaceRule {
    /// Checks one entry.
    ///
    /// # Errors
    /// When the name is empty or the pattern is not a regular expression.
    pub fn new(name: &str, pattern: &str, replacement: &str) -> Result<Self, RuleError> {
        let target = match name {
            "" => return Err(RuleError("\"name\" is empty: use a tag, \"resource.name\" or \"*\"".into())),
            "*" => ReplaceTarget::AllTags,
            "resource.name" => ReplaceTarget::Resource,
            tag => ReplaceTarget::Tag(tag.to_owned()),
        };
        Ok(Self { target, pattern: compile(pattern)?, replacement: replacement.to_owned() })
    }
}

/// `key` or `key:value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The tag.
    pub key: String,
    /// Its exact value; any value when `None`.
    pub value: Option<String>,
}

impl TagRule {
    /// Reads `key` or `key:value`, split at the first colon.
    ///
    /// # Errors
    /// When the key is empty.
    pub fn new(rule: &str) -> Result<Self, RuleError> {
        let (key, value) = split_rule(rule)?;
        Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }
}

/// `key` or `key:pattern`.
#[derive(Clone, Debug)]
pub struct TagRegexRule {
    /// The tag.
    pub key: String,
    /// What its value must match; any value when `None`.
    pub pattern: Option<Regex>,
}

impl TagRegexRule {
    /// Reads `key` or `key:pattern`, split at the first colon.
    ///
    /// # Errors
    /// When the key is empty or the pattern is not a regular expression.
    pub fn new(rule: &str) -> Result<Self, RuleError> {
        let (key, pattern) = split_rule(rule)?;
        Ok(Self { key: key.to_owned(), pattern: pattern.map(compile).transpose()? })
    }
}

fn split_rule(rule: &str) -> Result<(&str, Option<&str>), RuleError> {
    let (key, value) = match rule.split_once(':') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (rule.trim(), None),
    };
    if key.is_empty() {
        return Err(RuleError(format!("{rule:?} has no key: write `key` or `key:value`")));
    }
    Ok((key, value))
}

/// Compiles a user's pattern, written in Go's syntax as for the reference agent.
///
/// # Errors
/// When it is not a regular expression.
pub fn compile(pattern: &str) -> Result<Regex, RuleError> {
    Regex::new(&crate::rules::pattern::rewrite(pattern))
        .map_err(|error| RuleError(format!("{pattern:?} is not a regular expression: {error}")))
}

/// A rule that cannot be applied, and why. It stops the start: rules never fail open (losses.md L21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError(pub String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

/// What is hidden (`facts/trace-intake.md` §6).
#[derive(Clone, Debug)]
pub struct ObfuscationConfig {
    /// Byte bound of the cache of obfuscated statements; 0 switches it off.
    pub cache_max_bytes: usize,
    /// `""` (default), `obfuscate_only`, `normalize_only`, `obfuscate_and_normalize`.
    pub sql_mode: SqlMode,
    /// `http.url`.
    pub http: HttpConfig,
    /// `redis.raw_command`.
    pub redis: CommandConfig,
    /// `valkey.raw_command`.
    pub valkey: CommandConfig,
    /// `memcached.command`.
    pub memcached: MemcachedConfig,
    /// `mongodb.query`.
    pub mongodb: JsonConfig,
    /// `elasticsearch.body`.
    pub elasticsearch: JsonConfig,
    /// `opensearch.body`.
    pub opensearch: JsonConfig,
    /// SQL execution plans: obfuscated.
    pub sql_exec_plan: JsonConfig,
    /// SQL execution plans: normalized.
    pub sql_exec_plan_normalize: JsonConfig,
    /// Card numbers in any tag.
    pub credit_cards: CreditCardConfig,
    /// Replaces `error.stack` and friends.
    pub remove_stack_traces: bool,
}

impl Default for ObfuscationConfig {
    fn default() -> Self {
        let json = |enabled| JsonConfig { enabled, ..JsonConfig::default() };
        Self {
            cache_max_bytes: 5_000_000,
            sql_mode: SqlMode::Default,
            http: HttpConfig::default(),
            redis: CommandConfig { enabled: true, remove_all_args: false },
            valkey: CommandConfig { enabled: true, remove_all_args: false },
            memcached: MemcachedConfig { enabled: true, keep_command: false },
            mongodb: json(true),
            elasticsearch: json(true),
            opensearch: json(true),
            sql_exec_plan: json(false),
            sql_exec_plan_normalize: json(false),
            credit_cards: CreditCardConfig { enabled: true, luhn: false, keep_values: Vec::new() },
            remove_stack_traces: false,
        }
    }
}

/// `DD_APM_SQL_OBFUSCATION_MODE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SqlMode {
    /// The reference's default tokenizer: literals become `?`, comments go, lists collapse.
    #[default]
    Default,
    /// Literals become `?`; layout and comments stay.
    ObfuscateOnly,
    /// Layout is normalized; literals stay.
    NormalizeOnly,
    /// Both.
    ObfuscateAndNormalize,
}

/// `DD_APM_OBFUSCATION_HTTP_*`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpConfig {
    /// Everything after `?` goes.
    pub remove_query_string: bool,
    /// Path segments with digits become `?`.
    pub remove_paths_with_digits: bool,
}

/// `DD_APM_OBFUSCATION_{REDIS,VALKEY}_*`.
#[derive(Clone, Copy, Debug)]
pub struct CommandConfig {
    /// Arguments that carry data become `?`.
    pub enabled: bool,
    /// Every argument becomes `?`.
    pub remove_all_args: bool,
}

/// `DD_APM_OBFUSCATION_MEMCACHED_*`.
#[derive(Clone, Copy, Debug)]
pub struct MemcachedConfig {
    /// The tag is obfuscated.
    pub enabled: bool,
    /// The command stays, only what follows it goes; otherwise the whole tag goes.
    pub keep_command: bool,
}

/// `DD_APM_OBFUSCATION_{ELASTICSEARCH,OPENSEARCH,MONGODB,SQL_EXEC_PLAN*}_*`.
#[derive(Clone, Debug, Default)]
pub struct JsonConfig {
    /// Values of the document become `?`.
    pub enabled: bool,
    /// Keys whose values stay.
    pub keep_values: Vec<String>,
    /// Keys whose values are SQL.
    pub obfuscate_sql_values: Vec<String>,
}

/// `DD_APM_OBFUSCATION_CREDIT_CARDS_*`.
#[derive(Clone, Debug)]
pub struct CreditCardConfig {
    /// Card numbers become `?`.
    pub enabled: bool,
    /// Only numbers that pass the Luhn check.
    pub luhn: bool,
    /// Tags that are left alone.
    pub keep_values: Vec<String>,
}

/// What is kept (`facts/trace-intake.md` §7).
#[derive(Clone, Debug)]
pub struct SamplingConfig {
    /// Traces a second the priority and no-priority samplers aim at.
    pub target_tps: f64,
    /// Traces with errors kept a second beyond that; 0 switches the error sampler off.
    pub error_tps: f64,
    /// Rare sampler; `None` is off.
    pub rare: Option<RareConfig>,
    /// Probabilistic sampler; `None` is off.
    pub probabilistic: Option<ProbabilisticConfig>,
    /// Only chunks with errors are kept.
    pub error_tracking_standalone: bool,
    /// Feature `error_rare_sample_tracer_drop`.
    pub error_rare_sample_tracer_drop: bool,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            target_tps: 10.0,
            error_tps: 10.0,
            rare: None,
            probabilistic: None,
            error_tracking_standalone: false,
            error_rare_sample_tracer_drop: false,
        }
    }
}

/// `DD_APM_ENABLE_RARE_SAMPLER`.
#[derive(Clone, Copy, Debug)]
pub struct RareConfig {
    /// Traces a second.
    pub tps: f64,
    /// How long a signature stays known, seconds.
    pub ttl_seconds: u64,
    /// Signatures per (env, service).
    pub cardinality: usize,
}

/// `DD_APM_PROBABILISTIC_SAMPLER_*`.
#[derive(Clone, Copy, Debug)]
pub struct ProbabilisticConfig {
    /// Share of traces kept, percent.
    pub percentage: f64,
    /// Seed of the hash; the same on all agents that must agree.
    pub hash_seed: u32,
    /// Feature `probabilistic_sampler_full_trace_id`: hash all 128 bits of the id.
    pub full_trace_id: bool,
}

/// What is counted (`facts/trace-intake.md` §9).
#[derive(Clone, Debug)]
pub struct StatsConfig {
    /// Spans with a span kind count even when neither top level nor measured.
    pub by_span_kind: bool,
    /// Tags of the peer are part of the key.
    pub peer_tags_aggregation: bool,
    /// Peer tags beyond the reference's 43.
    pub extra_peer_tags: Vec<String>,
    /// Tags of spans that become part of the key (at most 4).
    pub additional_metric_tags: Vec<String>,
}

impl Default for StatsConfig {
    fn default() -> Self {
        Self {
            by_span_kind: true,
            peer_tags_aggregation: true,
            extra_peer_tags: Vec::new(),
            additional_metric_tags: Vec::new(),
        }
    }
}
