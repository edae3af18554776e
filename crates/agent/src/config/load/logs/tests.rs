use crate::config::source::Fixed;
use crate::config::{Config, ConfigErrors, FilePattern};
use crate::platform::{Face, Probe};
use std::path::PathBuf;

fn load(pairs: &[(&str, &str)], face: Face) -> Result<Config, ConfigErrors> {
    let strings: Fixed = pairs.iter().copied().collect();
    Config::load_for(&strings, face, &Probe::default())
}

fn loaded(pairs: &[(&str, &str)], face: Face) -> Config {
    load(pairs, face).unwrap()
}

#[test]
fn logs_are_off_but_beside_programs() {
    assert!(!loaded(&[], Face::Agent).logs.enabled);
    let wrapping = loaded(&[], Face::Entrypoint);
    assert!(!wrapping.logs.enabled && wrapping.logs.input.is_none());
    let beside = loaded(&[], Face::Sidecar);
    assert!(beside.logs.enabled);
    assert_eq!(beside.receiver.bind.to_string(), "0.0.0.0");
    assert_eq!(beside.identity.hostname, "");
    let told = [("DD_LOGS_ENABLED", "false"), ("DD_APM_NON_LOCAL_TRAFFIC", "false")];
    let told = loaded(&told, Face::Sidecar);
    assert!(!told.logs.enabled && told.receiver.bind.is_loopback());
}

#[test]
fn the_input_is_on_loopback_and_can_be_moved_or_closed() {
    let input = |port| {
        let pairs = [("DD_LOGS_ENABLED", "true"), ("DD_LOGS_PORT", port)];
        loaded(&pairs, Face::Agent).logs.input.map(|address| address.to_string())
    };
    assert_eq!(input(""), Some("127.0.0.1:10517".to_owned()));
    assert_eq!(input("7"), Some("127.0.0.1:7".to_owned()));
    assert_eq!(input("0"), None);
}

#[test]
fn the_source_is_the_users_else_the_platforms() {
    let source = |pairs: &[(&str, &str)]| loaded(pairs, Face::Entrypoint).logs.source;
    assert_eq!(source(&[("DD_SOURCE", "NodeJS")]), "nodejs");
    assert_eq!(source(&[("K_SERVICE", "s")]), "cloudrun");
    assert_eq!(source(&[("CLOUD_RUN_JOB", "j")]), "cloudrun");
    assert_eq!(source(&[("CONTAINER_APP_NAME", "a")]), "containerapp");
    assert_eq!(source(&[("WEBSITE_STACK", "NODE")]), "appservice");
    assert_eq!(source(&[]), "lastlight");
}

#[test]
fn l104_an_instance_of_app_service_follows_the_files_of_its_own_name() {
    let on = ("DD_AAS_INSTANCE_LOGGING_ENABLED", "true");
    let files = |pairs: &[(&str, &str)]| {
        let mut all = vec![("DD_LOGS_ENABLED", "true")];
        all.extend(pairs);
        loaded(&all, Face::Sidecar).logs.files
    };
    let pattern = |text: &str| Some(FilePattern { pattern: text.to_owned(), positions: None });
    assert_eq!(files(&[("DD_SERVERLESS_LOG_PATH", "/var/log/*.log")]), pattern("/var/log/*.log"));
    let own = [on, ("COMPUTERNAME", "ln0x"), ("DD_SERVERLESS_LOG_PATH", "/var/log/*.log")];
    assert_eq!(files(&own), pattern("/home/LogFiles/*ln0x*.log"));
    let described = [on, ("COMPUTERNAME", "ln0x"), ("DD_AAS_INSTANCE_LOG_FILE_DESCRIPTOR", "_default")];
    assert_eq!(files(&described), pattern("/home/LogFiles/*ln0x*_default.log"));
    assert_eq!(files(&[on]), None, "without the instance's name");
    let kept = [("DD_SERVERLESS_LOG_PATH", "/a"), ("LASTLIGHT_LOG_POSITIONS", "/p")];
    assert_eq!(files(&kept).unwrap().positions, Some(PathBuf::from("/p")));
}

