//! The span around the task of a job, `gcp.run.job.task` (`facts/platforms.md` §4.1). Its ids and what becomes its
//! child is [`pipeline::process::JobSpan`]'s part; here it is told, when the task is over.
//!
//! It goes the way of all spans: it is accepted on the books of traces, normalized, counted and tagged. As the user's
//! own word (priority 2) no sampler drops it; a filter of the user may.
//!
//! # Wiring
//! ```text
//! let job = JobTask::new(platform, face, &*strings, &identity, started_ns);      // before the processor
//! let processor = Processor::new(…).under_job(job.as_ref().map(|job| job.span()));
//! // Above "batch" and "metadata", below "intake" and every listener: all traces have come when it ends.
//! if let Some(job) = &job { stack.push("job", LIGHT_SHARE, |close| Arc::clone(job).run(Arc::clone(&intake), close)) }
//! // When the child has ended, before the stop:
//! job.child_ended(exit_code, None);
//! ```

use super::Intake;
use crate::clock;
use crate::config::Identity;
use crate::config::source::Strings;
use crate::platform::{Face, Platform};
use lifecycle::Close;
use model::{Bump, Chunk, Span};
use pipeline::process::{JobSpan, TRACE_ID_HIGH};
use std::sync::{Arc, OnceLock};

const NAME: &str = "gcp.run.job.task";
/// Service and resource of a job that has neither.
const NAMELESS: &str = "gcp.run.job";
/// The user's own decision to keep.
const USER_KEEP: i32 = 2;

/// A task under way.
#[derive(Debug)]
pub(crate) struct JobTask {
    span: Arc<JobSpan>,
    service: String,
    job: String,
    start_ns: i64,
    ended: OnceLock<Ended>,
}

#[derive(Debug)]
struct Ended {
    exit_code: u8,
    error: Option<String>,
    at_ns: i64,
}

impl JobTask {
    /// `None` where no job is run by us. `start_ns`: when the program was started, nanoseconds since 1970.
    pub(crate) fn new(
        platform: Platform,
        face: Face,
        strings: &dyn Strings,
        identity: &Identity,
        start_ns: i64,
    ) -> Option<Arc<Self>> {
        // A sidecar does not know when a task begins or how it ends.
        if (platform, face) != (Platform::CloudRunJob, Face::Entrypoint) {
            return None;
        }
        let job = strings.get("CLOUD_RUN_JOB").filter(|name| !name.trim().is_empty());
        let tag = identity.tags.iter().rev().find(|(key, value)| key == "service" && !value.is_empty());
        let service = tag.map(|(_, value)| value.clone()).or_else(|| identity.service.clone());
        let job = job.map(|name| name.trim().to_owned());
        Some(Arc::new(Self {
            span: Arc::new(JobSpan::new(start_ns)),
            service: service.or_else(|| job.clone()).unwrap_or_else(|| NAMELESS.to_owned()),
            job: job.unwrap_or_else(|| NAMELESS.to_owned()),
            start_ns,
            ended: OnceLock::new(),
        }))
    }

    /// What the processor puts traces under.
    pub(crate) fn span(&self) -> Arc<JobSpan> {
        Arc::clone(&self.span)
    }

    /// The program ended, or could not be started; `error` says more than the code where more is known. To be said
    /// before the stop begins; the first call wins.
    pub(crate) fn child_ended(&self, exit_code: u8, error: Option<String>) {
        self.ended.set(Ended { exit_code, error, at_ns: clock::unix_nanos() }).ok();
    }

    /// Runs as a stage: tells the span when all traces have come, since the first of them gives it its id.
    pub(crate) async fn run(self: Arc<Self>, intake: Arc<Intake>, close: Close) {
        close.requested().await;
        // They are known since the stop began, at the latest.
        let labels = tokio::select! {
            labels = intake.labels.ready() => labels,
            () = close.abandoned() => return,
        };
        intake.accept_own(labels, |arena| self.chunk(arena, clock::unix_nanos()));
    }

