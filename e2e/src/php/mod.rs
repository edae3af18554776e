//! PHP with the extension: pools of FPM and scripts of the command line, and what `/proc` tells of them.

mod command_line;
pub mod fastcgi;
mod fpm;
pub mod processes;

pub use command_line::{Ran, Script};
pub use fpm::{Client, Fpm, Manager, Pool, Setup};

use crate::agent::INTAKES;
use crate::{BOUND, folder, variable};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};
use testkit::Backend;

/// How often what no event tells is asked for.
const ASK_PERIOD: Duration = Duration::from_millis(5);
/// The name of a request's root span.
pub const ROOT: &str = "web.request";
/// Before the number of a request in its path.
const NUMBERED: &str = "/request/";

/// How the extension reaches its sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A subprocess, else a thread.
    Auto,
    /// A process of its own.
    Subprocess,
    /// A thread of the host.
    Thread,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Subprocess, Self::Thread];

    /// As settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Subprocess => "subprocess",
            Self::Thread => "thread",
        }
    }

    /// Whether a machine on which nothing fails has a subprocess then.
    pub fn has_process(self) -> bool {
        self != Self::Thread
    }
}

/// What `e2e/setup-php` made.
#[derive(Clone, Debug)]
pub struct Php {
    folder: PathBuf,
}

impl Php {
    /// The extension, its binary and Debian's PHP; nothing where they are not, and it says so.
    pub fn at_hand() -> Option<Self> {
        static SAID: OnceLock<()> = OnceLock::new();
        let folder = variable("LASTLIGHT_PHP").unwrap_or_else(|| folder().join(".deps/php"));
        if folder.join("lastlight.so").exists() {
            return Some(Self { folder });
        }
        SAID.get_or_init(|| {
            eprintln!("skipped: no PHP extension in {}: run e2e/setup-php", folder.display())
        });
        None
    }

    /// The same files in a folder that every user may look into, which a checkout need not be.
    pub fn for_all(&self) -> (tempfile::TempDir, Self) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), all).expect("its permissions");
        for name in ["lastlight.so", "lastlight"] {
            std::fs::copy(self.folder.join(name), folder.path().join(name)).expect("a copy");
        }
        for program in [self.command_line(), self.fpm()] {
            let target = std::fs::canonicalize(&program).expect("a program");
            let name = program.file_name().expect("its name");
            std::os::unix::fs::symlink(target, folder.path().join(name)).expect("a link");
        }
        let php = Self { folder: folder.path().to_owned() };
        (folder, php)
    }

    /// The extension.
    pub fn extension(&self) -> PathBuf {
        self.folder.join("lastlight.so")
    }

    /// What it starts as a subprocess.
    pub fn binary(&self) -> PathBuf {
        self.folder.join("lastlight")
    }

    /// PHP of the command line.
    pub fn command_line(&self) -> PathBuf {
        self.folder.join("php")
    }

    /// PHP-FPM.
    pub fn fpm(&self) -> PathBuf {
        self.folder.join("php-fpm")
    }
}

/// Waits until something is there, asking for it every few milliseconds.
///
/// # Panics
/// When a minute passes without.
pub async fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_or(what, condition, String::new).await
}

/// The same with more to tell when it does not come.
///
/// # Panics
/// When a minute passes without.
pub async fn until_or<T>(
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
    told: impl FnOnce() -> String,
) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        if Instant::now() >= end {
            panic!("not within a minute: {what}: {}", told());
        }
        tokio::time::sleep(ASK_PERIOD).await;
    }
}

/// How often the root span of each numbered request arrived.
pub fn served(backend: &Backend) -> BTreeMap<u64, u32> {
    let mut served = BTreeMap::new();
    for span in backend.spans().iter().filter(|span| span.name == ROOT) {
        let url = span.meta.get("http.url").unwrap_or_else(|| panic!("no http.url: {span:?}"));
        let number =
            url.split_once(NUMBERED).and_then(|(_, rest)| rest.split(['/', '?']).next()?.parse().ok());
        *served.entry(number.unwrap_or_else(|| panic!("no number: {url}"))).or_default() += 1;
    }
    served
}

/// The path of a numbered request.
pub fn path(number: u64) -> String {
    format!("{NUMBERED}{number}")
}

/// Waits until so many root spans have arrived.
///
/// # Panics
/// When a minute passes without.
pub async fn wait_served(backend: &Backend, count: u64) {
    let arrived = backend.wait_until(|backend| backend.span_count() >= count, BOUND).await;
    arrived.unwrap_or_else(|error| panic!("of {count} requests: {error}; {}", told(&served(backend), count)));
}

