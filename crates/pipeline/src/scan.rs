//! The last pass over a span's tags before it is counted: what is too long is cut, and what samplers
//! and statistics ask for is noted (`facts/trace-intake.md` §5.2, §5.3, §9.1).

use crate::facts::SpanFacts;
use crate::truncate;
use model::{Bump, Span};

/// Metric that marks the first span of a service in a chunk.
const TOP_LEVEL: &str = "_top_level";
/// `_dd.span_sampling.mechanism` of a span that the tracer wants kept by itself.
const SINGLE_SPAN: f64 = 8.0;

/// Who says which spans are top level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopLevel {
    /// The tracer, by `_dd.top_level`.
    Tracer,
    /// The agent found that this span is, or is not.
    Agent(bool),
}

/// Gathers the facts of a span and marks it when it is top level.
///
/// `cut` says whether too long keys and values are still to be cut.
pub(crate) fn span<'a>(
    arena: &'a Bump,
    span: &mut Span<'a>,
    top_level: TopLevel,
    cut: bool,
) -> SpanFacts<'a> {
    let mut facts = SpanFacts::default();
    let mut grpc = GrpcStatus::default();
    let meta_status = scan_meta(arena, span, cut, &mut facts, &mut grpc);
    let metrics = scan_metrics(arena, span, cut, &mut facts, &mut grpc);
    facts.http_status_code = metrics.http_status.or(meta_status).unwrap_or(0);
    facts.grpc_status_code = grpc.text(arena);

    let marked = match top_level {
        TopLevel::Tracer => metrics.tracer_top_level,
        TopLevel::Agent(found) => found,
    };
    if marked && !metrics.top_level {
        span.set_metric(TOP_LEVEL, 1.0);
    }
    facts.top_level = marked || metrics.top_level || metrics.tracer_top_level;
    facts
}

/// One pass over the string tags; the last value of a repeated key counts. Returns the HTTP status.
fn scan_meta<'a>(
    arena: &'a Bump,
    span: &mut Span<'a>,
    cut: bool,
    facts: &mut SpanFacts<'a>,
    grpc: &mut GrpcStatus<'a>,
) -> Option<u32> {
    let mut http_status = None;
    let mut http_route = "";
    for entry in span.meta.iter_mut() {
        if cut {
            truncate::meta_entry(arena, entry);
        }
        let (key, value) = *entry;
        // Most keys are none of these: told apart by their length, they cost one jump.
        match key.len() {
            3 if key == "env" => facts.env = value,
            7 if key == "version" => facts.version = value,
            9 => match key {
                "span.kind" => facts.span_kind = value,
                "grpc.code" => grpc.meta(1, value),
                _ => {}
            },
            10 => match key {
                "error.type" => facts.error_type = value,
                "http.route" => http_route = value,
                _ => {}
            },
            11 => match key {
                "http.method" => facts.http_method = value,
                "_dd.svc_src" => facts.service_source = value,
                _ => {}
            },
            13 if key == "http.endpoint" => facts.http_endpoint = value,
            16 => match key {
                "http.status_code" => http_status = value.parse().ok(),
                "_dd.base_service" => facts.base_service = value,
                "grpc.status.code" => grpc.meta(3, value),
                _ => {}
            },
            18 if key == "_dd.git.commit.sha" => facts.git_commit_sha = value,
            20 => match key {
                "rpc.grpc.status_code" => grpc.meta(0, value),
                "rpc.grpc.status.code" => grpc.meta(2, value),
                _ => {}
            },
            29 if key == "_dd.span_events.has_exception" => facts.has_exception_event = value == "true",
            _ => {}
        }
    }
    if facts.http_endpoint.is_empty() {
        facts.http_endpoint = http_route;
    }
    http_status
}

/// What the numeric tags say.
#[derive(Default)]
struct Metrics {
    /// `_top_level` is 1.
    top_level: bool,
    /// `_dd.top_level` is 1.
    tracer_top_level: bool,
    http_status: Option<u32>,
}

