//! What each platform adds to the traces, metrics and logs of one run under `lastlight run` (`facts/platforms.md` §3.2).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{
    Run, job,
    metadata::{Manner, Metadata},
};
use lastlight_e2e::{agent::free_port, full};
use std::{collections::BTreeSet, time::Duration};
use testkit::Backend;
use tokio::task::JoinSet;

/// Tags that each instance has others of: not on metrics, where each value is a series.
const NOT_ON_METRICS: [&str; 10] = [
    "container_id",
    "gcr.container_id",
    "gcrfx.container_id",
    "gcrj.container_id",
    "replica_name",
    "aca.replica.name",
    "gcrj.execution_name",
    "gcrj.task_index",
    "gcrj.task_attempt",
    "gcrj.task_count",
];
/// Words for what the metadata server says.
const ID: &str = "@id";
const REGION: &str = "@region";
const PROJECT: &str = "@project";

/// A platform: what it sets, and what it must add.
struct Place {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    tags: &'static [(&'static str, &'static str)],
    origin: Option<&'static str>,
    source: &'static str,
}

const PLACES: &[Place] = &[
    Place {
        name: "Cloud Run service",
        variables: &[("K_SERVICE", "shop"), ("K_REVISION", "shop-00017"), ("K_CONFIGURATION", "shop-config")],
        tags: &[
            ("container_id", "@id"),
            ("gcr.container_id", "@id"),
            ("location", "@region"),
            ("gcr.location", "@region"),
            ("project_id", "@project"),
            ("gcr.project_id", "@project"),
            ("revision_name", "shop-00017"),
            ("gcr.revision_name", "shop-00017"),
            ("service_name", "shop"),
            ("gcr.service_name", "shop"),
            ("configuration_name", "shop-config"),
            ("gcr.configuration_name", "shop-config"),
            ("gcr.resource_name", "projects/@project/locations/@region/services/shop"),
        ],
        origin: Some("cloudrun"),
        source: "cloudrun",
    },
    Place {
        name: "Cloud Run function",
        variables: &[
            ("K_SERVICE", "shop"),
            ("K_REVISION", "shop-00017"),
            ("K_CONFIGURATION", "shop-config"),
            ("FUNCTION_TARGET", "Pay"),
            ("FUNCTION_SIGNATURE_TYPE", "http"),
        ],
        tags: &[
            ("container_id", "@id"),
            ("gcrfx.container_id", "@id"),
            ("location", "@region"),
            ("gcrfx.location", "@region"),
            ("project_id", "@project"),
            ("gcrfx.project_id", "@project"),
            ("revision_name", "shop-00017"),
            ("gcrfx.revision_name", "shop-00017"),
            ("service_name", "shop"),
            ("gcrfx.service_name", "shop"),
            ("configuration_name", "shop-config"),
            ("gcrfx.configuration_name", "shop-config"),
            ("gcrfx.resource_name", "projects/@project/locations/@region/services/shop/functions/Pay"),
            ("gcrfx.build_function_target", "Pay"),
            ("gcrfx.function_signature_type", "http"),
        ],
        origin: Some("cloudrun"),
        source: "cloudrun",
    },
    Place {
        name: "Cloud Run job",
        variables: &[
            ("CLOUD_RUN_JOB", "nightly"),
            ("CLOUD_RUN_EXECUTION", "nightly-x7"),
            ("CLOUD_RUN_TASK_INDEX", "2"),
            ("CLOUD_RUN_TASK_ATTEMPT", "1"),
            ("CLOUD_RUN_TASK_COUNT", "5"),
        ],
        tags: &[
            ("container_id", "@id"),
            ("gcrj.container_id", "@id"),
            ("location", "@region"),
            ("gcrj.location", "@region"),
            ("project_id", "@project"),
            ("gcrj.project_id", "@project"),
            ("job_name", "nightly"),
            ("gcrj.job_name", "nightly"),
            ("gcrj.execution_name", "nightly-x7"),
            ("gcrj.task_index", "2"),
            ("gcrj.task_attempt", "1"),
            ("gcrj.task_count", "5"),
            ("gcrj.resource_name", "projects/@project/locations/@region/jobs/nightly"),
        ],
        origin: Some("cloudrunjobs"),
        source: "cloudrun",
    },
    Place {
        name: "Container Apps",
        variables: &[
            ("CONTAINER_APP_NAME", "Shop"),
            ("CONTAINER_APP_ENV_DNS_SUFFIX", "kind-hill-1234.westeurope.azurecontainerapps.io"),
            ("CONTAINER_APP_REVISION", "shop--r1"),
            ("CONTAINER_APP_REPLICA_NAME", "shop--r1-abc"),
            ("DD_AZURE_SUBSCRIPTION_ID", "sub-1"),
            ("DD_AZURE_RESOURCE_GROUP", "group-1"),
        ],
        tags: &[
            ("app_name", "Shop"),
            ("aca.app.name", "Shop"),
            ("region", "westeurope"),
            ("aca.app.region", "westeurope"),
            ("revision", "shop--r1"),
            ("aca.app.revision", "shop--r1"),
            ("replica_name", "shop--r1-abc"),
            ("aca.replica.name", "shop--r1-abc"),
            ("subscription_id", "sub-1"),
            ("aca.subscription.id", "sub-1"),
            ("resource_group", "group-1"),
            ("aca.resource.group", "group-1"),
            (
                "resource_id",
                "/subscriptions/sub-1/resourcegroups/group-1/providers/microsoft.app/containerapps/shop",
            ),
            (
                "aca.resource.id",
                "/subscriptions/sub-1/resourcegroups/group-1/providers/microsoft.app/containerapps/shop",
            ),
        ],
        origin: Some("containerapp"),
        source: "containerapp",
    },
    Place {
        name: "App Service",
        variables: &[
            ("WEBSITE_STACK", "NODE"),
            ("WEBSITE_SITE_NAME", "shop-site"),
            ("REGION_NAME", "westeurope"),
            ("WEBSITE_INSTANCE_ID", "i-1"),
            ("COMPUTERNAME", "host-1"),
            ("WEBSITE_RESOURCE_GROUP", "group-1"),
            ("WEBSITE_OWNER_NAME", "sub-1+group-1-WestEuropewebspace"),
        ],
        tags: &[
            ("app_name", "shop-site"),
            ("region", "westeurope"),
            ("aas.environment.instance_id", "i-1"),
            ("aas.environment.instance_name", "host-1"),
            ("aas.environment.os", "linux"),
            ("aas.environment.runtime", "Node.js"),
            ("aas.resource.group", "group-1"),
            (
                "aas.resource.id",
                "/subscriptions/sub-1/resourcegroups/group-1/providers/microsoft.web/sites/shop-site",
            ),
            ("aas.site.kind", "app"),
            ("aas.site.name", "shop-site"),
            ("aas.site.type", "app"),
            ("aas.subscription.id", "sub-1"),
        ],
        origin: Some("appservice"),
        source: "appservice",
    },
    Place {
        name: "Azure Functions",
        variables: &[
            ("WEBSITE_STACK", "NODE"),
            ("WEBSITE_SITE_NAME", "shop-site"),
            ("REGION_NAME", "westeurope"),
            ("WEBSITE_INSTANCE_ID", "i-1"),
            ("COMPUTERNAME", "host-1"),
            ("WEBSITE_RESOURCE_GROUP", "group-1"),
            ("WEBSITE_OWNER_NAME", "sub-1+group-1-WestEuropewebspace"),
            ("FUNCTIONS_WORKER_RUNTIME", "node"),
            ("FUNCTIONS_EXTENSION_VERSION", "~4"),
            ("FUNCTIONS_WORKER_RUNTIME_VERSION", "20"),
        ],
        tags: &[
            ("app_name", "shop-site"),
            ("region", "westeurope"),
            ("aas.environment.instance_id", "i-1"),
            ("aas.environment.instance_name", "host-1"),
            ("aas.environment.os", "linux"),
            ("aas.environment.runtime", "node"),
            ("aas.resource.group", "group-1"),
            (
                "aas.resource.id",
                "/subscriptions/sub-1/resourcegroups/group-1/providers/microsoft.web/sites/shop-site",
            ),
            ("aas.site.kind", "functionapp"),
            ("aas.site.name", "shop-site"),
            ("aas.site.type", "function"),
            ("aas.subscription.id", "sub-1"),
            ("aas.environment.runtime_version", "20"),
            ("aas.environment.function_runtime", "~4"),
        ],
        origin: Some("appservice"),
        source: "appservice",
    },
    Place {
        name: "ECS",
        variables: &[("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/x")],
        tags: &[("local", "true"), ("orchestrator", "ecs")],
        origin: None,
        source: "lastlight",
    },
    Place {
        name: "Kubernetes",
        variables: &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")],
        tags: &[("local", "true"), ("orchestrator", "kubernetes")],
        origin: None,
        source: "lastlight",
    },
    Place { name: "none", variables: &[], tags: &[("local", "true")], origin: None, source: "lastlight" },
];

