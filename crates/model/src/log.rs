//! Logs.

/// Stands where a message was cut, as the reference agent writes it: at the end of a part that is continued, and at the
/// beginning of the next one.
pub const TRUNCATED: &str = "...TRUNCATED...";

/// How bad it is, as the intake knows it; the worst first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, PartialOrd, Ord)]
pub enum LogStatus {
    /// The system cannot be used.
    Emergency,
    /// Something must be done at once.
    Alert,
    /// A critical condition.
    Critical,
    /// An error; what standard error carries unless it says otherwise.
    Error,
    /// A warning.
    Warn,
    /// Normal, and worth a look.
    Notice,
    /// Information; what standard output carries unless it says otherwise.
    Info,
    /// For those who look for a fault.
    Debug,
}

impl LogStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warn,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The word that the intake takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// One log: a line, or several that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// What was written, without the newline at its end. It should be UTF-8 and may be anything.
    pub message: &'a [u8],
    /// How bad it is.
    pub status: LogStatus,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Host; empty when there is none.
    pub hostname: &'a str,
    /// Service; empty when there is none.
    pub service: &'a str,
    /// What wrote it (`ddsource`).
    pub source: &'a str,
    /// Tags of its own, between commas.
    pub tags: &'a str,
    /// The trace it belongs to, as the tracer wrote it.
    pub trace_id: Option<&'a str>,
    /// The span it belongs to, as the tracer wrote it.
    pub span_id: Option<&'a str>,
}
