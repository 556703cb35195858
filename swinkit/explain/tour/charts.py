"""Charts of the tour as inline SVG: lines that may be logarithmic, and bars; pieces and colours are the report's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from ...report.svg import Scale, apart, drawing, polyline, tag, ticks

WIDTH, HEIGHT = 430, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 92, 14, 42

Text = Callable[[float], str]


@dataclass(frozen=True)
class Chart:
    """``lines`` maps a name to values at ``at``; ``log`` makes the vertical axis logarithmic, ``steps`` labels every point."""

    title: str
    at: Sequence[float]
    lines: Mapping[str, Sequence[float]] = field(repr=False)
    axis: str = ""
    log: bool = False
    steps: bool = False
    cursor: bool = False


def line_chart(chart: Chart, written: Text) -> Markup:
    """``written`` turns a value into its label."""
    values = [value for line in chart.lines.values() for value in line]
    x = Scale(min(chart.at), max(chart.at), LEFT, WIDTH - RIGHT)
    y, marks = _vertical(values, chart.log)
    parts = [_level(y(_place(mark, chart.log)), written(mark)) for mark in marks]
    across = list(chart.at) if chart.steps else ticks(min(chart.at), max(chart.at), 5)
    parts += [tag("text", written(at), x=x(at), y=HEIGHT - BOTTOM + 16, text_anchor="middle", class_="tick") for at in across]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", chart.axis, x=middle, y=HEIGHT - 6, text_anchor="middle", class_="tick"))
    if chart.cursor:
        parts.append(tag("line", x1=LEFT, x2=LEFT, y1=TOP, y2=HEIGHT - BOTTOM, class_="cursor"))
    ends = []
    for order, line in enumerate(chart.lines.values()):
        drawn = [(x(at), y(_place(value, chart.log))) for at, value in zip(chart.at, line, strict=True)]
        parts.append(polyline(drawn, f"line line-{order}"))
        parts += [tag("circle", cx=a, cy=b, r=2.6, class_=f"dot dot-{order}") for a, b in drawn if len(drawn) <= 16]
        ends.append(drawn[-1][1])
    for order, (name, place) in enumerate(zip(chart.lines, apart(ends), strict=True)):
        parts.append(tag("text", name, x=WIDTH - RIGHT + 8, y=place + 4, class_=f"name name-{order}"))
    return drawing(WIDTH, HEIGHT, chart.title, *parts)


def places(chart: Chart) -> list[float]:
    """Where on the drawing each of ``chart.at`` lies, for a cursor that moves."""
    x = Scale(min(chart.at), max(chart.at), LEFT, WIDTH - RIGHT)
    return [round(x(at), 2) for at in chart.at]


def bar_chart(title: str, rows: Mapping[str, float], written: Text) -> Markup:
    """Horizontal bars of ``rows``, largest as long as there is room."""
    most, pitch, left = max(rows.values()) or 1.0, 26, 158
    parts = []
    for order, (name, value) in enumerate(rows.items()):
        top = order * pitch + 4
        long = max(1.0, value / most * (WIDTH - left - 74))
        parts += [
            tag("text", name, x=left - 8, y=top + 14, text_anchor="end", class_="tick"),
            tag("rect", x=left, y=top + 2, width=long, height=16, class_="bar"),
            tag("text", written(value), x=left + long + 7, y=top + 15, class_="label small"),
        ]
    return drawing(WIDTH, len(rows) * pitch + 8, title, *parts)


def _vertical(values: Sequence[float], log: bool) -> tuple[Scale, list[float]]:
    if log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return Scale(first, max(last, first + 1), HEIGHT - BOTTOM, TOP), [10.0**power for power in range(first, last + 1)]
    low, high = min(0.0, *values), max(values)
    air = (high - low) * 0.05 or 1.0
    high, low = high + air, low - (air if low < 0 else 0)
    return Scale(low, high, HEIGHT - BOTTOM, TOP), ticks(low, high, 4)


def _place(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _level(y: float, text: str) -> Markup:
    line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
    return tag("g", line, tag("text", text, x=LEFT - 7, y=y + 4, text_anchor="end", class_="tick"))
