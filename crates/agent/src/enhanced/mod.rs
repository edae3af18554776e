//! Metrics of the platform itself (`facts/platforms.md` §4): that an instance began and ended, that it is there, what it
//! uses of its machine, and how the task of a job went.
//!
//! | name behind the platform's prefix | unit | each sample |
//! |---|---|---|
//! | `cpu.usage`, `cpu.limit` | nanocores | used since the look before; what may be used |
//! | `memory.usage`, `memory.limit` | bytes | in use, without cached files that would be given up first; the most |
//! | `network.received`, `network.sent` | bytes | since the look before, so that their sum is the traffic |
//!
//! The last four are ours; no other wrapper has them. All are distributions: these add up over instances that have no
//! host, where of two gauges one would be kept (losses.md L101). The one gauge, `instance`, has a tag that tells.
//!
//! A look that comes late, after the processor was taken away (losses.md L93), is divided by the time that has really
//! passed. Nothing is read before the stage runs: a program's start does not wait for it.
//!
//! # Wiring
//! ```text
//! let enhanced = Enhanced::new(EnhancedSettings::new(platform, face, enabled, &*strings), Arc::clone(&dogstatsd));
//! // Directly above "metrics" and below every listener:
//! if let Some(enhanced) = &enhanced { stack.push("enhanced metrics", LIGHT_SHARE, |close| Arc::clone(enhanced).run(close)) }
//! // Where the platform's tags become known, after `set_platform_tags`:
//! enhanced.set_instance(platform::instance_name(platform, &*strings, metadata, face));
//! // When the child has ended, before the stop:
//! enhanced.child_ended(exit_code);
//! ```

mod plan;
mod system;

use crate::config::source::Strings;
use crate::dogstatsd::{DogStatsD, OwnSample};
use crate::platform::{self, Face, Platform};
use lifecycle::Close;
use model::metric::MetricType;
use plan::{Plan, Usage, plan};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use system::{Reading, System};
use tokio::sync::SetOnce;
use tokio::time::{MissedTickBehavior, interval};

/// Less time between two looks says nothing: some kernels count processor time in hundredths of a second.
const ELAPSED_LEAST: Duration = Duration::from_millis(10);

/// What is told, and where.
#[derive(Clone, Debug)]
pub(crate) struct EnhancedSettings {
    platform: Platform,
    face: Face,
    enabled: bool,
    tags: Vec<String>,
    /// What stands for `/` in the paths of the kernel's files.
    pub(crate) root: PathBuf,
    /// When the wrapped program was started.
    pub(crate) started: Instant,
}

impl EnhancedSettings {
    /// `enabled` is `DD_ENHANCED_METRICS_ENABLED`. A program that was started before this call says so in `started`.
    pub(crate) fn new(platform: Platform, face: Face, enabled: bool, strings: &dyn Strings) -> Self {
        let tags = platform::enhanced_tags(platform, strings, face);
        Self { platform, face, enabled, tags, root: "/".into(), started: Instant::now() }
    }
}

/// Tells of this instance, as a stage.
#[derive(Debug)]
pub(crate) struct Enhanced {
    settings: EnhancedSettings,
    plan: Plan,
    dogstatsd: Arc<DogStatsD>,
    instance: SetOnce<String>,
    exit_code: OnceLock<u8>,
}

impl Enhanced {
    /// `None` where there is nothing to tell.
    pub(crate) fn new(settings: EnhancedSettings, dogstatsd: Arc<DogStatsD>) -> Option<Arc<Self>> {
        let plan = plan(settings.platform, settings.face, settings.enabled)?;
        let (instance, exit_code) = (SetOnce::new(), OnceLock::new());
        Some(Arc::new(Self { settings, plan, dogstatsd, instance, exit_code }))
    }

    /// What tells this instance from others, once the platform's metadata are known or known to be unknown. Nothing is
    /// told before, so whoever calls it bounds that wait; the first call wins.
    pub(crate) fn set_instance(&self, name: String) {
        self.instance.set(name).ok();
    }

    /// How the program ended; to be said before the stop begins. The first call wins.
    pub(crate) fn child_ended(&self, exit_code: u8) {
        self.exit_code.set(exit_code).ok();
    }

    /// What the platform of a MicroVM says happens to it, such as `suspend`.
    pub(crate) fn microvm(&self, event: &str) {
        let (name, tags) = (format!("aws.lambda.microvm.enhanced.{event}"), joined(&self.settings.tags));
        let sample =
            OwnSample { name: &name, metric_type: MetricType::Distribution, value: 1.0, tags: &tags };
        self.dogstatsd.take_own(&[sample]);
    }

