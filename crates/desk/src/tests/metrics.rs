//! Metrics, events and checks: what a user sees of them.

use super::{parsed, tree};
use crate::metric::{Check, Context, Distribution, Event, Kind, Series, Sketch, Status};
use crate::session::Session;
use crate::store::{EVENTS_MAX, Store};
use crate::tally::Tally;
use crate::view::{Closing, JsonLines, View};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The first bucket of all.
const BEGIN: i64 = 1_790_000_000;

fn context(name: &str, kind: Kind, tags: &[&str]) -> Context {
    Context::new(name, kind, "", tags.iter().copied(), std::iter::empty())
}

fn add(store: &mut Store, name: &str, kind: Kind, tags: &[&str], values: &[f64]) {
    let points = (BEGIN..).step_by(10).zip(values.iter().copied()).collect();
    store.add_series(Series { context: context(name, kind, tags), interval: 10, points });
}

fn histogram(store: &mut Store, name: &str, tags: &[&str]) {
    for (suffix, values) in [
        (".avg", [12.5, 20.25]),
        (".median", [11.0, 17.5]),
        (".95percentile", [30.0, 61.5]),
        (".max", [41.0, 118.0]),
    ] {
        add(store, &format!("{name}{suffix}"), Kind::Gauge, tags, &values);
    }
    add(store, &format!("{name}.count"), Kind::Rate, tags, &[1.2, 0.4]);
}

/// The values 1 to 100 of a bucket, in the reference's bins.
fn hundred(timestamp: i64) -> Sketch {
    let key = |value: i32| (f64::from(value).ln() / 1.015_625_f64.ln()).round() as i32 + 1_338;
    Sketch {
        timestamp,
        count: 100,
        min: 1.0,
        max: 100.0,
        average: 50.5,
        sum: 5_050.0,
        bins: (1..=100).map(|value| (key(value), 1)).collect(),
    }
}

fn event(title: &str, alert_type: &str) -> Event {
    Event {
        title: title.to_owned(),
        text: "since product 3\nsold out".to_owned(),
        timestamp: BEGIN,
        alert_type: alert_type.to_owned(),
        tags: vec!["team:stock".to_owned()],
        ..Event::default()
    }
}

fn check(name: &str, status: Status, message: &str) -> Check {
    Check { name: name.to_owned(), status, message: message.to_owned(), ..Check::default() }
}

/// What a small shop tells in half a minute.
fn shop() -> Store {
    let mut store = Store::default();
    let tags = |tag: &'static str| ["env:demo", "service:shop", tag];
    add(&mut store, "shop.orders", Kind::Rate, &tags("product:lamp"), &[0.3, 0.8, 0.0, 1.0]);
    add(&mut store, "shop.orders", Kind::Rate, &tags("product:candle"), &[0.1]);
    add(&mut store, "shop.queue.depth", Kind::Gauge, &tags(""), &[12.0, 14.0, 9.0, 1_234.5]);
    add(&mut store, "shop.restocked", Kind::Count, &tags(""), &[144.0]);
    histogram(&mut store, "shop.page.time", &tags("page:home"));
    let distribution = context("shop.basket.value", Kind::Distribution, &tags(""));
    store.add_distribution(Distribution {
        context: distribution,
        points: vec![hundred(BEGIN), hundred(BEGIN + 10)],
    });
    add(&mut store, "datadog.dogstatsd.client.metrics", Kind::Rate, &["client:py"], &[3.0]);
    store.add_event(event("Stock is empty", "error"));
    store.add_event(event("Shop is open", "success"));
    store.add_check(check("shop.database", Status::Ok, ""));
    store.add_check(check("shop.supplier", Status::Critical, "no answer"));
    store
}

