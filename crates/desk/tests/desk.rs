//! A desk over its own wire: what a backend's client can do to it, and what is shown then.

use lastlight_desk::{Closing, Desk, JsonLines, Tally};
use model::log::{Log, LogStatus};
use model::metric::{Distribution, Event, Identity, Series, SeriesType, ServiceCheck, SketchPoint};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload};
use model::{Bump, Chunk, Payload, Span};
use serde_json::Value;
use std::io::{self, Read as _, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::intake::traces::{AgentHeader, TraceEncoder, agent_header};
use wire::intake::{checks, events};

const DEADLINE: Duration = Duration::from_secs(20);

/// What the desk wrote.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Session {
    desk: Desk,
    paper: Paper,
}

impl Session {
    fn start() -> Self {
        let paper = Paper::default();
        let desk =
            Desk::start(Box::new(JsonLines), Box::new(paper.clone())).expect("a loopback port is free");
        Self { desk, paper }
    }

    /// Sends raw bytes on a connection of their own, and gives the answer's status.
    fn send(&self, request: &[u8]) -> u16 {
        let address = self.desk.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).expect("the desk listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        // The desk may refuse before it has read everything.
        stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write)).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn post(&self, path: &str, headers: &str, body: &[u8]) -> u16 {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        self.send(&[head.as_bytes(), body].concat())
    }

    fn finish(self) -> (Vec<Value>, Tally) {
        let tally = self.desk.finish(Closing::default(), DEADLINE).expect("the desk ends in time");
        let lines = self.paper.0.lock().expect("the desk is gone").clone();
        let lines = String::from_utf8(lines).expect("text");
        (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), tally)
    }
}

/// An agent's payload with one trace of a root and its child.
fn traces() -> Vec<u8> {
    let arena = Bump::new();
    let mut chunk = Chunk::new_in(&arena);
    chunk.priority = 1;
    for (span_id, parent_id) in [(2, 1), (1, 0)] {
        let mut span = Span::new_in(&arena);
        (span.service, span.name, span.resource) = ("shop", "work", "GET /");
        (span.trace_id, span.span_id, span.parent_id) = (7, span_id, parent_id);
        span.set_meta("env", "dev");
        chunk.spans.push(span);
    }
    let encoder = TraceEncoder::new(&[], None);
    let (mut content, mut body) = (Vec::new(), Vec::new());
    encoder.chunk(&chunk, &chunk.spans, &mut content);
    encoder.payload_fields(&Payload::new_in(&arena), &[], &mut content);
    TraceEncoder::tracer_payload(&[&content], &mut body);
    agent_header(&AgentHeader { host_name: "here", ..AgentHeader::default() }, &mut body);
    body
}

fn stats() -> Vec<u8> {
    let group = StatsGroup { service: "shop".to_owned(), hits: 3, ..StatsGroup::default() };
    let bucket = StatsBucket { start: 10, duration: 20, groups: vec![group], agent_time_shift: 0 };
    let payload = StatsPayload {
        stats: vec![ClientStats { buckets: vec![bucket], ..ClientStats::default() }],
        ..StatsPayload::default()
    };
    let mut body = Vec::new();
    wire::stats::encode_stats_payload(&payload, &mut body);
    body
}

/// What the agent makes of `shop.orders:5|c` and of `shop.queue:3|g` in one bucket.
fn series() -> Vec<u8> {
    let mut body = Vec::new();
    for (name, series_type, interval, value) in
        [("orders", SeriesType::Rate, 10, 0.5), ("queue", SeriesType::Gauge, 0, 3.0)]
    {
        let identity = Identity {
            name: ["shop.", name, ""],
            host: "here",
            resources: &[("device", "eth0")],
            tags: &["env:dev", "a:b"],
            origin: None,
        };
        let points = &[(1_790_000_000, value)];
        wire::intake::series::encode(&Series { identity, series_type, interval, points }, &mut body);
    }
    body
}

/// The distribution of the values 0, 1 and 1.
fn sketches() -> Vec<u8> {
    let point = SketchPoint {
        timestamp: 1_790_000_000,
        count: 3,
        min: 0.0,
        max: 1.0,
        average: 2.0 / 3.0,
        sum: 2.0,
        keys: &[0, 1_338],
        counts: &[1, 2],
    };
    let identity = Identity { name: ["", "shop.time", ""], tags: &["env:dev"], ..Identity::default() };
    let mut body = Vec::new();
    wire::intake::sketches::encode(&Distribution { identity, points: &[point] }, &mut body);
    body
}

