//! `lastlight dev`: the agent with the desk as its backend, around a command of the user's.

mod child;
mod example;
mod options;
mod target;
mod terminal;

use agent::config::source::{Environment, Strings};
use agent::config::{BaseUrl, CompressionKind, Config, Endpoints, UdpAddress};
use agent::daemon::HURRIED_STOP;
use agent::forward::proxy::ProxySettings;
use agent::platform::{Face, Probe};
use agent::transport::Signals;
use agent::{Bound, Deadline, Instant, Report};
use desk::{Closing, Desk};
use init::Prepared;
use options::{Asked, Options, Source};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use terminal::say;

/// The reference's receiver port (`facts/settings.md`), for those who switched TCP off.
const PORT_DEFAULT: u16 = 8126;
/// A trace waits no longer for its batch: people watch.
const FLUSH_PERIOD_MAX: Duration = Duration::from_millis(200);
/// How long the end of the session may take to be written; a terminal may be held.
const SHOW_END_MAX: Duration = Duration::from_secs(10);

/// Exit code for arguments that were not understood (`EX_USAGE`).
const USAGE: u8 = 64;
/// Exit code when the agent could not run (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// Exit code for settings that are wrong (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// Runs `lastlight dev` with the arguments after `dev`.
pub(crate) fn run(arguments: lexopt::Parser) -> ExitCode {
    let options = match options::parse(arguments) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            terminal::print(options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("{error}\nTry `lastlight dev --help`."));
            return USAGE.into();
        }
    };
    session(&options)
        .unwrap_or_else(|Failure { code, reason }| {
            say(&reason);
            code
        })
        .into()
}

/// The environment, in which logs are on unless somebody said otherwise: they are to be seen.
struct ShownLogs;

impl Strings for ShownLogs {
    fn get(&self, name: &str) -> Option<String> {
        let said = Environment.get(name).filter(|value| !value.trim().is_empty());
        said.or_else(|| (name == "DD_LOGS_ENABLED").then(|| "true".to_owned()))
    }

    fn names(&self) -> Vec<String> {
        Environment.names()
    }

    fn unreadable(&self) -> Vec<String> {
        Environment.unreadable()
    }
}

/// Why there was no session.
struct Failure {
    code: u8,
    reason: String,
}

impl Failure {
    fn unavailable(what: &str, error: impl std::fmt::Display) -> Self {
        Self { code: UNAVAILABLE, reason: format!("{what}: {error}") }
    }
}

fn session(options: &Options) -> Result<u8, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure { code: CONFIG, reason: error.to_string() };
    // Before any thread: the signals are then the command's.
    let prepared = match options.source {
        Source::Command(..) => {
            let prepared = Prepared::block_signals();
            Some(prepared.map_err(|error| Failure::unavailable("cannot take care of signals", error))?)
        }
        Source::Anyone | Source::Example => None,
    };
    let mut config = Config::load_for(&ShownLogs, Face::Agent, &Probe::of_this_system())
        .map_err(|errors| wrong(&errors))?;
    let (view, out) =
        terminal::open(options, &Environment).map_err(|error| Failure::unavailable("cannot write", error))?;
    let desk = Desk::start(view, out).map_err(|error| Failure::unavailable("cannot receive", error))?;
    let base = BaseUrl::new(&desk.url()).map_err(|error| wrong(&error))?;
    lead_to_desk(&mut config, &base);
    if Environment.get("DD_LOG_LEVEL").is_none() {
        // The view tells what an agent on a server would log.
        config.log_level = log::LevelFilter::Warn;
    }
    agent::logging::install(config.log_level);
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let (code, report) = match (&options.source, prepared) {
        (Source::Command(program, arguments), Some(prepared)) => {
            child::run(prepared, program, arguments, options, config, &desk.url())?
        }
        _ => {
            let runtime = crate::runtime().map_err(|error| Failure::unavailable("cannot start", error))?;
            let ended = runtime.block_on(around_agent(options, config));
            // Whatever still blocks a thread must not hold the exit up.
            runtime.shutdown_background();
            let (code, report) = ended?;
            (code, Some(report))
        }
    };
    if desk.finish(closing(report), SHOW_END_MAX).is_none() {
        say(&format!("the rest was not shown within {} s", SHOW_END_MAX.as_secs()));
    }
    Ok(code)
}

/// What the view tells of the agent at the end: its report where that is not as it should be.
fn closing(report: Option<Report>) -> Closing {
    let Some(report) = report else {
        return Closing { report: "the agent did not end in order".into(), books: Vec::new() };
    };
    let fine = report.lost() == 0 && report.books.iter().all(|(_, book)| book.held == 0);
    let told = if fine { String::new() } else { report.to_string() };
    Closing { report: told, books: report.books }
}

