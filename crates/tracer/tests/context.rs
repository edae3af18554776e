//! The context from and to headers, by the vectors of Datadog's common tests and of W3C.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "support/targets.rs"]
mod targets;

use std::collections::HashMap;

use lastlight_tracer::{HEADERS_IGNORED, Source, TRACESTATE_MAX_BYTES, Trace, TraceOptions};
use model::Bump;
use proptest::prelude::*;
use wire::traces::{Format, TraceReader};

/// What became of headers.
struct Taken {
    source: Source,
    trace_id: (u64, u64),
    parent_id: u64,
    meta: HashMap<String, String>,
    metrics: HashMap<String, f64>,
    headers: HashMap<String, String>,
    span_id: u64,
    links: usize,
}

impl Taken {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn meta(&self, key: &str) -> &str {
        self.meta.get(key).map_or("", String::as_str)
    }

    fn ignored(&self) -> f64 {
        self.metrics.get(HEADERS_IGNORED).copied().unwrap_or(0.0)
    }

    fn priority(&self) -> f64 {
        self.metrics["_sampling_priority_v1"]
    }

    /// Parts of our member of `tracestate` but `p`, which must be the span.
    fn own(&self) -> Vec<&str> {
        let own = self.header("tracestate").split(',').next().unwrap().strip_prefix("dd=").unwrap();
        let parent = format!("p:{:016x}", self.span_id);
        assert!(own.split(';').any(|part| part == parent), "{own}");
        own.split(';').filter(|part| *part != parent).collect()
    }
}

fn take(headers: &[(&str, &str)]) -> Taken {
    let mut trace = Trace::new(TraceOptions::default(), 7);
    let bytes = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let source = trace.extract(bytes).unwrap();
    let root = trace.start(None, b"root", 1_700_000_000_000_000_000).unwrap();
    let ids = trace.ids(root).unwrap();
    let mut body = Vec::new();
    trace.encode(0, &mut body);
    let arena = Bump::new();
    let (_, mut reader) = TraceReader::open(Format::V04, &body, &arena).unwrap();
    let chunk = reader.next_chunk(&arena).unwrap().unwrap();
    let span = &chunk.spans[0];
    let mut headers = HashMap::new();
    trace
        .inject(root, |name, value| assert_eq!(headers.insert(name.to_owned(), value.to_owned()), None))
        .unwrap();
    Taken {
        source,
        trace_id: (ids.trace_high, ids.trace_low),
        parent_id: span.parent_id,
        meta: span.meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        metrics: span.metrics.iter().map(|(key, value)| (key.to_string(), *value)).collect(),
        headers,
        span_id: ids.span,
        links: span.links.len(),
    }
}

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";
const PARENT_NOT_SAMPLED: &str = "00-12345678901234567890123456789012-1234567890123456-00";

