//! Commands under lastlight, tini, dumb-init or nobody, with a bound on every wait.

#![allow(dead_code, reason = "each test file uses a part")]

use lastlight_e2e::{
    BOUND,
    agent::{binary, free_port, kill, variables},
    folder,
};
use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
};
use std::{
    future::Future,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use testkit::Backend;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

/// How often what no event tells is asked for.
const ASK_PERIOD: Duration = Duration::from_millis(2);
/// Commands at one time, of many.
const AT_ONE_TIME: usize = 4;
/// Of many that went wrong.
const SHOWN_MAX_COUNT: usize = 8;
/// Signals that do not end a process by default (CHLD, CONT, those that stop, URG, WINCH), and those of the C library.
const HARMLESS: [u8; 10] = [17, 18, 19, 20, 21, 22, 23, 28, 32, 33];

/// What a command runs under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Init {
    #[default]
    Lastlight,
    Tini,
    Dumb,
    /// Nothing: what it does by itself.
    Nobody,
}

impl Init {
    /// The words before the command's; none where it is not installed.
    fn words(self) -> Option<Vec<String>> {
        let packaged = |name: &str| {
            let path = Path::new("/usr/bin").join(name);
            path.exists().then(|| vec![path.display().to_string(), "--".into()])
        };
        match self {
            Self::Lastlight => Some(vec![binary().display().to_string(), "run".into(), "--".into()]),
            Self::Tini => packaged("tini"),
            Self::Dumb => packaged("dumb-init"),
            Self::Nobody => Some(Vec::new()),
        }
    }

    /// Whether it can be run; says so where it cannot.
    pub(crate) fn is_installed(self) -> bool {
        let installed = self.words().is_some();
        if !installed {
            eprintln!("skipped: no {self:?} here; Debian has it");
        }
        installed
    }

    /// Its name in `e2e/DIFFERENCES.md`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lastlight => "lastlight",
            Self::Tini => "tini",
            Self::Dumb => "dumb-init",
            Self::Nobody => "nobody",
        }
    }
}

/// In which world a command runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) init: Init,
    /// Its output goes through us to the intake.
    pub(crate) captured: bool,
    /// As process 1 of a PID namespace of its own.
    pub(crate) pid_1: bool,
    /// At a terminal, as `docker run -t` has it.
    pub(crate) terminal: bool,
    /// The agent's settings.
    variables: Vec<(String, String)>,
    /// A bash script that ends in `exec "$@"`.
    through: Option<String>,
    /// Options of `unshare`, where the world has namespaces of its own.
    namespaces: Vec<&'static str>,
    /// Other words than `lastlight run --`.
    words: Option<Vec<String>>,
}

impl World {
    /// lastlight with an API key and a backend, on free ports.
    pub(crate) fn new(backend: &Backend) -> Self {
        let mut world = Self::default();
        for (name, value) in variables(&backend.url(), free_port()) {
            world = world.set(name, &value);
        }
        world.set("DD_LOGS_CONFIG_LOGS_DD_URL", &backend.url()).set("DD_LOGS_PORT", &free_port().to_string())
    }

    /// Under another init.
    pub(crate) fn under(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// With the output captured, or not.
    pub(crate) fn captured(mut self, captured: bool) -> Self {
        self.captured = captured;
        self
    }

    /// As process 1, or not.
    pub(crate) fn pid_1(mut self, pid_1: bool) -> Self {
        self.pid_1 = pid_1;
        self
    }

    /// At a terminal, or not.
    pub(crate) fn terminal(mut self, terminal: bool) -> Self {
        self.terminal = terminal;
        self
    }

    /// Sets a variable.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Takes a variable away.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self
    }

