//! A pseudo-terminal that stands for a real one: its modes, its size, its owner.

use super::pump::with_stream;
use crate::capture::Output;
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, fstat};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// Both ends.
#[derive(Debug)]
pub(super) struct Pty {
    /// Ours. Does not block.
    master: OwnedFd,
    /// The child's. Held, so that its modes outlast a child that closes all of its own for a while.
    slave: OwnedFd,
    /// Which of our streams is the real one.
    real: Output,
}

impl Pty {
    /// `cooks`: whether it makes a line feed carriage return and line feed, as the real one does. Exactly one of the two
    /// may: of a relayed terminal the one that the child can set ([`super::relay`]), else the real one.
    pub(super) fn like(real: Output, cooks: bool) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = match ioctl_tiocgptpeer(&master, flags) {
            Err(Errno::INVAL | Errno::NOTTY) => open_by_name(&master)?,
            peer => peer?,
        };
        ioctl_fionbio(&master, true)?;
        let pty = Self { master, slave, real };
        with_stream(real, |real| {
            let mut modes = tcgetattr(real)?;
            modes
                .output_modes
                .set(OutputModes::OPOST, cooks && modes.output_modes.contains(OutputModes::OPOST));
            tcsetattr(&pty.slave, OptionalActions::Now, &modes)?;
            // Of no use where we may not: the child opens its terminal by name only if it could ours.
            if let Ok(stat) = fstat(real) {
                fchown(&pty.slave, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))).ok();
                fchmod(&pty.slave, Mode::from_raw_mode(stat.st_mode)).ok();
            }
            Ok::<_, io::Error>(())
        })?;
        pty.take_size();
        Ok(pty)
    }

    /// The child's end, once more.
    pub(super) fn slave(&self) -> io::Result<OwnedFd> {
        self.slave.try_clone()
    }

    /// Takes the real one's size, and says whether that was another. The kernel then tells whoever is in front there.
    pub(super) fn take_size(&self) -> bool {
        let Ok(size) = with_stream(self.real, |real| tcgetwinsize(real)) else { return false };
        let as_before = tcgetwinsize(&self.master).is_ok_and(|before| before == size);
        !as_before && tcsetwinsize(&self.master, size).is_ok()
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// For kernels before 4.13.
fn open_by_name(master: &OwnedFd) -> io::Result<OwnedFd> {
    let name = ptsname(master, Vec::new())?;
    let no_ctty = OpenptFlags::NOCTTY.bits().cast_signed();
    let name = std::ffi::OsStr::from_bytes(name.as_bytes());
    OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name).map(Into::into)
}