    /// Runs as a stage. The last samples are taken as soon as the stop begins, so that they leave with the flush that
    /// follows the end of the listeners.
    pub(crate) async fn run(self: Arc<Self>, close: Close) {
        tokio::select! {
            _ = self.instance.wait() => {}
            () = close.stop_begun() => {}
            () = close.requested() => {}
        }
        let machine = matches!(self.plan.usage, Some((_, Usage::Machine)));
        let system = System::find(&self.settings.root, machine);
        let mut teller = Teller::new(self.plan, &self.settings.tags, self.instance.get());
        teller.start();
        let mut ticks = interval(self.plan.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = close.stop_begun() => break,
                () = close.requested() => break,
                // The first one comes at once.
                _ = ticks.tick() => {
                    teller.instance();
                    self.look(&mut teller, &system);
                }
            }
        }
        self.look(&mut teller, &system);
        let outcome = match (self.exit_code.get(), self.settings.face) {
            (Some(code), _) => Some(*code == 0),
            // It is to be cut off.
            (None, Face::Entrypoint) => Some(false),
            (None, Face::Agent | Face::Sidecar | Face::Library) => None,
        };
        teller.stop(self.settings.started.elapsed(), outcome);
        self.tell(&mut teller);
        close.requested().await;
    }

    fn look(&self, teller: &mut Teller, system: &System) {
        if self.plan.usage.is_some() {
            teller.usage(system.read(), Instant::now());
        }
        self.tell(teller);
    }

    fn tell(&self, teller: &mut Teller) {
        let samples = std::mem::take(&mut teller.samples);
        let samples: Vec<OwnSample<'_>> = samples
            .iter()
            .map(|Sample { name, metric_type, value, tags }| OwnSample {
                name,
                metric_type: *metric_type,
                value: *value,
                tags,
            })
            .collect();
        self.dogstatsd.take_own(&samples);
    }
}

/// One sample to be taken.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    metric_type: MetricType,
    value: f64,
    tags: String,
}

/// Makes samples of looks.
#[derive(Debug)]
struct Teller {
    plan: Plan,
    /// Of every sample, between commas.
    tags: String,
    /// Of samples that are told apart by instance.
    instance_tags: String,
    looks: u32,
    before: Option<(Reading, Instant)>,
    samples: Vec<Sample>,
}

impl Teller {
    fn new(plan: Plan, tags: &[String], instance: Option<&String>) -> Self {
        let instance = format!("instance:{}", instance.map_or("unknown", |name| name));
        let instance_tags = joined(&[tags, &[instance]].concat());
        Self { plan, tags: joined(tags), instance_tags, looks: 0, before: None, samples: Vec::new() }
    }

    fn start(&mut self) {
        for name in self.plan.start {
            self.distribution((*name).to_owned(), 1.0);
        }
    }

    /// Says that this instance is there, if it is time.
    fn instance(&mut self) {
        let is_due = self.looks.is_multiple_of(self.plan.looks_per_instance);
        self.looks = self.looks.wrapping_add(1);
        if let Some(name) = self.plan.instance.filter(|_| is_due) {
            let (name, tags) = (name.to_owned(), self.instance_tags.clone());
            self.samples.push(Sample { name, metric_type: MetricType::Gauge, value: 1.0, tags });
        }
    }

    fn usage(&mut self, reading: Reading, now: Instant) {
        let Some((prefix, usage)) = self.plan.usage else { return };
        let mut tell = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                self.samples.push(Sample {
                    name: format!("{prefix}.{name}"),
                    metric_type: MetricType::Distribution,
                    value,
                    tags: self.tags.clone(),
                });
            }
        };
        let elapsed = self.before.map(|(_, then)| now.saturating_duration_since(then));
        // Too soon to divide by; what was used until now counts at the next look.
        let is_early = elapsed.is_some_and(|elapsed| elapsed < ELAPSED_LEAST);
        if let (Some((before, _)), Some(elapsed), false) = (self.before, elapsed, is_early) {
            tell("cpu.usage", nanocores(before.cpu_ns, reading.cpu_ns, elapsed));
            if usage != Usage::Cpu {
                tell("network.received", since(before.received, reading.received).map(|bytes| bytes as f64));
                tell("network.sent", since(before.sent, reading.sent).map(|bytes| bytes as f64));
            }
        }
        if usage != Usage::Cpu && !is_early {
            tell("cpu.limit", reading.cpu_limit);
            tell("memory.usage", reading.memory.map(|bytes| bytes as f64));
            tell("memory.limit", reading.memory_limit.map(|bytes| bytes as f64));
        }
        if !is_early {
            self.before = Some((reading, now));
        }
    }

    /// `outcome`: whether a task succeeded, where that is known.
    fn stop(&mut self, duration: Duration, outcome: Option<bool>) {
        for name in self.plan.stop {
            self.distribution((*name).to_owned(), 1.0);
        }
        if !self.plan.is_task {
            return;
        }
        self.distribution("gcp.run.job.enhanced.task.duration".to_owned(), duration.as_millis() as f64);
        if let Some(succeeded) = outcome {
            self.distribution("gcp.run.job.enhanced.task.ended".to_owned(), 1.0);
            if let Some(Sample { tags, .. }) = self.samples.last_mut() {
                let comma = if tags.is_empty() { "" } else { "," };
                *tags += &format!("{comma}succeeded:{succeeded}");
            }
        }
    }

    fn distribution(&mut self, name: String, value: f64) {
        let tags = self.tags.clone();
        self.samples.push(Sample { name, metric_type: MetricType::Distribution, value, tags });
    }
}

/// Tags between commas; one within a tag would end it.
fn joined(tags: &[String]) -> String {
    let clean: Vec<String> = tags.iter().map(|tag| tag.replace([',', '\n', '|'], "_")).collect();
    clean.join(",")
}

/// What a counter counted between two looks; `None` when it is not known or began anew.
fn since(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    now?.checked_sub(before?)
}

/// Processor time by time, in nanocores: never negative, never infinite.
fn nanocores(before: Option<u64>, now: Option<u64>, elapsed: Duration) -> Option<f64> {
    let used = since(before, now)? as f64;
    (elapsed >= ELAPSED_LEAST).then(|| used / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod stage_tests;