/// One pass over the numeric tags.
fn scan_metrics<'a>(
    arena: &'a Bump,
    span: &mut Span<'a>,
    cut: bool,
    facts: &mut SpanFacts<'a>,
    grpc: &mut GrpcStatus<'a>,
) -> Metrics {
    let mut metrics = Metrics::default();
    for (key, value) in span.metrics.iter_mut() {
        if cut {
            truncate::metric_key(arena, key);
        }
        let value = *value;
        match key.len() {
            9 if *key == "grpc.code" => grpc.metric(1, value),
            10 if *key == TOP_LEVEL => metrics.top_level = value == 1.0,
            12 if *key == "_dd.measured" => facts.measured = value == 1.0,
            13 if *key == "_dd.top_level" => metrics.tracer_top_level = value == 1.0,
            16 => match *key {
                "http.status_code" => metrics.http_status = Some(value as u32),
                "grpc.status.code" => grpc.metric(3, value),
                _ => {}
            },
            19 if *key == "_dd.partial_version" => facts.partial = value >= 0.0,
            20 => match *key {
                "rpc.grpc.status_code" => grpc.metric(0, value),
                "rpc.grpc.status.code" => grpc.metric(2, value),
                _ => {}
            },
            27 if *key == "_dd.span_sampling.mechanism" => facts.single_span_sampled = value == SINGLE_SPAN,
            _ => {}
        }
    }
    metrics
}

/// The gRPC status, which has four keys: the first that is set counts, string tags before numeric ones.
#[derive(Default)]
struct GrpcStatus<'a> {
    /// Rank of the key, and its value.
    meta: Option<(u8, &'a str)>,
    metric: Option<(u8, f64)>,
}

impl<'a> GrpcStatus<'a> {
    fn meta(&mut self, rank: u8, value: &'a str) {
        if !value.is_empty() && self.meta.is_none_or(|(best, _)| rank <= best) {
            self.meta = Some((rank, value));
        }
    }

    fn metric(&mut self, rank: u8, value: f64) {
        if self.metric.is_none_or(|(best, _)| rank <= best) {
            self.metric = Some((rank, value));
        }
    }

    /// The number in text; empty when there is none.
    fn text(&self, arena: &'a Bump) -> &'a str {
        match (self.meta, self.metric) {
            (Some((_, text)), _) => grpc_code(arena, text),
            (None, Some((_, code))) => number(arena, code as u32),
            (None, None) => "",
        }
    }
}

/// Names of the gRPC codes, at their number, without underscores.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALIDARGUMENT",
    "DEADLINEEXCEEDED",
    "NOTFOUND",
    "ALREADYEXISTS",
    "PERMISSIONDENIED",
    "RESOURCEEXHAUSTED",
    "FAILEDPRECONDITION",
    "ABORTED",
    "OUTOFRANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATALOSS",
    "UNAUTHENTICATED",
];

/// Their numbers in text.
const GRPC_NUMBERS: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

fn grpc_code<'a>(arena: &'a Bump, text: &'a str) -> &'a str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.parse().map_or("", |code| number(arena, code));
    }
    let name = text.strip_prefix("StatusCode.").unwrap_or(text);
    let same = |known: &str| {
        let letters = name.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_uppercase());
        letters.eq(known.bytes())
    };
    if same("CANCELED") {
        return GRPC_NUMBERS[1];
    }
    GRPC_CODES.iter().position(|known| same(known)).map_or("", |code| GRPC_NUMBERS[code])
}

