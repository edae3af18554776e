//! The functions of the handle.

use super::boundary::{Outcome, contain, enter};
use super::given::{self, Buffer};
use super::types::{
    LASTLIGHT_LAZY, lastlight_counts_t, lastlight_options, lastlight_pair, lastlight_result, lastlight_str,
};
use crate::settings::Settings;
use sidecar::{ClientCounts, InUse, Kind, Message, NotTaken, OpenError, Sidecar};
use std::ffi::{OsString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

/// The longest payload, bytes; the channel's.
const PAYLOAD_MAX_BYTES: usize = 50 << 20;
/// From here on it is seen to beforehand that there is memory for a copy.
const COPY_MIN_BYTES: usize = 64 << 10;
/// Of `lastlight.closed` while it is open.
const OPEN: i32 = -1;

/// The agent of a process tree, as one of its processes sees it.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub struct lastlight {
    sidecar: Arc<Sidecar>,
    /// What the close came to; [`OPEN`] before.
    closed: AtomicI32,
    /// A message that found the caller's buffer too small.
    unread: Mutex<Option<Message>>,
}

impl lastlight {
    /// The sidecar, unless the handle is closed.
    pub(super) fn open(&self) -> Outcome<&Sidecar> {
        if self.closed.load(Relaxed) == OPEN { Ok(&self.sidecar) } else { Err(lastlight_result::Closed) }
    }

    /// Hands a payload over. Never waits.
    pub(super) fn submit(&self, kind: Kind, headers: &[(&[u8], &[u8])], payload: &[u8]) -> Outcome {
        let sidecar = self.open()?;
        if payload.len() >= COPY_MIN_BYTES {
            // Where memory files are refused a copy is kept, for which failure is not expected any more.
            Vec::<u8>::new().try_reserve_exact(payload.len()).map_err(|_| lastlight_result::NoMemory)?;
        }
        sidecar.submit(kind, headers, payload).map_err(|why| match why {
            NotTaken::NoRoom { .. } => lastlight_result::NoRoom,
            NotTaken::TooBig | NotTaken::Headers => lastlight_result::TooBig,
            NotTaken::Closed => lastlight_result::Closed,
        })
    }
}

/// The handle behind a pointer.
///
/// # Safety
/// `handle` is NULL, or came from `lastlight_open` and was not freed.
pub(super) unsafe fn handle_of<'a>(handle: *const lastlight) -> Outcome<&'a lastlight> {
    // SAFETY: the same as is asked of the caller.
    unsafe { handle.as_ref() }.ok_or(lastlight_result::Invalid)
}

/// Opens the agent of this process tree: binds its socket and, unless `LASTLIGHT_LAZY`, starts its server. Once, in the process
/// that will fork, before it does; children use the same handle. Settings and environment are read here and not again.
///
/// Ownership: `*out` is to be freed by `lastlight_free`. Threads: any. Fork: to be called before.
/// Time: `ready_within_ms`, in mode "auto" twice that. That no server could be started is no error: it is a message, what is
/// submitted waits, and starting one is tried again.
/// Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_SYSTEM` (no socket), `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_open(
    options: *const lastlight_options,
    out: *mut *mut lastlight,
) -> lastlight_result {
    enter(|| {
        // SAFETY: `out` is NULL or writable, as the header says.
        unsafe { given::put(out, std::ptr::null_mut()) }?;
        // SAFETY: `options` is NULL or a struct of the size it says, as the header says.
        let options = unsafe { sidecar_options(options) }?;
        let sidecar = Sidecar::open(options).map_err(|OpenError::Bind(error)| match error.kind() {
            std::io::ErrorKind::OutOfMemory => lastlight_result::NoMemory,
            _ => lastlight_result::System,
        })?;
        let handle = lastlight { sidecar, closed: AtomicI32::new(OPEN), unread: Mutex::new(None) };
        // SAFETY: as above.
        unsafe { given::put(out, Box::into_raw(Box::new(handle))) }
    })
}

