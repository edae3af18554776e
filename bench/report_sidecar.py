"""The tables of the sidecar."""

import statistics

import sidecar
import sidecar_php
from report import factor, publish
from report_run import between, head, row

BEGIN, END = "<!-- bench-sidecar:begin -->", "<!-- bench-sidecar:end -->"
PHP_AIM = "≥ 98 %"


def write(results, folder):
    """Writes the tables in results.md and, between their markers, in the README: the tables."""
    table = markdown(results)
    publish(table, folder, BEGIN, END)
    return table


def markdown(results):
    figures = results["figures"]
    lines = [BEGIN, "", f"On {results['machine']}, shared with the load and the backend, which reads and throws away."]
    for name, why in results["missing"].items():
        lines.append(f"{name}: not measured, {why}.")
    lines += ["", *of_submits(figures["submit"], figures["bytes"]), "", *of_opens(figures["open"]), ""]
    lines += [*of_hosts(figures["host"]), ""]
    if "php" in figures:
        lines += [*of_php(figures["php"]), ""]
    lines += [*of_spans(figures["spans"]), "", f"Taken by `{results['command']}`, in {sum(figures['seconds'].values()):.0f} s.", "", END, ""]
    return "\n".join(lines)


def middle(steps, key):
    return statistics.median(step[key] for step in steps)


def micros(number):
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def of_submits(found, sizes):
    """What the caller waits, and what it costs both sides."""
    lines = head("µs for the caller: p50 / p99 / mean", "socket", "thread", "subprocess", "subprocess / socket, p50", "mean")
    costs = head("CPU µs per payload: caller + other side", "socket", "thread", "subprocess", "callers, subprocess / socket")
    for size, paces in found.items():
        for pace, ways in paces.items():

            def shown(way, *keys, between=" / "):
                return between.join(micros(middle(ways[way], key)) for key in keys)

            def ratio(key):
                return factor(middle(ways["subprocess"], key) / middle(ways["stream"], key))

            _, _, rate, _ = sidecar.SIZES[size]
            what = f"{size}, {rate} a second" if pace == "paced" else f"{size}, at full speed"
            everyone = ["stream", *sidecar.MODES]
            times = [shown(way, "p50_us", "p99_us", "mean_us") for way in everyone]
            lines.append(row(what, *times, ratio("p50_us"), ratio("mean_us")))
            cpu = [shown(way, "caller_cpu_us", "server_cpu_us", between=" + ") for way in everyone]
            costs.append(row(what, *cpu, ratio("caller_cpu_us")))
    waits = []
    for size, paces in found.items():
        shares = [middle(paces["full speed"][mode], "no_room") / paces["full speed"][mode][0]["count"] for mode in sidecar.MODES]
        waits.append(f"{size} {shares[0]:.2f} and {shares[1]:.2f}")
    steps = [step for paces in found.values() for ways in paces.values() for mode in sidecar.MODES for step in ways[mode]]
    paced_waits = sum(step["no_room"] for paces in found.values() for mode in sidecar.MODES for step in paces["paced"][mode])
    lengths = ", ".join(f"{length / 1e3:,.1f}" for length in sizes.values())
    return [
        *lines,
        "",
        f"`lastlight_submit` of msgpack v0.4 as tracers send it (in truth of {lengths} kB), timed by the caller; a socket is a "
        "Unix stream socket into which the same bytes are written after their length, and whose other end a process reads "
        f"into memory. Medians of {sidecar.ROUNDS} rounds, in turn. At full speed the caller is told that there is no room, and "
        "waits, outside of these times: per payload, in a thread and in a subprocess, "
        + ", ".join(waits)
        + f" times; when paced, {paced_waits} times in all. Spans that were not delivered: "
        + f"{sum(step['lost_spans'] for step in steps):,} of {sum(step['spans'] for step in steps):,}.",
        "",
        *costs,
        "",
        "The socket's other side reads; ours is the whole agent: decoded, statistics, obfuscated, compressed, delivered. The "
        "caller's includes answers, waiting for the end and, where it is paced, its sleeps.",
    ]


