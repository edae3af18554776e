use super::*;
use crate::config::Identity;
use crate::config::source::Fixed;
use std::collections::BTreeMap;

fn strings(pairs: &[(&str, &str)]) -> Fixed {
    pairs.iter().copied().collect()
}

const AZURE_FUNCTION: &[(&str, &str)] = &[
    ("FUNCTIONS_EXTENSION_VERSION", "~4"),
    ("FUNCTIONS_WORKER_RUNTIME", "python"),
    ("WEBSITE_SITE_NAME", "My-App"),
];
const GOOGLE_FUNCTION: &[(&str, &str)] = &[("K_SERVICE", "fn-service"), ("FUNCTION_TARGET", "handler")];

#[test]
fn every_platform_is_found_by_its_variables_for_both_faces() {
    use Platform::*;
    let lambda = [("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"), ("AWS_LAMBDA_FUNCTION_NAME", "f")];
    for (pairs, platform) in [
        (&lambda[..], AwsLambda),
        (&lambda[1..], Local),
        (AZURE_FUNCTION, AzureFunctions),
        (&AZURE_FUNCTION[..2], Local),
        (GOOGLE_FUNCTION, GoogleFunction),
        (&[("FUNCTION_NAME", "f"), ("GCP_PROJECT", "p")], GoogleFunction),
        (&[("ASCSVCRT_SPRING__APPLICATION__NAME", "a")], AzureSpringApps),
        (&[("K_SERVICE", "s")], CloudRunService),
        (&[("CLOUD_RUN_JOB", "j")], CloudRunJob),
        (&[("CONTAINER_APP_NAME", "c")], ContainerApps),
        (&[("WEBSITE_STACK", "NODE")], AppService),
        (&[("AWS_LAMBDA_MICROVM_IMAGE_ARN", "arn")], LambdaMicroVm),
        (&[("K_SERVICE", " ")], Local),
        (&[], Local),
    ] {
        for face in [Face::Agent, Face::Entrypoint, Face::Sidecar] {
            let expected = Detection { platform, others: Vec::new() };
            assert_eq!(detect(&strings(pairs), face), expected, "{pairs:?} {face:?}");
        }
    }
}

#[test]
fn l66_several_platforms_are_a_choice_and_a_warning_never_a_refusal() {
    let both: Vec<(&str, &str)> = AZURE_FUNCTION.iter().chain(GOOGLE_FUNCTION).copied().collect();
    let found = detect(&strings(&both), Face::Agent);
    assert_eq!(found.platform, Platform::AzureFunctions);
    assert_eq!(found.others, ["Google Cloud function", "Cloud Run service"]);
    // A function app is an App Service too: which one it is depends on whom we stand in for.
    let app: Vec<(&str, &str)> =
        AZURE_FUNCTION.iter().copied().chain([("WEBSITE_STACK", "PYTHON")]).collect();
    assert_eq!(detect(&strings(&app), Face::Agent).platform, Platform::AzureFunctions);
    let entrypoint = detect(&strings(&app), Face::Entrypoint);
    assert_eq!((entrypoint.platform, entrypoint.others.len()), (Platform::AppService, 0));
}

#[test]
fn l37_there_is_one_table_of_origins() {
    let agent: Vec<Option<&str>> =
        Platform::ALL.iter().map(|platform| platform.origin(Face::Agent)).collect();
    assert_eq!(
        agent,
        [
            Some("lambda"),
            Some("azurefunction"),
            Some("cloudfunction"),
            Some("azurespringapp"),
            Some("cloudrun"),
            Some("cloudrunjobs"),
            Some("containerapp"),
            Some("appservice"),
            Some("lambdamicrovm"),
            None,
        ]
    );
    for platform in Platform::ALL {
        let tags = tagged(platform, Face::Agent, &[]);
        let proxied =
            tags.proxied.iter().find(|(key, _)| key == "_dd.origin").map(|(_, value)| value.as_str());
        assert_eq!(proxied, platform.origin(Face::Agent), "{platform:?}");
        let on_root = tags.root.iter().find(|(key, _)| key == "_dd.origin").map(|(_, value)| value.as_str());
        assert!(on_root.or(tags.chunk_origin) == platform.origin(Face::Agent), "{platform:?}");
    }
}

