"""What is converted and how it changes on the way: from the name of a model and what is wished of it to a plan that can be carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..data.bundled import open_bundled
from ..data.transforms import evaluation
from ..errors import UsageError
from ..model.windows import Size
from ..tasks import open_saved
from ..weights import saved as changing
from ..weights.conversion import ConversionPlan, Source
from ..weights.files import find_model
from ..weights.hub import locate
from ..weights.saved import Saved
from ..weights.targets import Target, hashes

PICTURES = (
    "one random, seed 0",
    "two of the bundled clothes (Fashion-MNIST), squashed to the model's size and normalised for it",
)
KNOWN = {"resize": ("bicubic", "geometric"), "geometry": ("classification", "dense")}


@dataclass(frozen=True)
class Changes:
    """What becomes of a model on its way to another format; by default nothing.

    ``variant`` is what it is and ``image_size`` also the size at which it was trained, where its file does not record them. ``resize``
    is how tables of version 1 are resized, by default as the model's origin does. ``head_map``, ``head_classes`` and ``class_names`` are
    text files, an entry a line: outputs to keep by number, outputs to keep by class name, and what the outputs are called.
    Raises :class:`UsageError` for a ``resize`` or ``geometry`` that is not known.
    """

    variant: str | None = None
    image_size: Size | None = None
    window_size: Size | None = None
    resize: str | None = None
    geometry: str | None = None
    backbone: bool = False
    head_map: Path | None = None
    head_classes: Path | None = None
    class_names: Path | None = None

    def __post_init__(self) -> None:
        for name, known in KNOWN.items():
            if (value := getattr(self, name)) is not None and value not in known:
                raise UsageError(f"There is no {name} {value!r}. Expected one of: {', '.join(known)}")
        for name in ("head_map", "head_classes", "class_names"):
            if (place := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(place))


def make_plan(model: str, target: Target, changes: Changes | None = None) -> ConversionPlan:
    """``model`` opened and changed, with a note for each change, for :func:`swinkit.weights.conversion.convert`.

    Raises :class:`UsageError` for changes that exclude each other or that this model cannot have.
    """
    changes = changes or Changes()
    if changes.head_map and changes.head_classes:
        raise UsageError("--head-map and --head-classes both choose the outputs; give one of them")
    if changes.head_classes and changes.class_names:
        raise UsageError("--head-classes gives the outputs their names already; leave --class-names out")
    located = locate(model)
    saved = open_saved(located, changes.variant, unrecorded=changes.image_size, backbone=changes.backbone)
    origin, notes = str(saved.metadata.get("format", "swinkit")), changing.sentences(saved.metadata, "notes")
    method = changes.resize or changing.convention(saved)
    saved, chosen = _with_outputs(model, saved, changes)
    saved, shaped = _with_shape(saved, changes, method)
    notes += [*chosen, *shaped]
    if changes.backbone:
        # swinkit's own format has no place for the norms of dense outputs
        keep_norms = saved.config.geometry == "dense" and target.name != "swinkit"
        notes.append(f"the backbone and {'the norms of its outputs' if keep_norms else 'its last norm'} alone")
        saved = changing.backbone_alone(saved, keep_norms=keep_norms)
    return ConversionPlan(_hashed(model, origin, located.path), target, saved, tuple(notes))


def picture_batch(plan: ConversionPlan) -> Tensor:
    """The pictures of :data:`PICTURES`, normalised, at the size of the model, (3, C, H, W)."""
    config, preprocessing = plan.saved.config, plan.saved.preprocessing
    clothes = open_bundled("fashion-mini")
    noise = torch.randn(1, config.in_channels, *config.image_size, generator=torch.Generator().manual_seed(0))
    at_size = preprocessing.model_copy(update={"size": config.image_size, "resize": "squash"})
    gray = evaluation(at_size.model_copy(update={"channels": 1, "mean": at_size.mean[:1], "std": at_size.std[:1]}))
    real = torch.cat([gray(clothes.read(index))[None] for index in (0, 500)])
    return torch.cat((noise, real.expand(-1, config.in_channels, -1, -1))).contiguous()


def _with_outputs(model: str, saved: Saved, changes: Changes) -> tuple[Saved, list[str]]:
    """``saved`` with the outputs that were chosen and named, and notes of it."""
    before, notes = saved.config.num_classes, []
    if (changes.head_map or changes.head_classes or changes.class_names) and not before:
        raise UsageError(f"{model} has no head, so it has no outputs to choose or to name")
    if changes.head_map:
        saved = changing.mapped(saved, changes.head_map)
        notes.append(f"{saved.config.num_classes} of {before} outputs are kept, by number, as {changes.head_map.name} says")
    if changes.head_classes:
        saved = changing.chosen(saved, changes.head_classes)
        notes.append(f"{saved.config.num_classes} of {before} outputs are kept, by name, as {changes.head_classes.name} says")
    return changing.renamed(saved, changes.class_names) if changes.class_names else saved, notes


def _with_shape(saved: Saved, changes: Changes, method: str) -> tuple[Saved, list[str]]:
    """``saved`` for the geometry, picture and window that were asked for, and notes of it."""
    notes = []
    if changes.geometry and changes.geometry != saved.config.geometry:
        notes.append(f"geometry {changes.geometry} instead of {saved.config.geometry}: the same weights, another function")
        saved = changing.in_geometry(saved, changes.geometry, method)
    if changes.image_size or changes.window_size:
        saved = changing.at_size(saved, changes.image_size or saved.config.image_size, changes.window_size, method)
        tables = f"bias tables resized: {method}" if saved.config.version == 1 else "log-CPB asked at the new offsets"
        notes.append(f"for pictures of {saved.config.image_size} pixels and windows of {saved.config.window_size}; {tables}")
    return saved, notes


def _hashed(model: str, format: str, path: Path) -> Source:
    """``model`` with the hashes of its files."""
    folder = path if path.is_file() else find_model(path) if format == "swinkit" else path
    kinds = (".safetensors", ".bin", ".json", ".pth", ".pt")
    files = [folder] if folder.is_file() else sorted(file for file in folder.iterdir() if file.suffix in kinds)
    return Source(model, format, hashes(files))
