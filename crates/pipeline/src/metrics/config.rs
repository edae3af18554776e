//! What a user may decide about metrics, already parsed and checked.

use super::mapper::Profile;
use model::limits::METRIC_CONTEXTS_DEFAULT;

/// All of it; defaults are the reference's (`facts/dogstatsd.md` §4, §5).
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Put before every name (`statsd_metric_namespace`); a dot is added where it has none. Empty: nothing.
    pub namespace: String,
    /// Names that begin with one of these get no namespace.
    pub namespace_exclusions: Vec<String>,
    /// Names, with their namespace, that are not wanted (`statsd_metric_blocklist`).
    pub blocklist: Vec<String>,
    /// Whether names that only begin with an entry of the blocklist are not wanted either.
    pub blocklist_match_prefix: bool,
    /// Rules that make names of parts of names into tags, tried in order.
    pub mapper: Vec<Profile>,
    /// What is said of the values of a histogram.
    pub aggregates: Aggregates,
    /// Percentiles of the values of a histogram, each from 0 to 100 (`.95percentile`).
    pub percentiles: Vec<u8>,
    /// Whether a histogram is sent as a distribution, too.
    pub copy_to_distribution: bool,
    /// Put before the name of that distribution, before the namespace.
    pub copy_prefix: String,
    /// Tags of everything.
    pub tags: Vec<String>,
    /// Tag `env` of what has none.
    pub env: Option<String>,
    /// Tag `service` of what has none.
    pub service: Option<String>,
    /// Tag `version` of what has none.
    pub version: Option<String>,
    /// Host of what names none; empty on platforms without hosts.
    pub hostname: String,
    /// `key:value` of this instance. It is put on series (not distributions) without a host: two instances
    /// that sent the same series would be one to the backend, which keeps one of their points.
    pub instance_tag: Option<String>,
    /// Product and category of the platform (`facts/dogstatsd.md` §6).
    pub origin: Option<(u32, u32)>,
    /// For how many seconds after its last sample a count is still told as zero.
    pub expiry_seconds: u32,
    /// For how many seconds after its last sample a context is remembered; a count for `expiry_seconds` more.
    pub context_expiry_seconds: u32,
    /// Contexts held at one time.
    pub contexts_max: usize,
}

/// Prefixes of names that belong to integrations and to the agents themselves.
pub const NAMESPACE_EXCLUSIONS: [&str; 21] = [
    "datadog.agent",
    "datadog.dogstatsd",
    "datadog.process",
    "datadog.trace_agent",
    "datadog.tracer",
    "activemq",
    "activemq_58",
    "airflow",
    "cassandra",
    "confluent",
    "hazelcast",
    "hive",
    "ignite",
    "jboss",
    "jvm",
    "kafka",
    "presto",
    "sidekiq",
    "solr",
    "tomcat",
    "runtime",
];

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            namespace_exclusions: NAMESPACE_EXCLUSIONS.map(String::from).to_vec(),
            blocklist: Vec::new(),
            blocklist_match_prefix: false,
            mapper: Vec::new(),
            aggregates: Aggregates::default(),
            percentiles: vec![95],
            copy_to_distribution: false,
            copy_prefix: String::new(),
            tags: Vec::new(),
            env: None,
            service: None,
            version: None,
            hostname: String::new(),
            instance_tag: None,
            origin: None,
            expiry_seconds: 300,
            context_expiry_seconds: 20,
            contexts_max: METRIC_CONTEXTS_DEFAULT,
        }
    }
}

/// Which aggregates of a histogram are sent (`DD_HISTOGRAM_AGGREGATES`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Aggregates {
    /// `.max`, a gauge.
    pub max: bool,
    /// `.min`, a gauge.
    pub min: bool,
    /// `.sum`, a gauge.
    pub sum: bool,
    /// `.avg`, a gauge.
    pub avg: bool,
    /// `.median`, a gauge.
    pub median: bool,
    /// `.count`, a rate.
    pub count: bool,
}

impl Aggregates {
    /// No aggregate at all.
    pub const NONE: Self =
        Self { max: false, min: false, sum: false, avg: false, median: false, count: false };
}

impl Default for Aggregates {
    fn default() -> Self {
        Self { max: true, median: true, avg: true, count: true, ..Self::NONE }
    }
}
