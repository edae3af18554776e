//! Where a subprocess cannot be: `auto` means a thread then, says so in one line, and loses nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::php::{
    Fpm, Manager, Mode, PAGE, Php, Pool, Setup, assert_counted, assert_served, is_root, wait_served,
};
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use testkit::Backend;

/// A file with a mode in a folder of its own.
fn file(text: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("lastlight");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

/// A pool serves by a thread of the master's, as long as the binary is what it is; one line says why.
async fn serves_by_a_thread(what: &str, setup: Setup, backend: &Backend) -> Fpm {
    let mut fpm = setup.pool(Pool::new("www", Manager::Static(3))).start(&[PAGE]).await;
    fpm.requests(&["www"], 0..20).await;
    wait_served(backend, 20).await;
    let (sidecars, master) = (fpm.sidecars(), fpm.processes());
    let master = master.iter().find(|process| process.pid == fpm.master()).unwrap();
    assert!(sidecars.is_empty(), "{what}: {sidecars:?}");
    assert_eq!(master.threads.len(), 2, "{what}: {master:?}\n{}", fpm.said());
    fpm.stop("QUIT").await;
    assert_served(backend, 20);
    assert_counted(backend, 20);
    let lines: Vec<_> = fpm.lines().into_iter().filter(|line| line.contains("thread")).collect();
    assert_eq!(lines.len(), 1, "{what}: {}", fpm.said());
    eprintln!("{what}: {}", lines[0]);
    fpm
}

async fn with_binary(what: &str, php: &Php, binary: &Path) {
    for daemon in [false, true] {
        let backend = Backend::start().await;
        let setup = Setup::new(php, &backend, Mode::Auto).daemon(daemon);
        let setup = setup.set("LASTLIGHT_BINARY", binary.display().to_string());
        serves_by_a_thread(what, setup, &backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_binary_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    with_binary("no such file", &php, Path::new("/no/such/lastlight")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_binary_that_may_not_be_executed_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let binary = std::fs::read(php.binary()).unwrap();
    let (_keep, path) = file(&binary, 0o644);
    with_binary("not executable", &php, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_binary_that_is_none_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let (_keep, path) = file(b"\x7fELF, or so it says", 0o755);
    with_binary("no program", &php, &path).await;
    let (_keep, path) = file(b"#!/no/such/interpreter\n", 0o755);
    with_binary("no interpreter", &php, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_subprocess_that_dies_at_once_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let (_keep, path) = file(b"#!/bin/sh\nexit 3\n", 0o755);
    with_binary("ends at once", &php, &path).await;
    let (_keep, path) = file(b"#!/bin/sh\nkill -SEGV $$\n", 0o755);
    with_binary("dies at once", &php, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_subprocess_that_never_answers_auto_is_a_thread_and_it_is_gone() {
    let Some(php) = Php::at_hand() else { return };
    // `serves_by_a_thread` waits until nobody is left.
    let (_keep, path) = file(b"#!/bin/sh\nexec sleep 3600\n", 0o755);
    with_binary("never answers", &php, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_binary_of_a_mount_without_execution_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    if !is_root() {
        eprintln!("skipped: only root mounts");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = "set -e; mount -t tmpfs -o noexec,mode=0755 tmpfs \"$0\"; cp \"$SOURCE\" \"$0/lastlight\"; exec \"$@\"";
    let inside = place.path().display().to_string();
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, Mode::Auto)
        .set("SOURCE", php.binary().display().to_string())
        .set("TMPDIR", &inside)
        .set("LASTLIGHT_BINARY", format!("{inside}/lastlight"))
        .through(&["unshare", "--mount", "--propagation", "private", "sh", "-c", script, &inside]);
    serves_by_a_thread("noexec", setup, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subprocess_that_was_asked_for_and_cannot_be_leaves_requests_alone_and_says_so() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, Mode::Subprocess).set("LASTLIGHT_BINARY", "/no/such/lastlight");
    let mut fpm = setup.pool(Pool::new("www", Manager::Static(2))).start(&[PAGE]).await;
    fpm.requests(&["www"], 0..20).await;
    fpm.stop("QUIT").await;
    assert!(fpm.lines().iter().any(|line| line.contains("/no/such/lastlight")), "{}", fpm.said());
    // Nothing was promised, and nothing else took its place.
    assert_eq!(backend.span_count(), 0, "{}", fpm.said());
}
