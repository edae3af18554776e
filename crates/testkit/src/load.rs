//! A load generator that costs little: prepared bytes, blocking sockets, one thread a connection.
//!
//! At a fixed rate each request has a moment at which it is due, and its latency counts from then, not from
//! when the generator came to send it: a stalled agent cannot hide the requests it kept from being sent.

mod connection;

use crate::payload::{Format, Mix, Template, mix};
use connection::Connection;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Templates taken in turn, so that no two neighbouring requests are alike.
const TEMPLATES: u64 = 32;
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause before a refused request is sent again.
const RESEND_PAUSE: Duration = Duration::from_millis(50);
/// Pause before a connection that failed is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Where to send.
#[derive(Clone, Debug)]
pub enum Target {
    /// `127.0.0.1` and a port.
    Tcp(u16),
    /// A Unix socket. An `@` at its start means an abstract one.
    Unix(PathBuf),
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next request when the last one is answered.
    Saturate,
    /// Requests a second, over all connections.
    PerSecond(f64),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to send.
    pub target: Target,
    /// What to send.
    pub format: Format,
    /// What the payloads are made of.
    pub mix: Mix,
    /// Connections kept open.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// For how long at most.
    pub duration: Duration,
    /// How many requests at most.
    pub requests_max: u64,
    /// Serial of the first request: see [`Template`].
    pub first_serial: u64,
    /// Sends what was answered 429 or 503 again until it is taken, as a tracer keeps its data.
    pub resend: bool,
}

impl Load {
    /// A load of the default mix for `duration` over one connection.
    pub fn new(target: Target, pace: Pace, duration: Duration) -> Self {
        Self {
            target,
            format: Format::V04,
            mix: Mix::default(),
            connections: 1,
            pace,
            duration,
            requests_max: u64::MAX,
            first_serial: 0,
            resend: false,
        }
    }
}

/// What became of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Requests answered with 2xx.
    pub acknowledged: u64,
    /// Spans in them.
    pub spans: u64,
    /// Bytes of the first body; others differ a little.
    pub body_bytes: usize,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub failed: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests acknowledged per second.
    pub requests_per_second: f64,
    /// Spans acknowledged per second.
    pub spans_per_second: f64,
    /// Latency of acknowledged requests, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 are not slower.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Serials that were acknowledged.
    #[serde(skip)]
    pub serials: Vec<u64>,
    #[serde(skip)]
    latencies_ns: Vec<u64>,
}

impl Report {
    /// The id of every acknowledged span.
    pub fn span_ids(&self, mix: Mix) -> impl Iterator<Item = u64> {
        let spans = (mix.traces * mix.spans) as u64;
        self.serials.iter().flat_map(move |serial| {
            let first = Template::first_id(*serial);
            first..first + spans
        })
    }

    fn add(&mut self, other: Self) {
        self.failed += other.failed;
        self.serials.extend(other.serials);
        self.latencies_ns.extend(other.latencies_ns);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }

    fn finish(&mut self, mix: Mix, took: Duration) {
        self.acknowledged = self.serials.len() as u64;
        self.spans = self.acknowledged * (mix.traces * mix.spans) as u64;
        self.seconds = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
        {
            self.requests_per_second = self.acknowledged as f64 / self.seconds;
            self.spans_per_second = self.spans as f64 / self.seconds;
        }
        self.latencies_ns.sort_unstable();
        self.p50_ms = self.quantile(50);
        self.p99_ms = self.quantile(99);
        self.max_ms = self.quantile(100);
    }

    fn quantile(&self, percent: usize) -> f64 {
        let rank = (self.latencies_ns.len() * percent).div_ceil(100).saturating_sub(1);
        let nanoseconds = self.latencies_ns.get(rank).copied().unwrap_or(0);
        Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
    }
}

/// Sends a load and waits until all of it is answered. Blocks the thread.
pub fn run(load: &Load) -> Report {
    let templates: Vec<_> = (0..TEMPLATES)
        .map(|number| {
            let traces = mix(Mix { seed: load.mix.seed.wrapping_add(number), ..load.mix });
            Template::new(load.format.encode(&traces), load.mix.traces * load.mix.spans)
        })
        .collect();
    let (load, templates) = (Arc::new(load.clone()), Arc::new(templates));
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let workers: Vec<_> = (0..load.connections)
        .map(|_| {
            let (load, templates, next) = (Arc::clone(&load), Arc::clone(&templates), Arc::clone(&next));
            thread::spawn(move || Worker { load: &load, templates: &templates, next: &next, begin }.run())
        })
        .collect();
    let mut report = Report { body_bytes: templates[0].len(), ..Report::default() };
    for worker in workers {
        report.add(worker.join().expect("a worker does not panic"));
    }
    report.finish(load.mix, begin.elapsed());
    report
}

