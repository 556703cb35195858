"""What does sparse pre-training cost, or bring? SimMIM on a quarter of the tokens against faithful SimMIM, by top-1 after few labels: at equal
epochs, and at equal time on this machine.

    python -m experiments.sparse [--processes 2]

Killed at any moment, the same command goes on (:mod:`experiments.cells`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .arms import FAITHFUL, SPARSE, Plan, step_ratio
from .cells import Cells, Walk, Walked, main, record, walk_all
from .mechanism import Claim, judged

PAPER = "UM-MAE, arXiv 2205.10063"


def run(plan: Plan, folder: Path, runs: Path, processes: int = 1) -> dict[str, Any]:
    torch.set_num_threads(plan.threads)
    shared = Cells(runs / "cells" / "shared.json", plan)
    ratio = shared.get("faithful step over sparse step, V1", lambda: step_ratio(plan))
    epochs = {"sparse, equal time": max(1, round(plan.epochs * ratio))}
    ways = [Walk(arm, epochs.get(arm.kind, plan.epochs), plan.labels[:1]) for arm in (FAITHFUL[0], *reversed(SPARSE))]
    walked = walk_all(plan, ways, runs, processes)
    return record("sparse", plan, walked, claims(plan, walked), folder, shared.found)


def claims(plan: Plan, walked: dict[str, Walked]) -> list[dict[str, Any]]:
    labels, faithful, found = plan.labels[0], walked[FAITHFUL[0].name], []
    for arm in SPARSE:
        claim = Claim(f"{arm.name}: with {labels} labels above faithful", PAPER)
        found.append(judged(claim, walked[arm.name].reached[labels], faithful.reached[labels]))
    return found


if __name__ == "__main__":
    main(__doc__, run)
