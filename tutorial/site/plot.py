"""The plot of who has a message when: drawn from what was measured, as SVG."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 18, 46
FIRST, LAST = 1e-3, 10.0  # seconds, on a logarithmic axis
TICKS = {0.001: "1 ms", 0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 10: "10 s"}


def x_of(seconds: float) -> float:
    """Where a time stands, in the units of the drawing."""
    part = math.log10(max(seconds, FIRST) / FIRST) / math.log10(LAST / FIRST)
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def y_of(count: float, clients: int) -> float:
    """Where a number of pollers stands."""
    return HEIGHT - BOTTOM - count / clients * (HEIGHT - TOP - BOTTOM)


def delay_plot(found: dict) -> str:
    """How many pollers have one message after how long, stage 3 and stage 5.

    `found` is what `measured.kept` returns.
    """
    clients = found["clients"]
    marks = []
    for seconds, text in TICKS.items():
        x = x_of(seconds)
        marks.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"/><text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" '
            f'text-anchor="middle">{text}</text>'
        )
    for count in (0, clients // 2, clients):
        y = y_of(count, clients)
        marks.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text x="{LEFT - 8}" y="{y + 4:.1f}" '
            f'text-anchor="end">{count}</text>'
        )
    for stage, label in (("stage3", "stage 3"), ("stage5", "stage 5")):
        arrivals = found[stage]["arrivals"]
        points, before = [], 0
        for number, seconds in enumerate(arrivals, 1):
            x = x_of(seconds)
            points += [(x, y_of(before, clients)), (x, y_of(number, clients))]
            before = number
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        middle = x_of(arrivals[len(arrivals) // 2])
        marks.append(
            f'<polyline class="{stage}" points="{path}"/>'
            f'<text class="name" x="{middle - 10:.1f}" '
            f'y="{y_of(clients * 0.62, clients):.1f}" '
            f'text-anchor="end">{label}</text>'
        )
    title = (
        f"How many of {clients} pollers have one message after how long. In stage 5 "
        f"the last has it after {_spoken(found['stage5']['arrivals'][-1])}, in stage 3 "
        f"after {_spoken(found['stage3']['arrivals'][-1])}."
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<figure class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(marks)}'
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">'
        "time since the message was sent</text></svg>"
        f"<figcaption>{escape(title)} Measured on {found['when']} with Python "
        f"{found['python']} on {found['cores']} cores.</figcaption></figure>"
    )


def _spoken(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
