//! Trees of real processes that fork, send, serve and are killed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use lastlight_channel as sidecar;
use sidecar::{Client, ClientOptions, Rendezvous, Trouble};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use support::{Recorder, WAIT_MAX, client, outgoing, serve, until};

const PROBE: &str = env!("CARGO_BIN_EXE_channel-probe");
/// Lines that may wait to be read.
const LINES_MAX_COUNT: usize = 10_000;

/// A file of one test, removed with it.
struct LogFile(String);

impl LogFile {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lastlight-tree-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name).display().to_string())
    }

    /// What was accepted: server, key, length, sum, whether it was new.
    fn accepted(&self) -> Vec<(u32, String, usize, u64, bool)> {
        let text = std::fs::read_to_string(&self.0).unwrap();
        text.lines()
            .map(|line| {
                let fields: Vec<_> = line.split(' ').collect();
                let [server, key, length, sum, new] = fields[..] else { panic!("{line}") };
                let is_new = new == "new";
                (
                    server.parse().unwrap(),
                    key.to_owned(),
                    length.parse().unwrap(),
                    sum.parse().unwrap(),
                    is_new,
                )
            })
            .collect()
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Runs the probe up to the end of its output, which its orphans hold open, and gives the lines.
fn run(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(PROBE);
    let mut process = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = process.stdout.take().unwrap();
    let (sender, receiver) = sync_channel(LINES_MAX_COUNT);
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut lines = Vec::new();
    loop {
        match receiver.recv_timeout(2 * WAIT_MAX) {
            Ok(line) => lines.push(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                process.kill().ok();
                process.wait().ok();
                panic!("the tree does not end: {lines:#?}");
            }
        }
    }
    assert!(process.wait().unwrap().success(), "{lines:#?}");
    lines
}

/// The numbers of each line that begins so.
fn numbers(lines: &[String], start: &str) -> Vec<BTreeMap<String, u64>> {
    let of = |line: &String| {
        let pairs = line.split(' ').filter_map(|word| word.split_once('='));
        pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap_or(0))).collect()
    };
    lines.iter().filter(|line| line.starts_with(start)).map(of).collect()
}

/// Every submission of every child arrived as it was sent, and twice only when it is known that it may have been.
fn assert_all_arrived(log: &LogFile, submitted: &[u64], bytes: usize) {
    let accepted = log.accepted();
    let keys: BTreeSet<_> = accepted.iter().map(|(_, key, ..)| key.clone()).collect();
    let missing: Vec<_> = (0..submitted.len())
        .flat_map(|child| (0..submitted[child]).map(move |number| format!("{child}.{number}")))
        .filter(|key| !keys.contains(key))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    let mut new = BTreeSet::new();
    for (_, key, length, sum, is_new) in accepted {
        let expected: u64 = (0..bytes).map(|at| u64::from((at * 7 + key.len()) as u8)).sum();
        assert_eq!((length, sum), (bytes, expected), "{key}");
        assert!(!is_new || new.insert(key.clone()), "{key} was new twice");
    }
}

/// What each child submitted, all of which was accepted.
fn submitted(lines: &[String], who: &str) -> Vec<u64> {
    // Printed in any order.
    let mut lines: Vec<_> = lines.to_vec();
    lines.sort_by_key(|line| line.split(' ').nth(1).and_then(|number| number.parse::<usize>().ok()));
    let counts = numbers(&lines, who);
    for counts in &counts {
        assert_eq!((counts["accepted"], counts["lost"]), (counts["submitted"], 0), "{lines:#?}");
    }
    counts.iter().map(|counts| counts["submitted"]).collect()
}

fn orphans(children: usize, each: usize, bytes: usize, mode: &str) -> (LogFile, Vec<String>) {
    let log = LogFile::new();
    let lines = run(&["tree", &log.0, &children.to_string(), &each.to_string(), &bytes.to_string(), mode]);
    let submitted = submitted(&lines, "child ");
    assert_eq!(submitted.len(), children, "{lines:#?}");
    assert!(submitted.iter().all(|submitted| *submitted >= each as u64));
    assert_all_arrived(&log, &submitted, bytes);
    (log, lines)
}

