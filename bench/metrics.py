"""DogStatsD measured: cost, loss by rate, contexts, stop."""

import json
import pathlib
import subprocess
import sys
import time

import measure

# Samples a second that everyone can take, and for how long.
COST_RATES, COST_SECONDS = [50_000, 100_000, 179_000], 5
# Samples a second up to where everyone loses some.
LADDER = [89_000, 179_000, 357_000, 714_000, 1_070_000, 1_430_000, 1_790_000, 2_140_000, 2_860_000, 3_570_000, 4_280_000]
LADDER_SECONDS = 3
# Rungs measured after the first loss.
RUNGS_AFTER_LOSS = 2
# Contexts: samples a second, seconds, and what lastlight is allowed to use.
CONTEXTS = {1_000: (179_000, 6), 10_000: (179_000, 6), 100_000: (179_000, 6), 1_000_000: (357_000, 9)}
RAISED = {"LASTLIGHT_MEMORY": str(1_000_000_000), "LASTLIGHT_METRIC_CONTEXTS": str(1_200_000)}
# More than that the mini agent drops by design.
MINI_CONTEXTS_MAX = 100_000
# The burst before a stop.
STOP_RATE, STOP_SECONDS = 100_000, 2
# Longest wait for what was sent: the mini agent flushes every 10 s and not when it is told to stop.
FLUSH_MAX_SECONDS = 11.5
# Less than this share is no loss: nothing was lost.
LOSS_MIN = 0


def run(chosen, tools):
    """All figures by agent."""
    results = {}
    for agent in chosen:
        figures = {"cost": [], "ladder": [], "contexts": [], "stop": None}
        for rate in COST_RATES:
            figures["cost"].append(say(agent, once(agent, tools, rate, COST_SECONDS)))
        after = 0
        for rate in LADDER:
            if after > RUNGS_AFTER_LOSS:
                break
            step = say(agent, once(agent, tools, rate, LADDER_SECONDS))
            figures["ladder"].append(step)
            after += after > 0 or step["lost"] > LOSS_MIN
        if agent.forwards:
            for contexts, (rate, seconds) in CONTEXTS.items():
                if agent.name == "mini" and contexts > MINI_CONTEXTS_MAX:
                    continue
                more = RAISED if agent.name == "lastlight" and contexts > 100_000 else {}
                figures["contexts"].append(say(agent, once(agent, tools, rate, seconds, contexts, more)))
            figures["stop"] = say(agent, once(agent, tools, STOP_RATE, STOP_SECONDS, waits=False))
        results[agent.name] = figures
    return results


def say(agent, figures):
    print(f"{agent.name}: {json.dumps(figures)}", file=sys.stderr)
    return figures


def once(agent, tools, rate, seconds, contexts=1000, more=None, waits=True):
    """One load on a fresh agent. The books are of counts and distributions: of gauges the last value counts."""
    with measure.backend(tools) as (backend_port, counts):
        process, _ = measure.start(agent, backend_port, **(more or {}))
        try:
            heard(agent, process)
            before = process.cpu()
            command = [tools / "testkit-statsd", "--udp", str(process.statsd), "--rate", str(rate)]
            command += ["--seconds", str(seconds), "--contexts", str(contexts)]
            sent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if agent.name == "mini" and waits:
                deadline = time.monotonic() + FLUSH_MAX_SECONDS
                while time.monotonic() < deadline and sum(arrived(counts)) < sum(booked(sent)):
                    time.sleep(0.25)
            peak, drops = process.memory("VmHWM"), kernel_drops(process.statsd)
            begin = time.monotonic()
            process.stop()
            took = time.monotonic() - begin
        finally:
            process.stop()
        figures = {
            "rate": rate,
            "sent_rate": sent["samples_per_second"],
            "contexts": contexts,
            "samples": sent["samples"],
            "cpu_s_per_million": measure.per_million(process.life_cpu - before, sent["samples"]),
            "sender_cpu_s_per_million": measure.per_million(sent["cpu_seconds"], sent["samples"]),
            "peak_mb": peak,
            "kernel_drops": drops,
            "stop_seconds": took,
        }
        if agent.forwards:
            wanted, got = sum(booked(sent)), sum(arrived(counts))
            figures |= {"booked": wanted, "arrived": got}
            figures["lost"] = 1 - got / wanted
        else:
            figures["lost"] = drops / sent["datagrams"]
        return figures


def heard(agent, process):
    """Waits until the UDP port is there: it may come after the first accepted connection."""
    deadline = time.monotonic() + measure.START_MAX_SECONDS
    while sockets(process.statsd) == []:
        if time.monotonic() > deadline:
            raise measure.Failed(f"{agent.name} does not listen for DogStatsD")
        time.sleep(0.01)


def booked(sent):
    """Counts and distributions sent."""
    return [sent["kinds"][kind]["samples"] for kind in ("c", "d")]


def arrived(counts):
    """Counts and distributions at the backend, after its merge."""
    names = counts("metrics")["names"]
    total = sum(figures["total"] for name, figures in names.items() if name.startswith("kit.c."))
    return [round(total), sum(figures["sketched"] for name, figures in names.items() if name.startswith("kit.d."))]


def sockets(port):
    """Lines of the kernel's table of UDP sockets."""
    lines = []
    for table in ("udp", "udp6"):
        lines += [line.split() for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [line for line in lines if line[1].endswith(f":{port:04X}")]


def kernel_drops(port):
    """Datagrams that found the receive buffer full."""
    return sum(int(line[-1]) for line in sockets(port))
