//! PHP scripts that fork: every process of the tree delivers what it traced, once, whoever ends or is killed first.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::kill,
    php::{Mode, Php, Script, processes::Process, until, until_or},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use testkit::{Action, Backend, Behaviour, proto::Span};

/// What the scripts share: numbered spans, and files to wait for.
const COMMON: &str = r#"
function work($number, $more = 0) {
    $span = Lastlight\start_span('work', ['number' => (string) $number]);
    for ($i = 0; $i < $more; $i++) { Lastlight\start_span('part')->finish(); }
    $span->finish();
}
function works($from, $to) { for ($i = $from; $i < $to; $i++) { work($i); } }
function await_file($name) {
    $end = microtime(true) + 50;
    while (!file_exists("shared/$name") && microtime(true) < $end) { usleep(1000); clearstatcache(); }
}
function here($name) { file_put_contents("shared/$name", getmypid()); }
function await_all($pids) { foreach ($pids as $pid) { pcntl_waitpid($pid, $status); } }
"#;

fn script(php: &Php, backend: &Backend, mode: Mode) -> Script {
    Script::new(php, backend, mode)
}

/// How often each numbered span arrived.
fn worked(backend: &Backend) -> BTreeMap<u64, u32> {
    let mut worked = BTreeMap::new();
    for span in numbered(backend) {
        *worked.entry(span.meta["number"].parse().unwrap()).or_default() += 1;
    }
    worked
}

fn numbered(backend: &Backend) -> Vec<Span> {
    let mut spans = backend.spans();
    spans.retain(|span| span.name == "work");
    spans
}

