"""What a file of weights is, as plain values; None stands for "not recorded"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SwinkitError
from .convert import restore
from .foreign import read_description, read_state
from .merge_order import swapped_merges
from .recognise import recognise, settle


def inspect_weights(path: str | Path) -> dict[str, Any]:
    """Format, version, possible variants, windows, sizes, head, classes, precision and problems of the weights at ``path``.

    Raises :class:`WeightsError` when they cannot be read safely or no Swin is among them.
    """
    path = Path(path)
    state = read_state(path)
    found = recognise(state)
    problems = [swapped] if (swapped := swapped_merges(state, found)) else []
    classes = None
    try:
        told = read_description(path)
        classes = list(told.classes) if told.classes else None
        config = told.config.model_copy(update=found.architecture) if told.config else settle(found)
        problems += restore(state, config, found.dialect, found.prefix).notes
    except SwinkitError as fault:
        problems.append(str(fault))
    return {
        "format": found.dialect.title,
        "version": found.version,
        "variants": list(found.variants),
        "windows": [list(window) for window in found.windows] if found.windows else None,
        "trained_windows": list(found.reaches) if found.reaches else None,
        "image_size": list(found.image_size) if found.image_size else None,
        "depths": list(found.architecture["depths"]),
        "embed_dim": found.architecture["embed_dim"],
        "parts": list(found.parts),
        "classes": found.architecture["num_classes"] or None,
        "class_names": classes,
        "precision": sorted(
            {str(tensor.dtype).removeprefix("torch.") for tensor in state.values() if tensor.is_floating_point()}
        ),
        "problems": problems,
    }
