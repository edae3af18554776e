//! Logs of a program under `lastlight run`: what it wrote is at the backend, once, whole and said as it was meant.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{Run, assert_job_logs, job};
use lastlight_e2e::{BOUND, full};
use serde_json::json;
use std::{collections::BTreeMap, os::fd::OwnedFd, process::Stdio};
use testkit::{Backend, Behaviour, Log};

/// The intake's bound of one log.
const LOG_MAX_BYTES: usize = 1_000_000;
const MIB: u64 = 1024 * 1024;

/// What arrived of a shell script.
async fn logs_of(backend: &Backend, run: Run, script: &str) -> Vec<Log> {
    let ended = run.sh(script).ends().await;
    assert_eq!(ended.code, 0, "{}", ended.tail());
    ended.without_loss();
    backend.logs()
}

fn messages(logs: &[Log]) -> Vec<&str> {
    logs.iter().map(|log| &*log.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn l89_a_last_line_without_newline_arrives_of_both_streams() {
    let backend = Backend::start().await;
    let script = "printf 'first\\nlast of stdout'; printf 'last of stderr' >&2";
    let logs = logs_of(&backend, Run::new(&backend), script).await;
    let mut messages = messages(&logs);
    messages.sort_unstable();
    assert_eq!(messages, ["first", "last of stderr", "last of stdout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l90_every_log_of_a_job_that_ends_at_once_arrives() {
    for _ in 0..if full() { 100 } else { 5 } {
        let backend = Backend::start().await;
        let lines = 5_000;
        let ended = Run::new(&backend).stdout(Stdio::null()).sh(&job(lines, 0, 0, 0)).ends().await;
        assert_eq!(ended.without_loss().of("logs").delivered, lines);
        assert_job_logs(&backend.logs(), lines);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_writes_is_written_through_untouched() {
    let backend = Backend::start().await;
    let script = "printf 'a\\000b\\377\\r\\n\\n\\033[31mred\\033[0m'";
    let ended = Run::new(&backend).sh(script).ends().await;
    assert_eq!(ended.stdout, b"a\0b\xff\r\n\n\x1b[31mred\x1b[0m");
    // What is no text is repaired, as the intake refuses all of what it cannot read.
    let logs = backend.logs();
    assert_eq!(messages(&logs), ["a\0b\u{fffd}", "\u{1b}[31mred\u{1b}[0m"]);
    assert_eq!(backend.counts().undecodable, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_garbage_arrives_as_something_and_costs_nothing_else() {
    let backend = Backend::start().await;
    let script = "echo before; head -c 3000000 /dev/urandom; echo; echo after";
    let ended = Run::new(&backend).stdout(Stdio::null()).sh(script).ends().await;
    ended.without_loss();
    let logs = backend.logs();
    assert_eq!(logs.len() as u64, ended.books().of("logs").delivered);
    let arrived = |text: &str| logs.iter().any(|log| log.message == text);
    assert!(arrived("before") && arrived("after"));
    assert_eq!((backend.counts().undecodable, backend.counts().oversized), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_say_who_wrote_them_where() {
    let backend = Backend::start().await;
    let run = Run::new(&backend)
        .set("DD_SERVICE", "Shop")
        .set("DD_SOURCE", "Ruby")
        .set("DD_ENV", "Prod")
        .set("DD_VERSION", "1.2")
        .set("DD_TAGS", "team:web,tier:1");
    let logs = logs_of(&backend, run, "echo to stdout; echo to stderr >&2").await;
    assert_eq!(logs.len(), 2);
    for log in &logs {
        assert_eq!((&*log.service, &*log.ddsource), ("Shop", "ruby"), "{log:?}");
        assert_eq!(log.status, if log.message == "to stderr" { "error" } else { "info" }, "{log:?}");
        assert_eq!(log.hostname, "e2e", "{log:?}");
        for tag in ["env:prod", "version:1.2", "team:web", "tier:1"] {
            assert!(log.has_tag(tag), "{tag}: {log:?}");
        }
        assert!(log.timestamp > 1_700_000_000_000, "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_trace_is_one_log() {
    let java = "2026-01-02 03:04:05 ERROR [main] shop.Cart - cannot pay\n\
        java.lang.IllegalStateException: no money: 17 €\n\
        \tat shop.Cart.pay(Cart.java:17)\n\
        \tat shop.Main.main(Main.java:4)\n\
        Caused by: java.io.IOException: card\n\
        \tat shop.Card.charge(Card.java:3)\n\
        \t... 2 more";
    let python = "Traceback (most recent call last):\n\
        \x20 File \"/app/shop.py\", line 3, in pay\n\
        \x20   charge(card)\n\
        OSError: no card\n\
        \n\
        During handling of the above exception, another exception occurred:\n\
        \n\
        Traceback (most recent call last):\n\
        \x20 File \"/app/shop.py\", line 9, in <module>\n\
        \x20   pay()\n\
        ValueError: no money";
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("java"), format!("start\n{java}\nnext\n")).unwrap();
    std::fs::write(files.path().join("python"), format!("start\n{python}\nnext\n")).unwrap();
    for (name, trace) in [("java", java), ("python", python)] {
        let backend = Backend::start().await;
        let run = Run::new(&backend).set("TEXT", files.path().join(name).display().to_string());
        // In pieces that know nothing of lines.
        let logs = logs_of(&backend, run, "dd if=\"$TEXT\" bs=7 status=none").await;
        assert_eq!(messages(&logs), ["start", trace, "next"], "{name}");
        let backend = Backend::start().await;
        let run = Run::new(&backend)
            .set("TEXT", files.path().join(name).display().to_string())
            .set("DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION", "false");
        let logs = logs_of(&backend, run, "cat \"$TEXT\"").await;
        let lines: Vec<_> = trace.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(messages(&logs).len(), lines.len() + 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_longer_than_a_log_may_be_arrives_whole_in_parts_that_say_so() {
    let backend = Backend::start().await;
    let length = 2_500_000;
    let script = format!("echo before; head -c {length} /dev/zero | tr '\\0' x; echo; echo after");
    let ended = Run::new(&backend).stdout(Stdio::null()).sh(&script).ends().await;
    ended.without_loss();
    let logs = backend.logs();
    assert!(logs.iter().all(|log| log.message.len() <= LOG_MAX_BYTES));
    let messages = messages(&logs);
    let parts = &messages[1..messages.len() - 1];
    assert_eq!((messages[0], messages[messages.len() - 1], parts.len()), ("before", "after", 3));
    let marker = "...TRUNCATED...";
    assert!(parts[..2].iter().all(|part| part.ends_with(marker)), "parts that are continued");
    assert!(parts[1..].iter().all(|part| part.starts_with(marker)), "parts that continue");
    let whole: usize = parts.iter().map(|part| part.replace(marker, "").len()).sum();
    assert_eq!(whole, length);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_say_how_bad_when_of_what_and_in_which_trace() {
    let backend = Backend::start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() - 5_000;
    let line = json!({
        "message": "cannot pay", "level": "WARNING", "timestamp": u64::try_from(now).unwrap(), "service": "cart",
        "dd.trace_id": "1234567890123456789", "dd.span_id": "987", "amount": 3,
    });
    let nested = json!({"msg": "x", "severity": "fatal", "dd": {"trace_id": "77", "span_id": "78"}});
    let run = Run::new(&backend).set("LINE", line.to_string()).set("NESTED", nested.to_string());
    let script = "printf '%s\\n' \"$LINE\" \"$NESTED\" '{\"broken\":' >&2";
    let logs = logs_of(&backend, run.set("DD_SERVICE", "shop"), script).await;
    assert_eq!(messages(&logs), [line.to_string(), nested.to_string(), "{\"broken\":".to_owned()]);
    let [said, nested, broken] = &logs[..] else { panic!("{logs:?}") };
    assert_eq!((&*said.status, &*said.service, said.timestamp as u128), ("warn", "cart", now));
    assert_eq!(said.attributes["dd.trace_id"], "1234567890123456789");
    assert_eq!(said.attributes["dd.span_id"], "987");
    assert_eq!((&*nested.service, &nested.attributes["dd.trace_id"]), ("shop", &json!("77")));
    assert!(["critical", "emergency", "alert"].contains(&&*nested.status), "{nested:?}");
    assert_eq!((&*broken.status, broken.attributes.len()), ("error", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn processing_rules_leave_out_keep_and_mask() {
    let rules = json!([
        {"type": "exclude_at_match", "name": "health", "pattern": "GET /health"},
        {"type": "include_at_match", "name": "gets", "pattern": "^(GET|\\{)"},
        {"type": "mask_sequences", "name": "keys", "pattern": "key=\\w+", "replace_placeholder": "key=***"},
    ]);
    let backend = Backend::start().await;
    let run = Run::new(&backend).set("DD_LOGS_CONFIG_PROCESSING_RULES", rules.to_string());
    let script = "printf '%s\\n' 'GET /health' 'GET /a?key=secret' 'POST /b' 'GET /c'";
    let ended = run.sh(script).ends().await;
    assert_eq!(messages(&backend.logs()), ["GET /a?key=***", "GET /c"]);
    let logs = ended.without_loss().of("logs").clone();
    assert_eq!((logs.accepted, logs.delivered), (4, 2));
    assert_eq!(logs.reasons, BTreeMap::from([("filtered".to_owned(), 2)]));
    // The program's own output is its own.
    assert_eq!(ended.stdout, b"GET /health\nGET /a?key=secret\nPOST /b\nGET /c\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_says_where_records_of_several_lines_begin() {
    let rules = json!([{"type": "multi_line", "name": "dates", "pattern": "\\d{4}-\\d{2}-\\d{2} "}]);
    let backend = Backend::start().await;
    let run = Run::new(&backend).set("DD_LOGS_CONFIG_PROCESSING_RULES", rules.to_string());
    let script = "printf '%s\\n' '2026-01-02 a' 'more of a' '2026-01-02 b' '2026-01-03 c' 'more' 'and more'";
    let logs = logs_of(&backend, run, script).await;
    assert_eq!(messages(&logs), ["2026-01-02 a\nmore of a", "2026-01-02 b", "2026-01-03 c\nmore\nand more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_arrive_while_the_program_runs_and_uncompressed_where_that_is_asked() {
    let backend = Backend::start().await;
    let run = Run::new(&backend)
        .set("DD_LOGS_CONFIG_BATCH_WAIT", "50ms")
        .set("DD_LOGS_CONFIG_USE_COMPRESSION", "false")
        .sh("echo one; printf 'half a'; read never < /dev/null; sleep 600");
    backend.wait_until(|backend| backend.counts().logs == 1, BOUND).await.unwrap();
    assert!(
        backend.requests().iter().all(|request| {
            request.path != "/api/v2/logs" || request.header("content-encoding").is_none()
        })
    );
    run.signal("TERM").await;
    let ended = run.ends().await;
    assert_eq!(ended.code, 143, "{}", ended.tail());
    ended.without_loss();
    assert_eq!(messages(&backend.logs()), ["one", "half a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_not_taken_where_nobody_asks_for_them() {
    let backend = Backend::start().await;
    let ended = Run::new(&backend).unset("DD_LOGS_ENABLED").sh("echo out; echo err >&2").ends().await;
    assert_eq!(ended.stdout, b"out\n");
    assert_eq!((ended.without_loss().of("metrics").lost(), backend.counts().logs), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn l88_a_full_queue_never_blocks_the_program_and_is_counted_and_said() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::refuse());
    let megabytes: u64 = if full() { 500 } else { 120 };
    let run = Run::new(&backend)
        .set("LASTLIGHT_MEMORY", "36MiB")
        .set("LASTLIGHT_STOP_TIMEOUT", "1s")
        .set("DD_LOGS_CONFIG_AUTO_MULTI_LINE_DETECTION", "false")
        .stdout(Stdio::null());
    // What compresses badly, in lines of a kilobyte.
    let script = format!(
        "head -c {megabytes}000000 /dev/urandom | base64 -w 999 | head -c {megabytes}000000; \
        grep VmHWM /proc/$PPID/status >&2; echo written >&2"
    );
    let run = run.sh(&script);
    // The program ends: nothing it writes waits for the backend.
    let ended = run.ends().await;
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("written"), "{}", ended.tail());
    let logs = ended.books().of("logs");
    assert_eq!(logs.accepted, megabytes * 1_000 + 2, "{}", ended.tail());
    assert_eq!(logs.delivered, 0);
    let full = logs.reasons.get("queue_full").copied().unwrap_or(0);
    assert!(full > logs.accepted / 2, "{}", ended.tail());
    // And once while it happened, not for each.
    let warnings = ended.stderr.lines().filter(|line| line.contains("its queue is full")).count();
    assert!((1..=3).contains(&warnings), "{}", ended.tail());
    let peak = ended.stderr.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak * 1024 < 90 * MIB, "{peak} kB");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_standard_output_that_is_stuck_costs_no_log_of_standard_error() {
    let backend = Backend::start().await;
    // A pipe that is full and that nobody reads.
    let (reader, writer) = std::io::pipe().unwrap();
    let stuck = Stdio::from(OwnedFd::from(writer));
    let run = Run::new(&backend).set("LASTLIGHT_STOP_TIMEOUT", "2s").stdout(stuck);
    let script = "(yes 'to nowhere' | head -c 300000 &) ; i=0; while [ $i -lt 500 ]; do echo \"error $i\" >&2; i=$((i+1)); \
        done; exit 5";
    let ended = run.sh(script).ends().await;
    assert_eq!(ended.code, 5, "{}", ended.tail());
    let logs = backend.logs();
    let errors = logs.iter().filter(|log| log.message.starts_with("error ")).count();
    assert_eq!(errors, 500, "{}", ended.tail());
    ended.books();
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observability_pipelines_worker_gets_all_logs_uncompressed_and_the_intake_none() {
    let (backend, worker) = (Backend::start().await, Backend::start().await);
    let run = Run::new(&backend)
        .set("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "true")
        .set("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL", worker.url());
    let ended = run.sh(&job(100, 10, 10, 0)).ends().await;
    ended.without_loss();
    assert_job_logs(&worker.logs(), 100);
    assert_eq!((backend.counts().logs, backend.span_count()), (0, 10));
    let counts = worker.counts();
    assert_eq!(counts.paths.keys().collect::<Vec<_>>(), ["/api/v2/logs"]);
    assert!(worker.requests().iter().all(|request| request.header("content-encoding").is_none()));
    assert!(backend.requests().iter().any(|request| request.header("content-encoding").is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_additional_endpoint_gets_a_copy_and_its_failure_costs_the_main_one_nothing() {
    for fails in [false, true] {
        let (backend, other) = (Backend::start().await, Backend::start().await);
        if fails {
            other.behave(Behaviour::refuse());
        }
        let endpoints = json!([{"api_key": "fedcba98765432100123456789abcdef", "Host": "http://127.0.0.1", "Port": other.port()}]);
        let run = Run::new(&backend)
            .set("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", endpoints.to_string())
            .set("LASTLIGHT_STOP_TIMEOUT", "1s");
        let ended = run.sh(&job(100, 0, 0, 0)).ends().await;
        assert_job_logs(&backend.logs(), 100);
        assert_eq!(ended.books().of("logs").delivered, 100, "{}", ended.tail());
        if !fails {
            assert_eq!(other.counts().logs, 100, "{:?} {}", other.counts(), ended.tail());
            assert_job_logs(&other.logs(), 100);
            let keys: Vec<_> =
                other.requests().iter().map(|one| one.header("dd-api-key").map(str::to_owned)).collect();
            assert_eq!(keys, [Some("fedcba98765432100123456789abcdef".to_owned())]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l60_logs_that_the_intake_cannot_take_now_are_sent_again_and_what_it_refuses_is_counted() {
    for status in [429, 503] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(status).on("/api/v2/logs").times(3));
        let ended = Run::new(&backend).stdout(Stdio::null()).sh(&job(3_000, 0, 0, 0)).ends().await;
        ended.without_loss();
        assert_job_logs(&backend.logs(), 3_000);
    }
    for status in [400, 401, 403, 413] {
        let backend = Backend::start().await;
        backend.behave(Behaviour::status(status).on("/api/v2/logs"));
        let ended = Run::new(&backend).stdout(Stdio::null()).sh(&job(100, 0, 0, 0)).ends().await;
        let logs = ended.books().of("logs");
        assert_eq!((logs.accepted, logs.delivered, logs.dropped), (100, 0, 100), "{}", ended.tail());
        assert!(ended.stderr.contains("100 logs dropped") || status == 413, "{}", ended.tail());
        // Asked once, not again; what was too big is asked in halves.
        let requests = backend.counts().paths["/api/v2/logs"].requests;
        assert!(requests == 1 || status == 413, "{status}: {requests}");
    }
}
