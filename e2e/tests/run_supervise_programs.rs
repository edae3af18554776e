//! Programs of all kinds under `lastlight run`: none can tell, and their streams are untouched.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use lastlight_e2e::{BOUND, folder, full};
use std::{path::Path, process::Stdio};
use support::run::{
    Running, World, fact, may_have_pid_namespaces, node_modules, output, python, script, until,
};
use testkit::Backend;

/// Bytes that no text has, some of them, and never the same line twice.
const BINARY_BYTES: usize = 10_000_000;

fn worlds(backend: &Backend) -> Vec<World> {
    World::new(backend).all().into_iter().filter(|world| !world.terminal).collect()
}

fn binary() -> Vec<u8> {
    let mut bytes = vec![0; BINARY_BYTES];
    fastrand::Rng::with_seed(4).fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_go_in_and_come_out_as_they_are() {
    let backend = Backend::start().await;
    let sent = binary();
    for world in worlds(&backend) {
        let ended = world.run_with_input(&["cat"], &sent).await;
        assert_eq!(ended.code(), 0, "{}", world.name());
        // Not compared by a macro, which would print both.
        assert!(ended.stdout == sent, "{}: {} bytes", world.name(), ended.stdout.len());
        // Without a word of ours in between.
        let silent = world.clone().set("DD_LOG_LEVEL", "off");
        let swapped = silent.run_with_input(&["sh", "-c", "cat >&2"], &sent).await;
        assert_eq!(swapped.stdout, b"");
        assert!(swapped.code() == 0 && swapped.stderr_bytes == sent, "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_shell_are_the_streams() {
    let backend = Backend::start().await;
    for world in worlds(&backend) {
        // `echo x | lastlight run -- cat`, and the end of a pipeline in its middle.
        let piped = world.clone().through("echo x | \"$@\" | tr x y");
        assert_eq!(piped.run(&["cat"]).await.text(), "y\n", "{}", world.name());
        let ended = world.run(&["sh", "-c", "echo out; echo err >&2; echo end; exit 3"]).await;
        assert_eq!((ended.code(), ended.text().as_str()), (3, "out\nend\n"), "{}", world.name());
        assert!(ended.stderr.starts_with("err\nlastlight "), "{}: {}", world.name(), ended.stderr);
        // By name, as nginx and php have it, and a last line without an end.
        let named = "echo one > /dev/stdout; echo two > /dev/stderr; printf three >> /proc/self/fd/1; seq 3 | sed -n '$p' > /dev/fd/1";
        let ended = world.run(&["sh", "-c", named]).await;
        assert_eq!(ended.text(), "one\nthree3\n", "{}: {ended:?}", world.name());
        assert!(ended.stderr.starts_with("two\n"), "{}: {ended:?}", world.name());
        let pipeline = "seq 100000 | tail -n 1 | tr 1 2; yes | head -n 1; (exit 9)";
        let ended = world.run(&["bash", "-c", pipeline]).await;
        assert_eq!((ended.code(), ended.text().as_str()), (9, "200000\ny\n"), "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_a_terminal_for_the_child() {
    let backend = Backend::start().await;
    let program = "test -t 0 && test -t 1 && test -t 2 && echo all three; echo err >&2
        stty size; test \"$(ps -o tpgid= -p $$ 2>/dev/null || echo $$)\" -eq $$ && echo in front; exit 3";
    for world in World::new(&backend).all().into_iter().filter(|world| world.terminal) {
        let world = world.set("DD_LOG_LEVEL", "off");
        let ended = world.run(&["sh", "-c", program]).await;
        let seen = "all three\nerr\n24 80\nin front\n";
        assert_eq!((ended.code(), ended.text().as_str()), (3, seen), "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_the_child_as_without_us() {
    let backend = Backend::start().await;
    for captured in [false, true] {
        let world = World::new(&backend).captured(captured);
        let piped = world.through("\"$@\" | head -n 1; exit ${PIPESTATUS[0]}");
        let ended = piped.run(&["yes"]).await;
        assert_eq!((ended.code(), ended.text().as_str()), (128 + 13, "y\n"), "captured: {captured}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nohup_protects_the_child() {
    let backend = Backend::start().await;
    for captured in [false, true] {
        let world = World::new(&backend).captured(captured).through("exec nohup \"$@\"");
        let mut command = world.command(&["sh", "-c", "echo ready; read line; echo alive; exit 8"]);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        assert_eq!(running.line().await, "ready");
        running.signal("HUP").await;
        drop(running.input());
        assert_eq!(running.line().await, "alive");
        assert_eq!(running.ends().await, 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l94_a_grandchild_that_holds_the_outputs_open_holds_nothing_up() {
    let backend = Backend::start().await;
    for captured in [false, true] {
        for writes in [false, true] {
            let world = World::new(&backend).captured(captured);
            let holds = if writes { "yes > /dev/stderr" } else { "sleep 600" };
            let program = format!("trap '' PIPE; {holds} & echo $!; exit 4");
            let mut running = world.start(&["sh", "-c", &program]);
            let grandchild = running.line().await;
            // The end of the process, while its outputs are still open.
            assert_eq!(running.ends().await, 4, "captured: {captured}, writes: {writes}");
            drop(tokio::process::Command::new("kill").args(["-KILL", &grandchild]).output().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_forks_twice_outlives_its_parent_and_is_ended_with_process_1() {
    let backend = Backend::start().await;
    let program = "import os, signal, sys
read, write = os.pipe()
if os.fork():
    os.wait()
    print(os.read(read, 99).decode(), flush=True)
    sys.stdin.readline()
    os._exit(5)
os.setsid()
if os.fork(): os._exit(0)
# A daemon has no streams of who started it.
for stream in 0, 1, 2: os.dup2(write, stream)
os.write(write, b'%d' % os.getpid())
signal.pause()
";
    for world in worlds(&backend) {
        let mut command = world.command(&[&python(), "-c", program]);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        let inside: u32 = running.line().await.parse().unwrap();
        let mut daemon = inside;
        if world.pid_1 {
            // A child of process 1 now, which outside has another number.
            let init = running.init(&world).await;
            let children = || std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok();
            let numbers = |text: String| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            daemon = until("a daemon", || {
                let children: Vec<u32> = numbers(children()?);
                let is_it = |pid: &&u32| {
                    fact(**pid, "NSpid").is_some_and(|all| all.ends_with(&format!("\t{inside}")))
                };
                children.iter().find(is_it).copied()
            })
            .await;
        }
        assert!(fact(daemon, "State").is_some(), "{}", world.name());
        drop(running.input());
        assert_eq!(running.ends().await, 5, "{}", world.name());
        if !world.pid_1 {
            assert!(fact(daemon, "State").unwrap().starts_with('S'), "{}", world.name());
            lastlight_e2e::agent::kill(daemon, "KILL").await;
        }
        until("the daemon's end", || fact(daemon, "State").is_none().then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l98_ten_thousand_orphans_leave_no_zombie() {
    if !may_have_pid_namespaces() {
        return;
    }
    let backend = Backend::start().await;
    let count = if full() { 10_000 } else { 2_000 };
    // Each a child of a process that is gone, so process 1's; the child ends when none of them is left, dead or alive.
    let program = format!(
        "import os
for number in range({count} // 100):
    if os.fork() == 0:
        for _ in range(100):
            if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
while len([name for name in os.listdir('/proc') if name.isdigit()]) > 2: pass
print('none left', flush=True)
os._exit(6)
"
    );
    for captured in [false, true] {
        let ended =
            World::new(&backend).captured(captured).pid_1(true).run(&[&python(), "-c", &program]).await;
        assert_eq!((ended.code(), ended.text().as_str()), (6, "none left\n"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ddtrace_in_python_and_dd_trace_in_node_deliver_through_us() {
    let backend = Backend::start().await;
    let client = |name: &str| folder().join("clients").join(name).display().to_string();
    let python_client = [python(), client("python_client.py"), "traces".into(), "3".into()];
    let node_client = ["node".into(), client("node_client.js"), "3".into()];
    for pid_1 in [false, true] {
        if pid_1 && !may_have_pid_namespaces() {
            continue;
        }
        for client in [&python_client[..], &node_client] {
            let world = World::new(&backend).captured(true).pid_1(pid_1);
            let port = world.variable("DD_APM_RECEIVER_PORT").to_owned();
            let world = world
                .set("DD_TRACE_AGENT_URL", &format!("http://127.0.0.1:{port}"))
                .set("E2E_NODE_MODULES", &node_modules());
            let before = backend.span_count();
            let ended = world.run(&client.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(ended.code(), 0, "{ended:?}");
            let text = ended.text();
            let said = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{ended:?}"));
            let said: serde_json::Value = serde_json::from_str(said).unwrap();
            let sent = said["spans"].as_array().unwrap().len() as u64;
            assert!(sent > 0, "{ended:?}");
            // When we have ended, all of it is there: nobody waits.
            assert_eq!(backend.span_count() - before, sent, "{ended:?}");
            assert!(backend.logs().iter().any(|log| log.message.starts_with("{\"spans\"")), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_java_ends_as_it_likes() {
    let java = Path::new("/usr/bin/java");
    if !java.exists() {
        eprintln!("skipped: no Java here; Debian has it in default-jre-headless");
        return;
    }
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let source = files.path().join("Program.java");
    let text = "import java.io.*;
public class Program {
    public static void main(String[] arguments) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println(\"the hook ran\")));
        System.err.println(\"to stderr\");
        System.out.println(\"ready\");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        System.exit(Integer.parseInt(in.readLine()));
    }
}
";
    std::fs::write(&source, text).unwrap();
    let class = if Path::new("/usr/bin/javac").exists() {
        let mut javac = tokio::process::Command::new("javac");
        let ended = output({
            javac.arg("-d").arg(files.path()).arg(&source);
            javac
        })
        .await;
        assert_eq!(ended.code(), 0, "{ended:?}");
        vec!["-cp".to_owned(), files.path().display().to_string(), "Program".to_owned()]
    } else {
        vec![source.display().to_string()]
    };
    let mut words = vec!["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1"];
    words.extend(class.iter().map(String::as_str));
    for world in worlds(&backend) {
        let ended = world.run_with_input(&words, b"42\n").await;
        assert_eq!(
            (ended.code(), ended.text().as_str()),
            (42, "ready\nthe hook ran\n"),
            "{}: {ended:?}",
            world.name()
        );
        assert!(ended.stderr.contains("to stderr\n"), "{ended:?}");
        // Asked to end, it exits by itself with what a shell calls a death by SIGTERM.
        let mut command = world.command(&words);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        assert_eq!(running.line().await, "ready");
        let init = running.init(&world).await;
        lastlight_e2e::agent::kill(init, "TERM").await;
        assert_eq!(running.line().await, "the hook ran");
        assert_eq!(running.ends().await, 143, "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alias_works_as_the_program_that_it_replaces() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let lastlight = lastlight_e2e::agent::binary();
    let link = files.path().join("datadog-init");
    std::os::unix::fs::symlink(&lastlight, &link).unwrap();
    let copy = files.path().join("app").join("datadog-init");
    std::fs::create_dir(files.path().join("app")).unwrap();
    std::fs::copy(&lastlight, &copy).unwrap();
    let tool = script(files.path().join("run"), "#!/bin/sh\necho \"$0 $*\"\nexit 9\n");
    for path in [&link, &copy] {
        for captured in [false, true] {
            let world = World::new(&backend).captured(captured).words(&[path.to_str().unwrap()]);
            assert_eq!(world.run(&["sh", "-c", "exit 42"]).await.code(), 42);
            assert_eq!(world.run(&["sh -c 'exit 43'"]).await.code(), 43);
            assert_eq!(world.run(&["no-such-program", "x"]).await.code(), 127);
            // Its words are the command's, what looks like ours too.
            let ended = world.run(&[&tool, "--help", "--", "run"]).await;
            assert_eq!((ended.code(), ended.text()), (9, format!("{tool} --help -- run\n")));
            let named = world.set("PATH", &format!("{}:/usr/bin:/bin", files.path().display()));
            assert_eq!(named.run(&["run", "x"]).await.text(), format!("{tool} x\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_listens_for_others_and_ends_with_0() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let link = files.path().join("datadog-init");
    let lastlight = lastlight_e2e::agent::binary();
    std::os::unix::fs::symlink(&lastlight, &link).unwrap();
    let words: [&[&str]; 2] = [&[lastlight.to_str().unwrap(), "run"], &[link.to_str().unwrap()]];
    for words in words {
        for signal in ["TERM", "INT"] {
            let world = World::new(&backend).set("DD_LOG_LEVEL", "info").words(words);
            let mut running = world.start(&[]);
            running.says("listening on").await;
            // On every address, for containers beside it.
            for (table, port) in [("tcp", "DD_APM_RECEIVER_PORT"), ("udp", "DD_DOGSTATSD_PORT")] {
                let port: u16 = world.variable(port).parse().unwrap();
                let everywhere =
                    [format!("00000000:{port:04X}"), format!("00000000000000000000000000000000:{port:04X}")];
                let bound = [table.to_owned(), format!("{table}6")]
                    .map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
                let found = bound.iter().flat_map(|table| table.lines());
                let found = found.filter_map(|line| line.split_whitespace().nth(1));
                assert!(
                    found.into_iter().any(|local| everywhere.iter().any(|all| all == local)),
                    "{table} {port}"
                );
            }
            running.signal(signal).await;
            assert_eq!(running.ends().await, 0, "{}", running.said());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l102_the_child_runs_before_a_metadata_server_answers() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    // Accepts, and says nothing until the child has run.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = server.local_addr().unwrap().to_string();
    for captured in [false, true] {
        let ran = files.path().join(format!("ran-{captured}"));
        let world =
            World::new(&backend).captured(captured).set("GCE_METADATA_HOST", &host).set("K_SERVICE", "x");
        let program = format!("echo ran; : > {}; read line; exit 3", ran.display());
        let mut command = world.command(&["sh", "-c", &program]);
        command.stdin(Stdio::piped());
        let mut running = Running::of(command);
        assert_eq!(running.line().await, "ran");
        until("its file", || ran.exists().then_some(())).await;
        // Only now, and never with an answer: it asked, and the child was not kept by that.
        let (silent, _) = tokio::time::timeout(BOUND, server.accept()).await.expect("a question").unwrap();
        drop(running.input());
        assert_eq!(running.ends().await, 3, "{}", running.said());
        drop(silent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_the_childs_but_for_what_is_documented() {
    let backend = Backend::start().await;
    let world = World::new(&backend).set("ODD", "a=b \n c").set("EMPTY", "");
    let of = async |world: &World| {
        let ended = world.run(&[&python(), "-c", "import os; print(*sorted(f'{k}={v!r}' for k, v in os.environ.items() if k != '_'), sep='\\n')"]).await;
        ended.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = of(&world).await;
    let theirs = of(&world.clone().words(&["env"])).await;
    let added: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).map(String::as_str).collect();
    let documented = [
        "DD_APM_ENABLED='true'",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED='false'",
        "DD_REMOTE_CONFIGURATION_ENABLED='false'",
        "DD_TRACE_ENABLED='true'",
    ];
    assert_eq!(added, documented);
    assert!(theirs.iter().all(|line| ours.contains(line)), "{theirs:?}\n{ours:?}");
}
