//! Which enhanced metrics a platform has (`facts/platforms.md` §4).

use crate::platform::{Face, Platform};
use std::time::Duration;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(3);
/// How often the mini agent looks at the processor; it tells of the instance at each third look.
const MINI_PERIOD: Duration = Duration::from_secs(1);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Distributions of 1, once at the start.
    pub(super) start: &'static [&'static str],
    /// Distributions of 1, once at the stop.
    pub(super) stop: &'static [&'static str],
    /// A gauge of 1 that says that this instance is there.
    pub(super) instance: Option<&'static str>,
    /// What stands before the names of [`Usage`].
    pub(super) usage: Option<(&'static str, Usage)>,
    /// A task of a job, with a duration and an outcome.
    pub(super) is_task: bool,
    /// How often is looked, and of how many looks one tells of the instance.
    pub(super) period: Duration,
    pub(super) looks_per_instance: u32,
}

/// What is told of the instance's use of its machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Usage {
    /// Processor, memory and network.
    All,
    /// The same, where the whole virtual machine is the instance: the processor from `/proc/stat` where no cgroup
    /// tells.
    Machine,
    /// `cpu.usage` alone, as the mini agent does.
    Cpu,
}

/// Every five minutes.
const MICROVM_LOOKS_PER_INSTANCE: u32 = 100;

/// What the wrapper tells where nothing is special.
const WRAPPER: Plan = Plan {
    start: &[],
    stop: &[],
    instance: None,
    usage: None,
    is_task: false,
    period: PERIOD,
    looks_per_instance: 1,
};

/// What to tell; `None` where there is nothing. `enabled` is `DD_ENHANCED_METRICS_ENABLED`.
pub(super) fn plan(platform: Platform, face: Face, enabled: bool) -> Option<Plan> {
    if (face, platform) == (Face::Agent, Platform::AzureFunctions) {
        return Some(Plan {
            // By the instance the backend accounts, so the switch does not matter.
            instance: Some("azure.functions.enhanced.instance"),
            usage: enabled.then_some(("azure.functions.enhanced", Usage::Cpu)),
            period: MINI_PERIOD,
            looks_per_instance: 3,
            ..WRAPPER
        });
    }
    if matches!(face, Face::Agent | Face::Library) || !enabled {
        return None;
    }
    let plan = match platform {
        Platform::CloudRunService | Platform::GoogleFunction => Plan {
            start: &["gcp.run.container.enhanced.cold_start", "gcp.run.enhanced.cold_start"],
            stop: &["gcp.run.container.enhanced.shutdown", "gcp.run.enhanced.shutdown"],
            instance: Some("gcp.run.container.enhanced.instance"),
            usage: Some(("gcp.run.container.enhanced", Usage::All)),
            ..WRAPPER
        },
        Platform::CloudRunJob => Plan {
            start: &["gcp.run.job.enhanced.task.started"],
            usage: Some(("gcp.run.container.enhanced", Usage::All)),
            is_task: true,
            ..WRAPPER
        },
        // The first name of each pair is the documentation's, the second one what wrappers have sent so far.
        Platform::ContainerApps => Plan {
            start: &["azure.app_containerapps.enhanced.cold_start", "azure.containerapp.enhanced.cold_start"],
            stop: &["azure.app_containerapps.enhanced.shutdown", "azure.containerapp.enhanced.shutdown"],
            usage: Some(("azure.app_containerapps.enhanced", Usage::All)),
            ..WRAPPER
        },
        Platform::AppService | Platform::AzureFunctions => Plan {
            start: &["azure.app_services.enhanced.cold_start", "azure.appservice.enhanced.cold_start"],
            stop: &["azure.app_services.enhanced.shutdown", "azure.appservice.enhanced.shutdown"],
            instance: Some("azure.app_services.enhanced.instance"),
            usage: Some(("azure.app_services.enhanced", Usage::All)),
            ..WRAPPER
        },
        // Launches and suspensions are told when the platform says so.
        Platform::LambdaMicroVm => Plan {
            instance: Some("aws.lambda.enhanced.microvm.active_instances"),
            usage: Some(("aws.lambda.microvm.enhanced", Usage::Machine)),
            looks_per_instance: MICROVM_LOOKS_PER_INSTANCE,
            ..WRAPPER
        },
        Platform::AwsLambda | Platform::AzureSpringApps | Platform::Local => Plan {
            start: &["datadog.serverless_agent.enhanced.cold_start"],
            stop: &["datadog.serverless_agent.enhanced.shutdown"],
            usage: Some(("datadog.serverless_agent.enhanced", Usage::All)),
            ..WRAPPER
        },
    };
    Some(plan)
}
