"""What a classifier's answers on labelled pictures amount to: figures with intervals, classes, calibration, worst mistakes.

Free of torch. :func:`swinkit.runtime.evaluate.evaluate` makes these from a model, the report and the command line show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GateError
from . import metrics
from .figures import LOWER_IS_BETTER, Figure, check_gates, figure_with, plain, share_of


@dataclass(frozen=True)
class Evaluation:
    """Answers of one model on ``n`` labelled pictures; use :class:`SingleLabel` or :class:`MultiLabel`.

    ``logits`` is float (n, K) in the order of ``classes``; ``truth`` is int (n,) or, with several labels, bool (n, K);
    ``indices`` (n,) are positions in the collection and ``sources`` their names.
    """

    classes: tuple[str, ...]
    logits: NDArray[np.float32]
    truth: NDArray[Any]
    indices: NDArray[np.int64]
    sources: Sequence[str]

    multi_label = False

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def probabilities(self) -> metrics.Array:
        raise NotImplementedError

    @cached_property
    def scores(self) -> metrics.ClassScores:
        """Precision, recall and F1 per class."""
        raise NotImplementedError

    @property
    def absent(self) -> list[str]:
        """Classes of which there is no picture."""
        return [name for name, support in zip(self.classes, self.scores.support, strict=True) if not support]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Headline figures by name, each a share in 0..1 unless it is "loss" (nats) or "temperature"."""
        raise NotImplementedError

    def _right(self) -> metrics.Flags:
        raise NotImplementedError

    def _cost(self) -> metrics.Array:
        """Cross-entropy of each picture in nats (n,)."""
        raise NotImplementedError

    def mistakes(self, count: int) -> NDArray[np.int64]:
        """Rows of the ``count`` wrong answers that cost most, worst first."""
        wrong = np.flatnonzero(~self._right())
        return wrong[np.argsort(-self._cost()[wrong], kind="stable")][:count]

    def right_answers(self, count: int) -> NDArray[np.int64]:
        """Rows of ``count`` right answers, drawn class by class so that each is seen before any is seen twice; always the same."""
        order = np.random.default_rng(0).permutation(np.flatnonzero(self._right()))
        leading = self.probabilities[order].argmax(axis=1)
        by_class = np.argsort(leading, kind="stable")
        turn = np.empty(len(order), dtype=np.int64)
        turn[by_class] = np.arange(len(order)) - np.searchsorted(leading[by_class], leading[by_class])
        return order[np.lexsort((leading, turn))][:count]

    def require(self, gates: Mapping[str, float]) -> None:
        """Hold figures to limits: at least for shares, at most for "loss" and calibration errors.

        Raises :class:`GateError` naming each figure that misses, one that is not known among them, and as :func:`check_gates` does.
        """
        check_gates(gates, len(self.classes), self.multi_label)
        missed = []
        for name, limit in gates.items():
            value, at_most = self.figures[name].value, name in LOWER_IS_BETTER
            if not (value <= limit if at_most else value >= limit):
                found = "not known" if np.isnan(value) else f"{value:.4f}"
                missed.append(f"{name} is {found}, required: {'at most' if at_most else 'at least'} {limit:g}")
        if missed:
            raise GateError(f"Quality gate not met on {len(self):,} pictures: {'; '.join(missed)}.")

    def to_dict(self) -> dict[str, Any]:
        """Figures and classes as plain values; what is unknown is None."""
        scores = self.scores
        columns = zip(self.classes, scores.precision, scores.recall, scores.f1, scores.support, scores.predicted, strict=True)
        return {
            "pictures": len(self),
            "multi_label": self.multi_label,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "classes": [
                {
                    "class": name, "precision": plain(precision), "recall": plain(recall), "f1": plain(f1),
                    "support": int(support), "predicted": int(predicted),
                }
                for name, precision, recall, f1, support, predicted in columns
            ],
        }  # fmt: skip


