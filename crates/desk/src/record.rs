//! What the desk keeps of a span: owned, bounded, and without what no view shows.

use model::{AttributeValue, Chunk, Span, SpanEvent, SpanLink};

/// Text of one field or tag value. The agent cuts at 25,000 characters
/// (`facts/trace-intake.md` §5.2), so only a foreign sender meets this.
const TEXT_MAX_BYTES: usize = 100_000;
/// Tags of one kind, links or events of one span.
const ENTRIES_PER_SPAN_MAX: usize = 1_000;
/// What a span costs beside its text, roughly.
const SPAN_BASE_BYTES: usize = 400;
/// What a tag, link or event costs beside its text, roughly.
const ENTRY_BASE_BYTES: usize = 64;

/// One span as it arrived at the backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanRecord {
    /// Service the work belongs to.
    pub service: String,
    /// Operation, such as `http.request`.
    pub name: String,
    /// What the operation worked on.
    pub resource: String,
    /// Kind of work: `web`, `sql`, ….
    pub span_type: String,
    /// Low 64 bits of the trace id.
    pub trace_id: u64,
    /// High 64 bits of the trace id; 0 when the span does not carry them.
    pub trace_id_high: u64,
    /// Id of the span.
    pub span_id: u64,
    /// Id of the parent; 0 for a root.
    pub parent_id: u64,
    /// Start, nanoseconds since the Unix epoch.
    pub start: i64,
    /// Duration in nanoseconds, never negative.
    pub duration: i64,
    /// The work failed.
    pub error: bool,
    /// Sampling priority of the chunk the span came in.
    pub priority: i32,
    /// Tags with string values, the last value of each key.
    pub meta: Vec<(String, String)>,
    /// Tags with numeric values, the last value of each key.
    pub metrics: Vec<(String, f64)>,
    /// Sizes in bytes of structured tags.
    pub meta_struct: Vec<(String, usize)>,
    /// Causal links.
    pub links: Vec<LinkRecord>,
    /// Timed events.
    pub events: Vec<EventRecord>,
}

/// A causal link to another span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkRecord {
    /// Low 64 bits of the linked trace id.
    pub trace_id: u64,
    /// High 64 bits of the linked trace id.
    pub trace_id_high: u64,
    /// The linked span.
    pub span_id: u64,
    /// Tags of the link.
    pub attributes: Vec<(String, String)>,
}

/// Something that happened at one moment within a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventRecord {
    /// When, nanoseconds since the Unix epoch.
    pub time: u64,
    /// What.
    pub name: String,
    /// Tags of the event, their values as text.
    pub attributes: Vec<(String, String)>,
}

impl SpanRecord {
    /// Copies a span of a chunk.
    pub(crate) fn of(span: &Span<'_>, chunk: &Chunk<'_>) -> Self {
        let high = span.meta("_dd.p.tid").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        Self {
            service: cut(span.service),
            name: cut(span.name),
            resource: cut(span.resource),
            span_type: cut(span.span_type),
            trace_id: span.trace_id,
            trace_id_high: high.unwrap_or(0),
            span_id: span.span_id,
            parent_id: span.parent_id,
            start: span.start,
            duration: span.duration.max(0),
            error: span.error != 0,
            priority: chunk.priority,
            meta: last_values(&span.meta, |value| cut(value)),
            metrics: last_values(&span.metrics, |value| *value),
            meta_struct: last_values(&span.meta_struct, |value| value.len()),
            links: span.links.iter().take(ENTRIES_PER_SPAN_MAX).map(LinkRecord::of).collect(),
            events: span.events.iter().take(ENTRIES_PER_SPAN_MAX).map(EventRecord::of).collect(),
        }
    }

    /// The value of a string tag.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.meta.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// When the work ended, nanoseconds since the Unix epoch.
    pub fn end(&self) -> i64 {
        self.start.saturating_add(self.duration)
    }

