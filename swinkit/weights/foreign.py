"""Weights of other libraries, from a file or a folder to a state dict of ours with everything its origin says about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import SwinConfig
from ..errors import WeightsError
from ..model.windows import Size
from ..preprocessing import Preprocessing
from ..variants import find
from . import BUNDLE, DESCRIPTION, WEIGHTS
from .atomic import sha256_of
from .descriptions import Told, beside, timm, transformers
from .descriptions.transformers import PREPROCESSOR
from .files import default_preprocessing, find_model
from .merge_order import swapped_merges
from .named import bundled_models
from .pickles import OTHERS, TAKEN
from .reading import read_tensors, unwrapped
from .recognise import Recognised, completed, disagreements, recognise
from .safety import shards
from .saved import Saved
from .settle import settle
from .surroundings import headless, several
from .translation import restore

FILES = (WEIGHTS, "pytorch_model.bin")
SUFFIXES = (".safetensors", ".pth", ".pt")  # of the one file of weights in a folder without these


def is_foreign(path: str | Path) -> bool:
    """Whether ``path`` is there and is not of swinkit's own format."""
    path = Path(path)
    if not path.exists() or str(path) in bundled_models():
        return False
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in (*FILES, DESCRIPTION):
        return True
    if all((path / "model" / name).is_file() for name in (DESCRIPTION, WEIGHTS)) and not (path / DESCRIPTION).is_file():
        return False  # a run, whatever weights lie beside its model
    return "swin" not in _read_json(folder / DESCRIPTION) and (path.is_file() or bool(_weights_in(folder)))


def open_foreign(
    path: str | Path, variant: str | None = None, image_size: Size | None = None, *, backbone: bool = False
) -> Saved:
    """Read, recognise, configure and convert; ``variant`` and ``image_size`` tell what the files do not record, ``backbone`` that what lies
    beside the backbone is not wanted.

    ``metadata`` say from which ``format`` it comes and in ``notes`` what was left out or assumed, a sentence each, in ``doubts`` those that
    make its origin answer otherwise, or leave open whether another network was meant.
    Raises :class:`WeightsError` for whatever does not fit, :class:`UsageError` asking for what is missing.
    """
    path = Path(path)
    state, others = read_states(path)
    told, recognised = read_description(path), recognise(state)
    config = _configured(recognised, told, variant, image_size)
    swapped = swapped_merges(state, recognised)
    if swapped:
        raise WeightsError(
            f"The weights of {path} are in another merge order than {recognised.dialect.title} has: {swapped}. "
            "Mend: take the original file; whatever converted this one renamed its tensors and left patch merging in the old order"
        )
    restored = restore(state, config, recognised.dialect, recognised.prefix, others=recognised.others, backbone=backbone)
    classes = told.classes if told.classes and len(told.classes) == config.num_classes else None
    doubts = [*told.notes, *departures(recognised, config), *several(recognised.prefix, recognised.others)]
    if not (config.num_classes or recognised.dense or backbone):
        doubts += headless(restored.around, recognised.prefix, recognised.others)
    return Saved(
        config=config,
        classes=classes or tuple(map(str, range(config.num_classes))),
        preprocessing=told.preprocessing or _preprocessing(recognised, config),
        multi_label=told.multi_label,
        metadata={
            "format": recognised.dialect.name,
            "notes": [*others, *restored.notes, *unrecorded(told), *doubts],
            "doubts": doubts,
        },
        state=restored.state,
        masking=told.masking,
    )


def weight_files(path: str | Path) -> list[Path]:
    """Where the tensors of the model at ``path`` lie, of swinkit's own format or of another; several files where it is in shards."""
    path = Path(path)
    return _files(path) if is_foreign(path) else [find_model(path) / WEIGHTS]


