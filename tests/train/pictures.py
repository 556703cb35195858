"""Small pictures whose class can be seen, as IDX files, and settings with which a run takes seconds."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TINY: dict[str, Any] = {
    "image_size": 8, "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2},
    "epochs": 3, "batch_size": 8, "threads": 1, "tensorboard": False,
    "precision": "32-true",  # measured, it may differ between two runs that shall be compared
}  # fmt: skip

OPTIONS: dict[str, Any] = {
    "image_size": 16, "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 2},
    "epochs": 2, "batch_size": 8, "threads": 1, "workers": 0, "tensorboard": False, "precision": "32-true", "cell": 2,
}  # fmt: skip


def write_pictures(folder: Path, count: int = 48, classes: int = 3, seed: int = 0, test: int = 0) -> Path:
    """``count`` pictures of 8x8 whose class is their stripes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in (("train", count), ("t10k", test)):
        if number:
            pictures, labels = striped(number, classes, seed)
            write_idx(folder / f"{name}-images-idx3-ubyte.gz", pictures)
            write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
            seed += 1
    return folder


def striped(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    rows, columns = np.indices((8, 8))
    patterns = np.stack([rows % 2, columns % 2, (rows + columns) % 2, np.zeros_like(rows)])
    labels = np.arange(count) % classes
    pictures = 120 * patterns[labels] + chance.integers(0, 120, (count, 8, 8))
    return pictures.astype(np.uint8), labels.astype(np.uint8)


def write_idx(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    with gzip.open(file, "wb") as stream:
        stream.write(header + array.tobytes())


def scatter(folder: Path, count: int = 24, size: tuple[int, int] = (16, 16), channels: int = 3) -> Path:
    """Pictures in nested folders, without any order that could be a label."""
    chance = np.random.default_rng(0)
    for index in range(count):
        home = folder / f"roll{index % 3}" / f"{index % 2}"
        home.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 256, (*size, channels), np.uint8)
        if channels == 3:
            Image.fromarray(pixels).save(home / f"{index}.png")
        else:
            np.save(home / f"{index}.npy", pixels.astype(np.float32) / 255)
    return folder
