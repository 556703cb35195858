"""How good a classifier's scores are: pure functions of NumPy arrays, free of torch.

n pictures, K classes. ``probabilities`` is float (n, K); ``labels`` is int (n,), one class each; ``truth`` is bool (n, K),
several classes each. What the pictures cannot tell is nan, never 0: the precision of a class that was never predicted,
the recall of one that never occurs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of confidence, as published
# Of a perfectly calibrated model, n pictures in 15 bins show an error of up to 0.4 sqrt(15 / n) by chance alone (the mean absolute error of a
# binomial share, summed over equal bins): 15 points at 100 pictures, of which fewer would tell chance.
ENOUGH_PICTURES = 100
ENOUGH_MISTAKES = 10  # to fit a temperature to; from fewer, however many are right, it would come out boundlessly sure
DRAWS = 1000  # of a bootstrap
TEMPERATURES = (0.05, 20.0)  # between which one is fitted

Array = NDArray[np.floating[Any]]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassScores:
    """Per class (K,): ``precision``, ``recall`` and ``f1`` in 0..1 or nan, ``support`` pictures of it, ``predicted`` pictures."""

    precision: Array
    recall: Array
    f1: Array
    support: Whole
    predicted: Whole

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that occur: ``f1_score(average="macro", labels=...)`` of scikit-learn with these as its labels."""
        return mean_known(self.f1[self.support > 0])

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that occur."""
        return mean_known(self.recall)


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins: ``edges`` (bins + 1,); ``confidence``, ``accuracy`` (bins,), nan if empty; ``count``."""

    edges: Array
    confidence: Array
    accuracy: Array
    count: Whole

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599, eq. 3), 0..1."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((gaps * self.count).sum() / max(1, self.count.sum()))


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def mean_known(values: Array) -> float:
    """Mean of the entries that are not nan; nan if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def top_k_hits(scores: Array, labels: Whole, k: int = 1) -> Flags:
    """Whether fewer than ``k`` classes come before each picture's own: bool (n,).

    Equal scores are ranked in class order, so that k = 1 is ``argmax`` and constant scores earn nothing, as do scores that are nan.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return (~(scores <= own) | ((scores == own) & earlier)).sum(axis=1) < k


def confusion(labels: Whole, predicted: Whole, classes: int) -> Whole:
    """Counts (K, K): a row per true class, a column per predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: Whole) -> ClassScores:
    """Precision, recall and F1 from a confusion matrix (K, K)."""
    return _scores(np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0))


def label_scores(probabilities: Array, truth: Flags, threshold: float = 0.5) -> ClassScores:
    """Precision, recall and F1 per class where a picture has several: a class is predicted from ``threshold`` on."""
    said = probabilities >= threshold
    return _scores((said & truth).sum(axis=0), truth.sum(axis=0), said.sum(axis=0))


def _scores(right: Whole, support: Whole, predicted: Whole) -> ClassScores:
    return ClassScores(
        _ratio(right, predicted), _ratio(right, support), _ratio(2 * right, support + predicted), support, predicted
    )


def _ratio(above: Whole, below: Whole) -> Array:
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def average_precision(scores: Array, truth: Flags, weights: NDArray[Any] | None = None) -> Array:
    """Area under each class's precision-recall steps, as in scikit-learn: float (K,), nan for a class that never occurs.

    ``scores`` (n, K) are logits or whatever ranks as they do. Pictures of equal score enter together, so their order does not matter.
    mAP is :func:`mean_known` of it. ``weights`` (draws, n) counts each picture so many times, as a bootstrap does; the answer is
    then (draws, K).
    """
    counted = np.ones((1, len(truth))) if weights is None else weights
    columns = [_one_average_precision(*column, counted) for column in zip(scores.T, truth.T, strict=True)]
    return np.stack(columns, axis=1) if weights is not None else np.concatenate(columns)


def _one_average_precision(scores: Array, truth: Flags, weights: NDArray[Any]) -> Array:
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    seen = weights[:, order].cumsum(axis=1)[:, last_of_ties]
    found = (weights[:, order] * truth[order]).cumsum(axis=1)[:, last_of_ties]
    steps = np.diff(found, axis=1, prepend=0) * found / np.maximum(seen, 1)
    return _ratio(steps.sum(axis=1), found[:, -1])


def reliability(confidence: Array, correct: Flags, bins: int = BINS) -> Reliability:
    """Bins of equal width over 0..1 of ``confidence`` (n,), each (low, high], with the share of ``correct`` (n,) in it."""
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    return Reliability(
        edges,
        _ratio(np.bincount(which, confidence, minlength=bins), count),
        _ratio(np.bincount(which, correct, minlength=bins), count),
        count,
    )


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities (n, K) of ``logits`` (n, K) divided by ``temperature``."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(logits: Array, labels: Whole) -> float:
    """The temperature that makes ``softmax(logits / T)`` likeliest (Guo et al. 2017, arXiv 1706.04599, section 4.2).

    The likelihood is concave in 1/T, so the root of its derivative is bisected, within T = :data:`TEMPERATURES`: the ends are what
    pictures that are all right, or no better than chance, ask for.
    """
    centred = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    wanted = np.take_along_axis(centred, labels[:, None], axis=1).mean()
    low, high = np.log(TEMPERATURES)
    for _ in range(50):
        middle = (low + high) / 2
        expected = (softmax(centred, float(np.exp(middle))) * centred).sum(axis=1).mean()
        low, high = (middle, high) if wanted < expected else (low, middle)
    return float(np.exp((low + high) / 2))


def bootstrap(statistic: Callable[[Whole], float], n: int, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """95 % percentile interval (Efron 1979) of ``statistic``, which gets ``n`` picture positions drawn with replacement."""
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(0, n, n)) for _ in range(draws)])
    return quantiles(values)


def quantiles(values: Array) -> Interval:
    """The middle 95 % of the entries that are not nan."""
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    return Interval(*map(float, np.quantile(known, [0.025, 0.975])))


def sign_test(better: int, worse: int) -> float:
    """Two-sided, exact: how likely pictures on which two ways differ are parted so unevenly if neither way is better."""
    total, half = better + worse, math.log(2)
    ways = (
        math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
        for count in range(min(better, worse) + 1)
    )
    return min(1.0, 2 * sum(math.exp(way - total * half) for way in ways))


def share_interval(hits: Flags, *, seed: int = 0) -> Interval:
    """95 % bootstrap interval of the share of True in ``hits`` (n,).

    Where all or none are True a resample never differs, which would claim certainty; then it is Wilson's (1927).
    """
    n, share = len(hits), float(np.mean(hits))
    if 0 < share < 1:
        values = np.random.default_rng(seed).binomial(n, share, DRAWS) / n  # the number of hits in a resample
        return quantiles(values)
    bound = 1.96**2 / (n + 1.96**2)
    return Interval(0.0, bound) if share == 0 else Interval(1 - bound, 1.0)
