//! A captured child: what it writes is seen, and neither it nor who reads it can tell.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use support::{PROBE, Wrapper, as_pid_1, send_numbers};
use tempfile::TempDir;

/// How often what could go wrong by chance is tried.
const RUNS: usize = 100;
/// More than every buffer on the way.
const MANY_BYTES: usize = 5_000_000;

/// Where the probe's sink writes.
struct Seen(TempDir);

impl Seen {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn options<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--capture", self.0.path().to_str().unwrap()], more].concat()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap_or_default()
    }

    fn stdout(&self) -> String {
        String::from_utf8(self.file("stdout")).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.file("stderr")).unwrap()
    }
}

/// The supervisor with its streams to be set.
fn probe(options: &[&str], command: &[&str]) -> Command {
    let mut probe = Command::new(PROBE);
    probe.arg("run").args(options).arg("--").args(command).stdin(Stdio::null());
    probe
}

/// What the child wrote on standard error: the supervisor says the end of a child between two of its last writes.
fn without_notices(mut bytes: Vec<u8>) -> Vec<u8> {
    for notice in ["init: Exited(0)\n", "init: captured all\n", "init: orphans 0\n"] {
        let at = bytes.windows(notice.len()).position(|part| part == notice.as_bytes()).unwrap();
        bytes.drain(at..at + notice.len());
    }
    bytes
}

#[test]
fn every_byte_arrives_untouched_on_both_ways() {
    // Every byte, in an order that does not repeat with any buffer.
    let bytes: Vec<u8> =
        (0..MANY_BYTES as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, &bytes).unwrap();
    let source = source.to_str().unwrap();
    for to in ["", ">&2"] {
        let seen = Seen::new();
        let script = format!("cat \"$0\" {to}");
        let mut command = probe(&seen.options(&[]), &["sh", "-c", &script, source]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let passed_on = if to.is_empty() { output.stdout } else { without_notices(output.stderr) };
        assert!(passed_on == bytes);
        let name = if to.is_empty() { "stdout" } else { "stderr" };
        assert!(seen.file(name) == bytes);
    }
}

#[test]
fn writes_of_many_sizes_stay_in_order() {
    let seen = Seen::new();
    let script = "n=0; while [ $n -lt 3000 ]; do n=$((n+1)); printf '%d ' $n; printf '%d\\n' $n; done";
    let output = probe(&seen.options(&[]), &["sh", "-c", script]).output().unwrap();
    let expected: String = (1..=3000).map(|number| format!("{number} {number}\n")).collect();
    assert!(String::from_utf8(output.stdout).unwrap() == expected);
    assert!(seen.stdout() == expected);
}

#[test]
fn what_a_child_that_ends_at_once_wrote_is_all_there() {
    for _ in 0..RUNS {
        let seen = Seen::new();
        let left =
            Wrapper::start(&seen.options(&[]), &["sh", "-c", "echo out; echo err >&2; echo more"]).end();
        assert_eq!(left.stdout, ["out", "more"]);
        assert_eq!((seen.stdout().as_str(), seen.stderr().as_str()), ("out\nmore\n", "err\n"));
        assert!(left.stderr.contains(&"err".into()) && left.stderr.contains(&"init: captured all".into()));
    }
}

#[test]
fn l89_a_last_line_without_a_newline_arrives() {
    let seen = Seen::new();
    let output = probe(&seen.options(&[]), &["printf", "%s", "no newline"]).output().unwrap();
    assert_eq!(output.stdout, b"no newline");
    assert_eq!(seen.stdout(), "no newline");
}

#[test]
fn as_pid_1_it_arrives_too() {
    let seen = Seen::new();
    let arguments = [&["run"], &seen.options(&["--", "sh", "-c", "echo out; exit 3"])[..]].concat();
    let Some(wrapper) = as_pid_1(arguments) else { return };
    let left = wrapper.end();
    assert_eq!((left.status.code(), left.stdout), (Some(3), vec!["out".to_owned()]));
    assert_eq!(seen.stdout(), "out\n");
}

#[test]
fn l94_a_grandchild_that_holds_the_captured_stdout_holds_nothing_up() {
    let seen = Seen::new();
    let script = "sleep 600 & echo $! >&2; echo last; exit 4";
    let mut wrapper = Wrapper::start(&seen.options(&[]), &["sh", "-c", script]);
    assert_eq!(wrapper.wait().code(), Some(4));
    wrapper.said("captured all");
    send_numbers(seen.stderr().trim().parse().unwrap(), &[9]);
    assert_eq!(seen.stdout(), "last\n");
}

#[test]
fn l94_a_grandchild_that_writes_without_end_holds_nothing_up() {
    let mut command = probe(&["--capture-idly"], &["sh", "-c", "yes & exit 4"]);
    command.stdout(File::options().write(true).open("/dev/null").unwrap());
    // Waits for the end of standard error, which `yes` has too: it ends by the end of its pipe, with us.
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("init: captured all\n"));
}

#[test]
fn what_a_grandchild_writes_later_is_passed_on_for_as_long_as_we_live() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("go");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let seen = Seen::new();
    let script = "{ read go < \"$0\"; echo late; } & exit 4";
    let options = seen.options(&["--aftermath", "1"]);
    let mut wrapper = Wrapper::start(&options, &["sh", "-c", script, fifo.to_str().unwrap()]);
    wrapper.said("captured all");
    fs::write(&fifo, "\n").unwrap();
    assert_eq!(wrapper.line(), "late");
    // It is shown after it is passed on.
    support::until(|| seen.stdout() == "late\n");
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.wait().code(), Some(4));
}

