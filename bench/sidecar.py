"""The sidecar measured as a guest: what submitting, opening and having it costs its host, and its CPU beside libdatadog's."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import agents
import measure
import payloads
import sidecar_php
from entrypoint import configured, say, sink, spread

SOURCES = pathlib.Path(__file__).resolve().parent / "sidecar"
MODES = ["thread", "subprocess"]
# Name: traces, spans in each, payloads a second when paced, payloads at full speed.
SIZES = {
    "1 KiB": (1, 3, 1_000, 20_000),
    "10 KiB": (1, 26, 1_000, 10_000),
    "100 KiB": (10, 26, 200, 1_000),
    "1 MiB": (10, 265, 50, 120),
}
# Different payloads of a size, rounds of everything in turn, and length of the paced ones.
DIFFERENT, ROUNDS, PACED_SECONDS = 32, 3, 1
# Fresh processes in each mode.
STARTS = 50
# Hosts are idle for so long, after the time in which the statistics of what they submitted are still on their way.
IDLE_SECONDS, IDLE_AFTER_SECONDS = 10, 13
# Beside libdatadog: payloads of 10 traces of 20 spans, no two alike, and rounds; payloads whose bytes on the wire are counted.
COMPARED, COMPARED_ROUNDS, COUNTED = 600, 3, 50
# Longest of anything here.
STEP_MAX_SECONDS = 60


def run(lastlight, library, tools):
    """All figures, and what could not be measured."""
    figures, missing = {"seconds": {}}, {}

    def take(what, measures, *of):
        begin = time.monotonic()
        figures[what] = say(what, measures(*of))
        figures["seconds"][what] = time.monotonic() - begin

    compared, missing["libdatadog"] = libdatadog()
    extension, missing["PHP"] = sidecar_php.build()
    with tempfile.TemporaryDirectory(prefix="bench-sidecar-") as folder, sink(tools) as port:
        folder = pathlib.Path(folder)
        driver = Driver(lastlight, library, folder, f"http://127.0.0.1:{port}")
        files, sizes = {}, {}
        for name, (traces, spans, _, _) in SIZES.items():
            files[name] = folder / name.replace(" ", "")
            sizes[name] = payloads.write(tools, files[name], DIFFERENT, traces, spans)
        figures["bytes"] = say("mean bytes", sizes)
        everyone, counted = folder / "compared", folder / "counted"
        payloads.write(tools, everyone, COMPARED, 10, 20)
        payloads.write(tools, counted, COUNTED, 10, 20)
        take("submit", submits, driver, files)
        take("open", opens, driver, agents.child())
        take("host", hosts, driver, files["10 KiB"])
        take("spans", spans_beside, driver, everyone, counted, compared, port)
        if extension:
            take("php", sidecar_php.run, lastlight, extension, driver.environment)
    print(f"measured in {sum(figures['seconds'].values()):.0f} s: {figures['seconds']}", file=sys.stderr)
    return figures, {name: why for name, why in missing.items() if why}


class Driver:
    """The C program that is the host."""

    def __init__(self, lastlight, library, folder, url):
        self.program, self.lastlight = folder / "driver", lastlight
        # By the name that it asks for when it starts.
        shutil.copy(library / "liblastlight.so", folder / "liblastlight.so.0")
        (folder / "liblastlight.so").symlink_to("liblastlight.so.0")
        command = ["cc", "-O2", "-Wall", "-pthread", "-o", self.program, SOURCES / "driver.c", f"-Wl,-rpath,{folder}"]
        command += ["-I", agents.REPOSITORY / "crates/capi/include", f"-L{folder}", "-llastlight"]
        subprocess.run(command, check=True)
        self.environment = agents.clean_environment() | configured(url, logs=False)

    def start(self, *words, **more):
        marked = self.environment | {"BENCH_SIDECAR": uuid.uuid4().hex}
        return subprocess.Popen([self.program, *map(str, words)], env=marked, stdout=subprocess.PIPE, text=True, **more)

    def said(self, *words):
        """What it says of itself, once it has ended."""
        process = self.start(*words)
        try:
            text, _ = process.communicate(timeout=STEP_MAX_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise measure.Failed(f"the driver did not end: {words}") from None
        if process.returncode:
            raise measure.Failed(f"the driver ended with {process.returncode}: {words}")
        return json.loads(text)

    def hosting(self, what, mode, *words):
        said = self.said(what, mode, self.lastlight, *words)
        if status := said.pop("status", None):
            spans = status["signals"]["traces"]
            said["lost_spans"] = spans["accepted"] - spans["delivered"]
            said["sent_bytes"] = sum(endpoint["bytes_sent"] for endpoint in status["endpoints"])
            said["spans"] = spans["accepted"]
        return said


# Submitting


def submits(driver, files):
    """By size, pace and way: the figures of each round."""
    found = {}
    for _ in range(ROUNDS):
        for size, (_, _, rate, many) in SIZES.items():
            for pace, count, period in (("paced", int(rate * PACED_SECONDS), 1_000_000 // rate), ("full speed", many, 0)):
                ways = found.setdefault(size, {}).setdefault(pace, {way: [] for way in ["stream", *MODES]})
                ways["stream"].append(driver.said("stream", files[size], count, period))
                for mode in MODES:
                    ways[mode].append(driver.hosting("submit", mode, files[size], count, period))
    return found


# Opening


def opens(driver, program):
    """Microseconds of fresh processes, in turn."""
    found = {name: [] for name in [*MODES, "limit"]}
    for _ in range(STARTS):
        for mode in MODES:
            found[mode].append(driver.hosting("open", mode))
        found["limit"].append(driver.said("start", program))
    return {name: {key: spread([step[key] for step in steps]) for key in steps[0]} for name, steps in found.items()}


# Being a guest


def hosts(driver, file):
    """What hosts have before, with and after, and what they do when they have nothing to do."""
    found = {}
    with contextlib.ExitStack() as stack:
        resting = {}
        for mode in MODES:
            stages = found[mode] = {}
            host = stack.enter_context(hosted(driver, mode, file))
            line(host)
            stages["before"] = {"host": state(host.pid)}
            server = 0
            for stage in ("open", "submitted"):
                host.stdin.write("\n")
                host.stdin.flush()
                # First where the server is, then how often there was no room.
                number = int(line(host))
                server = number if stage == "open" else server
                stages[stage] = {"host": state(host.pid)} | ({"server": state(server)} if server else {})
            resting[mode, "submitted"] = [host.pid, server]
        for mode in MODES:
            host = stack.enter_context(hosted(driver, mode, file))
            line(host)
            host.stdin.write("\n")
            host.stdin.flush()
            resting[mode, "open"] = [host.pid, int(line(host))]
        time.sleep(IDLE_AFTER_SECONDS)
        before = {which: done(pids) for which, pids in resting.items()}
        time.sleep(IDLE_SECONDS)
        for (mode, stage), pids in resting.items():
            cpu, switches = (after - then for after, then in zip(done(pids), before[mode, stage]))
            found[mode][stage]["idle"] = {"cpu_ms": cpu * 1e3, "switches": switches}
    return found


@contextlib.contextmanager
def hosted(driver, mode, file):
    """A host that goes on by lines; the end of them ends it."""
    host = driver.start("host", mode, driver.lastlight, file, stdin=subprocess.PIPE)
    try:
        yield host
    finally:
        host.stdin.close()
        host.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            host.wait(STEP_MAX_SECONDS)
        host.kill()
        host.wait()


def line(host):
    said = host.stdout.readline()
    if not said:
        raise measure.Failed("a host has ended")
    return said


def state(pid):
    """Memory in kB, threads and descriptors. A thread may have descriptors of its own."""
    process = pathlib.Path(f"/proc/{pid}")
    rollup = (process / "smaps_rollup").read_text()
    tasks = list((process / "task").iterdir())
    tables = [len(list((task / "fd").iterdir())) for task in tasks if task.name != str(pid)]
    return {
        "pss_kb": int(re.search(r"^Pss: +(\d+)", rollup, re.M)[1]),
        "rss_kb": int(re.search(r"^Rss: +(\d+)", rollup, re.M)[1]),
        "threads": len(tasks),
        "descriptors": len(list((process / "fd").iterdir())),
        "descriptors_of_threads": tables,
    }


def done(pids):
    """Seconds that all their threads ran, and times that they waited for something."""
    ran, waited = 0, 0
    for pid in filter(None, pids):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            ran += int((task / "schedstat").read_text().split()[0])
            waited += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)[1])
    return ran / 1e9, waited


# Beside libdatadog


def libdatadog():
    """Builds the program around its crates: its path, and why there is none."""
    folder = SOURCES / "libdd"
    command = ["cargo", "build", "--release", "--quiet", "--locked"]
    built = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    if built.returncode:
        print(built.stderr, file=sys.stderr)
        return None, "its crates could not be built (the package index is needed the first time)"
    metadata = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    found = subprocess.run(metadata, cwd=folder, check=True, capture_output=True)
    return pathlib.Path(json.loads(found.stdout)["target_directory"]) / "release/bench-libdd", ""


def spans_beside(driver, file, counted, compared, port):
    """Each payload once, as fast as it is taken, until all is delivered: the figures of each round."""
    ways = [*MODES, *(["agent", "agentless"] if compared else [])]
    found = {way: [] for way in ways}
    for number in range(COMPARED_ROUNDS):
        turn = number % len(ways)
        for way in ways[turn:] + ways[:turn]:
            found[way].append(ours(driver, way, file) if way in MODES else theirs(compared, way, port, file, COMPARED))
    for way in ways:
        if way not in MODES:
            with payloads.taking() as (taker, taken):
                theirs(compared, way, taker, counted, COUNTED)
            # The one that warms up is there too.
            found[way][0]["bytes_per_span"] = sum(map(len, taken)) / (COUNTED + 1) / 200
    return found


def ours(driver, mode, file):
    step = driver.hosting("once", mode, file)
    # The one that warms up is none of them.
    if step["accepted"] != COMPARED + 1 or step["lost_spans"]:
        raise measure.Failed(f"{step['accepted']} of {COMPARED} payloads accepted, {step['lost_spans']} spans lost")
    spans = COMPARED * 200
    caller, whole = step["caller_cpu_us"], step["caller_cpu_us"] + step["server_cpu_us"]
    return {
        "payloads_per_second": COMPARED / step["seconds"],
        "cpu_us_per_span": whole * COMPARED / spans,
        "caller_ms_per_payload": step["mean_us"] / 1e3,
        "caller_cpu_us_per_span": caller * COMPARED / spans,
        "bytes_per_span": step["sent_bytes"] / step["spans"],
    }


def theirs(program, way, port, file, wanted):
    command = [program, way, str(port), file]
    ended = subprocess.run(command, env=agents.clean_environment(), capture_output=True, text=True, timeout=STEP_MAX_SECONDS)
    if ended.returncode:
        raise measure.Failed(f"bench-libdd ended with {ended.returncode}: {ended.stderr}")
    count, spans, took, used, failures = map(int, ended.stdout.split())
    if failures or count != wanted:
        raise measure.Failed(f"bench-libdd: {failures} failures of {count}")
    return {
        "payloads_per_second": count / took * 1e9,
        "cpu_us_per_span": used / spans / 1e3,
        # It returns when the answer has come.
        "caller_ms_per_payload": took / count / 1e6,
    }
