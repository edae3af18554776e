//! The functions of a trace and its spans.

use super::boundary::{Outcome, contain, enter};
use super::given::{self, Buffer};
use super::handle::{handle_of, lastlight};
use super::types::{
    LASTLIGHT_NO_SPAN, LASTLIGHT_TRACE_SAMPLE_RATE, lastlight_pair, lastlight_result, lastlight_str,
    lastlight_trace_options,
};
use crate::recording::Recording;
use std::ffi::c_char;
use std::fmt::Write as _;
use tracer::{NotRecorded, Source, SpanId, TraceOptions};

/// The spans of one request.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub struct lastlight_trace {
    recording: Recording,
}

/// The trace behind a pointer.
///
/// # Safety
/// `trace` is NULL, or came from `lastlight_trace_new`, was not freed, and no other thread uses it.
unsafe fn trace_of<'a>(trace: *mut lastlight_trace) -> Outcome<&'a mut Recording> {
    // SAFETY: the same as is asked of the caller.
    unsafe { trace.as_mut() }.map(|trace| &mut trace.recording).ok_or(lastlight_result::Invalid)
}

/// The trace behind a pointer, to be read: in a child it has no spans, whatever its parent had.
///
/// # Safety
/// As [`trace_of`].
unsafe fn trace_to_read<'a>(trace: *const lastlight_trace) -> Outcome<&'a tracer::Trace> {
    // SAFETY: the same as is asked of the caller.
    let recording = &unsafe { trace.as_ref() }.ok_or(lastlight_result::Invalid)?.recording;
    recording.to_read().ok_or(lastlight_result::Invalid)
}

fn why(why: NotRecorded) -> lastlight_result {
    match why {
        NotRecorded::NoRoom => lastlight_result::NoRoom,
        NotRecorded::NoSuchSpan | NotRecorded::Finished | NotRecorded::Begun | NotRecorded::Invalid => {
            lastlight_result::Invalid
        }
    }
}

/// A trace without spans, for one request after the other.
///
/// Ownership: `*out` is to be freed by `lastlight_trace_free`; `options` may be NULL. Threads: any. Fork: in a child every trace is
/// empty, as its parent sends what was in it; `lastlight_trace_inject` before the fork and `lastlight_trace_extract` after it go on
/// with the same one. Time: never waits. Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_new(
    options: *const lastlight_trace_options,
    out: *mut *mut lastlight_trace,
) -> lastlight_result {
    enter(|| {
        // SAFETY: NULL or writable, as the header says.
        unsafe { given::put(out, std::ptr::null_mut()) }?;
        // SAFETY: NULL or a struct of the size it says, as the header says.
        let options = unsafe { trace_options(options) }?;
        let trace = lastlight_trace { recording: Recording::new(options) };
        // SAFETY: as above.
        unsafe { given::put(out, Box::into_raw(Box::new(trace))) }
    })
}

/// # Safety
/// `options` is NULL or a struct of the size it says.
unsafe fn trace_options(options: *const lastlight_trace_options) -> Outcome<TraceOptions> {
    let mut read = TraceOptions::default();
    if options.is_null() {
        return Ok(read);
    }
    // SAFETY: the same as is asked of the caller.
    let given = unsafe { given::options(options) }?;
    if given.flags & !LASTLIGHT_TRACE_SAMPLE_RATE != 0 {
        return Err(lastlight_result::Invalid);
    }
    if given.flags & LASTLIGHT_TRACE_SAMPLE_RATE != 0 {
        if !(0.0..=1.0).contains(&given.sample_rate) {
            return Err(lastlight_result::Invalid);
        }
        read.sample_rate = Some(given.sample_rate);
    }
    if given.spans_max != 0 {
        read.spans_max = given.spans_max as usize;
    }
    let texts = [
        (given.service, &mut read.service),
        (given.env, &mut read.env),
        (given.version, &mut read.version),
        (given.hostname, &mut read.hostname),
        (given.language, &mut read.language),
        (given.language_version, &mut read.language_version),
        (given.interpreter, &mut read.interpreter),
    ];
    for (text, field) in texts {
        // SAFETY: NULL or as long as it says.
        let text = unsafe { given::text(text) }?.unwrap_or_default();
        if text.len() > given::SETTING_MAX_BYTES {
            return Err(lastlight_result::TooBig);
        }
        *field = String::from_utf8_lossy(text).into_owned();
    }
    Ok(read)
}

