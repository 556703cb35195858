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
from .loop import Trainer
from .place import CONFIG, DATA, read_record, run_of
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

    Pictures are known again by where they lie. It is not complete where those of the run are gone or not what they were, where its files do not
    say, or where that held of the run that it began with.
    """
    run = run_of(model)
    if run is None:
        return Seen()
    try:
        config, data = read_record(run, CONFIG), read_record(run, DATA)
        recipe = recipe_of(config.get("task", ""))
        learned = recipe.open(recipe.settings.model_validate({**config, "probe": None} if "probe" in config else config))
        before, train = Seen.from_dict(data.get("seen", {})), Split.from_dict(data["split"]).train
    except (SwinkitError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return Seen(complete=False)
    if learned.fingerprint() != data.get("fingerprint"):
        return Seen(complete=False)
    labels, pictures = (train, ()) if recipe.labels else ((), train)
    parts = (*before.labels, *labels), (*before.pictures, *pictures)
    known, alone = (_found_again(collection, _places(learned, part)) for part in parts)
    return Seen(known, alone, before.complete)


def _found_again(collection: Collection, places: Iterable[str]) -> tuple[int, ...]:
    known = set(places)
    return tuple(index for index, place in enumerate(_places(collection, range(len(collection)))) if place in known)


def _places(collection: Collection, indices: Iterable[int]) -> list[str]:
    root = str(collection.root.resolve())
    return [os.path.normpath(os.path.join(root, collection.samples[index].source)) for index in indices]


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
