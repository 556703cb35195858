"""What the arms of :mod:`experiments.simmim_pays` and :mod:`experiments.sparse` do: learn without labels, learn from few labels, be measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swinkit.data.augment import Augmentation
from swinkit.data.check import Findings
from swinkit.data.randomness import SPLIT, keys
from swinkit.kernels.accelerate import accelerate
from swinkit.model.classifier import SwinClassifier
from swinkit.tasks import open_saved
from swinkit.tasks.classification import ClassificationTask
from swinkit.tasks.pretraining import PretrainingTask
from swinkit.tasks.probing import Probe, fit_head
from swinkit.train.feed import Feed
from swinkit.train.loop import Trainer
from swinkit.train.session import begin, make_fabric, resume
from swinkit.train.settings import DataFacts, PretrainSettings, TrainSettings, settle
from swinkit.train.start import Start
from swinkit.train.unlabelled import Unlabelled
from swinkit.train.watch import Display

from .mechanism import SIDE, Budget, configuration, fashion, learned, part, preprocessing, top1

FEW, MORE = 200, 2000
LOOKS = Augmentation(flip=True, shift=2)


@dataclass(frozen=True)
class Plan:
    """``epochs`` of pre-training. An arm tries several budgets of epochs per number of labels with ``tries`` seeds; the best, judged on
    ``held`` training pictures whose labels nothing learned from, is repeated with all ``seeds`` (``more_seeds`` with more labels)."""

    epochs: int = 22
    labels: tuple[int, ...] = (FEW, MORE)
    few_budgets: tuple[int, ...] = (300, 600)
    few_tuned: tuple[int, ...] = (300,)
    more_budgets: tuple[int, ...] = (40, 120)
    more_tuned: tuple[int, ...] = (40,)
    tries: int = 1
    seeds: int = 5
    more_seeds: int = 2
    pictures: int = 60_000
    held: int = 4000
    test: int = 10_000
    threads: int = 1
    precision: str = "32-true"

    def repeats(self, labels: int) -> int:
        return self.seeds if labels == self.labels[0] else min(self.seeds, self.more_seeds)

    def budgets(self, labels: int, arm: Arm) -> tuple[int, ...]:
        few = labels == self.labels[0]
        if arm.kind == "nothing":
            return self.few_budgets if few else self.more_budgets
        return self.few_tuned if few else self.more_tuned


@dataclass(frozen=True)
class Arm:
    """A way to begin: from nothing, or from an encoder that saw all pictures without labels."""

    name: str
    version: int
    kind: str = "nothing"  # or "faithful", "sparse, equal epochs", "sparse, equal time"

    @property
    def encoder(self) -> str:
        return f"{self.kind}, V{self.version}"

    @property
    def slug(self) -> str:
        return self.encoder.replace(", ", "-").replace(" ", "-")


NOTHING = [Arm(f"from nothing, V{version}", version) for version in (1, 2)]
FAITHFUL = [Arm(f"SimMIM, V{version}", version, "faithful") for version in (1, 2)]
SPARSE = [Arm("sparse, equal epochs", 1, "sparse, equal epochs"), Arm("sparse, equal time", 1, "sparse, equal time")]


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
    out = runs / arm.slug
    display = Display(quiet=True)
    run = resume(out, {}, display) if (out / "config.yaml").is_file() else begin(pretraining(plan, arm, epochs), out, display)
    return {"run": str(out), "epochs": run.epochs, "validation_loss": run.validation["loss"], "sha256": run.sha256}


def step_ratio(plan: Plan, repeats: int = 6) -> float:
    """Processor time of a faithful step over that of a sparse one, each with what loads its batch, the two taken in turn; the median of
    ``repeats``."""
    collection, recipe = fashion(), Unlabelled()
    ways = []
    for arm in (FAITHFUL[0], SPARSE[0]):
        settings = pretraining(plan, arm, 1)
        split = recipe.part(settings, collection, Findings({}, (), np.zeros((0, 2), np.int64)), lambda _: None)
        start = recipe.start(settings, collection, split, None)
        settled = recipe.settle(settings, recipe.facts(collection, split, start), start)
        feed = Feed(collection, split.train, split.val, preprocessing(SIDE), LOOKS, 128, 0)
        task = PretrainingTask(settled.masking, 0)
        trainer = Trainer(make_fabric(settled), task, accelerate(start.network(0, 0.0)), feed, settled)
        ways.append((trainer, chain.from_iterable(map(feed.training, count()))))
    ratios = []
    for _ in range(repeats):
        seconds = []
        for trainer, batches in ways:
            begun = time.process_time()
            trainer.step(next(batches))
            seconds.append(time.process_time() - begun)
        ratios.append(seconds[0] / seconds[1])
    return float(np.median(ratios[1:] or ratios))


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
    """Top-1 on the test pictures, and on those held aside, after ``epochs`` over ``labels`` pictures, by the toolkit's own recipe for
    weights that have seen nothing, or pictures."""
    indices = labelled(labels, seed, plan)
    given = TrainSettings(
        seed=seed, epochs=epochs, precision=plan.precision, device="cpu", tensorboard=False, threads=plan.threads, augment=None
    )
    settled = settle(given, DataFacts(len(indices), 0, SIDE, 1, gray=True), "nothing" if run is None else "pictures")
    assert settled.augment is not None
    settled = settled.model_copy(update={"augment": settled.augment.model_copy(update={"flip": True})})
    collection = fashion()
    feed = Feed(collection, indices, (), preprocessing(SIDE), settled.augment, settled.batch_size, seed)  # type: ignore[arg-type]
    task = ClassificationTask(collection.classes, False, settled)
    model = begun(arm, run, seed, settled.drop_path or 0.0)
    if settled.fit_head:
        fit_head(model, collection, indices, preprocessing(SIDE), seed)
    trainer = Trainer(make_fabric(settled), task, model, feed, settled)
    found = learned(trainer)
    held = part(collection, "train")[plan.pictures - plan.held : plan.pictures]
    return {
        "top1": top1(found, Budget(0, test=plan.test)),
        "held": trainer.measure(feed.evaluation(held)).compute()["top1"],
    }


def measured(plan: Plan, arm: Arm, run: str | None, seed: int) -> dict[str, float]:
    """Linear probe and nearest neighbours of the encoder with which ``arm`` begins."""
    collection = fashion()
    few = part(collection, "train")[: min(5000, plan.pictures)]
    probe = Probe(collection, few, part(collection, "test")[: plan.test])
    return probe.measure(begun(arm, run, seed, 0.0), preprocessing(SIDE), 250)