def read_states(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a file, or of the one weight file (perhaps in shards) of a folder, without what wraps all of their names; and a
    sentence for every file that holds other weights besides."""
    state: dict[str, Tensor] = {}
    notes = []
    for part in _files(path):
        more, beside = read_tensors(part)
        if others := beside.get(OTHERS):
            notes.append(
                f"{part.name} holds several sets of weights: {beside.get(TAKEN)} was read, and not {', '.join(others)}"
            )
        if again := state.keys() & more.keys():
            raise WeightsError(f"{part} holds {min(again)} again, which another part holds. Mend: download the model again")
        state |= more
    return unwrapped(state), notes


def departures(recognised: Recognised, config: SwinConfig) -> list[str]:
    """Why the library that the weights come from, asked with pictures of the size of ``config``, answers otherwise than swinkit."""
    dialect = recognised.dialect
    reasons = dialect.refuses(config) if config.version in dialect.rows else []
    return [f"{dialect.title} answers otherwise with these weights, since {reason}" for reason in reasons]


def read_description(path: Path) -> Told:
    """What ``config.json`` and the preprocessor's file say, or the ``.json`` that swinkit writes beside a file of weights."""
    folder, parts = path if path.is_dir() else path.parent, _files(path)
    alone = parts[0] if parts[0].name not in FILES else None
    if alone and beside.is_beside(described := _read_beside(alone.with_suffix(".json"))):
        return beside.read(described, sha256_of(alone))
    if path == alone:  # whatever config.json stands beside it may be another model's
        return Told()
    described = _read_json(folder / DESCRIPTION)
    try:
        if timm.is_timm(described):
            return timm.read(described)
        return transformers.read(described, _read_json(folder / PREPROCESSOR)) if "model_type" in described else Told()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise WeightsError(
            f"{folder / DESCRIPTION} and {PREPROCESSOR} do not describe a Swin: {fault!r}. Mend: restore them from their origin"
        ) from None


def _files(path: Path) -> list[Path]:
    if path.is_file() and path.name != DESCRIPTION:
        return [path]
    folder = path if path.is_dir() else path.parent
    parts = _weights_in(folder)
    if not parts:
        raise WeightsError(f"{folder} holds no weights. Expected one of: {', '.join(FILES)}, or their index of shards")
    return parts


def _weights_in(folder: Path) -> list[Path]:
    """The file of weights in ``folder``, or all parts of it; nothing where there is none, or a choice."""
    whole = [folder / name for name in FILES if (folder / name).is_file()]
    index = next((folder / f"{name}.index.json" for name in FILES if (folder / f"{name}.index.json").is_file()), None)
    if whole:
        return whole[:1]
    if index:
        return shards(index)
    others = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    return others if len(others) == 1 and not (folder / BUNDLE).is_file() else []


def _configured(recognised: Recognised, told: Told, variant: str | None, image_size: Size | None) -> SwinConfig:
    if told.config is None:
        return settle(recognised, variant, image_size)
    lines = disagreements(recognised, told.config)
    channels = recognised.architecture["in_channels"]
    if told.preprocessing and told.preprocessing.channels != channels:
        lines.append(f"the weights take {channels} channels, but pictures are prepared with {told.preprocessing.channels}")
    classes = recognised.architecture["num_classes"]
    if classes and told.classes is not None and len(told.classes) != classes:
        lines.append(f"the head has {classes} outputs, but config.json names {len(told.classes)} classes")
    if variant and (apart := disagreements(recognised, find(variant).config)):
        lines += [f"not {variant}: {line}" for line in apart]
    if lines:
        raise WeightsError("config.json and the weights contradict each other:\n" + "\n".join(f"  {line}" for line in lines))
    geometry = "dense" if recognised.dense else told.config.geometry
    return completed(told.config, recognised).model_copy(update={"geometry": geometry})


def _preprocessing(recognised: Recognised, config: SwinConfig) -> Preprocessing:
    """As the published models were evaluated: 384 pixels squashed by Microsoft, the others scaled and cut."""
    usual = default_preprocessing(config)
    squashed = recognised.dialect.name in ("microsoft", "openmmlab") and min(config.image_size) >= 384
    return usual.model_copy(update={"resize": "squash"}) if squashed else usual


def unrecorded(told: Told) -> list[str]:
    """What is assumed where ``told`` does not say how pictures were prepared."""
    return [] if told.preprocessing else ["how pictures were prepared is not recorded; the published evaluation is assumed"]


def _read_beside(path: Path) -> Mapping[str, Any]:
    """A ``.json`` that happens to be called like the weights may be anything; only ours is of interest."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise WeightsError(f"{path} is not JSON: {fault}. Mend: restore it from a copy") from None
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds a {type(value).__name__}, expected an object. Mend: restore it from a copy")
    return value
