"""The recipe of ``train``: labelled pictures, a classifier, defaults by how many pictures there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..config import SwinConfig
from ..data.check import Findings
from ..data.collection import Collection, counted, shown
from ..data.layouts import open_data
from ..data.split import Split, make_split
from ..errors import DataError
from ..model.classifier import SwinClassifier
from ..tasks import Task, find_task
from ..tasks.classification import balancing_weights
from ..tasks.probing import fit_head
from ..weights.saved import Saved, fitted
from .prepare import anchored, checked
from .recipe import Checked, Recipe, Say
from .settings import DataFacts, TrainSettings, settle
from .start import Start, gray, starting_point

UNJUDGED = (
    ("val", "is in validation, whose figures say nothing of it"),
    ("test", "is in the test, whose figures say nothing of it"),
)
ENOUGH_TO_JUDGE = 30  # pictures; the share of right answers among fewer is uncertain by some 15 points or more
# what the last look of :func:`examined` found, by the place and the fingerprint of the set: asked for all through a run, and each look
# decodes every picture
_LAST_LOOK: dict[tuple[str, str], Findings] = {}


class Labelled(Recipe):
    folder = "classify"
    labels = True
    settings = TrainSettings

    def open(self, settings: TrainSettings, progress: Checked | None = None) -> Collection:
        collection = open_data(settings.data or "", settings.format)
        if not collection.classes:
            raise DataError(f"{settings.data}: {collection.reason}. A classifier needs labels: class folders, or a manifest")
        return collection

    def part(self, settings: TrainSettings, collection: Collection, findings: Findings, say: Say) -> Split:
        alike, told = findings.alike, {item.kind for item in findings.items}
        split = make_split(collection, findings.unusable, settings.seed, settings.val, settings.test, settings.folds, alike)
        if settings.folds:
            split = split.fold(settings.fold or 0)
        elif 0 < len(split.val) < ENOUGH_TO_JUDGE and "tiny" not in told:  # which says so already
            say(
                f"Only {counted(len(split.val), 'picture')} for validation, which says little. --folds 5 judges on every picture once."
            )
        if settings.per_class:
            split = split.few(collection, settings.per_class, settings.seed, alike)
        named = {sample.split for sample in collection.samples}  # of which what was found tells
        drawn = () if settings.folds else tuple(one for one in UNJUDGED if one[0] not in named)
        for part, what in (("train", "is left to learn from"), *drawn):
            if names := lacking(collection, getattr(split, part)):
                say(f"warning: no picture of {counted(len(names), 'class')} {what}: {', '.join(map(repr, names[:8]))}")
        return split

    def start(self, settings: TrainSettings, collection: Collection, split: Split, saved: Saved | None) -> Start:
        return starting_point(settings, collection, split.train, fitted(saved) if saved else None)

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


def lacking(collection: Collection, indices: Sequence[int]) -> list[str]:
    """Classes without a picture among ``indices``, if there are any: as in training where the only one of a class validates."""
    there = {label for index in indices for label in collection.samples[index].labels}
    return [shown(name) for label, name in enumerate(collection.classes) if label not in there] if indices else []


def examined(data: str, progress: Checked | None = None) -> tuple[Collection, Findings]:
    """The pictures at ``data`` on which features are measured, and what looking at each of them found.

    The first call of a process decodes every picture, telling ``progress``, which takes minutes where there are many; later ones answer
    from it while the set is unchanged, until another is asked for. Raises :class:`DataError` where they have not one label each.
    """
    place = anchored(data)
    collection = open_data(place)
    if collection.multi_label or len(collection.classes) < 2:
        raise DataError(f"{data}: to measure features, pictures need one label each, of at least two classes")
    key = place, collection.fingerprint()
    if key not in _LAST_LOOK:
        _LAST_LOOK.clear()
        _LAST_LOOK[key] = checked(TrainSettings(data=data), collection, lambda _: None, progress)
    return collection, _LAST_LOOK[key]