fn identity() -> Identity {
    Identity {
        env: Some("Prod".into()),
        service: Some("Shop".into()),
        version: Some("1.2".into()),
        tags: vec![("team".into(), "b:c".into()), ("a".into(), "1".into()), ("bare".into(), String::new())],
        ..Identity::default()
    }
}

fn metadata() -> Metadata {
    Metadata {
        instance_id: Some("00ab".into()),
        region: Some("europe-west1".into()),
        project: Some("proj".into()),
    }
}

fn tagged(platform: Platform, face: Face, pairs: &[(&str, &str)]) -> Tags {
    tags(&platform, &strings(pairs), &metadata(), face, &identity())
}

fn map(tags: &[(String, String)]) -> BTreeMap<&str, &str> {
    let map: BTreeMap<&str, &str> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(map.len(), tags.len(), "a key stands twice in {tags:?}");
    map
}

#[test]
fn an_azure_function_has_the_mini_agents_tags_and_says_unknown() {
    let variables: Vec<(&str, &str)> = AZURE_FUNCTION
        .iter()
        .copied()
        .chain([
            ("WEBSITE_OWNER_NAME", "sub-1+my-group-westeuropewebspace-Linux"),
            ("WEBSITE_INSTANCE_ID", "i-1"),
            ("WEBSITE_OS", "linux"),
            ("DD_SERVERLESS_COMPAT_VERSION", "0.19.0"),
        ])
        .collect();
    let tags = tagged(Platform::AzureFunctions, Face::Agent, &variables);
    assert_eq!(map(&tags.span), BTreeMap::from([("_dd.serverless_compat_version", "0.19.0")]));
    assert_eq!(
        map(&tags.span_unless_skipped),
        BTreeMap::from([
            ("aas.environment.function_runtime", "~4"),
            ("aas.environment.instance_id", "i-1"),
            ("aas.environment.instance_name", "unknown"),
            ("aas.environment.os", "linux"),
            ("aas.environment.runtime", "python"),
            ("aas.environment.runtime_version", "unknown"),
            ("aas.resource.group", "my-group"),
            (
                "aas.resource.id",
                "/subscriptions/sub-1/resourcegroups/my-group/providers/microsoft.web/sites/my-app"
            ),
            ("aas.site.kind", "functionapp"),
            ("aas.site.name", "My-App"),
            ("aas.site.type", "function"),
            ("aas.subscription.id", "sub-1"),
        ])
    );
    assert_eq!(
        map(&tags.root),
        BTreeMap::from([
            ("_dd.origin", "azurefunction"),
            ("functionname", "My-App"),
            ("origin", "azurefunction")
        ])
    );
    assert_eq!(map(&tags.payload), BTreeMap::from([("_dd.tags.function", "a:1,bare,team:b:c")]));
    assert_eq!(tags.proxied_header(), "team:b:c,a:1,bare,functionname:My-App,_dd.origin:azurefunction");
}

#[test]
fn spans_of_azures_gateway_get_no_function_tags() {
    let pairs: Vec<(&str, &str)> =
        AZURE_FUNCTION.iter().copied().chain([("DD_SERVERLESS_COMPAT_VERSION", "1")]).collect();
    let tags = tagged(Platform::AzureFunctions, Face::Agent, &pairs);
    assert_eq!(tags.of_span("azure.apim").count(), 1);
    assert_eq!(tags.of_span("azure.functions.invoke").count(), 13);
}

