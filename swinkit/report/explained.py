"""The page of an explanation: maps over the picture, each with its verdict on its face, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .page import write_report
from .plots import Curve

LARGE = 640  # pixels of a map in the page
SMALL = 200


@dataclass(frozen=True)
class Proof:
    """One check of a map in words: what was measured, against which limit, and whether it passed."""

    name: str
    passed: bool
    measured: str
    limit: str


@dataclass(frozen=True)
class MapVerdict:
    """Whether a map can be trusted. ``lines`` maps a name to its (share of the cells, value) points: cells are taken away or
    brought back, along the map or at random; ``of`` says of what the values are."""

    proofs: Sequence[Proof]
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict, repr=False)
    of: str = ""

    @property
    def passed(self) -> bool:
        return all(proof.passed for proof in self.proofs)

    @property
    def curve(self) -> Curve:
        return Curve(self.of, self.lines, share=True, across="share of the cells")

    @property
    def failed(self) -> str:
        return " and ".join(proof.name for proof in self.proofs if not proof.passed)


@dataclass(frozen=True)
class Figure:
    """A painted picture (H, W, 3) uint8 with what it is; ``small`` ones stand side by side."""

    picture: NDArray[Any] = field(repr=False)
    title: str
    caption: str = ""
    verdict: MapVerdict | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    small: bool = False

    @property
    def side(self) -> int:
        return SMALL if self.small else LARGE


@dataclass(frozen=True)
class Group:
    """A section: large figures below one another, each beside its verdict; small ones in a grid."""

    heading: str
    lead: str = ""
    figures: Sequence[Figure] = ()


@dataclass(frozen=True)
class ExplainedPage:
    """Everything that the page shows. ``answers`` are (class, share in 0..1); ``notes`` say what it means that maps failed or are
    empty, in sentences; ``commands`` are shell lines that repeat it."""

    title: str
    summary: str
    picture: NDArray[Any] = field(repr=False)
    answers: Sequence[tuple[str, float]]
    groups: Sequence[Group]
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def write_explained(path: Path, page: ExplainedPage) -> Path:
    """Put ``page`` at ``path``, one file that holds everything it shows."""
    return write_report(path, page, "explained.html.j2")
