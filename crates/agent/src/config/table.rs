//! Every setting in one table: names, type, default, meaning, and who else honours it.
//!
//! The table is what [`super::Config`] is read by, what `lastlight check` prints from and what `docs/settings.md` is
//! made of ([`markdown`]), so the three cannot disagree. Sources: `facts/settings.md`; where the mini agent and
//! the reference agent differ in a default, the reference wins and the row says so.

mod known;
mod settings;

pub use known::{Knowledge, is_tracers_own, knowledge, names};
pub use settings::*;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Heading it stands under.
    pub group: &'static str,
    /// Variables it is read from. The first that is set wins.
    pub names: &'static [&'static str],
    /// What its text must be.
    pub kind: Kind,
    /// The text that counts when no variable is set; empty when there is none.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Who else honours it: `m` mini agent, `a` reference agent, `i` entrypoint wrapper, `b` bottlecap,
    /// `std` every program; empty when it is lastlight's own.
    pub honoured_by: &'static str,
}

impl Setting {
    /// The name it is spoken of by.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Its value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::EndpointMap | Kind::LogEndpoints | Kind::ProxyUrl)
    }
}

/// What the text of a setting must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A key; never shown.
    Secret,
    /// A truth value.
    Bool,
    /// A port of TCP or UDP; 0 switches the listener off.
    Port,
    /// A whole number within bounds.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
        /// Unit, for people.
        unit: &'static str,
    },
    /// A number within bounds.
    Decimal {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
        /// Unit, for people.
        unit: &'static str,
    },
    /// A number of bytes within bounds; `64MiB`, `10MB` and the like too.
    Bytes {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A time span within bounds: seconds, or a number with a unit as Go writes it.
    Duration {
        /// Least value, milliseconds.
        min_ms: u64,
        /// Greatest value, milliseconds.
        max_ms: u64,
    },
    /// An `http` or `https` URL.
    Url,
    /// A URL, or the domain behind an intake's host name.
    UrlOrSite,
    /// The URL of a proxy, or its host and port.
    ProxyUrl,
    /// A domain.
    Site,
    /// A host name of RFC 1123, or `none`.
    HostName,
    /// An IP address or `localhost`.
    BindHost,
    /// Path of a Unix socket, or an abstract name with `@`.
    Socket,
    /// A file of certificates.
    CertificateFile,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Some words out of a list, between commas or spaces or as a JSON array.
    SomeOf(&'static [&'static str]),
    /// A level of logging; nonsense means the default, with a warning (losses.md L68).
    LogLevel,
    /// `key:value` pairs between commas or spaces.
    Tags,
    /// Tags between commas or spaces, or a JSON array of them.
    TagList,
    /// Beginnings of metric names, or whole ones, between commas or spaces or as a JSON array.
    MetricNames,
    /// Beginning of metric names.
    MetricNamespace,
    /// Percentiles as shares of 1, between commas or spaces or as a JSON array.
    Percentiles,
    /// A JSON array of mapper profiles.
    MapperProfiles,
    /// Words between commas or spaces.
    Words,
    /// Words between spaces, or a JSON array of strings.
    List,
    /// A JSON array of strings.
    JsonList,
    /// Rules `key` or `key:value`, between spaces or as a JSON array of strings.
    TagRules,
    /// Rules `key` or `key:pattern`, between spaces or as a JSON array of strings.
    TagRegexRules,
    /// Regular expressions between commas; one with a comma in double quotes.
    Regexes,
    /// A JSON array of replacements.
    ReplaceRules,
    /// A JSON array of rules for logs.
    LogRules,
    /// A JSON array of endpoints for logs; never shown.
    LogEndpoints,
    /// A JSON map of URLs to lists of keys; never shown.
    EndpointMap,
}

