//! Where we run: which platform, what it is called, and what that adds to telemetry.
//!
//! Detection reads variables and nothing else, and always has an answer: [`Platform::Local`] is one (losses.md L9,
//! L66). Sources: `facts/platforms.md` §1, §3, §5.

pub mod metadata;
mod tags;

pub use metadata::Metadata;
pub use tags::{Tags, log_tags, metric_tags, tags};
pub(crate) use tags::{enhanced_tags, instance_name};

use crate::config::source::Strings;
use std::time::Duration;

/// Which product we stand in for; it decides between two dialects of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The agent next to functions: the mini agent's tags on its four platforms, the wrapper's on the others.
    Agent,
    /// The entrypoint around a program: the wrapper's tags throughout.
    Entrypoint,
    /// The wrapper without a program, beside others that are none of its own.
    Sidecar,
    /// Behind the channel of a language runtime: on a platform the wrapper's tags, elsewhere none of ours.
    Library,
}

/// Every platform that is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// AWS Lambda.
    AwsLambda,
    /// Azure Functions.
    AzureFunctions,
    /// Google Cloud function of either generation; the second one runs on Cloud Run.
    GoogleFunction,
    /// Azure Spring Apps.
    AzureSpringApps,
    /// Google Cloud Run service.
    CloudRunService,
    /// Google Cloud Run job.
    CloudRunJob,
    /// Azure Container Apps.
    ContainerApps,
    /// Azure App Service.
    AppService,
    /// AWS Lambda MicroVM.
    LambdaMicroVm,
    /// None of them.
    Local,
}

/// What detection found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The platform.
    pub platform: Platform,
    /// Names of platforms of other clouds whose variables are set as well: worth a warning, never a refusal.
    pub others: Vec<&'static str>,
}

/// The product that metrics of every serverless platform belong to.
const SERVERLESS_PRODUCT: u32 = 1;

/// Platforms and the variables that are all set there.
type Conditions = [(Platform, &'static [&'static str])];

/// The mini agent's platforms; those that need most variables first.
const MINI: &Conditions = &[
    (
        Platform::AzureFunctions,
        &["FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME", "WEBSITE_SITE_NAME"],
    ),
    (Platform::GoogleFunction, &["K_SERVICE", "FUNCTION_TARGET"]),
    (Platform::GoogleFunction, &["FUNCTION_NAME", "GCP_PROJECT"]),
    (Platform::AwsLambda, &["AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_FUNCTION_NAME"]),
    (Platform::AzureSpringApps, &["ASCSVCRT_SPRING__APPLICATION__NAME"]),
];

/// The wrapper's platforms, in its order.
const INIT: &Conditions = &[
    (Platform::GoogleFunction, &["K_SERVICE", "FUNCTION_TARGET"]),
    (Platform::CloudRunService, &["K_SERVICE"]),
    (Platform::CloudRunJob, &["CLOUD_RUN_JOB"]),
    (Platform::ContainerApps, &["CONTAINER_APP_NAME"]),
    (Platform::AppService, &["WEBSITE_STACK"]),
    (Platform::LambdaMicroVm, &["AWS_LAMBDA_MICROVM_IMAGE_ARN"]),
];

/// Finds the platform. The first match wins: for the agent the mini agent's platforms come before the wrapper's,
/// because a function app is also an App Service; for the entrypoint it is the other way round.
pub fn detect(strings: &dyn Strings, face: Face) -> Detection {
    let order: [&Conditions; 2] = match face {
        Face::Agent => [MINI, INIT],
        Face::Entrypoint | Face::Sidecar | Face::Library => [INIT, MINI],
    };
    let mut matches =
        order.into_iter().flatten().filter(|(_, names)| names.iter().all(|name| is_set(strings, name)));
    let Some((platform, _)) = matches.next() else {
        return Detection { platform: Platform::Local, others: Vec::new() };
    };
    let mut others: Vec<&'static str> = Vec::new();
    for (other, _) in matches.filter(|(other, _)| other.cloud() != platform.cloud()) {
        if !others.contains(&other.name()) {
            others.push(other.name());
        }
    }
    Detection { platform: *platform, others }
}

