//! Logs for people at a terminal: below the spans they belong to, a short block of those without a trace, and counts at
//! the end. What a program writes scrolls past by itself, so all of this is short.

use super::forest::Row;
use super::text::{clean, count, duration, grouped, padded, shorten, truncate, unescaped, width};
use super::tree::{DIM, Line, RED, Tree, YELLOW};
use crate::gather::Group;
use crate::logs::{ByStatus, LogRecord, Logs};
use model::log::LogStatus;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;

/// Logs shown below one span, and of those without a span, the latest; the others are counted.
pub(crate) const PER_SPAN_SHOWN_MAX: usize = 8;
/// Logs shown of one part of a trace.
pub(crate) const PER_TRACE_SHOWN_MAX: usize = 60;
/// Lines shown of one log below a span.
pub(crate) const LINES_PER_LOG_MAX: usize = 6;
/// Columns that the second and later lines of a log keep of their own indent.
const INDENT_MAX: usize = 8;
/// Columns of a time at most: a day in hundredths of a second.
const TIME_WIDTH_MAX: usize = 11;
/// Columns of a source at most.
const SOURCE_WIDTH_MAX: usize = 16;
/// Services listed at the end.
const SERVICES_SHOWN_MAX: usize = 10;
/// Columns of a service at most.
const SERVICE_WIDTH_MAX: usize = 34;

/// The logs of one part of a trace while its rows are drawn.
pub(crate) struct OfTrace<'a> {
    by_span: HashMap<usize, Vec<&'a LogRecord>>,
    /// Those of no span that is there.
    others: Vec<&'a LogRecord>,
    /// How many may still be shown.
    left: usize,
    /// Counted instead of shown.
    hidden: usize,
}

impl<'a> OfTrace<'a> {
    pub(crate) fn of(group: &Group<'a>) -> Self {
        let mut logs =
            Self { by_span: HashMap::new(), others: Vec::new(), left: PER_TRACE_SHOWN_MAX, hidden: 0 };
        if group.logs.is_empty() {
            return logs;
        }
        let mut places = HashMap::with_capacity(group.spans.len());
        for (index, span) in group.spans.iter().enumerate() {
            places.entry(span.span_id).or_insert(index);
        }
        for log in in_time_order(group.logs.iter()) {
            match places.get(&log.span_id) {
                Some(index) => logs.by_span.entry(*index).or_default().push(log),
                None => logs.others.push(log),
            }
        }
        logs
    }

    /// Draws the logs of a span below it; times are since its start.
    pub(crate) fn of_span(
        &mut self,
        tree: &mut Tree,
        group: &Group<'_>,
        row: &Row,
        index: usize,
        lines: &mut String,
    ) {
        if let Some(logs) = self.by_span.remove(&index) {
            let span = &group.spans[index];
            self.draw(tree, &logs, &row.below, span.start, &clean(&span.service), lines);
        }
    }

    /// Draws those of no span that was drawn; times are since the start of the trace.
    pub(crate) fn rest(mut self, tree: &mut Tree, start: i64, lines: &mut String) {
        let mut logs = std::mem::take(&mut self.others);
        logs.extend(std::mem::take(&mut self.by_span).into_values().flatten());
        self.draw(tree, &in_time_order(logs.into_iter()), "", start, "", lines);
        if self.hidden > 0 {
            let text = format!("… {} of this trace not shown", count(self.hidden as u64, "more log"));
            lines.push_str(&format!("{}\n", tree.paint.with(DIM, &text)));
        }
    }

    fn draw(
        &mut self,
        tree: &mut Tree,
        logs: &[&LogRecord],
        guides: &str,
        start: i64,
        service: &str,
        out: &mut String,
    ) {
        let shown = logs.len().min(PER_SPAN_SHOWN_MAX).min(self.left);
        self.left -= shown;
        let before = logs.len() - shown;
        if shown == 0 {
            self.hidden += before;
            return;
        }
        if before > 0 {
            let mut line = Line::new(tree.width());
            let text = format!("{guides}… {} before these", count(before as u64, "more log"));
            line.add(&tree.paint, DIM, &text);
            out.push_str(&line.end());
        }
        for log in &logs[before..] {
            below(tree, log, guides, start, service, out);
        }
    }
}

