"""Arms walked cell by cell: each result is kept in runs/simmim_pays/cells as it comes, a file per arm.

Killed at any moment, the same command goes on, pre-training itself in the middle of an epoch. Encoders stay beside the cells; experiments
with the same plan share both. Arms are independent of each other, so that each of several processes takes the next.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swinkit.weights.atomic import write_json

from .arms import Arm, Plan, measured, pretrained, tuned
from .mechanism import RESULTS, interval, precision, show
from .processes import shared_out

RUNS = Path("runs/simmim_pays")
OPTIONS = ("epochs", "seeds", "threads")  # of a plan, as the command line names them
DECIDE = ("epochs", "pictures", "held", "test", "precision")  # what cells depend on, beside their names


class Cells:
    """Results by name, written as soon as one is there; what a cell took is None where it was killed in the middle of it."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, {key: asdict(plan)[key] for key in DECIDE}
        stored = json.loads(path.read_text("utf-8")) if path.is_file() else {"plan": self.plan, "cells": {}, "begun": None}
        if changed := [key for key in DECIDE if stored["plan"][key] != self.plan[key]]:
            raise SystemExit(
                f"{path} was begun with another plan ({', '.join(changed)}). Mend: the same options, or move it away"
            )
        self.found: dict[str, Any] = stored["cells"]
        self.killed = stored.get("begun")

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.found:
            self.write(begun=name)
            begun, processor = time.perf_counter(), time.process_time()
            try:
                value = make()
            except Exception:  # which a kill is not
                self.write(begun=self.killed)
                raise
            taken = time.perf_counter() - begun, time.process_time() - processor
            whole = name != self.killed
            seconds = {
                key: round(value, 1) if whole else None
                for key, value in zip(("seconds", "processor_seconds"), taken, strict=True)
            }
            self.found[name] = {"value": value, **seconds}
            self.write(begun=None)
            print(f"{name}: {value}  ({f'{taken[1]:.0f} s' if whole else 'begun before'})", flush=True)
        return self.found[name]["value"]

    def write(self, begun: str | None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"plan": self.plan, "cells": self.found, "begun": begun})


@dataclass(frozen=True)
class Walk:
    """``arm`` after ``epochs`` of pre-training (none for one from nothing), and the numbers of ``labels`` that it learns from."""

    arm: Arm
    epochs: int
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Walked:
    """Probes of an arm's encoder, a seed each or one; top-1 of each seed by the number of labels; and all its cells."""

    probes: list[dict[str, float]]
    reached: dict[int, list[float]]
    cells: dict[str, Any]


def cell(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int, epochs: int, seed: int) -> dict[str, float]:
    name = f"{arm.name}; {labels} labels; {epochs} epochs; seed {seed}"
    return cells.get(name, lambda: tuned(plan, arm, run, labels, epochs, seed))


def best_budget(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int) -> int:
    """Epochs with which ``arm`` does best on the pictures held aside, with the seeds of its tries."""

    def tried(epochs: int) -> float:
        return float(np.mean([cell(plan, cells, arm, run, labels, epochs, seed)["held"] for seed in range(plan.tries)]))

    budgets = plan.budgets(labels, arm)
    return budgets[0] if len(budgets) == 1 else max(budgets, key=tried)


def walk(plan: Plan, way: Walk, runs: Path) -> Walked:
    """All of one arm: pre-training, probes, and each number of labels at its best budget."""
    torch.set_num_threads(plan.threads)
    arm = way.arm
    cells = Cells(runs / "cells" / f"{arm.slug}.json", plan)
    run, once = None, arm.kind != "nothing"
    if once:
        run = cells.get(f"encoder: {arm.encoder}", lambda: pretrained(plan, arm, way.epochs, runs))["run"]
    seeds = range(1 if once else plan.seeds)
    probes = [cells.get(f"probe: {arm.name}; seed {seed}", lambda seed=seed: measured(plan, arm, run, seed)) for seed in seeds]
    reached = {}
    for labels in way.labels:
        best = best_budget(plan, cells, arm, run, labels)
        reached[labels] = [cell(plan, cells, arm, run, labels, best, seed)["top1"] for seed in range(plan.repeats(labels))]
    return Walked(probes, reached, cells.found)


def walk_all(plan: Plan, ways: list[Walk], runs: Path, processes: int) -> dict[str, Walked]:
    """What each arm reached, by its name; those that take longest belong first, so that none is left alone at the end."""
    tasks = [(plan, way, runs) for way in ways]
    found = [walk(*task) for task in tasks] if processes == 1 else shared_out(walk, tasks, processes)
    return {way.arm.name: one for way, one in zip(ways, found, strict=True)}


def record(
    name: str,
    plan: Plan,
    walked: dict[str, Walked],
    claims: list[dict[str, Any]],
    folder: Path,
    shared: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write results/``name``.json: the claims, what they rest on, and every cell, those ``shared`` by all arms among them."""
    cells = (shared or {}) | {key: value for one in walked.values() for key, value in one.cells.items()}
    given = [f" --{name} {getattr(plan, name)}" for name in OPTIONS if getattr(plan, name) != getattr(Plan, name)]
    whole = {
        "experiment": name, "command": f"python -m experiments.{name}{''.join(given)}", "data": "Fashion-MNIST", "plan": asdict(plan),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "minutes of processor": round(sum(value["processor_seconds"] or 0 for value in cells.values()) / 60, 1),
        "cells without a time": sum(value["processor_seconds"] is None for value in cells.values()),
        "claims": claims, "summary": summary(plan, walked), "cells": cells,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", whole)
    return whole


def summary(plan: Plan, walked: dict[str, Walked]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for labels in plan.labels:
        tops = {name: interval(one.reached[labels]) for name, one in walked.items() if labels in one.reached}
        answer |= {f"top-1 with {labels} labels": tops} if tops else {}
    for kind in ("linear", "knn"):
        answer[f"probe, {kind}"] = {name: interval([probe[kind] for probe in one.probes]) for name, one in walked.items()}
    return answer


def main(description: str | None, run: Callable[..., dict[str, Any]]) -> None:
    """The command line of an experiment that ``run`` carries out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=Plan.epochs, help="of pre-training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=Plan.seeds, help="runs of each arm (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="that share the arms (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=Plan.threads, help="of each process (default: %(default)s)")
    given = parser.parse_args()
    plan = Plan(epochs=given.epochs, seeds=given.seeds, threads=given.threads, precision=precision())
    show(run(plan, RESULTS, RUNS, given.processes))
