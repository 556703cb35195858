"""Scenes whose every object is known: real pictures of Fashion-MNIST composed onto photographs, with boxes and masks.

A scene is a function of (seed, index), so a set of them needs no files and can be as large as wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..errors import DataError, UsageError
from .bundled import ASSETS
from .collection import Collection
from .decode import decode
from .randomness import SCENES, keys

# photographs in assets/photographs, parted so that what is tested stands on grounds that training never showed
PHOTOGRAPHS = {
    "train": ("astronaut", "brick", "chelsea", "clock", "grass", "hubble"),
    "test": ("camera", "coffee", "gravel", "rocket"),
}
TRIES = 200
GROUND = 24  # up to this value of 255 a pixel is the black around an object


@dataclass(frozen=True)
class Scene:
    """``picture`` (H, W, 3) uint8, and of each of n objects its label (n,), its box (n, 4) of left, top, right, bottom in pixels,
    right and bottom excluded, and its mask (n, H, W)."""

    picture: np.ndarray = field(repr=False)
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class SceneSettings:
    """``objects`` is how few and how many a scene has, ``object_sides`` how small and how large they are, before they are cut tight.

    ``distinct`` makes the classes within a scene differ.
    """

    side: int = 64
    objects: tuple[int, int] = (2, 2)
    object_sides: tuple[int, int] = (24, 32)
    distinct: bool = True


class Scenes:
    """``collection`` gives the objects, (N, h, w, 1) on black, ``photographs`` (H, W, 3) the grounds."""

    def __init__(
        self, collection: Collection, photographs: Sequence[np.ndarray], settings: SceneSettings, seed: int = 0
    ) -> None:
        if collection.pixels is None or collection.pixels.shape[-1] != 1:
            raise UsageError("Scenes are composed from gray pictures held in memory, such as the set 'fashion-mini'")
        if settings.distinct and settings.objects[1] > len(collection.classes):
            raise UsageError(
                f"{settings.objects[1]} objects of distinct classes, but there are {len(collection.classes)} classes"
            )
        self.pixels = collection.pixels[..., 0]
        self.classes = collection.classes
        self.labels = collection.label_matrix(range(len(collection)))
        self.photographs, self.settings, self.seed = photographs, settings, seed

    def __getitem__(self, index: int) -> Scene:
        """Scene number ``index``; there is no last one."""
        chance = np.random.Generator(np.random.PCG64(int(keys(self.seed, 0, np.array([index]), SCENES)[0])))
        side = self.settings.side
        picture = ground(self.photographs[int(chance.integers(len(self.photographs)))], side, chance)
        labels: list[int] = []
        boxes, masks = np.zeros((0, 4), np.int64), []
        for _ in range(chance.integers(self.settings.objects[0], self.settings.objects[1] + 1)):
            chosen = self._draw(labels, chance)
            colours, opaque = cut_out(
                self.pixels[chosen], int(chance.integers(*self.settings.object_sides, endpoint=True)), chance
            )
            place = _free_place(opaque.shape, side, boxes, chance)
            if place is None:
                break
            top, left = place
            area = np.s_[top : top + opaque.shape[0], left : left + opaque.shape[1]]
            picture[area] = np.where(opaque[..., None], colours, picture[area])
            mask = np.zeros((side, side), bool)
            mask[area] = opaque
            labels.append(int(self.labels[chosen]))
            boxes = np.concatenate((boxes, [[left, top, left + opaque.shape[1], top + opaque.shape[0]]]))
            masks.append(mask)
        shown = np.stack(masks) if masks else np.zeros((0, side, side), bool)
        return Scene(picture, np.array(labels, np.int64), boxes, shown)

    def _draw(self, taken: list[int], chance: np.random.Generator) -> int:
        while True:
            chosen = int(chance.integers(len(self.pixels)))
            if not (self.settings.distinct and self.labels[chosen] in taken):
                return chosen


def open_photographs(part: str) -> list[np.ndarray]:
    """The bundled photographs of ``part``, "train" or "test", each (H, W, 3) uint8; CC0 or public domain, see NOTICE."""
    if part not in PHOTOGRAPHS:
        raise DataError(f"No part is called {part!r}; there are {', '.join(PHOTOGRAPHS)}")
    return [decode(ASSETS / "photographs" / f"{name}.jpg", 3) for name in PHOTOGRAPHS[part]]


def ground(photograph: np.ndarray, side: int, chance: np.random.Generator) -> np.ndarray:
    """A square piece of ``photograph`` of random place, scale, turn and colours: (side, side, 3)."""
    height, width = photograph.shape[:2]
    least = min(side, height, width)
    cut = int(chance.integers(least, min(height, width), endpoint=True))
    top, left = int(chance.integers(height - cut + 1)), int(chance.integers(width - cut + 1))
    piece = photograph[top : top + cut, left : left + cut]
    piece = np.rot90(piece[:, ::-1] if chance.random() < 0.5 else piece, int(chance.integers(4)))
    scaled = Image.fromarray(np.ascontiguousarray(piece)).resize((side, side), Image.Resampling.BILINEAR)
    return (np.asarray(scaled)[..., chance.permutation(3)] * (0.5 + 0.5 * chance.random(3))).astype(np.uint8)


def cut_out(pixels: np.ndarray, side: int, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A gray picture (h, w) on black, scaled to ``side``, tinted at random and cut tight: colours (r, c, 3) uint8, opaque (r, c)."""
    scaled = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    opaque = silhouette(scaled)
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    tint = 0.55 + 0.45 * chance.random(3)
    colours = (40 + scaled[tight][..., None] * (215 / 255)) * tint
    return colours.astype(np.uint8), opaque[tight]


def silhouette(pixels: np.ndarray) -> np.ndarray:
    """What is not ground in a gray picture on black: dark places that bright ones enclose along both axes belong to the object."""
    bright = pixels > min(GROUND, int(pixels.max()) - 1)
    enclosed = [np.logical_or.accumulate(bright, axis) & np.logical_or.accumulate(np.flip(bright, axis), axis)[
        tuple(slice(None, None, -1) if along == axis else slice(None) for along in (0, 1))] for axis in (0, 1)]  # fmt: skip
    return enclosed[0] & enclosed[1]


def _free_place(
    size: tuple[int, ...], side: int, boxes: np.ndarray, chance: np.random.Generator
) -> tuple[int, int] | None:  # fmt: skip
    """(top, left) where a box of ``size`` touches none of ``boxes`` (n, 4); None after many tries."""
    for _ in range(TRIES):
        top, left = (int(chance.integers(side - extent + 1)) for extent in size)
        right, bottom = left + size[1], top + size[0]
        apart = (boxes[:, 0] >= right) | (boxes[:, 2] <= left) | (boxes[:, 1] >= bottom) | (boxes[:, 3] <= top)
        if apart.all():
            return top, left
    return None
