"""The table and the plot."""

import math
import statistics

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# key, what, unit, digits, less is better, the aim of lastlight as a factor of the mini agent (or None)
FIGURES = [
    ("cpu_s_per_million", "CPU seconds per million spans, saturated", "s", 1, True, 1 / 40),
    ("rate_cpu_s_per_million", "CPU seconds per million spans, 25 payloads/s", "s", 1, True, None),
    ("spans_per_second", "spans a second, saturated", "", 0, False, 30),
    ("payloads_per_second", "payloads a second, saturated", "", 0, False, None),
    ("refused", "payloads answered 429 meanwhile, which their sender keeps", "", 0, True, None),
    ("p50_ms", "p50 at 25 payloads/s", "ms", 2, True, None),
    ("p99_ms", "p99 at 25 payloads/s", "ms", 2, True, 1 / 100),
    ("peak_mb", "peak memory (VmHWM), saturated", "MB", 1, True, 1 / 3),
    ("idle_mb", "idle memory (VmRSS)", "MB", 1, True, None),
    ("start_ms", "start to first accepted connection", "ms", 2, True, 1),
    ("stop_lost_spans", "spans lost by SIGTERM right after the load", "", 0, True, None),
    ("stop_seconds", "duration of that stop", "s", 2, True, None),
]
PLOTTED = ["cpu_s_per_million", "spans_per_second", "p99_ms", "peak_mb", "idle_mb", "start_ms"]
ORDER = ["mini", "rotel", "lastlight", "sink"]
TITLES = {"mini": "mini agent", "rotel": "rotel", "lastlight": "lastlight", "sink": "bare server"}
COLOURS = {"mini": "#b0413e", "rotel": "#c08a3e", "lastlight": "#2f6f9f", "sink": "#9aa5ad"}


def write(results, folder):
    """Writes results.md, results.svg and, between its markers, the README: the table."""
    table = markdown(results)
    (folder / "results.svg").write_text(svg(results))
    publish(table, folder, BEGIN, END)
    return table


def publish(table, folder, begin, end):
    """Puts a table between its markers: in results.md, at its end the first time, and in the README if it has them."""
    for page, adds in ((folder / "results.md", True), (folder.parent / "README.md", False)):
        text = page.read_text() if page.exists() else ""
        if begin in text and end in text:
            inner = table.partition(begin)[2].partition(end)[0]
            page.write_text(text.partition(begin)[0] + begin + inner + end + text.partition(end)[2])
        elif adds:
            page.write_text(text + ("\n" if text else "") + table)


def values(results, name, key):
    rounds = results["agents"].get(name, {}).get("rounds", [])
    return [figures[key] for figures in rounds if key in figures]


def middle(results, name, key):
    found = values(results, name, key)
    return statistics.median(found) if found else None


def markdown(results):
    names = [name for name in ORDER if name in results["agents"]]
    bodies = [size for name in names if name != "rotel" for size in values(results, name, "body_bytes")]
    lines = [
        BEGIN,
        "",
        f"Median of {results['rounds']} rounds (least to greatest in brackets), agents in turn, on {results['machine']}, "
        f"shared with load generator and backend. Payloads of 10 traces of 20 spans ({max(bodies, default=0) / 1000:.0f} kB), mostly SQL, 30 % of the "
        f"statements never seen before; statistics on. Each load lasts {results['seconds']:g} s. "
        "rotel gets the same spans as OTLP and neither obfuscates nor counts.",
        "",
        "| | " + " | ".join(TITLES[name] for name in names) + ratio_head(names),
        "|---" * (len(names) + 1 + 2 * ("lastlight" in names and "mini" in names)) + "|",
    ]
    for key, what, unit, digits, _, aim in FIGURES:
        cells = [cell(values(results, name, key), unit, digits) for name in names]
        lines.append(f"| {what} | " + " | ".join(cells) + ratio(results, names, key, aim))
    sizes = {name: results["agents"][name]["binary_bytes"] / 1e6 for name in names}
    cells = [f"{sizes[name]:.1f} MB" for name in names]
    line = "| binary (the mini agent's is packed) | " + " | ".join(cells)
    if ratio_head(names) != " |":
        line += f" | {factor(sizes['lastlight'] / sizes['mini'])} | ≤ 6 MB |"
    else:
        line += " |"
    lines.append(line)
    lines.append("")
    for name, why in results["missing"].items():
        lines.append(f"{TITLES[name]}: not measured, {why}.\n")
    limit, ours = (middle(results, name, "payloads_per_second") for name in ("sink", "lastlight"))
    if limit and ours:
        lines.append(f"lastlight takes 1/{limit / ours:.1f} of the payloads a server takes that reads them and throws them away.\n")
    lines += [f"Taken by `{results['command']}`.", "", END, ""]
    return "\n".join(lines)


