//! Names that are no settings of lastlight and are not misspelt either.

use super::find;

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// A setting in the table.
    Setting,
    /// A setting of the reference or of a part of lastlight that does not exist yet; without effect.
    NotUsed,
    /// A variable of the tracers or of their packages.
    TracersOwn,
    /// Nothing.
    Unknown,
}

/// What is known of a name.
pub fn knowledge(name: &str) -> Knowledge {
    if find(name).is_some() {
        Knowledge::Setting
    } else if not_used().any(|known| *known == name) {
        Knowledge::NotUsed
    } else if is_tracers_own(name) {
        Knowledge::TracersOwn
    } else {
        Knowledge::Unknown
    }
}

/// A variable of the tracers or of their packages: none of ours to judge.
pub fn is_tracers_own(name: &str) -> bool {
    TRACERS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || TRACERS_NAMES.split_whitespace().any(|known| known == name)
}

/// Every name of a setting, ours or one without effect: what a misspelt name may have meant.
pub fn names() -> impl Iterator<Item = &'static str> {
    super::all().flat_map(|setting| setting.names).chain(not_used()).copied()
}

/// Names without effect.
pub(super) fn not_used() -> impl Iterator<Item = &'static &'static str> {
    static NAMES: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
        NOT_USED.iter().flat_map(|(_, names)| names.split_whitespace()).collect()
    });
    NAMES.iter()
}

/// Reason, and names between white space.
pub(super) const NOT_USED: &[(&str, &str)] = &[
    (
        "DogStatsD of the reference, without a counterpart here (what is received is aggregated at once; memory is the bound)",
        "DD_DOGSTATSD_QUEUE_SIZE DD_DOGSTATSD_PACKET_BUFFER_SIZE DD_DOGSTATSD_PACKET_BUFFER_FLUSH_TIMEOUT
         DD_DOGSTATSD_WORKERS_COUNT DD_DOGSTATSD_PIPELINE_COUNT DD_DOGSTATSD_PIPELINE_AUTOADJUST
         DD_DOGSTATSD_MAPPER_CACHE_SIZE DD_DOGSTATSD_STRING_INTERNER_SIZE DD_DOGSTATSD_METRICS_STATS_ENABLE
         DD_DOGSTATSD_DISABLE_VERBOSE_LOGS DD_AGGREGATOR_STOP_TIMEOUT",
    ),
    (
        "DogStatsD, always so here (open buckets are sent at a stop; samples with a time keep it)",
        "DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS DD_DOGSTATSD_NO_AGGREGATION_PIPELINE",
    ),
    (
        "DogStatsD, the origin of samples (its fields are accepted and ignored: there is one container)",
        "DD_DOGSTATSD_ORIGIN_DETECTION DD_DOGSTATSD_ORIGIN_DETECTION_CLIENT DD_ORIGIN_DETECTION_UNIFIED
         DD_DOGSTATSD_ORIGIN_OPTOUT_ENABLED DD_DOGSTATSD_TAG_CARDINALITY DD_DOGSTATSD_ENTITY_ID_PRECEDENCE",
    ),
    (
        "Metrics, not offered",
        "DD_STATSD_FORWARD_HOST DD_STATSD_FORWARD_PORT DD_DOGSTATSD_EXPERIMENTAL_HTTP
         DD_DOGSTATSD_WINDOWS_PIPE_SECURITY_DESCRIPTOR",
    ),
    (
        "One compression for everything: `LASTLIGHT_COMPRESSION` and its level",
        "DD_METRICS_CONFIG_COMPRESSION_LEVEL DD_SERIALIZER_COMPRESSOR_KIND DD_SERIALIZER_ZSTD_COMPRESSOR_LEVEL",
    ),
    (
        "Logs of the reference, without a counterpart here (one deadline for the whole stop)",
        "DD_LOGS_CONFIG_STOP_GRACE_PERIOD DD_FLUSH_TIMEOUT",
    ),
    (
        "Entrypoint and sidecar, not yet",
        "DD_SERVERLESS_DIAGNOSTIC_INFO DD_SERVERLESS_INIT_INVENTORY_ENABLED DD_REMOTE_CONFIGURATION_ENABLED
         DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT",
    ),
    (
        "Traces, not offered: format 1.0 (`/v1.0/traces`), statistics by the backend (they are computed here), a second place for events of the EVP proxy",
        "DD_APM_ENABLE_V1_TRACE_ENDPOINT DD_APM_DEBUG_V1_PAYLOADS DD_SERVERLESS_INIT_ENABLE_BACKEND_TRACE_STATS
         DD_EVP_PROXY_CONFIG_ADDITIONAL_ENDPOINTS",
    ),
    (
        "Of the reference agent, without a counterpart here (its bounds are memory and the stop deadline)",
        "DD_APM_DECODERS DD_APM_DECODER_TIMEOUT DD_APM_TRACE_BUFFER DD_APM_MAX_MEMORY DD_APM_MAX_CPU_PERCENT
         DD_APM_CONNECTION_LIMIT DD_CONNECTION_LIMIT DD_APM_MAX_SENDER_RETRIES DD_APM_CONNECTION_RESET_INTERVAL
         DD_APM_SYNC_FLUSHING DD_APM_DEBUG_PORT DD_APM_LOG_FILE DD_APM_NET_RECEIVER_FD
         DD_APM_UNIX_RECEIVER_FD DD_APM_SOCKET_ACTIVATION_ENABLED DD_APM_SOCKET_ACTIVATION_HANDLE_TCP_PROBE
         DD_APM_WINDOWS_PIPE_BUFFER_SIZE DD_APM_WINDOWS_PIPE_SECURITY_DESCRIPTOR DD_APM_DISABLE_RARE_SAMPLER
         DD_APM_MAX_EPS DD_MAX_EPS DD_APM_MAX_REMOTE_TPS DD_APM_ANALYZED_SPANS DD_APM_CLIENT_STATS_FLUSH_INTERVAL
         DD_APM_PROFILING_RECEIVER_TIMEOUT DD_APM_PROFILING_MAX_REQUEST_BYTES DD_APM_PROFILING_SEND_TO_MAIN_ENDPOINT
         DD_APM_ADDITIONAL_PROFILE_TAGS DD_APM_MODE DD_APM_SPAN_DERIVED_PRIMARY_TAGS DD_APM_INSTRUMENTATION_ENABLED
         DD_OL_PROXY_CONFIG_ADDITIONAL_ENDPOINTS DD_OL_PROXY_CONFIG_API_VERSION DD_ORG_UUID DD_EXTERNAL_ENV
         DD_FORWARDER_NUM_WORKERS DD_FORWARDER_TIMEOUT DD_FORWARDER_STOP_TIMEOUT DD_FORWARDER_HTTP_PROTOCOL
         DD_FORWARDER_RETRY_QUEUE_PAYLOADS_MAX_SIZE",
    ),
];

