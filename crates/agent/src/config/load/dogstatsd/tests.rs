use crate::config::source::Fixed;
use crate::config::table;
use crate::config::{
    Config, ConfigError, ConfigErrors, DogStatsD, Endpoints, EolRequired, SocketAddress, Source, UdpAddress,
};
use crate::platform::{Face, Platform, Probe};
use pipeline::metrics::{Aggregates, MetricsConfig};
use proptest::prelude::*;

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let strings: Fixed = pairs.iter().copied().collect();
    Config::load_for(&strings, Face::Agent, &Probe { hostname: Some("box".into()) })
}

fn whole(pairs: &[(&str, &str)]) -> Config {
    load(pairs).unwrap_or_else(|errors| panic!("{pairs:?}: {errors}"))
}

fn loaded(pairs: &[(&str, &str)]) -> DogStatsD {
    whole(pairs).dogstatsd
}

fn metrics(pairs: &[(&str, &str)]) -> MetricsConfig {
    loaded(pairs).metrics
}

fn errors(pairs: &[(&str, &str)]) -> Vec<ConfigError> {
    match load(pairs) {
        Ok(_) => panic!("{pairs:?} was accepted"),
        Err(errors) => errors.0,
    }
}

fn addresses(pairs: &[(&str, &str)]) -> Vec<String> {
    let udp = loaded(pairs).udp;
    let one = |udp: &UdpAddress| {
        let fallback = udp.fallback.map(|address| format!(" or {address}")).unwrap_or_default();
        format!("{}{}{fallback}", udp.address, if udp.optional { "?" } else { "" })
    };
    udp.iter().map(one).collect()
}

#[test]
fn without_a_word_everything_is_as_the_pipeline_and_the_reference_have_it() {
    let ours = loaded(&[]);
    let mut expected = DogStatsD::default();
    expected.metrics.hostname = "box".into();
    assert_eq!(format!("{ours:?}"), format!("{expected:?}"));
    assert_eq!(ours.datagram_max_bytes, 8192);
    assert_eq!(ours.udp, UdpAddress::loopback(8125));
}