/// # Safety
/// `options` is NULL or a struct of the size it says.
unsafe fn sidecar_options(options: *const lastlight_options) -> Outcome<sidecar::Options> {
    let mut settings = Settings::default();
    if options.is_null() {
        return Ok(sidecar::Options::new(Arc::new(settings)));
    }
    // SAFETY: the same as is asked of the caller.
    let given = unsafe { given::options(options) }?;
    if given.flags & !LASTLIGHT_LAZY != 0 {
        return Err(lastlight_result::Invalid);
    }
    // SAFETY: its pointers are NULL or point to what their counts say.
    for (name, value) in unsafe { given::pairs(given.settings, given.settings_count) }? {
        settings.set(&utf8(name)?, &utf8(value)?);
    }
    let mut read = sidecar::Options::new(Arc::new(settings));
    // SAFETY: as above.
    read.mode = unsafe { owned(given.mode) }?.map(|mode| String::from_utf8_lossy(&mode).into_owned());
    // SAFETY: as above.
    read.binary = unsafe { owned(given.binary) }?.map(|path| PathBuf::from(OsString::from_vec(path)));
    if given.ready_within_ms != 0 {
        read.ready_within = milliseconds(given.ready_within_ms);
    }
    read.lazy = given.flags & LASTLIGHT_LAZY != 0;
    Ok(read)
}

/// A setting is short text; what is longer than any path is a mistake.
fn utf8(text: &[u8]) -> Outcome<String> {
    if text.len() > given::SETTING_MAX_BYTES {
        return Err(lastlight_result::TooBig);
    }
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| lastlight_result::Invalid)
}

/// # Safety
/// As [`given::text`].
unsafe fn owned(text: lastlight_str) -> Outcome<Option<Vec<u8>>> {
    // SAFETY: the same as is asked of the caller.
    let Some(text) = unsafe { given::text(text) }? else { return Ok(None) };
    if text.len() > given::SETTING_MAX_BYTES {
        return Err(lastlight_result::TooBig);
    }
    Ok((!text.is_empty()).then(|| text.to_vec()))
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

/// Starts a server if nobody serves.
///
/// Threads: any. Fork: any process of the tree. Time: as `lastlight_open`.
/// Errors: `LASTLIGHT_UNAVAILABLE` when none could be started, now or shortly before (`lastlight_next_message` says why);
/// `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_ensure(handle: *mut lastlight) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let sidecar = unsafe { handle_of(handle) }?.open()?;
        sidecar.ensure();
        match sidecar.in_use() {
            InUse::Subprocess | InUse::Thread => Ok(()),
            InUse::NotYet | InUse::Nothing => Err(lastlight_result::Unavailable),
        }
    })
}

/// Submits a payload of a `lastlight_kind`, at most 50 MiB, with the headers that a request with it would have (names without
/// case, 32 of them and 8 KiB at most; all may be left out).
///
/// Ownership: sent or copied before it returns. Threads: any. Fork: any process of the tree; what a process submitted is its
/// own, so a parent's is neither lost nor doubled by its child. Time: never waits for the
/// sidecar; some system calls and at most one copy. Where nobody serves it may start a server, which costs some milliseconds.
/// `LASTLIGHT_OK`: taken. It reaches the sidecar, over as many servers as it takes, in the calls made here (so `lastlight_pump`
/// or `lastlight_settle` where nothing follows). Errors: it was not taken, and is the caller's: `LASTLIGHT_NO_ROOM`,
/// `LASTLIGHT_TOO_BIG` (payload or headers), `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`, `LASTLIGHT_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_submit(
    handle: *mut lastlight,
    kind: u32,
    headers: *const lastlight_pair,
    headers_count: usize,
    payload: *const u8,
    payload_length: usize,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let handle = unsafe { handle_of(handle) }?;
        let kind = u16::try_from(kind).ok().and_then(|kind| Kind::try_from(kind).ok());
        let kind = kind.ok_or(lastlight_result::Invalid)?;
        // SAFETY: as many as the counts say, as the header says.
        let headers = unsafe { given::pairs(headers, headers_count) }?;
        // SAFETY: as above.
        let payload = unsafe { given::bytes(payload, payload_length, PAYLOAD_MAX_BYTES) }?;
        handle.submit(kind, &headers, payload)
    })
}

