"""Pictures as arrays: which shapes and types are one, what a .npy declares, and how channels become others."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import DataError
from .files import open_regular

MAX_PIXELS = 89_478_485  # where Pillow begins to warn: 256 MB of RGB

NUMPY = b"\x93NUMPY"


class Undecodable(DataError):
    """A picture that cannot be used; ``reason`` is a phrase without the file's name."""

    def __init__(self, reason: str, source: object = None) -> None:
        super().__init__(f"{source}: {reason}" if source is not None else reason)
        self.reason = reason
        self.source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.source)


def check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise Undecodable(
            f"declares {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} allowed; scale it down or cut it into tiles"
        )
    if not height * width:
        raise Undecodable(f"has no pixels ({width} x {height})")


def stored_channels(path: Path) -> int | None:
    """How many channels pictures like the one in ``path`` are read with: 3, but for a .npy those that its header says.

    One channel counts as gray and is read as 3 too. None where the file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            if stream.peek(6)[:6] != NUMPY:
                return 3 if stream.peek(1) else None
            shape, _ = _npy_header(stream)
    except (OSError, Undecodable):
        return None
    return shape[2] if len(shape) == 3 and shape[2] != 1 else 3


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that a .npy declares; raises :class:`Undecodable` where they are no picture's, or not there in full."""
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
    except Exception as fault:  # NumPy has Python's tokenizer read it, whose errors are of many kinds
        raise Undecodable(f"damaged: {fault}") from None
    _check_array(shape, dtype)
    begins, declared = stream.tell(), math.prod(shape) * dtype.itemsize
    there = stream.seek(0, os.SEEK_END) - begins
    if there < declared:  # before memory is taken for what is not there
        raise Undecodable(f"truncated: holds {there:,} bytes, its header declares {declared:,}")
    return shape, dtype


def read_npy(stream: BinaryIO) -> np.ndarray:
    _npy_header(stream)
    stream.seek(0)
    return values_of(np.load(stream, allow_pickle=False))


def values_of(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) as (H, W, C), uint8 or float32 in 0..1."""
    _check_array(array.shape, array.dtype)
    values = array if array.ndim == 3 else array[..., None]
    return values if values.dtype == np.uint8 else unit(values)


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) not in (2, 3) or not (dtype.kind in "bf" or dtype.name in ("uint8", "uint16")):
        # wider integers have no agreed white: 255 and 65535 are both common
        raise Undecodable(
            f"array of shape {shape} and type {dtype}; expected (H, W) or (H, W, C) of uint8, uint16, bool or float"
        )
    check_size(shape[0], shape[1])
    if len(shape) == 3 and not 1 <= shape[2] <= 1024:
        hint = channels_first(shape) or "the last axis is the channels, 1 to 1024 of them"
        raise Undecodable(f"array of shape {shape}; {hint}")


def unit(values: np.ndarray) -> np.ndarray:
    """``values`` as float32 in 0..1: 16-bit integers by their range, floats as they are; whatever has no agreed white is refused."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if values.dtype.kind == "b":
        return values.astype(np.float32)
    if values.dtype.kind in "ui":
        if low < 0 or high > 65535:
            raise Undecodable(
                f"integers from {low:g} to {high:g}; expected 8 or 16 bits. Rescale to 0..65535, or to floats in 0..1"
            )
        return (values / np.float32(65535)).astype(np.float32)
    if not np.isfinite(values).all():
        raise Undecodable("holds values that are not finite (NaN or infinity)")
    if low < -1e-6 or high > 1 + 1e-6:
        raise Undecodable(f"float values from {low:g} to {high:g}; expected 0..1, so rescale the files")
    return np.clip(values, 0, 1).astype(np.float32)


def to_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, have) as (H, W, ``channels``), strictly: gray as RGB or RGB as gray, since a file must hold what it is to be read as."""
    if (found := converted(values, channels, spread=False)) is not None:
        return found
    hint = channels_first(values.shape)
    raise Undecodable(f"has {values.shape[2]} channels; expected {channels}" + (f"; its shape {hint}" if hint else ""))


def converted(values: np.ndarray, channels: int, *, spread: bool) -> np.ndarray | None:
    """(…, have) as (…, ``channels``): RGB as luma, gray repeated to 3, with ``spread`` to any number; None for anything else."""
    have = values.shape[-1]
    if have == channels:
        return values
    if have == 1 and (spread or channels == 3):
        return np.repeat(values, channels, axis=-1)
    return luma(values) if (have, channels) == (3, 1) else None


def channels_first(shape: tuple[int, ...]) -> str:
    """What to say of an array whose ``shape`` has few channels in front, "" of any other."""
    front = len(shape) == 3 and 1 <= shape[0] <= 16 < shape[2] and shape[0] < shape[1]
    return "looks like (channels, height, width); expected (H, W, C). Mend: array.transpose(1, 2, 0)" if front else ""


def luma(values: np.ndarray) -> np.ndarray:
    """RGB (..., 3) to gray (..., 1) of the same type, ITU-R 601 as Pillow's "L"."""
    if values.dtype == np.uint8:
        weighted = values.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]
    return (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
