//! Text to values. Pure, but for the certificate file; an error says why, its reader adds which variable.

use super::endpoint::BaseUrl;
use super::secret::Secret;
use super::table::Kind;
use log::LevelFilter;
use pipeline::config::{LogRule, ReplaceRule, TagRegexRule, TagRule};
use pipeline::metrics::mapper;
use regex::Regex;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a text is not what it must be.
pub type Why = String;

/// Longest path of a Unix socket, in bytes, where 108 with the final zero are the system's bound.
const SOCKET_PATH_MAX_BYTES: usize = 107;
/// Longest host or domain name, in bytes (RFC 1035).
const HOST_NAME_MAX_BYTES: usize = 253;
/// How far a percentile may be from a whole percent: what decimal fractions lose in binary.
const PERCENT_TOLERANCE: f64 = 1e-9;
/// Longest label of a host name, in bytes.
const LABEL_MAX_BYTES: usize = 63;

/// `true`, `1`, `yes`, … in any case.
pub fn boolean(text: &str) -> Result<bool, Why> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "y" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// A whole number within bounds.
pub fn integer(text: &str, min: i64, max: i64) -> Result<i64, Why> {
    let number: i64 = text.parse().map_err(|_| "it is not a whole number".to_owned())?;
    if (min..=max).contains(&number) { Ok(number) } else { Err("it is out of range".into()) }
}

/// A number within bounds.
pub fn decimal(text: &str, min: f64, max: f64) -> Result<f64, Why> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    // NaN is in no range.
    if (min..=max).contains(&number) { Ok(number) } else { Err("it is out of range".into()) }
}

/// A number of bytes, plain or with a unit, within bounds.
pub fn bytes(text: &str, min: u64, max: u64) -> Result<u64, Why> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err("its unit is none of B, KB, MB, GB, KiB, MiB, GiB".into()),
    };
    let count = match number.parse::<u64>() {
        Ok(number) => number.checked_mul(factor).ok_or("it is out of range")?,
        Err(_) => {
            let number: f64 = number.parse().map_err(|_| "it is not a number of bytes".to_owned())?;
            // Saturates, and the bound below decides.
            (number * factor as f64) as u64
        }
    };
    if (min..=max).contains(&count) { Ok(count) } else { Err("it is out of range".into()) }
}

/// A time span: seconds, or numbers with units as Go writes them (`1m30s`), within bounds.
pub fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, Why> {
    let not_a_time = || "it is not a time".to_owned();
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| not_a_time())?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit.trim() {
            "" if rest.len() == text.len() && tail.is_empty() => 1.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err("its unit is none of h, m, s, ms, us, ns".into()),
        };
        seconds += number * factor;
        rest = tail;
    }
    if text.is_empty() {
        return Err(not_a_time());
    }
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| "it is out of range".to_owned())?;
    if (min..=max).contains(&time) { Ok(time) } else { Err("it is out of range".into()) }
}

/// An IP address or `localhost`.
pub fn bind_host(text: &str) -> Result<IpAddr, Why> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .map_err(|_| "it is not an address, and names are not looked up before the receiver listens".into())
}

/// Where a Unix socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAddress {
    /// A file.
    File(PathBuf),
    /// A name without a file, given with `@` in front (Linux).
    Abstract(String),
}

impl std::fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// An absolute path or `@name`; `unix://` in front, as tracers have it, is cut.
pub fn socket(text: &str) -> Result<SocketAddress, Why> {
    let text = text.strip_prefix("unix://").unwrap_or(text);
    if text.len() > SOCKET_PATH_MAX_BYTES {
        return Err(format!("it has {} bytes", text.len()));
    }
    if text.contains('\0') {
        return Err("it has a zero byte".into());
    }
    match text.strip_prefix('@') {
        Some("") => Err("the name after @ is empty".into()),
        Some(name) => Ok(SocketAddress::Abstract(name.to_owned())),
        None if text.starts_with('/') => Ok(SocketAddress::File(PathBuf::from(text))),
        None => Err("it is neither an absolute path nor an abstract name".into()),
    }
}