#[test]
fn the_resource_group_comes_from_the_owner_except_on_flex_consumption() {
    let group = |pairs: &[(&str, &str)]| {
        let tags = tagged(Platform::AzureFunctions, Face::Agent, pairs);
        map(&tags.span_unless_skipped)["aas.resource.group"].to_owned()
    };
    let owner = ("WEBSITE_OWNER_NAME", "sub+rg-one-EastUSwebspace");
    assert_eq!(group(&[owner]), "rg-one");
    assert_eq!(group(&[owner, ("WEBSITE_RESOURCE_GROUP", "two")]), "two");
    assert_eq!(group(&[owner, ("DD_AZURE_RESOURCE_GROUP", "three")]), "three");
    assert_eq!(group(&[owner, ("WEBSITE_SKU", "FlexConsumption")]), "unknown");
    for odd in ["", "+", "sub", "sub+", "sub+webspace", "sub+-webspace", "sub+rg-webspace", "sub+rgwebspace"]
    {
        assert_eq!(group(&[("WEBSITE_OWNER_NAME", odd)]), "unknown", "{odd}");
    }
}

#[test]
fn l09_a_google_function_without_metadata_is_somewhere_unknown() {
    let tags = |metadata: &Metadata| {
        tags(
            &Platform::GoogleFunction,
            &strings(GOOGLE_FUNCTION),
            metadata,
            Face::Agent,
            &Identity::default(),
        )
    };
    let known = tags(&metadata());
    assert_eq!(
        map(&known.span),
        BTreeMap::from([
            ("gcrfx.location", "europe-west1"),
            ("gcrfx.project_id", "proj"),
            ("gcrfx.resource_name", "projects/proj/locations/europe-west1/functions/fn-service"),
        ])
    );
    let unknown = tags(&Metadata::default());
    assert_eq!(
        map(&unknown.span)["gcrfx.resource_name"],
        "projects/unknown/locations/unknown/functions/fn-service"
    );
    assert_eq!(map(&unknown.root)["origin"], "cloudfunction");
    assert!(unknown.payload.is_empty());
}

#[test]
fn lambda_and_spring_have_their_roots_and_spring_no_function_name() {
    let lambda = tagged(Platform::AwsLambda, Face::Agent, &[("AWS_LAMBDA_FUNCTION_NAME", "f")]);
    assert!(lambda.span.is_empty());
    assert_eq!(
        map(&lambda.root),
        BTreeMap::from([("_dd.origin", "lambda"), ("functionname", "f"), ("origin", "lambda")])
    );
    let spring = tagged(
        Platform::AzureSpringApps,
        Face::Agent,
        &[("ASCSVCRT_SPRING__APPLICATION__NAME", "shop"), ("HOSTNAME", "h")],
    );
    assert_eq!(map(&spring.span), BTreeMap::from([("asa.hostname", "h"), ("asa.name", "shop")]));
    assert_eq!(
        map(&spring.root),
        BTreeMap::from([("_dd.origin", "azurespringapp"), ("origin", "azurespringapp")])
    );
}

#[test]
fn a_cloud_run_service_has_the_wrappers_tags() {
    let pairs = &[("K_SERVICE", "svc"), ("K_REVISION", "svc-1"), ("K_CONFIGURATION", "svc-c")];
    let tags = tagged(Platform::CloudRunService, Face::Entrypoint, pairs);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        map(&tags.span),
        BTreeMap::from([
            ("a", "1"),
            ("configuration_name", "svc-c"),
            ("container_id", "00ab"),
            ("datadog_init_version", version),
            ("env", "prod"),
            ("gcr.configuration_name", "svc-c"),
            ("gcr.container_id", "00ab"),
            ("gcr.location", "europe-west1"),
            ("gcr.project_id", "proj"),
            ("gcr.resource_name", "projects/proj/locations/europe-west1/services/svc"),
            ("gcr.revision_name", "svc-1"),
            ("gcr.service_name", "svc"),
            ("location", "europe-west1"),
            ("origin", "cloudrun"),
            ("project_id", "proj"),
            ("revision_name", "svc-1"),
            ("service", "shop"),
            ("service_name", "svc"),
            ("team", "b:c"),
            ("version", "1.2"),
        ])
    );
    assert_eq!(tags.chunk_origin, Some("cloudrun"));
    assert!(tags.root.is_empty() && tags.payload.is_empty());
    for face in [Face::Agent, Face::Sidecar] {
        let sidecar = tagged(Platform::CloudRunService, face, pairs);
        let span = map(&sidecar.span);
        assert_eq!(span["_dd.datadog_sidecar_version"], version);
        assert_eq!((span.contains_key("datadog_init_version"), span["origin"]), (false, "cloudrun"));
    }
}

