use super::mapper::{Mapping, MatchType, Profile};
use super::*;
use model::metric::SeriesType;

#[path = "tests_model.rs"]
mod against_model;
#[path = "tests_enrich.rs"]
mod enrich;
#[path = "tests_time.rs"]
mod time;

/// What a sink was told.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: String,
    host: String,
    tags: Vec<String>,
    resources: Vec<(String, String)>,
    origin: Option<u32>,
    /// `None`: a distribution.
    kind: Option<(SeriesType, u32)>,
    /// Of a distribution the time and the sum.
    points: Vec<(i64, f64)>,
    /// Of a distribution.
    count: u64,
    samples: u64,
}

#[derive(Debug, Default)]
struct Collected(Vec<Told>);

impl Told {
    fn new(identity: &model::metric::Identity<'_>, samples: u64) -> Self {
        let mut tags: Vec<String> = identity.tags.iter().map(|tag| tag.to_string()).collect();
        tags.sort();
        Self {
            name: identity.name.concat(),
            host: identity.host.to_owned(),
            tags,
            resources: identity
                .resources
                .iter()
                .map(|(of, name)| (of.to_string(), name.to_string()))
                .collect(),
            origin: identity.origin.map(|origin| origin.service),
            kind: None,
            points: Vec::new(),
            count: 0,
            samples,
        }
    }
}

impl Sink for Collected {
    fn series(&mut self, series: &Series<'_>, samples: u64) {
        let kind = Some((series.series_type, series.interval));
        self.0.push(Told { kind, points: series.points.to_vec(), ..Told::new(&series.identity, samples) });
    }

    fn distribution(&mut self, distribution: &Distribution<'_>, samples: u64) {
        let points = distribution.points.iter().map(|point| (point.timestamp, point.sum)).collect();
        let count = distribution.points.iter().map(|point| point.count).sum();
        self.0.push(Told { points, count, ..Told::new(&distribution.identity, samples) });
    }
}

fn key<'a>(name: &'a str, tags: &'a str, letters: &str) -> Key<'a> {
    let metric_type = MetricType::ALL.into_iter().find(|known| known.letters() == letters).unwrap();
    Key { name: name.as_bytes(), tags: tags.as_bytes(), metric_type }
}

fn aggregator() -> Aggregator {
    Aggregator::new(MetricsConfig::default(), 1_000)
}

/// Adds values, or one member to a set.
fn send(aggregator: &mut Aggregator, name: &str, tags: &str, letters: &str, values: &[f64], rate: f64) {
    let id = aggregator.context(&key(name, tags, letters)).unwrap();
    for value in values {
        match letters {
            "s" => aggregator.add_member(id, &value.to_le_bytes()).unwrap(),
            _ => aggregator.add(id, *value, rate).unwrap(),
        }
    }
}

fn flush(aggregator: &mut Aggregator, mode: Flush) -> Vec<Told> {
    let mut told = Collected::default();
    aggregator.begin_flush(mode);
    while aggregator.flush_step(&mut told) {}
    told.0.sort_by(|one, other| (&one.name, &one.tags).cmp(&(&other.name, &other.tags)));
    told.0
}

/// All that is held, now.
fn all(aggregator: &mut Aggregator) -> Vec<Told> {
    flush(aggregator, Flush::All)
}

/// Names and points.
fn points(told: &[Told]) -> Vec<(&str, &[(i64, f64)])> {
    told.iter().map(|told| (told.name.as_str(), told.points.as_slice())).collect()
}

/// Flushes like a ticker until nothing is held.
fn run_dry(aggregator: &mut Aggregator) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(at) = aggregator.next_flush() {
        aggregator.set_now(at);
        told.extend(flush(aggregator, Flush::Closed));
    }
    told
}

#[test]
fn the_worked_example_of_the_facts() {
    let mut aggregator = aggregator();
    send(&mut aggregator, "a", "", "c", &[1.0], 1.0);
    send(&mut aggregator, "a", "", "c", &[2.0], 0.5);
    send(&mut aggregator, "g", "", "g", &[1.0, 5.0], 1.0);
    send(&mut aggregator, "h", "", "h", &[1.0, 2.0, 3.0], 1.0);
    send(&mut aggregator, "s", "", "s", &[1.0, 2.0, 1.0], 1.0);
    aggregator.set_now(1_010);
    let told = flush(&mut aggregator, Flush::Closed);
    let gauge = Some((SeriesType::Gauge, 0));
    let rate = Some((SeriesType::Rate, 10));
    let named: Vec<_> =
        told.iter().map(|told| (told.name.as_str(), told.kind, told.points[0], told.samples)).collect();
    assert_eq!(
        named,
        [
            ("a", rate, (1_000, 0.5), 2),
            ("g", gauge, (1_000, 5.0), 2),
            ("h.95percentile", gauge, (1_000, 3.0), 0),
            ("h.avg", gauge, (1_000, 2.0), 0),
            ("h.count", rate, (1_000, 0.3), 0),
            ("h.max", gauge, (1_000, 3.0), 3),
            ("h.median", gauge, (1_000, 2.0), 0),
            ("s", gauge, (1_000, 2.0), 3),
        ]
    );
}

