//! The routes of the receiver (`facts/trace-intake.md` §1).

use wire::traces::Format;

macro_rules! routes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A kind of request, as counted and dispatched.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        pub(crate) enum Route { $($(#[$doc])* $variant),* }

        impl Route {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// The name used in logs, status and metrics.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

routes! {
    /// JSON list of traces.
    TracesV02 = "/v0.2/traces";
    /// msgpack or JSON list of traces.
    TracesV03 = "/v0.3/traces";
    /// The same, answered with sampling rates.
    TracesV04 = "/v0.4/traces";
    /// msgpack with a dictionary of strings.
    TracesV05 = "/v0.5/traces";
    /// msgpack tracer payload.
    TracesV07 = "/v0.7/traces";
    /// Answered and ignored, as the reference does.
    Services = "/v0.4/services";
    /// Statistics computed by the tracer.
    Stats = "/v0.6/stats";
    /// What the agent can do.
    Info = "/info";
    /// Remote configuration, which this agent does not have.
    RemoteConfig = "/v0.7/config";
    /// Data streams.
    PipelineStats = "/v0.1/pipeline_stats";
    /// Profiles.
    Profiling = "/profiling/v1/input";
    /// Telemetry of the tracers themselves.
    Telemetry = "/telemetry/proxy/";
    /// Anything for the event platform.
    EvpProxy = "/evp_proxy/";
    /// Dynamic instrumentation: log snapshots.
    DebuggerInput = "/debugger/v1/input";
    /// Dynamic instrumentation: diagnostics and newer snapshots.
    DebuggerDiagnostics = "/debugger/v1/diagnostics";
    /// Symbol database.
    SymDb = "/symdb/v1/input";
    /// Support bundles of tracers.
    TracerFlare = "/tracer_flare/v1";
    /// Lineage events.
    OpenLineage = "/openlineage/api/v1/lineage";
    /// Metrics, as DogStatsD lines.
    DogStatsD = "/dogstatsd/v2/proxy";
    /// Logs, JSON.
    LogsInput = "/v1/input";
    /// Our own state, JSON.
    Status = "/lastlight/status";
    /// Our own state, Prometheus text.
    Metrics = "/lastlight/metrics";
    /// Anything else.
    Unknown = "unknown";
}

/// What `/info` lists under `endpoints`; the trailing slashes are what tracers look for.
pub(crate) const ENDPOINTS: &[&str] = &[
    "/v0.3/traces",
    "/v0.3/services",
    "/v0.4/traces",
    "/v0.4/services",
    "/v0.5/traces",
    "/v0.7/traces",
    "/v0.6/stats",
    "/v0.1/pipeline_stats",
    "/profiling/v1/input",
    "/telemetry/proxy/",
    "/evp_proxy/v1/",
    "/evp_proxy/v2/",
    "/evp_proxy/v3/",
    "/evp_proxy/v4/",
    "/debugger/v1/input",
    "/debugger/v1/diagnostics",
    "/debugger/v2/input",
    "/symdb/v1/input",
    "/tracer_flare/v1",
    "/openlineage/api/v1/lineage",
    "/v0.7/config",
    "/dogstatsd/v1/proxy",
    "/dogstatsd/v2/proxy",
];

impl Route {
    /// Whether its requests are passed through, and answered by the backend.
    pub(crate) fn is_passed_through(self) -> bool {
        matches!(self, Self::EvpProxy | Self::OpenLineage | Self::TracerFlare)
    }

    /// Whether what is accepted is written with the platform's tags.
    pub(crate) fn needs_labels(self) -> bool {
        !matches!(self, Self::Stats | Self::DogStatsD | Self::LogsInput)
    }

    /// Whether it takes what a client has to say.
    pub(crate) fn takes_body(self) -> bool {
        !matches!(
            self,
            Self::Unknown | Self::Info | Self::Status | Self::Metrics | Self::RemoteConfig | Self::Services
        )
    }

    /// The route of a path; a trailing slash is forgiven where a path does not continue.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/telemetry/proxy/") {
            return Self::Telemetry;
        }
        if let Some(rest) = path.strip_prefix("/evp_proxy/v") {
            let known = matches!(rest.as_bytes(), [b'1'..=b'4', b'/', ..]);
            return if known { Self::EvpProxy } else { Self::Unknown };
        }
        let trimmed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        match trimmed {
            "/v0.4/traces" => Self::TracesV04,
            "/v0.5/traces" => Self::TracesV05,
            "/v0.3/traces" => Self::TracesV03,
            "/v0.7/traces" => Self::TracesV07,
            "/v0.2/traces" => Self::TracesV02,
            "/services" | "/v0.1/services" | "/v0.2/services" | "/v0.3/services" | "/v0.4/services" => {
                Self::Services
            }
            "/v0.6/stats" => Self::Stats,
            "/info" => Self::Info,
            "/v0.7/config" => Self::RemoteConfig,
            "/v0.1/pipeline_stats" => Self::PipelineStats,
            "/profiling/v1/input" => Self::Profiling,
            "/debugger/v1/input" => Self::DebuggerInput,
            "/debugger/v1/diagnostics" | "/debugger/v2/input" => Self::DebuggerDiagnostics,
            "/symdb/v1/input" => Self::SymDb,
            "/tracer_flare/v1" => Self::TracerFlare,
            "/openlineage/api/v1/lineage" => Self::OpenLineage,
            "/dogstatsd/v1/proxy" | "/dogstatsd/v2/proxy" => Self::DogStatsD,
            "/v1/input" => Self::LogsInput,
            "/lastlight/status" => Self::Status,
            "/lastlight/metrics" => Self::Metrics,
            _ => Self::Unknown,
        }
    }

    /// How the body of a trace route is written; `None` for other routes.
    ///
    /// On the routes that take both, the first byte decides, whatever the Content-Type says: a JSON list
    /// begins with `[`, which msgpack reads as the number 91. The reference tries one, then the other.
    pub(crate) fn trace_format(self, body: &[u8]) -> Option<Format> {
        let json = || {
            let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
            matches!(first, Some(b'[' | b'n'))
        };
        match self {
            Self::TracesV02 => Some(Format::JsonV04),
            Self::TracesV03 | Self::TracesV04 => Some(if json() { Format::JsonV04 } else { Format::V04 }),
            Self::TracesV05 => Some(Format::V05),
            Self::TracesV07 => Some(Format::V07),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_endpoint_is_served() {
        for endpoint in ENDPOINTS {
            assert_ne!(Route::of(endpoint), Route::Unknown, "{endpoint}");
        }
    }

    #[test]
    fn unknown_paths_and_versions_are_not_guessed() {
        for path in ["/", "", "/v0.6/traces", "/v1.0/traces", "/evp_proxy/v5/x", "/evp_proxy/v2", "/info/x"] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
        assert_eq!(Route::of("/info/"), Route::Info);
    }
}
