//! A PHP-FPM of a test's own: its configuration, its master, its pools.

use super::{
    Mode, Php, configure, end_all,
    fastcgi::{self, Answer},
    folder_for_all, is_root, path,
    processes::{Listener, Process, meeting_places, of_folder},
    to_backend, until, until_or,
};
use crate::agent::{inherited, kill};
use std::{
    fmt::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;
use testkit::Backend;
use tokio::task::JoinSet;

/// Requests under way at one time.
const AT_ONE_TIME: usize = 8;
/// What FPM logs when its pools can be reached.
const READY: &str = "ready to handle connections";

/// How many workers a pool has, and when.
#[derive(Clone, Copy, Debug)]
pub enum Manager {
    /// So many, always.
    Static(u32),
    /// From one to so many, as they are needed.
    Dynamic(u32),
    /// Up to so many, when somebody asks, for a second.
    OnDemand(u32),
}

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: &'static str,
    /// Whose its workers are, where the master may choose.
    pub user: &'static str,
    /// Its workers.
    pub manager: Manager,
    /// Requests after which a worker ends; 0 never.
    pub max_requests: u32,
    /// Further lines of its section.
    pub lines: Vec<String>,
}

impl Pool {
    /// A pool of `www-data`'s.
    pub fn new(name: &'static str, manager: Manager) -> Self {
        Self { name, user: "www-data", manager, max_requests: 0, lines: Vec::new() }
    }

    /// Another user's.
    pub fn user(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    /// Whose workers end after so many requests.
    pub fn max_requests(self, max_requests: u32) -> Self {
        Self { max_requests, ..self }
    }

    fn section(&self, folder: &Path) -> String {
        let mut text = format!("[{}]\n", self.name);
        if is_root() {
            text += &format!("user = {0}\ngroup = {1}\n", self.user, group(self.user));
        }
        text += &format!("listen = {}\nlisten.mode = 0666\n", socket(folder, self.name).display());
        text += "listen.backlog = 1024\ncatch_workers_output = yes\ndecorate_workers_output = no\n";
        text += &match self.manager {
            Manager::Static(count) => format!("pm = static\npm.max_children = {count}\n"),
            Manager::Dynamic(count) => format!(
                "pm = dynamic\npm.max_children = {count}\npm.start_servers = 1\npm.min_spare_servers = 1\n\
                 pm.max_spare_servers = 1\n"
            ),
            Manager::OnDemand(count) => {
                format!("pm = ondemand\npm.max_children = {count}\npm.process_idle_timeout = 1s\n")
            }
        };
        text += &format!("pm.max_requests = {}\n", self.max_requests);
        for line in &self.lines {
            text += line;
            text.push('\n');
        }
        text
    }
}

fn group(user: &str) -> &str {
    if user == "nobody" { "nogroup" } else { user }
}

fn socket(folder: &Path, pool: &str) -> PathBuf {
    folder.join(format!("{pool}.socket"))
}

/// An FPM before it starts.
#[derive(Clone, Debug)]
pub struct Setup {
    php: Php,
    pools: Vec<Pool>,
    daemon: bool,
    variables: Vec<(String, String)>,
    ini: Vec<String>,
    global: Vec<String>,
    through: Vec<String>,
}

impl Setup {
    /// In the foreground, sending everything to `backend`.
    pub fn new(php: &Php, backend: &Backend, mode: Mode) -> Self {
        let setup = Self {
            php: php.clone(),
            pools: Vec::new(),
            daemon: false,
            variables: to_backend(&backend.url()),
            ini: Vec::new(),
            global: Vec::new(),
            through: Vec::new(),
        };
        setup.set("DD_TRACE_SIDECAR_CONNECTION_MODE", mode.name()).set("DD_SERVICE", "pools")
    }

    /// With a pool.
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pools.push(pool);
        self
    }

