"""What a prediction is asked of, as a lazy stream: one :class:`Input` per file, in a repeatable order, with its fault if it has one.

Nothing is opened here, so nothing can block: folders, links, pipes and devices are told apart by ``stat`` alone. Names that are
not valid text keep their bytes as surrogate escapes (PEP 383), as everywhere in Python.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..data.files import ACCEPTED, is_picture_name, kind_of, walk
from ..errors import nearest


class Input(NamedTuple):
    """A file to read, or, with ``fault``, the reason why it is not read."""

    name: str
    fault: str | None = None


def expand(arguments: Iterable[str]) -> Iterator[Input]:
    """Files, folders (recursively) and glob patterns as single inputs; an argument that gives none becomes one with its fault.

    A name that exists is never taken for a pattern. Folders and patterns are read in the order of their names; links to folders
    are followed, each folder once; hidden entries (leading dot) are left out, as a shell's ``*`` does. What a pattern finds twice, by
    name and inside a folder that it finds, is one input.
    """
    for argument in arguments:
        if os.path.lexists(argument) or not glob.has_magic(argument):
            yield from _inside(argument)
        else:
            yield from _matching(argument)


def read_list(stream: BinaryIO, null: bool = False) -> Iterator[Input]:
    """The files named in ``stream``, one per line or, with ``null``, ended by NUL (as ``find -print0`` writes them)."""
    end = b"\0" if null else b"\r\n" if os.name == "nt" else b"\n"
    for name in _split(stream, end[-1:]):
        name = name.rstrip(end)
        # a list that was written on Windows, unless there is a file whose name ends so
        if not null and name.endswith(b"\r") and not os.path.lexists(name):
            name = name[:-1]
        if name:
            yield inspect(os.fsdecode(name))


def inspect(name: str) -> Input:
    """``name`` as an input: only what is a regular file, or links to one, can be read."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return Input(name, "a link to nothing" if os.path.islink(name) else "no such file")
    except (OSError, ValueError) as fault:
        return Input(name, f"cannot be read: {getattr(fault, 'strerror', None) or fault}")
    return Input(name, None if stat.S_ISREG(mode) else f"is {kind_of(mode)}, not a regular file")


def typed(name: str) -> Input:
    """:func:`inspect` of a name that somebody typed: a fault also says what in the same folder was meant, or what is accepted."""
    item = inspect(name)
    if item.fault is None:
        return item
    folder, last = os.path.split(name)
    try:
        beside = [other for other in os.listdir(folder or ".") if is_picture_name(other)]
    except (OSError, ValueError):
        beside = []
    return Input(name, f"{item.fault}. {nearest(last, beside, f'Expected the file of a picture, {ACCEPTED}')}")


def _matching(pattern: str) -> Iterator[Input]:
    found = sorted(set(glob.iglob(pattern, recursive=True)))
    folders: set[Path] = set()
    for name in found:
        # a folder brings all that is below it, which "**" finds as well
        if folders.isdisjoint(Path(name).parents):
            yield from _inside(name)
            if os.path.isdir(name):
                folders.add(Path(name))
    if not found:
        yield Input(pattern, "no file matches this pattern")


def _inside(name: str) -> Iterator[Input]:
    if not os.path.isdir(name):
        yield typed(name)
        return
    empty = True
    for relative, fault in walk(Path(name)):
        path = os.path.join(name, relative) if relative else name
        if not os.path.basename(relative).startswith("."):
            empty = False
            yield Input(path, fault) if fault else inspect(path)
    if empty:
        yield Input(name, "a folder that holds no file")


def _split(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    rest = b""
    while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]  # as it comes: the writer may be slower than the model
        *whole, rest = (rest + piece).split(separator)
        yield from whole
    yield rest
