"""The size doctor: which input size, patch and window suit a set of pictures, what each costs, and why.

A Swin pads a map whose side does not divide by the window, and computes on the padding: at 28 pixels, patch 2 and window 7 the
grids are 14, 7 and 4, so only the step from 7 to 4 wastes work; at 60 pixels they are 30, 15 and 8, and a third is waste.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..config import SwinConfig
from ..data.fitting import SMALL, Fitting, fitting
from ..variants import configure
from .macs import count_macs, padding_share

LARGE = 224  # from here the published sizes are at hand
WINDOWS = (4, 5, 6, 7, 8, 10, 12)
MUCH = 0.3  # of the picture cut off by a square: then a rectangle comes first
ELONGATED = 1.3  # sides apart by more than this, in nearly every picture, ask for a rectangle
TAKEN = "what `swinkit train` takes by itself"


@dataclass(frozen=True)
class Pictures:
    """Sizes of a set in a few numbers: (height, width) of the median, the smallest and the largest; ``aspect`` is width to height."""

    count: int
    median: tuple[int, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    aspect: float
    alike: bool  # nearly all have this aspect

    @property
    def short(self) -> int:
        return min(self.median)


@dataclass(frozen=True)
class Choice:
    """One way to see the pictures.

    ``macs`` of one picture; ``padding`` the share of them spent on padding; ``scale`` how much longer a side becomes (above 1
    pixels are invented, below 1 detail is lost); ``cut`` the share of the median picture outside the centre crop.
    """

    variant: str
    size: tuple[int, int]
    patch: int
    window: int
    macs: int
    padding: float
    scale: float
    cut: float
    why: str


@dataclass(frozen=True)
class Advice:
    """``choices`` with the recommended one first."""

    pictures: Pictures
    choices: tuple[Choice, ...]

    @property
    def best(self) -> Choice:
        return self.choices[0]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def describe(sizes: np.ndarray) -> Pictures:
    """``sizes`` (N, 2), height and width of each usable picture, N at least 1."""
    low, median, high = ((int(height), int(width)) for height, width in np.quantile(sizes, (0, 0.5, 1), axis=0).round())
    aspects = sizes[:, 1] / sizes[:, 0]
    aspect = float(np.median(aspects))
    alike = bool(np.mean(np.abs(np.log(aspects / aspect)) < np.log(1.15)) >= 0.9)
    return Pictures(len(sizes), median, low, high, aspect, alike)


def advise(sizes: np.ndarray, channels: int = 3, taken: Fitting | None = None) -> Advice:
    """Ways to see pictures of ``sizes`` (N, 2), the best first; entries of 0 (unusable pictures) are passed over.

    The best is what training takes by itself, ``taken`` (by default that of a processor for the median), but for pictures of which that
    cuts off much. Raises ValueError when no picture is left.
    """
    seen = sizes[(sizes > 0).all(axis=1)]
    if not len(seen):
        raise ValueError("no usable picture to advise on")
    pictures = describe(seen)
    others = _published(pictures, channels) if pictures.short >= LARGE else _fitting(pictures, channels)
    variant, fields = taken or fitting(pictures.median, gpu=False)
    found = _first(_choice(pictures, variant, channels, TAKEN, **fields), others)
    if pictures.alike and max(pictures.aspect, 1 / pictures.aspect) > ELONGATED:
        found.insert(0 if found[0].cut > MUCH else 1, _rectangle(pictures, channels))
    return Advice(pictures, tuple(found))


def _published(pictures: Pictures, channels: int) -> list[Choice]:
    rows = (
        ("swin_t", "published weights fit as they are, windows divide every grid"),
        ("swinv2_t", "published weights of version 2, windows divide every grid"),
        ("swin_t_384", "for small objects in large pictures: {times:.1f} times the work"),
    )
    reach = [row for row in rows if configure(row[0]).image_size[0] <= 1.25 * pictures.short]
    found = [_choice(pictures, name, channels, why) for name, why in reach]
    return [_because(choice, choice.why.format(times=choice.macs / found[0].macs)) for choice in found]


def _first(taken: Choice, others: list[Choice]) -> list[Choice]:
    """``taken``, with what is to be said for it beyond that, before the ``others``."""
    why = [TAKEN, *(other.why for other in others if replace(other, why=TAKEN) == taken)]
    return [_because(taken, "; ".join(why)), *(other for other in others if replace(other, why=TAKEN) != taken)]


def _fitting(pictures: Pictures, channels: int) -> list[Choice]:
    """Squares near the pictures' own size whose windows fit best, their own size as it is, and 224 for published weights."""
    name = "swin_nano" if max(pictures.median) <= SMALL else "swin_t"
    step = configure(name).strides[-1]
    lowest = max(step, pictures.short)
    sides = range(lowest - lowest % step, int(1.35 * lowest) + step, step)
    options = [
        _choice(pictures, name, channels, image_size=side, window_size=window)
        for side in sides
        for window in _windows(name, side)
    ]
    enlarging = [choice for choice in options if choice.scale >= 0.95]
    fitting = [choice for choice in enlarging if choice.padding < 0.02] or enlarging
    best = min(fitting, key=lambda choice: (choice.size, -choice.window))
    answer = [_because(best, f"close to the pictures' own size; its windows {_fit(best)}")]
    larger = [choice for choice in fitting if choice.size[0] >= 1.2 * best.size[0]]
    if larger:
        finer = min(larger, key=lambda choice: (choice.size, -choice.window))
        answer.append(_because(finer, f"more tokens a picture, so finer; its windows {_fit(finer)}"))
    own = (pictures.short, pictures.short)
    if own != best.size:
        windows = _windows(name, pictures.short)
        plain = [_choice(pictures, name, channels, image_size=own, window_size=window) for window in windows]
        least = min(plain, key=lambda choice: (choice.padding, choice.macs))
        answer.append(_because(least, f"the pictures' own size; its windows {_fit(least)}"))
    enlarged = (
        f"published weights fit; a side becomes {LARGE / pictures.short:.1f} times as long, which adds work and no detail"
    )
    answer.append(_choice(pictures, "swin_t", channels, enlarged, image_size=LARGE))
    return answer


