//! `lastlight run`: the agent around a program that cannot tell.
//!
//! The program comes first. Signals are blocked and sockets bound before it starts, so that nothing it does in its first
//! millisecond is missed; everything that may wait starts after it. Whatever is wrong with the agent is a line on
//! standard error, and the program runs without it.

mod environment;
mod instrument;
mod sidecar;

use agent::config::Config;
use agent::config::source::Environment;
use agent::daemon::HURRIED_STOP;
use agent::embedded::Embedded;
use agent::platform::{Face, Probe};
use agent::{Bound, Deadline, Instant, ProgramOutput};
use init::{Capture, Command, Notice, Options, Output, Prepared, Signal};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const HELP: &str = "\
lastlight run wraps a program: it passes signals, streams and the exit code, and carries the program's
traces, metrics and logs to their backend before the platform ends it.

Usage:
  lastlight run [--] COMMAND [ARGUMENTS...]
                            runs COMMAND; a single argument with spaces is split as a shell would split
                            words, without a shell
  lastlight run             the sidecar: no program, listens for others on all addresses

In a container image:
  ENTRYPOINT [\"lastlight\", \"run\", \"--\"]

Named datadog-init, lastlight takes its arguments for the command. Exit codes are the command's; 128+n when
signal n ended it, 127 when it was not found, 126 when it cannot be run.
";

/// The name under which every argument is the command's.
pub(crate) const ALIAS: &str = "datadog-init";

/// What a stop has at least, when the program used up the platform's grace.
const STOP_LEAST: Duration = Duration::from_millis(500);
/// Threads of the agent for what blocks: packing, looking up names, files.
const BLOCKING_THREADS_MAX: usize = 4;
/// Part of the time left in which the last of the program's output is passed on, where our own output is stuck.
const OUTPUT_SHARE: u32 = 4;

/// Runs `lastlight run` with the arguments after `run`.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.peekable();
    match arguments.peek().and_then(|first| first.to_str()) {
        Some("--help" | "-h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("--") => drop(arguments.next()),
        Some(option) if option.starts_with('-') => {
            say!("lastlight: run has no option {option}; see lastlight run --help");
            return ExitCode::from(crate::EXIT_USAGE);
        }
        _ => {}
    }
    wrap(arguments)
}

/// Runs a command, or the sidecar where there is none.
pub(crate) fn wrap(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.peekable();
    if arguments.peek().is_none() {
        return sidecar::run();
    }
    // First of all: no thread may start before, and no signal is lost from here on.
    let prepared = match Prepared::block_signals() {
        Ok(prepared) => prepared,
        Err(error) => {
            say!("lastlight: cannot take care of signals: {error}");
            return ExitCode::from(crate::EXIT_UNAVAILABLE);
        }
    };
    let mut command = match Command::from_arguments(arguments) {
        Ok(command) => command,
        Err(error) => {
            say!("lastlight: {error}");
            return ExitCode::from(error.exit_code);
        }
    };
    let edits = guarded(|| environment::edits(&Environment, &instrument::is_there));
    for (name, value) in edits.unwrap_or_default() {
        command.env(name, value);
    }
    let mut options = Options::default();
    let config = guarded(load).flatten().inspect(|config| supervise(config, &mut options));
    let agent = config.and_then(|config| guarded(|| Agent::prepare(config)).flatten());
    if let Some(agent) = &agent {
        agent.capture(&mut command);
    }
    let supervisor = match prepared.spawn(command, options) {
        Ok(supervisor) => supervisor,
        Err(error) => {
            say!("lastlight: {error}");
            return ExitCode::from(error.exit_code);
        }
    };
    let mut watch = agent.and_then(|agent| guarded(|| agent.start()));
    let ended = supervisor.run(|notice| {
        if let (Notice::TermReceived { first: true, .. }, Some(watch)) = (notice, &mut watch) {
            watch.ending();
        }
    });
    let (status, aftermath) = (ended.status, ended.aftermath);
    let short = || Deadline::at(Instant::now() + STOP_LEAST);
    let deadline = watch.as_ref().map_or_else(short, Watch::deadline);
    if let Some(watch) = &watch {
        let (hurried, grace) = (deadline.clone(), watch.stop_timeout);
        let hurry = move |notice| {
            if let Notice::TermReceived { signal, first } = notice {
                let is_grace = first && signal != Signal::INT;
                hurried.hurry(Instant::now() + if is_grace { grace } else { HURRIED_STOP });
            }
        };
        // Without the thread a second request to end hurries nobody; the deadline holds all the same.
        std::thread::Builder::new().name("signals".into()).spawn(move || aftermath.watch(hurry)).ok();
    }
    let left = deadline.instant().saturating_duration_since(Instant::now());
    ended.captured.finish(std::time::Instant::now() + left / OUTPUT_SHARE);
    if let Some(watch) = watch {
        guarded(|| watch.finish(ended.exit_code, &deadline));
    }
    ExitCode::from(init::exit_like(status))
}

/// Does work of the agent's on the thread that looks after the program: a crash in it is a line, and costs the program
/// neither its life nor its exit code.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let crashed = |_: &_| say!("lastlight: the agent crashed; the program goes on without it");
    catch_unwind(AssertUnwindSafe(work)).inspect_err(crashed).ok()
}

