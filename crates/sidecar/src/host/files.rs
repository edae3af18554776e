//! A table of descriptors of the server's thread alone.
//!
//! Descriptors are numbers in a table that all threads of a process share, and that each child of the process gets a copy of.
//! With a table of its own the agent's sockets are in none of the host's children, a host that closes what it does not
//! know does not close them, the serving lock (a record lock, which belongs to a table) goes with no descriptor that the
//! host closes, and the host may have all the numbers that its limit allows. The price: no other thread may use a number
//! of this one.

use crate::fork::ProcessLocal;
use channel::Rendezvous;
use nix::libc;
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket, socketpair};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};

/// Where the control socket of a subprocess is.
const CONTROL: RawFd = 3;
const STANDARD_COUNT: RawFd = 3;

/// The numbers that a thread is given.
pub(crate) type Kept = [RawFd; 3];

/// Whose table the server's thread has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Table {
    /// Its own: what it was given is to be closed in the host's.
    Own,
    /// The host's, where the kernel is old or a filter forbids another.
    Shared,
}

/// A descriptor on its way to a thread that will have a table of its own: one number, of two tables later.
#[derive(Debug)]
pub(crate) struct Given(RawFd);

impl Given {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd.into_raw_fd())
    }

    /// The number, which stays with who gives.
    pub(crate) fn number(&self) -> RawFd {
        self.0
    }

    /// Taken by the thread.
    pub(crate) fn take(self) -> OwnedFd {
        let fd = own(self.0);
        std::mem::forget(self);
        fd
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        // There was no thread.
        drop(own(self.0));
    }
}

/// A number of this table becomes ours to close.
#[expect(unsafe_code, reason = "the number is of two tables, which no type says")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: callers give numbers that they had of an `OwnedFd` which was forgotten, or of a table that was copied, where
    // nobody else owns them.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Closes the host's copies of what a thread has in a table of its own.
pub(crate) fn close_copies(numbers: Kept) {
    numbers.into_iter().for_each(|number| drop(own(number)));
}

/// Takes a table of its own for the calling thread, with nothing in it but `keep`. The standard streams lead nowhere there: who
/// waits for the end of the host's output would wait for us.
pub(crate) fn take_table(keep: Kept) -> Table {
    let mut sorted = keep;
    sorted.sort_unstable();
    let [low, middle, high] = sorted;
    // The kernel does not even copy what is to be closed.
    if close_range(high + 1, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE).is_err()
        && nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).is_err()
    {
        return Table::Shared;
    }
    let between =
        [(STANDARD_COUNT, low - 1), (low + 1, middle - 1), (middle + 1, high - 1), (high + 1, RawFd::MAX)];
    for (first, last) in between {
        if first <= last && close_range(first, last, 0).is_err() {
            close_listed(keep);
            break;
        }
    }
    silence(keep);
    Table::Own
}

/// Closes what the thread's table is said to hold.
fn close_listed(keep: Kept) {
    let Ok(listed) = std::fs::read_dir("/proc/thread-self/fd") else { return };
    let numbers: Vec<RawFd> =
        listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= STANDARD_COUNT && !keep.contains(number)) {
        close(number);
    }
}

/// The standard streams of this table, wherever they led. One that is kept is not touched: a host without standard
/// streams may have given us their numbers.
fn silence(keep: Kept) {
    let nowhere = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        // Where there are no devices: it is nobody's, and what is written to it is an error.
        .or_else(|_| socket(AddressFamily::UNIX, SocketType::DGRAM, None));
    let Ok(nowhere) = nowhere else { return };
    for number in (0..STANDARD_COUNT).filter(|number| !keep.contains(number)) {
        if nowhere.as_raw_fd() != number {
            put(nowhere.as_fd(), number);
        }
    }
    if nowhere.as_raw_fd() < STANDARD_COUNT {
        std::mem::forget(nowhere);
    }
}

/// The numbers of what the runtime keeps for the life of a process, in memory that children inherit: a pair of sockets for
/// signals, which it makes when it is first built, wherever signals are compiled into it. They were made in the table of the
/// thread that was first to serve; in any later thread's, of this process or of a child, they are nobody's, or somebody else's.
static KEPT: AtomicI64 = AtomicI64::new(KEPT_UNKNOWN);
const KEPT_UNKNOWN: i64 = -1;
const KEPT_NOTHING: i64 = -2;
/// One thread at a time finds out.
static KEEPING: ProcessLocal<()> = ProcessLocal::new();
/// Numbers that are looked at, in a table that holds some.
const NUMBERS_MAX_COUNT: RawFd = 256;