fn event() -> Vec<u8> {
    let event = Event { title: "sold out".into(), text: "a\nb".into(), tags: "x:y", ..Event::default() };
    let context = events::Context { hostname: "here", now: 1_790_000_000, tags: &["env:dev"] };
    let (mut entry, mut body) = (Vec::new(), Vec::new());
    events::encode(&event, &context, &mut entry);
    events::payload(&[(events::source(&event), &entry)], "here", &mut body);
    body
}

fn check() -> Vec<u8> {
    let check =
        ServiceCheck { name: "shop.db", status: 2, message: "gone".into(), ..ServiceCheck::default() };
    let context = events::Context { hostname: "here", now: 1_790_000_000, tags: &[] };
    let (mut entry, mut body) = (Vec::new(), Vec::new());
    checks::encode(&check, &context, &mut entry);
    checks::payload(&[&entry], &mut body);
    body
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory does not fail")
}

#[test]
fn traces_in_any_encoding_are_joined_by_their_id_and_shown() {
    let session = Session::start();
    let zstd = zstd::encode_all(traces().as_slice(), 1).expect("memory does not fail");
    assert_eq!(session.post("/api/v0.2/traces", "Content-Encoding: zstd\r\n", &zstd), 200);
    assert_eq!(session.post("/api/v0.2/traces", "Content-Encoding: gzip\r\n", &gzip(&traces())), 200);
    assert_eq!(session.post("/api/v0.2/traces", "", &traces()), 200);
    let (lines, tally) = session.finish();
    assert_eq!((tally.spans, tally.traces()), (6, 1));
    let spans: usize = lines.iter().filter_map(|line| line["spans"].as_array()).map(Vec::len).sum();
    assert_eq!(spans, 6, "{lines:?}");
    assert_eq!((&lines[0]["type"], &lines[0]["complete"]), (&Value::from("trace"), &Value::from(true)));
    assert_eq!(lines[0]["spans"][0]["tags"]["env"], "dev");
}

#[test]
fn metrics_events_and_checks_as_the_agent_encodes_them_are_shown() {
    let session = Session::start();
    let zstd = |body: Vec<u8>| zstd::encode_all(body.as_slice(), 1).expect("memory does not fail");
    let protobuf = "Content-Type: application/x-protobuf\r\n";
    let packed = |encoding| format!("{protobuf}Content-Encoding: {encoding}\r\n");
    assert_eq!(session.post("/api/v2/series", &packed("zstd"), &zstd(series())), 202);
    assert_eq!(session.post("/api/beta/sketches", &packed("gzip"), &gzip(&sketches())), 202);
    assert_eq!(session.post("/intake/", "Content-Type: application/json\r\n", &event()), 202);
    assert_eq!(session.post("/api/v1/check_run", "Content-Encoding: zstd\r\n", &zstd(check())), 202);
    let (lines, tally) = session.finish();
    let counted = (tally.metrics.contexts(), tally.metrics.points, tally.metrics.sketches);
    assert_eq!((counted, tally.metrics.events, tally.metrics.checks), ((3, 2, 1), 1, 1));
    let [orders, queue, time, event, check, ..] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (&orders["metric"], &orders["kind"], &orders["interval_ns"], &orders["value"]),
        (&"shop.orders".into(), &"rate".into(), &10_000_000_000_u64.into(), &0.5.into())
    );
    assert_eq!(orders["tags"], serde_json::json!(["a:b", "env:dev"]));
    assert_eq!((&orders["host"], &orders["resources"]["device"]), (&"here".into(), &"eth0".into()));
    assert_eq!((&queue["kind"], &queue["value"]), (&"gauge".into(), &3.0.into()));
    assert_eq!((&time["type"], &time["count"]), (&"distribution".into(), &3.into()));
    assert_eq!((&time["p50"], &time["max"]), (&1.0.into(), &1.0.into()));
    assert_eq!((&event["title"], &event["alert_type"]), (&"sold out".into(), &"info".into()));
    assert_eq!(event["tags"], serde_json::json!(["env:dev", "x:y"]));
    assert_eq!((&check["name"], &check["status"]), (&"shop.db".into(), &"critical".into()));
    assert_eq!((&check["message"], &check["host"]), (&"gone".into(), &"here".into()));
}