#[test]
fn logs_go_to_the_site_to_a_place_or_to_a_worker() {
    let url = |pairs: &[(&str, &str)]| loaded(pairs, Face::Agent).endpoints.logs.main.url.as_str().to_owned();
    assert_eq!(url(&[("DD_SITE", "datadoghq.eu")]), "https://http-intake.logs.datadoghq.eu/api/v2/logs");
    let place = "DD_LOGS_CONFIG_LOGS_DD_URL";
    assert_eq!(url(&[(place, "logs.example.com:443")]), "https://logs.example.com:443/api/v2/logs");
    assert_eq!(url(&[(place, "http://127.0.0.1:9/x")]), "http://127.0.0.1:9/x");
    let worker = [
        ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "true"),
        ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL", "http://worker:8282"),
        ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", r#"[{"api_key":"k","Host":"h.example.com"}]"#),
    ];
    let config = loaded(&worker, Face::Agent);
    assert_eq!(config.endpoints.logs.main.url.as_str(), "http://worker:8282/api/v2/logs");
    assert!(config.endpoints.logs.additional.is_empty());
    assert_eq!(config.logs.compression.kind, crate::config::CompressionKind::None);
    let error = load(&worker[..1], Face::Agent).unwrap_err().to_string();
    assert!(error.contains("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL"), "{error}");
}

#[test]
fn further_places_have_keys_that_are_never_shown() {
    let name = "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS";
    let given =
        r#"[{"api_key":"abcdef0123456789","Host":"logs.example.com","Port":10516,"is_reliable":true}]"#;
    let config = loaded(&[(name, given)], Face::Agent);
    let [place] = &config.endpoints.logs.additional[..] else { panic!("one place") };
    assert_eq!(place.url.as_str(), "https://logs.example.com:10516/api/v2/logs");
    let said = config.said.iter().find(|said| said.setting.name() == name).unwrap();
    assert!(!said.shown().contains("abcdef"), "{}", said.shown());
    for (bad, why) in [
        ("{}", "array"),
        (r#"[{"api_key":"k"}]"#, "Host"),
        (r#"[{"Host":"h.example.com"}]"#, "api_key"),
        (r#"[{"Host":"h.example.com","api_key":"k","Port":0}]"#, "Port"),
    ] {
        let error = load(&[(name, bad)], Face::Agent).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_bad_rule_is_an_error_with_its_place() {
    let rules = |text: &str| load(&[("DD_LOGS_CONFIG_PROCESSING_RULES", text)], Face::Agent);
    let sound = r#"[{"type":"mask_sequences","name":"n","pattern":"a+","replace_placeholder":"b"}]"#;
    assert_eq!(rules(sound).unwrap().logs.rules.len(), 1);
    let error = rules(r#"[{"type":"exclude_at_match","name":"n","pattern":"("}]"#).unwrap_err().to_string();
    assert!(error.contains("rule 1"), "{error}");
    let error = rules(r#"[{"type":"nonsense","name":"n","pattern":"a"}]"#).unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn a_stop_takes_a_second_less_than_the_platform_gives() {
    let timeout = |pairs: &[(&str, &str)]| loaded(pairs, Face::Entrypoint).stop_timeout.as_secs();
    assert_eq!(timeout(&[]), 9);
    assert_eq!(timeout(&[("K_SERVICE", "s")]), 9);
    assert_eq!(timeout(&[("CONTAINER_APP_NAME", "a")]), 29);
    assert_eq!(timeout(&[("WEBSITE_STACK", "NODE"), ("WEBSITES_SHUTDOWN_TIMEOUT", "120")]), 119);
    assert_eq!(timeout(&[("CONTAINER_APP_NAME", "a"), ("LASTLIGHT_STOP_TIMEOUT", "3s")]), 3);
}

#[test]
fn around_a_program_the_unified_tags_of_metrics_are_in_lower_case_too() {
    let pairs = [("DD_ENV", "Prod"), ("DD_SERVICE", "Shop"), ("DD_VERSION", "V1")];
    let tags = |face| {
        let metrics = loaded(&pairs, face).dogstatsd.metrics;
        [metrics.env, metrics.service, metrics.version].map(Option::unwrap)
    };
    assert_eq!(tags(Face::Entrypoint), ["prod", "shop", "v1"]);
    assert_eq!(tags(Face::Agent), ["Prod", "Shop", "V1"]);
}
