//! The hosts. Each prints what a test looks at, `name value` a line.

use crate::{filter, system};
use agent::config::source::Environment;
use lastlight_sidecar::{InUse, Kind, Options, Sidecar};
use nix::libc;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bound of each wait. Nothing here takes that long; a hang does.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// For what comes soon, or never.
const SHORT: Duration = Duration::from_millis(300);

/// Writes a line at once, so that lines of several processes do not mix.
fn say(name: &str, value: impl std::fmt::Display) {
    use std::io::Write as _;
    let line = format!("{name} {value}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// In place of `lastlight sidecar`: itself, or one that does not do as it should.
pub(crate) fn sidecar() -> ExitCode {
    match std::env::var("PROBE_SIDECAR").as_deref() {
        Ok("dies") => ExitCode::FAILURE,
        Ok("hangs") => loop {
            std::thread::park();
        },
        _ => lastlight_sidecar::process::main(Arc::new(Environment)),
    }
}

fn options(mode: &str) -> Options {
    Options {
        mode: Some(mode.to_owned()),
        binary: std::env::var_os("PROBE_BINARY").map(PathBuf::from).or_else(|| std::env::current_exe().ok()),
        ready_within: Duration::from_secs(10),
        ..Options::new(Arc::new(Environment))
    }
}

fn submit(sidecar: &Sidecar, count: usize) {
    for number in 0..count {
        let end = Instant::now() + WAIT_MAX;
        let line = format!("probe.count:1|c|#number:{number}");
        while sidecar.submit(Kind::DogStatsD, &[], line.as_bytes()).is_err() {
            assert!(Instant::now() < end, "there is no room");
            sidecar.settle(Duration::from_millis(10));
        }
    }
}

fn submit_and_settle(sidecar: &Sidecar, count: usize) {
    submit(sidecar, count);
    say("settled", sidecar.settle(WAIT_MAX));
    let counts = sidecar.counts();
    say("accepted", counts.accepted);
    assert_eq!(counts.lost + counts.refused, 0, "{counts:?}");
}

/// One trace of one span, msgpack v0.4.
fn trace() -> Vec<u8> {
    let mut bytes = vec![0x91, 0x91, 0x87];
    let mut text = |text: &str| {
        bytes.push(0xa0 | text.len() as u8);
        bytes.extend(text.as_bytes());
    };
    for name in ["name", "service", "resource"] {
        text(name);
        text("probe");
    }
    for (name, number) in
        [("trace_id", 7), ("span_id", 9), ("start", 1_795_233_845_000_000_000_u64), ("duration", 5)]
    {
        bytes.push(0xa0 | name.len() as u8);
        bytes.extend(name.as_bytes());
        bytes.push(0xcf);
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

fn say_messages(sidecar: &Sidecar) {
    while let Some(message) = sidecar.next_message() {
        say("message", format_args!("{} {}", message.level, message.text.replace('\n', " ")));
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < end, "it does not come");
        std::thread::yield_now();
    }
}

/// Opens under an obstacle, delivers, and closes.
pub(crate) fn open(arguments: &[&str]) {
    let [mode, obstacle] = arguments else { panic!("mode and obstacle") };
    let mut options = options(mode);
    match *obstacle {
        "none" | "unflushed" => {}
        "hangs" => options.ready_within = SHORT,
        "no-processes" => filter::refuse_processes(),
        "no-exec" => filter::refuse(&[libc::SYS_execve, libc::SYS_execveat]),
        "no-memory-files" => filter::refuse(&[libc::SYS_memfd_create, libc::SYS_execve]),
        "no-tables" => filter::refuse(&[libc::SYS_close_range, libc::SYS_unshare]),
        // This one and a thread.
        "few-processes" => system::limit_processes(54_321, 2),
        "one-process" => system::limit_processes(54_322, 1),
        other => panic!("unknown obstacle {other}"),
    }
    say("pid", std::process::id());
    let began = Instant::now();
    let sidecar = Sidecar::open(options).unwrap();
    say("opened", began.elapsed().as_millis());
    say("in_use", format_args!("{:?}", sidecar.in_use()));
    if sidecar.in_use() != InUse::Nothing {
        submit_and_settle(&sidecar, 3);
        if *obstacle == "unflushed" {
            let traces = trace();
            sidecar.submit(Kind::TracesV04, &[(b"datadog-meta-lang", b"probe")], &traces).unwrap();
        } else {
            say("flushed", sidecar.flush(WAIT_MAX));
        }
    }
    let counts = sidecar.close(WAIT_MAX);
    say("closed", counts.accepted);
    say("again", sidecar.close(WAIT_MAX) == counts);
    say_messages(&sidecar);
    say("wait", system::wait_error());
    // Joined, they are gone for us; for the kernel a moment later.
    until(|| system::threads().is_empty());
}

/// Opens, forks, and its parent exits: what is left is the host.
pub(crate) fn daemon(arguments: &[&str]) {
    let [mode, when] = arguments else { panic!("mode and when") };
    let sidecar = Sidecar::open(Options { lazy: *when == "lazy", ..options(mode) }).unwrap();
    let parent = std::process::id();
    system::fork(move || {
        // SAFETY: no pointer is passed on.
        unsafe { libc::setsid() };
        until(|| parent_id() != parent);
        submit_and_settle(&sidecar, 5);
        // As a master forks workers.
        let worker = system::fork(|| {
            submit_and_settle(&sidecar, 5);
            say("worker serves", sidecar.is_serving());
            sidecar.close(WAIT_MAX);
        });
        assert!(system::ended_well(worker));
        say("serves", sidecar.is_serving());
        say("in_use", format_args!("{:?}", sidecar.in_use()));
        sidecar.close(WAIT_MAX);
        say("end", "well");
    });
    system::exit();
}

/// A pool's master as FPM has it: it goes into the background and forks a worker while its first half still waits for it, and
/// submits nothing itself.
pub(crate) fn pool(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    let sidecar = Sidecar::open(Options { lazy: true, ..options(mode) }).unwrap();
    let parent = std::process::id();
    let (mut started, ready) = std::io::pipe().unwrap();
    system::fork(move || {
        let worker = system::fork(|| {
            until(|| std::fs::metadata(format!("/proc/{parent}")).is_err());
            submit_and_settle(&sidecar, 5);
            say("worker serves", sidecar.is_serving());
            sidecar.close(WAIT_MAX);
        });
        std::io::Write::write_all(&mut &ready, &[0]).unwrap();
        assert!(system::ended_well(worker));
        say("serves", sidecar.is_serving());
        sidecar.close(WAIT_MAX);
        say("end", "well");
    });
    std::io::Read::read_exact(&mut started, &mut [0]).unwrap();
    system::exit();
}

/// The owner ends while a child lives, which is to serve itself or to be served.
pub(crate) fn orphan(arguments: &[&str]) {
    let [mode, way] = arguments else { panic!("mode and way") };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    let parent = std::process::id();
    system::fork(|| {
        submit_and_settle(&sidecar, 5);
        until(|| parent_id() != parent);
        let began = Instant::now();
        submit(&sidecar, 5);
        assert!(sidecar.settle(WAIT_MAX));
        say("took", began.elapsed().as_millis());
        say("accepted", sidecar.counts().accepted);
        say("child serves", sidecar.is_serving());
        sidecar.close(WAIT_MAX);
        say("end", "well");
    });
    submit_and_settle(&sidecar, 5);
    match *way {
        "killed" => system::kill(std::process::id().cast_signed()),
        "closed" => {
            let began = Instant::now();
            sidecar.close(Duration::from_secs(5));
            say("closing", began.elapsed().as_millis());
        }
        _ => {}
    }
    system::exit();
}

/// The server of a family is killed while all of it sends.
pub(crate) fn family(arguments: &[&str]) {
    let [mode, mark] = arguments else { panic!("mode and mark") };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    let parent = std::process::id();
    let (mut go, going) = std::io::pipe().unwrap();
    let mut children = Vec::new();
    for _ in 0..6 {
        let (sidecar, go) = (&sidecar, &mut go);
        children.push(system::fork(move || {
            submit_and_settle(sidecar, 5);
            if *mode == "thread" {
                until(|| parent_id() != parent);
            } else {
                // Until the server is gone.
                std::io::Read::read_exact(go, &mut [0]).unwrap();
            }
            submit_and_settle(sidecar, 20);
            if sidecar.is_serving() {
                say("server", std::process::id());
            }
            // Whoever serves stays until all the others are done: they come to it again otherwise.
            std::thread::sleep(Duration::from_secs(2));
            say_messages(sidecar);
            sidecar.close(WAIT_MAX);
            say("end", "well");
        }));
    }
    submit_and_settle(&sidecar, 5);
    if *mode == "thread" {
        std::thread::sleep(SHORT);
        system::kill(parent.cast_signed());
    }
    let [server] = system::subprocesses(mark)[..] else { panic!("one subprocess") };
    system::kill(server);
    until(|| !system::subprocesses(mark).contains(&server));
    std::io::Write::write_all(&mut &going, &[0; 6]).unwrap();
    submit_and_settle(&sidecar, 5);
    std::thread::sleep(Duration::from_secs(1));
    let servers = system::subprocesses(mark);
    servers.iter().for_each(|server| say("server", server));
    for child in children {
        assert!(system::ended_well(child));
    }
    sidecar.close(WAIT_MAX);
}

/// Closes all descriptors, ours too, and goes on with what it opens then.
pub(crate) fn closing(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    submit_and_settle(&sidecar, 5);
    system::close_all();
    let files: Vec<_> = (0..20).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
    let before = system::descriptors();
    if *mode == "thread" {
        submit_and_settle(&sidecar, 10);
    } else {
        submit(&sidecar, 10);
    }
    sidecar.close(Duration::from_millis(200));
    drop(sidecar);
    let after = system::descriptors();
    say(
        "kept",
        before
            .iter()
            .filter(|(_, target)| target.ends_with("/stat"))
            .all(|(number, target)| after.get(number) == Some(target)),
    );
    // Ours by their numbers, and of a library that checks that they are closed once.
    std::mem::forget(files);
    say("end", "well");
}

/// What a host can see of its guest.
pub(crate) fn guest(arguments: &[&str]) {
    let [mode, mark] = arguments else { panic!("mode and mark") };
    system::count_children();
    let before = system::descriptors();
    let handlers = std::fs::read_to_string("/proc/self/status").unwrap();
    let signals = |status: &str| -> Vec<u64> {
        let lines = status.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
        // The C library catches two of its own, from the first thread on.
        let masks = lines.map(|line| u64::from_str_radix(&line[8..], 16).unwrap() & !0x1_8000_0000);
        masks.collect()
    };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    submit_and_settle(&sidecar, 3);
    say("in_use", format_args!("{:?}", sidecar.in_use()));
    for (name, blocked) in system::threads() {
        say("thread", format_args!("{name} {blocked:016x}"));
    }
    let now = system::descriptors();
    say("more", now.len() - before.len());
    say("streams", (0..3).all(|number| before.get(&number) == now.get(&number)));
    say("signals", signals(&handlers) == signals(&std::fs::read_to_string("/proc/self/status").unwrap()));
    if *mode == "subprocess" {
        for server in system::subprocesses(mark) {
            let status = std::fs::read_to_string(format!("/proc/{server}/status")).unwrap();
            let parent =
                status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
            say("child", parent == std::process::id().to_string());
            let held = std::fs::read_dir(format!("/proc/{server}/fd")).unwrap().flatten();
            let held = held.filter(|entry| {
                std::fs::read_link(entry.path())
                    .is_ok_and(|target| target.to_string_lossy().contains("pipe:"))
            });
            say("pipes", held.count());
            system::kill(server);
            until(|| system::subprocesses(mark).is_empty());
        }
    }
    say("wait", system::wait_error());
    say("signalled", system::children_ended());
    sidecar.ensure();
    sidecar.close(WAIT_MAX);
    drop(sidecar);
    say("left", system::descriptors() == before);
    until(|| system::threads().is_empty());
    say("wait", system::wait_error());
    say("signalled", system::children_ended());
    let zombies = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.first() == Some(&"Z") && fields.get(1) == Some(&std::process::id().to_string().as_str())
    });
    say("zombies", zombies.count());
}

/// Forks while other threads are in every call there is.
pub(crate) fn busy(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (sidecar, is_over) = (&sidecar, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    match number {
                        0 => drop(sidecar.submit(Kind::DogStatsD, &[], b"probe.busy:1|c").ok()),
                        1 => drop(sidecar.flush(Duration::from_millis(20))),
                        2 => drop((sidecar.next_message(), sidecar.counts(), sidecar.in_use())),
                        _ => sidecar.ensure(),
                    }
                }
            });
        }
        for _ in 0..40 {
            let child = system::fork(|| {
                let began = Instant::now();
                submit(&sidecar, 3);
                assert!(sidecar.settle(WAIT_MAX));
                assert_eq!(sidecar.counts().accepted, 3);
                drop(sidecar.next_message());
                sidecar.close(WAIT_MAX);
                assert!(began.elapsed() < WAIT_MAX / 2);
            });
            say("child", system::ended_well(child));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let began = Instant::now();
    sidecar.flush(Duration::from_millis(1));
    // While another thread waits for a server that does not answer, a submission does not.
    std::thread::scope(|scope| {
        scope.spawn(|| sidecar.settle(SHORT));
        submit(&sidecar, 1);
    });
    assert!(began.elapsed() < WAIT_MAX);
    sidecar.close(WAIT_MAX);
    say("end", "well");
}

