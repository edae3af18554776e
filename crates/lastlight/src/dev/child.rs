//! The command: started, signalled, waited for.

use super::say;
use super::signals::{Signal, Signals};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a command may take to end after a signal that asks it to; then it is killed.
const END_MAX: Duration = Duration::from_secs(10);
/// Interrupts from the terminal after which a command that ignores them is killed.
const INTERRUPTS_MAX: u32 = 3;

/// Exit code when the command was not found.
const NOT_FOUND: u8 = 127;
/// Exit code when the command could not be run.
const NOT_RUN: u8 = 126;
/// Added to the number of the signal that ended the command.
const SIGNALLED: i32 = 128;

/// Runs the command to its end and gives its exit code as a shell would. Its streams are ours, but
/// its stdout goes to our stderr where `stdout_is_taken`.
pub(super) async fn run(
    program: &OsString,
    arguments: &[OsString],
    variables: &[(&'static str, String)],
    stdout_is_taken: bool,
    signals: &mut Signals,
) -> u8 {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    if stdout_is_taken {
        command.stdout(Stdio::from(io::stderr()));
    }
    match command.spawn() {
        Ok(child) => wait(child, signals).await,
        Err(error) => {
            say(&format!("cannot run {}: {error}", program.display()));
            if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }
        }
    }
}

async fn wait(mut child: Child, signals: &mut Signals) -> u8 {
    // A terminal sends its interrupts to the command as well as to us.
    let from_terminal = io::stdin().is_terminal();
    let mut interrupts = 0;
    let mut kill_at: Option<Instant> = None;
    loop {
        let deadline = async {
            match kill_at {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return match status {
                Ok(status) => code(status),
                Err(error) => {
                    say(&format!("cannot wait for the command: {error}"));
                    NOT_RUN
                }
            },
            signal = signals.next() => {
                if signal == Signal::Interrupt && from_terminal {
                    // What an interrupt means is the command's to decide (a Python prompt goes on).
                    interrupts += 1;
                    match interrupts {
                        INTERRUPTS_MAX.. => kill(&mut child),
                        2 => say("the command is still running; once more kills it"),
                        _ => {}
                    }
                } else {
                    signal.send(&child);
                    kill_at.get_or_insert_with(|| Instant::now() + END_MAX);
                }
            }
            () = deadline => {
                say(&format!("the command did not end within {} s, killing it", END_MAX.as_secs()));
                kill(&mut child);
                // Killed, it ends; should it not, it is tried again.
                kill_at = Some(Instant::now() + END_MAX);
            }
        }
    }
}

fn kill(child: &mut Child) {
    if let Err(error) = child.start_kill() {
        log::debug!("the command could not be killed: {error}");
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| super::signals::ended_by(status).map(|signal| SIGNALLED + signal));
    // A code beyond a byte exists on Windows only; what stays is that it was not 0.
    code.map_or(1, |code| u8::try_from(code).unwrap_or(1))
}
