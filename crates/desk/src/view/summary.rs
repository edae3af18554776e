//! The end of a session at a terminal: what ran, how often, how long, and the agent's books.

use super::Closing;
use super::text::{clean, count, duration, grouped, padded, shorten, size, trace_id, truncate, width};
use super::tree::{BOLD, DIM, RED, Tree};
use super::{logs, metrics};
use crate::tally::{Row, Tally};
use model::{Book, Signal};

/// Rows of the table; the rest is said to be there.
const ROWS_SHOWN_MAX: usize = 20;
/// Columns of a service or operation at most.
const NAME_WIDTH_MAX: usize = 34;

/// The summary and the books.
pub(crate) fn text(tree: &mut Tree, tally: &Tally, closing: &Closing) -> String {
    let total = tree.width();
    let mut out = String::from("\n");
    let rule = |label: &str| format!("── {label} {}", "─".repeat(total.saturating_sub(width(label) + 4)));
    out.push_str(&tree.paint.with(DIM, &rule(&headline(tally))));
    out.push('\n');
    if tally.spans == 0 && tally.metrics.is_empty() {
        out.push_str("  No traces and no metrics arrived. Is the program instrumented, and does it send to this agent?\n");
    } else if tally.spans > 0 {
        out.push('\n');
        table(tree, tally, &mut out);
        slowest(tree, tally, total, &mut out);
    }
    let metrics = metrics::table(tree, &tally.metrics, total - 2);
    if !metrics.is_empty() {
        out.push('\n');
        out.extend(metrics.lines().map(|line| format!("  {line}\n")));
    }
    let logs = logs::table(tree, &tally.logs, total - 2);
    if !logs.is_empty() {
        out.push('\n');
        out.extend(logs.lines().map(|line| format!("  {line}\n")));
    }
    if !tally.passed.is_empty() {
        out.push_str(&format!("\n{}\n", tree.paint.with(BOLD, "  also received")));
        for (path, (requests, bytes)) in &tally.passed {
            out.push_str(&format!(
                "  {}  {}  {}\n",
                truncate(&clean(path), 60),
                count(*requests, "request"),
                size(*bytes)
            ));
        }
    }
    if tally.refused > 0 {
        let refused = format!("\n  {} could not be decoded\n", count(tally.refused, "request"));
        out.push_str(&tree.paint.with(RED, &refused));
    }
    books(tree, closing, &mut out);
    if !closing.report.is_empty() {
        out.push('\n');
        for line in closing.report.lines() {
            out.push_str(&format!("{}\n", clean(line)));
        }
    }
    out
}

/// What the agent accepted and what became of it; what was sent as something else (the unit) apart.
fn books(tree: &Tree, closing: &Closing, out: &mut String) {
    if closing.books.is_empty() {
        return;
    }
    let title = format!("\n  {:<8}  {:>9}  {:>9}  {:>8}", "books", "accepted", "delivered", "dropped");
    out.push_str(&format!("{}\n", tree.paint.with(DIM, &title)));
    // Traces and metrics are what people look for; what nothing was accepted of tells nothing else.
    let told = |(signal, book): &&(Signal, Book)| {
        book.accepted > 0 || matches!(signal, Signal::Traces | Signal::Metrics)
    };
    for (signal, book) in closing.books.iter().filter(told) {
        let dropped: u64 = book.drops().map(|(_, units)| units).sum();
        let code = if book.lost() > 0 { RED } else { "" };
        let dropped = tree.paint.with(code, &format!("{:>8}", grouped(dropped)));
        let mut why: Vec<_> =
            book.drops().map(|(why, units)| format!("{} {}", grouped(units), why.name())).collect();
        if book.held > 0 {
            why.push(format!("{} still held", grouped(book.held)));
        }
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        out.push_str(&format!(
            "  {:<8}  {:>9}  {:>9}  {dropped}  {}{why}\n",
            signal.name(),
            grouped(book.accepted),
            grouped(book.delivered),
            tree.paint.with(DIM, signal.unit()),
        ));
    }
}