    /// The span, alone in its chunk.
    fn chunk<'a>(&self, arena: &'a Bump, now_ns: i64) -> Chunk<'a> {
        let (trace_id, high) = self.span.trace_id();
        let mut span = Span::new_in(arena);
        span.service = arena.alloc_str(&self.service);
        span.name = NAME;
        span.resource = arena.alloc_str(&self.job);
        span.trace_id = trace_id;
        span.span_id = self.span.span_id();
        span.start = self.start_ns;
        let ended = self.ended.get();
        span.duration = ended.map_or(now_ns, |ended| ended.at_ns).saturating_sub(self.start_ns).max(0);
        if high != 0 {
            span.meta.push((TRACE_ID_HIGH, arena.alloc_str(&format!("{high:016x}"))));
        }
        let failed = match ended {
            None => Some("stopped before the program had ended".to_owned()),
            Some(Ended { exit_code: 0, error, .. }) => error.clone(),
            Some(Ended { exit_code, error, .. }) => {
                Some(error.clone().unwrap_or_else(|| format!("exit status {exit_code}")))
            }
        };
        if let Some(error) = failed {
            span.error = 1;
            span.meta.push(("error.msg", arena.alloc_str(&error)));
            if let Some(Ended { exit_code, .. }) = ended {
                span.meta.push(("exit_code", arena.alloc_str(&exit_code.to_string())));
            }
        }
        let mut chunk = Chunk::new_in(arena);
        chunk.priority = USER_KEEP;
        chunk.spans.push(span);
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Fixed;

    const START_NS: i64 = 1_795_219_200_000_000_000;

    fn task(identity: &Identity, job: &str) -> Arc<JobTask> {
        let strings = Fixed::new().with("CLOUD_RUN_JOB", job);
        JobTask::new(Platform::CloudRunJob, Face::Entrypoint, &strings, identity, START_NS).expect("a job")
    }

    /// Service, resource, error and tags.
    fn told(task: &JobTask) -> (String, String, i32, Vec<(String, String)>) {
        let arena = Bump::new();
        let chunk = task.chunk(&arena, START_NS + 5);
        let [span] = &chunk.spans[..] else { panic!("{chunk:?}") };
        assert_eq!((span.name, span.parent_id, chunk.priority), ("gcp.run.job.task", 0, 2));
        assert_eq!((span.span_id, span.start), (task.span.span_id(), START_NS));
        assert!(span.duration >= 0);
        let meta = span.meta.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let meta = meta.filter(|(key, _)| key != TRACE_ID_HIGH).collect();
        (span.service.to_owned(), span.resource.to_owned(), span.error, meta)
    }

    #[test]
    fn only_an_entrypoint_of_a_job_has_a_task() {
        for platform in Platform::ALL {
            for face in [Face::Agent, Face::Entrypoint, Face::Sidecar] {
                let task = JobTask::new(platform, face, &Fixed::new(), &Identity::default(), START_NS);
                let expected = (platform, face) == (Platform::CloudRunJob, Face::Entrypoint);
                assert_eq!(task.is_some(), expected, "{platform:?} {face:?}");
            }
        }
    }

    #[test]
    fn its_service_is_the_users_else_the_job_else_a_fixed_word() {
        let named = Identity { service: Some("shop".into()), ..Identity::default() };
        let tagged = Identity { tags: vec![("service".into(), "tagged".into())], ..named.clone() };
        for (identity, job, service, resource) in [
            (&tagged, "nightly", "tagged", "nightly"),
            (&named, "nightly", "shop", "nightly"),
            (&Identity::default(), "nightly", "nightly", "nightly"),
            (&Identity::default(), " ", "gcp.run.job", "gcp.run.job"),
        ] {
            let task = task(identity, job);
            task.child_ended(0, None);
            assert_eq!(told(&task), (service.into(), resource.into(), 0, Vec::new()));
        }
    }

    #[test]
    fn a_task_that_fails_says_why_and_with_which_code() {
        let tags = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        for (ended, expected) in [
            (Some((3, None)), tags(&[("error.msg", "exit status 3"), ("exit_code", "3")])),
            (
                Some((127, Some("app: not found"))),
                tags(&[("error.msg", "app: not found"), ("exit_code", "127")]),
            ),
            (None, tags(&[("error.msg", "stopped before the program had ended")])),
        ] {
            let task = task(&Identity::default(), "nightly");
            if let Some((code, error)) = ended {
                task.child_ended(code, error.map(str::to_owned));
                task.child_ended(0, None);
            }
            let (_, _, error, meta) = told(&task);
            assert_eq!((error, meta), (1, expected));
        }
    }

    #[test]
    fn its_id_has_all_bits_with_or_without_a_trace() {
        let task = task(&Identity::default(), "nightly");
        let arena = Bump::new();
        let chunk = task.chunk(&arena, START_NS);
        let (low, high) = task.span.trace_id();
        assert_eq!(chunk.spans[0].trace_id, low);
        assert_eq!(chunk.spans[0].meta(TRACE_ID_HIGH), Some(format!("{high:016x}").as_str()));
        assert_eq!(high >> 32, 1_795_219_200);
    }

    #[tokio::test]
    async fn it_is_told_with_the_platforms_tags_counted_and_on_the_books() {
        let backend = testkit::Backend::start().await;
        // A server that is there and is not Google's.
        let metadata = testkit::Backend::start().await;
        let strings = Fixed::new()
            .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
            .with("DD_APM_DD_URL", &backend.url())
            .with("DD_DD_URL", &backend.url())
            .with("GCE_METADATA_HOST", metadata.url().trim_start_matches("http://"))
            .with("CLOUD_RUN_JOB", "nightly")
            .with("DD_ENHANCED_METRICS_ENABLED", "false")
            .with("CLOUD_RUN_TASK_INDEX", "3");
        let probe = crate::platform::Probe::default();
        let mut config =
            crate::config::Config::load_for(&strings, Face::Entrypoint, &probe).expect("a configuration");
        config.receiver.port = Some(0);
        config.dogstatsd.udp = Vec::new();
        let running = crate::bind(config).await.expect("a port").start(Arc::new(strings)).expect("a start");
        running.program_ended(2);
        let deadline =
            lifecycle::Deadline::at(lifecycle::Instant::now() + std::time::Duration::from_secs(60));
        let report = running.stop("a test", deadline).await;
        let (_, book) = report.books.iter().find(|(of, _)| *of == model::Signal::Traces).expect("traces");
        assert_eq!((book.accepted, book.delivered, report.lost()), (1, 1, 0), "{report}");
        let spans = backend.spans();
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((span.name.as_str(), span.resource.as_str(), span.error), (NAME, "nightly", 1));
        assert_eq!((span.meta["gcrj.task_index"].as_str(), span.meta["exit_code"].as_str()), ("3", "2"));
        let payloads = backend.traces();
        let chunk = &payloads[0].tracer_payloads[0].chunks[0];
        assert_eq!((chunk.priority, chunk.origin.as_str()), (USER_KEEP, "cloudrunjobs"));
        assert_eq!(backend.stats_hits(), 1);
    }
}
