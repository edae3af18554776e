//! Sessions driven by hand: what a user sees of what came over the wire.

mod logs;
mod metrics;

use crate::gather::Group;
use crate::record::{EventRecord, LinkRecord, SpanRecord};
use crate::tally::Tally;
use crate::view::{Closing, JsonLines, Tree, View};
use model::sketch::{Bins, Mapping, Sketch};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload};
use model::{Books, Signal, Why};
use serde_json::Value;

const MS: i64 = 1_000_000;
const START: i64 = 1_790_000_000_000_000_000;

/// A span of one trace: ids, place in time (ms), service, name, resource, type.
fn span(ids: (u64, u64), time: (f64, f64), what: (&str, &str, &str, &str)) -> SpanRecord {
    let (service, name, resource, span_type) = what;
    SpanRecord {
        service: service.to_owned(),
        name: name.to_owned(),
        resource: resource.to_owned(),
        span_type: span_type.to_owned(),
        trace_id: 0xc0ff_ee00,
        trace_id_high: 0x6720_1234_0000_0000,
        span_id: ids.0,
        parent_id: ids.1,
        start: START + (time.0 * MS as f64) as i64,
        duration: (time.1 * MS as f64) as i64,
        priority: 1,
        ..SpanRecord::default()
    }
}

fn failed(mut span: SpanRecord, kind: &str, message: &str) -> SpanRecord {
    span.error = true;
    span.meta.push(("error.type".to_owned(), kind.to_owned()));
    span.meta.push(("error.message".to_owned(), message.to_owned()));
    span
}

fn tagged(mut span: SpanRecord, key: &str, value: &str) -> SpanRecord {
    span.meta.push((key.to_owned(), value.to_owned()));
    span
}

/// An order: a query per item, a call to another service that fails, and what it is linked to.
fn order() -> Vec<SpanRecord> {
    let mut spans = vec![
        tagged(
            span((1, 0), (0.0, 231.4), ("shop", "flask.request", "POST /orders", "web")),
            "http.status_code",
            "502",
        ),
        span((2, 1), (2.0, 1.2), ("shop", "redis.command", "GET session:?", "redis")),
    ];
    spans.extend((0..40).map(|number| {
        let at = 5.0 + 0.6 * f64::from(number);
        span(
            (10 + number as u64, 1),
            (at, 0.31),
            ("shop-db", "sqlite.query", "SELECT name, price FROM products WHERE id = ?", "sql"),
        )
    }));
    let call = span(
        (60, 1),
        (40.0, 180.0),
        ("shop", "requests.request", "POST http://stock.internal/reserve", "http"),
    );
    spans.push(failed(
        tagged(call, "http.status_code", "500"),
        "HTTPError",
        "500 Server Error for url http://stock.internal/reserve",
    ));
    let reserve = tagged(
        span((61, 60), (60.0, 150.0), ("stock", "flask.request", "POST /reserve", "web")),
        "http.status_code",
        "500",
    );
    spans.push(failed(reserve, "OutOfStock", "nothing left of product 3"));
    let update = span(
        (62, 61),
        (70.0, 130.0),
        (
            "stock-db",
            "sqlite.query",
            "UPDATE stock SET reserved = reserved + ? WHERE product = ? AND warehouse IN ( ? ) AND available >= ?",
            "sql",
        ),
    );
    let mut update = failed(update, "OutOfStock", "nothing left of product 3");
    update.events.push(EventRecord {
        time: (START + 190 * MS) as u64,
        name: "lock.wait".to_owned(),
        attributes: vec![("table".to_owned(), "stock".to_owned())],
    });
    spans.push(update);
    let mut publish = span((70, 1), (225.0, 4.0), ("shop", "kafka.produce", "order-failed", "queue"));
    publish.links.push(LinkRecord {
        trace_id: 0xabcd,
        span_id: 0xef,
        attributes: vec![("reason".to_owned(), "retry".to_owned())],
        ..LinkRecord::default()
    });
    spans.push(publish);
    spans
}

fn group(spans: &[SpanRecord]) -> Group<'_> {
    let last = spans.last().map_or(0, |span| span.trace_id_high);
    let (trace_id_high, trace_id) = (last, 0xc0ff_ee00);
    Group { trace_id_high, trace_id, part: 1, spans, fresh: 0, unheld: 0, complete: true, logs: &[] }
}

fn tree(columns: usize) -> Tree {
    Tree::new(move || columns, false)
}

fn drawn(columns: usize, spans: &[SpanRecord]) -> String {
    tree(columns).trace(group(spans))
}

fn sketch(milliseconds: &[f64]) -> Sketch {
    let gamma: f64 = 1.01 / 0.99;
    let sparse =
        milliseconds.iter().map(|value| (((value * 1e6).ln() / gamma.ln()).floor() as i32, 1.0)).collect();
    Sketch {
        mapping: Mapping { gamma, index_offset: 0.0, interpolation: 0 },
        positive: Bins { sparse, ..Bins::default() },
        ..Sketch::default()
    }
}

