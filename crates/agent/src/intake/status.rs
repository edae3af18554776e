//! The agent's own state while it runs: JSON at `/lastlight/status`, Prometheus text at `/lastlight/metrics`.

use super::Intake;
use super::info::VERSION;
use model::Signal;
use pipeline::normalize::Fault;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

impl Intake {
    /// `/lastlight/status`.
    pub(crate) fn status_document(&self) -> Value {
        let transports: Vec<_> = self
            .transports
            .iter()
            .map(|transport| {
                json!({
                    "kind": transport.name.kind,
                    "address": transport.name.address,
                    "connections": transport.connections.load(Ordering::Relaxed),
                    "open": transport.open.load(Ordering::Relaxed),
                    "accept_errors": transport.accept_errors.load(Ordering::Relaxed),
                })
            })
            .collect();
        let refused: Vec<_> = self
            .door
            .refused()
            .map(|(route, reason, requests)| json!({"route": route, "reason": reason, "requests": requests}))
            .collect();
        json!({
            "agent": "lastlight",
            "version": VERSION,
            "state": if self.is_draining() { "draining" } else { "running" },
            "uptime_seconds": self.started.elapsed().as_secs(),
            "platform": self.settings.platform,
            "transports": transports,
            "signals": object(&mut Signal::ALL.iter().map(|signal| (signal.name().to_owned(), book(self, *signal)))),
            "memory": {
                "limit_bytes": self.budget.total_bytes(),
                "used_bytes": self.budget.total_used(),
                "signals": object(&mut Signal::ALL.iter().map(|signal| (
                    signal.name().to_owned(),
                    json!({"limit_bytes": self.budget.limit(*signal), "used_bytes": self.budget.used(*signal)}),
                ))),
            },
            "refused": refused,
            "dogstatsd": self.dogstatsd.as_ref().map(|dogstatsd| dogstatsd.status_document()),
            "logs": self.logs.as_ref().map(|logs| logs.counts().document()),
            "normalization_faults": faults(self),
            "endpoints": self.egress.forwarder.status().iter().map(super::egress::endpoint_document).collect::<Vec<_>>(),
        })
    }

    /// `/lastlight/metrics`.
    pub(super) fn metrics_text(&self) -> String {
        let mut text = String::with_capacity(4096);
        let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, u64)>| {
            // Writing to a string cannot fail.
            writeln!(text, "# HELP lastlight_{name} {help}\n# TYPE lastlight_{name} {kind}").ok();
            for (labels, value) in rows {
                writeln!(text, "lastlight_{name}{labels} {value}").ok();
            }
        };
        let of = |count: fn(&model::Book) -> u64| {
            Signal::ALL
                .map(|signal| (labels(&[("signal", signal.name())]), count(&self.books.book(signal))))
                .to_vec()
        };
        family(
            "uptime_seconds",
            "gauge",
            "Time since the start.",
            vec![(String::new(), self.started.elapsed().as_secs())],
        );
        family("accepted_total", "counter", "Units accepted.", of(|book| book.accepted));
        family("delivered_total", "counter", "Units the backend acknowledged.", of(|book| book.delivered));
        family("held", "gauge", "Units accepted and not settled yet.", of(|book| book.held));
        let dropped = Signal::ALL
            .iter()
            .flat_map(|signal| {
                let book = self.books.book(*signal);
                book.drops()
                    .map(|(why, units)| (labels(&[("signal", signal.name()), ("reason", why.name())]), units))
                    .collect::<Vec<_>>()
            })
            .collect();
        family("dropped_total", "counter", "Units not delivered, by reason.", dropped);
        let refused = self
            .door
            .refused()
            .map(|(route, reason, requests)| (labels(&[("route", route), ("reason", reason)]), requests))
            .collect();
        family("refused_requests_total", "counter", "Requests not accepted, by reason.", refused);
        family(
            "memory_used_bytes",
            "gauge",
            "Memory reserved for telemetry.",
            Signal::ALL
                .map(|signal| (labels(&[("signal", signal.name())]), self.budget.used(signal) as u64))
                .to_vec(),
        );
        family(
            "memory_limit_bytes",
            "gauge",
            "Bound of that memory.",
            vec![(String::new(), self.budget.total_bytes() as u64)],
        );
        let connections = self
            .transports
            .iter()
            .map(|transport| {
                let name = [("kind", transport.name.kind), ("address", transport.name.address.as_str())];
                (labels(&name), transport.connections.load(Ordering::Relaxed))
            })
            .collect();
        family("connections_total", "counter", "Connections accepted.", connections);
        if let Some(dogstatsd) = &self.dogstatsd {
            dogstatsd.families(&mut family);
        }
        if let Some(logs) = &self.logs {
            logs.counts().families(&mut family);
        }
        super::egress::endpoint_families(&self.egress.forwarder.status(), &mut family);
        text
    }
}

/// Rules that received spans broke, with how often.
fn faults(intake: &Intake) -> Map<String, Value> {
    let faults = intake.processor.faults();
    let counts = Fault::ALL.iter().map(|fault| (fault.name().to_owned(), faults.count(*fault)));
    object(&mut counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, Value::from(count))))
}

/// Members as an object, one by one: a map collected from an iterator sorts it first, by code of its own for each.
pub(crate) fn object(members: &mut dyn Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut object = Map::new();
    object.extend(members);
    object
}

fn book(intake: &Intake, signal: Signal) -> Value {
    let book = intake.books.book(signal);
    json!({
        "unit": signal.unit(),
        "accepted": book.accepted,
        "delivered": book.delivered,
        "held": book.held,
        "dropped": object(&mut book.drops().map(|(why, units)| (why.name().to_owned(), Value::from(units)))),
    })
}

/// `{a="x",b="y"}`, escaped as the exposition format asks.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let separator = if index == 0 { "" } else { "," };
        write!(text, "{separator}{name}=\"{value}\"").ok();
    }
    text.push('}');
    text
}
