//! The settings of logs.

use super::super::endpoint::LOGS_PATH;
use super::super::logs::{FilePattern, Logs};
use super::super::reader::Reader;
use super::super::source::Strings;
use super::super::{BaseUrl, Compression, CompressionKind, Destination, Endpoint, parse, table};
use super::port;
use crate::platform::{Face, Platform};
use std::net::{Ipv4Addr, SocketAddr};

/// Where App Service writes its log files (`facts/platforms.md` §6).
const APP_SERVICE_LOGS: &str = "/home/LogFiles";

pub(super) fn read(reader: &mut Reader<'_>, strings: &dyn Strings, platform: Platform) -> Logs {
    let enabled = reader.boolean(&table::DD_LOGS_ENABLED);
    let port = reader.value(&table::DD_LOGS_PORT, port);
    let source = reader.text(&table::DD_SOURCE).map(|source| source.to_lowercase());
    let source = source.unwrap_or_else(|| source_of(platform).to_owned());
    reader.replace_default(&table::DD_SOURCE, &source, "by the platform");
    let to_worker = reader.boolean(&table::DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED);
    let compressed = reader.boolean(&table::DD_LOGS_CONFIG_USE_COMPRESSION) && !to_worker;
    let level = reader.integer(&table::DD_LOGS_CONFIG_COMPRESSION_LEVEL);
    Logs {
        enabled,
        to_worker,
        input: (enabled && port != 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        files: files(reader, strings).filter(|_| enabled),
        source,
        rules: reader.optional(&table::DD_LOGS_CONFIG_PROCESSING_RULES, parse::log_rules).unwrap_or_default(),
        auto_multi_line: reader.boolean(&table::DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION),
        batch_wait: reader.duration(&table::DD_LOGS_CONFIG_BATCH_WAIT),
        compression: Compression {
            kind: if compressed { CompressionKind::Zstd } else { CompressionKind::None },
            level: i32::try_from(level).unwrap_or(1),
        },
    }
}

/// Source of logs where nobody said one: the platform (`facts/platforms.md` §3.2), or who sends them.
fn source_of(platform: Platform) -> &'static str {
    match platform {
        // Jobs have an origin of their own, and the services' source.
        Platform::CloudRunJob => "cloudrun",
        other => other.origin(Face::Entrypoint).unwrap_or("lastlight"),
    }
}

fn files(reader: &mut Reader<'_>, strings: &dyn Strings) -> Option<FilePattern> {
    let given = reader.text(&table::DD_SERVERLESS_LOG_PATH);
    let of_instance = reader.boolean(&table::DD_AAS_INSTANCE_LOGGING_ENABLED);
    let descriptor = reader.text(&table::DD_AAS_INSTANCE_LOG_FILE_DESCRIPTOR);
    let positions = reader.text(&table::LASTLIGHT_LOG_POSITIONS).map(Into::into);
    let instance = strings.get("COMPUTERNAME").filter(|name| !name.is_empty());
    // Each instance follows the files that bear its name: on the shared volume it would send the others' too
    // (losses.md L104).
    let pattern = match (of_instance, instance, descriptor) {
        (false, ..) => given?,
        (true, Some(name), None) => format!("{APP_SERVICE_LOGS}/*{name}*.log"),
        (true, Some(name), Some(descriptor)) => format!("{APP_SERVICE_LOGS}/*{name}*{descriptor}.log"),
        (true, None, _) => {
            let name = table::DD_AAS_INSTANCE_LOGGING_ENABLED.name();
            reader.warnings.push(format!(
                "{name}: COMPUTERNAME, the instance's name, is not set; no files are followed"
            ));
            return None;
        }
    };
    if of_instance && reader.is_set(&table::DD_SERVERLESS_LOG_PATH) {
        reader
            .warnings
            .push("DD_SERVERLESS_LOG_PATH is ignored: DD_AAS_INSTANCE_LOGGING_ENABLED wins".into());
    }
    Some(FilePattern { pattern, positions })
}

/// Where logs go.
pub(super) fn destination(reader: &mut Reader<'_>, destination: &mut Destination, to_worker: bool) {
    let settings = [&table::DD_LOGS_CONFIG_LOGS_DD_URL, &table::DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS];
    super::destination(reader, destination, settings, None, logs_url);
    let worker = reader.optional(&table::DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL, |text| {
        Ok(BaseUrl::new(text)?.or_path(LOGS_PATH))
    });
    match worker {
        Some(url) if to_worker => {
            *destination = Destination { main: Endpoint { url, api_key: None }, additional: Vec::new() };
        }
        None if to_worker => {
            let why = "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL is not set".to_owned();
            reader.conflict(&table::DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED, why);
        }
        _ => {}
    }
}

/// A URL, or host and port as the reference takes them.
fn logs_url(text: &str) -> Result<BaseUrl, parse::Why> {
    let url =
        if text.contains("://") { BaseUrl::new(text) } else { BaseUrl::new(&format!("https://{text}")) };
    Ok(url?.or_path(LOGS_PATH))
}

#[cfg(test)]
mod tests;