    /// What a variable was set to.
    ///
    /// # Panics
    /// When it was not.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(had, _)| had == name).unwrap_or_else(|| panic!("{name}")).1
    }

    /// Starts it through a bash script that ends in `exec "$@"`.
    pub(crate) fn through(mut self, script: &str) -> Self {
        self.through = Some(script.into());
        self
    }

    /// In namespaces of its own, as options of `unshare`.
    pub(crate) fn namespaces(mut self, options: &[&'static str]) -> Self {
        self.namespaces = options.to_vec();
        self
    }

    /// By other words than `lastlight run --`.
    pub(crate) fn words(mut self, words: &[&str]) -> Self {
        self.words = Some(words.iter().map(ToString::to_string).collect());
        self
    }

    /// The eight worlds: captured or not, process 1 or not, at a terminal or not; the plain one first.
    pub(crate) fn all(&self) -> Vec<Self> {
        let world =
            |bits: u8| self.clone().captured(bits & 1 != 0).pid_1(bits & 2 != 0).terminal(bits & 4 != 0);
        let permitted = may_have_pid_namespaces();
        (0..8).map(world).filter(|world| permitted || !world.pid_1).collect()
    }

    /// A name for messages.
    pub(crate) fn name(&self) -> String {
        let Self { init, captured, pid_1, terminal, .. } = self;
        let parts = [(*captured, "captured"), (*pid_1, "PID 1"), (*terminal, "at a terminal")];
        let parts: Vec<_> = parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        format!("{} ({})", init.name(), parts.join(", "))
    }

    /// The command in this world.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut all = Vec::new();
        let mut namespaces = self.namespaces.clone();
        if self.pid_1 {
            namespaces.extend(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        if !namespaces.is_empty() {
            all.extend(["unshare", "--user", "--map-root-user"].map(str::to_owned));
            all.extend(namespaces.iter().map(ToString::to_string));
        }
        if self.terminal {
            // As a container's runtime does: what runs leads a session, and its terminal is nobody else's.
            all.extend(["setsid", "--ctty"].map(str::to_owned));
        }
        if let Some(script) = &self.through {
            all.extend(["bash", "-c", script, "bash"].map(str::to_owned));
        }
        let ours = || self.init.words().expect("an init that is installed");
        all.extend(self.words.clone().unwrap_or_else(ours));
        all.extend(words.iter().map(ToString::to_string));
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).env_clear().envs(inherited()).env("SHELL", "/bin/sh").kill_on_drop(true);
        if self.init == Init::Lastlight {
            command.envs(self.variables.iter().map(|(name, value)| (name, value)));
            command.env("DD_LOGS_ENABLED", self.captured.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Ended {
        let command = self.command(words);
        if self.terminal { at_a_terminal(command).await } else { output(command).await }
    }

    /// Runs it to its end with something on its standard input.
    pub(crate) async fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("its input");
        let writing = async {
            // Who does not read it all does not have to.
            drop(stdin.write_all(input).await);
            drop(stdin);
        };
        let (_, output) = tokio::join!(writing, timeout(BOUND, child.wait_with_output()));
        Ended::of(output.expect("its end within a minute").expect("its output"))
    }

    /// Starts it.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::of(self.command(words))
    }
}

/// Runs a command to its end and that of its outputs.
pub(crate) async fn output(mut command: Command) -> Ended {
    let output = timeout(BOUND, command.output()).await;
    Ended::of(output.unwrap_or_else(|_| panic!("no end: {command:?}")).expect("it starts"))
}

/// The same with a terminal of its own for all three streams.
async fn at_a_terminal(mut command: Command) -> Ended {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
    let path = ptsname_r(&master).expect("its name");
    let mut slave = std::fs::OpenOptions::new();
    slave.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
    let mut stty = Command::new("stty");
    stty.args(["rows", "24", "cols", "80"]).stdin(slave.open(&path).expect("a stream"));
    assert!(stty.status().await.is_ok_and(|status| status.success()), "a terminal's size");
    drop(stty);
    for stream in [Command::stdin, Command::stdout, Command::stderr] {
        stream(&mut command, slave.open(&path).expect("a stream"));
    }
    let mut child = command.spawn().expect("it starts");
    // Its descriptors of the terminal, or there is no end of what is written to it.
    drop(command);
    let reading = tokio::task::spawn_blocking(move || {
        let (mut terminal, mut text) = (master, Vec::new());
        // Ends by an error, when the last has closed it.
        drop(terminal.read_to_end(&mut text));
        text
    });
    let status = timeout(BOUND, child.wait()).await.expect("its end within a minute").expect("its status");
    let stdout = timeout(BOUND, reading).await.expect("the end of its output").expect("its output");
    Ended { status, stdout, stderr: String::new(), stderr_bytes: Vec::new() }
}

/// What a command left.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The same before it became text.
    pub(crate) stderr_bytes: Vec<u8>,
}

impl Ended {
    fn of(output: std::process::Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { status: output.status, stdout: output.stdout, stderr, stderr_bytes: output.stderr }
    }

    /// Its exit code, as a shell has it.
    pub(crate) fn code(&self) -> i32 {
        code(self.status)
    }

    /// Its output as text, without what a terminal adds.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace('\r', "")
    }
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}\nstdout: {:.2000}\nstderr: {:.2000}", self.status, self.text(), self.stderr)
    }
}

