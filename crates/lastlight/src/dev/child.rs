//! The command: started, looked after and waited for as `lastlight run` does it.

use super::target::{self, Target};
use super::{Failure, bind, say, terminal};
use crate::dev::options::Options;
use agent::config::Config;
use agent::config::source::Environment;
use agent::daemon::HURRIED_STOP;
use agent::embedded::Embedded;
use agent::{Deadline, Instant, Report};
use init::{Capture, Command, Notice, Output, Prepared};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// How long a command may take to end after a signal that asks it to; then it is killed.
const END_MAX: Duration = Duration::from_secs(10);
/// How long the last of its output may take to be passed on; a terminal may be held.
const OUTPUT_MAX: Duration = Duration::from_secs(1);

/// Runs the command to its end; its exit code as a shell would give it, and the agent's report. Its streams are
/// ours, but its stdout goes to our stderr where the view has ours. An agent inside it sends to `desk`, a URL.
pub(super) fn run(
    prepared: Prepared,
    program: &OsString,
    arguments: &[OsString],
    options: &Options,
    config: Config,
    desk: &str,
) -> Result<(u8, Option<Report>), Failure> {
    let stop_timeout = config.stop_timeout;
    let runtime = crate::runtime().map_err(|error| Failure::unavailable("cannot start", error))?;
    let bound = runtime.block_on(bind(config))?;
    let Some(receiver) = bound.tcp_address() else {
        return Err(Failure::unavailable("cannot listen", "no TCP port could be bound"));
    };
    let dogstatsd = bound.dogstatsd_address();
    let target = Target::of(receiver, dogstatsd, &Environment);
    say(&format!("receiving at {}", target::places(receiver, dogstatsd)));
    target.warnings.iter().for_each(|warning| say(warning));

    let mut command = Command::new(program, arguments.iter().cloned());
    let to_desk = target::to_desk(desk, &Environment);
    for (name, value) in target.variables.iter().chain(&to_desk) {
        command.env(name, value);
    }
    if terminal::owns_stdout(options) {
        command.stdout_to_stderr();
    }
    let output = bound.output();
    if let Some(output) = output.clone() {
        command.capture(Capture::new(Arc::new(move |stream, bytes| match stream {
            Output::Stdout => output.stdout(bytes),
            Output::Stderr => output.stderr(bytes),
        })));
    }
    // Before the command: what it sends in its first millisecond is shown.
    let embedded = Embedded::start(runtime, bound, Arc::new(Environment))
        .map_err(|error| Failure::unavailable("cannot start", error))?;
    let looked_after = init::Options { kill_after: Some(END_MAX), ..init::Options::default() };
    let (code, aftermath) = match prepared.spawn(command, looked_after) {
        Ok(supervisor) => {
            let ended = supervisor.run(|notice| {
                if notice == Notice::Killed {
                    say(&format!("the command did not end within {} s and is killed", END_MAX.as_secs()));
                }
            });
            ended.captured.finish(std::time::Instant::now() + OUTPUT_MAX);
            (ended.exit_code, Some(ended.aftermath))
        }
        Err(error) => {
            say(&error.to_string());
            (error.exit_code, None)
        }
    };
    if let Some(output) = output {
        output.finish();
    }
    let deadline = Deadline::at(Instant::now() + stop_timeout);
    if let Some(aftermath) = aftermath {
        let hurried = deadline.clone();
        let hurry = move |notice| {
            if let Notice::TermReceived { .. } = notice {
                hurried.hurry(Instant::now() + HURRIED_STOP);
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || aftermath.watch(hurry)).ok();
    }
    Ok((code, embedded.stop("the session is over", &deadline)))
}
