//! Every signal from outside reaches the child, and none is lost on the way.
#![cfg(target_os = "linux")]

mod support;

use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use support::{PROBE, Wrapper, as_pid_1, send_numbers};

/// Real-time signals that programs may use.
const REAL_TIME: std::ops::RangeInclusive<u8> = 34..=64;
/// Ends the probe `signals`.
const LAST: u8 = 64;

/// Signals that can be sent to a process and caught by it, one after another: CONT and those that stop take each
/// other out of the queue.
fn forwardable() -> impl Iterator<Item = u8> {
    // KILL and STOP cannot be caught, CHLD speaks of our own children, 32 and 33 are the C library's.
    (1..=64).filter(|number| ![9, 17, 19, 32, 33].contains(number))
}

fn start(options: &[&str], until: u8) -> Wrapper {
    let wrapper = Wrapper::start(options, &[PROBE, "signals", &until.to_string()]);
    assert_eq!(wrapper.line(), "ready");
    wrapper
}

#[test]
fn every_forwardable_signal_reaches_the_child() {
    let wrapper = start(&[], LAST);
    for number in forwardable() {
        send_numbers(wrapper.pid(), &[number]);
        assert_eq!(wrapper.line(), format!("{number} parent"));
    }
    assert_eq!(wrapper.code(), 7);
}

#[test]
fn every_forwardable_signal_reaches_the_child_of_pid_1() {
    let arguments = ["run", "--", "sh", "-c", "echo $PPID; exec \"$0\" signals 64", PROBE];
    let Some(wrapper) = as_pid_1(arguments) else { return };
    assert_eq!(wrapper.line(), "1", "the supervisor is PID 1");
    assert_eq!(wrapper.line(), "ready");
    // Its number outside is that of the one child of `unshare`.
    let children = format!("/proc/{0}/task/{0}/children", wrapper.pid());
    let pid: i32 = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    for number in forwardable() {
        send_numbers(pid, &[number]);
        assert_eq!(wrapper.line(), format!("{number} parent"));
    }
    assert_eq!(wrapper.code(), 7);
}

#[test]
fn l97_a_burst_of_a_hundred_signals_arrives_whole() {
    let wrapper = start(&[], LAST);
    // While the supervisor stands still, so that all of them wait together. CONT comes by itself at the end; of the
    // stopping ones the same is true as above.
    let mut burst: Vec<u8> =
        (1..=31).filter(|number| ![9, 17, 18, 19, 20, 21, 22].contains(number)).collect();
    burst.extend(REAL_TIME.filter(|number| *number != LAST).cycle().take(75));
    burst.push(LAST);
    assert_eq!(burst.len(), 100);
    wrapper.send(Signal::SIGSTOP);
    send_numbers(wrapper.pid(), &burst);
    wrapper.send(Signal::SIGCONT);
    let left = wrapper.end();
    let mut arrived: Vec<u8> =
        left.stdout.iter().filter_map(|line| line.strip_suffix(" parent")?.parse().ok()).collect();
    // The one that let the supervisor go on.
    arrived.retain(|number| *number != 18);
    arrived.sort_unstable();
    burst.sort_unstable();
    assert_eq!(arrived, burst);
    assert_eq!(left.status.code(), Some(7));
}

#[test]
fn l96_a_signal_while_the_child_starts_is_the_childs() {
    for _ in 0..100 {
        let wrapper = Wrapper::start(&["--say-blocked"], &[PROBE, "signals", "15"]);
        wrapper.said("blocked");
        // The child may not exist yet, exist and not run yet, run and not have blocked signals yet.
        wrapper.send(Signal::SIGTERM);
        let left = wrapper.end();
        let code = left.status.code().unwrap_or_else(|| panic!("the supervisor died: {left:?}"));
        assert!(code == 7 || code == 128 + 15, "{left:?}");
        assert!(left.stderr.contains(&"init: SIGTERM first=true".into()), "{left:?}");
    }
}

#[test]
fn signals_go_to_the_whole_group_of_the_child() {
    // The shell waits for its pipeline, whose members hear the signal too.
    let script = r#""$0" signals 12 | { read x; echo $x; cat; }; echo over"#;
    let wrapper = Wrapper::start(&[], &["sh", "-c", &format!("trap '' USR2; {script}"), PROBE]);
    assert_eq!(wrapper.line(), "ready");
    wrapper.send(Signal::SIGUSR2);
    // Sent by the supervisor, which is not the parent of a pipeline's member.
    assert_eq!(wrapper.line(), "12 other");
    assert_eq!(wrapper.line(), "over");
    assert_eq!(wrapper.code(), 0);
}

