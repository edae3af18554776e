//! DogStatsD lines: every vector of the fact sheet, and what must hold of any line.

#![allow(clippy::unwrap_used)]

use lastlight_wire::dogstatsd::{LineError, Message, Metric, lines, parse, print};
use model::limits::METRIC_LINE_MAX_BYTES;
use model::metric::{Alert, Event, MetricType, Priority, ServiceCheck};
use proptest::prelude::*;

fn metric(line: &[u8]) -> Metric<'_> {
    match parse(line) {
        Ok(Message::Metric(metric)) => metric,
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(line)),
    }
}

fn event(line: &[u8]) -> Event<'_> {
    match parse(line) {
        Ok(Message::Event(event)) => event,
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(line)),
    }
}

fn check(line: &[u8]) -> ServiceCheck<'_> {
    match parse(line) {
        Ok(Message::ServiceCheck(check)) => check,
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(line)),
    }
}

fn numbers(line: &[u8]) -> Result<Vec<f64>, LineError> {
    let mut out = vec![99.0];
    metric(line).numbers(&mut out)?;
    Ok(out)
}

/// Why a line is refused, at whichever of the two steps.
fn refused(line: &[u8]) -> LineError {
    match parse(line) {
        Err(error) => error,
        Ok(Message::Metric(metric)) => metric.numbers(&mut Vec::new()).unwrap_err(),
        Ok(other) => panic!("{other:?}"),
    }
}

fn printed(message: &Message<'_>) -> String {
    let mut out = Vec::new();
    print(message, &mut out);
    String::from_utf8(out).unwrap()
}

/// A metric without optional fields.
fn plain<'a>(name: &'a str, values: &'a str, metric_type: MetricType) -> Metric<'a> {
    Metric {
        name: name.as_bytes(),
        values: values.as_bytes(),
        metric_type,
        rate: 1.0,
        tags: b"",
        timestamp: None,
        container_id: None,
        external_data: None,
        cardinality: None,
    }
}

#[test]
fn l44_metrics_of_every_type_are_read() {
    for metric_type in MetricType::ALL {
        let line = format!("x:6|{}", metric_type.letters());
        assert_eq!(metric(line.as_bytes()), plain("x", "6", metric_type));
    }
    assert_eq!(numbers(b"x:6|g"), Ok(vec![6.0]));
    assert_eq!(numbers(b"x:-1.5e3|g"), Ok(vec![-1500.0]));
}

#[test]
fn l46_every_packed_value_is_read() {
    for letters in ["c", "g", "h", "ms", "d"] {
        assert_eq!(numbers(format!("x:6:7|{letters}").as_bytes()), Ok(vec![6.0, 7.0]));
        assert_eq!(numbers(format!("x:21::22|{letters}").as_bytes()), Ok(vec![21.0, 22.0]));
        assert_eq!(numbers(format!("x::21:22:|{letters}").as_bytes()), Ok(vec![21.0, 22.0]));
        for bad in ["x:1:abc:2", "x:1:2:abc", "x:abc:1"] {
            assert_eq!(refused(format!("{bad}|{letters}").as_bytes()), LineError::BadValue);
        }
        assert_eq!(refused(format!("x:::|{letters}").as_bytes()), LineError::NoValue);
    }
    assert_eq!(metric(b"x:ab:cd|s"), plain("x", "ab:cd", MetricType::Set));
}

#[test]
fn optional_fields_stand_in_any_order() {
    let base = plain("x", "6", MetricType::Gauge);
    for (line, expected) in [
        ("x:6|g|@0.21", Metric { rate: 0.21, ..base }),
        ("x:6|g|#", base),
        ("x:6|g|#a:1,b", Metric { tags: b"a:1,b", ..base }),
        ("x:6|g|#,a:1, b ,,", Metric { tags: b",a:1, b ,,", ..base }),
        ("x:6|g|m:whatever", base),
        ("x:6|g|", base),
        ("x:6|g||||", base),
        ("x:6|g|c:1234567890abcdef", Metric { container_id: Some(b"1234567890abcdef"), ..base }),
        ("x:6|g|c:ci-1234", Metric { container_id: Some(b"ci-1234"), ..base }),
        ("x:6|g|c:in-77", Metric { container_id: Some(b"in-77"), ..base }),
        ("x:6|g|e:it-false,cn-web,pu-1", Metric { external_data: Some(b"it-false,cn-web,pu-1"), ..base }),
        ("x:6|g|card:orchestrator", Metric { cardinality: Some(b"orchestrator"), ..base }),
        ("x:6|g|car:low|ca:1|cx|e|c|C:1", base),
        ("x:6|g|T+5", Metric { timestamp: Some(5), ..base }),
        ("x:6|g|t5", base),
        // The last one wins.
        (
            "x:6|g|#a|#b|@0.5|@0.25|T1|T2|c:1|c:|card:a|card:b|e:1|e:2",
            Metric {
                tags: b"b",
                rate: 0.25,
                timestamp: Some(2),
                container_id: Some(b""),
                external_data: Some(b"2"),
                cardinality: Some(b"b"),
                ..base
            },
        ),
    ] {
        assert_eq!(metric(line.as_bytes()), expected, "{line}");
    }
    let all = Metric {
        rate: 0.5,
        tags: b"a:1",
        timestamp: Some(1_700_000_000),
        container_id: Some(b"ci-1"),
        external_data: Some(b"it-true"),
        cardinality: Some(b"low"),
        ..base
    };
    let mut fields = ["@0.5", "#a:1", "T1700000000", "c:ci-1", "e:it-true", "card:low"];
    for turn in 0..fields.len() {
        fields.rotate_left(1);
        fields.swap(turn, 5);
        let line = format!("x:6|g|{}", fields.join("|"));
        assert_eq!(metric(line.as_bytes()), all, "{line}");
    }
}

