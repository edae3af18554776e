//! Logs: what a user sees of them, below their spans and without a trace.

use super::metrics::Paper;
use super::{START, group, order, parsed, span, tree};
use crate::gather::Group;
use crate::logs::{LATEST_MAX, LogRecord};
use crate::session::Session;
use crate::tally::Tally;
use crate::view::{Closing, JsonLines, Tree, View};
use serde_json::{Value, json};
use std::time::Duration;

const START_MS: i64 = START / 1_000_000;
/// What would act on a terminal.
const EVIL: &str = "\u{1b}[2J\u{9b}31m\u{1b}]0;x\u{7}\u{1b}c\u{7}\u{9b}\u{1b}\r\t\u{202e}x";

/// A log of `span_id`, `at` milliseconds after the trace's start.
fn log(span_id: u64, at: i64, status: &str, service: &str, message: &str) -> LogRecord {
    LogRecord {
        message: message.to_owned(),
        status: status.to_owned(),
        timestamp_ms: Some(START_MS + at),
        service: service.to_owned(),
        source: "python".to_owned(),
        trace_id: 0xc0ff_ee00,
        span_id,
        ..LogRecord::default()
    }
}

fn alone(at: i64, status: &str, message: &str) -> LogRecord {
    LogRecord { trace_id: 0, ..log(0, at, status, "shop", message) }
}

/// What the services of the order wrote, the last line first.
fn written() -> Vec<LogRecord> {
    let traceback = "could not reserve\nTraceback (most recent call last):\n  File \"stock.py\", line 3, in reserve\n\
        \n    raise OutOfStock(product)\nOutOfStock: nothing left of product 3\n1\n2\n3\n";
    vec![
        log(61, 205, "error", "stock", traceback),
        log(1, 3, "info", "shop", "\u{1b}[32morder\u{1b}[0m of 40 products"),
        log(61, 62, "debug", "stock-worker", "asked for product 3"),
        log(77, 230, "warn", "shop", "of a span that is not here"),
        log(13, 9, "notice", "shop-db", "of a span that is drawn"),
        log(45, 29, "info", "shop-db", "of a span that is folded"),
        LogRecord { timestamp_ms: None, ..log(60, 0, "", "", "without status, time and service") },
    ]
}

fn is_acting(character: &char) -> bool {
    character.is_control() && *character != '\n' || *character == '\u{202e}'
}

#[test]
fn logs_stand_below_their_spans_in_the_order_of_their_time_and_the_others_below_the_trace() {
    let spans = order();
    let logs = written();
    let expected = "
trace 672012340000000000000000c0ffee00  +0.00 s  46 spans  4 services  7 logs  3 errors
shop · flask.request  POST /orders → 502                      web       231 ms  ━━━━━━━━━━━━━━━━━━━━
│ I +3 ms  order of 40 products
├─ redis.command  GET session:?                               redis    1.20 ms  ╸
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╸
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ━
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╺
├─ shop-db · sqlite.query  SELECT name, price FRO…ERE id = ?  sql       310 µs  ╺
│    N +3 ms  of a span that is drawn
├─ … 36 more like it, 11.2 ms in all
├─ ✗ requests.request  POST http://stock.in…al/reserve → 500  http      180 ms     ━━━━━━━━━━━━━━━━╸
│  │ ✗ HTTPError: 500 Server Error for url http://stock.internal/reserve
│  │ I without status, time and service
│  └─ ✗ stock · flask.request  POST /reserve → 500            web       150 ms       ━━━━━━━━━━━━━╸
│     │ D +2 ms  stock-worker · asked for product 3
│     │ E +145 ms  could not reserve
│     │   Traceback (most recent call last):
│     │     File \"stock.py\", line 3, in reserve
│     │       raise OutOfStock(product)
│     │   OutOfStock: nothing left of product 3
│     │   1
│     │   … 2 more lines
│     └─ ✗ stock-db · sqlite.query  UPDATE stock SET…le >= ?  sql       130 ms        ━━━━━━━━━━━╸
│          ✗ OutOfStock: nothing left of product 3
│          ◆ +120 ms lock.wait  table=stock
└─ kafka.produce  order-failed                                queue    4.00 ms                     ━
     ↗ linked to 000000000000abcd/00000000000000ef  reason=retry
I +29 ms  shop-db · of a span that is folded
W +230 ms  shop · of a span that is not here
";
    assert_eq!(tree(100).trace(Group { logs: &logs, ..group(&spans) }), expected);
}