#[test]
fn functions_and_jobs_of_cloud_run_have_the_wrappers_tags() {
    let pairs = [GOOGLE_FUNCTION[0], GOOGLE_FUNCTION[1], ("FUNCTION_SIGNATURE_TYPE", "http")];
    let tags = tagged(Platform::GoogleFunction, Face::Entrypoint, &pairs);
    let span = map(&tags.span);
    assert_eq!(
        span["gcrfx.resource_name"],
        "projects/proj/locations/europe-west1/services/fn-service/functions/handler"
    );
    assert_eq!(span["gcrfx.build_function_target"], "handler");
    assert_eq!(span["gcrfx.function_signature_type"], "http");
    assert_eq!(span["origin"], "cloudrun");
    assert!(tags.proxied.contains(&("functionname".into(), "fn-service".into())));
    let job = tagged(
        Platform::CloudRunJob,
        Face::Entrypoint,
        &[("CLOUD_RUN_JOB", "nightly"), ("CLOUD_RUN_TASK_INDEX", "3"), ("CLOUD_RUN_EXECUTION", "nightly-x")],
    );
    let span = map(&job.span);
    assert_eq!((span["job_name"], span["gcrj.job_name"]), ("nightly", "nightly"));
    assert_eq!((span["gcrj.task_index"], span["gcrj.execution_name"]), ("3", "nightly-x"));
    assert_eq!(span["gcrj.resource_name"], "projects/proj/locations/europe-west1/jobs/nightly");
    assert_eq!(span["origin"], "cloudrunjobs");
    assert!(!span.contains_key("gcrj.task_count"));
}

#[test]
fn l100_a_short_suffix_has_no_region_and_crashes_nothing() {
    for (suffix, region) in [
        ("happy-1234.canadacentral.azurecontainerapps.io", "canadacentral"),
        ("a.b.c", "a"),
        ("b.c", "unknown"),
        ("c", "unknown"),
        ("", "unknown"),
        ("..", "unknown"),
    ] {
        let tags = tagged(
            Platform::ContainerApps,
            Face::Entrypoint,
            &[("CONTAINER_APP_NAME", "App"), ("CONTAINER_APP_ENV_DNS_SUFFIX", suffix)],
        );
        let span = map(&tags.span);
        assert_eq!((span["region"], span["aca.app.region"]), (region, region), "{suffix}");
        assert!(!span.contains_key("aca.resource.id"));
    }
}

#[test]
fn a_container_app_knows_its_resource() {
    let tags = tagged(
        Platform::ContainerApps,
        Face::Entrypoint,
        &[
            ("CONTAINER_APP_NAME", "App"),
            ("CONTAINER_APP_REVISION", "App--1"),
            ("CONTAINER_APP_REPLICA_NAME", "App--1-x"),
            ("DD_AZURE_SUBSCRIPTION_ID", "S"),
            ("DD_AZURE_RESOURCE_GROUP", "G"),
        ],
    );
    let span = map(&tags.span);
    let resource = "/subscriptions/S/resourcegroups/G/providers/microsoft.app/containerapps/app";
    assert_eq!((span["resource_id"], span["aca.resource.id"]), (resource, resource));
    assert_eq!((span["app_name"], span["replica_name"], span["revision"]), ("App", "App--1-x", "App--1"));
    assert_eq!(tags.chunk_origin, Some("containerapp"));
}