/// One log below a span, with the lines of its message.
fn below(tree: &mut Tree, log: &LogRecord, guides: &str, start: i64, service: &str, out: &mut String) {
    let total = tree.width();
    let (letter, code) = mark(log.level());
    let mut line = Line::new(total);
    line.add(&tree.paint, DIM, guides);
    line.add(&tree.paint, code, letter);
    line.add(&tree.paint, "", " ");
    if let Some(time) = log.timestamp_ms {
        line.add(&tree.paint, DIM, &format!("{}  ", since(time, start)));
    }
    let own = clean(&log.service);
    let named = if own.is_empty() && service.is_empty() { clean(&log.source) } else { own };
    if !named.is_empty() && named != service {
        let colour = tree.paint.service(&named);
        let room = line.room() / 3;
        line.add(&tree.paint, &colour, &shorten(&named, room));
        line.add(&tree.paint, DIM, " · ");
    }
    let mut texts = message(log);
    let first = texts.next().map(|text| clean(&text)).unwrap_or_default();
    let room = line.room();
    line.add(&tree.paint, code, &truncate(&first, room));
    out.push_str(&line.end());
    let mut continued = |text: &str| {
        let mut line = Line::new(total);
        line.add(&tree.paint, DIM, &format!("{guides}  "));
        let room = line.room();
        line.add(&tree.paint, if code.is_empty() { DIM } else { code }, &truncate(text, room));
        out.push_str(&line.end());
    };
    let mut more = texts.by_ref().take(LINES_PER_LOG_MAX - 1);
    for text in more.by_ref() {
        let indent = text.chars().take_while(|character| character.is_whitespace());
        let columns: usize = indent.map(|character| if character == '\t' { 4 } else { 1 }).sum();
        continued(&format!("{}{}", " ".repeat(columns.min(INDENT_MAX)), clean(&text)));
    }
    let rest = texts.count();
    if rest > 0 {
        continued(&format!("… {}", count(rest as u64, "more line")));
    }
}

/// The logs that came and have no trace that could show them; nothing when none did.
pub(crate) fn block(tree: &mut Tree, logs: &Logs) -> String {
    let fresh: u64 = logs.fresh.iter().sum();
    if fresh == 0 {
        return String::new();
    }
    let total = tree.width();
    let header = format!("logs  {}", by_status(&logs.fresh));
    let mut block = format!("\n{}\n", tree.paint.with(DIM, &truncate(&header, total)));
    if let Some(before) = fresh.checked_sub(logs.latest.len() as u64).filter(|before| *before > 0) {
        let text = format!("… {} before these", count(before, "more log"));
        block.push_str(&format!("{}\n", tree.paint.with(DIM, &text)));
    }
    let latest = in_time_order(logs.latest.iter());
    let times: Vec<_> = latest
        .iter()
        .map(|log| {
            log.timestamp_ms.map(|time| tree.offset(time.saturating_mul(1_000_000))).unwrap_or_default()
        })
        .collect();
    let named = |log: &LogRecord| clean(if log.source.is_empty() { &log.service } else { &log.source });
    let names: Vec<_> = latest.iter().map(|log| named(log)).collect();
    let times_width = times.iter().map(String::len).max().unwrap_or(0).min(TIME_WIDTH_MAX);
    let names_width = names.iter().map(|name| width(name)).max().unwrap_or(0).min(SOURCE_WIDTH_MAX);
    for ((log, time), name) in latest.iter().zip(&times).zip(&names) {
        let (letter, code) = mark(log.level());
        let mut line = Line::new(total);
        line.add(&tree.paint, code, letter);
        if times_width > 0 {
            let time = truncate(time, times_width);
            line.add(&tree.paint, DIM, &format!(" {time:>times_width$}"));
        }
        if names_width > 0 {
            line.add(&tree.paint, DIM, &format!("  {}", padded(name, names_width)));
        }
        let mut texts = message(log);
        let first = texts.next().map(|text| clean(&text)).unwrap_or_default();
        let more = texts.count();
        let more =
            if more > 0 { format!("  … {}", count(more as u64, "more line")) } else { String::new() };
        let room = line.room().saturating_sub(2 + width(&more));
        line.add(&tree.paint, code, &format!("  {}", truncate(&first, room)));
        let room = line.room();
        line.add(&tree.paint, DIM, &truncate(&more, room));
        block.push_str(&line.end());
    }
    block
}

