//! Bodies of `/v1/input`: logs that a program sends as JSON, in the form that the intake takes.

use std::fmt;

use model::limits::LOG_MAX_BYTES;
use model::log::{LogStatus, TRUNCATED};

use super::lift::{Lifted, Lifting};
use super::scan::{Kind, Scan, Value};
use crate::error::DecodeError;
use crate::intake::escape;
use crate::intake::logs::{TAGS, member};

/// Members that [`Entry::encode`] writes at places of their own.
const OWN: [&[u8]; 7] =
    [b"message", b"status", b"timestamp", b"hostname", b"service", b"ddsource", b"ddtags"];

/// One log as it was sent: a JSON object with a `message`, and maybe `status`, `timestamp`, `hostname`, `service`,
/// `ddsource`, `ddtags` and any other members.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The object.
    raw: &'a [u8],
    message: Value<'a>,
    /// Bytes of the message to keep, where it is too long.
    cut: Option<usize>,
    /// As sent, by their place in [`OWN`] without the message; none where empty or null.
    own: [Option<Value<'a>>; 6],
    /// A `host`, which the intake takes as well.
    has_host: bool,
    lifted: Lifted<'a>,
}

/// Why one entry of a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// It is not JSON, or nests too deep.
    Malformed,
    /// It is JSON and no object.
    NotAnObject,
    /// It has no message.
    NoMessage,
    /// This member is not of a type the intake takes.
    WrongType(&'static str),
    /// It is longer than [`LOG_MAX_BYTES`] without its message.
    TooLarge,
}

/// What is written for members that an entry lacks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults<'a> {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Host; empty for none.
    pub hostname: &'a str,
    /// Service; empty for none.
    pub service: &'a str,
    /// What wrote it; empty for none.
    pub source: &'a str,
}

/// Reads a body, an array of entries or one entry, and gives each entry to `each`, in order. A wrong entry costs itself
/// only (losses.md L65).
///
/// # Errors
/// Where the body is no array or object, or its brackets do not match. Then `each` was not called.
pub fn input<'a>(
    body: &'a [u8],
    mut each: impl FnMut(Result<Entry<'a>, EntryError>),
) -> Result<(), DecodeError> {
    // Once to see that the body ends where it says, then for its entries.
    let mut scan = Scan::new(body);
    walk(&mut scan, &mut |_| ())?;
    if scan.peek().is_some() {
        return Err(DecodeError::malformed(scan.at, "the end of the body"));
    }
    walk(&mut Scan::new(body), &mut |raw| each(entry(raw)))
}

/// Gives what stands between the commas of an array, or the one object, to `each`.
fn walk<'a>(scan: &mut Scan<'a>, each: &mut dyn FnMut(&'a [u8])) -> Result<(), DecodeError> {
    const WHAT: &str = "an array of logs, or a log, as JSON";
    match scan.peek() {
        Some(b'[') => scan.at += 1,
        Some(b'{') => {
            let start = scan.at;
            scan.at += 1;
            // Members, separated by commas.
            while scan.pass_over() {
                scan.at += 1;
                if scan.body[scan.at - 1] == b'}' {
                    each(&scan.body[start..scan.at]);
                    return Ok(());
                }
            }
            return Err(DecodeError::eof(scan.at, "the end of a log as JSON"));
        }
        Some(_) => return Err(DecodeError::malformed(scan.at, WHAT)),
        None => return Err(DecodeError::eof(scan.at, WHAT)),
    }
    if scan.eat(b']').is_some() {
        return Ok(());
    }
    loop {
        let start = scan.at;
        if !scan.pass_over() {
            return Err(DecodeError::eof(scan.at, "`,` or `]`"));
        }
        each(&scan.body[start..scan.at]);
        scan.at += 1;
        match scan.body[scan.at - 1] {
            b',' => {}
            b']' => return Ok(()),
            _ => return Err(DecodeError::malformed(scan.at - 1, "`,` or `]`")),
        }
    }
}