/// Nothing is started until somebody forks, or sends.
pub(crate) fn lazy(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    let sidecar = Sidecar::open(Options { lazy: true, ..options(mode) }).unwrap();
    say("in_use", format_args!("{:?}", sidecar.in_use()));
    say("threads", system::threads().len());
    let worker = system::fork(|| {
        submit_and_settle(&sidecar, 5);
        say("worker serves", sidecar.is_serving());
    });
    assert!(system::ended_well(worker));
    say("in_use", format_args!("{:?}", sidecar.in_use()));
    say("serves", sidecar.is_serving());
    sidecar.close(WAIT_MAX);
}

/// Whether the server's thread waited for another one at the last moment before a fork.
static STANDS: AtomicBool = AtomicBool::new(false);

/// What the server's thread does when the library's own handler is done.
extern "C" fn look_at_thread() {
    let end = Instant::now() + Duration::from_secs(5);
    while !STANDS.load(Ordering::Relaxed) && Instant::now() < end {
        // It may be on its way into that call still.
        STANDS.store(system::is_in_call("lastlight", libc::SYS_futex), Ordering::Relaxed);
    }
}

/// A lazy host that forks for the first time.
pub(crate) fn standing(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    // Of two, the one that is registered first comes last.
    // SAFETY: the handler is a function of this program, which unwinds over nobody.
    unsafe { libc::pthread_atfork(Some(look_at_thread), None, None) };
    let sidecar = Sidecar::open(Options { lazy: true, ..options(mode) }).unwrap();
    let worker = system::fork(|| submit_and_settle(&sidecar, 5));
    say("stands", STANDS.load(Ordering::Relaxed));
    assert!(system::ended_well(worker));
    say("serves", sidecar.is_serving());
    sidecar.close(WAIT_MAX);
}

/// Sends on though no server can be had, for some seconds.
pub(crate) fn persistent(arguments: &[&str]) {
    let [mode] = arguments else { panic!("mode") };
    let sidecar = Sidecar::open(Options { ready_within: SHORT, ..options(mode) }).unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        sidecar.submit(Kind::DogStatsD, &[], b"probe.persistent:1|c").ok();
        sidecar.pump();
        std::thread::sleep(Duration::from_millis(5));
    }
    say("in_use", format_args!("{:?}", sidecar.in_use()));
    say_messages(&sidecar);
    let began = Instant::now();
    sidecar.close(SHORT);
    say("closing", began.elapsed().as_millis());
}

/// Does nothing, for some seconds.
pub(crate) fn idle(arguments: &[&str]) {
    let [mode, seconds] = arguments else { panic!("mode and seconds") };
    let sidecar = Sidecar::open(options(mode)).unwrap();
    say("answers", sidecar.ping(WAIT_MAX));
    say("ready", std::process::id());
    std::thread::sleep(Duration::from_secs(seconds.parse().unwrap()));
    sidecar.close(WAIT_MAX);
}
