"""`lastlight run` measured as the entrypoint of a program, beside the small inits."""

import contextlib
import dataclasses
import gc
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import agents
import measure

# Starts of each wrapper, in turn.
STARTS = 200
# How long wrappers are watched while their program sleeps, after the time in which they start: whole buckets of metrics.
IDLE_SECONDS, IDLE_AFTER_SECONDS = 30, 3
# Lines whose way through the wrapper is timed, one every so often.
LINES, LINE_MICROSECONDS = 1_000, 2_000
# Bytes of 100-byte lines at full speed, and how often.
FLOOD_BYTES, FLOODS = 300_000_000, 3
# Bytes a second of the paced program, until logs are lost, and for how long.
LADDER = [megabytes * 1_000_000 for megabytes in (10, 20, 30, 40, 60, 80, 100, 130, 160, 200, 250, 300)]
LADDER_SECONDS = 2.5
# What is held when the stop begins: bytes of logs, contexts of metrics, payloads of 200 spans.
HELD_LOG_BYTES, HELD_CONTEXTS, HELD_PAYLOADS = 20_000_000, 100_000, 250
# Bytes of logs a second until then: what is lost of faster ones is not the stop's.
HELD_LOG_RATE = 20_000_000
# How long the backend takes for each answer from then on, and the stops of each kind.
ANSWER_MILLISECONDS, STOPS = 250, 3
# The deadline of stops that cannot deliver.
UNREACHABLE_TIMEOUT_SECONDS = 2
# Longest wait for what is sent to be held.
FILL_MAX_SECONDS = 30
SIGNALS = ["logs", "metrics", "traces"]


@dataclasses.dataclass
class Wrapper:
    """What a program is started by."""

    name: str
    words: list
    environment: dict = dataclasses.field(default_factory=dict)
    missing: str = ""


class Ports:
    """Where one lastlight listens, so that several may run at once."""

    def __init__(self):
        self.traces, self.logs, self.statsd = measure.free_port(), measure.free_port(), measure.free_port(socket.SOCK_DGRAM)

    def variables(self):
        return {
            "DD_APM_RECEIVER_PORT": str(self.traces),
            "DD_LOGS_PORT": str(self.logs),
            "DD_DOGSTATSD_PORT": str(self.statsd),
        }


def configured(url, logs=True):
    """The variables of a lastlight that sends everything to a URL."""
    places = ("DD_APM_DD_URL", "DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL")
    found = {"DD_API_KEY": "0" * 32, "DD_HOSTNAME": "bench"} | dict.fromkeys(places, url)
    return found | ({"DD_LOGS_ENABLED": "true"} if logs else {})


def wrappers(lastlight, url):
    """All that are compared, those that cannot be had marked as missing."""

    def installed(name, *options):
        program = shutil.which(name)
        missing = "" if program else f"Debian's package {name} is not installed"
        return Wrapper(name, [program or name, *options, "--"], missing=missing)

    ours = [str(lastlight), "run", "--"]
    return [
        Wrapper("bare", []),
        # As a subreaper, since here it is not process 1 and would say so.
        installed("tini", "-s"),
        installed("dumb-init"),
        Wrapper("keyless", ours),
        Wrapper("lastlight", ours, configured(url, logs=False)),
        Wrapper("logs", ours, configured(url)),
    ]


def run(lastlight, tools):
    """All figures, and why some wrappers are left out."""
    child = agents.child()
    with measure.backend(tools) as (port, _):
        everyone = wrappers(lastlight, f"http://127.0.0.1:{port}")
        missing = {wrapper.name: wrapper.missing for wrapper in everyone if wrapper.missing}
        for name, why in missing.items():
            print(f"{name}: left out, {why}", file=sys.stderr)
        chosen = [wrapper for wrapper in everyone if not wrapper.missing]
        results = {"starts": say("starts", starts(chosen, child)), "idle": say("idle", idle(chosen, child))}
        results["lines"] = say("lines", lines(chosen, child))
    with sink(tools) as port:
        results["flood"] = say("flood", floods(lastlight, child, f"http://127.0.0.1:{port}"))
        results["ladder"] = ladder(lastlight, child, f"http://127.0.0.1:{port}")
    results["stops"] = stops(lastlight, child, tools)
    return results, missing


