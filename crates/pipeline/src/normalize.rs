//! What the backend accepts as a tag value, an operation name and a service
//! (`facts/trace-intake.md` §5.1).
//!
//! Text that is already normal, which is nearly all of it, is returned as it is; only what must change
//! is written anew, into the arena.

mod categories;
mod fault;
pub(crate) mod span;
#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults};

use crate::truncate;
use bumpalo::collections::String as ArenaString;
use categories::Categories;
use model::Bump;

/// Operation of spans that have none.
pub const UNNAMED_OPERATION: &str = "unnamed_operation";
/// Service of spans that have none and whose language is not known.
pub const UNNAMED_SERVICE: &str = "unnamed-service";
/// Longest service, in bytes before its characters are normalized.
pub const SERVICE_MAX_BYTES: usize = 100;
/// Longest operation name, in bytes before its characters are normalized.
pub const NAME_MAX_BYTES: usize = 100;
/// Most characters of a tag that are looked at, those left out included.
const TAG_MAX_CHARS: usize = 200;
/// A tag ends with the character that reaches this many bytes.
const TAG_MAX_BYTES: usize = 2 * TAG_MAX_CHARS;

/// Normalizes a whole tag (`key:value`): as [`tag_value`], and it starts with a letter or a colon.
pub fn tag<'a>(arena: &'a Bump, tag: &'a str) -> &'a str {
    if is_normal_tag(tag.as_bytes(), true) { tag } else { rewrite_tag(arena, tag, true) }
}

/// Normalizes a tag value: lower case; letters, digits, `:`, `.`, `/` and `-` stay, every other run
/// becomes one `_`, and none ends the value.
pub fn tag_value<'a>(arena: &'a Bump, value: &'a str) -> &'a str {
    if is_normal_tag(value.as_bytes(), false) { value } else { rewrite_tag(arena, value, false) }
}

/// Normalizes a service, naming it after the tracer's language when nothing is left of it.
pub fn service<'a>(arena: &'a Bump, service: &'a str, lang: &str) -> (&'a str, Option<Fault>) {
    if service.is_empty() {
        return (unnamed_service(arena, lang), Some(Fault::ServiceEmpty));
    }
    let cut = truncate::at(service, SERVICE_MAX_BYTES);
    match tag_value(arena, cut) {
        "" => (unnamed_service(arena, lang), Some(Fault::ServiceInvalid)),
        normal if cut.len() < service.len() => (normal, Some(Fault::ServiceTruncated)),
        normal => (normal, None),
    }
}

/// Normalizes the service of a peer (`peer.service`, `_dd.base_service`); one of which nothing is left
/// becomes empty.
pub fn peer_service<'a>(arena: &'a Bump, service: &'a str) -> (&'a str, Option<Fault>) {
    let cut = truncate::at(service, SERVICE_MAX_BYTES);
    match tag_value(arena, cut) {
        "" if !service.is_empty() => ("", Some(Fault::PeerServiceInvalid)),
        normal if cut.len() < service.len() => (normal, Some(Fault::PeerServiceTruncated)),
        normal => (normal, None),
    }
}

/// Normalizes the name of an operation: it starts with an ASCII letter, other characters than ASCII
/// letters, digits, `_` and `.` become `_`, runs of `_` become one, and none ends the name.
pub fn name<'a>(arena: &'a Bump, name: &'a str) -> (&'a str, Option<Fault>) {
    if name.is_empty() {
        return (UNNAMED_OPERATION, Some(Fault::NameEmpty));
    }
    let cut = truncate::at(name, NAME_MAX_BYTES);
    let Some(start) = cut.bytes().position(|byte| byte.is_ascii_alphabetic()) else {
        return (UNNAMED_OPERATION, Some(Fault::NameInvalid));
    };
    // What is skipped before an ASCII letter ends at a character's end.
    let rest = &cut[start..];
    let normal = if is_normal_name(rest.as_bytes()) {
        rest.strip_suffix('_').unwrap_or(rest)
    } else {
        rewrite_name(arena, rest)
    };
    (normal, (cut.len() < name.len()).then_some(Fault::NameTruncated))
}

fn unnamed_service<'a>(arena: &'a Bump, lang: &str) -> &'a str {
    if lang.is_empty() {
        return UNNAMED_SERVICE;
    }
    bumpalo::format!(in arena, "unnamed-{}-service", lang).into_bump_str()
}