/// Makes the calling thread's own table fit for a runtime. What is in it, which is all that is given, may get other numbers.
///
/// # Errors
/// When the system has no descriptors, or the runtime keeps what is not known.
pub(crate) fn fit_runtime(
    mut rendezvous: Arc<Rendezvous>,
    mut control: OwnedFd,
    mut lifeline: OwnedFd,
) -> io::Result<(Arc<Rendezvous>, OwnedFd, OwnedFd)> {
    let kept = KEEPING.with(|| (), |()| find_kept())?;
    let Some(numbers) = kept else { return Ok((rendezvous, control, lifeline)) };
    // Out of the way: below them are some free numbers, or above.
    let above = numbers[0].max(numbers[1]) + 1;
    for fd in [&mut control, &mut lifeline] {
        if numbers.contains(&fd.as_raw_fd()) {
            *fd = rustix::io::fcntl_dupfd_cloexec(&*fd, above)?;
        }
    }
    if numbers.contains(&rendezvous.listener().as_raw_fd()) {
        let (_first, _second) = (control.try_clone()?, control.try_clone()?);
        rendezvous = rendezvous.try_clone()?;
        if numbers.contains(&rendezvous.listener().as_raw_fd()) {
            return Err(Errno::MFILE.into());
        }
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (first, second) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let aside = [first, second].map(|fd| rustix::io::fcntl_dupfd_cloexec(&fd, above));
    for (fd, number) in aside.into_iter().zip(numbers) {
        put(fd?.as_fd(), number);
    }
    Ok((rendezvous, control, lifeline))
}

fn find_kept() -> io::Result<Option<[RawFd; 2]>> {
    match KEPT.load(Ordering::Acquire) {
        KEPT_NOTHING => return Ok(None),
        KEPT_UNKNOWN => {}
        kept => return Ok(Some([(kept >> 32) as RawFd, (kept & i64::from(u32::MAX)) as RawFd])),
    }
    let before: Vec<RawFd> = held().collect();
    drop(tokio::runtime::Builder::new_current_thread().enable_io().build()?);
    let new: Vec<RawFd> = held().filter(|number| !before.contains(number)).collect();
    let kept = match new[..] {
        [] => KEPT_NOTHING,
        [first, second] => i64::from(first) << 32 | i64::from(second),
        _ => return Err(io::Error::other("the runtime keeps descriptors that are not known")),
    };
    KEPT.store(kept, Ordering::Release);
    // They are where they belong.
    Ok(None)
}

/// The numbers in the thread's own table.
fn held() -> impl Iterator<Item = RawFd> {
    (0..NUMBERS_MAX_COUNT).filter(|number| is_open(*number))
}

#[expect(unsafe_code, reason = "a number that may be none")]
fn is_open(number: RawFd) -> bool {
    // SAFETY: a number that is none is an error of the call, and borrowed for that alone.
    rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok()
}

#[expect(unsafe_code, reason = "there is no safe call that closes by number")]
fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: the numbers are of the calling thread's own table (with `CLOSE_RANGE_UNSHARE` they become so first), in which
    // nobody owns any but those that are kept.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(Errno::NOSYS) }
}

#[expect(unsafe_code, reason = "there is no safe call that closes by number")]
fn close(number: RawFd) {
    // SAFETY: as in `close_range`. That the one of the listing itself is closed already is no harm.
    unsafe { libc::close(number) };
}

#[expect(unsafe_code, reason = "there is no safe call that replaces by number")]
fn put(fd: BorrowedFd<'_>, number: RawFd) {
    // SAFETY: as in `close_range`: what is replaced is a standard stream of the thread's own table, or a number that nothing
    // in it has (see `fit_runtime`).
    unsafe { libc::dup2(fd.as_raw_fd(), number) };
}

/// The control socket that a subprocess was started with, if it was: to be asked for once, before anything is opened.
pub(crate) fn inherited_control() -> Option<OwnedFd> {
    #[expect(unsafe_code, reason = "a number that another program passed on")]
    // SAFETY: a number that is none is an error of the calls below, and borrowed for those alone.
    let control = unsafe { BorrowedFd::borrow_raw(CONTROL) };
    fstat(control).ok()?;
    let kind = rustix::net::sockopt::socket_type(control).ok()?;
    (kind == SocketType::SEQPACKET).then(|| own(CONTROL))
}