/// The name of a Windows pipe; `\\.\pipe\` in front is cut.
pub fn pipe_name(text: &str) -> Result<String, Why> {
    let name = text.strip_prefix(r"\\.\pipe\").unwrap_or(text);
    if name.is_empty() { Err("the name after \\\\.\\pipe\\ is empty".into()) } else { Ok(name.to_owned()) }
}

/// Dot-separated labels of letters, digits and dashes.
pub fn host_name(text: &str) -> Result<String, Why> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.len() > HOST_NAME_MAX_BYTES {
        return Err("it is too long for a host name".into());
    }
    for label in bare.split('.') {
        let sound = !label.is_empty()
            && label.len() <= LABEL_MAX_BYTES
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !sound {
            return Err(format!("{label:?} is no part of a host name"));
        }
    }
    Ok(bare.to_owned())
}

/// The domain of the intake (losses.md L70).
pub fn site(text: &str) -> Result<String, Why> {
    if text.contains("://") {
        return Err("it is a URL, not a domain".into());
    }
    let site = host_name(text)?;
    if !site.contains('.') {
        return Err("it is not a domain".into());
    }
    Ok(site.to_ascii_lowercase())
}

/// A key that fits a header.
pub fn secret(text: &str) -> Result<Secret, Why> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("it has characters a header cannot carry".into())
    }
}

/// A PEM file that can be read and holds a certificate.
pub fn certificate_file(text: &str) -> Result<PathBuf, Why> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let path = Path::new(text);
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| format!("it cannot be read: {error:?}"))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("it is damaged: {error:?}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate in it cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("it holds no certificate".into()) } else { Ok(path.to_owned()) }
}

/// Tags between commas or white space, each split at its first colon (losses.md L22). One without a
/// colon is a key with an empty value; one without a key is told in the second list.
pub fn tags(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut tags = Vec::new();
    let mut odd = Vec::new();
    for piece in text.split([',', ' ', '\t', '\n', '\r']).filter(|piece| !piece.is_empty()) {
        match piece.split_once(':').unwrap_or((piece, "")) {
            ("", _) => odd.push(piece.to_owned()),
            (key, value) => tags.push((key.to_owned(), value.to_owned())),
        }
    }
    (tags, odd)
}

/// Words between commas, or between white space when there is no comma.
pub fn words(text: &str) -> Vec<String> {
    let pieces: Vec<&str> =
        if text.contains(',') { text.split(',').collect() } else { text.split_whitespace().collect() };
    pieces.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Words between white space, or a JSON array (`facts/settings.md` §12).
pub fn list(text: &str) -> Result<Vec<String>, Why> {
    if text.starts_with('[') {
        json_list(text)
    } else {
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }
}

/// A JSON array of strings.
pub fn json_list(text: &str) -> Result<Vec<String>, Why> {
    serde_json::from_str(text).map_err(|error| format!("it is not a JSON array of strings: {error}"))
}

/// Words between commas or white space, or a JSON array of strings or numbers.
pub fn word_list(text: &str) -> Result<Vec<String>, Why> {
    use serde_json::Value;
    if !text.starts_with('[') {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        return Ok(words.map(str::to_owned).collect());
    }
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| format!("it is not a JSON array: {error}"))?;
    let words = values.into_iter().map(|value| match value {
        Value::String(word) if word.trim().is_empty() => Err("a text of the JSON array is empty".to_owned()),
        Value::String(word) => Ok(word.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{other} in the JSON array is neither text nor number")),
    });
    words.collect()
}

/// Letters, digits, `_` and `.`, a letter first; comes back with a dot at its end
/// (`facts/dogstatsd.md` §3, §4).
pub fn metric_namespace(text: &str) -> Result<String, Why> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("it does not start with a letter".into());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.')) {
        Some(c) => Err(format!("it has {c:?}")),
        None if text.ends_with('.') => Ok(text.to_owned()),
        None => Ok(format!("{text}.")),
    }
}

