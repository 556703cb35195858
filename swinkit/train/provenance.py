"""What weights have learned from: said beside them, and looked for among the pictures that a run keeps aside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.collection import Collection
from ..data.split import Split
from ..errors import SwinkitError
from ..weights import CONFIG, DATA
from .loop import Trainer
from .place import read_record, run_of
from .recipe import recipe_of
from .run import RunFolder


@dataclass(frozen=True)
class Seen:
    """Indices of a collection's pictures that were learned from: with their ``labels``, or the ``pictures`` alone. ``complete`` where no others
    were, as far as places tell; else some may have been."""

    labels: tuple[int, ...] = ()
    pictures: tuple[int, ...] = ()
    complete: bool = True

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Seen:
        return cls(tuple(stored.get("labels", ())), tuple(stored.get("pictures", ())), stored.get("complete", True))

    def among(self, kept: Iterable[int]) -> tuple[int, int]:
        """How many of ``kept`` were learned from with labels, and how many more without."""
        chosen = set(kept)
        return len(chosen & set(self.labels)), len((chosen - set(self.labels)) & set(self.pictures))

    def warnings(self, kept: Iterable[int], model: str) -> list[str]:
        """What it means for figures on the pictures ``kept`` aside that ``model`` has seen some; nothing where it has not."""
        chosen = list(kept)
        labels, pictures = self.among(chosen)
        found = []
        if labels:
            found.append(
                f"warning: {labels:,} of the {len(chosen):,} pictures kept aside were learned from by {model}, so figures on them say little "
                "about new pictures. Mend: judge on other data, or part these as that run did (its seed, val and test)"
            )
        if pictures:
            found.append(
                f"note: {pictures:,} of the {len(chosen):,} pictures kept aside were seen without labels by {model}, which may flatter figures "
                "on them a little"
            )
        if not self.complete:
            found.append(
                f"note: Not all that {model} learned from is there as it was, so whether pictures kept aside are among it is not known in full"
            )
        return found


def seen_by(model: str, collection: Collection) -> Seen:
    """What of ``collection`` the run that ``model`` names learned from, or the run that it began with did; nothing where it names none.

    The run's own set is known wherever it lies, single pictures of a changed one by where they lie. It is not complete where the run's files
    do not say where that was, where pictures of the same names lie elsewhere, or where that held of the run that it began with.
    """
    run = run_of(model)
    if run is None:
        return Seen()
    try:
        labelled = recipe_of(read_record(run, CONFIG).get("task", "")).labels
        data = read_record(run, DATA)
        before, train = Seen.from_dict(data.get("seen", {})), Split.from_dict(data["split"]).train
        labels, pictures = (*before.labels, *(train if labelled else ())), (*before.pictures, *(() if labelled else train))
        again, elsewhere = _found_again(run, collection, {*labels, *pictures})
    except (SwinkitError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return Seen(complete=False)
    known, alone = (tuple(again[index] for index in part if index in again) for part in (labels, pictures))
    return Seen(known, alone, before.complete and not elsewhere)


def validated_on(model: str, collection: Collection) -> set[int]:
    """Indices of the pictures of ``collection`` that the run that ``model`` names kept aside to validate on, as far as they are known again."""
    run = run_of(model)
    try:
        val = () if run is None else Split.from_dict(read_record(run, DATA)["split"]).val
        return set() if run is None else set(_found_again(run, collection, set(val))[0].values())
    except (SwinkitError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()


def _found_again(run: Path, collection: Collection, wanted: set[int]) -> tuple[dict[int, int], bool]:
    """For pictures ``wanted`` of the set of ``run`` that are in ``collection`` their indices there, and whether none is, but others of their
    names. Raises what reading the run does where it is not known where they lay."""
    data = read_record(run, DATA)
    if collection.fingerprint() == data.get("fingerprint"):
        return {index: index for index in wanted}, False
    there = data if "files" in data else _reopened(run, data)
    lay, here = _places(there["root"], there["files"]), files(collection)
    places = {place: index for index, place in enumerate(_places(**here))}
    again = {index: places[lay[index]] for index in wanted if lay[index] in places}
    return again, not again and not {there["files"][index] for index in wanted}.isdisjoint(here["files"])


def _reopened(run: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Where the pictures of a ``run`` lie that did not write it down, as earlier versions did not."""
    config = read_record(run, CONFIG)
    recipe = recipe_of(config.get("task", ""))
    learned = recipe.open(recipe.settings.model_validate({**config, "probe": None} if "probe" in config else config))
    if learned.fingerprint() != data["fingerprint"]:
        raise LookupError("the pictures are no longer what they were")
    return files(learned)


def files(collection: Collection) -> dict[str, Any]:
    """Where the pictures of ``collection`` lie, as data.json says it: their folder, and the name of each in it, by index."""
    return {"root": str(collection.root.resolve()), "files": [sample.source for sample in collection.samples]}


def _places(root: str, files: Iterable[str]) -> list[str]:
    return [os.path.normpath(os.path.join(root, file)) for file in files]


def learned_from(run: RunFolder, trainer: Trainer) -> dict[str, Any]:
    """What is said beside the weights of ``run``: the set's name, whether its labels were used, pictures, passes, and the same of the
    model that it began with."""
    settings, before = trainer.settings, run.data.get("learned_from")
    return {
        "set": Path(settings.data or "").name,
        "labels": recipe_of(settings.task).labels,
        "pictures": len(trainer.feed.train),
        "epochs": trainer.epoch,
        **({"before": before} if before else {}),
    }
