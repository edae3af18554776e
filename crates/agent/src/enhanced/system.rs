//! What the kernel tells of this instance: processor and memory of its cgroup (version 1 or 2, losses.md L58), its
//! network, and its machine where no cgroup limits it. What is not there is not known; nothing here fails.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where cgroups are, below the root.
const CGROUPS: &str = "sys/fs/cgroup";
/// What such a file has as a rule.
const FILE_USUAL_BYTES: usize = 4 * 1024;
/// Most bytes of a file that are read; real ones have some dozen, `/proc/stat` of a big machine some thousand.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// A limit of version 1 from here on means that there is none: it is the greatest number of pages.
const MEMORY_UNLIMITED_BYTES: u64 = 1 << 62;
/// What `/proc/stat` counts in: hundredths of a second.
const TICK_NS: u64 = 10_000_000;
const NANOCORES: f64 = 1e9;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Processor time used since the cgroup began, in nanoseconds.
    pub(super) cpu_ns: Option<u64>,
    /// Processors that may be used at one time, in nanocores.
    pub(super) cpu_limit: Option<f64>,
    /// Memory in use, bytes, without cached files that would be given up first.
    pub(super) memory: Option<u64>,
    /// Memory that may be used, bytes.
    pub(super) memory_limit: Option<u64>,
    /// Bytes received since the network began, over all interfaces but the loopback.
    pub(super) received: Option<u64>,
    /// Bytes sent, likewise.
    pub(super) sent: Option<u64>,
}

/// Where to look.
#[derive(Debug)]
pub(super) struct System {
    /// What stands for `/`.
    root: PathBuf,
    /// Directories in which each controller's files may be, the likelier first.
    cgroups: Cgroups,
    /// Processors of the machine; 0 when unknown.
    processors: u64,
    has_machine_cpu: bool,
}

#[derive(Debug)]
enum Cgroups {
    V1 { cpuacct: Vec<PathBuf>, cpu: Vec<PathBuf>, cpuset: Vec<PathBuf>, memory: Vec<PathBuf> },
    V2(Vec<PathBuf>),
}

impl System {
    /// Finds the cgroup of this process. `has_machine_cpu`: where no cgroup counts processor time, the machine does.
    pub(super) fn find(root: &Path, has_machine_cpu: bool) -> Self {
        let cgroups = root.join(CGROUPS);
        let own = text(&root.join("proc/self/cgroup")).unwrap_or_default();
        let cgroups = if cgroups.join("cgroup.controllers").exists() {
            Cgroups::V2(directories(&cgroups, &[""], path_of(&own, "")))
        } else {
            // The controllers of the processor are mounted together or apart.
            let v1 = |names: &[&str], controller| directories(&cgroups, names, path_of(&own, controller));
            Cgroups::V1 {
                cpuacct: v1(&["cpuacct", "cpu,cpuacct", "cpu"], "cpuacct"),
                cpu: v1(&["cpu", "cpu,cpuacct"], "cpu"),
                cpuset: v1(&["cpuset"], "cpuset"),
                memory: v1(&["memory"], "memory"),
            }
        };
        let stat = text(&root.join("proc/stat")).unwrap_or_default();
        Self { root: root.to_owned(), cgroups, processors: processors(&stat), has_machine_cpu }
    }

    /// Looks. Some ten small files.
    pub(super) fn read(&self) -> Reading {
        let mut reading = match &self.cgroups {
            Cgroups::V2(places) => self.v2(places),
            Cgroups::V1 { cpuacct, cpu, cpuset, memory } => self.v1(cpuacct, cpu, cpuset, memory),
        };
        if reading.cpu_ns.is_none() && self.has_machine_cpu {
            reading.cpu_ns = self.proc("stat").as_deref().and_then(machine_cpu_ns);
        }
        if reading.memory_limit.is_none() {
            reading.memory_limit = self.proc("meminfo").as_deref().and_then(memory_of_machine);
        }
        if let Some((received, sent)) = self.proc("net/dev").as_deref().and_then(traffic) {
            (reading.received, reading.sent) = (Some(received), Some(sent));
        }
        reading
    }

    fn v2(&self, places: &[PathBuf]) -> Reading {
        let cpu_us = first(places, "cpu.stat").and_then(|stat| field(&stat, "usage_usec"));
        let quota = first(places, "cpu.max").and_then(|max| {
            let mut words = max.split_whitespace().map(str::parse);
            cores(words.next()?.ok()?, words.next()?.ok()?)
        });
        let current = first(places, "memory.current").as_deref().and_then(number);
        let stat = first(places, "memory.stat");
        let inactive = stat.and_then(|stat| field(&stat, "inactive_file")).unwrap_or(0);
        Reading {
            cpu_ns: cpu_us.and_then(|us| us.checked_mul(1_000)),
            cpu_limit: self.limit(first(places, "cpuset.cpus.effective"), quota),
            memory: current.map(|bytes| bytes.saturating_sub(inactive)),
            // `max` is no number.
            memory_limit: first(places, "memory.max").as_deref().and_then(number),
            ..Reading::default()
        }
    }

