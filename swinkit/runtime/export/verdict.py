"""Is int8 worth it? What quantisation cost in answers and what it brought in time, against the bars that it must reach. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .gate import Gate


def decisions(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """What logits (n, K) decide: the best class (n,), or with several labels which of them hold (n, K)."""
    return logits >= 0 if multi_label else logits.argmax(axis=1)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of pictures of which two :func:`decisions` are the same in all."""
    return float((one == other).reshape(len(one), -1).all(axis=1).mean())


@dataclass(frozen=True)
class Answers:
    """The :func:`decisions` of float32 and of int8 for each held-out picture, and the true class (n,) where it is known."""

    float32: np.ndarray
    int8: np.ndarray
    truth: np.ndarray | None

    @property
    def agreement(self) -> float:
        return agreement(self.float32, self.int8)

    def accuracy(self) -> tuple[float, float] | None:
        """Top-1 of float32 and of int8."""
        if self.truth is None:
            return None
        return float((self.float32 == self.truth).mean()), float((self.int8 == self.truth).mean())

    def class_drops(self, classes: Sequence[str]) -> list[tuple[str, float, int]]:
        """(class, fall of its recall, its pictures), the largest fall first; classes without pictures are left out."""
        if self.truth is None:
            return []
        rows = []
        for index, name in enumerate(classes):
            own = self.truth == index
            if own.any():
                fall = (self.float32[own] == index).mean() - (self.int8[own] == index).mean()
                rows.append((name, float(fall), int(own.sum())))
        return sorted(rows, key=lambda row: -row[1])


@dataclass(frozen=True)
class Verdict:
    """What was measured of an int8 graph. ``in_float`` are layers that fell back, ``seconds`` medians for one picture by precision."""

    answers: Answers
    classes: tuple[str, ...]
    in_float: tuple[str, ...]
    seconds: dict[str, float]
    gate: Gate

    @property
    def faults(self) -> list[str]:
        """In which answers int8 falls short; an int8 graph with any is not kept."""
        answers, gate, faults = self.answers, self.gate, []
        if answers.agreement < gate.agreement:
            faults.append(f"agreement with float32 is {answers.agreement:.2%}, wanted {gate.agreement:.2%}")
        accuracy = answers.accuracy()
        if accuracy and accuracy[0] - accuracy[1] > gate.accuracy_drop:
            faults.append(
                f"top-1 falls from {accuracy[0]:.2%} to {accuracy[1]:.2%}, at most {gate.accuracy_drop:.2%} may be lost"
            )
        for name, fall, pictures in answers.class_drops(self.classes):
            if fall > gate.class_drop and fall * pictures > 1.5:
                faults.append(f"class {name!r} loses {fall:.2%} of its {pictures:,} pictures, at most {gate.class_drop:.2%}")
        return faults

    @property
    def speedup(self) -> float:
        """Over the faster of the float precisions that this machine computes in."""
        best = min(value for name, value in self.seconds.items() if name != "int8")
        return best / self.seconds["int8"]

    @property
    def worth_it(self) -> bool:
        return self.speedup >= self.gate.speedup

    def to_dict(self) -> dict[str, Any]:
        accuracy = self.answers.accuracy()
        return {
            "pictures": len(self.answers.int8),
            "agreement": self.answers.agreement,
            "accuracy": {"float32": accuracy[0], "int8": accuracy[1]} if accuracy else None,
            "class_drops": [
                {"class": name, "drop": fall, "pictures": count} for name, fall, count in self.answers.class_drops(self.classes)
            ],
            "layers_in_float": list(self.in_float),
            "milliseconds": {name: round(1000 * value, 3) for name, value in self.seconds.items()},
            "speedup": self.speedup,
            "worth_it": self.worth_it,
            "faults": self.faults,
            "gate": asdict(self.gate),
        }

    def __str__(self) -> str:
        accuracy = self.answers.accuracy()
        lines = [f"{'agreement':18}{self.answers.agreement:8.2%}   of {len(self.answers.int8):,} held-out pictures"]
        if accuracy:
            lines.append(f"{'top-1':18}{accuracy[1]:8.2%}   float32 {accuracy[0]:.2%}")
        for name, fall, pictures in self.answers.class_drops(self.classes)[:3]:
            lines.append(f"{'largest class drop':18}{fall:8.2%}   {name!r}, {pictures:,} pictures")
        lines.append(f"{'layers in float':18}{len(self.in_float):8}   {', '.join(self.in_float)}".rstrip())
        lines += [f"{name:18}{1000 * value:8.2f}   ms for one picture" for name, value in self.seconds.items()]
        worth = "" if self.worth_it else ": int8 is not worth it on this machine"
        lines.append(f"{'speed-up':18}{self.speedup:8.2f}   over the faster float{worth}")
        return "\n".join(lines)