#[test]
fn what_is_no_metric_is_refused_by_its_reason() {
    for (line, error) in [
        ("x:6", LineError::NoType),
        ("x:6|", LineError::NoType),
        ("x:6||#a", LineError::NoType),
        ("x:|g", LineError::NoValue),
        (":6|g", LineError::NoName),
        ("x6|g", LineError::NoName),
        ("x|6:7|g", LineError::NoName),
        ("|", LineError::NoName),
        (":", LineError::NoName),
        ("", LineError::NoName),
        ("gibberish", LineError::NoName),
        ("x:abc|g", LineError::BadValue),
        ("x: 6|g", LineError::BadValue),
        ("x:6|unknown", LineError::UnknownType),
        ("x:6|G", LineError::UnknownType),
        ("x:6|m", LineError::UnknownType),
        ("x:6|gg", LineError::UnknownType),
        ("x:6|g ", LineError::UnknownType),
        ("x:6|g|@abc", LineError::BadRate),
        ("x:6|g|@", LineError::BadRate),
        ("x:6|g|TABCD", LineError::BadTimestamp),
        ("x:6|g|T", LineError::BadTimestamp),
        ("x:6|g|T-1023", LineError::BadTimestamp),
        ("x:6|g|T0", LineError::BadTimestamp),
        ("x:6|g|T1.5", LineError::BadTimestamp),
        ("x:6|g|T99999999999999999999", LineError::BadTimestamp),
    ] {
        assert_eq!(refused(line.as_bytes()), error, "{line}");
    }
}

#[test]
fn l45_the_sample_rate_is_read_whatever_the_type() {
    for letters in ["g", "c", "h", "ms", "d", "s"] {
        assert_eq!(metric(format!("x:6|{letters}|@0.1|#a").as_bytes()).rate, 0.1);
        assert_eq!(metric(format!("x:6|{letters}|#a").as_bytes()).rate, 1.0);
    }
    assert_eq!(metric(b"x:6|c|@1").rate, 1.0);
    assert_eq!(metric(b"x:6|c|@5e-324").rate, 5e-324);
}

#[test]
fn l47_a_bad_byte_costs_at_most_its_line() {
    let packet = b"a:1|c|#x\xff:y\nb\xff:2|c\nc:\xff|c\n_e{2,1}:\xff!|t|#\xff\nd:4|c";
    let read: Vec<_> = lines(packet).map(parse).collect();
    assert_eq!(read.len(), 5);
    assert_eq!(numbers(b"a:1|c|#x\xff:y"), Ok(vec![1.0]));
    assert_eq!(metric(lines(packet).next().unwrap()).tags, b"x\xff:y");
    assert_eq!(metric(b"b\xff:2|c").name, b"b\xff");
    assert_eq!(refused(b"c:\xff|c"), LineError::BadValue);
    assert_eq!(metric(b"s:\xff|s").values, b"\xff");
    assert_eq!(event(b"_e{2,1}:\xff!|t|#\xff").title, "\u{fffd}!");
    assert_eq!(read[4], Ok(Message::Metric(plain("d", "4", MetricType::Count))));
    let text = "mémoire:1|g|#région:zürich";
    assert_eq!(metric(text.as_bytes()).name, "mémoire".as_bytes());
    assert_eq!(metric(text.as_bytes()).tags, "région:zürich".as_bytes());
}

#[test]
fn l52_values_that_are_not_finite_are_refused() {
    for value in ["NaN", "Inf", "-inf", "+Infinity", "1e999", "1:nan", "inf:1", "0x1p1024"] {
        for letters in ["g", "c", "h", "ms", "d"] {
            assert_eq!(refused(format!("x:{value}|{letters}").as_bytes()), LineError::NotFinite, "{value}");
        }
    }
    assert_eq!(metric(b"x:NaN|s").values, b"NaN");
}