#[test]
fn l129_l131_a_child_takes_over_from_an_owner_that_was_killed_and_everything_arrives() {
    for bytes in [500, 100_000] {
        // Each child after the first holds the killed server's ends of connections open.
        let (log, lines) = orphans(8, 40, bytes, "serves");
        let promoted: u64 = numbers(&lines, "child ").iter().map(|counts| counts["promoted"]).sum();
        assert_eq!(promoted, 1, "{lines:#?}");
        let servers: BTreeSet<_> = log.accepted().into_iter().map(|(server, ..)| server).collect();
        assert_eq!(servers.len(), 2, "the owner, then one child: {servers:?} {lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("serving ")).count(), 1);
    }
}

#[test]
fn l129_l131_what_a_killed_owner_had_accepted_and_not_settled_arrives_at_the_child_that_takes_over() {
    let (log, lines) = orphans(4, 40, 500, "holds");
    let accepted = log.accepted();
    let owner = accepted[0].0;
    let keys = |is_owners: bool| -> BTreeMap<String, bool> {
        let its = accepted.iter().filter(|(server, ..)| (*server == owner) == is_owners);
        its.map(|(_, key, _, _, is_new)| (key.clone(), *is_new)).collect()
    };
    let (before, after) = (keys(true), keys(false));
    // Whose number is a multiple of three had settled; it comes again only if its answer was on its way at the end.
    let settled = |key: &str| key.rsplit('.').next().unwrap().parse::<usize>().unwrap() % 3 == 0;
    let held: Vec<_> = before.keys().filter(|key| !settled(key)).collect();
    assert!(held.len() >= 4 * 6, "{lines:#?}");
    let missing: Vec<_> = held.iter().filter(|key| after.get(**key) != Some(&false)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let taken_back: u64 = numbers(&lines, "child ").iter().map(|counts| counts["taken_back"]).sum();
    assert!(taken_back > 0);
}

/// What a server that settles little leaves to the next one: the lines of the probe, and the number of submissions of each.
fn kept(bytes: usize, ending: &str) {
    let (clients, each) = (3, 12);
    let log = LogFile::new();
    let numbers_of = [clients, each, bytes].map(|number| number.to_string());
    let lines = run(&["keep", &log.0, &numbers_of[0], &numbers_of[1], &numbers_of[2], ending]);
    let first: u32 = lines.iter().find_map(|line| line.strip_prefix("first ")).unwrap().parse().unwrap();
    let (by_first, by_second): (Vec<_>, Vec<_>) =
        log.accepted().into_iter().partition(|(server, ..)| *server == first);
    assert!(by_first.iter().all(|(.., is_new)| *is_new), "{by_first:?}");
    assert_eq!(by_first.len(), clients * (each + 1), "each once, and one of each child");
    let second: BTreeMap<_, _> =
        by_second.iter().map(|(_, key, _, _, is_new)| (key.clone(), *is_new)).collect();
    assert_eq!(second.len(), by_second.len(), "each once: {by_second:?}");
    let mut expected = BTreeMap::new();
    for client in 0..clients {
        let held = (0..each).filter(|number| ending != "stopped" && number % 3 == 2);
        expected.extend(held.map(|number| (format!("{client}.{number}"), false)));
        if ending != "survived" {
            expected.insert(format!("{client}.{}", each + 1), true);
        }
    }
    assert_eq!(second, expected, "{lines:#?}");
    let taken_back = if ending == "stopped" { 0 } else { each as u64 / 3 };
    let submitted = (each + usize::from(ending != "survived")) as u64;
    for counts in numbers(&lines, "client") {
        assert_eq!((counts["submitted"], counts["accepted"], counts["lost"]), (submitted, submitted, 0));
        assert_eq!(
            (counts["taken_back"], counts["unretained"], counts["retained"]),
            (taken_back, 0, 0),
            "{lines:#?}"
        );
    }
    for counts in numbers(&lines, "child") {
        assert_eq!((counts["submitted"], counts["accepted"], counts["taken_back"]), (1, 1, 0), "{lines:#?}");
    }
    assert_all_arrived(&log, &[submitted + 1; 3], bytes);
}

#[test]
fn l129_the_next_server_gets_exactly_what_a_killed_one_had_accepted_and_not_settled() {
    for bytes in [300, 80_000] {
        kept(bytes, "killed");
    }
}

#[test]
fn l129_a_close_looks_whether_who_accepted_it_lives_though_its_child_holds_the_connection_open() {
    kept(300, "survived");
}

#[test]
fn l133_the_next_server_gets_nothing_that_a_stopped_one_had_accepted() {
    kept(300, "stopped");
}

#[test]
fn l129_a_listener_that_its_host_closed_is_not_taken_for_what_has_its_number_now() {
    assert_eq!(run(&["closed"]), ["Some(NoServer)"]);
}

#[test]
fn l131_of_a_hundred_children_one_serves() {
    let (log, lines) = orphans(100, 4, 300, "dies");
    // Several may find that nobody serves before the first of them does.
    let promoted: u64 = numbers(&lines, "child ").iter().map(|counts| counts["promoted"]).sum();
    assert!(promoted >= 1, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("serving ")).count(), 1, "{lines:#?}");
    let servers: BTreeSet<_> = log.accepted().into_iter().map(|(server, ..)| server).collect();
    assert_eq!(servers.len(), 1);
}

#[test]
fn what_killed_servers_did_not_answer_is_sent_to_the_next() {
    let (clients, each, servers) = (4, 60, 6);
    for bytes in [200, 100_000] {
        let log = LogFile::new();
        let lines = run(&[
            "relay",
            &log.0,
            &clients.to_string(),
            &each.to_string(),
            &bytes.to_string(),
            &servers.to_string(),
        ]);
        assert!(lines.iter().any(|line| line == "over all_sent=true survivors=1"), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("killed ")).count(), servers - 1);
        let submitted = submitted(&lines, "child ");
        assert_eq!(submitted.len(), clients);
        assert_all_arrived(&log, &submitted, bytes);
        let accepted_by: BTreeSet<_> = log.accepted().into_iter().map(|(server, ..)| server).collect();
        assert_eq!(accepted_by.len(), servers);
    }
}

