//! Makers of what tracers send, in every version, deterministic by seed.
//!
//! The noun is [`crate::proto::Span`]; the encoders write it as tracers do. What must differ in each
//! request (ids, starts, literals) is a mark in the bytes that [`Template`] replaces without encoding again.

mod hostile;
mod json;
mod mix;
mod msgpack;
mod otlp;
mod stats;
mod template;

pub use hostile::{Expected, Hostile, hostile};
pub use json::v04_json;
pub use mix::{Mix, mix};
pub use msgpack::{v04, v05, v07};
pub use otlp::otlp;
pub use stats::client_stats;
pub use template::Template;

use crate::proto::Span;

/// The spans of one request: traces of spans.
pub type Traces = Vec<Vec<Span>>;

/// How traces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// msgpack array of arrays of span maps; v0.3 is the same.
    V04,
    /// msgpack with a dictionary of strings.
    V05,
    /// msgpack `TracerPayload`.
    V07,
    /// OTLP protobuf, for agents that take nothing else.
    Otlp,
}

impl Format {
    /// The path such requests go to.
    pub fn path(self) -> &'static str {
        match self {
            Self::V04 => "/v0.4/traces",
            Self::V05 => "/v0.5/traces",
            Self::V07 => "/v0.7/traces",
            Self::Otlp => "/v1/traces",
        }
    }

    /// The content type of such requests.
    pub fn content_type(self) -> &'static str {
        if self == Self::Otlp { "application/x-protobuf" } else { "application/msgpack" }
    }

    /// Writes traces.
    pub fn encode(self, traces: &[Vec<Span>]) -> Vec<u8> {
        match self {
            Self::V04 => v04(traces),
            Self::V05 => v05(traces),
            Self::V07 => v07(traces),
            Self::Otlp => otlp(traces),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "v04" => Ok(Self::V04),
            "v05" => Ok(Self::V05),
            "v07" => Ok(Self::V07),
            "otlp" => Ok(Self::Otlp),
            other => Err(format!("{other:?} is not one of v04, v05, v07, otlp")),
        }
    }
}

/// A single span of its own trace, for small tests.
pub fn span(id: u64) -> Span {
    Span {
        service: "shop".into(),
        name: "web.request".into(),
        resource: "GET /".into(),
        trace_id: id,
        span_id: id,
        start: 1_750_000_000_000_000_000,
        duration: 1_000_000,
        r#type: "web".into(),
        meta: [("env".to_owned(), "test".to_owned())].into(),
        metrics: [("_sampling_priority_v1".to_owned(), 1.0)].into(),
        ..Span::default()
    }
}

#[cfg(test)]
mod tests;
