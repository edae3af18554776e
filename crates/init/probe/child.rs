//! Children.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use std::ffi::OsString;
use std::fs;
use std::io::{Write as _, stdout};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Command, ExitCode, Stdio};

/// `signals UNTIL`: says `ready`, then the number of each signal that arrives and whether its sender is the parent, one
/// per line, and exits with 7 after the signal of this number.
pub(crate) fn signals(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let until = number(arguments.next());
    let all = SigSet::all();
    all.thread_block().expect("signals can be blocked");
    let signals = SignalFd::new(&all).expect("Linux has signal descriptors");
    say("ready");
    loop {
        let info = signals.read_signal().expect("a descriptor can be read").expect("it blocks");
        say(&format!("{} {}", info.ssi_signo, if info.ssi_pid == parent_id() { "parent" } else { "other" }));
        if info.ssi_signo == until {
            return 7.into();
        }
    }
}

/// `blocking COMMAND…`: becomes a command that finds SIGUSR1 and SIGTERM blocked.
pub(crate) fn blocking(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mask: SigSet = [Signal::SIGUSR1, Signal::SIGTERM].into_iter().collect();
    mask.thread_block().expect("signals can be blocked");
    let error = Command::new(arguments.next().expect("a command")).args(arguments).exec();
    panic!("{error}");
}

/// `orphans COUNT`: leaves that many processes without a parent, and exits with 0 once the supervisor has no
/// children but this process.
pub(crate) fn orphans(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let count = number(arguments.next());
    let own = std::env::current_exe().expect("a program has a path");
    let status = Command::new(own).args(["brood", &count.to_string()]).status().expect("a process starts");
    assert!(status.success());
    while children_of(parent_id()) > 1 {
        std::thread::yield_now();
    }
    say("reaped");
    0.into()
}

/// `brood COUNT`: starts processes and exits without waiting for them.
#[expect(clippy::zombie_processes, reason = "that they are left is what the test is about")]
pub(crate) fn brood(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    for _ in 0..number(arguments.next()) {
        Command::new("true").stdout(Stdio::null()).spawn().expect("a process starts");
    }
    0.into()
}

/// How many processes, ended ones too, have this parent.
fn children_of(parent: u32) -> usize {
    // Processes are numbers; `self` would be one of them once more.
    let is_process =
        |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    let processes = fs::read_dir("/proc").expect("/proc is there").flatten().filter(is_process);
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    // `pid (name) state parent …`, and the name may hold anything.
    let parents = stats.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok());
    parents.filter(|of| *of == parent).count()
}

fn number(argument: Option<OsString>) -> u32 {
    argument.and_then(|argument| argument.to_str()?.parse().ok()).expect("a number")
}

fn say(text: &str) {
    stdout().write_all(format!("{text}\n").as_bytes()).expect("stdout is open");
}