#[test]
fn metrics_of_other_agents_are_shown_too() {
    let session = Session::start();
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let v2 = br#"{"series":[{"metric":"two","type":1,"points":[{"timestamp":10,"value":1}]}]}"#;
    let v1 = br#"{"series":[{"metric":"one","type":"count","points":[[10,1]]}]}"#;
    assert_eq!(session.post("/api/v2/series", json, v2), 202);
    assert_eq!(session.post("/api/v1/series", json, v1), 202);
    assert_eq!(session.post("/intake/", json, br#"{"internalHostname":"h","meta":{}}"#), 202);
    let (lines, _) = session.finish();
    assert_eq!((&lines[0]["metric"], &lines[1]["metric"]), (&"two".into(), &"one".into()));
    assert!(lines[..2].iter().all(|line| line["kind"] == "count"), "{lines:?}");
    assert_eq!((&lines[2]["type"], &lines[2]["path"]), (&"request".into(), &"/intake/".into()));
}

#[test]
fn hostile_metrics_are_refused_and_counted_and_the_next_are_taken() {
    let session = Session::start();
    let bomb = zstd::encode_all(io::repeat(b' ').take(80_000_000), 1).expect("memory does not fail");
    let mut refused = 0;
    for path in ["/api/v2/series", "/api/beta/sketches", "/api/v1/series", "/intake/", "/api/v1/check_run"] {
        assert_eq!(session.post(path, "Content-Encoding: zstd\r\n", &bomb), 413, "{path}");
        assert_eq!(session.post(path, "Content-Encoding: zstd\r\n", b"nonsense"), 400, "{path}");
        // A length beyond the body, and as JSON a text without its end.
        assert_eq!(session.post(path, "", b"\x0a\xff\xff\xff\xff\x0f\""), 400, "{path}");
        refused += 3;
    }
    let json = "Content-Type: application/json\r\n";
    assert_eq!(session.post("/api/v2/series", json, b"{\"series\":[{}]}"), 400);
    assert_eq!(session.post("/api/v2/series", "", &series()), 202);
    let (_, tally) = session.finish();
    assert_eq!((tally.refused, tally.metrics.points), (refused + 1, 2));
}

/// What the agent makes of two lines of a program.
fn logs() -> Vec<u8> {
    let log = |message: &'static [u8], trace_id| Log {
        message,
        status: LogStatus::Error,
        timestamp_ms: 1_790_000_000_123,
        hostname: "here",
        service: "shop",
        source: "python",
        tags: "version:1",
        trace_id,
        span_id: trace_id.map(|_| "1"),
    };
    let entries = [log(b"of the \"trace\"\n  line 2", Some("7")), log(b"alone", None)].map(|log| {
        let mut entry = Vec::new();
        wire::intake::logs::encode(&log, &mut entry);
        entry
    });
    let mut body = Vec::new();
    wire::intake::logs::payload(entries.iter().map(Vec::as_slice), "env:dev", &mut body);
    body
}

#[test]
fn logs_as_the_agent_encodes_them_are_shown_in_any_encoding() {
    let session = Session::start();
    let zstd = zstd::encode_all(logs().as_slice(), 1).expect("memory does not fail");
    let json = "Content-Type: application/json\r\n";
    assert_eq!(session.post("/api/v2/logs", &format!("{json}Content-Encoding: zstd\r\n"), &zstd), 202);
    assert_eq!(
        session.post("/api/v2/logs", &format!("{json}Content-Encoding: gzip\r\n"), &gzip(&logs())),
        202
    );
    assert_eq!(session.post("/api/v2/logs", json, &logs()), 202);
    let (lines, tally) = session.finish();
    assert_eq!((tally.logs.received, tally.logs.unkept), (6, 0));
    let expected = serde_json::json!({
        "type": "log", "message": "of the \"trace\"\n  line 2", "status": "error",
        "time_ns": 1_790_000_000_123_000_000_i64, "host": "here", "service": "shop", "source": "python",
        "tags": ["env:dev", "version:1"], "trace_id": "0000000000000007", "span_id": "0000000000000001",
        "attributes": {},
    });
    assert_eq!(lines[0], expected);
    assert_eq!((&lines[5]["message"], &lines[5]["trace_id"]), (&"alone".into(), &Value::Null));
}

#[test]
fn hostile_logs_are_refused_and_counted_and_the_next_are_taken() {
    let session = Session::start();
    let bomb = zstd::encode_all(io::repeat(b' ').take(80_000_000), 1).expect("memory does not fail");
    assert_eq!(session.post("/api/v2/logs", "Content-Encoding: zstd\r\n", &bomb), 413);
    assert_eq!(session.post("/api/v2/logs", "Content-Encoding: zstd\r\n", b"nonsense"), 400);
    assert_eq!(session.post("/api/v2/logs", "", b"[{\"message\":\"without an end"), 400);
    let many = format!("[{}{{}}]", "{},".repeat(10_000));
    assert_eq!(session.post("/api/v2/logs", "", many.as_bytes()), 400);
    assert_eq!(session.post("/api/v2/logs", "", b"{\"message\":\"one, without a list\"}"), 202);
    let (lines, tally) = session.finish();
    assert_eq!((tally.refused, tally.logs.received), (4, 1));
    assert_eq!(lines[0]["message"], "one, without a list");
}

#[test]
fn statistics_and_every_other_path_are_taken_and_told() {
    let session = Session::start();
    assert_eq!(session.post("/api/v0.2/stats", "Content-Encoding: gzip\r\n", &gzip(&stats())), 200);
    for path in [
        "/api/v2/profile",
        "/api/v2/apmtelemetry",
        "/api/v0.1/pipeline_stats",
        "/api/v2/llmobs",
        "/anything?x=1",
    ] {
        assert_eq!(session.post(path, "", b"12345"), 202, "{path}");
    }
    let (lines, tally) = session.finish();
    assert_eq!(tally.stats_groups, 1);
    assert_eq!((&lines[0]["type"], &lines[0]["groups"][0]["hits"]), (&Value::from("stats"), &Value::from(3)));
    let requests: Vec<_> = lines.iter().filter(|line| line["type"] == "request").collect();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|line| line["bytes"] == 5), "{requests:?}");
    assert_eq!(requests[4]["path"], "/anything");
}

