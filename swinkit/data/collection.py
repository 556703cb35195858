"""What a set of labelled pictures is, whatever layout it was read from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .decode import decode

# spaces, and the joiner inside emoji: not printable to Python, yet harmless
HARMLESS = "\u00a0\u2009\u202f\u200d\u3000"


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known of it.

    ``source`` is the path relative to the collection's root, with forward slashes, or ``"name#index"`` for a picture inside
    an array file. It is as the file system gave it: bytes that are not UTF-8 stand as surrogate escapes, see :func:`shown`.
    ``labels`` are class indices: one for a single-label collection, none for an unlabelled picture. ``split`` is "train",
    "val", "test" or, where the layout says nothing, None. Samples of one ``group`` must not be parted by a split.
    """

    source: str
    labels: tuple[int, ...]
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, eq=False)
class Collection:
    """Labelled pictures in files below ``root``, or in ``pixels`` (N, H, W, C) uint8 when they came as one array.

    ``reason`` says in a sentence how the layout was recognised. ``channels`` is what :meth:`read` yields. ``skipped`` lists
    (name, why) of what lay among the pictures and is no sample.
    """

    root: Path
    layout: str
    reason: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    multi_label: bool = False
    channels: int = 3
    pixels: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def path(self, index: int) -> Path | None:
        """File of picture ``index``; None when it is part of an array."""
        return None if self.pixels is not None else self.root / self.samples[index].source

    def read(self, index: int, least: int | None = None) -> np.ndarray:
        """Picture ``index`` as (H, W, C): uint8, or float32 in 0..1 for 16-bit and float files; ``least`` as in :func:`decode`.

        Raises :class:`~swinkit.data.arrays.Undecodable`, and :class:`DataError` where memory does not suffice for a sound one.
        """
        path = self.path(index)
        if path is None:
            assert self.pixels is not None
            return self.pixels[index]
        try:
            return decode(path, self.channels, least)
        except MemoryError:
            raise DataError(
                f"{shown(path)}: there is not enough memory to decode it. Mend: end other programs, or leave the picture out"
            ) from None

    def label_matrix(self, indices: Iterable[int]) -> np.ndarray:
        """Labels of ``indices``: (B,) int64 with -1 for unlabelled, or (B, classes) float32 zeros and ones for multi-label."""
        chosen = [self.samples[index].labels for index in indices]
        if not self.multi_label:
            return np.array([labels[0] if labels else -1 for labels in chosen], dtype=np.int64)
        matrix = np.zeros((len(chosen), len(self.classes)), dtype=np.float32)
        for row, labels in enumerate(chosen):
            matrix[row, list(labels)] = 1
        return matrix

    def fingerprint(self) -> str:
        """SHA-256 over classes, names, labels, splits and sizes: equal when nothing was added, removed, relabelled or resized."""
        digest = hashlib.sha256(repr((self.classes, self.multi_label, self.channels)).encode("utf-8", "surrogateescape"))
        for index, sample in enumerate(self.samples):
            digest.update(os.fsencode(sample.source) + b"\0")
            digest.update(
                repr((sample.labels, sample.split, sample.group, self._size(index))).encode("utf-8", "surrogateescape")
            )
        if self.pixels is not None:
            digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()

    def _size(self, index: int) -> int:
        path = self.path(index)
        try:
            return -1 if path is None else path.stat().st_size
        except OSError:
            return -1


def shown(name: str | os.PathLike[str]) -> str:
    """``name`` as it can be printed on one line: line breaks, control and direction-turning characters, and undecodable bytes stand as
    backslash escapes."""
    return "".join(char if char.isprintable() or char in HARMLESS else _escaped(char) for char in os.fspath(name))


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that is no text
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode()


def counted(count: int, noun: str) -> str:
    """``count`` of what ``noun`` names, in words: 1 picture, 2,000 pictures, 3 classes."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"
