//! Traces as trees for people at a terminal.

use super::forest::{self, Row, What};
use super::text::{self, clean, count, duration, shorten, trace_id, truncate, width};
use super::{Closing, View, logs, metrics, summary};
use crate::gather::Group;
use crate::logs::{LogRecord, Logs};
use crate::metric::{Check, Context, Event, Sketch};
use crate::record::{EventRecord, LinkRecord, SpanRecord};
use crate::store::Store;
use crate::tally::Tally;
use model::stats::StatsPayload;
use std::collections::HashMap;

/// Columns of the tree when nothing is known of the terminal.
pub const WIDTH_DEFAULT: usize = 100;
/// Columns below which a tree cannot be read; a narrower terminal wraps.
const WIDTH_MIN: usize = 50;
/// Columns beyond which the eye loses the line.
const WIDTH_MAX: usize = 150;
/// Columns from which there is room for time-line bars.
pub(crate) const BAR_FROM_WIDTH: usize = 90;
/// Columns from which there is room for span types.
pub(crate) const TYPE_FROM_WIDTH: usize = 70;
/// Columns of a span type.
const TYPE_WIDTH: usize = 8;
/// Columns of a duration: `12m 59s`.
const DURATION_WIDTH: usize = 7;
/// Links, and events, shown of one span.
const ENTRIES_SHOWN_MAX: usize = 4;
/// Tags shown of one link or event.
const ATTRIBUTES_SHOWN_MAX: usize = 3;
/// Services that get a colour of their own.
const SERVICES_COLOURED_MAX: usize = 1_000;

/// Colours of services, of the 256 of a terminal: readable on dark and light, none of them red.
const SERVICE_COLOURS: [u8; 10] = [39, 78, 214, 171, 44, 208, 111, 149, 177, 30];

pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
const BOLD_RED: &str = "1;31";
pub(crate) const GREEN: &str = "32";
pub(crate) const YELLOW: &str = "33";

/// Shows each trace as a tree with its logs, what each flush of metrics changed, other logs, and a summary at the end.
pub struct Tree {
    columns: Box<dyn Fn() -> usize + Send>,
    pub(crate) paint: Paint,
    /// Start of the first trace or log shown, nanoseconds since the Unix epoch.
    origin: Option<i64>,
    /// The terminal shows no more than ASCII.
    ascii: bool,
}

/// Widths of the columns of one trace, and the time its bars stand for.
struct Layout {
    text: usize,
    kind: bool,
    bar: usize,
    start: i64,
    length: f64,
}

impl Tree {
    /// A view for a terminal of `columns` columns (asked for each trace, so that it may be resized),
    /// with or without colours.
    pub fn new(columns: impl Fn() -> usize + Send + 'static, colours: bool) -> Self {
        Self {
            columns: Box::new(columns),
            paint: Paint { on: colours, services: HashMap::new() },
            origin: None,
            ascii: false,
        }
    }

    /// The same view for a terminal that shows no more than ASCII.
    #[must_use]
    pub fn ascii(mut self, ascii: bool) -> Self {
        self.ascii = ascii;
        self
    }

    fn ready(&self, text: String) -> String {
        if self.ascii { text::ascii(&text) } else { text }
    }

    pub(crate) fn width(&self) -> usize {
        (self.columns)().clamp(WIDTH_MIN, WIDTH_MAX)
    }

    /// A time in nanoseconds since 1970, as one since the first that was shown.
    pub(crate) fn offset(&mut self, time: i64) -> String {
        let offset = time.saturating_sub(*self.origin.get_or_insert(time));
        let sign = if offset < 0 { '-' } else { '+' };
        format!("{sign}{:.2} s", offset.unsigned_abs() as f64 / 1e9)
    }

    fn header(&mut self, group: &Group<'_>, start: i64) -> String {
        let fresh = &group.spans[group.fresh..];
        let mut services: Vec<_> = fresh.iter().map(|span| span.service.as_str()).collect();
        model::order::sort(&mut services);
        services.dedup();
        let errors = fresh.iter().filter(|span| span.error).count();
        let spans = fresh.len() as u64 + group.unheld;
        let is_late = group.part > 1 || spans == 0;
        let more = if is_late { "more of " } else { "" };
        let id = trace_id(group.trace_id_high, group.trace_id);
        let mut line = format!("{more}trace {id}  {}", self.offset(start));
        if spans > 0 {
            line.push_str(&format!("  {}", count(spans, if is_late { "late span" } else { "span" })));
        }
        if services.len() > 1 {
            line.push_str(&format!("  {}", count(services.len() as u64, "service")));
        }
        if !group.logs.is_empty() {
            line.push_str(&format!("  {}", count(group.logs.len() as u64, "log")));
        }
        let mut line = self.paint.with(DIM, &line);
        if errors > 0 {
            line.push_str("  ");
            line.push_str(&self.paint.with(RED, &count(errors as u64, "error")));
        }
        line
    }

