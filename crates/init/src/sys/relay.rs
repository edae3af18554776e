//! A child on a terminal of its own, and the real one in between: keys go in, output comes out, and everything that
//! a terminal's line discipline does (echo, Ctrl-C, Ctrl-D) is done by the child's.
//!
//! Of the real one, the discipline of what is typed is off while we are in front. That of what is shown stays on, for what
//! others of this process write has plain line feeds; of the child's output, whose line feeds have their carriage
//! returns already, these are taken out for the real one to put in again. Only what cannot be said so, a line feed
//! alone, is written with the discipline off.

use super::pty::Pty;
use super::pump::{Wake, pass_on};
use super::terminal::in_front;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes typed that are read at once: what a terminal holds.
const KEYS_BYTES: usize = 4096;
/// How often it is looked, in the background, whether we are in front: the shell's `fg` of what runs says nothing.
const LOOK_PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// What connects both terminals.
#[derive(Debug)]
pub(super) struct Relay {
    pty: Arc<Pty>,
    /// What the real terminal was when we took it; `None` when we have not.
    taken: Mutex<Option<Termios>>,
    wake: Wake,
    over: AtomicBool,
    /// Whether the real one puts a carriage return before a line feed.
    adds_returns: bool,
    shown: Mutex<Shown>,
    /// Whether a shell waits that can continue what Ctrl-Z stops.
    suspends: bool,
}

/// The end of what was shown.
#[derive(Debug, Default)]
struct Shown {
    ends_in_return: bool,
    /// A carriage return came and is not shown yet.
    holds_return: bool,
}

impl Relay {
    pub(super) fn new(pty: Arc<Pty>, suspends: bool) -> io::Result<Self> {
        let adds = tcgetattr(&pty)?.output_modes;
        Ok(Self {
            pty,
            taken: Mutex::default(),
            wake: Wake::new()?,
            over: AtomicBool::new(false),
            adds_returns: adds.contains(OutputModes::OPOST | OutputModes::ONLCR),
            shown: Mutex::default(),
            suspends,
        })
    }

    /// Takes the real terminal's keys, if we are in front.
    pub(super) fn take(&self) {
        let mut taken = self.lock();
        if taken.is_some() || !in_front() {
            return;
        }
        if let Ok(before) = tcgetattr(io::stdin()) {
            set(&keys_as_typed(&before));
            *taken = Some(before);
        }
        drop(taken);
        self.wake.wake();
    }

    /// Gives the real terminal back as it was.
    pub(super) fn give_back(&self) {
        if let Some(before) = self.lock().take() {
            // In the background it is another's by now, who has set it as it wants it.
            if in_front() {
                set(&before);
            }
        }
    }

