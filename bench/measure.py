"""One agent measured once."""

import contextlib
import json
import math
import os
import pathlib
import platform
import signal
import socket
import subprocess
import time
import urllib.request

import agents

# The rate of the latency measurement, payloads of 200 spans a second.
RATE = 25
# Connections of the load generator.
RATE_CONNECTIONS = 4
SATURATING_CONNECTIONS = 8
# Starts over which the time to the first accepted connection is taken.
STARTS = 11
# Longest wait for an agent to accept.
START_MAX_SECONDS = 10
# Quiet time before idle memory is read.
IDLE_SECONDS = 2
# Time after a load in which an agent sends what it holds: the mini agent flushes every 3 s.
SETTLE_SECONDS = 4
# Longest stop.
STOP_MAX_SECONDS = 15


class Failed(Exception):
    """The measurement cannot go on."""


def machine():
    """What the numbers were taken on."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{os.cpu_count()} × {line.partition(':')[2].strip()}, {platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"


def round(agent, tools, seconds):
    """All figures of one agent."""
    figures = {}
    with backend(tools) as (backend_port, _):
        figures["start_ms"] = sorted(start_time(agent, backend_port) for _ in range(STARTS))[STARTS // 2]
        with running(agent, backend_port) as process:
            time.sleep(IDLE_SECONDS)
            figures["idle_mb"] = process.memory("VmRSS")
            before = process.cpu()
            load = send(tools, agent, process.port, seconds, rate=RATE)
            time.sleep(SETTLE_SECONDS)
            figures["p50_ms"], figures["p99_ms"] = load["p50_ms"], load["p99_ms"]
            figures["rate_cpu_s_per_million"] = per_million(process.cpu() - before, load["spans"])
    with backend(tools) as (backend_port, _), running(agent, backend_port) as process:
        before = process.cpu()
        load = send(tools, agent, process.port, seconds)
        time.sleep(SETTLE_SECONDS)
        figures["spans_per_second"] = load["spans_per_second"]
        figures["payloads_per_second"] = load["requests_per_second"]
        figures["cpu_s_per_million"] = per_million(process.cpu() - before, load["spans"])
        figures["peak_mb"] = process.memory("VmHWM")
        figures["body_bytes"] = load["body_bytes"]
        figures["refused"] = sum(n for status, n in load["statuses"].items() if not status.startswith("2"))
    if agent.forwards:
        figures |= stop_figures(agent, tools)
    return figures


def stop_figures(agent, tools):
    """What is lost when the agent is told to stop right after the last answer."""
    with backend(tools) as (backend_port, counts), running(agent, backend_port) as process:
        load = send(tools, agent, process.port, 3, rate=RATE)
        begin = time.monotonic()
        process.stop()
        took = time.monotonic() - begin
        time.sleep(0.2)
        arrived = counts()["spans"]
    return {"stop_sent_spans": load["spans"], "stop_lost_spans": load["spans"] - arrived, "stop_seconds": took}


def send(tools, agent, port, seconds, rate=None):
    """Runs the load generator: its report."""
    command = [tools / "testkit-load", "--port", str(port), "--format", agent.format, "--seconds", str(seconds)]
    connections = SATURATING_CONNECTIONS
    if rate:
        command += ["--rate", str(rate)]
        connections = RATE_CONNECTIONS
    command += ["--connections", str(connections)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if not report["acknowledged"]:
        raise Failed(f"{agent.name} took nothing: {report}")
    return report


def per_million(cpu_seconds, spans):
    return cpu_seconds / spans * 1e6


class Process:
    """A started agent."""

    def __init__(self, pid, port, statsd):
        self.pid, self.port, self.statsd, self.ended = pid, port, statsd, False
        # User and system time of its whole life, seconds, once it has ended.
        self.life_cpu = None

    def cpu(self):
        """User and system time so far, seconds."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field):
        """A memory figure of the kernel, megabytes."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1000
        raise Failed(f"no {field}")

    def stop(self):
        """SIGTERM, and SIGKILL when that does not do."""
        if self.ended:
            return
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_MAX_SECONDS
        pid, _, used = os.wait4(self.pid, os.WNOHANG)
        while not pid:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline = math.inf
            time.sleep(0.002)
            pid, _, used = os.wait4(self.pid, os.WNOHANG)
        self.ended, self.life_cpu = True, used.ru_utime + used.ru_stime


@contextlib.contextmanager
def running(agent, backend_port):
    process, _ = start(agent, backend_port)
    try:
        yield process
    finally:
        process.stop()


def start_time(agent, backend_port):
    """Milliseconds from the start to the first accepted connection."""
    process, seconds = start(agent, backend_port)
    process.stop()
    return seconds * 1e3


def start(agent, backend_port, **more):
    """Starts an agent, with more variables than its own: the process, and the seconds until it accepted."""
    port, statsd = free_port(), free_port(socket.SOCK_DGRAM)
    places = {"port": port, "statsd": statsd, "backend": f"http://127.0.0.1:{backend_port}", "backend_port": backend_port}
    environment = agents.clean_environment() | agent.variables(**places) | more
    command = agent.command(**places)
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=quiet)
    process = Process(pid, port, statsd)
    while True:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return process, time.perf_counter() - begin
        if time.perf_counter() - begin > START_MAX_SECONDS:
            process.stop()
            raise Failed(f"{agent.name} does not accept within {START_MAX_SECONDS} s")
        time.sleep(0.0001)


@contextlib.contextmanager
def backend(tools):
    """The scripted backend, only counting: its port, and a function for its counts (or its metrics)."""
    process = subprocess.Popen([tools / "testkit-backend", "--keep", "counts"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().rpartition(" ")[2])

        def counts(what="counts"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_{what}", timeout=120) as answer:
                return json.load(answer)

        yield port, counts
    finally:
        process.terminate()
        process.wait()


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
