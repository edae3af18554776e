//! PHP-FPM with the extension through the lives of its processes: reloads, workers that end, masters and sidecars that are
//! killed, stops. What was served arrives.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::kill,
    php::{
        Fpm, Manager, Mode, PAGE, Php, Pool, SLOW_PAGE, Setup, assert_counted, assert_served,
        processes::Process, served, until, until_or, wait_served,
    },
};
use std::{collections::BTreeSet, time::Duration};
use testkit::{Action, Backend, Behaviour};

async fn pool(php: &Php, backend: &Backend, mode: Mode, pool: Pool, daemon: bool) -> Fpm {
    Setup::new(php, backend, mode).daemon(daemon).pool(pool).start(&[PAGE, SLOW_PAGE]).await
}

/// Every mode, in the foreground and as a daemon.
fn everywhere() -> impl Iterator<Item = (Mode, bool)> {
    Mode::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_no_span_and_no_statistics() {
    let Some(php) = Php::at_hand() else { return };
    for ((mode, daemon), signal) in everywhere().flat_map(|case| [(case, "QUIT"), (case, "TERM")]) {
        eprintln!("{mode:?}, daemon: {daemon}, SIG{signal}");
        let backend = Backend::start().await;
        let mut fpm = pool(&php, &backend, mode, Pool::new("www", Manager::Static(3)), daemon).await;
        let mut next = 0;
        if signal == "TERM" {
            // FPM's workers have no handler of it: what one has not sent when it comes is gone, which is what it holds until
            // its first connection is there, some milliseconds after its first request. Each has one after this.
            let mut answered = BTreeSet::new();
            while answered.len() < 3 {
                answered.extend(fpm.requests(&["www"], next..next + 8).await);
                next += 8;
            }
            wait_served(&backend, next).await;
        }
        fpm.requests(&["www"], next..next + 50).await;
        // At once: nothing of the last requests has arrived yet, or not all.
        fpm.stop(signal).await;
        assert_served(&backend, next + 50);
        assert_counted(&backend, next + 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_end_after_their_requests_leave_nothing_behind() {
    let Some(php) = Php::at_hand() else { return };
    for (mode, daemon) in everywhere() {
        let backend = Backend::start().await;
        let workers = Pool::new("www", Manager::Static(2)).max_requests(3);
        let mut fpm = pool(&php, &backend, mode, workers, daemon).await;
        let bodies = fpm.requests(&["www"], 0..60).await;
        let pids: BTreeSet<_> = bodies.iter().collect();
        assert!(pids.len() >= 20, "{} workers", pids.len());
        fpm.stop("QUIT").await;
        assert_served(&backend, 60);
        assert_counted(&backend, 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_slow_old_worker_loses_nothing() {
    let Some(php) = Php::at_hand() else { return };
    for (mode, daemon) in everywhere() {
        let backend = Backend::start().await;
        let mut fpm = pool(&php, &backend, mode, Pool::new("www", Manager::Static(3)), daemon).await;
        fpm.requests(&["www"], 0..10).await;
        let gate = fpm.folder().join("shared/gate").display().to_string();
        let (client, parameter) = (fpm.client(), gate.clone());
        let mut asking = tokio::task::JoinSet::new();
        asking.spawn(async move { client.request("www", "slow.php", 10, &[("GATE", &parameter)]).await });
        let begun = format!("{gate}.begun");
        until("a slow request", || std::path::Path::new(&begun).exists().then_some(())).await;
        fpm.reload().await;
        // It alone is left of the old ones; nobody new is there before it is done.
        until("the end of idle workers", || (fpm.workers().len() == 1).then_some(())).await;
        for number in 11..20 {
            let client = fpm.client();
            asking.spawn(async move { client.request("www", "index.php", number, &[]).await });
        }
        std::fs::write(&gate, "").unwrap();
        asking.join_all().await;
        fpm.wait_ready(2).await;
        fpm.requests(&["www"], 20..30).await;
        // One sidecar, and one place to meet it.
        wait_served(&backend, 30).await;
        let places = || (fpm.meeting_places().len() == 1).then_some(());
        until_or("one meeting place", places, || format!("{:?}", fpm.meeting_places())).await;
        let sidecars = || (fpm.sidecars().len() == usize::from(mode.has_process())).then_some(());
        until_or("one sidecar", sidecars, || format!("{:?}", fpm.processes())).await;
        fpm.stop("QUIT").await;
        assert_served(&backend, 30);
        assert_counted(&backend, 30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_one_after_another_lose_nothing() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let mut fpm = pool(&php, &backend, mode, Pool::new("www", Manager::Static(2)), false).await;
        for round in 0..4 {
            fpm.requests(&["www"], round * 10..(round + 1) * 10).await;
            fpm.reload().await;
            fpm.wait_ready(usize::try_from(round).unwrap() + 2).await;
        }
        fpm.stop("QUIT").await;
        assert_served(&backend, 40);
        assert_counted(&backend, 40);
    }
}

/// Between requests that only have the extension called.
const CALL_PERIOD: Duration = Duration::from_millis(20);

/// Sends requests until everything that was asked for has arrived; how many were sent in all.
async fn until_all_arrived(backend: &Backend, fpm: &Fpm, mut next: u64) -> u64 {
    let end = std::time::Instant::now() + BOUND;
    let wanted = next;
    loop {
        fpm.requests(&["www"], next..next + 8).await;
        next += 8;
        let served = served(backend);
        if (0..wanted).all(|number| served.contains_key(&number)) {
            return next;
        }
        let missing: Vec<_> = (0..wanted).filter(|number| !served.contains_key(number)).collect();
        assert!(std::time::Instant::now() < end, "missing {missing:?}: {}", fpm.said());
        // Each request is a call of the extension's, of which it needs some; how many wait in a worker is bounded.
        tokio::time::sleep(CALL_PERIOD).await;
    }
}

/// Asserts that all requests arrived. Some may have come twice: their server was killed after it had sent them, and before
/// it could say so.
fn assert_none_lost(backend: &Backend, count: u64, twice_max: u64) {
    let served = served(backend);
    let missing: Vec<_> = (0..count).filter(|number| !served.contains_key(number)).collect();
    assert!(missing.is_empty(), "of {count} missing {missing:?}");
    let twice: u64 = served.values().map(|times| u64::from(times - 1)).sum();
    assert!(twice <= twice_max, "{twice} twice");
    assert_eq!(served.len() as u64, count);
}

/// Workers that outlived their master are asked to end, each by its id.
async fn end_workers(fpm: &mut Fpm, signal: &str) {
    for worker in fpm.workers() {
        kill(worker.pid, signal).await;
    }
    fpm.wait_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_whose_master_is_killed_go_on_and_lose_nothing() {
    let Some(php) = Php::at_hand() else { return };
    for (mode, daemon) in everywhere() {
        let backend = Backend::start().await;
        let mut fpm = pool(&php, &backend, mode, Pool::new("www", Manager::Static(3)), daemon).await;
        fpm.requests(&["www"], 0..20).await;
        wait_served(&backend, 20).await;
        // What is accepted now and not delivered dies with a thread of the master's, and is sent again.
        backend.behave(Behaviour::new(Action::Hold).on("/api/v0.2/traces"));
        fpm.requests(&["www"], 20..40).await;
        kill(fpm.master(), "KILL").await;
        fpm.wait_master().await;
        fpm.requests(&["www"], 40..60).await;
        backend.recover();
        let count = until_all_arrived(&backend, &fpm, 60).await;
        assert_eq!(fpm.workers().len(), 3);
        assert!(fpm.sidecars().len() <= 1, "{:?}", fpm.sidecars());
        end_workers(&mut fpm, "QUIT").await;
        // What was held was never acknowledged: nothing can have come twice but by a race at the very kill.
        assert_none_lost(&backend, count, 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subprocess_that_is_killed_is_started_again_and_nothing_is_lost() {
    let Some(php) = Php::at_hand() else { return };
    for (mode, daemon) in everywhere().filter(|(mode, _)| mode.has_process()) {
        let backend = Backend::start().await;
        let mut fpm = pool(&php, &backend, mode, Pool::new("www", Manager::Static(3)), daemon).await;
        fpm.requests(&["www"], 0..20).await;
        wait_served(&backend, 20).await;
        backend.behave(Behaviour::new(Action::Hold).on("/api/v0.2/traces"));
        fpm.requests(&["www"], 20..40).await;
        let sidecars = fpm.sidecars();
        assert_eq!(sidecars.len(), 1, "{sidecars:?}");
        kill(sidecars[0].pid, "KILL").await;
        until("its end", || Process::of(sidecars[0].pid).is_none().then_some(())).await;
        fpm.requests(&["www"], 40..60).await;
        backend.recover();
        let count = until_all_arrived(&backend, &fpm, 60).await;
        assert_eq!(fpm.sidecars().len(), 1, "{:?}", fpm.sidecars());
        fpm.stop("QUIT").await;
        assert_none_lost(&backend, count, 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_hangs_holds_up_no_request_and_no_stop() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let workers = Pool::new("www", Manager::Static(2));
    let mut fpm = pool(&php, &backend, Mode::Subprocess, workers, false).await;
    fpm.requests(&["www"], 0..10).await;
    wait_served(&backend, 10).await;
    let sidecar = fpm.sidecars()[0].pid;
    kill(sidecar, "STOP").await;
    let asked = std::time::Instant::now();
    fpm.requests(&["www"], 10..30).await;
    let lasted = asked.elapsed();
    assert!(lasted < Duration::from_secs(3), "{lasted:?}");
    kill(fpm.master(), "QUIT").await;
    // The sidecar is still stopped: the host does not wait for it for long.
    let asked = std::time::Instant::now();
    fpm.wait_master().await;
    let lasted = asked.elapsed();
    assert!(lasted < Duration::from_secs(12), "{lasted:?}");
    kill(sidecar, "CONT").await;
    fpm.wait_gone().await;
    // It took what it was sent before it was stopped, and what waited in its socket.
    let served = served(&backend);
    assert!((0..10).all(|number| served.contains_key(&number)), "{served:?}");
}