impl Kind {
    /// What is allowed, as the end of "allowed: …".
    pub fn allowed(self) -> String {
        let text = match self {
            Self::Text => "any text",
            Self::Secret => "a key of visible ASCII characters without spaces",
            Self::Bool => "true or false (also 1, 0, t, f, yes, no, on, off)",
            Self::Port => "a whole number from 0 to 65535 (0: no listener)",
            Self::Integer { min, max, unit } => {
                return format!("a whole number from {min} to {max}{}", after(unit));
            }
            Self::Decimal { min, max, unit } => {
                return format!("a number from {min} to {max}{}", after(unit));
            }
            Self::Bytes { min, max } => {
                return format!(
                    "bytes from {} to {}, such as 67108864, 64MiB or 10MB",
                    bytes(min),
                    bytes(max)
                );
            }
            Self::Duration { min_ms, max_ms } => {
                let (min, max) = (duration(min_ms), duration(max_ms));
                return format!(
                    "a time from {min} to {max}: seconds, or with a unit such as 5s, 300ms, 1m30s"
                );
            }
            Self::Url => "a URL such as https://intake.example.com, without query, fragment or password",
            Self::UrlOrSite => "a URL such as https://intake.example.com, or a domain such as datadoghq.eu",
            Self::ProxyUrl => "a URL such as http://user:password@proxy.example.com:3128 (http or https)",
            Self::Site => {
                "a domain such as datadoghq.com, us3.datadoghq.com or datadoghq.eu, without https://"
            }
            Self::HostName => "a host name of letters, digits, dots and dashes, or none",
            Self::BindHost => "an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost",
            Self::Socket => "an absolute path of at most 107 bytes, or @name for an abstract socket",
            Self::CertificateFile => "the path of a readable PEM file with at least one certificate",
            Self::Choice(words) => return words.join(", "),
            Self::SomeOf(words) => {
                return format!("{} between commas or spaces, or as a JSON array", words.join(", "));
            }
            Self::LogLevel => "off, error (critical), warn (warning), info, debug, trace",
            Self::Tags => "key:value pairs between commas or spaces",
            Self::TagList => "key:value pairs between commas or spaces, or a JSON array of them",
            Self::MetricNames => "metric names between commas or spaces, or a JSON array of them",
            Self::MetricNamespace => "letters, digits, _ and dots, a letter first",
            Self::Percentiles => {
                "numbers from 0.01 to 0.99 with two decimals, between commas or spaces or as a JSON array"
            }
            Self::MapperProfiles => {
                "a JSON array such as [{\"name\":\"jobs\",\"prefix\":\"job.\",\"mappings\":[{\"match\":\"job.*.time\",\
                 \"match_type\":\"wildcard\",\"name\":\"job.time\",\"tags\":{\"job\":\"$1\"}}]}] (or match_type regex)"
            }
            Self::Words => "words between commas, else between spaces",
            Self::List => "words between spaces, or a JSON array of strings",
            Self::JsonList => "a JSON array of strings such as [\"a\",\"b\"]",
            Self::TagRules => "key or key:value between spaces, or a JSON array of them",
            Self::TagRegexRules => "key or key:pattern between spaces, or a JSON array of them",
            Self::Regexes => "regular expressions between commas (one that has a comma in double quotes)",
            Self::ReplaceRules => {
                "a JSON array such as [{\"name\":\"http.url\",\"pattern\":\"token=.*\",\"repl\":\"?\"}]"
            }
            Self::LogRules => {
                "a JSON array such as [{\"type\":\"mask_sequences\",\"name\":\"tokens\",\"pattern\":\"token=\\\\w+\",\
                 \"replace_placeholder\":\"token=?\"}]; types: exclude_at_match, include_at_match, mask_sequences, multi_line"
            }
            Self::LogEndpoints => {
                "a JSON array such as [{\"api_key\":\"<key>\",\"Host\":\"http-intake.logs.datadoghq.eu\",\"Port\":443}]"
            }
            Self::EndpointMap => "a JSON map such as {\"https://trace.agent.datadoghq.eu\":[\"<key>\"]}",
        };
        text.to_owned()
    }

    /// The type, in a word or two.
    pub fn label(self) -> &'static str {
        match self {
            Self::Text | Self::HostName | Self::Choice(_) | Self::MetricNamespace => "text",
            Self::Secret => "key",
            Self::Bool => "boolean",
            Self::Port => "port",
            Self::Integer { .. } => "integer",
            Self::Decimal { .. } => "number",
            Self::Bytes { .. } => "bytes",
            Self::Duration { .. } => "duration",
            Self::Url | Self::UrlOrSite | Self::ProxyUrl => "URL",
            Self::Site => "domain",
            Self::BindHost => "address",
            Self::Socket => "socket",
            Self::CertificateFile => "file",
            Self::LogLevel => "level",
            Self::Tags | Self::TagList => "tags",
            Self::Words
            | Self::List
            | Self::JsonList
            | Self::SomeOf(_)
            | Self::MetricNames
            | Self::Percentiles => "list",
            Self::MapperProfiles
            | Self::TagRules
            | Self::TagRegexRules
            | Self::Regexes
            | Self::LogRules
            | Self::ReplaceRules => "rules",
            Self::EndpointMap | Self::LogEndpoints => "endpoints",
        }
    }
}

