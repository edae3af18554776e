//! A good guest: what the library does to its host is nothing (sidecar.md §13, losses.md J).

#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use support::{Link, MODES, backend, both, built, compile, host, is_installed, run_well};
use testkit::Backend;

const GUEST: &str = "crates/capi/tests/hosts/guest.c";

fn guest(link: Link, flags: &[&str]) -> PathBuf {
    compile(GUEST, link, flags)
}

/// Runs a host that has to find everything in order and to write nothing.
fn quietly(command: &mut Command) -> Output {
    let output = run_well(command);
    assert_eq!(both(&output), "", "{command:?} wrote");
    output
}

fn assert_spans(backend: &Backend, names: &[(&str, usize)], context: &str) {
    let spans = backend.spans();
    for (name, count) in names {
        let found = spans.iter().filter(|span| span.name == *name).count();
        assert_eq!(found, *count, "{name}: {context}");
    }
    assert_eq!(backend.duplicates(), [0_u64; 0], "{context}");
}

#[test]
fn l127_the_library_changes_no_signal_no_environment_writes_nothing_and_leaves_no_child() {
    for link in [Link::Shared, Link::Static] {
        for (mode, threads) in [("subprocess", "0"), ("auto", "0"), ("thread", "1")] {
            let backend = backend();
            quietly(host(&guest(link, &[]), &backend, mode).args(["quiet", threads]));
            assert_spans(&backend, &[("quiet", 1)], mode);
        }
    }
}

#[test]
fn l132_a_library_that_is_let_go_can_be_loaded_again() {
    let library = built().join("liblastlight.so");
    let program = compile("crates/capi/tests/hosts/late.c", Link::Late, &[]);
    for mode in MODES {
        for times in [1, 20] {
            let backend = backend();
            let mut late = host(&program, &backend, mode);
            let output = run_well(late.arg(&library).arg(times.to_string()));
            // The standard library keeps a value of the thread that starts another one, and frees it when that ends: until then
            // the dynamic linker keeps the library, as it must.
            let may_stay = mode == "thread" && both(&output) == "stays\n";
            assert!(may_stay || both(&output) == "gone\n", "{mode}: {}", both(&output));
            assert_eq!(backend.metrics().total("late.loaded", &[]), f64::from(times), "{mode}");
        }
    }
}

#[test]
fn every_process_of_a_tree_sends_what_is_its_own_once() {
    let program = guest(Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        quietly(host(&program, &backend, mode).args(["tree", "3"]));
        // 1 + 2 + 4 + 8 processes.
        assert_spans(&backend, &[("before", 15), ("after", 15), ("open", 0)], mode);
    }
}

#[test]
fn threads_and_children_that_are_forked_among_them_lose_nothing() {
    let program = guest(Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        quietly(host(&program, &backend, mode).arg("threads"));
        assert_spans(&backend, &[("shared", 400), ("child", 20)], mode);
    }
}

#[test]
fn l124_whatever_a_caller_says_is_answered() {
    let program = guest(Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        quietly(host(&program, &backend, mode).arg("hostile"));
    }
}

#[test]
fn a_host_that_ends_without_a_close_is_not_held_up() {
    let program = guest(Link::Shared, &[]);
    for mode in MODES {
        let backend = backend();
        // Whoever would wait for delivery waits in vain.
        backend.behave(testkit::Behaviour::slow(Duration::from_secs(60)));
        let mut unclosed = host(&program, &backend, mode);
        let begun = std::time::Instant::now();
        quietly(unclosed.arg("unclosed"));
        assert!(begun.elapsed() < Duration::from_secs(30), "{mode}: {:?}", begun.elapsed());
    }
}

#[test]
fn l121_a_host_without_memory_is_answered_and_lives() {
    for link in [Link::Shared, Link::Static] {
        let program = guest(link, &[]);
        for mode in MODES {
            let backend = backend();
            quietly(host(&program, &backend, mode).arg("memory"));
            assert_spans(&backend, &[("before", 1), ("again", 1)], mode);
        }
    }
}

/// Hosts and what each is asked, for tools that look at memory.
fn asked() -> [(PathBuf, &'static [&'static str]); 5] {
    let flags = &["-fsanitize=address", "-fno-omit-frame-pointer"];
    [
        (compile("examples/c/minimal.c", Link::Static, flags), &[]),
        (compile("examples/c/builder.c", Link::Static, flags), &[]),
        (compile("examples/c/prefork.c", Link::Static, flags), &["2", "20"]),
        (guest(Link::Static, flags), &["hostile"]),
        (guest(Link::Static, flags), &["tree", "2"]),
    ]
}

#[test]
fn hosts_are_clean_under_address_and_leak_sanitizers() {
    for (program, arguments) in asked() {
        for mode in MODES {
            let backend = backend();
            let mut command = host(&program, &backend, mode);
            run_well(command.args(arguments).env("ASAN_OPTIONS", "detect_leaks=1:exitcode=99"));
        }
    }
}

#[test]
fn hosts_are_clean_under_valgrind() {
    if !is_installed("valgrind") {
        return;
    }
    let programs = [
        (compile("examples/c/minimal.c", Link::Shared, &[]), &[][..]),
        (compile("examples/c/builder.c", Link::Shared, &[]), &[]),
        (compile("examples/cpp/threads.cpp", Link::Shared, &[]), &["2", "20"]),
    ];
    for (program, arguments) in programs {
        // No forks: in a child what the server's thread had on its stack has no owner any more, and counts as lost.
        // No subprocess: valgrind ends a program that starts a process as the library does: "Unsupported clone() flags".
        let backend = backend();
        let mut command = host(Path::new("valgrind"), &backend, "thread");
        command.args([
            "--quiet",
            "--error-exitcode=99",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
        ]);
        run_well(command.arg(&program).args(arguments));
    }
}
