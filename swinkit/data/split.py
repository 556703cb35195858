"""Parting a collection into training, validation and test: seeded, stratified by label, never through a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from .collection import Collection
from .duplicates import connected
from .randomness import SPLIT, keys

Unit = tuple[int, ...]  # samples that stay together


@dataclass(frozen=True)
class Split:
    """Indices of each part, ascending, and in ``made`` how they came about; ``folds`` are k validation parts that cover all."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    made: str
    folds: tuple[tuple[int, ...], ...] = ()

    def fold(self, number: int) -> Split:
        """The split that validates on fold ``number`` and trains on the others."""
        if not 0 <= number < len(self.folds):
            raise UsageError(f"fold {number} of {len(self.folds)}; expected 0 to {len(self.folds) - 1}")
        train = tuple(sorted(index for other, fold in enumerate(self.folds) if other != number for index in fold))
        return Split(train, self.folds[number], self.test, f"fold {number + 1} of {self.made}", self.folds)

    def few(self, collection: Collection, per_class: int, seed: int, alike: Iterable[Sequence[int]] = ()) -> Split:
        """As if only ``per_class`` training pictures of each class had labels, drawn with ``seed``, and no more for validation.

        The others become the test, unless there is one, but for those of whose group, or ``alike``, a picture was drawn. Raises
        :class:`UsageError` for pictures of several labels.
        """
        if collection.multi_label:
            raise UsageError("per_class counts pictures of one label each; these have several. Mend: leave it out")
        train, val = (_drawn(collection, part, per_class, seed) for part in (self.train, self.val))
        units, drawn = _units(collection, sorted({*self.train, *self.val}), alike), {*train, *val}
        surplus = tuple(sorted(index for unit in units if drawn.isdisjoint(unit) for index in unit))
        made = f"{self.made}; of the training pictures {per_class} per class drawn with seed {seed}"
        return Split(train, val, self.test or surplus, made)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Split:
        parts = {name: tuple(stored[name]) for name in ("train", "val", "test")}
        return cls(**parts, made=stored["made"], folds=tuple(tuple(fold) for fold in stored.get("folds", ())))


def make_split(
    collection: Collection, unusable: Iterable[int] = (), seed: int = 0, val: float | None = None, test: float = 0.0,
    folds: int | None = None, alike: Iterable[Sequence[int]] = (),
) -> Split:  # fmt: skip
    """Parts of ``collection`` without ``unusable``: as its layout says, and what it leaves open is drawn.

    ``val`` and ``test`` are shares of the pictures that belong to no part yet; each is drawn from the training set when the
    layout names none; ``val`` None is :func:`default_validation`. ``folds`` cuts training and validation into that many instead. Groups of ``alike`` pictures
    (``Findings.alike``) stay together. Unlabelled pictures of a single-label collection are left out. Raises :class:`DataError` when nothing is left to train on.
    """
    broken = set(unusable)
    usable = [index for index in range(len(collection)) if index not in broken and _labelled(collection, index)]
    named = {part: [index for index in usable if collection.samples[index].split == part] for part in ("val", "test")}
    rest = [index for index in usable if collection.samples[index].split in (None, "train")]
    if not rest:
        raise DataError(
            f"{collection.root}: no picture to train on; {len(collection)} were found, {len(broken)} of them unusable, {sum(map(len, named.values()))} kept for val or test"
        )
    if folds is not None:
        _check_groups(collection, usable, joined=True)
        units = _units(collection, sorted(rest + named["val"]), alike)
        if not 2 <= folds <= len(units):
            raise UsageError(
                f"folds={folds}: expected 2 to {len(units)}, the number of groups: pictures of one group, or alike, stay together, any "
                "other is a group of its own. Mend: fewer folds, or pictures of more groups"
            )
        parts = _part(collection, units, [1 / folds] * folds, seed)
        made = f"{folds} folds drawn with seed {seed}, stratified by label, groups and duplicates kept together"
        return replace(Split((), (), tuple(named["test"]), made, parts).fold(0), made=made)
    _check_groups(collection, usable)
    val = default_validation(len(usable)) if val is None else val
    shares = {part: 0.0 if named[part] else share for part, share in (("val", val), ("test", test))}
    if min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise UsageError(f"val={val} and test={test}: expected shares of at least 0 that leave something to train on")
    units = _units(collection, rest, alike)
    parts = _part(collection, units, [1 - sum(shares.values()), shares["val"], shares["test"]], seed)
    drawn = dict(zip(("train", "val", "test"), parts, strict=True))
    if not drawn["train"]:
        raise DataError(
            f"{collection.root}: val={val} and test={test} leave no picture to train on; groups and duplicates are drawn whole. "
            "Mend: smaller shares, or more pictures"
        )
    kept = {part: tuple(named[part]) or drawn[part] for part in ("val", "test")}
    return Split(drawn["train"], kept["val"], kept["test"], _made(named, shares, seed, collection.classes))


def workable_folds(
    collection: Collection, unusable: Iterable[int] = (), seed: int = 0, alike: Iterable[Sequence[int]] = ()
) -> int | None:
    """Into how many folds, five at most, these pictures can be cut so that each training part has every class; None where they cannot."""
    alike = list(alike)
    for folds in (5, 4, 3, 2):
        try:
            split = make_split(collection, unusable, seed, folds=folds, alike=alike)
        except (DataError, UsageError):
            continue
        learned = [{label for index in split.fold(k).train for label in collection.samples[index].labels} for k in range(folds)]
        if all(len(labels) == len(collection.classes) for labels in learned):
            return folds
    return None