/// Asserts that each of the first `count` requests arrived, and arrived once.
///
/// # Panics
/// When not.
pub fn assert_served(backend: &Backend, count: u64) {
    let served = served(backend);
    let twice = served.values().filter(|times| **times > 1).count();
    assert!(served.keys().copied().eq(0..count) && twice == 0, "{}", told(&served, count));
    assert_eq!(backend.duplicates(), [0; 0]);
    assert_eq!(backend.counts().undecodable, 0);
}

/// Asserts that the statistics count `count` root spans.
///
/// # Panics
/// When not.
pub fn assert_counted(backend: &Backend, count: u64) {
    let payloads = backend.stats();
    let roots = payloads.iter().flat_map(|payload| payload.groups()).filter(|group| group.name == ROOT);
    assert_eq!(roots.map(|group| group.hits).sum::<u64>(), count, "statistics of {ROOT}");
}

fn told(served: &BTreeMap<u64, u32>, count: u64) -> String {
    let missing: Vec<_> = (0..count).filter(|number| !served.contains_key(number)).collect();
    let twice: Vec<_> = served.iter().filter(|(_, times)| **times > 1).collect();
    let other: Vec<_> = served.keys().filter(|number| **number >= count).collect();
    let shown = |all: &[u64]| format!("{} {:?}", all.len(), &all[..all.len().min(8)]);
    format!("of {count} requests missing {}, twice {twice:.8?}, never asked for {other:.8?}", shown(&missing))
}

/// Where everything goes.
fn to_backend(url: &str) -> Vec<(String, String)> {
    let mut variables = vec![
        ("DD_API_KEY".to_owned(), "0123456789abcdef0123456789abcdef".to_owned()),
        ("DD_HOSTNAME".to_owned(), "e2e".to_owned()),
        ("LASTLIGHT_FLUSH_PERIOD".to_owned(), "100ms".to_owned()),
    ];
    for name in INTAKES.into_iter().chain(["DD_LOGS_CONFIG_LOGS_DD_URL"]) {
        variables.push((name.to_owned(), url.to_owned()));
    }
    variables
}

/// A configuration beside the system's own that loads the extension; the value of `PHP_INI_SCAN_DIR` that adds it.
fn configure(php: &Php, folder: &Path, lines: &[String]) -> String {
    let place = folder.join("conf.d");
    std::fs::create_dir_all(&place).expect("a folder");
    let log = folder.join("php.log");
    let mut text = format!("extension={}\nlog_errors=On\ndisplay_errors=Off\n", php.extension().display());
    text += &format!("error_log={}\n", log.display());
    for line in lines {
        text += line;
        text.push('\n');
    }
    std::fs::write(place.join("99-lastlight.ini"), text).expect("a file");
    // After the system's.
    format!(":{}", place.display())
}

/// A folder that everybody may enter.
fn folder_for_all() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new().prefix("e2e-php-").tempdir().expect("a folder");
    let permit = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its permissions");
    };
    permit(folder.path(), 0o755);
    std::fs::write(folder.path().join("php.log"), "").expect("a file");
    permit(&folder.path().join("php.log"), 0o666);
    std::fs::create_dir(folder.path().join("shared")).expect("a folder");
    permit(&folder.path().join("shared"), 0o777);
    folder
}

/// Ends what was started in a folder: it alone, each by its id.
fn end_all(folder: &Path) {
    // What is being started while we look is found in the next round.
    for _ in 0..20 {
        let left = processes::of_folder(folder);
        if left.is_empty() {
            return;
        }
        for process in left {
            let mut kill = Command::new("kill");
            kill.args(["-KILL", &process.pid.to_string()]).stderr(std::process::Stdio::null());
            drop(kill.status());
        }
    }
}

/// A page that says who answers.
pub const PAGE: (&str, &str) = (
    "index.php",
    "<?php header('Content-Type: application/json'); echo json_encode(['pid' => getmypid(), 'uid' => posix_geteuid()]);",
);
/// A page that is not done before the file that the parameter `GATE` names is there; `GATE` and `.begun` says that it waits.
pub const SLOW_PAGE: (&str, &str) = (
    "slow.php",
    "<?php touch($_SERVER['GATE'] . '.begun'); $end = microtime(true) + 50; \
     while (!file_exists($_SERVER['GATE']) && microtime(true) < $end) { usleep(2000); clearstatcache(); } \
     echo json_encode(['pid' => getmypid(), 'uid' => posix_geteuid()]);",
);

/// Whether the tests run as root.
pub fn is_root() -> bool {
    processes::Process::of(std::process::id()).is_some_and(|own| own.user == 0)
}