fn is_set(strings: &dyn Strings, name: &str) -> bool {
    strings.get(name).is_some_and(|value| !value.trim().is_empty())
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 10] = [
        Self::AwsLambda,
        Self::AzureFunctions,
        Self::GoogleFunction,
        Self::AzureSpringApps,
        Self::CloudRunService,
        Self::CloudRunJob,
        Self::ContainerApps,
        Self::AppService,
        Self::LambdaMicroVm,
        Self::Local,
    ];

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsLambda => "AWS Lambda",
            Self::AzureFunctions => "Azure Functions",
            Self::GoogleFunction => "Google Cloud function",
            Self::AzureSpringApps => "Azure Spring Apps",
            Self::CloudRunService => "Cloud Run service",
            Self::CloudRunJob => "Cloud Run job",
            Self::ContainerApps => "Azure Container Apps",
            Self::AppService => "Azure App Service",
            Self::LambdaMicroVm => "AWS Lambda MicroVM",
            Self::Local => "none (local)",
        }
    }

    /// Whose it is; empty for [`Platform::Local`].
    pub fn cloud(self) -> &'static str {
        match self {
            Self::AwsLambda | Self::LambdaMicroVm => "AWS",
            Self::GoogleFunction | Self::CloudRunService | Self::CloudRunJob => "GCP",
            Self::AzureFunctions | Self::AzureSpringApps | Self::ContainerApps | Self::AppService => "Azure",
            Self::Local => "",
        }
    }

    /// The value of `origin` and `_dd.origin`: the one table for spans, metrics and proxied requests
    /// (losses.md L37, L54).
    pub fn origin(self, face: Face) -> Option<&'static str> {
        Some(match self {
            Self::AwsLambda => "lambda",
            Self::AzureFunctions if face == Face::Agent => "azurefunction",
            Self::AzureFunctions | Self::AppService => "appservice",
            Self::GoogleFunction if face == Face::Agent => "cloudfunction",
            Self::GoogleFunction | Self::CloudRunService => "cloudrun",
            Self::AzureSpringApps => "azurespringapp",
            Self::CloudRunJob => "cloudrunjobs",
            Self::ContainerApps => "containerapp",
            Self::LambdaMicroVm => "lambdamicrovm",
            Self::Local => return None,
        })
    }

    /// Numbers of product and category that metrics of this platform are accounted by (`facts/dogstatsd.md` §6);
    /// `None` where nobody told them.
    pub fn metric_origin(self) -> Option<(u32, u32)> {
        let category = match self {
            Self::AppService => 35,
            // A function of the second generation is a Cloud Run service, which the reference takes it for.
            Self::CloudRunService | Self::GoogleFunction => 36,
            Self::ContainerApps => 37,
            Self::AwsLambda => 38,
            Self::AzureFunctions => 71,
            Self::CloudRunJob | Self::AzureSpringApps | Self::LambdaMicroVm | Self::Local => return None,
        };
        Some((SERVERLESS_PRODUCT, category))
    }

    /// It has hosts that are worth a name. On the others the host is nobody's.
    pub fn is_serverless(self) -> bool {
        self != Self::Local
    }

    /// Google's metadata server knows more than the variables tell.
    pub fn has_metadata(self) -> bool {
        self.cloud() == "GCP"
    }

    /// `dd-cloud-resource-type` of proxied telemetry (`facts/trace-intake.md` §10).
    pub fn cloud_resource_type(self) -> Option<&'static str> {
        Some(match self {
            Self::GoogleFunction => "GCPCloudFunctions",
            Self::CloudRunService | Self::CloudRunJob => "GCPCloudRun",
            Self::AzureFunctions | Self::AppService => "AzureAppService",
            Self::ContainerApps => "AzureContainerApp",
            Self::AwsLambda | Self::AzureSpringApps | Self::LambdaMicroVm | Self::Local => return None,
        })
    }

    /// Time between SIGTERM and the kill (`facts/platforms.md` §5); `None` where it is not stated.
    pub fn stop_grace(self, strings: &dyn Strings) -> Option<Duration> {
        match self {
            Self::GoogleFunction | Self::CloudRunService | Self::CloudRunJob => Some(Duration::from_secs(10)),
            Self::ContainerApps => Some(Duration::from_secs(30)),
            Self::AppService => {
                let said = strings.get("WEBSITES_SHUTDOWN_TIMEOUT").and_then(|text| text.trim().parse().ok());
                Some(Duration::from_secs(said.unwrap_or(30)))
            }
            _ => None,
        }
    }
}

/// What the system itself tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Name of the host.
    pub hostname: Option<String>,
}

impl Probe {
    /// Asks this system; blocks for a small file at most.
    pub fn of_this_system() -> Self {
        // Where there is no such file the environment has it.
        let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let named = named.or_else(|| {
            let environment = crate::config::source::Environment;
            environment.get("HOSTNAME").or_else(|| environment.get("COMPUTERNAME"))
        });
        let hostname = named.map(|name| name.trim().to_owned());
        Self { hostname: hostname.filter(|name| crate::config::parse::host_name(name).is_ok()) }
    }
}

/// Host name of the agent when the user gave none, and where it is from.
pub fn hostname(platform: &Platform, probe: &Probe) -> (String, &'static str) {
    if platform.is_serverless() {
        (String::new(), "none on a serverless platform")
    } else {
        match &probe.hostname {
            Some(name) => (name.clone(), "name of this host"),
            None => (String::new(), "this host tells none"),
        }
    }
}

#[cfg(test)]
mod tests;
