//! Programs on a terminal, and somebody who types there.

use super::{PROBE, WAIT_MAX};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

/// Reads from the terminal that may wait to be looked at.
const READS_MAX_COUNT: usize = 10_000;
/// What the shell says when it waits for a command. Split in the setting, so that its echo is not taken for it.
pub(crate) const PROMPT: &str = "<prompt>";

/// A program on a terminal of its own, as its session's leader.
pub(crate) struct Session {
    process: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown since the last match.
    seen: String,
    /// `DIR` in the environment.
    pub(crate) folder: tempfile::TempDir,
}

impl Session {
    pub(crate) fn start(program: &[&str]) -> Self {
        // Close-on-exec from the start: a terminal that another test's process holds open is never hung up.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(name)
            .unwrap();
        let mut command = Command::new("setsid");
        // Keys that send signals must not throw away what is shown because of them.
        command.args(["--ctty", "--wait", "sh", "-c", "stty noflsh; exec \"$@\"", "sh"]).args(program);
        let folder = tempfile::tempdir().unwrap();
        command.env("DIR", folder.path()).env("PS1", PROMPT).env("TERM", "dumb").env("PROBE", PROBE);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let process = command.spawn().unwrap();
        drop(command);
        let keys = File::from(OwnedFd::from(master));
        let mut reader = keys.try_clone().unwrap();
        let (sender, screen) = sync_channel(READS_MAX_COUNT);
        thread::spawn(move || {
            let mut part = [0; 4096];
            // An error is the end: the last who had the terminal is gone.
            while let Ok(length @ 1..) = reader.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { process, keys, screen, seen: String::new(), folder }
    }

    /// A shell with job control.
    pub(crate) fn shell() -> Self {
        let mut session = Self::start(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        session.shows(PROMPT);
        session
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line without its echo being taken for output: everything up to it is forgotten.
    pub(crate) fn enters(&mut self, line: &str) {
        self.types(&format!("{line}\n"));
        self.shows(&format!("{line}\r\n"));
    }

    /// Waits for a text, and forgets it and what came before.
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let end = Instant::now() + WAIT_MAX;
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + text.len());
                return before;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(part) => self.seen.push_str(&String::from_utf8_lossy(&part)),
                Err(error) => panic!("{text:?} is not shown ({error}), but {:?}", self.seen),
            }
        }
    }

    /// Changes the size of the terminal, as dragging a window does.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keys, size).unwrap();
    }

    pub(crate) fn code(mut self) -> i32 {
        let mut status = None;
        super::until(|| {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap()
    }
}

/// The numbers of the keys.
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const CTRL_Z: &str = "\x1a";
