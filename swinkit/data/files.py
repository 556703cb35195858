"""Files as they are found in the wild: opened without hanging, listed without looping."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

# What the decoder reads, as Pillow names it, and in words. MPO, a JPEG with more pictures behind it, is opened by the JPEG plugin:
# Pillow registers no opener of that name.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")
ACCEPTED = f"one of {', '.join(FORMATS)} or .npy"

# How its files are called; others beside the pictures are listed and left alone.
PICTURE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".npy",
    ]
)


def is_picture_name(name: str) -> bool:
    """Whether ``name`` has a picture's suffix and is not a hidden file."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def open_regular(path: Path) -> BufferedReader:
    """Opens ``path`` for reading if it is a regular file; a FIFO or a device must not be waited on or read without end.

    Raises OSError with the reason otherwise.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{kind_of(mode)}, not a regular file")
    return os.fdopen(descriptor, "rb")


def kind_of(mode: int) -> str:
    """The kind of file of ``st_mode``, in words."""
    kinds = (
        (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"), (stat.S_ISBLK, "a block device"),
    )  # fmt: skip
    return next((words for test, words in kinds if test(mode)), "a regular file")


def walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Everything below ``folder`` in sorted order: (path relative to it, None), or (path, why it was not entered).

    Links to folders are followed, each real folder once, so that a loop ends. Hidden folders are left out.
    """
    seen: set[tuple[int, int]] = set()

    def descend(relative: str) -> Iterator[tuple[str, str | None]]:
        try:
            status = os.stat(folder / relative)
            if (status.st_dev, status.st_ino) in seen:
                yield relative, "links back to a folder that was already read"
                return
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder / relative), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield relative, f"cannot be read: {error.strerror}"
            return
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if not _is_folder(entry):
                yield name, None
            elif not entry.name.startswith("."):
                yield from descend(name)

    yield from descend("")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop is no folder; opening it later names the reason
        return False


def subfolders(folder: Path) -> list[str]:
    """Names of the visible folders in ``folder``, sorted."""
    with os.scandir(folder) as entries:
        return sorted((e.name for e in entries if _is_folder(e) and not e.name.startswith(".")), key=os.fsencode)