/// Percentiles as shares of 1, in whole percent: `0.95` is 95; each once.
pub fn percentiles(text: &str) -> Result<Vec<u8>, Why> {
    let mut percentiles = Vec::new();
    for word in word_list(text)? {
        let share: f64 = word.parse().map_err(|_| format!("{word:?} is not a number"))?;
        let percent = share * 100.0;
        if !(1.0 - PERCENT_TOLERANCE..=99.0 + PERCENT_TOLERANCE).contains(&percent) {
            return Err(format!("{word} is not between 0.01 and 0.99"));
        }
        if (percent - percent.round()).abs() > PERCENT_TOLERANCE {
            return Err(format!("{word} is no whole percent, and metrics are named by it"));
        }
        // Within 1 to 99, as was checked.
        let percent = percent.round() as u8;
        if !percentiles.contains(&percent) {
            percentiles.push(percent);
        }
    }
    Ok(percentiles)
}

/// The profiles of `DD_DOGSTATSD_MAPPER_PROFILES` (`facts/dogstatsd.md` §4). One bad rule is an error, as in
/// replacements.
pub fn mapper_profiles(text: &str) -> Result<Vec<mapper::Profile>, Why> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Profile {
        name: String,
        prefix: String,
        mappings: Vec<Row>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        #[serde(rename = "match")]
        pattern: String,
        #[serde(default)]
        match_type: MatchType,
        name: String,
        #[serde(default)]
        tags: std::collections::BTreeMap<String, String>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum MatchType {
        #[default]
        #[serde(alias = "")]
        Wildcard,
        Regex,
    }
    let profiles: Vec<Profile> = rows(text, "profiles")?;
    let checked = profiles.into_iter().enumerate().map(|(index, profile)| {
        let place = format!("profile {}", index + 1);
        if profile.prefix.is_empty() {
            return Err(format!("{place}: \"prefix\" is empty; \"*\" is for all names"));
        }
        let mappings = profile.mappings.into_iter().map(|row| mapper::Mapping {
            pattern: row.pattern,
            match_type: match row.match_type {
                MatchType::Wildcard => mapper::MatchType::Wildcard,
                MatchType::Regex => mapper::MatchType::Regex,
            },
            name: row.name,
            tags: row.tags.into_iter().collect(),
        });
        let mappings: Vec<_> = mappings.collect();
        mapper::Profile::new(&profile.name, &profile.prefix, &mappings)
            .map_err(|why| format!("{place}: {why}"))
    });
    checked.collect()
}

/// `key` or `key:value` rules.
pub fn tag_rules(text: &str) -> Result<Vec<TagRule>, Why> {
    list(text)?.iter().map(|rule| TagRule::new(rule).map_err(|error| error.0)).collect()
}

/// `key` or `key:pattern` rules.
pub fn tag_regex_rules(text: &str) -> Result<Vec<TagRegexRule>, Why> {
    list(text)?.iter().map(|rule| TagRegexRule::new(rule).map_err(|error| error.0)).collect()
}

/// Regular expressions between commas; quotes as in CSV.
pub fn regexes(text: &str) -> Result<Vec<Regex>, Why> {
    csv(text)?.iter().map(|pattern| pipeline::config::compile(pattern).map_err(|error| error.0)).collect()
}

/// One line of CSV: fields between commas, in double quotes when they hold one; `""` is a quote.
pub fn csv(text: &str) -> Result<Vec<String>, Why> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        return Err("a double quote is not closed".into());
    }
    fields.push(field);
    Ok(fields.iter().map(|field| field.trim()).filter(|field| !field.is_empty()).map(str::to_owned).collect())
}

/// The rules of `DD_APM_REPLACE_TAGS`. One bad rule is an error (losses.md L21).
pub fn replace_rules(text: &str) -> Result<Vec<ReplaceRule>, Why> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        name: String,
        pattern: String,
        #[serde(default)]
        repl: String,
    }
    rules(rows(text, "rules")?, |row: &Row| {
        if row.pattern.is_empty() {
            return Err("\"pattern\" is empty".into());
        }
        ReplaceRule::new(&row.name, &row.pattern, &row.repl).map_err(|error| error.to_string())
    })
}

