//! Tags, names and hosts.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn order_and_repetition_of_tags_do_not_matter(
        tags in prop::collection::vec("[abé:]{0,3}|device:a|dd.internal.card:x", 0..8), seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut aggregator = aggregator();
        send(&mut aggregator, "x", &tags.join(","), "c", &[1.0], 1.0);
        for _ in 0..12 {
            let mut other = tags.clone();
            other.extend(tags.iter().filter(|_| random.bool()).cloned());
            random.shuffle(&mut other);
            send(&mut aggregator, "x", &other.join(","), "c", &[1.0], 1.0);
        }
        prop_assert_eq!(aggregator.contexts(), 1);
        let told = all(&mut aggregator);
        prop_assert_eq!((told.len(), told[0].samples), (1, 13));
        prop_assert!(told[0].tags.is_sorted_by(|one, other| one < other));
    }
}

fn told_with(config: MetricsConfig, name: &str, tags: &str, letters: &str) -> Told {
    let mut aggregator = Aggregator::new(config, 1_000);
    send(&mut aggregator, name, tags, letters, &[1.0], 1.0);
    all(&mut aggregator).remove(0)
}

fn told(tags: &str, letters: &str) -> Told {
    told_with(MetricsConfig::default(), "x", tags, letters)
}

#[test]
fn l51_the_type_of_a_resource_comes_first_and_its_tag_goes() {
    let series = told("dd.internal.resource:aws_lb:arn:1,device:eth0,b,dd.internal.resource:broken", "c");
    let resources =
        [("aws_lb", "arn:1"), ("device", "eth0")].map(|(of, name)| (of.to_owned(), name.to_owned()));
    assert_eq!(series.resources, resources);
    assert_eq!(series.tags, ["b", "dd.internal.resource:broken"]);
    // The format of distributions has no resources.
    assert_eq!(told("device:eth0,b", "d").tags, ["b", "device:eth0"]);
}

#[test]
fn magic_tags_are_consumed() {
    let magic = "host:h1,dd.internal.entity_id:u,a:1,dd.internal.card:low,dd.internal.jmx_check_name:kafka";
    let series = told(magic, "c");
    assert_eq!((series.host.as_str(), series.tags), ("h1", vec!["a:1".to_owned()]));
    let config = || MetricsConfig { hostname: "own".into(), ..MetricsConfig::default() };
    assert_eq!(told_with(config(), "x", "a", "c").host, "own");
    assert_eq!(told_with(config(), "x", "host:,a", "c").host, "");
    assert_eq!(told_with(config(), "x", "hosting:a", "c").host, "own");
}

#[test]
fn l53_tags_are_sorted_and_then_told_once() {
    assert_eq!(told("b,a,c,a,b,,a", "c").tags, ["a", "b", "c"]);
    let mut aggregator = aggregator();
    for tags in ["b,a", "a,b", "a,b,a", "b,a,a,b", ",a,,b,"] {
        send(&mut aggregator, "x", tags, "c", &[1.0], 1.0);
    }
    assert_eq!(aggregator.contexts(), 1);
    let told = all(&mut aggregator);
    assert_eq!((told.len(), told[0].samples), (1, 5));
}

#[test]
fn more_spellings_than_are_remembered_are_still_one_context() {
    let mut aggregator = aggregator();
    let bytes = |aggregator: &Aggregator| aggregator.bytes();
    for at in 0..200 {
        send(&mut aggregator, "x", &format!("a{}", ",a".repeat(at)), "c", &[1.0], 1.0);
    }
    let held = bytes(&aggregator);
    for at in 200..1_000 {
        send(&mut aggregator, "x", &format!("a{}", ",a".repeat(at)), "c", &[1.0], 1.0);
    }
    assert_eq!((aggregator.contexts(), aggregator.bytes()), (1, held));
    let told = run_dry(&mut aggregator);
    assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), 1_000);
    assert!(aggregator.bytes() < 20_000);
}

