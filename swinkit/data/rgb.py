"""A picture of any number of channels as people are shown it: in three of them, side by side with others, as a file, inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TINY_SIDE = 64  # pixels; up to here a picture is kept as it is, and a page enlarges it without smoothing
GAP = 6  # pixels of white between two tiles


def as_rgb(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, C), uint8 or float in 0..1, as (H, W, 3) uint8: of two channels, or more than three, the first or the first three."""
    if picture.dtype != np.uint8:
        picture = (np.nan_to_num(picture).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return picture[..., :3] if picture.shape[-1] >= 3 else np.repeat(picture[..., :1], 3, axis=-1)


def tiled(tiles: Sequence[NDArray[np.uint8]], across: int) -> NDArray[np.uint8]:
    """Tiles (H, W, 3) of one size in rows of at most ``across``, on white: (height, width, 3)."""
    height, width = tiles[0].shape[:2]
    rows, columns = -(-len(tiles) // across), min(across, len(tiles))
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // across * (height + GAP), number % across * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def png_bytes(picture: NDArray[np.uint8], optimize: bool = False) -> bytes:
    """A picture (H, W, 3) as a PNG; ``optimize`` takes longer and makes it smaller."""
    return _encoded(Image.fromarray(picture), "PNG", optimize=optimize)


def data_uri(image: Image.Image, quality: int) -> str:
    """``image`` as a data URI: lossless PNG if tiny, else JPEG of ``quality``, 1 to 95."""
    tiny = max(image.size) <= TINY_SIDE
    content = _encoded(image, "PNG", optimize=True) if tiny else _encoded(image, "JPEG", quality=quality)
    return f"data:image/{'png' if tiny else 'jpeg'};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Image.Image, format: str, **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **how)
    return stream.getvalue()
