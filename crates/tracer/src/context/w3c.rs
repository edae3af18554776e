//! W3C's headers (<https://www.w3.org/TR/trace-context/>).

use super::datadog::{ORIGIN_MAX_BYTES, PROPAGATED, PROPAGATED_TAGS_MAX_COUNT, fill_tag};
use super::{Context, Link, Once, hex64, is_decision_maker, is_hex, join, printable, priority};
use crate::sample;

/// Most bytes of a `traceparent`; what versions to come may append is within this.
pub const TRACEPARENT_MAX_BYTES: usize = 128;
/// Most bytes of `tracestate`, all its headers together; a longer one is not used. W3C asks for at least 512.
pub const TRACESTATE_MAX_BYTES: usize = 8_192;
/// Most members of `tracestate`, as W3C says; of more, none is used.
pub const TRACESTATE_MEMBERS_MAX_COUNT: usize = 32;
/// Most bytes of a member's name, and of its value, as W3C says.
pub const TRACESTATE_MEMBER_MAX_BYTES: usize = 256;

pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";

#[derive(Default)]
pub(super) struct Headers<'h> {
    traceparent: Once<'h>,
    /// May be repeated.
    tracestate: Vec<&'h [u8]>,
}

/// A context that W3C's headers gave, as slices of them.
pub(super) struct TraceContext<'h> {
    pub(super) trace_high: u64,
    pub(super) trace_low: u64,
    parent_id: u64,
    is_sampled: bool,
    state: State<'h>,
}

#[derive(Default)]
struct State<'h> {
    /// `dd`, when it is well-formed.
    own: Option<&'h str>,
    /// All but `dd`, in the order received, each name once.
    foreign: Vec<(&'h str, &'h str)>,
    priority: Option<i32>,
    /// `~` stands for `=`.
    origin: Option<&'h str>,
    /// Without their `t.`; `~` stands for `=`.
    tags: Vec<(&'h str, &'h str)>,
    last_parent_id: Option<u64>,
    unknown: Vec<&'h str>,
}

impl<'h> Headers<'h> {
    /// Whether the header is one of these.
    pub(super) fn see(&mut self, name: &[u8], value: &'h [u8]) -> bool {
        if name.eq_ignore_ascii_case(TRACEPARENT.as_bytes()) {
            self.traceparent.see(value);
        } else if name.eq_ignore_ascii_case(TRACESTATE.as_bytes()) {
            // One more than can be of use, so that too many are noticed.
            if self.tracestate.len() <= TRACESTATE_MEMBERS_MAX_COUNT {
                self.tracestate.push(value);
            }
        } else {
            return false;
        }
        true
    }

    pub(super) fn read(self, ignored: &mut u32) -> Option<TraceContext<'h>> {
        let (trace_high, trace_low, parent_id, is_sampled) = self.traceparent.read(ignored, traceparent)?;
        let state = State::read(&self.tracestate, ignored).unwrap_or_else(|| {
            *ignored += 1;
            State::default()
        });
        Some(TraceContext { trace_high, trace_low, parent_id, is_sampled, state })
    }
}

/// High and low half of the trace id, parent id, and the `sampled` flag.
fn traceparent(value: &[u8]) -> Option<(u64, u64, u64, bool)> {
    if value.len() > TRACEPARENT_MAX_BYTES {
        return None;
    }
    let value = printable(value)?;
    let mut parts = value.splitn(5, '-');
    let mut next = |length| parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex));
    let (version, trace_id, parent_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    // Later versions may append parts, this one may not.
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let (high, low) = trace_id.split_at(16);
    let (high, low, parent_id) = (hex64(high)?, hex64(low)?, hex64(parent_id)?);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    // The agent knows a trace by its low half.
    (low != 0 && parent_id != 0).then_some((high, low, parent_id, flags & 1 == 1))
}

