"""Work of this process timed: runs in turn, so that whatever else the machine does falls on all of them alike; and how long work will take.

For figures to publish, :func:`swinkit.study.turns.take_turns` gives each a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

Piece = TypeVar("Piece")

MEASURED = 3.0  # seconds of work from which the rest is told
TOLD = 10.0  # seconds that are left, from which they are worth a line


def in_turn(runs: Mapping[str, Callable[[], Any]], rounds: int, unmeasured: int = 1) -> dict[str, list[float]]:
    """Seconds of each of ``runs`` in each of ``rounds``, one of each after the other.

    Before them come as many as ``unmeasured`` that are not counted: the first ones allocate.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(unmeasured + rounds):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if number >= unmeasured:
                taken[name].append(time.perf_counter() - begun)
    return taken


def paced(
    pieces: Iterable[Piece], total: float, share: Callable[[Piece], float], tell: Callable[[str], Any]
) -> Iterator[Piece]:
    """``pieces`` of work that is ``total`` in all, of which each is its ``share``; how long the rest will take is told once, as soon as
    :data:`MEASURED` seconds of it are done."""
    begun, done, told = time.monotonic(), 0.0, False
    for piece in pieces:
        yield piece
        done += share(piece)
        taken = time.monotonic() - begun
        if told or taken < MEASURED:
            continue
        told, left = True, taken / done * (total - done)
        if left >= TOLD:
            tell(f"about {duration(left)} to go with it")


def duration(seconds: float) -> str:
    """``seconds`` to be read, for instance 40 s, 12 min, 2.5 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Parts:
    """Parts of some work, one after the other: ``tell`` hears of each when it begins, ``seconds`` has by name what each took."""

    def __init__(self, tell: Callable[[str], Any] = lambda line: None) -> None:
        self.tell = tell
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str, line: str) -> Iterator[None]:
        """While ``name`` is done, which ``line`` announces."""
        self.tell(line)
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {duration(taken)}" for name, taken in self.seconds.items())
        return f"{duration(sum(self.seconds.values()))}: {parts}"
