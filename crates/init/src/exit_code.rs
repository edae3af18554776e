//! How the child ended, and the exit code that says so.
//!
//! The code of a child that a signal killed is 128 + n, as shells, tini and dumb-init have it (entrypoint.md §3),
//! and as container runtimes report a program that runs unwrapped. It is the same as PID 1, which cannot die by
//! a signal of its own, and elsewhere: a platform reads one number, and there it reads the same.
//!
//! One reader can tell 128 + n from a death: the shell of a person at a terminal. It ends a loop over a program
//! that Ctrl-C killed, and goes on after one that exited. For it alone we die by the child's signal, as the very
//! last thing ([`crate::exit_like`]), and without a core file, as the child has written one if one was due.

use crate::signals::Signal;

/// Exit code when the program was not found.
pub const NOT_FOUND: u8 = 127;
/// Exit code when the program was found and cannot be run.
pub const NOT_RUNNABLE: u8 = 126;
/// Added to the number of the signal that killed the child.
const KILLED: u8 = 128;
/// When the child ended and somebody else in this process took its status.
const UNKNOWN: u8 = 1;

/// How the child ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// A signal killed it.
    Killed(Signal),
    /// It is gone and nobody can say how: code that waits for any child ran in this process besides us.
    Unknown,
}

impl Status {
    /// The exit code that says it: the child's, 128 + n after a signal, 1 when it is not known.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            // At most 128 + 64.
            Self::Killed(signal) => KILLED + signal.number(),
            Self::Unknown => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l99_every_code_is_the_childs_and_every_death_is_128_and_the_signal() {
        for code in 0..=255 {
            assert_eq!(Status::Exited(code).exit_code(), code);
        }
        for number in 1..=64_u8 {
            let signal = Signal::new(number.into()).unwrap();
            assert_eq!(Status::Killed(signal).exit_code(), 128 + number);
        }
        assert_ne!(Status::Unknown.exit_code(), 0);
    }
}