def of_opens(found):
    """From nothing to an answer."""

    def shown(name, key):
        return f"{found[name][key]['median'] / 1e3:.2f} / {found[name][key]['p99'] / 1e3:.2f}"

    lines = head("ms: median / p99", "thread", "subprocess")
    for key, what in (
        ("open_us", "`lastlight_open` returns"),
        ("answered_us", "from before it to the first answer of the server"),
        ("ask_us", "a question and its answer after that"),
        ("fork_us", "`fork`: to the child's first instruction"),
        ("child_submitted_us", "… to the return of its first `lastlight_submit`"),
        ("child_accepted_us", "… until that was accepted"),
        ("close_us", "`lastlight_close`"),
    ):
        lines.append(row(what, *(shown(mode, key) for mode in sidecar.MODES)))
    lines.append(row("the limit of the second line", shown("limit", "thread_us"), shown("limit", "program_us")))
    ratios = [
        factor(found[mode]["answered_us"]["median"] / found["limit"][limit]["median"])
        for mode, limit in zip(sidecar.MODES, ("thread_us", "program_us"))
    ]
    lines.append(row("second line / limit", *ratios))
    return [
        *lines,
        "",
        f"{sidecar.STARTS} fresh processes in each mode, in turn. The limits: a thread started and asked over a socket pair; a "
        "static program that does nothing, started by `posix_spawn`, until it has written a byte.",
    ]


def of_hosts(found):
    """Memory, threads, descriptors and idleness."""
    lines = head("", *sidecar.MODES)

    def add(what, shown):
        lines.append(row(what, *(shown(found[mode]) for mode in sidecar.MODES)))

    def memory(stage, key):
        def shown(stages):
            host = stages[stage]["host"][key]
            text = f"{host / 1e3:.1f} MB"
            if stage != "before":
                text += f" (+ {(host - stages['before']['host'][key]) / 1e3:.1f})"
            server = stages[stage].get("server")
            return text + (f", server {server[key] / 1e3:.1f} MB" if server else "")

        return shown

    stages = {"before": "before", "open": "opened", "submitted": "after 1,000 traces"}
    for key in ("pss_kb", "rss_kb"):
        for stage, when in stages.items():
            add(f"{key[:3].upper()} of the host, {when}", memory(stage, key))

    def descriptors(stage):
        def shown(stages):
            own = stages[stage]["host"]["descriptors_of_threads"]
            server = stages[stage].get("server")
            text = str(stages[stage]["host"]["descriptors"])
            text += "".join(f", the thread's own table {count}" for count in own)
            return text + (f", server {server['descriptors']}" if server else "")

        return shown

    add("threads of the host", lambda stages: ", ".join(f"{stages[stage]['host']['threads']}" for stage in stages_of(stages)))
    for stage, when in stages.items():
        add(f"descriptors, {when}", descriptors(stage))
    for stage, when in (("open", "nothing was ever submitted"), ("submitted", f"{sidecar.IDLE_AFTER_SECONDS} s after the traces")):
        add(
            f"CPU and wake-ups in {sidecar.IDLE_SECONDS} s, {when}",
            lambda stages: f"{stages[stage]['idle']['cpu_ms']:.3g} ms, {stages[stage]['idle']['switches']}",
        )
    return [
        *lines,
        "",
        "The host is a C program that reads its input; traces of about 10 kB. Threads: before, opened, after the traces. Idle is "
        "host and server together; wake-ups are the voluntary context switches of all their threads. Aim: none.",
    ]


def stages_of(stages):
    return [stage for stage in ("before", "open", "submitted") if stage in stages]