#[test]
fn an_app_service_has_its_sites_tags() {
    for (stack, runtime) in [
        ("NODE", "Node.js"),
        ("tomcat", "Java"),
        ("DOTNETCORE", ".NET"),
        ("DOCKER", "Container"),
        ("?", "unknown"),
    ] {
        let pairs =
            &[("WEBSITE_STACK", stack), ("WEBSITE_SITE_NAME", "site"), ("REGION_NAME", "West Europe")];
        let tags = tagged(Platform::AppService, Face::Entrypoint, pairs);
        let span = map(&tags.span);
        assert_eq!(span["aas.environment.runtime"], runtime);
        assert_eq!((span["app_name"], span["region"], span["origin"]), ("site", "West Europe", "appservice"));
        assert_eq!((span["aas.site.kind"], span["aas.site.type"]), ("app", "app"));
    }
    let function = tagged(Platform::AppService, Face::Entrypoint, AZURE_FUNCTION);
    assert_eq!(map(&function.span)["aas.site.kind"], "functionapp");
}

#[test]
fn a_micro_vm_is_known_by_its_image() {
    let tags =
        |arn| tagged(Platform::LambdaMicroVm, Face::Entrypoint, &[("AWS_LAMBDA_MICROVM_IMAGE_ARN", arn)]);
    let arn = "arn:aws:lambda:eu-west-1:123:microvm-image:name:2";
    let full = tags(arn);
    let span = map(&full.span);
    assert_eq!((span["region"], span["account_id"], span["image_name"]), ("eu-west-1", "123", "name:2"));
    assert_eq!(
        (span["resource_id"], span["resource_type"], span["resource_provider"]),
        (arn, "lambdamicrovm", "aws")
    );
    for short in ["arn", "arn:aws:lambda", "arn:aws:lambda::", ""] {
        let odd = tags(short);
        assert_eq!(map(&odd.span)["image_name"], "unknown", "{short}");
        assert_eq!(map(&odd.span)["region"], "unknown", "{short}");
    }
}

#[test]
fn a_plain_host_gets_what_the_user_configured_and_the_wrapper_says_local() {
    let agent = tagged(Platform::Local, Face::Agent, &[]);
    assert_eq!(map(&agent.span), BTreeMap::from([("a", "1"), ("team", "b:c")]));
    assert!(agent.root.is_empty() && agent.payload.is_empty() && agent.chunk_origin.is_none());
    let wrapper = tagged(Platform::Local, Face::Entrypoint, &[]);
    assert_eq!(map(&wrapper.span)["local"], "true");
}

#[test]
fn the_clouds_tags_win_over_the_users_and_the_users_over_the_wrappers() {
    let identity = Identity {
        env: Some("dev".into()),
        tags: vec![("env".into(), "mine".into()), ("location".into(), "mars".into())],
        ..Identity::default()
    };
    let tags = tags(
        &Platform::CloudRunService,
        &strings(&[("K_SERVICE", "s")]),
        &metadata(),
        Face::Entrypoint,
        &identity,
    );
    let span = map(&tags.span);
    assert_eq!((span["env"], span["location"]), ("mine", "europe-west1"));
}

#[test]
fn l36_tags_that_no_header_can_carry_cost_a_character_not_the_request() {
    let identity = Identity { tags: vec![("città".into(), "a\nb".into())], ..Identity::default() };
    let tags = tags(&Platform::Local, &Fixed::new(), &Metadata::default(), Face::Agent, &identity);
    assert_eq!(tags.proxied_header(), "citt_:a_b");
    assert!(tags.proxied_header().parse::<http::HeaderValue>().is_ok());
}

#[test]
fn the_time_to_stop_is_the_platforms() {
    let none = Fixed::new();
    assert_eq!(Platform::CloudRunService.stop_grace(&none), Some(Duration::from_secs(10)));
    assert_eq!(Platform::ContainerApps.stop_grace(&none), Some(Duration::from_secs(30)));
    assert_eq!(Platform::AppService.stop_grace(&none), Some(Duration::from_secs(30)));
    let set = strings(&[("WEBSITES_SHUTDOWN_TIMEOUT", "120")]);
    assert_eq!(Platform::AppService.stop_grace(&set), Some(Duration::from_secs(120)));
    assert_eq!(Platform::AzureFunctions.stop_grace(&none), None);
}

