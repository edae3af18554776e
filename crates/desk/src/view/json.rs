//! One JSON object a line, for programs. The shape is documented in `docs/dev.md`; ids are
//! hexadecimal strings, because JSON readers round 64-bit numbers.

use super::text::trace_id;
use super::{Closing, View};
use crate::gather::Group;
use crate::logs::{LogRecord, Logs};
use crate::metric::{Check, Context, Event, Sketch};
use crate::quantile::{BINS_MAX, Histogram, MergedSketch};
use crate::record::SpanRecord;
use crate::store::Store;
use crate::tally::Tally;
use model::log::LogStatus;
use model::stats::{StatsGroup, StatsPayload};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Shows each trace, statistics bucket, value of a metric, event, check, log, other request and the end as one line of JSON.
#[derive(Debug, Default)]
pub struct JsonLines;

/// A line; its kind stands first, as `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Trace {
        trace_id: String,
        part: u32,
        complete: bool,
        spans_not_kept: u64,
        spans: Vec<Span<'a>>,
    },
    Stats {
        start_ns: u64,
        duration_ns: u64,
        client_computed: bool,
        env: &'a str,
        version: &'a str,
        hostname: &'a str,
        groups: Vec<Stats<'a>>,
    },
    Metric {
        #[serde(flatten)]
        context: Metric<'a>,
        kind: &'static str,
        interval_ns: Option<u64>,
        time_ns: i64,
        value: f64,
    },
    Distribution {
        #[serde(flatten)]
        context: Metric<'a>,
        time_ns: i64,
        count: u64,
        sum: f64,
        min: f64,
        max: f64,
        avg: f64,
        p50: Option<f64>,
        p75: Option<f64>,
        p95: Option<f64>,
        p99: Option<f64>,
    },
    Event {
        title: &'a str,
        text: &'a str,
        time_ns: Option<i64>,
        host: &'a str,
        tags: &'a [String],
        priority: &'a str,
        alert_type: &'a str,
        aggregation_key: &'a str,
        source: &'a str,
    },
    Check {
        name: &'a str,
        status: &'static str,
        time_ns: Option<i64>,
        host: &'a str,
        tags: &'a [String],
        message: &'a str,
    },
    Log {
        message: &'a str,
        status: &'a str,
        time_ns: Option<i64>,
        host: &'a str,
        service: &'a str,
        source: &'a str,
        tags: &'a [String],
        trace_id: Option<String>,
        span_id: Option<String>,
        attributes: Attributes<'a>,
        #[serde(skip_serializing_if = "is_zero")]
        attributes_not_kept: u64,
    },
    Request {
        path: &'a str,
        bytes: u64,
    },
    Summary {
        traces: usize,
        spans: u64,
        errors: u64,
        stats_groups: u64,
        metric_contexts: usize,
        metric_points: u64,
        distributions: u64,
        metrics_not_kept: u64,
        events: u64,
        checks: u64,
        logs: u64,
        logs_by_status: BTreeMap<&'static str, u64>,
        requests_refused: u64,
    },
    Books {
        report: &'a str,
        signals: BTreeMap<&'static str, Signal>,
    },
}

/// Whose value it is.
#[derive(Serialize)]
struct Metric<'a> {
    metric: &'a str,
    host: &'a str,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    resources: Pairs<'a, String>,
}

#[derive(Serialize)]
struct Span<'a> {
    service: &'a str,
    name: &'a str,
    resource: &'a str,
    #[serde(rename = "type")]
    span_type: &'a str,
    span_id: String,
    parent_id: Option<String>,
    start_ns: i64,
    duration_ns: i64,
    error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling_priority: Option<i32>,
    tags: Pairs<'a, String>,
    metrics: Pairs<'a, f64>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    structured_bytes: Pairs<'a, usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<SpanEvent<'a>>,
}

#[derive(Serialize)]
struct Link<'a> {
    trace_id: String,
    span_id: String,
    attributes: Pairs<'a, String>,
}

#[derive(Serialize)]
struct SpanEvent<'a> {
    time_ns: u64,
    name: &'a str,
    attributes: Pairs<'a, String>,
}

#[derive(Serialize)]
struct Stats<'a> {
    service: &'a str,
    name: &'a str,
    resource: &'a str,
    #[serde(rename = "type")]
    span_type: &'a str,
    span_kind: &'a str,
    http_status_code: u32,
    peer_tags: &'a [String],
    synthetics: bool,
    hits: u64,
    top_level_hits: u64,
    errors: u64,
    duration_ns: u64,
    p50_ns: Option<u64>,
    p95_ns: Option<u64>,
    p99_ns: Option<u64>,
}

