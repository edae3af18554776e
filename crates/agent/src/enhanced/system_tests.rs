use super::*;
use proptest::prelude::*;
use std::fs;

/// A root directory with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn read(files: &[(&str, &str)]) -> Reading {
    System::find(root(files).path(), false).read()
}

const STAT: (&str, &str) =
    ("proc/stat", "cpu  10 1 5 900 7 2 3 4 0 0\ncpu0 5 0\ncpu1 5 1\nintr 1 2\nctxt 3\n");
const FOUR: (&str, &str) = ("proc/stat", "cpu  0\ncpu0 0\ncpu1 0\ncpu2 0\ncpu3 0\n");
const NET: (&str, &str) = (
    "proc/net/dev",
    "Inter-|   Receive                |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n\
     \x20   lo: 9000 9 0 0 0 0 0 0 9000 9 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth1:7 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n",
);

#[test]
fn l58_version_2_tells_processor_memory_and_limits() {
    let reading = read(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpu memory"),
        ("sys/fs/cgroup/cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/cpuset.cpus.effective", "0-1\n"),
        ("sys/fs/cgroup/memory.current", "5000\n"),
        ("sys/fs/cgroup/memory.max", "10000\n"),
        ("sys/fs/cgroup/memory.stat", "anon 3000\ninactive_file 1200\n"),
        ("proc/self/cgroup", "0::/\n"),
        FOUR,
        NET,
    ]);
    let expected = Reading {
        cpu_ns: Some(1_500_000),
        cpu_limit: Some(1.5e9),
        memory: Some(3_800),
        memory_limit: Some(10_000),
        received: Some(107),
        sent: Some(25),
    };
    assert_eq!(reading, expected);
}

#[test]
fn l58_version_1_tells_the_same_from_controllers_mounted_apart_or_together() {
    for (cpu, cpuacct) in [("cpu", "cpuacct"), ("cpu,cpuacct", "cpu,cpuacct"), ("cpu", "cpu")] {
        let file = |controller: &str, name: &str| format!("sys/fs/cgroup/{controller}/{name}");
        let usage = file(cpuacct, "cpuacct.usage");
        let (quota, period) = (file(cpu, "cpu.cfs_quota_us"), file(cpu, "cpu.cfs_period_us"));
        let reading = read(&[
            (&usage, "1500000\n"),
            (&quota, "50000\n"),
            (&period, "100000\n"),
            ("sys/fs/cgroup/cpuset/cpuset.cpus", "0,2-3\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1200\n"),
            ("proc/self/cgroup", "4:memory:/\n3:cpuset:/\n2:cpu,cpuacct:/\n"),
            FOUR,
        ]);
        let expected = Reading {
            cpu_ns: Some(1_500_000),
            cpu_limit: Some(0.5e9),
            memory: Some(3_800),
            memory_limit: Some(10_000),
            ..Reading::default()
        };
        assert_eq!(reading, expected, "{cpu} {cpuacct}");
    }
}

#[test]
fn without_limits_the_machine_is_the_limit() {
    let expected = (Some(2e9), Some(2_048 * 1_024));
    let meminfo = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");
    let v2 = read(&[
        ("sys/fs/cgroup/cgroup.controllers", ""),
        ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/cpuset.cpus.effective", "0-1\n"),
        ("sys/fs/cgroup/memory.max", "max\n"),
        meminfo,
        STAT,
    ]);
    assert_eq!((v2.cpu_limit, v2.memory_limit), expected);
    let v1 = read(&[
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        meminfo,
        STAT,
    ]);
    assert_eq!((v1.cpu_limit, v1.memory_limit), expected);
}

#[test]
fn the_least_limit_counts() {
    let limit = |set, max| {
        read(&[
            ("sys/fs/cgroup/cgroup.controllers", ""),
            ("sys/fs/cgroup/cpuset.cpus.effective", set),
            ("sys/fs/cgroup/cpu.max", max),
            FOUR,
        ])
        .cpu_limit
    };
    assert_eq!(limit("0-1", "300000 100000"), Some(2e9), "the set");
    assert_eq!(limit("0-2", "100000 100000"), Some(1e9), "the quota");
    assert_eq!(limit("0-3", "800000 100000"), Some(8e9), "a set of all of them says nothing");
    assert_eq!(limit("", ""), Some(4e9), "nothing");
    assert_eq!(limit("3-1", "0 0"), Some(4e9), "nonsense");
}

#[test]
fn the_path_of_our_cgroup_is_followed_where_it_leads_somewhere() {
    let stat = |own| {
        read(&[
            ("sys/fs/cgroup/cgroup.controllers", ""),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 1\n"),
            ("sys/fs/cgroup/pod/box/cpu.stat", "usage_usec 2\n"),
            ("sys/secret/cpu.stat", "usage_usec 3\n"),
            ("proc/self/cgroup", own),
        ])
        .cpu_ns
    };
    assert_eq!(stat("0::/pod/box\n"), Some(2_000));
    assert_eq!(stat("0::/gone\n"), Some(1_000));
    assert_eq!(stat("0::/../../secret\n"), Some(1_000));
    let v1 = read(&[
        ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "2\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
        ("proc/self/cgroup", "4:memory:/box\n"),
    ]);
    assert_eq!(v1.memory, Some(2));
}

#[test]
fn a_machine_without_cgroups_counts_its_own_processor_time() {
    let root = root(&[STAT]);
    assert_eq!(System::find(root.path(), true).read().cpu_ns, Some((10 + 1 + 5 + 2 + 3) * 10_000_000));
    assert_eq!(System::find(root.path(), false).read().cpu_ns, None);
}

#[test]
fn what_is_not_there_is_not_known() {
    assert_eq!(read(&[]), Reading::default());
}

#[test]
fn this_system_can_be_read() {
    // Whatever it is, it is no reason to fail.
    System::find(Path::new("/"), true).read();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_file_of_any_content_is_a_reason_to_fail(
        texts in prop::collection::vec("[0-9 ,:a-z\n-]{0,40}", 8),
        is_v2: bool,
    ) {
        let mut files = vec![("proc/stat", texts[0].as_str()), ("proc/net/dev", &texts[1])];
        files.extend([("proc/self/cgroup", texts[2].as_str()), ("proc/meminfo", &texts[3])]);
        if is_v2 {
            files.push(("sys/fs/cgroup/cgroup.controllers", ""));
        }
        files.extend([
            ("sys/fs/cgroup/cpu.stat", texts[4].as_str()),
            ("sys/fs/cgroup/cpu.max", &texts[5]),
            ("sys/fs/cgroup/cpuset.cpus.effective", &texts[6]),
            ("sys/fs/cgroup/cpuset/cpuset.cpus", &texts[6]),
            ("sys/fs/cgroup/cpu/cpuacct.usage", &texts[7]),
        ]);
        let reading = System::find(root(&files).path(), true).read();
        prop_assert!(reading.cpu_limit.is_none_or(|limit| limit.is_finite() && limit > 0.0), "{reading:?}");
    }
}
