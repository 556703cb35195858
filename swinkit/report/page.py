"""The report: one self-contained HTML page from plain values. No script, no request, every name inert.

The page forbids itself everything but its own style sheet and data: pictures (Content-Security-Policy), jinja2 escapes every
value, and characters that could break or turn a line are written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..data.collection import shown
from ..tasks.metrics import ClassScores, Reliability
from ..weights.atomic import write_atomically
from . import matrix, plots, svg
from .inert import digest, inert_templates
from .thumbnails import thumbnail


@dataclass(frozen=True)
class Headline:
    """A figure as it is shown: ``value`` with its unit, ``interval`` and ``note`` as text."""

    name: str
    value: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Example:
    """A picture (H, W, C) with what it is and what the model said; scores are the model's, in 0..1."""

    picture: NDArray[Any] = field(repr=False)
    truth: Sequence[tuple[str, float]]
    said: Sequence[tuple[str, float]]
    source: str


@dataclass(frozen=True)
class Remark:
    """A finding about the data; ``severity`` is "error", "warning" or "note"."""

    severity: str
    message: str


@dataclass(frozen=True)
class Rival:
    """A row of the comparison: a share in 0..1 with its interval; ``ours`` marks this report's model."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    ours: bool = False


@dataclass(frozen=True)
class Calibration:
    """Before and, where it was fitted, after temperature scaling."""

    bins: Reliability
    temperature: float | None = None
    ece_scaled: float | None = None


@dataclass(frozen=True)
class Sheet:
    """A large picture (H, W, 3) uint8 in the page, and what it shows."""

    lead: str
    picture: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True)
class ReportData:
    """All that a report shows. What is empty or None is left out of the page.

    ``facts`` and ``origin`` map a heading, or a name, to plain text, and ``remarks`` a heading to what was found there; ``commands`` are shell lines that repeat the result.
    ``comparison_of`` names the figure in which ``rivals`` are compared.
    """

    title: str
    summary: str
    classes: tuple[str, ...] = ()
    headlines: Sequence[Headline] = ()
    rivals: Sequence[Rival] = ()
    comparison_of: str = "Top-1 accuracy"
    curves: Sequence[plots.Curve] = ()
    sheet: Sheet | None = None
    confusion: NDArray[np.int64] | None = None
    scores: ClassScores | None = None
    average_precision: NDArray[Any] | None = None
    mistakes: Sequence[Example] = ()
    right: Sequence[Example] = ()
    calibration: Calibration | None = None
    remarks: Mapping[str, Sequence[Remark]] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    commands: Sequence[str] = ()
    origin: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def drawn_curves(self) -> list[plots.Curve]:
        """The curves with at least one finite value."""
        return [curve for curve in self.curves if curve.finite]

    @cached_property
    def comparison_axis(self) -> tuple[float, float]:
        """Common axis of the comparison: all intervals with some air, within 0..1."""
        ends = [end for rival in self.rivals for end in (rival.value, rival.low, rival.high) if end is not None]
        low, high = min(ends), max(ends)
        air = max(0.02, (high - low) * 0.08)
        return max(0.0, low - air), min(1.0, high + air)

    @property
    def numbered(self) -> bool:
        """Whether the confusion matrix has so many classes that it shows their numbers, which the table of classes explains."""
        return self.confusion is not None and len(self.classes) > matrix.NAMED

    @cached_property
    def class_rows(self) -> list[dict[str, Any]]:
        """The table of classes, weakest F1 first; classes that the pictures cannot judge come last."""
        if self.scores is None:
            return []
        order = np.argsort(np.nan_to_num(self.scores.f1, nan=2.0), kind="stable")
        names = ("precision", "recall", "f1", "support", "predicted")
        rows = [
            {"name": self.classes[index], "number": index, **{key: getattr(self.scores, key)[index] for key in names}}
            for index in order
        ]
        if self.average_precision is not None:
            for row, index in zip(rows, order, strict=True):
                row["ap"] = self.average_precision[index]
        return rows


def render(data: Any, template: str = "report.html.j2") -> str:
    """The page as HTML; ``template`` shows ``data``, which has at least a title and a summary, inside ``base.html.j2``."""
    environment = inert_templates(jinja2.PackageLoader("swinkit.report"))
    environment.filters |= {
        "percent": svg.percent,
        "thumbnail": thumbnail,
        "middle": svg.shorten,
        "anchor": _anchor,
        "breakable": _breakable,
    }
    environment.globals |= {
        "line_chart": plots.line_chart, "reliability_diagram": plots.reliability_diagram, "interval_bar": plots.interval_bar,
        "share_bar": plots.share_bar, "confusion_chart": matrix.confusion_chart, "most_confused": matrix.most_confused,
    }  # fmt: skip
    style = Path(__file__).with_name("templates").joinpath("report.css").read_text("utf-8")
    return environment.get_template(template).render(data=data, style=Markup(style), style_hash=digest(style))


def write_report(path: str | Path, data: Any, template: str = "report.html.j2") -> Path:
    """Render ``data`` and put it at ``path`` at once, so that no reader meets half a page."""
    path = Path(path)
    write_atomically(path, render(data, template).encode("utf-8"))
    return path


def _anchor(heading: str) -> str:
    """The name by which a link finds the section under ``heading``."""
    return "".join(letter if letter.isalnum() else "-" for letter in heading.lower())


def _breakable(text: str) -> Markup:
    """``text`` that goes on in a new line behind an underscore, where a name is too long for one, rather than inside a word."""
    return Markup("_<wbr>").join(shown(text).split("_"))