fn headline(tally: &Tally) -> String {
    let mut parts = Vec::new();
    if tally.spans > 0 || tally.metrics.is_empty() {
        parts.extend([count(tally.traces() as u64, "trace"), count(tally.spans, "span")]);
    }
    if tally.errors > 0 {
        parts.push(count(tally.errors, "error"));
    }
    let metrics = &tally.metrics;
    for (number, noun) in [
        (metrics.contexts() as u64, "metric context"),
        (metrics.events, "event"),
        (metrics.checks, "check"),
        (tally.logs.received, "log"),
    ] {
        if number > 0 {
            parts.push(count(number, noun));
        }
    }
    parts.join(", ")
}

fn table(tree: &mut Tree, tally: &Tally, out: &mut String) {
    let mut rows: Vec<_> = tally.rows.iter().collect();
    // Services together, the busiest operation first; without a random order between equals.
    model::order::sort_by(&mut rows, |(a, x), (b, y)| {
        a.0.cmp(&b.0).then(y.spans.cmp(&x.spans)).then(a.1.cmp(&b.1))
    });
    let column = |title: &str, of: fn(&(String, String)) -> &str| {
        let widest =
            rows.iter().take(ROWS_SHOWN_MAX).map(|(key, _)| width(&clean(of(key)))).max().unwrap_or(0);
        widest.clamp(title.len(), NAME_WIDTH_MAX)
    };
    let services = column("service", |key| &key.0);
    let names = column("operation", |key| &key.1);
    let title = format!(
        "  {:<services$}  {:<names$}  {:>8}  {:>7}  {:>8}  {:>8}",
        "service", "operation", "spans", "errors", "p50", "p95"
    );
    out.push_str(&format!("{}\n", tree.paint.with(DIM, &title)));
    let mut above = None;
    for ((service, name), row) in rows.iter().take(ROWS_SHOWN_MAX) {
        let shown = if above == Some(service) { String::new() } else { padded(&clean(service), services) };
        let colour = tree.paint.service(&clean(service));
        above = Some(service);
        let errors = format!("{:>7}", if row.errors > 0 { grouped(row.errors) } else { "·".to_owned() });
        let errors = tree.paint.with(if row.errors > 0 { RED } else { DIM }, &errors);
        out.push_str(&format!(
            "  {}{}  {}  {:>8}  {errors}  {}  {}\n",
            tree.paint.with(&colour, &shown),
            " ".repeat(services.saturating_sub(width(&shown))),
            padded(&clean(name), names),
            grouped(row.spans),
            quantile(tree, row, 0.5),
            quantile(tree, row, 0.95),
        ));
    }
    if let Some(more) = rows.len().checked_sub(ROWS_SHOWN_MAX).filter(|more| *more > 0) {
        out.push_str(&format!(
            "{}\n",
            tree.paint.with(DIM, &format!("  … and {}", count(more as u64, "more operation")))
        ));
    }
}

fn quantile(tree: &Tree, row: &Row, q: f64) -> String {
    match row.latency.quantile(q) {
        // The cast saturates; a histogram holds no value that does not fit.
        Some(value) => format!("{:>8}", duration(value as i64)),
        None => tree.paint.with(DIM, &format!("{:>8}", "·")),
    }
}

fn slowest(tree: &mut Tree, tally: &Tally, total: usize, out: &mut String) {
    if tally.slowest.is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", tree.paint.with(DIM, "  slowest")));
    for slow in &tally.slowest {
        let service = clean(&slow.service);
        let id = trace_id(slow.trace_id.0, slow.trace_id.1);
        let room = total.saturating_sub(width(&service) + id.len() + 24);
        let colour = tree.paint.service(&service);
        out.push_str(&format!(
            "  {:>8}  {}  {}  {}\n",
            duration(slow.duration),
            tree.paint.with(&colour, &service),
            shorten(&clean(&slow.resource), room),
            tree.paint.with(DIM, &format!("trace {id}")),
        ));
    }
}