#[test]
fn a_flush_is_a_block_of_a_line_for_each_context() {
    let expected = "
metrics  10 contexts  each with env:demo service:shop
shop.basket.value                  dist   n 200  p50 49.8  p95 95.4  p99 98.4  max 100    ██
shop.orders        product:candle  rate   0.1/s  total 1
shop.orders        product:lamp    rate   1/s  total 21                                   ▃▇▁█
shop.page.time     page:home       hist   n 16  median 17.5  p95 61.5  max 118  avg 20.2  ▄█
shop.queue.depth                   gauge  1,235                                           ▁▁▁█
shop.restocked                     count  144  total 144
… and 1 of datadog.*
event  ✗ Stock is empty  since product 3 sold out  team:stock
event  ✓ Shop is open  since product 3 sold out  team:stock
check  ✓ shop.database ok
check  ✗ shop.supplier critical  no answer
";
    assert_eq!(tree(100).metrics(&shop()), expected);
}

#[test]
fn the_end_has_a_table_of_all_and_a_terminal_without_unicode_can_show_it() {
    let mut tally = Tally::default();
    tally.metrics = shop();
    tally.metrics.shown();
    let expected = "
-- 11 metric contexts, 2 events, 2 checks ----------------------------

  metrics  10 contexts  each with env:demo service:shop
  shop.basket.value                  n 200  p50 49.8  p95 95.4
  shop.orders        product:candle  0.1/s  total 1
  shop.orders        product:lamp    1/s  total 21
  shop.page.time     page:home       n 16  median 17.5  p95 61.5
  shop.queue.depth                   1,235
  shop.restocked                     144  total 144
  ~ and 1 of datadog.*
  event  x Stock is empty  since product 3 sold out  team:stock
  event  + Shop is open  since product 3 sold out  team:stock
  check  + shop.database ok
  check  x shop.supplier critical  no answer
";
    assert_eq!(tree(70).ascii(true).finish(&tally, &Closing::default()), expected);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut store = shop();
    let long = "a.very.long.name.of.a.metric.that.no.terminal.has.room.for.on.one.line";
    add(&mut store, long, Kind::Gauge, &["tag:with-a-long-value-too", "漢字:漢字漢字漢字"], &[1.5, 2.5]);
    store.add_check(check(long, Status::Warning, long));
    store.add_event(event(long, "warning"));
    let mut tally = Tally::default();
    for columns in [50, 69, 70, 89, 90, 100, 133, 150] {
        let block = tree(columns).metrics(&store);
        tally.metrics = std::mem::take(&mut store);
        let end = tree(columns).finish(&tally, &Closing::default());
        store = std::mem::take(&mut tally.metrics);
        for text in [&block, &end] {
            let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max();
            assert!(widest.is_some_and(|widest| widest <= columns), "{columns}: {text}");
        }
        assert_eq!(block.contains('▁'), columns >= 90, "{columns}: {block}");
        assert_eq!(block.contains("  rate  "), columns >= 70, "{columns}: {block}");
        assert!(block.contains("p95 95.4") && block.contains("total 21"), "{columns}: {block}");
    }
}

#[test]
fn only_what_changed_is_shown_again_and_the_rest_of_many_is_counted() {
    let mut store = shop();
    store.shown();
    assert_eq!(tree(100).metrics(&store), "");
    add(&mut store, "shop.queue.depth", Kind::Gauge, &["env:demo", "service:shop"], &[1.0, 1.0]);
    store.add_check(check("shop.supplier", Status::Critical, "no answer"));
    let expected = "
metrics  1 context
shop.queue.depth  env:demo service:shop  gauge  1,235  ▁▁▁█
";
    assert_eq!(tree(100).metrics(&store), expected);
    for number in 0..49 {
        add(&mut store, &format!("many.{number:02}"), Kind::Gauge, &[], &[1.0]);
    }
    for number in 0..20 {
        store.add_event(event(&number.to_string(), "info"));
        store.add_check(check(&number.to_string(), Status::Ok, ""));
    }
    let shown = tree(100).metrics(&store);
    assert!(shown.contains("\n… and 38 more\n"), "{shown}");
    assert!(shown.contains(&format!("\nevent  … {} more events before these\n", 20 - EVENTS_MAX)), "{shown}");
    assert!(shown.contains("\ncheck  … and 12 more checks\n"), "{shown}");
    assert!(shown.lines().count() <= 35, "{shown}");
}

