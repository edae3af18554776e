//! A PHP script of the command line.

use super::{
    Mode, Php, configure, end_all, folder_for_all,
    processes::{Process, of_folder},
    to_backend, until, until_or,
};
use crate::agent::inherited;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};
use tempfile::TempDir;
use testkit::Backend;

/// A script before it runs.
#[derive(Clone, Debug)]
pub struct Script {
    php: Php,
    program: Option<PathBuf>,
    before: Vec<String>,
    variables: Vec<(String, String)>,
    ini: Vec<String>,
}

impl Script {
    /// Sends everything to `backend`.
    pub fn new(php: &Php, backend: &Backend, mode: Mode) -> Self {
        let script = Self {
            php: php.clone(),
            program: None,
            before: Vec::new(),
            variables: to_backend(&backend.url()),
            ini: Vec::new(),
        };
        script.set("DD_TRACE_SIDECAR_CONNECTION_MODE", mode.name()).set("DD_SERVICE", "script")
    }

    /// Sets a variable.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(had, _)| had != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// A line of `php.ini`.
    pub fn ini(mut self, line: impl Into<String>) -> Self {
        self.ini.push(line.into());
        self
    }

    /// By a program and words before PHP, such as `setpriv` or `sh -c 'ulimit …; exec "$@"' sh`.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.program = Some(words[0].into());
        self.before = words[1..].iter().map(ToString::to_string).collect();
        self
    }

    /// Starts `php` with these words.
    pub fn words(&self, words: &[&str]) -> Ran {
        let folder = folder_for_all();
        let scan = configure(&self.php, folder.path(), &self.ini);
        let mut command = match &self.program {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(&self.before).arg(self.php.command_line());
                command
            }
            None => Command::new(self.php.command_line()),
        };
        command.args(words).env_clear().envs(inherited());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("PHP_INI_SCAN_DIR", scan).env("LASTLIGHT_E2E_FOLDER", folder.path());
        command.current_dir(folder.path()).stdin(Stdio::null());
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).expect("a file");
        command.stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("php starts");
        Ran { child, folder }
    }

    /// Starts a script.
    pub fn run(&self, script: &str) -> Ran {
        self.words(&["-d", "display_errors=stderr", "-r", script])
    }
}

/// A script that runs. Ended with all that it started when dropped.
#[derive(Debug)]
pub struct Ran {
    child: Child,
    folder: TempDir,
}

impl Ran {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working folder; `shared` in it is for all users.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everybody whom it started and who still runs, and itself.
    pub fn processes(&self) -> Vec<Process> {
        of_folder(self.folder())
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.folder().join("stdout")).unwrap_or_default()
    }

    /// What it said so far, on standard error and in its log.
    pub fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder().join(name)).unwrap_or_default();
        read("stderr") + &read("php.log")
    }

    /// Waits until it printed something.
    pub async fn prints(&self, what: &str) {
        let found = || self.stdout().contains(what).then_some(());
        until_or(what, found, || self.stdout() + &self.said()).await;
    }

    /// Waits for its end; that of its descendants may come later.
    pub async fn ends(&mut self) -> ExitStatus {
        until("the end of a script", || self.child.try_wait().expect("its status")).await
    }

    /// Waits until everybody has ended.
    pub async fn wait_gone(&mut self) {
        self.ends().await;
        let told = || format!("{:#?}\n{}", self.processes(), self.said());
        until_or("everybody's end", || self.processes().is_empty().then_some(()), told).await;
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        drop(self.child.kill());
        end_all(self.folder.path());
        drop(self.child.wait());
    }
}
