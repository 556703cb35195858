"""The confusion matrix as SVG, readable from two classes to hundreds, and its largest mistakes in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .svg import drawing, percent, shorten, tag

LEVELS = 8  # shades of a cell: its share of the row
NUMBERED = 26  # up to so many classes each cell shows its count
NAMED = 130  # up to so many each row and column shows its name
STEEP = 22  # pixels; names above narrower columns stand upright
TITLED = 600  # so many of the largest cells answer the pointer where cells have no number


@dataclass(frozen=True)
class Confused:
    """``count`` of the ``support`` pictures of class ``truth`` were taken for ``said``."""

    truth: str
    said: str
    count: int
    support: int

    @property
    def share(self) -> float:
        return self.count / self.support


def most_confused(matrix: NDArray[np.int64], classes: Sequence[str], count: int = 8) -> list[Confused]:
    """The ``count`` largest mistakes, by number of pictures."""
    wrong = matrix - np.diag(np.diag(matrix))
    places = [divmod(int(place), len(classes)) for place in np.argsort(-wrong, axis=None, kind="stable")[:count]]
    support = matrix.sum(axis=1)
    return [
        Confused(classes[row], classes[column], int(wrong[row, column]), int(support[row]))
        for row, column in places
        if wrong[row, column]
    ]


def _cell_side(classes: int) -> float:
    """Pixels of a cell: large enough for its number, then for its name, then for the whole to fit a screen."""
    if classes <= NUMBERED:
        return max(30.0, min(58.0, 460 / classes))
    return max(9.5, 560 / classes) if classes <= NAMED else max(1.0, 900 / classes)


def confusion_chart(matrix: NDArray[np.int64], classes: Sequence[str]) -> Markup:
    """Rows are true, columns predicted classes; a cell's shade is its share of the row, blue where right, orange where wrong."""
    many, side = len(classes), _cell_side(len(classes))
    letters = min(20, max(len(name) for name in classes)) if many <= NAMED else 4
    font = min(13.0, side * 0.9) if many <= NAMED else 10.0
    left, top = 26 + letters * font * 0.6, 28 + _name_height(letters * font, side)
    size = side * many
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    parts = [tag("rect", x=left, y=top, width=size, height=size, class_="field")]
    parts += _cells(matrix, share, classes, left, top, side)
    parts += _names(classes, left, top, side, letters, font)
    parts.append(tag("text", "predicted", x=left + size / 2, y=13, text_anchor="middle", class_="tick"))
    turn = f"translate(13 {top + size / 2:.1f}) rotate(-90)"
    parts.append(tag("text", "true", transform=turn, text_anchor="middle", class_="tick"))
    right = size + left + 8 + (letters * font * 0.3 if many <= NAMED else 0)
    label = f"Confusion matrix of {many} classes; the table of classes and the list of confusions give its figures"
    return drawing(round(right), round(top + size + 8), label, *parts)


def _angle(length: float, side: float) -> int:
    """Degrees by which column names of ``length`` (letters times size) are turned to find room above cells of ``side``."""
    if length * 0.62 <= side:
        return 0
    return -90 if side < STEEP else -48


def _name_height(length: float, side: float) -> float:
    return {0: 16.0, -48: length * 0.46, -90: length * 0.62}[_angle(length, side)]


def _cells(
    matrix: NDArray[np.int64], share: NDArray[np.float64], classes: Sequence[str], left: float, top: float, side: float
) -> list[Markup]:
    gap = 1.0 if side >= 9 else 0.0
    parts = []
    level = np.ceil(share * LEVELS).astype(int)
    for right in (True, False):
        for shade in range(1, LEVELS + 1):
            rows, columns = np.nonzero((level == shade) & (np.eye(len(classes), dtype=bool) == right))
            steps = "".join(
                f"M{left + column * side:.1f} {top + row * side:.1f}h{side - gap:.1f}v{side - gap:.1f}h-{side - gap:.1f}z"
                for row, column in zip(rows, columns, strict=True)
            )
            if steps:
                parts.append(tag("path", d=steps, class_=f"{'right' if right else 'wrong'} shade-{shade}"))
    numbered = len(classes) <= NUMBERED
    largest = np.argsort(-matrix, axis=None, kind="stable")[: matrix.size if numbered else TITLED]
    for row, column in (divmod(int(place), len(classes)) for place in largest):
        count, x, y = int(matrix[row, column]), left + column * side, top + row * side
        if not count:
            break
        title = tag("title", f"{classes[row]} taken for {classes[column]}: {count:,} ({percent(share[row, column])})")
        if row == column:
            title = tag("title", f"{classes[row]} recognised: {count:,} ({percent(share[row, column])})")
        box = tag("rect", x=x, y=y, width=side, height=side, class_="hover")
        text = [_number(count, x, y, side, level[row, column], row == column)] if numbered else []
        parts.append(tag("g", title, box, *text))
    return parts


def _number(count: int, x: float, y: float, side: float, level: int, right: bool) -> Markup:
    size = min(14.0, side * 0.42, side * 1.5 / len(str(count)))
    kind = ("count on-right" if right else "count on-wrong") if level > LEVELS * 0.65 else "count"
    return tag(
        "text", count, x=x + side / 2 - 0.5, y=y + side / 2 + size * 0.35, font_size=size, text_anchor="middle", class_=kind
    )


def _names(classes: Sequence[str], left: float, top: float, side: float, letters: int, font: float) -> list[Markup]:
    every = 1 if len(classes) <= NAMED else max(1, round(40 / side / 10) * 10)
    parts = []
    for index in range(0, len(classes), every):
        full = tag("title", classes[index])
        name = shorten(classes[index], letters) if len(classes) <= NAMED else str(index)
        middle = (index + 0.5) * side
        row = {"x": left - 6, "y": top + middle + font * 0.35, "text_anchor": "end"}
        angle = _angle(letters * font, side)
        across = left + middle + (font * 0.3 if angle else 0)
        column = {
            "transform": f"translate({across:.1f} {top - 6:.1f}) rotate({angle})",
            "text_anchor": "start" if angle else "middle",
        }
        parts += [tag("text", full, name, font_size=font, class_="label", **place) for place in (row, column)]
    return parts