def _drawn(collection: Collection, indices: Sequence[int], per_class: int, seed: int) -> tuple[int, ...]:
    """Up to ``per_class`` of each class among ``indices``."""
    kept: dict[tuple[int, ...], list[int]] = {}
    for place in np.argsort(keys(seed, 0, np.array(indices, np.int64), SPLIT), kind="stable").tolist():
        kept.setdefault(collection.samples[indices[place]].labels, []).append(indices[place])
    return tuple(sorted(index for chosen in kept.values() for index in chosen[:per_class]))


def _labelled(collection: Collection, index: int) -> bool:
    return bool(collection.samples[index].labels) or collection.multi_label or not collection.classes


def _made(named: dict[str, list[int]], shares: dict[str, float], seed: int, classes: Sequence[str]) -> str:
    given = [part for part, indices in named.items() if indices]
    drawn = [f"{share:.0%} {part}" for part, share in shares.items() if share]
    words = [f"{' and '.join(given)} as the data says"] if given else []
    if drawn:
        stratified = ", stratified by label" if classes else ""
        words.append(f"{' and '.join(drawn)} drawn with seed {seed}{stratified}, groups and duplicates kept together")
    return "; ".join(words) or "everything is training"


def default_validation(pictures: int) -> float:
    """The share of ``pictures`` that validates where nobody said so: a tenth, or what gives 5,000 of all of them, the test among them."""
    return min(0.1, 5000 / max(1, pictures))


def _check_groups(collection: Collection, indices: Iterable[int], joined: bool = False) -> None:
    """Raises :class:`DataError` for a group in two splits; ``joined`` takes all but the test as one, which folds cut anew."""
    homes: dict[str, str] = {}
    for index in indices:
        sample = collection.samples[index]
        home = sample.split or "train"
        if joined and home != "test":
            home = "training or validation"
        if sample.group is not None and homes.setdefault(sample.group, home) != home:
            raise DataError(
                f"{collection.root}: group {sample.group!r} has pictures in {homes[sample.group]} and in {home}. Mend: put each group into one split, or leave the splits out"
            )


def _part(collection: Collection, units: Sequence[Unit], shares: Sequence[float], seed: int) -> tuple[tuple[int, ...], ...]:
    """``units`` dealt out by ``shares``, iteratively stratified (Sechidis, Tsoumakas, Vlahavas, ECML 2011).

    The rarest label is dealt out first, each unit to the part that still lacks most of that label.
    """
    order = np.argsort(keys(seed, 0, np.array([unit[0] for unit in units]), SPLIT), kind="stable")
    contents = {units[number]: Counter(_marks(collection, units[number])) for number in order}
    bearers: dict[int, list[Unit]] = {}
    for unit, content in contents.items():
        for label in content:
            bearers.setdefault(label, []).append(unit)
    totals = {label: sum(contents[unit][label] for unit in having) for label, having in bearers.items()}
    wanted = {label: [share * total for share in shares] for label, total in totals.items()}
    room = [share * sum(map(len, units)) for share in shares]
    home: dict[Unit, int] = {}
    for rarest in sorted(bearers, key=lambda label: (len(bearers[label]), label)):
        for unit in bearers[rarest]:
            if unit in home:
                continue
            best = max(range(len(shares)), key=lambda part: (wanted[rarest][part], room[part]))
            home[unit] = best
            room[best] -= len(unit)
            for label, count in contents[unit].items():
                wanted[label][best] -= count
    _fill_gaps(home, contents, bearers, shares)
    return tuple(tuple(sorted(index for unit in home if home[unit] == part for index in unit)) for part in range(len(shares)))


def _fill_gaps(
    home: dict[Unit, int], contents: dict[Unit, Counter[int]], bearers: dict[int, list[Unit]], shares: Sequence[float]
) -> None:
    """Changes ``home`` so that each part has a label that three or more units have: it gets the smallest that can be spared."""
    held = Counter((label, part) for unit, part in home.items() for label in contents[unit])
    for label, having in bearers.items():
        if len(having) < 3:
            continue
        for part, share in enumerate(shares):
            if not share or held[label, part]:
                continue
            spare = [unit for unit in having if all(held[other, home[unit]] > 1 for other in contents[unit])]
            if spare:
                unit = min(spare, key=len)
                held.subtract((other, home[unit]) for other in contents[unit])
                held.update((other, part) for other in contents[unit])
                home[unit] = part


def _units(collection: Collection, indices: Sequence[int], alike: Iterable[Sequence[int]]) -> list[Unit]:
    """What is dealt out whole: pictures joined by a group or by likeness, every other one alone."""
    groups: dict[str, list[int]] = {}
    for index in indices:
        group = collection.samples[index].group
        if group is not None:
            groups.setdefault(group, []).append(index)
    here = set(indices)
    units = connected([*groups.values(), *([index for index in members if index in here] for members in alike)])
    joined = {index for unit in units for index in unit}
    return sorted(units + [(index,) for index in indices if index not in joined])


def _marks(collection: Collection, unit: Unit) -> Iterable[int]:
    """Labels in ``unit``, -1 for a picture without."""
    return (label for index in unit for label in collection.samples[index].labels or (-1,))