#[test]
fn l44_every_type_is_told() {
    let mut aggregator = aggregator();
    for metric_type in MetricType::ALL {
        send(&mut aggregator, metric_type.name(), "", metric_type.letters(), &[4.0], 1.0);
    }
    let told = all(&mut aggregator);
    for metric_type in MetricType::ALL {
        let told: Vec<_> = told.iter().filter(|told| told.name.starts_with(metric_type.name())).collect();
        assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), 1, "{}", metric_type.name());
        assert_eq!(told[0].kind.is_none(), metric_type == MetricType::Distribution);
    }
}

#[test]
fn l45_the_sample_rate_is_applied() {
    let mut aggregator = aggregator();
    for letters in ["c", "g", "h", "d"] {
        send(&mut aggregator, letters, "", letters, &[3.0], 0.1);
    }
    let told = all(&mut aggregator);
    let point = |name: &str| told.iter().find(|told| told.name == name).unwrap().points[0].1;
    assert_eq!(
        (point("c"), point("g"), point("h.count"), point("h.avg"), point("d")),
        (3.0, 3.0, 1.0, 3.0, 30.0)
    );
    assert_eq!(told.iter().find(|told| told.name == "d").unwrap().count, 10);
}

#[test]
fn l46_each_of_packed_values_counts() {
    let mut aggregator = aggregator();
    for letters in ["c", "g", "h", "d"] {
        send(&mut aggregator, letters, "", letters, &[1.0, 2.0, 6.0], 1.0);
    }
    let told = all(&mut aggregator);
    assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), 12);
    assert_eq!(told.iter().find(|told| told.name == "c").unwrap().points, [(1_000, 0.9)]);
}

#[test]
fn l49_types_of_one_name_are_apart_and_spellings_are_compared_whole() {
    let mut aggregator = aggregator();
    for letters in ["c", "g", "d", "s", "h", "ms"] {
        send(&mut aggregator, "x", "a:1", letters, &[1.0], 1.0);
    }
    assert_eq!(aggregator.contexts(), 6);
    // Where the name ends is part of it.
    send(&mut aggregator, "ab", "c", "c", &[1.0], 1.0);
    send(&mut aggregator, "a", "bc", "c", &[1.0], 1.0);
    assert_eq!(aggregator.contexts(), 8);
    // Far more contexts than 16 bits of a hash would tell apart, each with a value of its own.
    for at in 0..20_000 {
        send(&mut aggregator, "many", &format!("n:{at}"), "g", &[f64::from(at)], 1.0);
    }
    let told = all(&mut aggregator);
    let many: Vec<_> = told.iter().filter(|told| told.name == "many").collect();
    assert_eq!(many.len(), 20_000);
    assert!(many.iter().all(|told| told.tags[0] == format!("n:{}", told.points[0].1)));
}

#[test]
fn l116_what_is_no_number_is_refused_and_leaves_no_trace() {
    let mut aggregator = aggregator();
    for letters in ["c", "g", "h", "d"] {
        let id = aggregator.context(&key("x", "", letters)).unwrap();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(aggregator.add(id, value, 1.0), Err(Refused::BadValue));
        }
        assert_eq!(aggregator.add(id, 1e308, 0.001), Err(Refused::BadValue));
        for rate in [0.0, -1.0, 2.0, f64::NAN] {
            assert_eq!(aggregator.add(id, 1.0, rate), Err(Refused::BadRate));
        }
        // Sums stay finite, too.
        aggregator.add(id, f64::MAX, 1.0).unwrap();
        aggregator.add(id, f64::MAX, 1.0).unwrap();
    }
    let told = all(&mut aggregator);
    assert!(told.iter().flat_map(|told| &told.points).all(|(_, value)| value.is_finite()), "{told:?}");
}

