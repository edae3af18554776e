//! What a platform adds to telemetry (`facts/platforms.md` §3).

use super::{Face, Metadata, Platform};
use crate::config::Identity;
use crate::config::source::Strings;
use std::collections::BTreeMap;

/// A value that nobody tells.
const UNKNOWN: &str = "unknown";
/// Spans of Azure's gateway: they are not the function's (`facts/platforms.md` §3.1).
const GATEWAY_SPAN: &str = "azure.apim";

/// Tags that differ from instance to instance: on spans, not on metrics, where each value is a series
/// (`facts/platforms.md` §3.2).
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

/// Tags for everything that leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Set on every span.
    pub span: Vec<(String, String)>,
    /// Set on every span that is not called [`Tags::skipped_span_name`].
    pub span_unless_skipped: Vec<(String, String)>,
    /// Name of the spans that are left out of [`Tags::span_unless_skipped`].
    pub skipped_span_name: Option<&'static str>,
    /// Set on the root span of each chunk, last of all (losses.md L16).
    pub root: Vec<(String, String)>,
    /// Becomes the origin of chunks whose tracer named none.
    pub chunk_origin: Option<&'static str>,
    /// Tags of the payload.
    pub payload: Vec<(String, String)>,
    /// Added to `X-Datadog-Additional-Tags` of proxied requests, in this order.
    pub proxied: Vec<(String, String)>,
}

impl Tags {
    /// The tags for a span of this name.
    pub fn of_span(&self, span_name: &str) -> impl Iterator<Item = (&str, &str)> {
        let skipped = self.skipped_span_name == Some(span_name);
        let rest: &[(String, String)] = if skipped { &[] } else { &self.span_unless_skipped };
        self.span.iter().chain(rest).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The text for `X-Datadog-Additional-Tags`, without what a header cannot carry (losses.md L36).
    pub fn proxied_header(&self) -> String {
        let text = joined(&self.proxied);
        text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '_' }).collect()
    }
}

/// All tags of a platform.
pub fn tags(
    platform: &Platform,
    strings: &dyn Strings,
    metadata: &Metadata,
    face: Face,
    identity: &Identity,
) -> Tags {
    let read = Variables(strings);
    let origin = platform.origin(face);
    let function_name = function_name(*platform, &read);
    let mut proxied = identity.tags.clone();
    if let Some(name) = &function_name {
        proxied.push(("functionname".into(), name.clone()));
    }
    if let Some(origin) = origin {
        proxied.push(("_dd.origin".into(), origin.into()));
    }
    let mut tags = Tags { proxied, ..Tags::default() };
    if let Some(version) = read.get("DD_SERVERLESS_COMPAT_VERSION") {
        tags.span.push(("_dd.serverless_compat_version".into(), version));
    }
    match (face, platform) {
        (Face::Agent, Platform::AwsLambda) => {}
        (Face::Agent, Platform::AzureFunctions) => {
            tags.span_unless_skipped = azure_site(&read, "function");
            tags.skipped_span_name = Some(GATEWAY_SPAN);
        }
        (Face::Agent, Platform::GoogleFunction) => {
            let project = metadata.project().or_else(|| read.get("GCP_PROJECT"));
            let (project, region) = (known(project), known(metadata.region()));
            let function = known(function_name.clone());
            tags.span.push(("gcrfx.location".into(), region.clone()));
            tags.span.push(("gcrfx.project_id".into(), project.clone()));
            let resource = format!("projects/{project}/locations/{region}/functions/{function}");
            tags.span.push(("gcrfx.resource_name".into(), resource));
        }
        (Face::Agent, Platform::AzureSpringApps) => {
            tags.span.push(("asa.hostname".into(), read.known("HOSTNAME")));
            tags.span.push(("asa.name".into(), read.known("ASCSVCRT_SPRING__APPLICATION__NAME")));
        }
        (Face::Agent | Face::Library, Platform::Local) => {
            // No wrapper and no function: what the user configured, and no word of ours.
            tags.span.extend(identity.tags.iter().filter(|(_, value)| !value.is_empty()).cloned());
            return tags;
        }
        _ => {
            tags.span.extend(wrapper(*platform, &read, metadata, face, identity));
            tags.chunk_origin = origin;
            return tags;
        }
    }
    if let Some(origin) = origin {
        tags.root.push(("_dd.origin".into(), origin.into()));
        tags.root.push(("origin".into(), origin.into()));
    }
    if let Some(name) = function_name {
        tags.root.push(("functionname".into(), name));
    }
    if !identity.tags.is_empty() {
        let mut sorted = identity.tags.clone();
        model::order::sort(&mut sorted);
        tags.payload.push(("_dd.tags.function".into(), joined(&sorted)));
    }
    tags
}

