//! What lastlight tells of the platform itself around a program: enhanced metrics, and the root span of a job's task
//! (`facts/platforms.md` §4.1).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{
    Run, job,
    metadata::{Manner, Metadata},
};
use std::collections::BTreeSet;
use testkit::Backend;

/// What of the machine is told where its control groups tell it.
const USAGE: [&str; 6] =
    ["cpu.usage", "cpu.limit", "memory.usage", "memory.limit", "network.received", "network.sent"];

/// A platform: its variables, what it tells once, its gauge, and the prefix of [`USAGE`].
type Place =
    (&'static [(&'static str, &'static str)], &'static [&'static str], Option<&'static str>, &'static str);

const PLACES: [Place; 5] = [
    (
        &[("K_SERVICE", "shop")],
        &[
            "gcp.run.container.enhanced.cold_start",
            "gcp.run.container.enhanced.shutdown",
            "gcp.run.enhanced.cold_start",
            "gcp.run.enhanced.shutdown",
        ],
        Some("gcp.run.container.enhanced.instance"),
        "gcp.run.container.enhanced",
    ),
    (
        &[("CLOUD_RUN_JOB", "nightly")],
        &[
            "gcp.run.job.enhanced.task.started",
            "gcp.run.job.enhanced.task.duration",
            "gcp.run.job.enhanced.task.ended",
        ],
        None,
        "gcp.run.container.enhanced",
    ),
    (
        &[("CONTAINER_APP_NAME", "shop")],
        &[
            "azure.app_containerapps.enhanced.cold_start",
            "azure.app_containerapps.enhanced.shutdown",
            "azure.containerapp.enhanced.cold_start",
            "azure.containerapp.enhanced.shutdown",
        ],
        None,
        "azure.app_containerapps.enhanced",
    ),
    (
        &[("WEBSITE_STACK", "NODE"), ("WEBSITE_SITE_NAME", "shop"), ("COMPUTERNAME", "host-1")],
        &[
            "azure.app_services.enhanced.cold_start",
            "azure.app_services.enhanced.shutdown",
            "azure.appservice.enhanced.cold_start",
            "azure.appservice.enhanced.shutdown",
        ],
        Some("azure.app_services.enhanced.instance"),
        "azure.app_services.enhanced",
    ),
    (
        &[],
        &["datadog.serverless_agent.enhanced.cold_start", "datadog.serverless_agent.enhanced.shutdown"],
        None,
        "datadog.serverless_agent.enhanced",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_short_run_tells_that_it_began_and_ended_once_each_and_what_it_used() {
    let metadata = Metadata::start(Manner::Right).await;
    for (variables, once, instance, prefix) in PLACES {
        let backend = Backend::start().await;
        let mut run = Run::new(&backend).set("GCE_METADATA_HOST", &metadata.host).set("DD_SERVICE", "cart");
        for (name, value) in variables {
            run = run.set(name, *value);
        }
        let ended = run.sh("sleep 0.5").ends().await;
        ended.without_loss();
        let metrics = backend.metrics();
        let names: BTreeSet<_> = metrics.names().into_iter().collect();
        for name in once {
            assert_eq!(metrics.sketch(name, &["service:cart"]).count, 1, "{name}: {names:?}");
        }
        if let Some(instance) = instance {
            assert_eq!(metrics.gauge(instance, &["service:cart"]), Some(1.0), "{names:?}");
            let tags = metrics.contexts(instance, &[])[0].tags.clone();
            assert!(tags.iter().any(|tag| tag.starts_with("instance:")), "{tags:?}");
        }
        let used: Vec<_> = USAGE.iter().map(|name| format!("{prefix}.{name}")).collect();
        for name in &names {
            let known = once.contains(name) || instance == Some(name) || used.iter().any(|used| used == name);
            assert!(known, "{name} is not of this platform");
        }
        let limit = metrics.sketch(&format!("{prefix}.cpu.limit"), &[]);
        assert!(limit.count > 0 && limit.max > 0.0, "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_told_of_the_platform() {
    for (variables, ..) in PLACES {
        let backend = Backend::start().await;
        let mut run = Run::new(&backend).set("DD_ENHANCED_METRICS_ENABLED", "false");
        for (name, value) in variables {
            run = run.set(name, *value);
        }
        run.sh("sleep 0.1").ends().await.without_loss();
        assert_eq!(backend.metrics().names(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_task_is_a_span_over_its_first_trace_with_its_outcome() {
    // The end of the script, the exit code, and what is said of it.
    let ends = [
        ("exit 0", 0, None),
        ("exit 3", 3, Some("exit status 3")),
        ("kill -9 $$", 137, Some("exit status 137")),
    ];
    for (end, code, error) in ends {
        let backend = Backend::start().await;
        let run = Run::new(&backend).set("CLOUD_RUN_JOB", "nightly").set("GCE_METADATA_HOST", "127.0.0.1:9");
        let ended = run.sh(&format!("{}; sleep 0.2; {end}", job(0, 0, 1, 0))).ends().await;
        assert_eq!(ended.code, code, "{}", ended.tail());
        assert_eq!(ended.without_loss().of("traces").delivered, 2);
        let spans = backend.spans();
        let task = spans.iter().find(|span| span.name == "gcp.run.job.task").expect("the task's span");
        let own = spans.iter().find(|span| span.name == "web.request").expect("the program's span");
        assert_eq!((&*task.service, &*task.resource, task.parent_id), ("nightly", "nightly", 0));
        assert_eq!((own.parent_id, own.trace_id), (task.span_id, task.trace_id));
        assert!(task.duration >= 200_000_000, "{task:?}");
        let priorities: BTreeSet<_> = backend
            .traces()
            .iter()
            .flat_map(|payload| &payload.tracer_payloads)
            .flat_map(|tracer| &tracer.chunks)
            .filter(|chunk| chunk.spans[0].name == task.name)
            .map(|chunk| chunk.priority)
            .collect();
        assert_eq!(priorities, [2].into());
        let failed = error.is_some();
        assert_eq!(
            (task.error != 0, task.meta.get("error.msg").map(String::as_str)),
            (failed, error),
            "{task:?}"
        );
        let said = failed.then(|| code.to_string());
        assert_eq!(task.meta.get("exit_code"), said.as_ref(), "{task:?}");
        let succeeded = format!("succeeded:{}", !failed);
        let metrics = backend.metrics();
        assert_eq!(metrics.sketch("gcp.run.job.enhanced.task.ended", &[&succeeded]).count, 1);
        let duration = metrics.sketch("gcp.run.job.enhanced.task.duration", &[]);
        assert!(duration.count == 1 && duration.min >= 200.0, "milliseconds: {duration:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_traces_has_its_span_and_one_that_is_killed_early_told_that_it_started() {
    let backend = Backend::start().await;
    let run = Run::new(&backend).set("CLOUD_RUN_JOB", "nightly").set("GCE_METADATA_HOST", "127.0.0.1:9");
    run.set("DD_SERVICE", "cart").sh("exit 0").ends().await.without_loss();
    let spans = backend.spans();
    assert!(
        matches!(&spans[..], [span] if span.name == "gcp.run.job.task" && span.service == "cart"),
        "{spans:?}"
    );
    let backend = Backend::start().await;
    let run = Run::new(&backend).set("CLOUD_RUN_JOB", "nightly").set("GCE_METADATA_HOST", "127.0.0.1:9");
    let mut run = run.sh("trap '' TERM; echo up >&2; while :; do sleep 60; done");
    run.says("up").await;
    run.signal("TERM").await;
    let started =
        |backend: &Backend| backend.metrics().sketch("gcp.run.job.enhanced.task.started", &[]).count == 1;
    backend.wait_until(started, lastlight_e2e::BOUND).await.unwrap();
    run.kill_all().await;
}
