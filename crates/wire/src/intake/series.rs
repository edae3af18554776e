//! Series for the backend: `MetricPayload` in protobuf (`facts/delivery.md` §3.1).

use model::metric::{Origin, Series, SeriesType};

use crate::error::DecodeError;

/// A series that was read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedSeries {
    /// The metric's name.
    pub name: String,
    /// Types and names, `host` first.
    pub resources: Vec<(String, String)>,
    /// In the order in which they were sent.
    pub tags: Vec<String>,
    /// What the values mean; `None` when the number is none of the published.
    pub series_type: Option<SeriesType>,
    /// The seconds each value stands for.
    pub interval: i64,
    /// Seconds since 1970, and the value.
    pub points: Vec<(i64, f64)>,
    /// Who made it.
    pub origin: Option<Origin>,
}

/// Appends one `series` entry of a `MetricPayload`; entries one after the other are a payload.
pub fn encode(_series: &Series<'_>, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}

/// Reads a `MetricPayload`. Unknown fields are passed over; invalid UTF-8 is replaced.
///
/// # Errors
/// When the body is no such message, or its decoded form is out of all proportion.
pub fn decode(_body: &[u8]) -> Result<Vec<OwnedSeries>, DecodeError> {
    // Skeleton: not read yet.
    Ok(Vec::new())
}
