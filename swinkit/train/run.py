"""The folder of a run: made once, locked while in use, never overwritten.

config.yaml    resolved settings; reproduces the run      checkpoints/   two, to resume from
env.json       versions, machine, command                 model/         weights and description, to use
data.json      fingerprint and split                      report.html    what it learned
metrics.csv    one row per logged step                    log.txt        what was said, with times
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from ..errors import SwinkitError
from ..weights import CONFIG, DATA, MACHINE, METRICS, REPORT, TABLES
from ..weights.atomic import sweep_stale, write_atomically, write_json
from .checkpoint import CheckpointStore
from .environment import divergences, environment
from .lock import RunLock
from .place import RUNS, check_begun, claim, first_free, read_record


class RunFolder:
    """A run this process may write to; a context manager that gives the folder back at its end.

    ``config`` and ``data`` are what :meth:`create` was given. ``notes`` are sentences for the user about what was found on
    opening; ``divergences`` are the reasons why a resumed run may not end with the same bits.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.divergences: list[str] = []
        self._lock = RunLock(path / ".lock")
        self.notes = [self._lock.note] if self._lock.note else []
        self.checkpoints = CheckpointStore(path / "checkpoints")

    @classmethod
    def create(
        cls, out: str | Path | None, name: str, config: Mapping[str, Any], data: Mapping[str, Any], task: str = "classify"
    ) -> RunFolder:
        """A new run in ``out``, or, if that is None, in the first free of ``runs/TASK/NAME``, ``…/NAME-2``, ``…/NAME-3``.

        ``config`` and ``data`` are plain values, written as config.yaml and data.json. Raises :class:`UsageError` when
        ``out`` already holds something.
        """
        run = cls(claim(Path(out)) if out is not None else first_free(RUNS / task, name))
        try:
            sweep_stale(run.path, age=0)
            write_json(run.path / MACHINE, environment())
            run.save_data(data)
            run.save_config(config)  # last: a folder with config.yaml is a run that can be resumed
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def resume(cls, path: str | Path) -> RunFolder:
        """The run in ``path``, locked, with what it was created with.

        Raises :class:`UsageError` when there is none, or when another process is at it, and :class:`DataError` where what it wrote down
        cannot be read.
        """
        path = Path(path)
        check_begun(path)
        run = cls(path)
        try:
            run._reopen()
        except BaseException:
            run.close()
            raise
        return run

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def report(self) -> Path:
        return self.path / REPORT

    def save_config(self, config: Mapping[str, Any]) -> None:
        """Replace config.yaml, for what may change after the run has begun, such as where its data lie."""
        self.config = dict(config)
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        write_atomically(self.path / CONFIG, text.encode())

    def save_data(self, data: Mapping[str, Any]) -> None:
        """Replace data.json."""
        self.data = dict(data)
        write_json(self.path / DATA, self.data)

    def append_metrics(self, row: Mapping[str, Any], table: str = METRICS) -> None:
        """One line of ``table``; the first row names the columns, one of which is ``step``. None is an empty cell."""
        file = self.path / table
        columns = _columns(file) or list(row)
        if "step" not in row or set(row) - set(columns):
            raise ValueError(f"metrics need step and no more than {columns}, got {list(row)}")
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if not file.exists():
            writer.writeheader()
        writer.writerow(row)
        _append(file, text.getvalue())

    def truncate_metrics(self, step: int) -> None:
        """Forget in the run's own tables what was logged after ``step``, so that going on from there writes no row twice."""
        for table in TABLES:
            if (file := self.path / table).exists():
                self._truncate(file, step)

    def _truncate(self, file: Path, step: int) -> None:
        text = io.StringIO()
        try:
            if not (columns := _columns(file)):
                file.unlink(missing_ok=True)
                return
            writer = csv.DictWriter(text, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for row in read_rows(file) if int(row["step"]) <= step)
        except (ValueError, KeyError) as fault:
            raise SwinkitError(
                f"{file} is not as this run wrote it: {fault}. Mend: restore it or move it away, then --resume again"
            ) from None
        write_atomically(file, text.getvalue().encode())

    def log(self, message: str) -> None:
        """One line of log.txt, with the time."""
        _append(self.path / "log.txt", f"{datetime.now().astimezone().isoformat(' ', 'seconds')}  {message}\n")

    def close(self) -> None:
        """Give the folder back; calling it again does nothing."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _reopen(self) -> None:
        # exports and rows of predict may be on their way into the run, but its model is its own
        sweep_stale(self.path)
        sweep_stale(self.model, age=0)
        self.config, self.data = read_record(self.path, CONFIG), read_record(self.path, DATA)
        begun = read_record(self.path, MACHINE)
        now = environment()
        self.divergences = divergences(begun, now)
        resumed = {"command": now["command"], "divergences": self.divergences}
        write_json(self.path / MACHINE, {**begun, "resumed": [*begun.get("resumed", []), resumed]})


def _append(file: Path, text: str) -> None:
    try:
        with open(file, "a", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as fault:
        raise SwinkitError(f"Could not write {file}: {fault.strerror}. Mend: free space, then go on by --resume") from fault


def _columns(file: Path) -> list[str]:
    """Names in the first line of a CSV file; none if that line was never completed."""
    if not file.exists():
        return []
    with open(file, encoding="utf-8", newline="") as stream:
        first = stream.readline()
    return next(csv.reader([first])) if first.endswith("\n") else []


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a table of a run, metrics.csv for instance, that were completely written."""
    columns = _columns(file)
    if not columns:
        return []
    whole = file.read_text("utf-8").rpartition("\n")[0]  # a killed writer leaves a last line without an end
    return [dict(zip(columns, cells, strict=True)) for cells in list(csv.reader(io.StringIO(whole)))[1:]]