#[test]
fn without_headers_a_trace_begins() {
    let taken = take(&[("accept", "*/*")]);
    assert_eq!((taken.source, taken.parent_id, taken.ignored()), (Source::None, 0, 0.0));
    let (high, low) = taken.trace_id;
    assert_eq!(high, 1_700_000_000 << 32);
    assert!(low > 0 && low < 1 << 63);
    let headers: HashMap<_, _> = [
        ("x-datadog-trace-id", low.to_string()),
        ("x-datadog-parent-id", taken.span_id.to_string()),
        ("x-datadog-sampling-priority", "1".into()),
        ("x-datadog-tags", "_dd.p.dm=-0,_dd.p.tid=6553f10000000000".into()),
        ("traceparent", format!("00-{high:016x}{low:016x}-{:016x}-01", taken.span_id)),
        ("tracestate", format!("dd=s:1;p:{:016x};t.dm:-0", taken.span_id)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(taken.headers, headers);
}

#[test]
fn datadogs_headers_are_a_context() {
    let taken = take(&[
        ("X-Datadog-Trace-Id", "1234567890123456789"),
        ("X-DATADOG-PARENT-ID", "987654321"),
        ("x-datadog-sampling-priority", "2"),
        ("x-datadog-origin", "synthetics~;=web,z"),
        ("x-datadog-tags", "_dd.p.tid=640cfd8d00000000,_dd.p.dm=-4,_dd.p.usr.id=baz64==,other=dropped"),
    ]);
    assert_eq!(taken.source, Source::Datadog);
    assert_eq!(taken.trace_id, (0x640c_fd8d_0000_0000, 1_234_567_890_123_456_789));
    assert_eq!((taken.parent_id, taken.priority(), taken.ignored()), (987_654_321, 2.0, 0.0));
    assert_eq!(taken.meta("_dd.origin"), "synthetics~;=web,z");
    assert_eq!((taken.meta("_dd.p.tid"), taken.meta("_dd.p.dm")), ("640cfd8d00000000", "-4"));
    assert_eq!((taken.meta("_dd.p.usr.id"), taken.meta("other")), ("baz64==", ""));
    assert_eq!(taken.header("x-datadog-tags"), "_dd.p.dm=-4,_dd.p.usr.id=baz64==,_dd.p.tid=640cfd8d00000000");
    assert_eq!(taken.header("x-datadog-origin"), "synthetics~;=web,z");
    assert_eq!(taken.own(), ["s:2", "o:synthetics__~web_z", "t.dm:-4", "t.usr.id:baz64~~"]);
    assert!(taken.header("traceparent").starts_with("00-640cfd8d00000000112210f47de98115-"));
    assert!(taken.header("traceparent").ends_with("-01"));
}

#[test]
fn w3cs_headers_are_a_context() {
    let taken = take(&[
        ("traceparent", PARENT),
        ("TraceState", "key1=value1,dd=s:2;o:rum;p:0123456789abcdef;t.dm:-4;t.usr.id:12345~;x:y, k2=v 2"),
    ]);
    assert_eq!(taken.source, Source::TraceContext);
    assert_eq!(taken.trace_id, (0x1234_5678_9012_3456, 0x7890_1234_5678_9012));
    assert_eq!((taken.parent_id, taken.priority()), (0x1234_5678_9012_3456, 2.0));
    assert_eq!((taken.meta("_dd.parent_id"), taken.meta("_dd.origin")), ("0123456789abcdef", "rum"));
    assert_eq!(taken.meta("_dd.p.usr.id"), "12345=");
    assert_eq!(taken.header("x-datadog-trace-id"), 0x7890_1234_5678_9012_u64.to_string());
    assert!(taken.header("x-datadog-tags").contains("_dd.p.usr.id=12345="));
    assert_eq!(taken.own(), ["s:2", "o:rum", "t.dm:-4", "t.usr.id:12345~", "x:y"]);
    assert!(taken.header("tracestate").ends_with(",key1=value1,k2=v 2"));
}

#[test]
fn the_sampled_flag_overrules_a_priority_that_says_the_opposite() {
    for (parent, state, priority, maker) in [
        (PARENT, "", 1.0, "-0"),
        (PARENT, "foo=1,dd=s:-1", 1.0, "-0"),
        (PARENT, "foo=1,dd=s:2", 2.0, ""),
        (PARENT, "foo=1,dd=s:0;t.dm:-0", 1.0, "-0"),
        (PARENT, "foo=1,dd=s:-1;t.dm:-4", 1.0, "-0"),
        (PARENT_NOT_SAMPLED, "", 0.0, ""),
        (PARENT_NOT_SAMPLED, "foo=1,dd=s:-1", -1.0, ""),
        (PARENT_NOT_SAMPLED, "foo=1,dd=s:2;t.dm:-4", 0.0, ""),
    ] {
        let taken = take(&[("traceparent", parent), ("tracestate", state)]);
        assert_eq!((taken.priority(), taken.meta("_dd.p.dm")), (priority, maker), "{parent} {state}");
        assert!(taken.header("traceparent").ends_with(if priority > 0.0 { "-01" } else { "-00" }));
        assert_eq!(taken.own()[0], format!("s:{priority}"));
        assert_eq!(taken.header("tracestate").contains(",foo=1"), !state.is_empty());
    }
}

#[test]
fn of_both_families_the_rule_says_what_counts() {
    let high = "_dd.p.tid=1111111111111111";
    for (parent, state, trace_id, tags, parent_id, source, wanted_parent, last_parent) in [
        // The same in both.
        (
            "00-11111111111111110000000000000001-000000003ade68b1-01",
            "dd=s:2;p:000000003ade68b1,foo=1",
            "1",
            high,
            "987654321",
            Source::Both,
            987_654_321,
            "",
        ),
        // Another trace.
        (
            "00-11111111111111110000000000000002-000000003ade68b1-01",
            "dd=s:2;p:000000000000000a,foo=1",
            "2",
            "_dd.p.tid=2222222222222222",
            "10",
            Source::Datadog,
            10,
            "",
        ),
        // Somebody stood between, and the last of ours is in tracestate.
        (
            "00-11111111111111110000000000000003-000000003ade68b1-01",
            "dd=s:2;p:000000000000000a,foo=1",
            "3",
            high,
            "10",
            Source::Both,
            987_654_321,
            "000000000000000a",
        ),
        // And is in Datadog's header only.
        (
            "00-00000000000000000000000000000004-000000003ade68b1-01",
            "dd=s:2,foo=1",
            "4",
            "",
            "10",
            Source::Both,
            987_654_321,
            "000000000000000a",
        ),
        // Both say one.
        (
            "00-00000000000000000000000000000005-000000003ade68b1-01",
            "dd=s:2;p:8fffffffffffffff,foo=1",
            "5",
            "",
            "10",
            Source::Both,
            987_654_321,
            "8fffffffffffffff",
        ),
        // The high half was not sent.
        (
            "00-11111111111111110000000000000006-000000000000000a-01",
            "foo=1",
            "6",
            "",
            "10",
            Source::Both,
            10,
            "",
        ),
    ] {
        let taken = take(&[
            ("traceparent", parent),
            ("tracestate", state),
            ("x-datadog-trace-id", trace_id),
            ("x-datadog-tags", tags),
            ("x-datadog-parent-id", parent_id),
        ]);
        assert_eq!((taken.source, taken.parent_id), (source, wanted_parent), "{trace_id}");
        assert_eq!(taken.meta("_dd.parent_id"), last_parent, "{trace_id}");
        assert_eq!(taken.header("tracestate").contains(",foo=1"), source == Source::Both, "{trace_id}");
        let wanted_high = match (source, &parent[3..19]) {
            (Source::Datadog, _) => 0x2222_2222_2222_2222,
            (_, high) => u64::from_str_radix(high, 16).unwrap(),
        };
        assert_eq!(taken.trace_id, (wanted_high, trace_id.parse().unwrap()));
        assert_eq!(taken.ignored(), 0.0);
        assert_eq!(taken.links, usize::from(source == Source::Datadog));
    }
}

#[test]
fn a_trace_that_is_not_continued_is_linked() {
    let mut trace = Trace::new(TraceOptions::default(), 7);
    let headers: [(&[u8], &[u8]); 4] = [
        (b"traceparent", PARENT.as_bytes()),
        (b"tracestate", b"foo=1,dd=s:2;p:000000000000000a"),
        (b"x-datadog-trace-id", b"5"),
        (b"x-datadog-parent-id", b"6"),
    ];
    trace.extract(headers).unwrap();
    let root = trace.start(None, b"root", 1).unwrap();
    trace.start(Some(root), b"child", 1).unwrap();
    let mut body = Vec::new();
    trace.encode(0, &mut body);
    let arena = Bump::new();
    let (_, mut reader) = TraceReader::open(Format::V04, &body, &arena).unwrap();
    let chunk = reader.next_chunk(&arena).unwrap().unwrap();
    let link = &chunk.spans[0].links[0];
    assert_eq!((link.trace_id_high, link.trace_id), (0x1234_5678_9012_3456, 0x7890_1234_5678_9012));
    assert_eq!((link.span_id, link.flags), (0x1234_5678_9012_3456, 1 << 31 | 1));
    assert_eq!(link.tracestate, "dd=s:2;p:000000000000000a,foo=1");
    assert_eq!(link.attributes[..], [("reason", "terminated_context"), ("context_headers", "tracecontext")]);
    assert_eq!((chunk.spans[0].links.len(), chunk.spans[1].links.len()), (1, 0));
}

#[test]
fn what_datadogs_headers_say_is_not_overruled_and_what_they_do_not_say_is_completed() {
    let both = |datadog: &[(&'static str, &'static str)]| {
        let mut headers = vec![
            ("traceparent", "00-0000000000000000000000000000000c-000000000000000a-01"),
            ("tracestate", "dd=s:2;o:rum;t.dm:-3;t.a:b"),
            ("x-datadog-trace-id", "12"),
            ("x-datadog-parent-id", "10"),
        ];
        headers.extend_from_slice(datadog);
        take(&headers)
    };
    let taken = both(&[
        ("x-datadog-sampling-priority", "-1"),
        ("x-datadog-origin", "lambda"),
        ("x-datadog-tags", "_dd.p.c=d"),
    ]);
    assert_eq!((taken.priority(), taken.meta("_dd.origin")), (-1.0, "lambda"));
    assert_eq!((taken.meta("_dd.p.a"), taken.meta("_dd.p.c")), ("", "d"));
    let taken = both(&[]);
    assert_eq!((taken.priority(), taken.meta("_dd.origin")), (2.0, "rum"));
    assert_eq!((taken.meta("_dd.p.a"), taken.meta("_dd.p.dm")), ("b", "-3"));
}

#[test]
fn a_malformed_header_is_ignored_whole_and_counted() {
    let with = |headers: &[(&'static str, &'static str)]| {
        let mut all = vec![("x-datadog-trace-id", "5"), ("x-datadog-parent-id", "6")];
        all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
        all.extend_from_slice(headers);
        take(&all)
    };
    for (name, value) in [
        ("x-datadog-trace-id", "0"),
        ("x-datadog-trace-id", ""),
        ("x-datadog-trace-id", "+5"),
        ("x-datadog-trace-id", "0x5"),
        ("x-datadog-trace-id", "5, 5"),
        ("x-datadog-trace-id", "18446744073709551616"),
        ("x-datadog-parent-id", "-1"),
        ("x-datadog-parent-id", "six"),
    ] {
        let taken = with(&[(name, value)]);
        assert_eq!(
            (taken.source, taken.parent_id, taken.ignored()),
            (Source::None, 0, 1.0),
            "{name}: {value}"
        );
    }
    for (name, value) in [
        ("x-datadog-sampling-priority", "9"),
        ("x-datadog-sampling-priority", "1.5"),
        ("x-datadog-origin", "a\r\nb"),
        ("x-datadog-origin", "é"),
        ("x-datadog-tags", "_dd.p.tid=1234567890abcdeX,_dd.p.a=b"),
        ("x-datadog-tags", "_dd.p.tid=1234567890abcde"),
        ("x-datadog-tags", "_dd.p.tid=1234567890abcdef1"),
        ("x-datadog-tags", "_dd.p.a=b,_dd.p.a=c"),
        ("x-datadog-tags", "_dd.p.a"),
        ("x-datadog-tags", "_dd.p.dm=\u{1}"),
        ("x-datadog-tags", "_dd.p.dm=yes"),
    ] {
        let taken = with(&[(name, value)]);
        assert_eq!(
            (taken.source, taken.ignored(), taken.trace_id),
            (Source::Datadog, 1.0, (0, 5)),
            "{value}"
        );
        assert_eq!((taken.meta("_dd.origin"), taken.meta("_dd.p.a")), ("", ""));
        let error = if name == "x-datadog-tags" { "decoding_error" } else { "" };
        assert_eq!(taken.meta("_dd.propagation_error"), error);
        assert_eq!(taken.priority(), 1.0);
    }
    let long = "_dd.p.a=".to_owned() + &"b".repeat(505);
    let taken = take(&[("x-datadog-trace-id", "5"), ("x-datadog-tags", &long)]);
    assert_eq!((taken.ignored(), taken.meta("_dd.propagation_error")), (1.0, "extract_max_size"));
    assert!(!taken.header("x-datadog-tags").contains("_dd.p.a"));
}

#[test]
fn a_traceparent_is_as_w3c_says_or_ignored() {
    for value in [
        "",
        "00-12345678901234567890123456789012-1234567890123456",
        "00-12345678901234567890123456789012-1234567890123456-01-what",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-1234567890123456789012345678901-1234567890123456-01",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-12345678901234560000000000000000-1234567890123456-01",
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-1234567890123456789012345678901A-1234567890123456-01",
        "ff-12345678901234567890123456789012-1234567890123456-01",
        "0g-12345678901234567890123456789012-1234567890123456-01",
        "00-12345678901234567890123456789012-1234567890123456-01, 00-12345678901234567890123456789012-1-01",
    ] {
        let taken = take(&[("traceparent", value), ("tracestate", "foo=1")]);
        assert_eq!((taken.source, taken.ignored()), (Source::None, 1.0), "{value}");
        assert!(!taken.header("tracestate").contains("foo"));
    }
    let taken = take(&[("traceparent", PARENT), ("traceparent", PARENT)]);
    assert_eq!((taken.source, taken.ignored()), (Source::None, 1.0));
    let later = "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future";
    let taken = take(&[("traceparent", later)]);
    assert_eq!((taken.source, taken.ignored()), (Source::TraceContext, 0.0));
    assert!(taken.header("traceparent").starts_with("00-1234567890123456"));
}

#[test]
fn other_vendors_members_are_handed_on_in_order_within_w3cs_bounds() {
    let foreign = |state: &str| {
        let taken = take(&[("traceparent", PARENT), ("tracestate", state)]);
        let (_, foreign) = taken.header("tracestate").split_once(',').unwrap_or_default();
        (foreign.to_owned(), taken.ignored())
    };
    assert_eq!(foreign("foo=1 \t , \t bar=2,, \tbaz=3\t").0, "foo=1,bar=2,baz=3");
    assert_eq!(foreign("foo=1,foo=2").0, "foo=1");
    assert_eq!(foreign("a@b=1,_0-*/=2"), (String::new(), 1.0));
    let members = |count: usize| (1..=count).map(|at| format!("k{at}=v{at}")).collect::<Vec<_>>().join(",");
    assert_eq!(foreign(&members(31)).0, members(31));
    assert_eq!(foreign(&(members(31) + ",dd=s:1")).0, members(31));
    assert_eq!(foreign(&members(32)).0, members(31), "ours needs a place");
    assert_eq!(foreign(&members(33)), (String::new(), 1.0));
    for bad in ["Foo=1", "foo", "foo=", "=1", "f@o@o=1", "foo=a=b", "foo=\u{7f}"] {
        assert_eq!(foreign(&format!("ok=1,{bad}")), (String::new(), 1.0), "{bad}");
    }
    assert_eq!(foreign(&format!("foo={}", "x".repeat(257))), (String::new(), 1.0));
    let long = vec![format!("foo={}", "x".repeat(252)); 32].join(",");
    assert!(long.len() > TRACESTATE_MAX_BYTES);
    assert_eq!(foreign(&long), (String::new(), 1.0));
    // Ours alone is malformed.
    for bad in ["dd=s:9", "dd=p:XX!X", "dd=t.dm:yes", "dd=s", "dd=t.:1"] {
        assert_eq!(foreign(&format!("foo=1,{bad};o:rum,bar=2")), ("foo=1,bar=2".to_owned(), 1.0), "{bad}");
    }
    let taken = take(&[
        ("tracestate", "foo=1,bar=2"),
        ("traceparent", PARENT),
        ("tracestate", ""),
        ("tracestate", "baz=3"),
    ]);
    assert!(taken.header("tracestate").ends_with(",foo=1,bar=2,baz=3"));
}

#[test]
fn our_member_holds_what_fits_and_the_decision_first() {
    let tags: Vec<_> = (0..25).map(|at| format!("_dd.p.k{at}=value-{at}")).collect();
    let taken = take(&[
        ("x-datadog-trace-id", "5"),
        ("x-datadog-sampling-priority", "1"),
        ("x-datadog-origin", "rum "),
        ("x-datadog-tags", &(tags.join(",") + ",_dd.p.dm=-1")),
    ]);
    let own = taken.header("tracestate").strip_prefix("dd=").unwrap();
    assert!(own.len() <= 256 && own.contains(";t.dm:-1;t.k0:value-0"), "{own}");
    assert!(taken.header("x-datadog-tags").contains("_dd.p.k24=value-24"));
}

#[test]
fn seeds_of_headers_are_survived() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/trace_headers");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        (0..=seed.len()).for_each(|length| targets::trace_headers(&seed[..length]));
        for at in 0..seed.len() {
            for value in *b"\0\n ,-:;=~0fx\x7f\xff" {
                let mut changed = seed.clone();
                changed[at] = value;
                targets::trace_headers(&changed);
            }
        }
        count += 1;
    }
    assert!(count >= 3, "few seeds in {}", folder.display());
}