/// What a metadata server lets be known.
#[derive(Clone, Copy)]
struct Known {
    id: &'static str,
    region: &'static str,
    project: &'static str,
}

const EVERYTHING: Known = Known { id: "instance-17", region: "europe-west4", project: "shop-project" };
const NOTHING: Known = Known { id: "unknown", region: "unknown", project: "unknown" };

impl Place {
    /// Its tags on spans, metrics and logs.
    fn tags(&self, known: Known) -> BTreeSet<String> {
        let fill = |value: &str| {
            value.replace(ID, known.id).replace(REGION, known.region).replace(PROJECT, known.project)
        };
        let own = self.tags.iter().map(|(key, value)| format!("{key}:{}", fill(value)));
        own.chain(self.origin.map(|origin| format!("origin:{origin}"))).collect()
    }
}

fn is_for_metrics(tag: &str) -> bool {
    tag.split_once(':').is_none_or(|(key, _)| !NOT_ON_METRICS.contains(&key))
}

/// One run on a platform, and where anything differs from the table.
async fn differences(place: &Place, host: &str, known: Known, script: &str) -> Vec<String> {
    let backend = Backend::start().await;
    let mut run = Run::new(&backend)
        .set("GCE_METADATA_HOST", host)
        .set("DD_SERVICE", "cart")
        .set("DD_ENV", "prod")
        .set("DD_VERSION", "1.2")
        .set("DD_TAGS", "team:web")
        .set("LASTLIGHT_METRIC_INSTANCE_TAG", "false")
        // The first flush is due at once.
        .set("LASTLIGHT_FLUSH_PERIOD", "50ms")
        .set("DD_LOGS_CONFIG_BATCH_WAIT", "50ms");
    for (name, value) in place.variables {
        run = run.set(name, *value);
    }
    let ended = run.sh(&format!("{}{script}", job(20, 20, 20, 0))).ends().await;
    ended.without_loss();
    let mut wrong = Vec::new();
    let mut compare = |what: &str, arrived: BTreeSet<String>, wanted: &BTreeSet<String>| {
        let differ: Vec<_> = arrived.symmetric_difference(wanted).collect();
        if !differ.is_empty() {
            wrong.push(format!("{}: {what}: on one side only: {differ:?} (arrived {arrived:?})", place.name));
        }
    };
    let with = |more: &[&str]| -> BTreeSet<String> {
        place.tags(known).into_iter().chain(more.iter().map(ToString::to_string)).collect()
    };
    let version = format!("datadog_init_version:{}", env!("CARGO_PKG_VERSION"));
    let identity = ["env:prod", "service:cart", "version:1.2", "team:web", &version];
    let inner_origin: Vec<_> =
        place.origin.map(|origin| format!("_dd.origin:{origin}")).into_iter().collect();
    let inner_origin: Vec<_> = inner_origin.iter().map(String::as_str).collect();

    let wanted = with(&[&identity[..], &inner_origin].concat());
    let logs = backend.logs();
    assert_eq!(logs.len(), 20, "{}", place.name);
    for log in &logs {
        compare("logs", log.ddtags.split(',').map(str::to_owned).collect(), &wanted);
        compare("source of logs", [log.ddsource.to_string()].into(), &[place.source.to_owned()].into());
    }

    // Of spans the origin is a field of their chunk.
    let wanted = with(&identity);
    let traces = backend.traces();
    let chunks = traces.iter().flat_map(|payload| &payload.tracer_payloads).flat_map(|tracer| &tracer.chunks);
    let mut spans = 0;
    for chunk in chunks {
        for span in chunk.spans.iter().filter(|span| span.name == "web.request") {
            let own = |key: &str| key.starts_with("_dd.") && key != "_dd.origin" || key == "language";
            let meta = span.meta.iter().filter(|(key, _)| !own(key));
            compare("spans", meta.map(|(key, value)| format!("{key}:{value}")).collect(), &wanted);
            compare(
                "origin",
                [chunk.origin.clone()].into(),
                &[place.origin.unwrap_or_default().to_owned()].into(),
            );
            spans += 1;
        }
    }
    assert_eq!(spans, 20, "{}", place.name);

    // Beside what the program said: all but what tells single instances apart.
    let mut wanted =
        with(&[&["env:prod", "service:cart", "version:1.2", "team:web"][..], &inner_origin].concat());
    wanted.retain(|tag| is_for_metrics(tag));
    let metrics = backend.metrics();
    for name in ["job.count", "job.value"] {
        let contexts = metrics.contexts(name, &[]);
        assert!(!contexts.is_empty(), "{}: {name}", place.name);
        for context in contexts {
            let tags = context.tags.iter().filter(|tag| !tag.starts_with("shard:"));
            compare(name, tags.cloned().collect(), &wanted);
        }
    }
    let enhanced = metrics
        .names()
        .into_iter()
        .filter(|name| name.contains("enhanced"))
        .flat_map(|name| metrics.contexts(name, &[]));
    for context in enhanced {
        if let Some(tag) = context.tags.iter().find(|tag| !is_for_metrics(tag)) {
            wrong.push(format!("{}: {tag} on {}", place.name, context.metric));
        }
    }
    wrong.dedup();
    wrong
}