/// Every number arrived once.
fn assert_worked(what: &str, backend: &Backend, count: u64, said: &str) {
    let worked = worked(backend);
    let missing: Vec<_> = (0..count).filter(|number| !worked.contains_key(number)).collect();
    let twice: Vec<_> = worked.iter().filter(|(_, times)| **times != 1).collect();
    assert!(
        missing.is_empty() && twice.is_empty(),
        "{what}: missing {missing:?}, not once {twice:?}: {said}"
    );
    assert_eq!(worked.len() as u64, count, "{what}: {worked:?}");
    assert_eq!(backend.duplicates(), [0; 0], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ends_at_once_has_delivered_what_it_traced() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let mut ran = script(&php, &backend, mode).run(&format!("{COMMON} works(0, 50); echo 'done';"));
        assert!(ran.ends().await.success(), "{}", ran.said());
        assert_eq!(ran.stdout(), "done");
        ran.wait_gone().await;
        assert_worked(mode.name(), &backend, 50, &ran.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parent_and_children_both_deliver() {
    let Some(php) = Php::at_hand() else { return };
    // Before anything was traced, and in the midst of it.
    for (mode, first) in Mode::ALL.into_iter().flat_map(|mode| [(mode, 0), (mode, 10)]) {
        let backend = Backend::start().await;
        let text = format!(
            "{COMMON} works(0, {first}); $pids = [];
            for ($child = 1; $child <= 4; $child++) {{
                $pid = pcntl_fork();
                if ($pid === 0) {{ works($child * 100, $child * 100 + 20); exit(0); }}
                $pids[] = $pid;
                works($child * 10, $child * 10 + 10);
            }}
            await_all($pids);"
        );
        let mut ran = script(&php, &backend, mode).run(&text);
        assert!(ran.ends().await.success(), "{}", ran.said());
        ran.wait_gone().await;
        let mut wanted: Vec<u64> = (0..first).chain(10..50).collect();
        wanted.extend((1..=4).flat_map(|child| child * 100..child * 100 + 20));
        let worked = worked(&backend);
        assert!(worked.keys().copied().eq(wanted.iter().copied()), "{mode:?}: {worked:?}: {}", ran.said());
        assert!(worked.values().all(|times| *times == 1), "{mode:?}: {worked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_generations_deliver() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        // Each process takes its number, then has two children, three times over: 1 + 2 + 4 + 8.
        let text = format!(
            "{COMMON} function generation($number, $depth) {{
                work($number, 5);
                $pids = [];
                for ($i = 1; $depth > 0 && $i <= 2; $i++) {{
                    $pid = pcntl_fork();
                    if ($pid === 0) {{ generation($number * 2 + $i, $depth - 1); exit(0); }}
                    $pids[] = $pid;
                }}
                await_all($pids);
            }}
            generation(0, 3);"
        );
        let mut ran = script(&php, &backend, mode).run(&text);
        assert!(ran.ends().await.success(), "{}", ran.said());
        ran.wait_gone().await;
        assert_worked(mode.name(), &backend, 15, &ran.said());
        assert_eq!(backend.span_count(), 15 * 6, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_was_open_at_the_fork_is_the_parents_and_the_childs_are_below_it() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let text = format!(
        "{COMMON} $root = Lastlight\\start_span('job');
        $pid = pcntl_fork();
        if ($pid === 0) {{ work(1); exit(0); }}
        await_all([$pid]); work(0); $root->finish();"
    );
    let mut ran = script(&php, &backend, Mode::Auto).run(&text);
    assert!(ran.ends().await.success(), "{}", ran.said());
    ran.wait_gone().await;
    assert_worked("an open span", &backend, 2, &ran.said());
    let spans = backend.spans();
    let roots: Vec<_> = spans.iter().filter(|span| span.name == "job").collect();
    assert_eq!(roots.len(), 1, "{spans:?}");
    for span in spans.iter().filter(|span| span.name == "work") {
        assert_eq!((span.trace_id, span.parent_id), (roots[0].trace_id, roots[0].span_id), "{span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_ends_is_not_held_up_and_its_orphan_goes_on() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let text = format!(
            "{COMMON} works(0, 10);
            if (pcntl_fork() === 0) {{ works(10, 20); here('child'); await_file('go'); works(20, 40); here('worked'); exit(0); }}
            await_file('child'); await_file('end');"
        );
        let mut ran = script(&php, &backend, mode).run(&text);
        let shared = ran.folder().join("shared");
        until_or("the child", || shared.join("child").exists().then_some(()), || ran.said()).await;
        // Everything but the end itself is done, so that its time is that of the end.
        backend.wait_until(|backend| backend.span_count() >= 20, BOUND).await.unwrap();
        std::fs::write(shared.join("end"), "").unwrap();
        let began = Instant::now();
        assert!(ran.ends().await.success(), "{}", ran.said());
        let lasted = began.elapsed();
        // 200 ms on a machine of its own; what is excluded is waiting for the child, which waits for us.
        assert!(lasted < Duration::from_secs(3), "{mode:?}: {lasted:?}");
        std::fs::write(shared.join("go"), "").unwrap();
        ran.wait_gone().await;
        assert_worked(mode.name(), &backend, 40, &ran.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_of_a_killed_parent_promote_one_of_them_and_lose_nothing() {
    let Some(php) = Php::at_hand() else { return };
    for mode in Mode::ALL {
        let backend = Backend::start().await;
        let text = format!(
            "{COMMON} works(0, 10); Lastlight\\flush(10000);
            for ($child = 1; $child <= 3; $child++) {{
                if (pcntl_fork() === 0) {{
                    works($child * 10, $child * 10 + 10); here(\"child$child\"); await_file('go');
                    works($child * 10 + 100, $child * 10 + 110); exit(0);
                }}
            }}
            here('parent'); await_file('never');"
        );
        let mut ran = script(&php, &backend, mode).run(&text);
        backend.wait_until(|backend| backend.span_count() >= 10, BOUND).await.unwrap();
        backend.behave(Behaviour::new(Action::Hold).on("/api/v0.2/traces"));
        let shared = ran.folder().join("shared");
        let all = || ["parent", "child1", "child2", "child3"].iter().all(|name| shared.join(name).exists());
        until_or("the children", || all().then_some(()), || ran.said()).await;
        kill(ran.pid(), "KILL").await;
        ran.ends().await;
        backend.recover();
        std::fs::write(shared.join("go"), "").unwrap();
        ran.wait_gone().await;
        let worked = worked(&backend);
        let wanted = (0..10).chain(10..40).chain(110..140);
        let missing: Vec<_> = wanted.filter(|number| !worked.contains_key(number)).collect();
        assert!(missing.is_empty(), "{mode:?}: missing {missing:?}: {}", ran.said());
        assert_eq!(worked.len(), 70, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_orphan_serves() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let text = format!(
        "{COMMON} works(0, 1); Lastlight\\flush(10000);
        for ($child = 1; $child <= 4; $child++) {{
            if (pcntl_fork() === 0) {{
                await_file('go'); work($child); Lastlight\\flush(10000); here(\"served$child\"); await_file('end'); exit(0);
            }}
        }}
        here('parent'); await_file('never');"
    );
    let mut ran = script(&php, &backend, Mode::Thread).run(&text);
    let shared = ran.folder().join("shared");
    until_or("the parent", || shared.join("parent").exists().then_some(()), || ran.said()).await;
    kill(ran.pid(), "KILL").await;
    ran.ends().await;
    std::fs::write(shared.join("go"), "").unwrap();
    let all = || (1..=4).all(|child| shared.join(format!("served{child}")).exists());
    until_or("what they did", || all().then_some(()), || ran.said()).await;
    let children = ran.processes();
    let serving: Vec<_> = children.iter().filter(|process| process.threads.len() > 1).collect();
    assert_eq!((children.len(), serving.len()), (4, 1), "{children:#?}");
    std::fs::write(shared.join("end"), "").unwrap();
    ran.wait_gone().await;
    assert_worked("orphans", &backend, 5, &ran.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_returns_in_its_time_when_the_sidecar_hangs_and_nothing_is_lost_when_it_goes_on() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    let text = format!(
        "{COMMON} works(0, 5); Lastlight\\flush(10000); here('up'); await_file('stopped');
        works(5, 15);
        foreach ([0, 50, 300] as $within) {{
            $began = microtime(true);
            $done = Lastlight\\flush($within);
            printf(\"%d %s %.1f\\n\", $within, var_export($done, true), (microtime(true) - $began) * 1000);
        }}
        here('asked'); await_file('goes on'); var_export(Lastlight\\flush(20000));"
    );
    let mut ran = script(&php, &backend, Mode::Subprocess).run(&text);
    let shared = ran.folder().join("shared");
    until_or("a flush", || shared.join("up").exists().then_some(()), || ran.said()).await;
    let sidecar = ran.processes().into_iter().find(Process::is_sidecar).expect("a subprocess").pid;
    kill(sidecar, "STOP").await;
    std::fs::write(shared.join("stopped"), "").unwrap();
    until_or("flushes in vain", || shared.join("asked").exists().then_some(()), || ran.said()).await;
    for line in ran.stdout().lines() {
        let words: Vec<_> = line.split(' ').collect();
        let (within, lasted): (f64, f64) = (words[0].parse().unwrap(), words[2].parse().unwrap());
        assert_eq!(words[1], "false", "{line}");
        assert!(lasted < within + 1_000.0, "{line}");
    }
    kill(sidecar, "CONT").await;
    std::fs::write(shared.join("goes on"), "").unwrap();
    assert!(ran.ends().await.success());
    assert!(ran.stdout().ends_with("true"), "{}\n{}", ran.stdout(), ran.said());
    ran.wait_gone().await;
    let worked = worked(&backend);
    assert!((0..15).all(|number| worked.contains_key(&number)), "{worked:?}");
}

/// A field of what `Lastlight\status()` has.
fn count(status: &serde_json::Value, name: &str) -> u64 {
    let found = status.get(name).or_else(|| status.get("counts")?.get(name));
    found.and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{name}: {status}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_counted() {
    let Some(php) = Php::at_hand() else { return };
    // A sidecar that hangs while more is submitted than finds room.
    let backend = Backend::start().await;
    let text = format!(
        "{COMMON} works(0, 5); Lastlight\\flush(10000); here('up'); await_file('stopped');
        $text = str_repeat('x', 20000);
        for ($i = 5; $i < 20005; $i++) {{
            Lastlight\\start_span('work', ['number' => (string) $i, 'text' => $text])->finish();
        }}
        here('asked'); await_file('goes on'); Lastlight\\flush(50000); echo json_encode(Lastlight\\status());"
    );
    let mut ran = script(&php, &backend, Mode::Subprocess).set("LASTLIGHT_MEMORY", "256MiB").run(&text);
    let shared = ran.folder().join("shared");
    until_or("a flush", || shared.join("up").exists().then_some(()), || ran.said()).await;
    let sidecar = ran.processes().into_iter().find(Process::is_sidecar).expect("a subprocess").pid;
    kill(sidecar, "STOP").await;
    std::fs::write(shared.join("stopped"), "").unwrap();
    until("what found no room", || shared.join("asked").exists().then_some(())).await;
    let grown = lastlight_e2e::agent::memory(ran.pid(), "VmHWM");
    assert!(grown < 200 << 20, "{} MiB of 400 are in the host", grown >> 20);
    kill(sidecar, "CONT").await;
    std::fs::write(shared.join("goes on"), "").unwrap();
    assert!(ran.ends().await.success(), "{}", ran.said());
    ran.wait_gone().await;
    let status: serde_json::Value = serde_json::from_str(&ran.stdout()).unwrap();
    let (accepted, no_room) = (count(&status, "accepted"), count(&status, "no_room"));
    let arrived = worked(&backend);
    assert!(no_room > 0, "{status}");
    assert_eq!(accepted, arrived.len() as u64, "{status}");
    assert_eq!(accepted + no_room, 20_005, "{status}");
    assert!(arrived.values().all(|times| *times == 1));
}
