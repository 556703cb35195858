"""The rows of a run on their way into its file, so that a run killed at any moment goes on where it was and repeats nothing.

While a run lasts, its rows are lines of JSON in ``FILE.part``, behind one line that says what they are answers to. A killed run
leaves at most one broken last line. :meth:`Journal.finish` turns them into the wanted format under a temporary name and renames it,
so ``FILE`` is whole or absent.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SwinkitError, UsageError
from ..weights.atomic import check_absent, replacing, sweep_stale
from .inputs import Input
from .rows import Row, Tally, to_line


class Journal:
    """Rows for the file ``out``, continued where a killed run left them.

    ``origin`` says what determines the answers (weights, preprocessing, columns); rows of another origin are never continued.
    ``note`` says where the file system cannot tell of other runs.
    Raises :class:`UsageError` when ``out`` is there already, when another run writes it now, or when the origin differs.
    """

    def __init__(self, out: Path, origin: dict[str, Any]) -> None:
        self.out, self.part = out, out.with_name(out.name + ".part")
        self.tally = Tally()
        check_absent(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.part, "a+b")  # noqa: SIM115 - open as long as the run
        self.note = _lock(self._file, self.part)
        self._done = self._resume(json.loads(json.dumps(origin)))

    def remaining(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """``inputs`` without those that have their row, and without the journal itself; each row stands for one input."""
        own = os.fstat(self._file.fileno())
        for item in inputs:
            if self._done[item.name]:
                self._done[item.name] -= 1
            elif not _is_file(item.name, own):
                yield item

    def append(self, row: Row) -> None:
        """Hand ``row`` to the system; from here on it outlives this process."""
        self._file.write(to_line(row))
        self._file.flush()
        self.tally.add(row)

    def rows(self) -> Iterator[Row]:
        with open(self.part, "rb") as file:
            next(file)
            yield from map(json.loads, file)

    def finish(self, write: Callable[[Iterator[Row], BinaryIO], None]) -> None:
        """Give ``out`` its content by ``write(rows, file)``, and remove the journal. Where that fails the journal stays, and nothing else;
        raises :class:`UsageError` when ``out`` came to be meanwhile."""
        # of a run that was killed here; this one has the lock
        sweep_stale(self.out.parent, age=0, name=self.out.name)
        with replacing(self.out, lambda _: check_absent(self.out)) as file:
            write(self.rows(), file)
        self._file.close()
        self.part.unlink()

    def _resume(self, origin: dict[str, Any]) -> Counter[str]:
        self._file.seek(0)
        first, wanted = self._file.readline(), to_line({"origin": origin})
        head = _whole(first)
        if head is None and wanted.startswith(first):  # killed before the first line was whole
            self._file.truncate(0)
            self._file.write(wanted)
            self._file.flush()
            return Counter()
        known = (head or {}).get("origin")
        if known != origin:
            changed = ", ".join(name for name in origin if isinstance(known, dict) and known.get(name) != origin[name])
            raise UsageError(
                f"{self.part} holds rows of another run (different: {changed or 'its kind'}). "
                "Repeat that run's command to continue it, choose another --out, or remove this file"
            )
        done: Counter[str] = Counter()
        end = self._file.tell()
        for line in self._file:
            row = _whole(line)
            if row is None:
                break
            end += len(line)
            done[row["path"]] += 1
            self.tally.add(row)
        if self._file.read(1):
            raise SwinkitError(f"{self.part} is damaged after {done.total():,} rows, not only at its end. Mend: remove it")
        self._file.truncate(end)
        return done


def _whole(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_file(name: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name), status)
    except (OSError, ValueError):
        return False


def _lock(file: BinaryIO, path: Path) -> str:
    """Take ``file`` for this process; returns what is to be said where that cannot be done, which is nobody's fault."""
    try:
        import fcntl
    except ImportError:  # Windows: there a file that is open cannot be replaced by a second run
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN, or EACCES where NFS makes another kind of lock of it
        file.close()
        raise UsageError(f"Another run writes {path} now. Wait for it, or choose another --out") from None
    except OSError as fault:
        return f"the file system of {path} has no locks ({fault.strerror}): see to it that no other run writes there"
    return ""