#[derive(Serialize)]
struct Signal {
    unit: &'static str,
    accepted: u64,
    delivered: u64,
    dropped: BTreeMap<&'static str, u64>,
    held: u64,
}

/// A list of pairs, written as an object in the order of the list.
struct Pairs<'a, V>(&'a [(String, V)]);

impl<V> Pairs<'_, V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Serialize> Serialize for Pairs<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Names with values that are JSON already.
struct Attributes<'a>(&'a BTreeMap<String, String>);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What was JSON when it came is JSON still; were it not, it would be null.
        let raw = |json: &String| RawValue::from_string(json.clone()).ok();
        serializer.collect_map(self.0.iter().map(|(name, json)| (name, raw(json))))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How many there were of each status that there was.
fn logs_by_status(logs: &Logs) -> BTreeMap<&'static str, u64> {
    let counts = LogStatus::ALL.iter().zip(&logs.by_status);
    let mut by_status = BTreeMap::new();
    by_status.extend(counts.filter(|(_, count)| **count > 0).map(|(status, count)| (status.name(), *count)));
    by_status
}

impl View for JsonLines {
    fn trace(&mut self, group: Group<'_>) -> String {
        if group.fresh == group.spans.len() && group.unheld == 0 {
            // Logs alone, and each of them has had its line.
            return String::new();
        }
        line(&Line::Trace {
            trace_id: trace_id(group.trace_id_high, group.trace_id),
            part: group.part,
            complete: group.complete,
            spans_not_kept: group.unheld,
            spans: group.spans[group.fresh..].iter().map(Span::of).collect(),
        })
    }

    fn stats(&mut self, payload: &StatsPayload) -> String {
        let mut lines = String::new();
        for stats in &payload.stats {
            for bucket in &stats.buckets {
                lines.push_str(&line(&Line::Stats {
                    start_ns: bucket.start,
                    duration_ns: bucket.duration,
                    client_computed: payload.client_computed,
                    env: &stats.env,
                    version: &stats.version,
                    hostname: &stats.hostname,
                    groups: bucket.groups.iter().map(Stats::of).collect(),
                }));
            }
        }
        lines
    }

    fn point(&mut self, context: &Context, interval: u32, time: i64, value: f64) -> String {
        line(&Line::Metric {
            context: Metric::of(context),
            kind: context.kind.name(),
            interval_ns: (interval > 0).then(|| u64::from(interval) * 1_000_000_000),
            time_ns: nanoseconds(time),
            value,
        })
    }

    fn sketch(&mut self, context: &Context, sketch: &Sketch) -> String {
        let mut merged = MergedSketch::default();
        merged.add(sketch, BINS_MAX);
        line(&Line::Distribution {
            context: Metric::of(context),
            time_ns: nanoseconds(sketch.timestamp),
            count: sketch.count,
            sum: sketch.sum,
            min: sketch.min,
            max: sketch.max,
            avg: sketch.average,
            p50: merged.quantile(0.5),
            p75: merged.quantile(0.75),
            p95: merged.quantile(0.95),
            p99: merged.quantile(0.99),
        })
    }

    fn event(&mut self, event: &Event) -> String {
        line(&Line::Event {
            title: &event.title,
            text: &event.text,
            time_ns: (event.timestamp != 0).then(|| nanoseconds(event.timestamp)),
            host: &event.host,
            tags: &event.tags,
            priority: &event.priority,
            alert_type: &event.alert_type,
            aggregation_key: &event.aggregation_key,
            source: &event.source,
        })
    }

    fn check(&mut self, check: &Check) -> String {
        line(&Line::Check {
            name: &check.name,
            status: check.status.name(),
            time_ns: (check.timestamp != 0).then(|| nanoseconds(check.timestamp)),
            host: &check.host,
            tags: &check.tags,
            message: &check.message,
        })
    }

    fn log(&mut self, log: &LogRecord) -> String {
        line(&Line::Log {
            message: &log.message,
            status: &log.status,
            time_ns: log.timestamp_ms.map(|time| time.saturating_mul(1_000_000)),
            host: &log.host,
            service: &log.service,
            source: &log.source,
            tags: &log.tags,
            trace_id: (log.trace_id != 0).then(|| trace_id(log.trace_id_high, log.trace_id)),
            span_id: (log.span_id != 0).then(|| span_id(log.span_id)),
            attributes: Attributes(&log.attributes),
            attributes_not_kept: log.attributes_not_kept,
        })
    }

