//! A subprocess that a host does not notice: no signal of its end, nothing for the host's `wait` to find, no change to
//! the host's own signals, descriptors, folder or mask.
//!
//! The calling thread makes an intermediate process and that one the daemon, each with the host's memory and the caller's
//! place in it until it has executed its program or ended, as `vfork` does. So nothing is copied however big the host is,
//! handlers of `fork` do not run, and what became of `exec` is written where the caller reads it. The intermediate is a
//! child without a signal, which only a `wait` that asks for such finds, ours; the daemon is nobody's child. A host that adopts
//! orphans, as process 1 does, adopts it too: executing a program makes an ordinary child of any.
//!
//! Between `clone` and `exec` the other threads of the host run, and may hold any lock: nothing here allocates, locks,
//! panics or waits. All signals are blocked meanwhile, as their handlers would run in the host's memory.

use channel::Descriptor;
use nix::libc::{self, c_char, c_int, c_void};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the control socket is in the program.
const CONTROL: c_int = 3;
/// Above what is put in place.
const ASIDE: c_int = 10;
/// Stack of each of the two, bytes.
const STACK_BYTES: usize = 64 << 10;
/// Numbers that are closed one by one where the system has no call for all; higher ones stay if they are not closed on exec.
const CLOSED_MAX_COUNT: c_int = 65_536;
/// The kernel's highest signal.
const SIGNAL_MAX: c_int = 64;
/// Neither an error nor success.
const UNKNOWN: i32 = -1;

/// What is to be executed, and with what.
pub(crate) struct Program<'a> {
    /// Its path.
    pub(crate) path: CString,
    /// With its name.
    pub(crate) arguments: Vec<CString>,
    /// `NAME=value` each.
    pub(crate) environment: Vec<CString>,
    /// Becomes descriptor 3.
    pub(crate) control: BorrowedFd<'a>,
    /// Become the standard streams; the last may be a file of logs.
    pub(crate) streams: [BorrowedFd<'a>; 3],
}

/// A program that was executed.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// To end it without ending whoever gets its number; `None` on an old kernel.
    process: Option<Descriptor>,
}

/// A direct child without a signal.
#[derive(Debug)]
struct Child(libc::pid_t);

/// All that the processes on the way need, made before.
struct Plan {
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    control: RawFd,
    streams: [RawFd; 3],
    stack: *mut c_void,
    /// Of the daemon, or 0.
    pid: AtomicI32,
    /// Of the daemon, in the caller's table; below 0 when there is none.
    process: AtomicI32,
    /// Why there is no daemon; 0.
    clone_error: AtomicI32,
    /// Why it did not execute its program.
    exec_error: AtomicI32,
}

/// Executes a program as nobody's child.
///
/// # Errors
/// When no process can be had, or the program cannot be executed.
pub(crate) fn spawn(program: &Program<'_>) -> io::Result<Spawned> {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&program.arguments), pointers(&program.environment));
    // Sixteen bytes each, which is how a stack begins.
    let mut stacks = [vec![0_u128; STACK_BYTES / 16], vec![0_u128; STACK_BYTES / 16]];
    let [first, second] = stacks.each_mut().map(|stack| stack.as_mut_ptr_range().end.cast::<c_void>());
    let plan = Plan {
        path: program.path.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        control: program.control.as_raw_fd(),
        streams: program.streams.map(|stream| stream.as_raw_fd()),
        stack: second,
        pid: AtomicI32::new(0),
        process: AtomicI32::new(UNKNOWN),
        clone_error: AtomicI32::new(0),
        exec_error: AtomicI32::new(0),
    };
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let intermediate = clone_intermediate(&plan, first);
    mask.thread_set_mask()?;
    // A moment: it had ended when we went on.
    intermediate?.reap();
    let Plan { pid, process, clone_error, exec_error, .. } = plan;
    let [pid, process, clone_error, exec_error] =
        [pid, process, clone_error, exec_error].map(AtomicI32::into_inner);
    if clone_error != 0 {
        return Err(io::Error::from_raw_os_error(clone_error));
    }
    if pid == 0 {
        return Err(io::Error::other("the process on the way to it was ended"));
    }
    let process = (process >= 0).then(|| Descriptor::new(own(process)));
    if exec_error != 0 {
        return Err(io::Error::from_raw_os_error(exec_error));
    }
    Ok(Spawned { process })
}

