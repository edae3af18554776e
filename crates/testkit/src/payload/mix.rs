//! The mix of the measurements: a web shop over a SQL database, Redis and two HTTP services.

use super::{Template, Traces};
use crate::proto::Span;

/// Share of statements that carry their literals, different each time; the others are parametrized and repeat.
const LITERAL_STATEMENTS_PERCENT: u32 = 30;

/// What the mix is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Seed: the same seed makes the same payload.
    pub seed: u64,
    /// Traces in a payload.
    pub traces: usize,
    /// Spans in a trace.
    pub spans: usize,
}

impl Default for Mix {
    /// 10 traces of 20 spans: about 78 kB in v0.4.
    fn default() -> Self {
        Self { seed: 1, traces: 10, spans: 20 }
    }
}

/// Statements as an ORM sends them: parameters apart, columns listed.
const PARAMETRIZED: &[&str] = &[
    r#"SELECT "auth_user"."id", "auth_user"."username", "auth_user"."email" FROM "auth_user" WHERE "auth_user"."id" = %s LIMIT 21"#,
    "SELECT o.id, o.total, o.state FROM orders o WHERE o.user_id = %s AND o.state IN (%s, %s, %s) ORDER BY o.created_at DESC LIMIT 20 OFFSET 40",
    "SELECT p.id, p.sku, p.name, p.price, s.amount FROM products p JOIN stock s ON s.product_id = p.id WHERE s.amount > 0 AND p.category_id = $1 AND p.price BETWEEN $2 AND $3",
    "UPDATE carts SET updated_at = now(), total = %s, item_count = item_count + 1 WHERE id = %s AND user_id = %s RETURNING id, total",
    "INSERT INTO events (id, user_id, kind, payload, created_at) VALUES (%s, %s, %s, %s, %s), (%s, %s, %s, %s, %s) RETURNING id",
    "SELECT count(*) AS n FROM notifications WHERE user_id = $1 AND read_at IS NULL",
    "SELECT a.id, a.street, a.city, a.zip, a.country FROM addresses AS a WHERE a.user_id = %s AND a.kind IN (%s, %s) AND a.deleted_at IS NULL ORDER BY a.is_default DESC, a.id ASC",
    "SELECT l.order_id, sum(l.amount * l.price) AS total, max(l.tax) FROM order_lines l INNER JOIN orders o ON o.id = l.order_id WHERE o.user_id = %s GROUP BY l.order_id HAVING sum(l.amount) > 0",
    "WITH recent AS (SELECT id, total FROM orders WHERE created_at > now() - interval '7 days' AND state <> 'cancelled') SELECT count(*), avg(total), min(total), max(total) FROM recent",
    "SELECT c.code, c.percent, c.uses_left FROM coupons c WHERE c.code = %s AND c.valid_until > now() AND c.uses_left > 0 FOR UPDATE",
];

/// Statements with their literals in them; `{}` is one.
const LITERAL: &[&str] = &[
    "SELECT id, total FROM orders WHERE id = {} AND state IN ('open', 'paid', 'sent', 'returned') AND created_at >= '2026-01-02 03:04:05' AND total > 19.99",
    "UPDATE stock SET amount = amount - 1, updated_by = 'worker-7' WHERE product_id = {} AND shelf = 'A-17' AND amount >= 1",
    "INSERT INTO audit (actor, action, target, detail, at) VALUES ({}, 'checkout', 'order', 'paid by card, 3 items, 59.97 EUR', '2026-01-02 03:04:05'), ({}, 'mail', 'order', 'confirmation', NULL)",
    "SELECT u.id, u.name, u.email FROM users u WHERE u.email = 'customer{}@example.com' OR u.alias = 'it''s me' -- looked up by mail",
    "SELECT t.id, t.subject, t.state FROM tickets t WHERE t.order_id IN ({}, {}, {}, {}) AND t.closed = FALSE AND t.priority >= 2 ORDER BY t.created_at DESC LIMIT 50",
];

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/users/<int:id>"),
    ("GET", "/orders"),
    ("POST", "/orders/<int:id>/pay"),
    ("GET", "/products/<slug:sku>"),
    ("PUT", "/cart"),
];

/// Makes the traces of one payload. Ids, starts and literals are marks: see [`Template`].
pub fn mix(mix: Mix) -> Traces {
    let mut random = fastrand::Rng::with_seed(mix.seed);
    let trace = |number: usize| Maker::new(mix, number, &mut random).trace();
    (0..mix.traces).map(trace).collect()
}

struct Maker<'a> {
    random: &'a mut fastrand::Rng,
    /// Place of the trace's id, behind those of all spans.
    trace: u16,
    /// Place of the next span's id.
    next: u16,
    end: u16,
}

