"""Recognising how pictures are laid out. See ``docs/data.md`` for the layouts as trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import DataError, UsageError
from .arrays import stored_channels
from .bundled import BUNDLED, find_bundled, is_bundled, open_bundled
from .collection import Collection, shown
from .files import is_picture_name, subfolders, walk
from .folders import open_folders, open_pictures
from .idx import find_idx, open_idx
from .manifest import find_manifest, open_manifest

FORMATS: dict[str, Callable[[Path], Collection]] = {
    "folders": open_folders,
    "manifest": open_manifest,
    "idx": open_idx,
    "pictures": open_pictures,
}


def open_data(data: str | Path, format: str | None = None) -> Collection:
    """The pictures at ``data``: a folder, a manifest, or, as text, the name of a bundled set.

    ``format`` (one of ``FORMATS``, or "bundled") skips the recognition. Raises :class:`DataError` that lists what was
    looked for and what was found.
    """
    format = layout_of(data, format)
    if format == "bundled":
        return open_bundled(str(data))
    path = Path(data)
    collection = FORMATS[format](path)
    if not collection.samples:
        raise DataError(f"{shown(path)}: no pictures. {_listing(path)}")
    return collection if collection.pixels is not None else replace(collection, channels=_channels(collection))


def layout_of(data: str | Path, format: str | None = None) -> str:
    """The layout of the pictures at ``data``, one of ``FORMATS`` or "bundled"; ``format``, if given, is checked against these and is the answer.

    No picture is opened. Raises what :func:`open_data` raises for data that are not there or have no layout.
    """
    if is_bundled(data, format):
        find_bundled(str(data))
        return "bundled"
    if format is not None and format not in FORMATS:
        raise UsageError(f"No layout is called {format!r}; there are {', '.join(FORMATS)}, bundled")
    path = Path(data)
    if not path.exists():
        raise DataError(
            f"{shown(path)} does not exist. Give a folder, a manifest (.csv, .jsonl), or one of {', '.join(BUNDLED)}"
        )
    return format or recognise(path)


def open_unlabelled(data: str | Path, format: str | None = None) -> Collection:
    """The pictures at ``data`` in whatever folders they lie, without their labels; what the data call a test stays apart.

    Raises :class:`DataError` as :func:`open_data` does.
    """
    if layout_of(data, format) == "folders" and format is None:
        format = "pictures"
    collection = open_data(data, format)
    samples = tuple(replace(sample, labels=()) for sample in collection.samples)
    reason = collection.reason if not collection.classes else f"{collection.reason}; labels are left aside"
    return replace(collection, classes=(), samples=samples, multi_label=False, reason=reason)


def _channels(collection: Collection) -> int:
    """Channels of the first file that can be read; the check names those that have others."""
    files = (collection.root / sample.source for sample in collection.samples[:100])
    return next((channels for channels in map(stored_channels, files) if channels), 3)


def recognise(path: Path) -> str:
    """Name of the layout of ``path``. Raises :class:`DataError`."""
    if path.is_file():
        if path.suffix.lower() in (".csv", ".jsonl"):
            return "manifest"
        raise DataError(f"{shown(path)} is a file; expected a folder, or a manifest ending in .csv or .jsonl")
    if not path.is_dir():
        raise DataError(f"{shown(path)} is neither a folder nor a file")
    if find_idx(path):
        return "idx"
    if find_manifest(path) is not None:
        return "manifest"
    if subfolders(path):
        return "folders"
    if any(is_picture_name(name.rpartition("/")[2]) for name, _ in walk(path)):
        return "pictures"
    raise DataError(f"{shown(path)}: no layout recognised. {_listing(path)}")


def _listing(path: Path) -> str:
    if path.is_file():
        return "The manifest has no rows."
    names = [shown(entry.name) + ("/" if entry.is_dir() else "") for entry in sorted(path.iterdir())[:6]]
    return (
        "Looked for class folders of pictures (class/picture.jpg, or train/class/picture.jpg), a manifest (metadata.csv or "
        "metadata.jsonl with file_name and label), and IDX files (train-images-idx3-ubyte.gz). "
        f"Found {', '.join(names) + ', …' * (len(names) == 6) if names else 'an empty folder'}. Give the folder that holds the classes, or --format."
    )
