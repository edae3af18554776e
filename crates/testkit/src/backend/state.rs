//! What a backend remembers.

use super::{Keep, behaviour::Behaviour, decode};
use crate::{
    logs::Log,
    metrics::{Check, Event, EventPayload, Metrics, Series, SketchSeries},
    proto::AgentPayload,
    stats::StatsPayload,
};
use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

/// Requests kept; beyond it the oldest are forgotten (counts and ids are not).
const KEPT_REQUESTS_MAX: usize = 50_000;
/// Decoded bytes of kept requests; beyond it the oldest are forgotten.
const KEPT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bodies kept as they came by [`Keep::Counts`]; beyond it they are counted at once.
const DEFERRED_BYTES_MAX: usize = 3 * 1024 * 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Place in the order of arrival, from 0.
    pub number: u64,
    /// Method.
    pub method: http::Method,
    /// Path without the query. The whole URI when the request was sent to a proxy.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body bytes on the wire.
    pub wire_bytes: usize,
    /// Body bytes after decompression.
    pub decoded_bytes: usize,
    /// What the body says.
    pub body: Body,
    /// What was answered.
    pub answer: Answer,
}

impl Received {
    /// A header's value, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Of the trace intake.
    Traces(AgentPayload),
    /// Of the stats intake.
    Stats(StatsPayload),
    /// Of the series intakes.
    Series(Vec<Series>),
    /// Of the sketch intake.
    Sketches(Vec<SketchSeries>),
    /// Of the event intake.
    Events(EventPayload),
    /// Of the service check intake.
    Checks(Vec<Check>),
    /// Of the log intake.
    Logs(Vec<Log>),
    /// Of any other path, decompressed.
    Other(Bytes),
    /// Of one of the intakes above, but wrong; why.
    Undecodable(String),
    /// Not kept.
    NotKept,
}

/// What a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A status.
    Status(u16),
    /// A closed connection.
    Closed,
    /// The client went away before the answer.
    Abandoned,
}

impl Answer {
    /// 2xx.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// Counts since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that arrived, whatever they got.
    pub requests: u64,
    /// Requests answered with 2xx.
    pub acknowledged: u64,
    /// Spans in acknowledged requests.
    pub spans: u64,
    /// Stats groups in acknowledged requests.
    pub groups: u64,
    /// Hits of these groups.
    pub hits: u64,
    /// Span ids acknowledged more than once.
    pub duplicates: u64,
    /// Points of series in acknowledged requests, before the merge.
    pub points: u64,
    /// Values in the sketches of acknowledged requests.
    pub sketched: u64,
    /// Events in acknowledged requests.
    pub events: u64,
    /// Service checks in acknowledged requests.
    pub checks: u64,
    /// Logs in acknowledged requests.
    pub logs: u64,
    /// Bodies of the intakes of metrics and logs beyond a limit; answered 413 when it is noticed in time, which with
    /// [`Keep::Counts`] only the bytes on the wire are.
    pub oversized: u64,
    /// Bodies of the intakes that could not be decoded.
    pub undecodable: u64,
    /// Body bytes on the wire.
    pub wire_bytes: u64,
    /// Body bytes after decompression.
    pub decoded_bytes: u64,
    /// By path.
    pub paths: BTreeMap<String, PathCounts>,
}

/// Counts of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PathCounts {
    /// Requests that arrived.
    pub requests: u64,
    /// How many got which status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections closed instead of an answer.
    pub closed: u64,
    /// Requests whose client went away first.
    pub abandoned: u64,
}

/// A request before it is decoded.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rules: VecDeque<Behaviour>,
    pub(super) received: VecDeque<Arc<Received>>,
    pub(super) span_ids: HashMap<u64, u32>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Vec<Event>,
    pub(super) checks: Vec<Check>,
    pub(super) logs: Vec<Log>,
    counts: Counts,
    kept_bytes: usize,
    deferred: Vec<(Arrived, Answer)>,
    deferred_bytes: usize,
}

