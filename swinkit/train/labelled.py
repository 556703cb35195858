"""The recipe of ``train``: labelled pictures, a classifier, defaults by how many pictures there are."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from torch import nn

from ..config import SwinConfig
from ..data.check import Findings
from ..data.collection import Collection
from ..data.layouts import open_data
from ..data.split import Split, make_split
from ..errors import DataError
from ..model.classifier import SwinClassifier
from ..tasks import Task, find_task
from ..tasks.classification import balancing_weights
from ..tasks.probing import fit_head
from ..weights.saved import Saved
from .loop import Trainer
from .prepare import anchored, checked
from .recipe import Say
from .run import RunFolder
from .settings import DataFacts, TrainSettings, settle
from .start import Start, gray, starting_point

TINY = 30  # validation pictures; their share of right answers is then uncertain by some 15 points


class Labelled:
    verb = "train"
    folder = "classify"
    labels = True
    settings = TrainSettings

    def open(self, settings: TrainSettings) -> Collection:
        collection = open_data(settings.data or "", settings.format)
        if not collection.classes:
            raise DataError(f"{settings.data}: {collection.reason}. A classifier needs labels: class folders, or a manifest")
        return collection

    def part(self, settings: TrainSettings, collection: Collection, findings: Findings, say: Say) -> Split:
        alike = findings.alike
        split = make_split(collection, findings.unusable, settings.seed, settings.val, settings.test, settings.folds, alike)
        if settings.folds:
            split = split.fold(settings.fold)
        elif len(split.val) < TINY and all(item.kind != "tiny" for item in findings.items):  # which says so already
            say(f"Only {len(split.val)} pictures for validation, which say little. --folds 5 judges on every picture once.")
        return split.few(collection, settings.per_class, settings.seed) if settings.per_class else split

    def start(self, settings: TrainSettings, collection: Collection, split: Split, saved: Saved | None) -> Start:
        return starting_point(settings, collection, split.train, saved)

    def facts(self, collection: Collection, split: Split, start: Start) -> DataFacts:
        counts = Counter(label for index in split.train for label in collection.samples[index].labels)
        skew = max(counts.values()) / min(counts.values()) if counts else 1.0
        return DataFacts(
            pictures=len(split.train), validation=len(split.val), side=max(start.config.image_size),
            channels=collection.channels, skew=skew, gray=gray(collection, split.train),
        )  # fmt: skip

    def settle(self, settings: TrainSettings, facts: DataFacts, start: Start) -> TrainSettings:
        return settle(settings, facts, start.learned_from)

    def fit_head(self, model: nn.Module, settings: TrainSettings, collection: Collection, split: Split, start: Start) -> None:
        if settings.fit_head and "head.weight" not in start.state:
            fit_head(model, collection, split.train, start.preprocessing, settings.seed, settings.workers or 0)

    def network(self, settings: TrainSettings) -> nn.Module:
        return SwinClassifier(SwinConfig.model_validate(settings.swin))

    def task(self, settings: TrainSettings, collection: Collection, split: Split) -> Task:
        weights: Any = None
        if settings.class_weights:
            labels = collection.label_matrix(split.train)
            weights = balancing_weights(labels, len(collection.classes), collection.multi_label)
        return find_task(settings.task)(collection.classes, collection.multi_label, settings, weights)

    def observe(self, run: RunFolder, trainer: Trainer) -> str:
        return ""


def examined(data: str) -> tuple[Collection, Findings]:
    """The pictures at ``data`` on which features are measured, and what looking at each of them found.

    Raises :class:`DataError` where they have not one label each.
    """
    return _examined(anchored(data))


@functools.lru_cache(maxsize=2)
def _examined(data: str) -> tuple[Collection, Findings]:
    collection = open_data(data)
    if collection.multi_label or len(collection.classes) < 2:
        raise DataError(f"{data}: to measure features, pictures need one label each, of at least two classes")
    return collection, checked(TrainSettings(data=data), collection, lambda _: None, None)
