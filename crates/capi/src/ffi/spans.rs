//! The functions of a trace and its spans.

use super::boundary::enter;
use super::handle::lastlight;
use super::types::{lastlight_pair, lastlight_result, lastlight_str, lastlight_trace_options};
use std::ffi::c_char;

/// The spans of one request.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub struct lastlight_trace {
    _private: (),
}

/// A trace without spans; to be freed by `lastlight_trace_free`. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_new(
    options: *const lastlight_trace_options,
    out: *mut *mut lastlight_trace,
) -> lastlight_result {
    let _ = options;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Reads the context of the caller from the headers of a request, Datadog's and W3C's; baggage is not read. Before the first
/// span, else LASTLIGHT_INVALID. LASTLIGHT_EMPTY: there is none in them, and the trace is a new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_extract(
    trace: *mut lastlight_trace,
    headers: *const lastlight_pair,
    headers_count: usize,
) -> lastlight_result {
    let _ = trace;
    let _ = headers;
    let _ = headers_count;
    enter(|| Err(lastlight_result::Unavailable))
}

/// The headers that a request made within `span` has to carry: lines of "name: value", each ended by a newline. `*length` as in
/// `lastlight_server_stats`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_inject(
    trace: *const lastlight_trace,
    span: u32,
    buffer: *mut c_char,
    length: *mut usize,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = buffer;
    let _ = length;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Starts a span. `*out` is its number in this trace. LASTLIGHT_NO_ROOM: the trace has `spans_max` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_start(
    trace: *mut lastlight_trace,
    parent: u32,
    name: lastlight_str,
    start_unix_ns: u64,
    out: *mut u32,
) -> lastlight_result {
    let _ = trace;
    let _ = parent;
    let _ = name;
    let _ = start_unix_ns;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// What a span says. Values are cut at the agent's limits; invalid UTF-8 is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_name(
    trace: *mut lastlight_trace,
    span: u32,
    name: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = name;
    enter(|| Err(lastlight_result::Unavailable))
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_service(
    trace: *mut lastlight_trace,
    span: u32,
    service: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = service;
    enter(|| Err(lastlight_result::Unavailable))
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_resource(
    trace: *mut lastlight_trace,
    span: u32,
    resource: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = resource;
    enter(|| Err(lastlight_result::Unavailable))
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_type(
    trace: *mut lastlight_trace,
    span: u32,
    kind: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = kind;
    enter(|| Err(lastlight_result::Unavailable))
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_tag(
    trace: *mut lastlight_trace,
    span: u32,
    key: lastlight_str,
    value: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = key;
    let _ = value;
    enter(|| Err(lastlight_result::Unavailable))
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_metric(
    trace: *mut lastlight_trace,
    span: u32,
    key: lastlight_str,
    value: f64,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = key;
    let _ = value;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Marks a span as failed; each of the three may be absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_error(
    trace: *mut lastlight_trace,
    span: u32,
    kind: lastlight_str,
    message: lastlight_str,
    stack: lastlight_str,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = kind;
    let _ = message;
    let _ = stack;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Ends a span. A second end is ignored with LASTLIGHT_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_finish(
    trace: *mut lastlight_trace,
    span: u32,
    duration_ns: u64,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = duration_ns;
    enter(|| Err(lastlight_result::Unavailable))
}

/// The numbers of a span and its trace, for logs. Each of the outputs may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_ids(
    trace: *const lastlight_trace,
    span: u32,
    trace_high: *mut u64,
    trace_low: *mut u64,
    span_id: *mut u64,
) -> lastlight_result {
    let _ = trace;
    let _ = span;
    let _ = trace_high;
    let _ = trace_low;
    let _ = span_id;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Decides whether the trace is kept: -1 drop, 0, 1, 2 keep, over what the caller or the sampler decided.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_keep(
    trace: *mut lastlight_trace,
    priority: i32,
) -> lastlight_result {
    let _ = trace;
    let _ = priority;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Submits the spans as LASTLIGHT_TRACES_V04, with the results of `lastlight_submit`; never waits. Spans without an end get the
/// root's and a tag. The trace is empty after LASTLIGHT_OK, for the next request; after anything else it is as it was.
/// LASTLIGHT_EMPTY: it had no span.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_submit(
    handle: *mut lastlight,
    trace: *mut lastlight_trace,
) -> lastlight_result {
    let _ = handle;
    let _ = trace;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Frees a trace and what was not submitted. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_free(trace: *mut lastlight_trace) {
    let _ = trace;
}