fn number(arena: &Bump, code: u32) -> &str {
    match GRPC_NUMBERS.get(code as usize) {
        Some(text) => text,
        None => bumpalo::format!(in arena, "{}", code).into_bump_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans a span that has these tags.
    fn scanned(
        meta: &[(&'static str, &'static str)],
        metrics: &[(&'static str, f64)],
        top_level: TopLevel,
        want: impl FnOnce(&SpanFacts<'_>, &Span<'_>),
    ) {
        let arena = Bump::new();
        let mut scanned = Span::new_in(&arena);
        scanned.meta.extend_from_slice_copy(meta);
        scanned.metrics.extend_from_slice_copy(metrics);
        let facts = span(&arena, &mut scanned, top_level, true);
        want(&facts, &scanned);
    }

    fn check_grpc(meta: &[(&'static str, &'static str)], metrics: &[(&'static str, f64)], want: &str) {
        scanned(meta, metrics, TopLevel::Tracer, |facts, _| {
            assert_eq!(facts.grpc_status_code, want, "{meta:?} {metrics:?}");
        });
    }

    #[test]
    fn every_fact_is_found_under_its_key() {
        scanned(
            &[
                ("env", "prod"),
                ("version", "1.2"),
                ("span.kind", "client"),
                ("http.status_code", "404"),
                ("http.method", "GET"),
                ("http.route", "/a/:id"),
                ("_dd.base_service", "web"),
                ("_dd.svc_src", "redis"),
                ("error.type", "IOError"),
                ("_dd.span_events.has_exception", "true"),
                ("_dd.git.commit.sha", "abc"),
            ],
            &[("_dd.measured", 1.0), ("_dd.partial_version", 0.0), ("_dd.span_sampling.mechanism", 8.0)],
            TopLevel::Agent(true),
            |facts, _| {
                assert_eq!((facts.env, facts.version, facts.span_kind), ("prod", "1.2", "client"));
                assert_eq!((facts.http_status_code, facts.http_method), (404, "GET"));
                assert_eq!((facts.http_endpoint, facts.base_service), ("/a/:id", "web"));
                assert_eq!((facts.service_source, facts.error_type), ("redis", "IOError"));
                assert_eq!(facts.git_commit_sha, "abc");
                assert!(facts.top_level && facts.measured && facts.partial);
                assert!(facts.has_exception_event && facts.single_span_sampled);
            },
        );
    }

    #[test]
    fn the_metric_of_the_http_status_comes_before_the_tag() {
        let meta = [("http.status_code", "404"), ("http.endpoint", "/e"), ("http.route", "/r")];
        scanned(&meta, &[("http.status_code", 500.0)], TopLevel::Tracer, |facts, _| {
            assert_eq!((facts.http_status_code, facts.http_endpoint), (500, "/e"));
        });
    }

    #[test]
    fn a_top_level_span_is_marked_once() {
        scanned(&[], &[], TopLevel::Agent(true), |facts, span| {
            assert!(facts.top_level);
            assert_eq!(span.metrics.as_slice(), [("_top_level", 1.0)]);
        });
        scanned(&[], &[("_top_level", 0.0)], TopLevel::Agent(true), |facts, span| {
            assert!(facts.top_level);
            assert_eq!(span.metrics.as_slice(), [("_top_level", 1.0)]);
        });
        scanned(&[], &[("_dd.top_level", 1.0)], TopLevel::Tracer, |facts, span| {
            assert!(facts.top_level);
            assert_eq!(span.metric("_top_level"), Some(1.0));
        });
        scanned(&[], &[("_dd.top_level", 0.0)], TopLevel::Tracer, |facts, span| {
            assert!(!facts.top_level);
            assert_eq!(span.metric("_top_level"), None);
        });
    }

    #[test]
    fn a_grpc_status_is_a_number_or_a_name() {
        check_grpc(&[("grpc.code", "5")], &[], "5");
        check_grpc(&[("grpc.code", "007")], &[], "7");
        check_grpc(&[("grpc.code", "4242")], &[], "4242");
        check_grpc(&[("grpc.code", "Not_Found")], &[], "5");
        check_grpc(&[("grpc.code", "StatusCode.UNAUTHENTICATED")], &[], "16");
        check_grpc(&[("grpc.code", "Canceled")], &[], "1");
        check_grpc(&[("grpc.code", "CANCELLED")], &[], "1");
        check_grpc(&[("grpc.code", "nonsense")], &[("grpc.code", 3.0)], "");
        check_grpc(&[("grpc.code", "")], &[("grpc.code", 3.0)], "3");
        check_grpc(&[], &[("grpc.status.code", 2.0), ("rpc.grpc.status_code", 14.0)], "14");
        check_grpc(&[("grpc.status.code", "2"), ("rpc.grpc.status.code", "9")], &[], "9");
        check_grpc(&[], &[], "");
    }
}
