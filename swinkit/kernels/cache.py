"""Compiled kernels as files: whole, the user's own, and not tried for again where that was in vain.

A file's name holds the digest of its bytes, so that one that a full disk or a power cut spoiled is known before the system maps it, which
would end the process; and so that several processes may build at once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..machine import own_cache

OTHERS = 0o022  # whoever else may write
BUILT, UNBUILT = "built", "not built yet"  # states of a kernel


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``$XDG_CACHE_HOME/swinkit/kernels``, by default below ``~/.cache``."""
    return own_cache() / "kernels"


class InVain(OSError):
    """A build that would fail the same way the next time, which costs seconds to a minute: the note of it is kept in its place."""


def opened(stem: str, functions: Sequence[str], build: Callable[[Path], None]) -> tuple[ctypes.CDLL, Path]:
    """The library of the name ``stem`` that has ``functions``, and its file; what is damaged is removed and built once more.

    ``build`` makes a library at the path that it is given. Raises :class:`OSError` where there is none to be had, and where others than
    the user could have written it.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_trusted(folder)
    for path in sorted(folder.glob(f"{stem}-*.so")):
        _check_trusted(path)
        try:
            return _loaded(path, functions), path
        except OSError:
            _remove(path)
    note = folder / f"{stem}.txt"
    if note.exists():
        raise OSError(f"{note.read_text(encoding='utf-8')} (tried before; to try again, remove {note})")
    try:
        path = _built(build, folder, stem)
        try:
            return _loaded(path, functions), path
        except OSError as error:
            _remove(path)
            raise InVain(f"the file that it made cannot be loaded: {error}") from error
    except InVain as error:
        note.write_text(str(error), encoding="utf-8")
        raise


def state(stem: str) -> str:
    """:data:`BUILT` where :func:`opened` would find a library of the name ``stem``, why it would not try to build one again, or :data:`UNBUILT`."""
    try:
        folder = cache_folder()
    except RuntimeError:  # where there is no home folder
        return UNBUILT
    if any(map(_is_trusted, folder.glob(f"{stem}-*.so"))):
        return BUILT
    note = folder / f"{stem}.txt"
    return note.read_text(encoding="utf-8") if note.exists() else UNBUILT


def _loaded(path: Path, functions: Sequence[str]) -> ctypes.CDLL:
    """Raises :class:`OSError` for a file that is not as it was written, no library, or one without ``functions``."""
    if not path.stem.endswith(_digest(path)):
        raise OSError(f"{path} is damaged")
    found = ctypes.CDLL(str(path))
    missing = [name for name in functions if not hasattr(found, name)]
    if missing:
        raise OSError(f"{path} has no {', '.join(missing)}")
    return found


def _built(build: Callable[[Path], None], folder: Path, stem: str) -> Path:
    """The file that ``build`` makes, on the disk before it has its name, and nobody else's to write."""
    handle, name = tempfile.mkstemp(suffix=".so", dir=folder)
    os.close(handle)
    draft = Path(name)
    try:
        build(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.chmod(0o600)
        return draft.replace(folder / f"{stem}-{_digest(draft)}.so")
    finally:
        draft.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def untrusted() -> list[Path]:
    """What is not loaded of the kernels that are kept, since others could have written it: the folder, or files in it."""
    try:
        folder = cache_folder()
    except RuntimeError:  # where there is no home folder
        return []
    if not folder.is_dir():
        return []
    return [path for path in (folder, *sorted(folder.glob("*.so"))) if not _is_trusted(path)]


def _is_trusted(path: Path) -> bool:
    try:
        _check_trusted(path)
    except OSError:
        return False
    return True


def _check_trusted(path: Path) -> None:
    """Raises :class:`OSError` where someone else than this user or root owns ``path`` or may write it: what is loaded runs."""
    if not hasattr(os, "geteuid"):
        return
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & OTHERS:
        raise OSError(
            f"{path} is not trusted, since others may write it. Mend: chmod go-w {path}, or remove it if it is not yours"
        )