#[test]
fn hosts_have_names_where_there_are_hosts() {
    let probe = Probe { hostname: Some("box".into()) };
    for platform in Platform::ALL {
        let expected = if platform == Platform::Local { "box" } else { "" };
        assert_eq!(hostname(&platform, &probe).0, expected, "{platform:?}");
    }
    assert_eq!(hostname(&Platform::Local, &Probe::default()).0, "");
    let named = Probe::of_this_system().hostname;
    assert!(named.is_none_or(|name| crate::config::parse::host_name(&name).is_ok()));
}

fn on_metrics(platform: Platform, face: Face, pairs: &[(&str, &str)]) -> Vec<String> {
    metric_tags(&platform, &strings(pairs), &metadata(), face)
}

#[test]
fn metrics_of_functions_carry_the_mini_agents_two_tags() {
    for (platform, name) in [
        (Platform::AwsLambda, "lambda"),
        (Platform::AzureFunctions, "azurefunction"),
        (Platform::GoogleFunction, "cloudfunction"),
        (Platform::AzureSpringApps, "azurespringapp"),
    ] {
        let expected = [format!("origin:{name}"), format!("dd.origin:{name}")];
        assert_eq!(on_metrics(platform, Face::Agent, &[]), expected);
    }
}

#[test]
fn metrics_of_cloud_run_carry_the_wrappers_tags_without_the_instance() {
    let pairs = &[("K_SERVICE", "svc"), ("K_REVISION", "svc-1"), ("K_CONFIGURATION", "svc-c")];
    let expected = [
        "_dd.origin:cloudrun",
        "configuration_name:svc-c",
        "gcr.configuration_name:svc-c",
        "gcr.location:europe-west1",
        "gcr.project_id:proj",
        "gcr.resource_name:projects/proj/locations/europe-west1/services/svc",
        "gcr.revision_name:svc-1",
        "gcr.service_name:svc",
        "location:europe-west1",
        "origin:cloudrun",
        "project_id:proj",
        "revision_name:svc-1",
        "service_name:svc",
    ];
    for face in [Face::Agent, Face::Entrypoint] {
        assert_eq!(on_metrics(Platform::CloudRunService, face, pairs), expected);
    }
}

#[test]
fn no_metric_carries_a_tag_that_differs_between_instances_or_comes_from_settings() {
    let pairs = &[
        ("K_SERVICE", "s"),
        ("CLOUD_RUN_JOB", "j"),
        ("CLOUD_RUN_EXECUTION", "j-x"),
        ("CLOUD_RUN_TASK_INDEX", "1"),
        ("CLOUD_RUN_TASK_ATTEMPT", "0"),
        ("CLOUD_RUN_TASK_COUNT", "3"),
        ("CONTAINER_APP_NAME", "c"),
        ("CONTAINER_APP_REPLICA_NAME", "c-1"),
        ("DD_SERVERLESS_COMPAT_VERSION", "1.0.0"),
    ];
    let mut removed = 0;
    for platform in Platform::ALL {
        let tags = on_metrics(platform, Face::Entrypoint, pairs);
        let keys: Vec<&str> = tags.iter().map(|tag| tag.split_once(':').unwrap().0).collect();
        let spans = tagged(platform, Face::Entrypoint, pairs).span;
        removed +=
            spans.iter().filter(|(key, _)| key.ends_with("container_id") || key.contains("replica")).count();
        for bad in ["container_id", "replica", "execution_name", "gcrj.task_", "datadog", "compat", "team"] {
            assert!(!keys.iter().any(|key| key.contains(bad)), "{platform:?}: {tags:?}");
        }
        for unified in ["env", "service", "version"] {
            assert!(!keys.contains(&unified), "{platform:?}: {tags:?}");
        }
        let origin = platform.origin(Face::Entrypoint).map(|origin| format!("origin:{origin}"));
        assert!(origin.is_none_or(|origin| tags.contains(&origin)), "{platform:?}: {tags:?}");
    }
    assert!(removed >= 8, "the spans have them: {removed}");
}

