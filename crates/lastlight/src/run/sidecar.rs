//! `lastlight run` without a command: the agent beside programs of others.

use agent::config::Config;
use agent::config::source::Environment;
use agent::platform::{Face, Probe};
use std::process::ExitCode;

/// Runs until a signal; 0 then, whatever was lost (`facts/entrypoint.md` §1.2).
pub(super) fn run() -> ExitCode {
    crate::daemon(Config::load_for(&Environment, Face::Sidecar, &Probe::of_this_system()))
}
