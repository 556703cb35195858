"""IDX files, the format of MNIST and its kin: a big-endian header (type, dimensions) and raw bytes, gzipped or not."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import numpy as np

from ..errors import DataError
from .collection import Collection, Sample
from .files import open_regular

PICTURES = re.compile(r"(?P<part>.*?)images[-.]idx(?P<axes>[34])-ubyte(?P<gz>\.gz)?$")
PARTS = (("train", "train"), ("t10k", "test"), ("test", "test"), ("val", "val"))
MAX_BYTES = 8 * 2**30


def find_idx(folder: Path) -> list[Path]:
    """Picture files of the IDX layout in ``folder``; of a file and its gzipped twin only the first."""
    found = {
        path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir(), reverse=True) if PICTURES.match(path.name)
    }
    return sorted(found.values())


def open_idx(folder: Path, reason: str = "", layout: str = "idx") -> Collection:
    """The IDX pictures of ``folder`` with their labels; ``train-``, ``val-``, ``t10k-``/``test-`` before the name is the split.

    Class names are the lines of ``classes.txt``, where there is one, of every label from 0, or from 1 where just these occur; else the
    numbers that occur. Raises :class:`DataError`.
    """
    files = find_idx(folder)
    if not files:
        raise DataError(f"{folder}: no IDX pictures; expected files like train-images-idx3-ubyte.gz")
    pixels, labels, parts = [], [], []
    for path in files:
        images, numbers = _pair(path)
        part = PICTURES.match(path.name)["part"].lower()  # type: ignore[index]
        split = next((split for mark, split in PARTS if mark in part), None)
        pixels.append(images)
        labels.append(numbers)
        parts.append((path.name, split))
    if len({images.shape[1:] for images in pixels}) > 1:
        raise DataError(
            f"{folder}: pictures of unequal size {[images.shape[1:] for images in pixels]}; give them folders of their own"
        )
    stack = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
    classes = _classes(folder, np.unique(np.concatenate(labels)).tolist())
    places = {label: place for place, label in enumerate(classes)}
    samples = [
        Sample(f"{name}#{row}", (place,), split)
        for (name, split), numbers in zip(parts, labels, strict=True)
        for row, place in enumerate(map(places.__getitem__, numbers.tolist()))
    ]
    reason = reason or f"IDX files {', '.join(path.name for path in files)}"
    return Collection(folder, layout, reason, tuple(classes.values()), tuple(samples), channels=stack.shape[3], pixels=stack)


def _pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stem = path.name.removesuffix(".gz")
    names = [re.sub(r"images([-.])idx[34]", r"labels\g<1>idx1", stem) + ending for ending in ("", ".gz")]
    partner = next((path.with_name(name) for name in names if path.with_name(name).exists()), None)
    if partner is None:
        raise DataError(f"{path}: its labels are missing; expected {' or '.join(names)} beside it")
    images, numbers = read_idx(path), read_idx(partner)
    if images.ndim not in (3, 4) or numbers.ndim != 1 or len(images) != len(numbers):
        raise DataError(
            f"{path}: pictures {images.shape} and labels {numbers.shape} do not belong together; expected (N, H, W) and (N,)"
        )
    return images if images.ndim == 4 else images[..., None], numbers


def read_idx(path: Path) -> np.ndarray:
    """Array of the IDX file ``path``, uint8. Raises :class:`DataError` when it is not one or its length is not what it declares."""
    try:
        with open_regular(path) as raw, gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != 8:
                raise DataError(f"{path}: starts with {head.hex(' ')}; expected an IDX file of bytes (00 00 08)")
            shape = tuple(int(side) for side in np.frombuffer(stream.read(4 * head[3]), ">u4"))
            expected = math.prod(shape)
            if expected > MAX_BYTES:
                raise DataError(f"{path}: declares {shape}, {expected:,} bytes, more than the {MAX_BYTES:,} allowed")
            body = stream.read(expected + 1)
    except (OSError, EOFError, ValueError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{path}: {error}") from None
    if len(body) != expected:
        raise DataError(
            f"{path}: holds {'more than ' if len(body) > expected else ''}{min(len(body), expected):,} bytes; its header declares {shape}"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _classes(folder: Path, labels: list[int]) -> dict[int, str]:
    """A name for each label, those of ``labels`` among them, in the order of the classes."""
    file = folder / "classes.txt"
    if not file.exists():
        return {label: str(label) for label in labels}
    try:
        names = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: {error}. Mend: save it as UTF-8") from None
    highest, count = max(labels, default=-1), len(names)
    if len(set(names)) == count:
        if labels == list(range(1, count + 1)):
            return dict(zip(labels, names, strict=True))
        # with one line more the first may be of a label 0 that does not occur, or the last of one that does not
        if count > highest and not (min(labels, default=0) == 1 and count == highest + 1):
            return dict(enumerate(names))
    raise DataError(
        f"{file}: {count} lines; expected one distinct name for each of the labels 0 to {highest}, or, where they begin at 1, 1 to {highest}"
    )
