//! Metrics: `name:value[:value…]|type` and optional fields (`facts/dogstatsd.md` §2.1).

use memchr::{memchr, memchr2};
use model::metric::MetricType;

use super::LineError;
use super::number::{first_number, integer, number};

/// Samples of one metric, as slices of its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric<'a> {
    /// Never empty.
    pub name: &'a [u8],
    /// Never empty. Numbers between colons, for [`Metric::numbers`]; of a set one value, as it is.
    pub values: &'a [u8],
    /// What the values mean.
    pub metric_type: MetricType,
    /// Share of the samples that were sent: above 0, at most 1; 1 when the line does not say.
    pub rate: f64,
    /// Tags between commas, in the client's order; possibly empty, and with empty items.
    pub tags: &'a [u8],
    /// When, in seconds since 1970; at least 1. `None`: now.
    pub timestamp: Option<i64>,
    /// `c:`: the container the client is in, as its id or its `ci-` or `in-` form.
    pub container_id: Option<&'a [u8]>,
    /// `e:`: what an orchestrator told the client about itself.
    pub external_data: Option<&'a [u8]>,
    /// `card:`: how many tags the client wants of its origin.
    pub cardinality: Option<&'a [u8]>,
}

impl Metric<'_> {
    /// Clears `out` and fills it with the values; empty items are passed over. Not for sets.
    ///
    /// # Errors
    /// When there is no value ([`LineError::NoValue`]), or one is no finite number: then the whole line is
    /// refused, as the reference does. `out` holds nothing of use then.
    pub fn numbers(&self, out: &mut Vec<f64>) -> Result<(), LineError> {
        out.clear();
        let mut rest = self.values;
        while !rest.is_empty() {
            if rest[0] == b':' {
                rest = &rest[1..];
                continue;
            }
            let value;
            (value, rest) = first_number(rest)?;
            out.push(value);
        }
        if out.is_empty() { Err(LineError::NoValue) } else { Ok(()) }
    }
}

#[inline]
pub(super) fn parse(line: &[u8]) -> Result<Metric<'_>, LineError> {
    let name_end = memchr2(b':', b'|', line).ok_or(LineError::NoName)?;
    if name_end == 0 || line[name_end] == b'|' {
        return Err(LineError::NoName);
    }
    let (name, rest) = (&line[..name_end], &line[name_end + 1..]);
    // Values are mostly so short that a call costs more than a look at each byte.
    let Some(values_end) = rest.iter().position(|byte| *byte == b'|') else { return Err(LineError::NoType) };
    if values_end == 0 {
        return Err(LineError::NoValue);
    }
    let (values, rest) = (&rest[..values_end], &rest[values_end + 1..]);
    let (metric_type, mut rest) = match rest {
        [letter] => (of_letters(&[*letter])?, None),
        [letter, b'|', rest @ ..] => (of_letters(&[*letter])?, Some(rest)),
        _ => {
            let (letters, rest) = field(rest);
            (of_letters(letters)?, rest)
        }
    };
    let mut metric = Metric {
        name,
        values,
        metric_type,
        rate: 1.0,
        tags: b"",
        timestamp: None,
        container_id: None,
        external_data: None,
        cardinality: None,
    };
    while let Some(fields) = rest {
        let (content, next) = field(fields);
        optional(&mut metric, content)?;
        rest = next;
    }
    Ok(metric)
}

#[inline]
fn of_letters(letters: &[u8]) -> Result<MetricType, LineError> {
    match letters {
        b"g" => Ok(MetricType::Gauge),
        b"c" => Ok(MetricType::Count),
        b"h" => Ok(MetricType::Histogram),
        b"d" => Ok(MetricType::Distribution),
        b"ms" => Ok(MetricType::Timing),
        b"s" => Ok(MetricType::Set),
        b"" => Err(LineError::NoType),
        _ => Err(LineError::UnknownType),
    }
}

#[inline]
fn optional<'a>(metric: &mut Metric<'a>, field: &'a [u8]) -> Result<(), LineError> {
    match field {
        [b'#', tags @ ..] => metric.tags = tags,
        [b'@', rate @ ..] => {
            metric.rate = match number(rate) {
                Ok(rate) if rate > 0.0 && rate <= 1.0 => rate,
                _ => return Err(LineError::BadRate),
            }
        }
        [b'T', seconds @ ..] => match integer(seconds) {
            Some(seconds) if seconds >= 1 => metric.timestamp = Some(seconds),
            _ => return Err(LineError::BadTimestamp),
        },
        [b'c', b':', id @ ..] => metric.container_id = Some(id),
        [b'e', b':', data @ ..] => metric.external_data = Some(data),
        [b'c', b'a', b'r', b'd', b':', level @ ..] => metric.cardinality = Some(level),
        _ => {}
    }
    Ok(())
}

/// The field at the begin of `fields`, and what follows its `|`, when there is one.
#[inline]
pub(super) fn field(fields: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'|', fields) {
        Some(end) => (&fields[..end], Some(&fields[end + 1..])),
        None => (fields, None),
    }
}
