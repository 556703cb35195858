"""Pictures small enough to live inside the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.rgb import TINY_SIDE, as_rgb, data_uri

SIDE = 168


@dataclass(frozen=True)
class Thumbnail:
    uri: str
    width: int
    height: int

    @property
    def tiny(self) -> bool:
        return max(self.width, self.height) <= TINY_SIDE


def thumbnail(picture: NDArray[Any], side: int = SIDE) -> Thumbnail:
    """A data URI of ``picture`` (H, W, C), uint8 or float in 0..1: lossless PNG if tiny, else JPEG of at most ``side`` pixels.

    Channels are shown as by :func:`~swinkit.data.rgb.as_rgb`.
    """
    image = Image.fromarray(np.ascontiguousarray(as_rgb(picture)))
    if picture.shape[-1] < 3:  # half the bytes
        image = image.convert("L")
    image.thumbnail((side, side))
    return Thumbnail(data_uri(image, quality=82), *image.size)