#[test]
fn l116_a_rate_is_above_0_and_at_most_1() {
    for rate in ["0", "-0", "0.0", "-0.5", "1.0000001", "2", "NaN", "Inf", "-Inf", "1e999", "1e-999"] {
        assert_eq!(refused(format!("x:6|c|@{rate}").as_bytes()), LineError::BadRate, "{rate}");
    }
}

#[test]
fn a_line_is_at_most_as_long_as_the_bound() {
    let mut line = b"x:1|c|#".to_vec();
    line.resize(METRIC_LINE_MAX_BYTES, b'a');
    assert_eq!(metric(&line).tags.len(), METRIC_LINE_MAX_BYTES - 7);
    line.push(b'a');
    assert_eq!(parse(&line), Err(LineError::TooLong));
}

#[test]
fn an_event_is_cut_by_its_lengths() {
    let base = Event { title: "title".into(), text: "text".into(), ..Event::default() };
    for (line, expected) in [
        ("_e{5,4}:title|text", base.clone()),
        ("_e{5,4}:title|text|", base.clone()),
        ("_e{5,0}:title|", Event { text: "".into(), ..base.clone() }),
        ("_e{7,6}:ti|le:x|te|t:y", Event { title: "ti|le:x".into(), text: "te|t:y".into(), ..base.clone() }),
        (
            "_e{6,10}:ti\\nle|one\\ntw\\\\no",
            Event { title: "ti\nle".into(), text: "one\ntw\\\n".into(), ..base.clone() },
        ),
        (
            "_e{6,5}:tïtle|täxt|d:12",
            Event { title: "tïtle".into(), text: "täxt".into(), timestamp: Some(12), ..base.clone() },
        ),
        (
            "_e{5,4}:title|text|d:1700000000|h:web-1|k:deploy|p:low|s:chef|t:error|#a:1,b|c:ci-1|x:y",
            Event {
                timestamp: Some(1_700_000_000),
                host: Some("web-1"),
                aggregation_key: Some("deploy"),
                priority: Priority::Low,
                source_type: Some("chef"),
                alert: Alert::Error,
                tags: "a:1,b",
                ..base.clone()
            },
        ),
        ("_e{5,4}:title|text|t:warning", Event { alert: Alert::Warning, ..base.clone() }),
        ("_e{5,4}:title|text|t:success|t:info", base.clone()),
        ("_e{5,4}:title|text|p:low|p:normal|h:a|h:|#a|#", base.clone()),
        // What makes no sense is passed over, not the event.
        (
            "_e{5,4}:title|text|d:7|d:abc|p:low|p:high|t:success|t:nope|h:a",
            Event {
                timestamp: Some(7),
                priority: Priority::Low,
                alert: Alert::Success,
                host: Some("a"),
                ..base.clone()
            },
        ),
    ] {
        assert_eq!(event(line.as_bytes()), expected, "{line}");
    }
    // Lengths that cut a character in two leave the rest of it readable.
    assert_eq!(event("_e{2,1}:té|x".as_bytes()).title, "t\u{fffd}");
}

#[test]
fn what_is_no_event_is_refused() {
    for line in [
        "_e{",
        "_e{}",
        "_e{}:",
        "_e{5}:title|text",
        "_e{5,4:title|text",
        "_e{5,4}title|text",
        "_e{0,4}:|text",
        "_e{0,0}:|",
        "_e{-5,4}:title|text",
        "_e{5,-4}:title|text",
        "_e{a,4}:title|text",
        "_e{5,4,3}:title|text",
        "_e{5,5}:title|text",
        "_e{6,4}:title|text",
        "_e{5,0}:title",
        "_e{5,9223372036854775807}:title|text",
        "_e{18446744073709551615,1}:title|text",
        "_e{99999999999999999999,1}:title|text",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(LineError::BadEvent), "{line}");
    }
    assert_eq!(refused(b"_e"), LineError::NoName);
    assert_eq!(metric(b"_e:1|c").name, b"_e");
}