def say(what, figures):
    print(f"{what}: {json.dumps(figures)}", file=sys.stderr)
    return figures


def spread(values):
    """The middle and the worst but one in a hundred."""
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]}


# Starts


def starts(chosen, child):
    """Milliseconds from the wrapper's start to the program's first instruction, and to the wrapper's end."""
    found = {wrapper.name: ([], []) for wrapper in chosen}
    ports = Ports()
    for number in range(STARTS):
        turn = number % len(chosen)
        for wrapper in chosen[turn:] + chosen[:turn]:
            running, ended = once(wrapper, [child, "stamp"], ports)
            found[wrapper.name][0].append(running)
            found[wrapper.name][1].append(ended)
    return {name: {"running_ms": spread(running), "ended_ms": spread(ended)} for name, (running, ended) in found.items()}


def once(wrapper, words, ports):
    """One start, timed."""
    words = [*wrapper.words, *map(str, words)]
    environment = agents.clean_environment() | ports.variables() | wrapper.environment
    receiver, sender = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, sender, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    begin = time.monotonic_ns()
    pid = os.posix_spawn(words[0], words, environment, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    end = time.monotonic_ns()
    os.close(sender)
    with os.fdopen(receiver) as said:
        stamp = said.read()
    if status or not stamp:
        raise measure.Failed(f"{wrapper.name} ended with {status} and said {stamp!r}")
    return (int(stamp) - begin) / 1e6, (end - begin) / 1e6


# Idle


def idle(chosen, child):
    """CPU, wake-ups and memory of wrappers whose program sleeps, all at once; each from a file of its own, so that of its
    memory nothing is shared with another."""
    found = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started = []
        for wrapper in chosen:
            if wrapper.words:
                copy = shutil.copy(wrapper.words[0], pathlib.Path(folder) / wrapper.name)
                copied = dataclasses.replace(wrapper, words=[str(copy), *wrapper.words[1:]])
                started.append((wrapper.name, stack.enter_context(Wrapped(copied, [child, "sleep"]))))
        time.sleep(IDLE_AFTER_SECONDS)
        before = {name: process.scheduled() for name, process in started}
        time.sleep(IDLE_SECONDS)
        for name, process in started:
            cpu, wakes = (after - now for after, now in zip(process.scheduled(), before[name]))
            found[name] = {
                "cpu_ms_per_minute": cpu * 1e3 * 60 / IDLE_SECONDS,
                "wakes_per_minute": wakes * 60 / IDLE_SECONDS,
            } | process.memory()
    return found


class Wrapped:
    """A program under a wrapper."""

    def __init__(self, wrapper, words, stdout=subprocess.DEVNULL, **more):
        self.ports = Ports()
        environment = agents.clean_environment() | self.ports.variables() | wrapper.environment | more
        self.said = tempfile.TemporaryFile()
        words = [*wrapper.words, *map(str, words)]
        self.process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=self.said)
        self.usage = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.usage is None:
            self.terminate()
            self.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.said.close()

    def wait(self):
        """Waits for the end: user and system time of it and of its program, seconds."""
        if self.usage is None:
            _, status, self.usage = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.usage.ru_utime + self.usage.ru_stime

    def terminate(self):
        # Not by `Popen`, which would take the usage away.
        os.kill(self.process.pid, signal.SIGTERM)

    def end_program(self):
        """Ends the program, not the wrapper."""
        pid = self.process.pid
        for program in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(program), signal.SIGKILL)

    def scheduled(self):
        """Seconds that its threads ran, and times that they did."""
        ran, times = 0, 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            fields = (task / "schedstat").read_text().split()
            ran, times = ran + int(fields[0]), times + int(fields[2])
        return ran / 1e9, times

    def memory(self):
        """Resident memory and its share of it, megabytes."""
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return {f"{name.lower()}_mb": int(re.search(rf"^{name}: +(\d+)", rollup, re.M)[1]) / 1000 for name in ("Rss", "Pss")}

    def peak(self):
        """Its peak memory, megabytes, once it has ended."""
        peak = 0
        while not os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            peak = max(peak, *(int(kilobytes) / 1000 for kilobytes in re.findall(r"^VmHWM:\s+(\d+)", status, re.M)), 0)
            time.sleep(0.02)
        return peak

    def last_line(self):
        """What it said of everything at its end."""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").splitlines()
        stopped = [line for line in lines if line.startswith("lastlight stopped")]
        if not stopped:
            raise measure.Failed("no last line: " + " | ".join(lines[-3:]))
        return stopped[-1]

    def books(self, kind):
        """Accepted, delivered, and dropped by reason."""
        part = re.search(rf"; {kind}: accepted=(\d+) delivered=(\d+) dropped=\d+(?: \(([^)]*)\))?", self.last_line())
        if not part:
            return {"accepted": 0, "delivered": 0, "dropped": {}}
        dropped = [reason.partition("=") for reason in (part[3] or "").replace(",", " ").split()]
        return {
            "accepted": int(part[1]),
            "delivered": int(part[2]),
            "dropped": {reason: int(number) for reason, _, number in dropped},
        }

    def accepted(self):
        """Units accepted so far, by signal; nothing while it does not answer."""
        url = f"http://127.0.0.1:{self.ports.traces}/lastlight/status"
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(url, timeout=5) as answer:
                return {name: book["accepted"] for name, book in json.load(answer)["signals"].items()}
        return {}