impl<'a> Maker<'a> {
    fn new(mix: Mix, number: usize, random: &'a mut fastrand::Rng) -> Self {
        let place = |place: usize| u16::try_from(place).expect("a payload of less than 65,536 ids");
        Self {
            random,
            trace: place(mix.traces * mix.spans + number),
            next: place(number * mix.spans),
            end: place((number + 1) * mix.spans),
        }
    }

    fn trace(mut self) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut root = 0;
        let mut number = 0;
        while self.next < self.end {
            let span = match number {
                0 => self.web(),
                1 => self.handler(),
                _ => match (number - 2) % 9 {
                    0..=5 => self.sql(),
                    6 | 7 => self.redis(),
                    _ => self.http(),
                },
            };
            let span = Span { parent_id: root, ..span };
            if number <= 1 {
                root = span.span_id;
            }
            spans.push(span);
            number += 1;
        }
        spans
    }

    fn span(&mut self, name: &str, r#type: &str, meta: &[(&str, &str)], metrics: &[(&str, f64)]) -> Span {
        let place = self.next;
        self.next += 1;
        Span {
            service: "shop-api".into(),
            name: name.into(),
            r#type: r#type.into(),
            trace_id: Template::id(self.trace),
            span_id: Template::id(place),
            start: Template::start(self.random.u16(..30_000)),
            duration: self.random.i64(50_000..40_000_000),
            meta: meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            metrics: metrics.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
            ..Span::default()
        }
    }

    fn web(&mut self) -> Span {
        let (method, route) = ROUTES[self.random.usize(..ROUTES.len())];
        let failed = self.random.u32(..100) < 2;
        let status = if failed { "500" } else { "200" };
        let mut span = self.span(
            "django.request",
            "web",
            &[
                ("component", "django"),
                ("span.kind", "server"),
                ("env", "prod"),
                ("version", "1.2.3"),
                ("language", "python"),
                ("runtime-id", "5f3a1f7ab1d24ea5a6d5c0ffee123456"),
                ("http.method", method),
                ("http.route", route),
                ("http.status_code", status),
                ("http.useragent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
                ("http.client_ip", "203.0.113.7"),
                ("_dd.p.dm", "-1"),
                ("_dd.p.tid", "6774a1b200000000"),
            ],
            &[
                ("_sampling_priority_v1", 1.0),
                ("_dd.top_level", 1.0),
                ("_dd.agent_psr", 1.0),
                ("process_id", 4711.0),
            ],
        );
        span.resource = format!("{method} {route}");
        span.error = i32::from(failed);
        span.meta.insert(
            "http.url".into(),
            format!("https://shop.example.com{route}?page=2&token={}", Template::literal()),
        );
        span
    }

    fn handler(&mut self) -> Span {
        let mut span =
            self.span("django.view", "", &[("component", "django"), ("span.kind", "internal")], &[]);
        span.resource = "shop.views.OrderView".into();
        span
    }

    fn sql(&mut self) -> Span {
        let resource = if self.random.u32(..100) < LITERAL_STATEMENTS_PERCENT {
            LITERAL[self.random.usize(..LITERAL.len())].replace("{}", Template::literal())
        } else {
            PARAMETRIZED[self.random.usize(..PARAMETRIZED.len())].to_owned()
        };
        let rows = self.random.u32(..50);
        let mut span = self.span(
            "postgres.query",
            "sql",
            &[("component", "psycopg"), ("span.kind", "client"), ("db.system", "postgresql")],
            &[("db.row_count", rows.into()), ("_dd.measured", 1.0)],
        );
        span.service = "postgres".into();
        span.resource = resource;
        span
    }

    fn redis(&mut self) -> Span {
        let command = if self.random.bool() {
            format!("SETEX session:{} 3600 1", Template::literal())
        } else {
            "GET cart:totals".to_owned()
        };
        let mut span = self.span(
            "redis.command",
            "redis",
            &[
                ("component", "redis"),
                ("span.kind", "client"),
                ("db.system", "redis"),
                ("out.host", "cache-1.internal"),
                ("redis.raw_command", &command),
            ],
            &[("network.destination.port", 6379.0), ("out.redis_db", 0.0), ("redis.args_length", 4.0)],
        );
        span.service = "redis".into();
        span.resource = command;
        span
    }

    fn http(&mut self) -> Span {
        let url = format!("https://pay.example.com/v1/charges/{}?expand=card", Template::literal());
        let mut span = self.span(
            "requests.request",
            "http",
            &[
                ("component", "requests"),
                ("span.kind", "client"),
                ("http.method", "GET"),
                ("http.status_code", "200"),
                ("http.url", &url),
                ("out.host", "pay.example.com"),
                ("_dd.base_service", "shop-api"),
            ],
            &[("_dd.measured", 1.0)],
        );
        span.service = "requests".into();
        span.resource = "GET /v1/charges/".into();
        span
    }
}
