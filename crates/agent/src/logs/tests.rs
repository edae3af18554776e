//! From what a program writes to the backend, and to the books.

use super::ProgramOutput;
use crate::compose::Running;
use crate::config::Config;
use crate::config::source::Fixed;
use crate::platform::{Face, Probe};
use lifecycle::{Deadline, Instant};
use model::limits::LOG_BATCH_MAX_COUNT;
use model::{Book, Signal, Why};
use std::sync::Arc;
use std::time::Duration;
use testkit::Backend;

const PATIENCE: Duration = Duration::from_secs(60);

/// An agent around a program whose logs wait for an hour, unless something else sends them.
async fn around(backend: &Backend) -> (Running, ProgramOutput) {
    let strings = Fixed::new()
        .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .with("DD_LOGS_ENABLED", "true")
        .with("DD_LOGS_PORT", "0")
        .with("DD_LOGS_CONFIG_LOGS_DD_URL", &backend.url())
        .with("DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION", "false")
        .with("DD_ENHANCED_METRICS_ENABLED", "false");
    let mut config =
        Config::load_for(&strings, Face::Entrypoint, &Probe::default()).expect("a configuration");
    config.receiver.port = Some(0);
    config.dogstatsd.udp = Vec::new();
    config.logs.batch_wait = Duration::from_secs(3_600);
    let bound = crate::bind(config).await.expect("nothing to bind but a port of the system's choice");
    let output = bound.output().expect("logs are on");
    (bound.start(Arc::new(strings)).expect("a start"), output)
}

fn deadline() -> Deadline {
    Deadline::at(Instant::now() + PATIENCE)
}

fn book(running: &Running) -> Book {
    running.books().book(Signal::Logs)
}

async fn arrived(backend: &Backend, logs: u64) {
    backend
        .wait_until(|backend| backend.counts().logs >= logs, PATIENCE)
        .await
        .expect("a full batch is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_leaves_when_it_is_full_by_number() {
    let backend = Backend::start().await;
    let (running, output) = around(&backend).await;
    let batch = LOG_BATCH_MAX_COUNT as u64;
    output.stdout(&b"line\n".repeat(LOG_BATCH_MAX_COUNT + 1));
    arrived(&backend, batch).await;
    assert_eq!((backend.counts().logs, book(&running).accepted), (batch, batch + 1));
    running.stop("a test", deadline()).await;
    assert_eq!(backend.counts().logs, batch + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_leaves_when_it_is_full_by_bytes() {
    let backend = Backend::start().await;
    let (running, output) = around(&backend).await;
    let mut line = vec![b'x'; 500_000];
    line.push(b'\n');
    // Eight of them are over what a payload takes.
    output.stdout(&line.repeat(9));
    arrived(&backend, 7).await;
    assert!(backend.counts().logs < 9);
    running.stop("a test", deadline()).await;
    assert_eq!(backend.counts().logs, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_stop_is_on_the_books_as_late() {
    let backend = Backend::start().await;
    let (running, output) = around(&backend).await;
    output.stdout(b"in time\n");
    let books = running.books().clone();
    running.stop("a test", deadline()).await;
    output.stderr(b"of a process that was left behind\n");
    let book = books.book(Signal::Logs);
    assert_eq!((book.accepted, book.delivered, book.dropped(Why::Deadline), book.held), (2, 1, 1, 0));
}
