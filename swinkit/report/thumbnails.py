"""Pictures small enough to live inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.rgb import as_rgb

TINY_SIDE = 64  # pixels; up to here a picture is kept as it is, and the page enlarges it without smoothing
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
    tiny = max(image.size) <= TINY_SIDE
    if not tiny:
        image.thumbnail((side, side))
    stream = io.BytesIO()
    if tiny:
        image.save(stream, "PNG", optimize=True)
    else:
        image.save(stream, "JPEG", quality=82)
    data = base64.b64encode(stream.getvalue()).decode()
    return Thumbnail(f"data:image/{'png' if tiny else 'jpeg'};base64,{data}", *image.size)
