//! Processes as `/proc` tells of them: whose they are, what they run, what they listen at.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A process that runs. Zombies are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its effective user.
    pub user: u32,
    /// Names of its threads, the first its own.
    pub threads: Vec<String>,
    /// Its words, or its title where it has set one.
    pub command: String,
}

impl Process {
    /// A process by its id.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        if matches!(field("State")?.as_bytes().first()?, b'Z' | b'X') {
            return None;
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let mut threads: Vec<(u32, String)> = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let thread = entry.file_name().to_str()?.parse().ok()?;
            // It may have ended meanwhile.
            if let Ok(name) = fs::read_to_string(entry.path().join("comm")) {
                threads.push((thread, name.trim().to_owned()));
            }
        }
        threads.sort_unstable();
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            user: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
            threads: threads.into_iter().map(|(_, name)| name).collect(),
            command: command.join(" ").trim().to_owned(),
        })
    }

    /// Whether it is a sidecar that runs as a process of its own.
    pub fn is_sidecar(&self) -> bool {
        let mut words = self.command.split(' ');
        words.next().is_some_and(|program| program.ends_with("lastlight")) && words.next() == Some("sidecar")
    }

    /// Whether it carries PHP requests: a child of FPM's master.
    pub fn is_worker(&self) -> bool {
        self.command.starts_with("php-fpm: pool ")
    }

    /// Numbers of the sockets it holds.
    pub fn sockets(&self) -> BTreeSet<u64> {
        descriptors(self.pid)
            .iter()
            .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
            .collect()
    }
}

/// What the descriptors of a process lead to; none when it has ended.
pub fn descriptors(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// Processes that work below a folder, or were started with it in their environment.
pub fn of_folder(folder: &Path) -> Vec<Process> {
    let mark = folder.as_os_str().as_encoded_bytes();
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let works_there =
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(folder));
        let knows_it = || {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            memchr::memmem::find(&environment, mark).is_some()
        };
        works_there || knows_it()
    })
    .filter_map(Process::of)
    .collect()
}

/// A listening Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its number.
    pub inode: u64,
    /// Its path, or `@` and its abstract name.
    pub name: String,
}

/// Unix sockets on which these processes could take a connection, each once.
pub fn listeners(processes: &[Process]) -> Vec<Listener> {
    /// `__SO_ACCEPTCON`.
    const LISTENS: &str = "00010000";
    let held: BTreeSet<u64> = processes.iter().flat_map(Process::sockets).collect();
    let table = fs::read_to_string("/proc/net/unix").expect("/proc/net/unix");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| words.get(3) == Some(&LISTENS))
        .filter_map(|words| {
            Some(Listener { inode: words.get(6)?.parse().ok()?, name: (*words.get(7)?).to_owned() })
        })
        .filter(|listener| held.contains(&listener.inode))
        .collect()
}

/// Of these, the meeting places of sidecars.
pub fn meeting_places(processes: &[Process]) -> Vec<Listener> {
    let mut all = listeners(processes);
    all.retain(|listener| listener.name.starts_with("@lastlight/"));
    all
}
