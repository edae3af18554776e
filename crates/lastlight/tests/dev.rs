//! `lastlight dev` as people run it: a process, its streams, its signals and its exit code.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

/// The binary, without what the tests' own environment may say about agents.
fn dev(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastlight"));
    command.arg("dev").args(arguments).stdin(Stdio::null());
    for variable in [
        "DD_TRACE_AGENT_URL",
        "DD_AGENT_HOST",
        "DD_TRACE_AGENT_PORT",
        "DD_DOGSTATSD_URL",
        "DD_DOGSTATSD_PORT",
        "DD_DOGSTATSD_SOCKET",
        "DD_API_KEY",
        "NO_COLOR",
        "COLUMNS",
    ] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    dev(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(stdout: &[u8]) -> Vec<Value> {
    text(stdout).lines().map(|line| serde_json::from_str(line).expect("a line is one JSON value")).collect()
}

#[test]
fn the_example_is_shown_whole_as_json_and_the_books_balance() {
    let output = run(&["--json", "--example"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = lines(&output.stdout);
    let kind = |wanted: &str| lines.iter().filter(|line| line["type"] == wanted).collect::<Vec<_>>();
    let spans: Vec<_> =
        kind("trace").iter().filter_map(|trace| trace["spans"].as_array()).flatten().collect();
    assert_eq!(spans.len(), 37);
    assert_eq!(kind("summary")[0]["traces"], 4);
    let queries: Vec<_> = spans.iter().filter(|span| span["type"] == "sql").collect();
    assert!(queries.iter().all(|query| !query["resource"].to_string().contains("4711")), "{queries:?}");
    let hits: u64 = kind("stats")
        .iter()
        .filter_map(|bucket| bucket["groups"].as_array())
        .flatten()
        .filter_map(|group| group["hits"].as_u64())
        .sum();
    assert!(hits > 0, "statistics arrive at the end: {lines:?}");
    let traces = &kind("books")[0]["signals"]["traces"];
    assert_eq!(
        (&traces["accepted"], &traces["delivered"], &traces["held"]),
        (&37.into(), &37.into(), &0.into())
    );
}

#[test]
fn the_examples_metrics_are_shown_to_the_last_sample() {
    let output = run(&["--json", "--example"]);
    assert!(!text(&output.stderr).contains("ended on its own"), "{}", text(&output.stderr));
    let lines = lines(&output.stdout);
    let kind = |wanted: &str| lines.iter().filter(|line| line["type"] == wanted).collect::<Vec<_>>();
    // Counts arrive by second: what they stand for is value times interval.
    let total = |name: &str, tag: &str| -> f64 {
        kind("metric")
            .iter()
            .filter(|line| line["metric"] == name && line["tags"].to_string().contains(tag))
            .map(|line| {
                let seconds = line["interval_ns"].as_f64().unwrap_or_default() / 1e9;
                line["value"].as_f64().unwrap_or_default() * seconds
            })
            .sum()
    };
    assert_eq!(total("shop.orders", "product:lamp").round(), 5.0, "{lines:?}");
    assert_eq!(total("shop.orders", "product:candle").round(), 8.0, "the sample rate counts");
    assert_eq!(total("shop.page.time.count", "page:home").round(), 40.0);
    // Each value with a time of its own is a point of its own.
    let depths = kind("metric").iter().filter(|line| line["metric"] == "shop.queue.depth").count();
    assert_eq!(depths, 20);
    let counts: u64 = kind("distribution").iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counts, 40);
    assert_eq!(kind("event")[0]["title"], "Product 4711 is sold out");
    let mut checks: Vec<_> = kind("check").iter().filter_map(|line| line["status"].as_str()).collect();
    checks.sort_unstable();
    assert_eq!(checks, ["critical", "ok"]);
    for (signal, units) in [("metrics", 173), ("events", 1), ("checks", 2)] {
        let book = &kind("books")[0]["signals"][signal];
        assert_eq!((&book["accepted"], &book["delivered"]), (&units.into(), &units.into()), "{signal}");
    }
}

#[test]
fn the_example_is_drawn_as_trees_without_colours_in_a_pipe() {
    let output = run(&["--example"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("shop · http.request  POST /checkout → 500"), "{shown}");
    assert!(shown.contains("✗ OutOfStock: product 4711 is sold out"), "{shown}");
    assert!(shown.contains("… 20 more like it"), "{shown}");
    assert!(shown.contains("4 traces, 37 spans, 3 errors, 18 metric contexts, 1 event, 2 checks"), "{shown}");
    assert!(shown.contains("shop.basket.value                  dist   n 40  p50 "), "{shown}");
    assert!(shown.contains("check  ✗ shop.supplier critical  no answer within 5 s"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_command_keeps_its_stdout_and_its_exit_code() {
    let output = run(&["--", "sh", "-c", "echo mine; exit 7"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(7), "mine\n"));
    assert!(text(&output.stderr).contains("No traces and no metrics arrived"), "{}", text(&output.stderr));
}

#[test]
fn with_json_stdout_is_the_views_and_the_commands_goes_to_stderr() {
    let output = run(&["--json", "--", "sh", "-c", "echo mine"]);
    let lines = lines(&output.stdout);
    assert_eq!(lines.iter().filter(|line| line["type"] == "books").count(), 1);
    assert!(text(&output.stderr).contains("mine\n"), "{}", text(&output.stderr));
    let logs: Vec<_> = lines.iter().filter(|line| line["type"] == "log").collect();
    assert_eq!(logs.len(), 1, "{lines:?}");
    assert_eq!((&logs[0]["message"], &logs[0]["status"]), (&"mine".into(), &"info".into()));
}

#[test]
fn the_command_is_told_where_to_send() {
    let output =
        run(&["--", "sh", "-c", "echo $DD_TRACE_AGENT_URL; echo http://$DD_AGENT_HOST:$DD_TRACE_AGENT_PORT"]);
    let stdout = text(&output.stdout);
    let (url, parts) = stdout.trim_end().split_once('\n').expect("two lines");
    assert!(url.starts_with("http://127.0.0.1:") && url == parts, "{stdout}");
}

#[test]
fn the_command_is_told_where_metrics_go_also_when_the_wanted_port_is_taken() {
    let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    let taken = holder.local_addr().expect("it is bound").port().to_string();
    let output = dev(&["--", "sh", "-c", "echo $DD_AGENT_HOST:$DD_DOGSTATSD_PORT"])
        .env("DD_DOGSTATSD_PORT", &taken)
        .output()
        .expect("the binary runs");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stderr.contains(&format!("UDP port {taken} is not free, using another")), "{stderr}");
    assert!(stderr.contains(&format!(" and udp://{}\n", stdout.trim_end())), "{stdout}{stderr}");
    assert!(stdout.starts_with("127.0.0.1:") && !stdout.ends_with(&format!(":{taken}\n")), "{stdout}");
}

#[test]
fn what_the_user_said_about_the_agent_stays_and_is_told() {
    let output = dev(&["--", "sh", "-c", "echo $DD_TRACE_AGENT_URL"])
        .env("DD_TRACE_AGENT_URL", "http://192.0.2.1:9")
        .output()
        .expect("the binary runs");
    assert_eq!(text(&output.stdout), "http://192.0.2.1:9\n");
    assert!(
        text(&output.stderr).contains("DD_TRACE_AGENT_URL=http://192.0.2.1:9 is set"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn codes_are_those_of_a_shell() {
    let cases: [(&[&str], i32); 5] = [
        (&["--", "true"], 0),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--", "/nowhere/to/be/found"], 127),
        (&["--", "/dev/null"], 126),
        (&["--no-such-option"], 64),
    ];
    for (arguments, code) in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    }
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

#[test]
fn a_signal_is_passed_on_and_the_command_ends_as_it_likes() {
    for (name, code) in [("-TERM", 5), ("-INT", 6)] {
        let script = "trap 'exit 5' TERM; trap 'exit 6' INT; echo ready; while :; do sleep 0.05; done";
        let mut child = dev(&["--", "sh", "-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut ready)
            .expect("the command speaks");
        signal(&child, name);
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{name}");
    }
}

#[test]
fn without_a_command_an_interrupt_ends_the_session_in_order() {
    let mut child =
        dev(&["--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while !said.contains("Ctrl-C ends") {
        assert_ne!(stderr.read_line(&mut said).expect("it speaks"), 0, "{said}");
    }
    signal(&child, "-INT");
    let mut stdout = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut stdout).expect("it ends");
    assert!(child.wait().expect("it ends").success());
    assert!(lines(&stdout).iter().any(|line| line["type"] == "books"));
}
