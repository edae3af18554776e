//! Real hosts: processes that forbid, fork, exit, are killed, and look at what their guest does to them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "all of this is test code")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const PROBE: &str = env!("CARGO_BIN_EXE_sidecar-probe");
/// Runs of each obstacle; with `LASTLIGHT_TEST_FULL` a hundred.
const RUNS_COUNT: usize = 3;

/// A backend that takes everything.
static BACKEND: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut held = Vec::new();
                let mut buffer = [0; 65_536];
                while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
                    held.extend_from_slice(&buffer[..bytes]);
                    while let Some(length) = request_length(&held) {
                        held.drain(..length);
                        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer).ok();
                    }
                }
            });
        }
    });
    address
});

fn request_length(held: &[u8]) -> Option<usize> {
    let head = held.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let whole = head + length.unwrap_or(0);
    (held.len() >= whole).then_some(whole)
}

/// Runs a host up to the end of its output, which its children hold open.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Lines {
    let mut command = Command::new("timeout");
    command.args(["60", PROBE]).args(arguments).stdin(Stdio::null());
    command.env_remove("DD_TRACE_SIDECAR_CONNECTION_MODE").env("DD_API_KEY", "0".repeat(32));
    command.env("DD_APM_DD_URL", &*BACKEND).env("DD_DD_URL", &*BACKEND).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    Lines(text)
}

#[derive(Debug)]
struct Lines(String);

impl Lines {
    fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.collect()
    }

    #[track_caller]
    fn expect(&self, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            let values = self.all(name);
            assert!(
                !values.is_empty() && values.iter().all(|its| its == value),
                "{name} {value}: {}",
                self.0
            );
        }
    }
}

fn runs() -> usize {
    if std::env::var_os("LASTLIGHT_TEST_FULL").is_some() { 100 } else { RUNS_COUNT }
}

/// `auto` falls back to a thread, each time, delivers, and says why once.
#[track_caller]
fn falls_back(obstacle: &str, environment: &[(&str, &str)], why: &str) {
    for _ in 0..runs() {
        let lines = run(&["open", "auto", obstacle], environment);
        lines.expect(&[
            ("in_use", "Thread"),
            ("settled", "true"),
            ("accepted", "3"),
            ("flushed", "true"),
            ("again", "true"),
            // There are no children, and were none.
            ("wait", "10"),
        ]);
        let messages = lines.all("message");
        let reasons =
            messages.iter().filter(|text| text.contains("cannot run in a subprocess") && text.contains(why));
        assert_eq!(reasons.count(), 1, "{}", lines.0);
    }
}

#[test]
fn l146_auto_is_a_thread_where_the_program_is_missing() {
    falls_back("none", &[("PROBE_BINARY", "/nowhere/lastlight")], "No such file");
}

#[test]
fn l146_auto_is_a_thread_where_the_program_may_not_be_executed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    falls_back("none", &[("PROBE_BINARY", file.path().to_str().unwrap())], "Permission denied");
}

#[test]
fn l146_auto_is_a_thread_where_the_file_system_executes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "noexec", "none"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: nothing can be mounted here");
        return;
    }
    let program = folder.path().join("lastlight");
    std::fs::copy("/bin/true", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let result = std::panic::catch_unwind(|| {
        falls_back("none", &[("PROBE_BINARY", program.to_str().unwrap())], "Permission denied");
    });
    Command::new("umount").arg(folder.path()).status().unwrap();
    result.unwrap();
}

#[test]
fn l146_auto_is_a_thread_where_the_program_ends_at_once() {
    falls_back("none", &[("PROBE_SIDECAR", "dies")], "it ended before");
}

#[test]
fn l146_l147_auto_is_a_thread_where_the_program_never_says_that_it_is_ready() {
    falls_back("hangs", &[("PROBE_SIDECAR", "hangs")], "it was not ready within 300 ms");
}

#[test]
fn l146_auto_is_a_thread_where_a_filter_refuses_processes_programs_or_memory_files() {
    for obstacle in ["no-processes", "no-exec", "no-memory-files"] {
        falls_back(obstacle, &[], "Operation not permitted");
    }
}

#[test]
fn l146_auto_is_a_thread_where_a_user_may_have_one_more_but_not_two() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: no other user can be had here");
        return;
    }
    falls_back("few-processes", &[], "temporarily unavailable");
}

