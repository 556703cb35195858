"""Which pictures int8 is calibrated on, and which others it is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.collection import Collection
from ..data.loader import eval_batches
from ..data.transforms import evaluation
from ..data.workers import explained_workers
from ..errors import DataError
from ..machine import usable_cores
from ..runtime.evaluate import match_classes
from ..runtime.export.int8 import Pictures
from .material import Material, find_material
from .options import say, warn

CALIBRATION = 300  # pictures, as NNCF advises
JUDGED = 100  # pictures; of fewer each is more than the hundredth whose answers may change
BATCH = 32


def find_pictures(model: str, network: Any, calibrate: str, evaluate: str | None, quiet: bool) -> Pictures:
    """Calibration pictures from the training part of ``calibrate`` where it has one, held-out ones from ``evaluate``, by default the
    test or validation part of the same data; without parts, those that are not calibrated on.

    Raises :class:`DataError` when nothing is left to judge on.
    """
    held_out = find_material(model, evaluate or calibrate, "auto", None, quiet)
    try:
        known = find_material(model, calibrate, "train", None, quiet)
    except DataError:  # no parts
        same = evaluate is None and held_out.part == "all"
        known = held_out if same else find_material(model, calibrate, "all", None, quiet)
    chosen = spread(known.indices, min(CALIBRATION, max(1, len(known.indices) // 5)))
    if known.collection.fingerprint() == held_out.collection.fingerprint():
        rest = sorted(set(held_out.indices) - set(chosen))
        held_out = Material(held_out.collection, rest, held_out.part)
    if not held_out.indices:
        raise DataError(f"{calibrate} leaves no picture to judge int8 on. Mend: give others with --evaluate")
    say(f"Calibrating on {len(chosen)} pictures, judging on {len(held_out.indices):,} others", quiet)
    if len(held_out.indices) < JUDGED:
        warn(
            f"{len(held_out.indices)} pictures are too few to tell whether int8 keeps 99 % of the answers; {JUDGED} or more are not. "
            "Mend: give more with --evaluate"
        )
    transform = evaluation(network.preprocessing)
    calibration = [transform(known.collection.read(index))[None].numpy() for index in chosen]
    places = None if network.multi_label else match_classes(tuple(network.classes), held_out.collection)
    return Pictures(
        calibration,
        lambda: labelled_batches(network, held_out.collection, held_out.indices, places),
        len(held_out.indices),
    )


def labelled_batches(
    network: Any, collection: Collection, indices: Any, places: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Normalised pictures (B, C, H, W) with their labels (B,) in the model's classes, at ``places``; None with several labels a picture."""
    workers = 0 if collection.pixels is not None else min(2, usable_cores())
    with explained_workers():
        for batch in eval_batches(collection, indices, evaluation(network.preprocessing), BATCH, workers):
            yield batch.images.numpy(), None if places is None else places[batch.labels.numpy()]


def spread(indices: Any, count: int) -> list[int]:
    """``count`` of ``indices``, evenly spread, so that every class of ordered data has its share."""
    places = np.linspace(0, len(indices) - 1, count).round().astype(int)
    return [int(indices[place]) for place in dict.fromkeys(places.tolist())]
