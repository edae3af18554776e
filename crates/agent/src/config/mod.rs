//! What the user decided: read once, checked whole, explained.
//!
//! [`source`] reads the environment, [`table`] names every setting, [`Config::load`] turns what was said into what
//! it means. Every bad value is an error that names its variable and what is allowed; all of them are told at
//! once, and none silently becomes a default (`facts/settings.md` §12).

pub mod dogstatsd;
pub mod endpoint;
mod load;
pub mod logs;
pub mod microvm;
pub mod parse;
mod reader;
pub mod secret;
pub mod source;
pub mod table;

pub use dogstatsd::{DogStatsD, EolRequired, UdpAddress};
pub use endpoint::{BaseUrl, Destination, Endpoint, Endpoints, EvpProxy, EvpTarget};
pub use logs::{FilePattern, Logs};
pub use microvm::MicroVm;
pub use parse::{SocketAddress, log_level};
pub use secret::Secret;

use crate::forward::{proxy::ProxySettings, tls::TlsSettings};
use crate::platform::{Face, Platform, Probe};
use pipeline::config::ProcessConfig;
use source::Strings;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use table::Setting;

/// Everything the agent needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// As which part of a program we run.
    pub face: Face,
    /// Key of the intake; only `lastlight dev` runs without ([`Config::require_api_key`]).
    pub api_key: Option<Secret>,
    /// Domain of the intake.
    pub site: String,
    /// Who we are.
    pub identity: Identity,
    /// Where we run.
    pub platform: Platform,
    /// Host, and port, of Google's metadata server ([`crate::platform::metadata::fetch`]).
    pub metadata_host: String,
    /// How clients reach us.
    pub receiver: Receiver,
    /// How metrics reach us and what happens to them.
    pub dogstatsd: DogStatsD,
    /// How logs reach us and what happens to them.
    pub logs: Logs,
    /// How a MicroVM's platform says what happens to it; `None` where it is none, or nobody listens.
    pub microvm: Option<MicroVm>,
    /// Metrics of the platform itself are sent.
    pub enhanced_metrics: bool,
    /// What happens to traces.
    pub process: ProcessConfig,
    /// Who computes stats.
    pub stats: StatsMode,
    /// Where payloads go.
    pub endpoints: Endpoints,
    /// How they are packed.
    pub compression: Compression,
    /// Longest time a trace waits for its batch.
    pub flush_period: Duration,
    /// Through which proxies they go.
    pub proxy: ProxySettings,
    /// Whom we trust. The file of certificates was readable and sound when it was checked.
    pub tls: TlsSettings,
    /// Bound of all telemetry held at one time, bytes.
    pub memory_bytes: usize,
    /// Bound of a stop.
    pub stop_timeout: Duration,
    /// The image's stop signal in lower case, such as `sigterm`.
    pub stop_signal: String,
    /// How long after a request to end a wrapped program is killed.
    pub kill_after: Option<Duration>,
    /// Adopt and reap orphans where we are not process 1.
    pub subreaper: bool,
    /// Exit with 75 when a stop had to drop something.
    pub strict_exit: bool,
    /// Drain and exit when the parent process is gone.
    pub exit_with_parent: bool,
    /// How much is said.
    pub log_level: log::LevelFilter,
    /// Switches of `DD_APM_FEATURES`, as given.
    pub features: Vec<String>,
    /// Odd things that do not stop the start; to be logged once.
    pub warnings: Vec<String>,
    /// What was said, setting by setting, in the order of the table.
    pub said: Vec<Said>,
}

/// Who sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Host name of the agent; empty on serverless platforms.
    pub hostname: String,
    /// `DD_ENV`.
    pub env: Option<String>,
    /// `DD_SERVICE`.
    pub service: Option<String>,
    /// `DD_VERSION`.
    pub version: Option<String>,
    /// `DD_TAGS`, then `DD_EXTRA_TAGS`. A tag without a colon has an empty value.
    pub tags: Vec<(String, String)>,
}