    /// For good.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.give_back();
        self.wake.wake();
    }

    /// Copies what is typed, on a thread of its own.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let relay = Arc::clone(self);
        std::thread::Builder::new().name("keys".into()).spawn(move || relay.run()).map(drop)
    }

    fn run(&self) {
        let mut keys = [0; KEYS_BYTES];
        while !self.over.load(Ordering::Acquire) {
            if self.lock().is_none() {
                poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&LOOK_PERIOD)).ok();
                self.wake.forget();
                if !self.over.load(Ordering::Acquire) {
                    self.take();
                }
                continue;
            }
            let stdin = io::stdin();
            let mut waited = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
            poll(&mut waited, None).ok();
            if !waited[1].revents().is_empty() {
                self.wake.forget();
                continue;
            }
            match read(&stdin, &mut keys) {
                Ok(0) => return,
                Ok(length) => self.type_in(&keys[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // It is another's by now.
                Err(Errno::IO) if !in_front() => self.give_back(),
                Err(_) => return,
            }
        }
    }

    fn type_in(&self, keys: &[u8]) {
        // The child may have set another key for it, or none.
        let stop_key = tcgetattr(&self.pty).ok().filter(|modes| modes.local_modes.contains(LocalModes::ISIG));
        let stop_key = stop_key.map(|modes| modes.special_codes[SpecialCodeIndex::VSUSP]);
        // 0: there is no such key.
        let stop_key = stop_key.filter(|key| self.suspends && *key != 0);
        for part in keys.split_inclusive(|key| Some(*key) == stop_key) {
            pass_on(self.pty.as_fd(), part).ok();
            if part.last().copied() == stop_key && stop_key.is_some() {
                self.stop_those_in_front();
            }
        }
    }

    /// Stops those in front as Ctrl-Z would, had the kernel not reserved that for sessions that have a shell: it
    /// drops SIGTSTP where it would stop an orphaned group, as the child's is in its own session. A handler runs all the
    /// same, and one that means to stop its process goes on, as in a container.
    pub(super) fn stop_those_in_front(&self) {
        let Ok(group) = tcgetpgrp(&self.pty) else { return };
        if self.suspends && stops_by_default(group) {
            kill_process_group(group, Signal::STOP).ok();
        }
    }

    /// Shows what the child's terminal gave, byte for byte, but for a carriage return at its end: its line feed may be
    /// next ([`Self::show_held`]). `write` writes to the real one.
    pub(super) fn show(
        &self,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes =
            if shown.holds_return { [b"\r", bytes].concat().into() } else { Cow::Borrowed(bytes) };
        shown.holds_return = self.adds_returns && bytes.last() == Some(&b'\r');
        if shown.holds_return {
            bytes = bytes[..bytes.len() - 1].to_vec().into();
        }
        let fed = if self.adds_returns { undo_returns(&bytes, shown.ends_in_return) } else { None };
        if let Some(last) = bytes.last() {
            shown.ends_in_return = *last == b'\r';
        }
        drop(shown);
        match fed {
            Some(fed) => write(&fed),
            None => {
                self.set_output(all_as_written);
                let result = write(&bytes);
                self.set_output(keys_as_typed);
                result
            }
        }
    }

    /// Shows a carriage return that waited for its line feed: nothing comes.
    pub(super) fn show_held(&self, write: impl FnOnce(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut shown.holds_return) {
            return Ok(());
        }
        shown.ends_in_return = true;
        drop(shown);
        write(b"\r")
    }

    /// Not held while something is written: a terminal that is held (Ctrl-S) would hold up our stop and our end.
    fn set_output(&self, modes: impl FnOnce(&Termios) -> Termios) {
        if let Some(before) = self.lock().as_ref().filter(|_| in_front()) {
            set(&modes(before));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Termios>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys come as they are typed, without echo or signals; what is shown is as it was.
fn keys_as_typed(before: &Termios) -> Termios {
    let mut modes = before.clone();
    modes.make_raw();
    modes.output_modes = before.output_modes;
    modes
}

/// Besides, what is shown comes as it is written.
fn all_as_written(before: &Termios) -> Termios {
    let mut modes = keys_as_typed(before);
    modes.output_modes.remove(OutputModes::OPOST);
    modes
}

/// The bytes of which a terminal that puts a carriage return before each line feed makes these; `None` where there are
/// none. `after_return`: a carriage return was shown just before.
fn undo_returns(bytes: &[u8], after_return: bool) -> Option<Vec<u8>> {
    if after_return && bytes.first() == Some(&b'\n') {
        return None;
    }
    let mut undone = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [text @ .., b'\r', b'\n'] => {
                undone.extend_from_slice(text);
                undone.push(b'\n');
            }
            [.., b'\n'] => return None,
            rest => undone.extend_from_slice(rest),
        }
    }
    Some(undone)
}

fn set(modes: &Termios) {
    // Fails when the terminal is gone.
    tcsetattr(io::stdin(), OptionalActions::Now, modes).ok();
}

/// Whether a group's leader would be stopped by SIGTSTP: it neither catches, ignores nor blocks it.
fn stops_by_default(leader: Pid) -> bool {
    let bit = 1_u64 << (Signal::TSTP.as_raw() - 1);
    let status = fs::read_to_string(format!("/proc/{}/status", leader.as_raw_nonzero())).unwrap_or_default();
    let mut sets = status.lines().filter_map(|line| {
        let (name, set) = line.split_once(":\t")?;
        ["SigBlk", "SigIgn", "SigCgt"].contains(&name).then(|| u64::from_str_radix(set, 16).ok())?
    });
    // Without such a file it is left to the kernel.
    !status.is_empty() && sets.all(|set| set & bit == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a terminal shows that puts a carriage return before each line feed.
    fn shown(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] }).collect()
    }

    #[test]
    fn returns_are_taken_out_where_the_terminal_puts_them_in() {
        let undone = |bytes: &[u8], after| undo_returns(bytes, after);
        assert_eq!(undone(b"a\r\nb\r\r\n", false).unwrap(), b"a\nb\r\n");
        assert_eq!(undone(b"a\nb", false), None);
        assert_eq!(undone(b"a\r", false).unwrap(), b"a\r");
        assert_eq!(undone(b"\nb", true), None);
        assert_eq!(undone(b"b\r\n", true).unwrap(), b"b\n");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_was_given(
            parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab\r\n".to_vec()), 1..6), 0..8),
        ) {
            let mut screen = Vec::new();
            let mut after = false;
            for part in &parts {
                screen.extend(undo_returns(part, after).map_or_else(|| part.clone(), |undone| shown(&undone)));
                after = part.last() == Some(&b'\r');
            }
            prop_assert_eq!(screen, parts.concat());
        }
    }
}
