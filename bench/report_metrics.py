"""The table and the plots of metrics."""

import math

from report import COLOURS, factor, publish

BEGIN, END = "<!-- bench-metrics:begin -->", "<!-- bench-metrics:end -->"
ORDER = ["mini", "lastlight", "sink"]
TITLES = {"mini": "mini agent", "lastlight": "lastlight", "sink": "bare recvmmsg loop"}
# Of the mini agent's figures.
AIM_CPU, AIM_RATE = 1 / 8, 8
# Of the bare loop's.
AIM_LIMIT = 3


def write(results, folder):
    """Writes metrics.svg and the table in results.md and, between its markers, in the README: the table."""
    table = markdown(results)
    (folder / "metrics.svg").write_text(svg(results))
    publish(table, folder, BEGIN, END)
    return table


def markdown(results):
    found = results["agents"]
    names = [name for name in ORDER if name in found]
    compared = "mini" in names and "lastlight" in names
    lines = [
        BEGIN,
        "",
        f"One round on {results['machine']}, shared with load generator and backend: counts, gauges and distributions over "
        "UDP, 18 samples a datagram, 3 to 5 tags, 1,000 contexts unless said otherwise, a fresh agent for each load. CPU "
        "seconds are the process's, flush included. Lost is what of the counts and distributions handed to the kernel was "
        "not at the backend after its merge (for the bare loop: what the kernel dropped).",
        "",
        "| | " + " | ".join(TITLES[name] for name in names) + (" | lastlight / mini | aim |" if compared else " |"),
        "|---" * (len(names) + 1 + 2 * compared) + "|",
    ]

    def row(what, shown, numbers=None, aim=""):
        line = f"| {what} | " + " | ".join(shown.get(name, "–") for name in names)
        if compared:
            ours, theirs = ((numbers or {}).get(name) for name in ("lastlight", "mini"))
            line += f" | {factor(ours / theirs) if ours is not None and theirs else ''} | {aim}"
        lines.append(line + " |")

    for rate in every(found, "cost", "rate"):
        steps = pick(found, "cost", "rate", rate)
        numbers = {name: step["cpu_s_per_million"] for name, step in steps.items()}
        shown = {name: f"{number:.2f} s{lost(steps[name])}" for name, number in numbers.items()}
        row(f"CPU seconds per million samples, {rate:,}/s", shown, numbers, f"≤ {factor(AIM_CPU)}")
    # What another load lost at a rate counts as well.
    sustained = {name: sustained_rate(found[name]["cost"] + found[name]["ladder"]) for name in names}
    shown = {name: f"{rate:,}" if rate else "none measured" for name, rate in sustained.items()}
    row("samples/s without loss, greatest measured", shown, sustained, f"≥ {AIM_RATE}×")
    for rate in every(found, "ladder", "rate"):
        steps = pick(found, "ladder", "rate", rate)
        # Where the generator was held up, what it really sent.
        shown = {
            name: percent(step["lost"]) + ("" if step["sent_rate"] > 0.95 * rate else f" of {step['sent_rate']:,.0f}/s")
            for name, step in steps.items()
        }
        row(f"lost at {rate:,}/s", shown)
    for contexts in every(found, "contexts", "contexts"):
        steps = pick(found, "contexts", "contexts", contexts)
        numbers = {name: step["cpu_s_per_million"] for name, step in steps.items()}
        shown = {
            name: f"{step['cpu_s_per_million']:.2f} s, {step['peak_mb']:.0f} MB, {percent(step['lost'])} lost"
            for name, step in steps.items()
        }
        aim = {100_000: "≤ 64 MB, 0 lost", 1_000_000: "≤ 400 MB, 0 lost"}.get(contexts, "")
        row(f"{contexts:,} contexts: CPU seconds per million samples, peak memory, lost", shown, numbers, aim)
    stops = {name: found[name]["stop"] for name in names if found[name]["stop"]}
    shown = {
        name: f"{stop['booked'] - stop['arrived']:,} of {stop['booked']:,} in {stop['stop_seconds']:.2f} s"
        for name, stop in stops.items()
    }
    row("samples lost by SIGTERM right after the load", shown, None, "0")
    lines.append("")
    for name, why in results["missing"].items():
        lines.append(f"{TITLES.get(name, name)}: not measured, {why}.\n")
    if "sink" in names and "lastlight" in names:
        pairs = [(rate, pick(found, "cost", "rate", rate)) for rate in every(found, "cost", "rate")]
        rate, steps = pairs[-1]
        if steps["sink"]["cpu_s_per_million"]:
            times = steps["lastlight"]["cpu_s_per_million"] / steps["sink"]["cpu_s_per_million"]
            lines.append(
                f"At {rate:,}/s lastlight costs {times:.1f} times what a loop costs that receives and discards (aim: at most {AIM_LIMIT}).\n"
            )
    steps = [step for name in names for step in found[name]["ladder"]]
    most = max((step["sent_rate"] for step in steps), default=0)
    lines += [f"The load generator reached {most:,.0f} samples/s.", "", f"Taken by `{results['command']}`.", "", END, ""]
    return "\n".join(lines)