/// What a platform adds to metrics, each `key:value`: the mini agent's two tags of the origin where it stands in
/// for the mini agent (`facts/dogstatsd.md` §3), else the wrapper's cloud tags but those of [`NOT_ON_METRICS`].
///
/// Tags that follow from settings are not among them.
pub fn metric_tags(
    platform: &Platform,
    strings: &dyn Strings,
    metadata: &Metadata,
    face: Face,
) -> Vec<String> {
    let origin = platform.origin(face);
    match (face, platform) {
        (Face::Agent | Face::Library, Platform::Local) => Vec::new(),
        (
            Face::Agent,
            Platform::AwsLambda
            | Platform::AzureFunctions
            | Platform::GoogleFunction
            | Platform::AzureSpringApps,
        ) => origin
            .into_iter()
            .flat_map(|name| [format!("origin:{name}"), format!("dd.origin:{name}")])
            .collect(),
        _ => {
            let mut tags = cloud(*platform, &Variables(strings), metadata);
            if let Some(origin) = origin {
                tags.insert("origin".into(), origin.into());
                tags.insert("_dd.origin".into(), origin.into());
            }
            tags.retain(|key, _| !NOT_ON_METRICS.contains(&key.as_str()));
            tags.into_iter().map(|(key, value)| format!("{key}:{value}")).collect()
        }
    }
}

/// All that is known, for logs, each `key:value`: tags that differ from instance to instance too, since a log is no
/// series (`facts/entrypoint.md` §1.3). What the cloud says of a key wins over the user, and the user over `DD_ENV`
/// and its like; a key that the user gives twice, or without a value, is kept so.
pub fn log_tags(
    platform: &Platform,
    strings: &dyn Strings,
    metadata: &Metadata,
    face: Face,
    identity: &Identity,
) -> Vec<String> {
    let read = Variables(strings);
    let mut tags = BTreeMap::new();
    if is_wrapped(*platform, face) {
        tags = wrapper(*platform, &read, metadata, face, &Identity { tags: Vec::new(), ..identity.clone() });
    } else {
        tags.extend(unified(identity));
        let of_spans = self::tags(platform, strings, metadata, face, &Identity::default());
        tags.extend(of_spans.span.into_iter().chain(of_spans.span_unless_skipped).chain(of_spans.root));
    }
    if let Some(origin) = platform.origin(face) {
        tags.insert("_dd.origin".into(), origin.into());
    }
    let clouds = cloud(*platform, &read, metadata);
    let is_clouds = |key: &str| clouds.contains_key(key) || matches!(key, "origin" | "_dd.origin");
    tags.retain(|key, _| is_clouds(key) || !identity.tags.iter().any(|(own, _)| own == key));
    let own = identity.tags.iter().filter(|(key, _)| !is_clouds(key));
    let own = own.map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}:{value}") });
    tags.iter().map(|(key, value)| format!("{key}:{value}")).chain(own).collect()
}

/// What enhanced metrics say besides what every metric says, each `key:value` (`facts/platforms.md` §4).
pub(crate) fn enhanced_tags(platform: Platform, strings: &dyn Strings, face: Face) -> Vec<String> {
    if !matches!(platform, Platform::AppService | Platform::AzureFunctions) {
        return Vec::new();
    }
    let read = Variables(strings);
    let mut site = BTreeMap::new();
    site.extend(azure_site(&read, "app"));
    let of_site = |key: &str| known(site.get(key).cloned());
    let mut tags = vec![
        format!("name:{}", read.known("WEBSITE_SITE_NAME")),
        format!("region:{}", read.known("REGION_NAME")),
        format!("resource_group:{}", of_site("aas.resource.group")),
        format!("subscription_id:{}", of_site("aas.subscription.id")),
    ];
    if face == Face::Agent {
        let more =
            [("plan_tier", "WEBSITE_SKU"), ("serverless_compat_version", "DD_SERVERLESS_COMPAT_VERSION")];
        let more = more.into_iter().filter_map(|(key, name)| Some(format!("{key}:{}", read.get(name)?)));
        tags.extend(more);
    }
    tags
}