#[test]
fn metrics_of_a_plain_host_get_nothing_from_the_agent() {
    assert_eq!(on_metrics(Platform::Local, Face::Agent, &[]), [] as [String; 0]);
    assert_eq!(on_metrics(Platform::Local, Face::Entrypoint, &[]), ["local:true"]);
}

#[test]
fn l54_metrics_are_accounted_by_platform_where_the_number_is_known() {
    for platform in Platform::ALL {
        let category = match platform {
            Platform::AppService => 35,
            Platform::GoogleFunction | Platform::CloudRunService => 36,
            Platform::ContainerApps => 37,
            Platform::AwsLambda => 38,
            Platform::AzureFunctions => 71,
            Platform::CloudRunJob | Platform::AzureSpringApps | Platform::LambdaMicroVm | Platform::Local => {
                assert_eq!(platform.metric_origin(), None, "{platform:?}");
                continue;
            }
        };
        assert_eq!(platform.metric_origin(), Some((1, category)), "{platform:?}");
    }
}

#[test]
fn a_plain_container_is_local_and_says_who_runs_it() {
    for (pairs, orchestrator) in [
        (&[][..], None),
        (&[("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x")], Some("ecs")),
        (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], Some("kubernetes")),
        (&[("KUBERNETES_SERVICE_HOST", "")], None),
    ] {
        assert_eq!(detect(&strings(pairs), Face::Entrypoint).platform, Platform::Local);
        let tags = tagged(Platform::Local, Face::Entrypoint, pairs);
        let span = map(&tags.span);
        assert_eq!((span["local"], span.get("orchestrator").copied()), ("true", orchestrator), "{pairs:?}");
        let on_metrics = on_metrics(Platform::Local, Face::Entrypoint, pairs);
        assert_eq!(on_metrics.len(), 1 + usize::from(orchestrator.is_some()), "{on_metrics:?}");
    }
}

fn on_logs(platform: Platform, face: Face, pairs: &[(&str, &str)]) -> Vec<String> {
    log_tags(&platform, &strings(pairs), &metadata(), face, &identity())
}

#[test]
fn logs_of_a_job_carry_everything_down_to_the_task() {
    let pairs = &[
        ("CLOUD_RUN_JOB", "nightly"),
        ("CLOUD_RUN_EXECUTION", "nightly-x"),
        ("CLOUD_RUN_TASK_INDEX", "3"),
        ("CLOUD_RUN_TASK_ATTEMPT", "0"),
        ("CLOUD_RUN_TASK_COUNT", "5"),
    ];
    let version = format!("datadog_init_version:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        on_logs(Platform::CloudRunJob, Face::Entrypoint, pairs),
        [
            "_dd.origin:cloudrunjobs",
            "container_id:00ab",
            &version,
            "env:prod",
            "gcrj.container_id:00ab",
            "gcrj.execution_name:nightly-x",
            "gcrj.job_name:nightly",
            "gcrj.location:europe-west1",
            "gcrj.project_id:proj",
            "gcrj.resource_name:projects/proj/locations/europe-west1/jobs/nightly",
            "gcrj.task_attempt:0",
            "gcrj.task_count:5",
            "gcrj.task_index:3",
            "job_name:nightly",
            "location:europe-west1",
            "origin:cloudrunjobs",
            "project_id:proj",
            "service:shop",
            "version:1.2",
            "team:b:c",
            "a:1",
            "bare",
        ]
    );
}

