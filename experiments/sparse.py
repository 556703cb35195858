"""What does sparse pre-training cost, or bring? SimMIM on a quarter of the tokens against faithful SimMIM, by top-1 after few labels: at equal
epochs, and at equal time on this machine.

    python -m experiments.sparse [--processes 2]

Killed at any moment, the same command goes on (:mod:`experiments.cells`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .arms import FAITHFUL, SPARSE, Arm, Phase, Plan, step_ratio
from .cells import Cells, Walk, Walked, main, record, walk_all
from .mechanism import Claim, judged

PAPER = "UM-MAE, arXiv 2205.10063"
FAITHFUL_END = (
    0.2  # of the time, where sparse epochs are followed by faithful ones: the encoder meets whole maps before it is handed over
)


def run(plan: Plan, folder: Path, runs: Path, processes: int = 1) -> dict[str, Any]:
    torch.set_num_threads(plan.threads)
    shared = Cells(runs / "cells" / "shared.json", plan)
    ratio = shared.get("faithful step over sparse step, V1", lambda: step_ratio(plan))
    ways = [Walk(arm, phases(arm, plan.epochs, ratio), plan.labels[:1]) for arm in (FAITHFUL[0], *reversed(SPARSE))]
    walked = walk_all(plan, ways, runs, processes)
    return record("sparse", plan, walked, claims(plan, walked), folder, shared.found)


def phases(arm: Arm, epochs: int, ratio: float) -> tuple[Phase, ...]:
    """How ``arm`` pre-trains beside a faithful one of ``epochs``, each of which takes as long as ``ratio`` sparse ones."""
    end = max(1, round(FAITHFUL_END * epochs))

    def sparse(faithful: int) -> Phase:
        return Phase(max(1, round(ratio * faithful)), sparse=True)

    return {
        "faithful": (Phase(epochs),),
        "sparse, equal epochs": (Phase(epochs, sparse=True),),
        "sparse, equal time": (sparse(epochs),),
        "sparse, then faithful, equal time": (sparse(epochs - end), Phase(end)),
    }[arm.kind]


def claims(plan: Plan, walked: dict[str, Walked]) -> list[dict[str, Any]]:
    labels, faithful, found = plan.labels[0], walked[FAITHFUL[0].name], []
    for arm in SPARSE:
        claim = Claim(f"{arm.name}: with {labels} labels above faithful", PAPER)
        found.append(judged(claim, walked[arm.name].reached[labels], faithful.reached[labels]))
    return found


if __name__ == "__main__":
    main(__doc__, run)
