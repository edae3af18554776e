//! DogStatsD clients of three languages, over each transport they can use: exact to the last sample.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    agent::{Agent, Start, datagram_socket, stream_socket},
    clients,
    statsd::{AGGREGATES, CLIENT_METRICS, Sent},
};
use std::path::Path;
use tempfile::TempDir;
use testkit::Backend;

const ROUNDS: &str = "500";
/// What the clients are told of their service, and what they make of it.
const SERVICE: [(&str, &str); 3] = [("DD_ENV", "prod"), ("DD_SERVICE", "shop"), ("DD_VERSION", "7")];
const SERVICE_TAGS: [&str; 3] = ["env:prod", "service:shop", "version:7"];

/// An agent on every transport.
struct World {
    backend: Backend,
    agent: Agent,
    folder: TempDir,
}

impl World {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let backend = Backend::start().await;
        let folder = tempfile::tempdir().unwrap();
        let start = Start::new(&backend).statsd_sockets(folder.path()).set("DD_TAGS", "team:fleet");
        let start = start.set("DD_HISTOGRAM_AGGREGATES", AGGREGATES);
        let start = settings.iter().fold(start, |start, (name, value)| start.set(name, *value));
        Self { backend, agent: start.start().await, folder }
    }

    fn udp(&self) -> String {
        format!("udp://127.0.0.1:{}", self.agent.statsd_port())
    }

    /// Stops the agent the moment the client is done: everything is in a bucket that is still open.
    async fn has(self, sent: &Sent, prefix: &str, tags: &[&str]) {
        assert_eq!(sent.dropped, 0, "the client dropped");
        let stopped = self.agent.stop().await;
        let books = stopped.without_loss();
        let metrics = self.backend.metrics();
        if let Some(counted) = sent.client_metrics {
            // Without a namespace and as often as the client said.
            #[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
            let counted = counted as f64;
            assert_eq!(metrics.total(&format!("{CLIENT_METRICS}metrics"), &[]), counted);
            assert_eq!(metrics.total(&format!("{CLIENT_METRICS}packets_dropped"), &[]), 0.0);
            assert!(books.of("metrics").accepted > sent.units());
        } else if sent.adds_up {
            assert!(books.of("metrics").accepted < sent.units());
        } else {
            assert_eq!(books.of("metrics").accepted, sent.units());
        }
        assert_eq!(books.of("events").accepted, sent.events.len() as u64);
        assert_eq!(books.of("checks").accepted, sent.checks.len() as u64);
        let tags: Vec<_> = tags.iter().copied().chain(["team:fleet"]).collect();
        let wrong = sent.differences(&self.backend, prefix, &tags);
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), stopped.lines.join("\n"));
    }
}

async fn python(world: World, url: &str, options: &[&str], prefix: &str) {
    let arguments = [&["every", ROUNDS], options].concat();
    let variables = [&[("DD_DOGSTATSD_URL", url)], SERVICE.as_slice()].concat();
    let sent = clients::python("statsd_client.py", &arguments, &variables).sent_samples().await;
    world.has(&sent, prefix, &SERVICE_TAGS).await;
}

fn unix(scheme: &str, path: &Path) -> String {
    format!("{scheme}://{}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_udp() {
    let world = World::new(&[]).await;
    let url = world.udp();
    python(world, &url, &[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_udp_buffered_with_a_namespace_and_what_it_counts_itself() {
    let world = World::new(&[("DD_STATSD_METRIC_NAMESPACE", "acme")]).await;
    let url = world.udp();
    python(world, &url, &["buffered", "telemetry"], "acme.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_unix_datagrams() {
    let world = World::new(&[]).await;
    let url = unix("unix", &datagram_socket(world.folder.path()));
    python(world, &url, &[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_unix_datagrams_buffered_with_the_agent_told_the_same_service() {
    let world = World::new(&SERVICE).await;
    let url = unix("unixgram", &datagram_socket(world.folder.path()));
    python(world, &url, &["buffered"], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_a_unix_stream() {
    let world = World::new(&[]).await;
    let url = unix("unixstream", &stream_socket(world.folder.path()));
    python(world, &url, &[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_a_unix_stream_buffered() {
    let world = World::new(&[]).await;
    let url = unix("unixstream", &stream_socket(world.folder.path()));
    python(world, &url, &["buffered"], "").await;
}

async fn node(world: World, url: &str, mode: &str, prefix: &str) {
    let variables = [&[("DD_DOGSTATSD_URL", url)], SERVICE.as_slice()].concat();
    let sent = clients::node("statsd_client.js", &[mode, ROUNDS], &variables).sent_samples().await;
    world.has(&sent, prefix, &[SERVICE_TAGS.as_slice(), &["region:north"]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_over_udp_with_what_it_counts_itself() {
    let world = World::new(&[]).await;
    let url = world.udp();
    node(world, &url, "hot-shots", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_over_udp_buffered_with_a_namespace() {
    let world = World::new(&[("DD_STATSD_METRIC_NAMESPACE", "acme")]).await;
    let url = world.udp();
    node(world, &url, "buffered", "acme.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_over_unix_datagrams() {
    let world = World::new(&[]).await;
    let url = unix("unix", &datagram_socket(world.folder.path()));
    node(world, &url, "buffered", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tracers_own_client_over_http() {
    let world = World::new(&[]).await;
    let url = world.agent.url();
    let variables = [&[("DD_TRACE_AGENT_URL", url.as_str())], SERVICE.as_slice()].concat();
    let sent = clients::node("statsd_client.js", &["tracer", ROUNDS], &variables).sent_samples().await;
    world.has(&sent, "", &SERVICE_TAGS).await;
}

async fn go(world: World, address: &str, lines: &[&str]) {
    let sent = clients::go(&[&[address, ROUNDS], lines].concat()).sent_samples().await;
    world.has(&sent, "", &["region:north"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_over_udp() {
    let world = World::new(&[]).await;
    let address = format!("127.0.0.1:{}", world.agent.statsd_port());
    go(world, &address, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_over_udp_of_ip_version_6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("not tried: this machine has no ::1");
        return;
    }
    let world = World::new(&[]).await;
    let address = format!("[::1]:{}", world.agent.statsd_port());
    go(world, &address, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_over_udp_buffered() {
    let world = World::new(&[]).await;
    let address = format!("127.0.0.1:{}", world.agent.statsd_port());
    go(world, &address, &["20"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_over_unix_datagrams() {
    let world = World::new(&[]).await;
    let address = unix("unix", &datagram_socket(world.folder.path()));
    go(world, &address, &[]).await;
}