fn entry(raw: &[u8]) -> Result<Entry<'_>, EntryError> {
    let raw = raw.trim_ascii();
    let mut scan = Scan::new(raw);
    if scan.peek() != Some(b'{') {
        let is_json = scan.value().is_some() && scan.peek().is_none();
        return Err(if is_json { EntryError::NotAnObject } else { EntryError::Malformed });
    }
    let (mut message, mut own, mut has_host) = (None, [None; 6], false);
    let mut lifting = Lifting::default();
    let whole = scan.members(&mut |name, value| {
        let said = (value.kind != Kind::Null && value.raw != b"\"\"").then_some(value);
        match OWN.iter().position(|own| *own == name) {
            Some(0) => message = Some(value).filter(|value| value.kind != Kind::Null),
            Some(place) => own[place - 1] = said,
            None => has_host |= name == b"host" && said.is_some(),
        }
        lifting.member(name, value);
    });
    if whole.is_none() || scan.peek().is_some() {
        return Err(EntryError::Malformed);
    }
    let message = message.ok_or(EntryError::NoMessage)?;
    for (value, name) in own.iter().zip(["status", "timestamp", "hostname", "service", "ddsource", "ddtags"])
    {
        let Some(value) = value else { continue };
        let number_too = matches!(name, "status" | "timestamp");
        if value.kind != Kind::Text && !(number_too && value.kind == Kind::Number) {
            return Err(EntryError::WrongType(name));
        }
    }
    let cut = match raw.len().checked_sub(LOG_MAX_BYTES) {
        None | Some(0) => None,
        Some(over) => {
            let text = message.text().ok_or(EntryError::TooLarge)?;
            let keep = text.len().checked_sub(over + TRUNCATED.len()).ok_or(EntryError::TooLarge)?;
            Some(escape::boundary(text, keep))
        }
    };
    Ok(Entry { raw, message, cut, own, has_host, lifted: lifting.lifted })
}

impl Entry<'_> {
    /// Whether its message is cut, since it was longer than [`LOG_MAX_BYTES`] with everything else.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.cut.is_some()
    }

    /// Appends the log as [`crate::intake::logs::encode`] does, open, with its members as they were sent. A log without
    /// `status`, `timestamp` or `service` that says them by other names the intake knows gets those, else the default.
    /// What is not UTF-8, or half of a surrogate pair, becomes U+FFFD: one such log would have the intake refuse all
    /// that are sent with it.
    pub fn encode(&self, defaults: &Defaults<'_>, out: &mut Vec<u8>) {
        let [status, timestamp, hostname, service, source, tags] = &self.own;
        out.extend_from_slice(b"{\"message\":");
        match (self.cut, self.message.text()) {
            (Some(cut), Some(text)) => {
                out.push(b'"');
                escape::repaired(&text[..cut], out);
                out.extend_from_slice(TRUNCATED.as_bytes());
                out.push(b'"');
            }
            _ => escape::repaired(self.message.raw, out),
        }
        if !sent(b",\"status\":", status, out) {
            member(b",\"status\":\"", self.lifted.status.unwrap_or(LogStatus::Info).name(), out);
        }
        if !sent(b",\"timestamp\":", timestamp, out) {
            out.extend_from_slice(b",\"timestamp\":");
            let time = self.lifted.timestamp_ms.unwrap_or(defaults.now_ms);
            crate::intake::json::write(&time, out);
        }
        if !sent(b",\"hostname\":", hostname, out) && !self.has_host {
            member(b",\"hostname\":\"", defaults.hostname, out);
        }
        if !sent(b",\"service\":", service, out) {
            member(b",\"service\":\"", self.lifted.service.as_deref().unwrap_or(defaults.service), out);
        }
        if !sent(b",\"ddsource\":", source, out) {
            member(b",\"ddsource\":\"", defaults.source, out);
        }
        // It was read before, so it is an object.
        Scan::new(self.raw).members(&mut |name, value| {
            if !OWN.contains(&name) {
                out.extend_from_slice(b",\"");
                escape::repaired(name, out);
                out.extend_from_slice(b"\":");
                escape::repaired(value.raw, out);
            }
        });
        out.extend_from_slice(TAGS);
        escape::repaired(tags.and_then(|tags| tags.text()).unwrap_or_default(), out);
    }
}

/// Appends a member as it was sent.
fn sent(name: &[u8], value: &Option<Value<'_>>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.extend_from_slice(name);
    escape::repaired(value.raw, out);
    true
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the log is not valid JSON"),
            Self::NotAnObject => f.write_str("the log is not a JSON object"),
            Self::NoMessage => f.write_str("the log has no message"),
            Self::WrongType(member) => write!(f, "`{member}` of the log is not text"),
            Self::TooLarge => write!(f, "the log is longer than {LOG_MAX_BYTES} bytes without its message"),
        }
    }
}

impl std::error::Error for EntryError {}