/// Reads the context of whoever called, from the headers of the request: Datadog's and W3C's, names without case, others are
/// passed over; baggage is not read. Before the first span.
///
/// Threads: one at a time. Time: never waits.
/// Errors: `LASTLIGHT_EMPTY` (there is none in them: the trace begins here, which is no failure), `LASTLIGHT_INVALID` (spans have
/// begun), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_NO_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_extract(
    trace: *mut lastlight_trace,
    headers: *const lastlight_pair,
    headers_count: usize,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, as the header says.
        let trace = unsafe { trace_of(trace) }?;
        // SAFETY: as many as the count says, as the header says.
        let headers = unsafe { given::pairs(headers, headers_count) }?;
        match trace.here().extract(headers.iter().copied()).map_err(why)? {
            Source::None => Err(lastlight_result::Empty),
            Source::Datadog | Source::TraceContext | Source::Both => Ok(()),
        }
    })
}

/// The headers that a request made within `span` has to carry, Datadog's and W3C's: lines of "name: value", each ended by a
/// newline; names are in lower case, values printable ASCII.
///
/// Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: one at
/// a time. Time: never waits.
/// Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much is needed, and nothing is written), `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_inject(
    trace: *const lastlight_trace,
    span: u32,
    buffer: *mut c_char,
    length: *mut usize,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, as the header says.
        let trace = unsafe { trace_to_read(trace) }?;
        // SAFETY: as long as it says, as the header says.
        let buffer = unsafe { Buffer::new(buffer, length) }?;
        let mut lines = String::new();
        trace
            .inject(SpanId(span), |name, value| {
                // Writing to a string does not fail.
                writeln!(lines, "{name}: {value}").ok();
            })
            .map_err(why)?;
        buffer.write(lines.as_bytes())
    })
}

/// Starts a span at nanoseconds since 1970. The first is the root; one with `LASTLIGHT_NO_SPAN` for a parent after that is a child
/// of the root. `*out` becomes its number in this trace, until the trace is submitted.
///
/// Ownership: the name is copied. Threads: one at a time. Time: never waits.
/// Errors: `LASTLIGHT_NO_ROOM` (the trace has all the spans it may; counted on the root), `LASTLIGHT_INVALID` (no such parent),
/// `LASTLIGHT_NO_MEMORY`; `*out` is `LASTLIGHT_NO_SPAN` then, on which every other function says `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_start(
    trace: *mut lastlight_trace,
    parent: u32,
    name: lastlight_str,
    start_unix_ns: u64,
    out: *mut u32,
) -> lastlight_result {
    enter(|| {
        // SAFETY: NULL or writable, as the header says.
        unsafe { given::put(out, LASTLIGHT_NO_SPAN) }?;
        // SAFETY: a trace, as the header says.
        let trace = unsafe { trace_of(trace) }?;
        // SAFETY: as long as it says, as the header says.
        let name = unsafe { given::text(name) }?.unwrap_or_default();
        let parent = (parent != LASTLIGHT_NO_SPAN).then_some(SpanId(parent));
        trace.note_span(name);
        let SpanId(span) = trace.here().start(parent, name, start_unix_ns).map_err(why)?;
        // SAFETY: as above.
        unsafe { given::put(out, span) }
    })
}

/// Sets a text of a span.
///
/// # Safety
/// As the functions below.
unsafe fn set(
    trace: *mut lastlight_trace,
    span: u32,
    text: lastlight_str,
    set: impl FnOnce(&mut Recording, SpanId, &[u8]) -> Outcome,
) -> lastlight_result {
    enter(|| {
        // SAFETY: the same as is asked of the caller.
        let (recording, text) = unsafe { (trace_of(trace)?, given::text(text)?.unwrap_or_default()) };
        recording.note(text);
        set(recording, SpanId(span), text)
    })
}

/// Names a span: "web.request", "pdo.query".
///
/// Of this and the functions that follow: Ownership: texts are copied, cut at the agent's limits; what is not UTF-8 is replaced.
/// Threads: one at a time. Time: never waits. A finished span may be changed too.
/// Errors: `LASTLIGHT_NO_ROOM` (the trace's bound of bytes or the span's of tags; counted on the root), `LASTLIGHT_INVALID` (no such
/// span, or what each says), `LASTLIGHT_NO_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_name(
    trace: *mut lastlight_trace,
    span: u32,
    name: lastlight_str,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe { set(trace, span, name, |to, span, text| to.trace.set_name(span, text).map_err(why)) }
}

/// Sets the service of a span, in place of the trace's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_service(
    trace: *mut lastlight_trace,
    span: u32,
    service: lastlight_str,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe { set(trace, span, service, |to, span, text| to.trace.set_service(span, text).map_err(why)) }
}

/// Sets the resource of a span, in place of its name: "GET /users/{id}".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_resource(
    trace: *mut lastlight_trace,
    span: u32,
    resource: lastlight_str,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe { set(trace, span, resource, |to, span, text| to.trace.set_resource(span, text).map_err(why)) }
}

