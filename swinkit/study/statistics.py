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
    return _estimate(_medians(turns, _draws(len(turns))))


def ratio(above: Turns, below: Turns) -> Estimate:
    """The median run of ``above`` over that of ``below``; turns beyond the shorter of them are left out."""
    draws = _draws(min(len(above), len(below)))
    return _estimate(_medians(above, draws) / _medians(below, draws))


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


def _estimate(found: np.ndarray) -> Estimate:
    """From the value itself, first, and those of the draws."""
    low, high = np.quantile(found[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(float(found[0]), float(low), float(high))
