"""Does learning without labels pay? SimMIM on Fashion-MNIST's 60,000 training pictures, then few labels, against the same network
from nothing at its own best number of epochs.

    python -m experiments.simmim_pays [--threads 1]

Cells are computed one after another and kept in runs/simmim_pays/cells.json as they come; killed at any moment, the same command goes
on, pre-training itself in the middle of an epoch. Encoders stay there too; results/simmim_pays.json is written when all is known.
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

from swinkit.data.augment import Augmentation
from swinkit.data.randomness import SPLIT, keys
from swinkit.kernels.accelerate import accelerate
from swinkit.model.classifier import SwinClassifier
from swinkit.tasks import open_saved
from swinkit.tasks.classification import ClassificationTask
from swinkit.tasks.pretraining import PretrainingTask
from swinkit.tasks.probing import Probe
from swinkit.train.feed import Feed
from swinkit.train.loop import Trainer
from swinkit.train.plan import computes_bfloat16
from swinkit.train.session import begin, make_fabric, resume
from swinkit.train.settings import DataFacts, PretrainSettings, TrainSettings, settle
from swinkit.train.start import Start
from swinkit.train.watch import Display
from swinkit.weights.atomic import write_json

from .mechanism import RESULTS, SIDE, Claim, configuration, fashion, interval, judged, part, preprocessing, top1
from .mechanism import Budget as Judging

RUNS = Path("runs/simmim_pays")
FEW, MORE = 200, 2000
LAYER_DECAY = 0.75
LOOKS = Augmentation(flip=True, shift=2)


@dataclass(frozen=True)
class Plan:
    """``epochs`` of pre-training. An arm tries several budgets of epochs per number of labels with ``tries`` seeds; the best, judged on
    ``held`` training pictures whose labels nothing learned from, is repeated with all ``seeds`` (``more_seeds`` with more labels)."""

    epochs: int = 10
    labels: tuple[int, ...] = (FEW, MORE)
    few_budgets: tuple[int, ...] = (100, 300, 600)
    few_tuned: tuple[int, ...] = (300,)
    more_budgets: tuple[int, ...] = (30, 60)
    tries: int = 1
    seeds: int = 5
    more_seeds: int = 3
    pictures: int = 60_000
    held: int = 4000
    test: int = 10_000
    threads: int = 1
    precision: str = "32-true"

    def repeats(self, labels: int) -> int:
        return self.seeds if labels == self.labels[0] else min(self.seeds, self.more_seeds)

    def budgets(self, labels: int, arm: Arm) -> tuple[int, ...]:
        if labels != self.labels[0]:
            return self.more_budgets
        return self.few_budgets if arm.kind == "nothing" else self.few_tuned


@dataclass(frozen=True)
class Arm:
    """A way to begin: from nothing, or from an encoder that saw all pictures without labels."""

    name: str
    version: int
    kind: str = "nothing"  # or "faithful", "sparse, equal epochs", "sparse, equal time"

    @property
    def encoder(self) -> str:
        return f"{self.kind}, V{self.version}"


NOTHING = [Arm(f"from nothing, V{version}", version) for version in (1, 2)]
FAITHFUL = [Arm(f"SimMIM, V{version}", version, "faithful") for version in (1, 2)]
SPARSE = [Arm("sparse, equal epochs", 1, "sparse, equal epochs"), Arm("sparse, equal time", 1, "sparse, equal time")]


class Cells:
    """Results by name, written as soon as one is there."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        stored = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        before = stored.get("plan", asdict(plan))
        changed = [key for key in ("epochs", "pictures", "held", "test", "precision") if before[key] != asdict(plan)[key]]
        if changed:
            raise SystemExit(
                f"{path} was begun with another plan ({', '.join(changed)}). Mend: the same options, or move it away"
            )
        self.found: dict[str, Any] = stored.get("cells", {})
        self.head = {
            "experiment": "simmim_pays", "command": "python -m experiments.simmim_pays", "data": "Fashion-MNIST", "plan": asdict(plan),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }  # fmt: skip

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.found:
            begun = time.process_time()
            value = make()
            self.found[name] = {"value": value, "processor_seconds": round(time.process_time() - begun, 1)}
            self.keep({})
            print(f"{name}: {value}  ({self.found[name]['processor_seconds']:.0f} s)", flush=True)
        return self.found[name]["value"]

    def keep(self, rest: dict[str, Any]) -> dict[str, Any]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {**self.head, **rest, "cells": self.found}
        write_json(self.path, whole)
        return whole


