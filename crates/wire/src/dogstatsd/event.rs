//! Events: `_e{<title bytes>,<text bytes>}:<title>|<text>` and optional fields (`facts/dogstatsd.md` §2.2).

use std::borrow::Cow;

use memchr::memchr;
use memchr::memmem;
use model::metric::{Alert, Event, Priority};

use super::LineError;
use super::metric::field;
use super::number::integer;

/// How an event begins.
pub(super) const PREFIX: &[u8] = b"_e{";

/// Reads an event. As in the reference the lengths alone say where title and text end: which byte stands between
/// them does not matter. What is not UTF-8 is replaced in title and text; in an optional field it makes the
/// field be passed over, as a value that makes no sense does.
pub(super) fn parse(line: &[u8]) -> Result<Event<'_>, LineError> {
    let head_end = memchr(b':', line).ok_or(LineError::BadEvent)?;
    let lengths = line[..head_end]
        .strip_prefix(PREFIX)
        .and_then(|head| head.strip_suffix(b"}"))
        .ok_or(LineError::BadEvent)?;
    let comma = memchr(b',', lengths).ok_or(LineError::BadEvent)?;
    let (Some(title_len), Some(text_len)) = (length(&lengths[..comma]), length(&lengths[comma + 1..])) else {
        return Err(LineError::BadEvent);
    };
    let (title, rest) = line[head_end + 1..].split_at_checked(title_len).ok_or(LineError::BadEvent)?;
    let (text, rest) =
        rest.get(1..).and_then(|rest| rest.split_at_checked(text_len)).ok_or(LineError::BadEvent)?;
    if title.is_empty() {
        return Err(LineError::BadEvent);
    }
    let mut event = Event { title: unescaped(title), text: unescaped(text), ..Event::default() };
    let mut rest = rest.get(1..);
    while let Some(fields) = rest {
        let (content, next) = field(fields);
        optional(&mut event, content);
        rest = next;
    }
    Ok(event)
}

fn optional<'a>(event: &mut Event<'a>, field: &'a [u8]) {
    match field {
        [b'd', b':', seconds @ ..] => event.timestamp = integer(seconds).or(event.timestamp),
        [b'h', b':', host @ ..] => set(&mut event.host, host),
        [b'k', b':', key @ ..] => set(&mut event.aggregation_key, key),
        [b'p', b':', priority @ ..] => match priority {
            b"normal" => event.priority = Priority::Normal,
            b"low" => event.priority = Priority::Low,
            _ => {}
        },
        [b's', b':', source @ ..] => set(&mut event.source_type, source),
        [b't', b':', alert @ ..] => match alert {
            b"info" => event.alert = Alert::Info,
            b"warning" => event.alert = Alert::Warning,
            b"error" => event.alert = Alert::Error,
            b"success" => event.alert = Alert::Success,
            _ => {}
        },
        [b'#', tags @ ..] => set_tags(&mut event.tags, tags),
        _ => {}
    }
}

/// An optional text; an empty one is none.
pub(super) fn set<'a>(to: &mut Option<&'a str>, text: &'a [u8]) {
    if let Ok(text) = std::str::from_utf8(text) {
        *to = Some(text).filter(|text| !text.is_empty());
    }
}

pub(super) fn set_tags<'a>(to: &mut &'a str, tags: &'a [u8]) {
    if let Ok(tags) = std::str::from_utf8(tags) {
        *to = tags;
    }
}

fn length(text: &[u8]) -> Option<usize> {
    usize::try_from(integer(text)?).ok()
}

/// A backslash and an `n` are a line feed, for a line cannot hold one.
fn unescaped(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    match memmem::find(text.as_bytes(), b"\\n") {
        Some(_) => Cow::Owned(text.replace("\\n", "\n")),
        None => text,
    }
}
