//! From what the user decided to what each part needs.

use crate::config::{self, Compression, CompressionKind, Config, Destination};
use crate::dogstatsd::DogStatsDSettings;
use crate::forward::client::{CONNECT_TIMEOUT, ClientSettings};
use crate::forward::{Endpoint, ForwardSettings, Kind, Route};
use crate::intake::IntakeSettings;
use crate::intake::proxied::{Passes, secret_value};
use crate::logs::LogsSettings;
use crate::packing::Packing;
use crate::room::percent_of;
use crate::transport::UnixAddress;
use http::HeaderValue;
use model::limits::COUNTING_MEMORY_PERCENT;
use pipeline::logs::{Grouping, LogRules};

pub(crate) fn forward(config: &Config) -> ForwardSettings {
    let endpoints = &config.endpoints;
    let mut routes = vec![
        route(config, Kind::Traces, &endpoints.traces),
        route(config, Kind::Stats, &endpoints.traces),
        route(config, Kind::Series, &endpoints.metrics),
        route(config, Kind::Sketches, &endpoints.metrics),
        route(config, Kind::Checks, &endpoints.metrics),
        route(config, Kind::Events, &endpoints.events),
        route(config, Kind::Logs, &endpoints.logs),
        route(config, Kind::DataStreams, &endpoints.traces),
        route(config, Kind::Profiles, &endpoints.profiling),
        route(config, Kind::DebuggerLogs, &endpoints.debugger_logs),
        route(config, Kind::DebuggerDiagnostics, &endpoints.debugger_diagnostics),
        route(config, Kind::SymbolDatabase, &endpoints.symbol_database),
    ];
    if let Some(telemetry) = &endpoints.telemetry {
        routes.push(route(config, Kind::Telemetry, telemetry));
    }
    ForwardSettings { memory_bytes: config.memory_bytes - counting_bytes(config), routes }
}

/// Memory for statistics while they are counted, bytes; the rest is room for requests and queues.
pub(crate) fn counting_bytes(config: &Config) -> usize {
    percent_of(config.memory_bytes, COUNTING_MEMORY_PERCENT)
}

fn route(config: &Config, kind: Kind, destination: &Destination) -> Route {
    let endpoint = |endpoint: &config::Endpoint| Endpoint {
        url: endpoint.url.as_str().to_owned(),
        api_key: endpoint.api_key.as_ref().map_or_else(|| api_key(config), secret_value),
    };
    Route {
        kind,
        main: endpoint(&destination.main),
        additional: destination.additional.iter().map(endpoint).collect(),
    }
}

/// The key of the account; empty for the local backend, which asks for none.
fn api_key(config: &Config) -> HeaderValue {
    config.api_key.as_ref().map_or(HeaderValue::from_static(""), secret_value)
}

pub(crate) fn client(config: &Config) -> ClientSettings {
    ClientSettings { proxy: config.proxy.clone(), tls: config.tls.clone(), connect_timeout: CONNECT_TIMEOUT }
}

pub(crate) fn passes(config: &Config) -> Passes {
    Passes {
        api_key: api_key(config),
        evp: config.endpoints.evp.clone(),
        tracer_flare: config.endpoints.tracer_flare.clone(),
        openlineage: config.endpoints.openlineage.clone(),
    }
}

pub(crate) fn packing(compression: Compression) -> Packing {
    match compression.kind {
        CompressionKind::Zstd => Packing::Zstd(compression.level),
        CompressionKind::Gzip => Packing::Gzip(u32::try_from(compression.level).unwrap_or(1)),
        CompressionKind::None => Packing::Plain,
    }
}

pub(crate) fn logs(config: &Config) -> LogsSettings {
    let logs = &config.logs;
    LogsSettings {
        hostname: config.identity.hostname.clone(),
        service: config.identity.service.clone().unwrap_or_default(),
        source: logs.source.clone(),
        rules: LogRules::new(&logs.rules),
        grouping: Grouping::new(&logs.rules, logs.auto_multi_line),
        batch_wait: logs.batch_wait,
        packing: packing(logs.compression),
    }
}

pub(crate) fn intake(config: &Config) -> IntakeSettings {
    IntakeSettings {
        body_max_bytes: config.receiver.body_max_bytes,
        read_timeout: config.receiver.read_timeout,
        compute_stats: config.stats.computed_here,
        hostname: config.identity.hostname.clone(),
        env: config.process.env.clone(),
        platform: config.platform.name(),
        cloud: config.platform.cloud(),
        cloud_resource_type: config.platform.cloud_resource_type(),
    }
}

/// Key of the tag that tells this instance from others. Its value is made anew at each start: a restarted instance,
/// too, would send the same series within the same bucket.
const INSTANCE_TAG_KEY: &str = "lastlight_instance";

pub(crate) fn dogstatsd(config: &Config) -> DogStatsDSettings {
    let mut metrics = config.dogstatsd.metrics.clone();
    if config.dogstatsd.instance_tag {
        metrics.instance_tag = Some(format!("{INSTANCE_TAG_KEY}:{:08x}", fastrand::u32(..)));
    }
    DogStatsDSettings { metrics, packing: packing(config.compression) }
}

pub(crate) fn unix_address(address: &config::SocketAddress) -> UnixAddress {
    match address {
        config::SocketAddress::File(path) => UnixAddress::File(path.clone()),
        config::SocketAddress::Abstract(name) => UnixAddress::Abstract(name.clone()),
    }
}
