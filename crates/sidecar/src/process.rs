//! `lastlight sidecar`: the server in a process of its own.

use crate::host::{Gate, inherited_control};
use crate::serve::{Ended, serve};
use agent::SharedStrings;
use channel::Rendezvous;
use nix::sys::signal::SigSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long who started us may take to hand over what is to be served.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);
/// Nobody started us as a sidecar (EX_USAGE).
const EXIT_USAGE: u8 = 64;
/// It could not serve (EX_UNAVAILABLE).
const EXIT_UNAVAILABLE: u8 = 69;

/// Serves what is handed over on descriptor 3, until no process of the tree is left. To be called before anything is opened.
///
/// Signals do not end it: a service manager that stops a service sends them to all of its processes at once, and the last
/// that these have to say comes after that. It says on standard error what it has to, which leads to the log file where one
/// was asked for.
#[must_use]
pub fn main(strings: SharedStrings) -> ExitCode {
    let control = inherited_control();
    agent::logging::install(crate::host::log_level(&*strings));
    let Some(control) = control else {
        log::error!("`lastlight sidecar` is started by liblastlight, not by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    if let Err(error) = SigSet::all().thread_set_mask() {
        log::warn!("cannot block signals: {error}");
    }
    let rendezvous = match Rendezvous::take_over(&control, Instant::now() + HAND_OVER_WITHIN) {
        Ok(rendezvous) => rendezvous,
        Err(error) => {
            log::error!("nothing to serve was handed over: {error}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    match serve(rendezvous, control, strings, &Gate::default()) {
        Ended::NotNeeded | Ended::Stopped | Ended::Lost => ExitCode::SUCCESS,
        Ended::Failed => ExitCode::from(EXIT_UNAVAILABLE),
    }
}
