//! Real clients, run as their users run them.

use crate::{BOUND, agent::inherited, folder, installed};
use serde_json::Value;
use std::{path::PathBuf, process::Stdio, sync::OnceLock};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A client program that runs.
#[derive(Debug)]
pub struct Client {
    child: Child,
    output: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

/// What a client says it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Every span's id.
    pub spans: Vec<u64>,
    /// How many of them statistics count.
    pub counted: u64,
}

/// A Python program of `e2e/clients` with its variables.
pub fn python(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Client {
    start(installed("venv/bin/python"), script, arguments, variables)
}

/// A Node program of `e2e/clients` with its variables.
pub fn node(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Client {
    let modules = installed("node/node_modules").display().to_string();
    let variables = [&[("E2E_NODE_MODULES", modules.as_str())], variables].concat();
    start("node".into(), script, arguments, &variables)
}

/// The Go program of `e2e/clients`, compiled with the packaged client when it has not been.
pub fn go(arguments: &[&str]) -> Client {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    let program = COMPILED.get_or_init(|| {
        let program = folder().join(".deps/go/client");
        let mut command = std::process::Command::new("go");
        command.arg("build").arg("-o").arg(&program).arg(folder().join("clients/statsd_client.go"));
        command.env_clear().envs(inherited()).env("GO111MODULE", "off");
        command
            .env("GOPATH", installed("go/usr/share/gocode"))
            .env("GOCACHE", folder().join(".deps/go/cache"));
        assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
        program
    });
    launch(Command::new(program), arguments, &[])
}

/// The mini agent's own binary, as its package brings it.
pub(crate) fn mini_agent() -> PathBuf {
    let inside = "datadog_serverless_compat/bin/linux-amd64/datadog-serverless-compat";
    let libraries = std::fs::read_dir(installed("venv/lib")).expect("a folder").flatten();
    let found =
        libraries.map(|python| python.path().join("site-packages").join(inside)).find(|path| path.exists());
    found.expect("the mini agent: run e2e/setup")
}

fn start(program: PathBuf, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Client {
    let mut command = Command::new(program);
    command.arg(folder().join("clients").join(script));
    launch(command, arguments, variables)
}

fn launch(mut command: Command, arguments: &[&str], variables: &[(&str, &str)]) -> Client {
    command.args(arguments);
    command.env_clear().envs(inherited()).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the client starts");
    let output = BufReader::new(child.stdout.take().expect("its output")).lines();
    Client { child, output }
}

impl Client {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running client")
    }

    /// Waits for the line that says what it sent.
    ///
    /// # Panics
    /// When it ends, or a minute passes, without.
    pub async fn sent(&mut self) -> Sent {
        let said = self.said().await;
        let ids = said["spans"].as_array().expect("ids").iter();
        // Ids of Node are text: its numbers end at 2^53.
        let id = |id: &Value| id.as_u64().or_else(|| id.as_str()?.parse().ok()).expect("an id");
        Sent { spans: ids.map(id).collect(), counted: said["counted"].as_u64().unwrap_or(0) }
    }

    /// Waits for the line of JSON that it prints.
    ///
    /// # Panics
    /// When it ends, or a minute passes, without.
    pub async fn said(&mut self) -> Value {
        let line = timeout(BOUND, async {
            loop {
                match self.output.next_line().await {
                    Ok(Some(line)) if line.starts_with('{') => return line,
                    Ok(Some(_)) => {}
                    other => panic!("the client said nothing: {other:?}"),
                }
            }
        });
        let line = line.await.expect("what it sent within a minute");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it fails, or does not end within a minute.
    pub async fn ends(mut self) {
        let status = timeout(BOUND, self.child.wait()).await.expect("its end within a minute");
        assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{status:?}");
    }
}
