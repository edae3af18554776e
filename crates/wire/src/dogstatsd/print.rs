//! Messages to lines, in one canonical form: for tests, relays and fuzzers.

use std::io::Write as _;

use model::metric::{Alert, Event, Priority, ServiceCheck};

use super::{Message, Metric};

/// Appends `message` as one line, without a line feed. What was read from a line reads as `message` again, unless
/// bytes that had to be replaced made the line longer than any may be. Optional fields follow in the order of
/// the fact sheet, and only when they say something.
pub fn print(message: &Message<'_>, out: &mut Vec<u8>) {
    match message {
        Message::Metric(metric) => print_metric(metric, out),
        Message::Event(event) => print_event(event, out),
        Message::ServiceCheck(check) => print_check(check, out),
    }
}

fn print_metric(metric: &Metric<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(metric.name);
    out.push(b':');
    out.extend_from_slice(metric.values);
    field("", metric.metric_type.letters().as_bytes(), out);
    if metric.rate != 1.0 {
        field("@", b"", out);
        // Short, however small it is.
        if metric.rate < 1e-5 {
            number(format_args!("{:e}", metric.rate), out)
        } else {
            number(metric.rate, out)
        }
    }
    tags(metric.tags, out);
    if let Some(seconds) = metric.timestamp {
        field("T", b"", out);
        number(seconds, out);
    }
    for (name, content) in
        [("c:", metric.container_id), ("e:", metric.external_data), ("card:", metric.cardinality)]
    {
        if let Some(content) = content {
            field(name, content, out);
        }
    }
}

fn print_event(event: &Event<'_>, out: &mut Vec<u8>) {
    let (title, text) = (event.title.replace('\n', "\\n"), event.text.replace('\n', "\\n"));
    out.extend_from_slice(b"_e{");
    number(title.len(), out);
    out.push(b',');
    number(text.len(), out);
    out.extend_from_slice(b"}:");
    out.extend_from_slice(title.as_bytes());
    field("", text.as_bytes(), out);
    timestamp(event.timestamp, out);
    for (name, content) in [("h:", event.host), ("k:", event.aggregation_key)] {
        optional(name, content, out);
    }
    match event.priority {
        Priority::Normal => {}
        Priority::Low => field("p:", b"low", out),
    }
    optional("s:", event.source_type, out);
    match event.alert {
        Alert::Info => {}
        Alert::Warning => field("t:", b"warning", out),
        Alert::Error => field("t:", b"error", out),
        Alert::Success => field("t:", b"success", out),
    }
    tags(event.tags.as_bytes(), out);
}

fn print_check(check: &ServiceCheck<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"_sc");
    field("", check.name.as_bytes(), out);
    field("", b"", out);
    number(check.status, out);
    timestamp(check.timestamp, out);
    optional("h:", check.host, out);
    tags(check.tags.as_bytes(), out);
    optional("m:", Some(&*check.message).filter(|message| !message.is_empty()), out);
}

fn timestamp(seconds: Option<i64>, out: &mut Vec<u8>) {
    if let Some(seconds) = seconds {
        field("d:", b"", out);
        number(seconds, out);
    }
}

fn tags(tags: &[u8], out: &mut Vec<u8>) {
    if !tags.is_empty() {
        field("#", tags, out);
    }
}

fn optional(name: &str, content: Option<&str>, out: &mut Vec<u8>) {
    if let Some(content) = content {
        field(name, content.as_bytes(), out);
    }
}

fn field(name: &str, content: &[u8], out: &mut Vec<u8>) {
    out.push(b'|');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(content);
}

fn number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{number}").expect("a vector takes what is written");
}
