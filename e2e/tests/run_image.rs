//! A container image's root from Debian's packages, entered as a container engine does: an own PID namespace, the
//! image's files, its environment; and in it what an image says in its `ENTRYPOINT`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;

use delivery::{Ended, Run, Running};
use lastlight_e2e::{
    agent::{binary, kill},
    folder,
};
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;
use testkit::Backend;

/// What the images run: a shell script that logs, counts and traces, leaves an orphan behind and ends as it is told.
const MAIN: &str = r#"#!/bin/sh
echo "parent $PPID, argument $1, user $(id -u)"
/app/job 100 50 10 0 "$DD_DOGSTATSD_PORT" "$DD_APM_RECEIVER_PORT"
(sleep 0.01 &)
trap 'echo bye; exit 4' TERM
[ -p /tmp/never ] || busybox mkfifo /tmp/never
exec 3<>/tmp/never
echo up >&2
while :; do read line <&3; done
"#;
/// In a mount namespace of its own: the image's files are its root, and what an engine mounts is mounted.
const ENTER: &str = r#"set -e
mount --bind "$ROOT" "$ROOT"
mount --rbind /dev "$ROOT/dev"
if [ -n "$READ_ONLY" ]; then
    mount -t tmpfs -o size=16k tmpfs "$ROOT/tmp"
    mount -o remount,bind,ro "$ROOT"
fi
exec unshare --pid --fork --kill-child --root="$ROOT" --mount-proc $ENTER_OPTIONS "$@""#;
/// As an image has it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Nobody's.
const NOBODY: u32 = 65_534;

/// The files of an image.
struct Image {
    root: TempDir,
}