#[test]
fn bombs_and_nonsense_are_refused_and_counted_and_the_next_request_is_served() {
    let session = Session::start();
    let bomb = zstd::encode_all(io::repeat(0).take(80_000_000), 1).expect("memory does not fail");
    assert!(bomb.len() < 100_000);
    assert_eq!(session.post("/api/v0.2/traces", "Content-Encoding: zstd\r\n", &bomb), 413);
    assert_eq!(session.post("/api/v0.2/traces", "Content-Encoding: zstd\r\n", b"nonsense"), 400);
    assert_eq!(session.post("/api/v0.2/traces", "Content-Encoding: br\r\n", b"nonsense"), 415);
    assert_eq!(session.post("/api/v0.2/traces", "", &[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]), 400);
    assert_eq!(session.post("/api/v0.2/stats", "", &[0xdf, 0xff, 0xff, 0xff, 0xff]), 400);
    assert_eq!(session.post("/api/v0.2/traces", "", &traces()), 200);
    let (lines, tally) = session.finish();
    assert_eq!((tally.refused, tally.spans), (5, 2));
    let summary = lines.iter().find(|line| line["type"] == "summary").expect("a summary");
    assert_eq!(summary["requests_refused"], 5);
}

#[test]
fn a_chunked_body_over_the_bound_is_cut_off_while_it_is_read() {
    let session = Session::start();
    let mut request =
        b"POST /api/v0.2/traces HTTP/1.1\r\nHost: desk\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..30 {
        request.extend_from_slice(b"100000\r\n");
        request.extend_from_slice(&chunk);
        request.extend_from_slice(b"\r\n");
    }
    // Without the last chunk: a desk that waited for the end would answer 400 or nothing.
    let status = session.send(&request);
    assert!(status == 413 || status == 0, "the connection may be reset before the answer is read: {status}");
    let (_, tally) = session.finish();
    assert_eq!(tally.refused, 1);
}

/// A reader that has gone, as in `lastlight dev | head -1`.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn when_nobody_reads_any_more_the_desk_goes_on_taking() {
    let session = Session {
        desk: Desk::start(Box::new(JsonLines), Box::new(Gone)).expect("a port"),
        paper: Paper::default(),
    };
    assert_eq!(session.post("/api/v2/profile", "", b"x"), 202);
    assert_eq!(session.post("/api/v0.2/traces", "", &traces()), 200);
    let (lines, tally) = session.finish();
    assert_eq!((lines.len(), tally.spans), (0, 2));
}
