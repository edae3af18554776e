//! What must hold of the headers of a request, whatever they are. The fuzz target and the replay in
//! `tests/context.rs` share this.

use lastlight_tracer::{
    DATADOG_TAGS_MAX_BYTES, ORIGIN_MAX_BYTES, Source, TRACESTATE_MAX_BYTES, TRACESTATE_MEMBER_MAX_BYTES,
    TRACESTATE_MEMBERS_MAX_COUNT, Trace, TraceOptions,
};

/// Headers as lines, `name: value`.
pub fn trace_headers(lines: &[u8]) {
    let headers = || {
        lines.split(|byte| *byte == b'\n').map(|line| match line.iter().position(|byte| *byte == b':') {
            Some(end) => (&line[..end], &line[end + 1..]),
            None => (line, &[][..]),
        })
    };
    let mut trace = Trace::new(TraceOptions::default(), 1);
    let source = trace.extract(headers()).expect("no span has begun");
    let root = trace.start(None, b"root", 1_700_000_000_000_000_000).expect("there is room for one");
    let ids = trace.ids(root).expect("it has begun");
    assert!(ids.trace_low != 0);

    let mut injected: Vec<(String, String)> = Vec::new();
    trace.inject(root, |name, value| injected.push((name.into(), value.into()))).expect("it has begun");
    for (name, value) in &injected {
        assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {value}");
        match name.as_str() {
            "x-datadog-tags" => assert!(value.len() <= DATADOG_TAGS_MAX_BYTES),
            "x-datadog-origin" => assert!((1..=ORIGIN_MAX_BYTES).contains(&value.len())),
            "tracestate" => {
                let members: Vec<_> = value.split(',').collect();
                let own = members[0].strip_prefix("dd=").expect("ours is the first");
                assert!(
                    own.len() <= TRACESTATE_MEMBER_MAX_BYTES && !own.contains('=') && !own.ends_with(' ')
                );
                assert!(members.len() <= TRACESTATE_MEMBERS_MAX_COUNT);
                assert!(value.len() <= TRACESTATE_MAX_BYTES + TRACESTATE_MEMBER_MAX_BYTES + 4);
            }
            _ => {}
        }
    }

    // Whoever is called takes the same trace from either family, and hands the same on.
    let hands_on = |wanted: Source, is_taken: &dyn Fn(&str) -> bool| {
        let mut called = Trace::new(TraceOptions::default(), 2);
        let headers = injected.iter().filter(|(name, _)| is_taken(name));
        let source = called.extract(headers.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        assert_eq!(source, Ok(wanted));
        let root = called.start(None, b"root", 0).expect("there is room for one");
        let called_ids = called.ids(root).expect("it has begun");
        assert_eq!((called_ids.trace_low, called_ids.trace_high), (ids.trace_low, ids.trace_high));
        assert_eq!(called.priority(), trace.priority(), "{injected:?}");
        let mut body = Vec::new();
        called.encode(0, &mut body);
        assert!(!body.windows(9).any(|bytes| bytes == b"_ignored\xcb"), "our own headers are well-formed");
        let mut again: Vec<(String, String)> = Vec::new();
        called.inject(root, |name, value| again.push((name.into(), value.into()))).expect("it has begun");
        again
    };
    let is_datadog = |name: &str| name.starts_with("x-datadog-");
    let only = |headers: &[(String, String)], name: &str| {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    // Tags that did not fit into their header took the high half of the trace id with them.
    if only(&injected, "x-datadog-tags").is_some() || ids.trace_high == 0 {
        let again = hands_on(Source::Datadog, &is_datadog);
        for name in ["x-datadog-tags", "x-datadog-origin", "x-datadog-sampling-priority"] {
            assert_eq!(only(&again, name), only(&injected, name));
        }
    }
    hands_on(Source::TraceContext, &|name| !is_datadog(name));
    let again = hands_on(Source::Both, &|_| true);
    let foreign = |headers: &[(String, String)]| {
        only(headers, "tracestate").and_then(|state| Some(state.split_once(',')?.1.to_owned()))
    };
    assert_eq!(foreign(&again), foreign(&injected));

    if source == Source::None {
        assert_eq!(ids.trace_high, 1_700_000_000 << 32);
    }
}
