"""Maps as pictures: over the photograph, with what failed written on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .frame import Box

Picture = NDArray[np.uint8]  # (H, W, 3)
Values = NDArray[np.floating]

# dark to bright in equal steps of lightness, so that a print in grey reads the same; NaN is hatched by paint_over
HEAT = np.array([(20, 11, 52), (84, 15, 109), (152, 33, 107), (211, 67, 78), (244, 125, 21), (250, 193, 39), (252, 255, 164)])
DIVERGING = np.array(
    [(33, 74, 135), (112, 154, 204), (214, 224, 236), (247, 246, 243), (243, 216, 196), (222, 138, 84), (148, 60, 12)]
)
WARNING = (178, 34, 20)
STRENGTH = 0.85  # how much of the picture the map's colour covers where it is strongest
DARK, BRIGHT = (20, 20, 20), (255, 255, 255)  # lines that are seen on any picture


def ramp(values: Values, colours: NDArray[np.integer]) -> Picture:
    """``values`` in 0..1 through evenly spaced ``colours``: (..., 3) uint8."""
    at = np.nan_to_num(values).clip(0, 1) * (len(colours) - 1)
    low = np.floor(at).astype(int).clip(0, len(colours) - 2)
    share = (at - low)[..., None]
    return (colours[low] * (1 - share) + colours[low + 1] * share + 0.5).astype(np.uint8)


def heat(values: Values) -> Picture:
    """Values from 0 to their maximum, dark to bright; what is negative is as dark as 0."""
    top = np.nanmax(values, initial=0.0)
    return ramp(values / top if top > 0 else np.zeros_like(values), HEAT)


def diverging(values: Values, reach: float | None = None) -> Picture:
    """Signed values: blue below 0, white at 0, orange above; ``reach`` gets the full colour, the largest size by default."""
    reach = reach or float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    return ramp(values / reach / 2 + 0.5, DIVERGING)


def paint_over(picture: Picture, values: Values) -> Picture:
    """``picture`` (H, W, 3) under the map ``values`` (H, W): grey where nothing is marked, hatched where the map is NaN.

    The stronger a place is marked the more of the map's colour covers it, so that the picture stays readable elsewhere.
    """
    top = np.nanmax(values, initial=0.0)
    marked = np.nan_to_num(values / top if top > 0 else values * 0).clip(0, 1)
    grey = np.repeat((picture @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1) * 0.75 + 30
    cover = (STRENGTH * marked)[..., None]
    painted = grey * (1 - cover) + ramp(0.25 + 0.75 * marked, HEAT) * cover
    rows, columns = np.indices(values.shape)
    hatch = np.isnan(values) & ((rows + columns) // 3 % 3 == 0)
    painted[np.isnan(values)] = grey[np.isnan(values)] * 0.35 + 150
    painted[hatch] *= 0.8
    return painted.clip(0, 255).astype(np.uint8)


def outlined(picture: Picture, boxes: Sequence[Box]) -> Picture:
    """``picture`` with ``boxes`` (left, top, right, bottom in its pixels) drawn as white lines, dark beside them."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in boxes:
        for grown, ink in ((1, DARK), (0, BRIGHT)):
            corners = left - grown, top - grown, max(left, right - 1 + grown), max(top, bottom - 1 + grown)
            draw.rectangle([round(corner) for corner in corners], outline=ink)
    return np.asarray(image)


def stamped(picture: Picture, text: str) -> Picture:
    """``picture`` with a red frame and ``text`` in a red bar below it."""
    height, width = picture.shape[:2]
    size = max(11, width // 28)
    font = ImageFont.load_default(size)
    lines = _wrapped(text, font, width - size)
    bar = len(lines) * int(size * 1.35) + size
    image = Image.new("RGB", (width, height + bar), WARNING)
    image.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, width - 1, height - 1], outline=WARNING, width=max(2, width // 120))
    for number, line in enumerate(lines):
        draw.text((size // 2, height + size // 2 + number * int(size * 1.35)), line, fill="white", font=font)
    return np.asarray(image)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
