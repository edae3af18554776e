//! The binary: one match over its faces, and the exit codes.

/// A line on standard error. Where it cannot be written, as on a full disk, nobody is told, and nothing ends by it:
/// `eprintln` would panic, and the exit code be lost.
macro_rules! say {
    ($($what:tt)*) => {{
        let line = format!("{}\n", format_args!($($what)*));
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).ok();
    }};
}

mod dev;
mod run;

use agent::config::source::Environment;
use agent::config::{Config, ConfigErrors};
use agent::platform::Face;
use std::process::ExitCode;
use std::sync::Arc;

/// The configuration is wrong (sysexits EX_CONFIG).
const EXIT_CONFIG: u8 = 78;
/// A stop had to drop something, and `LASTLIGHT_STRICT_EXIT` asks to say so (EX_TEMPFAIL).
const EXIT_LOST: u8 = 75;
/// A part of the agent died (EX_SOFTWARE).
const EXIT_DIED: u8 = 70;
/// Nothing could be bound (EX_UNAVAILABLE).
const EXIT_UNAVAILABLE: u8 = 69;
/// The arguments make no sense (EX_USAGE).
const EXIT_USAGE: u8 = 64;

/// More workers than this would not be faster: what is expensive is done per core.
const WORKERS_MAX_COUNT: usize = 4;

const HELP: &str = "\
lastlight carries the telemetry of short-lived and confined programs to its backend.

Usage:
  lastlight                          the agent: receives traces, metrics and profiles, forwards them
  lastlight run [--] COMMAND...      the entrypoint of a container: runs COMMAND, and carries its traces,
                                     metrics and logs; without COMMAND the sidecar of other containers
  lastlight dev [--json] [-- COMMAND...]
                                     the agent with a backend inside: runs COMMAND (or waits for Ctrl-C)
                                     and shows what it sends; no account, no API key
  lastlight check [--run | --sidecar] [--json]
                                     prints the effective configuration, of the agent or of `lastlight run` with
                                     or without a command: each value with where it came from, and everything
                                     that is wrong with it; exits 0 or 78
  lastlight --help | --version

`lastlight sidecar` is not for people: liblastlight starts it for the runtime that it is linked into.

The agent is configured by environment variables, those of the Datadog agent (DD_API_KEY, DD_SITE,
DD_APM_RECEIVER_PORT, DD_DOGSTATSD_PORT, ...) and a few of its own (LASTLIGHT_*); docs/settings.md
lists them, and `lastlight check` shows what is in effect.

Exit codes of the agent: 0 stopped as asked; 64 wrong arguments; 69 nothing could be bound; 70 a part of the agent
died; 75 something was lost and LASTLIGHT_STRICT_EXIT is set; 78 wrong configuration.
";

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if std::path::Path::new(&name).file_stem().is_some_and(|name| name == run::ALIAS) {
        return run::wrap(words);
    }
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next() {
        Ok(None) => return daemon(Config::load(&Environment)),
        Ok(Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h'))) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(lexopt::Arg::Long("version") | lexopt::Arg::Short('V'))) => {
            println!("lastlight {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Some(lexopt::Arg::Value(command))) => command,
        Ok(Some(other)) => return usage(&other.unexpected()),
        Err(error) => return usage(&error),
    };
    match command.to_str() {
        Some("check") => check(arguments),
        Some("dev") => dev::run(arguments),
        // Every word behind it is the command's, what looks like an option too.
        Some("run") => run::run(words.skip(1)),
        // Before anything is opened: its descriptors are numbers.
        Some("sidecar") => sidecar::process::main(Arc::new(Environment)),
        _ => usage(&lexopt::Error::UnexpectedArgument(command)),
    }
}

fn usage(error: &lexopt::Error) -> ExitCode {
    say!("lastlight: {error}; see lastlight --help");
    ExitCode::from(EXIT_USAGE)
}

fn check(mut arguments: lexopt::Parser) -> ExitCode {
    let (mut json, mut face) = (false, Face::Agent);
    loop {
        match arguments.next() {
            Ok(None) => break,
            Ok(Some(lexopt::Arg::Long("json"))) => json = true,
            Ok(Some(lexopt::Arg::Long("run"))) => face = Face::Entrypoint,
            Ok(Some(lexopt::Arg::Long("sidecar"))) => face = Face::Sidecar,
            Ok(Some(other)) => return usage(&other.unexpected()),
            Err(error) => return usage(&error),
        }
    }
    let (report, sound) = if json {
        agent::check::report_json(&Environment, face)
    } else {
        agent::check::report(&Environment, face)
    };
    print!("{report}");
    if sound { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) }
}

/// The agent, until it is told to stop.
fn daemon(config: Result<Config, ConfigErrors>) -> ExitCode {
    let config = config.map_err(|errors| errors.to_string());
    agent::logging::install(config.as_ref().map_or(log::LevelFilter::Info, |config| config.log_level));
    let config = match config.and_then(|config| match config.require_api_key() {
        Ok(_) => Ok(config),
        Err(error) => Err(error.to_string()),
    }) {
        Ok(config) => config,
        Err(errors) => {
            say!("lastlight: cannot start:\n{errors}\nlastlight check tells more");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("lastlight: cannot start: {error}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let strict = config.strict_exit;
    let (stop_timeout, exit_with_parent) = (config.stop_timeout, config.exit_with_parent);
    let ended = runtime.block_on(async {
        let bound = agent::bind(config).await?;
        agent::daemon::run(bound, Arc::new(Environment), stop_timeout, exit_with_parent).await
    });
    // Whatever still blocks a thread must not hold the exit up.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => {
            say!("lastlight {}", ended.report);
            if ended.died {
                ExitCode::from(EXIT_DIED)
            } else if strict && ended.report.lost() > 0 {
                ExitCode::from(EXIT_LOST)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            say!("lastlight: cannot start: {error}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

/// The runtime of every face of the agent.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX_COUNT);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("lastlight")
        .enable_all()
        .build()
}
