use super::*;
use crate::metrics::{COUNT, GAUGE, Metrics, RATE, Series, Sketch, SketchSeries};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    net::UdpSocket,
    os::unix::net::{UnixDatagram, UnixListener},
    time::Duration,
};

fn mix(contexts: usize, kinds: &[Kind]) -> Mix {
    Mix { contexts, kinds: kinds.to_vec(), count_max: 9, ..Mix::default() }
}

/// Aggregates lines as an agent would, everything in one bucket at time 10.
fn aggregate(datagrams: &[&[u8]]) -> Metrics {
    let mut values = BTreeMap::<(String, String, String), Vec<String>>::new();
    for line in datagrams.iter().flat_map(|datagram| std::str::from_utf8(datagram).unwrap().lines()) {
        let (name, rest) = line.split_once(':').unwrap();
        let (value, rest) = rest.split_once('|').unwrap();
        let (kind, tags) = rest.split_once("|#").unwrap();
        values.entry((name.into(), tags.into(), kind.into())).or_default().push(value.into());
    }
    let mut metrics = Metrics::default();
    for ((name, tags, kind), values) in values {
        let tags: Vec<_> = tags.split(',').map(str::to_owned).collect();
        let numbers: Vec<f64> = values.iter().filter_map(|value| value.parse().ok()).collect();
        let sum = numbers.iter().sum::<f64>();
        let max = numbers.iter().copied().fold(f64::MIN, f64::max);
        let count = numbers.len() as f64;
        let series = |suffix: &str, series_type, value| Series {
            metric: format!("{name}{suffix}"),
            tags: tags.clone(),
            series_type,
            interval: 10,
            points: vec![(10, value)],
            ..Series::default()
        };
        match kind.as_str() {
            "c" => metrics.add_series(&[series("", RATE, sum / 10.0)]),
            "g" => metrics.add_series(&[series("", GAUGE, *numbers.last().unwrap())]),
            "h" | "ms" => {
                metrics.add_series(&[series(".count", COUNT, count), series(".max", GAUGE, max)]);
            }
            "s" => {
                let members = values.iter().collect::<BTreeSet<_>>().len();
                metrics.add_series(&[series("", GAUGE, members as f64)]);
            }
            "d" => {
                let min = numbers.iter().copied().fold(f64::MAX, f64::min);
                let sketch = Sketch { count: numbers.len() as u64, min, max, sum, ..Sketch::default() };
                let points = vec![(10, sketch)];
                metrics.add_sketches(&[SketchSeries {
                    metric: name,
                    tags,
                    points,
                    ..SketchSeries::default()
                }]);
            }
            other => panic!("{other}"),
        }
    }
    metrics
}

#[test]
fn what_is_expected_is_what_the_lines_say_whole_rounds_or_not() {
    let traffic = Traffic::new(&mix(1000, &Kind::ALL));
    let round = traffic.datagrams().len() as u64;
    for datagrams in [1, 30, round, round + 7] {
        let sent: Vec<_> = (0..datagrams).map(|number| traffic.datagram(number)).collect();
        let expected = traffic.expected(datagrams);
        let lines: usize =
            sent.iter().map(|datagram| std::str::from_utf8(datagram).unwrap().lines().count()).sum();
        assert_eq!(expected.samples, lines as u64);
        assert_eq!(expected.kinds.values().map(|kind| kind.samples).sum::<u64>(), expected.samples);
        assert_eq!(expected.differences(&aggregate(&sent)), [""; 0]);
    }
}

#[test]
fn a_lost_or_repeated_datagram_is_a_difference() {
    let traffic = Traffic::new(&mix(30, &[Kind::Count, Kind::Distribution]));
    let sent: Vec<_> = (0..30).map(|number| traffic.datagram(number)).collect();
    let expected = traffic.expected(30);
    assert!(expected.differences(&aggregate(&sent)).is_empty());
    assert!(!expected.differences(&aggregate(&sent[1..])).is_empty());
    assert!(!expected.differences(&aggregate(&[&sent[..], &sent[..1]].concat())).is_empty());
}

#[test]
fn contexts_are_as_many_as_asked_for_and_no_two_kinds_share_a_name() {
    let traffic = Traffic::new(&mix(1000, &[Kind::Count, Kind::Gauge, Kind::Distribution]));
    let expected = traffic.expected(traffic.datagrams().len() as u64);
    assert_eq!(expected.contexts.len(), 1000);
    let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
    for context in &expected.contexts {
        kinds.entry(&context.name).or_default().insert(context.kind);
        assert!((3..=5).contains(&context.tags.len()));
    }
    assert!(kinds.values().all(|kinds| kinds.len() == 1));
    assert!(traffic.datagrams().iter().all(|datagram| datagram.len() < 1432), "they fit one packet");
}

#[test]
fn counts_of_one_are_as_many_as_their_total() {
    let traffic = Traffic::new(&Mix::default());
    let count = traffic.expected(500).kinds[&Kind::Count];
    assert_eq!(count.sum, count.samples as f64);
}

fn load(target: Target) -> Load {
    let mut load = Load::new(target, Duration::from_secs(20));
    load.samples_max = 18 * 40;
    load
}

#[test]
fn udp_datagrams_arrive_as_made() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let load = Load { rate: Some(100_000.0), ..load(Target::Udp(socket.local_addr().unwrap().port())) };
    let report = run(&load).unwrap();
    assert_eq!((report.datagrams, report.samples, report.failed), (40, 720, 0));
    let traffic = Traffic::new(&load.mix);
    let mut buffer = [0; 8192];
    for number in 0..40 {
        let read = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], traffic.datagram(number));
    }
    assert_eq!(report.kinds, traffic.expected(40).kinds);
}

#[test]
fn a_unix_datagram_socket_that_is_full_makes_the_sender_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dsd");
    let socket = UnixDatagram::bind(&path).unwrap();
    let load = load(Target::UnixDatagram(path));
    let traffic = Traffic::new(&load.mix);
    let sender = std::thread::spawn(move || run(&load).unwrap());
    let mut buffer = [0; 8192];
    for number in 0..40 {
        let read = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], traffic.datagram(number));
    }
    assert_eq!(sender.join().unwrap().samples, 720);
}

#[test]
fn a_stream_carries_each_datagram_after_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dsd");
    let listener = UnixListener::bind(&path).unwrap();
    let load = load(Target::UnixStream(path));
    let traffic = Traffic::new(&load.mix);
    let sender = std::thread::spawn(move || run(&load).unwrap());
    let mut stream = listener.accept().unwrap().0;
    for number in 0..40 {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut datagram = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut datagram).unwrap();
        assert_eq!(datagram, traffic.datagram(number));
    }
    assert_eq!(sender.join().unwrap().datagrams, 40);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