    /// In the background, as FPM is without `-F`.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// Sets a variable of the master.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Takes one away.
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self
    }

    /// A line of `php.ini`.
    pub fn ini(mut self, line: impl Into<String>) -> Self {
        self.ini.push(line.into());
        self
    }

    /// A line of the section `[global]`.
    pub fn global(mut self, line: impl Into<String>) -> Self {
        self.global.push(line.into());
        self
    }

    /// By a program and words before FPM, such as `sh -c 'ulimit …; exec "$@"' sh`.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(ToString::to_string).collect();
        self
    }

    fn lay_out(&self, scripts: &[(&str, &str)]) -> TempDir {
        let folder = folder_for_all();
        let place = folder.path();
        let mut text = format!("[global]\npid = {0}/fpm.pid\nerror_log = {0}/fpm.log\n", place.display());
        // A request that is being answered is answered, whatever ends or begins anew.
        text += "log_level = notice\nprocess_control_timeout = 30s\n";
        for line in &self.global {
            writeln!(text, "{line}").expect("text");
        }
        self.pools.iter().for_each(|pool| text += &pool.section(place));
        std::fs::write(place.join("fpm.conf"), text).expect("a file");
        std::fs::create_dir(place.join("www")).expect("a folder");
        for (name, script) in scripts {
            std::fs::write(place.join("www").join(name), script).expect("a file");
        }
        folder
    }

    /// The command that runs it in a folder.
    fn command(&self, folder: &Path, words: &[&str]) -> Command {
        let scan = configure(&self.php, folder, &self.ini);
        let program = self.php.fpm();
        let mut command = match self.through.split_first() {
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("-y").arg(folder.join("fpm.conf")).args(words);
        command.env_clear().envs(inherited()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("PHP_INI_SCAN_DIR", scan).env("LASTLIGHT_E2E_FOLDER", folder).current_dir(folder);
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("stderr.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.expect("a file"));
        command
    }

    /// Starts it with these scripts, and waits until it can be asked.
    pub async fn start(&self, scripts: &[(&str, &str)]) -> Fpm {
        let folder = self.lay_out(scripts);
        let mut command = self.command(folder.path(), &[if self.daemon { "-D" } else { "-F" }]);
        let child = command.spawn().expect("php-fpm starts");
        let mut fpm = Fpm { child, master: AtomicU32::new(0), setup: self.clone(), folder };
        if self.daemon {
            until("the end of what starts the daemon", || fpm.child.try_wait().expect("its status")).await;
        }
        until_or(READY, || fpm.log().contains(READY).then_some(()), || fpm.said()).await;
        let pid = std::fs::read_to_string(fpm.folder.path().join("fpm.pid")).expect("its pid file");
        fpm.master = AtomicU32::new(pid.trim().parse().expect("a pid"));
        fpm
    }

    /// Only checks its configuration (`php-fpm -t`): whether it is right, and what was said.
    pub fn check(&self) -> (bool, String, TempDir) {
        let folder = self.lay_out(&[]);
        let status = self.command(folder.path(), &["-t"]).status().expect("php-fpm starts");
        let said = said(folder.path());
        (status.success(), said, folder)
    }
}

/// Everything that was logged in a folder.
fn said(folder: &Path) -> String {
    let logs = ["stderr.log", "fpm.log", "php.log"].map(|name| folder.join(name));
    logs.iter().filter_map(|log| std::fs::read_to_string(log).ok()).collect()
}

/// A running FPM. Ended with all that it started when dropped.
#[derive(Debug)]
pub struct Fpm {
    child: Child,
    master: AtomicU32,
    setup: Setup,
    folder: TempDir,
}

impl Fpm {
    /// The master's id.
    pub fn master(&self) -> u32 {
        // A daemon that is reloaded becomes one again, by another fork.
        let pid = std::fs::read_to_string(self.folder.path().join("fpm.pid")).ok();
        if let Some(pid) = pid.and_then(|pid| pid.trim().parse().ok()).filter(|_| self.setup.daemon) {
            self.master.store(pid, Ordering::Relaxed);
        }
        self.master.load(Ordering::Relaxed)
    }

    /// Where its files are; workers may write in `shared`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All processes of it: master, workers, sidecar.
    pub fn processes(&self) -> Vec<Process> {
        of_folder(self.folder())
    }

    /// Its workers; one that was just forked does not say so yet.
    pub fn workers(&self) -> Vec<Process> {
        let mut all = self.processes();
        all.retain(|process| process.is_worker() || process.parent == self.master());
        all
    }

    /// Its sidecars that are processes.
    pub fn sidecars(&self) -> Vec<Process> {
        let mut all = self.processes();
        all.retain(Process::is_sidecar);
        all
    }

    /// The sockets at which its sidecars can be met.
    pub fn meeting_places(&self) -> Vec<Listener> {
        meeting_places(&self.processes())
    }

    /// What asks it.
    pub fn client(&self) -> Client {
        Client { folder: self.folder().to_owned() }
    }

    /// Sends a numbered request; the body of its answer.
    ///
    /// # Panics
    /// When it is not answered with 200.
    pub async fn request(&self, pool: &str, script: &str, number: u64) -> String {
        self.client().request(pool, script, number, &[]).await
    }

    /// Sends numbered requests for `index.php` to pools in turn, some at one time; the bodies of the answers.
    ///
    /// # Panics
    /// When one is not answered with 200.
    pub async fn requests(&self, pools: &[&'static str], numbers: Range<u64>) -> Vec<String> {
        let (mut asking, mut bodies) = (JoinSet::new(), Vec::new());
        for number in numbers {
            let (client, pool) = (self.client(), pools[number as usize % pools.len()]);
            asking.spawn(async move { client.request(pool, "index.php", number, &[]).await });
            if asking.len() >= AT_ONE_TIME {
                bodies.extend(asking.join_next().await.map(|body| body.expect("an answer")));
            }
        }
        bodies.extend(asking.join_all().await);
        bodies
    }

    /// Begins anew (`SIGUSR2`), without waiting for it.
    pub async fn reload(&self) {
        kill(self.master(), "USR2").await;
    }

    /// How often it was ready.
    pub fn ready_times(&self) -> usize {
        self.log().matches(READY).count()
    }

    /// Waits until it was ready so often.
    pub async fn wait_ready(&self, times: usize) {
        until("ready again", || (self.ready_times() >= times).then_some(())).await;
    }

    /// FPM's own log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("fpm.log")).unwrap_or_default()
    }

    /// Everything it and PHP logged.
    pub fn said(&self) -> String {
        said(self.folder())
    }

    /// Lines that the extension logged.
    pub fn lines(&self) -> Vec<String> {
        let said = self.said();
        said.lines().filter(|line| line.contains("lastlight")).map(str::to_owned).collect()
    }

    /// Sends the master a signal and waits until nobody is left: neither worker nor sidecar.
    pub async fn stop(&mut self, signal: &str) {
        kill(self.master(), signal).await;
        self.wait_gone().await;
    }

    /// Waits until the master has ended.
    pub async fn wait_master(&mut self) {
        let master = self.master();
        until("the end of the master", || {
            // Reaped where it is ours.
            drop(self.child.try_wait());
            Process::of(master).is_none().then_some(())
        })
        .await;
    }

    /// Waits until nobody is left.
    pub async fn wait_gone(&mut self) {
        self.wait_master().await;
        let told = || format!("{:#?}\n{}", self.processes(), self.said());
        until_or("everybody's end", || self.processes().is_empty().then_some(()), told).await;
    }

    fn master_or_child(&self) -> u32 {
        if self.master() == 0 { self.child.id() } else { self.master() }
    }

    /// How it was set up.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
}

/// What asks an FPM, from any task.
#[derive(Clone, Debug)]
pub struct Client {
    folder: PathBuf,
}

impl Client {
    /// Asks a pool for a script by a path, with further parameters.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn try_ask(
        &self,
        pool: &str,
        script: &str,
        path: &str,
        further: &[(&str, &str)],
    ) -> std::io::Result<Answer> {
        let file = self.folder.join("www").join(script).display().to_string();
        let mut parameters: Vec<(String, String)> = [
            ("SCRIPT_FILENAME", &*file),
            ("SCRIPT_NAME", path),
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", path),
            ("QUERY_STRING", path.split_once('?').map_or("", |(_, query)| query)),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_SCHEME", "http"),
            ("SERVER_NAME", "shop.example"),
            ("SERVER_PORT", "80"),
            ("HTTP_HOST", "shop.example"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        for (name, value) in further {
            parameters.retain(|(had, _)| had != name);
            parameters.push(((*name).to_owned(), (*value).to_owned()));
        }
        fastcgi::ask(&socket(&self.folder, pool), &parameters, b"").await
    }

    /// Sends a numbered request with further parameters; the body of its answer.
    ///
    /// # Panics
    /// When it is not answered with 200.
    pub async fn request(&self, pool: &str, script: &str, number: u64, further: &[(&str, &str)]) -> String {
        let answer = self.try_ask(pool, script, &path(number), further).await;
        let said = || said(&self.folder);
        let answer = answer.unwrap_or_else(|error| panic!("request {number}: {error}\n{}", said()));
        assert_eq!(answer.status, 200, "request {number}: {answer:?}\n{}", said());
        answer.body
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        // The master first, or it starts workers anew.
        drop(
            Command::new("kill")
                .args(["-KILL", &self.master_or_child().to_string()])
                .stderr(Stdio::null())
                .status(),
        );
        end_all(self.folder.path());
        drop(self.child.wait());
    }
}
