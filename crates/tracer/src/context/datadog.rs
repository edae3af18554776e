//! Datadog's headers.

use super::{Context, Once, hex64, is_decision_maker, join, printable, priority};

/// Most bytes of `x-datadog-tags`, read or written; a longer one is not used (the default of
/// `DD_TRACE_X_DATADOG_TAGS_MAX_LENGTH`).
pub const DATADOG_TAGS_MAX_BYTES: usize = 512;
/// Most tags of `x-datadog-tags`, or of `tracestate`'s `dd`; more, and none is used.
pub const PROPAGATED_TAGS_MAX_COUNT: usize = 32;
/// Most bytes of `x-datadog-origin`; a longer one is not used.
pub const ORIGIN_MAX_BYTES: usize = 128;

pub(super) const TRACE_ID: &str = "x-datadog-trace-id";
pub(super) const PARENT_ID: &str = "x-datadog-parent-id";
pub(super) const PRIORITY: &str = "x-datadog-sampling-priority";
pub(super) const ORIGIN: &str = "x-datadog-origin";
pub(super) const TAGS: &str = "x-datadog-tags";
/// How tags begin that belong to the trace and travel with it.
pub(super) const PROPAGATED: &str = "_dd.p.";

#[derive(Default)]
pub(super) struct Headers<'h> {
    trace_id: Once<'h>,
    parent_id: Once<'h>,
    priority: Once<'h>,
    origin: Once<'h>,
    tags: Once<'h>,
}

/// A context that Datadog's headers gave, as slices of them.
pub(super) struct Datadog<'h> {
    pub(super) trace_high: u64,
    pub(super) trace_low: u64,
    parent_id: u64,
    priority: Option<i32>,
    origin: Option<&'h str>,
    tags: &'h str,
}

impl<'h> Headers<'h> {
    /// Whether the header is one of these.
    pub(super) fn see(&mut self, name: &[u8], value: &'h [u8]) -> bool {
        for (known, header) in [
            (TRACE_ID, &mut self.trace_id),
            (PARENT_ID, &mut self.parent_id),
            (PRIORITY, &mut self.priority),
            (ORIGIN, &mut self.origin),
            (TAGS, &mut self.tags),
        ] {
            if name.eq_ignore_ascii_case(known.as_bytes()) {
                header.see(value);
                return true;
            }
        }
        false
    }

    /// A context needs a trace id, and a parent id that is none or well-formed.
    pub(super) fn read(self, ignored: &mut u32, error: &mut Option<&'static str>) -> Option<Datadog<'h>> {
        let trace_low = self.trace_id.read(ignored, |value| decimal(value).filter(|id| *id != 0))?;
        let parent_id = match self.parent_id {
            Once::Absent => 0,
            parent_id => parent_id.read(ignored, decimal)?,
        };
        let priority = self.priority.read(ignored, |value| priority(printable(value)?));
        let origin = self.origin.read(ignored, |value| {
            printable(value).filter(|origin| (1..=ORIGIN_MAX_BYTES).contains(&origin.len()))
        });
        let (trace_high, tags) = self.tags.read(ignored, |value| tags(value, error)).unwrap_or_default();
        Some(Datadog { trace_high, trace_low, parent_id, priority, origin, tags })
    }
}

impl Datadog<'_> {
    pub(super) fn fill(&self, context: &mut Context) {
        context.trace_high = self.trace_high;
        context.trace_low = self.trace_low;
        context.parent_id = self.parent_id;
        context.priority = self.priority;
        context.origin.push_str(self.origin.unwrap_or_default());
        for (key, value) in self.tags.split(',').filter_map(|tag| tag.trim_start().split_once('=')) {
            fill_tag(key, value, context);
        }
    }
}

/// Takes a tag that was checked over into the context. Blanks around a value would not survive the next header.
pub(super) fn fill_tag(key: &str, value: &str, context: &mut Context) {
    let value = value.trim();
    match key.strip_prefix(PROPAGATED) {
        Some("dm") => value.clone_into(&mut context.decision_maker),
        // The id is in the context; the other is a list that tracers no longer write.
        Some("tid" | "upstream_services") | None => {}
        Some(_) => {
            join(&mut context.tags, ',', key);
            context.tags.push('=');
            context.tags.push_str(value);
        }
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let is_decimal = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if is_decimal { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// Checks the tags as a whole, and finds the high bits of the trace id among them.
fn tags<'h>(value: &'h [u8], error: &mut Option<&'static str>) -> Option<(u64, &'h str)> {
    if value.len() > DATADOG_TAGS_MAX_BYTES {
        *error = Some("extract_max_size");
        return None;
    }
    let checked = || {
        let tags = printable(value)?;
        let mut trace_high = 0;
        let mut seen: [&str; PROPAGATED_TAGS_MAX_COUNT] = Default::default();
        for (count, tag) in tags.split(',').enumerate() {
            let (key, value) = tag.trim_start().split_once('=')?;
            if matches!(key, "" | PROPAGATED)
                || value.trim().is_empty()
                || key.contains(' ')
                || seen.contains(&key)
            {
                return None;
            }
            *seen.get_mut(count)? = key;
            match key {
                "_dd.p.tid" => trace_high = hex64(value)?,
                "_dd.p.dm" if !is_decision_maker(value) => return None,
                _ => {}
            }
        }
        Some((trace_high, tags))
    };
    if value.is_empty() {
        return Some((0, ""));
    }
    let checked = checked();
    if checked.is_none() {
        *error = Some("decoding_error");
    }
    checked
}
