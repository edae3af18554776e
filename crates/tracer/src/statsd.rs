//! DogStatsD lines, for samples, events and service checks (`facts/dogstatsd.md` §2).
//!
//! Each function appends one line, with its line feed, to a buffer; lines may follow each other in one payload.
//! Whatever name, tag or text is given, what is appended reads as exactly the one message it was made for: what would
//! end a field or a line is written as `_`, and what cannot be said is refused and appends nothing.

use std::io::Write as _;

/// Most bytes of a line with its line feed: what fits into a datagram (`facts/dogstatsd.md` §1).
pub const LINE_MAX_BYTES: usize = 8_192;
/// Most bytes of a metric's or a service check's name; the backend takes no longer one.
pub const NAME_MAX_BYTES: usize = 200;
/// Most bytes of an event's title; the rest is cut.
pub const TITLE_MAX_BYTES: usize = 500;
/// Most bytes of an event's text or a service check's message; the rest is cut.
pub const MESSAGE_MAX_BYTES: usize = 4_000;

/// Tags: name and value; an empty value stands for none.
pub type Tags<'a> = &'a [(&'a [u8], &'a [u8])];

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `c`: values are added.
    Count,
    /// `g`: the last value counts.
    Gauge,
    /// `h`: the agent computes percentiles.
    Histogram,
    /// `d`: the backend computes percentiles.
    Distribution,
    /// `ms`: a histogram of milliseconds.
    Timing,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name is empty, or reads as the begin of an event or of a service check.
    Name,
    /// The value is not finite, or a set's member is empty.
    Value,
    /// The rate is not above 0 and at most 1, or the status is not 0 to 3.
    Range,
    /// The name is longer than [`NAME_MAX_BYTES`], or the line than [`LINE_MAX_BYTES`].
    TooLong,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "the name is empty or begins with _e{ or _sc",
            Self::Value => "the value is not a finite number, or empty",
            Self::Range => "the rate is not above 0 and at most 1, or the status not 0 to 3",
            Self::TooLong => "the name or the line is too long",
        })
    }
}

impl std::error::Error for Refused {}

/// Appends a sample. `rate` is the share of samples that are sent: above 0, at most 1; a gauge has none.
///
/// # Errors
/// As [`Refused`] says; `out` is as it was.
pub fn metric_line(
    out: &mut Vec<u8>,
    kind: Kind,
    name: &[u8],
    value: f64,
    tags: Tags<'_>,
    rate: f64,
) -> Result<(), Refused> {
    if !value.is_finite() {
        return Err(Refused::Value);
    }
    let letters = match kind {
        Kind::Count => "c",
        Kind::Gauge => "g",
        Kind::Histogram => "h",
        Kind::Distribution => "d",
        Kind::Timing => "ms",
    };
    sample(out, letters, name, tags, rate, |out| {
        // Digits as far as they are short, for all that reads whole and decimal numbers only.
        let size = value.abs();
        let is_plain = size == 0.0 || (1e-6..1e17).contains(&size);
        let written = if is_plain { write!(out, "{value}") } else { write!(out, "{value:e}") };
        written.expect("a buffer takes all");
    })
}

/// Appends a member of a set; the same member again is counted once.
///
/// # Errors
/// As [`Refused`] says; `out` is as it was.
pub fn set_line(out: &mut Vec<u8>, name: &[u8], member: &[u8], tags: Tags<'_>) -> Result<(), Refused> {
    if member.is_empty() {
        return Err(Refused::Value);
    }
    sample(out, "s", name, tags, 1.0, |out| field(out, member, b""))
}

fn sample(
    out: &mut Vec<u8>,
    letters: &str,
    name: &[u8],
    tags: Tags<'_>,
    rate: f64,
    value: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Refused> {
    if name.is_empty() || name.starts_with(b"_e{") || name.starts_with(b"_sc") {
        return Err(Refused::Name);
    }
    if !(rate > 0.0 && rate <= 1.0) {
        return Err(Refused::Range);
    }
    line(out, name, |out| {
        field(out, name, b":");
        out.push(b':');
        value(out);
        out.push(b'|');
        out.extend_from_slice(letters.as_bytes());
        if rate < 1.0 && letters != "g" {
            write!(out, "|@{rate}").expect("a buffer takes all");
        }
        write_tags(out, tags);
    })
}

/// How much attention an event asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alert {
    /// None.
    #[default]
    Info,
    /// Some.
    Warning,
    /// Something failed.
    Error,
    /// Something went well.
    Success,
}

/// Something that happened. What is empty is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Title; never empty.
    pub title: &'a [u8],
    /// Text, possibly of several lines.
    pub text: &'a [u8],
    /// Seconds since 1970; `None`: when it arrives.
    pub timestamp: Option<u64>,
    /// Host it happened on.
    pub host: &'a [u8],
    /// Events with the same key are shown as one.
    pub aggregation_key: &'a [u8],
    /// What it comes from.
    pub source_type: &'a [u8],
    /// How much attention it asks for.
    pub alert: Alert,
    /// Whether its priority is low.
    pub is_low_priority: bool,
    /// Its tags.
    pub tags: Tags<'a>,
}

