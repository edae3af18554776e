//! At a terminal: real shells with job control on a pseudo-terminal, and the supervisor in between.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;
use support::{PROBE, WAIT_MAX};

/// Reads from the terminal that may wait to be looked at.
const READS_MAX_COUNT: usize = 10_000;
/// What the shell says when it waits for a command. Split in the setting, so that its echo is not taken for it.
const PROMPT: &str = "<prompt>";

/// A program on a terminal of its own, as its session's leader.
struct Session {
    process: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown since the last match.
    seen: String,
    /// `DIR` in the environment.
    folder: tempfile::TempDir,
}

impl Session {
    fn start(program: &[&str]) -> Self {
        // Close-on-exec from the start: a terminal that another test's process holds open is never hung up.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(name)
            .unwrap();
        let mut command = Command::new("setsid");
        // Keys that send signals must not throw away what is shown because of them.
        command.args(["--ctty", "--wait", "sh", "-c", "stty noflsh; exec \"$@\"", "sh"]).args(program);
        let folder = tempfile::tempdir().unwrap();
        command.env("DIR", folder.path()).env("PS1", PROMPT).env("TERM", "dumb").env("PROBE", PROBE);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let process = command.spawn().unwrap();
        drop(command);
        let keys = File::from(OwnedFd::from(master));
        let mut reader = keys.try_clone().unwrap();
        let (sender, screen) = sync_channel(READS_MAX_COUNT);
        thread::spawn(move || {
            let mut part = [0; 4096];
            // An error is the end: the last who had the terminal is gone.
            while let Ok(length @ 1..) = reader.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { process, keys, screen, seen: String::new(), folder }
    }

    /// A shell with job control.
    fn shell() -> Self {
        let mut session = Self::start(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        session.shows(PROMPT);
        session
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line without its echo being taken for output: everything up to it is forgotten.
    fn enters(&mut self, line: &str) {
        self.types(&format!("{line}\n"));
        self.shows(&format!("{line}\r\n"));
    }

    /// Waits for a text, and forgets it and what came before.
    fn shows(&mut self, text: &str) -> String {
        let end = Instant::now() + WAIT_MAX;
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + text.len());
                return before;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(part) => self.seen.push_str(&String::from_utf8_lossy(&part)),
                Err(error) => panic!("{text:?} is not shown ({error}), but {:?}", self.seen),
            }
        }
    }

    fn code(mut self) -> i32 {
        // Its output is read on, so it cannot be stuck there; the bound is that of what it last showed.
        self.process.wait().unwrap().code().unwrap()
    }
}

/// The numbers of the keys.
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

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
