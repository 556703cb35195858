"""Pictures and the answers that an exported graph must give to them, at sizes and batches where exports of Swin go wrong.

Free of torch, so that a bundle can be verified where only its runtime is installed. B pictures of C channels, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ...preprocessing import Preprocessing
from ...timing import paced

Size = tuple[int, int]

# smaller than a window, no multiple of anything, the traced picture's native size, larger, not square, a strip
SIZES: tuple[Size, ...] = ((64, 64), (112, 160), (224, 224), (256, 256), (300, 200), (480, 640), (37, 1000))
BATCHES = (1, 2, 3)
NATIVE = 224  # the side for which SIZES are meant
SMALLEST = 112  # a model for smaller pictures than this is asked about proportionally smaller ones
# how far a pixel of 8 bits may be from a whole number once it was normalised and back, in float32
ROUNDING = 0.01
TOLERANCE = 1e-4  # of the largest golden logit, in proportion to which float32 rounds

Answerer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Golden:
    """For each size: ``pictures`` (B, H, W, C) uint8 and ``logits`` (B, K) float32, B the largest of :data:`BATCHES`."""

    pictures: Mapping[Size, np.ndarray]
    logits: Mapping[Size, np.ndarray]

    def to_bytes(self) -> bytes:
        named = {f"pictures/{spelled(size)}": array for size, array in self.pictures.items()}
        return save({**named, **{f"logits/{spelled(size)}": array for size, array in self.logits.items()}})

    @property
    def pixels(self) -> int:
        """Of all pictures."""
        return sum(count * height * width for count, height, width, _ in (drawn.shape for drawn in self.pictures.values()))

    @property
    def tolerance(self) -> float:
        """How far a logit of a right graph may be from the golden one: float32 rounds in proportion to the largest, and so does this."""
        return TOLERANCE * float(np.max([np.abs(logits).max() for logits in self.logits.values()]))

    @classmethod
    def from_bytes(cls, content: bytes) -> Golden:
        """Raises ``ValueError``, or safetensors' own error, for what :meth:`to_bytes` never wrote."""
        parts: dict[str, dict[Size, np.ndarray]] = {"pictures": {}, "logits": {}}
        for name, array in load(content).items():
            kind, _, size = name.partition("/")
            height, width = map(int, size.split("x"))
            parts[kind][height, width] = array
        if not parts["pictures"] or parts["pictures"].keys() != parts["logits"].keys():
            raise ValueError("pictures and answers are not of the same sizes")
        for array in (*parts["pictures"].values(), *parts["logits"].values()):
            if len(array) < max(BATCHES):
                raise ValueError(f"{len(array)} pictures or answers of a size, expected {max(BATCHES)}")
        return cls(**parts)


def spelled(size: Size) -> str:
    """``size`` as a bundle's files name it: ``HxW``."""
    height, width = size
    return f"{height}x{width}"


def make_golden(
    answer: Answerer, image_size: Size, preprocessing: Preprocessing, progress: Callable[[str], Any] = lambda line: None
) -> Golden:
    """Ask ``answer``, which takes normalised pictures (B, C, H, W), at every size that suits a model for ``image_size``."""
    pictures = {size: draw(max(BATCHES), size, preprocessing.channels) for size in sizes_for(image_size)}
    sizes = paced(by_area(pictures), area(pictures), math.prod, progress)
    logits = {size: answer(normalise(pictures[size], preprocessing)) for size in sizes}
    return Golden(pictures, {size: logits[size] for size in pictures})


def by_area(sizes: Iterable[Size]) -> list[Size]:
    """``sizes``, the smallest first, which tell soonest how long the others will take."""
    return sorted(sizes, key=math.prod)


def area(sizes: Iterable[Size]) -> int:
    """Pixels of one picture of each of ``sizes``."""
    return sum(map(math.prod, sizes))


def sizes_for(image_size: Size) -> tuple[Size, ...]:
    """The sizes at which a model for ``image_size`` is asked, its own among them."""
    side = min(image_size)
    if side >= SMALLEST:
        return tuple(dict.fromkeys((*SIZES, image_size)))
    scaled = [(_scaled(rows, side), _scaled(columns, side)) for rows, columns in SIZES]
    return tuple(dict.fromkeys((*scaled, image_size)))


def _scaled(length: int, side: int) -> int:
    return max(1, round(length * side / NATIVE))


def draw(count: int, size: Size, channels: int) -> np.ndarray:
    """``count`` pictures (count, H, W, C) uint8 of coarse patches under fine noise, so that every part of a model has to do."""
    generator = np.random.default_rng([*size, channels])
    rows, columns = (np.arange(side) * 6 // max(size) for side in size)
    coarse = generator.integers(0, 256, (count, 6, 6, channels))[:, rows][:, :, columns]
    fine = generator.integers(-32, 33, (count, *size, channels))
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def normalise(pictures: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(B, H, W, C) uint8 to (B, C, H, W) float32: the last step of preprocessing, with the same roundings as in training."""
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    scaled = (pictures.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def pixels(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(B, C, H, W) float32 to (B, H, W, C) uint8: the inverse of :func:`normalise`."""
    return np.rint(_unrounded(images, preprocessing)).astype(np.uint8)


def finer(images: np.ndarray, preprocessing: Preprocessing) -> bool:
    """Whether :func:`pixels` rounds ``images``: they hold values that 8 bits do not, of 16-bit or float pictures."""
    values = _unrounded(images, preprocessing)
    return bool((np.abs(values - np.rint(values)) > ROUNDING).any())


def _unrounded(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(B, C, H, W) normalised to (B, H, W, C) float32 in 0..255."""
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.clip((images.transpose(0, 2, 3, 1) * std + mean) * 255, 0, 255)
