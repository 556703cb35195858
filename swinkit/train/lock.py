"""One process per run folder, by a lock that the operating system releases when its holder dies, however it dies."""

from __future__ import annotations

import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from ..errors import UsageError

OFFSET = 1 << 30  # the locked byte lies beyond the text, which Windows then still lets others read

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        # lockf and not flock: a forked loader worker that outlives its parent must not inherit the lock
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, OFFSET)


class RunLock:
    """Held from construction to :meth:`release`; ``note`` tells of a holder that died without releasing it, or that there are no locks here.

    Raises :class:`UsageError` naming the holder when the run is in use, in this process or another.
    """

    _held: ClassVar[set[Path]] = set()  # a process never conflicts with its own lockf

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        if self.path in self._held:
            raise _in_use(self.path, "by this process")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        before = os.read(self._descriptor, 4096)
        self.note = f"The lock left {_holder(before)}, which ended without releasing it, was released." if before else ""
        try:
            _take(self._descriptor)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by system
            os.close(self._descriptor)
            raise _in_use(self.path, _holder(before)) from None
        except OSError as fault:
            # Lustre or NFS without a lock service: a run there goes on, as nobody could ever be found to hold it
            last = f" It was taken last {_holder(before)}." if before else ""
            self.note = f"The file system of {self.path.parent} has no locks ({fault.strerror}): see to it that no other process uses the run.{last}"
        self._held.add(self.path)
        self._record({"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat("T", "seconds")})

    def release(self) -> None:
        """Let others in; calling it again does nothing."""
        if self.path in self._held:
            self._record(None)
            os.close(self._descriptor)
            self._held.discard(self.path)

    def _record(self, holder: dict[str, object] | None) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, json.dumps(holder).encode() if holder else b"")


def _holder(text: bytes) -> str:
    try:
        entry = json.loads(text)
        return f"by process {entry['pid']} on {entry['host']} since {entry['since']}"
    except (ValueError, KeyError, TypeError):
        return "by another process"


def _in_use(lock: Path, holder: str) -> UsageError:
    return UsageError(
        f"The run {lock.parent} is in use {holder}. Mend: wait until it ends, stop it, or choose another folder with --out"
    )