/// Options of `unshare` by which mounts may be made; none where they may not.
fn may_mount() -> Option<&'static [&'static str]> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let options: &[&str] = if is_root { &["--mount"] } else { &["--mount", "--user", "--map-root-user"] };
    let mut command = Command::new("unshare");
    command.args(options).args(["--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    let may = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    may.then_some(options)
}

impl Image {
    /// Debian's C library and shell, and lastlight under its two names. Nothing where that cannot be had; it says so.
    fn build() -> Option<Self> {
        static BASE: OnceLock<Result<(), String>> = OnceLock::new();
        let base = BASE.get_or_init(|| {
            may_mount().ok_or("unshare and mount are not permitted")?;
            let output =
                Command::new(folder().join("setup-image")).output().map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if output.status.success() { Ok(()) } else { Err(said) }
        });
        if let Err(why) = base {
            eprintln!("skipped: no image root: {why}");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(folder().join(".deps/image/root/.")).arg(root.path()).status();
        assert!(copied.unwrap().success());
        // Others than its owner must be able to look at it.
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let image = Self { root };
        image.add(&binary(), "app/datadog-init");
        std::fs::create_dir_all(image.path("usr/local/bin")).unwrap();
        std::fs::hard_link(image.path("app/datadog-init"), image.path("usr/local/bin/lastlight")).unwrap();
        image.add(Path::new(env!("CARGO_BIN_EXE_e2e-job")), "app/job");
        std::fs::write(image.path("app/main.sh"), MAIN).unwrap();
        std::fs::set_permissions(image.path("app/main.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(image)
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.root.path().join(inside)
    }

    fn add(&self, file: &Path, inside: &str) {
        std::fs::copy(file, self.path(inside)).unwrap();
    }

    /// A container of it, with these variables.
    fn container(&self, mut run: Run) -> Run {
        run.program = "unshare".into();
        run.arguments = may_mount().unwrap().iter().map(ToString::to_string).collect();
        run.arguments.extend(["--propagation", "private", "sh", "-c", ENTER, "sh"].map(str::to_owned));
        run.set("ROOT", self.root.path().display().to_string()).set("PATH", PATH).set("HOME", "/")
    }
}

/// The process id, as it is known outside, of what is process 1 inside.
fn process_1(run: &Running) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", run.pid());
    let children = std::fs::read_to_string(path).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

/// Runs a container until its program is up, and stops it as an engine does.
async fn up_and_stopped(run: Run, words: &[&str]) -> Ended {
    let run = run.start(words);
    run.says("up\n").await;
    kill(process_1(&run), "TERM").await;
    run.ends().await
}

/// The program of the image ran as process 1's child, and all of it is at the backend.
fn assert_whole(backend: &Backend, ended: &Ended, user: u32, what: &str) {
    assert_eq!(ended.code, 4, "{what}: {}", ended.tail());
    ended.without_loss();
    let first = format!("parent 1, argument a b, user {user}");
    let logs = backend.logs();
    let has = |text: &str| logs.iter().filter(|log| log.message == text).count() == 1;
    assert!(has(&first) && has("bye") && has("up"), "{what}: {logs:?}");
    assert_eq!(logs.len(), 103, "{what}");
    assert!(backend.missing(1..=10).is_empty(), "{what}");
    assert_eq!(backend.metrics().total("job.count", &[]), 25.0, "{what}");
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.starts_with(&first) && stdout.ends_with("bye\n"), "{what}: {stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_entrypoint_runs_the_program_as_the_image_says() {
    let Some(image) = Image::build() else { return };
    let forms: [&[&str]; 5] = [
        &["lastlight", "run", "--", "/app/main.sh", "a b"],
        &["lastlight", "run", "sh", "/app/main.sh", "a b"],
        &["lastlight", "run", "--", "/app/main.sh 'a b'"],
        // Who replaces the file changes nothing else.
        &["/app/datadog-init", "/app/main.sh", "a b"],
        &["/app/datadog-init", "/bin/sh", "-c", "exec /app/main.sh 'a b'"],
    ];
    for words in forms {
        let backend = Backend::start().await;
        let ended = up_and_stopped(image.container(Run::new(&backend)), words).await;
        assert_whole(&backend, &ended, 0, &format!("{words:?}"));
    }
}

/// What the README's section on containers has behind a word of a Dockerfile.
fn readme(word: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().with_file_name("README.md")).unwrap();
    let (_, section) = text.split_once("\n## Containers\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    ")?.strip_prefix(word));
    lines.map(|rest| rest.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_says_of_containers_works_as_it_is_written() {
    let Some(image) = Image::build() else { return };
    let entrypoints = readme("ENTRYPOINT");
    let mut forms: Vec<Vec<String>> =
        entrypoints.iter().map(|words| serde_json::from_str(words).unwrap()).collect();
    assert!(!forms.is_empty());
    for copied in readme("COPY lastlight") {
        assert!(image.path(&copied[1..]).exists(), "no test copies it to {copied}");
        if copied.ends_with("datadog-init") {
            forms.push(vec![copied]);
        }
    }
    assert!(forms.len() > 1, "{forms:?}");
    for form in forms {
        let words: Vec<_> = form.iter().map(String::as_str).chain(["/app/main.sh", "a b"]).collect();
        let backend = Backend::start().await;
        let ended = up_and_stopped(image.container(Run::new(&backend)), &words).await;
        assert_whole(&backend, &ended, 0, &format!("{words:?}"));
        assert!(ended.tail().contains("lastlight stopped (the program ended) in "), "{}", ended.tail());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_a_tiny_tmp_and_a_user_without_a_name_change_nothing() {
    let Some(image) = Image::build() else { return };
    let words = ["lastlight", "run", "--", "/app/main.sh", "a b"];
    let backend = Backend::start().await;
    let run = image.container(Run::new(&backend)).set("READ_ONLY", "yes");
    let ended = up_and_stopped(run, &words).await;
    assert_whole(&backend, &ended, 0, "read-only");
    if may_mount() != Some(&["--mount"]) {
        eprintln!("skipped: only root may be somebody else");
        return;
    }
    let backend = Backend::start().await;
    let run = image.container(Run::new(&backend)).set("READ_ONLY", "yes");
    let run = run.set("ENTER_OPTIONS", format!("--setgid {NOBODY} --setuid {NOBODY}"));
    let ended = up_and_stopped(run, &words).await;
    assert_whole(&backend, &ended, NOBODY, "read-only, nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_certificates_says_what_to_install_and_runs_its_program() {
    let Some(image) = Image::build() else { return };
    let backend = Backend::start().await;
    let url = backend.url().replace("http:", "https:");
    let run = image.container(Run::to(&url)).set("LASTLIGHT_STOP_TIMEOUT", "500ms");
    let ended = up_and_stopped(run, &["lastlight", "run", "--", "/app/main.sh", "a b"]).await;
    assert_eq!(ended.code, 4, "{}", ended.tail());
    assert!(ended.stderr.contains("install ca-certificates or set DD_TLS_CERT_FILE"), "{}", ended.tail());
    let books = ended.books();
    assert_eq!((books.of("logs").accepted, books.of("logs").delivered), (103, 0), "{}", ended.tail());
    assert_eq!((books.of("traces").accepted, books.of("traces").delivered), (10, 0), "{}", ended.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_configures_nothing_runs_its_program_after_one_line() {
    let Some(image) = Image::build() else { return };
    let backend = Backend::start().await;
    let run = image.container(Run::new(&backend)).unset("DD_API_KEY");
    let script = "echo out; echo err >&2; exit 6";
    let ended = run.start(&["/app/datadog-init", "sh", "-c", script]).ends().await;
    assert_eq!((ended.code, &*ended.stdout), (6, &b"out\n"[..]), "{}", ended.tail());
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(matches!(lines[..], [ours, "err"] if ours.contains("DD_API_KEY")), "{lines:?}");
    assert_eq!(backend.counts().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_entrypoint_has_no_command_is_a_sidecar() {
    let Some(image) = Image::build() else { return };
    for words in [&["/app/datadog-init"][..], &["lastlight", "run"]] {
        let backend = Backend::start().await;
        let run = image.container(Run::new(&backend)).set("DD_LOG_LEVEL", "info").start(words);
        run.says("listening on").await;
        kill(process_1(&run), "TERM").await;
        let ended = run.ends().await;
        assert_eq!(ended.code, 0, "{}", ended.tail());
        assert_eq!(ended.books().cause, "SIGTERM");
    }
}