#[test]
fn a_child_whose_reader_is_gone_is_told_as_without_us() {
    let seen = Seen::new();
    // `yes` dies of SIGPIPE, and says nothing.
    let mut command = probe(&seen.options(&[]), &["sh", "-c", "yes; echo $? >&2"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = process.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let mut text = String::new();
    process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.lines().any(|line| line == "141"), "{text}");
    assert!(seen.stdout().starts_with("y\ny\n"));
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_while_nothing_is_written_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("go");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // The first write after the reader has gone is refused already.
    let script = "echo up; read go < \"$0\"; trap '' PIPE; until ! echo more; do :; done 2>/dev/null; echo refused >&2";
    let command = ["sh", "-c", script, fifo.to_str().unwrap()];
    let mut process =
        probe(&["--capture-idly"], &command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
    fs::write(&fifo, "\n").unwrap();
    let mut text = String::new();
    process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.lines().any(|line| line == "refused"), "{text}");
    process.wait().unwrap();
}

#[test]
fn a_full_disk_stops_neither_the_child_nor_the_capture() {
    let seen = Seen::new();
    let mut command = probe(&seen.options(&[]), &["sh", "-c", "echo one; echo two; exit 6"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(command.output().unwrap().status.code(), Some(6));
    assert_eq!(seen.stdout(), "one\ntwo\n");
}

#[test]
fn a_sink_that_panics_costs_the_child_nothing() {
    let script = "n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo $n; echo $n >&2; done; exit 9";
    let left = Wrapper::start(&["--capture-panic"], &["sh", "-c", script]).end();
    assert_eq!(left.status.code(), Some(9));
    let expected: Vec<String> = (1..=300).map(|number| number.to_string()).collect();
    assert_eq!(left.stdout, expected);
    let said = left.stderr.iter().filter(|line| line.contains("capture of the program's output has crashed"));
    assert_eq!(said.count(), 1);
    let passed_on: Vec<&String> = left.stderr.iter().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(passed_on.len(), 300);
}

#[test]
fn a_stdout_that_is_stuck_holds_the_exit_up_no_longer_than_the_deadline() {
    // A pipe that is full and that nobody reads.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = Command::new("dd");
    filler.args(["if=/dev/zero", "bs=65536", "count=1", "status=none"]).stdout(writer.try_clone().unwrap());
    assert!(filler.status().unwrap().success());
    let mut command = probe(&["--capture-idly", "--finish-ms", "50"], &["sh", "-c", "echo held; exit 5"]);
    let output = command.stdout(OwnedFd::from(writer)).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8(output.stderr).unwrap().contains("init: captured a part"));
    drop(reader);
}

#[test]
fn a_stdout_that_does_not_block_gets_everything() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    let mut command = probe(&["--capture-idly"], &["head", "-c", "1000000", "/dev/zero"]);
    let mut process = command.stdout(OwnedFd::from(writer)).spawn().unwrap();
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 1_000_000);
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn the_child_can_open_its_streams_by_name() {
    let seen = Seen::new();
    let script = "echo one > /dev/stdout; echo two >> /dev/stderr; echo three >> /proc/self/fd/1";
    let left = Wrapper::start(&seen.options(&[]), &["sh", "-c", script]).end();
    assert_eq!(left.stdout, ["one", "three"]);
    assert_eq!((seen.stdout().as_str(), seen.stderr().as_str()), ("one\nthree\n", "two\n"));
}

#[test]
fn a_child_that_becomes_another_user_can_open_its_streams_by_name() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let seen = Seen::new();
    // nginx and its kind: root starts, another user opens the log, which is a link to /dev/stdout.
    let as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let script = ["sh", "-c", "id -u; echo one > /dev/stdout; echo two > /dev/stderr"];
    let left = Wrapper::start(&seen.options(&[]), &[&as_nobody[..], &script].concat()).end();
    assert_eq!(left.stdout, ["65534", "one"], "{left:?}");
    assert_eq!(seen.stderr(), "two\n");
}

#[test]
fn a_stream_of_the_embedders_own_is_not_captured() {
    let seen = Seen::new();
    let left = Wrapper::start(&seen.options(&["--pipe"]), &["sh", "-c", "echo out; echo err >&2"]).end();
    assert!(left.stdout.is_empty());
    assert_eq!((seen.stdout().as_str(), seen.stderr().as_str()), ("", "err\n"));
}

#[test]
fn standard_input_is_ours_still() {
    let seen = Seen::new();
    let mut process = probe(&seen.options(&[]), &["sh", "-c", "read line; echo \"got $line\"; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(b"first\nand the rest").unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"got first\nand the rest");
}

#[test]
fn where_no_thread_can_be_started_the_output_is_passed_on_all_the_same() {
    let seen = Seen::new();
    // As another user, whose processes are counted afresh: this one and its child.
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let folder = seen.0.path();
    assert!(Command::new("chmod").arg("777").arg(folder).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "64321", "--regid", "64321", "--clear-groups", "prlimit", "--nproc=2", "--"]);
    command.args([PROBE, "run"]).args(seen.options(&[])).args([
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
    ]);
    let left = Wrapper::of(&mut command).end();
    assert_eq!(left.status.code(), Some(3), "{left:?}");
    assert_eq!(left.stdout, ["out"]);
    assert_eq!((seen.stdout().as_str(), seen.stderr().as_str()), ("out\n", "err\n"));
}
