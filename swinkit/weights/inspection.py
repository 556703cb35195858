"""What a file of weights is, as plain values; None stands for "not recorded"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import SwinkitError
from ..variants import ROWS
from .convert import restore
from .files import read_model
from .foreign import is_foreign, read_description, read_state
from .merge_order import swapped_merges
from .recognise import recognise, settle


def inspect_weights(path: str | Path) -> dict[str, Any]:
    """Format, version, possible variants, windows, sizes, head, classes, precision and problems of the weights at ``path``.

    Raises :class:`WeightsError` when they cannot be read safely or no Swin is among them.
    """
    path = Path(path)
    if not is_foreign(path):
        return _own(path)
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
        "image_size": list(found.image_size) if found.image_size and found.exact else None,
        "depths": list(found.architecture["depths"]),
        "embed_dim": found.architecture["embed_dim"],
        "parts": list(found.parts),
        "classes": found.architecture["num_classes"] or None,
        "class_names": classes,
        "precision": _precision(state),
        "problems": problems,
    }


def _own(path: Path) -> dict[str, Any]:
    """The same of a model that swinkit saved, which records everything; reading it has found every problem already."""
    file = read_model(path)
    config = file.config
    stages = range(config.num_stages)
    shape = ("version", "patch_size", "embed_dim", "depths", "num_heads", "window_size", "pretrained_window_sizes")
    return {
        "format": "swinkit",
        "version": config.version,
        "variants": [row.name for row in ROWS if all(getattr(row.config, key) == getattr(config, key) for key in shape)],
        "windows": [list(config.stage_window(stage)) for stage in stages],
        "trained_windows": [config.pretrained_window(stage) or config.stage_window(stage)[0] for stage in stages],
        "image_size": list(config.image_size),
        "depths": list(config.depths),
        "embed_dim": config.embed_dim,
        "parts": sorted({name.split(".")[0] for name in file.state}),
        "classes": config.num_classes or None,
        "class_names": list(file.classes) or None,
        "precision": _precision(file.state),
        "problems": [],
    }


def _precision(state: Mapping[str, Tensor]) -> list[str]:
    return sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values() if tensor.is_floating_point()})
