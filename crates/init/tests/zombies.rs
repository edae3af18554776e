//! Processes without a parent, and processes that outlive the child.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use std::process::{Command, Stdio};
use support::{PROBE, Wrapper, as_pid_1, send_numbers};

/// Set for the long run.
const FULL: &str = "LASTLIGHT_INIT_FULL";

#[expect(clippy::disallowed_methods, reason = "how a person asks for the long run")]
fn orphans() -> u64 {
    if std::env::var_os(FULL).is_some() { 10_000 } else { 1_000 }
}

/// How many orphans a supervisor says that it reaped.
fn reaped(stderr: &[String]) -> u64 {
    stderr.iter().find_map(|line| line.strip_prefix("init: orphans ")?.parse().ok()).unwrap()
}

#[test]
fn l98_a_subreaper_reaps_a_thousand_orphans() {
    let count = orphans();
    let left = Wrapper::start(&["--subreaper"], &[PROBE, "orphans", &count.to_string()]).end();
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    assert_eq!(left.stdout, ["reaped"]);
    assert_eq!(reaped(&left.stderr), count);
}

#[test]
fn l98_pid_1_reaps_a_thousand_orphans() {
    let count = orphans();
    let Some(wrapper) = as_pid_1(["run", "--", PROBE, "orphans", &count.to_string()]) else { return };
    let left = wrapper.end();
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    assert_eq!(reaped(&left.stderr), count);
}

#[test]
fn orphans_are_left_to_their_reaper_by_default() {
    let left = Wrapper::start(&[], &["sh", "-c", "sh -c 'true &'"]).end();
    assert_eq!(left.status.code(), Some(0));
    assert_eq!(reaped(&left.stderr), 0);
}

#[test]
fn l94_a_grandchild_that_holds_stdout_holds_nothing_up() {
    for options in [&[][..], &["--pipe"]] {
        let mut wrapper = Wrapper::start(options, &["sh", "-c", "sleep 600 & echo $! >&2; exit 4"]);
        // The end of the process, while our side of its output is still open.
        assert_eq!(wrapper.wait().code(), Some(4));
        send_numbers(wrapper.err_line().parse().unwrap(), &[9]);
    }
}

#[test]
fn what_outlives_the_child_is_not_signalled() {
    let mut wrapper = Wrapper::start(&[], &["sh", "-c", "\"$0\" signals 12 & echo $! >&2", PROBE]);
    assert_eq!(wrapper.wait().code(), Some(0));
    assert_eq!(wrapper.line(), "ready");
    send_numbers(wrapper.err_line().parse().unwrap(), &[12]);
    // No SIGTERM came before.
    assert_eq!(wrapper.line(), "12 other");
}

#[test]
fn pid_1_takes_what_is_left_with_it() {
    let Some(wrapper) = as_pid_1(["run", "--", "sh", "-c", "sleep 600 & exit 8"]) else { return };
    // Waits for the end of the output, which the kernel's killing of the namespace closes.
    assert_eq!(wrapper.code(), 8);
}

#[test]
fn children_that_were_there_before_us_disturb_nothing() {
    let script = "true & sleep 0 & exec \"$0\" run -- sh -c 'exit 12'";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROBE]).stdin(Stdio::null());
    assert_eq!(Wrapper::of(&mut command).code(), 12);
}
