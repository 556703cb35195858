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

    Pictures are known again by where they lie, or lay when the run last went on. It is not complete where the run's files do not say where
    that was, or where that held of the run that it began with.
    """
    run = run_of(model)
    if run is None:
        return Seen()
    try:
        data = read_record(run, DATA)
        before, train = Seen.from_dict(data.get("seen", {})), Split.from_dict(data["split"]).train
        labels, pictures = (train, ()) if recipe_of(read_record(run, CONFIG).get("task", "")).labels else ((), train)
        lay = _places(data["root"], data["files"])
        known, alone = ({lay[index] for index in part} for part in ((*before.labels, *labels), (*before.pictures, *pictures)))
    except (SwinkitError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return Seen(complete=False)
    here = list(enumerate(_places(**files(collection))))
    found = [tuple(index for index, place in here if place in places) for places in (known, alone)]
    return Seen(found[0], found[1], before.complete)


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
