"""Headline figures of a classifier: which there are, the limits that they can be held to, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from . import metrics

LOWER_IS_BETTER = ("loss", "ece", "ece_scaled")
NO_SHARES = ("loss", "temperature")
UNMOVED = "no interval: drawing these pictures again always gives the same"


def figure_names(classes: int, multi_label: bool) -> tuple[str, ...]:
    """The figures that an evaluation of so many ``classes`` has."""
    if multi_label:
        return "map", "macro_f1", "micro_f1", "exact", "loss"
    return (
        "top1",
        *(("top5",) if classes > 5 else ()),
        "macro_f1",
        "balanced_accuracy",
        "loss",
        "ece",
        "ece_scaled",
        "temperature",
    )


def check_gates(gates: Mapping[str, float], classes: int, multi_label: bool) -> None:
    """Raise :class:`UsageError` for a figure that such an evaluation does not have, and for a limit that it cannot take."""
    known = figure_names(classes, multi_label)
    for name, limit in gates.items():
        if name not in known:
            raise UsageError(f"There is no figure {name!r} to require. This evaluation has: {', '.join(known)}.")
        if not (limit >= 0 if name in NO_SHARES else 0 <= limit <= 1):
            what = "a number from 0" if name in NO_SHARES else "a share from 0 to 1"
            raise UsageError(f"{name} is {what}, and {limit:g} is required of it. Mend: for instance {name}=0.9")


@dataclass(frozen=True)
class Figure:
    """One measured figure with its 95 % bootstrap interval over the pictures, where one is given; ``note`` says why one is missing."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, float | str | None]:
        interval = {key: plain(value) for key, value in (("value", self.value), ("low", self.low), ("high", self.high))}
        return {**interval, "note": self.note} if self.note else {**interval}


def share_of(hits: metrics.Flags) -> Figure:
    """The share of ``hits``, with the interval of :func:`~swinkit.tasks.metrics.share_interval`."""
    interval = metrics.share_interval(hits)
    return Figure(float(hits.mean()), interval.low, interval.high)


def figure_with(value: float, interval: metrics.Interval) -> Figure:
    """``value`` with ``interval``, unless every resample gave the same, as where every answer is right: that would claim certainty.

    A share has Wilson's interval then. For mean F1 none is known that has any width there, nor the delta method's
    (Takahashi et al. 2022, doi 10.1007/s10489-021-02635-5).
    """
    if interval.low < interval.high:
        return Figure(value, interval.low, interval.high)
    return Figure(value, note="" if np.isnan(value) else UNMOVED)


def plain(value: float | None) -> float | None:
    """``value`` as JSON has it: None for what is not known."""
    return None if value is None or np.isnan(value) else float(value)
