"""Looking at every picture before the first step: what cannot be used, and what would mislead a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .collection import Collection
from .decode import Undecodable


@dataclass(frozen=True)
class Finding:
    """One thing to know; ``samples`` are the indices it is about."""

    kind: str
    severity: Literal["error", "warning", "note"]
    message: str
    samples: tuple[int, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What :func:`examine` found: ``unusable`` index -> reason; ``sizes`` (N, 2) height and width, 0 where unusable."""

    unusable: dict[int, str]
    items: tuple[Finding, ...]
    sizes: np.ndarray = field(repr=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings with which no training makes sense."""
        return tuple(item for item in self.items if item.severity == "error")


def examine(collection: Collection, progress: Callable[[int, int], Any] | None = None) -> Findings:
    """Decodes every picture of ``collection``; ``progress(done, total)`` is told after each."""
    unusable: dict[int, str] = {}
    sizes = np.zeros((len(collection), 2), np.int64)
    for index in range(len(collection)):
        try:
            sizes[index] = collection.read(index).shape[:2]
        except Undecodable as error:
            unusable[index] = error.reason
        if progress is not None:
            progress(index + 1, len(collection))
    items = []
    if unusable:
        items.append(Finding("unusable", "warning", f"{len(unusable)} pictures cannot be used", tuple(unusable)))
    return Findings(unusable, tuple(items), sizes)
