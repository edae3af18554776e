//! Distributions for the backend: `SketchPayload` in protobuf (`facts/delivery.md` §3.5), and their reading back for
//! the local backend.

use model::metric::{Distribution, Origin, SketchPoint};

use super::metadata::{Budget, decode_origin, origin};
use crate::error::DecodeError;
use crate::protobuf::{
    Reader, Wire, bytes_field, bytes_field_always, double_field, joined_field, message, unzigzag32, varint,
    varint_field, varint_len, zigzag32,
};

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
///
/// The format has no place for resources other than the host: they go back to the tags they came from,
/// `device:<name>` and `dd.internal.resource:<type>:<name>`, as the reference leaves them.
pub fn encode(distribution: &Distribution<'_>, out: &mut Vec<u8>) {
    let Distribution { identity, points } = distribution;
    let likely = 64
        + 24 * identity.tags.len()
        + points.iter().map(|point| point_likely_bytes(point) + 4).sum::<usize>();
    message(1, likely, out, |out| {
        joined_field(1, &identity.name, out);
        bytes_field(2, identity.host.as_bytes(), out);
        for tag in identity.tags {
            bytes_field_always(4, tag.as_bytes(), out);
        }
        for (resource_type, name) in identity.resources {
            match *resource_type {
                "device" => joined_field(4, &["device:", name], out),
                other => joined_field(4, &["dd.internal.resource:", other, ":", name], out),
            }
        }
        for point in *points {
            message(7, point_likely_bytes(point), out, |out| encode_point(point, out));
        }
        origin(8, identity.origin, out);
    });
}

fn encode_point(point: &SketchPoint<'_>, out: &mut Vec<u8>) {
    varint_field(1, point.timestamp as u64, out);
    varint_field(2, point.count, out);
    double_field(3, point.min, out);
    double_field(4, point.max, out);
    double_field(5, point.average, out);
    double_field(6, point.sum, out);
    // Keys of neighbouring bins take as many bytes each.
    let key_len = point.keys.first().map_or(1, |key| varint_len(u64::from(zigzag32(*key))));
    packed(7, point.keys.iter().map(|key| zigzag32(*key)), key_len, out);
    packed(8, point.counts.iter().copied(), 1, out);
}

/// Appends numbers as one packed field, unless there are none. `likely_len`: bytes each of them is likely to take.
#[inline]
fn packed(field: u8, numbers: impl ExactSizeIterator<Item = u32>, likely_len: usize, out: &mut Vec<u8>) {
    if numbers.len() > 0 {
        message(field, numbers.len() * likely_len, out, |out| {
            numbers.for_each(|number| varint(u64::from(number), out));
        });
    }
}

/// A guess at the length of a point.
#[inline]
fn point_likely_bytes(point: &SketchPoint<'_>) -> usize {
    50 + 3 * point.keys.len()
}

/// Reads a `SketchPayload`. Unknown fields are passed over; what is not UTF-8 is replaced.
///
/// # Errors
/// When the body is no such message, or its decoded form is out of all proportion.
pub fn decode(body: &[u8]) -> Result<Vec<OwnedDistribution>, DecodeError> {
    const WHAT: &str = "a distribution";
    let (mut all, mut budget) = (Vec::new(), Budget::of(body));
    let mut reader = Reader::new(body);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => {
                let distribution = one(reader.message(WHAT)?, &mut budget)?;
                budget.push(&mut all, distribution, &reader, WHAT)?;
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(all)
}

fn one(mut reader: Reader<'_>, budget: &mut Budget) -> Result<OwnedDistribution, DecodeError> {
    let mut distribution = OwnedDistribution::default();
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Bytes) => distribution.name = budget.text(r, "the name of a metric")?,
            (2, Wire::Bytes) => distribution.host = budget.text(r, "the host of a metric")?,
            (4, Wire::Bytes) => {
                let tag = budget.text(r, "a tag")?;
                budget.push(&mut distribution.tags, tag, r, "tags")?;
            }
            (7, Wire::Bytes) => {
                let point = decode_point(r.message("a sketch")?, budget)?;
                budget.push(&mut distribution.points, point, r, "sketches")?;
            }
            (8, Wire::Bytes) => distribution.origin = decode_origin(r.message("the metadata of a metric")?)?,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(distribution)
}

fn decode_point(mut reader: Reader<'_>, budget: &mut Budget) -> Result<OwnedSketchPoint, DecodeError> {
    const KEYS: &str = "the keys of a sketch";
    const COUNTS: &str = "the counts of a sketch";
    let mut point = OwnedSketchPoint::default();
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Varint) => point.timestamp = r.varint("the time of a sketch")? as i64,
            (2, Wire::Varint) => point.count = r.varint("the number of values of a sketch")?,
            (3, Wire::Fixed64) => point.min = r.double("the least value of a sketch")?,
            (4, Wire::Fixed64) => point.max = r.double("the greatest value of a sketch")?,
            (5, Wire::Fixed64) => point.average = r.double("the mean of a sketch")?,
            (6, Wire::Fixed64) => point.sum = r.double("the sum of a sketch")?,
            (7, Wire::Bytes) => {
                let mut keys = r.message(KEYS)?;
                while keys.remaining() > 0 {
                    let key = unzigzag32(keys.varint(KEYS)?);
                    budget.push(&mut point.keys, key, &keys, KEYS)?;
                }
            }
            (8, Wire::Bytes) => {
                let mut counts = r.message(COUNTS)?;
                while counts.remaining() > 0 {
                    let count = counts.varint(COUNTS)? as u32;
                    budget.push(&mut point.counts, count, &counts, COUNTS)?;
                }
            }
            // The same, not packed.
            (7, Wire::Varint) => {
                let key = unzigzag32(r.varint(KEYS)?);
                budget.push(&mut point.keys, key, r, KEYS)?;
            }
            (8, Wire::Varint) => {
                let count = r.varint(COUNTS)? as u32;
                budget.push(&mut point.counts, count, r, COUNTS)?;
            }
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(point)
}
