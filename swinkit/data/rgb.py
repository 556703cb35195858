"""A picture of any number of channels as people are shown it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_rgb(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, C), uint8 or float in 0..1, as (H, W, 3) uint8: of two channels, or more than three, the first or the first three."""
    if picture.dtype != np.uint8:
        picture = (np.nan_to_num(picture).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return picture[..., :3] if picture.shape[-1] >= 3 else np.repeat(picture[..., :1], 3, axis=-1)