def ratio_head(names):
    return " | lastlight / mini | aim |" if "lastlight" in names and "mini" in names else " |"


def ratio(results, names, key, aim):
    if ratio_head(names) == " |":
        return " |"
    ours, theirs = (middle(results, name, key) for name in ("lastlight", "mini"))
    goal = "" if aim is None else ("≥ " if aim > 1 else "≤ ") + factor(aim)
    if key == "idle_mb":
        goal = "≤ 8 MB"
    if not theirs or ours is None:
        return f" | | {goal} |"
    return f" | {factor(ours / theirs)} | {goal} |"


def factor(number):
    if number == 0:
        return "0"
    return f"1/{1 / number:.3g}" if number < 0.95 else f"{number:.3g}×"


def cell(found, unit, digits):
    if not found:
        return "–"

    def text(value):
        return f"{value:,.{digits}f}"

    unit = f" {unit}" if unit else ""
    least, greatest = text(min(found)), text(max(found))
    spread = f" ({least}–{greatest})" if least != greatest else ""
    return f"{text(statistics.median(found))}{unit}{spread}"


def svg(results):
    """Bars on a logarithmic scale, one panel a figure."""
    names = [name for name in ORDER if name in results["agents"]]
    width, bar, gap, left = 760, 16, 30, 110
    panel = 2 * gap + len(names) * (bar + 4)
    rows = (len(PLOTTED) + 1) // 2
    height = rows * panel + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    described = {figure[0]: figure for figure in FIGURES}
    for place, key in enumerate(PLOTTED):
        _, what, unit, digits, less, _ = described[key]
        x, y = (place % 2) * (width // 2), (place // 2) * panel + gap
        parts.append(f'<text x="{x + 10}" y="{y - 8}" font-weight="600">{what} ({"less" if less else "more"} is better)</text>')
        shown = {name: middle(results, name, key) for name in names}
        known = [value for value in shown.values() if value]
        low, high = (min(known) / 2, max(known)) if known else (1, 10)
        for row, name in enumerate(names):
            top = y + row * (bar + 4)
            parts.append(f'<text x="{x + left - 6}" y="{top + 12}" text-anchor="end">{TITLES[name]}</text>')
            value = shown[name]
            if value is None:
                parts.append(f'<text x="{x + left}" y="{top + 12}" fill="#777">–</text>')
                continue
            share = math.log(max(value, low) / low) / math.log(high / low) if high > low else 1
            length = max(2, share * (width // 2 - left - 90))
            parts.append(f'<rect x="{x + left}" y="{top}" width="{length:.1f}" height="{bar}" fill="{COLOURS[name]}"/>')
            label = f"{value:,.{digits}f} {unit}".strip()
            parts.append(f'<text x="{x + left + length + 5:.1f}" y="{top + 12}">{label}</text>')
    note = f"median of {results['rounds']} rounds, logarithmic scale"
    parts.append(f'<text x="10" y="{height - 12}" fill="#777">{note}</text></svg>')
    return "\n".join(parts) + "\n"