#[test]
fn bytes_that_are_no_text_are_told_as_such() {
    let mut aggregator = aggregator();
    let key = Key { name: b"n\xff", tags: b"a\xfe,b", metric_type: MetricType::Count };
    let id = aggregator.context(&key).unwrap();
    aggregator.add(id, 1.0, 1.0).unwrap();
    let told = all(&mut aggregator);
    assert_eq!(
        (told[0].name.as_str(), &told[0].tags),
        ("n\u{FFFD}", &vec!["a\u{FFFD}".to_owned(), "b".to_owned()])
    );
}

#[test]
fn extra_tags_are_on_everything_and_no_context_of_their_own() {
    let config = MetricsConfig {
        tags: vec!["team:a".into(), "x".into()],
        env: Some("prod".into()),
        service: Some("web".into()),
        version: Some(String::new()),
        ..MetricsConfig::default()
    };
    let mut aggregator = Aggregator::new(config, 1_000);
    aggregator.set_platform_tags(vec!["region:eu".into(), "k".into()]);
    for tags in ["k", "k,team:a", "x,k,env:prod", "service:web,k", "region:eu"] {
        send(&mut aggregator, "m", tags, "c", &[1.0], 1.0);
    }
    // One of that key is there: it stays as it is, and ours is not added.
    send(&mut aggregator, "n", "env:dev", "d", &[1.0], 1.0);
    send(&mut aggregator, "o", "env:dev,env:prod", "d", &[1.0], 1.0);
    let told = all(&mut aggregator);
    assert_eq!(told[0].tags, ["env:prod", "k", "region:eu", "service:web", "team:a", "x"]);
    assert_eq!(told[0].samples, 5);
    assert_eq!(told[1].tags, ["env:dev", "k", "region:eu", "service:web", "team:a", "x"]);
    assert_eq!(told[2].tags, ["env:dev", "env:prod", "k", "region:eu", "service:web", "team:a", "x"]);
}

#[test]
fn tags_of_the_platform_that_become_known_late_are_on_what_was_there_before() {
    let mut aggregator = Aggregator::new(MetricsConfig::default(), 1_000);
    send(&mut aggregator, "m", "a,region:eu", "c", &[1.0], 1.0);
    send(&mut aggregator, "n", "a", "c", &[1.0], 1.0);
    aggregator.set_platform_tags(vec!["region:eu".into()]);
    send(&mut aggregator, "n", "a", "c", &[1.0], 1.0);
    let told = all(&mut aggregator);
    assert_eq!((told.len(), told[1].samples), (2, 2));
    assert!(told.iter().all(|told| told.tags == ["a", "region:eu"]), "{told:?}");
}

#[test]
fn the_namespace_stands_before_names_but_those_of_others() {
    let config = || MetricsConfig { namespace: "my".into(), ..MetricsConfig::default() };
    assert_eq!(told_with(config(), "x", "", "c").name, "my.x");
    assert_eq!(told_with(config(), "x", "", "h").name, "my.x.95percentile");
    for name in ["datadog.dogstatsd.client.metrics", "runtime.go.num_cpu", "jvm.heap"] {
        assert_eq!(told_with(config(), name, "", "c").name, name);
    }
}

#[test]
fn the_blocklist_is_asked_with_the_namespace() {
    let config = |match_prefix| MetricsConfig {
        namespace: "my.".into(),
        blocklist: vec!["my.b.c".into(), "my.b".into(), "x".into()],
        blocklist_match_prefix: match_prefix,
        ..MetricsConfig::default()
    };
    let mut exact = Aggregator::new(config(false), 1_000);
    let mut prefix = Aggregator::new(config(true), 1_000);
    for (name, is_exact, is_prefix) in [
        ("b", true, true),
        ("b.c", true, true),
        ("b.z", false, true),
        ("x", false, false),
        ("a", false, false),
    ] {
        assert_eq!(exact.context(&key(name, "", "c")).err(), is_exact.then_some(Refused::Blocked), "{name}");
        assert_eq!(
            prefix.context(&key(name, "", "c")).err(),
            is_prefix.then_some(Refused::Blocked),
            "{name}"
        );
    }
    let refused = prefix.timestamped(&key("b.q", "", "c"), &[1.0], 1.0, 5, &mut Collected::default());
    assert_eq!(refused, Err(Refused::Blocked));
    assert!(Refused::Blocked.is_policy() && !Refused::MemoryFull.is_policy());
}

