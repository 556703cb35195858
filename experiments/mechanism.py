"""What every experiment shares: a budget, networks trained on Fashion-MNIST within it, differences with intervals, and what is kept.

Runs of one seed see the same pictures in the same order, so a claim is judged by differences within seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import nn

from swinkit.config import SwinConfig
from swinkit.data.collection import Collection
from swinkit.data.layouts import open_data
from swinkit.data.loader import eval_batches
from swinkit.data.transforms import evaluation
from swinkit.devices import computes_bfloat16
from swinkit.kernels.accelerate import accelerate
from swinkit.preprocessing import Preprocessing
from swinkit.tasks.classification import ClassificationTask
from swinkit.train.feed import Feed
from swinkit.train.loop import Trainer
from swinkit.train.session import make_fabric
from swinkit.train.settings import DataFacts, TrainSettings, settle
from swinkit.variants import configure

RESULTS = Path(__file__).with_name("results")
SIDE, BATCH = 28, 64
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 97.5 % quantiles of t, 1 to 9 degrees of freedom
STYLE = """
svg { background: #fcfbf9; font-family: system-ui, sans-serif; } text { fill: #1d1c1a; font-size: 13px; }
.tick { font-size: 12px; fill: #67635c; } .grid { stroke: #e5e1d9; } .axis { stroke: #67635c; } .hover { fill: transparent; }
.line { fill: none; stroke-width: 2; } .line-0 { stroke: #22559c; } .line-1 { stroke: #a8450f; } .line-2 { stroke: #2b7a6b; }
.dot-0, .name-0 { fill: #22559c; } .dot-1, .name-1 { fill: #a8450f; } .dot-2, .name-2 { fill: #2b7a6b; }
.whisker { stroke: #22559c; stroke-width: 2.5; stroke-linecap: round; opacity: .55; }
"""


@dataclass(frozen=True)
class Budget:
    """``pictures`` are seen in training by each run, of ``seeds`` runs per arm; ``test`` of the test pictures judge it."""

    pictures: int
    seeds: int = 3
    test: int = 10_000
    threads: int | None = None


@dataclass(frozen=True)
class Claim:
    """What a paper says, as a difference that should be above 0."""

    text: str
    paper: str


def configuration(version: int = 1, side: int = SIDE, **fields: Any) -> SwinConfig:
    """swin_nano, or swinv2_nano, for gray pictures of ``side`` pixels."""
    name = "swin_nano" if version == 1 else "swinv2_nano"
    return configure(name, num_classes=10, in_channels=1, **{"window_size": 7, "image_size": side, **fields})


def train(build: Callable[[], nn.Module], budget: Budget, seed: int, side: int = SIDE, **settings: Any) -> nn.Module:
    """The network that ``build`` makes, trained from nothing on pictures of ``side`` pixels by the toolkit's own recipe and kernels.

    ``settings`` are fields of :class:`TrainSettings`. Returns the averaged weights, in evaluation mode.
    """
    torch.manual_seed(seed)
    model, collection = accelerate(build()), fashion()
    indices = part(collection, "train")
    epochs = max(1, math.ceil(budget.pictures / len(indices)))
    given = TrainSettings(
        data="fashion", seed=seed, epochs=epochs, batch_size=BATCH, precision=precision(), device="cpu", **settings
    )
    indices = indices[: max(1, budget.pictures // epochs)]
    settled = settle(given, DataFacts(len(indices), 0, side, 1, gray=True), learned_from="nothing")
    feed = Feed(collection, indices, (), preprocessing(side), settled.augment, settled.batch_size, seed)  # type: ignore[arg-type]
    task = ClassificationTask(collection.classes, False, settled)
    return learned(Trainer(make_fabric(settled), task, model, feed, settled))


def learned(trainer: Trainer) -> nn.Module:
    """The averaged weights after all steps of ``trainer``, in evaluation mode."""
    while trainer.progress.step < trainer.steps:
        for batch in trainer.feed.training(trainer.epoch):
            trainer.step(batch)
            trainer.progress.step += 1
    return trainer.average.model


def precision() -> str:
    """bfloat16 where the processor multiplies it."""
    return "bf16-mixed" if computes_bfloat16(torch.device("cpu")) else "32-true"


@functools.cache
def fashion() -> Collection:
    return open_data("fashion")


def part(collection: Collection, name: str) -> list[int]:
    return [index for index, sample in enumerate(collection.samples) if sample.split == name]


def preprocessing(side: int) -> Preprocessing:
    """Gray pictures scaled to ``side``, with Fashion-MNIST's mean and standard deviation."""
    return Preprocessing(size=(side, side), resize="squash", interpolation="bilinear", channels=1, mean=(0.286,), std=(0.353,))


@torch.inference_mode()
def top1(model: nn.Module, budget: Budget, side: int = SIDE) -> float:
    """Share of the test pictures, scaled to ``side``, that ``model`` names right."""
    collection = fashion()
    meter = ClassificationTask(collection.classes, False, TrainSettings()).meter()
    for batch in eval_batches(collection, part(collection, "test")[: budget.test], evaluation(preprocessing(side)), 100):
        meter.update(model.eval(), batch)
    return meter.compute()["top1"]


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Mean of ``values`` and its 95 % interval by Student's t; a single value has none."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return {"mean": mean, "low": None, "high": None}
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    reach = spread * STUDENT[min(count - 2, len(STUDENT) - 1)]
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def judged(claim: Claim, better: Sequence[float], worse: Sequence[float]) -> dict[str, Any]:
    """Whether ``better`` is above ``worse``, seed by seed, as ``claim`` says."""
    difference = interval([one - other for one, other in zip(better, worse, strict=True)])
    low, high = difference["low"], difference["high"]
    if low is not None and low > 0:
        verdict = "agrees"
    elif high is not None and high < 0:
        verdict = "disagrees"
    else:
        verdict = (
            "undecided: the interval of the difference holds 0" if low is not None else "undecided: one seed has no interval"
        )
    return {**asdict(claim), "difference": difference, "verdict": verdict}


def over_seeds(
    arms: Mapping[str, Callable[[int], Any]], budget: Budget, say: Callable[[str], None] = print
) -> dict[str, list[Any]]:
    """What each arm gives for each seed, all arms of a seed in turn."""
    found: dict[str, list[Any]] = {name: [] for name in arms}
    for seed in range(budget.seeds):
        for name, arm in arms.items():
            begun = time.perf_counter()
            found[name].append(arm(seed))
            say(f"  {name}, seed {seed}: {found[name][-1]}  ({time.perf_counter() - begun:.0f} s)")
    return found


def keep(name: str, budget: Budget, result: Mapping[str, Any], chart: Markup, folder: Path = RESULTS) -> dict[str, Any]:
    """Write ``result`` with what reproduces it as NAME.json, and ``chart`` as NAME.svg; returns what was written."""
    command = f"python -m experiments.{name} --pictures {budget.pictures} --seeds {budget.seeds} --test {budget.test}"
    whole = {
        "experiment": name, "command": command, "budget": asdict(budget), "precision": precision(),
        "data": "Fashion-MNIST",
        "versions": {"python": platform.python_version(), "torch": torch.__version__}, **result,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    standing = str(chart).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    standing = standing.replace(">", f"><style>{STYLE}</style>", 1)
    (folder / f"{name}.svg").write_text(standing + "\n", encoding="utf-8")
    return whole


def command_line(run: Callable[[Budget], Mapping[str, Any]], purpose: str | None, pictures: int, seeds: int) -> None:
    """Run an experiment as a program: its budget from the command line, its verdicts on the screen."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=pictures, help="seen in training by each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of each arm (default: %(default)s)")
    parser.add_argument("--test", type=int, default=10_000, help="test pictures that judge each run (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of the processor; all by default")
    budget = Budget(**vars(parser.parse_args()))
    if budget.threads:
        torch.set_num_threads(budget.threads)
    show(run(budget))


def show(result: Mapping[str, Any]) -> None:
    for claim in result["claims"]:
        found = claim["difference"]
        reach = "" if found["low"] is None else f" [{found['low']:+.4f}, {found['high']:+.4f}]"
        print(f"{result['experiment']}: {claim['text']}: {found['mean']:+.4f}{reach}: {claim['verdict']}")
