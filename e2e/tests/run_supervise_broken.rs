//! Nothing configured, nothing broken: whatever is wrong around `lastlight run`, the program runs and its exit code survives.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use lastlight_e2e::{BOUND, raw};
use std::process::Stdio;
use support::run::{Ended, Init, Running, World, all, python, until};
use testkit::{Backend, payload};
use tokio::net::UdpSocket;

/// A child that shows that it runs, and a code that nobody else gives.
const CHILD: [&str; 3] = ["sh", "-c", "echo it runs; exit 42"];

/// What the child did is all there.
fn ran(world: &World, ended: &Ended) {
    assert_eq!((ended.code(), ended.text().as_str()), (42, "it runs\n"), "{}: {ended:?}", world.name());
}

fn both(backend: &Backend) -> [World; 2] {
    [false, true].map(|captured| World::new(backend).captured(captured))
}

#[tokio::test(flavor = "multi_thread")]
async fn l67_without_an_api_key_one_line_says_so_and_the_child_runs() {
    let backend = Backend::start().await;
    for world in both(&backend) {
        for world in [world.clone().unset("DD_API_KEY"), world.set("DD_API_KEY", "")] {
            let ended = world.run(&CHILD).await;
            ran(&world, &ended);
            let lines: Vec<_> = ended.stderr.lines().collect();
            assert!(matches!(lines[..], [line] if line.starts_with("lastlight: DD_API_KEY")), "{ended:?}");
        }
    }
    // Nothing was sent anywhere.
    assert!(backend.requests().is_empty());
    // Nothing at all is set.
    let bare = World::default();
    ran(&bare, &bare.run(&CHILD).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn l66_wrong_settings_are_named_and_the_child_runs() {
    let backend = Backend::start().await;
    let table = [
        ("DD_APM_RECEIVER_PORT", "eighty"),
        ("DD_DOGSTATSD_PORT", "99999999"),
        ("DD_SITE", "https://not a site"),
        ("DD_API_KEY", "not a key"),
        ("DD_APM_DD_URL", "::::"),
        ("LASTLIGHT_STOP_TIMEOUT", "soon"),
        ("LASTLIGHT_KILL_AFTER", "-1"),
        ("LASTLIGHT_MEMORY", "0"),
        ("LASTLIGHT_STOP_SIGNAL", "sigkill"),
        ("DD_LOGS_CONFIG_PROCESSING_RULES", "[{\"type\":"),
        ("DD_LOGS_CONFIG_PROCESSING_RULES", r#"[{"type":"mask_sequences","name":"x","pattern":"("}]"#),
    ];
    for world in both(&backend) {
        for (name, value) in table {
            let world = world.clone().set(name, value);
            let ended = world.run(&CHILD).await;
            ran(&world, &ended);
            assert!(ended.stderr.contains(name), "{name}={value}: {ended:?}");
            assert!(ended.stderr.lines().count() <= 6, "{name}={value}: {ended:?}");
        }
        // A switch that is none costs no more than a line; and a level that is none no silence.
        let world = World::new(&backend).set("DD_LOG_LEVEL", "loud");
        let ended = world.run(&CHILD).await;
        ran(&world, &ended);
        assert!(ended.stderr.contains("DD_LOG_LEVEL"), "{ended:?}");
    }
    let world = World::new(&backend);
    let mut command = world.command(&CHILD);
    command.env("DD_LOGS_ENABLED", "perhaps");
    let ended = support::run::output(command).await;
    ran(&world, &ended);
    assert!(ended.stderr.contains("DD_LOGS_ENABLED"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_costs_what_it_is_for_and_nothing_else() {
    let backend = Backend::start().await;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp_port = tcp.local_addr().unwrap().port().to_string();
    let udp_port = udp.local_addr().unwrap().port().to_string();
    let child = "echo ready; read line; exit 42";
    let start = |world: &World| {
        let mut command = world.command(&["sh", "-c", child]);
        command.stdin(Stdio::piped());
        Running::of(command)
    };

    // Another process has the port of traces: metrics are taken still.
    let world = World::new(&backend).set("DD_APM_RECEIVER_PORT", &tcp_port);
    let mut running = start(&world);
    assert_eq!(running.line().await, "ready");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let statsd: u16 = world.variable("DD_DOGSTATSD_PORT").parse().unwrap();
    socket.send_to(b"kept.metric:1|c", ("127.0.0.1", statsd)).await.unwrap();
    drop(running.input());
    assert_eq!(running.ends().await, 42);
    assert!(running.said().contains(&tcp_port), "{}", running.said());
    assert!(backend.series().iter().any(|series| &*series.metric == "kept.metric"), "{}", running.said());

    // Another process has the port of metrics: traces are taken still.
    let world = World::new(&backend).set("DD_DOGSTATSD_PORT", &udp_port);
    let mut running = start(&world);
    assert_eq!(running.line().await, "ready");
    let port: u16 = world.variable("DD_APM_RECEIVER_PORT").parse().unwrap();
    let body = payload::v04(&[vec![payload::span(7)]]);
    let request = raw::request("POST", "/v0.4/traces", "content-type: application/msgpack\r\n", &body);
    assert_eq!(raw::send(port, &request).await.status, 200);
    drop(running.input());
    assert_eq!(running.ends().await, 42);
    assert!(running.said().contains(&udp_port), "{}", running.said());
    assert_eq!(backend.span_count(), 1, "{}", running.said());

    // The port of logs: what the child writes is a log still.
    let world = World::new(&backend).captured(true).set("DD_LOGS_PORT", &tcp_port);
    let ended = world.run(&CHILD).await;
    ran(&world, &ended);
    assert!(ended.stderr.contains(&tcp_port), "{ended:?}");
    assert!(backend.logs().iter().any(|log| &*log.message == "it runs"), "{ended:?}");

    // All of them.
    for world in both(&backend) {
        let world = world.set("DD_APM_RECEIVER_PORT", &tcp_port).set("DD_DOGSTATSD_PORT", &udp_port);
        let world = world.set("DD_LOGS_PORT", &tcp_port);
        let ended = world.run(&CHILD).await;
        ran(&world, &ended);
        assert!(ended.stderr.contains(&tcp_port) && ended.stderr.contains(&udp_port), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_away_or_silent_does_not_cost_the_exit_code() {
    // Accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::start().await;
    for world in both(&backend) {
        for url in ["http://127.0.0.1:9".to_owned(), format!("http://{}", silent.local_addr().unwrap())] {
            let names = ["DD_APM_DD_URL", "DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL"];
            let world = names.iter().fold(world.clone(), |world, name| world.set(name, &url));
            let world = world.set("LASTLIGHT_STOP_TIMEOUT", "200ms");
            let ended = world.run(&CHILD).await;
            assert_eq!((ended.code(), ended.text().as_str()), (42, "it runs\n"), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_missing_things_around_us_cost_the_child_nothing() {
    let backend = Backend::start().await;
    let table = [
        ("few descriptors", "ulimit -n 12; exec \"$@\""),
        ("hardly any descriptors", "ulimit -n 6; exec \"$@\""),
        ("the three streams and no more", "ulimit -n 3; exec \"$@\""),
        ("no standard input", "exec \"$@\" <&-"),
        ("no standard error", "exec \"$@\" 2>&-"),
        ("no standard input and error", "exec \"$@\" <&- 2>&-"),
        ("a full disk for standard error", "exec \"$@\" 2>/dev/full"),
        ("no files may be written", "ulimit -f 0; exec \"$@\""),
        ("a folder that is gone", "d=$(mktemp -d); cd $d; rmdir $d; exec \"$@\""),
        ("a folder that nobody may enter", "cd /proc/self/fdinfo; exec \"$@\""),
        ("no environment", "exec env -i PATH=$PATH \"$@\""),
        ("little memory", "ulimit -v 400000; exec \"$@\""),
        ("a small stack", "ulimit -s 256; exec \"$@\""),
        ("ignored signals", "trap '' TERM INT HUP QUIT PIPE CHLD USR1; exec \"$@\""),
    ];
    let mut runs = Vec::new();
    for (name, script) in table {
        for world in both(&backend) {
            let nobody = World::new(&backend).under(Init::Nobody).through(script);
            let world = world.through(script);
            runs.push(async move {
                // Whatever comes of it without us comes of it with us.
                let (theirs, ours) = (nobody.run(&CHILD).await, world.run(&CHILD).await);
                let same = (ours.code(), ours.text()) == (theirs.code(), theirs.text());
                let quiet = !ours.stderr.contains("panicked");
                (same && quiet)
                    .then_some(())
                    .ok_or_else(|| format!("{name}: {theirs:?}\n{}: {ours:?}", world.name()))
            });
        }
    }
    all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_outputs_are_closed_for_the_child_too() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    // Which of the three are open, and what 0 to 2 are, said in a file.
    let program = "import os, sys
def what(fd):
    try: return os.readlink(f'/proc/self/fd/{fd}').split(':')[0]
    except OSError: return 'closed'
open(sys.argv[1], 'w').write(' '.join(what(fd) for fd in range(3)))
os._exit(42)
";
    for (number, closed) in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"].into_iter().enumerate() {
        let script = format!("exec \"$@\" {closed}");
        for world in both(&backend) {
            let said = files.path().join(format!("{number}-{}", world.captured));
            let said = said.to_str().unwrap();
            let ended = world.through(&script).run(&[&python(), "-c", program, said]).await;
            assert_eq!(ended.code(), 42, "{closed}: {ended:?}");
            // Rust opens what is closed on /dev/null before main; a log must never go to a socket of ours.
            let said = std::fs::read_to_string(said).unwrap();
            assert!(!said.contains("socket") && !said.contains("anon_inode"), "{closed}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_thread_can_be_had_the_child_runs() {
    // Root has no such limit: another user has.
    let free = 60_000 + std::process::id() % 5_000;
    let drop_rights = format!(
        "exec setpriv --reuid={free} --regid={free} --clear-groups bash -c 'ulimit -u 1; exec \"$@\"' bash \"$@\""
    );
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    std::fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let copy = files.path().join("lastlight");
    std::fs::copy(lastlight_e2e::agent::binary(), &copy).unwrap();
    let nobody = World::default().under(Init::Nobody).through(&drop_rights);
    let may = nobody.run(&[copy.to_str().unwrap(), "--version"]).await;
    if may.code() != 0 {
        eprintln!("skipped: nobody may become another user here, or read what is ours: {may:?}");
        return;
    }
    // The supervisor and its child are two; a third is not to be had.
    for limit in 2..=5 {
        let script = drop_rights.replace("-u 1;", &format!("-u {limit};"));
        for world in both(&backend) {
            let world = world.through(&script).words(&[copy.to_str().unwrap(), "run", "--"]);
            let ended = world.run(&CHILD).await;
            ran(&world, &ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_without_proc_costs_the_child_nothing() {
    let backend = Backend::start().await;
    let namespaces = &["--mount", "--propagation", "private"];
    let may = World::default().under(Init::Nobody).namespaces(namespaces).run(&["true"]).await;
    if may.code() != 0 {
        eprintln!("skipped: no mount namespaces here: {may:?}");
        return;
    }
    let table = [
        ("read-only", "mount --rbind / /mnt && mount -o remount,bind,ro /mnt && exec chroot /mnt \"$@\""),
        ("no /proc", "mount -t tmpfs none /proc && exec \"$@\""),
        ("no /sys", "mount -t tmpfs none /sys && exec \"$@\""),
        ("no /dev", "mount -t tmpfs none /dev && exec \"$@\""),
        ("no /tmp", "mount -t tmpfs -o ro none /tmp && exec \"$@\""),
    ];
    for (name, script) in table {
        // The binary may be in /tmp.
        let files = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        let copy = files.path().join("lastlight");
        std::fs::copy(lastlight_e2e::agent::binary(), &copy).unwrap();
        let nobody = World::default().under(Init::Nobody).namespaces(namespaces).through(script);
        let may = nobody.run(&CHILD).await;
        if may.code() != 42 {
            eprintln!("skipped: {name}: {may:?}");
            continue;
        }
        for world in both(&backend) {
            let world = world.namespaces(namespaces).through(script);
            let world = world.words(&[copy.to_str().unwrap(), "run", "--"]);
            let ended = world.run(&CHILD).await;
            assert_eq!((ended.code(), ended.text().as_str()), (42, "it runs\n"), "{name}: {ended:?}");
            assert!(!ended.stderr.contains("panicked"), "{name}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_standard_output_is_no_reason_to_stay() {
    let backend = Backend::start().await;
    for world in both(&backend) {
        // Nobody reads: the pipe is full after 64 KiB, the child with it, and only a signal ends it.
        let world = world.set("LASTLIGHT_STOP_TIMEOUT", "300ms");
        let mut command = world.command(&["sh", "-c", "echo ready >&2; exec yes"]);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let pid = child.id().unwrap();
        // Until it waits for the reader.
        until("a full pipe", || {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            let child = children.split_whitespace().next()?.to_owned();
            let waits = std::fs::read_to_string(format!("/proc/{child}/wchan")).ok()?;
            (waits.contains("pipe_w") || waits.contains("anon_pipe_w")).then_some(())
        })
        .await;
        lastlight_e2e::agent::kill(pid, "TERM").await;
        let status = tokio::time::timeout(BOUND, child.wait()).await.expect("its end").unwrap();
        assert_eq!(support::run::code(status), 143, "{}", world.name());
        drop(reader);
    }
}