/// A descriptor's number where children find it, without a lock and without owning it.
#[derive(Debug, Default)]
pub(crate) struct SharedNumber {
    number: AtomicI32,
    device: AtomicU64,
    file: AtomicU64,
}

impl SharedNumber {
    pub(crate) fn set(&self, fd: BorrowedFd<'_>) {
        let (device, file) = identity(fd).unwrap_or_default();
        self.number.store(fd.as_raw_fd(), Ordering::Relaxed);
        self.device.store(device, Ordering::Relaxed);
        self.file.store(file, Ordering::Relaxed);
    }

    /// The descriptor, while the number is still what it was.
    pub(crate) fn get(&self) -> Option<BorrowedFd<'_>> {
        let known = (self.device.load(Ordering::Relaxed), self.file.load(Ordering::Relaxed));
        #[expect(unsafe_code, reason = "the number is a parent's, whose owner this process must not touch")]
        // SAFETY: whether it is open, and that one, is asked before it is used. Nobody closes it in this process: what owns
        // it is the parent's, in memory that is not looked at here.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number.load(Ordering::Relaxed)) };
        (known != (0, 0) && identity(fd) == Some(known)).then_some(fd)
    }
}

/// Device and number of a file.
fn identity(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn count() -> usize {
        std::fs::read_dir("/proc/thread-self/fd").unwrap().count() - 1
    }

    #[test]
    fn a_table_of_ones_own_holds_what_was_kept_and_closes_nothing_of_the_hosts() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let others = [io::pipe().unwrap(), io::pipe().unwrap()];
        let (mut end, last) = io::pipe().unwrap();
        let fds: [OwnedFd; 3] = [
            writer.try_clone().unwrap().into(),
            reader.try_clone().unwrap().into(),
            reader.try_clone().unwrap().into(),
        ];
        let given = fds.map(Given::new);
        let numbers = given.each_ref().map(Given::number);
        let thread = std::thread::spawn(move || {
            let table = take_table(numbers);
            let held = count();
            let [kept, ..] = given.map(Given::take);
            std::fs::File::from(kept).write_all(b"x").unwrap();
            // Led nowhere, and not to who ran the tests.
            let standard = std::fs::read_link("/proc/thread-self/fd/1").unwrap();
            (table, held, standard, count())
        });
        let (table, held, standard, after) = thread.join().unwrap();
        assert_eq!((table, held, after), (Table::Own, 6, 3));
        assert_eq!(standard.to_str(), Some("/dev/null"));
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        close_copies(numbers);
        writer.write_all(b"y").unwrap();
        reader.read_exact(&mut byte).unwrap();
        // Ends as the host ends it: nobody else holds it.
        drop(last);
        assert_eq!(end.read(&mut byte).unwrap(), 0);
        drop(others);
    }

    #[test]
    fn what_the_thread_has_leaves_the_runtimes_numbers_and_stays_what_it_is() {
        let (control, lifeline) = crate::control::pair().unwrap();
        let rendezvous = Rendezvous::bind().unwrap();
        let given = [control, lifeline].map(Given::new);
        let [control, lifeline] = given.each_ref().map(Given::number);
        let listener = rendezvous.listener().as_raw_fd();
        for kept in [[control, lifeline], [lifeline, listener], [listener, control]] {
            let rendezvous = Arc::clone(&rendezvous);
            let thread = std::thread::spawn(move || {
                assert_eq!(take_table([control, lifeline, listener]), Table::Own);
                KEPT.store(i64::from(kept[0]) << 32 | i64::from(kept[1]), Ordering::Release);
                let fds = [own(control), own(lifeline)];
                let before = [&fds[0], &fds[1]].map(|fd| identity(fd.as_fd()));
                let [control, lifeline] = fds;
                let (rendezvous, control, lifeline) = fit_runtime(rendezvous, control, lifeline).unwrap();
                assert_eq!([&control, &lifeline].map(|fd| identity(fd.as_fd())), before);
                let numbers = [control.as_raw_fd(), lifeline.as_raw_fd(), rendezvous.listener().as_raw_fd()];
                assert!(numbers.iter().all(|number| !kept.contains(number)), "{numbers:?} {kept:?}");
                assert!(kept.iter().all(|number| is_open(*number)));
            });
            thread.join().unwrap();
        }
        KEPT.store(KEPT_UNKNOWN, Ordering::Release);
    }
}
