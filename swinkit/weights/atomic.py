"""Files that are whole or absent: temporary name, sync, rename, sync of the folder, read back.

A process may be killed, and a disk may fill, between any two lines here: under the final name stands the old file or the new
one, never a part. What is left behind has a name that :func:`sweep_stale` and, for whole folders, :func:`drafting` recognise.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SwinkitError, UsageError

TEMPORARY = ".swinkit-tmp-"  # begins the name; the rest is random and the end of the final name
END = 50  # letters of it, of four bytes at most
# the answers of file systems on which folders are not synced
UNSYNCED = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS}
ABANDONED = 3600  # seconds without a change after which what is unfinished is a killed process's and not a running one's


def check_absent(path: Path) -> None:
    """Raises :class:`UsageError` when there is something at ``path``: results are never overwritten."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already and is not overwritten. Choose another --out, or remove it")


def check_writable(path: Path) -> None:
    """Raises :class:`UsageError` when no folder can be made at ``path``: asked before the work, not after it."""
    for link in (path, *path.parents):
        if link.is_symlink() and not link.exists():
            raise UsageError(
                f"{link} leads to {os.readlink(link)}, which is not there. Mend: make that folder, or choose another --out"
            )
    place = path.resolve()
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest} is no folder that can be written to. Mend: choose another --out")


def write_atomically(path: str | Path, content: bytes) -> str:
    """Replace ``path`` by ``content`` or leave it untouched; returns the SHA-256 of what the disk gives back.

    Raises :class:`SwinkitError` when the system refuses (disk full, no permission) or the disk returns something else.
    """
    path = Path(path)
    digest = hashlib.sha256(content).hexdigest()

    def read_back(written: Path) -> None:
        if sha256_of(written) != digest:
            raise OSError("the disk returns other bytes than were written")

    try:
        with replacing(path, read_back) as file:
            file.write(content)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SwinkitError(
            f"Could not write {path} ({len(content):,} bytes): {reason}. What was there before is unchanged. "
            f"Mend: free space on, or get write permission for, {path.parent}"
        ) from fault
    return digest


@contextmanager
def replacing(path: Path, check: Callable[[Path], object] = lambda written: None) -> Iterator[BinaryIO]:
    """A new file that takes the name ``path``, synced, when the block ends well, and is gone if it does not.

    ``check`` is given it last of all; what it raises keeps the name from it. Raises :class:`OSError` where it cannot be written,
    :class:`SwinkitError` as :func:`sync_folder`.
    """
    temporary = path.with_name(_draft_name(secrets.token_hex(4), path.name))
    try:
        with open(temporary, "xb") as file:
            yield file
            sync(file)
        check(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: str | Path, value: Any) -> str:
    """``value`` as indented UTF-8 JSON, by :func:`write_atomically`; returns its SHA-256.

    Bytes of file names that are no text, which Python holds as lone surrogates, stand as JSON's own escapes.
    """
    return write_atomically(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep_stale(folder: str | Path, age: float = ABANDONED, name: str | None = None) -> list[Path]:
    """Remove the files that killed writers left in ``folder`` at least ``age`` seconds ago, those meant for ``name`` or all, and return them;
    what cannot be removed stays.

    Younger ones may be about to get their name, so 0 is for who alone writes there. Folders are left to :func:`drafting`.
    """
    found = Path(folder).glob(f"{TEMPORARY}*" if name is None else _drafts(name))
    stale = [path for path in sorted(found) if not path.is_dir() and _age(path) >= age]
    for path in stale:
        with suppress(OSError):
            path.unlink()
    return stale


def _draft_name(token: str, name: str) -> str:
    """A temporary name of what is to be called ``name``: with its end alone, since names have 255 bytes at most."""
    return f"{TEMPORARY}{token}-{name[-END:]}"


def _drafts(name: str) -> str:
    """Pattern of the temporary names of what is to be called ``name``."""
    return f"{TEMPORARY}????????-{glob.escape(name[-END:])}"


def _age(path: Path) -> float:
    """Seconds since ``path`` changed; 0 where it is gone meanwhile."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0


@contextmanager
def drafting(place: Path) -> Iterator[Path]:
    """A new folder beside ``place``, on the same disk, which is gone afterwards whatever happens, unless the block gave it a name.

    Only a killed process leaves its folder; the next draft there removes it, and of another machine's, or where folders have no locks,
    those of the same place once they are :data:`ABANDONED`. Raises :class:`OSError` where none can be made.
    """
    for left in place.parent.glob(f"{TEMPORARY}????????-*"):
        if left.is_dir():
            _remove_left(left, place.name)
    draft, lock = _new_draft(place)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _new_draft(place: Path) -> tuple[Path, int | None]:
    """An empty folder beside ``place`` and, where folders have locks, what holds that one until it is closed or the process ends."""
    while True:
        draft = place.with_name(_draft_name(_machine() + secrets.token_hex(2), place.name))
        try:
            draft.mkdir()
            lock = _locked(draft)
        # another draft has this name, or took this one for left before it was locked
        except (FileExistsError, FileNotFoundError, BlockingIOError):
            if not place.parent.is_dir():
                raise
            continue
        if lock is None or draft.exists():
            return draft, lock
        os.close(lock)


def _remove_left(draft: Path, name: str) -> None:
    """Remove ``draft`` if the process that made it is gone: of this machine its lock tells, else, of drafts of ``name``, the age."""
    lock = None
    try:
        if draft.name.startswith(f"{TEMPORARY}{_machine()}"):
            lock = _locked(draft)
    except (BlockingIOError, FileNotFoundError):
        return
    if lock is not None or (fnmatchcase(draft.name, _drafts(name)) and _age(draft) >= ABANDONED):
        shutil.rmtree(draft, ignore_errors=True)
    if lock is not None:
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """What holds the lock of ``folder``, to be closed; nothing where folders have none.

    Raises :class:`BlockingIOError` while another holds it, :class:`FileNotFoundError` when ``folder`` is gone.
    """
    descriptor = None
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError) as fault:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(fault, BlockingIOError | FileNotFoundError):
            raise
        return None
    return descriptor


def _machine() -> str:
    """Four characters for this machine, whose locks say nothing of those of others that share a disk."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut, where the file system can; Windows offers no such call and orders its journal itself.

    Raises :class:`SwinkitError` where the disk fails at it: the files have their names, but may lose them again.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as fault:
        if fault.errno not in UNSYNCED:
            raise SwinkitError(f"The disk of {folder} failed at keeping what was just written: {fault.strerror}") from fault


def sync(file: BinaryIO) -> None:
    """What was written into ``file`` on the disk, where it survives a power cut. Raises :class:`OSError` where the disk refuses."""
    file.flush()
    try:
        import fcntl

        # macOS: fsync alone stops at the drive's cache
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined]
    except (ImportError, AttributeError, OSError):  # another system; or a drive on the network, which does not know of it
        os.fsync(file.fileno())
