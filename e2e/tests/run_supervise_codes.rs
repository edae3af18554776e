//! `lastlight run` exits as its program does: every code, every signal, in every world; tini and dumb-init beside it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use lastlight_e2e::{folder, full};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use support::run::{
    Init, Running, World, all, deadly, fact, may_have_pid_namespaces, python, script, suicide, until,
};
use testkit::Backend;

/// Codes that mean something to somebody.
const TELLING: [u8; 12] = [0, 1, 2, 77, 125, 126, 127, 128, 130, 137, 143, 255];

/// One child, what it is asked, and the code that must come of it.
struct Row {
    name: String,
    words: Vec<String>,
    code: i32,
    /// Tried in all eight worlds, not in two of them only.
    everywhere: bool,
}

fn row(name: impl Into<String>, script: &str, code: i32, everywhere: bool) -> Row {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    Row { name: name.into(), words, code, everywhere }
}

/// The table: what tini gives, as shells do.
fn table() -> Vec<Row> {
    let codes = (0..=255_u8).map(|code| {
        row(format!("exit {code}"), &format!("exit {code}"), code.into(), TELLING.contains(&code))
    });
    let deaths = deadly().map(|number| {
        let everywhere = [1, 2, 6, 9, 11, 13, 15, 64].contains(&number);
        row(format!("killed by {number}"), &suicide(number), 128 + i32::from(number), everywhere)
    });
    codes.chain(deaths).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn l99_every_exit_code_and_every_death_is_told_in_every_world() {
    let backend = Backend::start().await;
    let worlds = World::new(&backend).all();
    let mut runs = Vec::new();
    for (serial, row) in table().into_iter().enumerate() {
        for (place, world) in worlds.iter().enumerate() {
            // In the plain world and in one of the others, a different one for each row.
            if !(full() || row.everywhere || place == 0 || place == 1 + serial % (worlds.len() - 1)) {
                continue;
            }
            let (world, words, name, code) =
                (fresh(world, &backend), row.words.clone(), row.name.clone(), row.code);
            runs.push(async move {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                let ended = world.run(&words).await;
                let good = ended.code() == code;
                good.then_some(()).ok_or_else(|| format!("{}: {name}: {ended:?}", world.name()))
            });
        }
    }
    all(runs).await;
}

/// As `unshare --pid` and bubblewrap make it, where our session and group are processes that the namespace cannot see.
#[tokio::test(flavor = "multi_thread")]
async fn process_1_at_a_terminal_of_another_namespace_runs_its_child() {
    if !may_have_pid_namespaces() {
        return;
    }
    let backend = Backend::start().await;
    for captured in [false, true] {
        let world = World::new(&backend).captured(captured);
        let script = "exec unshare --user --map-root-user --pid --fork --mount-proc \"$@\"";
        let ended = world.terminal(true).through(script).run(&["sh", "-c", "exit 42"]).await;
        assert_eq!(ended.code(), 42, "captured: {captured}: {ended:?}");
    }
}

/// The same world on ports of its own: many run at one time.
fn fresh(world: &World, backend: &Backend) -> World {
    World::new(backend).captured(world.captured).pid_1(world.pid_1).terminal(world.terminal)
}

#[tokio::test(flavor = "multi_thread")]
async fn l99_what_cannot_be_started_says_why_in_one_line() {
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    let plain = file("plain").display().to_string();
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let folder = files.path().display().to_string();
    let no_line = script(file("no-line"), "echo no interpreter named\n");
    let lost = script(file("lost"), "#!/no/such/interpreter\n");
    let below = format!("{plain}/below");
    let table: [(&[&str], i32, &str); 11] = [
        (&["no-such-program", "x"], 127, "cannot run no-such-program: not found"),
        (&["/no/such/program", "x"], 127, "cannot run /no/such/program: not found"),
        (&["no-such-program with words"], 127, "cannot run no-such-program: not found"),
        (&[""], 127, "lastlight: "),
        (&["   "], 127, "lastlight: "),
        (&["sh -c 'open"], 126, "a quote (') is opened and not closed"),
        (&[&lost, "x"], 127, "interpreter"),
        (&[&plain, "x"], 126, "Permission denied"),
        (&[&folder, "x"], 126, &folder),
        (&[&no_line, "x"], 126, "#! line"),
        (&[&below, "x"], 127, &below),
    ];
    for captured in [false, true] {
        for pid_1 in [false, true] {
            if pid_1 && !may_have_pid_namespaces() {
                continue;
            }
            let world = World::new(&backend).captured(captured).pid_1(pid_1);
            for (words, code, said) in &table {
                let ended = world.run(words).await;
                let message = format!("{}: {words:?}: {ended:?}", world.name());
                assert_eq!(ended.code(), *code, "{message}");
                assert_eq!(ended.stdout, b"", "{message}");
                let lines: Vec<_> = ended.stderr.lines().collect();
                assert!(matches!(lines[..], [line] if line.contains(said)), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_quoted_string_is_split_as_a_shell_would_and_several_words_are_not() {
    let backend = Backend::start().await;
    let world = World::new(&backend);
    let ended = world.run(&["printf '%s\\n' 'a b' \"c  d\" e\\ f $HOME"]).await;
    assert_eq!(ended.text(), "a b\nc  d\ne f\n$HOME\n");
    assert_eq!(world.run(&["sh -c 'exit 42'"]).await.code(), 42);
    let ended = world.run(&["printf", "%s\\n", "'a b'", "--", "-x", ""]).await;
    assert_eq!(ended.text(), "'a b'\n--\n-x\n\n");
    // Without the two dashes too.
    let path = world.command(&[]).as_std().get_program().to_owned();
    let bare = world.words(&[path.to_str().unwrap(), "run"]);
    assert_eq!(bare.run(&["sh", "-c", "exit 43"]).await.code(), 43);
}

/// What an init makes of each case, in words.
type Seen = BTreeMap<String, String>;

/// Questions that a child answers which was started with SIGUSR1 blocked, SIGHUP and SIGTTIN ignored.
const QUESTIONS: [(&str, &str); 8] = [
    ("its process group", "'its own' if os.getpid() == os.getpgrp() else 'that of the init'"),
    ("its session", "'its own' if os.getpid() == os.getsid(0) else 'that of the init'"),
    ("standard input", "os.read(0, 9).decode().strip()"),
    (
        "a blocked signal",
        "'blocked' if signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, []) else 'unblocked'",
    ),
    ("an ignored SIGHUP", "signal.getsignal(signal.SIGHUP).name"),
    ("an ignored SIGTTIN", "signal.getsignal(signal.SIGTTIN).name"),
    ("SIGTTOU", "signal.getsignal(signal.SIGTTOU).name"),
    ("open descriptors", "len(os.listdir('/proc/self/fd')) - 1"),
];

/// What can be seen from outside of a child under an init.
async fn seen(world: &World, files: &Path) -> Seen {
    let mut seen = Seen::new();
    for row in table() {
        // What lastlight does here is the first test's.
        let words: Vec<_> = row.words.iter().map(String::as_str).collect();
        let is_ours = world.init == Init::Lastlight;
        let code = if is_ours { row.code } else { world.run(&words).await.code() };
        let told = if code == row.code { "as it ended".to_owned() } else { format!("{code}") };
        let kind = if row.name.starts_with("exit") { "every exit code" } else { "every death" };
        let before = seen.entry(kind.into()).or_insert(told.clone());
        if *before != told {
            *before = "not always as it ended".into();
        }
    }
    let file = |name: &str| files.join(name).display().to_string();
    let exits: [(&str, &[&str]); 7] = [
        ("a program that is not there", &["no-such-program", "x"]),
        ("a file that is not executable", &[&file("plain"), "x"]),
        ("a directory", &[&file(""), "x"]),
        ("a script without a #! line", &[&file("no-line"), "x"]),
        ("a script whose interpreter is not there", &[&file("lost"), "x"]),
        ("one quoted string", &["sh -c 'exit 42'"]),
        ("an empty word", &[""]),
    ];
    for (name, words) in exits {
        seen.insert(name.into(), format!("exits {}", world.run(words).await.code()));
    }
    let before = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); \
        [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGTTIN)]; \
        os.execvp(sys.argv[1], sys.argv[1:])";
    let through = world.clone().through(&format!("exec '{}' -c '{before}' \"$@\"", python()));
    let answers: Vec<_> = QUESTIONS.iter().map(|(_, question)| format!("print({question})")).collect();
    let program = format!("import os, signal\n{}", answers.join("\n"));
    let ended = through.run_with_input(&[&python(), "-c", &program], b"as it is\n").await;
    let text = ended.text();
    let answers: Vec<_> = text.lines().collect();
    assert_eq!(answers.len(), QUESTIONS.len(), "{ended:?}");
    for ((name, _), answer) in QUESTIONS.iter().zip(answers) {
        seen.insert((*name).into(), answer.into());
    }
    let said = match &world.run(&["true"]).await.stderr[..] {
        "" => "nothing",
        text if text.contains("not running as PID 1") => "that it is not PID 1",
        text if text.starts_with("lastlight") && text.lines().count() == 1 => "its books, in one line",
        text => panic!("{text}"),
    };
    seen.insert("what is said on standard error".into(), said.into());
    for signal in ["USR1", "URG", "WINCH", "TSTP", "TTOU"] {
        seen.insert(format!("SIG{signal} sent to the init"), hears(world, signal).await);
    }
    seen.insert("a child of the child, at SIGTERM".into(), hears_behind_its_parent(world).await);
    seen.insert("what outlives the child".into(), outlives(world).await);
    let pid_1 = world.clone().pid_1(true);
    for (name, script) in [("PID 1, exit 7", "exit 7"), ("PID 1, killed by SIGKILL", "kill -9 $$")] {
        seen.insert(name.into(), format!("exits {}", pid_1.run(&["sh", "-c", script]).await.code()));
    }
    seen
}

/// Waits for any signal; says which.
const WAITS: &str = "import os, signal\n\
    every = set(range(1, 65))\n\
    signal.pthread_sigmask(signal.SIG_BLOCK, every)\n\
    def say(*words): print(*words, flush=True)\n\
    def wait(): return signal.Signals(signal.sigwaitinfo(every - {signal.SIGCHLD, signal.SIGCONT}).si_signo).name\n";

/// What a child hears of a signal to its init. SIGPWR comes behind it: of two that wait the lower number is heard first.
async fn hears(world: &World, signal: &str) -> String {
    let mut running = world.start(&[&python(), "-c", &format!("{WAITS}say('ready')\nsay(wait())")]);
    assert_eq!(running.line().await, "ready");
    let pid = running.pid();
    running.signal(signal).await;
    running.signal("PWR").await;
    let stops = until("a signal", || fact(pid, "State").filter(|state| state.starts_with('T')));
    let line = tokio::select! {
        line = running.line() => Some(line),
        _ = stops => None,
    };
    let Some(line) = line else {
        running.signal("CONT").await;
        running.line().await;
        running.ends().await;
        return "both stop".into();
    };
    running.ends().await;
    if line == "SIGPWR" { "not passed on".into() } else { "passed on".into() }
}

/// Whether a child of the child hears what ends it. Who hears nothing is told by its parent, by SIGPWR.
async fn hears_behind_its_parent(world: &World) -> String {
    let program = format!(
        "{WAITS}child = os.fork()\n\
         if child == 0: say('ready'); say(wait()); os._exit(0)\n\
         wait(); os.kill(child, signal.SIGPWR); os.wait()"
    );
    let mut running = world.start(&[&python(), "-c", &program]);
    assert_eq!(running.line().await, "ready");
    running.signal("TERM").await;
    let line = running.line().await;
    running.ends().await;
    if line == "SIGTERM" { "hears it".into() } else { "does not hear it".into() }
}

/// What a child of the child hears when its parent has ended.
async fn outlives(world: &World) -> String {
    let program = format!(
        "{WAITS}child = os.fork()\n\
         if child == 0: say(os.getpid()); say(wait()); os._exit(0)\n\
         os.read(0, 1)"
    );
    let mut command = world.command(&[&python(), "-c", &program]);
    command.stdin(std::process::Stdio::piped());
    let mut running = Running::of(command);
    let pid: u32 = running.line().await.parse().unwrap();
    drop(running.input());
    running.ends().await;
    // By its number, as it is nobody's now; it may be gone.
    drop(tokio::process::Command::new("kill").args(["-PWR", &pid.to_string()]).output().await);
    match &running.line().await[..] {
        "SIGPWR" => "is left alone".into(),
        other => format!("gets {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_to_tini_and_dumb_init_is_explained() {
    if !Init::Tini.is_installed() || !Init::Dumb.is_installed() || !may_have_pid_namespaces() {
        return;
    }
    let backend = Backend::start().await;
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("plain"), "#!/bin/sh\n").unwrap();
    script(files.path().join("no-line"), "exit 44\n");
    script(files.path().join("lost"), "#!/no/such/interpreter\n");
    let world = World::new(&backend);
    let ours = seen(&world, files.path()).await;
    let mut found = BTreeSet::new();
    for init in [Init::Tini, Init::Dumb] {
        let theirs = seen(&world.clone().under(init), files.path()).await;
        assert!(theirs.keys().eq(ours.keys()));
        for (case, theirs) in &theirs {
            if *theirs != ours[case] {
                found.insert(format!("{} | {case} | {theirs} | {}", init.name(), ours[case]));
            }
        }
    }
    let markdown = std::fs::read_to_string(folder().join("DIFFERENCES.md")).unwrap();
    let known = explained(&markdown);
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "fix these, or explain them in e2e/DIFFERENCES.md: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "no differences any more, take them out of e2e/DIFFERENCES.md: {gone:#?}");
}

/// The first four columns of the table of inits.
fn explained(markdown: &str) -> BTreeSet<String> {
    let rows =
        markdown.lines().filter(|line| line.starts_with("| tini |") || line.starts_with("| dumb-init |"));
    let columns = |row: &str| {
        row.split(" | ")
            .map(|column| column.trim_matches(&['|', ' '][..]).to_owned())
            .take(4)
            .collect::<Vec<_>>()
    };
    rows.map(|row| columns(row).join(" | ")).collect()
}