/// An exit code, as a shell has it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"))
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
    changes: watch::Receiver<()>,
    _reader: JoinSet<()>,
}

impl Running {
    /// Starts a command.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut from = child.stderr.take().expect("its messages");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (changed, changes) = watch::channel(());
        let (mut reader, into) = (JoinSet::new(), Arc::clone(&stderr));
        reader.spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut piece).await {
                let text = String::from_utf8_lossy(&piece[..length]).into_owned();
                into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                changed.send_replace(());
            }
        });
        Self { child, stdout, stderr, changes, _reader: reader }
    }

    /// Its process id; that of what runs as process 1 is [`Self::inner`].
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a running command")
    }

    /// The process id of the init, here outside.
    pub(crate) async fn init(&self, world: &World) -> u32 {
        if world.pid_1 { self.inner().await } else { self.pid() }
    }

    /// The process id of the first child, by which process 1 of a namespace is known outside.
    async fn inner(&self) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let mut found = None;
        until("a child", || {
            found = std::fs::read_to_string(&path).ok()?.split(' ').next()?.parse().ok();
            found
        })
        .await
    }

    /// Sends a signal by name or number.
    pub(crate) async fn signal(&self, signal: &str) {
        kill(self.pid(), signal).await;
    }

    /// Its next line.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(BOUND, self.stdout.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("no line: {}", self.said())).expect("a line");
        line.unwrap_or_else(|| panic!("it ended: {}", self.said()))
    }

    /// What is on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it says something on standard error.
    pub(crate) async fn says(&mut self, what: &str) {
        let said = timeout(BOUND, async {
            loop {
                if self.said().contains(what) {
                    return true;
                }
                if self.changes.changed().await.is_err() {
                    return self.said().contains(what);
                }
            }
        });
        assert!(said.await.unwrap_or(false), "it never said {what:?}: {}", self.said());
    }

    /// Its standard input, where that was asked for.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("its input")
    }

    /// Waits for the end of the process, not of its outputs: its exit code.
    pub(crate) async fn ends(&mut self) -> i32 {
        let status = timeout(BOUND, self.child.wait()).await;
        code(status.unwrap_or_else(|_| panic!("no end: {}", self.said())).expect("its status"))
    }
}

/// Asks again and again for what no event tells.
pub(crate) async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let found = timeout(BOUND, async {
        let mut again = tokio::time::interval(ASK_PERIOD);
        loop {
            if let Some(found) = ask() {
                return found;
            }
            again.tick().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("it never came: {what}"))
}

/// Runs many things, some at a time; panics with all that went wrong.
pub(crate) async fn all<F: Future<Output = Result<(), String>> + Send + 'static>(
    runs: impl IntoIterator<Item = F>,
) {
    let places = Arc::new(Semaphore::new(AT_ONE_TIME));
    let mut tasks = JoinSet::new();
    for run in runs {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            run.await
        });
    }
    let mut wrong = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        wrong.extend(ended.expect("a run").err());
    }
    let shown = &wrong[..wrong.len().min(SHOWN_MAX_COUNT)];
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), shown.join("\n"));
}

/// Signals that end a process by default; of the real-time ones a few.
pub(crate) fn deadly() -> impl Iterator<Item = u8> {
    (1..=31).chain([34, 35, 50, 63, 64]).filter(|number| !HARMLESS.contains(number))
}

/// A shell that ends itself by a signal, without a core file.
pub(crate) fn suicide(number: u8) -> String {
    format!("ulimit -c 0; kill -{number} $$; while :; do read x; done")
}

/// Whether PID namespaces may be made; says so where they may not.
pub(crate) fn may_have_pid_namespaces() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"]);
        let may = unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !may {
            eprintln!("skipped: nothing runs as process 1 here, as unshare may not make a PID namespace");
        }
        may
    })
}

/// The Python of `e2e/setup`.
pub(crate) fn python() -> String {
    let path = folder().join(".deps/venv/bin/python");
    assert!(path.exists(), "{} is missing: run e2e/setup", path.display());
    path.display().to_string()
}

/// The modules of `e2e/setup` for Node.
pub(crate) fn node_modules() -> String {
    folder().join(".deps/node/node_modules").display().to_string()
}

/// A fact of `/proc/<pid>/status`.
pub(crate) fn fact(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Writes a file that can be run.
pub(crate) fn script(path: PathBuf, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    path.display().to_string()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test hands on where programs are, and nothing that configures"
)]
fn inherited() -> Vec<(&'static str, String)> {
    ["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect()
}
