//! What the example's shop did: visits, a slow page with a query per item, a purchase that fails in
//! another service, and the worker that hears of it.

use super::msgpack::{Event, Span};

/// One microsecond in nanoseconds.
const US: i64 = 1_000;
/// One millisecond in nanoseconds.
const MS: i64 = 1_000_000;
/// Items of the slow page.
const ITEMS: i64 = 24;

/// What one pretended process sends.
pub(super) struct Process {
    pub(super) service: &'static str,
    pub(super) traces: Vec<Vec<Span>>,
}

/// The processes of the shop. Their last span ends at `now`, nanoseconds since the Unix epoch.
pub(super) fn processes(now: i64) -> Vec<Process> {
    let ids = Ids { base: now.unsigned_abs() };
    let begin = now.saturating_sub(900 * MS);
    let (failed_here, failed_there) = failed_purchase(&ids, begin + 480 * MS);
    vec![
        Process { service: "stock", traces: vec![failed_there] },
        Process {
            service: "shop",
            traces: vec![home(&ids, begin), slow_page(&ids, begin + 120 * MS), failed_here],
        },
        Process { service: "mailer", traces: vec![worker(&ids, begin + 800 * MS)] },
    ]
}

/// Ids that differ from run to run and repeat nowhere within one.
struct Ids {
    base: u64,
}

impl Ids {
    fn trace(&self, number: u64) -> u64 {
        // An odd multiplier spreads neighbouring numbers over all 64 bits, and maps none to another's place.
        (self.base | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number << 32) | 1
    }

    fn span(&self, trace: u64, number: u64) -> u64 {
        self.trace(trace).wrapping_add(number.wrapping_mul(2) + 2)
    }

