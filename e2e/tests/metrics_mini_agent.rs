//! The older mini agent's own binary and lastlight, the same DogStatsD lines to both: every difference is explained.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::Start,
    compare::{Differences, PLATFORM, start_mini_agent_with_statsd},
    folder,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    net::UdpSocket,
    time::{SystemTime, UNIX_EPOCH},
};
use testkit::{
    Backend,
    metrics::{COUNT, GAUGE, Origin, RATE},
};

/// What both are told of the program.
const SERVICE: [(&str, &str); 3] = [("DD_ENV", "prod"), ("DD_SERVICE", "shop"), ("DD_VERSION", "7")];
/// Both have taken everything before it when it arrives.
const LAST: &str = "cmp.the-last:1|c";

/// A datagram of each case. `NAME` is the metric's name.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    // Not where a bucket begins.
    let late = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60) / 10 * 10 + 7;
    let many: Vec<_> = (0..101).map(|number| format!("t{number}:v")).collect();
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("counts", text("NAME:2|c|#a:1\nNAME:3|c|#a:1")),
        ("gauges", text("NAME:1|g|#a:1\nNAME:-5.5|g|#a:1")),
        (
            "distributions",
            text("NAME:1|d|#a:1\nNAME:2.5|d|#a:1\nNAME:300|d|#a:1\nNAME:0|d|#a:1\nNAME:-7|d|#a:1"),
        ),
        ("no tags", text("NAME:2|c")),
        ("an end of line", text("NAME:2|c|#a:1\n")),
        ("tags in another order", text("NAME:2|c|#b:2,a:1,plain\nNAME:3|c|#plain,a:1,b:2")),
        ("repeated tags", text("NAME:2|c|#b:2,a:1,b:2,c:3,b:2")),
        ("101 tags", text(&format!("NAME:2|c|#{}", many.join(",")))),
        ("letters that are not ASCII", text("NAME:2|c|#città:ümlaut")),
        ("a count with a rate", text("NAME:2|c|@0.1|#a:1")),
        ("a distribution with a rate", text("NAME:2|d|@0.1|#a:1")),
        ("packed counts", text("NAME:1:2:3|c|#a:1")),
        ("packed gauges", text("NAME:1:2:3|g|#a:1")),
        ("packed distributions", text("NAME:1:2:3|d|#a:1")),
        ("a histogram", text("NAME:1|h|#a:1")),
        ("a timing", text("NAME:1|ms|#a:1")),
        ("a set", text("NAME:x|s|#a:1")),
        ("a count and a gauge of one name", text("NAME:1|c|#a:1\nNAME:5|g|#a:1")),
        ("a distribution and a count of one name", text("NAME:1|d|#a:1\nNAME:5|c|#a:1")),
        ("bytes that are not UTF-8 in another line", b"other:1|c|#a:\xff\nNAME:2|c|#a:1".to_vec()),
        ("a line that is wrong before", text("other\nNAME:2|c|#a:1")),
        ("a time", text(&format!("NAME:20|g|T{late}|#a:1"))),
        ("where it comes from", text("NAME:2|c|#a:1|c:in-1234|e:it-false|card:low")),
        ("a host tag", text("NAME:2|c|#host:till,a:1")),
        ("a device tag", text("NAME:2|c|#device:sda,a:1")),
        ("a resource tag", text("NAME:2|c|#dd.internal.resource:rack:r7,a:1")),
        ("a long datagram", text(&format!("NAME:2|c|#a:{}", "v".repeat(8_500)))),
        ("a field nobody knows", text("NAME:2|c|#a:1|x:y")),
        ("an exponent", text("NAME:2e3|g|#a:1")),
        ("an event", text("_e{5,4}:title|text|k:NAME")),
        ("a service check", text("_sc|NAME|1")),
        ("a value that is none", text("NAME:two|g|#a:1")),
    ]
}

fn name(number: usize) -> String {
    format!("cmp.case-{number}")
}

/// Sends every case in a datagram of its own, then the last one.
fn send(port: u16, cases: &[(&str, Vec<u8>)]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = cases.iter().enumerate().map(|(number, (_, bytes))| replaced(bytes, &name(number)));
    for datagram in datagrams.chain([LAST.into()]) {
        socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
    }
}

fn replaced(bytes: &[u8], name: &str) -> Vec<u8> {
    let mut left = bytes;
    let mut all = Vec::new();
    while let Some(place) = left.windows(4).position(|window| window == b"NAME") {
        all.extend_from_slice(&left[..place]);
        all.extend_from_slice(name.as_bytes());
        left = &left[place + 4..];
    }
    [&all, left].concat()
}

