//! The stage above a real aggregator and forwarder, seen at a scripted backend.

use super::*;
use crate::config::Config;
use crate::config::source::Fixed;
use crate::dogstatsd::DogStatsD;
use crate::forward;
use crate::forward::client::HttpClient;
use crate::platform::{Metadata, Probe};
use crate::room::Budget;
use crate::settings;
use lifecycle::{Deadline, End, Stack};
use model::{Books, Signal};
use std::num::NonZeroU32;
use std::path::Path;
use testkit::Backend;
use testkit::metrics::Metrics;

/// Far beyond anything a test needs; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// An instance that tells of itself.
struct Instance {
    stack: Stack,
    books: Books,
    enhanced: Arc<Enhanced>,
}

impl Instance {
    fn start(backend: &Backend, face: Face, variables: &[(&str, &str)], root: &Path) -> Self {
        let strings = variables.iter().fold(
            Fixed::new()
                .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
                .with("DD_DD_URL", &backend.url())
                .with("DD_ENV", "test"),
            |strings, (name, value)| strings.with(name, value),
        );
        let config = Config::load_for(&strings, face, &Probe::default()).expect("a configuration");
        let client = HttpClient::new(&settings::client(&config));
        let (forwarder, sender) =
            forward::forwarder(&settings::forward(&config), Arc::new(client)).expect("endpoints");
        let (books, budget) = (Books::default(), Budget::new(1 << 24));
        let dogstatsd = Arc::new(DogStatsD::new(
            settings::dogstatsd(&config),
            &books,
            budget,
            forwarder,
            Arc::default(),
            Vec::new(),
            Arc::default(),
        ));
        let mut told = EnhancedSettings::new(config.platform, face, true, &strings);
        told.root = root.to_owned();
        let enhanced = Enhanced::new(told, Arc::clone(&dogstatsd)).expect("something to tell");
        let mut stack = Stack::default();
        stack.push("forward", NonZeroU32::MIN, |close| sender.run(close));
        let (hearing, heard) = tokio::sync::mpsc::channel(1);
        stack.push("metrics", NonZeroU32::MIN, |close| Arc::clone(&dogstatsd).run(heard, close));
        stack.push("enhanced", NonZeroU32::MIN, |close| Arc::clone(&enhanced).run(close));
        // As long as listeners are there.
        stack.push("listeners", NonZeroU32::MIN, |close| async move {
            close.requested().await;
            drop(hearing);
        });
        let tags = platform::metric_tags(&config.platform, &strings, &metadata(), face);
        dogstatsd.set_platform_tags(tags);
        Self { stack, books, enhanced }
    }

    /// Stops it, with nothing lost.
    async fn stop(self) -> u64 {
        let ends = self.stack.unwind(Deadline::at(lifecycle::Instant::now() + PATIENCE), || {}).await;
        assert!(ends.iter().all(|end| end.end == End::Drained), "{ends:?}");
        let book = self.books.book(Signal::Metrics);
        assert_eq!((book.held, book.delivered), (0, book.accepted));
        book.accepted
    }
}

fn metadata() -> Metadata {
    Metadata { region: Some("here".into()), project: Some("proj".into()), ..Metadata::default() }
}

fn count(metrics: &Metrics, name: &str, tags: &[&str]) -> u64 {
    metrics.sketch(name, tags).count
}