def pretraining(plan: Plan, arm: Arm, epochs: int) -> PretrainSettings:
    name = "swin_nano" if arm.version == 1 else "swinv2_nano"
    settings: dict[str, Any] = {
        "data": "fashion", "model": name, "epochs": epochs, "sparse": arm.kind.startswith("sparse"), "augment": LOOKS, "device": "cpu",
        "image_size": SIDE, "preprocessing": preprocessing(SIDE), "threads": plan.threads, "precision": plan.precision,
        "tensorboard": False, "batch_size": 128,
    }  # fmt: skip
    return PretrainSettings.model_validate(settings)


def pretrained(plan: Plan, arm: Arm, epochs: int, runs: Path) -> dict[str, Any]:
    """Pre-train, or finish what was begun; the run is its own record."""
    out = runs / arm.encoder.replace(", ", "-").replace(" ", "-").lower()
    display = Display(quiet=True)
    run = resume(out, {}, display) if (out / "config.yaml").is_file() else begin(pretraining(plan, arm, epochs), out, display)
    return {"run": str(out), "epochs": run.epochs, "validation_loss": run.validation["loss"], "sha256": run.sha256}


def step_ratio(plan: Plan, repeats: int = 6) -> float:
    """Processor time of a faithful step over that of a sparse one, the two taken in turn; the median of ``repeats``."""
    from swinkit.train.unlabelled import Unlabelled

    collection, recipe = fashion(), Unlabelled()
    trainers = []
    for arm in (FAITHFUL[0], SPARSE[0]):
        settings = pretraining(plan, arm, 1)
        split = recipe.part(settings, collection, _nothing_found(), lambda _: None)
        start = recipe.start(settings, collection, split, torch.device("cpu"))
        settled = recipe.settle(settings, recipe.facts(collection, split, start), start)
        feed = Feed(collection, split.train, split.val, preprocessing(SIDE), LOOKS, 128, 0)
        task = PretrainingTask(settled.masking, 0)
        trainers.append(Trainer(make_fabric(settled), task, accelerate(start.network(0, 0.0)), feed, settled))
    batch = next(trainers[0].feed.training(0))
    ratios = []
    for _ in range(repeats):
        seconds = []
        for trainer in trainers:
            begun = time.process_time()
            trainer.step(batch)
            seconds.append(time.process_time() - begun)
        ratios.append(seconds[0] / seconds[1])
    return float(np.median(ratios[1:] or ratios))


def _nothing_found() -> Any:
    from swinkit.data.check import Findings

    return Findings({}, (), np.zeros((0, 2), np.int64))


