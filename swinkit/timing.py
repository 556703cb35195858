"""Runs of this process timed in turn, so that whatever else the machine does falls on all of them alike.

For figures to publish, :func:`swinkit.study.turns.take_turns` gives each a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


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
