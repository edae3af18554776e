//! What an entrypoint tells of its instance, and the span around the task of a job.

use crate::support::{Agent, Setup, Stopped, post, recent};
use lastlight_agent::platform::Face;
use model::Signal;
use testkit::payload::v04;
use testkit::proto::Span;

/// The entrypoint of a job. The server of its metadata is there and is not Google's.
async fn job() -> (Agent, testkit::Backend) {
    let metadata = testkit::Backend::start().await;
    let agent = Setup::new()
        .await
        .with("CLOUD_RUN_JOB", "nightly")
        .with("CLOUD_RUN_TASK_INDEX", "3")
        .with("DD_SERVICE", "Shop")
        .with("GCE_METADATA_HOST", metadata.url().trim_start_matches("http://"))
        .change(|config| config.face = Face::Entrypoint)
        .start()
        .await;
    (agent, metadata)
}

/// The job's span and the others.
fn spans(stopped: &Stopped) -> (Span, Vec<Span>) {
    let (job, others): (Vec<Span>, Vec<Span>) =
        stopped.backend.spans().into_iter().partition(|span| span.name == "gcp.run.job.task");
    let [job] = <[Span; 1]>::try_from(job).expect("one span of the job");
    (job, others)
}

fn in_trace(trace_id: u64, span_id: u64, parent_id: u64) -> Span {
    Span { trace_id, parent_id, ..recent(span_id) }
}

#[tokio::test]
async fn the_first_trace_of_a_job_lies_under_its_span_and_others_are_left_alone() {
    let (agent, _metadata) = job().await;
    let mut first = in_trace(70, 1, 0);
    first.meta.insert("_dd.p.tid".into(), "6774a1b200000000".into());
    let requests = [
        vec![first, in_trace(70, 2, 1)],
        vec![in_trace(80, 3, 0)],
        vec![in_trace(70, 4, 0), in_trace(70, 5, 4)],
    ];
    for chunk in requests {
        assert_eq!(agent.send(post("/v0.4/traces", v04(&[chunk]))).await.status, 200);
    }
    agent.running.program_ended(3);
    let stopped = agent.stop().await;
    let (job, mut others) = spans(&stopped);
    assert_eq!((job.trace_id, job.parent_id, job.error), (70, 0, 1));
    assert_eq!((job.service.as_str(), job.resource.as_str()), ("shop", "nightly"));
    assert_eq!((job.meta["error.msg"].as_str(), job.meta["exit_code"].as_str()), ("exit status 3", "3"));
    assert_eq!(
        (job.meta["_dd.p.tid"].as_str(), job.meta["gcrj.task_index"].as_str()),
        ("6774a1b200000000", "3")
    );
    others.sort_by_key(|span| span.span_id);
    let parents: Vec<u64> = others.iter().map(|span| span.parent_id).collect();
    assert_eq!(parents, [job.span_id, 1, 0, job.span_id, 4]);
    let book = stopped.book(Signal::Traces);
    assert_eq!((book.accepted, book.delivered), (6, 6));
}

#[tokio::test]
async fn a_job_without_traces_has_its_span_and_its_metrics() {
    let (agent, _metadata) = job().await;
    agent.running.program_ended(0);
    let stopped = agent.stop().await;
    let (job, others) = spans(&stopped);
    assert!(others.is_empty());
    assert_eq!((job.error, job.meta.contains_key("exit_code")), (0, false));
    assert!(job.trace_id != 0 && job.span_id != 0 && job.meta.contains_key("_dd.p.tid"));
    let metrics = stopped.backend.metrics();
    let tags = &["job_name:nightly", "env:test", "service:Shop"];
    for (name, tag) in [("started", "env:test"), ("duration", "env:test"), ("ended", "succeeded:true")] {
        let name = format!("gcp.run.job.enhanced.task.{name}");
        assert_eq!(metrics.sketch(&name, &[&tags[..], &[tag]].concat()).count, 1, "{name}");
    }
}

#[tokio::test]
async fn without_enhanced_metrics_a_job_has_its_span_and_nothing_else() {
    let setup =
        Setup::new().await.with("CLOUD_RUN_JOB", "nightly").with("DD_ENHANCED_METRICS_ENABLED", "false");
    let agent = setup
        .with("GCE_METADATA_HOST", "127.0.0.1:1")
        .change(|config| config.face = Face::Entrypoint)
        .start()
        .await;
    agent.running.program_ended(0);
    let stopped = agent.stop().await;
    spans(&stopped);
    assert_eq!((stopped.book(Signal::Metrics).accepted, stopped.book(Signal::Traces).accepted), (0, 1));
}

#[tokio::test]
async fn a_plain_container_tells_that_it_began_and_ended() {
    let agent = Setup::new().await.change(|config| config.face = Face::Entrypoint).start().await;
    let stopped = agent.stop().await;
    let metrics = stopped.backend.metrics();
    for name in ["cold_start", "shutdown"] {
        let name = format!("datadog.serverless_agent.enhanced.{name}");
        assert_eq!(metrics.sketch(&name, &["env:test", "local:true"]).count, 1, "{name}");
    }
    assert_eq!(stopped.book(Signal::Traces).accepted, 0);
}

#[tokio::test]
async fn the_mini_agent_and_a_sidecar_run_no_task_of_a_job() {
    for face in [Face::Agent, Face::Sidecar] {
        let setup =
            Setup::new().await.with("CLOUD_RUN_JOB", "nightly").with("GCE_METADATA_HOST", "127.0.0.1:1");
        let setup = match face {
            Face::Sidecar => setup.change(|config| config.face = Face::Sidecar),
            _ => setup,
        };
        let agent = setup.start().await;
        agent.running.program_ended(0);
        assert_eq!(agent.stop().await.book(Signal::Traces).accepted, 0, "{face:?}");
    }
}
