//! What a line that is a JSON object says of itself.

use std::borrow::Cow;

use model::log::LogStatus;

use super::scan::{Kind, Scan, Value};
use super::{status, time};

/// A longer service is no name. Bytes as written.
const SERVICE_MAX_BYTES: usize = 256;
/// Decimal digits of 128 bits; hexadecimal ids are shorter.
const ID_MAX_BYTES: usize = 39;

/// What a log says of itself; what it does not say, or not soundly, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifted<'a> {
    /// How bad it is.
    pub status: Option<LogStatus>,
    /// When, in milliseconds since 1970; between 2000 and 2100. How old a log may be is the caller's to know.
    pub timestamp_ms: Option<i64>,
    /// Service; not empty. Owned only where it was written with escapes.
    pub service: Option<Cow<'a, str>>,
    /// Trace id as written, decimal or hexadecimal; not zero.
    pub trace_id: Option<&'a str>,
    /// Span id, likewise.
    pub span_id: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Status,
    Timestamp,
    Service,
    TraceId,
    SpanId,
}

/// The attributes that the intake reads in JSON logs, in its documented order: of several with a sound value the first
/// counts. A point is one in the name or a step into an object. Beyond the documented ones: `dd.service`, which tracers
/// write, the span ids beside the trace ids, and both without a prefix, as OpenTelemetry writes them.
const ATTRIBUTES: [(&str, Field); 21] = [
    ("status", Field::Status),
    ("severity", Field::Status),
    ("level", Field::Status),
    ("syslog.severity", Field::Status),
    ("@timestamp", Field::Timestamp),
    ("timestamp", Field::Timestamp),
    ("_timestamp", Field::Timestamp),
    ("Timestamp", Field::Timestamp),
    ("eventTime", Field::Timestamp),
    ("date", Field::Timestamp),
    ("published_date", Field::Timestamp),
    ("syslog.timestamp", Field::Timestamp),
    ("service", Field::Service),
    ("syslog.appname", Field::Service),
    ("dd.service", Field::Service),
    ("dd.trace_id", Field::TraceId),
    ("contextMap.dd.trace_id", Field::TraceId),
    ("trace_id", Field::TraceId),
    ("dd.span_id", Field::SpanId),
    ("contextMap.dd.span_id", Field::SpanId),
    ("span_id", Field::SpanId),
];

/// What a line says of itself, where it is a JSON object and nothing else. Members that say nothing of this kind are
/// checked to be JSON and passed over; nothing is allocated but for a service with escapes.
#[must_use]
pub fn lift(line: &[u8]) -> Lifted<'_> {
    let mut scan = Scan::new(line);
    if scan.peek() != Some(b'{') {
        return Lifted::default();
    }
    let mut lifting = Lifting::default();
    let whole = scan.members(&mut |name, value| lifting.member(name, value));
    match (whole, scan.peek()) {
        (Some(()), None) => lifting.lifted,
        _ => Lifted::default(),
    }
}

/// What was lifted so far, and from which attribute.
#[derive(Debug)]
pub(super) struct Lifting<'a> {
    pub(super) lifted: Lifted<'a>,
    /// By [`Field`], the place in [`ATTRIBUTES`].
    from: [usize; 5],
}

impl Default for Lifting<'_> {
    fn default() -> Self {
        Self { lifted: Lifted::default(), from: [usize::MAX; 5] }
    }
}

impl<'a> Lifting<'a> {
    /// Takes a member of the object itself.
    pub(super) fn member(&mut self, name: &'a [u8], value: Value<'a>) {
        self.below("", name, value);
    }

    /// Takes a member of an object whose attributes begin with `prefix`.
    fn below(&mut self, prefix: &'static str, name: &'a [u8], value: Value<'a>) {
        for (place, (attribute, field)) in ATTRIBUTES.iter().enumerate() {
            // Comparing is dear where it is done for every member: what follows, and the first byte, tell most apart.
            let ends = attribute.as_bytes().get(prefix.len() + name.len()).is_none_or(|byte| *byte == b'.');
            if !ends || attribute.as_bytes().get(prefix.len()) != name.first() {
                continue;
            }
            let Some(after) =
                attribute.strip_prefix(prefix).and_then(|rest| rest.as_bytes().strip_prefix(name))
            else {
                continue;
            };
            if after.is_empty() {
                self.take(place, *field, value);
            } else if after[0] == b'.' && value.kind == Kind::Object {
                let inner = &attribute[..attribute.len() - after.len() + 1];
                // It was read before, so it is an object.
                Scan::new(value.raw).members(&mut |name, value| self.below(inner, name, value));
                // What begins alike was found on the way.
                return;
            }
        }
    }

    fn take(&mut self, place: usize, field: Field, value: Value<'a>) {
        let from = &mut self.from[field as usize];
        let written = match value.kind {
            Kind::Text => value.text(),
            Kind::Number => Some(value.raw),
            _ => None,
        };
        let Some(written) = written.filter(|_| place <= *from) else { return };
        let lifted = &mut self.lifted;
        let sound = match field {
            Field::Status => set(&mut lifted.status, status::parse(written)),
            Field::Timestamp => set(&mut lifted.timestamp_ms, time::parse(written)),
            Field::Service => set(&mut lifted.service, service(value)),
            Field::TraceId => set(&mut lifted.trace_id, id(written)),
            Field::SpanId => set(&mut lifted.span_id, id(written)),
        };
        if sound {
            *from = place;
        }
    }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let sound = value.is_some();
    if sound {
        *field = value;
    }
    sound
}

fn service(value: Value<'_>) -> Option<Cow<'_, str>> {
    let text = value.text().filter(|text| !text.is_empty() && text.len() <= SERVICE_MAX_BYTES)?;
    if text.contains(&b'\\') {
        return serde_json::from_slice(value.raw).ok().map(Cow::Owned);
    }
    std::str::from_utf8(text).ok().map(Cow::Borrowed)
}

fn id(text: &[u8]) -> Option<&str> {
    let sound = text.len() <= ID_MAX_BYTES
        && text.iter().all(u8::is_ascii_hexdigit)
        && text.iter().any(|digit| *digit != b'0');
    std::str::from_utf8(text).ok().filter(|_| sound)
}
