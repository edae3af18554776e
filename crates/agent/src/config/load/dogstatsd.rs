//! The settings of DogStatsD.

use super::super::dogstatsd::{DogStatsD, EolRequired, UdpAddress};
use super::super::reader::Reader;
use super::super::table::{self, Setting};
use super::super::{Identity, Receiver, parse};
use super::{Bind, port};
use crate::platform::{Face, Platform};
use pipeline::metrics::{Aggregates, MetricsConfig};
use std::net::SocketAddr;

pub(super) fn read(
    reader: &mut Reader<'_>,
    bind: Bind,
    receiver: &Receiver,
    identity: &Identity,
    platform: Platform,
    face: Face,
) -> DogStatsD {
    let settings = DogStatsD {
        enabled: reader.boolean(&table::DD_USE_DOGSTATSD),
        udp: udp(reader, bind),
        socket: reader.optional(&table::DD_DOGSTATSD_SOCKET, parse::socket),
        stream_socket: reader.optional(&table::DD_DOGSTATSD_STREAM_SOCKET, parse::socket),
        pipe_name: reader.optional(&table::DD_DOGSTATSD_WINDOWS_PIPE_NAME, parse::pipe_name),
        datagram_max_bytes: reader.bytes(&table::DD_DOGSTATSD_BUFFER_SIZE),
        receive_buffer_bytes: Some(reader.bytes(&table::DD_DOGSTATSD_SO_RCVBUF)).filter(|bytes| *bytes > 0),
        eol_required: eol_required(reader),
        metrics: metrics(reader, identity, platform, face),
        instance_tag: instance_tag(reader, identity),
    };
    if settings.enabled {
        conflicts(reader, &settings, receiver, face);
    }
    settings
}

fn udp(reader: &mut Reader<'_>, bind: Bind) -> Vec<UdpAddress> {
    let port = reader.value(&table::DD_DOGSTATSD_PORT, port);
    let non_local = reader.boolean(&table::DD_DOGSTATSD_NON_LOCAL_TRAFFIC);
    match bind {
        _ if port == 0 => Vec::new(),
        _ if non_local => UdpAddress::everywhere(port),
        Bind::Loopback => UdpAddress::loopback(port),
        Bind::Only(address) => UdpAddress::only(SocketAddr::new(address, port)),
    }
}

fn eol_required(reader: &mut Reader<'_>) -> EolRequired {
    let given = reader.some_of(&table::DD_DOGSTATSD_EOL_REQUIRED);
    let has = |word: &str| given.iter().any(|given| given == word);
    EolRequired { udp: has("udp"), uds: has("uds"), named_pipe: has("named_pipe") }
}

/// Two listeners cannot have one place, and without any there is nothing to accept.
fn conflicts(reader: &mut Reader<'_>, settings: &DogStatsD, receiver: &Receiver, face: Face) {
    let taken = receiver.socket.as_ref().filter(|_| receiver.enabled);
    for (setting, socket) in [
        (&table::DD_DOGSTATSD_SOCKET, &settings.socket),
        (&table::DD_DOGSTATSD_STREAM_SOCKET, &settings.stream_socket),
    ] {
        if socket.is_some() && socket.as_ref() == taken {
            reader.conflict(setting, "DD_APM_RECEIVER_SOCKET, for traces, is the same".into());
        }
    }
    if settings.socket.is_some() && settings.socket == settings.stream_socket {
        let why = "DD_DOGSTATSD_SOCKET, for datagrams, is the same".to_owned();
        reader.conflict(&table::DD_DOGSTATSD_STREAM_SOCKET, why);
    }
    // Names of pipes know no case.
    let pipes = settings.pipe_name.as_ref().zip(receiver.pipe_name.as_ref().filter(|_| receiver.enabled));
    if pipes.is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs)) {
        let why = "DD_APM_WINDOWS_PIPE_NAME, for traces, is the same".to_owned();
        reader.conflict(&table::DD_DOGSTATSD_WINDOWS_PIPE_NAME, why);
    }
    let listens = !settings.udp.is_empty()
        || settings.socket.is_some()
        || settings.stream_socket.is_some()
        || settings.pipe_name.is_some();
    // The receiver takes metrics over HTTP, and a runtime sends them over its channel. A port that could not be read was told as an error already.
    if !listens && !receiver.enabled && face != Face::Library {
        let why = "no transport is left; set DD_DOGSTATSD_SOCKET, or DD_USE_DOGSTATSD=false".to_owned();
        reader.conflict(&table::DD_DOGSTATSD_PORT, why);
    }
}

