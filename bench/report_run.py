"""The tables and the plot of the entrypoint."""

import statistics

from entrypoint import (
    ANSWER_MILLISECONDS,
    FLOOD_BYTES,
    HELD_CONTEXTS,
    HELD_LOG_BYTES,
    HELD_PAYLOADS,
    IDLE_SECONDS,
    LADDER_SECONDS,
    LINE_MICROSECONDS,
    LINES,
    SIGNALS,
    STARTS,
    UNREACHABLE_TIMEOUT_SECONDS,
)
from report import COLOURS, factor, publish

BEGIN, END = "<!-- bench-run:begin -->", "<!-- bench-run:end -->"
ORDER = ["bare", "tini", "dumb-init", "keyless", "lastlight", "logs"]
TITLES = {
    "bare": "no wrapper",
    "keyless": "lastlight, no key",
    "lastlight": "lastlight",
    "logs": "lastlight with logs",
}
START_AIM, IDLE_AIM = "≤ 5 ms", "a few ms"


def write(results, folder):
    """Writes run.svg and the tables in results.md and, between their markers, in the README: the tables."""
    table = markdown(results)
    (folder / "run.svg").write_text(svg(results["figures"]))
    publish(table, folder, BEGIN, END)
    return table


def title(name):
    return TITLES.get(name, name)


def markdown(results):
    figures = results["figures"]
    lines = [BEGIN, "", f"On {results['machine']}, shared with the backend."]
    for name, why in results["missing"].items():
        lines.append(f"{title(name)}: not measured, {why}.")
    lines += [
        "serverless-init, which lastlight replaces, is not measured: its binary is published in container images alone.",
        "",
        *of_wrappers(figures),
        "",
        *of_logs(figures),
        "",
        *of_stops(figures["stops"]),
        "",
        f"Taken by `{results['command']}`.",
        "",
        END,
        "",
    ]
    return "\n".join(lines)


def head(*cells):
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|"]


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def of_wrappers(figures):
    """Starts, ends and idleness."""
    names = [name for name in ORDER if name in figures["starts"]]
    lines = head("", *map(title, names), "lastlight / tini", "aim")

    def add(what, section, pick, shown, aim=""):
        found = {name: pick(figures[section][name]) for name in names if name in figures[section]}
        cells = [shown(found[name]) if name in found else "–" for name in names]
        ratio = factor(found["lastlight"] / found["tini"]) if found.get("tini") else ""
        lines.append(row(what, *cells, ratio, aim))

    for key, what, aim in (
        ("running_ms", "start to the program's first instruction", START_AIM),
        ("ended_ms", "start to the end, of a program that ends at once", ""),
    ):
        for part in ("median", "p99"):
            add(f"{what}, {part}", "starts", lambda found: found[key][part], lambda number: f"{number:.2f} ms", aim)
            aim = ""
    for key, what, unit, aim in (
        ("cpu_ms_per_minute", "idle: CPU per minute", " ms", IDLE_AIM),
        ("wakes_per_minute", "idle: wake-ups per minute", "", ""),
        ("rss_mb", "idle: memory (RSS)", " MB", ""),
        ("pss_mb", "idle: memory (PSS)", " MB", ""),
    ):
        add(what, "idle", lambda found: found[key], lambda number: f"{number:.3g}{unit}", aim)
    lines += [
        "",
        f"Starts are {STARTS} of each, in turn, timed from before the wrapper's. With a key, metrics about the program's own "
        f"run are sent at its end, and sockets are read until nothing came for a while: nothing that was sent is lost. Idle is "
        f"the wrapper alone, over {IDLE_SECONDS} s; what it does then is to look at CPU, memory and network for the platform's "
        "metrics (`DD_ENHANCED_METRICS_ENABLED`).",
    ]
    return lines


def of_logs(figures):
    """Latency and throughput."""
    lines = head("", "pipe (`cat`)", title("lastlight"), title("logs"), "with logs / pipe")
    found = figures["lines"]
    for part in ("median", "p99"):
        cells = [found[name][part] for name in ("bare", "lastlight", "logs")]
        shown = [f"{number * 1e3:,.0f} µs" for number in cells]
        lines.append(row(f"from a line's writing to its reading, {part}", *shown, f"+ {(cells[2] - cells[0]) * 1e3:,.0f} µs"))
    floods = figures["flood"]

    def middle(name, key):
        return statistics.median(step[key] for step in floods[name])

    for key, what, shown in (
        ("bytes_per_second", "bytes a second at full speed", lambda number: f"{number / 1e6:,.0f} MB/s"),
        ("cpu_s_per_gb", "CPU seconds of the wrapper per GB", lambda number: f"{number:.2f} s"),
    ):
        numbers = [middle(name, key) for name in ("cat", "lastlight", "logs")]
        lines.append(row(what, *map(shown, numbers), factor(numbers[2] / numbers[0])))
    lost, peak = [step["lost"] for step in floods["logs"]], [step["peak_mb"] for step in floods["logs"]]
    why = sorted({reason for step in floods["logs"] for reason in step["dropped"]})
    reasons = f", counted as {', '.join(f'`{reason}`' for reason in why)}" if why else ""
    lines.append(row("logs not delivered at full speed", "", "", between(lost, percent) + reasons, ""))
    lines.append(row("peak memory at full speed", "", f"{middle('lastlight', 'peak_mb'):.0f} MB", f"{max(peak):.0f} MB", ""))
    whole = [step for step in figures["ladder"] if not step["lost"]]
    best = whole[-1] if whole else None
    shown = f"{best['bytes_per_second'] / 1e6:,.0f} MB/s, {best['cpu_s_per_gb']:.2f} s per GB" if best else "none measured"
    lines.append(row("greatest paced rate with every log delivered", "", "", shown, ""))
    after = [step for step in figures["ladder"] if step["lost"]]
    next_step = f" At {after[0]['rate'] / 1e6:,.0f} MB/s {percent(after[0]['lost'])} were lost." if after else ""
    off = sum(step["off_the_books"] for step in floods["logs"] + figures["ladder"])
    lines += [
        "",
        f"{LINES:,} lines, one every {LINE_MICROSECONDS / 1000:g} ms; {FLOOD_BYTES / 1e6:,.0f} MB of lines of 100 bytes, 40 at "
        f"once, into /dev/null; paced rates for {LADDER_SECONDS:g} s each. Without logs the program writes into our standard "
        f"output itself. A backend does not hold the program back: what is too much for the memory is dropped and counted.{next_step} "
        f"Lines that are not on the books: {off:,}.",
    ]
    return lines


