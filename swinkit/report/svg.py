"""The few pieces every chart is drawn from: safe elements, scales and ticks. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from ..data.collection import shown

# digits of ticks on a logarithmic scale, the first that suit
LEADING = ((1, 2, 5), (1, 3), (1,), (1, 2, 3, 5, 7), (1, 1.5, 2, 3, 4, 5, 7))


def shorten(text: str, length: int) -> str:
    """``text`` cut in its middle to at most ``length`` characters, for names that differ at either end."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """One element. Text is escaped; ``class_`` is "class" and other underscores are hyphens; None is left out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(child if isinstance(child, Markup) else escape(shown(str(child))) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else shown(str(value))


def drawing(width: float, height: float, label: str, *children: Markup) -> Markup:
    """An <svg> of ``width`` x ``height`` units that shrinks to its column and is read aloud as ``label``."""
    return tag(
        "svg", *children, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height, role="img", aria_label=label
    )  # fmt: skip


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


@dataclass(frozen=True)
class Scale:
    """Maps ``low``..``high`` of the data onto ``start``..``end`` of the drawing, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Round values of this scale to write beside it."""
        return log_ticks(self.low, self.high, about) if self.log else ticks(self.low, self.high, about)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within ``low``..``high``, around ``about`` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within ``low``..``high`` (positive): leading digits of :data:`LEADING`, from three to ``about`` + 1 of them; over less
    than that as :func:`ticks`."""
    if not high > low:
        return [low]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in LEADING:
        within = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if 3 <= len(within) <= about + 1:
            return within
    decades = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(decades) > about + 1:
        return decades[:: -(-len(decades) // (about + 1))]
    even = ticks(low, high, about)
    return even if len(even) >= 3 else ticks(low, high, 2 * about)


def apart(places: Sequence[float], gap: float = 14.0, last: float = math.inf) -> list[float]:
    """``places`` pushed downwards where two labels would overlap, and upwards again where one would be below ``last``."""
    moved = list(places)
    order = sorted(range(len(places)), key=lambda index: places[index])
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    if order:
        moved[order[-1]] = min(moved[order[-1]], last)
    for below, above in pairwise(reversed(order)):
        moved[above] = min(moved[above], moved[below] - gap)
    return moved


def number(value: float) -> str:
    """``value`` as short as a tick label may be: 0.25, 1,500, 2e-05."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.3g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return f"{value:,.4f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share in 0..1 as per cent; an unknown one as a dash."""
    return "–" if value is None or math.isnan(value) else f"{value * 100:.{digits}f}\u202f%"
