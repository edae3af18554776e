//! From what was said to what it means.

mod dogstatsd;
mod logs;
mod microvm;

use super::endpoint::{DEBUGGER_PATH, LOGS_PATH, OPENLINEAGE_PATH, PROFILING_PATH, url_or_site};
use super::reader::Reader;
use super::source::Strings;
use super::table::{self, Kind, Setting};
use super::{
    BaseUrl, Compression, CompressionKind, Config, ConfigError, Destination, Endpoint, Endpoints, EvpTarget,
    Identity, Receiver, Said, StatsMode, parse,
};
use crate::forward::proxy::{Proxy, ProxySettings};
use crate::forward::tls::{MinimumTls, TlsSettings};
use crate::platform::{self, Detection, Face, Probe};
use log::LevelFilter;
use pipeline::config::{
    CommandConfig, CreditCardConfig, HttpConfig, JsonConfig, MemcachedConfig, ObfuscationConfig,
    ProbabilisticConfig, ProcessConfig, RareConfig, Rules, SamplingConfig, SqlMode, StatsConfig,
};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Environment of spans that have none, when the user named none either (`facts/settings.md` §1).
const ENV_DEFAULT: &str = "none";
/// Where an endpoint is from that no variable names.
const BY_SITE: &str = "from DD_SITE";
/// The rare sampler's figures (`facts/trace-intake.md` §7).
const RARE: RareConfig = RareConfig { tps: 5.0, ttl_seconds: 300, cardinality: 200 };

pub(super) fn read(strings: &dyn Strings, face: Face, probe: &Probe) -> (Config, Vec<ConfigError>) {
    let reader = &mut Reader::new(strings);
    let detection = platform::detect(strings, face);
    defaults(reader, strings, face, detection.platform);
    let identity = identity(reader, &detection, probe);
    let features =
        reader.optional(&table::DD_APM_FEATURES, |text| Ok(parse::words(text))).unwrap_or_default();
    for feature in features.iter().filter(|feature| !KNOWN_FEATURES.contains(&feature.as_str())) {
        reader.warnings.push(format!("DD_APM_FEATURES: {feature:?} has no effect here"));
    }
    let process = process(reader, &identity, &features, strings, &detection, face);
    let site = reader.value(&table::DD_SITE, parse::site);
    if site.starts_with("app.") {
        let rest = site.trim_start_matches("app.");
        reader.warnings.push(format!("DD_SITE={site}: the site is probably {rest}, without app."));
    }
    let (bind, bind_address) = bind(reader);
    let receiver = receiver(reader, bind_address, face);
    let logs = logs::read(reader, strings, detection.platform);
    let config = Config {
        dogstatsd: dogstatsd::read(reader, bind, &receiver, &identity, detection.platform, face),
        microvm: microvm::read(reader, detection.platform, face),
        enhanced_metrics: reader.boolean(&table::DD_ENHANCED_METRICS_ENABLED),
        face,
        receiver,
        api_key: reader.optional(&table::DD_API_KEY, parse::secret),
        endpoints: endpoints(reader, &site, logs.to_worker),
        logs,
        site,
        stats: stats_mode(reader, &process),
        process,
        identity,
        platform: detection.platform,
        metadata_host: reader.value(&table::GCE_METADATA_HOST, platform::metadata::host),
        compression: compression(reader),
        flush_period: reader.duration(&table::LASTLIGHT_FLUSH_PERIOD),
        proxy: proxy(reader),
        tls: tls(reader),
        memory_bytes: reader.bytes(&table::LASTLIGHT_MEMORY),
        stop_timeout: reader.duration(&table::LASTLIGHT_STOP_TIMEOUT),
        stop_signal: reader.choice(&table::LASTLIGHT_STOP_SIGNAL),
        kill_after: reader.optional_duration(&table::LASTLIGHT_KILL_AFTER),
        subreaper: reader.boolean(&table::LASTLIGHT_SUBREAPER),
        strict_exit: reader.boolean(&table::LASTLIGHT_STRICT_EXIT),
        exit_with_parent: exit_with_parent(reader),
        log_level: log_level(reader),
        features,
        warnings: Vec::new(),
        said: Vec::new(),
    };
    for setting in [
        // Read by `platform`, and by who hosts the sidecar.
        &table::DD_AZURE_RESOURCE_GROUP,
        &table::DD_AZURE_SUBSCRIPTION_ID,
        &table::DD_TRACE_SIDECAR_CONNECTION_MODE,
        &table::LASTLIGHT_BINARY,
        &table::LASTLIGHT_SIDECAR_LOG,
    ] {
        reader.text(setting);
    }
    if config.receiver.body_max_bytes >= config.memory_bytes {
        let why = format!("such a request cannot be held within LASTLIGHT_MEMORY={}", config.memory_bytes);
        reader.conflict(&table::DD_APM_MAX_PAYLOAD_SIZE, why);
    }
    if !detection.others.is_empty() {
        let others = detection.others.join(", ");
        let taken = config.platform.name();
        reader.warnings.push(format!("platform taken for {taken}; the variables also fit {others}"));
    }
    let place = |said: &Said| table::all().position(|setting| std::ptr::eq(setting, said.setting));
    model::order::sort_by(&mut reader.said, |a, b| place(a).cmp(&place(b)));
    let warnings = std::mem::take(&mut reader.warnings);
    let said = std::mem::take(&mut reader.said);
    (Config { warnings, said, ..config }, std::mem::take(&mut reader.errors))
}