    /// What the record takes in memory, roughly, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let entry = |key: &str, value: usize| ENTRY_BASE_BYTES + key.len() + value;
        let pairs = |list: &[(String, String)]| -> usize {
            list.iter().map(|(key, value)| entry(key, value.len())).sum()
        };
        SPAN_BASE_BYTES
            + self.service.len()
            + self.name.len()
            + self.resource.len()
            + self.span_type.len()
            + pairs(&self.meta)
            + self.metrics.iter().map(|(key, _)| entry(key, 0)).sum::<usize>()
            + self.meta_struct.iter().map(|(key, _)| entry(key, 0)).sum::<usize>()
            + self.links.iter().map(|link| ENTRY_BASE_BYTES + pairs(&link.attributes)).sum::<usize>()
            + self.events.iter().map(|event| entry(&event.name, pairs(&event.attributes))).sum::<usize>()
    }
}

impl LinkRecord {
    fn of(link: &SpanLink<'_>) -> Self {
        Self {
            trace_id: link.trace_id,
            trace_id_high: link.trace_id_high,
            span_id: link.span_id,
            attributes: last_values(&link.attributes, |value| cut(value)),
        }
    }
}

impl EventRecord {
    fn of(event: &SpanEvent<'_>) -> Self {
        let attributes = event.attributes.iter().take(ENTRIES_PER_SPAN_MAX);
        Self {
            time: event.time_unix_nano,
            name: cut(event.name),
            attributes: attributes.map(|(key, value)| (cut(key), cut(&text(value)))).collect(),
        }
    }
}

/// Copies a list of tags; of a repeated key the last value, at the place of the first.
fn last_values<V, T>(list: &[(&str, V)], copy: impl Fn(&V) -> T) -> Vec<(String, T)> {
    let mut seen = std::collections::HashMap::new();
    let mut copied: Vec<(String, T)> = Vec::with_capacity(list.len().min(ENTRIES_PER_SPAN_MAX));
    for (key, value) in list {
        match seen.get(key) {
            Some(&place) => {
                let (_, old): &mut (String, T) = &mut copied[place];
                *old = copy(value);
            }
            None if copied.len() < ENTRIES_PER_SPAN_MAX => {
                seen.insert(*key, copied.len());
                copied.push((cut(key), copy(value)));
            }
            None => {}
        }
    }
    copied
}

/// A copy of a text, within its bound.
pub(crate) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX_BYTES)].to_owned()
}

fn text(value: &AttributeValue<'_>) -> String {
    match value {
        AttributeValue::String(value) => (*value).to_owned(),
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::Int(value) => value.to_string(),
        AttributeValue::Double(value) => value.to_string(),
        // The intake's arrays hold scalars only; a decoder bounds the nesting of what is not.
        AttributeValue::Array(values) => {
            let values: Vec<_> = values.iter().take(ENTRIES_PER_SPAN_MAX).map(text).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bump;

    #[test]
    fn a_record_keeps_the_last_value_of_a_repeated_tag_and_the_high_half_of_the_id() {
        let arena = Bump::new();
        let chunk = Chunk::new_in(&arena);
        let mut span = Span::new_in(&arena);
        span.duration = -5;
        span.meta.extend_from_slice(&[("a", "1"), ("_dd.p.tid", "67a1000000000000"), ("a", "2")]);
        let record = SpanRecord::of(&span, &chunk);
        assert_eq!(record.meta("a"), Some("2"));
        assert_eq!(record.meta.len(), 2);
        assert_eq!(record.trace_id_high, 0x67a1_0000_0000_0000);
        assert_eq!(record.duration, 0);
        assert!(record.cost() > SPAN_BASE_BYTES);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let long = "é".repeat(TEXT_MAX_BYTES);
        assert!(cut(&long).len() <= TEXT_MAX_BYTES);
        assert!(cut(&long).ends_with('é'));
    }
}