/// The settings; said what is wrong with them, where there are none.
fn load() -> Option<Config> {
    Config::load_for(&Environment, Face::Entrypoint, &Probe::of_this_system())
        .inspect_err(|errors| {
            say!("lastlight: wrong settings; the program runs without its agent:\n{errors}");
        })
        .ok()
}

/// How the program is looked after, with an agent or without.
fn supervise(config: &Config, options: &mut Options) {
    options.kill_after = config.kill_after;
    options.subreaper = config.subreaper;
    options.term_signals.extend(signal(&config.stop_signal));
}

/// An agent with its sockets, before there are threads.
struct Agent {
    runtime: Runtime,
    bound: Bound,
    output: Option<ProgramOutput>,
    stop_timeout: Duration,
    is_silent: bool,
}

impl Agent {
    /// Says why, where there is none.
    fn prepare(config: Config) -> Option<Self> {
        agent::logging::install(config.log_level);
        if let Err(error) = config.require_api_key() {
            say!("lastlight: {error}; the program runs, and nothing of it is sent");
            return None;
        }
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        let stop_timeout = config.stop_timeout;
        let is_silent = config.log_level == log::LevelFilter::Off;
        // Everything on one thread, which does not exist yet.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_keep_alive(Duration::MAX)
            .thread_name("lastlight")
            .build();
        let bound = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            let bound = runtime.block_on(agent::bind(config)).map_err(|error| error.to_string())?;
            Ok((runtime, bound))
        });
        match bound {
            Ok((runtime, bound)) => {
                let output = bound.output();
                Some(Self { runtime, bound, output, stop_timeout, is_silent })
            }
            Err(error) => {
                say!("lastlight: the agent cannot start; the program runs without it: {error}");
                None
            }
        }
    }

    fn capture(&self, command: &mut Command) {
        if let Some(output) = self.output.clone() {
            command.capture(Capture::new(Arc::new(move |stream, bytes| match stream {
                Output::Stdout => output.stdout(bytes),
                Output::Stderr => output.stderr(bytes),
            })));
        }
    }

    /// Starts what may wait.
    fn start(self) -> Watch {
        let Self { runtime, bound, output, stop_timeout, is_silent } = self;
        let embedded = Embedded::start(runtime, bound, Arc::new(Environment))
            .inspect_err(|error| {
                say!("lastlight: the agent cannot start; the program runs without it: {error}");
            })
            .ok();
        Watch { embedded, output, stop_timeout, asked: None, is_silent }
    }
}

/// The running agent, as the supervisor sees it.
struct Watch {
    embedded: Option<Embedded>,
    output: Option<ProgramOutput>,
    stop_timeout: Duration,
    /// When the platform's grace began.
    asked: Option<Instant>,
    is_silent: bool,
}

impl Watch {
    /// The platform's grace begins.
    fn ending(&mut self) {
        let now = Instant::now();
        self.asked = Some(now);
        if let Some(embedded) = &self.embedded {
            embedded.ending(now + self.stop_timeout);
        }
    }

    /// When the stop must be over: counted from when the platform asked for the end, or from the program's own.
    fn deadline(&self) -> Deadline {
        let now = Instant::now();
        Deadline::at((self.asked.unwrap_or(now) + self.stop_timeout).max(now + STOP_LEAST))
    }

    /// Sends what is held, and says how it went.
    fn finish(self, exit_code: u8, deadline: &Deadline) {
        if let Some(output) = &self.output {
            output.finish();
        }
        let Some(embedded) = self.embedded else { return };
        embedded.program_ended(exit_code);
        let report = embedded.stop("the program ended", deadline);
        match report {
            _ if self.is_silent => {}
            Some(report) => say!("lastlight {report}"),
            None => say!("lastlight: the agent did not end in order; what it held is lost"),
        }
    }
}

/// A signal by its name in lower case; none for SIGTERM, which always counts.
fn signal(name: &str) -> Option<Signal> {
    Some(match name {
        "sigint" => Signal::INT,
        "sigquit" => Signal::QUIT,
        "sighup" => Signal::HUP,
        "sigwinch" => Signal::WINCH,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::config::source::Fixed;

    #[test]
    fn a_crash_of_the_agent_is_no_agent_and_nothing_more() {
        assert_eq!(guarded(|| 7), Some(7));
        assert_eq!(guarded(|| -> u8 { panic!("a bug") }), None);
    }

    #[test]
    fn the_program_is_looked_after_as_asked_with_a_key_or_without() {
        let strings = Fixed::from_iter([
            ("LASTLIGHT_KILL_AFTER", "3s"),
            ("LASTLIGHT_SUBREAPER", "true"),
            ("LASTLIGHT_STOP_SIGNAL", "SIGQUIT"),
        ]);
        let config = Config::load_for(&strings, Face::Entrypoint, &Probe::default()).unwrap();
        let mut options = Options::default();
        supervise(&config, &mut options);
        assert_eq!((options.kill_after, options.subreaper), (Some(Duration::from_secs(3)), true));
        assert_eq!(options.term_signals, [Signal::TERM, Signal::QUIT]);
    }
}