#[test]
fn numbers_are_not_for_sets_nor_members_for_others() {
    let mut aggregator = aggregator();
    let set = aggregator.context(&key("s", "", "s")).unwrap();
    assert_eq!(aggregator.add(set, 1.0, 1.0), Err(Refused::WrongType));
    let count = aggregator.context(&key("c", "", "c")).unwrap();
    assert_eq!(aggregator.add_member(count, b"a"), Err(Refused::WrongType));
    assert_eq!(aggregator.context(&key("", "", "c")), Err(Refused::BadName));
    assert_eq!(all(&mut aggregator), []);
}

#[test]
fn the_aggregates_of_a_histogram_are_a_choice() {
    let config = MetricsConfig {
        aggregates: Aggregates { min: true, sum: true, ..Aggregates::NONE },
        percentiles: vec![50, 99],
        ..MetricsConfig::default()
    };
    let mut aggregator = Aggregator::new(config, 1_000);
    send(&mut aggregator, "h", "", "ms", &[4.0], 0.25);
    send(&mut aggregator, "h", "", "ms", &[1.0], 1.0);
    let told = all(&mut aggregator);
    let wanted: [(&str, &[(i64, f64)]); 4] = [
        ("h.50percentile", &[(1_000, 4.0)]),
        ("h.99percentile", &[(1_000, 4.0)]),
        ("h.min", &[(1_000, 1.0)]),
        ("h.sum", &[(1_000, 17.0)]),
    ];
    assert_eq!(points(&told), wanted);
    assert_eq!(told.iter().map(|told| told.samples).sum::<u64>(), 2);
}

#[test]
fn a_histogram_may_be_a_distribution_too() {
    let nothing =
        MetricsConfig { aggregates: Aggregates::NONE, percentiles: Vec::new(), ..MetricsConfig::default() };
    let copied = MetricsConfig {
        copy_to_distribution: true,
        copy_prefix: "dist.".into(),
        namespace: "my".into(),
        ..nothing.clone()
    };
    let mut both = Aggregator::new(MetricsConfig { percentiles: vec![95], ..copied.clone() }, 1_000);
    send(&mut both, "h", "a", "h", &[1.0, 2.0], 0.3);
    let told = all(&mut both);
    assert_eq!(told[0].name, "dist.my.h");
    assert_eq!((told[0].kind, told[0].count, told[0].samples), (None, 6, 0));
    assert!((told[0].points[0].1 - 10.0).abs() < 1e-9);
    assert_eq!((told[1].name.as_str(), told[1].samples), ("my.h.95percentile", 2));
    let mut copy = Aggregator::new(copied, 1_000);
    send(&mut copy, "h", "a", "h", &[1.0, 2.0], 1.0);
    assert_eq!(all(&mut copy).iter().map(|told| told.samples).collect::<Vec<_>>(), [2]);
    let mut none = Aggregator::new(nothing, 1_000);
    assert_eq!(none.context(&key("h", "", "h")), Err(Refused::NoAggregates));
    assert!(none.context(&key("h", "", "d")).is_ok());
}

#[test]
fn looking_ahead_finds_nothing_else_and_changes_nothing() {
    let mut aggregator = Aggregator::new(MetricsConfig::default(), 1_000);
    let spellings: [&[u8]; 5] = [b"a,b", b"b,a", b"b,a,b", b"c", b""];
    for expire in [false, true] {
        // Known ones, other spellings of one, and the first time all of them unknown.
        let spelled: [Spelled; LOOK_AHEAD] = std::array::from_fn(|at| {
            let key = Key { name: b"hits", tags: spellings[at % 5], metric_type: MetricType::Distribution };
            aggregator.spelled(&key)
        });
        aggregator.look_ahead(&spelled);
        let ids = spellings.iter().zip(spelled).map(|(tags, spelled)| {
            let key = Key { name: b"hits", tags, metric_type: MetricType::Distribution };
            let id = aggregator.context_of(spelled, &key).unwrap();
            aggregator.add(id, 1.0, 1.0).unwrap();
            id.index
        });
        let ids: Vec<u32> = ids.collect();
        assert_eq!((ids[0], ids[0], 3), (ids[1], ids[2], aggregator.contexts()));
        aggregator.look_ahead(&spelled);
        if !expire {
            // Gone, and not found any more.
            for now in [1_010, 1_100, 1_200] {
                aggregator.set_now(now);
                aggregator.begin_flush(Flush::Closed);
                while aggregator.flush_step(&mut Collected::default()) {}
            }
            assert_eq!(aggregator.contexts(), 0);
            aggregator.look_ahead(&spelled);
        }
    }
}