    fn span_line(
        &mut self,
        group: &Group<'_>,
        row: &Row,
        index: usize,
        parent: Option<usize>,
        seen: bool,
        layout: &Layout,
    ) -> String {
        let span = &group.spans[index];
        let mut line = Line::new(layout.text);
        line.add(&self.paint, DIM, &row.guides);
        if span.error {
            line.add(&self.paint, BOLD_RED, "✗ ");
        }
        let service = clean(&span.service);
        if parent.is_none_or(|parent| group.spans[parent].service != span.service) && !service.is_empty() {
            let colour = self.paint.service(&service);
            line.add(&self.paint, &colour, &shorten(&service, line.room() / 2));
            line.add(&self.paint, DIM, " · ");
        }
        let name = clean(&span.name);
        let resource = clean(&span.resource);
        let status = status(span);
        let status_width = status.as_ref().map_or(0, |status| width(status) + 3);
        line.add(&self.paint, if seen { DIM } else { BOLD }, &truncate(&name, line.room()));
        if resource != name && !resource.is_empty() {
            let room = line.room().saturating_sub(status_width + 2);
            if room >= 4 {
                line.add(
                    &self.paint,
                    if seen { DIM } else { "" },
                    &format!("  {}", shorten(&resource, room)),
                );
            }
        }
        if let Some(status) = status.filter(|_| status_width <= line.room()) {
            let colour = match status.as_bytes().first() {
                Some(b'5') => RED,
                Some(b'4') => YELLOW,
                _ => DIM,
            };
            line.add(&self.paint, DIM, " → ");
            line.add(&self.paint, colour, &status);
        }
        self.columns_of(line, span, seen, layout)
    }

    /// Appends type, duration and bar.
    fn columns_of(&mut self, mut line: Line, span: &SpanRecord, seen: bool, layout: &Layout) -> String {
        line.pad();
        if layout.kind {
            let kind = clean(&span.span_type);
            let kind = format!("  {:<TYPE_WIDTH$}", truncate(&kind, TYPE_WIDTH));
            line.extend(&self.paint, DIM, &kind);
        }
        let length = format!(" {:>DURATION_WIDTH$}", duration(span.duration));
        line.extend(&self.paint, if seen { DIM } else { "" }, &length);
        if layout.bar > 0 && !seen {
            let bar = layout.bar_of(span);
            let colour = if span.error { RED.to_owned() } else { self.paint.service(&clean(&span.service)) };
            line.extend(&self.paint, &colour, &format!("  {}", bar.trim_end()));
        }
        line.end()
    }

    /// Lines below a span: what went wrong, what it is linked to, what happened in it.
    fn details(
        &self,
        group: &Group<'_>,
        row: &Row,
        index: usize,
        explained: bool,
        total: usize,
        lines: &mut String,
    ) {
        let span = &group.spans[index];
        let mut detail = |code: &str, text: String| {
            let mut line = Line::new(total);
            line.add(&self.paint, DIM, &row.below);
            let room = line.room();
            line.add(&self.paint, code, &truncate(&text, room));
            lines.push_str(&line.end());
        };
        if span.parent_id != 0 && !group.spans.iter().any(|other| other.span_id == span.parent_id) {
            detail(DIM, format!("↑ its parent {:016x} has not arrived", span.parent_id));
        }
        if let Some(reason) = (!explained).then(|| reason(span)).flatten() {
            detail(RED, format!("✗ {reason}"));
        }
        for link in span.links.iter().take(ENTRIES_SHOWN_MAX) {
            detail(DIM, link_text(link));
        }
        if let Some(more) = span.links.len().checked_sub(ENTRIES_SHOWN_MAX).filter(|more| *more > 0) {
            detail(DIM, format!("↗ {}", count(more as u64, "more link")));
        }
        for event in span.events.iter().take(ENTRIES_SHOWN_MAX) {
            detail(DIM, event_text(event, span.start));
        }
        if let Some(more) = span.events.len().checked_sub(ENTRIES_SHOWN_MAX).filter(|more| *more > 0) {
            detail(DIM, format!("◆ {}", count(more as u64, "more event")));
        }
    }
}