proptest! {
    #[test]
    fn whatever_the_headers_what_is_handed_on_is_well_formed(
        lines in prop::collection::vec(
            prop_oneof![
                "x-datadog-trace-id: ?[0-9]{1,21}",
                "x-datadog-parent-id: ?[0-9]{1,21}",
                "x-datadog-sampling-priority: ?-?[0-3]",
                "x-datadog-origin:[ -~é]{0,140}",
                "x-datadog-tags:(_dd\\.p\\.[a-d:;~,= ]{1,9}=[ -~]{0,12},){0,12}(_dd\\.p\\.(tid=[0-9a-f]{16}|dm=-[0-9]))?",
                "traceparent: ?0[01]-[0-9a-f]{16}000000000000000[0-9a]-[0-9a-f]{16}-0[01]",
                "tracestate: ?([a-z0-9]{1,3}=[!-+.-<>-~ ]{1,9}, ?){0,40}(dd=(s:[0-2];)?(o:[!-+.-:<>-~]{1,130};)?(t\\.[a-c]{1,2}:[!-+.-:<>-~]{1,9};){0,5}(p:[0-9a-f]{16};)?(x:y)?)?",
            ],
            0..8,
        ),
    ) {
        targets::trace_headers(lines.join("\n").as_bytes());
    }
}
