//! What holds for all requests of a process.

/// Spans of one trace when nobody says otherwise.
pub const SPANS_MAX_DEFAULT: usize = 10_000;
/// Bytes of one trace's texts and tags when nobody says otherwise.
pub const BYTES_MAX_DEFAULT: usize = 4 * 1024 * 1024;

/// What holds for all requests of a process. An empty text means: not known, and nothing is sent of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// Service of spans that name none (`DD_SERVICE`).
    pub service: String,
    /// `env` of every span (`DD_ENV`).
    pub env: String,
    /// `version` of every span of [`TraceOptions::service`] (`DD_VERSION`).
    pub version: String,
    /// `_dd.hostname` of the root; only for those who ask for it (`DD_TRACE_REPORT_HOSTNAME`).
    pub hostname: String,
    /// Language as tracers spell it: `php`, `python`, `c`.
    pub language: String,
    /// Version of the language.
    pub language_version: String,
    /// What runs the language: `fpm-fcgi`, `cli`, `CPython`.
    pub interpreter: String,
    /// Version of whoever records the spans.
    pub tracer_version: String,
    /// Unique to the process (a UUID), the same for all its traces.
    pub runtime_id: String,
    /// The process's number; 0 means not known.
    pub process_id: u32,
    /// Share of the traces that begin here to keep, 0 to 1 (`DD_TRACE_SAMPLE_RATE`). `None`: all are kept, and the
    /// agent samples. What is out of the range means the nearer end of it, and NaN means `None`.
    pub sample_rate: Option<f64>,
    /// Most spans of one trace; more are counted, not recorded.
    pub spans_max: usize,
    /// Most bytes of one trace's texts and tags, at most 1 GiB; more are counted, not recorded.
    pub bytes_max: usize,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            service: String::new(),
            env: String::new(),
            version: String::new(),
            hostname: String::new(),
            language: String::new(),
            language_version: String::new(),
            interpreter: String::new(),
            tracer_version: String::new(),
            runtime_id: String::new(),
            process_id: 0,
            sample_rate: None,
            spans_max: SPANS_MAX_DEFAULT,
            bytes_max: BYTES_MAX_DEFAULT,
        }
    }
}