def every(found, section, key):
    """All values of a key that any agent was measured at, ascending."""
    return sorted({step[key] for figures in found.values() for step in figures[section]})


def pick(found, section, key, value):
    """The step of each agent that was measured at a value."""
    return {name: step for name, figures in found.items() for step in figures[section] if step[key] == value}


def sustained_rate(ladder):
    """The greatest rate up to which nothing was lost, of those that the generator reached."""
    best = 0
    for step in sorted(ladder, key=lambda step: step["rate"]):
        if step["lost"] > 0:
            break
        best = round(step["sent_rate"])
    return best


def percent(share):
    if share == 0:
        return "0"
    return f"{share:.2%}" if abs(share) < 0.01 else f"{share:.0%}"


def lost(step):
    return f" ({percent(step['lost'])} lost)" if step["lost"] else ""


def svg(results):
    """Cost by contexts, and loss by rate."""
    found = results["agents"]
    width, height = 760, 320
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    # At 1,000 contexts the bare loop stands for the limit.
    cost = {name: [(step["contexts"], step["cpu_s_per_million"]) for step in figures["contexts"]] for name, figures in found.items()}
    limit = [step["cpu_s_per_million"] for step in found.get("sink", {}).get("cost", [])]
    if limit:
        cost["sink"] = [(contexts, limit[-1]) for contexts in every(found, "contexts", "contexts")]
    loss = {name: [(step["sent_rate"], step["lost"] * 100) for step in figures["ladder"]] for name, figures in found.items()}
    parts += panel(0, "CPU s per million samples, by contexts", cost, logarithmic=True)
    parts += panel(width // 2, "% of the samples lost, by samples/s", loss, logarithmic=False)
    for place, name in enumerate(name for name in ORDER if name in found):
        x = 60 + place * 150
        parts.append(f'<rect x="{x}" y="{height - 24}" width="12" height="12" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 17}" y="{height - 14}">{TITLES[name]}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def panel(left, title, lines, logarithmic):
    """Lines over a logarithmic horizontal axis."""
    x0, x1, y0, y1 = left + 50, left + 365, 250, 45
    parts = [f'<text x="{left + 10}" y="22" font-weight="600">{title}</text>']
    points = [point for line in lines.values() for point in line if point[0] > 0 and (point[1] > 0 or not logarithmic)]
    if not points:
        return parts
    low, high = (math.log10(f(x for x, _ in points)) for f in (min, max))
    if logarithmic:
        bottom, top = (math.floor(math.log10(min(y for _, y in points))), math.ceil(math.log10(max(y for _, y in points))))
        ticks = [(10.0**power, power) for power in range(bottom, top + 1)]
    else:
        bottom, top = 0, 100
        ticks = [(value, value) for value in (0, 25, 50, 75, 100)]

    def place(x, y):
        height = math.log10(y) if logarithmic else max(0, min(100, y))
        across = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return x0 + across * (x1 - x0 - 10) + 5, y0 + (height - bottom) / ((top - bottom) or 1) * (y1 - y0)

    for label, height in ticks:
        y = y0 + (height - bottom) / ((top - bottom) or 1) * (y1 - y0)
        parts.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#777">{label:g}</text>')
    for label in spread(sorted({x for line in lines.values() for x, _ in line})):
        x, _ = place(label, ticks[0][0])
        parts.append(f'<text x="{x:.1f}" y="{y0 + 18}" text-anchor="middle" fill="#777">{short(label)}</text>')
    for name, line in lines.items():
        placed = [place(x, y) for x, y in line if y > 0 or not logarithmic]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        dashes = ' stroke-dasharray="5 4"' if name == "sink" else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in placed]
    return parts


def spread(values):
    """Those that are far enough apart to be labelled."""
    kept = []
    for value in values:
        if not kept or value / kept[-1] >= 1.6:
            kept.append(value)
    return kept


def short(number):
    return f"{number / 1e6:.3g} M" if number >= 1e6 else f"{number / 1e3:.3g} k"
