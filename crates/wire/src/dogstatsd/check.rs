//! Service checks: `_sc|<name>|<status>` and optional fields (`facts/dogstatsd.md` §2.3).

use model::metric::ServiceCheck;

use super::LineError;
use super::event::{set, set_tags};
use super::metric::field;
use super::number::integer;

/// How a service check begins.
pub(super) const PREFIX: &[u8] = b"_sc";

/// Reads a service check. What is not UTF-8 is replaced in the message, makes another optional field be passed
/// over, as a value that makes no sense does, and is refused in the name.
pub(super) fn parse(line: &[u8]) -> Result<ServiceCheck<'_>, LineError> {
    let rest = line
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix(b"|"))
        .ok_or(LineError::BadServiceCheck)?;
    let (name, rest) = field(rest);
    let name = std::str::from_utf8(name).map_err(|_| LineError::BadServiceCheck)?;
    let (status, mut rest) = field(rest.ok_or(LineError::BadServiceCheck)?);
    let status = match status {
        [digit @ b'0'..=b'3'] => digit - b'0',
        _ => return Err(LineError::BadServiceCheck),
    };
    if name.is_empty() {
        return Err(LineError::BadServiceCheck);
    }
    let mut check = ServiceCheck { name, status, ..ServiceCheck::default() };
    while let Some(fields) = rest {
        let (content, next) = field(fields);
        optional(&mut check, content);
        rest = next;
    }
    Ok(check)
}

fn optional<'a>(check: &mut ServiceCheck<'a>, field: &'a [u8]) {
    match field {
        [b'd', b':', seconds @ ..] => check.timestamp = integer(seconds).or(check.timestamp),
        [b'h', b':', host @ ..] => set(&mut check.host, host),
        [b'm', b':', message @ ..] => check.message = String::from_utf8_lossy(message),
        [b'#', tags @ ..] => set_tags(&mut check.tags, tags),
        _ => {}
    }
}
