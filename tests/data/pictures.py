"""Pictures for the tests: small, colourful, told apart."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def colourful(seed: int = 0, height: int = 12, width: int = 16) -> Image.Image:
    """Smooth noise: compresses as JPEG without much loss, and no two seeds are alike."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def class_folders(
    root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 6, size: tuple[int, int] = (12, 16)
) -> Path:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            colourful(100 * number + index, *size).save(root / name / f"{index}.png")
    return root