#[test]
fn the_mapper_makes_tags_of_names() {
    let tags = |value: &str| vec![("job".to_owned(), value.to_owned())];
    let mappings = [
        Mapping {
            pattern: "air.*.run.*".into(),
            name: "air.run".into(),
            tags: tags("$1-$2"),
            ..Mapping::default()
        },
        Mapping {
            pattern: r"^air\.(q\w*)$".into(),
            match_type: MatchType::Regex,
            name: "air.${1}_x".into(),
            tags: Vec::new(),
        },
    ];
    let config = MetricsConfig {
        mapper: vec![Profile::new("p", "air.", &mappings).unwrap()],
        namespace: "my".into(),
        ..MetricsConfig::default()
    };
    let mut aggregator = Aggregator::new(config, 1_000);
    for name in ["air.a.run.b", "air.q", "airy.a.run.b", "air.a.b.run.c"] {
        send(&mut aggregator, name, "t", "c", &[1.0], 1.0);
        send(&mut aggregator, name, "t,t", "c", &[1.0], 1.0);
    }
    // Another name that is mapped to the same is the same.
    send(&mut aggregator, "air.run", "job:a-b,t", "c", &[1.0], 1.0);
    let told = run_dry(&mut aggregator);
    let named: Vec<_> = told
        .iter()
        .filter(|told| told.samples > 0)
        .map(|told| (told.name.as_str(), told.tags.join(","), told.samples))
        .collect();
    let t = String::from("t");
    assert_eq!(
        named,
        [
            ("my.air.a.b.run.c", t.clone(), 2),
            ("my.air.q_x", t.clone(), 2),
            ("my.air.run", "job:a-b,t".into(), 3),
            ("my.airy.a.run.b", t, 2),
        ]
    );
    assert_eq!(aggregator.contexts(), 0);
}

#[test]
fn rules_of_the_mapper_that_make_no_sense_are_errors_in_words() {
    let check = |pattern: &str, match_type, name: &str, part: &str| {
        let mapping = Mapping { pattern: pattern.into(), match_type, name: name.into(), tags: Vec::new() };
        let error = Profile::new("p", "*", &[mapping]).unwrap_err();
        assert!(error.contains(part) && error.contains("\"p\", mapping 1"), "{error}");
    };
    check("", MatchType::Wildcard, "n", "empty");
    check("a b", MatchType::Wildcard, "n", "' '");
    check("a.**", MatchType::Wildcard, "n", "`**`");
    check("a.*", MatchType::Wildcard, "", "`name`");
    check("(", MatchType::Regex, "n", "regular expression");
    assert!(Profile::new("", "", &[]).is_err());
}

#[test]
fn l101_l120_series_without_a_host_carry_the_instance() {
    let config = |hostname: &str| MetricsConfig {
        instance_tag: Some("instance:7".into()),
        hostname: hostname.into(),
        ..MetricsConfig::default()
    };
    for letters in ["c", "g", "h", "s", "ms"] {
        assert_eq!(told_with(config(""), "x", "a", letters).tags, ["a", "instance:7"], "{letters}");
        assert_eq!(told_with(config("h"), "x", "a", letters).tags, ["a"]);
        assert_eq!(told_with(config(""), "x", "a,host:q", letters).tags, ["a"]);
        assert_eq!(told_with(config("h"), "x", "a,host:", letters).tags, ["a", "instance:7"]);
    }
    assert_eq!(told_with(config(""), "x", "a", "d").tags, ["a"]);
}

#[test]
fn the_origin_is_told_by_name() {
    let service = |name: &str| {
        let config = MetricsConfig { origin: Some((1, 36)), ..MetricsConfig::default() };
        told_with(config, name, "", "c").origin
    };
    assert_eq!(service("jvm.heap"), Some(474));
    assert_eq!(service("runtime.go"), Some(474));
    assert_eq!(service("gcp.run.x"), Some(473));
    assert_eq!(service("mine"), Some(472));
    assert_eq!(service("datadog.dogstatsd.client.metrics"), None);
    assert_eq!(told("", "c").origin, None);
}
