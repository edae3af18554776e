//! The examples compile without a warning, run, and what they sent is at the backend, once.

#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use support::{Link, MODES, backend, both, built, compile, host, root, run_well, wait};
use testkit::Backend;

/// Every span of a service is there, once, and nothing of others.
fn assert_spans(backend: &Backend, service: &str, names: &[(&str, usize)], context: &str) {
    let spans = backend.spans();
    for (name, count) in names {
        let found = spans.iter().filter(|span| span.name == *name && span.service == service).count();
        assert_eq!(found, *count, "{name}: {context}");
    }
    assert_eq!(spans.len(), names.iter().map(|(_, count)| count).sum::<usize>(), "{context}");
    assert_eq!(backend.duplicates(), [0_u64; 0], "{context}");
    assert_eq!(backend.counts().undecodable, 0, "{context}");
}

#[test]
fn the_smallest_program_delivers_its_span_in_each_mode_and_linked_either_way() {
    for link in [Link::Shared, Link::Static] {
        let program = compile("examples/c/minimal.c", link, &[]);
        for mode in MODES {
            let backend = backend();
            let output = run_well(&mut host(&program, &backend, mode));
            assert_spans(
                &backend,
                "minimal",
                &[("job.run", 1)],
                &format!("{link:?} {mode}: {}", both(&output)),
            );
            let span = &backend.spans()[0];
            assert_eq!(span.meta.get("job.kind").map(String::as_str), Some("example"));
        }
    }
}

#[test]
fn every_span_of_forked_workers_arrives_once_in_each_mode() {
    let program = compile("examples/c/prefork.c", Link::Static, &[]);
    for mode in MODES {
        let backend = backend();
        let output = run_well(host(&program, &backend, mode).args(["5", "60"]));
        let names = [("web.request", 300), ("db.query", 300)];
        assert_spans(&backend, "prefork", &names, &format!("{mode}: {}", both(&output)));
    }
}

#[test]
fn a_trace_goes_on_from_its_context_and_says_what_it_was_told() {
    let program = compile("examples/c/builder.c", Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        let output = run_well(&mut host(&program, &backend, mode));
        wait(&backend, |backend| backend.span_count() == 3 && backend.events().len() == 1);
        wait(&backend, |backend| backend.metrics().total("cart.viewed", &["shop:example"]) == 1.0);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let spans = backend.spans();
        let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}"));
        let (root, call, lost) = (of("web.request"), of("http.request"), of("cache.get"));
        assert_eq!((root.trace_id, root.parent_id, root.resource.as_str()), (42, 11, "GET /cart"), "{mode}");
        assert_eq!(
            (call.parent_id, call.error, call.service.as_str()),
            (root.span_id, 1, "builder-payments")
        );
        assert_eq!(call.meta.get("error.message").map(String::as_str), Some("no answer from payments"));
        assert_eq!(call.metrics.get("payment.amount"), Some(&12.5));
        assert_eq!((lost.parent_id, lost.metrics.get("lastlight.unfinished")), (root.span_id, Some(&1.0)));
        assert!(said.contains(&format!("x-datadog-parent-id: {}\n", call.span_id)), "{said}");
        assert!(said.contains("traceparent: 00-0000000000000001000000000000002a-"), "{said}");
        assert!(said.contains("dd.trace_id=0000000000000001000000000000002a "), "{said}");
    }
}

#[test]
fn threads_share_a_handle() {
    let program = compile("examples/cpp/threads.cpp", Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        let output = run_well(host(&program, &backend, mode).args(["4", "100"]));
        assert_spans(&backend, "threads", &[("job.run", 400)], &format!("{mode}: {}", both(&output)));
    }
}

#[test]
fn every_span_of_processes_that_python_forks_arrives_once() {
    if !support::is_installed("python3") {
        return;
    }
    // Not the shim of a version manager, which wants more of the environment than it gets.
    let found =
        run_well(std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]));
    let python = String::from_utf8(found.stdout).expect("a path");
    for mode in MODES {
        let backend = backend();
        let mut python = host(Path::new(python.trim()), &backend, mode);
        python.arg(root().join("examples/python/prefork.py")).args(["3", "40"]);
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        let output = run_well(python.env("LASTLIGHT_LIBRARY", built().join("liblastlight.so")));
        // A parent, three children, three grandchildren.
        let names = [("job.run", 280), ("db.query", 280)];
        assert_spans(&backend, "python-prefork", &names, &format!("{mode}: {}", both(&output)));
    }
}