#[test]
fn udp_listens_on_loopback_of_both_families_unless_told_otherwise() {
    for (pairs, expected) in [
        (&[][..], &["127.0.0.1:8125", "[::1]:8125?"][..]),
        (&[("DD_DOGSTATSD_PORT", "9125")], &["127.0.0.1:9125", "[::1]:9125?"]),
        (&[("DD_BIND_HOST", "localhost")], &["127.0.0.1:8125", "[::1]:8125?"]),
        (&[("DD_BIND_HOST", "127.0.0.1")], &["127.0.0.1:8125"]),
        (&[("DD_BIND_HOST", "::1")], &["[::1]:8125"]),
        (&[("DD_BIND_HOST", "10.0.0.1")], &["10.0.0.1:8125"]),
        (&[("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "true")], &["[::]:8125 or 0.0.0.0:8125"]),
        (
            &[("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "1"), ("DD_BIND_HOST", "10.0.0.1")],
            &["[::]:8125 or 0.0.0.0:8125"],
        ),
        // That one is about traces.
        (&[("DD_APM_NON_LOCAL_TRAFFIC", "true")], &["127.0.0.1:8125", "[::1]:8125?"]),
        (&[("DD_DOGSTATSD_PORT", "0")], &[]),
        (&[("DD_DOGSTATSD_PORT", "0"), ("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "1")], &[]),
    ] {
        assert_eq!(addresses(pairs), expected, "{pairs:?}");
    }
    assert_eq!(whole(&[("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "1")]).receiver.bind.to_string(), "127.0.0.1");
}

#[test]
fn sockets_and_pipes_stand_beside_udp() {
    let all = loaded(&[
        ("DD_DOGSTATSD_SOCKET", "unix:///run/dsd.socket"),
        ("DD_DOGSTATSD_STREAM_SOCKET", "@dsd"),
        ("DD_DOGSTATSD_PIPE_NAME", r"\\.\pipe\dsd"),
    ]);
    assert_eq!(all.socket, Some(SocketAddress::File("/run/dsd.socket".into())));
    assert_eq!(all.stream_socket, Some(SocketAddress::Abstract("dsd".into())));
    assert_eq!(all.pipe_name.as_deref(), Some("dsd"));
    assert_eq!(all.udp.len(), 2);
    assert_eq!(errors(&[("DD_DOGSTATSD_WINDOWS_PIPE_NAME", r"\\.\pipe\")]).len(), 1);
}

#[test]
fn two_listeners_at_one_place_are_refused() {
    for (pairs, variable) in [
        (
            &[("DD_DOGSTATSD_SOCKET", "/run/x"), ("DD_APM_RECEIVER_SOCKET", "unix:///run/x")][..],
            "DD_DOGSTATSD_SOCKET",
        ),
        (
            &[("DD_DOGSTATSD_STREAM_SOCKET", "@x"), ("DD_APM_RECEIVER_SOCKET", "@x")],
            "DD_DOGSTATSD_STREAM_SOCKET",
        ),
        (
            &[("DD_DOGSTATSD_STREAM_SOCKET", "/run/x"), ("DD_DOGSTATSD_SOCKET", "/run/x")],
            "DD_DOGSTATSD_STREAM_SOCKET",
        ),
        (&[("DD_DOGSTATSD_PIPE_NAME", "X"), ("DD_APM_WINDOWS_PIPE_NAME", "x")], "DD_DOGSTATSD_PIPE_NAME"),
    ] {
        let errors = errors(pairs);
        assert_eq!(errors.len(), 1, "{pairs:?}: {errors:?}");
        assert_eq!(errors[0].variable, variable);
        assert!(errors[0].why.contains("is the same"), "{}", errors[0]);
        // What does not listen is in nobody's way.
        let off: Vec<_> = pairs.iter().copied().chain([("DD_USE_DOGSTATSD", "false")]).collect();
        assert!(load(&off).is_ok(), "{off:?}");
    }
    // A file and an abstract name are two places, and so are one port of UDP and of TCP.
    assert!(load(&[("DD_DOGSTATSD_SOCKET", "/x"), ("DD_DOGSTATSD_STREAM_SOCKET", "@/x")]).is_ok());
    assert!(load(&[("DD_DOGSTATSD_PORT", "8126")]).is_ok());
}

#[test]
fn metrics_need_some_way_in_and_http_is_one() {
    let no_port = ("DD_DOGSTATSD_PORT", "0");
    assert!(load(&[no_port]).is_ok(), "the receiver takes them over HTTP");
    let neither = [no_port, ("DD_APM_RECEIVER_ENABLED", "false")];
    let error = &errors(&neither)[0];
    assert!(error.to_string().contains("DD_DOGSTATSD_PORT=0: no transport is left"), "{error}");
    for way in [("DD_DOGSTATSD_SOCKET", "@x"), ("DD_USE_DOGSTATSD", "false")] {
        let pairs: Vec<_> = neither.iter().copied().chain([way]).collect();
        assert!(load(&pairs).is_ok(), "{way:?}");
    }
}

#[test]
fn sizes_have_bounds() {
    let sizes = loaded(&[("DD_DOGSTATSD_BUFFER_SIZE", "65507"), ("DD_DOGSTATSD_SO_RCVBUF", "1MiB")]);
    assert_eq!((sizes.datagram_max_bytes, sizes.receive_buffer_bytes), (65_507, Some(1 << 20)));
    assert_eq!(loaded(&[("DD_DOGSTATSD_SO_RCVBUF", "0")]).receive_buffer_bytes, None);
    for (name, text) in [
        ("DD_DOGSTATSD_PORT", "65536"),
        ("DD_DOGSTATSD_BUFFER_SIZE", "65536"),
        ("DD_DOGSTATSD_BUFFER_SIZE", "0"),
        ("DD_DOGSTATSD_SO_RCVBUF", "-1"),
        ("DD_DOGSTATSD_SO_RCVBUF", "2GiB"),
        ("DD_DOGSTATSD_EXPIRY_SECONDS", "-1"),
        ("DD_DOGSTATSD_CONTEXT_EXPIRY_SECONDS", "0"),
        ("LASTLIGHT_METRIC_CONTEXTS", "10"),
    ] {
        assert_eq!(errors(&[(name, text)])[0].variable, name, "{text}");
    }
}

#[test]
fn lists_come_with_spaces_commas_or_as_json() {
    for text in ["udp named_pipe", "UDP,named_pipe", "[\"udp\", \"named_pipe\"]", "udp, named_pipe udp"] {
        let eol = loaded(&[("DD_DOGSTATSD_EOL_REQUIRED", text)]).eol_required;
        assert_eq!(eol, EolRequired { udp: true, uds: false, named_pipe: true }, "{text}");
    }
    for text in ["a.b c", "a.b,c", "[\"a.b\",\"c\"]", " a.b ,\tc "] {
        assert_eq!(metrics(&[("DD_STATSD_METRIC_BLOCKLIST", text)]).blocklist, ["a.b", "c"], "{text}");
        let names = metrics(&[("DD_STATSD_METRIC_NAMESPACE_BLACKLIST", text)]).namespace_exclusions;
        assert_eq!(names, ["a.b", "c"], "{text}");
    }
    assert!(metrics(&[("DD_STATSD_METRIC_NAMESPACE_BLACKLIST", "[]")]).namespace_exclusions.is_empty());
    for text in ["tcp", "udp tcp", "[\"udp\",1]", "[\"udp\"", "[{}]", "[\"\"]"] {
        let error = &errors(&[("DD_DOGSTATSD_EOL_REQUIRED", text)])[0];
        assert!(error.to_string().contains("allowed: udp, uds, named_pipe"), "{error}");
    }
}

#[test]
fn histograms_become_what_was_asked_for() {
    let asked = metrics(&[
        ("DD_HISTOGRAM_AGGREGATES", "min,sum"),
        ("DD_HISTOGRAM_PERCENTILES", "0.5 .95 0.99 0.950"),
        ("DD_HISTOGRAM_COPY_TO_DISTRIBUTION", "true"),
        ("DD_HISTOGRAM_COPY_TO_DISTRIBUTION_PREFIX", "dist."),
    ]);
    assert_eq!(asked.aggregates, Aggregates { min: true, sum: true, ..Aggregates::NONE });
    assert_eq!(asked.percentiles, [50, 95, 99]);
    assert!(asked.copy_to_distribution);
    assert_eq!(asked.copy_prefix, "dist.");
    let none = metrics(&[("DD_HISTOGRAM_AGGREGATES", "[]"), ("DD_HISTOGRAM_PERCENTILES", "[]")]);
    assert_eq!((none.aggregates, none.percentiles), (Aggregates::NONE, Vec::new()));
    assert_eq!(metrics(&[("DD_HISTOGRAM_PERCENTILES", "[\"0.9\", 0.29]")]).percentiles, [90, 29]);
    for text in ["0", "1", "95", "0.999", "-0.5", "NaN", "p95", "0.95 0.999", "1e-3", "inf"] {
        let error = &errors(&[("DD_HISTOGRAM_PERCENTILES", text)])[0];
        assert!(error.to_string().contains("allowed: numbers from 0.01 to 0.99"), "{error}");
    }
    assert!(errors(&[("DD_HISTOGRAM_AGGREGATES", "max p95")])[0].why.contains("\"p95\""));
}

#[test]
fn a_namespace_is_the_beginning_of_a_name() {
    for (text, namespace) in [("shop", "shop."), ("shop.", "shop."), ("A_1.b", "A_1.b.")] {
        assert_eq!(metrics(&[("DD_STATSD_METRIC_NAMESPACE", text)]).namespace, namespace);
    }
    for text in ["1shop", ".shop", "_a", "sh-op", "shop team", "café"] {
        let error = &errors(&[("DD_STATSD_METRIC_NAMESPACE", text)])[0];
        assert!(error.allowed.contains("a letter first"), "{error}");
    }
}

#[test]
fn l54_what_the_user_says_of_the_program_is_on_its_metrics() {
    let config = metrics(&[
        ("DD_TAGS", "team:b bare"),
        ("DD_EXTRA_TAGS", "team:c"),
        ("DD_DOGSTATSD_TAGS", "only:metrics,team:b,url:http://a:80/x,:nothing"),
        ("DD_ENV", "prod"),
        ("DD_SERVICE", "shop"),
        ("DD_VERSION", "1.2"),
    ]);
    assert_eq!(config.tags, ["team:b", "bare", "team:c", "only:metrics", "url:http://a:80/x"]);
    let unified = [config.env, config.service, config.version];
    assert_eq!(unified.map(Option::unwrap_or_default), ["prod", "shop", "1.2"]);
    let warned = whole(&[("DD_DOGSTATSD_TAGS", "[\":x\",\"a:b c\"]")]);
    assert_eq!(warned.dogstatsd.metrics.tags, ["a:b c"]);
    assert_eq!(warned.warnings, ["DD_DOGSTATSD_TAGS: \":x\" has no key and is left out"]);
}

#[test]
fn a_bad_mapper_rule_stops_the_start() {
    let good = r#"[{"name":"jobs","prefix":"job.","mappings":[
        {"match":"job.*.time","name":"job.time","tags":{"job":"$1"}},
        {"match":"^job\\.(\\w+)$","match_type":"regex","name":"job"}]}]"#;
    assert_eq!(metrics(&[("DD_DOGSTATSD_MAPPER_PROFILES", good)]).mapper.len(), 1);
    let rule = |rule: &str| format!(r#"[{{"name":"jobs","prefix":"job.","mappings":[{rule}]}}]"#);
    for (text, why) in [
        ("no JSON".to_owned(), "JSON"),
        (r#"[{"prefix":"a","mappings":[]}]"#.into(), "name"),
        (r#"[{"name":"a","prefix":"","mappings":[]}]"#.into(), "prefix"),
        (r#"[{"name":"","prefix":"a","mappings":[]}]"#.into(), "name"),
        (r#"[{"name":"a","prefix":"a","mapping":[]}]"#.into(), "mapping"),
        (rule(r#"{"match":"a","name":"b","match_type":"glob"}"#), "glob"),
        (rule(r#"{"match":"","name":"b"}"#), "match"),
        (rule(r#"{"match":"a","name":""}"#), "name"),
        (rule(r#"{"match":"a b","name":"b"}"#), "a b"),
        (rule(r#"{"match":"a.**","name":"b"}"#), "**"),
        (rule(r#"{"match":"(","name":"b","match_type":"regex"}"#), "regular expression"),
        (rule(r#"{"match":"ok","name":"b"},{"match":"a","name":"b","tags":{"":"x"}}"#), "mapping 2"),
    ] {
        let error = &errors(&[("DD_DOGSTATSD_MAPPER_PROFILES", &text)])[0];
        assert!(error.why.contains(why), "{text}: {error}");
        assert!(error.allowed.contains("a JSON array such as"), "{error}");
    }
    // The example the error gives is one that works.
    let allowed = table::DD_DOGSTATSD_MAPPER_PROFILES.kind.allowed();
    let example = &allowed[allowed.find('[').unwrap()..=allowed.rfind(']').unwrap()];
    assert_eq!(metrics(&[("DD_DOGSTATSD_MAPPER_PROFILES", example)]).mapper.len(), 1, "{example}");
}

#[test]
fn instances_are_told_apart_where_no_host_does_it() {
    let serverless = ("K_SERVICE", "s");
    for (pairs, expected, how) in [
        (&[][..], false, "there is a host name"),
        (&[serverless], true, "there is no host name"),
        (&[("DD_HOSTNAME", "none")], true, "there is no host name"),
        (&[("DD_HOSTNAME", "web-1"), serverless], false, "there is a host name"),
    ] {
        let config = whole(pairs);
        assert_eq!(config.dogstatsd.instance_tag, expected, "{pairs:?}");
        let setting = "LASTLIGHT_METRIC_INSTANCE_TAG";
        let said = config.said.iter().find(|said| said.setting.name() == setting).unwrap();
        assert_eq!((said.shown(), said.source.to_string()), (expected.to_string(), how.into()));
    }
    assert!(loaded(&[("LASTLIGHT_METRIC_INSTANCE_TAG", "true")]).instance_tag);
    assert!(!loaded(&[("LASTLIGHT_METRIC_INSTANCE_TAG", "False"), serverless]).instance_tag);
    assert_eq!(errors(&[("LASTLIGHT_METRIC_INSTANCE_TAG", "perhaps")]).len(), 1);
    let meaning = table::LASTLIGHT_METRIC_INSTANCE_TAG.meaning;
    assert!(meaning.contains("one series for each series and instance"), "the cost is told");
}

#[test]
fn the_rest_is_passed_on() {
    let config = metrics(&[
        ("K_SERVICE", "s"),
        ("DD_METRIC_FILTERLIST", "new"),
        ("DD_STATSD_METRIC_BLOCKLIST", "old"),
        ("DD_STATSD_METRIC_BLOCKLIST_MATCH_PREFIX", "true"),
        ("DD_DOGSTATSD_EXPIRY_SECONDS", "60"),
        ("DD_DOGSTATSD_CONTEXT_EXPIRY_SECONDS", "30"),
        ("LASTLIGHT_METRIC_CONTEXTS", "5000"),
    ]);
    assert_eq!(config.blocklist, ["new"], "the newer name wins");
    assert!(config.blocklist_match_prefix);
    assert_eq!((config.expiry_seconds, config.context_expiry_seconds), (60, 30));
    assert_eq!(config.contexts_max, 5000);
    assert_eq!(config.origin, Platform::CloudRunService.metric_origin());
    assert_eq!((config.hostname.as_str(), config.instance_tag), ("", None));
}

#[test]
fn metrics_and_events_go_where_the_variables_say() {
    let site = whole(&[("DD_SITE", "datadoghq.eu")]);
    assert_eq!(site.endpoints, Endpoints::of_site("datadoghq.eu"));
    let said = site.said.iter().find(|said| said.setting.name() == "DD_DD_URL").unwrap();
    assert_eq!(
        (said.shown().as_str(), &said.source),
        ("https://api.datadoghq.eu", &Source::Derived("from DD_SITE".into()))
    );
    let urls = |pairs| {
        let Endpoints { metrics, events, .. } = whole(pairs).endpoints;
        (metrics.main.url.to_string(), events.main.url.to_string())
    };
    let proxy = ("http://127.0.0.1:9/p".to_owned(), "http://127.0.0.1:9/p".to_owned());
    assert_eq!(urls(&[("DD_URL", "http://127.0.0.1:9/p/")]), proxy);
    assert_eq!(urls(&[("DD_DD_URL", "http://127.0.0.1:9/p"), ("DD_URL", "http://other")]), proxy);
    let both =
        whole(&[("DD_ADDITIONAL_ENDPOINTS", r#"{"https://app.datadoghq.eu/":["key-one","key-two"]}"#)]);
    let Endpoints { metrics, events, traces, .. } = both.endpoints;
    assert_eq!(metrics.additional.len(), 2);
    assert_eq!(metrics.additional[0].url.as_str(), "https://app.datadoghq.eu");
    assert_eq!(metrics.additional[1].api_key.as_ref().unwrap().expose(), "key-two");
    assert_eq!(metrics.additional, events.additional);
    assert!(traces.additional.is_empty(), "those have DD_APM_ADDITIONAL_ENDPOINTS");
}

proptest! {
    #[test]
    fn any_list_is_what_was_written(words in prop::collection::vec("[a-z0-9.:_-]{1,8}", 0..6)) {
        let json = serde_json::to_string(&words).unwrap();
        let mut texts = vec![json];
        if !words.is_empty() {
            texts.extend([words.join(" "), words.join(","), words.join(" ,\t")]);
        }
        for text in texts {
            prop_assert_eq!(crate::config::parse::word_list(&text), Ok(words.clone()), "{}", text);
        }
    }

    #[test]
    fn whole_percents_are_read_back_and_nothing_else(percent in 1_u8..=99, thousandth in 1_u32..1000) {
        let share = f64::from(percent) / 100.0;
        prop_assert_eq!(crate::config::parse::percentiles(&share.to_string()), Ok(vec![percent]));
        let text = format!("0.{thousandth:03}");
        let read = crate::config::parse::percentiles(&text);
        prop_assert_eq!(read.is_ok(), thousandth % 10 == 0, "{}", text);
    }

    #[test]
    fn parsers_of_metrics_never_panic(text in "[\\[\\]{}\",:a-z0-9. *()]{0,40}") {
        drop(crate::config::parse::word_list(&text));
        drop(crate::config::parse::percentiles(&text));
        drop(crate::config::parse::mapper_profiles(&text));
        drop(crate::config::parse::metric_namespace(&text));
    }
}
