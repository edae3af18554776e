//! Logs for the backend, as JSON (`facts/delivery.md` §6).
//!
//! What [`encode`] writes is *open*: it ends within the log's own tags. The platform's tags may become known later, and
//! they are many bytes that would be held once per log; [`payload`] adds them when the request is made.

use model::limits::LOG_ESCAPED_MAX_BYTES;
use model::log::{Log, TRUNCATED};

use super::{escape, json};

/// Appends one log as an open JSON object. Members, in this order: `message`, `status`, `timestamp` (milliseconds, a
/// number), `hostname`, `service`, `ddsource`, `dd.trace_id`, `dd.span_id` and, last and without the quote and brace that
/// end it, `ddtags`. Those that are empty are left out, but for `message` and `ddtags`.
///
/// The ids are members of the object itself, with a dot in their name, and strings: the intake makes attributes of
/// members it does not know, its documented type for these is a string, and its trace remapper reads the attribute
/// `dd.trace_id`, which tracers that write JSON give in this form too.
///
/// The message may be any bytes: what is not UTF-8 becomes U+FFFD, control characters and so ANSI sequences are kept,
/// escaped. How long it may be is the caller's to keep ([`model::limits::LOG_MAX_BYTES`]); one that grows beyond
/// [`LOG_ESCAPED_MAX_BYTES`], which takes very many control characters, is cut and ends with [`TRUNCATED`], so that every
/// log goes into a payload.
pub fn encode(log: &Log<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"message\":\"");
    let start = out.len();
    escape::bytes(log.message, out);
    if out.len() - start > LOG_ESCAPED_MAX_BYTES {
        let keep = escape::boundary(&out[start..], LOG_ESCAPED_MAX_BYTES - TRUNCATED.len());
        out.truncate(start + keep);
        out.extend_from_slice(TRUNCATED.as_bytes());
    }
    out.extend_from_slice(b"\",\"status\":\"");
    out.extend_from_slice(log.status.name().as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":");
    json::write(&log.timestamp_ms, out);
    member(b",\"hostname\":\"", log.hostname, out);
    member(b",\"service\":\"", log.service, out);
    member(b",\"ddsource\":\"", log.source, out);
    member(b",\"dd.trace_id\":\"", log.trace_id.unwrap_or_default(), out);
    member(b",\"dd.span_id\":\"", log.span_id.unwrap_or_default(), out);
    out.extend_from_slice(TAGS);
    escape::text(log.tags, out);
}

/// The last member of an open object, up to its text.
pub(crate) const TAGS: &[u8] = b",\"ddtags\":\"";

/// Appends a member whose name is given with all that stands around it, unless `value` is empty.
pub(crate) fn member(name: &[u8], value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(name);
        escape::text(value, out);
        out.push(b'"');
    }
}

/// Appends the body of one request to `/api/v2/logs`: an array of what [`encode`] wrote, each closed after `tags`, which
/// follow its own.
pub fn payload<'a>(entries: impl Iterator<Item = &'a [u8]>, tags: &str, out: &mut Vec<u8>) {
    payload_of(entries, tags, &mut |entry, out| out.extend_from_slice(entry), out);
}

/// The same of entries that `write` makes what [`encode`] writes.
pub fn payload_of<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
    tags: &str,
    write: &mut dyn FnMut(&'a [u8], &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let mut end = Vec::with_capacity(tags.len() + 3);
    if !tags.is_empty() {
        end.push(b',');
        escape::text(tags, &mut end);
    }
    end.extend_from_slice(b"\"}");
    out.push(b'[');
    for (place, entry) in entries.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(entry, out);
        // A quote after the colon is the one that opens the tags: one within them is escaped.
        let no_own_tags = out.ends_with(b":\"");
        out.extend_from_slice(if no_own_tags { end.strip_prefix(b",").unwrap_or(&end) } else { &end });
    }
    out.push(b']');
}