/// Variables that start so are the tracers'.
pub(super) const TRACERS_PREFIXES: &[&str] = &[
    "DD_TRACE_",
    "DD_PROFILING_",
    "DD_APPSEC_",
    "DD_IAST_",
    "DD_DYNAMIC_INSTRUMENTATION_",
    "DD_EXCEPTION_",
    "DD_SYMBOL_DATABASE_",
    "DD_CIVISIBILITY_",
    "DD_TEST_",
    "DD_LLMOBS_",
    "DD_TELEMETRY_",
    "DD_CRASHTRACKING_",
    "DD_RUNTIME_METRICS_",
    "DD_REMOTE_CONFIG_",
    "DD_INSTRUMENTATION_",
    "DD_DATA_STREAMS_",
    "DD_SPAN_SAMPLING_",
    "DD_DBM_",
    "DD_GIT_",
    "DD_LAMBDA_",
    "DD_DOTNET_",
    "DD_CODE_ORIGIN_",
    "DD_EXPERIMENTAL_",
    "DD_API_SECURITY_",
    "DD_PROPAGATION_",
    "DD_SIDECAR_",
    "DD_SPAWN_WORKER_",
    "DD_OPENAI_",
    "DD_LANGCHAIN_",
    "DD_PYTHON_",
    "_DD_",
    "__DD_",
    "OTEL_",
];

/// Single variables of the tracers and their packages.
const TRACERS_NAMES: &str = "DD_LOGS_INJECTION DD_AGENT_HOST DD_DOGSTATSD_URL DD_DOGSTATSD_HOST DD_SERVICE_MAPPING
    DD_SERVERLESS_COMPAT_PATH DD_SERVERLESS_COMPAT_BINARY_PATH DD_AZURE_APP_SERVICES DD_AAS_DOTNET_EXTENSION_VERSION
    DD_AAS_ENABLE_CUSTOM_METRICS DD_AAS_ENABLE_CUSTOM_TRACING DD_ENTITY_ID DD_TAGS_MAX_SIZE DD_PATCH_MODULES
    DD_CALL_BASIC_CONFIG DD_INJECTION_ENABLED DD_INJECT_FORCE DD_INJECT_EXPERIMENTAL_SERVICE_NAME_ENABLED
    DD_HEAP_SNAPSHOT_COUNT DD_INTEGRATIONS_ENABLED DD_INTEGRATION DD_METRIC_AGENT_PORT DD_DISTRIBUTED_TRACING
    DD_PRIORITY_SAMPLING DD_RUNTIME_SECURITY_CONFIG_ENABLED DD_SUBPROCESS_SENSITIVE_WILDCARDS DD_WRITER_TYPE
    DD_TRACING_ENABLED DD_JMXFETCH_ENABLED DD_JMXFETCH_CONFIG DD_CODE_COVERAGE_ENABLED DD_HTTP_CLIENT_ERROR_STATUSES
    DD_HTTP_SERVER_ERROR_STATUSES DD_HTTP_SERVER_TAG_QUERY_STRING DD_HTTP_CLIENT_TAG_QUERY_STRING
    DD_ASYNCIO_PROPAGATION_ENABLED DD_FASTAPI_SERVICE DD_FLASK_SERVICE DD_DJANGO_SERVICE_NAME DD_MAX_LOGFILE_SIZE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracers_variables_are_left_alone_but_the_agents_own_under_their_prefix_are_not() {
        for name in ["DD_TRACE_SAMPLE_RATE", "DD_LOGS_INJECTION", "_DD_SIDECAR_PATH", "DD_APPSEC_ENABLED"] {
            assert_eq!(knowledge(name), Knowledge::TracersOwn, "{name}");
        }
        for name in ["DD_SITE", "DD_IGNORE_RESOURCE", "https_proxy", "LASTLIGHT_MEMORY"] {
            assert_eq!(knowledge(name), Knowledge::Setting, "{name}");
        }
        for name in [
            "DD_DOGSTATSD_QUEUE_SIZE",
            "DD_APM_ENABLE_V1_TRACE_ENDPOINT",
            "DD_LOGS_CONFIG_STOP_GRACE_PERIOD",
            "DD_APM_MAX_SENDER_RETRIES",
        ] {
            assert_eq!(knowledge(name), Knowledge::NotUsed, "{name}");
        }
        for name in ["DD_STIE", "PATH", "LASTLIGHT_MEMROY"] {
            assert_eq!(knowledge(name), Knowledge::Unknown, "{name}");
        }
    }
}