#[test]
fn the_child_gets_the_mask_and_the_dispositions_that_we_got() {
    let masks = |command: &mut Command| -> Vec<String> {
        let of_interest =
            |line: &String| ["SigBlk", "SigIgn", "SigCgt"].iter().any(|name| line.starts_with(name));
        Wrapper::of(command).end().stdout.into_iter().filter(of_interest).collect()
    };
    let plain = masks(Command::new("cat").arg("/proc/self/status"));
    let wrapped = masks(Command::new(PROBE).args(["run", "--", "cat", "/proc/self/status"]));
    assert_eq!(plain.len(), 3);
    assert_eq!(wrapped, plain);
    // What `nohup` ignores stays ignored.
    let script = "trap '' HUP USR1; exec \"$@\"";
    let plain = masks(Command::new("sh").args(["-c", script, "sh", "cat", "/proc/self/status"]));
    let wrapped =
        masks(Command::new("sh").args(["-c", script, "sh", PROBE, "run", "--", "cat", "/proc/self/status"]));
    assert!(plain.iter().any(|line| line.starts_with("SigIgn") && line.ends_with("201")), "{plain:?}");
    assert_eq!(wrapped, plain);
    // What was blocked stays blocked.
    let plain = masks(Command::new(PROBE).args(["blocking", "cat", "/proc/self/status"]));
    let wrapped =
        masks(Command::new(PROBE).args(["blocking", PROBE, "run", "--", "cat", "/proc/self/status"]));
    assert!(plain.iter().any(|line| line.starts_with("SigBlk") && line.ends_with("4200")), "{plain:?}");
    assert_eq!(wrapped, plain);
}

#[test]
fn l95_a_child_that_ignores_sigterm_is_left_alone_by_default() {
    let wrapper = start(&[], 12);
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.line(), "15 parent");
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.line(), "15 parent");
    wrapper.send(Signal::SIGUSR2);
    let left = wrapper.end();
    assert_eq!(left.status.code(), Some(7));
    let expected =
        ["init: SIGTERM first=true", "init: SIGTERM first=false", "init: Exited(7)", "init: orphans 0"];
    assert_eq!(left.stderr, expected);
}

#[test]
fn l95_a_child_that_ignores_sigterm_is_killed_after_the_grace() {
    let wrapper = start(&["--kill-after-ms", "50"], LAST);
    wrapper.send(Signal::SIGTERM);
    let left = wrapper.end();
    assert_eq!(left.status.code(), Some(128 + 9));
    assert!(left.stderr.contains(&"init: killed".into()), "{left:?}");
}

#[test]
fn l95_the_whole_group_is_killed_after_the_grace() {
    // A shell that waits for one that ignores the signal: killed alone it would leave the other behind, and with it
    // the pipe of its output, for whose end this test waits.
    let script = "trap '' TERM; \"$0\" signals 64; exit 1";
    let wrapper = Wrapper::start(&["--kill-after-ms", "50"], &["sh", "-c", script, PROBE]);
    assert_eq!(wrapper.line(), "ready");
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.end().status.code(), Some(128 + 9));
}

#[test]
fn another_signal_can_be_the_one_that_asks_to_end() {
    let wrapper = start(&["--term", "3", "--kill-after-ms", "50"], LAST);
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.line(), "15 parent");
    wrapper.send(Signal::SIGQUIT);
    let left = wrapper.end();
    assert_eq!(left.status.code(), Some(128 + 9));
    assert_eq!(left.stderr[0], "init: SIGQUIT first=true");
}

#[test]
fn requests_to_end_are_told_after_the_childs_end_too() {
    let mut wrapper = Wrapper::start(&["--aftermath", "2"], &["sh", "-c", "exit 3"]);
    wrapper.said("Exited(3)");
    wrapper.send(Signal::SIGTERM);
    wrapper.said("SIGTERM first=true");
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.wait().code(), Some(3));
}

#[test]
fn a_child_that_is_stopped_and_goes_on_is_told_and_stops_nobody_without_a_terminal() {
    // A session without a terminal, as in a container: nobody waits who could continue us.
    let script = "echo $$; kill -STOP $$; exec \"$0\" signals 12";
    let mut command = Command::new("setsid");
    command.args(["--wait", PROBE, "run", "--", "sh", "-c", script, PROBE]);
    let wrapper = Wrapper::of(&mut command);
    let child: i32 = wrapper.line().parse().unwrap();
    wrapper.said("stopped by SIGSTOP");
    send_numbers(child, &[18]);
    wrapper.said("continued");
    assert_eq!(wrapper.line(), "ready");
    send_numbers(child, &[12]);
    wrapper.said("Exited(7)");
    assert_eq!(wrapper.code(), 7);
}

#[test]
fn a_stop_through_us_reaches_the_child_and_so_does_its_end() {
    let mut command = Command::new("setsid");
    command.args([
        "--wait",
        "sh",
        "-c",
        "echo $$; exec \"$0\" run -- sh -c 'echo up; while :; do read x; done'",
        PROBE,
    ]);
    let wrapper = Wrapper::of(&mut command);
    let supervisor: i32 = wrapper.line().parse().unwrap();
    assert_eq!(wrapper.line(), "up");
    send_numbers(supervisor, &[20]);
    wrapper.said("stopped by SIGTSTP");
    send_numbers(supervisor, &[18]);
    wrapper.said("continued");
    send_numbers(supervisor, &[15]);
    let left = wrapper.end();
    assert_eq!((left.status.code(), left.status.signal()), (Some(128 + 15), None));
}
