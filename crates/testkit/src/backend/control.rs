//! The routes by which scripts in other languages steer a backend and read what it got.
//!
//! | route | what |
//! |---|---|
//! | `POST /_control/behave` | adds a rule: `{"action": "acknowledge" \| {"status": 503} \| "close_before_reply" \| "close_half_read" \| "hold" \| "refuse", "path", "delay_ms", "retry_after", "times", "after_ms", "for_ms"}` |
//! | `POST /_control/recover` | forgets the rules |
//! | `POST /_control/release` | lets held requests go |
//! | `POST /_control/reset` | forgets what was received |
//! | `POST /_control/wait` | answers when `{"spans", "hits", "requests", "points", "sketched", "events", "checks", "logs"}` are reached: 200, or 408 after `timeout_ms` |
//! | `GET /_counts` | the counts |
//! | `GET /_metrics` | by metric name, merged as the backend does: `{"names": {name: {"contexts", "points", "total", "gauges", "sketched", "sketched_sum"}}, "replaced", "replaced_others"}` |
//! | `GET /_dump` | the counts, every acknowledged span, statistic, series, sketch, event, service check and log, and the requests |
//!
//! None of them answers while connections are refused: give a refusal a period.

use super::{
    behaviour::BehaviourRequest,
    serve::{Commands, Shared, json},
    state::{Body, Counts, Received},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longest wait of one `/_control/wait`, milliseconds.
const WAIT_MAX_MS: u64 = 120_000;

pub(super) async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
    commands: &Commands,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return json(StatusCode::BAD_REQUEST, &Value::Null) };
    let body = body.to_bytes();
    match (head.method, head.uri.path()) {
        (Method::POST, "/_control/behave") => match serde_json::from_slice::<BehaviourRequest>(&body) {
            Ok(behaviour) => shared.behave(behaviour.into(), commands),
            Err(error) => return json(StatusCode::BAD_REQUEST, &value!({ "error": error.to_string() })),
        },
        (Method::POST, "/_control/recover") => shared.recover(commands),
        (Method::POST, "/_control/release") => shared.release(),
        (Method::POST, "/_control/reset") => shared.reset(),
        (Method::POST, "/_control/wait") => {
            return match serde_json::from_slice::<Wait>(&body) {
                Ok(wait) => wait.answer(shared).await,
                Err(error) => json(StatusCode::BAD_REQUEST, &value!({ "error": error.to_string() })),
            };
        }
        (Method::GET, "/_counts") => return json(StatusCode::OK, &value!(shared.counts())),
        (Method::GET, "/_metrics") => return json(StatusCode::OK, &metrics(shared)),
        (Method::GET, "/_dump") => return json(StatusCode::OK, &dump(shared)),
        _ => return json(StatusCode::NOT_FOUND, &Value::Null),
    }
    json(StatusCode::OK, &value!({}))
}

fn metrics(shared: &Shared) -> Value {
    // Counts what was kept to be counted later.
    shared.counts();
    let metrics = shared.read(|state| Arc::clone(&state.metrics));
    value!({
        "names": metrics.summaries(),
        "replaced": metrics.replaced(),
        "replaced_others": metrics.replaced_others(),
    })
}

pub(super) fn dump(shared: &Shared) -> Value {
    let counts = shared.counts();
    shared.read(|state| {
        let acknowledged = || state.received.iter().filter(|request| request.answer.is_success());
        let traces = acknowledged().filter_map(|request| match &request.body {
            Body::Traces(payload) => Some(payload),
            _ => None,
        });
        let stats = acknowledged().filter_map(|request| match &request.body {
            Body::Stats(payload) => Some(payload),
            _ => None,
        });
        let series = acknowledged().filter_map(|request| match &request.body {
            Body::Series(series) => Some(series),
            _ => None,
        });
        let sketches = acknowledged().filter_map(|request| match &request.body {
            Body::Sketches(sketches) => Some(sketches),
            _ => None,
        });
        let duplicates = state.span_ids.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id);
        value!({
            "counts": counts,
            "traces": traces.clone().collect::<Vec<_>>(),
            "spans": traces.flat_map(|payload| payload.spans()).collect::<Vec<_>>(),
            "stats": stats.collect::<Vec<_>>(),
            "series": series.flatten().collect::<Vec<_>>(),
            "sketches": sketches.flatten().collect::<Vec<_>>(),
            "events": state.events,
            "checks": state.checks,
            "logs": state.logs,
            "duplicates": duplicates.collect::<Vec<_>>(),
            "requests": state.received.iter().map(|request| summary(request)).collect::<Vec<_>>(),
        })
    })
}

fn summary(request: &Received) -> Value {
    let headers: BTreeMap<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let (kind, text) = match &request.body {
        Body::Traces(_) => ("traces", None),
        Body::Stats(_) => ("stats", None),
        Body::Series(_) => ("series", None),
        Body::Sketches(_) => ("sketches", None),
        Body::Events(_) => ("events", None),
        Body::Checks(_) => ("checks", None),
        Body::Logs(_) => ("logs", None),
        Body::Other(bytes) => ("other", Some(String::from_utf8_lossy(bytes).into_owned())),
        Body::Undecodable(error) => ("undecodable", Some(error.clone())),
        Body::NotKept => ("not_kept", None),
    };
    value!({
        "number": request.number,
        "method": request.method.as_str(),
        "path": request.path,
        "query": request.query,
        "headers": headers,
        "wire_bytes": request.wire_bytes,
        "decoded_bytes": request.decoded_bytes,
        "answer": request.answer,
        "body": kind,
        "text": text,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wait {
    spans: u64,
    hits: u64,
    requests: u64,
    points: u64,
    sketched: u64,
    events: u64,
    checks: u64,
    logs: u64,
    timeout_ms: u64,
}

impl Default for Wait {
    fn default() -> Self {
        Self {
            spans: 0,
            hits: 0,
            requests: 0,
            points: 0,
            sketched: 0,
            events: 0,
            checks: 0,
            logs: 0,
            timeout_ms: 10_000,
        }
    }
}

impl Wait {
    fn is_reached(&self, counts: &Counts) -> bool {
        [
            (counts.spans, self.spans),
            (counts.hits, self.hits),
            (counts.requests, self.requests),
            (counts.points, self.points),
            (counts.sketched, self.sketched),
            (counts.events, self.events),
            (counts.checks, self.checks),
            (counts.logs, self.logs),
        ]
        .iter()
        .all(|(reached, wanted)| reached >= wanted)
    }

    async fn answer(&self, shared: &Shared) -> Response<Full<Bytes>> {
        let mut changes = shared.changes();
        let bound = Duration::from_millis(self.timeout_ms.min(WAIT_MAX_MS));
        let reached = tokio::time::timeout(bound, async {
            loop {
                changes.borrow_and_update();
                if self.is_reached(&shared.counts()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        let status = if reached.await.is_ok() { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
        json(status, &value!(shared.counts()))
    }
}