impl View for Tree {
    fn trace(&mut self, group: Group<'_>) -> String {
        let start = |spans: &[SpanRecord]| spans.iter().map(|span| span.start).min();
        let start = start(&group.spans[group.fresh..]).or_else(|| start(group.spans)).unwrap_or(0);
        let mut logs = logs::OfTrace::of(&group);
        let total = self.width();
        let layout = Layout::of(group.spans, total);
        let mut shown = format!("\n{}\n", self.header(&group, start));
        let rows = forest::rows(&group);
        // A failure is told once, where it happened, not again by each span it passed through.
        let mut told: HashMap<usize, String> = HashMap::new();
        for row in rows.iter().rev() {
            if let What::Span { index, parent, .. } = row.what {
                let below = told.get(&index).cloned();
                if let (Some(parent), Some(reason)) = (parent, reason(&group.spans[index]).or(below)) {
                    told.insert(parent, reason);
                }
            }
        }
        for row in &rows {
            match row.what {
                What::Span { index, parent, seen } => {
                    shown.push_str(&self.span_line(&group, row, index, parent, seen, &layout));
                    if !seen {
                        let explained = told.contains_key(&index)
                            && told.get(&index) == reason(&group.spans[index]).as_ref();
                        self.details(&group, row, index, explained, total, &mut shown);
                    }
                    logs.of_span(self, &group, row, index, &mut shown);
                }
                What::Folded { siblings, spans, duration: time, errors } => {
                    let with = if spans > siblings {
                        format!(" ({})", count(spans as u64, "span"))
                    } else {
                        String::new()
                    };
                    let mut text =
                        format!("… {siblings} more like it{with}, {} in all", duration(time).trim_end());
                    if errors > 0 {
                        text.push_str(&format!(", {}", count(errors as u64, "error")));
                    }
                    shown.push_str(&format!("{}\n", self.paint.with(DIM, &format!("{}{text}", row.guides))));
                }
                What::Rest(left) => {
                    let text = format!("… {} of this trace not drawn", count(left as u64, "more span"));
                    shown.push_str(&format!("{}\n", self.paint.with(DIM, &text)));
                }
            }
        }
        logs.rest(self, start, &mut shown);
        if group.unheld > 0 {
            let text = format!("… {} of this trace counted and not kept", count(group.unheld, "more span"));
            shown.push_str(&format!("{}\n", self.paint.with(DIM, &text)));
        }
        self.ready(shown)
    }

    fn stats(&mut self, _payload: &StatsPayload) -> String {
        String::new()
    }

    fn point(&mut self, _: &Context, _: u32, _: i64, _: f64) -> String {
        String::new()
    }

    fn sketch(&mut self, _: &Context, _: &Sketch) -> String {
        String::new()
    }

    fn event(&mut self, _: &Event) -> String {
        String::new()
    }

    fn check(&mut self, _: &Check) -> String {
        String::new()
    }

    fn log(&mut self, _: &LogRecord) -> String {
        String::new()
    }

    fn logs(&mut self, logs: &Logs) -> String {
        let block = logs::block(self, logs);
        self.ready(block)
    }

    fn metrics(&mut self, store: &Store) -> String {
        let block = metrics::flush(self, store);
        self.ready(block)
    }

    fn passed(&mut self, _path: &str, _bytes: u64) -> String {
        String::new()
    }

    fn finish(&mut self, tally: &Tally, closing: &Closing) -> String {
        let end = summary::text(self, tally, closing);
        self.ready(end)
    }
}

impl Layout {
    fn of(spans: &[SpanRecord], total: usize) -> Self {
        let kind = total >= TYPE_FROM_WIDTH;
        let bar = if total >= BAR_FROM_WIDTH { total / 5 } else { 0 };
        let right =
            1 + DURATION_WIDTH + if kind { 2 + TYPE_WIDTH } else { 0 } + if bar > 0 { 2 + bar } else { 0 };
        let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let end = spans.iter().map(SpanRecord::end).max().unwrap_or(0);
        let length = end.saturating_sub(start).max(1) as f64;
        Self { text: total - right, kind, bar, start, length }
    }

    /// The span's place in the trace's time, in half columns, at least one of them.
    fn bar_of(&self, span: &SpanRecord) -> String {
        let halves = (self.bar * 2) as f64;
        let place = |time: i64| time.saturating_sub(self.start) as f64 / self.length * halves;
        let first = (place(span.start).floor() as usize).min(self.bar * 2 - 1);
        let end = (place(span.end()).ceil() as usize).clamp(first + 1, self.bar * 2);
        let covered = |half: usize| (first..end).contains(&half);
        (0..self.bar)
            .map(|column| match (covered(column * 2), covered(column * 2 + 1)) {
                (true, true) => '━',
                (true, false) => '╸',
                (false, true) => '╺',
                (false, false) => ' ',
            })
            .collect()
    }
}

