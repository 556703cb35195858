"""Timing in turn: the order of the runs, and which of them count."""

from __future__ import annotations

import pytest

from swinkit.timing import in_turn


@pytest.mark.parametrize(("rounds", "unmeasured"), [(3, 1), (2, 0), (1, 3)])
def test_runs_take_turns_and_the_first_rounds_do_not_count(rounds: int, unmeasured: int) -> None:
    calls: list[str] = []
    found = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds, unmeasured)
    assert calls == ["a", "b"] * (rounds + unmeasured)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": rounds, "b": rounds}
    assert all(second >= 0 for seconds in found.values() for second in seconds)
