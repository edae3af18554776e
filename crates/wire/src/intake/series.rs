//! Series for the backend: `MetricPayload` in protobuf (`facts/delivery.md` §3.1), and their reading back for the
//! local backend.

use model::metric::{Origin, Series, SeriesType};

use super::metadata::{Budget, decode_origin, origin};
use crate::error::DecodeError;
use crate::protobuf::{
    Reader, Wire, bytes_field, bytes_field_always, double_field, joined_field, message, varint_field,
};

/// The type of the resource that is the host.
const HOST: &str = "host";
/// A first guess at the length of a point, in bytes: a double and a time.
const POINT_LIKELY_BYTES: usize = 15;

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

/// Appends one `series` entry of a `MetricPayload`; entries one after the other are a payload. The host comes first
/// among the resources and is left out when it is empty.
pub fn encode(series: &Series<'_>, out: &mut Vec<u8>) {
    let Series { identity, series_type, interval, points } = series;
    let likely = 64 + 24 * (identity.resources.len() + identity.tags.len()) + 17 * points.len();
    message(1, likely, out, |out| {
        if !identity.host.is_empty() {
            resource(HOST, identity.host, out);
        }
        for (resource_type, name) in identity.resources {
            resource(resource_type, name, out);
        }
        joined_field(2, &identity.name, out);
        for tag in identity.tags {
            bytes_field_always(3, tag.as_bytes(), out);
        }
        for (timestamp, value) in *points {
            message(4, POINT_LIKELY_BYTES, out, |out| {
                double_field(1, *value, out);
                varint_field(2, *timestamp as u64, out);
            });
        }
        varint_field(5, *series_type as u64, out);
        varint_field(8, u64::from(*interval), out);
        origin(9, identity.origin, out);
    });
}

#[inline]
fn resource(resource_type: &str, name: &str, out: &mut Vec<u8>) {
    message(1, resource_type.len() + name.len() + 4, out, |out| {
        bytes_field(1, resource_type.as_bytes(), out);
        bytes_field(2, name.as_bytes(), out);
    });
}

/// Reads a `MetricPayload`. Unknown fields are passed over; what is not UTF-8 is replaced.
///
/// # Errors
/// When the body is no such message, or its decoded form is out of all proportion.
pub fn decode(body: &[u8]) -> Result<Vec<OwnedSeries>, DecodeError> {
    const WHAT: &str = "a series";
    let (mut all, mut budget) = (Vec::new(), Budget::of(body));
    let mut reader = Reader::new(body);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => {
                let series = one(reader.message(WHAT)?, &mut budget)?;
                budget.push(&mut all, series, &reader, WHAT)?;
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(all)
}

fn one(mut reader: Reader<'_>, budget: &mut Budget) -> Result<OwnedSeries, DecodeError> {
    let mut series = OwnedSeries::default();
    let r = &mut reader;
    while let Some(field) = r.field()? {
        match field {
            (1, Wire::Bytes) => {
                let mut parts = r.message("a resource")?;
                let (mut resource_type, mut name) = (String::new(), String::new());
                while let Some(field) = parts.field()? {
                    match field {
                        (1, Wire::Bytes) => {
                            resource_type = budget.text(&mut parts, "the type of a resource")?;
                        }
                        (2, Wire::Bytes) => name = budget.text(&mut parts, "the name of a resource")?,
                        (_, wire) => parts.skip(wire)?,
                    }
                }
                budget.push(&mut series.resources, (resource_type, name), r, "resources")?;
            }
            (2, Wire::Bytes) => series.name = budget.text(r, "the name of a metric")?,
            (3, Wire::Bytes) => {
                let tag = budget.text(r, "a tag")?;
                budget.push(&mut series.tags, tag, r, "tags")?;
            }
            (4, Wire::Bytes) => {
                let mut parts = r.message("a point")?;
                let (mut timestamp, mut value) = (0, 0.0);
                while let Some(field) = parts.field()? {
                    match field {
                        (1, Wire::Fixed64) => value = parts.double("the value of a point")?,
                        (2, Wire::Varint) => timestamp = parts.varint("the time of a point")? as i64,
                        (_, wire) => parts.skip(wire)?,
                    }
                }
                budget.push(&mut series.points, (timestamp, value), r, "points")?;
            }
            (5, Wire::Varint) => {
                series.series_type = match r.varint("the type of a series")? {
                    1 => Some(SeriesType::Count),
                    2 => Some(SeriesType::Rate),
                    3 => Some(SeriesType::Gauge),
                    _ => None,
                }
            }
            (8, Wire::Varint) => series.interval = r.varint("the interval of a series")? as i64,
            (9, Wire::Bytes) => series.origin = decode_origin(r.message("the metadata of a metric")?)?,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(series)
}