#[test]
fn without_a_process_or_thread_a_host_is_told_and_goes_on() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: no other user can be had here");
        return;
    }
    let lines = run(&["open", "auto", "one-process"], &[]);
    lines.expect(&[("in_use", "Nothing"), ("again", "true")]);
    assert!(lines.all("message").iter().any(|text| text.contains("no thread")), "{}", lines.0);
}

#[test]
fn each_mode_is_what_was_asked_for_and_a_word_that_is_none_is_said_once() {
    for (mode, in_use) in [("THREAD", "Thread"), ("subprocess", "Subprocess"), ("Auto", "Subprocess")] {
        run(&["open", mode, "none"], &[]).expect(&[("in_use", in_use), ("flushed", "true"), ("wait", "10")]);
    }
    let lines = run(&["open", "sometimes", "none"], &[]);
    lines.expect(&[("in_use", "Subprocess")]);
    assert_eq!(lines.all("message").iter().filter(|text| text.contains("sometimes")).count(), 1);
}

#[test]
fn l132_l133_a_close_delivers_every_signal_and_leaves_no_thread() {
    let lines = run(&["open", "thread", "unflushed"], &[]);
    lines.expect(&[("in_use", "Thread"), ("closed", "4"), ("again", "true")]);
    let messages = lines.all("message");
    let report = messages.iter().find(|text| text.contains("stopped (its owner stops)")).unwrap();
    for part in [
        "traces: accepted=1 delivered=1 dropped=0 held=0",
        "stats: accepted=1 delivered=1 dropped=0 held=0",
        "metrics: accepted=3 delivered=3 dropped=0 held=0",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn l143_nothing_of_a_tree_is_left_when_it_is_gone() {
    let shared = || std::fs::read_dir("/dev/shm").map_or(0, Iterator::count);
    let before = shared();
    for mode in ["thread", "subprocess"] {
        let lines = run(&["open", mode, "none"], &[]);
        let name = "@lastlight/";
        let tree = format!("/{}", lines.all("pid")[0]);
        let is_there = || {
            let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
            sockets.lines().any(|line| line.contains(name) && line.ends_with(&tree))
        };
        // The subprocess drains first.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while is_there() {
            assert!(std::time::Instant::now() < end, "{tree} is still there");
            std::thread::yield_now();
        }
    }
    assert_eq!(shared(), before);
}

#[test]
fn where_no_thread_may_have_a_table_of_its_own_it_serves_in_the_hosts() {
    run(&["open", "thread", "no-tables"], &[]).expect(&[("in_use", "Thread"), ("flushed", "true")]);
}

#[test]
fn l129_l131_a_host_that_becomes_a_daemon_is_served() {
    for mode in ["thread", "subprocess", "auto"] {
        for when in ["eager", "lazy"] {
            let lines = run(&["daemon", mode, when], &[]);
            lines.expect(&[("settled", "true"), ("accepted", "5"), ("end", "well")]);
            // The master, and not a worker that may end at any time.
            lines.expect(&[
                ("worker serves", "false"),
                ("serves", if mode == "thread" { "true" } else { "false" }),
            ]);
        }
    }
}

#[test]
fn l130_a_master_that_went_into_the_background_serves_its_workers_while_its_first_half_lives() {
    for mode in ["thread", "subprocess"] {
        let serves = if mode == "thread" { "true" } else { "false" };
        let lines = run(&["pool", mode], &[]);
        lines.expect(&[("accepted", "5"), ("worker serves", "false"), ("serves", serves), ("end", "well")]);
    }
}

#[test]
fn l131_the_hosts_first_thread_stands_still_while_the_fork_that_started_it_is_made() {
    // The C library takes no locks for a fork that began with one thread: a child would find those held that it holds.
    let lines = run(&["standing", "thread"], &[]);
    lines.expect(&[("stands", "true"), ("settled", "true"), ("serves", "true")]);
}

#[test]
fn l130_nothing_is_started_before_a_lazy_host_forks_and_then_it_is_ready() {
    for (mode, in_use) in [("thread", "Thread"), ("subprocess", "Subprocess")] {
        let lines = run(&["lazy", mode], &[]);
        assert_eq!(lines.all("in_use"), ["NotYet", in_use]);
        lines.expect(&[("threads", "0"), ("settled", "true"), ("worker serves", "false")]);
    }
}

#[test]
fn l128_an_owner_ends_at_once_though_a_child_lives_and_the_child_goes_on() {
    for way in ["exits", "closed", "killed"] {
        for mode in ["thread", "subprocess"] {
            let lines = run_killed(&["orphan", mode, way]);
            assert!(lines.all("accepted").contains(&"10") && lines.all("end") == ["well"], "{}", lines.0);
            lines.expect(&[("child serves", if mode == "thread" { "true" } else { "false" })]);
            let bound = |name: &str, most: u64| {
                assert!(
                    lines.all(name).iter().all(|took| took.parse::<u64>().unwrap() < most),
                    "{}",
                    lines.0
                );
            };
            bound("closing", 1_000);
            bound("took", 5_000);
        }
    }
}

/// As `run` of a host that kills itself.
fn run_killed(arguments: &[&str]) -> Lines {
    let script = format!("{PROBE} {}; true", arguments.join(" "));
    let mut command = Command::new("timeout");
    command.args(["60", "sh", "-c", &script]).stdin(Stdio::null()).env("DD_API_KEY", "0".repeat(32));
    let output = command.env("DD_APM_DD_URL", &*BACKEND).env("DD_DD_URL", &*BACKEND).output().unwrap();
    Lines(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn when_the_owners_thread_is_killed_exactly_one_of_its_children_serves() {
    let lines = run_killed(&["family", "thread", "-"]);
    assert_eq!(lines.all("end").len(), 6, "{}", lines.0);
    assert_eq!(lines.all("server").len(), 1, "{}", lines.0);
    assert_eq!(lines.all("accepted").iter().filter(|count| **count == "25").count(), 6, "{}", lines.0);
}

#[test]
fn when_the_subprocess_is_killed_exactly_one_is_started_that_stays() {
    let mark = format!("PROBE_MARK={}", std::process::id());
    let lines = run(&["family", "subprocess", &mark], &[("PROBE_MARK", &std::process::id().to_string())]);
    assert_eq!(lines.all("end").len(), 6, "{}", lines.0);
    assert_eq!(lines.all("server").len(), 1, "{}", lines.0);
    assert_eq!(lines.all("accepted").iter().filter(|count| **count == "25").count(), 6, "{}", lines.0);
}

#[test]
fn l127_l148_a_guest_leaves_its_host_as_it_was() {
    let thread = run(&["guest", "thread", "-"], &[]);
    // All that can be blocked; the C library keeps two for itself.
    assert_eq!(thread.all("thread"), ["lastlight fffffffe7ffbfeff"], "one, with its name and signals");
    let mark = format!("PROBE_MARK=guest{}", std::process::id());
    let value = format!("guest{}", std::process::id());
    let subprocess = run(&["guest", "subprocess", &mark], &[("PROBE_MARK", &value)]);
    // It has nothing of the host's: nobody waits for the end of a pipe because of it.
    subprocess.expect(&[("child", "false"), ("pipes", "0")]);
    for lines in [&thread, &subprocess] {
        lines.expect(&[
            ("streams", "true"),
            ("signals", "true"),
            ("wait", "10"),
            ("signalled", "0"),
            ("left", "true"),
            ("zombies", "0"),
        ]);
        // The listener, a control socket, a connection; and what is forgotten once it is ready.
        assert!(lines.all("more").iter().all(|count| count.parse::<usize>().unwrap() <= 4), "{}", lines.0);
    }
}

#[test]
fn l131_a_child_is_served_though_other_threads_held_every_lock_when_it_was_forked() {
    for mode in ["thread", "subprocess"] {
        let lines = run(&["busy", mode], &[]);
        lines.expect(&[("child", "true"), ("end", "well")]);
        assert_eq!(lines.all("child").len(), 40);
    }
}

#[test]
fn a_thread_serves_on_though_its_host_closes_all_descriptors() {
    run(&["closing", "thread"], &[]).expect(&[("settled", "true"), ("kept", "true"), ("end", "well")]);
    // The subprocess loses who told it that it is needed; the host keeps what is its own.
    run(&["closing", "subprocess"], &[]).expect(&[("kept", "true"), ("end", "well")]);
}

#[test]
fn l145_what_cannot_be_started_is_tried_ever_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let (program, log) = (folder.path().join("lastlight"), folder.path().join("starts"));
    std::fs::write(&program, format!("#!/bin/sh\necho >> {}\n", log.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lines = run(&["persistent", "subprocess"], &[("PROBE_BINARY", program.to_str().unwrap())]);
    lines.expect(&[("in_use", "Nothing")]);
    // At 0, 0, 0.1, 0.3, 0.7, 1.5 and 3.1 seconds.
    let starts = std::fs::read_to_string(log).unwrap().lines().count();
    assert!((3..=8).contains(&starts), "{starts}");
    assert!(lines.all("message").len() <= 2, "{}", lines.0);
}
