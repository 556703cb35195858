"""Arrays small enough to travel inside the page: eight bits a value, with what they mean."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor


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
    stream = io.BytesIO()
    small = max(pixels.shape[:2]) <= 64
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(stream, "PNG", optimize=True) if small else image.save(stream, "JPEG", quality=88)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
