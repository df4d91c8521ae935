#!/usr/bin/env python3
"""Draws the figures that benchmarks have left: `plots.py DIRECTORY` makes SVGs of cost.json and peers.json beside them."""

import json
import math
import sys
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 70, 20, 56, 52
COLOURS = ["#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce"]
PEER, OWN = "#9ca3af", COLOURS[0]
STYLE = "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-size:16px;font-weight:600}.small{fill:#4b5563;font-size:12px}"


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#e5e7eb", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def picture(height, title, note, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    named = [f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", ground, text(16, 24, title, kind="title")]
    return "\n".join([head, *named, text(16, 42, note, kind="small"), *parts, "</svg>"]) + "\n"


def nice_ceiling(value):
    """The next of 1, 2, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def cost_chart(title, note, unit, series):
    """Lines of CPU time, from zero, over counts on a logarithmic axis. `series`: points (`at`, `cpuMicros`) by name."""
    height, points = 380, [point for line_ in series.values() for point in line_]
    top = nice_ceiling(1.3 * max(point["cpuMicros"] for point in points))
    low, high = (math.log10(f(point["at"] for point in points)) for f in (min, max))

    def x(at):
        return LEFT + (math.log10(at) - low) / (high - low) * (WIDTH - LEFT - RIGHT - 30)

    def y(micros):
        return height - BOTTOM - micros / top * (height - TOP - BOTTOM)

    parts = []
    for step in range(6):
        micros = top * step / 5
        parts += [line(LEFT, y(micros), WIDTH - RIGHT, y(micros)), text(LEFT - 8, y(micros) + 4, f"{micros:g} µs", "end", "small")]
    for power in range(math.ceil(low), math.floor(high) + 1):
        parts.append(text(x(10**power), height - BOTTOM + 20, f"{10**power:,}", "middle", "small"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, height - 10, unit, "middle", "small"))
    for number, (name, line_) in enumerate(series.items()):
        colour = COLOURS[number]
        places = " ".join(f"{x(p['at']):.1f},{y(p['cpuMicros']):.1f}" for p in line_)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for p in line_:
            parts.append(f'<circle cx="{x(p["at"]):.1f}" cy="{y(p["cpuMicros"]):.1f}" r="3.5" fill="{colour}"/>')
            if len(series) == 1:
                parts.append(text(x(p["at"]), y(p["cpuMicros"]) - 10, f"{p['cpuMicros']:.1f}", "middle", "small"))
        if len(series) > 1:
            ends = f"{name}: {line_[0]['cpuMicros']:.1f} to {line_[-1]['cpuMicros']:.1f} µs"
            parts += [line(LEFT + 12, TOP + 12 + 18 * number, LEFT + 32, TOP + 12 + 18 * number, colour, 2)]
            parts += [text(LEFT + 40, TOP + 16 + 18 * number, ends)]
    return picture(height, title, note, parts)


def peers_chart(title, note, rows):
    """Bars of rates on a logarithmic axis, the fastest on top."""
    rows = sorted((row for row in rows if "figures" in row), key=lambda row: -row["figures"]["rate"])
    step, left = 34, 250
    height = TOP + step * len(rows) + 40
    low = math.floor(math.log10(min(row["figures"]["rate"] for row in rows)))
    high = math.log10(max(row["figures"]["rate"] for row in rows))

    def x(rate):
        return left + (math.log10(rate) - low) / (high - low) * (WIDTH - left - 90)

    parts = []
    for power in range(low, math.floor(high) + 1):
        parts += [line(x(10**power), TOP, x(10**power), height - 34), text(x(10**power), height - 16, f"{10**power:,}/s", "middle", "small")]
    for number, row in enumerate(rows):
        y, rate = TOP + step * number, row["figures"]["rate"]
        colour = OWN if row["name"].startswith("Trinity") else PEER
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{max(x(rate) - left, 1):.1f}" height="{step - 12}" rx="2" fill="{colour}"/>')
        parts += [text(left - 10, y + 20, row["name"], "end"), text(x(rate) + 8, y + 20, f"{rate:,.0f}")]
    return picture(height, title, note, parts)


def main(directory):
    drawn = []

    def draw(name, svg):
        (directory / name).write_text(svg)
        drawn.append(name)

    def figures(name):
        file = directory / name
        return json.loads(file.read_text()) if file.exists() else None

    if cost := figures("cost.json"):
        note = f"CPU time of the whole process for each of the next 50,000 executions; {cost['machine'].split(', load')[0]}"
        stored = cost_chart("What W1 costs as more is stored", note, "executions stored", {"W1": cost["byStored"]})
        waiting = cost_chart("What W1 costs as more workflows wait for events", note, "workflows with triggers", cost["byWorkflows"])
        draw("cost-stored.svg", stored)
        draw("cost-workflows.svg", waiting)
    if peers := figures("peers.json"):
        note = f"Executions that durably ended, a second; logarithmic; {peers['machine'].split(', load')[0]}"
        draw("peers.svg", peers_chart("The same work side by side", note, peers["rows"]))
    print("drawn:", ", ".join(drawn) if drawn else f"nothing, {directory} has no figures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
