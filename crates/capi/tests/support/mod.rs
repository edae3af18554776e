//! The library as C programs get it: built, linked, run against a scripted backend, with a bound on every wait.

#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testkit::Backend;

/// How long a host may run, seconds.
const HOST_MAX_SECONDS: &str = "120";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace").to_owned()
}

/// Where the libraries and the program `lastlight` are, built as the tests are (`target/<profile>/deps/<test>`).
///
/// Cargo builds no library of C for tests.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of the test");
        let profile = test.ancestors().nth(2).expect("a target folder").to_owned();
        // One after the other: together the library would get the features of the program (`signals` of the agent).
        for package in ["lastlight", "lastlight-capi"] {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--offline", "--package", package]);
            cargo.arg("--target-dir").arg(profile.parent().expect("a target folder"));
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            run_well(cargo.current_dir(root()));
        }
        profile
    })
}

/// How a host gets the library.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    Shared,
    Static,
    /// By `dlopen`.
    Late,
}

/// What the static library needs besides itself: `rustc --print native-static-libs`. The first keeps what it exports to itself.
pub(crate) const STATIC_LIBS: [&str; 8] =
    ["-Wl,--exclude-libs,ALL", "-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// Compiles a program of one file, in C99 or C++11, without a warning.
pub(crate) fn compile(source: &str, link: Link, flags: &[&str]) -> PathBuf {
    let source = root().join(source);
    let name = source.file_stem().expect("a name").to_string_lossy().into_owned();
    // What runs cannot be written over.
    static UNIQUE: AtomicU32 = AtomicU32::new(0);
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let test = std::env::current_exe().expect("the path of the test");
    let test = test.file_stem().expect("a name").to_string_lossy().into_owned();
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{link:?}-{unique}-{test}"));
    let is_cpp = source.extension() == Some(OsStr::new("cpp"));
    let mut compiler = Command::new(if is_cpp { "c++" } else { "cc" });
    compiler.arg(if is_cpp { "-std=c++11" } else { "-std=c99" });
    compiler.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-pthread"]).args(flags);
    compiler.arg("-I").arg(root().join("crates/capi/include")).arg(&source).arg("-o").arg(&program);
    match link {
        Link::Shared => {
            compiler
                .arg(built().join("liblastlight.so"))
                .arg(format!("-Wl,-rpath,{}", soname_folder().display()));
        }
        Link::Static => {
            compiler.arg(built().join("liblastlight.a")).args(STATIC_LIBS);
        }
        Link::Late => {
            compiler.arg("-ldl");
        }
    }
    run_well(&mut compiler);
    program
}

/// A folder in which the shared library has the name that programs look for.
pub(crate) fn soname_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soname");
    std::fs::create_dir_all(&folder).expect("a folder");
    let link = folder.join("liblastlight.so.0");
    if std::fs::read_link(&link).ok().is_none_or(|to| to != built().join("liblastlight.so")) {
        // Another test may be at it; what counts is that it is there.
        std::fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(built().join("liblastlight.so"), &link).ok();
    }
    folder
}

/// Runs a command that has to succeed; what it wrote.
pub(crate) fn run_well(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    output
}

/// What a command wrote.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether a program is installed; says so loudly where it is not.
pub(crate) fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: no {program} here; Debian has it");
    }
    is_there
}

/// A command that ends, with the settings by which the library sends everything to the backend, and nothing else of ours.
pub(crate) fn host(program: &Path, backend: &Backend, mode: &str) -> Command {
    let mut command = bounded(program);
    for name in ["DD_APM_DD_URL", "DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL", "DD_APM_TELEMETRY_DD_URL"] {
        command.env(name, backend.url());
    }
    command
        .env("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .env("DD_HOSTNAME", "capi")
        .env("DD_TRACE_SIDECAR_CONNECTION_MODE", mode)
        .env("LASTLIGHT_BINARY", built().join("lastlight"));
    command
}

fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", HOST_MAX_SECONDS]).arg(program).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
    command
}

/// A backend that acknowledges everything.
pub(crate) fn backend() -> Backend {
    Backend::start_with(testkit::backend::Options::default()).expect("a free port on loopback")
}

/// Waits until the backend has what is expected, as when a subprocess delivers it after its host has ended.
pub(crate) fn wait(backend: &Backend, condition: impl Fn(&Backend) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let waited = runtime.block_on(backend.wait_until(condition, Duration::from_secs(60)));
    waited.unwrap_or_else(|error| panic!("{error}"));
}

/// The modes in which everything has to work.
pub(crate) const MODES: [&str; 3] = ["auto", "subprocess", "thread"];
