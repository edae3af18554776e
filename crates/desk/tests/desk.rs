//! A desk over its own wire: what a backend's client can do to it, and what is shown then.

use lastlight_desk::{Closing, Desk, JsonLines, Tally};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload};
use model::{Bump, Chunk, Payload, Span};
use serde_json::Value;
use std::io::{self, Read as _, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::intake::traces::{AgentHeader, TraceEncoder, agent_header};

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
fn statistics_and_every_other_path_are_taken_and_told() {
    let session = Session::start();
    assert_eq!(session.post("/api/v0.2/stats", "Content-Encoding: gzip\r\n", &gzip(&stats())), 200);
    for path in [
        "/api/v2/profile",
        "/api/v2/apmtelemetry",
        "/api/v0.1/pipeline_stats",
        "/api/v2/logs",
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
