"""Where a run starts from: a variant with fresh weights, or a saved model whose backbone is fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import SwinConfig
from ..data.collection import Collection
from ..data.fitting import SMALL, Fitting, Size, evenly, fitting, typical_size
from ..data.transforms import match_channels, takes
from ..devices import find_device
from ..errors import UsageError
from ..model.classifier import SwinClassifier
from ..preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ..tasks import open_unfitted
from ..validation import validated
from ..variants import configure, find
from ..weights.named import is_variant
from ..weights.resize import with_pretrained_windows
from ..weights.saved import Saved, convention, is_pretrained, sentences
from .settings import LearnedFrom, RunSettings, completed

CLASSIFIER = ("backbone.", "norm.", "head.")
MEASURED = 1000  # pictures whose mean and deviation stand for all


@dataclass(frozen=True)
class Start:
    """``state`` holds the weights to begin with, none for a fresh network; ``notes`` say what became of them, ``learned_from`` what
    they have seen.

    ``build`` makes the network, a classifier by default. ``trained`` is the configuration whose windows ``state`` has, ``resizing`` the
    convention by which bias tables get others.
    """

    name: str
    config: SwinConfig
    preprocessing: Preprocessing
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    build: Callable[[SwinConfig], nn.Module] = SwinClassifier
    learned_from: LearnedFrom = "nothing"
    trained: SwinConfig | None = None
    resizing: str = "bicubic"

    def network(self, seed: int, drop_path: float) -> nn.Module:
        """The network with fresh weights drawn with ``seed``, over them those of ``state``.

        Raises :class:`UsageError` where settings of the architecture leave no place for these.
        """
        torch.manual_seed(seed)
        model = self.build(self.config.model_copy(update={"drop_path_rate": drop_path}))
        fresh = model.state_dict()
        misfits = [name for name, tensor in self.state.items() if name not in fresh or fresh[name].shape != tensor.shape]
        if misfits:
            raise UsageError(
                f"{self.name} has weights of another shape than the settings swin.… ask for, {misfits[0]} for one "
                f"({len(misfits)} in all). Mend: leave these settings out, or leave the model out and train from nothing"
            )
        model.load_state_dict({**fresh, **self.state})
        return model


def starting_point(
    settings: RunSettings,
    collection: Collection,
    train: Sequence[int],
    saved: Saved | None,
    parts: tuple[str, ...] = CLASSIFIER,
) -> Start:
    """What ``settings.model`` means for these pictures: ``saved``, of which ``parts`` are taken over, or if that is None a variant.

    Raises :class:`UsageError` for what does not fit the pictures.
    """
    if saved is None:
        return _fresh(settings, collection, train)
    return _saved(settings, collection, train, saved, parts)


def check_channels(config: SwinConfig, preprocessing: Preprocessing | None, collection: Collection) -> None:
    """Raises :class:`UsageError` where the network, what is given of its preprocessing, and the pictures do not agree on the channels."""
    wanted = config.in_channels
    given = preprocessing.channels if preprocessing and "channels" in preprocessing.model_fields_set else wanted
    if not takes(wanted, collection.channels):
        more = collection.channels == 3 < wanted and collection.pixels is None
        hint = "; more bands or pages than RGB are read of .npy files alone, of shape (H, W, C)" if more else ""
        raise UsageError(
            f"swin.in_channels is {wanted}, and the pictures are read with {collection.channels} channels. Mend: leave it out: the pictures "
            f"say it{hint}"
        )
    if given != wanted:
        raise UsageError(
            f"preprocessing.channels is {given}, and the network takes {wanted}. Mend: leave it out, or --set swin.in_channels={given} as well"
        )


def open_start(settings: RunSettings) -> Saved | None:
    """The saved model that ``settings.model`` names, its position information as it was trained; None for a variant. A file may be large
    and is read but this once.

    Raises :class:`UsageError` for a model that there is not, and what reading it raises.
    """
    if settings.model == "auto" or is_variant(settings.model):
        return None
    return open_unfitted(settings.model, image_size=settings.image_size)


def gray(collection: Collection, indices: Sequence[int]) -> bool:
    """Whether the pictures have no colour, judged by a sample of them: one channel, or three that are equal, as a gray file is read."""
    if collection.channels != 3:
        return collection.channels == 1
    pictures = (collection.read(index) for index in evenly(indices))
    return all((picture == picture[..., :1]).all() for picture in pictures)


def suited(settings: RunSettings, collection: Collection, train: Sequence[int]) -> tuple[Size, Fitting]:
    """Height and width of a typical picture, and the variant that ``settings`` mean for such ones on their device."""
    pictures = typical_size([collection.read(index).shape[:2] for index in evenly(train)])
    accelerated = find_device(settings.device).type == "cuda"
    return pictures, fitting(pictures, accelerated, settings.model, settings.image_size)


def _fresh(settings: RunSettings, collection: Collection, train: Sequence[int]) -> Start:
    pictures, (name, fields) = suited(settings, collection, train)
    config = configure(name, **{"in_channels": collection.channels} | fields | _architecture(settings, collection))
    check_channels(config, settings.preprocessing, collection)
    small = max(pictures) <= SMALL
    preprocessing = completed(settings.preprocessing, lambda: _preprocessing(config, collection, train, small))
    return Start(name, config, preprocessing, notes=altered(name, config))


def altered(name: str, config: SwinConfig) -> tuple[str, ...]:
    """What to say of a ``config`` that is no longer the network which the variant ``name`` is known as."""
    own = find(name).config
    parts = [
        part
        for part in ("version", "embed_dim", "depths", "num_heads", "mlp_ratio")
        if getattr(config, part) != getattr(own, part)
    ]
    listed = ", ".join(f"{part} {getattr(config, part)} instead of {getattr(own, part)}" for part in parts)
    return (f"The settings swin.… change {name}: {listed}.",) if parts else ()


def _architecture(settings: RunSettings, collection: Collection) -> dict[str, Any]:
    """Fields of the configuration that are given. The pictures alone say how many classes there are: the settings may be another
    run's."""
    return {**(settings.swin or {}), "num_classes": len(collection.classes)}