impl Spawned {
    /// Ends it at once, where that cannot hit another.
    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL).ok();
        }
    }
}

impl Child {
    /// Waits for its end.
    #[expect(unsafe_code, reason = "there is no safe call that waits for a child without a signal alone")]
    fn reap(self) {
        loop {
            // SAFETY: no pointer is passed on.
            let pid = unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::__WCLONE) };
            // Otherwise reaped, by us or by a host that waits for everything there is.
            if pid != UNKNOWN || errno() != libc::EINTR {
                return;
            }
        }
    }
}

#[expect(unsafe_code, reason = "a number that the kernel wrote")]
fn own(process: RawFd) -> OwnedFd {
    // SAFETY: the kernel put it into this table for us, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(process) }
}

fn errno() -> c_int {
    nix::errno::Errno::last_raw()
}

/// The process on the way, which is gone when this returns. It has our table of descriptors, so that the daemon's process
/// descriptor is put there.
#[expect(unsafe_code, reason = "there is no safe call that makes a process without a signal")]
fn clone_intermediate(plan: &Plan, stack: *mut c_void) -> io::Result<Child> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let plan: *const Plan = plan;
    // SAFETY: this thread stands still until the process has ended, so that the stack and the plan outlive it, and it is alone
    // in what it writes, `errno` of this thread included. What it calls may be called there (see `intermediate`).
    let pid = unsafe { libc::clone(intermediate, stack, flags, plan.cast_mut().cast()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Child(pid)) }
}

extern "C" fn intermediate(plan: *mut c_void) -> c_int {
    #[expect(unsafe_code, reason = "handed over as a pointer")]
    // SAFETY: from `clone_intermediate`.
    let plan = unsafe { &*plan.cast_const().cast::<Plan>() };
    clone_daemon(plan);
    0
}

/// The daemon. Returns when it has executed its program, or ended. Callable where nothing may be locked or allocated.
#[expect(unsafe_code, reason = "there is no safe call that makes a process without a signal")]
fn clone_daemon(plan: &Plan) {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    let (process, plan_pointer) = (plan.process.as_ptr(), std::ptr::from_ref(plan));
    // SAFETY: as in `clone_intermediate`; the process descriptor's place is the plan's too. Kernels before 5.2 do not know of such
    // descriptors, and leave the place as it is.
    let pid = unsafe { libc::clone(daemon, plan.stack, flags, plan_pointer.cast_mut().cast(), process) };
    match pid {
        UNKNOWN => plan.clone_error.store(errno(), Ordering::Relaxed),
        pid => plan.pid.store(pid, Ordering::Relaxed),
    }
}

/// Puts everything in its place and executes the program.
#[expect(unsafe_code, reason = "what may be called here is the system's alone")]
extern "C" fn daemon(plan: *mut c_void) -> c_int {
    // SAFETY: from `clone_daemon`; every call is one that may be made in a child that shares its parent's memory, with
    // pointers of the plan or of this stack. Descriptors and actions of signals are this process's own.
    unsafe {
        let plan = &*plan.cast_const().cast::<Plan>();
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=SIGNAL_MAX {
            // Fails for those that cannot be changed.
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
        libc::setsid();
        let [input, output, errors] = plan.streams;
        let mut aside = [input, output, errors, plan.control];
        for fd in &mut aside {
            *fd = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, ASIDE);
        }
        for (number, fd) in (0..).zip(aside) {
            if libc::dup2(fd, number) < 0 {
                plan.exec_error.store(errno(), Ordering::Relaxed);
                return 1;
            }
        }
        close_from(CONTROL + 1);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(plan.path, plan.arguments, plan.environment);
        plan.exec_error.store(errno(), Ordering::Relaxed);
    }
    1
}

/// Callable where nothing may be locked or allocated.
#[expect(unsafe_code, reason = "there is no safe call that closes by number")]
fn close_from(first: c_int) {
    // SAFETY: in the daemon alone, whose table is its own and which uses none of them.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) == 0 {
            return;
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let last = c_int::try_from(limit.rlim_cur).unwrap_or(CLOSED_MAX_COUNT).min(CLOSED_MAX_COUNT);
        for number in first..last {
            libc::close(number);
        }
    }
}