class SingleLabel(Evaluation):
    """Each picture is of one class: softmax, top-1 and top-5, confusion, calibration."""

    @cached_property
    def probabilities(self) -> metrics.Array:
        return metrics.softmax(self.logits)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        return self.logits.argmax(axis=1)

    @cached_property
    def confusion(self) -> metrics.Whole:
        """Counts (K, K), rows true."""
        return metrics.confusion(self.truth, self.predicted, len(self.classes))

    @cached_property
    def scores(self) -> metrics.ClassScores:
        return metrics.class_scores(self.confusion)

    @cached_property
    def uncalibrated(self) -> dict[str, str]:
        """Figures of calibration that these pictures cannot tell, and why."""
        count, mistakes = len(self), len(self) - int(self._right().sum())
        if count < metrics.ENOUGH_PICTURES:
            reason = f"too few pictures ({count}) to calibrate; it takes {metrics.ENOUGH_PICTURES}"
            return dict.fromkeys(("ece", "ece_scaled", "temperature"), reason)
        if mistakes < metrics.ENOUGH_MISTAKES:
            reason = f"too few mistakes ({mistakes}) to fit a temperature; it takes {metrics.ENOUGH_MISTAKES}"
            return dict.fromkeys(("ece_scaled", "temperature"), reason)
        return {}

    @cached_property
    def reliability(self) -> metrics.Reliability:
        return metrics.reliability(self.probabilities.max(axis=1), self._right())

    @cached_property
    def temperature(self) -> float:
        """What to divide the logits by for the likeliest probabilities; above 1 the model is too sure of itself."""
        return metrics.fit_temperature(self.logits, self.truth)

    @cached_property
    def reliability_scaled(self) -> metrics.Reliability:
        """As :attr:`reliability` after temperature scaling, each half of the pictures with the other half's temperature."""
        half = np.random.default_rng(0).permutation(len(self)) % 2 == 0
        confidence = np.empty(len(self))
        for this, other in ((half, ~half), (~half, half)):
            temperature = metrics.fit_temperature(self.logits[other], self.truth[other]) if other.any() else 1.0
            confidence[this] = metrics.softmax(self.logits[this], temperature).max(axis=1)
        return metrics.reliability(confidence, self._right())

    @cached_property
    def figures(self) -> dict[str, Figure]:
        hits, cells = self._right(), self.truth * len(self.classes) + self.predicted
        figures = {"top1": share_of(hits)}
        if len(self.classes) > 5:
            figures["top5"] = share_of(metrics.top_k_hits(self.logits, self.truth, 5))
        figures |= {
            "macro_f1": figure_with(
                self.scores.macro_f1,
                metrics.bootstrap(lambda rows: _macro_f1(cells[rows], len(self.classes)), len(self), draws=500),
            ),
            "balanced_accuracy": Figure(self.scores.balanced_accuracy),
            "loss": Figure(float(self._cost().mean())),
        }
        calibration = {
            "ece": lambda: self.reliability.ece,
            "ece_scaled": lambda: self.reliability_scaled.ece,
            "temperature": lambda: self.temperature,
        }
        unknown = self.uncalibrated
        return figures | {name: Figure(float("nan") if name in unknown else tell()) for name, tell in calibration.items()}

    def _right(self) -> metrics.Flags:
        return self.predicted == self.truth

    def _cost(self) -> metrics.Array:
        own = np.take_along_axis(self.probabilities, self.truth[:, None], axis=1)[:, 0]
        return -np.log(np.maximum(own, np.finfo(np.float64).tiny))

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"uncalibrated": self.uncalibrated, "confusion": self.confusion.tolist()}


@dataclass(frozen=True)
class MultiLabel(Evaluation):
    """Each picture has any number of classes: independent sigmoids, mAP, F1 at ``threshold``."""

    threshold: float = 0.5

    multi_label = True

    @cached_property
    def probabilities(self) -> metrics.Array:
        return 1 / (1 + np.exp(-self.logits.astype(np.float64)))

    @cached_property
    def scores(self) -> metrics.ClassScores:
        return metrics.label_scores(self.probabilities, self.truth, self.threshold)

    @cached_property
    def average_precision(self) -> metrics.Array:
        """Per class (K,), nan for one that never occurs."""
        return metrics.average_precision(self.logits, self.truth)

    @cached_property
    def figures(self) -> dict[str, Figure]:
        draws = np.random.default_rng(0).multinomial(len(self), np.full(len(self), 1 / len(self)), size=200)
        resampled = metrics.average_precision(self.logits, self.truth, draws)
        interval = metrics.quantiles(np.array([metrics.mean_known(row) for row in resampled]))
        said = self.probabilities >= self.threshold
        both, either = (said & self.truth).sum(), said.sum() + self.truth.sum()
        return {
            "map": figure_with(metrics.mean_known(self.average_precision), interval),
            "macro_f1": Figure(self.scores.macro_f1),
            "micro_f1": Figure(float(2 * both / either) if either else float("nan")),
            "exact": share_of(self._right()),
            "loss": Figure(float(self._cost().mean())),
        }

    def _right(self) -> metrics.Flags:
        return ((self.probabilities >= self.threshold) == self.truth).all(axis=1)

    def _cost(self) -> metrics.Array:
        signed = np.where(self.truth, self.logits, -self.logits).astype(np.float64)
        return np.logaddexp(0, -signed).mean(axis=1)

    def to_dict(self) -> dict[str, Any]:
        answer = super().to_dict() | {"threshold": self.threshold}
        for row, value in zip(answer["classes"], self.average_precision, strict=True):
            row["average_precision"] = plain(value)
        return answer


def _macro_f1(cells: NDArray[np.int64], classes: int) -> float:
    matrix = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return metrics.class_scores(matrix).macro_f1
