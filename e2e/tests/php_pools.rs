//! PHP-FPM with the extension: what pools of every kind serve arrives, each request once, in every mode.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::php::{
    Fpm, Manager, Mode, PAGE, Php, Pool, ROOT, Setup, assert_counted, assert_served, is_root, wait_served,
};
use std::collections::BTreeSet;
use testkit::Backend;

/// Requests of one round.
const REQUESTS: u64 = 40;

/// One round: everything arrives while the pools run, and once; the statistics count it when they have stopped.
async fn serves(backend: &Backend, mut fpm: Fpm, pools: &[&'static str], signal: &str) -> Vec<String> {
    let bodies = fpm.requests(pools, 0..REQUESTS).await;
    wait_served(backend, REQUESTS).await;
    fpm.stop(signal).await;
    assert_served(backend, REQUESTS);
    assert_counted(backend, REQUESTS);
    bodies
}

/// What an answer says of who gave it.
fn figure(body: &str, name: &str) -> u32 {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    u32::try_from(value[name].as_u64().unwrap()).unwrap()
}

/// Whoever is to have what: one sidecar process and no thread more, or a thread of the master's and nothing else.
fn assert_hosted(fpm: &Fpm, mode: Mode) {
    let (sidecars, workers, all) = (fpm.sidecars(), fpm.workers(), fpm.processes());
    let master = all.iter().find(|process| process.pid == fpm.master()).unwrap();
    let told = format!("{mode:?}: {all:#?}\n{}", fpm.said());
    assert_eq!(sidecars.len(), usize::from(mode.has_process()), "{told}");
    assert_eq!(master.threads.len(), 1 + usize::from(!mode.has_process()), "{told}");
    assert!(workers.iter().all(|worker| worker.threads.len() == 1), "{told}");
    assert_eq!(all.len(), 1 + workers.len() + sidecars.len(), "{told}");
}

async fn a_pool(mode: Mode, daemon: bool, manager: Manager) {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, mode).daemon(daemon).pool(Pool::new("www", manager));
    let fpm = setup.start(&[PAGE]).await;
    serves(&backend, fpm, &["www"], "QUIT").await;
    let spans = backend.spans();
    let root = &spans[0];
    assert_eq!((root.name.as_str(), root.service.as_str(), root.parent_id), (ROOT, "pools", 0), "{root:?}");
    assert_eq!(root.meta.get("http.method").map(String::as_str), Some("GET"), "{root:?}");
    assert_eq!(root.meta.get("http.status_code").map(String::as_str), Some("200"), "{root:?}");
    assert!(root.duration > 0 && root.error == 0, "{root:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_pool_in_the_foreground_loses_nothing() {
    for mode in Mode::ALL {
        a_pool(mode, false, Manager::Static(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_pool_of_a_daemon_loses_nothing() {
    for mode in Mode::ALL {
        a_pool(mode, true, Manager::Static(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_pool_loses_nothing() {
    for mode in Mode::ALL {
        a_pool(mode, false, Manager::Dynamic(4)).await;
        a_pool(mode, true, Manager::Dynamic(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_on_demand_loses_nothing() {
    for mode in Mode::ALL {
        a_pool(mode, false, Manager::OnDemand(4)).await;
        a_pool(mode, true, Manager::OnDemand(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_two_users_under_a_master_of_roots_reach_the_same_sidecar() {
    let Some(php) = Php::at_hand() else { return };
    if !is_root() {
        eprintln!("skipped: only root has pools of several users");
        return;
    }
    for (mode, daemon) in Mode::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let backend = Backend::start().await;
        let setup = Setup::new(&php, &backend, mode)
            .daemon(daemon)
            .pool(Pool::new("www", Manager::Static(2)))
            .pool(Pool::new("other", Manager::Static(2)).user("daemon"));
        let fpm = setup.start(&[PAGE]).await;
        fpm.requests(&["www", "other"], 0..2).await;
        assert_hosted(&fpm, mode);
        let places = fpm.meeting_places();
        assert_eq!(places.len(), 1, "{mode:?}: {places:?}");
        backend.wait_until(|backend| backend.span_count() == 2, lastlight_e2e::BOUND).await.unwrap();
        backend.reset();
        let bodies = serves_from(&backend, fpm).await;
        let users: BTreeSet<_> = bodies.iter().map(|body| figure(body, "uid")).collect();
        assert_eq!(users.len(), 2, "{mode:?}: {users:?}");
        assert!(!users.contains(&0), "{mode:?}");
    }
}

/// A round after which the backend forgot what came before; statistics of both are sent together.
async fn serves_from(backend: &Backend, mut fpm: Fpm) -> Vec<String> {
    let bodies = fpm.requests(&["www", "other"], 0..REQUESTS).await;
    wait_served(backend, REQUESTS).await;
    fpm.stop("QUIT").await;
    assert_served(backend, REQUESTS);
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_php_ini_counts_over_that_of_the_environment() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, Mode::Subprocess)
        .ini("lastlight.sidecar_connection_mode=thread")
        .pool(Pool::new("www", Manager::Static(1)));
    let fpm = setup.start(&[PAGE]).await;
    fpm.request("www", "index.php", 0).await;
    wait_served(&backend, 1).await;
    assert_hosted(&fpm, Mode::Thread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_is_none_is_said_once_and_means_auto() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, Mode::Auto)
        .set("DD_TRACE_SIDECAR_CONNECTION_MODE", "sideways")
        .pool(Pool::new("www", Manager::Static(3)));
    let mut fpm = setup.start(&[PAGE]).await;
    fpm.requests(&["www"], 0..REQUESTS).await;
    wait_served(&backend, REQUESTS).await;
    assert_hosted(&fpm, Mode::Auto);
    fpm.stop("QUIT").await;
    assert_served(&backend, REQUESTS);
    let said: Vec<_> = fpm.lines().into_iter().filter(|line| line.contains("sideways")).collect();
    assert_eq!(said.len(), 1, "{}", fpm.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_caller_goes_on_in_a_request() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, Mode::Auto).pool(Pool::new("www", Manager::Static(1)));
    let mut fpm = setup.start(&[PAGE]).await;
    let client = fpm.client();
    let datadog = [
        ("HTTP_X_DATADOG_TRACE_ID", "1234"),
        ("HTTP_X_DATADOG_PARENT_ID", "5678"),
        ("HTTP_X_DATADOG_SAMPLING_PRIORITY", "1"),
    ];
    client.request("www", "index.php", 0, &datadog).await;
    let w3c = [("HTTP_TRACEPARENT", "00-0000000000000000000000000000162e-00000000000004d2-01")];
    client.request("www", "index.php", 1, &w3c).await;
    fpm.stop("QUIT").await;
    assert_served(&backend, 2);
    let ids: BTreeSet<_> = backend.spans().iter().map(|span| (span.trace_id, span.parent_id)).collect();
    assert_eq!(ids, [(1234, 5678), (0x162e, 0x4d2)].into());
}
