//! At a terminal: real shells with job control on a pseudo-terminal, and the supervisor in between.
#![cfg(target_os = "linux")]

mod support;

use support::PROBE;
use support::session::{CTRL_C, CTRL_D, CTRL_Z, PROMPT, Session};

#[test]
fn the_child_has_the_terminal_and_gives_it_back() {
    let mut shell = Session::shell();
    // Reads from the terminal, which only its group may.
    shell.enters("$PROBE run -- sh -c 'echo up; read line; echo \"got $line\"; exit 5'");
    shell.shows("up\r\n");
    shell.enters("hello");
    shell.shows("got hello");
    shell.shows(PROMPT);
    shell.enters("echo code $?");
    shell.shows("code 5");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn ctrl_z_stops_both_and_fg_continues_both() {
    let mut shell = Session::shell();
    shell.enters("$PROBE run -- sh -c 'echo up; read line; echo \"got $line\"'");
    shell.shows("up\r\n");
    for _ in 0..3 {
        shell.types(CTRL_Z);
        shell.shows("init: stopped by SIGTSTP");
        shell.shows("Stopped");
        shell.shows(PROMPT);
        shell.enters("fg");
        shell.shows("init: continued");
    }
    shell.enters("after");
    shell.shows("got after");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_child_in_the_background_that_reads_is_stopped_until_it_is_in_front() {
    let mut shell = Session::shell();
    shell.enters("$PROBE run -- sh -c 'read line; echo \"got $line\"' &");
    // The shell's prompt and the supervisor's notice come in any order.
    shell.types("wait; jobs; echo listed\n");
    shell.shows("Stopped");
    shell.shows(&format!("listed\r\n{PROMPT}"));
    shell.enters("fg");
    shell.shows("init: continued");
    shell.enters("late");
    shell.shows("got late");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_child_that_runs_in_the_background_has_the_terminal_after_fg() {
    let mut shell = Session::shell();
    shell.enters(
        "mkfifo $DIR/go; $PROBE run -- sh -c 'read go < $DIR/go; read line; echo \"got $line\"' & echo begun",
    );
    shell.shows("begun\r\n");
    shell.shows(PROMPT);
    shell.enters("fg");
    shell.shows("$DIR/go");
    std::fs::write(shell.folder.path().join("go"), "\n").unwrap();
    shell.enters("front");
    shell.shows("got front");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn ctrl_c_reaches_the_child_once_and_a_shell_sees_that_it_died_of_it() {
    let mut shell = Session::shell();
    shell.enters("$PROBE run -- sh -c 'trap \"echo caught\" INT; echo up; read x || read x; echo over'");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    shell.shows("caught\r\n");
    shell.types("\n");
    assert!(!shell.shows("over").contains("caught"), "the signal came twice");
    shell.shows(PROMPT);
    // A loop goes on after a program that exits with 130, and ends with one that Ctrl-C killed.
    shell.enters("for n in 1 2 3; do $PROBE run -- sh -c 'echo up; read x'; done; echo code $?");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    assert!(!shell.shows(PROMPT).contains("up"), "the loop went on");
    shell.enters("echo code $?");
    shell.shows("code 130");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_pipeline_keeps_its_terminal() {
    let mut shell = Session::shell();
    // The other member reads the terminal too; with the child in a group of its own it would be stopped.
    shell.enters(
        "$PROBE run -- sh -c 'echo first' | sh -c 'cat; echo up; read line </dev/tty; echo \"got $line\"'",
    );
    shell.shows("up\r\n");
    shell.enters("hello");
    shell.shows("got hello");
    shell.shows(PROMPT);
    shell.enters(
        "$PROBE run -- sh -c 'trap \"echo caught >&2\" INT; echo up >&2; read x; echo over >&2' | cat",
    );
    shell.shows("up\r\n");
    shell.types(CTRL_Z);
    shell.shows("Stopped");
    shell.shows(PROMPT);
    shell.enters("fg");
    shell.shows("init: continued");
    shell.types(CTRL_D);
    shell.shows("over");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_script_ends_with_ctrl_c() {
    let mut shell = Session::shell();
    shell.enters("bash -c '$PROBE run -- sh -c \"echo up; read x\"; echo went on'; echo code $?");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    assert!(!shell.shows(PROMPT).contains("went on"), "the script went on");
    shell.types("exit 0\n");
    shell.code();
}

#[test]
fn as_the_sessions_leader_the_child_has_the_terminal_and_ctrl_z_leaves_nobody_stuck() {
    // `docker run -t`: no shell above us.
    let script = "echo up; read line; echo \"got $line\"; exit 6";
    let mut session = Session::start(&[PROBE, "run", "--", "sh", "-c", script]);
    session.shows("up\r\n");
    session.types(CTRL_Z);
    session.enters("hello");
    session.shows("got hello");
    session.shows("init: orphans 0");
    assert_eq!(session.code(), 6);
}

#[test]
fn a_shell_in_the_container_controls_its_jobs() {
    let mut shell =
        Session::start(&[PROBE, "run", "--", "bash", "--norc", "--noprofile", "--noediting", "-i"]);
    shell.shows(PROMPT);
    shell.enters("sh -c 'echo up; read x; echo \"got $x\"'");
    shell.shows("up\r\n");
    shell.types(CTRL_Z);
    shell.shows("Stopped");
    shell.shows(PROMPT);
    shell.enters("fg");
    shell.enters("inside");
    shell.shows("got inside");
    shell.types("exit 3\n");
    shell.shows("init: Exited(3)");
    assert_eq!(shell.code(), 3);
}

#[test]
fn after_the_childs_end_ctrl_c_is_ours() {
    let mut session = Session::start(&[PROBE, "run", "--aftermath", "1", "--", "sh", "-c", "exit 4"]);
    session.shows("init: orphans 0");
    session.types(CTRL_C);
    session.shows("init: SIGINT first=true");
    assert_eq!(session.code(), 4);
}

#[test]
fn at_a_terminal_too_the_child_gets_the_mask_and_the_dispositions_that_we_got() {
    let masks = |wrapper: &[&str]| {
        let command = ["sh", "-c", "grep 'Sig[BIC]' /proc/self/status; echo end"];
        let mut session = Session::start(&[wrapper, &command].concat());
        let shown = session.shows("end");
        assert_eq!(session.code(), 0);
        shown
    };
    let plain = masks(&[]);
    assert!(plain.contains("SigBlk:"), "{plain}");
    assert_eq!(masks(&[PROBE, "run", "--"]), plain);
}

#[test]
fn l99_what_cannot_be_run_leaves_the_shell_its_terminal() {
    let mut shell = Session::shell();
    shell.enters("echo text > $DIR/plain; $PROBE run -- $DIR/plain x; echo code $?");
    shell.shows("code 126");
    shell.shows(PROMPT);
    shell.enters(
        "(chmod +x $DIR/plain; $PROBE run -- $DIR/plain x; echo code $?; read x </dev/tty; echo \"got $x\")",
    );
    shell.shows("code 126");
    shell.enters("still");
    shell.shows("got still");
    shell.shows(PROMPT);
    shell.enters("$PROBE run -- init-no-such-program x; echo code $?");
    shell.shows("code 127");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}
