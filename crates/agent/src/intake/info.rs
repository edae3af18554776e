//! `/info`: what the agent can do, and the state header by which tracers cache it
//! (`facts/trace-intake.md` §2.2).

use super::routes::ENDPOINTS;
use crate::config::Config;
use crate::transport::TransportName;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pipeline::config::{JsonConfig, ReplaceTarget, Rules, SqlMode, StatsConfig};
use pipeline::stats::PEER_TAGS;
use serde_json::{Value, json};

/// Version this agent calls itself by on the wire.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Hex SHA-256 of the `/info` body.
const STATE: HeaderName = HeaderName::from_static("datadog-agent-state");
/// Version of the agent.
const AGENT_VERSION: HeaderName = HeaderName::from_static("datadog-agent-version");

/// The `/info` document, made once.
#[derive(Debug)]
pub(crate) struct Info {
    body: Bytes,
    state: HeaderValue,
}

impl Info {
    /// Describes an agent that listens on `transports`, and on `statsd_port` if that is not 0.
    pub(crate) fn new(config: &Config, transports: &[TransportName], statsd_port: u16) -> Self {
        // Tabs, as the reference writes it.
        let mut body = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut body, formatter);
        // Writing a value to memory cannot fail.
        serde::Serialize::serialize(&document(config, transports, statsd_port), &mut serializer).ok();
        let digest = ring::digest::digest(&ring::digest::SHA256, &body);
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let state = HeaderValue::from_str(&hex).unwrap_or(HeaderValue::from_static(""));
        Self { body: Bytes::from(body), state }
    }

    /// The document.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Puts version and state on an answer.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap) {
        headers.insert(AGENT_VERSION, HeaderValue::from_static(VERSION));
        headers.insert(STATE, self.state.clone());
    }
}

fn document(config: &Config, transports: &[TransportName], statsd_port: u16) -> Value {
    let process = &config.process;
    let port = transports.iter().find(|name| name.kind == "tcp").map_or(0, |name| {
        name.address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(0)
    });
    let socket = transports.iter().find(|name| name.kind != "tcp").map_or("", |name| name.address.as_str());
    let mut info = json!({
        "version": VERSION,
        "git_commit": option_env!("LASTLIGHT_GIT_COMMIT").unwrap_or(""),
        "endpoints": ENDPOINTS,
        "client_drop_p0s": config.stats.client_drop_p0s && process.sampling.probabilistic.is_none(),
        "span_meta_structs": true,
        "long_running_spans": true,
        "span_events": true,
        "evp_proxy_allowed_headers": super::proxied::EVP_ALLOWED_HEADERS,
        "config": {
            "default_env": process.env,
            "target_tps": process.sampling.target_tps,
            "max_eps": 200,
            "receiver_port": port,
            "receiver_socket": socket,
            "connection_limit": 0,
            "receiver_timeout": config.receiver.read_timeout.as_secs(),
            "max_request_bytes": config.receiver.body_max_bytes,
            "statsd_port": statsd_port,
            "max_memory": config.memory_bytes,
            "max_cpu": 0,
            "analyzed_spans_by_service": {},
            "obfuscation": obfuscation(config),
        },
        "peer_tags": if process.stats.peer_tags_aggregation {
            peer_tags(&process.stats)
        } else {
            Vec::new()
        },
        "span_kinds_stats_computed": if process.stats.by_span_kind {
            json!(["server", "client", "producer", "consumer"])
        } else {
            json!([])
        },
        "obfuscation_version": if process.obfuscation.sql_mode == SqlMode::Default { 1 } else { 2 },
    });
    if let Some(info) = info.as_object_mut() {
        rules(&process.rules, info);
        if !config.features.is_empty() {
            info.insert("feature_flags".into(), json!(config.features));
        }
    }
    info
}

/// The reference's keys and those the user added, sorted.
fn peer_tags(stats: &StatsConfig) -> Vec<&str> {
    let extra = stats.extra_peer_tags.iter().map(String::as_str);
    let mut keys: Vec<_> = PEER_TAGS.iter().copied().chain(extra).collect();
    model::order::sort(&mut keys);
    keys.dedup();
    keys
}

fn obfuscation(config: &Config) -> Value {
    let settings = &config.process.obfuscation;
    let json_settings = |json: &JsonConfig| json!({"enabled": json.enabled, "keep_keys": json.keep_values});
    let replace: Vec<_> = config
        .process
        .rules
        .replace
        .iter()
        .map(|rule| {
            let name = match &rule.target {
                ReplaceTarget::AllTags => "*",
                ReplaceTarget::Resource => "resource.name",
                ReplaceTarget::Tag(tag) => tag,
            };
            json!({"name": name, "pattern": rule.pattern.as_str(), "repl": rule.replacement})
        })
        .collect();
    let mode = match settings.sql_mode {
        SqlMode::Default => "",
        SqlMode::ObfuscateOnly => "obfuscate_only",
        SqlMode::NormalizeOnly => "normalize_only",
        SqlMode::ObfuscateAndNormalize => "obfuscate_and_normalize",
    };
    json!({
        "elastic_search": settings.elasticsearch.enabled,
        "mongo": settings.mongodb.enabled,
        "sql_exec_plan": settings.sql_exec_plan.enabled,
        "sql_exec_plan_normalize": settings.sql_exec_plan_normalize.enabled,
        "sql_obfuscation_mode": mode,
        "tag_replace_rules": replace,
        "http": {
            "remove_query_string": settings.http.remove_query_string,
            "remove_path_digits": settings.http.remove_paths_with_digits,
        },
        "remove_stack_traces": settings.remove_stack_traces,
        "redis": {"enabled": settings.redis.enabled, "remove_all_args": settings.redis.remove_all_args},
        "valkey": {"enabled": settings.valkey.enabled, "remove_all_args": settings.valkey.remove_all_args},
        "memcached": {
            "enabled": settings.memcached.enabled,
            "keep_command": settings.memcached.keep_command,
        },
        "credit_cards": {
            "enabled": settings.credit_cards.enabled,
            "luhn": settings.credit_cards.luhn,
            "keep_values": settings.credit_cards.keep_values,
        },
        "elasticsearch": json_settings(&settings.elasticsearch),
        "opensearch": json_settings(&settings.opensearch),
        "mongodb": json_settings(&settings.mongodb),
        "sql": {"obfuscation_mode": mode},
    })
}

fn rules(rules: &Rules, info: &mut serde_json::Map<String, Value>) {
    fn entry(key: &str, value: Option<&str>) -> String {
        value.map_or_else(|| key.to_owned(), |value| format!("{key}:{value}"))
    }
    let exact = |rules: &[pipeline::config::TagRule]| {
        rules.iter().map(|rule| entry(&rule.key, rule.value.as_deref())).collect::<Vec<_>>()
    };
    let regex = |rules: &[pipeline::config::TagRegexRule]| {
        rules
            .iter()
            .map(|rule| entry(&rule.key, rule.pattern.as_ref().map(regex::Regex::as_str)))
            .collect::<Vec<_>>()
    };
    info.insert(
        "filter_tags".into(),
        json!({"require": exact(&rules.require), "reject": exact(&rules.reject)}),
    );
    info.insert(
        "filter_tags_regex".into(),
        json!({"require": regex(&rules.require_regex), "reject": regex(&rules.reject_regex)}),
    );
    if !rules.ignore_resources.is_empty() {
        let patterns: Vec<_> = rules.ignore_resources.iter().map(regex::Regex::as_str).collect();
        info.insert("ignore_resources".into(), json!(patterns));
    }
}
