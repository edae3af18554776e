//! Filters of system calls, as containers have them.

use nix::libc;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const HAS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Places in what the kernel shows a filter.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;

fn step(code: u16, value: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt: yes, jf: no, k: value }
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

/// These calls are refused from now on, for this process and its children.
pub(crate) fn refuse(calls: &[libc::c_long]) {
    let mut steps = vec![step(LOAD, NUMBER, 0, 0)];
    for call in calls {
        steps.push(step(IS, *call as u32, 0, 1));
        steps.push(step(RETURN, errno(libc::EPERM), 0, 0));
    }
    install(steps);
}

/// New processes are refused, new threads are not.
pub(crate) fn refuse_processes() {
    let mut steps = vec![step(LOAD, NUMBER, 0, 0)];
    // The C library takes the older call then, whose flags can be seen.
    steps.push(step(IS, libc::SYS_clone3 as u32, 0, 1));
    steps.push(step(RETURN, errno(libc::ENOSYS), 0, 0));
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_fork, libc::SYS_vfork] {
        steps.push(step(IS, call as u32, 0, 1));
        steps.push(step(RETURN, errno(libc::EPERM), 0, 0));
    }
    steps.push(step(IS, libc::SYS_clone as u32, 0, 3));
    steps.push(step(LOAD, FIRST_ARGUMENT, 0, 0));
    steps.push(step(HAS, libc::CLONE_THREAD as u32, 1, 0));
    steps.push(step(RETURN, errno(libc::EPERM), 0, 0));
    install(steps);
}

fn install(mut steps: Vec<libc::sock_filter>) {
    steps.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program = libc::sock_fprog { len: steps.len().try_into().unwrap(), filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps live through the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}