fn stats() -> StatsPayload {
    let group = |service: &str, name: &str, values: &[f64]| StatsGroup {
        service: service.to_owned(),
        name: name.to_owned(),
        hits: values.len() as u64,
        ok_summary: sketch(values),
        ..StatsGroup::default()
    };
    let groups = vec![
        group("shop", "flask.request", &[10.0, 20.0, 30.0]),
        group("shop-db", "sqlite.query", &[0.3; 40]),
    ];
    let buckets =
        vec![StatsBucket { start: START as u64, duration: 10_000_000_000, groups, ..StatsBucket::default() }];
    StatsPayload {
        stats: vec![ClientStats { env: "dev".to_owned(), buckets, ..ClientStats::default() }],
        ..StatsPayload::default()
    }
}

#[test]
fn a_trace_is_drawn_as_a_tree_with_times_errors_links_and_events() {
    let expected = "
trace 672012340000000000000000c0ffee00  +0.00 s  46 spans  4 services  3 errors
shop · flask.request  POST /orders → 502                      web       231 ms  ━━━━━━━━━━━━━━━━━━━━
├─ redis.command  GET session:?                               redis    1.20 ms  ╸
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╸
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ━
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╺
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╺
├─ … 36 more like it, 11.2 ms in all
├─ ✗ requests.request  POST http://stock.in…al/reserve → 500  http      180 ms     ━━━━━━━━━━━━━━━━╸
│  │ ✗ HTTPError: 500 Server Error for url http://stock.internal/reserve
│  └─ ✗ stock · flask.request  POST /reserve → 500            web       150 ms       ━━━━━━━━━━━━━╸
│     └─ ✗ stock-db · sqlite.query  UPDATE stock SET…le >= ?  sql       130 ms        ━━━━━━━━━━━╸
│          ✗ OutOfStock: nothing left of product 3
│          ◆ +120 ms lock.wait  table=stock
└─ kafka.produce  order-failed                                queue    4.00 ms                     ━
     ↗ linked to 000000000000abcd/00000000000000ef  reason=retry
";
    assert_eq!(drawn(100, &order()), expected);
}

#[test]
fn a_narrow_terminal_loses_the_bars_first_and_no_line_is_too_long() {
    for columns in [50, 69, 70, 89, 90, 100, 133, 150] {
        let drawn = drawn(columns, &order());
        let widest = drawn.lines().skip(2).map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= columns), "{columns}: {drawn}");
        assert_eq!(drawn.contains('━'), columns >= 90, "{columns}");
        assert_eq!(drawn.contains("  sql"), columns >= 70, "{columns}");
        assert!(drawn.contains("231 ms"), "{columns}");
    }
}

#[test]
fn a_late_part_is_drawn_below_the_spans_it_belongs_to() {
    let spans = order();
    let late = Group { part: 2, fresh: spans.len() - 1, ..group(&spans) };
    let expected = "
more of trace 672012340000000000000000c0ffee00  +0.00 s  1 late span
shop · flask.request  POST /orders → 502                      web       231 ms
└─ kafka.produce  order-failed                                queue    4.00 ms                     ━
     ↗ linked to 000000000000abcd/00000000000000ef  reason=retry
";
    assert_eq!(tree(100).trace(late), expected);
}

#[test]
fn a_parent_that_has_not_arrived_is_said() {
    let spans = [span((2, 0xbeef), (0.0, 1.0), ("shop", "work", "job", ""))];
    let drawn = drawn(80, &spans);
    assert!(drawn.contains("↑ its parent 000000000000beef has not arrived"), "{drawn}");
}

#[test]
fn escape_sequences_in_any_text_of_a_span_reach_no_terminal() {
    let evil = "\u{1b}[2J\u{9b}31m\u{7}\r\n\u{202e}x";
    let mut span = failed(span((1, 9), (0.0, 1.0), (evil, evil, evil, evil)), evil, evil);
    span = tagged(span, "http.status_code", "\u{1b}c");
    span.events.push(EventRecord {
        time: 0,
        name: evil.to_owned(),
        attributes: vec![(evil.to_owned(), evil.to_owned())],
    });
    span.links
        .push(LinkRecord { attributes: vec![(evil.to_owned(), evil.to_owned())], ..LinkRecord::default() });
    let mut tally = Tally::default();
    tally.add_span(&SpanRecord { parent_id: 0, ..span.clone() });
    tally.add_passed(evil, 1);
    let mut view = tree(120);
    let shown = view.trace(group(&[span]))
        + &view.finish(&tally, &Closing { report: evil.to_owned(), books: Vec::new() });
    let acting = |character: &char| character.is_control() && *character != '\n' || *character == '\u{202e}';
    assert_eq!(shown.chars().find(acting), None, "{shown:?}");
}