def labelled(labels: int, seed: int, plan: Plan) -> list[int]:
    """``labels`` training pictures, as many of each class, drawn with ``seed``."""
    collection = fashion()
    indices = np.array(part(collection, "train")[: plan.pictures - plan.held])
    truth, chance = collection.label_matrix(indices), keys(seed, 0, indices, SPLIT)
    drawn = [indices[truth == kind][np.argsort(chance[truth == kind])][: labels // 10] for kind in range(10)]
    return sorted(np.concatenate(drawn).tolist())


def begun(arm: Arm, run: str | None, seed: int, drop_path: float) -> torch.nn.Module:
    """The classifier with which ``arm`` begins."""
    config, state = configuration(arm.version), {}
    if run is not None:
        saved = open_saved(run)
        config = saved.config.model_copy(update={"num_classes": 10})
        state = {name: tensor for name, tensor in saved.state.items() if name.startswith(("backbone.", "norm."))}
    return accelerate(Start(arm.name, config, preprocessing(SIDE), state, build=SwinClassifier).network(seed, drop_path))


def tuned(plan: Plan, arm: Arm, run: str | None, labels: int, epochs: int, seed: int) -> dict[str, float]:
    """Top-1 on the test pictures, and on those held aside, after ``epochs`` over ``labels`` pictures.

    By the toolkit's recipe for training from nothing, for every arm; what was learned before is spared by rates that fall towards the
    first layer, from twice the rate of the head.
    """
    indices = labelled(labels, seed, plan)
    given = TrainSettings(
        seed=seed, epochs=epochs, precision=plan.precision, device="cpu", tensorboard=False, threads=plan.threads, augment=None
    )
    settled = settle(given, DataFacts(len(indices), 0, SIDE, 1, gray=True), fine_tuning=False)
    assert settled.augment is not None
    spared = {} if run is None else {"layer_decay": LAYER_DECAY, "lr": 2 * (settled.lr or 0.0)}
    settled = settled.model_copy(update={"augment": settled.augment.model_copy(update={"flip": True}), **spared})
    collection = fashion()
    feed = Feed(collection, indices, (), preprocessing(SIDE), settled.augment, settled.batch_size, seed)  # type: ignore[arg-type]
    task = ClassificationTask(collection.classes, False, settled)
    trainer = Trainer(make_fabric(settled), task, begun(arm, run, seed, settled.drop_path or 0.0), feed, settled)
    while trainer.progress.step < trainer.steps:
        for batch in feed.training(trainer.epoch):
            trainer.step(batch)
            trainer.progress.step += 1
    held = part(collection, "train")[plan.pictures - plan.held : plan.pictures]
    return {
        "top1": top1(trainer.average.model, Judging(0, test=plan.test)),
        "held": trainer.measure(feed.evaluation(held)).compute()["top1"],
    }


def measured(plan: Plan, arm: Arm, run: str | None, seed: int) -> dict[str, float]:
    """Linear probe and nearest neighbours of the encoder with which ``arm`` begins."""
    collection = fashion()
    few = part(collection, "train")[: min(5000, plan.pictures)]
    probe = Probe(collection, few, part(collection, "test")[: plan.test])
    return probe.measure(begun(arm, run, seed, 0.0), preprocessing(SIDE), 250)


def best_budget(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int) -> int:
    """Epochs with which ``arm`` does best on the pictures held aside, with the seeds of its tries."""

    def tried(epochs: int) -> float:
        return float(np.mean([cell(plan, cells, arm, run, labels, epochs, seed)["held"] for seed in range(plan.tries)]))

    return max(plan.budgets(labels, arm), key=tried)


def cell(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int, epochs: int, seed: int) -> dict[str, float]:
    name = f"{arm.name}; {labels} labels; {epochs} epochs; seed {seed}"
    return cells.get(name, lambda: tuned(plan, arm, run, labels, epochs, seed))


def over_seeds(plan: Plan, cells: Cells, arm: Arm, run: str | None, labels: int) -> list[float]:
    epochs = best_budget(plan, cells, arm, run, labels)
    return [cell(plan, cells, arm, run, labels, epochs, seed)["top1"] for seed in range(plan.repeats(labels))]


def run(plan: Plan, folder: Path = RESULTS, runs: Path = RUNS) -> dict[str, Any]:
    torch.set_num_threads(plan.threads)
    cells = Cells(runs / "cells.json", plan)
    ratio = cells.get("faithful step over sparse step, V1", lambda: step_ratio(plan))
    lengths = {"sparse, equal time": max(1, round(plan.epochs * ratio))}
    encoders: dict[str, str] = {}
    for arm in (*FAITHFUL, *SPARSE):
        epochs = lengths.get(arm.kind, plan.epochs)
        made = cells.get(f"encoder: {arm.encoder}", lambda arm=arm, epochs=epochs: pretrained(plan, arm, epochs, runs))
        encoders[arm.name] = made["run"]
    probes = {
        arm.name: [
            cells.get(
                f"probe: {arm.name}; seed {seed}", lambda arm=arm, seed=seed: measured(plan, arm, encoders.get(arm.name), seed)
            )
            for seed in range(plan.seeds if arm.kind == "nothing" else 1)
        ]
        for arm in (*NOTHING, *FAITHFUL, *SPARSE)
    }
    few, more = plan.labels
    reached = {
        few: {arm.name: over_seeds(plan, cells, arm, encoders.get(arm.name), few) for arm in (*NOTHING, *FAITHFUL, *SPARSE)}
    }
    reached[more] = {arm.name: over_seeds(plan, cells, arm, encoders.get(arm.name), more) for arm in (*NOTHING, *FAITHFUL)}
    whole = cells.keep({"claims": claims(reached, probes), "summary": summary(reached, probes)})
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
    parser.add_argument("--threads", type=int, default=Plan.threads, help="of the processor (default: %(default)s)")
    given = parser.parse_args()
    precision = "bf16-mixed" if computes_bfloat16(torch.device("cpu")) else "32-true"
    result = run(Plan(epochs=given.epochs, seeds=given.seeds, threads=given.threads, precision=precision))
    for claim in result["claims"]:
        found = claim["difference"]
        reach = "" if found["low"] is None else f" [{found['low']:+.4f}, {found['high']:+.4f}]"
        print(f"{claim['text']}: {found['mean']:+.4f}{reach}: {claim['verdict']}")


if __name__ == "__main__":
    main()
