//! What samplers and statistics need to know of a span, found in one pass over its tags.

/// Facts of one span after normalization, obfuscation and replacement.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanFacts<'a> {
    /// First span of its service within the chunk (`_top_level`).
    pub top_level: bool,
    /// `_dd.measured` is 1.
    pub measured: bool,
    /// A snapshot of an unfinished span (`_dd.partial_version` >= 0); never counted.
    pub partial: bool,
    /// `span.kind`.
    pub span_kind: &'a str,
    /// `http.status_code`: metric first, else meta, else 0.
    pub http_status_code: u32,
    /// `http.method`.
    pub http_method: &'a str,
    /// `http.endpoint`, else `http.route`.
    pub http_endpoint: &'a str,
    /// gRPC status as its number in text (`facts/trace-intake.md` §9.1); empty when there is none.
    pub grpc_status_code: &'a str,
    /// `_dd.base_service`.
    pub base_service: &'a str,
    /// `_dd.svc_src`.
    pub service_source: &'a str,
    /// `env`.
    pub env: &'a str,
    /// `version`.
    pub version: &'a str,
    /// `error.type`.
    pub error_type: &'a str,
    /// `_dd.span_events.has_exception` is `true`.
    pub has_exception_event: bool,
    /// `_dd.span_sampling.mechanism` is 8: the tracer wants this span kept by itself.
    pub single_span_sampled: bool,
    /// `_dd.git.commit.sha`.
    pub git_commit_sha: &'a str,
}