fn after(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

/// A number of bytes for people: `64MiB` where it is even, else plain.
pub fn bytes(count: u64) -> String {
    match count {
        0 => "0".to_owned(),
        n if n % (1 << 30) == 0 => format!("{}GiB", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
        n => n.to_string(),
    }
}

/// A time span for people: `5s`, `300ms`.
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Every setting, in the order of the docs.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().copied()
}

/// The setting a variable belongs to.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.names.contains(&name))
}

/// `docs/settings.md`, from the table.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         <!-- Generated from crates/agent/src/config/table; do not edit. A test compares the two. -->\n\n\
         All settings are environment variables, read once at start. A variable that is set but empty counts as not set.\n\
         Where a setting has several names the first that is set wins. An invalid value stops the start (exit code 78)\n\
         and is named with what is allowed; it never silently becomes the default. `lastlight check` prints what is in\n\
         effect and where each value came from.\n\n\
         *Also honoured by*: m = the serverless compatibility mini agent, a = the reference agent, i = the entrypoint\n\
         wrapper, b = the Lambda extension, std = common to all programs; empty = lastlight's own.\n\
         Durations are seconds, or a number with a unit (`300ms`, `5s`, `1m30s`). Bytes take `KB`, `MB`, `GB` (powers of\n\
         1000) and `KiB`, `MiB`, `GiB` (powers of 1024). Booleans take `true`, `false`, `1`, `0`, `t`, `f`, `yes`, `no`,\n\
         `on`, `off` in any case.\n",
    );
    let mut group = "";
    for setting in all() {
        if setting.group != group {
            group = setting.group;
            out.push_str(&format!(
                "\n## {group}\n\n| variable | type | default | allowed | meaning | also honoured by |\n|---|---|---|---|---|---|\n"
            ));
        }
        let names: Vec<String> = setting.names.iter().map(|name| format!("`{name}`")).collect();
        let default =
            if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            names.join(", "),
            setting.kind.label(),
            cell(&default),
            cell(&setting.kind.allowed()),
            cell(setting.meaning),
            setting.honoured_by,
        ));
    }
    out.push_str(
        "\n## Known, and not used yet\n\n\
         `lastlight check` knows these names and does not take them for misspelt ones. They have no effect.\n\n",
    );
    for (reason, names) in known::NOT_USED {
        let names: Vec<String> = names.split_whitespace().map(|name| format!("`{name}`")).collect();
        out.push_str(&format!("- {reason}: {}\n", names.join(", ")));
    }
    let prefixes: Vec<String> = known::TRACERS_PREFIXES.iter().map(|prefix| format!("`{prefix}*`")).collect();
    out.push_str(&format!(
        "\nVariables of the tracers themselves ({} and others) are left alone.\n",
        prefixes.join(", ")
    ));
    out
}

/// Text that does not end its table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_name_stands_twice() {
        let mut seen = BTreeSet::new();
        for name in all().flat_map(|setting| setting.names).chain(known::not_used()) {
            assert!(seen.insert(*name), "{name} stands twice");
        }
    }

    #[test]
    fn every_setting_says_what_it_means_and_what_is_allowed() {
        for setting in all() {
            assert!(setting.meaning.len() > 10, "{}", setting.name());
            assert!(!setting.meaning.contains('\n'), "{}", setting.name());
            assert!(!setting.kind.allowed().is_empty(), "{}", setting.name());
        }
    }

    #[test]
    fn groups_are_not_interleaved() {
        let mut groups: Vec<&str> = all().map(|setting| setting.group).collect();
        groups.dedup();
        let distinct: BTreeSet<&str> = groups.iter().copied().collect();
        assert_eq!(groups.len(), distinct.len());
    }

    #[test]
    fn the_document_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let document = std::fs::read_to_string(path).expect("docs/settings.md");
        assert!(
            document == markdown(),
            "docs/settings.md is not what config::table::markdown() says: run `cargo run -p xtask -- settings`"
        );
    }

    #[test]
    fn bytes_and_durations_are_written_for_people() {
        assert_eq!(bytes(64 << 20), "64MiB");
        assert_eq!(bytes(1 << 30), "1GiB");
        assert_eq!(bytes(2048), "2KiB");
        assert_eq!(bytes(26_214_401), "26214401");
        assert_eq!(duration(9_000), "9s");
        assert_eq!(duration(250), "250ms");
    }
}
