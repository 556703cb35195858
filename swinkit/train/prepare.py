"""Everything that is decided before the first step: data, split, starting weights, settings, and what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..config import SwinConfig
from ..data.bundled import BUNDLED
from ..data.check import Findings, examine
from ..data.collection import Collection
from ..data.layouts import open_data
from ..data.split import Split, make_split
from ..errors import DataError
from ..model.classifier import SwinClassifier
from ..tasks import Task, find_task
from ..tasks.classification import balancing_weights
from ..tasks.devices import find_device
from .feed import Feed
from .plan import Plan, epoch_seconds, load_first, peak_gigabytes, published_weights, rehearse
from .settings import SMALL, DataFacts, TrainSettings, settle
from .start import Start, gray, starting_point

TINY = 30  # validation pictures; their share of right answers is then uncertain by some 15 points

Say = Callable[[str], None]
Checked = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """``settings`` are settled and reproduce the run; ``data`` is what data.json records."""

    settings: TrainSettings
    data: dict[str, Any]
    split: Split
    task: Task
    model: SwinClassifier
    feed: Feed
    plan: Plan


def prepare(settings: TrainSettings, say: Say = lambda _: None, progress: Checked | None = None) -> Prepared:
    """Open and check the data, settle what is left open, build the network, rehearse a step.

    ``say`` is told what was found and decided, ``progress`` how many pictures are checked, and of how many.
    Raises :class:`DataError` for data that cannot be learned from, :class:`UsageError` for settings that do not fit it.
    """
    device = find_device(settings.device)
    collection = open_data(settings.data or "", settings.format)
    say(collection.reason)
    split, findings = check_and_split(settings, collection, say, progress)
    start = starting_point(settings, collection, split.train, device)
    for note in start.notes:
        say(note)
    facts = gather_facts(collection, split, start)
    settled = settle(settings, facts, bool(start.state))
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    model = start.network(settled.seed, settled.drop_path or 0.0).to(device)
    settled, plan = rehearsed(settings, settled, facts, (start, model, collection, split))
    if not start.state and facts.side > SMALL and (name := published_weights(facts.side)):
        say(f"From nothing, photographs need many pictures. Published weights that fit: --model {name}")
    say(str(plan))
    return Prepared(
        settled, record(collection, split, findings), split, make_task(settled, collection, split), model,
        make_feed(settled, collection, split), plan,
    )  # fmt: skip


def initial_network(settings: TrainSettings, collection: Collection, split: Split) -> SwinClassifier:
    """The network with which the run of settled ``settings`` began."""
    device = find_device(settings.device)
    start = starting_point(settings, collection, split.train, device)
    return start.network(settings.seed, settings.drop_path or 0.0).to(device)


def empty_network(settings: TrainSettings) -> SwinClassifier:
    """The network of settled ``settings`` for the weights of a checkpoint; the model that it began with may be gone by then."""
    return SwinClassifier(SwinConfig.model_validate(settings.swin)).to(find_device(settings.device))


def check_and_split(
    settings: TrainSettings, collection: Collection, say: Say, progress: Checked | None = None
) -> tuple[Split, Findings]:
    """Examine every picture, say what was found, leave out what cannot be used, and part the rest."""
    if not collection.classes:
        raise DataError(f"{settings.data}: {collection.reason}. A classifier needs labels: class folders, or a manifest")
    findings = examine(collection, progress)
    for item in findings.items:
        say(f"{item.severity}: {item.message}")
    if faults := [item.message for item in findings.items if item.severity == "error"]:
        raise DataError(f"{settings.data}: {' '.join(faults)}")
    alike = findings.alike
    split = make_split(collection, findings.unusable, settings.seed, settings.val, settings.test, settings.folds, alike)
    if settings.folds:
        split = split.fold(settings.fold)
    elif len(split.val) < TINY:
        say(f"Only {len(split.val)} pictures for validation, which say little. --folds 5 judges on every picture once.")
    return split.few(collection, settings.per_class, settings.seed) if settings.per_class else split, findings


def gather_facts(collection: Collection, split: Split, start: Start) -> DataFacts:
    counts = Counter(label for index in split.train for label in collection.samples[index].labels)
    skew = max(counts.values()) / min(counts.values()) if counts else 1.0
    return DataFacts(
        pictures=len(split.train), validation=len(split.val), side=max(start.config.image_size),
        channels=collection.channels, skew=skew, gray=gray(collection, split.train),
    )  # fmt: skip


def rehearsed(
    given: TrainSettings, settled: TrainSettings, facts: DataFacts, parts: tuple[Start, SwinClassifier, Collection, Split]
) -> tuple[TrainSettings, Plan]:
    """Measure a step, freeze what was measured into the settings, and say what the run will cost.

    A time limit shortens the run so that its schedule ends in time, unless ``given`` names the epochs.
    """
    start, model, collection, split = parts
    settled = frozen(settled, start, model, collection)
    task, feed = make_task(settled, collection, split), make_feed(settled, collection, split)
    batch, loading = load_first(feed)
    rehearsal = rehearse(task, model, batch, settled.precision, settled.accumulate)
    settled = settled.model_copy(update={"precision": rehearsal.precision, "accumulate": rehearsal.accumulate})
    per_epoch = epoch_seconds(feed, rehearsal.seconds, loading)
    if given.time_limit and not given.epochs:
        most = max(1, int(given.time_limit * 60 * 0.95 / per_epoch))
        if most < (settled.epochs or 1):
            shorter = settle(given.model_copy(update={"epochs": most}), facts, bool(start.state))
            kept = {"precision": settled.precision, "accumulate": settled.accumulate}
            settled = frozen(shorter, start, model, collection).model_copy(update=kept)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = next(model.parameters()).device
    epochs = settled.epochs or 1
    plan = Plan(
        model=start.name, parameters=parameters, image_size=start.config.image_size, pictures=facts.pictures, epochs=epochs,
        steps=epochs * feed.steps_per_epoch, batch_size=feed.batch_size, precision=rehearsal.precision, device=str(device),
        minutes=epochs * per_epoch / 60, gigabytes=peak_gigabytes(device, parameters),
    )  # fmt: skip
    return settled, plan


def frozen(settled: TrainSettings, start: Start, model: SwinClassifier, collection: Collection) -> TrainSettings:
    """``settled`` with everything written out that would otherwise be found again from this machine or these pictures."""
    data = settled.data if settled.data in BUNDLED else str(Path(settled.data or "").resolve())
    name = str(Path(start.name).resolve()) if start.state and Path(start.name).exists() else start.name
    workers = 0 if collection.pixels is not None else min(4, max(1, torch.multiprocessing.cpu_count() - 1))
    update = {
        "data": data,
        "model": name,
        "image_size": start.config.image_size,
        "swin": model.config.model_dump(mode="json"),
        "preprocessing": start.preprocessing,
        "threads": torch.get_num_threads(),
        "workers": workers if settled.workers is None else settled.workers,
    }
    return settled.model_copy(update=update)


def make_task(settings: TrainSettings, collection: Collection, split: Split) -> Task:
    weights = None
    if settings.class_weights:
        labels = collection.label_matrix(split.train)
        weights = balancing_weights(labels, len(collection.classes), collection.multi_label)
    return find_task(settings.task)(collection.classes, collection.multi_label, settings, weights)


def make_feed(settings: TrainSettings, collection: Collection, split: Split) -> Feed:
    """Raises :class:`DataError` where there are no validation pictures to judge by."""
    if not split.val:
        raise DataError(f"{settings.data}: no validation pictures. Mend: more pictures per class, or --set val=0.2")
    assert settings.preprocessing is not None
    assert settings.augment is not None
    assert settings.batch_size is not None
    return Feed(
        collection=collection, train=split.train, val=split.val, preprocessing=settings.preprocessing,
        augmentation=settings.augment, batch_size=settings.batch_size, seed=settings.seed, workers=settings.workers or 0,
    )  # fmt: skip


def record(collection: Collection, split: Split, findings: Findings) -> dict[str, Any]:
    """What data.json holds: enough to know the data again and to refuse other data."""
    return {
        "layout": collection.layout,
        "reason": collection.reason,
        "pictures": len(collection),
        "fingerprint": collection.fingerprint(),
        "classes": list(collection.classes),
        "multi_label": collection.multi_label,
        "split": split.to_dict(),
        "findings": [{"kind": item.kind, "severity": item.severity, "message": item.message} for item in findings.items],
        "unusable": {collection.samples[index].source: reason for index, reason in findings.unusable.items()},
    }
