"""Medians of timings and of their ratios, with intervals that honour how they were taken: in turns, a burst of runs each.

Runs of one burst resemble one another, so the bootstrap draws whole turns; a ratio draws the same turns for both sides, since they
were taken within seconds of each other. Intervals are 95 %, percentiles of 2,000 draws (Efron and Tibshirani, 1993, section 13.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS, LEVEL = 2000, 0.95

Turns = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; one turn alone gives none."""

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> Estimate:
        return self._each(lambda value: value * factor)

    @property
    def inverse(self) -> Estimate:
        turned = self._each(lambda value: 1 / value)
        return Estimate(turned.value, turned.high, turned.low)

    def _each(self, change: Callable[[float], float]) -> Estimate:
        low, high = (None if end is None else change(end) for end in (self.low, self.high))
        return Estimate(change(self.value), low, high)


def median(turns: Turns) -> Estimate:
    """The median of all runs of ``turns``."""
    return _estimate(_medians(turns, _draws(len(turns))), len(turns))


def quantile(turns: Turns, share: float) -> float:
    """What ``share`` of all runs of ``turns`` take at most; between two runs straight (Hyndman and Fan, 1996, definition 7)."""
    return float(np.quantile(np.concatenate([np.asarray(turn, dtype=float) for turn in turns]), share))


def ratio(above: Turns, below: Turns) -> Estimate:
    """The median run of ``above`` over that of ``below``; turns beyond the shorter of them are left out."""
    count = min(len(above), len(below))
    draws = _draws(count)
    return _estimate(_medians(above, draws) / _medians(below, draws), count)


def _draws(count: int) -> np.ndarray:
    """How often each of ``count`` turns is drawn, (1 + :data:`DRAWS`, count); in the first row once each."""
    if not count:
        raise ValueError("nothing was measured")
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    return np.vstack([np.ones((1, count), dtype=drawn.dtype), drawn])


def _medians(turns: Turns, draws: np.ndarray) -> np.ndarray:
    """The median run for each row of ``draws``."""
    runs = np.concatenate([np.asarray(turn, dtype=float) for turn in turns[: draws.shape[1]]])
    owner = np.repeat(np.arange(draws.shape[1]), [len(turn) for turn in turns[: draws.shape[1]]])
    order = np.argsort(runs, kind="stable")
    reached = np.cumsum(draws[:, owner[order]], axis=1)
    middle = reached[:, -1:]
    low, high = ((reached > place).argmax(axis=1) for place in ((middle - 1) // 2, middle // 2))
    return (runs[order][low] + runs[order][high]) / 2


def _estimate(found: np.ndarray, turns: int) -> Estimate:
    """From the value itself, first, and those of the draws from ``turns``."""
    low, high = np.quantile(found[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist() if turns > 1 else (None, None)
    return Estimate(float(found[0]), low, high)


def figure(estimate: Estimate | Mapping[str, float | None] | None, digits: int | None = 2, factor: float = 1.0) -> str:
    """``estimate``, or its dictionary, times ``factor`` as text, with its interval where it has one; a dash for None.

    ``digits`` stand behind the point; None are as many as :func:`short` writes.
    """
    if estimate is None:
        return "–"
    known: Mapping[str, Any] = vars(estimate) if isinstance(estimate, Estimate) else estimate
    behind = decimals(known["value"] * factor) if digits is None else digits
    value, low, high = ("" if known[key] is None else f"{known[key] * factor:.{behind}f}" for key in ("value", "low", "high"))
    return f"{value} ({low}–{high})" if low else value


def short(value: float) -> str:
    """Three digits of ``value``, or all those before its point: 0.0412, 4.12, 41.2, 4,123."""
    return f"{value:,.{decimals(value)}f}"


def decimals(value: float) -> int:
    """How many digits behind the point :func:`short` writes."""
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
