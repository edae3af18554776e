//! The functions of the handle.

use super::boundary::enter;
use super::types::{lastlight_counts_t, lastlight_options, lastlight_pair, lastlight_result};
use std::ffi::c_char;

/// The agent of a process tree, as one of its processes sees it.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub struct lastlight {
    _private: (),
}

/// Opens the agent of this process tree: binds its socket and, unless LASTLIGHT_LAZY, starts its server. Call it once, in the
/// process that will fork, before it does. `*out` is to be freed by `lastlight_free`. Waits at most `ready_within_ms`, in mode
/// "auto" twice that. LASTLIGHT_INVALID, LASTLIGHT_SYSTEM, LASTLIGHT_NO_MEMORY, LASTLIGHT_UNAVAILABLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_open(
    options: *const lastlight_options,
    out: *mut *mut lastlight,
) -> lastlight_result {
    let _ = options;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Starts a server if nobody serves, waiting as `lastlight_open` does. LASTLIGHT_UNAVAILABLE when none could be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_ensure(handle: *mut lastlight) -> lastlight_result {
    let _ = handle;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Submits a payload. Copied or sent before it returns; never waits. At most 64 MiB. LASTLIGHT_OK: the library sees to it that
/// it reaches the sidecar, over as many servers as it takes, in the calls made here (`lastlight_pump`). LASTLIGHT_NO_ROOM,
/// LASTLIGHT_TOO_BIG, LASTLIGHT_INVALID, LASTLIGHT_NO_MEMORY, LASTLIGHT_CLOSED: it was not taken, and is the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_submit(
    handle: *mut lastlight,
    kind: u32,
    headers: *const lastlight_pair,
    headers_count: usize,
    payload: *const u8,
    payload_length: usize,
) -> lastlight_result {
    let _ = handle;
    let _ = kind;
    let _ = headers;
    let _ = headers_count;
    let _ = payload;
    let _ = payload_length;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Reads answers and sends what waits; never waits itself. For hosts that submit rarely: a call between requests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_pump(handle: *mut lastlight) -> lastlight_result {
    let _ = handle;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Returns when everything that this sidecar took so far, from any process, was delivered to the backend or counted as lost.
/// LASTLIGHT_TIMED_OUT: not all of it, it goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_flush(handle: *mut lastlight, within_ms: u32) -> lastlight_result {
    let _ = handle;
    let _ = within_ms;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Returns when the sidecar has answered for everything that this process submitted. LASTLIGHT_TIMED_OUT: not for all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_settle(handle: *mut lastlight, within_ms: u32) -> lastlight_result {
    let _ = handle;
    let _ = within_ms;
    enter(|| Err(lastlight_result::Unavailable))
}

/// What became of what this process submitted. Also after the close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_counts(
    handle: *mut lastlight,
    out: *mut lastlight_counts_t,
) -> lastlight_result {
    let _ = handle;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// What the server counts, lines of `name number`. `*length`: in, the buffer's size; out, the text's length. It does not end
/// with NUL. LASTLIGHT_TOO_BIG: `*length` says how much is needed now. LASTLIGHT_UNAVAILABLE: no answer within the time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_server_stats(
    handle: *mut lastlight,
    within_ms: u32,
    buffer: *mut c_char,
    length: *mut usize,
) -> lastlight_result {
    let _ = handle;
    let _ = within_ms;
    let _ = buffer;
    let _ = length;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Where the server is, a `lastlight_mode`, as this process knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_mode_in_use(handle: *mut lastlight, out: *mut u32) -> lastlight_result {
    let _ = handle;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Takes the next of what would be lines of a log, UTF-8 without a newline; the oldest are dropped where nobody takes them.
/// `*length` as in `lastlight_server_stats`; at LASTLIGHT_TOO_BIG the message stays. `*level`: a `lastlight_level`; may be
/// NULL. LASTLIGHT_EMPTY: there is none. Works after the close too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_next_message(
    handle: *mut lastlight,
    buffer: *mut c_char,
    length: *mut usize,
    level: *mut u32,
) -> lastlight_result {
    let _ = handle;
    let _ = buffer;
    let _ = length;
    let _ = level;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Waits until what this process submitted is answered for, and where this process serves by a thread, until that has
/// delivered what it has and ended; what is left when the time is over is counted as lost. The handle stays valid: every other
/// call says LASTLIGHT_CLOSED then. `out` may be NULL. Idempotent. LASTLIGHT_TIMED_OUT: something was lost by the close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_close(
    handle: *mut lastlight,
    within_ms: u32,
    out: *mut lastlight_counts_t,
) -> lastlight_result {
    let _ = handle;
    let _ = within_ms;
    let _ = out;
    enter(|| Err(lastlight_result::Unavailable))
}

/// Frees a handle, which no other thread may be using. Without a close before, closes it without waiting. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_free(handle: *mut lastlight) {
    let _ = handle;
}
