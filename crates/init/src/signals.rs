//! Signals as numbers with names, and which of them are for the child.
//!
//! A number rather than an enumeration, because real-time signals have no names of their own and must arrive too.

use std::fmt;

/// The biggest signal number of Linux.
const NUMBER_MAX: i32 = 64;
/// The first real-time signal for programs: the C library keeps 32 and 33 for itself.
const REAL_TIME_MIN: u8 = 34;

/// Names of signals 1 to 31, as Linux numbers them on x86-64, ARM and RISC-V.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal by its number, 1 to 64.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signal(u8);

impl Signal {
    /// The terminal is gone; many daemons read their settings again.
    pub const HUP: Self = Self(1);
    /// Ctrl-C.
    pub const INT: Self = Self(2);
    /// Ctrl-\\; the graceful stop of some servers.
    pub const QUIT: Self = Self(3);
    /// Ends a process that cannot object.
    pub const KILL: Self = Self(9);
    /// Asks a process to end: what every platform sends first.
    pub const TERM: Self = Self(15);
    /// A child changed its state; never forwarded, as it speaks of our children.
    pub const CHLD: Self = Self(17);
    /// Go on.
    pub const CONT: Self = Self(18);
    /// Stops a process that cannot object.
    pub const STOP: Self = Self(19);
    /// Ctrl-Z.
    pub const TSTP: Self = Self(20);
    /// Read from the terminal out of the background.
    pub const TTIN: Self = Self(21);
    /// Wrote to the terminal, or set it, out of the background.
    pub const TTOU: Self = Self(22);
    /// The terminal has another size.
    pub const WINCH: Self = Self(28);

    /// The signal with this number; `None` where there is no such signal.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        if !(1..=NUMBER_MAX).contains(&number) {
            return None;
        }
        u8::try_from(number).ok().map(Self)
    }

    /// Its number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMES.get(usize::from(self.0) - 1), self.0.checked_sub(REAL_TIME_MIN)) {
            (Some(name), _) => write!(formatter, "SIG{name}"),
            (None, Some(0)) => formatter.write_str("SIGRTMIN"),
            (None, Some(offset)) => write!(formatter, "SIGRTMIN+{offset}"),
            (None, None) => write!(formatter, "signal {}", self.0),
        }
    }
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sender {
    /// Another process; of another PID namespace too, whose processes show as 0.
    Outside,
    /// The kernel: the terminal's keys, its size, its end.
    Kernel,
    /// This process: a broken pipe of ours, a timer of ours. Not for the child.
    Ourselves,
}

impl Sender {
    /// From the sender's process, the `si_code`, and our own process. The codes of the kernel are above 0.
    pub(crate) fn of(pid: u32, code: i32, own_pid: u32) -> Self {
        match (pid, code) {
            (pid, _) if pid == own_pid => Self::Ourselves,
            (_, 1..) => Self::Kernel,
            _ => Self::Outside,
        }
    }
}

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    fn bit(signal: Signal) -> u64 {
        1 << (signal.0 - 1)
    }
}

impl FromIterator<Signal> for Set {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        Self(signals.into_iter().fold(0, |set, signal| set | Self::bit(signal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_people_know() {
        let name = |number| Signal::new(number).unwrap().to_string();
        assert_eq!(name(15), "SIGTERM");
        assert_eq!(name(31), "SIGSYS");
        assert_eq!(name(33), "signal 33");
        assert_eq!(name(34), "SIGRTMIN");
        assert_eq!(name(64), "SIGRTMIN+30");
        assert_eq!([Signal::new(0), Signal::new(65), Signal::new(-1)], [None; 3]);
    }

    #[test]
    fn l97_what_we_sent_ourselves_is_told_from_what_others_sent() {
        assert_eq!(Sender::of(7, 0, 7), Sender::Ourselves);
        assert_eq!(Sender::of(8, 0, 7), Sender::Outside);
        // `docker stop` and the kubelet: a process that this PID namespace cannot see.
        assert_eq!(Sender::of(0, 0, 7), Sender::Outside);
        // A queued signal and one of a single thread have codes below 0.
        assert_eq!(Sender::of(8, -1, 7), Sender::Outside);
        // Ctrl-C.
        assert_eq!(Sender::of(0, 0x80, 7), Sender::Kernel);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Set = [Signal::TERM, Signal::new(64).unwrap()].into_iter().collect();
        let held: Vec<i32> = (1..=64).filter(|number| set.contains(Signal::new(*number).unwrap())).collect();
        assert_eq!(held, [15, 64]);
    }
}