/// The HTTP status, wherever the tracer put it.
fn status(span: &SpanRecord) -> Option<String> {
    const KEY: &str = "http.status_code";
    let number = || span.metrics.iter().find(|(key, _)| key == KEY).map(|(_, value)| value.to_string());
    span.meta(KEY).map(clean).or_else(number).filter(|status| !status.is_empty() && width(status) <= 5)
}

/// Why the span failed, in one line.
fn reason(span: &SpanRecord) -> Option<String> {
    if !span.error {
        return None;
    }
    let kind = span.meta("error.type").map(clean).unwrap_or_default();
    let message =
        span.meta("error.message").or_else(|| span.meta("error.msg")).map(clean).unwrap_or_default();
    match (kind.is_empty(), message.is_empty()) {
        (true, true) => None,
        (false, true) => Some(kind),
        (true, false) => Some(message),
        (false, false) => Some(format!("{kind}: {message}")),
    }
}

fn link_text(link: &LinkRecord) -> String {
    let target = trace_id(link.trace_id_high, link.trace_id);
    format!("↗ linked to {target}/{:016x}{}", link.span_id, attributes(&link.attributes))
}

fn event_text(event: &EventRecord, start: i64) -> String {
    let time = i64::try_from(event.time).unwrap_or(i64::MAX).saturating_sub(start);
    format!("◆ +{} {}{}", duration(time).trim_end(), clean(&event.name), attributes(&event.attributes))
}

/// Tags in short; stack traces are for the JSON view.
fn attributes(list: &[(String, String)]) -> String {
    let worth = list.iter().filter(|(key, _)| !key.contains("stack"));
    let shown: Vec<_> = worth
        .take(ATTRIBUTES_SHOWN_MAX)
        .map(|(key, value)| format!("{}={}", truncate(&clean(key), 40), shorten(&clean(value), 60)))
        .collect();
    if shown.is_empty() { String::new() } else { format!("  {}", shown.join(" ")) }
}

/// A line that knows how many columns it has used.
pub(crate) struct Line {
    text: String,
    used: usize,
    columns: usize,
}

impl Line {
    pub(crate) fn new(columns: usize) -> Self {
        Self { text: String::new(), used: 0, columns }
    }

    pub(crate) fn room(&self) -> usize {
        self.columns.saturating_sub(self.used)
    }

    pub(crate) fn add(&mut self, paint: &Paint, code: &str, text: &str) {
        self.used += width(text);
        self.text.push_str(&paint.with(code, text));
    }

    fn pad(&mut self) {
        self.text.extend(std::iter::repeat_n(' ', self.room()));
        self.used = self.used.max(self.columns);
    }

    fn extend(&mut self, paint: &Paint, code: &str, text: &str) {
        self.text.push_str(&paint.with(code, text));
    }

    pub(crate) fn end(self) -> String {
        format!("{}\n", self.text.trim_end())
    }
}

/// Colours, where they are wanted.
pub(crate) struct Paint {
    on: bool,
    services: HashMap<String, u8>,
}

impl Paint {
    /// Text in a style; plain where the style is empty or colours are off.
    pub(crate) fn with(&self, code: &str, text: &str) -> String {
        if self.on && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// The style of a service: the same in every session, but for services that would share one.
    pub(crate) fn service(&mut self, service: &str) -> String {
        let colour = match self.services.get(service) {
            Some(colour) => *colour,
            None => self.choose(service),
        };
        format!("38;5;{colour}")
    }

    fn choose(&mut self, service: &str) -> u8 {
        // FNV-1a: stable over versions, which std's hasher is not.
        let hash = service.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let first = (hash % SERVICE_COLOURS.len() as u64) as usize;
        let mut order = SERVICE_COLOURS.iter().cycle().skip(first).take(SERVICE_COLOURS.len());
        let free = order.clone().find(|colour| !self.services.values().any(|taken| taken == *colour));
        let colour = free.or_else(|| order.next()).copied().unwrap_or(SERVICE_COLOURS[0]);
        if self.services.len() < SERVICES_COLOURED_MAX {
            self.services.insert(service.to_owned(), colour);
        }
        colour
    }
}