#[test]
fn a_histogram_that_is_not_whole_is_shown_as_what_it_is() {
    let mut store = Store::default();
    histogram(&mut store, "a", &["x:1"]);
    add(&mut store, "b.avg", Kind::Gauge, &[], &[1.0]);
    add(&mut store, "b.count", Kind::Gauge, &[], &[1.0]);
    let shown = tree(100).metrics(&store);
    assert!(shown.contains("\na        x:1  hist"), "{shown}");
    assert!(shown.contains("\nb.avg ") && shown.contains("\nb.count "), "{shown}");
    assert!(!shown.contains("a.avg"), "{shown}");
}

#[test]
fn hosts_are_told_where_there_are_several_and_resources_always() {
    let mut store = Store::default();
    for host in ["one", "two"] {
        let context =
            Context::new("disk.free", Kind::Gauge, host, std::iter::empty(), [("device", "sda")].into_iter());
        store.add_series(Series { context, interval: 10, points: vec![(BEGIN, 5.0)] });
    }
    let shown = tree(100).metrics(&store);
    assert!(shown.contains("disk.free  device:sda host:two  gauge  5"), "{shown}");
}

#[test]
fn escape_sequences_in_any_text_of_a_metric_reach_no_terminal() {
    let evil = "\u{1b}[2J\u{9b}31m\u{7}\r\n\u{202e}x";
    let mut store = Store::default();
    let context = Context::new(evil, Kind::Gauge, evil, [evil].into_iter(), [(evil, evil)].into_iter());
    store.add_series(Series { context, interval: 10, points: vec![(BEGIN, 5.0)] });
    add(&mut store, "two", Kind::Gauge, &[evil], &[1.0]);
    let tags = vec![evil.to_owned()];
    store.add_event(Event { text: evil.to_owned(), tags: tags.clone(), ..event(evil, evil) });
    store.add_check(Check { tags, ..check(evil, Status::Unknown, evil) });
    let shown = tree(120).metrics(&store);
    let acting = |character: &char| character.is_control() && *character != '\n' || *character == '\u{202e}';
    assert_eq!(shown.chars().find(acting), None, "{shown:?}");
}

#[test]
fn a_session_of_metrics_alone_does_not_ask_for_traces() {
    let mut tally = Tally::default();
    tally.metrics = shop();
    let shown = tree(100).finish(&tally, &Closing::default());
    assert!(!shown.contains("No traces") && !shown.contains("0 spans"), "{shown}");
}

