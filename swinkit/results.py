"""What a model says about a picture, typed and validated; free of torch, so that anything may import it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Failure:
    """Why there is no answer for one input; it stands at that input's place among the results."""

    source: str | None
    reason: str
    ok: ClassVar[bool] = False

    def to_dict(self) -> dict[str, Any]:
        return {"source": self.source, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}" if self.source else self.reason


@dataclass(frozen=True)
class Classification:
    """Scores of one picture.

    ``probabilities`` holds one value per class (softmax, summing to 1; for ``multi_label`` independent sigmoids), in the
    order of ``classes``. ``embedding`` is the pooled feature vector where it was asked for.
    """

    classes: Sequence[str]
    probabilities: Sequence[float]
    source: str | None = None
    multi_label: bool = False
    threshold: float = 0.5
    embedding: Sequence[float] | None = field(default=None, repr=False)
    ok: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.probabilities):
            raise ValueError(f"{len(self.probabilities)} probabilities for {len(self.classes)} classes")

    @property
    def order(self) -> list[int]:
        """Class indices from most to least probable; equal scores keep class order."""
        return sorted(range(len(self.classes)), key=lambda index: -self.probabilities[index])

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[self.order[0]]

    @property
    def score(self) -> float:
        """Probability of :attr:`label`."""
        return float(self.probabilities[self.order[0]])

    @property
    def labels(self) -> list[str]:
        """The classes that hold: the most probable one, or, with several labels, all that reach ``threshold``."""
        if not self.multi_label:
            return [self.label]
        return [self.classes[index] for index in self.order if self.probabilities[index] >= self.threshold]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The ``count`` most probable classes with their probabilities."""
        return [(self.classes[index], float(self.probabilities[index])) for index in self.order[:count]]

    def to_dict(self, count: int = 5) -> dict[str, Any]:
        answer: dict[str, Any] = {"source": self.source, "label": self.label, "score": self.score, "labels": self.labels}
        answer["top"] = [{"label": label, "score": score} for label, score in self.top(count)]
        if self.embedding is not None:
            answer["embedding"] = [float(value) for value in self.embedding]
        return answer

    def to_json(self, count: int = 5) -> str:
        return json.dumps(self.to_dict(count), ensure_ascii=False)

    def __str__(self) -> str:
        ranked = ", ".join(f"{label} {score:.1%}" for label, score in self.top(3))
        return f"{self.source}: {ranked}" if self.source else ranked