struct Worker<'a> {
    load: &'a Load,
    templates: &'a [Template],
    next: &'a AtomicU64,
    begin: Instant,
}

impl Worker<'_> {
    fn run(&self) -> Report {
        let mut report = Report::default();
        let mut connection = None;
        let mut request = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match self.load.pace {
                Pace::Saturate => Instant::now(),
                #[expect(clippy::cast_precision_loss, reason = "numbers of requests are small")]
                Pace::PerSecond(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
            };
            if number >= self.load.requests_max || due >= self.begin + self.load.duration {
                return report;
            }
            let serial = self.load.first_serial + number;
            self.write(serial, &mut request);
            pause(due.saturating_duration_since(Instant::now()));
            self.deliver(serial, due, &request, &mut connection, &mut report);
        }
    }

    fn write(&self, serial: u64, request: &mut Vec<u8>) {
        let template = &self.templates[usize::try_from(serial % TEMPLATES).unwrap_or(0)];
        request.clear();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
             datadog-meta-lang: python\r\ndatadog-meta-lang-version: 3.11.7\r\ndatadog-meta-tracer-version: 4.16.0\r\n\
             datadog-client-computed-top-level: yes\r\nx-datadog-trace-count: {}\r\n\r\n",
            self.load.format.path(),
            self.load.format.content_type(),
            template.len(),
            self.load.mix.traces,
        );
        request.extend_from_slice(head.as_bytes());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        template.write(serial, i64::try_from(now.as_nanos()).unwrap_or(0), request);
    }

    fn deliver(
        &self,
        serial: u64,
        due: Instant,
        request: &[u8],
        connection: &mut Option<Connection>,
        report: &mut Report,
    ) {
        loop {
            let exchanged = Connection::reuse(connection, &self.load.target, ANSWER_MAX)
                .and_then(|connection| connection.exchange(request));
            match exchanged {
                Ok(connection::Exchanged { status, closes }) => {
                    if closes {
                        *connection = None;
                    }
                    *report.statuses.entry(status).or_default() += 1;
                    if (200..300).contains(&status) {
                        report.serials.push(serial);
                        report.latencies_ns.push(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
                        return;
                    }
                    if !(self.load.resend && matches!(status, 429 | 503)) {
                        return;
                    }
                    pause(RESEND_PAUSE);
                }
                Err(_) => {
                    *connection = None;
                    report.failed += 1;
                    pause(RECONNECT_PAUSE);
                    return;
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of the load generator, which serves nothing else")]
fn pause(duration: Duration) {
    thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Behaviour};

    /// The backend answers any path with 202, so it can stand in for an agent.
    async fn send(backend: &Backend, change: impl FnOnce(&mut Load)) -> Report {
        let mut load = Load::new(Target::Tcp(backend.port()), Pace::Saturate, Duration::from_secs(20));
        load.requests_max = 6;
        change(&mut load);
        tokio::task::spawn_blocking(move || run(&load)).await.unwrap()
    }

    #[tokio::test]
    async fn every_request_is_counted_once_over_all_connections() {
        let backend = Backend::start().await;
        let report = send(&backend, |load| load.connections = 2).await;
        assert_eq!((report.acknowledged, report.spans, report.failed), (6, 1200, 0));
        assert_eq!(report.statuses, [(202, 6)].into());
        assert_eq!(report.span_ids(Mix::default()).count(), 1200);
        assert!(report.p50_ms > 0.0 && report.p50_ms <= report.p99_ms && report.p99_ms <= report.max_ms);
        let requests = backend.acknowledged("/v0.4/traces");
        assert_eq!(requests.len(), 6);
        assert!(requests.iter().any(|request| request.wire_bytes == report.body_bytes));
    }

    #[tokio::test]
    async fn what_is_refused_is_sent_again_only_when_asked() {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(429).times(1));
        let report = send(&backend, |_| ()).await;
        assert_eq!(report.statuses, [(202, 5), (429, 1)].into());
        backend.behave(Behaviour::status(429).times(1));
        let report = send(&backend, |load| load.resend = true).await;
        assert_eq!(report.statuses, [(202, 6), (429, 1)].into());
    }

    #[tokio::test]
    async fn a_closed_connection_is_opened_again() {
        let backend = Backend::start().await;
        backend.behave(Behaviour::new(crate::Action::CloseBeforeReply).times(2));
        let report = send(&backend, |_| ()).await;
        assert_eq!((report.acknowledged, report.failed), (4, 2));
    }

    #[tokio::test]
    async fn latency_counts_from_when_a_request_was_due() {
        let backend = Backend::start().await;
        backend.behave(Behaviour::slow(Duration::from_millis(300)).times(1));
        let report = send(&backend, |load| load.pace = Pace::PerSecond(1000.0)).await;
        // All six were due within 5 ms, and all waited for the first.
        assert!(report.p50_ms >= 290.0, "{report:?}");
    }
}