/// What tells this instance of a service from its others (`facts/platforms.md` §4).
pub(crate) fn instance_name(
    platform: Platform,
    strings: &dyn Strings,
    metadata: &Metadata,
    face: Face,
) -> String {
    let read = Variables(strings);
    let named = match (face, platform) {
        (Face::Agent, Platform::AzureFunctions) => ["COMPUTERNAME", "WEBSITE_POD_NAME", "CONTAINER_NAME"]
            .into_iter()
            .find_map(|name| read.get(name))
            .map(|name| name.to_lowercase()),
        (_, Platform::AppService | Platform::AzureFunctions) => read.get("COMPUTERNAME"),
        _ => metadata.instance_id(),
    };
    known(named)
}

/// The wrapper's tags rather than the mini agent's.
fn is_wrapped(platform: Platform, face: Face) -> bool {
    let is_minis = matches!(
        platform,
        Platform::AwsLambda
            | Platform::AzureFunctions
            | Platform::GoogleFunction
            | Platform::AzureSpringApps
            | Platform::Local
    );
    match face {
        Face::Agent => !is_minis,
        Face::Library => platform != Platform::Local,
        Face::Entrypoint | Face::Sidecar => true,
    }
}

/// `DD_ENV`, `DD_SERVICE` and `DD_VERSION` as the wrapper writes them.
fn unified(identity: &Identity) -> impl Iterator<Item = (String, String)> {
    let named = [("env", &identity.env), ("service", &identity.service), ("version", &identity.version)];
    named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.as_ref()?.to_lowercase())))
}

/// Name of the function, on platforms that run one.
fn function_name(platform: Platform, read: &Variables<'_>) -> Option<String> {
    match platform {
        Platform::AwsLambda => read.get("AWS_LAMBDA_FUNCTION_NAME"),
        Platform::AzureFunctions => read.get("WEBSITE_SITE_NAME"),
        Platform::GoogleFunction => read.get("K_SERVICE").or_else(|| read.get("FUNCTION_NAME")),
        _ => None,
    }
}

/// The wrapper's tags: its own, then the user's, then the cloud's; the later wins.
fn wrapper(
    platform: Platform,
    read: &Variables<'_>,
    metadata: &Metadata,
    face: Face,
    identity: &Identity,
) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    tags.extend(unified(identity));
    let version = match face {
        Face::Entrypoint => "datadog_init_version",
        Face::Agent | Face::Sidecar | Face::Library => "_dd.datadog_sidecar_version",
    };
    tags.insert(version.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    tags.extend(identity.tags.iter().filter(|(_, value)| !value.is_empty()).cloned());
    tags.extend(cloud(platform, read, metadata));
    if let Some(origin) = platform.origin(face) {
        tags.insert("origin".into(), origin.into());
    }
    // It is no span tag but the origin of the chunk (`facts/trace-intake.md` §5).
    tags.remove("_dd.origin");
    tags
}

/// What the cloud tells of itself.
fn cloud(platform: Platform, read: &Variables<'_>, metadata: &Metadata) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    match platform {
        Platform::CloudRunService => google(&mut tags, "gcr.", read, metadata),
        Platform::GoogleFunction => google(&mut tags, "gcrfx.", read, metadata),
        Platform::CloudRunJob => google(&mut tags, "gcrj.", read, metadata),
        Platform::ContainerApps => container_app(&mut tags, read),
        Platform::AppService | Platform::AzureFunctions => {
            tags.insert("app_name".into(), read.known("WEBSITE_SITE_NAME"));
            tags.insert("region".into(), read.known("REGION_NAME"));
            let is_function =
                read.get("FUNCTIONS_WORKER_RUNTIME").or_else(|| read.get("FUNCTIONS_EXTENSION_VERSION"));
            tags.extend(azure_site(read, if is_function.is_some() { "function" } else { "app" }));
        }
        Platform::LambdaMicroVm => micro_vm(&mut tags, read),
        Platform::AwsLambda | Platform::AzureSpringApps => {}
        Platform::Local => {
            tags.insert("local".into(), "true".into());
            if let Some(name) = orchestrator(read) {
                tags.insert("orchestrator".into(), name.into());
            }
        }
    }
    tags
}

