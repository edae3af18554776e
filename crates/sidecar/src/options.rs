//! What a host decides, and what it is told.

use agent::SharedStrings;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How long a server may take to say that it serves, unless a host says otherwise.
pub const READY_WITHIN: Duration = Duration::from_secs(1);

/// Where the agent runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// In a subprocess where one can be had, else on a thread: decided once for the tree, but for subprocesses that end again
    /// and again, after which a process of it starts a thread.
    #[default]
    Auto,
    /// In a subprocess, or not at all.
    Subprocess,
    /// On a thread of a process of the tree.
    Thread,
}

/// A word that is no [`Mode`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("allowed: auto, subprocess, thread")
    }
}

impl std::error::Error for UnknownMode {}

impl FromStr for Mode {
    type Err = UnknownMode;

    /// In any case, as the tracers take it.
    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        [("auto", Self::Auto), ("subprocess", Self::Subprocess), ("thread", Self::Thread)]
            .into_iter()
            .find_map(|(name, mode)| word.trim().eq_ignore_ascii_case(name).then_some(mode))
            .ok_or(UnknownMode)
    }
}

/// How a handle is opened.
#[derive(Clone)]
pub struct Options {
    /// A [`Mode`] as a word. `None`: setting `DD_TRACE_SIDECAR_CONNECTION_MODE`, else auto. Another word is said once, and means auto.
    pub mode: Option<String>,
    /// The program of the subprocess. `None`: setting `LASTLIGHT_BINARY`, else `lastlight` beside the library, else in `PATH`.
    pub binary: Option<PathBuf>,
    /// Settings; a copy is taken when the handle is opened, on the caller's thread.
    pub strings: SharedStrings,
    /// How long [`crate::Sidecar::open`] waits for each server that it tries.
    pub ready_within: Duration,
    /// Start nothing when opened, but at the first submission, or before the host's next fork.
    pub lazy: bool,
}

impl Options {
    /// With settings from `strings`, and everything else as usual.
    #[must_use]
    pub fn new(strings: SharedStrings) -> Self {
        Self { mode: None, binary: None, strings, ready_within: READY_WITHIN, lazy: false }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("mode", &self.mode)
            .field("binary", &self.binary)
            .field("ready_within", &self.ready_within)
            .field("lazy", &self.lazy)
            .finish_non_exhaustive()
    }
}

/// Why a handle cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The tree's socket cannot be bound, or there is no randomness for its secret.
    Bind(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "the sidecar's socket cannot be bound: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Where the agent of this tree runs, as this process knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum InUse {
    /// Nothing was started so far.
    NotYet = 0,
    /// A subprocess.
    Subprocess = 1,
    /// A thread of a process of the tree.
    Thread = 2,
    /// It could not be started; it is tried again from time to time.
    Nothing = 3,
}

/// What a payload is. The numbers are the channel's and the C ABI's, and never used again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Kind {
    /// Traces, msgpack v0.4.
    TracesV04 = 1,
    /// Traces, msgpack v0.5.
    TracesV05 = 2,
    /// Statistics of traces, msgpack.
    Stats = 3,
    /// Lines of DogStatsD.
    DogStatsD = 4,
    /// Telemetry of a tracer, JSON.
    Telemetry = 5,
    /// Logs, JSON.
    Logs = 6,
    /// Any other request of a tracer; the header `:path` says its route.
    Request = 7,
}

impl TryFrom<u16> for Kind {
    type Error = u16;

    fn try_from(number: u16) -> Result<Self, u16> {
        [
            Self::TracesV04,
            Self::TracesV05,
            Self::Stats,
            Self::DogStatsD,
            Self::Telemetry,
            Self::Logs,
            Self::Request,
        ]
        .into_iter()
        .find(|kind| *kind as u16 == number)
        .ok_or(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_in_any_case_and_nothing_else_is_one() {
        for (word, mode) in [
            ("auto", Mode::Auto),
            ("AUTO", Mode::Auto),
            ("SubProcess", Mode::Subprocess),
            (" thread ", Mode::Thread),
        ] {
            assert_eq!(word.parse(), Ok(mode));
        }
        for word in ["", "process", "threads", "none", "auto,thread"] {
            assert_eq!(word.parse::<Mode>(), Err(UnknownMode));
        }
    }

    #[test]
    fn a_kind_is_its_number() {
        for number in 1..=7 {
            assert_eq!(Kind::try_from(number).map(|kind| kind as u16), Ok(number));
        }
        assert_eq!(Kind::try_from(0), Err(0));
        assert_eq!(Kind::try_from(8), Err(8));
    }
}