impl<'h> State<'h> {
    /// `None` when anything but the content of `dd` is malformed: that is ignored alone, since other vendors'
    /// members are not ours to lose.
    fn read(headers: &[&'h [u8]], ignored: &mut u32) -> Option<Self> {
        let bytes: usize = headers.iter().map(|header| header.len()).sum();
        if bytes > TRACESTATE_MAX_BYTES {
            return None;
        }
        let mut state = Self::default();
        let mut own = None;
        let mut count = 0;
        for member in headers.iter().flat_map(|header| header.split(|byte| *byte == b',')) {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            count += 1;
            let (key, value) = printable(member)?.split_once('=')?;
            if count > TRACESTATE_MEMBERS_MAX_COUNT || !is_key(key) || !is_value(value) {
                return None;
            }
            if key == "dd" {
                // Of a name that is repeated the first counts, which is the newest.
                own.get_or_insert(value);
            } else if !state.foreign.iter().any(|(known, _)| *known == key) {
                state.foreign.push((key, value));
            }
        }
        if own.is_some_and(|own| state.read_own(own).is_none()) {
            *ignored += 1;
            return Some(Self { foreign: state.foreign, ..Self::default() });
        }
        state.own = own;
        Some(state)
    }

    fn read_own(&mut self, value: &'h str) -> Option<()> {
        for part in value.split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once(':')?;
            match (key, key.strip_prefix("t.")) {
                ("s", _) => self.priority = Some(priority(value)?),
                ("o", _) => self.origin = Some(value.trim()),
                ("p", _) => self.last_parent_id = Some(hex64(value)?),
                (_, Some("dm")) if !is_decision_maker(value) => return None,
                (_, Some(name)) => {
                    if name.is_empty() || name.contains(' ') || value.trim().is_empty() {
                        return None;
                    }
                    // Names that differed may have become one when they were escaped.
                    if !self.tags.iter().any(|(known, _)| *known == name) {
                        self.tags.push((name, value));
                    }
                }
                _ => self.unknown.push(part),
            }
        }
        let is_bounded = self.tags.len() <= PROPAGATED_TAGS_MAX_COUNT
            && self.origin.is_none_or(|origin| origin.len() <= ORIGIN_MAX_BYTES);
        is_bounded.then_some(())
    }
}

fn is_key(key: &str) -> bool {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= TRACESTATE_MEMBER_MAX_BYTES
        && key.bytes().all(is_letter)
        && key.bytes().filter(|byte| *byte == b'@').count() <= 1
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Of what is printable and no comma, since it was split there.
fn is_value(value: &str) -> bool {
    (1..=TRACESTATE_MEMBER_MAX_BYTES).contains(&value.len()) && !value.contains('=')
}

impl TraceContext<'_> {
    /// These headers alone are the context.
    pub(super) fn fill(&self, context: &mut Context) {
        let state = &self.state;
        context.trace_high = self.trace_high;
        context.trace_low = self.trace_low;
        context.parent_id = self.parent_id;
        context.last_parent_id = state.last_parent_id;
        self.fill_origin(context);
        self.fill_tags(context);
        self.fill_priority(context);
        self.fill_rest(context);
    }

    fn fill_priority(&self, context: &mut Context) {
        let state = &self.state;
        let agrees = state.priority.is_some_and(|priority| (priority > 0) == self.is_sampled);
        context.priority = if agrees { state.priority } else { Some(i32::from(self.is_sampled)) };
        if !agrees {
            // Another than the one named has decided; when it is dropped there is none to name.
            let maker = if self.is_sampled { sample::DEFAULT } else { "" };
            maker.clone_into(&mut context.decision_maker);
        }
    }

    /// Completes a context of Datadog's headers of the same trace.
    pub(super) fn add(&self, context: &mut Context) {
        context.trace_high = self.trace_high;
        if context.parent_id != self.parent_id {
            let datadog = Some(context.parent_id).filter(|id| *id != 0);
            context.last_parent_id = self.state.last_parent_id.or(datadog);
            context.parent_id = self.parent_id;
        }
        if context.origin.is_empty() {
            self.fill_origin(context);
        }
        if context.tags.is_empty() && context.decision_maker.is_empty() {
            self.fill_tags(context);
        }
        if context.priority.is_none() {
            self.fill_priority(context);
        }
        self.fill_rest(context);
    }

    /// What a link leads to.
    pub(super) fn link(&self) -> Link {
        let mut tracestate = String::new();
        let own = self.state.own.map(|own| ("dd", own));
        own.iter().chain(&self.state.foreign).for_each(|member| join_member(&mut tracestate, *member));
        Link {
            trace_high: self.trace_high,
            trace_low: self.trace_low,
            span_id: self.parent_id,
            is_sampled: self.is_sampled,
            tracestate,
        }
    }

    fn fill_origin(&self, context: &mut Context) {
        context.origin.extend(self.state.origin.unwrap_or_default().chars().map(unescaped));
    }

    fn fill_tags(&self, context: &mut Context) {
        let mut key = String::new();
        for (name, value) in &self.state.tags {
            key.clear();
            key.push_str(PROPAGATED);
            key.push_str(name);
            fill_tag(&key, &value.chars().map(unescaped).collect::<String>(), context);
        }
    }

    fn fill_rest(&self, context: &mut Context) {
        self.state.foreign.iter().for_each(|member| join_member(&mut context.tracestate, *member));
        self.state.unknown.iter().for_each(|part| join(&mut context.unknown, ';', part));
    }
}

fn join_member(list: &mut String, (key, value): (&str, &str)) {
    join(list, ',', key);
    list.push('=');
    list.push_str(value);
}

/// `=` cannot stand in a value.
fn unescaped(letter: char) -> char {
    if letter == '~' { '=' } else { letter }
}