def of_stops(stops):
    """By what was held and what the backend does."""
    kinds = [[], *([one] for one in SIGNALS), SIGNALS]
    weathers = {
        "answers": f"SIGTERM, answers after {ANSWER_MILLISECONDS} ms",
        "exits": f"program ends, answers after {ANSWER_MILLISECONDS} ms",
        "refuses": "connection refused",
        "silent": "no answer",
    }
    names = {
        "logs": f"{HELD_LOG_BYTES / 1e6:g} MB of logs",
        "metrics": f"{HELD_CONTEXTS:,} contexts",
        "traces": f"{HELD_PAYLOADS * 200:,} spans",
    }
    lines = head("stop with … held", *weathers.values())
    taken = {}
    for kind in kinds:
        cells = []
        for weather in weathers:
            steps = [step for step in stops if list(step["held"]) == kind and step["weather"] == weather]
            seconds = taken[weather, tuple(kind)] = [step["seconds"] for step in steps]
            cells.append((between(seconds, lambda number: f"{number:.2f} s") + undelivered(steps, weather)) if steps else "–")
        what = "all of it" if len(kind) > 1 else names[kind[0]] if kind else "nothing"
        lines.append(row(what, *cells))
    alone = [statistics.median(taken["answers", (one,)]) for one in SIGNALS]
    together = statistics.median(taken["answers", tuple(SIGNALS)])
    lines += [
        "",
        f"The backend answers nothing until the stop begins. All together take {together / max(alone):.2f} times the longest "
        f"alone and {together / sum(alone):.2f} times the sum: signals drain side by side. Without a backend a stop ends at its "
        f"deadline, here {UNREACHABLE_TIMEOUT_SECONDS} s, and everything is counted.",
    ]
    return lines


def undelivered(steps, weather):
    """What did not arrive though the backend answered; what is not accounted for wherever that is."""
    books = [book for step in steps for book in step["books"].values()]
    off = sum(book["accepted"] - book["delivered"] - sum(book["dropped"].values()) for book in books)
    dropped = sum(sum(book["dropped"].values()) for book in books)
    said = f", {dropped:,} dropped" if dropped and weather in ("answers", "exits") else ""
    return said + (f", {off:,} not on the books" if off else "")


def between(numbers, shown):
    """The middle, and the least and the greatest where they differ."""
    least, greatest = shown(min(numbers)), shown(max(numbers))
    return shown(statistics.median(numbers)) + (f" ({least}–{greatest})" if least != greatest else "")


def percent(share):
    if share == 0:
        return "0"
    return f"{share:.2%}" if share < 0.01 else f"{share:.0%}"


def svg(figures):
    """Starts, and stops of what is held alone and together."""
    starts = [
        (title(name), figures["starts"][name]["running_ms"]["median"], name in ("keyless", "lastlight", "logs"))
        for name in ORDER
        if name in figures["starts"]
    ]
    stops = []
    for kind in [*([one] for one in SIGNALS), SIGNALS]:
        seconds = [step["seconds"] for step in figures["stops"] if list(step["held"]) == kind and step["weather"] == "answers"]
        stops.append(("together" if len(kind) > 1 else kind[0], statistics.median(seconds), len(kind) > 1))
    stops.insert(3, ("their sum", sum(seconds for _, seconds, _ in stops[:3]), False))
    width, height = 760, 60 + 20 * max(len(starts), len(stops))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    parts += bars(0, "start to the running program", starts, lambda number: f"{number:.2f} ms")
    parts += bars(width // 2, "stop with all of that held", stops, lambda number: f"{number:.2f} s")
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(left, what, rows, shown):
    """Bars from zero; ours in our colour."""
    top = max(number for _, number, _ in rows)
    parts = [f'<text x="{left + 10}" y="22" font-weight="600">{what} (less is better)</text>']
    for place, (name, number, is_ours) in enumerate(rows):
        y, length = 36 + 20 * place, max(2, number / top * 160)
        colour = COLOURS["lastlight" if is_ours else "sink"]
        parts.append(f'<text x="{left + 124}" y="{y + 12}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{left + 130}" y="{y}" width="{length:.1f}" height="16" fill="{colour}"/>')
        parts.append(f'<text x="{left + 135 + length:.1f}" y="{y + 12}">{shown(number)}</text>')
    return parts
