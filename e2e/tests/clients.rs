//! Real tracers, over each transport and in each trace version they can speak.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::{Agent, Start},
    clients::{self, Sent},
    tap::Tap,
};
use tempfile::TempDir;
use testkit::Backend;

const TRACES: &str = "3";
/// The Node tracer sends what it counted every 10 s.
const NODE_COUNTS_MS: &str = "11000";

/// An agent on both transports, with a tap before each.
struct World {
    backend: Backend,
    agent: Agent,
    taps: [Tap; 2],
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let backend = Backend::start().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apm.socket");
        let agent = Start::new(&backend).socket(&path).start().await;
        let taps = [Tap::tcp(agent.port()).await, Tap::unix(folder.path(), path)];
        Self { backend, agent, taps, _folder: folder }
    }

    /// Everything arrived, whole and once, by the route that was meant, and the agent knows it.
    async fn delivered(self, sent: &[Sent], route: &str, counted_by_tracer: bool) {
        for tap in &self.taps {
            assert!(tap.saw(&format!(" {route} HTTP")), "{route} was not used");
            assert_eq!(tap.saw(" /v0.6/stats HTTP"), counted_by_tracer);
        }
        let ids: Vec<_> = sent.iter().flat_map(|sent| sent.spans.clone()).collect();
        let stopped = self.agent.stop().await;
        let books = stopped.without_loss();
        assert_eq!(books.of("traces").accepted, ids.len() as u64);
        self.backend.wait_until(|backend| backend.missing(ids.clone()).is_empty(), BOUND).await.unwrap();
        assert_eq!(self.backend.duplicates(), [0_u64; 0]);
        let spans = self.backend.spans();
        assert_eq!(spans.len(), ids.len());
        for span in &spans {
            assert!(span.meta.values().all(|value| !value.contains("id = 1 ")), "not obfuscated: {span:?}");
            assert!(!span.service.is_empty() && !span.resource.is_empty() && span.start > 0, "{span:?}");
        }
        let sql = spans.iter().find(|span| span.r#type == "sql").expect("a query");
        assert_eq!(sql.resource, "SELECT * FROM orders WHERE id = ? AND state = ?");
        let roots = spans.iter().filter(|span| span.parent_id == 0).count();
        assert_eq!(roots, ids.len() / if spans.iter().any(|span| span.r#type == "redis") { 4 } else { 3 });
        let payload = &self.backend.traces()[0].tracer_payloads[0];
        assert!(!payload.language_name.is_empty() && !payload.tracer_version.is_empty(), "{payload:?}");
        let counted: u64 = sent.iter().map(|sent| sent.counted).sum();
        assert_eq!(self.backend.stats_hits(), counted);
        assert_eq!(self.backend.stats().iter().any(|stats| stats.client_computed), counted_by_tracer);
    }
}

async fn python(version: &str, stats: bool) {
    let world = World::new().await;
    let mut sent = Vec::new();
    for tap in &world.taps {
        let variables = [
            ("DD_TRACE_AGENT_URL", tap.url()),
            ("DD_TRACE_API_VERSION", version),
            ("DD_TRACE_STATS_COMPUTATION_ENABLED", if stats { "true" } else { "false" }),
            ("DD_ENV", "e2e"),
        ];
        let mut client = clients::python("python_client.py", &["traces", TRACES], &variables);
        sent.push(client.sent().await);
        client.ends().await;
    }
    world.delivered(&sent, &format!("/{version}/traces"), stats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddtrace_sends_v04_and_we_count() {
    python("v0.4", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddtrace_sends_v05_and_we_count() {
    python("v0.5", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddtrace_sends_v04_and_counts_itself() {
    python("v0.4", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddtrace_sends_v05_and_counts_itself() {
    python("v0.5", true).await;
}

async fn node(version: &str, stats: bool) {
    let world = World::new().await;
    let arguments: &[&str] = if stats { &[TRACES, NODE_COUNTS_MS] } else { &[TRACES] };
    let clients = world.taps.each_ref().map(|tap| {
        let variables = [
            ("DD_TRACE_AGENT_URL", tap.url()),
            ("DD_TRACE_AGENT_PROTOCOL_VERSION", version),
            ("DD_TRACE_STATS_COMPUTATION_ENABLED", if stats { "true" } else { "false" }),
            ("DD_ENV", "e2e"),
        ];
        clients::node("node_client.js", arguments, &variables)
    });
    let mut sent = Vec::new();
    for mut client in clients {
        sent.push(client.sent().await);
        client.ends().await;
    }
    world.delivered(&sent, &format!("/v{version}/traces"), stats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dd_trace_for_node_sends_v04_and_we_count() {
    node("0.4", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dd_trace_for_node_sends_v05_and_we_count() {
    node("0.5", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dd_trace_for_node_sends_v04_and_counts_itself() {
    node("0.4", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dd_trace_for_node_sends_v05_and_counts_itself() {
    node("0.5", true).await;
}
