//! What a sandbox refuses: `execve`, new processes, memory files, more processes of a user. `auto` means a thread then, each
//! time, and nothing is lost.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    full,
    php::{Mode, Php, Script, is_root},
};
use testkit::Backend;

/// How often each is tried.
fn times() -> u32 {
    if full() { 100 } else { 5 }
}

/// `refuse([number => error], …)` as a filter of system calls for the rest of this process's life. With `$threads_only`, `clone`
/// makes threads and nothing else.
const REFUSE: &str = r#"
function refuse(array $calls, bool $threads_only = false) {
    $libc = FFI::cdef('
        struct sock_filter { uint16_t code; uint8_t jt; uint8_t jf; uint32_t k; };
        struct sock_fprog { unsigned short len; struct sock_filter *filter; };
        int prctl(int option, unsigned long a, void *b, unsigned long c, unsigned long d);', 'libc.so.6');
    $program = [[0x20, 0, 0, 0]];
    foreach ($calls as $number => $error) {
        $program[] = [0x15, 0, 1, $number];
        $program[] = [0x06, 0, 0, 0x00050000 | $error];
    }
    if ($threads_only) {
        // clone: its flags, of which CLONE_THREAD.
        array_push($program, [0x15, 0, 3, 56], [0x20, 0, 0, 16], [0x45, 1, 0, 0x10000], [0x06, 0, 0, 0x00050001]);
    }
    $program[] = [0x06, 0, 0, 0x7fff0000];
    $filter = $libc->new('struct sock_filter[' . count($program) . ']');
    foreach ($program as $i => $line) {
        foreach (['code', 'jt', 'jf', 'k'] as $place => $field) { $filter[$i]->$field = $line[$place]; }
    }
    $whole = $libc->new('struct sock_fprog');
    $whole->len = count($program);
    $whole->filter = FFI::addr($filter[0]);
    if ($libc->prctl(38, 1, null, 0, 0) !== 0 || $libc->prctl(22, 2, FFI::addr($whole), 0, 0) !== 0) { exit(9); }
}
"#;
/// Twenty spans, one of them too big for a datagram, and where they went.
const WORK: &str = r#"
for ($i = 0; $i < 20; $i++) {
    Lastlight\start_span('work', ['number' => (string) $i, 'text' => str_repeat('x', $i === 7 ? 24000 : 10)])->finish();
    if ($i === 7) {
        $outer = Lastlight\start_span('outer');
        for ($j = 0; $j < 30; $j++) { Lastlight\start_span('inner', ['text' => str_repeat('y', 20000)])->finish(); }
        $outer->finish();
    }
}
Lastlight\flush(20000);
echo Lastlight\status()['mode'];
"#;
/// Of [`WORK`].
const SPANS: u64 = 20 + 1 + 30;

async fn works(what: &str, script: &Script, backend: &Backend, refusal: &str, mode: &str) {
    for time in 0..times() {
        backend.reset();
        let mut ran = script.run(&format!("{REFUSE} {refusal} {WORK}"));
        let status = ran.ends().await;
        let told = format!("{what}, time {time}: {status}: {}: {}", ran.stdout(), ran.said());
        assert!(status.success(), "{told}");
        ran.wait_gone().await;
        assert_eq!(ran.stdout(), mode, "{told}");
        assert_eq!(backend.span_count(), SPANS, "{told}");
        assert_eq!(backend.duplicates(), [0; 0], "{told}");
        let lines: Vec<_> =
            ran.said().lines().filter(|line| line.contains("lastlight")).map(str::to_owned).collect();
        // One line, and only where there is something to say.
        assert_eq!(lines.len(), usize::from(mode == "thread"), "{told}");
    }
}

fn script(php: &Php, backend: &Backend) -> Script {
    Script::new(php, backend, Mode::Auto).ini("ffi.enable=true").ini("lastlight.log_level=warn")
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_refused_auto_is_a_subprocess() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    works("nothing", &script(&php, &backend), &backend, "", "subprocess").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_programs_may_not_be_executed_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    works("execve", &script(&php, &backend), &backend, "refuse([59 => 1, 322 => 1]);", "thread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_may_be_no_more_processes_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    // clone3 is not there, as container engines have it: its flags cannot be looked at.
    let refusal = "refuse([57 => 1, 58 => 1, 435 => 38], true);";
    works("clone", &script(&php, &backend), &backend, refusal, "thread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_may_be_no_memory_files_nothing_is_lost() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    works("memfd_create", &script(&php, &backend), &backend, "refuse([319 => 1]);", "subprocess").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_of_it_is_permitted_auto_is_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    let backend = Backend::start().await;
    // And neither a table of descriptors of its own: close_range and unshare.
    let refusal =
        "refuse([57 => 1, 58 => 1, 435 => 38, 59 => 1, 322 => 1, 319 => 1, 436 => 1, 272 => 1], true);";
    works("everything", &script(&php, &backend), &backend, refusal, "thread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_have_one_more_task_gets_a_thread() {
    let Some(php) = Php::at_hand() else { return };
    if !is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let backend = Backend::start().await;
    let (_keep, php) = php.for_all();
    // Nobody else is this user, so that the limit is of this script alone: itself and one more.
    let script = script(&php, &backend).through(&[
        "setpriv",
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
        "bash",
        "-c",
        "ulimit -u 2; exec \"$@\"",
        "sh",
    ]);
    works("RLIMIT_NPROC", &script, &backend, "", "thread").await;
}