fn metrics(reader: &mut Reader<'_>, identity: &Identity, platform: Platform, face: Face) -> MetricsConfig {
    // The wrapper's are in lower case on everything (`facts/platforms.md` §3.2).
    let unified = |said: &Option<String>| {
        said.as_ref().map(|said| match face {
            Face::Agent | Face::Library => said.clone(),
            Face::Entrypoint | Face::Sidecar => said.to_lowercase(),
        })
    };
    let names = |reader: &mut Reader<'_>, setting: &'static Setting| {
        reader.optional(setting, parse::word_list).unwrap_or_default()
    };
    let seconds =
        |reader: &mut Reader<'_>, setting| u32::try_from(reader.integer(setting)).unwrap_or(u32::MAX);
    MetricsConfig {
        namespace: reader
            .optional(&table::DD_STATSD_METRIC_NAMESPACE, parse::metric_namespace)
            .unwrap_or_default(),
        namespace_exclusions: names(reader, &table::DD_STATSD_METRIC_NAMESPACE_BLACKLIST),
        blocklist: names(reader, &table::DD_METRIC_FILTERLIST),
        blocklist_match_prefix: reader.boolean(&table::DD_METRIC_FILTERLIST_MATCH_PREFIX),
        mapper: reader
            .optional(&table::DD_DOGSTATSD_MAPPER_PROFILES, parse::mapper_profiles)
            .unwrap_or_default(),
        aggregates: aggregates(reader),
        percentiles: reader.value(&table::DD_HISTOGRAM_PERCENTILES, parse::percentiles),
        copy_to_distribution: reader.boolean(&table::DD_HISTOGRAM_COPY_TO_DISTRIBUTION),
        copy_prefix: reader.text(&table::DD_HISTOGRAM_COPY_TO_DISTRIBUTION_PREFIX).unwrap_or_default(),
        tags: tags(reader, identity),
        env: unified(&identity.env),
        service: unified(&identity.service),
        version: unified(&identity.version),
        hostname: identity.hostname.clone(),
        instance_tag: None,
        origin: platform.metric_origin(),
        expiry_seconds: seconds(reader, &table::DD_DOGSTATSD_EXPIRY_SECONDS),
        context_expiry_seconds: seconds(reader, &table::DD_DOGSTATSD_CONTEXT_EXPIRY_SECONDS),
        contexts_max: usize::try_from(reader.integer(&table::LASTLIGHT_METRIC_CONTEXTS))
            .unwrap_or(usize::MAX),
    }
}

fn aggregates(reader: &mut Reader<'_>) -> Aggregates {
    let given = reader.some_of(&table::DD_HISTOGRAM_AGGREGATES);
    let has = |word: &str| given.iter().any(|given| given == word);
    Aggregates {
        max: has("max"),
        min: has("min"),
        sum: has("sum"),
        avg: has("avg"),
        median: has("median"),
        count: has("count"),
    }
}

/// Every tag once: the user's for everything, then those for metrics.
fn tags(reader: &mut Reader<'_>, identity: &Identity) -> Vec<String> {
    let joined = identity
        .tags
        .iter()
        .map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}:{value}") });
    let mut tags: Vec<String> = joined.collect();
    for tag in reader.optional(&table::DD_DOGSTATSD_TAGS, parse::word_list).unwrap_or_default() {
        if tag.starts_with(':') {
            let name = table::DD_DOGSTATSD_TAGS.name();
            reader.warnings.push(format!("{name}: {tag:?} has no key and is left out"));
        } else if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// Instances without host names send the same series, of which the backend keeps one
/// (`facts/dogstatsd.md` §5.3).
fn instance_tag(reader: &mut Reader<'_>, identity: &Identity) -> bool {
    let setting = &table::LASTLIGHT_METRIC_INSTANCE_TAG;
    match reader.choice(setting).as_str() {
        "true" => true,
        "false" => false,
        _ => {
            let is_nameless = identity.hostname.is_empty();
            let how = if is_nameless { "there is no host name" } else { "there is a host name" };
            reader.replace_default(setting, &is_nameless.to_string(), how);
            is_nameless
        }
    }
}

#[cfg(test)]
mod tests;
