use super::source::Fixed;
use super::*;
use crate::forward::proxy::Proxy;
use crate::forward::tls::MinimumTls;
use crate::platform::Probe;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let strings: Fixed = pairs.iter().copied().collect();
    Config::load_for(&strings, Face::Agent, &Probe { hostname: Some("box".into()) })
}

fn loaded(pairs: &[(&str, &str)]) -> Config {
    load(pairs).unwrap_or_else(|errors| panic!("{pairs:?}: {errors}"))
}

fn errors(pairs: &[(&str, &str)]) -> Vec<ConfigError> {
    match load(pairs) {
        Ok(_) => panic!("{pairs:?} was accepted"),
        Err(errors) => errors.0,
    }
}

#[test]
fn without_a_word_everything_is_the_references_default() {
    let config = loaded(&[]);
    assert_eq!(config.api_key, None);
    assert_eq!(config.site, "datadoghq.com");
    assert_eq!(config.identity, Identity { hostname: "box".into(), ..Identity::default() });
    assert_eq!(
        config.receiver,
        Receiver {
            enabled: true,
            port: Some(8126),
            bind: "127.0.0.1".parse().unwrap(),
            socket: None,
            pipe_name: None,
            body_max_bytes: model::limits::REQUEST_BODY_MAX_BYTES,
            read_timeout: Duration::from_secs(5),
            connections_max: 2000,
        }
    );
    assert_eq!(config.stats, StatsMode { computed_here: true, client_drop_p0s: true });
    assert_eq!(config.endpoints, Endpoints::of_site("datadoghq.com"));
    assert_eq!(config.compression, Compression { kind: CompressionKind::Zstd, level: 1 });
    assert_eq!(config.flush_period, Duration::from_secs(1));
    assert_eq!(format!("{:?}", config.proxy), format!("{:?}", ProxySettings::default()));
    assert_eq!(format!("{:?}", config.tls), format!("{:?}", TlsSettings::default()));
    assert_eq!(config.memory_bytes, model::limits::MEMORY_DEFAULT_BYTES);
    assert_eq!(config.stop_timeout, Duration::from_secs(9));
    assert!(!config.strict_exit && !config.exit_with_parent);
    assert_eq!(config.log_level, log::LevelFilter::Info);
    assert_eq!(config.warnings, [] as [String; 0]);
    assert!(config.said.iter().all(|said| !matches!(said.source, Source::Variable(_))));
}

#[test]
fn the_processing_defaults_are_the_pipelines() {
    // The pipeline documents the reference's defaults; the table must not drift from them.
    let ours = loaded(&[]).process;
    assert_eq!(ours.env, "none");
    assert_eq!(
        format!("{:?}", ours.obfuscation),
        format!("{:?}", pipeline::config::ObfuscationConfig::default())
    );
    assert_eq!(format!("{:?}", ours.sampling), format!("{:?}", pipeline::config::SamplingConfig::default()));
    assert_eq!(format!("{:?}", ours.stats), format!("{:?}", pipeline::config::StatsConfig::default()));
    assert_eq!(format!("{:?}", ours.rules), format!("{:?}", pipeline::config::Rules::default()));
    assert_eq!(ours.root_tags, []);
}

#[test]
fn every_setting_of_the_table_is_read_exactly_once_in_its_order() {
    let said: Vec<&str> = loaded(&[]).said.iter().map(|said| said.setting.name()).collect();
    let table: Vec<&str> = table::all().map(Setting::name).collect();
    assert_eq!(said, table);
}

/// A text no setting of this kind accepts; `None` where everything is fine.
fn nonsense(kind: table::Kind) -> Option<&'static str> {
    use table::Kind;
    Some(match kind {
        Kind::Text | Kind::LogLevel | Kind::Tags | Kind::Words => return None,
        Kind::Secret => "kéy",
        Kind::List | Kind::JsonList | Kind::TagList | Kind::MetricNames => "[1",
        Kind::MapperProfiles => "[{}]",
        Kind::TagRules => "a :b",
        Kind::TagRegexRules => "a:(",
        Kind::Regexes => "ok,(",
        Kind::ReplaceRules => "[{\"name\":\"*\",\"pattern\":\"(\",\"repl\":\"?\"}]",
        Kind::EndpointMap => "{\"https://a.example\":[]}",
        Kind::CertificateFile => "/nowhere/roots.pem",
        Kind::Socket => "relative/path",
        Kind::UrlOrSite => "https://user:hunter2@a.example",
        Kind::Url => "a.example",
        _ => "nonsense value",
    })
}