#[test]
fn logs_that_come_after_their_trace_are_shown_at_their_places_in_it() {
    let spans = order();
    let logs = [log(62, 75, "error", "stock-db", "locked"), log(62, 1_270, "info", "stock-db", "freed")];
    let late = Group { fresh: spans.len(), logs: &logs, ..group(&spans) };
    let expected = "
more of trace 672012340000000000000000c0ffee00  +0.00 s  2 logs
shop · flask.request  POST /orders → 502                      web       231 ms
└─ ✗ requests.request  POST http://stock.in…al/reserve → 500  http      180 ms
   └─ ✗ stock · flask.request  POST /reserve → 500            web       150 ms
      └─ ✗ stock-db · sqlite.query  UPDATE stock SET…le >= ?  sql       130 ms
           E +5 ms  locked
           I +1.20 s  freed
";
    assert_eq!(tree(100).trace(late), expected);
    assert_eq!(JsonLines.trace(late), "", "each log has had its line");
}

#[test]
fn of_many_logs_the_latest_are_shown_and_the_rest_is_counted() {
    let spans: Vec<_> =
        (1..=20).map(|id| span((id, id - 1), (0.0, 9.0), ("shop", "work", "job", ""))).collect();
    let logs: Vec<_> = (0..300).map(|at| log(1 + at as u64 / 15, at, "info", "shop", "x")).collect();
    let shown = tree(100).trace(Group { logs: &logs, ..group(&spans) });
    assert_eq!(shown.matches("I +").count(), 60, "{shown}");
    assert_eq!(shown.matches("… 7 more logs before these\n").count(), 7, "{shown}");
    assert!(shown.contains("… 11 more logs before these\n"), "{shown}");
    assert!(shown.ends_with("\n… 180 more logs of this trace not shown\n"), "{shown}");
    assert!(shown.contains("│ I +7 ms  x\n") && !shown.contains("I +6 ms"), "{shown}");
}

#[test]
fn logs_without_a_trace_are_a_short_block_in_the_order_of_their_time() {
    let mut tally = Tally::default();
    for at in 0..LATEST_MAX as i64 {
        tally.logs.add(alone(at, "info", "left"));
    }
    tally.logs.add(alone(20_100, "error", "last\n\nTraceback\n  File"));
    tally.logs.add(LogRecord { source: String::new(), ..alone(-1_500, "warn", "first in time") });
    tally.logs.add(LogRecord { timestamp_ms: None, ..alone(0, "", "no time") });
    for (at, status) in [(30, "debug"), (31, "fatal"), (32, "notice"), (33, "alert"), (34, "critical")] {
        tally.logs.add(alone(at, status, &"long ".repeat(50)));
    }
    let expected = "
logs  1 emergency, 1 alert, 1 critical, 1 error, 1 warn, 1 notice, 9 info, 1 debug
… 8 more logs before these
W  +0.00 s  shop    first in time
I           python  no time
D  +1.53 s  python  long long long long long long long long long long long long long long long long…
F  +1.53 s  python  long long long long long long long long long long long long long long long long…
N  +1.53 s  python  long long long long long long long long long long long long long long long long…
A  +1.53 s  python  long long long long long long long long long long long long long long long long…
C  +1.53 s  python  long long long long long long long long long long long long long long long long…
E +21.60 s  python  last  … 2 more lines
";
    assert_eq!(tree(100).logs(&tally.logs), expected);
    tally.logs.shown();
    assert_eq!(tree(100).logs(&tally.logs), "");
}

