"""The network and the input size that training takes for pictures of a size, where none is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Size = tuple[int, int]

SMALL = 64  # pixels of the longer side up to which pictures are small: swin_nano, shifts instead of crops
LEAST = 24  # pixels; smaller pictures are enlarged, or the last stage would see next to nothing
DEFAULT_SMALL, DEFAULT_LARGE = 28, 112


class Fitting(NamedTuple):
    """A variant's name, and the fields of its configuration that are not the variant's own."""

    variant: str
    fields: dict[str, Any]


def fitting(pictures: Size, gpu: bool, model: str = "auto", image_size: int | Size | None = None) -> Fitting:
    """For ``pictures`` of (height, width), trained on a ``gpu`` or a processor; a ``model`` or ``image_size`` that is given stays."""
    small = max(pictures) <= SMALL
    name = model if model != "auto" else "swin_t" if not small and gpu else "swin_nano"
    fields: dict[str, Any] = {}
    if image_size:
        fields["image_size"] = image_size
    elif name.endswith("_nano"):
        own = DEFAULT_SMALL if min(pictures) < LEAST else pictures
        fields["image_size"] = own if small else DEFAULT_LARGE
    if model == "auto" and name == "swin_nano":
        size = fields["image_size"]
        fields |= _nano((size, size) if isinstance(size, int) else size)
    return Fitting(name, fields)


def _nano(size: Size) -> dict[str, int]:
    """Patch and window of the small network: patches of 4 above 64 pixels, and the window of 6 to 8 that pads least."""
    patch = 4 if max(size) > SMALL else 2
    sides = [-(-side // patch) for side in size]
    return {"patch_size": patch, "window_size": min((7, 8, 6), key=lambda window: sum(-side % window for side in sides))}


def typical_size(sizes: Any) -> Size:
    """Height and width, each the median, of pictures of ``sizes`` (N, 2)."""
    height, width = np.median(sizes, axis=0)
    return int(height), int(width)


def evenly(indices: Sequence[int], most: int = 64) -> list[int]:
    """Up to ``most`` of ``indices``, evenly spread."""
    count = min(most, len(indices))
    return [indices[place * len(indices) // count] for place in range(count)]
