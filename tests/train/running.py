"""Runs as tests want them: heard, stopped after some steps, or begun without a rehearsal."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest

from swinkit.train.plan import Rehearsal
from swinkit.train.watch import Display, RunWatcher


class Heard(Display):
    """Keeps what was said, and of how many pictures it was told that they are checked."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []
        self.totals: list[int] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def checked(self, done: int, total: int) -> None:
        if done == total:
            self.totals.append(total)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have the run that begins now stop after so many steps: the loop asks after each."""
    asked = itertools.count(1)
    monkeypatch.setattr(RunWatcher, "stop", lambda self: "enough" if next(asked) == step else None)


def skip_rehearsal(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.1) -> None:
    """Have a step be taken to last so many ``seconds``, and to fit in memory."""
    monkeypatch.setattr("swinkit.train.prepare.rehearse", lambda *_: Rehearsal(seconds, "32-true", 1))


def logged(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv but for what the clock says."""
    rows = csv.DictReader((run / "metrics.csv").open())
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]
