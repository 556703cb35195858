"""Medians of timings and of their ratios, with intervals that honour how they were taken: in turns, a burst of runs each.

Runs of one burst resemble one another, so the bootstrap draws whole turns; a ratio draws the same turns for both sides, since they
were taken within seconds of each other. Intervals are 95 %, percentiles of 2,000 draws (Efron and Tibshirani, 1993, section 13.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS, LEVEL = 2000, 0.95

Turns = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, which is as wide as can be told from the turns: one turn alone gives none."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    @property
    def inverse(self) -> Estimate:
        return Estimate(1 / self.value, 1 / self.high, 1 / self.low)


def median(turns: Turns) -> Estimate:
    """The median of all runs of ``turns``."""
    drawn = [np.median(_pooled(turns, rows)) for rows in _draws(len(turns))]
    return _estimate(float(np.median(_pooled(turns, range(len(turns))))), drawn)


def ratio(above: Turns, below: Turns) -> Estimate:
    """The median run of ``above`` over that of ``below``; turns beyond the shorter of them are left out."""
    count = min(len(above), len(below))

    def at(rows: Sequence[int]) -> float:
        return float(np.median(_pooled(above, rows)) / np.median(_pooled(below, rows)))

    return _estimate(at(range(count)), [at(rows) for rows in _draws(count)])


def _pooled(turns: Turns, rows: Sequence[int]) -> np.ndarray:
    return np.concatenate([np.asarray(turns[row]) for row in rows])


def _draws(count: int) -> np.ndarray:
    if not count:
        raise ValueError("nothing was measured")
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def _estimate(value: float, drawn: Sequence[float]) -> Estimate:
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(low), float(high))
