"""Charts as inline SVG: training curves, reliability, intervals. Axes, direct labels, and a title under the pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from ..tasks.metrics import Reliability
from .svg import Scale, apart, drawing, number, percent, polyline, shorten, tag

WIDTH, WIDE, HEIGHT = 348, 560, 236
LEFT, RIGHT, TOP, BOTTOM = 44, 62, 12, 34  # LEFT and RIGHT at least: wide ticks and names of lines take more
DIGIT = 6.8  # pixels of a character of a tick
NAME, BETWEEN = 26, 14  # letters of a line's name, pixels from one name to the next
COLOURS = 6  # of lines in the style sheet; the seventh line begins anew
TICKS = 30.0  # pixels from one written place below the axis to the next, at least
NEAR = 34  # pixels between circles whose notes would touch

Text = Callable[[float], str]


@dataclass(frozen=True)
class Curve:
    """One chart: ``lines`` maps a name to its points, by default over epochs; ``share`` reads values as per cent.

    ``best`` is "max", "min" or None: which point of the last line is marked; ``kept`` marks the point there instead, whose weights were kept. ``across`` names what the points lie over, ``unit``
    that of the values. ``log`` draws both axes by their logarithm, ``wide`` is a wider drawing, ``dashed`` are lines that were
    computed rather than measured, and ``marks`` are points with a note.
    """

    name: str
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(repr=False)
    share: bool = False
    best: str | None = None
    kept: float | None = None
    across: str = "epoch"
    unit: str = ""
    log: bool = False
    wide: bool = False
    dashed: frozenset[str] = frozenset()
    marks: Sequence[tuple[float, float, str]] = ()

    @property
    def finite(self) -> dict[str, list[tuple[float, float]]]:
        """The lines without points that cannot be drawn, and without lines that have no others."""
        kept = {name: [point for point in points if self._drawable(point)] for name, points in self.lines.items()}
        return {name: points for name, points in kept.items() if points}

    def _drawable(self, point: tuple[float, float]) -> bool:
        return bool(np.isfinite(point).all()) and (not self.log or min(point) > 0)

    def exact(self, value: float) -> str:
        """A value as it is told."""
        return _exact(value, self.share) + self.unit


def line_chart(curve: Curve) -> Markup:
    """``curve`` with every line named where it ends. Points that are not finite are left out, so a line bridges them."""
    lines = curve.finite
    x, y = _scales(curve, lines)
    width = WIDE if curve.wide else WIDTH
    written = _written(curve, y)
    places = sorted({at for points in lines.values() for at, _ in points}) if curve.log else []
    parts = [_grid(x, y, curve.across, written, whole=not curve.log, places=_legible(places, x))]
    for order, (name, points) in enumerate(lines.items()):
        parts += _line(curve, name, [(x(at), y(value)) for at, value in points], points, order % COLOURS)
    if len(lines) > 1:
        ends = apart([y(points[-1][1]) for points in lines.values()], BETWEEN, y.start)
        for order, ((name, points), place) in enumerate(zip(lines.items(), ends, strict=True)):
            kind = f"name name-{order % COLOURS}"
            parts.append(tag("text", shorten(name, NAME), x=x(points[-1][0]) + 7, y=place + 4, class_=kind))
    if curve.best and lines:
        parts.append(_best(curve, list(lines.values())[-1], x, y, len(lines) - 1))
    parts += _marks([(x(at), y(value), text) for at, value, text in curve.marks])
    return drawing(width, y.start + BOTTOM, f"{curve.name} by {curve.across}", *parts)


def _written(curve: Curve, y: Scale) -> Text:
    return _shares(y.ticks(4)) if curve.share else number


def _shares(values: Sequence[float]) -> Text:
    """Writes shares as per cent, with as many digits as tell ``values`` exactly."""
    exact = [digits for digits in range(9) if all(abs(round(100 * value, digits) - 100 * value) < 1e-9 for value in values)]
    return partial(percent, digits=exact[0] if exact else 9)


def _scales(curve: Curve, lines: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Scale, Scale]:
    every = np.array([point for points in lines.values() for point in points])
    names = 16 if len(lines) < 2 else max(RIGHT, 10 + 7 * min(NAME, max(map(len, lines))))
    height = max(HEIGHT - BOTTOM, TOP + BETWEEN * len(lines))
    first, last = (float(limit) for limit in (every[:, 0].min(), every[:, 0].max()))
    low, high = (every[:, 1].min() / 1.15, every[:, 1].max() * 1.15) if curve.log else _range(every[:, 1])
    y = Scale(float(low), float(high), height, TOP, curve.log)
    written = _written(curve, y)
    left = max(LEFT, 8 + DIGIT * max(len(written(value)) for value in y.ticks(4)))
    return Scale(first if curve.log else min(0.0, first), last, left, (WIDE if curve.wide else WIDTH) - names, curve.log), y


def _line(
    curve: Curve, name: str, drawn: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]], order: int
) -> list[Markup]:  # fmt: skip
    kind = f"line line-{order}{' computed' if name in curve.dashed else ''}"
    parts = [
        polyline(drawn, kind)
        if len(drawn) > 1
        else tag("circle", cx=drawn[0][0], cy=drawn[0][1], r=3, class_=f"dot dot-{order}")
    ]
    if len(points) <= 120:
        parts += [
            _hover(place, f"{name}, {curve.across} {number(at)}: {curve.exact(value)}")
            for place, (at, value) in zip(drawn, points, strict=True)
        ]
    return parts


def _best(curve: Curve, points: Sequence[tuple[float, float]], x: Scale, y: Scale, order: int) -> Markup:
    epoch, value = (max if curve.best == "max" else min)(points, key=lambda point: point[1])
    kept = [point for point in points if point[0] == curve.kept]
    word = "kept" if kept and kept[0][1] != value else "best"
    epoch, value = kept[0] if kept else (epoch, value)
    across, down = x(epoch), y(value)
    anchor = "end" if across > WIDTH / 2 else "start"
    text = tag("text", f"{word} {curve.exact(value)}", x=across, y=down - 9, text_anchor=anchor, class_="note")
    return tag("g", tag("circle", cx=across, cy=down, r=3.5, class_=f"dot dot-{order}"), text)


def _marks(places: Sequence[tuple[float, float, str]]) -> list[Markup]:
    """Circles at ``places`` (across, down, note), each with its note above it; the notes of neighbours stand one above the other."""
    parts, lifted = [], 0
    for (before, _, _), (across, down, text) in pairwise([(-NEAR, 0.0, ""), *sorted(places)]):
        lifted = lifted + 1 if across - before < NEAR else 0
        note = tag("text", text, x=across - 8, y=down - 8 - BETWEEN * lifted, text_anchor="end", class_="note")
        parts.append(tag("g", tag("circle", cx=across, cy=down, r=4, class_="mark-point"), note))
    return parts


def _range(values: np.ndarray) -> tuple[float, float]:
    """The values' range with a little air, from 0 if that is near."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and low < 0.35 * high:
        low = 0.0
    air = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (low if low == 0 else low - air), high + air