#[test]
fn colours_are_used_only_when_wanted_and_a_service_keeps_its_own() {
    assert!(!drawn(100, &order()).contains('\u{1b}'));
    let coloured = |spans: &[SpanRecord]| Tree::new(|| 100, true).trace(group(spans));
    let whole = coloured(&order());
    let alone = coloured(&order()[..1]);
    let service =
        whole.lines().nth(2).and_then(|line| line.split("shop").next()).unwrap_or_default().to_owned();
    assert!(service.starts_with("\u{1b}[38;5;"), "{whole:?}");
    assert!(alone.contains(&service), "{alone:?}");
}

#[test]
fn the_summary_tells_services_latencies_the_slowest_and_the_books() {
    let mut tally = Tally::default();
    order().iter().for_each(|span| tally.add_span(span));
    tally.add_stats(&stats());
    tally.add_passed("/api/v2/apmtelemetry", 12_345);
    let accounts = Books::default();
    accounts.accept(Signal::Traces, 1_046).delivered();
    accounts.accept(Signal::Traces, 3).dropped(Why::Sampled);
    accounts.accept(Signal::Traces, 1).dropped(Why::Deadline);
    let books = Signal::ALL.iter().map(|signal| (*signal, accounts.book(*signal))).collect();
    let report = "stopped in 12 ms".to_owned();
    let expected = "
── 1 trace, 46 spans, 3 errors ─────────────────────────────────────────────────────────────────────

  service   operation            spans   errors       p50       p95
  shop      flask.request            1        ·   19.8 ms   30.1 ms
            kafka.produce            1        ·         ·         ·
            redis.command            1        ·         ·         ·
            requests.request         1        1         ·         ·
  shop-db   sqlite.query            40        ·    298 µs    298 µs
  stock     flask.request            1        1         ·         ·
  stock-db  sqlite.query             1        1         ·         ·

  slowest
    231 ms  shop  POST /orders  trace 672012340000000000000000c0ffee00

  also received
  /api/v2/apmtelemetry  1 request  12.3 kB

  books      accepted  delivered   dropped
  traces        1,050      1,046         4  spans: 3 sampled, 1 deadline
  metrics           0          0         0  samples

stopped in 12 ms
";
    assert_eq!(tree(100).finish(&tally, &Closing { report, books }), expected);
}

#[test]
fn a_session_without_traces_says_what_to_look_at() {
    let shown = tree(100).finish(&Tally::default(), &Closing::default());
    assert!(shown.contains("Is the program instrumented"), "{shown}");
}

fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a line is one JSON value")).collect()
}

#[test]
fn json_has_one_object_a_line_with_its_type_first() {
    let mut spans = order();
    spans[0].meta.push(("note".to_owned(), "two\nlines \u{1b}[31m".to_owned()));
    spans[0].metrics.push(("ratio".to_owned(), f64::NAN));
    let shown = JsonLines.trace(group(&spans));
    assert!(
        shown
            .starts_with("{\"type\":\"trace\",\"trace_id\":\"672012340000000000000000c0ffee00\",\"part\":1,"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'));
    let trace = &parsed(&shown)[..];
    let [trace] = trace else { panic!("not one line: {shown}") };
    let spans = trace["spans"].as_array().map_or(0, Vec::len);
    assert_eq!((spans, &trace["complete"]), (46, &Value::Bool(true)));
    let root = &trace["spans"][0];
    assert_eq!((&root["parent_id"], &root["span_id"]), (&Value::Null, &Value::from("0000000000000001")));
    assert_eq!(root["tags"]["note"], "two\nlines \u{1b}[31m");
    assert_eq!(root["metrics"]["ratio"], Value::Null);
    assert_eq!(trace["spans"][44]["events"][0]["name"], "lock.wait");
    assert_eq!(trace["spans"][45]["links"][0]["trace_id"], "000000000000abcd");
}

#[test]
fn json_tells_statistics_summary_and_books() {
    let bucket = &parsed(&JsonLines.stats(&stats()))[0];
    assert_eq!((&bucket["type"], &bucket["groups"][0]["hits"]), (&Value::from("stats"), &Value::from(3)));
    let p50 = bucket["groups"][0]["p50_ns"].as_f64().unwrap_or_default();
    assert!((p50 / 20e6 - 1.0).abs() < 0.03, "{p50}");

    let books = Books::default();
    books.accept(Signal::Traces, 5).delivered();
    books.accept(Signal::Traces, 2).dropped(Why::Sampled);
    let closing =
        Closing { report: "all".to_owned(), books: vec![(Signal::Traces, books.book(Signal::Traces))] };
    let mut tally = Tally::default();
    order().iter().for_each(|span| tally.add_span(span));
    let end = parsed(&JsonLines.finish(&tally, &closing));
    assert_eq!((&end[0]["type"], &end[0]["spans"]), (&Value::from("summary"), &Value::from(46)));
    let traces = &end[1]["signals"]["traces"];
    assert_eq!(
        (&traces["accepted"], &traces["delivered"], &traces["dropped"]["sampled"]),
        (&7.into(), &5.into(), &2.into())
    );
}