def of_php(found):
    """Requests a second, each against the round's first pool without the extension."""
    rounds = len(next(iter(found["real"].values())))
    lines = head("", *(name if name != "off again" else "off, another pool" for name in sidecar_php.POOLS), "aim")

    def quartiles(values, shown):
        low, mid, high = statistics.quantiles(values, n=4)
        return f"{shown(mid)} ({shown(low)}–{shown(high)})"

    for page, pools in found.items():
        rates = {name: [step["rate"] for step in steps] for name, steps in pools.items()}
        shares = {name: [rate / base for rate, base in zip(those, rates["off"])] for name, those in rates.items()}
        cells = [quartiles(those, lambda rate: f"{rate:,.0f}") for those in rates.values()]
        lines.append(row(f"{page} page: requests a second", *cells, ""))
        aim = PHP_AIM if page == "real" else ""
        cells = [quartiles(those, lambda share: f"{share:.1%}") for name, those in shares.items() if name != "off"]
        lines.append(row(f"{page} page: of those without, in the same round", "", *cells, aim))
        for key, what in (("worker_cpu_us", "CPU µs of the workers"), ("sidecar_cpu_us", "CPU µs of the sidecar")):
            cells = [f"{middle(steps, key):,.1f}" for steps in pools.values()]
            lines.append(row(f"{page} page: {what} per request", *cells, ""))
        used = {name: [step["worker_cpu_us"] + step["sidecar_cpu_us"] for step in steps] for name, steps in pools.items()}
        more = {name: [one / base - 1 for one, base in zip(those, used["off"])] for name, those in used.items()}
        cells = [quartiles(those, lambda share: f"{share:+.1%}") for name, those in more.items() if name != "off"]
        lines.append(row(f"{page} page: both, against those without in the same round", "", *cells, ""))
    return [
        *lines,
        "",
        f"PHP-FPM, {sidecar_php.WORKERS} workers, OPcache on, behind nginx, loaded by `ab -k -c {sidecar_php.CONNECTIONS}` at full "
        f"speed on the same processors: what the sidecar uses is taken from the pool. {rounds} rounds, pools in turn; "
        "medians and quartiles. Two pools are without the extension: what they differ by is chance. Loaded is with "
        "`lastlight.enabled=0`; the others trace every request. The sidecar's CPU is its thread's or process's and the master's.",
    ]


def of_spans(found):
    """Beside libdatadog."""
    titles = {
        "thread": "lastlight, thread",
        "subprocess": "lastlight, subprocess",
        "agent": "libdatadog to an agent",
        "agentless": "libdatadog to the backend",
    }
    compared = ["subprocess / libdatadog to the backend"] if "agentless" in found else []
    lines = head("", *(titles[way] for way in found), *compared)

    def add(key, what, digits):
        def shown(number):
            return f"{number:,.{digits}f}"

        known = {way: [step[key] for step in steps if key in step] for way, steps in found.items()}
        cells = [between(numbers, shown) if numbers else "–" for numbers in known.values()]
        if "agentless" in found:
            both = [statistics.median(known[way]) for way in ("subprocess", "agentless") if known[way]]
            cells.append(factor(both[0] / both[1]) if len(both) == 2 else "")
        lines.append(row(what, *cells))

    add("cpu_us_per_span", "CPU µs per span, of caller and library together", 2)
    add("payloads_per_second", "payloads a second, until all is delivered", 0)
    add("caller_ms_per_payload", "ms that the caller waits per payload", 3)
    add("caller_cpu_us_per_span", "CPU µs per span, of the caller alone", 2)
    add("bytes_per_span", "bytes sent per span, bodies alone", 1)
    return [
        *lines,
        "",
        f"{sidecar.COMPARED} payloads of 10 traces of 20 spans, msgpack v0.4, no two alike, one after the other into the same bare "
        f"HTTP server, {sidecar.COMPARED_ROUNDS} rounds in turn (least to greatest in brackets). lastlight: decodes, normalizes, obfuscates, "
        "computes statistics, writes the backend's protobuf, compresses it (zstd), delivers. libdatadog is `TraceExporter` of "
        "libdd-data-pipeline 14.0.0, `send` of the same bytes, which waits for the answer. To an agent: decodes, writes msgpack again, "
        "posts it uncompressed; obfuscation, statistics and the backend's format are left to the agent. To the backend: decodes, "
        "obfuscates, computes statistics, writes JSON, posts one request per payload, uncompressed.",
    ]