#[tokio::test]
async fn a_service_tells_its_platforms_names_whatever_the_user_says_of_metrics() {
    let backend = Backend::start().await;
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sys/fs/cgroup/cpu")).unwrap();
    std::fs::write(root.path().join("sys/fs/cgroup/cpu/cpuacct.usage"), "5").unwrap();
    std::fs::create_dir_all(root.path().join("proc")).unwrap();
    std::fs::write(root.path().join("proc/stat"), "cpu0\ncpu1\n").unwrap();
    let variables = &[
        ("K_SERVICE", "svc"),
        ("DD_STATSD_METRIC_NAMESPACE", "mine"),
        (
            "DD_STATSD_METRIC_BLOCKLIST",
            "gcp.run.container.enhanced.cold_start gcp.run.container.enhanced.instance",
        ),
        ("DD_SERVICE", "shop"),
        ("DD_TAGS", "team:blue"),
    ];
    let instance = Instance::start(&backend, Face::Entrypoint, variables, root.path());
    instance.enhanced.set_instance("i-1".into());
    // It looks as soon as it runs.
    while instance.books.book(Signal::Metrics).accepted < 4 {
        tokio::task::yield_now().await;
    }
    let prefix = "gcp.run.container.enhanced";
    let samples = instance.stop().await;
    let metrics = backend.metrics();
    let tags =
        &["env:test", "service:shop", "team:blue", "origin:cloudrun", "location:here", "service_name:svc"];
    for name in
        [&format!("{prefix}.cold_start"), &format!("{prefix}.shutdown"), "gcp.run.enhanced.cold_start"]
    {
        assert_eq!(count(&metrics, name, tags), 1, "{name}");
    }
    let limit = metrics.sketch(&format!("{prefix}.cpu.limit"), tags);
    assert_eq!((limit.min, limit.max), (2e9, 2e9));
    let of_instance = [&tags[..], &["instance:i-1"]].concat();
    assert_eq!(metrics.gauge(&format!("{prefix}.instance"), &of_instance), Some(1.0));
    // Two starts, two stops, the instance, the limit once or, when the stop came late enough, twice with the usage.
    assert!((6..=8).contains(&samples), "{samples}");
    assert!(backend.series().iter().all(|series| series.host.is_empty()));
}

#[tokio::test]
async fn a_task_that_is_over_before_the_metadata_are_known_is_told_whole() {
    let backend = Backend::start().await;
    let root = tempfile::tempdir().unwrap();
    let variables = &[("CLOUD_RUN_JOB", "nightly")];
    let instance = Instance::start(&backend, Face::Entrypoint, variables, root.path());
    instance.enhanced.child_ended(3);
    instance.enhanced.child_ended(0);
    instance.stop().await;
    let metrics = backend.metrics();
    let tags = &["job_name:nightly", "project_id:proj"];
    for (name, tag) in [("started", "env:test"), ("duration", "env:test"), ("ended", "succeeded:false")] {
        let name = format!("gcp.run.job.enhanced.task.{name}");
        assert_eq!(count(&metrics, &name, &[&tags[..], &[tag]].concat()), 1, "{name}");
    }
}

#[tokio::test]
async fn l101_two_instances_without_host_lose_nothing_of_each_other() {
    let backend = Backend::start().await;
    let root = tempfile::tempdir().unwrap();
    let instances = ["i-1", "i-2"].map(|name| {
        let instance = Instance::start(&backend, Face::Entrypoint, &[("K_SERVICE", "svc")], root.path());
        instance.enhanced.set_instance(name.into());
        instance
    });
    for instance in &instances {
        while instance.books.book(Signal::Metrics).accepted < 3 {
            tokio::task::yield_now().await;
        }
    }
    for instance in instances {
        instance.stop().await;
    }
    let metrics = backend.metrics();
    assert_eq!(count(&metrics, "gcp.run.container.enhanced.cold_start", &[]), 2);
    assert_eq!(metrics.contexts("gcp.run.container.enhanced.instance", &[]).len(), 2);
    assert_eq!(metrics.replaced(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_function_app_says_that_it_is_there_every_three_seconds() {
    let backend = Backend::start().await;
    let root = tempfile::tempdir().unwrap();
    let variables = &[
        ("FUNCTIONS_EXTENSION_VERSION", "~4"),
        ("FUNCTIONS_WORKER_RUNTIME", "python"),
        ("WEBSITE_SITE_NAME", "my-app"),
    ];
    let instance = Instance::start(&backend, Face::Agent, variables, root.path());
    instance.enhanced.set_instance("box".into());
    let accepted = || instance.books.book(Signal::Metrics).accepted;
    for looks in [1, 2, 3] {
        while accepted() < looks {
            tokio::task::yield_now().await;
        }
        let before = tokio::time::Instant::now();
        while accepted() < looks + 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let elapsed = before.elapsed().as_millis();
        assert!((2_900..=3_100).contains(&elapsed), "{elapsed} ms");
    }
    // The stop waits for a real backend.
    tokio::time::resume();
    instance.stop().await;
    let tags = &["instance:box", "name:my-app", "region:unknown", "origin:azurefunction"];
    assert_eq!(backend.metrics().gauge("azure.functions.enhanced.instance", tags), Some(1.0));
}