#[test]
fn json_has_a_line_for_each_value_with_stable_names() {
    let context = Context::new(
        "shop.orders",
        Kind::Rate,
        "",
        ["b", "a"].into_iter(),
        [("host", "h"), ("device", "eth0")].into_iter(),
    );
    let expected = "{\"type\":\"metric\",\"metric\":\"shop.orders\",\"host\":\"h\",\"tags\":[\"a\",\"b\"],\
        \"resources\":{\"device\":\"eth0\"},\"kind\":\"rate\",\"interval_ns\":10000000000,\
        \"time_ns\":1790000000000000000,\"value\":0.5}\n";
    assert_eq!(JsonLines.point(&context, 10, BEGIN, 0.5), expected);
    let gauge = Context { kind: Kind::Gauge, resources: Vec::new(), ..context.clone() };
    let line = &parsed(&JsonLines.point(&gauge, 0, i64::MAX, f64::NAN))[0];
    assert_eq!(
        (&line["interval_ns"], &line["value"], &line["resources"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    let line = &parsed(&JsonLines.sketch(&context, &hundred(BEGIN)))[0];
    let figures: Vec<_> =
        ["count", "sum", "min", "max", "avg"].iter().filter_map(|name| line[name].as_f64()).collect();
    assert_eq!((&line["type"], figures), (&json!("distribution"), vec![100.0, 5_050.0, 1.0, 100.0, 50.5]));
    for (name, exact) in [("p50", 50.0), ("p75", 75.0), ("p95", 95.0), ("p99", 99.0)] {
        let found = line[name].as_f64().unwrap_or_default();
        assert!((found / exact - 1.0).abs() < 0.02, "{name}: {found}");
    }
}

#[test]
fn json_has_a_line_for_each_event_and_check() {
    let told = Event { priority: "normal".to_owned(), source: "api".to_owned(), ..event("t", "error") };
    let expected = json!({
        "type": "event", "title": "t", "text": "since product 3\nsold out", "time_ns": 1_790_000_000_000_000_000_i64,
        "host": "", "tags": ["team:stock"], "priority": "normal", "alert_type": "error", "aggregation_key": "",
        "source": "api",
    });
    assert_eq!(parsed(&JsonLines.event(&told)), [expected]);
    let expected = json!({
        "type": "check", "name": "db", "status": "critical", "time_ns": null, "host": "", "tags": [],
        "message": "gone",
    });
    assert_eq!(parsed(&JsonLines.check(&check("db", Status::Critical, "gone"))), [expected]);

    let mut tally = Tally::default();
    tally.metrics = shop();
    let summary = &parsed(&JsonLines.finish(&tally, &Closing::default()))[0];
    let counts: Vec<_> =
        ["metric_contexts", "metric_points", "distributions", "metrics_not_kept", "events", "checks"]
            .iter()
            .filter_map(|name| summary[name].as_u64())
            .collect();
    assert_eq!(counts, [11, 21, 2, 0, 2, 2]);
}

/// What a session wrote.
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn one_flush_of_several_requests_is_one_block_and_a_steady_stream_is_shown_all_the_same() {
    let ms = Duration::from_millis;
    let paper = Paper::default();
    let mut session = Session::new(Box::new(tree(100)), Box::new(paper.clone()));
    let one = |name: &str| {
        let context = context(name, Kind::Gauge, &[]);
        Ok(vec![Series { context, interval: 10, points: vec![(BEGIN, 1.0)] }])
    };
    session.series(one("a"), ms(0)).unwrap();
    session.tick(ms(200));
    session.checks(br#"[{"check":"c","status":0}]"#, ms(250)).unwrap();
    session.tick(ms(549));
    assert_eq!(paper.text(), "");
    session.tick(ms(550));
    assert_eq!(paper.text(), "\nmetrics  1 context\na  gauge  1\ncheck  ✓ c ok\n");
    session.tick(ms(9_000));
    assert_eq!(paper.text(), "");
    for at in (10_000..12_000).step_by(100) {
        session.series(one("b"), ms(at)).unwrap();
        session.tick(ms(at));
        assert_eq!(paper.text(), "");
    }
    session.series(one("b"), ms(12_000)).unwrap();
    session.tick(ms(12_000));
    assert_eq!(paper.text(), "\nmetrics  1 context\nb  gauge  1\n");
    session.finish(&Closing::default());
    let end = paper.text();
    assert!(end.contains("  a  gauge  1\n  b  gauge  1\n"), "{end}");
}

#[test]
fn what_is_written_of_one_request_does_not_pile_up() {
    let paper = Paper::default();
    let mut session = Session::new(Box::new(JsonLines), Box::new(paper.clone()));
    let points = (0..2_000).map(|time| (time, 1.0)).collect();
    let context = context(&"x".repeat(1_000), Kind::Gauge, &[]);
    session.series(Ok(vec![Series { context, interval: 10, points }]), Duration::ZERO).unwrap();
    assert_eq!(parsed(&paper.text()).len(), 2_000);
}