def _preprocessing(config: SwinConfig, collection: Collection, train: Sequence[int], small: bool) -> Preprocessing:
    channels = config.in_channels
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else _statistics(collection, train, channels)
    return Preprocessing(
        size=config.image_size, resize="squash" if small else "shortest", channels=channels, mean=mean, std=std
    )


def _statistics(collection: Collection, train: Sequence[int], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each of ``channels`` of up to :data:`MEASURED` pictures, of values between 0 and 1."""
    sums = []
    for index in evenly(train, MEASURED):
        picture = match_channels(collection.read(index), channels)
        values = picture.reshape(-1, picture.shape[-1]) / (255.0 if picture.dtype == np.uint8 else 1.0)
        sums.append((values.mean(axis=0), (values**2).mean(axis=0)))
    mean, square = np.mean([first for first, _ in sums], axis=0), np.mean([second for _, second in sums], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1e-4))
    return tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std)


def _saved(settings: RunSettings, collection: Collection, train: Sequence[int], file: Saved, parts: tuple[str, ...]) -> Start:
    config, notes = file.config, sentences(file.metadata, "notes")
    state = {name: tensor for name, tensor in file.state.items() if name.startswith(parts)}
    if not takes(config.in_channels, collection.channels):
        notes.append(f"The first layer is spread from {config.in_channels} channels to {collection.channels}.")
        state["backbone.patch_embed.proj.weight"] = spread_channels(
            state["backbone.patch_embed.proj.weight"], collection.channels
        )
        config = config.model_copy(update={"in_channels": collection.channels})
    if (config.in_channels, collection.channels) == (1, 3) and not gray(collection, train):
        notes.append("The pictures are in colour, and the model has one channel: they are learned from as gray.")
    if tuple(collection.classes) != file.classes or collection.multi_label != file.multi_label:
        learned = f"{len(file.classes)} classes were learned" if file.classes else "No classes were learned, only pictures"
        asked = f"{len(collection.classes)} others are asked for: the head starts anew."
        notes += [f"{learned}, {asked}"] if collection.classes else []
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        config = config.model_copy(update={"num_classes": len(collection.classes)})
    config = with_pretrained_windows(validated(SwinConfig, config.model_dump() | _architecture(settings, collection)), config)
    check_channels(config, settings.preprocessing, collection)
    preprocessing = completed(settings.preprocessing, lambda: _for_size(file.preprocessing, config))
    learned_from: LearnedFrom = "pictures" if file.masking is not None or is_pretrained(file) else "labels"
    trained = file.trained or file.config
    return Start(
        str(settings.model), config, preprocessing, state, tuple(notes), learned_from=learned_from, trained=trained,
        resizing=convention(file),
    )  # fmt: skip


def _for_size(preprocessing: Preprocessing, config: SwinConfig) -> Preprocessing:
    changes: dict[str, Any] = {"size": config.image_size}
    if preprocessing.channels != config.in_channels:
        average = [sum(values) / len(values) for values in (preprocessing.mean, preprocessing.std)]
        mean, std = ((value,) * config.in_channels for value in average)
        changes |= {"channels": config.in_channels, "mean": mean, "std": std}
    return preprocessing.model_copy(update=changes)


def spread_channels(weight: Tensor, channels: int) -> Tensor:
    """Weights (C, have, p, p) of the patch embedding for ``channels``: each gets their mean, so that a gray picture, repeated,
    gives the same tokens."""
    return weight.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (weight.shape[1] / channels)
