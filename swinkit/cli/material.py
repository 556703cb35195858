"""The pictures that a model is judged on, and what it has seen of them before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..data.check import OF_TRAINING, Findings, examine
from ..data.collection import Collection, counted, shown
from ..data.layouts import open_data
from ..data.split import Split
from ..errors import DataError
from ..report.page import Remark
from ..runtime.evaluate import labelled
from ..train.place import read_record, run_of
from ..train.provenance import Seen, seen_by, validated_on
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
    ``validated`` is how many of them the model's run validated on, ``temperature`` by what the model divides its logits, fitted to those.
    ``chosen`` tells that the part was asked for.
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
    validated: int = 0
    chosen: bool = False
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
        if not self.validated or self.temperature == 1:
            return []
        some = (
            "these pictures"
            if self.validated == len(self.indices)
            else f"{self.validated:,} of these pictures, on which the run validated"
        )
        told = (
            f"the temperature {self.temperature:g} that the model carries was fitted to {some}, which flatters loss and ece. "
            "Mend: judge on other data, or train with a test part, --set test=0.2"
        )
        return [Remark("note", told)]

    @property
    def doubts(self) -> list[Remark]:
        """What ``trained_on``, ``seen`` and ``learned`` mean for the figures."""
        count, found = len(self.indices), []
        if self.trained_on:
            mend = "leave --split out, or judge on other data" if self.chosen else "judge on other data"
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
            told = (
                "Not all that the model, or what it began with, learned from is known, nor whether judged pictures are among it"
            )
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
        earlier = Seen.from_dict(recorded.get("seen", {}))
        trained_on, seen = Seen((*earlier.labels, *parts.train), earlier.pictures).among(found.indices)
        known = trained_on if trained_on or earlier.complete else None
        unusable = recorded.get("unusable", {}) if found.part == "all" else {}
        validated = len({*parts.val}.intersection(found.indices))
        return replace(
            found, trained_on=known, seen=seen, traced=earlier.complete, unusable=unusable, validated=validated,
            chosen=split in ("train", "all"),
        )  # fmt: skip
    if data is None:
        raise DataError(
            f"{source} is not what it was when {model} was trained on it, so the split no longer holds. Mend: restore it, or judge on "
            f"what it was not trained on: swinkit evaluate {shlex.quote(model)} {shlex.quote(source)}"
        )
    with bar("checked", quiet) as progress:
        findings = examine(collection, progress)
    material = replace(_new_material(collection, findings, split), chosen=split != "auto")
    if run is None:
        return material
    before = seen_by(model, collection)
    if split == "auto" and material.part == "all":
        material = _without_learned(material, before, findings)
    labels, pictures = before.among(material.indices)
    known = labels if labels or before.complete else None
    validated = len(validated_on(model, collection).intersection(material.indices))
    return replace(material, trained_on=known, seen=pictures, traced=before.complete, validated=validated)


def _without_learned(material: Material, known: Seen, findings: Findings) -> Material:
    """``material`` less the pictures that were trained on and their duplicates, unless these are all there is."""
    learned = set(known.labels)
    learned |= {index for group in findings.alike if not learned.isdisjoint(group) for index in group}
    rest = [index for index in material.indices if index not in learned]
    out = len(material.indices) - len(rest)
    if not rest or not out:
        return material
    told = (
        f"{counted(out, 'picture')} left out that the run was trained on, or that duplicate those; --split all judges them too"
    )
    return replace(material, indices=rest, part="new", remarks=(*material.remarks, Remark("note", told)))


def _new_material(collection: Collection, findings: Findings, split: str) -> Material:
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
