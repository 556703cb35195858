"""Looking at every picture before the first step: what cannot be used, and what would mislead a training."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..machine import usable_cores
from .ahead import made_ahead
from .arrays import Undecodable, channels_first
from .collection import Collection, counted, shown
from .decode import unread
from .duplicates import Print, exact, fingerprint, near, one_view
from .files import open_regular

FEW = 5  # pictures of a class below which its figures say little
ENOUGH_FOR_ONE_SPLIT = 200  # pictures; one split of fewer says little
SKEW = 10  # largest class to smallest
# kinds that a set only judged on leaves open
OF_TRAINING = frozenset({"class-not-in-training", "class-not-judged", "few", "one-view", "skewed", "tiny"})


@dataclass(frozen=True)
class Finding:
    """One thing to know; ``samples`` are the indices it is about, ``groups`` the same by what belongs together. An "error" means that no
    training makes sense."""

    kind: str
    severity: Literal["error", "warning", "note"]
    message: str
    samples: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Findings:
    """What :func:`examine` found.

    ``unusable`` maps index to reason; ``sizes`` is (N, 2), height and width, 0 where unusable; ``alike`` are groups of exact
    and near duplicates, which a split should keep together: not those of one standpoint, which leave nothing to part.
    """

    unusable: dict[int, str]
    items: tuple[Finding, ...]
    sizes: np.ndarray = field(repr=False)
    alike: tuple[tuple[int, ...], ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(item for item in self.items if item.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        seen = self.sizes[self.sizes[:, 0] > 0]
        names = ("smallest", "median", "largest")
        sides = (
            {name: [int(side) for side in row] for name, row in zip(names, np.quantile(seen, (0, 0.5, 1), axis=0), strict=True)}
            if len(seen)
            else {}
        )
        return {
            "pictures": len(self.sizes),
            "unusable": {str(index): reason for index, reason in self.unusable.items()},
            "height_width": sides,
            "findings": [
                {"kind": item.kind, "severity": item.severity, "message": item.message, "samples": list(item.samples)}
                for item in self.items
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class _Look:
    reason: str | None
    size: tuple[int, int] = (0, 0)
    print: Print | None = None
    unread: str = ""


def examine(
    collection: Collection, progress: Callable[[int, int], Any] | None = None, *, labels: bool = True, folds: bool = False
) -> Findings:
    """Decodes every picture of ``collection`` once, in threads; ``progress(done, total)`` is told after each.

    Without ``labels`` nothing is said of labels, for who leaves them aside; for ``folds`` validation is training, too.
    """
    total = len(collection)
    unusable: dict[int, str] = {}
    prints: dict[int, Print] = {}
    beside: list[str] = []
    sizes = np.zeros((total, 2), np.int64)
    for index, look in enumerate(_looks(collection)):
        sizes[index] = look.size
        if look.reason is not None:
            unusable[index] = look.reason
        if look.print is not None:
            prints[index] = look.print
        beside.append(look.unread)
        if progress is not None:
            progress(index + 1, total)
    same, found = exact(prints), near(prints)
    labels_of = {index: collection.samples[index].labels for index in prints}
    views = [group for group in found if one_view(group, labels_of)]
    similar = [group for group in found if group not in views]
    about_labels = _labels(collection, unusable, folds) if labels else ()
    about_twins = (*_twins(collection, same, found, views), *_views(collection, views))
    items = (*_files(collection, unusable), *_axes(collection, sizes), *_unread(beside), *about_labels, *about_twins)
    order = {"error": 0, "warning": 1, "note": 2}
    return Findings(unusable, tuple(sorted(items, key=lambda item: order[item.severity])), sizes, (*same, *similar))


def _looks(collection: Collection) -> Iterator[_Look]:
    if collection.pixels is not None:  # nothing to decode; threads would only wait for each other
        yield from (_look(collection, index) for index in range(len(collection)))
        return
    cores = usable_cores()
    # not all at once: what waits for its turn takes 2 kB a picture
    yield from made_ahead(lambda index: _look(collection, index), range(len(collection)), cores, 4 * cores)


def _look(collection: Collection, index: int) -> _Look:
    try:
        picture = collection.read(index)
        path, digest = collection.path(index), None
        if path is not None:
            with open_regular(path) as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
    except Undecodable as error:
        return _Look(error.reason)
    except OSError as error:  # gone, since it was decoded
        return _Look(str(error))
    beside = "" if path is None or collection.channels not in (1, 3) else unread(path)
    return _Look(None, picture.shape[:2], fingerprint(picture, digest), beside)


def _files(collection: Collection, unusable: dict[int, str]) -> Iterator[Finding]:
    if unusable:
        severity: Literal["error", "warning"] = "error" if len(unusable) == len(collection) else "warning"
        message = f"{len(unusable)} of {counted(len(collection), 'picture')} cannot be used, left out: {_reasons(collection, unusable)}"
        yield Finding("unusable", severity, message, tuple(unusable))
    for why, count in Counter(why for _, why in collection.skipped).items():
        example = next(name for name, reason in collection.skipped if reason == why)
        yield Finding(
            "skipped",
            "note",
            f"{count} beside the pictures {'is' if count == 1 else 'are'} left alone, {shown(example)!r} for one: {why}",
        )


def _reasons(collection: Collection, unusable: dict[int, str]) -> str:
    """How many pictures for each kind of reason, one of the commonest kind by name, and where names are looked for that are not there."""
    kinds = {index: reason.split(":")[0].split(";")[0] for index, reason in unusable.items()}
    common = Counter(kinds.values()).most_common(6)
    example = next(index for index, kind in kinds.items() if kind == common[0][0])
    listed = ", ".join(f"{count} {kind}" for kind, count in common)
    text = f"{listed}. For one, {shown(collection.samples[example].source)!r}: {unusable[example]}"
    path = collection.path(example)
    if collection.layout == "manifest" and path is not None and not os.path.exists(path):
        text += f". Names are relative to the manifest's folder, {shown(collection.root.resolve())}"
    return text


def _axes(collection: Collection, sizes: np.ndarray) -> Iterator[Finding]:
    """Arrays that were stored with the channels first, and are read as something else."""
    shapes = {index: (height, width, collection.channels) for index, (height, width) in enumerate(sizes.tolist())}
    found = [index for index, shape in shapes.items() if channels_first(shape)]
    if found:
        shape = shapes[found[0]]
        message = f"{counted(len(found), 'array')} of a shape like {shape}, which {channels_first(shape)}"
        yield Finding("channels-first", "warning", message, tuple(found))


def _unread(beside: list[str]) -> Iterator[Finding]:
    """Bands and pages that no training sees."""
    for what, count in Counter(filter(None, beside)).items():
        message = f"{counted(count, 'TIFF')} of {what}. To learn from all of them, store them as .npy of shape (H, W, C)"
        yield Finding("unread", "warning", message, tuple(index for index, told in enumerate(beside) if told == what))


def _labels(collection: Collection, unusable: dict[int, str], folds: bool) -> Iterator[Finding]:
    if not collection.classes:
        yield Finding("unlabelled", "note", "no labels: fit for pretraining and predicting, not for training a classifier")
        return
    if len(collection.classes) == 1 and not collection.multi_label:
        yield Finding(
            "one-class",
            "error",
            f"one class only, {shown(collection.classes[0])!r}: nothing to tell apart. Is this the folder that holds the class folders?",
        )
    usable = [index for index in range(len(collection)) if index not in unusable]
    bare = tuple(index for index in usable if not collection.samples[index].labels)
    if bare and not collection.multi_label:
        yield Finding("unlabelled", "warning", f"{counted(len(bare), 'picture')} without a label, left out", bare)
    yield from _counts(collection, usable, folds)
    yield from _spellings(collection.classes)
    if 0 < len(usable) < ENOUGH_FOR_ONE_SPLIT:
        yield Finding(
            "tiny",
            "note",
            f"{counted(len(usable), 'picture')}: one validation part says little; `swinkit train --folds {min(5, max(2, len(usable)))}` "
            "judges on every picture once",
        )


def _counts(collection: Collection, usable: list[int], folds: bool) -> Iterator[Finding]:
    """Classes without pictures, only outside training, only inside it, with few, and all too uneven ones."""
    parts: dict[str, Counter[int]] = {}
    for index in usable:
        sample = collection.samples[index]
        part = "train" if folds and sample.split == "val" else sample.split or "train"
        parts.setdefault(part, Counter()).update(sample.labels)
    training, count = parts.get("train", Counter()), sum(parts.values(), Counter[int]())
    number = range(len(collection.classes))
    yield from _named(collection, "empty-class", "error", "without a usable picture", [c for c in number if not count[c]])
    absent = [c for c in number if count[c] and not training[c]]
    yield from _named(collection, "class-not-in-training", "error", "with pictures in validation or test only", absent)
    for part, word in (("val", "validation"), ("test", "test")):
        unseen = [c for c in number if training[c] and not parts[part][c]] if parts.get(part) else []
        yield from _named(
            collection, "class-not-judged", "warning", f"without a {word} picture, whose figures say nothing of them", unseen
        )
    few = [c for c in number if 0 < training[c] < FEW]
    yield from _named(collection, "few", "warning", f"with fewer than {FEW} training pictures", few)
    filled = [training[c] for c in number if training[c]]
    if filled and max(filled) > SKEW * min(filled):
        yield Finding(
            "skewed",
            "warning",
            f"classes have {min(filled)} to {max(filled)} training pictures; class weights help the small ones",
        )


def _named(
    collection: Collection, kind: str, severity: Literal["error", "warning"], what: str, classes: list[int]
) -> Iterator[Finding]:
    if classes:
        names = ", ".join(repr(shown(collection.classes[index])) for index in classes[:8]) + ", …" * (len(classes) > 8)
        wanted = set(classes)
        samples = tuple(index for index, sample in enumerate(collection.samples) if wanted.intersection(sample.labels))
        yield Finding(kind, severity, f"{len(classes)} of {counted(len(collection.classes), 'class')} {what}: {names}", samples)


def _spellings(classes: tuple[str, ...]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in classes:
        twin = seen.setdefault(unicodedata.normalize("NFKC", name).strip().casefold(), name)
        if twin != name:
            yield Finding(
                "spelling", "warning", f"classes {shown(twin)!r} and {shown(name)!r} differ in spelling only; are they one?"
            )


def _twins(
    collection: Collection, same: list[tuple[int, ...]], similar: list[tuple[int, ...]], views: list[tuple[int, ...]]
) -> Iterator[Finding]:
    """Of groups of exact and near duplicates; a drawn split keeps all of them together but the ``views``."""
    for kind, word, groups in (("duplicates", "exact", same), ("near-duplicates", "near", similar)):
        across = [group for group in groups if len({collection.samples[index].split or "train" for index in group}) > 1]
        torn = [group for group in groups if len({collection.samples[index].labels for index in group}) > 1]
        parted = {*across, *views}
        flattering = " in more than one split: validation and test look better than they are"
        told: tuple[tuple[str, Literal["warning", "note"], str, list[tuple[int, ...]]], ...] = (
            ("-across-splits", "warning", flattering, across),
            ("-across-labels", "warning", " with different labels", torn),
            ("", "note", ", which a drawn split keeps together", [group for group in groups if group not in parted]),
        )
        for end, severity, what, chosen in told:
            if chosen:
                names = " and ".join(repr(shown(collection.samples[index].source)) for index in chosen[0][:2])
                message = f"{counted(len(chosen), 'group')} of {word} duplicates{what} ({names} for one)"
                yield Finding(f"{kind}{end}", severity, message, _members(chosen), tuple(chosen))


def _views(collection: Collection, views: list[tuple[int, ...]]) -> Iterator[Finding]:
    """Pictures that look alike since the camera never moved, and that a drawn split parts all the same; whose ``group`` is given stay with it."""
    drawn = [
        index
        for index in _members(views)
        if collection.samples[index].split is None and collection.samples[index].group is None
    ]
    if drawn:
        yield Finding(
            "one-view",
            "warning",
            f"{len(drawn)} of {counted(len(collection), 'picture')} look alike, as from one standpoint. A drawn split parts them one by one, so that "
            "validation may look better than it is; a column `group` in a manifest, of a day or an object, keeps together what belongs together",
            tuple(drawn),
        )


def _members(groups: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(index for group in groups for index in group)