/// What `DD_APM_FEATURES` may name. `429` is what we always do (losses.md L114).
const KNOWN_FEATURES: &[&str] =
    &["429", "big_resource", "error_rare_sample_tracer_drop", "probabilistic_sampler_full_trace_id"];

/// What a stop leaves of the platform's grace.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Defaults that follow from where we run, and as what (`facts/platforms.md` §8).
fn defaults(reader: &mut Reader<'_>, strings: &dyn Strings, face: Face, platform: platform::Platform) {
    if let Some(grace) = platform.stop_grace(strings) {
        let timeout = grace.saturating_sub(STOP_MARGIN).as_secs();
        reader.default_to(&table::LASTLIGHT_STOP_TIMEOUT, format!("{timeout}s"), "by the platform's grace");
    }
    match face {
        Face::Agent => return,
        // Its clients come over the channel; no port and no file that nobody asked for.
        Face::Library => {
            for setting in [&table::DD_APM_RECEIVER_PORT, &table::DD_DOGSTATSD_PORT, &table::DD_LOGS_PORT] {
                reader.default_to(setting, "0", "behind a runtime's channel");
            }
            reader.default_to(&table::DD_LOGS_ENABLED, "true", "behind a runtime's channel");
            reader.default_to(&table::DD_LOG_LEVEL, "warn", "behind a runtime's channel");
            return;
        }
        Face::Entrypoint | Face::Sidecar => {}
    }
    // What a wrapped program's own words drown in, or what a platform takes for its words.
    reader.default_to(&table::DD_LOG_LEVEL, "warn", "around or beside a program");
    reader.default_to(&table::DD_HOSTNAME, "none", "around or beside a program");
    if face == Face::Sidecar {
        for setting in [
            &table::DD_LOGS_ENABLED,
            &table::DD_APM_NON_LOCAL_TRAFFIC,
            &table::DD_DOGSTATSD_NON_LOCAL_TRAFFIC,
        ] {
            reader.default_to(setting, "true", "beside programs");
        }
    }
}

fn identity(reader: &mut Reader<'_>, detection: &Detection, probe: &Probe) -> Identity {
    let given = reader.optional(&table::DD_HOSTNAME, parse::host_name);
    let hostname = match given {
        Some(name) if name.eq_ignore_ascii_case("none") => String::new(),
        Some(name) => name,
        None => {
            let (name, how) = platform::hostname(&detection.platform, probe);
            reader.replace_default(&table::DD_HOSTNAME, &name, how);
            name
        }
    };
    let mut tags = Vec::new();
    for setting in [&table::DD_TAGS, &table::DD_EXTRA_TAGS] {
        let (more, odd) = reader.optional(setting, |text| Ok(parse::tags(text))).unwrap_or_default();
        for tag in more {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        for piece in odd {
            reader.warnings.push(format!("{}: {piece:?} has no key and is left out", setting.name()));
        }
    }
    Identity {
        hostname,
        env: reader.text(&table::DD_ENV),
        service: reader.text(&table::DD_SERVICE),
        version: reader.text(&table::DD_VERSION),
        tags,
    }
}

/// Where listeners bind, as `DD_BIND_HOST` says it.
#[derive(Clone, Copy, Debug)]
enum Bind {
    /// Nothing was said, or `localhost`: loopback of each family.
    Loopback,
    /// One address.
    Only(IpAddr),
}

fn bind(reader: &mut Reader<'_>) -> (Bind, IpAddr) {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let bind = reader.optional(&table::DD_BIND_HOST, |text| {
        let address = parse::bind_host(text)?;
        Ok(if text.eq_ignore_ascii_case("localhost") { Bind::Loopback } else { Bind::Only(address) })
    });
    match bind {
        Some(Bind::Only(address)) if reader.is_set(&table::DD_BIND_HOST) => (Bind::Only(address), address),
        _ => (Bind::Loopback, localhost),
    }
}