/// Runs every place whose name says so; panics with all differences.
async fn compare(places: &str, host: &str, known: Known, script: &'static str) {
    let mut runs = JoinSet::new();
    for place in PLACES.iter().filter(|place| place.name.starts_with(places)) {
        let host = host.to_owned();
        runs.spawn(async move { differences(place, &host, known, script).await });
    }
    assert!(!runs.is_empty());
    let wrong = runs.join_all().await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_platform_adds_its_tags_to_traces_metrics_and_logs() {
    let metadata = Metadata::start(Manner::Right).await;
    // Long enough that the server is asked and answers.
    compare("", &metadata.host, EVERYTHING, "; sleep 0.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l102_a_metadata_server_that_is_merely_slow_is_waited_for_by_the_first_flush_and_not_by_the_program()
{
    let metadata = Metadata::start(Manner::After(Duration::from_millis(700))).await;
    compare("Cloud Run", &metadata.host, EVERYTHING, "; sleep 2.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l9_a_metadata_server_that_is_wrong_makes_unknown_what_only_it_knows() {
    for manner in [Manner::Fails, Manner::Stranger, Manner::Garbage] {
        let metadata = Metadata::start(manner).await;
        compare("Cloud Run", &metadata.host, NOTHING, "; sleep 2.2").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l9_without_a_metadata_server_everything_arrives_all_the_same() {
    let nobody = format!("127.0.0.1:{}", free_port());
    compare("Cloud Run", &nobody, NOTHING, "; sleep 2.2").await;
    // A program that ends before anything is known loses nothing either, and does not wait.
    compare("Cloud Run", &nobody, NOTHING, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_of_a_program_that_ends_before_the_metadata_server_answers_has_every_other_tag() {
    let metadata = Metadata::start(Manner::After(Duration::from_secs(60))).await;
    for _ in 0..if full() { 50 } else { 3 } {
        let backend = Backend::start().await;
        let run = Run::new(&backend).set("GCE_METADATA_HOST", &metadata.host).set("DD_ENV", "prod");
        run.set("CLOUD_RUN_JOB", "nightly").sh("echo short").ends().await.without_loss();
        let logs = backend.logs();
        assert_eq!(logs.len(), 1);
        for tag in ["gcrj.job_name:nightly", "env:prod", "origin:cloudrunjobs", "gcrj.location:unknown"] {
            assert!(logs[0].has_tag(tag), "{tag}: {logs:?}");
        }
        compare("Cloud Run", &metadata.host, NOTHING, "").await;
    }
}
