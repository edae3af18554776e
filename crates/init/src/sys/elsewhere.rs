//! Systems without signal descriptors: nothing is started, and it is said why.

use super::Change;
use crate::capture::Captured;
use crate::command::{Command, SpawnError};
use crate::signals::{Sender, Signal};
use crate::supervise::Rules;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

/// There is none.
#[derive(Debug)]
pub(crate) struct Blocked(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Host(Infallible);

/// Nobody waits who could be woken.
#[derive(Debug)]
pub(crate) struct Wake;

impl Wake {
    pub(crate) fn wake(&self) {}
}

pub(crate) fn block() -> io::Result<Blocked> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "running a command as its init needs Linux"))
}

pub(crate) fn spawn(
    blocked: Blocked,
    _: Command,
    _: Option<Duration>,
    _: bool,
) -> Result<(Host, Rules, Captured), SpawnError> {
    match blocked.0 {}
}

pub(crate) fn die_by(_: Signal) {}

impl Host {
    pub(crate) fn child_pid(&self) -> u32 {
        match self.0 {}
    }

    pub(crate) fn reaps_orphans(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn wait(&mut self) {
        match self.0 {}
    }

    pub(crate) fn next_signal(&mut self) -> Option<(Signal, Sender)> {
        match self.0 {}
    }

    pub(crate) fn grace_is_over(&mut self) -> bool {
        match self.0 {}
    }

    pub(crate) fn next_change(&mut self) -> Option<Change> {
        match self.0 {}
    }

    pub(crate) fn forward(&self, _: Signal) {
        match self.0 {}
    }

    pub(crate) fn start_grace(&mut self) {
        match self.0 {}
    }

    pub(crate) fn hand_over(&self) {
        match self.0 {}
    }

    pub(crate) fn take_back(&mut self) {
        match self.0 {}
    }

    pub(crate) fn stop_ourselves(&self) {
        match self.0 {}
    }
}
