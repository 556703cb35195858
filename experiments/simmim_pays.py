"""Does learning without labels pay? SimMIM on Fashion-MNIST's 60,000 training pictures, then few labels, against the same network
from nothing at its own best number of epochs.

    python -m experiments.simmim_pays [--processes 2]

Cells are computed one after another and kept in runs/simmim_pays/cells as they come, a file per arm; killed at any moment, the same
command goes on, pre-training itself in the middle of an epoch. Encoders stay beside them; results/simmim_pays.json is written when all
is known. Arms are independent of each other, so that each of several processes takes the next.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swinkit.weights.atomic import write_json

from .arms import FAITHFUL, NOTHING, SPARSE, Arm, Plan, measured, pretrained, step_ratio, tuned
from .mechanism import RESULTS, Claim, interval, judged, precision

RUNS = Path("runs/simmim_pays")
DECIDE = ("epochs", "pictures", "held", "test", "precision")  # what cells depend on, beside their names


class Cells:
    """Results by name, written as soon as one is there."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, {key: asdict(plan)[key] for key in DECIDE}
        stored = json.loads(path.read_text("utf-8")) if path.is_file() else {"plan": self.plan, "cells": {}}
        if changed := [key for key in DECIDE if stored["plan"][key] != self.plan[key]]:
            raise SystemExit(
                f"{path} was begun with another plan ({', '.join(changed)}). Mend: the same options, or move it away"
            )
        self.found: dict[str, Any] = stored["cells"]

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.found:
            begun, processor = time.perf_counter(), time.process_time()
            value = make()
            seconds = {
                "seconds": round(time.perf_counter() - begun, 1),
                "processor_seconds": round(time.process_time() - processor, 1),
            }
            self.found[name] = {"value": value, **seconds}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"plan": self.plan, "cells": self.found})
            print(f"{name}: {value}  ({seconds['processor_seconds']:.0f} s)", flush=True)
        return self.found[name]["value"]


def cell(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int, epochs: int, seed: int) -> dict[str, float]:
    name = f"{arm.name}; {labels} labels; {epochs} epochs; seed {seed}"
    return cells.get(name, lambda: tuned(plan, arm, run, labels, epochs, seed))


def best_budget(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int) -> int:
    """Epochs with which ``arm`` does best on the pictures held aside, with the seeds of its tries."""

    def tried(epochs: int) -> float:
        return float(np.mean([cell(plan, cells, arm, run, labels, epochs, seed)["held"] for seed in range(plan.tries)]))

    return max(plan.budgets(labels, arm), key=tried)


def walk(plan: Plan, arm: Arm, epochs: int, runs: Path) -> dict[str, Any]:
    """All of one arm: pre-training for ``epochs``, probes, and each number of labels at its best budget."""
    torch.set_num_threads(plan.threads)
    cells = Cells(runs / "cells" / f"{arm.slug}.json", plan)
    run, once = None, arm.kind != "nothing"
    if once:
        run = cells.get(f"encoder: {arm.encoder}", lambda: pretrained(plan, arm, epochs, runs))["run"]
    seeds = range(1 if once else plan.seeds)
    probes = [cells.get(f"probe: {arm.name}; seed {seed}", lambda seed=seed: measured(plan, arm, run, seed)) for seed in seeds]
    reached = {}
    for labels in plan.labels[:1] if arm in SPARSE else plan.labels:
        best = best_budget(plan, cells, arm, run, labels)
        reached[labels] = [cell(plan, cells, arm, run, labels, best, seed)["top1"] for seed in range(plan.repeats(labels))]
    return {"probes": probes, "reached": reached, "cells": cells.found}


def run(plan: Plan, folder: Path = RESULTS, runs: Path = RUNS, processes: int = 1) -> dict[str, Any]:
    torch.set_num_threads(plan.threads)
    shared = Cells(runs / "cells" / "shared.json", plan)
    ratio = shared.get("faithful step over sparse step, V1", lambda: step_ratio(plan))
    lengths = {"sparse, equal time": max(1, round(plan.epochs * ratio))}
    # the longest first, so that none is left alone at the end
    tasks = [(plan, arm, lengths.get(arm.kind, plan.epochs), runs) for arm in (*FAITHFUL, *NOTHING, *reversed(SPARSE))]
    if processes == 1:
        walked = [walk(*task) for task in tasks]
    else:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            walked = list(pool.map(walk, *zip(*tasks, strict=True)))
    found = {task[1].name: one for task, one in zip(tasks, walked, strict=True)}
    probes = {name: one["probes"] for name, one in found.items()}
    reached = {
        labels: {name: one["reached"][labels] for name, one in found.items() if labels in one["reached"]}
        for labels in plan.labels
    }
    cells = {**shared.found, **{name: value for one in walked for name, value in one["cells"].items()}}
    whole = {
        "experiment": "simmim_pays", "command": "python -m experiments.simmim_pays", "data": "Fashion-MNIST", "plan": asdict(plan),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "minutes of processor": round(sum(value["processor_seconds"] for value in cells.values()) / 60, 1),
        "claims": claims(reached, probes), "summary": summary(reached, probes), "cells": cells,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "simmim_pays.json", whole)
    return whole


def claims(reached: dict[int, dict[str, list[float]]], probes: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """What SimMIM promises, as differences within seeds."""
    paper, found = "SimMIM, arXiv 2111.09886", []
    for labels, tops in reached.items():
        for nothing, simmim in zip(NOTHING, FAITHFUL, strict=True):
            claim = Claim(f"{simmim.name}: with {labels} labels above from nothing at its best", paper)
            found.append(judged(claim, tops[simmim.name], tops[nothing.name]))
    for nothing, simmim in zip(NOTHING, FAITHFUL, strict=True):
        random = [one["linear"] for one in probes[nothing.name]]
        claim = Claim(f"{simmim.name}: linear probe above random features", paper)
        found.append(judged(claim, [probes[simmim.name][0]["linear"]] * len(random), random))
    tops = reached[min(reached)]
    for arm in SPARSE:
        claim = Claim(f"{arm.name}: with {min(reached)} labels above faithful", "UM-MAE, arXiv 2205.10063")
        found.append(judged(claim, tops[arm.name], tops[FAITHFUL[0].name]))
    return found


def summary(reached: dict[int, dict[str, list[float]]], probes: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for labels, tops in reached.items():
        answer[f"top-1 with {labels} labels"] = {name: interval(values) for name, values in tops.items()}
    for kind in ("linear", "knn"):
        answer[f"probe, {kind}"] = {name: interval([one[kind] for one in values]) for name, values in probes.items()}
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=Plan.epochs, help="of pre-training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=Plan.seeds, help="runs of each arm (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="that share the arms (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=Plan.threads, help="of each process (default: %(default)s)")
    given = parser.parse_args()
    plan = Plan(epochs=given.epochs, seeds=given.seeds, threads=given.threads, precision=precision())
    result = run(plan, processes=given.processes)
    for claim in result["claims"]:
        found = claim["difference"]
        reach = "" if found["low"] is None else f" [{found['low']:+.4f}, {found['high']:+.4f}]"
        print(f"{claim['text']}: {found['mean']:+.4f}{reach}: {claim['verdict']}")


if __name__ == "__main__":
    main()
