//! `http.url`: credentials always go; the query string and path segments with digits go when asked for
//! (`facts/trace-intake.md` §6).
//!
//! What may stand where in a URL, and how a path is written again, follows the reference's URL library, because its
//! output is what users group by. A URL that cannot be read becomes `?` when something was to be removed from it.

use crate::config::HttpConfig;

/// Writes the obfuscated URL into `out`, which is cleared first; `false` when the URL stays as it is.
pub(super) fn obfuscate(url: &str, config: HttpConfig, out: &mut String) -> bool {
    out.clear();
    if !config.remove_query_string && !config.remove_paths_with_digits {
        return remove_credentials(url, out);
    }
    if rewrite(url, config, out).is_none() {
        out.clear();
        out.push('?');
    }
    out != url
}

/// Nothing else is asked for: leaves every other byte alone.
fn remove_credentials(url: &str, out: &mut String) -> bool {
    let Some(slashes) = url.find("//") else { return false };
    let scheme = &url[..slashes];
    if !scheme.is_empty() && !scheme.strip_suffix(':').is_some_and(is_scheme) {
        return false;
    }
    let authority = &url[slashes + 2..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let Some(at) = authority.rfind('@') else { return false };
    out.push_str(&url[..slashes + 2]);
    out.push_str(&url[slashes + 2 + at + 1..]);
    true
}

fn rewrite(url: &str, config: HttpConfig, out: &mut String) -> Option<()> {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    if rest.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return None;
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (scheme, rest) = split_scheme(rest)?;
    if let Some(scheme) = scheme {
        out.push_str(scheme);
        out.make_ascii_lowercase();
        out.push(':');
    }
    let mut path = rest;
    if !rest.starts_with('/') {
        if scheme.is_some() {
            // `mailto:someone`: nothing in it is a path.
            out.push_str(rest);
            path = "";
        } else if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return None;
        }
    } else if (scheme.is_some() || !rest.starts_with("///")) && rest.starts_with("//") {
        let authority = &rest[2..];
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        push_authority(&authority[..end], out)?;
    }
    push_path(path, config.remove_paths_with_digits, out)?;
    if let Some(query) = query {
        out.push('?');
        if !config.remove_query_string {
            out.push_str(query);
        }
    }
    if !fragment.is_empty() {
        out.push('#');
        push_component(fragment, Component::Fragment, out)?;
    }
    Some(())
}

/// Splits `scheme:` off; `None` when the URL begins with the colon.
fn split_scheme(url: &str) -> Option<(Option<&str>, &str)> {
    match url.find(|c: char| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '+' | '-' | '.')) {
        Some(end) if url.as_bytes()[end] == b':' => match &url[..end] {
            "" => None,
            scheme if is_scheme(scheme) => Some((Some(scheme), &url[end + 1..])),
            _ => Some((None, url)),
        },
        _ => Some((None, url)),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn push_authority(authority: &str, out: &mut String) -> Option<()> {
    let host = match authority.rsplit_once('@') {
        Some((credentials, host)) => {
            let allowed = |c: char| {
                c.is_ascii_alphanumeric() || (c.is_ascii_punctuation() && !"\"#/<>?[\\]^`{|}".contains(c))
            };
            if !credentials.chars().all(allowed) || !has_whole_escapes(credentials) {
                return None;
            }
            host
        }
        None => authority,
    };
    let port = if host.starts_with('[') {
        &host[host.rfind(']')? + 1..]
    } else {
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let digits = match port.strip_prefix(':') {
        Some(digits) => digits,
        None if port.is_empty() => "",
        None => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !has_whole_escapes(host) {
        return None;
    }
    let name = &host[..host.len() - port.len()];
    if !name.starts_with('[') && name.contains(':') {
        return None;
    }
    out.push_str("//");
    for c in host.chars() {
        match c {
            ' ' | '#' | '/' | '?' | '\\' | '^' | '`' | '{' | '|' | '}' | '@' => return None,
            c if c.is_ascii() => out.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_escape(byte, out)),
        }
    }
    Some(())
}

/// The parts of a URL that are escaped, each with its own rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Component {
    Path,
    Fragment,
}

impl Component {
    /// Bytes that are never escaped when this part is written again.
    fn keeps(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@'
            )
            || (self == Self::Fragment && matches!(byte, b'?' | b'!' | b'(' | b')' | b'*'))
    }

    /// Bytes that are left as they are as long as all others may be, too.
    fn tolerates(self, byte: u8) -> bool {
        self.keeps(byte) || matches!(byte, b'!' | b'\'' | b'(' | b')' | b'*' | b'[' | b']' | b'%')
    }
}

fn push_path(path: &str, remove_digits: bool, out: &mut String) -> Option<()> {
    if !remove_digits || !has_whole_escapes(path) {
        return push_component(path, Component::Path, out);
    }
    // Digits count after decoding: the ones of an escape are none, and an escaped one is one.
    let decoded = decode(path);
    if !decoded.iter().any(u8::is_ascii_digit) {
        return push_component(path, Component::Path, out);
    }
    for (index, segment) in decoded.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        if segment.iter().any(u8::is_ascii_digit) {
            out.push('?');
        } else {
            push_bytes(segment, Component::Path, out);
        }
    }
    Some(())
}

/// Writes a part as it is where all its bytes may stand there, else decoded and escaped anew.
fn push_component(text: &str, component: Component, out: &mut String) -> Option<()> {
    if !has_whole_escapes(text) {
        return None;
    }
    if text.bytes().all(|byte| component.tolerates(byte)) {
        out.push_str(text);
    } else {
        push_bytes(&decode(text), component, out);
    }
    Some(())
}

fn push_bytes(bytes: &[u8], component: Component, out: &mut String) {
    for byte in bytes {
        if component.keeps(*byte) {
            out.push(char::from(*byte));
        } else {
            push_escape(*byte, out);
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| escape(after.as_bytes()).is_some())
}

/// The byte that the two hexadecimal digits at the start stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*digits.get(index)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        match escape(&bytes[index + 1..]) {
            Some(escaped) if byte == b'%' => {
                decoded.push(escaped);
                index += 3;
            }
            _ => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
