"""Loading as subjects: a step is an epoch of a folder of JPEGs, prepared and augmented as for training; ``about`` has what the first one took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import v2

from swinkit.data.cache import room
from swinkit.data.layouts import open_data
from swinkit.preprocessing import Preprocessing
from swinkit.study.process import Subject
from swinkit.train.feed import Feed
from swinkit.train.settings import DataFacts, RunSettings, default_augmentation

FLIPPED, OPERATIONS = 0.5, 2  # the share of mirror images, and of RandAugment's operations a picture, that are fixed in swinkit


def ours(folder: str, batch: int, side: int, workers: int, keep: bool) -> Subject:
    """What `swinkit train` is fed with; unless it shall ``keep`` decoded pictures, as with cache=0."""
    pictures = open_data(Path(folder))
    looks = default_augmentation(DataFacts(len(pictures), 0, side, pictures.channels), fine_tuning=False)
    kept = room(RunSettings.model_fields["cache"].default) if keep else 0
    feed = Feed(pictures, range(len(pictures)), (), Preprocessing(size=(side, side)), looks, batch, 0, workers, kept)
    return epochs(feed.training, room=kept)


def torchvision(folder: str, batch: int, side: int, workers: int) -> Subject:
    """ImageFolder and torch's DataLoader with the same transforms, by torchvision."""
    pictures, preprocessing = datasets.ImageFolder(folder), Preprocessing(size=(side, side))
    looks = default_augmentation(DataFacts(len(pictures), 0, side, 3), fine_tuning=False)
    pictures.transform = v2.Compose([
        v2.RandomResizedCrop(side, looks.crop_scale, interpolation=v2.InterpolationMode(preprocessing.interpolation)),
        v2.RandomHorizontalFlip(FLIPPED),
        v2.RandAugment(OPERATIONS, looks.randaugment, interpolation=v2.InterpolationMode.BILINEAR),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preprocessing.mean, preprocessing.std),
        v2.RandomErasing(looks.erasing),
    ])  # fmt: skip
    loader = DataLoader(pictures, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True)
    return epochs(lambda _: loader)


def epochs(batches: Callable[[int], Iterable[Any]], **about: Any) -> Subject:
    noted: dict[str, Any] = {**about}

    def step(number: int) -> None:
        begun = time.perf_counter()
        for _ in batches(number):
            pass
        noted.setdefault("first", time.perf_counter() - begun)

    return Subject(step, noted)
