//! The exit code is the child's, whatever happens.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use support::{PROBE, Wrapper, as_pid_1, code_of};

/// Signals whose default action ends a process, real-time ones included.
fn killing() -> impl Iterator<Item = u8> {
    // Left out: CHLD, URG and WINCH are ignored by default; CONT and the stopping ones do not kill; the C library
    // keeps 32 and 33.
    (1..=64).filter(|number| ![17, 18, 19, 20, 21, 22, 23, 28, 32, 33].contains(number))
}

/// A child that ends itself by a signal, without a core file.
fn suicide(number: u8) -> String {
    format!("ulimit -c 0; kill -{number} $$; while :; do read x; done")
}

#[test]
fn l99_every_exit_code_is_the_childs() {
    for code in 0..=255 {
        assert_eq!(code_of(&[], &["sh", "-c", &format!("exit {code}")]), code);
    }
}

#[test]
fn l99_a_child_killed_by_a_signal_gives_128_and_its_number() {
    for number in killing() {
        assert_eq!(code_of(&[], &["sh", "-c", &suicide(number)]), 128 + i32::from(number));
    }
}

#[test]
fn l99_pid_1_exits_as_its_child_did() {
    for code in [0, 1, 7, 126, 127, 128, 255] {
        let Some(wrapper) = as_pid_1(["run", "--", "sh", "-c", &format!("exit {code}")]) else { return };
        assert_eq!(wrapper.code(), code);
    }
    for number in killing().step_by(4) {
        let Some(wrapper) = as_pid_1(["run", "--", "sh", "-c", &suicide(number)]) else { return };
        assert_eq!(wrapper.code(), 128 + i32::from(number));
    }
}

#[test]
fn l99_what_is_not_there_is_127() {
    for missing in ["init-no-such-program", "/no/such/program"] {
        let left = Wrapper::start(&[], &[missing, "argument"]).end();
        assert_eq!(left.status.code(), Some(127));
        assert_eq!(left.stderr, [format!("init: cannot run {missing}: not found")]);
    }
    // A sole argument is split into words.
    assert_eq!(code_of(&[], &["init-no-such-program with words"]), 127);
    assert_eq!(code_of(&[], &[""]), 127);
}

#[test]
fn l99_what_cannot_be_run_is_126() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let code_and_text = |path: &str| {
        let left = Wrapper::start(&[], &[path, "argument"]).end();
        (left.status.code(), left.stderr.join("\n"))
    };
    let (code, text) = code_and_text(&file("plain", "#!/bin/sh\n", 0o644));
    assert_eq!(code, Some(126), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    let (code, text) = code_and_text(folder.path().to_str().unwrap());
    assert_eq!(code, Some(126), "{text}");
    let (code, text) = code_and_text(&file("no-line", "echo no interpreter named\n", 0o755));
    assert_eq!(code, Some(126), "{text}");
    assert!(text.contains("#! line"), "{text}");
    let (code, text) = code_and_text(&file("lost", "#!/no/such/interpreter\n", 0o755));
    assert_eq!(code, Some(127), "{text}");
    assert!(text.contains("interpreter"), "{text}");
}

#[test]
fn one_quoted_string_is_split_as_a_shell_would() {
    let left = Wrapper::start(&[], &["printf '%s\\n' 'a b' \"c  d\" e\\ f $HOME"]).end();
    assert_eq!(left.stdout, ["a b", "c  d", "e f", "$HOME"]);
    assert_eq!(Wrapper::start(&[], &["sh -c 'exit 42'"]).code(), 42);
}

#[test]
fn the_program_is_looked_for_in_the_childs_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("init-own-tool");
    fs::write(&path, "#!/bin/sh\nexit 33\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let edit = format!("PATH={}", folder.path().display());
    assert_eq!(code_of(&["--env", &edit], &["init-own-tool", ""]), 33);
    assert_eq!(code_of(&[], &["init-own-tool", ""]), 127);
}

#[test]
fn the_environment_reaches_the_child_with_its_changes() {
    let mut command = Command::new(PROBE);
    command.env("INIT_KEPT", "a=b c").env("INIT_GONE", "x").env("INIT_OTHER", "old");
    command.args(["run", "--env", "INIT_GONE", "--env", "INIT_OTHER=new", "--", "env", "-u", "_"]);
    let mut ours: Vec<String> =
        Wrapper::of(&mut command).end().stdout.into_iter().filter(|line| line.starts_with("INIT_")).collect();
    ours.sort();
    assert_eq!(ours, ["INIT_KEPT=a=b c", "INIT_OTHER=new"]);
}

#[test]
fn a_panic_of_the_agents_side_costs_the_child_nothing() {
    let left = Wrapper::start(&["--panic"], &["sh", "-c", "exit 9"]).end();
    assert_eq!(left.status.code(), Some(9));
    assert!(left.stderr.iter().any(|line| line.contains("as the test wants it")), "{left:?}");
}

#[test]
fn an_ignored_sigchld_of_our_parent_hides_no_exit_code() {
    // A shell cannot ignore SIGCHLD for what it runs; Python can.
    let script = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: no python3 here");
        return;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script, PROBE, "run", "--", "sh", "-c", "exit 5"]);
    assert_eq!(Wrapper::of(&mut command).code(), 5);
}