    fn logs(&mut self, _logs: &Logs) -> String {
        String::new()
    }

    fn metrics(&mut self, _store: &Store) -> String {
        String::new()
    }

    fn passed(&mut self, path: &str, bytes: u64) -> String {
        line(&Line::Request { path, bytes })
    }

    fn finish(&mut self, tally: &Tally, closing: &Closing) -> String {
        let summary = Line::Summary {
            traces: tally.traces(),
            spans: tally.spans,
            errors: tally.errors,
            stats_groups: tally.stats_groups,
            metric_contexts: tally.metrics.contexts(),
            metric_points: tally.metrics.points,
            distributions: tally.metrics.sketches,
            metrics_not_kept: tally.metrics.unkept,
            events: tally.metrics.events,
            checks: tally.metrics.checks,
            logs: tally.logs.received,
            logs_by_status: logs_by_status(&tally.logs),
            requests_refused: tally.refused,
        };
        let mut signals = BTreeMap::new();
        signals.extend(closing.books.iter().map(|(signal, book)| {
            let mut dropped = BTreeMap::new();
            dropped.extend(book.drops().map(|(why, units)| (why.name(), units)));
            let (accepted, delivered, held) = (book.accepted, book.delivered, book.held);
            (signal.name(), Signal { unit: signal.unit(), accepted, delivered, dropped, held })
        }));
        line(&summary) + &line(&Line::Books { report: closing.report.trim(), signals })
    }
}

/// Control characters are escaped by JSON's rules, so a value is always one line.
fn line(line: &Line<'_>) -> String {
    match serde_json::to_string(line) {
        Ok(text) => text + "\n",
        Err(error) => {
            log::error!("a line could not be written as JSON: {error}");
            String::new()
        }
    }
}

/// Seconds since 1970 as nanoseconds.
fn nanoseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000)
}

fn span_id(id: u64) -> String {
    format!("{id:016x}")
}

impl<'a> Span<'a> {
    fn of(span: &'a SpanRecord) -> Self {
        let links = span.links.iter().map(|link| Link {
            trace_id: trace_id(link.trace_id_high, link.trace_id),
            span_id: span_id(link.span_id),
            attributes: Pairs(&link.attributes),
        });
        let events = span.events.iter().map(|event| SpanEvent {
            time_ns: event.time,
            name: &event.name,
            attributes: Pairs(&event.attributes),
        });
        Self {
            service: &span.service,
            name: &span.name,
            resource: &span.resource,
            span_type: &span.span_type,
            span_id: span_id(span.span_id),
            parent_id: (span.parent_id != 0).then(|| span_id(span.parent_id)),
            start_ns: span.start,
            duration_ns: span.duration,
            error: span.error,
            sampling_priority: (span.priority != model::trace::PRIORITY_NONE).then_some(span.priority),
            tags: Pairs(&span.meta),
            metrics: Pairs(&span.metrics),
            structured_bytes: Pairs(&span.meta_struct),
            links: links.collect(),
            events: events.collect(),
        }
    }
}

impl<'a> Metric<'a> {
    fn of(context: &'a Context) -> Self {
        Self {
            metric: &context.name,
            host: &context.host,
            tags: &context.tags,
            resources: Pairs(&context.resources),
        }
    }
}

impl<'a> Stats<'a> {
    fn of(group: &'a StatsGroup) -> Self {
        let mut latency = Histogram::default();
        latency.add(&group.ok_summary);
        latency.add(&group.error_summary);
        // The cast saturates; a histogram holds no value that does not fit.
        let quantile = |q| latency.quantile(q).map(|value| value as u64);
        Self {
            service: &group.service,
            name: &group.name,
            resource: &group.resource,
            span_type: &group.span_type,
            span_kind: &group.span_kind,
            http_status_code: group.http_status_code,
            peer_tags: &group.peer_tags,
            synthetics: group.synthetics,
            hits: group.hits,
            top_level_hits: group.top_level_hits,
            errors: group.errors,
            duration_ns: group.duration,
            p50_ns: quantile(0.5),
            p95_ns: quantile(0.95),
            p99_ns: quantile(0.99),
        }
    }
}