/// Who runs a plain container, by the variables it sets in each; the key is the container agents'.
fn orchestrator(read: &Variables<'_>) -> Option<&'static str> {
    let runs = |names: &[&str]| names.iter().any(|name| read.get(name).is_some());
    if runs(&["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"]) {
        return Some("ecs");
    }
    runs(&["KUBERNETES_SERVICE_HOST"]).then_some("kubernetes")
}

/// Google's tags, bare and with the prefix of the product.
fn google(tags: &mut BTreeMap<String, String>, prefix: &str, read: &Variables<'_>, metadata: &Metadata) {
    let project = known(metadata.project().or_else(|| read.get("GCP_PROJECT")));
    let location = known(metadata.region());
    let mut both = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            tags.insert(format!("{prefix}{key}"), value.clone());
            tags.insert(key.to_owned(), value);
        }
    };
    both("container_id", Some(known(metadata.instance_id())));
    both("location", Some(location.clone()));
    both("project_id", Some(project.clone()));
    let parent = format!("projects/{project}/locations/{location}");
    if prefix == "gcrj." {
        both("job_name", read.get("CLOUD_RUN_JOB"));
        for (key, name) in [
            ("gcrj.execution_name", "CLOUD_RUN_EXECUTION"),
            ("gcrj.task_index", "CLOUD_RUN_TASK_INDEX"),
            ("gcrj.task_attempt", "CLOUD_RUN_TASK_ATTEMPT"),
            ("gcrj.task_count", "CLOUD_RUN_TASK_COUNT"),
        ] {
            if let Some(value) = read.get(name) {
                tags.insert(key.to_owned(), value);
            }
        }
        let resource = format!("{parent}/jobs/{}", read.known("CLOUD_RUN_JOB"));
        tags.insert("gcrj.resource_name".into(), resource);
        return;
    }
    both("revision_name", read.get("K_REVISION"));
    both("service_name", read.get("K_SERVICE"));
    both("configuration_name", read.get("K_CONFIGURATION"));
    let mut resource = format!("{parent}/services/{}", read.known("K_SERVICE"));
    if prefix == "gcrfx." {
        if let Some(kind) = read.get("FUNCTION_SIGNATURE_TYPE") {
            tags.insert("gcrfx.function_signature_type".into(), kind);
        }
        if let Some(target) = read.get("FUNCTION_TARGET") {
            resource.push_str("/functions/");
            resource.push_str(&target);
            tags.insert("gcrfx.build_function_target".into(), target);
        }
    }
    tags.insert(format!("{prefix}resource_name"), resource);
}

/// Tags of Container Apps.
fn container_app(tags: &mut BTreeMap<String, String>, read: &Variables<'_>) {
    let name = read.known("CONTAINER_APP_NAME");
    let subscription = read.get("DD_AZURE_SUBSCRIPTION_ID");
    let group = read.get("DD_AZURE_RESOURCE_GROUP");
    // The third label from the end; a shorter suffix has no region (losses.md L100).
    let suffix = read.get("CONTAINER_APP_ENV_DNS_SUFFIX").unwrap_or_default();
    let region =
        suffix.split('.').rev().nth(2).filter(|label| !label.is_empty()).unwrap_or(UNKNOWN).to_owned();
    let resource = subscription.as_ref().zip(group.as_ref()).map(|(subscription, group)| {
        let app = name.to_lowercase();
        format!(
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.app/containerapps/{app}"
        )
    });
    for (bare, full, value) in [
        ("app_name", "aca.app.name", Some(name)),
        ("region", "aca.app.region", Some(region)),
        ("revision", "aca.app.revision", read.get("CONTAINER_APP_REVISION")),
        ("replica_name", "aca.replica.name", read.get("CONTAINER_APP_REPLICA_NAME")),
        ("subscription_id", "aca.subscription.id", subscription),
        ("resource_group", "aca.resource.group", group),
        ("resource_id", "aca.resource.id", resource),
    ] {
        if let Some(value) = value {
            tags.insert(bare.to_owned(), value.clone());
            tags.insert(full.to_owned(), value);
        }
    }
}

