//! Distributions for the backend: `SketchPayload` in protobuf (`facts/delivery.md` §3.5).

use model::metric::{Distribution, Origin};

use crate::error::DecodeError;

/// A distribution that was read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedDistribution {
    /// The metric's name.
    pub name: String,
    /// The host; empty where there is none.
    pub host: String,
    /// In the order in which they were sent.
    pub tags: Vec<String>,
    /// One for each bucket.
    pub points: Vec<OwnedSketchPoint>,
    /// Who made it.
    pub origin: Option<Origin>,
}

/// The distribution of the values of one bucket; see [`model::metric::SketchPoint`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedSketchPoint {
    /// Begin of the bucket, in seconds since 1970.
    pub timestamp: i64,
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub average: f64,
    /// Their sum.
    pub sum: f64,
    /// Bins that are not empty.
    pub keys: Vec<i32>,
    /// How many values are in each.
    pub counts: Vec<u32>,
}

/// Appends one `sketches` entry of a `SketchPayload`; entries one after the other are a payload.
pub fn encode(_distribution: &Distribution<'_>, _out: &mut Vec<u8>) {
    // Skeleton: not written yet.
}

/// Reads a `SketchPayload`. Unknown fields are passed over; invalid UTF-8 is replaced.
///
/// # Errors
/// When the body is no such message, or its decoded form is out of all proportion.
pub fn decode(_body: &[u8]) -> Result<Vec<OwnedDistribution>, DecodeError> {
    // Skeleton: not read yet.
    Ok(Vec::new())
}