#[test]
fn every_bad_value_is_an_error_that_names_its_variable_the_value_and_what_is_allowed() {
    for setting in table::all() {
        let Some(text) = nonsense(setting.kind) else { continue };
        for name in setting.names {
            let errors = errors(&[(name, text)]);
            assert_eq!(errors.len(), 1, "{name}: {errors:?}");
            let error = &errors[0];
            assert_eq!(error.variable, *name);
            assert!(!error.why.is_empty(), "{name}");
            assert_eq!(error.allowed, setting.kind.allowed(), "{name}");
            let line = error.to_string();
            assert!(line.starts_with(&format!("{name}=")) && line.contains("allowed: "), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }
}

#[test]
fn all_bad_values_are_told_at_once() {
    let all: Vec<(&str, &str)> =
        table::all().filter_map(|setting| Some((setting.name(), nonsense(setting.kind)?))).collect();
    assert!(all.len() > 60);
    let named: BTreeSet<String> = errors(&all).into_iter().map(|error| error.variable).collect();
    assert_eq!(named, all.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (name, text) in [
        ("DD_APM_RECEIVER_PORT", "65536"),
        ("DD_APM_RECEIVER_PORT", "-1"),
        ("LASTLIGHT_MEMORY", "1MiB"),
        ("LASTLIGHT_MEMORY", "64 potatoes"),
        ("LASTLIGHT_STOP_TIMEOUT", "-3"),
        ("LASTLIGHT_STOP_TIMEOUT", "2h"),
        ("LASTLIGHT_STOP_TIMEOUT", "5 parsecs"),
        ("DD_APM_TARGET_TPS", "NaN"),
        ("DD_APM_TARGET_TPS", "-1"),
        ("DD_APM_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE", "101"),
        ("DD_APM_MAX_CONNECTIONS", "0"),
        ("DD_APM_CONFIG_COMPRESSION_LEVEL", "23"),
    ] {
        assert_eq!(errors(&[(name, text)])[0].variable, name, "{text}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let error = &errors(&[("LASTLIGHT_COMPRESSION", "gzip"), ("DD_APM_CONFIG_COMPRESSION_LEVEL", "19")])[0];
    assert!(error.to_string().contains("DD_APM_CONFIG_COMPRESSION_LEVEL=19: gzip"), "{error}");
    let error = &errors(&[("DD_APM_RECEIVER_PORT", "0")])[0];
    assert!(error.to_string().contains("DD_APM_RECEIVER_SOCKET"), "{error}");
    let error = &errors(&[("LASTLIGHT_MEMORY", "32MiB"), ("DD_APM_MAX_PAYLOAD_SIZE", "40MiB")])[0];
    assert!(error.to_string().contains("LASTLIGHT_MEMORY"), "{error}");
    let config = loaded(&[("DD_APM_RECEIVER_PORT", "0"), ("DD_APM_RECEIVER_SOCKET", "@lastlight")]);
    assert_eq!(config.receiver.port, None);
    assert_eq!(config.receiver.socket, Some(SocketAddress::Abstract("lastlight".into())));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let empty: Vec<(&str, &str)> =
        table::all().flat_map(|setting| setting.names).map(|name| (*name, " ")).collect();
    assert_eq!(format!("{:?}", loaded(&empty).receiver), format!("{:?}", loaded(&[]).receiver));
}

#[test]
fn the_first_name_wins_and_the_other_is_warned_about() {
    let config = loaded(&[("DD_RECEIVER_PORT", "9000"), ("DD_APM_RECEIVER_PORT", "9001")]);
    assert_eq!(config.receiver.port, Some(9001));
    assert!(config.warnings[0].contains("DD_RECEIVER_PORT is ignored"), "{:?}", config.warnings);
    let config = loaded(&[("DD_RECEIVER_PORT", "9000")]);
    assert_eq!(config.receiver.port, Some(9000));
    let said = config.said.iter().find(|said| said.setting.name() == "DD_APM_RECEIVER_PORT").unwrap();
    assert_eq!((said.shown().as_str(), &said.source), ("9000", &Source::Variable("DD_RECEIVER_PORT")));
}

#[test]
fn who_may_connect() {
    for (pairs, bind) in [
        (&[("DD_APM_NON_LOCAL_TRAFFIC", "true")][..], "0.0.0.0"),
        (&[("DD_BIND_HOST", "::1")], "::1"),
        (&[("DD_BIND_HOST", "localhost")], "127.0.0.1"),
        (&[("DD_BIND_HOST", "10.0.0.1"), ("DD_APM_NON_LOCAL_TRAFFIC", "1")], "0.0.0.0"),
        (&[("DD_BIND_HOST", "10.0.0.1"), ("DD_APM_NON_LOCAL_TRAFFIC", "0")], "10.0.0.1"),
    ] {
        assert_eq!(loaded(pairs).receiver.bind.to_string(), bind, "{pairs:?}");
    }
    for (name, value) in [("DD_APM_ENABLED", "false"), ("DD_APM_RECEIVER_ENABLED", "off")] {
        assert!(!loaded(&[(name, value)]).receiver.enabled);
    }
}

#[test]
fn sockets_are_files_or_abstract_names() {
    let file = loaded(&[("DD_APM_RECEIVER_SOCKET", "unix:///var/run/datadog/apm.socket")]).receiver.socket;
    assert_eq!(file, Some(SocketAddress::File("/var/run/datadog/apm.socket".into())));
    let long = format!("/{}", "x".repeat(107));
    assert!(errors(&[("DD_APM_RECEIVER_SOCKET", &long)])[0].why.contains("108 bytes"));
    let pipe = loaded(&[("DD_APM_WINDOWS_PIPE_NAME", r"\\.\pipe\apm-1")]).receiver.pipe_name;
    assert_eq!(pipe.as_deref(), Some("apm-1"));
}

#[test]
fn l22_tags_keep_the_colons_of_their_values() {
    let config = loaded(&[
        ("DD_TAGS", "url:http://a:80/x,team:b  bare"),
        ("DD_EXTRA_TAGS", "team:c,:nothing,url:http://a:80/x"),
    ]);
    let tags: Vec<(&str, &str)> =
        config.identity.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(tags, [("url", "http://a:80/x"), ("team", "b"), ("bare", ""), ("team", "c")]);
    assert_eq!(config.warnings, ["DD_EXTRA_TAGS: \":nothing\" has no key and is left out"]);
}

#[test]
fn l68_a_log_level_that_is_none_is_info_and_a_warning_never_silence() {
    use log::LevelFilter;
    for (text, level) in [
        ("warning", LevelFilter::Warn),
        ("critical", LevelFilter::Error),
        ("", LevelFilter::Info),
        ("OFF", LevelFilter::Off),
        ("Debug", LevelFilter::Debug),
    ] {
        let config = loaded(&[("DD_LOG_LEVEL", text)]);
        assert_eq!(config.log_level, level, "{text}");
        assert!(config.warnings.is_empty(), "{text}");
    }
    let config = loaded(&[("DD_LOG_LEVEL", "chatty")]);
    assert_eq!(config.log_level, LevelFilter::Info);
    assert!(
        config.warnings[0].contains("DD_LOG_LEVEL=\"chatty\"") && config.warnings[0].contains("allowed: off")
    );
}

#[test]
fn l21_a_bad_replace_rule_stops_the_start() {
    for (text, why) in [
        ("not json", "JSON"),
        ("[{\"name\":\"\",\"pattern\":\"a\"}]", "rule 1"),
        ("[{\"name\":\"a\",\"pattern\":\"\"}]", "pattern"),
        ("[{\"name\":\"a\",\"pattern\":\"ok\"},{\"name\":\"a\",\"pattern\":\"(\"}]", "rule 2"),
        ("[{\"name\":\"a\"}]", "pattern"),
        ("[{\"name\":\"a\",\"pattern\":\"b\",\"replacement\":\"c\"}]", "replacement"),
    ] {
        let error = &errors(&[("DD_APM_REPLACE_TAGS", text)])[0];
        assert!(error.why.contains(why), "{text}: {error}");
    }
    let rules = loaded(&[("DD_APM_REPLACE_TAGS", "[{\"name\":\"*\",\"pattern\":\"a+\",\"repl\":\"?\"}]")])
        .process
        .rules;
    assert_eq!(rules.replace.len(), 1);
}

#[test]
fn rules_come_between_spaces_commas_or_as_json() {
    let rules = loaded(&[
        ("DD_APM_FILTER_TAGS_REJECT", "a:b c"),
        ("DD_APM_FILTER_TAGS_REQUIRE", "[\"k:v w\"]"),
        ("DD_APM_FILTER_TAGS_REGEX_REJECT", "url:^/health.*"),
        ("DD_APM_FILTER_TAGS_REGEX_REQUIRE", "[\"a:x{1,2}\"]"),
        ("DD_IGNORE_RESOURCE", "^GET /health$, \"a{1,2}\""),
    ])
    .process
    .rules;
    assert_eq!(rules.reject.len(), 2);
    assert_eq!(rules.require[0].value.as_deref(), Some("v w"));
    assert_eq!(rules.reject_regex[0].pattern.as_ref().unwrap().as_str(), "^/health.*");
    assert_eq!(rules.require_regex.len(), 1);
    let ignored: Vec<&str> = rules.ignore_resources.iter().map(regex::Regex::as_str).collect();
    assert_eq!(ignored, ["^GET /health$", "a{1,2}"]);
}

#[test]
fn l70_a_site_that_makes_no_url_stops_the_start() {
    for site in ["data doghq.com", "https://datadoghq.com", "datadoghq", "a..b", "-a.com", "dätadog.com"] {
        let error = &errors(&[("DD_SITE", site)])[0];
        assert!(error.allowed.contains("without https://"), "{error}");
    }
    assert_eq!(loaded(&[("DD_SITE", "US3.datadoghq.com.")]).site, "us3.datadoghq.com");
    assert!(loaded(&[("DD_SITE", "app.datadoghq.com")]).warnings[0].contains("without app."));
}

#[test]
fn endpoints_follow_their_variables() {
    let config = loaded(&[
        ("DD_SITE", "datadoghq.eu"),
        ("DD_APM_DD_URL", "http://127.0.0.1:9000/"),
        ("DD_APM_ADDITIONAL_ENDPOINTS", "{\"https://trace.agent.datadoghq.com/\":[\"key-one\",\"key-two\"]}"),
        ("DD_APM_PROFILING_DD_URL", "http://127.0.0.1:9000"),
        ("DD_APM_TELEMETRY_ENABLED", "false"),
        ("DD_APM_DEBUGGER_API_KEY", "debugger-key"),
        ("DD_EVP_PROXY_CONFIG_DD_URL", "http://127.0.0.1:9000/"),
        ("DD_OL_PROXY_CONFIG_ENABLED", "false"),
    ]);
    let traces = &config.endpoints.traces;
    assert_eq!(traces.main.url.join("/api/v0.2/traces"), "http://127.0.0.1:9000/api/v0.2/traces");
    assert_eq!(traces.additional.len(), 2);
    assert_eq!(traces.additional[1].url.as_str(), "https://trace.agent.datadoghq.com");
    assert_eq!(traces.additional[1].api_key.as_ref().unwrap().expose(), "key-two");
    assert_eq!(config.endpoints.profiling.main.url.as_str(), "http://127.0.0.1:9000/api/v2/profile");
    assert_eq!(config.endpoints.telemetry, None);
    assert_eq!(config.endpoints.debugger_logs.main.api_key.as_ref().unwrap().expose(), "debugger-key");
    assert_eq!(
        config.endpoints.debugger_logs.main.url.as_str(),
        "https://http-intake.logs.datadoghq.eu/api/v2/logs"
    );
    let evp = config.endpoints.evp.unwrap();
    assert_eq!(evp.target.base("any"), "http://127.0.0.1:9000");
    assert_eq!(config.endpoints.openlineage, None);
}

#[test]
fn errors_about_keys_tell_no_key() {
    for text in [
        "{\"https://a.example\":[\"hunter2hunter2hunter2\"",
        "{\"https://a.example\":[\"hunter2 hunter2 hunter2\"]}",
        "{\"not a url\":[\"hunter2hunter2hunter2\"]}",
        "\"hunter2hunter2hunter2\"",
        "hunter2hunter2hunter2",
    ] {
        for error in
            errors(&[("DD_APM_ADDITIONAL_ENDPOINTS", text), ("DD_API_KEY", "hunter2 hunter2 hunter2")])
        {
            let line = error.to_string();
            assert!(!line.contains("hunter2"), "{line}");
        }
    }
    let config = loaded(&[("DD_API_KEY", "0123456789abcdef0123456789abcdef")]);
    assert!(
        !format!("{config:?}").contains("0123456789abcdef0123456789abcdef"),
        "Debug of Config tells the key"
    );
}

#[test]
fn a_missing_key_is_an_error_of_its_own_that_names_the_way_out() {
    let error = loaded(&[]).require_api_key().unwrap_err().to_string();
    assert!(error.starts_with("DD_API_KEY: ") && error.contains("lastlight dev"), "{error}");
    let config = loaded(&[("DD_API_KEY", " 0123456789abcdef0123456789abcdef ")]);
    assert_eq!(config.require_api_key().unwrap().expose(), "0123456789abcdef0123456789abcdef");
}

#[test]
fn a_value_that_is_no_text_is_reported_not_lost() {
    let strings = Fixed::new().with_unreadable("DD_SITE").with_unreadable("UNRELATED");
    let errors = Config::load_for(&strings, Face::Agent, &Probe::default()).unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(errors.to_string().starts_with("DD_SITE=(not UTF-8): its value is not text"), "{errors}");
}

#[test]
fn who_computes_stats() {
    for (pairs, computed_here, client_drop_p0s) in [
        (&[("DD_AGENT_STATS_COMPUTATION_ENABLED", "true")][..], true, false),
        (&[("DD_AGENT_STATS_COMPUTATION_ENABLED", "false")], false, true),
        (&[("DD_SERVERLESS_INIT_DISABLE_TRACE_STATS", "true")], false, true),
        (&[("DD_APM_PROBABILISTIC_SAMPLER_ENABLED", "true")], true, false),
    ] {
        let expected = StatsMode { computed_here, client_drop_p0s };
        assert_eq!(loaded(pairs).stats, expected, "{pairs:?}");
    }
}

#[test]
fn processing_follows_its_variables() {
    let process = loaded(&[
        ("DD_ENV", "prod"),
        ("DD_APM_ENV", "traces"),
        ("DD_APM_SQL_OBFUSCATION_MODE", "obfuscate_only"),
        ("DD_APM_OBFUSCATION_CACHE_ENABLED", "false"),
        ("DD_APM_OBFUSCATION_MONGODB_KEEP_VALUES", "a b"),
        ("DD_APM_OBFUSCATION_SQL_EXEC_PLAN_ENABLED", "true"),
        ("DD_APM_ENABLE_RARE_SAMPLER", "true"),
        ("DD_APM_PROBABILISTIC_SAMPLER_ENABLED", "true"),
        ("DD_APM_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE", "12.5"),
        ("DD_APM_PROBABILISTIC_SAMPLER_HASH_SEED", "4294967295"),
        ("DD_APM_FEATURES", "big_resource,probabilistic_sampler_full_trace_id,moonshine"),
        ("DD_APM_PEER_TAGS_AGGREGATION", "false"),
        ("DD_APM_PEER_TAGS", "[\"my.peer\"]"),
    ]);
    assert!(process.warnings.iter().any(|warning| warning.contains("\"moonshine\" has no effect")));
    let process = process.process;
    assert_eq!(process.env, "traces");
    assert_eq!(process.obfuscation.sql_mode, pipeline::config::SqlMode::ObfuscateOnly);
    assert_eq!(process.obfuscation.cache_max_bytes, 0);
    assert_eq!(process.obfuscation.mongodb.keep_values, ["a", "b"]);
    assert!(
        process.obfuscation.sql_exec_plan.enabled && !process.obfuscation.sql_exec_plan_normalize.enabled
    );
    assert!(process.sampling.rare.is_some() && process.big_resource);
    let probabilistic = process.sampling.probabilistic.unwrap();
    assert_eq!((probabilistic.percentage, probabilistic.hash_seed), (12.5, u32::MAX));
    assert!(probabilistic.full_trace_id);
    assert!(process.stats.peer_tags_aggregation, "either name switches it on");
    assert_eq!(process.stats.extra_peer_tags, ["my.peer"]);
}

#[test]
fn a_compat_layer_is_a_parent_to_exit_with() {
    assert!(loaded(&[("DD_SERVERLESS_COMPAT_VERSION", "1.0.0")]).exit_with_parent);
    let both = [("DD_SERVERLESS_COMPAT_VERSION", "1.0.0"), ("LASTLIGHT_EXIT_WITH_PARENT", "0")];
    assert!(!loaded(&both).exit_with_parent);
    assert!(loaded(&[("LASTLIGHT_EXIT_WITH_PARENT", "1")]).exit_with_parent);
}

#[test]
fn the_host_has_a_name_where_there_is_a_host() {
    assert_eq!(loaded(&[("DD_HOSTNAME", "web-1")]).identity.hostname, "web-1");
    assert_eq!(loaded(&[("DD_HOSTNAME", "none")]).identity.hostname, "");
    let config = loaded(&[("K_SERVICE", "s")]);
    assert_eq!(config.identity.hostname, "");
    let said = config.said.iter().find(|said| said.setting.name() == "DD_HOSTNAME").unwrap();
    assert_eq!(said.source.to_string(), "none on a serverless platform");
}

/// A self-signed certificate for nothing.
const ROOT: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBUzCCAQWgAwIBAgIUHiYwG3qGZfw6cYXqp3r59booTZgwBQYDK2VwMB4xHDAa\n\
BgNVBAMME2xhc3RsaWdodCB0ZXN0IHJvb3QwIBcNMjYxMTIxMDQ1NDIxWhgPMjEy\n\
NjEwMjgwNDU0MjFaMB4xHDAaBgNVBAMME2xhc3RsaWdodCB0ZXN0IHJvb3QwKjAF\n\
BgMrZXADIQDIHDhz+zSRPa8GHTS/noAL76rWHvZPreYKErHqzSsgFqNTMFEwHQYD\n\
VR0OBBYEFMJ7ESodDhj8JBSbiRKGrmB+bd3+MB8GA1UdIwQYMBaAFMJ7ESodDhj8\n\
JBSbiRKGrmB+bd3+MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EApYCUIFbazwyS\n\
IB2YN1U7cYXtRXtHHu9ZZpKFQxwd6islkfxgN/xntvshfkv/NrGHubMe6Z8SKllp\n\
L2tTBS3zAg==\n\
-----END CERTIFICATE-----\n";

#[test]
fn certificates_must_be_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots.pem");
    std::fs::write(&path, "no certificate here\n").unwrap();
    let error = &errors(&[("DD_TLS_CERT_FILE", path.to_str().unwrap())])[0];
    assert!(error.why.contains("no certificate"), "{error}");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = &errors(&[("DD_TLS_CERT_FILE", path.to_str().unwrap())])[0];
    assert!(error.why.contains("cannot be used"), "{error}");
    std::fs::write(&path, ROOT).unwrap();
    assert_eq!(loaded(&[("DD_TLS_CERT_FILE", path.to_str().unwrap())]).tls.cert_file, Some(path));
}

#[test]
fn tls_versions_and_proxies_are_read() {
    assert_eq!(loaded(&[("DD_MIN_TLS_VERSION", "TLSv1.3")]).tls.minimum, MinimumTls::Tls13);
    assert!(loaded(&[("DD_MIN_TLS_VERSION", "tlsv1.0")]).warnings[0].contains("oldest"));
    assert!(loaded(&[("DD_SKIP_SSL_VALIDATION", "true")]).warnings[0].contains("any certificate"));
    let config = loaded(&[
        ("https_proxy", "http://lower:1"),
        ("HTTPS_PROXY", "http://upper:1"),
        ("DD_PROXY_HTTPS", "http://user:hunter2@ours:1"),
        ("NO_PROXY", "a.example, b.example"),
    ]);
    assert_eq!(format!("{:?}", config.proxy.https), "Some(http://ours:1)");
    assert_eq!(config.proxy.no_proxy, ["a.example", "b.example"]);
    let said = config.said.iter().find(|said| said.setting.name() == "DD_PROXY_HTTPS").unwrap();
    assert_eq!(said.shown(), "http://****@ours:1");
    assert!(!format!("{:?}", config.warnings).contains("hunter2"));
}

#[test]
fn shown_values_are_short_and_carry_no_control_characters() {
    let long = "x".repeat(1000);
    let config = loaded(&[("DD_SERVICE", &long), ("DD_VERSION", "1\u{1b}[31m")]);
    let shown = |name: &str| config.said.iter().find(|said| said.setting.name() == name).unwrap().shown();
    assert_eq!(shown("DD_SERVICE").chars().count(), 201);
    assert_eq!(shown("DD_VERSION"), "1\\u{1b}[31m");
}

proptest! {
    #[test]
    fn no_value_of_any_variable_panics_or_goes_unnoticed(index in 0_usize..200, text in ".{0,40}") {
        let settings: Vec<&'static Setting> = table::all().collect();
        let setting = settings[index % settings.len()];
        let strings = Fixed::new().with(setting.name(), &text);
        match Config::load_for(&strings, Face::Agent, &Probe::default()) {
            Ok(_) => {}
            Err(errors) => prop_assert!(errors.0.iter().all(|error| error.variable == setting.name())),
        }
    }

    #[test]
    fn durations_in_go_notation_are_read_back(ms in 0_u64..3_600_000) {
        let (min, max) = (Duration::ZERO, Duration::from_secs(3600));
        let expected = Duration::from_millis(ms);
        for text in [format!("{ms}ms"), format!("{}s{}ms", ms / 1000, ms % 1000), format!("{}", ms as f64 / 1000.0)] {
            let read = parse::duration(&text, min, max).unwrap();
            prop_assert!(read.abs_diff(expected) < Duration::from_micros(1), "{} {:?}", text, read);
        }
    }

    #[test]
    fn bytes_with_units_are_read_back(count in 0_u64..1000) {
        for (unit, factor) in [("", 1), ("KB", 1000), ("KiB", 1024), ("mib", 1 << 20), (" GB", 1_000_000_000)] {
            prop_assert_eq!(parse::bytes(&format!("{count}{unit}"), 0, u64::MAX), Ok(count * factor));
        }
    }

    #[test]
    fn quoted_fields_survive(fields in prop::collection::vec("[a-z ,\"{}]{1,8}", 1..5)) {
        let trimmed: Vec<String> = fields.iter().map(|f| f.trim().to_owned()).filter(|f| !f.is_empty()).collect();
        let line: Vec<String> = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
        prop_assert_eq!(parse::csv(&line.join(",")), Ok(trimmed));
    }

    #[test]
    fn parsers_never_panic(text in ".{0,60}") {
        drop(parse::duration(&text, Duration::ZERO, Duration::MAX));
        drop(parse::bytes(&text, 0, u64::MAX));
        drop(parse::csv(&text));
        drop(parse::endpoint_map(&text));
        drop(parse::tags(&text));
        drop(parse::socket(&text));
        drop(Proxy::new(&text));
    }
}
