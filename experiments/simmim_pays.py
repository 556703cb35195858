"""Does learning without labels pay? SimMIM on Fashion-MNIST's 60,000 training pictures, then few labels, against the same network
from nothing at its own best number of epochs.

    python -m experiments.simmim_pays [--processes 2]

Killed at any moment, the same command goes on (:mod:`experiments.cells`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .arms import FAITHFUL, NOTHING, Plan
from .cells import Walk, Walked, main, record, walk_all
from .mechanism import Claim, judged

PAPER = "SimMIM, arXiv 2111.09886"


def run(plan: Plan, folder: Path, runs: Path, processes: int = 1) -> dict[str, Any]:
    ways = [Walk(arm, plan.epochs, plan.labels) for arm in (*FAITHFUL, *NOTHING)]
    walked = walk_all(plan, ways, runs, processes)
    return record("simmim_pays", plan, walked, claims(plan, walked), folder)


def claims(plan: Plan, walked: dict[str, Walked]) -> list[dict[str, Any]]:
    """What SimMIM promises, as differences within seeds."""
    pairs, found = list(zip(NOTHING, FAITHFUL, strict=True)), []
    for labels in plan.labels:
        for nothing, simmim in pairs:
            claim = Claim(f"{simmim.name}: with {labels} labels above from nothing at its best", PAPER)
            found.append(judged(claim, walked[simmim.name].reached[labels], walked[nothing.name].reached[labels]))
    for nothing, simmim in pairs:
        random = [probe["linear"] for probe in walked[nothing.name].probes]
        claim = Claim(f"{simmim.name}: linear probe above random features", PAPER)
        found.append(judged(claim, [walked[simmim.name].probes[0]["linear"]] * len(random), random))
    return found


if __name__ == "__main__":
    main(__doc__, run)