/// How clients reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Anything listens (`DD_APM_ENABLED` and `DD_APM_RECEIVER_ENABLED`).
    pub enabled: bool,
    /// TCP port; `None`: no TCP listener. `Some(0)`, which only code can say, lets the system choose.
    pub port: Option<u16>,
    /// Address the TCP listener binds.
    pub bind: IpAddr,
    /// Unix socket.
    pub socket: Option<SocketAddress>,
    /// Windows named pipe, without `\\.\pipe\`.
    pub pipe_name: Option<String>,
    /// Biggest trace or stats request body.
    pub body_max_bytes: usize,
    /// Bound of a request's headers, and of each wait for a part of its body.
    pub read_timeout: Duration,
    /// Connections open at one time, over all transports.
    pub connections_max: usize,
}

/// Who computes stats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsMode {
    /// We do, unless the tracer did.
    pub computed_here: bool,
    /// `/info` tells tracers that they may drop what they did not sample.
    pub client_drop_p0s: bool,
}

/// How traces are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The algorithm.
    pub kind: CompressionKind,
    /// Its level.
    pub level: i32,
}

/// Algorithms of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionKind {
    /// Zstandard.
    Zstd,
    /// gzip, for what stands between us and the intake.
    Gzip,
    /// None at all.
    None,
}

impl Config {
    /// Reads and checks every setting, for the agent.
    ///
    /// # Errors
    /// All bad values at once. A missing API key is none of them: see [`Config::require_api_key`].
    pub fn load(strings: &dyn Strings) -> Result<Self, ConfigErrors> {
        Self::load_for(strings, Face::Agent, &Probe::of_this_system())
    }

    /// The same for one of the faces, on a given system.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(strings: &dyn Strings, face: Face, probe: &Probe) -> Result<Self, ConfigErrors> {
        let (config, errors) = Self::read(strings, face, probe);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    /// What would be in effect, and what is wrong with it.
    pub(crate) fn read(strings: &dyn Strings, face: Face, probe: &Probe) -> (Self, Vec<ConfigError>) {
        load::read(strings, face, probe)
    }

    /// The API key, which every face but `lastlight dev` needs (losses.md L67).
    ///
    /// # Errors
    /// When there is none.
    pub fn require_api_key(&self) -> Result<&Secret, ConfigError> {
        self.api_key.as_ref().ok_or_else(|| ConfigError {
            variable: table::DD_API_KEY.name().to_owned(),
            value: None,
            why: "it is not set; set it to the key of your account, or try `lastlight dev`, which needs none"
                .into(),
            allowed: table::DD_API_KEY.kind.allowed(),
        })
    }
}

/// One setting as it was said.
#[derive(Clone)]
pub struct Said {
    /// Which.
    pub setting: &'static Setting,
    /// The text in effect; empty when there is none. Not masked: show it by [`Said::shown`].
    text: String,
    /// Who said it.
    pub source: Source,
}

impl Said {
    /// The text for people, secrets masked.
    pub fn shown(&self) -> String {
        reader::shown(self.setting, &self.text)
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.setting.name(), self.shown(), self.source)
    }
}

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody: the default.
    Default,
    /// This variable.
    Variable(&'static str),
    /// It follows from something else: another setting, the platform, the system.
    Derived(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Variable(name) => f.write_str(name),
            Self::Derived(how) => f.write_str(how),
        }
    }
}

/// A value that stops the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable.
    pub variable: String,
    /// Its value, secrets masked; `None` when it is missing.
    pub value: Option<String>,
    /// What is wrong.
    pub why: String,
    /// What would be right.
    pub allowed: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}: {}; allowed: {}", self.variable, self.why, self.allowed),
            None => write!(f, "{}: {}", self.variable, self.why),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Every value that stops the start. The binary exits with 78.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests;