/// Tags of a site of App Service, which a function app is too; `kind` is `function` or `app`.
fn azure_site(read: &Variables<'_>, kind: &str) -> Vec<(String, String)> {
    let is_function = kind == "function";
    let owner = read.get("WEBSITE_OWNER_NAME");
    let subscription = owner.as_deref().and_then(|owner| owner.split('+').next()).map(str::trim);
    let subscription = subscription.filter(|text| !text.is_empty()).map(str::to_owned);
    let is_flex = read.get("WEBSITE_SKU").as_deref() == Some("FlexConsumption");
    let group = read
        .get("DD_AZURE_RESOURCE_GROUP")
        .or_else(|| read.get("WEBSITE_RESOURCE_GROUP"))
        .or_else(|| owner.as_deref().filter(|_| !is_flex).and_then(resource_group));
    let name = read.get("WEBSITE_SITE_NAME");
    let resource = match (&subscription, &group, &name) {
        (Some(subscription), Some(group), Some(name)) => Some(
            format!(
                "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.web/sites/{name}"
            )
            .to_lowercase(),
        ),
        _ => None,
    };
    let runtime = if is_function { read.get("FUNCTIONS_WORKER_RUNTIME") } else { site_runtime(read) };
    let system = read.get("WEBSITE_OS").unwrap_or_else(|| std::env::consts::OS.to_owned());
    let site_kind = if is_function { "functionapp" } else { "app" };
    let mut tags = vec![
        ("aas.environment.instance_id", known(read.get("WEBSITE_INSTANCE_ID"))),
        ("aas.environment.instance_name", known(read.get("COMPUTERNAME"))),
        ("aas.environment.os", system),
        ("aas.environment.runtime", known(runtime)),
        ("aas.resource.group", known(group)),
        ("aas.resource.id", known(resource)),
        ("aas.site.kind", site_kind.to_owned()),
        ("aas.site.name", known(name)),
        ("aas.site.type", kind.to_owned()),
        ("aas.subscription.id", known(subscription)),
    ];
    if is_function {
        tags.push(("aas.environment.runtime_version", read.known("FUNCTIONS_WORKER_RUNTIME_VERSION")));
        tags.push(("aas.environment.function_runtime", read.known("FUNCTIONS_EXTENSION_VERSION")));
    }
    tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The resource group within `subscription+group-regionwebspace`.
fn resource_group(owner: &str) -> Option<String> {
    let (_, space) = owner.rsplit_once('+')?;
    let (front, _) = space.rsplit_once("webspace")?;
    let (group, region) = front.rsplit_once('-')?;
    (!group.is_empty() && !region.is_empty()).then(|| group.to_owned())
}

/// Runtime of a site that is no function app.
fn site_runtime(read: &Variables<'_>) -> Option<String> {
    let name = match read.get("WEBSITE_STACK")?.to_ascii_uppercase().as_str() {
        "DOCKER" => "Container",
        "NODE" => "Node.js",
        "PYTHON" => "Python",
        "JAVA" | "TOMCAT" => "Java",
        "DOTNETCORE" => ".NET",
        "PHP" => "PHP",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Tags of a MicroVM, from `arn:aws:lambda:<region>:<account>:microvm-image:<name>`.
fn micro_vm(tags: &mut BTreeMap<String, String>, read: &Variables<'_>) {
    let arn = read.get("AWS_LAMBDA_MICROVM_IMAGE_ARN");
    let mut parts = arn.as_deref().unwrap_or_default().splitn(7, ':').skip(3);
    let mut part = || known(parts.next().map(str::to_owned));
    let (region, account, _kind, image) = (part(), part(), part(), part());
    for (key, value) in [
        ("region", region),
        ("account_id", account),
        ("image_name", image),
        ("resource_id", known(arn.clone())),
        ("resource_type", "lambdamicrovm".into()),
        ("resource_provider", "aws".into()),
    ] {
        tags.insert(key.to_owned(), value);
    }
}

/// Variables, trimmed; an empty one is not set.
struct Variables<'a>(&'a dyn Strings);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn known(&self, name: &str) -> String {
        known(self.get(name))
    }
}

fn known(value: Option<String>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// `key:value` between commas; a tag without a value is its key.
fn joined(tags: &[(String, String)]) -> String {
    let pieces: Vec<String> = tags
        .iter()
        .map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}:{value}") })
        .collect();
    pieces.join(",")
}
