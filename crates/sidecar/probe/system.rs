//! What hosts do, and what can be seen of a process.

use nix::libc;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `child` in a child process, which ends with it.
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: hosts do so; the C library makes allocator and threads usable in the child.
    match unsafe { libc::fork() } {
        0 => {
            let ended = catch_unwind(AssertUnwindSafe(child));
            // SAFETY: ends the process at once, as a child must that shares its parent's handlers.
            unsafe { libc::_exit(i32::from(ended.is_err())) }
        }
        pid => {
            assert!(pid > 0, "a process can be forked");
            pid
        }
    }
}

/// Whether a child ended as it should.
pub(crate) fn ended_well(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    unsafe { libc::waitpid(pid, &raw mut status, 0) == pid && status == 0 }
}

/// The error of a `wait` for any child.
pub(crate) fn wait_error() -> i32 {
    // SAFETY: no pointer is passed on.
    let result = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    if result == -1 { nix::errno::Errno::last_raw() } else { 0 }
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: no pointer is passed on.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Ends this process as a host ends that is done.
pub(crate) fn exit() -> ! {
    // SAFETY: as `exit` of C, which runs what was asked for at exit.
    unsafe { libc::exit(0) }
}

static CHILDREN_ENDED: AtomicU32 = AtomicU32::new(0);

extern "C" fn child_ended(_: libc::c_int) {
    CHILDREN_ENDED.fetch_add(1, Ordering::Relaxed);
}

/// Counts signals of children's ends from now on.
pub(crate) fn count_children() {
    // SAFETY: the handler is callable in a signal.
    unsafe { libc::signal(libc::SIGCHLD, child_ended as *const () as libc::sighandler_t) };
}

pub(crate) fn children_ended() -> u32 {
    CHILDREN_ENDED.load(Ordering::Relaxed)
}

/// Becomes another user, who may have so many processes and threads.
pub(crate) fn limit_processes(uid: u32, count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: the limit lives through the call.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit), 0);
        assert_eq!(libc::setresuid(uid, uid, uid), 0);
    }
}

/// Closes everything but the standard streams, as hosts do that become daemons.
pub(crate) fn close_all() {
    // SAFETY: it is not safe; that is the point.
    unsafe { libc::syscall(libc::SYS_close_range, 3, i32::MAX, 0) };
}

/// Number and target of each descriptor.
pub(crate) fn descriptors() -> BTreeMap<i32, String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?.display().to_string();
            Some((entry.file_name().to_str()?.parse().ok()?, target))
        })
        .filter(|(_, target): &(i32, String)| !target.ends_with("/fd"))
        .collect()
}

/// Name and blocked signals of each thread but the first.
pub(crate) fn threads() -> Vec<(String, u64)> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        if entry.file_name().to_str() == Some(&std::process::id().to_string()) {
            continue;
        }
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        threads.push((field("Name:"), u64::from_str_radix(&field("SigBlk:"), 16).unwrap_or_default()));
    }
    threads
}

/// Whether the thread of this name is in that system call.
pub(crate) fn is_in_call(name: &str, call: i64) -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.map(|task| task.path()).any(|task| {
        let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
        read("comm").trim_end() == name && read("syscall").split(' ').next() == Some(&call.to_string())
    })
}

/// The servers of a tree that are processes of their own, by a mark in their environment.
pub(crate) fn subprocesses(mark: &str) -> Vec<i32> {
    let of = |pid: i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let has_mark = environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes());
        (arguments == b"lastlight\0sidecar\0" && has_mark).then_some(pid)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(of).collect()
}