/// Connects, reads answers and sends what waits, as far as that goes without waiting. For hosts that submit rarely: a call
/// between two pieces of work.
///
/// Threads: any. Fork: any process of the tree. Time: never waits. Errors: `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_pump(handle: *mut lastlight) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        unsafe { handle_of(handle) }?.open()?.pump();
        Ok(())
    })
}

/// Waits until everything that the sidecar took so far, from any process, was delivered to the backend or counted as lost.
///
/// Threads: any; submissions of others go on meanwhile. Fork: any process of the tree. Time: at most `within_ms`.
/// Errors: `LASTLIGHT_TIMED_OUT` (not all of it; it goes on), `LASTLIGHT_UNAVAILABLE` (the server went away meanwhile),
/// `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_flush(handle: *mut lastlight, within_ms: u32) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let sidecar = unsafe { handle_of(handle) }?.open()?;
        waited(within_ms, |within| sidecar.flush(within))
    })
}

/// Waits until the sidecar has answered for everything that this process submitted.
///
/// Threads, fork, time, errors: as `lastlight_flush`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_settle(handle: *mut lastlight, within_ms: u32) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let sidecar = unsafe { handle_of(handle) }?.open()?;
        waited(within_ms, |within| sidecar.settle(within))
    })
}

/// What a wait came to: one that ends early without success had nobody to wait for.
fn waited(within_ms: u32, wait: impl FnOnce(Duration) -> bool) -> Outcome {
    let (begun, within) = (Instant::now(), milliseconds(within_ms));
    if wait(within) {
        Ok(())
    } else if begun.elapsed() >= within {
        Err(lastlight_result::TimedOut)
    } else {
        Err(lastlight_result::Unavailable)
    }
}

/// What became of what this process submitted, since the handle was opened or the process was forked.
///
/// Ownership: `out->size` is to be set. Threads: any. Fork: a child's begin at zero. Time: never waits. Also after the close.
/// Errors: `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_counts(
    handle: *mut lastlight,
    out: *mut lastlight_counts_t,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let handle = unsafe { handle_of(handle) }?;
        // SAFETY: NULL or a struct of the size it says, as the header says.
        unsafe { given::fill(out, counts(&handle.sidecar.counts())) }
    })
}

fn counts(counts: &ClientCounts) -> lastlight_counts_t {
    lastlight_counts_t {
        size: size_of::<lastlight_counts_t>(),
        submitted: counts.submitted,
        accepted: counts.accepted,
        refused: counts.refused,
        lost: counts.lost,
        waiting: counts.waiting,
        no_room: counts.no_room,
        not_taken: counts.not_taken,
        no_room_answers: counts.no_room_answers,
        resent: counts.resent,
        in_parts: counts.in_parts,
        connected: counts.connected,
        disconnected: counts.disconnected,
        squatted: counts.squatted,
        promoted: counts.promoted,
        taken_back: counts.taken_back,
        retained: counts.retained,
        unretained: counts.unretained,
    }
}

/// What the server counts: lines of "name number".
///
/// Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: any.
/// Fork: any process of the tree. Time: at most `within_ms`.
/// Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much this answer needed, and nothing is written), `LASTLIGHT_UNAVAILABLE`
/// (no answer), `LASTLIGHT_TIMED_OUT`, `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_server_stats(
    handle: *mut lastlight,
    within_ms: u32,
    buffer: *mut c_char,
    length: *mut usize,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let sidecar = unsafe { handle_of(handle) }?.open()?;
        // SAFETY: as long as it says, as the header says.
        let buffer = unsafe { Buffer::new(buffer, length) }?;
        let mut stats = None;
        waited(within_ms, |within| {
            stats = sidecar.server_stats(within);
            stats.is_some()
        })?;
        buffer.write(stats.unwrap_or_default().as_bytes())
    })
}

/// Where the server is, as this process knows: a `lastlight_mode`.
///
/// Threads: any. Fork: any process of the tree. Time: never waits. Also after the close. Errors: `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_mode_in_use(handle: *mut lastlight, out: *mut u32) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let handle = unsafe { handle_of(handle) }?;
        // SAFETY: NULL or writable, as the header says.
        unsafe { given::put(out, handle.sidecar.in_use() as u32) }
    })
}

