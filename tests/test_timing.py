"""Timing in turn: the order of the runs, and which of them count; parts of work; and how long the rest of some work is said to take."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from swinkit.timing import Parts, in_turn, paced


@pytest.mark.parametrize(("rounds", "unmeasured"), [(3, 1), (2, 0), (1, 3)])
def test_runs_take_turns_and_the_first_rounds_do_not_count(rounds: int, unmeasured: int) -> None:
    calls: list[str] = []
    found = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds, unmeasured)
    assert calls == ["a", "b"] * (rounds + unmeasured)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": rounds, "b": rounds}
    assert all(second >= 0 for seconds in found.values() for second in seconds)


@pytest.mark.parametrize(
    ("seconds", "total", "told"),
    [(2.0, 10, ["about 16 s to go with it"]), (60.0, 10, ["about 9 min to go with it"]), (0.1, 10, []), (2.0, 0, [])],
)
def test_how_long_the_rest_takes_is_told_once_if_it_is_long_and_known(
    seconds: float, total: int, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=seconds)  # a piece passes whenever it is looked at
    monkeypatch.setattr("swinkit.timing.time", SimpleNamespace(monotonic=lambda: next(clock)))
    lines: list[str] = []
    assert list(paced(range(10), total, lambda piece: 1, lines.append)) == list(range(10))
    assert lines == told


def test_parts_are_told_when_they_begin_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0, 40.0, 340.0])
    monkeypatch.setattr("swinkit.timing.time", SimpleNamespace(monotonic=lambda: next(clock)))
    lines: list[str] = []
    parts = Parts(lines.append)
    with parts.part("tracing", "tracing the graph"):
        assert lines == ["tracing the graph"]
    with parts.part("proving", "asking it"):
        pass
    assert parts.seconds == {"tracing": 30.0, "proving": 300.0}
    assert str(parts) == "6 min: tracing 30 s, proving 5 min"