    fn v1(&self, cpuacct: &[PathBuf], cpu: &[PathBuf], cpuset: &[PathBuf], memory: &[PathBuf]) -> Reading {
        let of = |places: &[PathBuf], name: &str| first(places, name).as_deref().and_then(number);
        // Without a quota it is -1, which is no number here.
        let quota = of(cpu, "cpu.cfs_quota_us").zip(of(cpu, "cpu.cfs_period_us"));
        let set = first(cpuset, "cpuset.effective_cpus").or_else(|| first(cpuset, "cpuset.cpus"));
        let stat = first(memory, "memory.stat");
        let inactive = stat.and_then(|stat| field(&stat, "total_inactive_file")).unwrap_or(0);
        let limit = of(memory, "memory.limit_in_bytes").filter(|bytes| *bytes < MEMORY_UNLIMITED_BYTES);
        Reading {
            cpu_ns: of(cpuacct, "cpuacct.usage"),
            cpu_limit: self.limit(set, quota.and_then(|(quota, period)| cores(quota, period))),
            memory: of(memory, "memory.usage_in_bytes").map(|bytes| bytes.saturating_sub(inactive)),
            memory_limit: limit,
            ..Reading::default()
        }
    }

    /// The least of what limits the processor: the set of processors unless it is all of them, and the quota; without
    /// either the machine itself.
    fn limit(&self, set: Option<String>, quota: Option<f64>) -> Option<f64> {
        let count = set.as_deref().and_then(in_set).filter(|count| *count != self.processors);
        let least = count.map(|count| count as f64).into_iter().chain(quota).reduce(f64::min);
        let all = (self.processors > 0).then_some(self.processors as f64);
        least.or(all).map(|cores| cores * NANOCORES)
    }

    fn proc(&self, name: &str) -> Option<String> {
        text(&self.root.join("proc").join(name))
    }
}

/// The text of a file, if there is one.
fn text(path: &Path) -> Option<String> {
    // Room from the start: else it is read in pieces of 32 bytes first.
    let mut text = String::with_capacity(FILE_USUAL_BYTES);
    File::open(path).ok()?.take(FILE_MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The text of the first file of that name.
fn first(places: &[PathBuf], name: &str) -> Option<String> {
    places.iter().find_map(|place| text(&place.join(name)))
}

/// The path of a controller's cgroup in `/proc/self/cgroup`; the empty name is version 2.
fn path_of<'a>(own: &'a str, controller: &str) -> &'a str {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        names.split(',').any(|name| name == controller).then_some(path)
    });
    // One that leads out of what is mounted here is of no use.
    path.filter(|path| !path.split('/').any(|part| part == "..")).unwrap_or("").trim_matches('/')
}

/// In a namespace of its own a container's cgroup is the root of what is mounted; without one the path leads to it,
/// or it alone is mounted.
fn directories(cgroups: &Path, names: &[&str], path: &str) -> Vec<PathBuf> {
    let nested = names.iter().map(|name| cgroups.join(name).join(path)).filter(|_| !path.is_empty());
    nested.chain(names.iter().map(|name| cgroups.join(name))).collect()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number behind a word at the begin of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (word, value) = line.split_once(' ')?;
        (word == name).then(|| number(value))?
    })
}

fn cores(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// How many are in a list such as `0-3,8`.
fn in_set(list: &str) -> Option<u64> {
    let mut count: u64 = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The lines `cpu0`, `cpu1`, … of `/proc/stat`; 0 when there are none.
fn processors(stat: &str) -> u64 {
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_one).count() as u64
}

/// Time that was not idle: user, nice, system, irq and softirq.
fn machine_cpu_ns(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(number).collect();
    let used = [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at));
    used.copied().try_fold(0_u64, u64::checked_add)?.checked_mul(TICK_NS)
}

fn memory_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    number(line.trim().strip_suffix("kB")?)?.checked_mul(1_024)
}

/// Bytes received and sent, from `/proc/net/dev`.
fn traffic(dev: &str) -> Option<(u64, u64)> {
    let mut sums = None;
    for line in dev.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let mut numbers = numbers.split_whitespace().map(number);
        // Eight numbers of what was received stand before what was sent.
        let (Some(Some(received)), Some(Some(sent))) = (numbers.next(), numbers.nth(7)) else { continue };
        if name.trim() != "lo" {
            let (before, after) = sums.unwrap_or((0, 0));
            sums = Some((received.saturating_add(before), sent.saturating_add(after)));
        }
    }
    sums
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
