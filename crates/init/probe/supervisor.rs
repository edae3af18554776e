//! `init-probe run [options] -- command…`: what `lastlight run` is, without an agent. Notices go to stderr.

use lastlight_init::{Aftermath, Capture, Command, Notice, Options, Prepared, Signal, Stream, exit_like};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the last of the output may take.
const FINISH_MAX: Duration = Duration::from_secs(30);

/// What the tests ask for besides [`Options`].
#[derive(Default)]
struct Extras {
    /// Say on stderr that signals are blocked, before the child is started.
    say_blocked: bool,
    /// Panic at each notice.
    panic: bool,
    /// Give the child a pipe as its standard output, and copy nothing out of it.
    pipe: bool,
    /// Capture what the child writes, and append it to `stdout` and `stderr` in this folder.
    capture: Option<PathBuf>,
    /// Capture it and show it to one that does nothing.
    capture_idly: bool,
    /// Capture it and panic.
    capture_panic: bool,
    /// Say how long it took from the first of our instructions to the running child.
    times: bool,
    /// How long to wait for the last of what is captured.
    finish: Option<Duration>,
    /// After the child's end, wait for this many requests to end before exiting.
    aftermath: u32,
    environment: Vec<(String, Option<String>)>,
}

pub(crate) fn run(arguments: Vec<OsString>) -> u8 {
    let began = Instant::now();
    let prepared = Prepared::block_signals().expect("Linux has signal descriptors");
    let (options, extras, words) = parse(arguments);
    if extras.say_blocked {
        say("blocked");
    }
    let command = Command::from_arguments(words).map(|mut command| {
        for (name, value) in &extras.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    });
    let mut ours = None;
    let supervisor = command.and_then(|mut command| {
        if extras.pipe {
            let (reader, writer) = std::io::pipe().expect("a pipe can be made");
            command.stdout(Stream::Fd(writer.into()));
            ours = Some(reader);
        }
        if let Some(capture) = capture(&extras) {
            command.capture(capture);
        }
        prepared.spawn(command, options)
    });
    let supervisor = match supervisor {
        Ok(supervisor) => supervisor,
        Err(error) => {
            say(&error.to_string());
            return error.exit_code;
        }
    };
    if extras.times {
        say(&format!("spawned after {} us", began.elapsed().as_micros()));
    }
    let ended = supervisor.run(|notice| {
        tell(notice);
        assert!(!extras.panic, "as the test wants it");
    });
    if capture(&extras).is_some() {
        let until = Instant::now() + extras.finish.unwrap_or(FINISH_MAX);
        say(&format!("captured {}", if ended.captured.finish(until) { "all" } else { "a part" }));
    }
    say(&format!("orphans {}", ended.orphans_reaped));
    wait_for_requests(ended.aftermath, extras.aftermath);
    exit_like(ended.status)
}

fn capture(extras: &Extras) -> Option<Capture> {
    if extras.capture_idly {
        return Some(Capture::new(Arc::new(|_, _| {})));
    }
    if extras.capture_panic {
        return Some(Capture::new(Arc::new(|_, _| panic!("as the test wants it"))));
    }
    let folder = extras.capture.clone()?;
    Some(Capture::new(Arc::new(move |output, bytes| {
        let file = OpenOptions::new().append(true).create(true).open(folder.join(output.to_string()));
        file.expect("a file can be written").write_all(bytes).expect("a file can be written");
    })))
}

fn wait_for_requests(aftermath: Aftermath, count: u32) {
    if count == 0 {
        return;
    }
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        aftermath.watch(|notice| {
            tell(notice);
            sender.send(()).ok();
        });
    });
    for _ in 0..count {
        receiver.recv().ok();
    }
}

fn tell(notice: Notice) {
    say(&match notice {
        Notice::TermReceived { signal, first } => format!("{signal} first={first}"),
        Notice::Stopped { signal } => format!("stopped by {signal}"),
        Notice::Continued => "continued".into(),
        Notice::Killed => "killed".into(),
        Notice::ChildExited(status) => format!("{status:?}"),
    });
}

/// One write per line, as the child writes there too.
fn say(text: &str) {
    std::io::stderr().write_all(format!("init: {text}\n").as_bytes()).ok();
}

fn parse(arguments: Vec<OsString>) -> (Options, Extras, Vec<OsString>) {
    let mut options = Options::default();
    let mut extras = Extras::default();
    let mut arguments = arguments.into_iter();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().and_then(|value| value.into_string().ok()).expect("a value");
        match option.to_str() {
            Some("--") => break,
            Some("--kill-after-ms") => {
                options.kill_after = Some(Duration::from_millis(value().parse().expect("milliseconds")));
            }
            Some("--term") => {
                options.term_signals = Signal::new(value().parse().expect("a number")).into_iter().collect();
            }
            Some("--subreaper") => options.subreaper = true,
            Some("--say-blocked") => extras.say_blocked = true,
            Some("--panic") => extras.panic = true,
            Some("--pipe") => extras.pipe = true,
            Some("--capture") => extras.capture = Some(value().into()),
            Some("--capture-idly") => extras.capture_idly = true,
            Some("--capture-panic") => extras.capture_panic = true,
            Some("--times") => extras.times = true,
            Some("--finish-ms") => {
                extras.finish = Some(Duration::from_millis(value().parse().expect("milliseconds")));
            }
            Some("--aftermath") => extras.aftermath = value().parse().expect("a number"),
            Some("--env") => {
                let edit = value();
                extras.environment.push(match edit.split_once('=') {
                    Some((name, value)) => (name.into(), Some(value.into())),
                    None => (edit, None),
                });
            }
            _ => panic!("unknown option {}", option.display()),
        }
    }
    (options, extras, arguments.collect())
}