/// Appends an event. Line ends within title and text are kept; what is longer than [`TITLE_MAX_BYTES`] and
/// [`MESSAGE_MAX_BYTES`] is cut.
///
/// # Errors
/// As [`Refused`] says; `out` is as it was.
pub fn event_line(out: &mut Vec<u8>, event: &Event<'_>) -> Result<(), Refused> {
    let title = text(event.title, TITLE_MAX_BYTES);
    if title.is_empty() {
        return Err(Refused::Name);
    }
    let body = text(event.text, MESSAGE_MAX_BYTES);
    line(out, b"", |out| {
        write!(out, "_e{{{},{}}}:{title}|{body}", title.len(), body.len()).expect("a buffer takes all");
        if let Some(seconds) = event.timestamp {
            write!(out, "|d:{}", seconds.min(i64::MAX as u64)).expect("a buffer takes all");
        }
        optional(out, b"|h:", event.host);
        optional(out, b"|k:", event.aggregation_key);
        if event.is_low_priority {
            out.extend_from_slice(b"|p:low");
        }
        optional(out, b"|s:", event.source_type);
        out.extend_from_slice(match event.alert {
            Alert::Info => b"".as_slice(),
            Alert::Warning => b"|t:warning",
            Alert::Error => b"|t:error",
            Alert::Success => b"|t:success",
        });
        write_tags(out, event.tags);
    })
}

/// The state of something. What is empty is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCheck<'a> {
    /// Its name; never empty.
    pub name: &'a [u8],
    /// 0 is well, 1 a warning, 2 critical, 3 unknown.
    pub status: u8,
    /// Seconds since 1970; `None`: when it arrives.
    pub timestamp: Option<u64>,
    /// Host it is about.
    pub host: &'a [u8],
    /// Its tags.
    pub tags: Tags<'a>,
    /// What is the matter.
    pub message: &'a [u8],
}

/// Appends a service check. Of its message, line ends are written as `\n` and what is longer than
/// [`MESSAGE_MAX_BYTES`] is cut.
///
/// # Errors
/// As [`Refused`] says; `out` is as it was.
pub fn service_check_line(out: &mut Vec<u8>, check: &ServiceCheck<'_>) -> Result<(), Refused> {
    if check.name.is_empty() {
        return Err(Refused::Name);
    }
    if check.status > 3 {
        return Err(Refused::Range);
    }
    let message = text(check.message, MESSAGE_MAX_BYTES);
    line(out, check.name, |out| {
        out.extend_from_slice(b"_sc|");
        field(out, check.name, b"");
        write!(out, "|{}", check.status).expect("a buffer takes all");
        if let Some(seconds) = check.timestamp {
            write!(out, "|d:{}", seconds.min(i64::MAX as u64)).expect("a buffer takes all");
        }
        optional(out, b"|h:", check.host);
        write_tags(out, check.tags);
        // Last, as readers expect it.
        optional(out, b"|m:", message.as_bytes());
    })
}

/// Writes a line, or nothing when it gets too long.
fn line(out: &mut Vec<u8>, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Refused> {
    if name.len() > NAME_MAX_BYTES {
        return Err(Refused::TooLong);
    }
    let begin = out.len();
    write(out);
    out.push(b'\n');
    if out.len() - begin > LINE_MAX_BYTES {
        out.truncate(begin);
        return Err(Refused::TooLong);
    }
    Ok(())
}

fn optional(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !value.is_empty() {
        out.extend_from_slice(name);
        field(out, value, b"");
    }
}

fn write_tags(out: &mut Vec<u8>, tags: Tags<'_>) {
    let mut before = b"|#".as_slice();
    for (name, value) in tags.iter().filter(|(name, _)| !name.is_empty()) {
        out.extend_from_slice(before);
        before = b",";
        field(out, name, b",");
        if !value.is_empty() {
            out.push(b':');
            field(out, value, b",");
        }
    }
}

/// Writes `text`, whose `|`, control characters and `also` become `_`, and what is not UTF-8 U+FFFD.
fn field(out: &mut Vec<u8>, text: &[u8], also: &[u8]) {
    let begin = out.len();
    match std::str::from_utf8(text) {
        Ok(_) => out.extend_from_slice(text),
        Err(_) => out.extend_from_slice(String::from_utf8_lossy(text).as_bytes()),
    }
    for byte in &mut out[begin..] {
        if byte.is_ascii_control() || *byte == b'|' || also.contains(byte) {
            *byte = b'_';
        }
    }
}

/// `text` on one line, its ends as a backslash and an `n`, cut to `max_bytes`.
fn text(text: &[u8], max_bytes: usize) -> String {
    // What is far behind the cut is not looked at.
    let looked_at = &text[..text.len().min(max_bytes + 4)];
    let mut text =
        String::from_utf8_lossy(looked_at).replace("\r\n", "\\n").replace('\n', "\\n").replace('\r', " ");
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}
