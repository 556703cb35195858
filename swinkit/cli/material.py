"""The pictures that a model is judged on, and what it has seen of them before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..data.check import OF_TRAINING, examine
from ..data.collection import Collection, counted, shown
from ..data.layouts import open_data
from ..data.split import Split
from ..errors import DataError
from ..report.page import Remark
from ..runtime.evaluate import labelled
from ..train.place import read_record, run_of
from ..train.provenance import Seen, seen_by
from ..weights import DATA
from .given import source_of
from .options import bar

TOLD = 20  # unusable files that are named; the JSON has all
WORDS = {"train": "training", "val": "validation", "test": "test", "all": "given", "new": "new"}


@dataclass(frozen=True)
class Material:
    """Pictures ``indices`` of ``collection``; ``part`` is the name of the split; ``remarks`` are what was found in it, ``unusable`` names with reasons.

    ``trained_on`` is how many of them the model learned from, None where that is not known; ``seen`` how many more without labels;
    ``traced`` whether the run knows all that the weights that it began with had learned from; ``learned`` what a model without its run says of what it learned from.
    ``kept`` tells that the model's run drew the split, ``temperature`` by what the model divides its logits.
    """

    collection: Collection
    indices: Sequence[int]
    part: str
    remarks: tuple[Remark, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    trained_on: int | None = None
    seen: int = 0
    traced: bool = True
    learned: Mapping[str, Any] | None = None
    kept: bool = False
    temperature: float = 1.0

    @property
    def found(self) -> list[Remark]:
        """What there is to say of the pictures: what was found in them, which are left out, what was seen of them before and fitted to them."""
        return [*self.remarks, *self._left_out, *self.doubts, *self._fitted]

    @property
    def _left_out(self) -> list[Remark]:
        if not self.unusable:
            return []
        told = "; ".join(f"{shown(name)!r}: {shown(reason)}" for name, reason in list(self.unusable.items())[:TOLD])
        more = f"; and {len(self.unusable) - TOLD:,} more" if len(self.unusable) > TOLD else ""
        share = f"{len(self.unusable):,} of {counted(len(self.collection), 'picture')}"
        return [Remark("warning", f"{share} cannot be used, left out: {told}{more}")]

    @property
    def _fitted(self) -> list[Remark]:
        if not (self.kept and self.part == "val" and self.temperature != 1):
            return []
        told = (
            f"the temperature {self.temperature:g} that the model carries was fitted to these pictures, which flatters loss and ece. "
            "Mend: judge on other data, or train with a test part, --set test=0.2"
        )
        return [Remark("note", told)]

    @property
    def doubts(self) -> list[Remark]:
        """What ``trained_on``, ``seen`` and ``learned`` mean for the figures."""
        count, found = len(self.indices), []
        if self.trained_on:
            mend = "judge on other data" if self.part in ("val", "test") else "leave --split out, or judge on other data"
            found.append(
                Remark(
                    "warning",
                    f"{self.trained_on:,} of the {count:,} judged pictures were trained on, so the figures say little about new pictures. "
                    f"Mend: {mend}",
                )
            )
        if self.seen:
            told = f"{self.seen:,} of the {count:,} judged pictures were seen without labels, which may flatter the figures a little"
            found.append(Remark("note", told))
        if not self.traced:
            told = "Not all that the model began with learned from is known, nor whether judged pictures are among it"
            found.append(Remark("note", told))
        if self.part == "all" and self.trained_on is None and self.learned:
            told = f"{self.learned.get('pictures', 0):,} pictures of a set called {shown(str(self.learned.get('set')))!r}"
            found.append(Remark("note", f"The model learned from {told}; whether they are among the judged ones is not known"))
        return found


def find_material(model: str, data: str | None, split: str, layout: str | None, quiet: bool) -> Material:
    """The pictures to judge on. The data that a run was trained on keeps the run's split, however it is named."""
    run = run_of(model)
    recorded = read_record(run, DATA) if run else {}
    source, layout = source_of(model, data, layout)
    collection = open_data(source, layout)
    if collection.fingerprint() == recorded.get("fingerprint"):
        parts = Split.from_dict(recorded["split"])
        found = _part(collection, {"train": parts.train, "val": parts.val, "test": parts.test}, split, ())
        before = Seen.from_dict(recorded.get("seen", {}))
        trained_on, seen = Seen((*before.labels, *parts.train), before.pictures).among(found.indices)
        known = trained_on if trained_on or before.complete else None
        unusable = recorded.get("unusable", {}) if found.part == "all" else {}
        return replace(found, trained_on=known, seen=seen, traced=before.complete, unusable=unusable, kept=True)
    if data is None:
        raise DataError(
            f"{source} is not what it was when {model} was trained on it, so the split no longer holds. Mend: restore it, or judge on "
            f"what it was not trained on: swinkit evaluate {shlex.quote(model)} {shlex.quote(source)}"
        )
    material = _new_material(collection, split, quiet)
    return material if run is None else _without_learned(material, seen_by(model, collection), split)


def _without_learned(material: Material, known: Seen, split: str) -> Material:
    """``material`` less the pictures that were trained on, unless these were asked for or are all there is."""
    trained_on = {*known.labels}.intersection(material.indices)
    if split == "auto" and material.part == "all" and 0 < len(trained_on) < len(material.indices):
        told = f"{counted(len(trained_on), 'picture')} that the run was trained on left out; --split all judges them too"
        rest = [index for index in material.indices if index not in trained_on]
        material = replace(material, indices=rest, part="new", remarks=(*material.remarks, Remark("note", told)))
    labels, pictures = known.among(material.indices)
    return replace(material, trained_on=labels if labels or known.complete else None, seen=pictures, traced=known.complete)


def _new_material(collection: Collection, split: str, quiet: bool) -> Material:
    with bar("checked", quiet) as progress:
        findings = examine(collection, progress)
    usable = [index for index in labelled(collection) if index not in findings.unusable]
    own = {part: [index for index in usable if collection.samples[index].split == part] for part in ("train", "val", "test")}
    found = _part(collection, {**own, "all": usable}, split, ())
    unusable = {
        sample.source: reason
        for index, reason in findings.unusable.items()
        if found.part in ("all", (sample := collection.samples[index]).split)
    }
    untold = {*OF_TRAINING, "unusable"}  # those of the judged part are told by name
    remarks = [Remark(item.severity, item.message) for item in findings.items if item.kind not in untold]
    return replace(found, unusable=unusable, remarks=tuple(remarks))


def _part(collection: Collection, parts: dict[str, Sequence[int]], split: str, remarks: tuple[Remark, ...]) -> Material:
    if split == "all" and "all" not in parts:
        parts["all"] = sorted(index for part in parts.values() for index in part)
    wanted = [split] if split != "auto" else ["test", "val", "all"]
    chosen = next((name for name in wanted if parts.get(name)), None)
    if chosen is None:
        has = ", ".join(f"{name} {len(indices):,}" for name, indices in parts.items() if indices) or "no labelled picture"
        raise DataError(f"{collection.root} has no pictures to judge on in the split {split!r}. It has: {has}")
    return Material(collection, parts[chosen], chosen, remarks)