def _exact(value: float, share: bool) -> str:
    return percent(value) if share else f"{value:.4g}"


def _hover(place: tuple[float, float], text: str) -> Markup:
    return tag("circle", tag("title", text), cx=place[0], cy=place[1], r=6, class_="hover")


def _legible(places: Sequence[float], x: Scale) -> list[float]:
    """Those of ``places`` that can be written below an axis without touching one another, the last one for certain."""
    kept: list[float] = []
    for place in reversed(places):
        if not kept or x(kept[-1]) - x(place) >= TICKS:
            kept.append(place)
    return kept[::-1]


def _grid(
    x: Scale, y: Scale, x_name: str, y_text: Text, x_text: Text = number, whole: bool = False, places: Sequence[float] = ()
) -> Markup:  # fmt: skip
    parts = []
    for value in y.ticks(4):
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(tag("text", y_text(value), x=x.start - 7, y=y(value) + 4, text_anchor="end", class_="tick"))
    across = places or x.ticks(5)
    for value in [at for at in across if not whole or at == int(at)]:
        parts.append(tag("line", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(tag("text", x_text(value), x=x(value), y=y.start + 17, text_anchor="middle", class_="tick"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    parts.append(tag("text", x_name, x=(x.start + x.end) / 2, y=y.start + 31, text_anchor="middle", class_="tick"))
    return tag("g", *parts)


def reliability_diagram(bins: Reliability) -> Markup:
    """How often answers of each confidence are right, against the diagonal of a calibrated model; below, how many there are."""
    width, height, floor = 348, 356, 250
    x, y = Scale(0, 1, LEFT, width - 14), Scale(0, 1, floor, TOP)
    parts = [tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="ideal")]
    most = max(1, int(bins.count.max()))
    depth = Scale(0, most, floor + 50, height - 2)
    for index in np.flatnonzero(bins.count):
        low, high = x(bins.edges[index]) + 1, x(bins.edges[index + 1]) - 1
        right, said, count = float(bins.accuracy[index]), float(bins.confidence[index]), int(bins.count[index])
        title = tag("title", f"said {percent(said)}, right {percent(right)}, {count:,} pictures")
        top, ideal = y(right), y(said)
        parts.append(
            tag(
                "g", title,
                tag("rect", x=low, width=high - low, y=top, height=floor - top, class_="bar"),
                tag("rect", x=low, width=high - low, y=min(top, ideal), height=abs(top - ideal), class_="gap"),
                tag("rect", x=low, width=high - low, y=depth.start, height=depth(count) - depth.start, class_="bar faint"),
            )
        )  # fmt: skip
    frame = _grid(x, y, "", lambda value: percent(value, 0), lambda value: percent(value, 0))
    caption = tag("text", f"pictures, at most {most:,} in a bin", x=x.start, y=floor + 43, class_="tick")
    return drawing(width, height, "Reliability diagram: accuracy against confidence", frame, *parts, caption)


def interval_bar(value: float, low: float | None, high: float | None, axis: tuple[float, float]) -> Markup:
    """A dot with its interval on the common ``axis`` of a comparison."""
    x = Scale(*axis, 6, 334)
    parts = [tag("line", x1=0, x2=340, y1=9, y2=9, class_="grid")]
    if low is not None and high is not None:
        parts.append(tag("line", x1=x(low), x2=x(high), y1=9, y2=9, class_="whisker"))
    parts.append(tag("circle", cx=x(value), cy=9, r=4, class_="dot dot-0"))
    return tag("svg", *parts, viewBox="0 0 340 18", width=340, height=18, aria_hidden="true")


def interval_chart(name: str, rows: Mapping[str, Mapping[str, float | None]], share: bool = False) -> Markup:
    """One row per entry of ``rows``, its "mean" as a dot with "low" to "high" as a whisker where they are known, on one axis."""
    every = np.array([value for row in rows.values() for value in row.values() if value is not None and np.isfinite(value)])
    low, high = float(every.min()), float(every.max())
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    left, floor = max(150, 20 + 7 * max(map(len, rows))), TOP + 26 * len(rows)
    x = Scale(low - air, high + air, left, 2 * WIDTH - 24)
    written = _shares(x.ticks(6)) if share else number
    parts = []
    for value in x.ticks(6):
        parts.append(tag("line", x1=x(value), x2=x(value), y1=TOP, y2=floor, class_="grid"))
        parts.append(tag("text", written(value), x=x(value), y=floor + 17, text_anchor="middle", class_="tick"))
    parts.append(tag("text", name, x=(x.start + x.end) / 2, y=floor + 34, text_anchor="middle", class_="tick"))
    for order, (entry, row) in enumerate(rows.items()):
        y, mean, ends = TOP + 26 * order + 13, row["mean"], (row.get("low"), row.get("high"))
        assert mean is not None
        said = _exact(mean, share)
        parts.append(tag("text", entry, x=left - 10, y=y + 4, text_anchor="end", class_="label"))
        if ends[0] is not None and ends[1] is not None:
            parts.append(tag("line", x1=x(ends[0]), x2=x(ends[1]), y1=y, y2=y, class_="whisker"))
            said += f" [{_exact(ends[0], share)}, {_exact(ends[1], share)}]"
        parts += [tag("circle", cx=x(mean), cy=y, r=4, class_="dot dot-0"), _hover((x(mean), y), f"{entry}: {said}")]
    return drawing(2 * WIDTH, floor + 42, f"{name} with intervals", *parts)


def share_bar(value: float) -> Markup:
    """A bar of ``value`` in 0..1 beside its figure in a table; an unknown value is an empty one."""
    filled = 0.0 if np.isnan(value) else 120 * value
    bars = tag("rect", width=120, height=6, y=4, class_="track"), tag("rect", width=filled, height=6, y=4, class_="bar")
    return tag("svg", *bars, viewBox="0 0 120 14", width=120, height=14, aria_hidden="true")
