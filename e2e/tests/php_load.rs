//! PHP-FPM behind nginx under a load generator: every request that was answered has its span at the backend.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::free_port,
    full,
    php::{Fpm, Manager, Mode, PAGE, Php, Pool, ROOT, Setup, assert_counted, is_root, until},
};
use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use testkit::Backend;

/// Debian's nginx in front of a pool. Ended when dropped.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    /// Nothing where there is none; it says so.
    async fn start(fpm: &Fpm, pool: &str) -> Option<Self> {
        let found =
            ["/usr/sbin/nginx", "/usr/bin/nginx"].map(Path::new).into_iter().find(|path| path.exists());
        let Some(program) = found else {
            eprintln!("skipped: no nginx here; e2e/setup-php installs it");
            return None;
        };
        let (port, folder) = (free_port(), fpm.folder().join("nginx"));
        std::fs::create_dir(&folder).unwrap();
        let place = fpm.folder().display();
        let user = if is_root() { "user www-data;" } else { "" };
        let temporary: String = ["client_body", "fastcgi", "proxy", "scgi", "uwsgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
            .concat();
        let text = format!(
            "daemon off;\n{user}\nworker_processes 1;\npid {place}/nginx/pid;\nerror_log {place}/nginx/log;\n\
             events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}\
             server {{ listen 127.0.0.1:{port}; location / {{\nfastcgi_pass unix:{place}/{pool}.socket;\n\
             fastcgi_param SCRIPT_FILENAME {place}/www/index.php;\nfastcgi_param REQUEST_METHOD $request_method;\n\
             fastcgi_param REQUEST_URI $request_uri;\nfastcgi_param SERVER_PROTOCOL $server_protocol;\n}} }}\n}}\n"
        );
        std::fs::write(folder.join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-e").arg(folder.join("log")).arg("-c").arg(folder.join("conf"));
        command.current_dir(fpm.folder()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let nginx = Self { child: command.spawn().unwrap(), port };
        until("nginx", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())).await;
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it.
        drop(Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

/// Sends requests, so many at one time; how many were answered with 200.
async fn load(port: u16, requests: u64, at_one_time: u32) -> u64 {
    let mut command = tokio::process::Command::new("ab");
    command.args(["-q", "-r", "-s", "60", "-n", &requests.to_string(), "-c", &at_one_time.to_string()]);
    command.arg(format!("http://127.0.0.1:{port}/some/page")).kill_on_drop(true);
    let output = tokio::time::timeout(10 * BOUND, command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |line| line.trim().parse().unwrap())
    };
    let (complete, other) = (number("Complete requests:"), number("Non-2xx responses:"));
    assert!(output.status.success() && other == 0, "{text}");
    complete
}

fn is_installed(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin"].iter().any(|folder| PathBuf::from(folder).join(name).exists())
}

async fn under_load(mode: Mode, manager: Manager) {
    let Some(php) = Php::at_hand() else { return };
    if !is_installed("ab") {
        eprintln!("skipped: no ab here; e2e/setup-php installs it");
        return;
    }
    let requests = if full() { 10_000 } else { 1_000 };
    let backend = Backend::start().await;
    let setup = Setup::new(&php, &backend, mode).pool(Pool::new("www", manager).max_requests(400));
    let mut fpm = setup.start(&[PAGE]).await;
    let Some(nginx) = Nginx::start(&fpm, "www").await else { return };
    let answered = load(nginx.port, requests, 16).await;
    assert_eq!(answered, requests);
    drop(nginx);
    fpm.stop("QUIT").await;
    let spans = backend.spans();
    let roots =
        spans.iter().filter(|span| span.name == ROOT && span.meta["http.url"].ends_with("/some/page"));
    assert_eq!(roots.count() as u64, requests, "{mode:?}: {:?}\n{}", backend.counts(), fpm.said());
    assert_eq!(backend.span_ids().len() as u64, requests, "{mode:?}");
    assert_counted(&backend, requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_load_generator_has_its_span() {
    for mode in Mode::ALL {
        under_load(mode, Manager::Static(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_pool_under_load_loses_nothing_either() {
    under_load(Mode::Auto, Manager::Dynamic(8)).await;
}