#[test]
fn l128_a_fork_leaves_both_able_to_send_and_the_parents_end_waits_for_no_child() {
    let log = LogFile::new();
    let lines = run(&["parent", &log.0]);
    let counts = |who| numbers(&lines, who).remove(0);
    let (parent, child) = (counts("parent "), counts("child "));
    assert_eq!((parent["submitted"], parent["accepted"], parent["lost"]), (60, 60, 0), "{lines:#?}");
    assert_eq!((child["submitted"], child["accepted"], child["lost"]), (31, 31, 0), "{lines:#?}");
    assert_eq!((parent["resent"], parent["promoted"], child["promoted"]), (0, 0, 1));
    assert!(lines.iter().any(|line| line.starts_with("stopped in_time=true")), "{lines:#?}");
    let accepted = log.accepted();
    let keys: BTreeSet<_> = accepted.iter().map(|(_, key, ..)| key).collect();
    assert_eq!((accepted.len(), keys.len()), (91, 91), "each once");
}

/// A program that was not forked from here and serves what it is handed, until the socket is closed.
fn started(rendezvous: &Rendezvous, log: &LogFile) -> (Child, OwnedFd) {
    let (ours, theirs) = support::pair();
    rendezvous.hand_over(&ours).unwrap();
    let mut command = Command::new(PROBE);
    command.args(["serve", &log.0]).stdin(Stdio::from(theirs)).stdout(Stdio::piped());
    (command.spawn().unwrap(), ours)
}

#[test]
fn a_program_that_was_started_serves_what_it_was_handed() {
    let log = LogFile::new();
    let rendezvous = Rendezvous::bind().unwrap();
    let mut early = client(&rendezvous);
    early.submit(outgoing(b"before there was a server")).unwrap();
    let (mut process, ours) = started(&rendezvous, &log);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Other(process.id().cast_signed()));
    assert!(rendezvous.try_serve().is_none());
    assert!(early.flush(WAIT_MAX));
    assert_eq!(early.close(WAIT_MAX).accepted, 1);
    drop(ours);
    assert_eq!(lines.next().unwrap().unwrap(), "stopped in_time=true accepted=1");
    assert!(process.wait().unwrap().success());
    assert!(rendezvous.try_serve().is_some(), "given up with the process");
}

#[test]
fn l129_a_server_that_is_killed_gives_up_the_lock_and_one_waits_for_it() {
    let log = LogFile::new();
    let rendezvous = Rendezvous::bind().unwrap();
    let (mut process, _ours) = started(&rendezvous, &log);
    let other = sidecar::ServedBy::Other(process.id().cast_signed());
    until(|| rendezvous.server() == other);
    assert!(rendezvous.wait_to_serve(std::time::Instant::now() + Duration::from_millis(20)).is_none());
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(rendezvous.wait_to_serve(support::soon()).is_some());
}