/// A port; 0 is one too, and means none.
fn port(text: &str) -> Result<u16, parse::Why> {
    text.parse().map_err(|_| "it is no port".to_owned())
}

fn receiver(reader: &mut Reader<'_>, bind: IpAddr, face: Face) -> Receiver {
    let apm = reader.boolean(&table::DD_APM_ENABLED);
    let traced = reader.boolean(&table::DD_TRACE_ENABLED);
    let listens = reader.boolean(&table::DD_APM_RECEIVER_ENABLED);
    let port = reader.value(&table::DD_APM_RECEIVER_PORT, port);
    let non_local = reader.boolean(&table::DD_APM_NON_LOCAL_TRAFFIC);
    if non_local {
        reader.replace(&table::DD_BIND_HOST, "0.0.0.0", "by DD_APM_NON_LOCAL_TRAFFIC, for the receiver");
    }
    let mut receiver = Receiver {
        enabled: apm && listens && (traced || matches!(face, Face::Agent | Face::Library)),
        port: Some(port).filter(|port| *port != 0),
        bind: if non_local { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { bind },
        socket: reader.optional(&table::DD_APM_RECEIVER_SOCKET, parse::socket),
        pipe_name: reader.optional(&table::DD_APM_WINDOWS_PIPE_NAME, parse::pipe_name),
        body_max_bytes: reader.bytes(&table::DD_APM_MAX_PAYLOAD_SIZE),
        read_timeout: reader.duration(&table::DD_APM_RECEIVER_TIMEOUT),
        connections_max: usize::try_from(reader.integer(&table::DD_APM_MAX_CONNECTIONS))
            .unwrap_or(usize::MAX),
    };
    let has_none = receiver.port.is_none() && receiver.socket.is_none() && receiver.pipe_name.is_none();
    if has_none && face == Face::Library {
        receiver.enabled = false;
    } else if receiver.enabled && has_none {
        let why =
            "no transport is left; set DD_APM_RECEIVER_SOCKET, or DD_APM_RECEIVER_ENABLED=false".to_owned();
        reader.conflict(&table::DD_APM_RECEIVER_PORT, why);
    }
    receiver
}

fn process(
    reader: &mut Reader<'_>,
    identity: &Identity,
    features: &[String],
    strings: &dyn Strings,
    detection: &Detection,
    face: Face,
) -> ProcessConfig {
    let has = |feature: &str| features.iter().any(|given| given == feature);
    let env = reader.text(&table::DD_APM_ENV).or_else(|| identity.env.clone());
    let env = env.unwrap_or_else(|| ENV_DEFAULT.to_owned());
    reader.replace_default(
        &table::DD_APM_ENV,
        &env,
        if identity.env.is_some() { "as DD_ENV" } else { "default" },
    );
    reader.text(&table::DD_SERVERLESS_COMPAT_VERSION);
    let metadata = platform::Metadata::default();
    let tags = platform::tags(&detection.platform, strings, &metadata, face, identity);
    ProcessConfig {
        env,
        obfuscation: obfuscation(reader),
        rules: Rules {
            replace: reader.optional(&table::DD_APM_REPLACE_TAGS, parse::replace_rules).unwrap_or_default(),
            reject: reader.optional(&table::DD_APM_FILTER_TAGS_REJECT, parse::tag_rules).unwrap_or_default(),
            reject_regex: reader
                .optional(&table::DD_APM_FILTER_TAGS_REGEX_REJECT, parse::tag_regex_rules)
                .unwrap_or_default(),
            require: reader
                .optional(&table::DD_APM_FILTER_TAGS_REQUIRE, parse::tag_rules)
                .unwrap_or_default(),
            require_regex: reader
                .optional(&table::DD_APM_FILTER_TAGS_REGEX_REQUIRE, parse::tag_regex_rules)
                .unwrap_or_default(),
            ignore_resources: reader
                .optional(&table::DD_APM_IGNORE_RESOURCES, parse::regexes)
                .unwrap_or_default(),
        },
        sampling: sampling(reader, &has),
        stats: StatsConfig {
            by_span_kind: reader.boolean(&table::DD_APM_COMPUTE_STATS_BY_SPAN_KIND),
            peer_tags_aggregation: {
                // Both are read, so that a bad one is told even when the other decides.
                let tags = reader.boolean(&table::DD_APM_PEER_TAGS_AGGREGATION);
                let service = reader.boolean(&table::DD_APM_PEER_SERVICE_AGGREGATION);
                tags || service
            },
            extra_peer_tags: reader.optional(&table::DD_APM_PEER_TAGS, parse::json_list).unwrap_or_default(),
            additional_metric_tags: Vec::new(),
        },
        big_resource: has("big_resource"),
        root_tags: tags.root,
    }
}

fn obfuscation(reader: &mut Reader<'_>) -> ObfuscationConfig {
    let mode = match reader.choice(&table::DD_APM_SQL_OBFUSCATION_MODE).as_str() {
        "normalize_only" => SqlMode::NormalizeOnly,
        "obfuscate_only" => SqlMode::ObfuscateOnly,
        "obfuscate_and_normalize" => SqlMode::ObfuscateAndNormalize,
        _ => SqlMode::Default,
    };
    let cache = reader.boolean(&table::DD_APM_OBFUSCATION_CACHE_ENABLED);
    let cache_max_bytes = reader.bytes(&table::DD_APM_OBFUSCATION_CACHE_MAX_SIZE);
    ObfuscationConfig {
        cache_max_bytes: if cache { cache_max_bytes } else { 0 },
        sql_mode: mode,
        http: HttpConfig {
            remove_query_string: reader.boolean(&table::DD_APM_OBFUSCATION_HTTP_REMOVE_QUERY_STRING),
            remove_paths_with_digits: reader
                .boolean(&table::DD_APM_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS),
        },
        redis: CommandConfig {
            enabled: reader.boolean(&table::DD_APM_OBFUSCATION_REDIS_ENABLED),
            remove_all_args: reader.boolean(&table::DD_APM_OBFUSCATION_REDIS_REMOVE_ALL_ARGS),
        },
        valkey: CommandConfig {
            enabled: reader.boolean(&table::DD_APM_OBFUSCATION_VALKEY_ENABLED),
            remove_all_args: reader.boolean(&table::DD_APM_OBFUSCATION_VALKEY_REMOVE_ALL_ARGS),
        },
        memcached: MemcachedConfig {
            enabled: reader.boolean(&table::DD_APM_OBFUSCATION_MEMCACHED_ENABLED),
            keep_command: reader.boolean(&table::DD_APM_OBFUSCATION_MEMCACHED_KEEP_COMMAND),
        },
        mongodb: json(
            reader,
            &table::DD_APM_OBFUSCATION_MONGODB_ENABLED,
            &table::DD_APM_OBFUSCATION_MONGODB_KEEP_VALUES,
            &table::DD_APM_OBFUSCATION_MONGODB_OBFUSCATE_SQL_VALUES,
        ),
        elasticsearch: json(
            reader,
            &table::DD_APM_OBFUSCATION_ELASTICSEARCH_ENABLED,
            &table::DD_APM_OBFUSCATION_ELASTICSEARCH_KEEP_VALUES,
            &table::DD_APM_OBFUSCATION_ELASTICSEARCH_OBFUSCATE_SQL_VALUES,
        ),
        opensearch: json(
            reader,
            &table::DD_APM_OBFUSCATION_OPENSEARCH_ENABLED,
            &table::DD_APM_OBFUSCATION_OPENSEARCH_KEEP_VALUES,
            &table::DD_APM_OBFUSCATION_OPENSEARCH_OBFUSCATE_SQL_VALUES,
        ),
        sql_exec_plan: json(
            reader,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_ENABLED,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_KEEP_VALUES,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_OBFUSCATE_SQL_VALUES,
        ),
        sql_exec_plan_normalize: json(
            reader,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_ENABLED,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_KEEP_VALUES,
            &table::DD_APM_OBFUSCATION_SQL_EXEC_PLAN_NORMALIZE_OBFUSCATE_SQL_VALUES,
        ),
        credit_cards: CreditCardConfig {
            enabled: reader.boolean(&table::DD_APM_OBFUSCATION_CREDIT_CARDS_ENABLED),
            luhn: reader.boolean(&table::DD_APM_OBFUSCATION_CREDIT_CARDS_LUHN),
            keep_values: list(reader, &table::DD_APM_OBFUSCATION_CREDIT_CARDS_KEEP_VALUES),
        },
        remove_stack_traces: reader.boolean(&table::DD_APM_OBFUSCATION_REMOVE_STACK_TRACES),
    }
}

fn json(
    reader: &mut Reader<'_>,
    enabled: &'static Setting,
    keep_values: &'static Setting,
    sql_values: &'static Setting,
) -> JsonConfig {
    JsonConfig {
        enabled: reader.boolean(enabled),
        keep_values: list(reader, keep_values),
        obfuscate_sql_values: list(reader, sql_values),
    }
}

fn list(reader: &mut Reader<'_>, setting: &'static Setting) -> Vec<String> {
    reader.optional(setting, parse::list).unwrap_or_default()
}

fn sampling(reader: &mut Reader<'_>, has: &dyn Fn(&str) -> bool) -> SamplingConfig {
    let rare = reader.boolean(&table::DD_APM_ENABLE_RARE_SAMPLER);
    let probabilistic = reader.boolean(&table::DD_APM_PROBABILISTIC_SAMPLER_ENABLED);
    let percentage = reader.decimal(&table::DD_APM_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE);
    let seed = reader.integer(&table::DD_APM_PROBABILISTIC_SAMPLER_HASH_SEED);
    if probabilistic && percentage == 0.0 {
        let name = table::DD_APM_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE.name();
        reader
            .warnings
            .push(format!("{name} is 0: the probabilistic sampler keeps no trace without an error"));
    }
    SamplingConfig {
        target_tps: reader.decimal(&table::DD_APM_TARGET_TPS),
        error_tps: reader.decimal(&table::DD_APM_ERROR_TPS),
        rare: rare.then_some(RARE),
        probabilistic: probabilistic.then_some(ProbabilisticConfig {
            percentage,
            hash_seed: u32::try_from(seed).unwrap_or_default(),
            full_trace_id: has("probabilistic_sampler_full_trace_id"),
        }),
        error_tracking_standalone: reader.boolean(&table::DD_APM_ERROR_TRACKING_STANDALONE_ENABLED),
        error_rare_sample_tracer_drop: has("error_rare_sample_tracer_drop"),
    }
}

fn stats_mode(reader: &mut Reader<'_>, process: &ProcessConfig) -> StatsMode {
    let asked = reader.optional(&table::DD_AGENT_STATS_COMPUTATION_ENABLED, parse::boolean);
    let disabled = reader.boolean(&table::DD_SERVERLESS_INIT_DISABLE_TRACE_STATS);
    StatsMode {
        computed_here: asked.unwrap_or(true) && !disabled,
        // A tracer that drops what it did not sample must have counted it; who wants the counting done here
        // needs every trace here (`facts/trace-intake.md` §2).
        client_drop_p0s: asked != Some(true) && process.sampling.probabilistic.is_none(),
    }
}

fn endpoints(reader: &mut Reader<'_>, site: &str, to_worker: bool) -> Endpoints {
    let mut endpoints = Endpoints::of_site(site);
    let base = |base: &str| BaseUrl::new(base);
    destination(
        reader,
        &mut endpoints.traces,
        [&table::DD_APM_DD_URL, &table::DD_APM_ADDITIONAL_ENDPOINTS],
        None,
        base,
    );
    destination(
        reader,
        &mut endpoints.profiling,
        [&table::DD_APM_PROFILING_DD_URL, &table::DD_APM_PROFILING_ADDITIONAL_ENDPOINTS],
        None,
        |url| Ok(BaseUrl::new(url)?.or_path(PROFILING_PATH)),
    );
    destination(
        reader,
        &mut endpoints.metrics,
        [&table::DD_DD_URL, &table::DD_ADDITIONAL_ENDPOINTS],
        None,
        base,
    );
    if reader.is_set(&table::DD_DD_URL) {
        endpoints.events.main.url = endpoints.metrics.main.url.clone();
    }
    endpoints.events.additional.clone_from(&endpoints.metrics.additional);
    let telemetry_enabled = reader.boolean(&table::DD_APM_TELEMETRY_ENABLED);
    if let Some(telemetry) = &mut endpoints.telemetry {
        let settings = [&table::DD_APM_TELEMETRY_DD_URL, &table::DD_APM_TELEMETRY_ADDITIONAL_ENDPOINTS];
        destination(reader, telemetry, settings, None, base);
    }
    endpoints.telemetry = endpoints.telemetry.filter(|_| telemetry_enabled);
    destination(
        reader,
        &mut endpoints.debugger_logs,
        [&table::DD_APM_DEBUGGER_DD_URL, &table::DD_APM_DEBUGGER_ADDITIONAL_ENDPOINTS],
        Some(&table::DD_APM_DEBUGGER_API_KEY),
        |url| Ok(BaseUrl::new(url)?.or_path(LOGS_PATH)),
    );
    destination(
        reader,
        &mut endpoints.debugger_diagnostics,
        [
            &table::DD_APM_DEBUGGER_DIAGNOSTICS_DD_URL,
            &table::DD_APM_DEBUGGER_DIAGNOSTICS_ADDITIONAL_ENDPOINTS,
        ],
        Some(&table::DD_APM_DEBUGGER_DIAGNOSTICS_API_KEY),
        |url| Ok(BaseUrl::new(url)?.or_path(DEBUGGER_PATH)),
    );
    destination(
        reader,
        &mut endpoints.symbol_database,
        [&table::DD_APM_SYMDB_DD_URL, &table::DD_APM_SYMDB_ADDITIONAL_ENDPOINTS],
        Some(&table::DD_APM_SYMDB_API_KEY),
        |url| Ok(BaseUrl::new(url)?.or_path(DEBUGGER_PATH)),
    );
    events(reader, &mut endpoints);
    logs::destination(reader, &mut endpoints.logs, to_worker);
    let lineage_enabled = reader.boolean(&table::DD_OL_PROXY_CONFIG_ENABLED);
    let lineage_url = reader.optional(&table::DD_OL_PROXY_CONFIG_DD_URL, |text| {
        url_or_site(text, "data-obs-intake", OPENLINEAGE_PATH)
    });
    if let (None, Some(usual)) = (&lineage_url, &endpoints.openlineage) {
        reader.replace_default(&table::DD_OL_PROXY_CONFIG_DD_URL, usual.url.as_str(), BY_SITE);
    }
    let lineage_key = reader.optional(&table::DD_OL_PROXY_CONFIG_API_KEY, parse::secret);
    endpoints.openlineage = endpoints
        .openlineage
        .filter(|_| lineage_enabled)
        .map(|usual| Endpoint { url: lineage_url.unwrap_or(usual.url), api_key: lineage_key });
    endpoints
}

/// Reads URL, further endpoints and key of one signal.
fn destination(
    reader: &mut Reader<'_>,
    destination: &mut Destination,
    [url, additional]: [&'static Setting; 2],
    key: Option<&'static Setting>,
    parse_url: impl Fn(&str) -> Result<BaseUrl, parse::Why>,
) {
    match reader.optional(url, &parse_url) {
        Some(url) => destination.main.url = url,
        None => reader.replace_default(url, destination.main.url.as_str(), BY_SITE),
    }
    destination.main.api_key = key.and_then(|key| reader.optional(key, parse::secret));
    let parse_all = |text: &str| {
        let pairs = parse::endpoints(additional.kind, text)?.into_iter();
        pairs
            .map(|(url, key)| {
                let url = parse_url(&url).map_err(|why| format!("{url:?}: {why}"))?;
                Ok(Endpoint { url, api_key: Some(key) })
            })
            .collect()
    };
    destination.additional = reader.optional(additional, parse_all).unwrap_or_default();
}

fn events(reader: &mut Reader<'_>, endpoints: &mut Endpoints) {
    let enabled = reader.boolean(&table::DD_EVP_PROXY_CONFIG_ENABLED);
    if let Some(evp) = &mut endpoints.evp {
        match reader.optional(&table::DD_EVP_PROXY_CONFIG_DD_URL, EvpTarget::new) {
            Some(target) => evp.target = target,
            None => {
                reader.replace_default(&table::DD_EVP_PROXY_CONFIG_DD_URL, &evp.target.to_string(), BY_SITE)
            }
        }
        evp.api_key = reader.optional(&table::DD_EVP_PROXY_CONFIG_API_KEY, parse::secret);
        evp.application_key = reader.optional(&table::DD_APP_KEY, parse::secret);
        evp.body_max_bytes = reader.bytes(&table::DD_EVP_PROXY_CONFIG_MAX_PAYLOAD_SIZE);
        evp.timeout = reader.duration(&table::DD_EVP_PROXY_CONFIG_RECEIVER_TIMEOUT);
    }
    endpoints.evp = endpoints.evp.take().filter(|_| enabled);
}

fn compression(reader: &mut Reader<'_>) -> Compression {
    let kind = match reader.choice(&table::LASTLIGHT_COMPRESSION).as_str() {
        "gzip" => CompressionKind::Gzip,
        "none" => CompressionKind::None,
        _ => CompressionKind::Zstd,
    };
    let level = reader.integer(&table::DD_APM_CONFIG_COMPRESSION_LEVEL);
    if kind == CompressionKind::Gzip && !(0..=9).contains(&level) {
        reader.conflict(&table::DD_APM_CONFIG_COMPRESSION_LEVEL, "gzip has no such level".into());
    }
    Compression { kind, level: i32::try_from(level).unwrap_or(1) }
}

fn proxy(reader: &mut Reader<'_>) -> ProxySettings {
    ProxySettings {
        http: reader.optional(&table::DD_PROXY_HTTP, Proxy::new),
        https: reader.optional(&table::DD_PROXY_HTTPS, Proxy::new),
        no_proxy: reader
            .optional(&table::DD_PROXY_NO_PROXY, |text| Ok(parse::words(text)))
            .unwrap_or_default(),
        no_proxy_nonexact_match: reader.boolean(&table::DD_NO_PROXY_NONEXACT_MATCH),
        use_proxy_for_cloud_metadata: reader.boolean(&table::DD_USE_PROXY_FOR_CLOUD_METADATA),
    }
}

fn tls(reader: &mut Reader<'_>) -> TlsSettings {
    let cert_file = reader.optional(&table::DD_TLS_CERT_FILE, parse::certificate_file);
    let skip_validation = reader.boolean(&table::DD_SKIP_SSL_VALIDATION);
    if skip_validation {
        reader.warnings.push("DD_SKIP_SSL_VALIDATION: any certificate is accepted".into());
    }
    let minimum = match reader.choice(&table::DD_MIN_TLS_VERSION).as_str() {
        "tlsv1.3" => MinimumTls::Tls13,
        "tlsv1.0" | "tlsv1.1" => {
            reader.warnings.push("DD_MIN_TLS_VERSION: TLS 1.2 is the oldest there is here".into());
            MinimumTls::Tls12
        }
        _ => MinimumTls::Tls12,
    };
    TlsSettings { cert_file, skip_validation, minimum }
}

fn exit_with_parent(reader: &mut Reader<'_>) -> bool {
    let said = reader.optional(&table::LASTLIGHT_EXIT_WITH_PARENT, parse::boolean);
    let by_compat_layer = reader.is_set(&table::DD_SERVERLESS_COMPAT_VERSION);
    if said.is_none() {
        let how = if by_compat_layer { "started by a compat layer" } else { "not started by a compat layer" };
        reader.replace_default(&table::LASTLIGHT_EXIT_WITH_PARENT, &by_compat_layer.to_string(), how);
    }
    said.unwrap_or(by_compat_layer)
}

/// A level of logging; nonsense is the default and a warning, not silence (losses.md L68).
fn log_level(reader: &mut Reader<'_>) -> LevelFilter {
    debug_assert_eq!(table::DD_LOG_LEVEL.kind, Kind::LogLevel);
    let level =
        reader.value(&table::DD_LOG_LEVEL, |text| Ok(parse::log_level(text).ok_or_else(|| text.to_owned())));
    level.unwrap_or_else(|text| {
        let allowed = table::DD_LOG_LEVEL.kind.allowed();
        reader.warnings.push(format!("DD_LOG_LEVEL={text:?} is no level, info is taken; allowed: {allowed}"));
        reader.replace_default(
            &table::DD_LOG_LEVEL,
            table::DD_LOG_LEVEL.default,
            "default, DD_LOG_LEVEL is no level",
        );
        LevelFilter::Info
    })
}
