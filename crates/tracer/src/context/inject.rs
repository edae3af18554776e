//! The headers for those who are called.

use std::fmt::Write as _;

use super::datadog::{DATADOG_TAGS_MAX_BYTES, ORIGIN, PARENT_ID, PRIORITY, PROPAGATED, TAGS, TRACE_ID};
use super::w3c::{TRACEPARENT, TRACESTATE, TRACESTATE_MEMBER_MAX_BYTES, TRACESTATE_MEMBERS_MAX_COUNT};
use super::{Context, join};
use crate::trace::Decision;

/// Gives each header of `span_id` to `each`.
pub(crate) fn inject(
    context: &Context,
    decision: &Decision<'_>,
    span_id: u64,
    mut each: impl FnMut(&str, &str),
) {
    let mut value = String::with_capacity(128);
    let mut write = |name: &str, write: &dyn Fn(&mut String)| {
        value.clear();
        write(&mut value);
        // More tags than a header may hold are not sent at all, as tracers do; `tracestate` carries what it can.
        if !value.is_empty() && (name != TAGS || value.len() <= DATADOG_TAGS_MAX_BYTES) {
            each(name, &value);
        }
    };
    write(TRACE_ID, &|value| number(value, context.trace_low));
    write(PARENT_ID, &|value| number(value, span_id));
    write(PRIORITY, &|value| number(value, decision.priority));
    write(ORIGIN, &|value| value.push_str(&context.origin));
    write(TAGS, &|value| {
        for (key, tag) in own_tags(context, decision) {
            join(value, ',', key);
            value.push('=');
            value.push_str(tag);
        }
        if context.trace_high != 0 {
            join(value, ',', PROPAGATED);
            hex(value, "tid=", context.trace_high);
        }
    });
    write(TRACEPARENT, &|value| {
        hex(value, "00-", context.trace_high);
        hex(value, "", context.trace_low);
        hex(value, "-", span_id);
        value.push_str(if decision.priority > 0 { "-01" } else { "-00" });
    });
    write(TRACESTATE, &|value| {
        own_member(value, context, decision, span_id);
        // One that is changed stands first; when there is no room it is the last that goes.
        let foreign = context.tracestate.split(',').filter(|member| !member.is_empty());
        foreign.take(TRACESTATE_MEMBERS_MAX_COUNT - 1).for_each(|member| join(value, ',', member));
    });
}

fn own_tags<'a>(
    context: &'a Context,
    decision: &'a Decision<'_>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let maker = Some(("_dd.p.dm", decision.maker)).filter(|(_, maker)| !maker.is_empty());
    maker.into_iter().chain(context.tags())
}

/// `dd=`: as much as a member may hold, the parts that matter most first.
fn own_member(value: &mut String, context: &Context, decision: &Decision<'_>, span_id: u64) {
    const NAME: &str = "dd=";
    value.push_str(NAME);
    value.push_str("s:");
    number(value, decision.priority);
    if !context.origin.is_empty() {
        value.push_str(";o:");
        value.extend(context.origin.chars().map(escaped));
    }
    hex(value, ";p:", span_id);
    let mut part = String::new();
    let max_bytes = NAME.len() + TRACESTATE_MEMBER_MAX_BYTES;
    let mut add = |part: &str| {
        if value.len() + 1 + part.len() <= max_bytes {
            join(value, ';', part);
        }
    };
    for (key, tag) in own_tags(context, decision) {
        part.clear();
        part.push_str("t.");
        // A name ends at its colon.
        part.extend(key[PROPAGATED.len()..].chars().map(|letter| match letter {
            ',' | ';' | '~' | ':' => '_',
            letter => letter,
        }));
        part.push(':');
        part.extend(tag.chars().map(escaped));
        add(&part);
    }
    context.unknown.split(';').filter(|part| !part.is_empty()).for_each(add);
    // A member's value must not end with a blank.
    if value.ends_with(' ') {
        value.pop();
        value.push('_');
    }
}

/// What would end a part or a member, and what stands for `=`, is written as `_`.
fn escaped(letter: char) -> char {
    match letter {
        '=' => '~',
        ',' | ';' | '~' => '_',
        letter => letter,
    }
}

fn number(value: &mut String, number: impl std::fmt::Display) {
    write!(value, "{number}").expect("a string takes all");
}

fn hex(value: &mut String, before: &str, id: u64) {
    write!(value, "{before}{id:016x}").expect("a string takes all");
}
