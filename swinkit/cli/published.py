"""``swinkit evaluate --expect published``: a published model against the figure it was published with, on ImageNet's validation set."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.collection import Collection
from ..errors import DataError, GateError, UsageError
from ..variants import Variant, find, matching

SYNSET = re.compile(r"n\d{8}")
CLASSES, PICTURES = 1000, 50_000  # of ILSVRC 2012's validation set
MARGIN = 0.2  # points of top-1: the papers round to one decimal, and decoders and resizing differ by about as much


@dataclass(frozen=True)
class Expectation:
    """``top1`` in per cent, and who says so."""

    top1: float
    source: str

    def require(self, measured: float, low: float, high: float, count: int) -> str:
        """The verdict on ``measured`` of ``count`` pictures (a share, as its interval); raises :class:`GateError` for another figure.

        All of the validation set must come within :data:`MARGIN`; for a part of it, the published figure must lie in the interval.
        """
        apart = measured * 100 - self.top1
        whole = count == PICTURES
        if abs(apart) <= MARGIN or (not whole and low * 100 <= self.top1 <= high * 100):
            return (
                f"top-1 {measured * 100:.2f} %, published {self.top1:.2f} % ({self.source}): {apart:+.2f} points, as published"
            )
        allowed = f"within {MARGIN} points" if whole else f"within the interval of {count:,} pictures"
        raise GateError(
            f"top-1 is {measured * 100:.2f} % on {count:,} pictures; published is {self.top1:.2f} % ({self.source}), expected {allowed}. "
            "Mend: check that the pictures are ImageNet's validation set in folders named by synset, and that the weights are the published ones"
        )


def expectation(name: str, wanted: str, config: Any) -> Expectation:
    """What weights called ``name`` were published with; ``wanted`` is "published", or "published-1k", "published-22k" where both are.

    Raises :class:`UsageError` where no figure is known or the name does not say which of two it is.
    """
    if name.startswith("Swin_"):
        return _torchvisions(name)
    row = _row(name, config)
    figures = {"1k": row.top1_1k, "22k": row.top1_22k}
    known = {kind: value for kind, value in figures.items() if value is not None}
    kind = wanted.partition("-")[2] or ("22k" if "22k" in name.lower() else next(iter(known)) if len(known) == 1 else "")
    if kind in known:
        trained = "ImageNet-1K alone" if kind == "1k" else "ImageNet-22K first"
        return Expectation(known[kind], f"{row.name}, trained on {trained}; the papers' repository")
    if not kind and known:
        raise UsageError(
            f"{row.name} was published twice: {row.top1_1k} % trained on ImageNet-1K alone, {row.top1_22k} % after ImageNet-22K, and "
            f"{name!r} does not say which it is. Say --expect published-1k or --expect published-22k"
        )
    raise UsageError(f"No figure{f' for {kind}' if kind else ''} was published for {row.name}, so nothing can be expected")


def by_synset(collection: Collection, classes: tuple[str, ...]) -> Collection:
    """``collection`` with the model's ``classes`` for its synset folders: in order of their names, as every published head has them.

    Raises :class:`DataError` for anything but the thousand folders of ImageNet's validation set.
    """
    named = all(SYNSET.fullmatch(name) for name in collection.classes)
    if not named or len(collection.classes) != CLASSES:
        raise DataError(
            f"{collection.root} has {len(collection.classes):,} class folders ({', '.join(collection.classes[:3])}, …); expected the "
            f"{CLASSES:,} of ImageNet's validation set, named by synset such as n01440764. With fewer, which output is which is not known"
        )
    if len(classes) != CLASSES:
        raise UsageError(
            f"The model has {len(classes):,} outputs; published top-1 is of the {CLASSES:,} classes of ImageNet-1K"
        )
    order = sorted(collection.classes)
    places = [order.index(name) for name in collection.classes]
    samples = tuple(replace(sample, labels=tuple(places[label] for label in sample.labels)) for sample in collection.samples)
    return replace(collection, classes=classes, samples=samples)


def validation_folder(data: str) -> str:
    """The folder of the class folders: ``data`` itself, or its ``val``."""
    inner = Path(data) / "val"
    return str(inner) if inner.is_dir() else data


def _row(name: str, config: Any) -> Variant:
    fitting = matching(config)
    if not fitting:
        size = "x".join(map(str, config.image_size))
        raise UsageError(
            f"{name} is none of the published variants (width {config.embed_dim}, {size} pixels); nothing can be expected"
        )
    return find(fitting[0])


def _torchvisions(name: str) -> Expectation:
    """torchvision trained its weights anew, and gives their figures itself."""
    from torchvision.models import get_weight

    weight: Any = get_weight(name)
    return Expectation(float(weight.meta["_metrics"]["ImageNet-1K"]["acc@1"]), f"{weight}, torchvision's own training")
