//! What is said while it runs agrees with the books.

use crate::support::{Agent, Setup, get, post, recent, spans};
use model::{Books, Signal};
use std::collections::BTreeMap;
use testkit::payload::v04;

/// An agent that has accepted, delivered, dropped and refused.
async fn busy() -> Agent {
    let agent = Setup::new().await.with("DD_APM_IGNORE_RESOURCES", "ignored").start().await;
    let mut ignored = recent(4);
    ignored.resource = "ignored".into();
    assert_eq!(agent.send(post("/v0.4/traces", v04(&[vec![ignored]]))).await.status, 200);
    assert_eq!(agent.send(spans(1..=3)).await.status, 200);
    assert_eq!(agent.send(post("/profiling/v1/input", *b"p")).await.status, 200);
    assert_eq!(agent.send(get("/a\"b\\c")).await.status, 404);
    agent
        .status_until(|status| {
            status["signals"]["traces"]["delivered"] == 3 && status["signals"]["proxied"]["delivered"] == 1
        })
        .await;
    agent
}

#[tokio::test]
async fn the_status_document_agrees_with_the_books() {
    let agent = busy().await;
    let status = agent.send(get("/lastlight/status")).await.json();
    assert_eq!((&status["agent"], &status["state"]), (&"lastlight".into(), &"running".into()));
    let books: &Books = agent.running.books();
    for signal in Signal::ALL {
        let (said, book) = (&status["signals"][signal.name()], books.book(signal));
        assert_eq!(said["accepted"], book.accepted, "{said}");
        assert_eq!(said["delivered"], book.delivered, "{said}");
        assert_eq!(said["held"], book.held, "{said}");
        let dropped: BTreeMap<String, u64> =
            book.drops().map(|(why, units)| (why.name().to_owned(), units)).collect();
        assert_eq!(
            serde_json::from_value::<BTreeMap<String, u64>>(said["dropped"].clone()).expect("counts"),
            dropped
        );
    }
    assert_eq!(status["signals"]["traces"]["dropped"]["ignored_resource"], 1);
    let kinds: Vec<_> =
        status["transports"].as_array().expect("transports").iter().map(|t| t["kind"].clone()).collect();
    assert_eq!(kinds, ["tcp", "unix"]);
    let endpoints = status["endpoints"].as_array().expect("endpoints");
    let traces = endpoints.iter().find(|endpoint| endpoint["kind"] == "traces").expect("traces");
    assert_eq!((&traces["units_delivered"], &traces["queued_requests"]), (&3.into(), &0.into()));
    assert_eq!(traces["url"], agent.backend.url());
    assert!(!status.to_string().contains("0123456789abcdef"), "no key is told");
    agent.stop().await.delivered_once(1..=3);
}

/// A line of the exposition format: name, labels, value.
fn sample(line: &str) -> (String, String, u64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line:?}"))),
        None => (series, ""),
    };
    assert!(
        name.strip_prefix("lastlight_")
            .is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')),
        "{line:?}"
    );
    // Quotes inside a value are escaped, so what is left over of them is paired.
    let plain = labels.replace("\\\\", "").replace("\\\"", "");
    assert_eq!(plain.matches('"').count() % 2, 0, "{line:?}");
    for label in plain.split("\",").filter(|label| !label.is_empty()) {
        assert!(label.contains("=\""), "{line:?}");
    }
    (name.to_owned(), labels.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
}

#[tokio::test]
async fn every_line_of_the_metrics_parses_and_agrees_with_the_books() {
    let agent = busy().await;
    let text = agent.send(get("/lastlight/metrics")).await;
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in text.text().lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().expect("a name").to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind == format!("{family} counter") || kind == format!("{family} gauge"), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(name, family, "{line}");
            assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    let value =
        |name: &str, labels: &str| samples.get(&(format!("lastlight_{name}"), labels.to_owned())).copied();
    for signal in Signal::ALL {
        let (labels, book) = (format!("signal=\"{}\"", signal.name()), agent.book(signal));
        assert_eq!(value("accepted_total", &labels), Some(book.accepted));
        assert_eq!(value("delivered_total", &labels), Some(book.delivered));
        assert_eq!(value("held", &labels), Some(book.held));
    }
    assert_eq!(value("dropped_total", "signal=\"traces\",reason=\"ignored_resource\""), Some(1));
    assert_eq!(value("refused_requests_total", "route=\"unknown\",reason=\"not_found\""), Some(1));
    agent.stop().await;
}