    /// The span of a service: its numbers in the example, its place in time, and what it is.
    fn make(&self, numbers: (u64, u64, u64), time: (i64, i64), what: [&'static str; 4]) -> Span {
        let (trace, span, parent) = numbers;
        let [service, name, resource, kind] = what;
        let mut made = Span {
            service,
            name,
            resource: resource.to_owned(),
            kind,
            trace_id: self.trace(trace),
            span_id: self.span(trace, span),
            parent_id: if parent == 0 { 0 } else { self.span(trace, parent) },
            start: time.0,
            duration: time.1,
            ..Span::default()
        };
        made.meta.push(("env", "demo".to_owned()));
        if parent == 0 {
            made.metrics.push(("_sampling_priority_v1", 1.0));
        }
        made
    }
}

fn tagged(mut span: Span, tags: &[(&'static str, &'static str)]) -> Span {
    span.meta.extend(tags.iter().map(|(key, value)| (*key, (*value).to_owned())));
    span
}

fn failed(span: Span, kind: &'static str, message: &'static str) -> Span {
    Span { error: true, ..tagged(span, &[("error.type", kind), ("error.message", message)]) }
}

fn web(span: Span, status: &'static str) -> Span {
    tagged(span, &[("span.kind", "server"), ("http.method", "GET"), ("http.status_code", status)])
}

fn home(ids: &Ids, at: i64) -> Vec<Span> {
    let query = "SELECT id, name, price FROM products WHERE visible = 1 AND market = 'lighthouse' ORDER BY name LIMIT 20";
    vec![
        web(ids.make((1, 1, 0), (at, 14 * MS), ["shop", "http.request", "GET /", "web"]), "200"),
        ids.make(
            (1, 2, 1),
            (at + MS, 700 * US),
            ["shop-cache", "redis.command", "GET session:8f3a", "redis"],
        ),
        ids.make((1, 3, 1), (at + 2 * MS, 6 * MS), ["shop-db", "postgres.query", query, "sql"]),
        ids.make((1, 4, 1), (at + 9 * MS, 4 * MS), ["shop", "template.render", "home.html", "template"]),
    ]
}

fn slow_page(ids: &Ids, at: i64) -> Vec<Span> {
    let query = "SELECT price, discount FROM prices WHERE product = 4711 AND valid_until > '2026-01-01'";
    let mut spans = vec![web(
        ids.make((2, 1, 0), (at, 212 * MS), ["shop", "http.request", "GET /wishlist", "web"]),
        "200",
    )];
    let queries = (0..ITEMS).map(|item| {
        let number = 2 + item.unsigned_abs();
        ids.make(
            (2, number, 1),
            (at + (3 + 8 * item) * MS, 6 * MS + item * 40 * US),
            ["shop-db", "postgres.query", query, "sql"],
        )
    });
    spans.extend(queries);
    spans
}

/// One trace, half of it in the shop, half in the stock service.
fn failed_purchase(ids: &Ids, at: i64) -> (Vec<Span>, Vec<Span>) {
    let (kind, message) = ("OutOfStock", "product 4711 is sold out");
    let there = (at + 46 * MS, 118 * MS);
    let url = "POST http://stock.internal/reserve";
    let call = ids.make((3, 3, 1), (at + 40 * MS, 130 * MS), ["shop", "http.request", url, "http"]);
    let call = tagged(call, &[("span.kind", "client"), ("http.status_code", "409")]);
    let statement = "UPDATE stock SET reserved = reserved + 1 WHERE product = 4711 AND warehouse IN (1, 2, 3) AND available > 0";
    let mut update =
        ids.make((3, 5, 4), (at + 60 * MS, 96 * MS), ["stock-db", "postgres.query", statement, "sql"]);
    let attributes = vec![("table", "stock"), ("mode", "row exclusive")];
    update.event = Some(Event { time: at + 140 * MS, name: "lock.acquired", attributes });
    let reserve = web(ids.make((3, 4, 3), there, ["stock", "http.request", "POST /reserve", "web"]), "409");
    let here = vec![
        failed(
            web(
                ids.make((3, 1, 0), (at, 190 * MS), ["shop", "http.request", "POST /checkout", "web"]),
                "500",
            ),
            kind,
            message,
        ),
        ids.make(
            (3, 2, 1),
            (at + 4 * MS, 2 * MS),
            ["shop-db", "postgres.query", "SELECT * FROM carts WHERE customer = 'ann@example.org'", "sql"],
        ),
        failed(call, kind, message),
        ids.make((3, 6, 1), (at + 180 * MS, 3 * MS), ["shop", "kafka.produce", "order.failed", "queue"]),
    ];
    (here, vec![failed(reserve, kind, message), update])
}

/// A trace of its own that says which one caused it.
fn worker(ids: &Ids, at: i64) -> Vec<Span> {
    let mut consume =
        ids.make((4, 1, 0), (at, 100 * MS), ["mailer", "kafka.consume", "order.failed", "worker"]);
    consume.link = Some((ids.trace(3), ids.span(3, 6)));
    vec![
        consume,
        ids.make(
            (4, 2, 1),
            (at + 8 * MS, 88 * MS),
            ["mailer", "smtp.send", "sorry.txt to 1 customer", "mail"],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_every_parent_exists_in_its_trace() {
        for now in [0, 1, i64::MAX, 1_790_000_000_123_456_789] {
            let processes = processes(now);
            let spans: Vec<_> =
                processes.iter().flat_map(|process| process.traces.iter().flatten()).collect();
            let ids: HashSet<_> = spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
            assert_eq!(ids.len(), spans.len(), "{now}");
            for span in &spans {
                assert!(span.trace_id != 0 && span.span_id != 0);
                assert!(span.parent_id == 0 || ids.contains(&(span.trace_id, span.parent_id)), "{span:?}");
            }
            let traces: HashSet<_> = spans.iter().map(|span| span.trace_id).collect();
            assert_eq!(traces.len(), 4);
        }
    }

    #[test]
    fn nothing_ends_after_now() {
        let now = 1_790_000_000_000_000_000;
        let last = processes(now)
            .iter()
            .flat_map(|process| process.traces.iter().flatten())
            .map(|span| span.start + span.duration)
            .max();
        assert_eq!(last, Some(now));
    }
}