/// A level of our own log.
pub fn log_level(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        "off" | "none" => LevelFilter::Off,
        "error" | "critical" | "fatal" => LevelFilter::Error,
        "warn" | "warning" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

/// Rules for logs.
pub fn log_rules(text: &str) -> Result<Vec<LogRule>, Why> {
    #[derive(serde::Deserialize)]
    struct Row {
        r#type: String,
        #[serde(default)]
        name: String,
        pattern: String,
        #[serde(default)]
        replace_placeholder: String,
    }
    rules(rows(text, "rules")?, |row: &Row| {
        LogRule::new(&row.r#type, &row.name, &row.pattern, &row.replace_placeholder)
            .map_err(|error| error.to_string())
    })
}

/// A JSON array of what is called `name`.
fn rows<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> Result<Vec<T>, Why> {
    serde_json::from_str(text).map_err(|error| format!("it is not a JSON array of {name}: {error}"))
}

/// Every row as a rule. One bad rule is an error, with its place.
fn rules<Row, T>(rows: Vec<Row>, rule: impl Fn(&Row) -> Result<T, Why>) -> Result<Vec<T>, Why> {
    let numbered = rows.iter().enumerate();
    numbered.map(|(index, row)| rule(row).map_err(|why| format!("rule {}: {why}", index + 1))).collect()
}

/// Hosts, or URLs, and keys of a setting of further endpoints. Errors quote no key.
pub(super) fn endpoints(kind: Kind, text: &str) -> Result<Vec<(String, Secret)>, Why> {
    if kind == Kind::LogEndpoints { log_endpoints(text) } else { endpoint_map(text) }
}

/// JSON that holds keys, of which errors quote nothing.
fn secret_json(text: &str) -> Result<serde_json::Value, Why> {
    serde_json::from_str(text)
        .map_err(|error| format!("it is not JSON (line {}, column {})", error.line(), error.column()))
}

/// Endpoints of logs, each with its key. Errors quote no key.
pub fn log_endpoints(text: &str) -> Result<Vec<(String, Secret)>, Why> {
    use serde_json::Value;
    let Value::Array(rows) = secret_json(text)? else { return Err("it is not a JSON array".into()) };
    let numbered = rows.iter().enumerate();
    numbered
        .map(|(index, row)| {
            let place = format!("endpoint {}", index + 1);
            // The reference takes names in any case.
            let member = |name: &str| {
                let mut members = row.as_object().into_iter().flatten();
                members.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            let text = |name: &str| {
                member(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
            };
            let host = text("host").ok_or(format!("{place} has no \"Host\""))?;
            let key = text("api_key").ok_or(format!("{place} has no \"api_key\""))?;
            let key = secret(key).map_err(|why| format!("the key of {place}: {why}"))?;
            let port = match member("port") {
                None => None,
                Some(port) => {
                    let port = port.as_u64().or_else(|| port.as_str()?.parse().ok());
                    let port = port.filter(|port| (1..=u64::from(u16::MAX)).contains(port));
                    Some(port.ok_or(format!("the \"Port\" of {place} is none"))?)
                }
            };
            Ok((port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")), key))
        })
        .collect()
}

/// A map of URLs (or domains) to keys, one entry for each pair. Errors quote nothing of it: it holds keys.
pub fn endpoint_map(text: &str) -> Result<Vec<(String, Secret)>, Why> {
    use serde_json::Value;
    let Value::Object(map) = secret_json(text)? else { return Err("it is not a JSON map".into()) };
    let mut pairs = Vec::new();
    for (url, keys) in map {
        let keys = match keys {
            Value::Array(keys) => keys,
            key @ Value::String(_) => vec![key],
            _ => return Err(format!("the value of {url:?} is not a list of keys")),
        };
        if keys.is_empty() {
            return Err(format!("{url:?} has no key"));
        }
        for key in keys {
            let Value::String(key) = key else { return Err(format!("a key of {url:?} is not a string")) };
            let key = key.trim();
            if key.is_empty() {
                return Err(format!("a key of {url:?} is empty"));
            }
            pairs.push((url.clone(), secret(key).map_err(|why| format!("a key of {url:?}: {why}"))?));
        }
    }
    Ok(pairs)
}

/// An `http` or `https` URL.
pub fn url(text: &str) -> Result<BaseUrl, Why> {
    BaseUrl::new(text)
}