/// Everything goes to the desk, soon, and to nobody else.
fn lead_to_desk(config: &mut Config, base: &BaseUrl) {
    config.endpoints = Endpoints::all_at(base);
    config.proxy = ProxySettings::default();
    config.flush_period = config.flush_period.min(FLUSH_PERIOD_MAX);
    config.logs.batch_wait = config.logs.batch_wait.min(FLUSH_PERIOD_MAX);
    config.logs.compression.kind = CompressionKind::None;
    // We have a terminal or a caller of our own, and we end with the command.
    config.exit_with_parent = false;
}

/// Binds the agent with TCP always on, at another port when the wanted one cannot be had.
async fn bind(mut config: Config) -> Result<Bound, Failure> {
    free_dogstatsd(&mut config);
    let wanted = config.receiver.port.unwrap_or(PORT_DEFAULT);
    config.receiver.enabled = true;
    // Asked first, for the agent may wait for one that is about to leave the port.
    if !target::is_taken(config.receiver.bind, wanted) {
        config.receiver.port = Some(wanted);
        match agent::bind(config.clone()).await {
            Ok(bound) if bound.tcp_address().is_some() => return Ok(bound),
            Ok(_) => {}
            Err(error) => log::debug!("{error}"),
        }
    }
    say(&format!("port {wanted} is not free, using another"));
    config.receiver.port = Some(0);
    agent::bind(config).await.map_err(|error| Failure::unavailable("cannot listen", error))
}

/// Lets DogStatsD have another UDP port when the wanted one cannot be had.
fn free_dogstatsd(config: &mut Config) {
    let settings = &mut config.dogstatsd;
    if !settings.enabled {
        return;
    }
    // IPv6 loopback beside that of IPv4 is a gift; without it clients are heard all the same.
    let needed = |udp: &&UdpAddress| !udp.optional;
    let taken = settings.udp.iter().filter(needed).find(|udp| target::is_udp_taken(udp.address)).copied();
    if let Some(mut udp) = taken {
        say(&format!("UDP port {} is not free, using another", udp.address.port()));
        udp.address.set_port(0);
        udp.fallback.iter_mut().for_each(|fallback| fallback.set_port(0));
        settings.udp = vec![udp];
    }
}

/// Runs agent and source, the source first to end.
async fn around_agent(options: &Options, config: Config) -> Result<(u8, Report), Failure> {
    // Caught from here on: an interrupt ends the session in order.
    let mut signals = Signals::new().map_err(|error| Failure::unavailable("cannot catch signals", error))?;
    let stop_timeout = config.stop_timeout;
    let bound = bind(config).await?;
    let Some(receiver) = bound.tcp_address() else {
        return Err(Failure::unavailable("cannot listen", "no TCP port could be bound"));
    };
    let dogstatsd = bound.dogstatsd_address();
    let running =
        bound.start(Arc::new(Environment)).map_err(|error| Failure::unavailable("cannot start", error))?;
    let code = {
        let source = source(options, receiver, dogstatsd, &mut signals);
        tokio::pin!(source);
        tokio::select! {
            code = &mut source => code,
            stage = running.died() => {
                // The command is the user's: it goes on, unseen.
                say(&format!("the agent's {stage} ended on its own: nothing more is shown"));
                source.await
            }
        }
    };
    let deadline = Deadline::at(Instant::now() + stop_timeout);
    let hurried = deadline.clone();
    let stop = running.stop("the session is over", deadline);
    tokio::pin!(stop);
    let report = loop {
        tokio::select! {
            report = &mut stop => break report,
            _ = signals.next() => hurried.hurry(Instant::now() + HURRIED_STOP),
        }
    };
    Ok((code, report))
}

/// Waits for what sends traces and metrics, and gives the exit code.
async fn source(
    options: &Options,
    receiver: SocketAddr,
    dogstatsd: Option<SocketAddr>,
    signals: &mut Signals,
) -> u8 {
    let places = target::places(receiver, dogstatsd);
    let (address, dogstatsd) = (target::reachable(receiver), dogstatsd.map(target::reachable));
    match &options.source {
        Source::Anyone | Source::Command(..) => {
            say(&format!("receiving at {places}; Ctrl-C ends"));
            signals.next().await;
            0
        }
        Source::Example => {
            say(&format!("receiving at {places}, from the built-in example"));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            let sent = tokio::task::spawn_blocking(move || example::send(address, dogstatsd, now)).await;
            match sent.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => 0,
                Err(error) => {
                    say(&error.to_string());
                    1
                }
            }
        }
    }
}