def _windows(variant: str, side: int) -> tuple[int, ...]:
    """Windows of which at least two lie along a side of the first grid: one alone has nothing to shift."""
    grid = side // configure(variant).patch_size
    return tuple(window for window in WINDOWS if 2 * window <= grid) or WINDOWS[:1]


def _fit(choice: Choice) -> str:
    if choice.padding < 0.005:
        return "divide every grid, nothing is spent on padding"
    return f"leave {choice.padding:.0%} of the work on padding"


def _rectangle(pictures: Pictures, channels: int) -> Choice:
    """A size of the pictures' own shape, about as much area as 224 x 224 or the pictures have, and little padding."""
    name = "swin_nano" if max(pictures.median) <= SMALL else "swin_t"
    step = configure(name).strides[-1]
    side = min(LARGE, (pictures.median[0] * pictures.median[1]) ** 0.5)
    height, width = side / pictures.aspect**0.5, side * pictures.aspect**0.5
    shapes = [
        (rows * step, columns * step)
        for rows in range(max(1, int(0.8 * height) // step), int(1.2 * height) // step + 2)
        for columns in range(max(1, int(0.8 * width) // step), int(1.2 * width) // step + 2)
        if abs(np.log(columns / rows / pictures.aspect)) < np.log(1.25)
    ] or [(max(1, round(height / step)) * step, max(1, round(width / step)) * step)]
    options = [
        _choice(pictures, name, channels, image_size=shape, window_size=window)
        for shape in shapes
        for window in _windows(name, min(shape))
    ]
    best = min(
        options,
        key=lambda choice: choice.padding + abs(np.log(choice.size[0] * choice.size[1] / side**2)) / 5 - choice.window / 200,
    )
    shape = "wider than high" if pictures.aspect > 1 else "higher than wide"
    return _because(best, f"the pictures are {shape}: a rectangle keeps what a square cuts off; its windows {_fit(best)}")


def _choice(pictures: Pictures, variant: str, channels: int, why: str = "", **fields: Any) -> Choice:
    config: SwinConfig = configure(variant, in_channels=channels, **fields)
    size = config.image_size
    scale = max(side / have for side, have in zip(size, pictures.median, strict=True))
    kept = size[0] * size[1] / (scale * pictures.median[0] * scale * pictures.median[1])
    macs = count_macs(config, size).total
    return Choice(
        variant,
        size,
        config.patch_size,
        config.window_size[0],
        macs,
        padding_share(config, size),
        scale,
        max(0.0, 1 - kept),
        why,
    )


def _because(choice: Choice, why: str) -> Choice:
    return replace(choice, why=why)
