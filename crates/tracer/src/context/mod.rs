//! The context of a request: what its caller says of the trace, and what is said on to those it calls.

mod datadog;
mod inject;
mod w3c;

pub(crate) use inject::inject;

pub use datadog::{DATADOG_TAGS_MAX_BYTES, ORIGIN_MAX_BYTES, PROPAGATED_TAGS_MAX_COUNT};
pub use w3c::{
    TRACEPARENT_MAX_BYTES, TRACESTATE_MAX_BYTES, TRACESTATE_MEMBER_MAX_BYTES, TRACESTATE_MEMBERS_MAX_COUNT,
};

use crate::sample;

/// Where a context came from.
///
/// The rule is that of Datadog's tracers with their default `DD_TRACE_PROPAGATION_STYLE`,
/// `datadog,tracecontext,baggage` (<https://docs.datadoghq.com/tracing/trace_collection/trace_context_propagation>;
/// its details as their common `system-tests` state them):
///
/// - Datadog's headers come first. When there are none, or they are malformed, W3C's are the context.
/// - When both are there and the trace ids differ, W3C's span is what a link of the root leads to, with the reason
///   `terminated_context`, and nothing else of it is used.
/// - When both are there and the trace ids agree, everything is Datadog's, except that other vendors' members of
///   `tracestate` are handed on, and what Datadog's headers do not say is taken from `dd`. When the parents differ,
///   somebody without Datadog's headers stood between: the parent is that of `traceparent`, and the last one that
///   Datadog knew becomes `_dd.parent_id`: `p` of `dd`, else `x-datadog-parent-id`. Ids agree also when Datadog's
///   headers have only the low 64 bits and these are the same: `x-datadog-tags` may have been too long to be sent.
/// - Of W3C's alone, the `sampled` flag overrules a priority in `dd` that says the opposite.
/// - Baggage is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// There is no context: the trace begins here.
    None,
    /// `x-datadog-*`.
    Datadog,
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// Both, which agree on the trace.
    Both,
}

/// What is known of a trace from outside, and its id.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) trace_high: u64,
    /// 0: not known yet.
    pub(crate) trace_low: u64,
    /// 0: none.
    pub(crate) parent_id: u64,
    pub(crate) priority: Option<i32>,
    pub(crate) origin: String,
    /// `_dd.p.dm`; empty: none.
    pub(crate) decision_maker: String,
    /// The other `_dd.p.*` but `tid`, as `key=value` between commas.
    tags: String,
    /// `_dd.parent_id`.
    pub(crate) last_parent_id: Option<u64>,
    /// Members of `tracestate` but `dd`, between commas.
    tracestate: String,
    /// Parts of the `dd` member that mean nothing here, between semicolons.
    unknown: String,
    /// The span of a trace that is not continued here.
    pub(crate) link: Option<Link>,
    /// `_dd.propagation_error`.
    pub(crate) error: Option<&'static str>,
    /// Headers that were not used because of what they hold.
    pub(crate) ignored: u32,
}

/// A span of another trace.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) trace_high: u64,
    pub(crate) trace_low: u64,
    pub(crate) span_id: u64,
    pub(crate) is_sampled: bool,
    /// All its members, ours first.
    pub(crate) tracestate: String,
}

impl Context {
    pub(crate) fn clear(&mut self) {
        // The texts keep their memory.
        let mut texts = [
            &mut self.origin,
            &mut self.decision_maker,
            &mut self.tags,
            &mut self.tracestate,
            &mut self.unknown,
        ]
        .map(std::mem::take);
        texts.iter_mut().for_each(String::clear);
        let [origin, decision_maker, tags, tracestate, unknown] = texts;
        *self = Self { origin, decision_maker, tags, tracestate, unknown, ..Self::default() };
    }

    pub(crate) fn is_known(&self) -> bool {
        self.trace_low != 0
    }

    /// Tags for the trace: `_dd.p.*` but `dm` and `tid`.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.split(',').filter_map(|tag| tag.split_once('='))
    }
}

/// One header that must not be repeated.
#[derive(Clone, Copy, Default)]
enum Once<'h> {
    #[default]
    Absent,
    Value(&'h [u8]),
    Repeated,
}

impl<'h> Once<'h> {
    fn see(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Absent => Self::Value(value),
            _ => Self::Repeated,
        };
    }

    /// The value read by `read`. A header that is repeated, or that `read` cannot read, is ignored and counted.
    fn read<T>(self, ignored: &mut u32, read: impl FnOnce(&'h [u8]) -> Option<T>) -> Option<T> {
        let read = match self {
            Self::Absent => return None,
            Self::Value(value) => read(value.trim_ascii()),
            Self::Repeated => None,
        };
        *ignored += u32::from(read.is_none());
        read
    }
}

/// Fills `context`, which is cleared first.
pub(crate) fn extract<'h>(
    headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    context: &mut Context,
) -> Source {
    context.clear();
    let mut datadog = datadog::Headers::default();
    let mut w3c = w3c::Headers::default();
    for (name, value) in headers {
        // All names begin with one of two letters.
        if let Some(b'x' | b'X' | b't' | b'T') = name.first() {
            let _ = datadog.see(name, value) || w3c.see(name, value);
        }
    }
    let ignored = &mut context.ignored;
    let datadog = datadog.read(ignored, &mut context.error);
    let w3c = w3c.read(ignored);
    match (datadog, w3c) {
        (None, None) => Source::None,
        (Some(datadog), None) => {
            datadog.fill(context);
            Source::Datadog
        }
        (None, Some(w3c)) => {
            w3c.fill(context);
            Source::TraceContext
        }
        (Some(datadog), Some(w3c)) => {
            let agree = datadog.trace_low == w3c.trace_low
                && (datadog.trace_high == w3c.trace_high || datadog.trace_high == 0);
            datadog.fill(context);
            if !agree {
                context.link = Some(w3c.link());
                return Source::Datadog;
            }
            w3c.add(context);
            Source::Both
        }
    }
}

/// Whether `maker` is what `_dd.p.dm` may be: a mechanism after a minus sign, possibly after a hash of ten digits.
fn is_decision_maker(maker: &str) -> bool {
    let Some((hash, mechanism)) = maker.split_once('-') else { return false };
    (hash.is_empty() || hash.len() == 10 && hash.bytes().all(is_hex))
        && (1..=10).contains(&mechanism.len())
        && mechanism.bytes().all(|byte| byte.is_ascii_digit())
}

/// A lower-case hexadecimal digit.
fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Exactly 16 lower-case hexadecimal digits.
fn hex64(digits: &str) -> Option<u64> {
    let is_whole = digits.len() == 16 && digits.bytes().all(is_hex);
    if is_whole { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// A sampling priority in decimal.
fn priority(text: &str) -> Option<i32> {
    text.parse().ok().filter(|priority| sample::PRIORITIES.contains(priority))
}

/// Appends `item`, after `separator` if it is not the first.
fn join(list: &mut String, separator: char, item: &str) {
    if !list.is_empty() {
        list.push(separator);
    }
    list.push_str(item);
}

/// Printable ASCII, or nothing: what a header may carry on.
fn printable(value: &[u8]) -> Option<&str> {
    let is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if is_printable { std::str::from_utf8(value).ok() } else { None }
}
