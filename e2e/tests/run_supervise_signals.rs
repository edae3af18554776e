//! `lastlight run` passes every signal on, to the child and its group, and none of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use lastlight_e2e::{BOUND, agent::kill, raw};
use std::{collections::BTreeSet, process::Stdio};
use support::run::{Init, Running, World, fact, output, python, until};
use testkit::{Backend, payload};

/// Both processes of it say every signal they hear, by number, until SIGTERM; then the child exits with 7.
const HEARERS: &str = "import os, signal
every = set(range(1, 65)) - {signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
child = os.fork()
who = 'child' if child else 'grandchild'
print(who, flush=True)
while True:
    number = signal.sigwaitinfo(every).si_signo
    os.write(1, b'%s %d\\n' % (who.encode(), number))
    if number == signal.SIGTERM: break
if child: os.waitpid(child, 0)
os._exit(7)
";

/// What can be sent and heard; SIGTERM last. KILL and STOP cannot be, CHLD speaks of our own children, 32 and 33 are
/// the C library's.
fn forwardable() -> impl Iterator<Item = u8> {
    (1..=64).filter(|number| ![9, 15, 17, 19, 32, 33].contains(number)).chain([15])
}

fn worlds(backend: &Backend) -> Vec<World> {
    World::new(backend).all().into_iter().filter(|world| !world.terminal).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_forwardable_signal_reaches_the_child_and_its_group() {
    let backend = Backend::start().await;
    for world in worlds(&backend) {
        let mut running = world.start(&[&python(), "-c", HEARERS]);
        let both = |lines: [String; 2]| BTreeSet::from(lines);
        let said = both([running.line().await, running.line().await]);
        assert_eq!(said, both(["child".into(), "grandchild".into()]));
        let pid = running.init(&world).await;
        for number in forwardable() {
            kill(pid, &number.to_string()).await;
            let heard = both([running.line().await, running.line().await]);
            assert_eq!(
                heard,
                both([format!("child {number}"), format!("grandchild {number}")]),
                "{}",
                world.name()
            );
        }
        assert_eq!(running.ends().await, 7, "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_with_traps_and_a_pipeline_hear_what_is_sent() {
    let backend = Backend::start().await;
    let script = "trap 'echo the script' USR2; trap 'echo over; exit 5' TERM
        (trap 'echo the pipeline; exit 3' USR2; echo ready; read line <> \"$1\") | (trap '' USR2; exec cat) &
        while kill -0 $! 2>/dev/null; do wait $!; done
        echo the end of the pipeline
        while :; do read line; done <> \"$1\"";
    for world in worlds(&backend) {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo").display().to_string();
        let made = tokio::process::Command::new("mkfifo").arg(&fifo).status().await.unwrap();
        assert!(made.success());
        let mut running = world.start(&["bash", "-c", script, "bash", &fifo]);
        assert_eq!(running.line().await, "ready");
        let pid = running.init(&world).await;
        kill(pid, "USR2").await;
        let lines = BTreeSet::from([running.line().await, running.line().await]);
        assert_eq!(lines, BTreeSet::from(["the script".into(), "the pipeline".into()]));
        assert_eq!(running.line().await, "the end of the pipeline");
        kill(pid, "TERM").await;
        assert_eq!(running.line().await, "over");
        assert_eq!(running.ends().await, 5, "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l97_no_signal_of_our_own_reaches_the_child() {
    let backend = Backend::start().await;
    let program = "import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
print('ready', flush=True)
sys.stdin.readline()
print(sorted(int(number) for number in signal.sigpending()), flush=True)
";
    for world in worlds(&backend) {
        let mut command = world.command(&[&python(), "-c", program]);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        assert_eq!(running.line().await, "ready");
        // Work for the agent around it: traces, metrics, and a delivery of both.
        let port: u16 = world.variable("DD_APM_RECEIVER_PORT").parse().unwrap();
        let statsd: u16 = world.variable("DD_DOGSTATSD_PORT").parse().unwrap();
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let before = backend.span_count();
        for id in 1..=50 {
            let body = payload::v04(&[vec![payload::span(before + id)]]);
            let request =
                raw::request("POST", "/v0.4/traces", "content-type: application/msgpack\r\n", &body);
            assert_eq!(raw::send(port, &request).await.status, 200);
            socket.send_to(b"page.views:1|c", ("127.0.0.1", statsd)).await.unwrap();
        }
        let delivered = |backend: &Backend| backend.span_count() == before + 50;
        backend.wait_until(delivered, BOUND).await.unwrap();
        drop(running.input());
        assert_eq!(running.line().await, "[]", "{}", world.name());
        assert_eq!(running.ends().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l96_a_signal_in_the_first_milliseconds_is_not_lost() {
    let backend = Backend::start().await;
    for captured in [false, true].repeat(10) {
        let world = World::new(&backend).captured(captured);
        // Would live for ever.
        let mut running = world.start(&["sh", "-c", "while :; do read line < /dev/zero; done"]);
        let pid = running.pid();
        // From where on it cannot be lost: the first that lastlight does is to block it.
        until("blocked signals", || {
            let blocked = u64::from_str_radix(&fact(pid, "SigBlk")?, 16).ok()?;
            (blocked & 1 << 14 != 0).then_some(())
        })
        .await;
        running.signal("TERM").await;
        assert_eq!(running.ends().await, 143, "{}", running.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_child_goes_on() {
    let backend = Backend::start().await;
    for world in worlds(&backend) {
        let mut command = world.command(&["sh", "-c", "echo $$; read line; exit 6"]);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        let inside = running.line().await;
        let init = running.init(&world).await;
        let child = if world.pid_1 {
            let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
            children.trim().parse().unwrap()
        } else {
            inside.parse().unwrap()
        };
        let is = |letter: char| move || fact(child, "State").filter(|state| state.starts_with(letter));
        for stop in ["TSTP", "TTIN"] {
            kill(init, stop).await;
            until("a stopped child", is('T')).await;
            // Nobody at a terminal waits for it: lastlight works on.
            assert!(!fact(init, "State").unwrap().starts_with('T'), "{}", world.name());
            kill(init, "CONT").await;
            until("a child that goes on", is('S')).await;
        }
        drop(running.input());
        assert_eq!(running.ends().await, 6, "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mask_dispositions_and_the_rest_are_as_without_us() {
    let backend = Backend::start().await;
    // Everything a process gets from who starts it, but its streams and what names it.
    let ask = "import os, resource, signal
# Without what glibc's posix_spawn ignores of its own, 32 and 33, in whatever it starts.
print('ignored', hex(int([line for line in open('/proc/self/status') if line.startswith('SigIgn')][0][7:], 16) & ~(3 << 31)))
facts = [line for line in open('/proc/self/status') if line.split(':')[0] in
    ('Umask', 'Uid', 'Gid', 'Groups', 'SigPnd', 'ShdPnd', 'SigBlk', 'SigCgt', 'CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp')]
print(*facts, os.getcwd(), os.nice(0), len(os.listdir('/proc/self/fd')), open('/proc/self/oom_score_adj').read())
print([resource.getrlimit(number) for number in range(16)], os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
";
    let before = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM, 40])
for number in signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, 41: signal.signal(number, signal.SIG_IGN)
# Rust ignores it before main, so that nobody can tell what it was.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
";
    let python = python();
    let through = format!("umask 027; ulimit -n 200; exec nice -n 3 '{python}' -c \"$BEFORE\" \"$@\"");
    let ask_of = async |world: World| {
        let mut command = world.through(&through).command(&[&python, "-c", ask]);
        command.env("BEFORE", before);
        output(command).await.text()
    };
    let plain = ask_of(World::new(&backend).under(Init::Nobody)).await;
    assert!(plain.contains("SigBlk:\t0000008000002200"), "{plain}");
    assert!(plain.contains("ignored 0x10001101801"), "{plain}");
    for captured in [false, true] {
        assert_eq!(ask_of(World::new(&backend).captured(captured)).await, plain, "captured: {captured}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l95_a_child_that_ignores_sigterm_is_left_alone_or_killed_as_asked() {
    let backend = Backend::start().await;
    let program = "import os, signal
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'heard\\n'))
print('ready', flush=True)
while True: signal.pause()
";
    for world in worlds(&backend) {
        // Left alone: it lives until somebody kills it.
        let mut running = world.start(&[&python(), "-c", program]);
        assert_eq!(running.line().await, "ready");
        let pid = running.init(&world).await;
        kill(pid, "TERM").await;
        assert_eq!(running.line().await, "heard");
        // A second request is passed on too.
        kill(pid, "TERM").await;
        assert_eq!(running.line().await, "heard");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        kill(children.trim().parse().unwrap(), "KILL").await;
        assert_eq!(running.ends().await, 137, "{}", world.name());

        let world = world.set("LASTLIGHT_KILL_AFTER", "20ms");
        let mut running = world.start(&[&python(), "-c", program]);
        assert_eq!(running.line().await, "ready");
        let pid = running.init(&world).await;
        kill(pid, "TERM").await;
        assert_eq!(running.ends().await, 137, "{}", world.name());
    }
}
