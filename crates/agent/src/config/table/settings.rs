//! The rows of the table.

use super::{Kind, Setting};
use Kind::{
    BindHost, Bool, Bytes, CertificateFile, Choice, Decimal, Duration, EndpointMap, HostName, Integer,
    JsonList, List, LogEndpoints, LogLevel, LogRules, MapperProfiles, MetricNames, MetricNamespace,
    Percentiles, Port, ProxyUrl, Regexes, ReplaceRules, Secret, Site, Socket, SomeOf, TagList, TagRegexRules,
    TagRules, Tags, Text, Url, UrlOrSite, Words,
};

/// One row is: names, most important first; kind; default; meaning; who else honours it.
macro_rules! settings {
    ($($group:literal {
        $($name:ident $(| $alias:ident)*: $kind:expr, $default:literal, $meaning:literal, $who:literal;)*
    })*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`: ", $meaning)]
            #[allow(non_upper_case_globals, reason = "named as the variable is")]
            pub static $name: Setting = Setting {
                group: $group,
                names: &[stringify!($name) $(, stringify!($alias))*],
                kind: $kind,
                default: $default,
                meaning: $meaning,
                honoured_by: $who,
            };
        )*)*

        pub(super) static SETTINGS: &[&Setting] = &[$($(&$name),*),*];
    };
}

const SWITCH: Kind = Bool;
const TPS: Kind = Decimal { min: 0.0, max: 1_000_000.0, unit: "traces a second" };
const TIMEOUT: Kind = Duration { min_ms: 10, max_ms: 600_000 };
/// A smaller batch period only costs requests; a longer one than a minute is what a platform may kill.
const PERIOD: Kind = Duration { min_ms: 10, max_ms: 60_000 };
const MILLISECONDS: Kind = Integer { min: 1, max: 600_000, unit: "milliseconds" };
const SECONDS: Kind = Integer { min: 0, max: 86_400, unit: "seconds" };
const MEMORY: Kind = Bytes { min: model::limits::MEMORY_MIN_BYTES as u64, max: 1 << 40 };
const BODY: Kind = Bytes { min: 1_024, max: 1 << 32 };

settings! {
    "Identity and site" {
        DD_API_KEY: Secret, "", "Key of the intake. Required, except by `lastlight dev`.", "m a i b";
        DD_SITE: Site, "datadoghq.com", "Domain of the intake.", "m a i b";
        DD_HOSTNAME: HostName, "", "Host name of the agent. Detected when not set; on serverless platforms, and for `none`, there is none.", "a i";
        DD_ENV: Text, "", "Environment of the program. Spans and stats that have none get it; `none` when not set.", "m a i b";
        DD_APM_ENV: Text, "", "Like `DD_ENV`, for traces only; wins over it there.", "a";
        DD_SERVICE: Text, "", "Name of the program, for tags.", "m a i b";
        DD_VERSION: Text, "", "Version of the program, for tags.", "m a i b";
        DD_TAGS: Tags, "", "Tags of everything this agent sends. A key ends at its first colon; values may have more.", "m a i b";
        DD_EXTRA_TAGS: Tags, "", "More tags; they win over `DD_TAGS`.", "a i";
        DD_LOG_LEVEL: LogLevel, "info", "How much the agent says on stderr. Another word means info, with a warning.", "m a i b";
    }
    "Receiver" {
        DD_APM_ENABLED: SWITCH, "true", "Traces are accepted at all.", "a i";
        DD_TRACE_ENABLED: SWITCH, "true", "`false`: a wrapped program's traces are not accepted.", "i";
        DD_APM_RECEIVER_ENABLED: SWITCH, "true", "The receiver listens.", "a";
        DD_APM_RECEIVER_PORT | DD_RECEIVER_PORT: Port, "8126", "TCP port of the receiver; 0 for none.", "m a i";
        DD_APM_NON_LOCAL_TRAFFIC: SWITCH, "false", "Listen on all IPv4 addresses (0.0.0.0), whatever `DD_BIND_HOST` says.", "a i";
        DD_BIND_HOST: BindHost, "127.0.0.1", "Address the receiver and DogStatsD listen on. Not set, DogStatsD takes ::1 too.", "a i";
        DD_APM_RECEIVER_SOCKET: Socket, "", "Unix socket of the receiver, next to TCP. No default here: the reference has one on Linux.", "a";
        DD_APM_WINDOWS_PIPE_NAME: Text, "", "Windows named pipe of the receiver, next to TCP; read, and used once Windows is supported.", "m a";
        DD_APM_MAX_PAYLOAD_SIZE: BODY, "26214400", "Biggest trace or stats request body. The mini agent has 10485760, fixed.", "a";
        DD_APM_RECEIVER_TIMEOUT: TIMEOUT, "5s", "How long a request's headers, and then each part of its body, may take.", "a";
        DD_APM_MAX_CONNECTIONS: Integer { min: 1, max: 1_000_000, unit: "connections" }, "2000", "Connections open at one time, over all transports.", "a";
        DD_APM_FEATURES: Words, "", "Switches of the reference: big_resource, error_rare_sample_tracer_drop, probabilistic_sampler_full_trace_id, 429.", "a b";
    }
    "DogStatsD" {
        DD_USE_DOGSTATSD: SWITCH, "true", "Metrics, events and service checks are accepted at all.", "m a i";
        DD_DOGSTATSD_PORT: Port, "8125", "UDP port, on 127.0.0.1 and, where there is one, ::1; 0 for none.", "m a i";
        DD_DOGSTATSD_NON_LOCAL_TRAFFIC: SWITCH, "false", "Listen on all addresses, IPv6 and IPv4, whatever `DD_BIND_HOST` says. The mini agent always listens on 0.0.0.0.", "a i";
        DD_DOGSTATSD_SOCKET: Socket, "", "Unix datagram socket, next to UDP. No default here: the reference has one on Linux.", "a";
        DD_DOGSTATSD_STREAM_SOCKET: Socket, "", "Unix stream socket, next to the others.", "a";
        DD_DOGSTATSD_WINDOWS_PIPE_NAME | DD_DOGSTATSD_PIPE_NAME: Text, "", "Windows named pipe, next to UDP; read, and used once Windows is supported.", "m a";
        DD_DOGSTATSD_BUFFER_SIZE: Bytes { min: 512, max: model::limits::METRIC_LINE_MAX_BYTES as u64 }, "8192", "Biggest datagram, or frame of a stream. Of a bigger datagram the last line is dropped, a bigger frame as a whole; it is counted.", "a b";
        DD_DOGSTATSD_SO_RCVBUF: Bytes { min: 0, max: 1 << 30 }, "0", "Receive buffer of each socket; 0: 4MiB, or what the system grants of it. The reference takes what the system has.", "a b";
        DD_DOGSTATSD_EOL_REQUIRED: SomeOf(&["udp", "uds", "named_pipe"]), "", "Transports on which a line counts only when a newline ends it.", "a";
        DD_DOGSTATSD_TAGS: TagList, "", "Tags of metrics, events and service checks, after `DD_TAGS` and `DD_EXTRA_TAGS`.", "a i";
    }
    "Metrics" {
        DD_STATSD_METRIC_NAMESPACE: MetricNamespace, "", "Put in front of metric names, with a dot between.", "m a b";
        DD_STATSD_METRIC_NAMESPACE_BLACKLIST | DD_STATSD_METRIC_NAMESPACE_BLOCKLIST: MetricNames, "datadog.agent datadog.dogstatsd datadog.process datadog.trace_agent datadog.tracer activemq activemq_58 airflow cassandra confluent hazelcast hive ignite jboss jvm kafka presto sidekiq solr tomcat runtime", "Names that start so get no namespace; `[]` for none. The mini agent makes no exception.", "a b";
        DD_METRIC_FILTERLIST | DD_STATSD_METRIC_BLOCKLIST: MetricNames, "", "Metrics that are discarded, by the name they would be sent under.", "a";
        DD_METRIC_FILTERLIST_MATCH_PREFIX | DD_STATSD_METRIC_BLOCKLIST_MATCH_PREFIX: SWITCH, "false", "Discard names that start with one of these too.", "a";
        DD_DOGSTATSD_MAPPER_PROFILES: MapperProfiles, "", "Rules that give metrics other names, and tags from parts of them; the first that fits wins. A bad rule stops the start.", "a";
        DD_HISTOGRAM_AGGREGATES: SomeOf(&["max", "min", "median", "avg", "count", "sum"]), "max median avg count", "What is sent of histograms and timings; `[]` for none.", "a";
        DD_HISTOGRAM_PERCENTILES: Percentiles, "0.95", "Percentiles that are sent of them; `[]` for none.", "a";
        DD_HISTOGRAM_COPY_TO_DISTRIBUTION: SWITCH, "false", "Send histograms as distributions too.", "a";
        DD_HISTOGRAM_COPY_TO_DISTRIBUTION_PREFIX: Text, "", "Put in front of the names of these.", "a";
        DD_DOGSTATSD_EXPIRY_SECONDS: SECONDS, "300", "How long a counter that is not counted any more is sent as 0.", "a";
        DD_DOGSTATSD_CONTEXT_EXPIRY_SECONDS: Integer { min: 1, max: 86_400, unit: "seconds" }, "20", "How long a metric without samples stays in memory (counters: longer by `DD_DOGSTATSD_EXPIRY_SECONDS`).", "a";
        LASTLIGHT_METRIC_CONTEXTS: Integer { min: 100, max: 100_000_000, unit: "contexts" }, "1000000", "Different metrics with their tags at one time, as far as memory goes. Samples of further ones are dropped and counted. The mini agent has 10240, fixed.", "";
        LASTLIGHT_METRIC_INSTANCE_TAG: Choice(&["auto", "true", "false"]), "auto", "Series of this agent carry a tag that tells it from other instances; without it the backend keeps one of several instances' equal series. It costs one series for each series and instance; distributions need none. auto: when there is no host name.", "";
    }
    "Rules" {
        DD_APM_REPLACE_TAGS: ReplaceRules, "", "Replacements in tags (`*`: all, `resource.name`: the resource). A bad rule stops the start.", "m a i b";
        DD_APM_FILTER_TAGS_REQUIRE: TagRules, "", "Traces whose root lacks one of these tags are dropped.", "a i b";
        DD_APM_FILTER_TAGS_REJECT: TagRules, "", "Traces whose root has one of these tags are dropped.", "a i b";
        DD_APM_FILTER_TAGS_REGEX_REQUIRE: TagRegexRules, "", "Like `DD_APM_FILTER_TAGS_REQUIRE`, with patterns.", "a i b";
        DD_APM_FILTER_TAGS_REGEX_REJECT: TagRegexRules, "", "Like `DD_APM_FILTER_TAGS_REJECT`, with patterns.", "a i b";
        DD_APM_IGNORE_RESOURCES | DD_IGNORE_RESOURCE: Regexes, "", "Traces whose root's resource matches one are dropped.", "a i";
    }
    "Obfuscation" {
        DD_APM_SQL_OBFUSCATION_MODE: Choice(&["normalize_only", "obfuscate_only", "obfuscate_and_normalize"]), "", "How SQL is obfuscated; not set: the reference's default.", "a";
        DD_APM_OBFUSCATION_CACHE_ENABLED: SWITCH, "true", "Remember obfuscated statements.", "a";
        DD_APM_OBFUSCATION_CACHE_MAX_SIZE: Bytes { min: 0, max: 1 << 32 }, "5000000", "Bound of that memory.", "a";
        DD_APM_OBFUSCATION_HTTP_REMOVE_QUERY_STRING | DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING: SWITCH, "false", "Cut the query from `http.url`.", "m a b";
        DD_APM_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS | DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS: SWITCH, "false", "Replace path segments with digits in `http.url`.", "m a b";
        DD_APM_OBFUSCATION_REDIS_ENABLED: SWITCH, "true", "Obfuscate `redis.raw_command`. Off in the mini agent.", "m a";
        DD_APM_OBFUSCATION_REDIS_REMOVE_ALL_ARGS: SWITCH, "false", "Replace every argument.", "m a";
        DD_APM_OBFUSCATION_VALKEY_ENABLED: SWITCH, "true", "Obfuscate `valkey.raw_command`.", "a";
        DD_APM_OBFUSCATION_VALKEY_REMOVE_ALL_ARGS: SWITCH, "false", "Replace every argument.", "a";
        DD_APM_OBFUSCATION_MEMCACHED_ENABLED: SWITCH, "true", "Obfuscate `memcached.command`. Off in the mini agent.", "m a";
        DD_APM_OBFUSCATION_MEMCACHED_KEEP_COMMAND: SWITCH, "false", "Keep the command. Always kept by the mini agent.", "a";
        DD_APM_OBFUSCATION_MONGODB_ENABLED: SWITCH, "true", "Obfuscate `mongodb.query`. Off in the mini agent.", "a";
        DD_APM_OBFUSCATION_MONGODB_KEEP_VALUES: List, "", "Keys whose values stay.", "a";
        DD_APM_OBFUSCATION_MONGODB_OBFUSCATE_SQL_VALUES: List, "", "Keys whose values are SQL.", "a";
        DD_APM_OBFUSCATION_ELASTICSEARCH_ENABLED: SWITCH, "true", "Obfuscate `elasticsearch.body`. Off in the mini agent.", "a";
        DD_APM_OBFUSCATION_ELASTICSEARCH_KEEP_VALUES: List, "", "Keys whose values stay.", "a";
        DD_APM_OBFUSCATION_ELASTICSEARCH_OBFUSCATE_SQL_VALUES: List, "", "Keys whose values are SQL.", "a";
        DD_APM_OBFUSCATION_OPENSEARCH_ENABLED: SWITCH, "true", "Obfuscate `opensearch.body`. Off in the mini agent.", "a";
        DD_APM_OBFUSCATION_OPENSEARCH_KEEP_VALUES: List, "", "Keys whose values stay.", "a";
        DD_APM_OBFUSCATION_OPENSEARCH_OBFUSCATE_SQL_VALUES: List, "", "Keys whose values are SQL.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_ENABLED: SWITCH, "false", "Obfuscate SQL execution plans.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_KEEP_VALUES: List, "", "Keys whose values stay.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_OBFUSCATE_SQL_VALUES: List, "", "Keys whose values are SQL.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_ENABLED: SWITCH, "false", "Normalize SQL execution plans.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_KEEP_VALUES: List, "", "Keys whose values stay.", "a";
        DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_OBFUSCATE_SQL_VALUES: List, "", "Keys whose values are SQL.", "a";
        DD_APM_OBFUSCATION_CREDIT_CARDS_ENABLED: SWITCH, "true", "Replace card numbers in any tag. The mini agent looks at `card.number` only.", "a";
        DD_APM_OBFUSCATION_CREDIT_CARDS_LUHN: SWITCH, "false", "Only numbers that pass the Luhn check. Always on in the mini agent.", "a";
        DD_APM_OBFUSCATION_CREDIT_CARDS_KEEP_VALUES: List, "", "Tags that are left alone.", "a";
        DD_APM_OBFUSCATION_REMOVE_STACK_TRACES: SWITCH, "false", "Replace the stack traces of errors.", "a";
    }
    "Sampling" {
        DD_APM_TARGET_TPS | DD_APM_MAX_TPS | DD_MAX_TPS: TPS, "10", "Traces a second the priority sampler aims at.", "a";
        DD_APM_ERROR_TPS: TPS, "10", "Traces with errors a second kept beyond that; 0 switches the error sampler off.", "a";
        DD_APM_ENABLE_RARE_SAMPLER: SWITCH, "false", "Keep rare traces (5 a second).", "a";
        DD_APM_PROBABILISTIC_SAMPLER_ENABLED: SWITCH, "false", "Sample by trace id instead of by priority.", "a";
        DD_APM_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE: Decimal { min: 0.0, max: 100.0, unit: "percent" }, "0", "Share of traces the probabilistic sampler keeps.", "a";
        DD_APM_PROBABILISTIC_SAMPLER_HASH_SEED: Integer { min: 0, max: u32::MAX as i64, unit: "" }, "0", "Seed of its hash; the same on all agents that must agree.", "a";
        DD_APM_ERROR_TRACKING_STANDALONE_ENABLED: SWITCH, "false", "Keep traces with errors and nothing else.", "a";
    }
    "Stats" {
        DD_AGENT_STATS_COMPUTATION_ENABLED: SWITCH, "", "Not set: stats are computed here unless the tracer did. true: tracers are also asked not to drop traces they did not sample. false: stats are not computed here. The mini agent computes none unless this is true.", "m";
        DD_SERVERLESS_INIT_DISABLE_TRACE_STATS: SWITCH, "false", "Compute no stats here.", "i";
        DD_APM_COMPUTE_STATS_BY_SPAN_KIND: SWITCH, "true", "Count spans with a span kind even when they are not top level.", "a";
        DD_APM_PEER_TAGS_AGGREGATION: SWITCH, "true", "Tell peers apart in stats.", "a";
        DD_APM_PEER_SERVICE_AGGREGATION: SWITCH, "true", "Older name of that; either of the two switches it on.", "a";
        DD_APM_PEER_TAGS: JsonList, "", "Peer tags beyond the reference's.", "a";
    }
    "Logs" {
        DD_LOGS_ENABLED: SWITCH, "false", "Logs are taken: a wrapped program's output, files, and what is posted to `/v1/input`. On in the sidecar (`lastlight run` without a command).", "m a i b";
        DD_LOGS_PORT: Port, "10517", "TCP port, on 127.0.0.1, of `POST /v1/input`; 0 for none. The mini agent has it on all addresses.", "m";
        DD_SOURCE: Text, "", "Source of logs. Not set: the platform, or `lastlight`.", "i";
        DD_LOGS_CONFIG_PROCESSING_RULES: LogRules, "", "What is left out, kept or masked, and what begins a record of several lines. A bad rule stops the start: a wrapped program then runs without its agent.", "a b";
        DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION | DD_LOGS_CONFIG_AUTO_MULTI_LINE: SWITCH, "true", "Lines of one stack trace are one log. Off in the reference.", "a";
        DD_LOGS_CONFIG_BATCH_WAIT: PERIOD, "5s", "Longest time a log waits for its batch.", "a i";
        DD_LOGS_CONFIG_USE_COMPRESSION: SWITCH, "true", "Compress logs (zstd).", "m a b";
        DD_LOGS_CONFIG_COMPRESSION_LEVEL: Integer { min: -7, max: 22, unit: "" }, "1", "Level of it. The mini agent has 3.", "m a b";
        DD_SERVERLESS_LOG_PATH: Text, "", "Files to follow: a path in which `*`, `?` and `[a-z]` stand for characters of one name; `**` is no more than `*`.", "i";
        DD_AAS_INSTANCE_LOGGING_ENABLED: SWITCH, "false", "Follow the files that App Service writes for this instance, instead of `DD_SERVERLESS_LOG_PATH`.", "i";
        DD_AAS_INSTANCE_LOG_FILE_DESCRIPTOR: Text, "", "Part of their names behind the instance's.", "i";
        LASTLIGHT_LOG_POSITIONS: Text, "", "File in which the positions in followed files are kept over a restart. Not set: `.lastlight-positions-` and a hash of the pattern, in the last folder before any placeholder.", "";
        DD_LOGS_CONFIG_LOGS_DD_URL: Text, "", "Where logs go instead of `https://http-intake.logs.<site>/api/v2/logs`: a URL, or host and port.", "a b";
        DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS: LogEndpoints, "", "Where logs go as well.", "m a b";
        DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED: SWITCH, "false", "Logs go to an Observability Pipelines worker, uncompressed, and nowhere else.", "m a b";
        DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL: Url, "", "URL of that worker. Without a path, `/api/v2/logs` is added.", "m a b";
    }
    "Delivery" {
        DD_APM_DD_URL: Url, "", "Where traces, stats and data streams go instead of `https://trace.agent.<site>`.", "m a i b";
        DD_APM_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where traces, stats and data streams go as well.", "a i b";
        DD_DD_URL | DD_URL: Url, "", "Where metrics, service checks and events go instead of `https://api.<site>` and, for events, `https://app.<site>`. The reference's host names change with each of its releases; these do not.", "a i b";
        DD_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where metrics, service checks and events go as well.", "a i b";
        DD_APM_PROFILING_DD_URL: Url, "", "Where profiles go instead of `https://intake.profile.<site>/api/v2/profile`. Without a path, that path is added, as the mini agent does.", "m a";
        DD_APM_PROFILING_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where profiles go as well.", "a";
        DD_APM_TELEMETRY_ENABLED: SWITCH, "true", "Offer the tracers' telemetry route.", "a";
        DD_APM_TELEMETRY_DD_URL: Url, "", "Where the tracers' telemetry goes instead of `https://instrumentation-telemetry-intake.<site>`.", "a";
        DD_APM_TELEMETRY_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where it goes as well.", "a";
        DD_APM_DEBUGGER_DD_URL: Url, "", "Where debugger logs go instead of `https://http-intake.logs.<site>/api/v2/logs`.", "a";
        DD_APM_DEBUGGER_API_KEY: Secret, "", "Key for them, instead of `DD_API_KEY`.", "a";
        DD_APM_DEBUGGER_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where they go as well.", "a";
        DD_APM_DEBUGGER_DIAGNOSTICS_DD_URL: Url, "", "Where debugger diagnostics and `/debugger/v2/input` go instead of `https://debugger-intake.<site>/api/v2/debugger`.", "a";
        DD_APM_DEBUGGER_DIAGNOSTICS_API_KEY: Secret, "", "Key for them, instead of `DD_API_KEY`.", "a";
        DD_APM_DEBUGGER_DIAGNOSTICS_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where they go as well.", "a";
        DD_APM_SYMDB_DD_URL: Url, "", "Where symbol databases go instead of `https://debugger-intake.<site>/api/v2/debugger`.", "a";
        DD_APM_SYMDB_API_KEY: Secret, "", "Key for them, instead of `DD_API_KEY`.", "a";
        DD_APM_SYMDB_ADDITIONAL_ENDPOINTS: EndpointMap, "", "Where they go as well.", "a";
        DD_EVP_PROXY_CONFIG_ENABLED: SWITCH, "true", "Offer the `/evp_proxy` routes.", "a";
        DD_EVP_PROXY_CONFIG_DD_URL: UrlOrSite, "", "Domain events go to instead of the site (`https://<subdomain>.<domain>`); a full URL takes all of them as it is.", "a";
        DD_EVP_PROXY_CONFIG_API_KEY: Secret, "", "Key for them, instead of `DD_API_KEY`.", "a";
        DD_EVP_PROXY_CONFIG_MAX_PAYLOAD_SIZE: BODY, "10000000", "Biggest body of one such request.", "a";
        DD_EVP_PROXY_CONFIG_RECEIVER_TIMEOUT: TIMEOUT, "30s", "How long one such request may take.", "a";
        DD_APP_KEY: Secret, "", "Application key, added to events that ask for it.", "a";
        DD_OL_PROXY_CONFIG_ENABLED: SWITCH, "true", "Offer the OpenLineage route.", "a";
        DD_OL_PROXY_CONFIG_DD_URL: UrlOrSite, "", "Domain or URL lineage goes to instead of `https://data-obs-intake.<site>/api/v1/lineage`.", "a";
        DD_OL_PROXY_CONFIG_API_KEY: Secret, "", "Key for it, instead of `DD_API_KEY`.", "a";
        LASTLIGHT_FLUSH_PERIOD: PERIOD, "1s", "Longest time a trace waits for its batch. The reference has 5 s: a program that lives for seconds should not risk them.", "";
        LASTLIGHT_COMPRESSION: Choice(&["zstd", "gzip", "none"]), "zstd", "Compression of traces and metrics.", "";
        DD_APM_CONFIG_COMPRESSION_LEVEL: Integer { min: -7, max: 22, unit: "(gzip: 0 to 9)" }, "1", "Level of it; 1 is the fastest of the usual ones, below it are faster and larger ones, above 4 zstd gains little.", "b";
    }
    "Proxy and TLS" {
        DD_PROXY_HTTP | HTTP_PROXY | http_proxy: ProxyUrl, "", "Proxy for `http` URLs.", "a i b std";
        DD_PROXY_HTTPS | HTTPS_PROXY | https_proxy: ProxyUrl, "", "Proxy for `https` URLs, of every signal. The mini agent sends stats around it.", "m a i b std";
        DD_PROXY_NO_PROXY | NO_PROXY | no_proxy: Words, "", "Hosts reached without a proxy, with or without port.", "a i b std";
        DD_NO_PROXY_NONEXACT_MATCH: SWITCH, "false", "Hosts of that list also stand for what is below them. What can only be a pattern (`.a.example`, `10.0.0.0/8`, `*`) is one either way.", "a";
        DD_USE_PROXY_FOR_CLOUD_METADATA: SWITCH, "false", "Endpoints at cloud metadata addresses are reached through the proxy too.", "a";
        DD_TLS_CERT_FILE: CertificateFile, "", "PEM file of further trusted root certificates, next to the system's.", "b";
        DD_SKIP_SSL_VALIDATION: SWITCH, "false", "Accept any certificate. Telemetry can then be read and changed on its way.", "a b";
        DD_MIN_TLS_VERSION: Choice(&["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"]), "tlsv1.2", "Oldest TLS version; below 1.2 there is none, so the first two mean 1.2.", "a";
    }
    "Life of the process" {
        LASTLIGHT_MEMORY: MEMORY, "64MiB", "Bound of all telemetry held at one time.", "";
        LASTLIGHT_STOP_TIMEOUT: Duration { min_ms: 0, max_ms: 3_600_000 }, "9s", "Longest time a stop may take, counted from the first request to end: a second less than the platform's grace, which is 30 s on Container Apps and App Service (`WEBSITES_SHUTDOWN_TIMEOUT`) and otherwise taken for 10 s.", "";
        LASTLIGHT_STOP_SIGNAL: Choice(&["sigterm", "sigint", "sigquit", "sighup", "sigwinch"]), "sigterm", "The image's `STOPSIGNAL`, as which `lastlight run` understands that the platform's grace begins; SIGTERM always is one.", "";
        LASTLIGHT_KILL_AFTER: Duration { min_ms: 1, max_ms: 3_600_000 }, "", "How long after a request to end a wrapped program that still runs is killed. Not set: that is left to the platform.", "";
        LASTLIGHT_SUBREAPER: SWITCH, "false", "`lastlight run` adopts and reaps orphans where it is not process 1.", "";
        LASTLIGHT_STRICT_EXIT: SWITCH, "false", "Exit with 75 when a stop had to drop something.", "";
        LASTLIGHT_EXIT_WITH_PARENT: SWITCH, "", "Drain and exit when the parent process is gone. On when `DD_SERVERLESS_COMPAT_VERSION` is set: a compat layer starts us.", "";
    }
    "Sidecar" {
        DD_TRACE_SIDECAR_CONNECTION_MODE: Text, "auto", "Where liblastlight runs the agent: in a `subprocess`, on a `thread` of the program, or `auto`: a subprocess where one can be had. Another word means auto, with a message.", "";
        LASTLIGHT_BINARY: Text, "", "The program of the subprocess. Not set: `lastlight` beside the library, else in `PATH`.", "";
        LASTLIGHT_SIDECAR_LOG: Text, "", "File that the subprocess appends to what it says; nothing is said otherwise. On a thread it is the program's to say.", "";
    }
    "Platform" {
        DD_SERVERLESS_COMPAT_VERSION: Text, "", "Version of the compat layer that started us; tag `_dd.serverless_compat_version`.", "m";
        DD_AZURE_RESOURCE_GROUP: Text, "", "Azure resource group, for tags. Flex Consumption does not tell it otherwise.", "m i";
        DD_AZURE_SUBSCRIPTION_ID: Text, "", "Azure subscription, for tags of Container Apps.", "i";
        DD_ENHANCED_METRICS_ENABLED: SWITCH, "true", "Metrics of the platform itself: starts, instances, CPU, memory, network, tasks of a job.", "m i";
        DD_AWS_MICROVM_LIFECYCLE_PORT: Port, "9000", "TCP port, on all addresses, on which a MicroVM's platform says what happens to it (`lastlight run`); 0 for none.", "i";
        DD_AWS_MICROVM_USER_APP_PORT: Integer { min: 1, max: 65_535, unit: "" }, "", "Port, on 127.0.0.1, on which a wrapped program hears of it too; its answer is the platform's.", "i";
        DD_AWS_MICROVM_FORWARD_TIMEOUT_MS: MILLISECONDS, "30000", "How long that program may take to answer run, launch, resume, suspend and terminate.", "i";
        DD_AWS_MICROVM_READY_TIMEOUT_MS: MILLISECONDS, "60000", "The same for ready, with the time it takes to listen.", "i";
        DD_AWS_MICROVM_VALIDATE_TIMEOUT_MS: MILLISECONDS, "60000", "The same for validate.", "i";
        GCE_METADATA_HOST: Text, "metadata.google.internal", "Host, and port, of Google's metadata server.", "std";
    }
}