# Logs


def lines(chosen, child):
    """Milliseconds from a line's writing to its reading."""
    found = {}
    for wrapper in chosen:
        if wrapper.name in ("bare", "lastlight", "logs"):
            with Wrapped(wrapper, [child, "lines", LINES, LINE_MICROSECONDS], stdout=subprocess.PIPE) as process:
                found[wrapper.name] = spread(delays(process.process.stdout.fileno()))
    return found


def delays(source):
    taken, rest = [], b""
    gc.disable()
    while piece := os.read(source, 65536):
        now = time.monotonic_ns()
        *whole, rest = (rest + piece).split(b"\n")
        taken += [(now - int(line)) / 1e6 for line in whole]
    gc.enable()
    if len(taken) != LINES:
        raise measure.Failed(f"{len(taken)} of {LINES} lines arrived")
    return taken


@contextlib.contextmanager
def sink(tools):
    """The bare server: its port."""
    process = subprocess.Popen([tools / "testkit-sink"], stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline().rpartition(" ")[2])
    finally:
        process.terminate()
        process.wait()


def floods(lastlight, child, url):
    """Bytes a second at full speed through `cat`, and through lastlight without and with its logs."""
    found = {"cat": [], "lastlight": [], "logs": []}
    for _ in range(FLOODS):
        found["cat"].append(flood_cat(child))
        found["lastlight"].append(flood(lastlight, child, url, FLOOD_BYTES, logs=False))
        found["logs"].append(flood(lastlight, child, url, FLOOD_BYTES))
    return found


def flood_cat(child):
    with tempfile.NamedTemporaryFile("r") as report:
        words = [child, "flood", str(FLOOD_BYTES), "0", report.name]
        program = subprocess.Popen(words, stdout=subprocess.PIPE)
        cat = subprocess.Popen(["cat"], stdin=program.stdout, stdout=subprocess.DEVNULL)
        program.stdout.close()
        _, _, used = os.wait4(cat.pid, 0)
        cat.returncode = 0
        program.wait()
        seconds, _ = said(report)
    return {"bytes_per_second": FLOOD_BYTES / seconds, "cpu_s_per_gb": (used.ru_utime + used.ru_stime) / FLOOD_BYTES * 1e9}


def flood(lastlight, child, url, size, rate=0, logs=True):
    wrapper = Wrapper("logs", [str(lastlight), "run", "--"], configured(url, logs))
    with tempfile.NamedTemporaryFile("r") as report:
        with Wrapped(wrapper, [child, "flood", size, rate, report.name]) as process:
            peak = process.peak()
            cpu = process.wait()
            if process.process.returncode:
                raise measure.Failed(f"the program ended with {process.process.returncode}")
            books = process.books("logs")
        seconds, of_program = said(report)
    written = size // 100
    return {
        "bytes_per_second": size / seconds,
        "cpu_s_per_gb": (cpu - of_program) / size * 1e9,
        "peak_mb": peak,
        "lost": 1 - books["delivered"] / written if logs else 0,
        "off_the_books": written - books["accepted"] if logs else 0,
        "dropped": books["dropped"],
    }


