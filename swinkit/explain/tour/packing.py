"""Arrays small enough to travel inside the page: eight bits a value, with what they mean."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ...data.rgb import data_uri


def pack(values: Any) -> dict[str, Any]:
    """``values`` of any shape as bytes from their ``low`` (0) to their ``high`` (255), base64, row-major."""
    array = np.asarray(values.detach() if isinstance(values, Tensor) else values, dtype=np.float32)
    low, high = float(array.min()), float(array.max())
    span = high - low or 1.0
    data = np.round((array - low) / span * 255).astype(np.uint8)
    return {"shape": list(array.shape), "low": round(low, 5), "high": round(high, 5), "data": _text(data)}


def pack_rows(rows: Any) -> dict[str, Any]:
    """Rows (…, N) of weights, each as bytes up to its own maximum; the maxima come as 16-bit shares of one."""
    array = np.asarray(rows.detach() if isinstance(rows, Tensor) else rows, dtype=np.float32)
    highest = array.max(axis=-1, keepdims=True)
    data = np.round(array / np.maximum(highest, 1e-12) * 255).astype(np.uint8)
    peaks = np.round(highest[..., 0] * 65535).astype("<u2")
    return {"shape": list(array.shape), "data": _text(data), "peaks": _text(peaks)}


def png(pixels: np.ndarray) -> str:
    """A data URI of a picture (H, W, 3) uint8: PNG where it is tiny, JPEG where that would be heavy."""
    return data_uri(Image.fromarray(np.ascontiguousarray(pixels)), quality=88)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