/// Takes the oldest of what would be the lines of a log: one line of UTF-8 each, at most 1024 bytes. The last 64 of a process
/// are kept, of all its handles.
///
/// Ownership: as `lastlight_server_stats`; where the buffer is too small the message stays. `*level` becomes a `lastlight_level`;
/// `level` may be NULL. Threads: any; where two ask at once, one may be told that there is none. Fork: a child begins without
/// messages. Time: never waits. Also after the close.
/// Errors: `LASTLIGHT_EMPTY` (there is none), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_INVALID`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_next_message(
    handle: *mut lastlight,
    buffer: *mut c_char,
    length: *mut usize,
    level: *mut u32,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let handle = unsafe { handle_of(handle) }?;
        // SAFETY: as long as it says, as the header says.
        let buffer = unsafe { Buffer::new(buffer, length) }?;
        let mut unread = match handle.unread.try_lock() {
            Ok(unread) => unread,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another thread reads; or one did when this process was forked, which nobody will ever finish.
            Err(TryLockError::WouldBlock) => return Err(lastlight_result::Empty),
        };
        let message =
            unread.take().or_else(|| handle.sidecar.next_message()).ok_or(lastlight_result::Empty)?;
        if let Err(why) = buffer.write(message.text.as_bytes()) {
            *unread = Some(message);
            return Err(why);
        }
        if !level.is_null() {
            // SAFETY: not NULL, so writable, as the header says.
            unsafe { given::put(level, message.level as u32) }?;
        }
        Ok(())
    })
}

/// Ends the work of this process: waits until what it submitted is answered for; where a thread of this process serves, until that
/// has delivered what it has and ended. What is left when the time is over is counted as lost. The handle stays valid, and is
/// still to be freed; whatever submits or waits says `LASTLIGHT_CLOSED` from then on.
///
/// Ownership: `out` may be NULL, and is filled as by `lastlight_counts`. Threads: any. Fork: ends it for this process alone.
/// Time: at most `within_ms`. Idempotent: a second call says the same.
/// Errors: `LASTLIGHT_TIMED_OUT` (something was lost by the close), `LASTLIGHT_INVALID` (nothing was done).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_close(
    handle: *mut lastlight,
    within_ms: u32,
    out: *mut lastlight_counts_t,
) -> lastlight_result {
    enter(|| {
        // SAFETY: a handle, as the header says.
        let handle = unsafe { handle_of(handle) }?;
        if !out.is_null() {
            // SAFETY: a struct of the size it says, as the header says.
            unsafe { given::check_output(out) }?;
        }
        let before = handle.sidecar.counts();
        let after = handle.sidecar.close(milliseconds(within_ms));
        if !out.is_null() {
            // SAFETY: as above.
            unsafe { given::fill(out, counts(&after)) }?;
        }
        let result = if after.lost > before.lost { lastlight_result::TimedOut } else { lastlight_result::Ok };
        // Who comes second says what the first came to.
        let said = match handle.closed.compare_exchange(OPEN, result as i32, Relaxed, Relaxed) {
            Ok(_) => result as i32,
            Err(first) => first,
        };
        if said == lastlight_result::Ok as i32 { Ok(()) } else { Err(lastlight_result::TimedOut) }
    })
}

/// Frees a handle that no other thread is using. Without a close before, it is closed without waiting. NULL is nothing.
///
/// Fork: frees this process's copy alone. Time: without a close before, and where a thread of this process serves, until that has
/// ended, which is a moment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lastlight_free(handle: *mut lastlight) {
    if handle.is_null() {
        return;
    }
    // Nothing can be said of a panic here.
    let _ = contain(|| {
        // SAFETY: from `Box::into_raw` in `lastlight_open`, and not freed before, as the header says.
        let handle = unsafe { Box::from_raw(handle) };
        if handle.open().is_ok() {
            handle.sidecar.close(Duration::ZERO);
        }
    });
}