/// What may start a tag: a letter or a colon. In a name, a letter or a digit.
const PLAIN: u8 = 1;
/// What may stand after that: in a tag a digit, `.`, `/` or `-`; in a name `.`.
const INNER: u8 = 2;
/// `_`: once in a row and not at the end.
const UNDERSCORE: u8 = 4;
/// What must be rewritten.
const OTHER: u8 = 8;

/// Class of each byte in a tag.
const TAG_CLASS: [u8; 256] = {
    let mut class = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b':' => PLAIN,
            b'0'..=b'9' | b'.' | b'/' | b'-' => INNER,
            b'_' => UNDERSCORE,
            _ => OTHER,
        };
        byte += 1;
    }
    class
};

/// Class of each byte in a name.
const NAME_CLASS: [u8; 256] = {
    let mut class = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => PLAIN,
            b'.' => INNER,
            b'_' => UNDERSCORE,
            _ => OTHER,
        };
        byte += 1;
    }
    class
};

fn is_normal_tag(tag: &[u8], letter_first: bool) -> bool {
    let Some(first) = tag.first() else { return true };
    if tag.len() > TAG_MAX_CHARS || (letter_first && TAG_CLASS[usize::from(*first)] != PLAIN) {
        return false;
    }
    // No way out of the loop: texts are short, and nearly all are normal.
    let mut wrong = 0;
    let mut last = 0;
    for byte in tag {
        let class = TAG_CLASS[usize::from(*byte)];
        wrong |= class & (OTHER | (last & UNDERSCORE));
        last = class;
    }
    wrong == 0 && last != UNDERSCORE
}

#[cold]
fn rewrite_tag<'a>(arena: &'a Bump, tag: &str, letter_first: bool) -> &'a str {
    // No character grows, and the last one read starts below TAG_MAX_BYTES.
    let mut out = ArenaString::with_capacity_in(tag.len().min(TAG_MAX_BYTES + 4), arena);
    let mut chars = 0;
    let mut owes_underscore = false;
    for (start, char) in tag.char_indices() {
        let char = lower(char);
        let stays = if char == ':' || is_letter(char) {
            true
        } else if letter_first && chars == 0 {
            // Left out without a trace, and not counted.
            if start + char.len_utf8() >= TAG_MAX_BYTES {
                break;
            }
            continue;
        } else {
            matches!(char, '.' | '/' | '-') || is_digit(char)
        };
        chars += 1;
        if stays {
            if std::mem::take(&mut owes_underscore) {
                out.push('_');
            }
            out.push(char);
        } else {
            owes_underscore = true;
        }
        if start + char.len_utf8() >= TAG_MAX_BYTES || chars >= TAG_MAX_CHARS {
            break;
        }
    }
    out.into_bump_str()
}

/// The lower-case form of a capital, unless it is of another width.
fn lower(char: char) -> char {
    if char.is_ascii() {
        return char.to_ascii_lowercase();
    }
    if !Categories::shared().is_upper(char) {
        return char;
    }
    let mut forms = char.to_lowercase();
    match (forms.next(), forms.next()) {
        (Some(lower), None) if lower.len_utf8() == char.len_utf8() => lower,
        _ => char,
    }
}

fn is_letter(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_alphabetic() } else { Categories::shared().is_letter(char) }
}

fn is_digit(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_digit() } else { Categories::shared().is_digit(char) }
}

/// `name` starts with a letter; it may still end with one `_`.
fn is_normal_name(name: &[u8]) -> bool {
    let mut wrong = 0;
    let mut last = 0;
    for byte in name {
        let class = NAME_CLASS[usize::from(*byte)];
        // After `_` neither another one nor a dot.
        let after_underscore = if last == UNDERSCORE { UNDERSCORE | INNER } else { 0 };
        wrong |= class & (OTHER | after_underscore);
        last = class;
    }
    wrong == 0
}

#[cold]
fn rewrite_name<'a>(arena: &'a Bump, name: &str) -> &'a str {
    let mut out = ArenaString::with_capacity_in(name.len(), arena);
    let mut last = '\0';
    for byte in name.bytes() {
        match (byte, last) {
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9', _) => last = char::from(byte),
            (b'.', '_') => {
                out.pop();
                last = '.';
            }
            (b'.', _) => last = '.',
            (_, '.' | '_') => continue,
            _ => last = '_',
        }
        out.push(last);
    }
    if last == '_' {
        out.pop();
    }
    out.into_bump_str()
}
