//! A captured child at a terminal: it has one still, of its own, and everything that is typed and shown is as before.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use support::session::{CTRL_C, CTRL_D, CTRL_Z, PROMPT, Session};
use support::{PROBE, until};

/// How often what could go wrong by chance is tried.
const RUNS: usize = 100;

/// A shell whose `$RUN` is the supervisor with a capture.
fn shell() -> Session {
    let mut shell = Session::shell();
    shell.enters("RUN=\"$PROBE run --capture $DIR --\"");
    shell.shows(PROMPT);
    shell
}

fn seen(session: &Session, name: &str) -> String {
    fs::read_to_string(session.folder.path().join(name)).unwrap_or_default()
}

/// The supervisor as the session's leader, as in `docker run -it`.
fn leader(script: &str) -> Session {
    let run = "exec \"$0\" run --capture $DIR -- sh -c \"$1\"";
    Session::start(&["sh", "-c", run, PROBE, script])
}

#[test]
fn the_child_has_a_terminal_of_the_same_size_and_modes() {
    let mut shell = shell();
    shell.enters("stty rows 33 cols 101 -echoctl; stty -g > $DIR/modes; stty size > $DIR/size");
    shell.shows(PROMPT);
    shell.enters("$RUN sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size && stty -g && exit 5'");
    let shown = shell.shows(PROMPT);
    let modes = seen(&shell, "modes");
    assert!(shown.contains("33 101\r\n"), "{shown}");
    assert!(shown.contains(modes.trim()), "{shown} {modes}");
    shell.enters("echo code $?");
    shell.shows("code 5");
    assert!(seen(&shell, "stdout").starts_with("33 101\r\n"));
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_line_feed_becomes_carriage_return_and_line_feed_once() {
    let mut session =
        leader("printf 'a\\nb\\n'; stty -opost; printf 'c\\nd\\r\\n\\377\\001'; stty opost; echo end");
    let shown = session.shows("end\r\n");
    assert_eq!(shown.replace('\u{fffd}', "?"), "a\r\nb\r\nc\nd\r\n?\u{1}");
    session.shows("init: orphans 0\r\n");
    assert_eq!(session.code(), 0);
}

#[test]
fn what_the_supervisor_says_meanwhile_has_carriage_returns_too() {
    let mut session = leader("trap '' TERM; seq 100; kill -TERM $PPID; seq 100; read line");
    session.shows("init: SIGTERM first=true\r\n");
    session.types("\n");
    session.shows("init: orphans 0\r\n");
    assert_eq!(session.code(), 0);
}

#[test]
fn what_is_typed_reaches_the_child_and_is_shown_once() {
    let mut shell = shell();
    shell.enters("$RUN sh -c 'echo up; read line; echo \"got $line\"; cat; echo over'");
    shell.shows("up\r\n");
    shell.types("hello\n");
    assert_eq!(shell.shows("got hello\r\n"), "hello\r\n");
    shell.types("to cat\n");
    assert_eq!(shell.shows("to cat\r\nto cat\r\n"), "");
    shell.types(CTRL_D);
    shell.shows("over\r\n");
    shell.shows(PROMPT);
    // The shell reads its terminal again.
    shell.enters("echo code $?");
    shell.shows("code 0");
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn what_is_typed_ahead_is_not_lost() {
    let mut shell = shell();
    shell.types("$RUN sh -c 'read a; read b; echo \"got $a $b\"'\none\ntwo\n");
    shell.shows("got one two\r\n");
    shell.shows(PROMPT);
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn ctrl_c_reaches_the_child_once_and_a_shell_sees_that_it_died_of_it() {
    let mut shell = shell();
    shell.enters("$RUN sh -c 'trap \"echo caught\" INT; echo up; read x || read x; echo over'");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    shell.shows("caught\r\n");
    shell.types("\n");
    assert!(!shell.shows("over").contains("caught"), "the signal came twice");
    shell.shows(PROMPT);
    shell.enters("for n in 1 2 3; do $RUN sh -c 'echo up; read x'; done; echo code $?");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    assert!(!shell.shows(PROMPT).contains("up"), "the loop went on");
    shell.types("exit 0\n");
    shell.code();
}

#[test]
fn ctrl_z_stops_both_and_fg_continues_both() {
    let mut shell = shell();
    shell.enters("stty -g > $DIR/before");
    shell.shows(PROMPT);
    shell.enters("$RUN sh -c 'echo up; read line; echo \"got $line\"'");
    shell.shows("up\r\n");
    for _ in 0..3 {
        shell.types(CTRL_Z);
        shell.shows("Stopped");
        shell.shows(PROMPT);
        // Its modes are its own again.
        shell.enters("stty -g | cmp - $DIR/before && echo same");
        shell.shows("same\r\n");
        shell.shows(PROMPT);
        shell.enters("fg");
        shell.shows("init: continued");
    }
    shell.types("after\n");
    shell.shows("got after");
    shell.shows(PROMPT);
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_child_that_catches_ctrl_z_is_not_stopped() {
    let mut shell = shell();
    shell.enters("$RUN bash -c 'trap \"echo caught\" TSTP; echo up; read x || read x; echo \"got $x\"'");
    shell.shows("up\r\n");
    shell.types(CTRL_Z);
    shell.types("\n");
    shell.shows("caught");
    shell.types("go\n");
    shell.shows(PROMPT);
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn a_child_that_runs_in_the_background_has_the_keys_after_fg() {
    let mut shell = shell();
    shell.enters("stty -g > $DIR/before");
    shell.shows(PROMPT);
    shell
        .enters("mkfifo $DIR/go; $RUN sh -c 'read go < $DIR/go; read line; echo \"got $line\"' & echo begun");
    shell.shows("begun\r\n");
    shell.shows(PROMPT);
    shell.enters("stty -g | cmp - $DIR/before && echo same");
    shell.shows("same\r\n");
    shell.shows(PROMPT);
    shell.enters("fg");
    shell.shows("$DIR/go");
    fs::write(shell.folder.path().join("go"), "\n").unwrap();
    shell.types("front\n");
    shell.shows("got front");
    shell.shows(PROMPT);
    shell.types("exit 0\n");
    assert_eq!(shell.code(), 0);
}

#[test]
fn the_terminal_is_as_it_was_after_the_end_and_after_a_kill() {
    let mut shell = shell();
    for end in ["exit 0", "kill -9 $$", "stty raw -echo; kill -9 $$", "kill -TERM $PPID; read x"] {
        shell.enters("stty -g > $DIR/before");
        shell.shows(PROMPT);
        shell.enters(&format!("$RUN sh -c '{end}'"));
        shell.shows(PROMPT);
        shell.enters("stty -g | cmp - $DIR/before && echo same");
        shell.shows("same\r\n");
        shell.shows(PROMPT);
    }
    shell.enters("$RUN init-no-such-program x; stty -g | cmp - $DIR/before && echo same");
    shell.shows("not found");
    shell.shows("same\r\n");
    shell.types("exit 0\n");
    shell.code();
}

#[test]
fn a_new_size_reaches_the_child() {
    let mut session = leader("trap 'stty size; exit 3' WINCH; echo up; while :; do read x; done");
    session.shows("up\r\n");
    session.resize(44, 123);
    session.shows("44 123\r\n");
    assert_eq!(session.code(), 3);
}

#[test]
fn in_a_pipeline_the_rest_has_the_terminal() {
    let mut shell = shell();
    // Standard output is a pipe, standard error the terminal.
    shell.enters("$RUN sh -c 'test -t 1 || echo pipe; test -t 2 && echo terminal >&2; echo ü >&2' | cat");
    let shown = shell.shows(PROMPT);
    assert!(shown.contains("pipe\r\n") && shown.contains("terminal\r\n"), "{shown}");
    assert!(!shown.contains("\r\r"), "{shown:?}");
    assert_eq!(
        (seen(&shell, "stdout").as_str(), seen(&shell, "stderr").as_str()),
        ("pipe\n", "terminal\nü\n")
    );
    // Standard input is a pipe and ends; both outputs are one terminal, and so one stream.
    shell.enters(
        "rm $DIR/std*; echo in | $RUN sh -c 'cat; test -t 1 && stty size < /dev/stdout; echo err >&2'",
    );
    let shown = shell.shows(PROMPT);
    assert!(shown.contains("in\r\n"), "{shown}");
    assert!(!shown.contains("\r\r"), "{shown:?}");
    assert!(seen(&shell, "stdout").starts_with("in\n"));
    assert!(seen(&shell, "stdout").ends_with("err\n"));
    assert_eq!(seen(&shell, "stderr"), "");
    shell.types("exit 0\n");
    shell.code();
}

#[test]
fn in_a_script_ctrl_c_ends_the_script_too() {
    let mut shell = shell();
    shell.enters("bash -c \"$RUN sh -c 'echo up; read x'; echo went on\"; echo code $?");
    shell.shows("up\r\n");
    shell.types(CTRL_C);
    assert!(!shell.shows(PROMPT).contains("went on\r\n"), "the script went on");
    shell.types("exit 0\n");
    shell.code();
}

#[test]
fn a_shell_as_the_child_controls_its_jobs() {
    let run = "exec \"$0\" run --capture $DIR -- bash --norc --noprofile --noediting -i";
    let mut shell = Session::start(&["sh", "-c", run, PROBE]);
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
fn what_a_child_that_ends_at_once_wrote_is_all_shown() {
    for _ in 0..RUNS {
        let mut session = leader("echo first; echo last >&2; printf end");
        assert_eq!(session.shows("end"), "first\r\nlast\r\n");
        session.shows("init: captured all\r\n");
        assert_eq!(seen(&session, "stdout"), "first\r\nlast\r\nend");
        assert_eq!(session.code(), 0);
    }
}

#[test]
fn l94_a_grandchild_that_holds_the_terminal_holds_nothing_up() {
    let mut session = leader("setsid sleep 600 & echo $! > $DIR/pid; echo last; exit 4");
    session.shows("init: captured all\r\n");
    assert_eq!(seen(&session, "stdout"), "last\r\n");
    until(|| !seen(&session, "pid").is_empty());
    support::send_numbers(seen(&session, "pid").trim().parse().unwrap(), &[9]);
    assert_eq!(session.code(), 4);
}