impl State {
    /// Books a request and what it got. `decoded` is what [`decode::body`] made of it.
    pub(super) fn record(&mut self, arrived: Arrived, decoded: decode::Decoded, answer: Answer, keep: Keep) {
        let number = self.book_arrival(&arrived.path, arrived.body.len(), answer);
        self.counts.decoded_bytes += decoded.bytes as u64;
        self.counts.undecodable += u64::from(matches!(decoded.body, Body::Undecodable(_)));
        self.counts.oversized += u64::from(decoded.oversized);
        if answer.is_success() {
            self.book_content(&decoded.body);
        }
        if keep != Keep::Everything {
            return;
        }
        self.kept_bytes += decoded.bytes;
        self.received.push_back(Arc::new(Received {
            number,
            method: arrived.method,
            path: arrived.path,
            query: arrived.query,
            headers: arrived.headers,
            wire_bytes: arrived.body.len(),
            decoded_bytes: decoded.bytes,
            body: decoded.body,
            answer,
        }));
        while self.received.len() > KEPT_REQUESTS_MAX || self.kept_bytes > KEPT_BYTES_MAX {
            match self.received.pop_front() {
                Some(oldest) => self.kept_bytes -= oldest.decoded_bytes,
                None => break,
            }
        }
    }

    /// Keeps a request to be counted later.
    pub(super) fn defer(&mut self, arrived: Arrived, answer: Answer) {
        self.deferred_bytes += arrived.body.len();
        self.deferred.push((arrived, answer));
        if self.deferred_bytes > DEFERRED_BYTES_MAX {
            self.settle();
        }
    }

    /// Counts what was kept to be counted later.
    pub(super) fn settle(&mut self) {
        self.deferred_bytes = 0;
        for (arrived, answer) in std::mem::take(&mut self.deferred) {
            self.book_arrival(&arrived.path, arrived.body.len(), answer);
            if decode::is_limited(&arrived) {
                let decoded = decode::body(&arrived);
                self.counts.decoded_bytes += decoded.bytes as u64;
                self.counts.undecodable += u64::from(matches!(decoded.body, Body::Undecodable(_)));
                self.counts.oversized += u64::from(decoded.oversized);
                if answer.is_success() {
                    self.book_content(&decoded.body);
                }
                continue;
            }
            match decode::count(&arrived) {
                Ok(content) => {
                    self.counts.decoded_bytes += content.bytes as u64;
                    if answer.is_success() {
                        self.counts.spans += content.spans;
                        self.counts.groups += content.groups;
                        self.counts.hits += content.hits;
                    }
                }
                Err(_) => self.counts.undecodable += 1,
            }
        }
    }

    pub(super) fn counts(&mut self) -> Counts {
        self.settle();
        self.counts.clone()
    }

    pub(super) fn reset(&mut self) {
        let rules = std::mem::take(&mut self.rules);
        *self = Self { rules, ..Self::default() };
    }

    fn book_arrival(&mut self, path: &str, wire_bytes: usize, answer: Answer) -> u64 {
        let number = self.counts.requests;
        self.counts.requests += 1;
        self.counts.wire_bytes += wire_bytes as u64;
        self.counts.acknowledged += u64::from(answer.is_success());
        let counts = self.counts.paths.entry(path.to_owned()).or_default();
        counts.requests += 1;
        match answer {
            Answer::Status(status) => *counts.statuses.entry(status).or_default() += 1,
            Answer::Closed => counts.closed += 1,
            Answer::Abandoned => counts.abandoned += 1,
        }
        number
    }

    fn book_content(&mut self, body: &Body) {
        match body {
            Body::Traces(payload) => {
                for span in payload.spans() {
                    self.counts.spans += 1;
                    let times = self.span_ids.entry(span.span_id).or_default();
                    *times += 1;
                    self.counts.duplicates += u64::from(*times == 2);
                }
            }
            Body::Stats(payload) => {
                for group in payload.groups() {
                    self.counts.groups += 1;
                    self.counts.hits += group.hits;
                }
            }
            Body::Series(series) => {
                self.counts.points += series.iter().map(|series| series.points.len() as u64).sum::<u64>();
                Arc::make_mut(&mut self.metrics).add_series(series);
            }
            Body::Sketches(sketches) => {
                let points = sketches.iter().flat_map(|sketches| &sketches.points);
                self.counts.sketched += points.map(|(_, sketch)| sketch.count).sum::<u64>();
                Arc::make_mut(&mut self.metrics).add_sketches(sketches);
            }
            Body::Events(payload) => {
                self.counts.events += payload.events.len() as u64;
                self.events.extend_from_slice(&payload.events);
            }
            Body::Checks(checks) => {
                self.counts.checks += checks.len() as u64;
                self.checks.extend_from_slice(checks);
            }
            Body::Logs(logs) => {
                self.counts.logs += logs.len() as u64;
                self.logs.extend_from_slice(logs);
            }
            Body::Other(_) | Body::Undecodable(_) | Body::NotKept => {}
        }
    }
}