/// Sets the type of a span: "web", "sql", "http".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_set_type(
    trace: *mut lastlight_trace,
    span: u32,
    span_type: lastlight_str,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe { set(trace, span, span_type, |to, span, text| to.trace.set_type(span, text).map_err(why)) }
}

/// Sets a tag, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_tag(
    trace: *mut lastlight_trace,
    span: u32,
    key: lastlight_str,
    value: lastlight_str,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe {
        set(trace, span, key, |to, span, key| {
            let value = given::text(value)?.unwrap_or_default();
            to.note(value);
            to.trace.tag(span, key, value).map_err(why)
        })
    }
}

/// Sets a number, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key, or a number that is not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_metric(
    trace: *mut lastlight_trace,
    span: u32,
    key: lastlight_str,
    value: f64,
) -> lastlight_result {
    // SAFETY: as the header says.
    unsafe { set(trace, span, key, |to, span, key| to.trace.metric(span, key, value).map_err(why)) }
}

/// Marks a span as failed. Each of the three texts may be absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_error(
    trace: *mut lastlight_trace,
    span: u32,
    error_type: lastlight_str,
    message: lastlight_str,
    stack: lastlight_str,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, and texts as long as they say, as the header says.
        let (trace, error_type, message, stack) = unsafe {
            (trace_of(trace)?, given::text(error_type)?, given::text(message)?, given::text(stack)?)
        };
        let [error_type, message, stack] = [error_type, message, stack].map(Option::unwrap_or_default);
        [error_type, message, stack].iter().for_each(|text| trace.note(text));
        trace.trace.error(SpanId(span), error_type, message, stack).map_err(why)
    })
}

/// Ends a span that took `duration_ns`. `LASTLIGHT_INVALID`: it has ended, and stays as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_finish(
    trace: *mut lastlight_trace,
    span: u32,
    duration_ns: u64,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, as the header says.
        unsafe { trace_of(trace) }?.trace.finish(SpanId(span), duration_ns).map_err(why)
    })
}

/// What names a span outside, for logs: the halves of the trace's number, and the span's. Each of the outputs may be NULL.
///
/// Threads: one at a time. Time: never waits. Errors: `LASTLIGHT_INVALID` (no such span).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_span_ids(
    trace: *const lastlight_trace,
    span: u32,
    trace_high: *mut u64,
    trace_low: *mut u64,
    span_id: *mut u64,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, as the header says.
        let ids = unsafe { trace_to_read(trace) }?.ids(SpanId(span)).map_err(why)?;
        for (out, id) in [(trace_high, ids.trace_high), (trace_low, ids.trace_low), (span_id, ids.span)] {
            if !out.is_null() {
                // SAFETY: not NULL, so writable, as the header says.
                unsafe { given::put(out, id) }?;
            }
        }
        Ok(())
    })
}

/// Says by hand whether the trace is kept: 2 keep, -1 drop, or the automatic 1 and 0. It overrules the context and the sample
/// rate from now on. `LASTLIGHT_INVALID`: another number.
///
/// Threads: one at a time. Time: never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_keep(
    trace: *mut lastlight_trace,
    priority: i32,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a trace, as the header says.
        unsafe { trace_of(trace) }?.here().keep(priority).map_err(why)
    })
}

/// Submits the spans, as `lastlight_submit` does with `LASTLIGHT_TRACES_V04`. Spans that were not finished end when the root does
/// (now, when that was not finished either) and say so in a metric. After `LASTLIGHT_OK` the trace is empty, for the next request;
/// otherwise it is as it was.
///
/// Threads: one at a time for the trace, any for the handle. Fork: nothing is there to submit in a child. Time: never waits.
/// Errors: those of `lastlight_submit`; `LASTLIGHT_EMPTY` (no span; the context is forgotten too).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_submit(
    handle: *mut lastlight,
    trace: *mut lastlight_trace,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle and a trace, as the header says.
        let (handle, recording) = unsafe { (handle_of(handle)?, trace_of(trace)?) };
        if recording.here().is_empty() {
            recording.reset();
            return Err(lastlight_result::Empty);
        }
        let payload = recording.encode().ok_or(lastlight_result::NoMemory)?;
        let result = {
            let mut headers = Vec::new();
            headers
                .extend(recording.trace.headers().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            handle.submit(sidecar::Kind::TracesV04, &headers, &payload)
        };
        recording.keep(payload);
        if result.is_ok() {
            recording.reset();
        }
        result
    })
}

/// Frees a trace, with what was not submitted. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_trace_free(trace: *mut lastlight_trace) {
    if trace.is_null() {
        return;
    }
    // Nothing can be said of a panic here.
    let _ = contain(|| {
        // SAFETY: from `Box::into_raw` in `lastlight_trace_new`, and not freed before, as the header says.
        drop(unsafe { Box::from_raw(trace) });
    });
}