#[test]
fn l152_another_users_process_outside_the_tree_is_refused_and_counted() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root has processes of other users");
        return;
    }
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let name = String::from_utf8(rendezvous.name().to_vec()).unwrap();
    // Its parent is the first process, so that it is of no tree of ours. The kernel says who it is; it says nothing itself.
    let knock = |uid: u32, detached: bool| {
        let probe = Probe::copy();
        let mut command = Command::new("sh");
        let script = if detached {
            // The shell ends first, and the orphan belongs to somebody else.
            "(while [ $(ps -o ppid= -p $$ 2>/dev/null || echo 0) -gt 1 ] && false; do :; done; sleep 0.2; \"$0\" knock \"$1\") &"
        } else {
            "\"$0\" knock \"$1\"; true"
        };
        command.args(["-c", script, &probe.0, &name]).uid(uid);
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(knock(65534, true), "Denied(User)\n");
    until(|| serving.counts().denied_user == 1);
    // One of the tree may try to prove itself, whoever's it is.
    assert_eq!(knock(65534, false), "challenge\n");
    assert_eq!(serving.counts().denied_user, 1);
    assert_eq!(serving.counts().clients, 0);
}

/// The probe where any user can execute it.
struct Probe(String);

impl Probe {
    fn copy() -> Self {
        let log = LogFile::new();
        std::fs::copy(PROBE, &log.0).unwrap();
        let mut permissions = std::fs::metadata(&log.0).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&log.0, permissions).unwrap();
        let path = log.0.clone();
        std::mem::forget(log);
        Self(path)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[test]
fn l144_l152_workers_of_two_users_reach_one_server_and_each_other() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root has processes of other users");
        return;
    }
    let log = LogFile::new();
    let lines = run(&["pools", &log.0]);
    assert_eq!(submitted(&lines, "worker "), [20; 4], "{lines:#?}");
    assert_all_arrived(&log, &[20; 4], 70_000);
}

#[test]
fn l152_a_squatter_of_the_name_is_found_out_and_gets_nothing() {
    let rendezvous = Rendezvous::bind().unwrap();
    // The listener itself in another's hands: what answers does not know the secret.
    let stranger = {
        let name = rendezvous.name().to_vec();
        drop(rendezvous);
        use rustix::net::{
            AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
        };
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrUnix::new_abstract_name(&name).unwrap()).unwrap();
        listen(&socket, 8).unwrap();
        socket
    };
    let rendezvous = handed(&stranger);
    let squatter = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let connection = rustix::net::accept(&stranger).unwrap();
            let mut buffer = [0; 4096];
            let (length, _) =
                rustix::net::recv(&connection, &mut buffer[..], rustix::net::RecvFlags::empty()).unwrap();
            heard.push(buffer[..length].to_vec());
            let mut reply = Vec::new();
            sidecar::frame::Reply::Challenge { nonce: [3; 32], proof: [4; 32] }.encode(&mut reply);
            rustix::net::send(&connection, &reply, rustix::net::SendFlags::NOSIGNAL).unwrap();
            let (length, _) =
                rustix::net::recv(&connection, &mut buffer[..], rustix::net::RecvFlags::empty()).unwrap();
            heard.push(buffer[..length].to_vec());
        }
        heard
    });
    let mut client = Client::new(Arc::clone(&rendezvous), ClientOptions::default(), None);
    client.submit(outgoing(b"of great worth")).unwrap();
    until(|| {
        client.pump();
        client.counts().squatted >= 2
    });
    assert_eq!(client.last_trouble(), Some(Trouble::Squatted));
    assert_eq!(client.close(Duration::ZERO).lost, 1);
    let heard = squatter.join().unwrap();
    // A greeting with a nonce of its own each time, and the end.
    assert!(heard[1].is_empty() && heard[3].is_empty());
    assert_eq!((heard[0].len(), heard[2].len()), (64, 64));
    assert_ne!(heard[0], heard[2]);
    assert!(heard.iter().all(|bytes| !bytes.windows(8).any(|window| window == b"of great")));
}

/// A rendezvous with another's listener.
fn handed(listener: &OwnedFd) -> Arc<Rendezvous> {
    use rustix::net::recv;
    let (ours, theirs) = support::pair();
    let (to, from) = support::pair();
    let real = Rendezvous::bind().unwrap();
    real.hand_over(&ours).unwrap();
    let mut message = [0; 512];
    let (length, _) = recv(&theirs, &mut message[..], rustix::net::RecvFlags::empty()).unwrap();
    let name = rustix::net::getsockname(listener).unwrap();
    let name = rustix::net::SocketAddrUnix::try_from(name).unwrap().abstract_name().unwrap().to_vec();
    let mut message = message[..length.min(52)].to_vec();
    message.extend(name);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let fds = [std::os::fd::AsFd::as_fd(listener)];
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)));
    let parts = [std::io::IoSlice::new(&message)];
    rustix::net::sendmsg(&to, &parts, &mut control, rustix::net::SendFlags::empty()).unwrap();
    Rendezvous::take_over(&from, support::soon()).unwrap()
}