def said(report):
    """Seconds and CPU seconds of the program that writes."""
    nanoseconds, microseconds = report.read().split()
    return int(nanoseconds) / 1e9, int(microseconds) / 1e6


def ladder(lastlight, child, url):
    """The paced program at rising rates until logs are lost."""
    steps = []
    for rate in LADDER:
        step = flood(lastlight, child, url, int(rate * LADDER_SECONDS) // 4_000 * 4_000, rate)
        steps.append(say(f"{rate / 1e6:g} MB/s", {"rate": rate} | step))
        if step["lost"] or step["bytes_per_second"] < 0.9 * rate:
            break
    return steps


# Stops


def stops(lastlight, child, tools):
    """Seconds from SIGTERM to the end, each signal held alone and all together, by what the backend does."""
    kinds = [(), *((one,) for one in SIGNALS), tuple(SIGNALS)]
    found = []
    for kind in kinds:
        for weather, times in (("answers", STOPS), ("exits", STOPS), ("refuses", 1), ("silent", 1)):
            # That the program ends by itself makes no difference to each kind: all and nothing do.
            if weather == "exits" and len(kind) == 1:
                continue
            for _ in range(times):
                step = {"weather": weather, "held": kind} | stop(lastlight, child, tools, weather, kind)
                found.append(say("stop", step))
    return found


def stop(lastlight, child, tools, weather, kind):
    """One stop: `answers` and `exits` of a backend that is held back until then, `exits` without a signal to us."""
    with contextlib.ExitStack() as stack:
        release = None
        if weather in ("answers", "exits"):
            port, _ = stack.enter_context(measure.backend(tools))
            control(port, "behave", {"action": "hold"})

            def release():
                # Held requests are answered at once, later ones each after its time.
                control(port, "behave", {"action": "acknowledge", "delay_ms": ANSWER_MILLISECONDS})
                control(port, "release")

        elif weather == "refuses":
            port = measure.free_port()
        else:
            # Connections are made by the kernel, and nothing is ever read or said.
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
            port = listener.getsockname()[1]
        more = {} if release else {"LASTLIGHT_STOP_TIMEOUT": f"{UNREACHABLE_TIMEOUT_SECONDS}s"}
        wrapper = Wrapper("logs", [str(lastlight), "run", "--"], configured(f"http://127.0.0.1:{port}"))
        report = stack.enter_context(tempfile.NamedTemporaryFile("r"))
        words = [child, "hold", HELD_LOG_BYTES, HELD_LOG_RATE, report.name] if "logs" in kind else [child, "sleep"]
        process = stack.enter_context(Wrapped(wrapper, words, **more))
        fill(process, tools, kind)
        begin = time.monotonic()
        process.end_program() if weather == "exits" else process.terminate()
        if release:
            release()
        process.wait()
        took = time.monotonic() - begin
        books = {name: process.books(name) for name in kind}
    return {"seconds": took, "books": books}


def fill(process, tools, kind):
    """Sends what is to be held, and waits until it is."""
    wanted = {}
    await_accepted(process, None)
    if "logs" in kind:
        wanted["logs"] = HELD_LOG_BYTES // 100
    if "metrics" in kind:
        # Half of what the kernel buffers would be lost at full speed.
        command = [tools / "testkit-statsd", "--udp", process.ports.statsd, "--rate", 100_000, "--kinds", "c,d"]
        command += ["--contexts", HELD_CONTEXTS, "--samples", HELD_CONTEXTS]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        wanted["metrics"] = HELD_CONTEXTS * 95 // 100
    if "traces" in kind:
        command = [tools / "testkit-load", "--port", process.ports.traces, "--connections", 2, "--requests", HELD_PAYLOADS]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        wanted["traces"] = HELD_PAYLOADS * 200
    await_accepted(process, wanted)


def await_accepted(process, wanted):
    """Waits until so much was accepted, by signal; until it answers at all where that is nothing."""
    deadline = time.monotonic() + FILL_MAX_SECONDS
    while True:
        found = process.accepted()
        if found and all(found[name] >= number for name, number in (wanted or {}).items()):
            return
        if time.monotonic() > deadline:
            raise measure.Failed(f"{found} accepted of {wanted}")
        time.sleep(0.02)


def control(port, what, body=None):
    """Tells the scripted backend what to do."""
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_control/{what}", data, timeout=10) as answer:
        answer.read()
