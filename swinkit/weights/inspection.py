"""What a file of weights is, as plain values; None stands for "not recorded"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import SwinConfig
from ..errors import SwinkitError
from ..variants import matching
from .descriptions import Told
from .files import default_preprocessing, read_model
from .foreign import departures, is_foreign, read_description, read_states
from .merge_order import swapped_merges
from .recognise import Recognised, completed, disagreements, recognise
from .saved import Saved, fitted, handed_over
from .settle import settle
from .surroundings import several
from .targets import takers
from .translation import restore


def inspect_weights(path: str | Path, variant: str | None = None) -> dict[str, Any]:
    """Format, version, possible variants, windows, sizes, head, classes, precision and problems of the weights at ``path``.

    ``variant`` is what the name said under which they were fetched. Raises :class:`WeightsError` when they cannot be read safely or
    no Swin is among them.
    """
    path = Path(path)
    if not is_foreign(path):
        return _own(path)
    state, problems = read_states(path)
    try:
        found = inspect_state(state, read_description(path), variant)
    except SwinkitError as fault:  # a description that is wrong leaves the weights to be looked at
        found = inspect_state(state, Told(), variant)
        problems.append(str(fault))
    return {**found, "problems": [*problems, *(one for one in found["problems"] if one not in problems)]}


def inspect_state(state: Mapping[str, Tensor], told: Told | None = None, variant: str | None = None) -> dict[str, Any]:
    """The same of a state dict; ``told`` is what stood beside it."""
    told = told or Told()
    found = recognise(state)
    problems = [swapped] if (swapped := swapped_merges(state, found)) else []
    problems += several(found.prefix, found.others)
    config: SwinConfig | None = None
    formats: list[str] = []
    try:
        lines = disagreements(found, told.config) if told.config else []
        problems += [f"the description beside the weights says otherwise: {line}" for line in lines]
        config = completed(told.config, found) if told.config and not lines else settle(found, variant)
        config = config.model_copy(update={"geometry": "dense"}) if found.dense else config
        restored = restore(state, config, found.dialect, found.prefix, others=found.others)
        problems += [*restored.notes, *told.notes, *departures(found, config)]
        saved = Saved(config, (), told.preprocessing or default_preprocessing(config), told.multi_label, {}, restored.state)
        formats = _others(saved, found.dialect.name)
    except SwinkitError as fault:
        problems.append(str(fault))
    return _described(found, config, told) | {"precision": _precision(state), "converts_to": formats, "problems": problems}


def _described(found: Recognised, config: SwinConfig | None, told: Told) -> dict[str, Any]:
    """What the weights say themselves, completed from the configuration that fits them, where one is known."""
    stages = range(len(found.architecture["depths"]))
    windows, trained, size = found.windows, found.pretrained_windows, found.image_size if found.exact else None
    if config:
        windows = windows or tuple(config.stage_window(stage) for stage in stages)
        trained = trained or config.pretrained_windows
        size = size or (config.image_size if told.config or found.variants else None)
    return {
        "format": found.dialect.title,
        "version": found.version,
        "variants": matching(config, any_size=True) if config and len(found.variants) != 1 else list(found.variants),
        "geometry": "dense" if found.dense or (config and config.geometry == "dense") else "classification",
        "windows": [list(window) for window in windows] if windows else None,
        "trained_windows": list(trained) if trained and found.version == 2 else None,
        "image_size": list(size) if size else None,
        "depths": list(found.architecture["depths"]),
        "embed_dim": found.architecture["embed_dim"],
        "parts": list(found.parts),
        "classes": found.architecture["num_classes"] or None,
        "class_names": list(told.classes) if told.classes else None,
    }


def _own(path: Path) -> dict[str, Any]:
    """The same of a model that swinkit saved, which records everything; reading it has found every problem already."""
    file = read_model(path)
    config = file.config
    stages = range(config.num_stages)
    return {
        "format": "swinkit",
        "version": config.version,
        "variants": matching(config, any_size=True),
        "geometry": config.geometry,
        "windows": [list(config.stage_window(stage)) for stage in stages],
        "trained_windows": list(config.pretrained_windows) if config.version == 2 else None,
        "image_size": list(config.image_size),
        "depths": list(config.depths),
        "embed_dim": config.embed_dim,
        "parts": sorted({name.split(".")[0] for name in file.state} - {"backbone"}),
        "classes": config.num_classes or None,
        "class_names": list(file.classes) or None,
        "precision": _precision(file.state),
        "converts_to": _others(fitted(handed_over(file, config.image_size)) if file.masking else file, "swinkit"),
        "problems": [],
    }


def _others(saved: Saved, own: str) -> list[str]:
    """What ``swinkit convert`` can make of ``saved``, beside what it is."""
    return [name for name in takers(saved) if name != own]


def _precision(state: Mapping[str, Tensor]) -> list[str]:
    return sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values() if tensor.is_floating_point()})