#[test]
fn a_service_check_has_a_name_and_a_state() {
    let base = ServiceCheck { name: "db.up", ..ServiceCheck::default() };
    for (line, expected) in [
        ("_sc|db.up|0", base.clone()),
        ("_sc|db.up|1", ServiceCheck { status: 1, ..base.clone() }),
        ("_sc|db.up|2", ServiceCheck { status: 2, ..base.clone() }),
        ("_sc|db.up|3|", ServiceCheck { status: 3, ..base.clone() }),
        (
            "_sc|db.up|2|d:17|h:web-1|#a:1,b|m:no\\nanswer: |x",
            ServiceCheck {
                status: 2,
                timestamp: Some(17),
                host: Some("web-1"),
                tags: "a:1,b",
                message: "no\\nanswer: ".into(),
                ..base.clone()
            },
        ),
        (
            "_sc|db.up|0|m:a|m:b|d:3|d:x|c:ci-1|e:x|card:low",
            ServiceCheck { message: "b".into(), timestamp: Some(3), ..base.clone() },
        ),
    ] {
        assert_eq!(check(line.as_bytes()), expected, "{line}");
    }
    assert_eq!(check(b"_sc|x|0|m:\xff|h:\xff|#\xff").message, "\u{fffd}");
    for line in
        ["_sc", "_sc|", "_sc|x", "_sc|x|", "_sc||0", "_sc|x|4", "_sc|x|00", "_sc|x|OK", "_scx|y|0", "_sc:1|c"]
    {
        assert_eq!(parse(line.as_bytes()), Err(LineError::BadServiceCheck), "{line}");
    }
    assert_eq!(parse(b"_sc|\xff|0"), Err(LineError::BadServiceCheck));
}

#[test]
fn messages_are_printed_in_one_form() {
    for (line, canonical) in [
        ("x:21::22|c|@0x1p-2|T+5|#a,,b|m:x|c:1", "x:21::22|c|@0.25|#a,,b|T5|c:1"),
        ("x:1|d|@1|#", "x:1|d"),
        ("x:1|d|@0.0000001", "x:1|d|@1e-7"),
        ("x:1|s|card:low|e:it-1|c:", "x:1|s|c:|e:it-1|card:low"),
        (
            "_e{5,6}:title|a\\nb\\n|#a|t:success|s:x|p:low|k:k|h:h|d:5|c:1",
            "_e{5,6}:title|a\\nb\\n|d:5|h:h|k:k|p:low|s:x|t:success|#a",
        ),
        ("_sc|x|2|m:why|#a|h:h|d:-5|q", "_sc|x|2|d:-5|h:h|#a|m:why"),
    ] {
        assert_eq!(printed(&parse(line.as_bytes()).unwrap()), canonical);
        assert_eq!(printed(&parse(canonical.as_bytes()).unwrap()), canonical);
    }
}

/// Lines that are nearly right, and often wholly.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "x", "_sc", "_e{1,2}", ":", "|", "|", "1", "-2.5", "0x1p-3", "1_0", "g", "|c", "|ms", "|s", "|d",
        "@0.5", "@1e-9", "#a:1,b", "T17", "T0", "c:ci-1", "e:it-1", "card:low", "d:5", "h:web", "k:",
        "p:low", "s:x", "t:error", "m:é", "\\n", ",", "}", "{", "NaN", "\n", "\u{fffd}",
    ]);
    let bytes = prop_oneof![
        9 => part.prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    (
        prop::sample::select(vec!["", "x:1|c", "_e{3,2}:abc|de", "_sc|x|1"]),
        prop::collection::vec((any::<bool>(), bytes), 0..12),
    )
        .prop_map(|(begin, parts)| {
            let mut line = begin.as_bytes().to_vec();
            for (separate, part) in parts {
                line.extend_from_slice(if separate { b"|" } else { b"" });
                line.extend_from_slice(&part);
            }
            line
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_bytes_are_survived(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        for line in lines(&packet) {
            prop_assert!(!line.is_empty() && !line.contains(&b'\n'));
            if let Ok(Message::Metric(metric)) = parse(line) {
                prop_assert!(metric.numbers(&mut Vec::new()).map_or(true, |()| !metric.values.is_empty()));
            }
        }
    }

    #[test]
    fn what_is_printed_reads_as_what_it_was(line in line()) {
        if let Ok(message) = parse(&line) {
            let mut again = Vec::new();
            print(&message, &mut again);
            prop_assert_eq!(parse(&again), Ok(message));
        }
    }

    #[test]
    fn lines_are_what_splitting_says(packet in "[ab\r\n]{0,40}") {
        let expected: Vec<_> = packet
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .filter(|line| !line.is_empty())
            .map(str::as_bytes)
            .collect();
        prop_assert_eq!(lines(packet.as_bytes()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn values_are_numbers_between_colons(values in prop::collection::vec(prop::option::of(-1e6..1e6_f64), 1..10)) {
        let text: Vec<_> =
            values.iter().map(|value| value.map(|value| value.to_string()).unwrap_or_default()).collect();
        let line = format!("x:{}|d", text.join(":"));
        let expected: Vec<f64> = values.into_iter().flatten().collect();
        if expected.is_empty() {
            prop_assert_eq!(refused(line.as_bytes()), LineError::NoValue);
        } else {
            prop_assert_eq!(numbers(line.as_bytes()), Ok(expected));
        }
    }
}