#[test]
fn of_a_message_that_is_json_its_text_is_shown() {
    let shown = |message: &str| {
        let mut tally = Tally::default();
        tally.logs.add(LogRecord { timestamp_ms: None, ..alone(0, "info", message) });
        tree(100).logs(&tally.logs).lines().nth(2).unwrap_or_default().to_owned()
    };
    assert_eq!(
        shown(r#"{"level":30,"msg":"or\u0064er\nof 40","deep":[[{}]]}"#),
        "I  python  order  … 1 more line"
    );
    assert_eq!(shown(r#"{"event":"login","message":""}"#), "I  python  login");
    assert_eq!(shown("{\"message\":\"\\u001b[31mred\\u0007\"}"), "I  python  red␇");
    for other in [r#"{"message":{"a":1}}"#, r#"{"a":1}"#, r#"{"msg":"cut"#, "{not json}", r#""text""#] {
        assert_eq!(shown(other), format!("I  python  {other}"));
    }
}

#[test]
fn the_end_counts_logs_by_status_and_service() {
    let mut tally = Tally::default();
    for _ in 0..1_200 {
        tally.logs.count(&alone(0, "info", ""));
    }
    tally.logs.count(&alone(0, "error", ""));
    for number in 0..12 {
        tally.logs.count(&log(0, 0, "debug", &format!("s{number:02}"), ""));
    }
    tally.logs.count(&log(0, 0, "warn", "", ""));
    tally.logs.unkept = 5;
    let shown = tree(70).finish(&tally, &Closing::default());
    let expected = "
── 0 traces, 0 spans, 1,214 logs ─────────────────────────────────────
  No traces and no metrics arrived. Is the program instrumented, and does it send to this agent?

  logs  1 error, 1 warn, 1,200 info, 12 debug
  shop             1,201  1 error, 1,200 info
  (no service)         1  1 warn
  s00                  1  1 debug
  s01                  1  1 debug
  s02                  1  1 debug
  s03                  1  1 debug
  s04                  1  1 debug
  s05                  1  1 debug
  s06                  1  1 debug
  s07                  1  1 debug
  … and 4 logs of other services
  … 5 logs of traces that had not come, not kept
";
    assert_eq!(shown, expected);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let spans = order();
    let long = "漢字 a very long line without an end that no terminal has room for ".repeat(9);
    let mut logs = written();
    logs.push(log(62, 70, "info", &long, &format!("{long}\n\t\t\t\t\t\t\t{long}\n{long}")));
    logs.push(log(0, i64::MAX - START_MS, "info", &long, &long));
    let mut tally = Tally::default();
    for log in &logs {
        tally.logs.count(log);
        tally.logs.add(LogRecord { source: long.clone(), ..log.clone() });
    }
    for columns in [50, 69, 70, 89, 90, 100, 133, 150] {
        let mut view = tree(columns);
        let drawn = view.trace(Group { logs: &logs, ..group(&spans) });
        let block = view.logs(&tally.logs);
        let end = view.finish(&tally, &Closing::default());
        // The hint for a session without traces is a sentence.
        let lines = drawn.lines().skip(2).chain(block.lines()).chain(end.lines().skip(4));
        let widest = lines.map(unicode_width::UnicodeWidthStr::width).max();
        assert!(widest.is_some_and(|widest| widest <= columns), "{columns}: {widest:?} {drawn}{block}{end}");
        assert!(block.contains('漢') && end.contains('漢'), "{columns}: {block}{end}");
    }
}

#[test]
fn escape_sequences_in_any_text_of_a_log_reach_no_terminal() {
    let spans = order();
    let evil = |span_id| LogRecord {
        source: EVIL.to_owned(),
        host: EVIL.to_owned(),
        tags: vec![EVIL.to_owned()],
        ..log(span_id, 5, EVIL, EVIL, &format!("{EVIL}\n{EVIL}\u{85}\u{2028}{EVIL}"))
    };
    let logs = [evil(1), evil(0), LogRecord { service: String::new(), ..evil(0) }];
    let mut tally = Tally::default();
    for log in &logs {
        tally.logs.count(log);
        tally.logs.add(log.clone());
    }
    let mut view = tree(120);
    let shown = view.trace(Group { logs: &logs, ..group(&spans) })
        + &view.logs(&tally.logs)
        + &view.finish(&tally, &Closing::default());
    assert_eq!(shown.chars().find(is_acting), None, "{shown:?}");
    let json = JsonLines.log(&evil(1));
    assert_eq!(parsed(&json)[0]["service"], EVIL);
    assert_eq!(json.matches('\n').count(), 1, "{json:?}");
}

#[test]
fn colours_tell_the_status_only_when_wanted() {
    let mut tally = Tally::default();
    for status in ["error", "warn", "info"] {
        tally.logs.add(alone(0, status, "x"));
    }
    let coloured = Tree::new(|| 100, true).logs(&tally.logs);
    assert!(coloured.contains("\u{1b}[31mE\u{1b}[0m") && coloured.contains("\u{1b}[33mW\u{1b}[0m"));
    assert!(coloured.contains("\nI\u{1b}[2m"), "{coloured:?}");
    assert!(!tree(100).logs(&tally.logs).contains('\u{1b}'));
}

#[test]
fn a_terminal_without_unicode_shows_logs_in_ascii() {
    let spans = order();
    let logs = [log(1, 5, "info", "shop", "漢 ✓\na\nb\nc\nd\ne\nf\ng")];
    let shown = tree(100).ascii(true).trace(Group { logs: &logs, ..group(&spans) });
    assert!(
        shown.contains("\n| I +5 ms  ?? +\n|   a\n") && shown.contains("\n|   ~ 2 more lines\n"),
        "{shown}"
    );
    assert!(shown.is_ascii(), "{shown}");
}

#[test]
fn json_has_a_line_for_each_log_with_stable_names() {
    let log = LogRecord {
        host: "here".to_owned(),
        tags: vec!["a:b".to_owned()],
        trace_id_high: 0x6720_1234_0000_0000,
        attributes: [("user".to_owned(), "{\"id\":1.50}".to_owned())].into(),
        ..log(61, 5, "warn", "shop", "two\nlines \u{1b}[31m")
    };
    let expected = "{\"type\":\"log\",\"message\":\"two\\nlines \\u001b[31m\",\"status\":\"warn\",\
        \"time_ns\":1790000000005000000,\"host\":\"here\",\"service\":\"shop\",\"source\":\"python\",\
        \"tags\":[\"a:b\"],\"trace_id\":\"672012340000000000000000c0ffee00\",\"span_id\":\"000000000000003d\",\
        \"attributes\":{\"user\":{\"id\":1.50}}}\n";
    assert_eq!(JsonLines.log(&log), expected);
    let bare = &parsed(&JsonLines.log(&LogRecord { attributes_not_kept: 2, ..LogRecord::default() }))[0];
    let expected = json!({
        "type": "log", "message": "", "status": "", "time_ns": null, "host": "", "service": "", "source": "",
        "tags": [], "trace_id": null, "span_id": null, "attributes": {}, "attributes_not_kept": 2,
    });
    assert_eq!(bare, &expected);

    let mut tally = Tally::default();
    for status in ["error", "", "info"] {
        tally.logs.count(&alone(0, status, "x"));
    }
    let summary = &parsed(&JsonLines.finish(&tally, &Closing::default()))[0];
    assert_eq!(
        (&summary["logs"], &summary["logs_by_status"]),
        (&Value::from(3), &json!({"error": 1, "info": 2}))
    );
}

/// A session at a terminal, or as JSON, and its paper.
fn session(view: Box<dyn View>) -> (Session, Paper) {
    let paper = Paper::default();
    (Session::new(view, Box::new(paper.clone())), paper)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn body(trace_id: u64, message: &str) -> Vec<u8> {
    json!([{"message": message, "status": "info", "dd.trace_id": trace_id.to_string(), "dd.span_id": "1"}])
        .to_string()
        .into_bytes()
}

#[test]
fn a_block_waits_for_a_quiet_moment_and_a_steady_stream_is_shown_all_the_same() {
    let (mut session, paper) = session(Box::new(tree(100)));
    session.logs(&body(0, "a"), ms(0)).unwrap();
    session.tick(ms(299));
    assert_eq!(paper.text(), "");
    session.tick(ms(300));
    assert_eq!(paper.text(), "\nlogs  1 info\nI  a\n");
    for at in (1_000..3_000).step_by(100) {
        session.logs(&body(0, "b"), ms(at)).unwrap();
        session.tick(ms(at));
        assert_eq!(paper.text(), "");
    }
    session.logs(&body(0, "c"), ms(3_000)).unwrap();
    session.tick(ms(3_000));
    let block = paper.text();
    assert!(block.starts_with("\nlogs  21 info\n… 13 more logs before these\n"), "{block}");
    assert_eq!(block.lines().count(), LATEST_MAX + 3, "{block}");
    session.logs(&body(0, "d"), ms(3_100)).unwrap();
    let tally = session.finish(&Closing::default());
    assert!(paper.text().starts_with("\nlogs  1 info\nI  d\n"));
    assert_eq!(tally.logs.received, 23);
}

/// The body of a trace of one span, 1, as the agent sends it.
fn trace(trace_id: u64, name: &str) -> Vec<u8> {
    use model::{Bump, Chunk, Payload, Span};
    use wire::intake::traces::{AgentHeader, TraceEncoder, agent_header};
    let arena = Bump::new();
    let mut span = Span::new_in(&arena);
    (span.trace_id, span.span_id, span.name) = (trace_id, 1, name);
    let mut chunk = Chunk::new_in(&arena);
    chunk.spans.push(span);
    let encoder = TraceEncoder::new(&[], None);
    let (mut content, mut body) = (Vec::new(), Vec::new());
    encoder.chunk(&chunk, &chunk.spans, &mut content);
    encoder.payload_fields(&Payload::new_in(&arena), &[], &mut content);
    TraceEncoder::tracer_payload(&[&content], &mut body);
    agent_header(&AgentHeader::default(), &mut body);
    body
}

#[test]
fn logs_wait_for_their_trace_or_follow_it_or_are_shown_without_it() {
    let (mut session, paper) = session(Box::new(tree(100)));
    session.logs(&body(7, "before"), ms(0)).unwrap();
    session.logs(&body(8, "never"), ms(0)).unwrap();
    session.traces(&trace(7, "work"), ms(20_000)).unwrap();
    session.tick(ms(20_300));
    let shown = paper.text();
    assert!(shown.contains("1 span  1 log\nwork") && shown.ends_with("\n  I before\n"), "{shown}");
    session.logs(&body(7, "after"), ms(25_000)).unwrap();
    session.tick(ms(25_299));
    assert_eq!(paper.text(), "");
    session.tick(ms(25_300));
    let shown = paper.text();
    assert!(shown.starts_with("\nmore of trace 0000000000000007"), "{shown}");
    assert!(shown.ends_with("\n  I after\n"), "{shown}");
    session.tick(ms(29_999));
    session.tick(ms(30_000));
    session.tick(ms(30_300));
    assert_eq!(paper.text(), "\nlogs  1 info\nI  never\n");
    session.logs(&body(9, "at the end"), ms(31_000)).unwrap();
    session.finish(&Closing::default());
    assert!(paper.text().starts_with("\nlogs  1 info\nI  at the end\n"));
}

#[test]
fn json_tells_each_log_once_when_it_comes() {
    let (mut session, paper) = session(Box::new(JsonLines));
    session.traces(&trace(7, "work"), ms(0)).unwrap();
    session.tick(ms(300));
    session.logs(&body(7, "after"), ms(400)).unwrap();
    session.logs(&body(0, "alone"), ms(400)).unwrap();
    session.tick(ms(9_000));
    session.finish(&Closing::default());
    let kinds: Vec<_> = parsed(&paper.text()).iter().map(|line| line["type"].clone()).collect();
    assert_eq!(kinds, ["trace", "log", "log", "summary", "books"]);
}