/// What arrived, by case.
fn arrived(backend: &Backend, cases: &[(&str, Vec<u8>)]) -> BTreeMap<String, Value> {
    let case = |metric: &str| {
        let found = (0..cases.len()).find(|number| {
            let name = name(*number);
            metric == name || metric.starts_with(&format!("{name}."))
        });
        found.map(|number| (cases[number].0.to_owned(), metric[name(number).len()..].to_owned()))
    };
    let mut arrived = BTreeMap::<String, Value>::new();
    let mut add = |metric: &str, kind: &str, value: Value| {
        let Some((case, suffix)) = case(metric) else { return };
        let fields = arrived.entry(case).or_insert_with(|| Value::Object(Map::new()));
        fields[format!("{kind}{suffix}")] = value;
    };
    for series in backend.series() {
        // The mini agent's numbers are one less than the published ones.
        let kind = if series.series_type == GAUGE || series.series_type == COUNT { "gauge" } else { "count" };
        let resources: Map<_, _> =
            series.resources.iter().map(|(kind, name)| (kind.clone(), json!(name))).collect();
        // What a rate says happened.
        let seconds =
            if series.series_type == RATE { f64::from(u32::try_from(series.interval).unwrap()) } else { 1.0 };
        let points: Vec<_> = series.points.iter().map(|(_, value)| value * seconds).collect();
        let fields = json!({
            "points": points.len(),
            "value": points.last(),
            "where a bucket begins": series.points.iter().all(|(timestamp, _)| timestamp % 10 == 0),
            "type": series.series_type,
            "interval": series.interval,
            "tags": tags(&series.tags),
            "resources": resources,
            "unit": series.unit,
            "source_type_name": series.source_type_name,
            "origin": origin(series.origin),
        });
        add(&series.metric, kind, fields);
    }
    for series in backend.sketches() {
        let sketches: Vec<_> = series.points.iter().map(|(_, sketch)| sketch).collect();
        let fields = json!({
            "points": sketches.len(),
            "sketch": sketches.last(),
            "tags": tags(&series.tags),
            "host": series.host,
            "origin": origin(series.origin),
        });
        add(&series.metric, "distribution", fields);
    }
    for event in backend.events() {
        add(&event.aggregation_key, "event", json!(event));
    }
    for check in backend.checks() {
        add(&check.name, "check", json!(check));
    }
    arrived
}

/// How often each tag is there.
fn tags(tags: &[String]) -> BTreeMap<String, u32> {
    let mut times = BTreeMap::new();
    for tag in tags {
        *times.entry(tag.clone()).or_insert(0) += 1;
    }
    times
}

fn origin(origin: Option<Origin>) -> Value {
    origin.map_or(Value::Null, |origin| json!([origin.product, origin.category, origin.service]))
}

/// How the two kinds of payload were sent.
fn requests(backend: &Backend) -> BTreeMap<String, Value> {
    let mut requests = BTreeMap::new();
    for path in ["/api/v2/series", "/api/beta/sketches"] {
        if let Some(request) = backend.acknowledged(path).first() {
            let header = |name: &str| request.header(name).map(str::to_owned);
            let fields = json!({
                "content-type": header("content-type"),
                "content-encoding": header("content-encoding"),
                "dd-agent-payload": header("dd-agent-payload"),
            });
            requests.insert(format!("POST {path}"), fields);
        }
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_of_metrics_to_the_mini_agent_is_explained() {
    let (our_backend, their_backend) = (Backend::start().await, Backend::start().await);
    let copies = tempfile::tempdir().unwrap();
    let lastlight = Start::new(&our_backend).set(PLATFORM.0, PLATFORM.1);
    let lastlight = SERVICE.iter().fold(lastlight, |start, (name, value)| start.set(name, *value));
    let lastlight = lastlight.start().await;
    let mini = start_mini_agent_with_statsd(&their_backend, copies.path(), &SERVICE).await;
    let cases = cases();
    send(lastlight.statsd_port(), &cases);
    send(mini.statsd_port(), &cases);
    // It sends every 10 s, and not when it is stopped.
    let last = |backend: &Backend| {
        let last = LAST.split(':').next().unwrap();
        backend.metrics().total(last, &[]) > 0.0 && backend.counts().sketched > 0
    };
    their_backend.wait_until(last, BOUND).await.unwrap();
    let stopped = lastlight.stop().await;
    assert_eq!(stopped.status.code(), Some(0), "{:?}", stopped.lines);
    mini.stop().await;

    let mut differences = Differences::default();
    differences.metrics(&arrived(&their_backend, &cases), &arrived(&our_backend, &cases));
    differences.metrics(&requests(&their_backend), &requests(&our_backend));
    let markdown = std::fs::read_to_string(folder().join("DIFFERENCES.md")).unwrap();
    differences.are_explained(&markdown, |kind| kind.starts_with("metric"));
}