/// All logs of the session by status and service, in `total` columns; nothing when there were none.
pub(crate) fn table(tree: &mut Tree, logs: &Logs, total: usize) -> String {
    if logs.received == 0 {
        return String::new();
    }
    let header = format!("logs  {}", by_status(&logs.by_status));
    let mut table = format!("{}\n", tree.paint.with(DIM, &truncate(&header, total)));
    let sum = |counts: &ByStatus| counts.iter().sum::<u64>();
    let mut services: Vec<_> = logs.by_service.iter().collect();
    // The sort is stable: those with as many stay in the order of their names.
    model::order::sort_by(&mut services, |(_, a), (_, b)| sum(b).cmp(&sum(a)));
    let shown: Vec<_> = services
        .iter()
        .take(SERVICES_SHOWN_MAX)
        .map(|(service, counts)| {
            let name = clean(service);
            (if name.is_empty() { "(no service)".to_owned() } else { name }, **counts)
        })
        .collect();
    let widest =
        shown.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(SERVICE_WIDTH_MAX.min(total / 3));
    for (name, counts) in &shown {
        let mut line = Line::new(total);
        let colour = tree.paint.service(name);
        line.add(&tree.paint, &colour, &padded(name, widest));
        line.add(&tree.paint, "", &format!("  {:>8}  ", grouped(sum(counts))));
        let room = line.room();
        let code =
            if counts[..=LogStatus::Error as usize].iter().any(|count| *count > 0) { RED } else { DIM };
        line.add(&tree.paint, code, &truncate(&by_status(counts), room));
        table.push_str(&line.end());
    }
    let others: u64 = services.iter().skip(SERVICES_SHOWN_MAX).map(|(_, counts)| sum(counts)).sum::<u64>()
        + sum(&logs.other_services);
    let mut note = |text: &str| {
        table.push_str(&format!("{}\n", tree.paint.with(DIM, &truncate(text, total))));
    };
    if others > 0 {
        note(&format!("… and {} of other services", count(others, "log")));
    }
    if logs.unkept > 0 {
        note(&format!("… {} of traces that had not come, not kept", count(logs.unkept, "log")));
    }
    table
}

/// How many of each status, the worst first: `3 error, 12 info`.
fn by_status(counts: &ByStatus) -> String {
    let counts = LogStatus::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    counts
        .map(|(status, count)| format!("{} {}", grouped(*count), status.name()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The letter of a status, and its style.
fn mark(status: LogStatus) -> (&'static str, &'static str) {
    match status {
        // For `fatal`, as most call it.
        LogStatus::Emergency => ("F", RED),
        LogStatus::Alert => ("A", RED),
        LogStatus::Critical => ("C", RED),
        LogStatus::Error => ("E", RED),
        LogStatus::Warn => ("W", YELLOW),
        LogStatus::Notice => ("N", ""),
        LogStatus::Info => ("I", ""),
        LogStatus::Debug => ("D", DIM),
    }
}

/// The lines of a message that are not blank, without what colours them. Of one that is a JSON object, its text.
fn message(log: &LogRecord) -> impl Iterator<Item = String> {
    let text = said(&log.message).unwrap_or(Cow::Borrowed(&log.message));
    let lines = text.lines().map(unescaped).filter(|line| !line.trim().is_empty());
    // No view shows more than a few of them; the others are counted.
    lines.collect::<Vec<_>>().into_iter()
}

/// The text of a message that is a JSON object, by the names that loggers give it.
fn said(message: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Members<'a> {
        #[serde(default, borrow)]
        message: Option<Cow<'a, str>>,
        #[serde(default, borrow)]
        msg: Option<Cow<'a, str>>,
        #[serde(default, borrow)]
        event: Option<Cow<'a, str>>,
    }
    let object = message.trim_start().starts_with('{').then_some(message)?;
    let Members { message, msg, event } = serde_json::from_str(object).ok()?;
    [message, msg, event].into_iter().flatten().find(|text| !text.trim().is_empty())
}

/// By time; one that does not say its own has that of the one before it.
fn in_time_order<'a>(logs: impl Iterator<Item = &'a LogRecord>) -> Vec<&'a LogRecord> {
    let mut last = i64::MIN;
    let timed = logs.map(|log| {
        last = log.timestamp_ms.unwrap_or(last);
        (last, log)
    });
    let mut logs: Vec<_> = timed.collect();
    model::order::sort_by(&mut logs, |(a, _), (b, _)| a.cmp(b));
    logs.into_iter().map(|(_, log)| log).collect()
}

/// Time of a log since a start in nanoseconds. Logs have whole milliseconds, so nothing finer is told.
fn since(time_ms: i64, start: i64) -> String {
    let milliseconds = time_ms.saturating_sub(start.div_euclid(1_000_000));
    let sign = if milliseconds < 0 { '-' } else { '+' };
    match milliseconds.unsigned_abs() {
        size @ 0..1_000 => format!("{sign}{size} ms"),
        size => {
            let nanoseconds = i64::try_from(size).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            format!("{sign}{}", duration(nanoseconds).trim_end())
        }
    }
}
