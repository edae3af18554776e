//! The extension as a guest: what needs no sidecar starts none, workers hold nothing of the agent's, other tracers are served
//! too, and nobody else is.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    php::{
        Fpm, Manager, Mode, PAGE, Php, Pool, Script, Setup, assert_served, is_root,
        processes::{Process, listeners, meeting_places, of_folder},
        until_or, wait_served,
    },
    raw,
};
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::{Backend, payload};

/// The binary behind a script that leaves a file when it is started: the binary's path, and the file's.
fn watched(php: &Php) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (script, mark) = (folder.path().join("lastlight"), folder.path().join("started"));
    let text = format!("#!/bin/sh\n: > {}\nexec {} \"$@\"\n", mark.display(), php.binary().display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, script, mark)
}

fn pools(php: &Php, backend: &Backend, mode: Mode) -> Setup {
    Setup::new(php, backend, mode).pool(Pool::new("www", Manager::Static(2)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_configuration_starts_nothing() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    for mode in Mode::ALL {
        let (_keep, binary, mark) = watched(&php);
        let setup = pools(&php, &backend, mode).set("LASTLIGHT_BINARY", binary.display().to_string());
        let (right, said, folder) = setup.check();
        assert!(right, "{said}");
        assert!(!mark.exists(), "{mode:?}: a subprocess was started: {said}");
        assert!(!said.contains("lastlight:"), "{mode:?}: {said}");
        assert_eq!(of_folder(folder.path()), [], "{mode:?}");
        // It would be seen.
        let mut fpm = setup.start(&[PAGE]).await;
        fpm.request("www", "index.php", 0).await;
        assert_eq!(mark.exists(), mode.has_process(), "{mode:?}: {}", fpm.said());
        fpm.stop("QUIT").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_traces_nothing_has_nothing_of_it() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    for mode in Mode::ALL {
        let (_keep, binary, mark) = watched(&php);
        let script = Script::new(&php, &backend, mode).set("LASTLIGHT_BINARY", binary.display().to_string());
        for words in [&["-v"][..], &["-m"], &["-i"]] {
            let mut ran = script.words(words);
            assert!(ran.ends().await.success(), "{}", ran.said());
            assert_eq!(ran.said(), "", "{words:?}");
            assert_eq!(ran.processes(), [], "{words:?}");
        }
        let mut ran =
            script.run("echo 'up'; while (!file_exists('shared/end')) { usleep(2000); clearstatcache(); }");
        ran.prints("up").await;
        let processes = ran.processes();
        assert_eq!(processes.len(), 1, "{processes:?}");
        assert_eq!((processes[0].pid, processes[0].threads.len()), (ran.pid(), 1), "{processes:?}");
        assert_eq!(processes[0].sockets(), BTreeSet::new());
        assert_eq!(listeners(&processes), []);
        std::fs::write(ran.folder().join("shared/end"), "").unwrap();
        assert!(ran.ends().await.success());
        assert_eq!((ran.stdout().as_str(), ran.said().as_str()), ("up", ""));
        assert!(!mark.exists(), "{mode:?}: a subprocess was started");
    }
    assert_eq!(backend.counts().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_asked_nothing_meets_nobody_and_sends_nothing() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let mut fpm = pools(&php, &backend, mode).start(&[PAGE]).await;
        fpm.stop("QUIT").await;
        assert_eq!(backend.span_count(), 0);
        // The master reaps its workers and nobody else.
        assert!(!fpm.log().contains("unknown child"), "{}", fpm.log());
        assert!(!fpm.log().contains("WARNING"), "{}", fpm.log());
    }
}

/// Numbers of the TCP sockets of this machine.
fn tcp_sockets() -> BTreeSet<u64> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| line.split_whitespace().nth(9)?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_holds_a_connection_of_the_agents_and_there_is_one_place_to_meet_it() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        // Workers that were forked before the agent had a connection, and after.
        let setup =
            Setup::new(&php, &backend, mode).pool(Pool::new("www", Manager::Static(2)).max_requests(5));
        let mut fpm = setup.start(&[PAGE]).await;
        fpm.requests(&["www"], 0..40).await;
        wait_served(&backend, 40).await;
        let tcp = tcp_sockets();
        for process in fpm.processes().iter().filter(|process| !process.is_sidecar()) {
            let theirs: Vec<_> = process.sockets().intersection(&tcp).copied().collect();
            assert!(theirs.is_empty(), "{mode:?}: {process:?} has {theirs:?}");
        }
        let places = fpm.meeting_places();
        assert_eq!(places.len(), 1, "{mode:?}: {places:?}");
        assert!(places[0].name.contains(&format!("/{}", fpm.master())), "{mode:?}: {places:?}");
        fpm.stop("QUIT").await;
        assert_served(&backend, 40);
        assert!(!fpm.log().contains("unknown child"), "{}", fpm.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tracers_reach_the_same_sidecar_at_its_socket() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("apm.socket");
        let setup = pools(&php, &backend, mode).set("DD_APM_RECEIVER_SOCKET", socket.display().to_string());
        let mut fpm = setup.start(&[PAGE]).await;
        fpm.request("www", "index.php", 0).await;
        until_or("its socket", || socket.exists().then_some(()), || fpm.said()).await;
        let body = payload::v04(&[vec![payload::span(7)]]);
        let headers = "content-type: application/msgpack\r\nx-datadog-trace-count: 1\r\n";
        let answer = raw::send_unix(&socket, &raw::request("POST", "/v0.4/traces", headers, &body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        backend.wait_until(|backend| backend.span_count() == 2, BOUND).await.unwrap();
        assert!(backend.missing([7]).is_empty());
        fpm.stop("QUIT").await;
        assert_eq!(backend.span_count(), 2);
    }
}

/// Connects to abstract names and says of each whether somebody speaks to it.
const STRANGER: &str = r#"
foreach (array_slice($argv, 1) as $name) {
    $socket = socket_create(AF_UNIX, SOCK_SEQPACKET, 0);
    socket_set_option($socket, SOL_SOCKET, SO_RCVTIMEO, ['sec' => 20, 'usec' => 0]);
    if (!@socket_connect($socket, "\0" . $name)) { echo "refused\n"; continue; }
    $got = @socket_recv($socket, $bytes, 4096, 0);
    echo $got === 0 ? "closed\n" : ($got === false ? socket_strerror(socket_last_error($socket)) . "\n" : "answered " . bin2hex($bytes) . "\n");
}
"#;

async fn stranger(php: &Php, backend: &Backend, fpm: &Fpm) -> String {
    let name = fpm.meeting_places()[0].name.trim_start_matches('@').to_owned();
    let script = Script::new(php, backend, Mode::Auto).through(&[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]);
    let mut ran = script.words(&["-r", STRANGER, "--", &name, &name]);
    assert!(ran.ends().await.success(), "{}", ran.said());
    ran.stdout()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_told_nothing_else() {
    let Some(php) = Php::at_hand() else { return };
    if !is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    for mode in [Mode::Subprocess, Mode::Thread] {
        let backend = Backend::start().await;
        let mut fpm = pools(&php, &backend, mode).start(&[PAGE]).await;
        fpm.requests(&["www"], 0..4).await;
        let told = stranger(&php, &backend, &fpm).await;
        // Denied, for its user; no word of a secret.
        let denied = format!("answered 43{}03{}", "00".repeat(15), "00".repeat(15));
        assert_eq!(told.lines().collect::<Vec<_>>(), [&*denied, &*denied], "{mode:?}");
        fpm.requests(&["www"], 4..10).await;
        fpm.stop("QUIT").await;
        assert_served(&backend, 10);
        if mode == Mode::Thread {
            // By the master, whose log it is; of two that came.
            let said = fpm.lines().iter().filter(|line| line.contains("is not served")).count();
            assert_eq!(said, 1, "{}", fpm.said());
        }
    }
}

/// The longest a process may be looked for in vain.
#[tokio::test(flavor = "multi_thread")]
async fn processes_are_told_from_each_other() {
    // What the other tests rely on.
    let own = Process::of(std::process::id()).unwrap();
    assert!(!own.is_sidecar() && !own.is_worker());
    assert!(of_folder(Path::new("/no/such/folder")).is_empty());
    assert_eq!(meeting_places(&[own]), []);
}