#[test]
fn logs_of_a_replica_and_of_a_sidecar_carry_what_metrics_must_not() {
    let pairs = &[("CONTAINER_APP_NAME", "App"), ("CONTAINER_APP_REPLICA_NAME", "App--1-x")];
    let tags = on_logs(Platform::ContainerApps, Face::Sidecar, pairs);
    for tag in ["replica_name:App--1-x", "aca.replica.name:App--1-x", "app_name:App", "env:prod", "bare"] {
        assert!(tags.iter().any(|had| had == tag), "{tag}: {tags:?}");
    }
    assert!(tags.iter().any(|tag| tag.starts_with("_dd.datadog_sidecar_version:")), "{tags:?}");
}

#[test]
fn logs_of_the_agent_carry_the_mini_agents_tags_and_the_users() {
    let plain = on_logs(Platform::Local, Face::Agent, &[]);
    assert_eq!(plain, ["env:prod", "service:shop", "version:1.2", "team:b:c", "a:1", "bare"]);
    let function = on_logs(Platform::AzureFunctions, Face::Agent, AZURE_FUNCTION);
    for tag in ["origin:azurefunction", "_dd.origin:azurefunction", "functionname:My-App", "team:b:c"] {
        assert!(function.iter().any(|had| had == tag), "{tag}: {function:?}");
    }
}

#[test]
fn on_logs_the_clouds_tags_win_over_the_users_and_no_value_of_the_user_is_lost() {
    let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let identity = Identity {
        env: Some("dev".into()),
        tags: vec![of("env", "mine"), of("location", "mars"), of("origin", "me"), of("x", "1"), of("x", "2")],
        ..Identity::default()
    };
    let pairs = strings(&[("K_SERVICE", "s")]);
    let tags = log_tags(&Platform::CloudRunService, &pairs, &metadata(), Face::Entrypoint, &identity);
    let of_keys = |keys: &[&str]| -> Vec<&str> {
        let has = |tag: &&String| keys.iter().any(|key| tag.starts_with(key));
        tags.iter().filter(has).map(String::as_str).collect()
    };
    assert_eq!(
        of_keys(&["env:", "location:", "origin:"]),
        ["location:europe-west1", "origin:cloudrun", "env:mine"]
    );
    assert_eq!(of_keys(&["x:"]), ["x:1", "x:2"]);
}

#[test]
fn enhanced_metrics_of_azure_name_the_site_as_the_references_do() {
    let pairs = &[
        ("WEBSITE_SITE_NAME", "site"),
        ("REGION_NAME", "West Europe"),
        ("WEBSITE_OWNER_NAME", "sub-1+group-westeuropewebspace"),
        ("WEBSITE_SKU", "EP1"),
        ("COMPUTERNAME", "PL1-Box"),
    ];
    let site = ["name:site", "region:West Europe", "resource_group:group", "subscription_id:sub-1"];
    let tags = |platform, face| enhanced_tags(platform, &strings(pairs), face);
    assert_eq!(tags(Platform::AppService, Face::Entrypoint), site);
    assert_eq!(tags(Platform::AzureFunctions, Face::Agent), [&site[..], &["plan_tier:EP1"]].concat());
    assert!(tags(Platform::CloudRunService, Face::Entrypoint).is_empty());
    let instance = |platform, face, pairs: &[(&str, &str)], metadata: &Metadata| {
        instance_name(platform, &strings(pairs), metadata, face)
    };
    assert_eq!(instance(Platform::AzureFunctions, Face::Agent, pairs, &metadata()), "pl1-box");
    let pod = &[("WEBSITE_POD_NAME", "POD"), ("CONTAINER_NAME", "c")];
    assert_eq!(instance(Platform::AzureFunctions, Face::Agent, pod, &metadata()), "pod");
    assert_eq!(instance(Platform::AppService, Face::Entrypoint, pairs, &metadata()), "PL1-Box");
    assert_eq!(instance(Platform::CloudRunService, Face::Entrypoint, pairs, &metadata()), "00ab");
    assert_eq!(instance(Platform::CloudRunService, Face::Sidecar, &[], &Metadata::default()), "unknown");
}
