"""Measuring processes: their protocol, their faults, their turns, their memory."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import pytest

from swinkit import memory
from swinkit.study.process import Subject, Worker, WorkerFault
from swinkit.study.turns import Candidate, Pace, take_turns

HERE = __name__
PACE = Pace(rounds=3, seconds=0.0, least=2, pause=0.0)


def sleeper(seconds: float) -> Subject:
    print("libraries print what they like")
    return Subject(lambda index: time.sleep(seconds), {"slept": seconds})


def counter(path: str) -> Subject:
    def step(index: int) -> None:
        with open(path, "a") as file:
            file.write(f"{index}\n")

    return Subject(step)


def hoarder(megabytes: int) -> Subject:
    return Subject(lambda index: np.ones(megabytes * 2**17).sum())


def echo(value: int) -> Subject:
    return Subject(lambda index: None, {}, lambda path: np.save(path, np.array([value])))


def faulty(when: str) -> Subject:
    if when == "build":
        raise ValueError("cannot be built")

    def step(index: int) -> None:
        if index > 3 and when == "run":
            raise ValueError("cannot go on")
        if index > 3 and when == "die":
            sys.stderr.write("killed by the test\n")
            sys.stderr.flush()
            os._exit(7)
        if index > 3 and when == "hang":
            time.sleep(60)

    return Subject(step)


def candidate(function: Any, **arguments: Any) -> Candidate:
    return Candidate(f"{function.__name__} {arguments}", f"{HERE}:{function.__name__}", arguments)


def test_runs_are_timed_in_turns_and_inputs_go_on(tmp_path):
    with Worker("counter", f"{HERE}:counter", {"path": str(tmp_path / "log")}) as worker:
        assert len(worker.time(0.0, least=3)) == 3
        assert len(worker.time(0.0, least=1)) == 1
    # one to build, then one that is not counted before each turn
    assert (tmp_path / "log").read_text().split() == [str(index) for index in range(1 + 4 + 2)]


def test_what_is_timed_is_what_it_takes():
    with Worker("sleeper", f"{HERE}:sleeper", {"seconds": 0.02}) as worker:
        samples = worker.time(0.1)
        assert (worker.about["slept"], worker.about["first_seconds"] >= 0.02) == (0.02, True)
    assert len(samples) >= 2
    assert min(samples) >= 0.02


def test_answers_are_saved(tmp_path):
    with Worker("echo", f"{HERE}:echo", {"value": 5}) as worker:
        worker.answers(tmp_path / "a.npy")
        assert np.load(tmp_path / "a.npy").tolist() == [5]
    with Worker("sleeper", f"{HERE}:sleeper", {"seconds": 0}) as worker, pytest.raises(WorkerFault, match="answers nothing"):
        worker.answers(tmp_path / "b.npy")


def test_who_fails_keeps_what_was_measured_and_disturbs_nobody():
    told: list[tuple[str, bool]] = []
    candidates = [candidate(faulty, when=when) for when in ("build", "run", "die")] + [candidate(echo, value=1)]
    found = list(take_turns(candidates, PACE, say=lambda text, passing=False: told.append((text, passing))).values())
    assert [len(measured.turns) for measured in found] == [0, 1, 1, 3]
    assert [measured.fault and measured.fault.partition("}: ")[2] for measured in found] == [
        "ValueError: cannot be built", "ValueError: cannot go on", "its process ended: killed by the test", None,
    ]  # fmt: skip
    assert [text.split()[0] for text, passing in told if not passing] == ["failed:"] * 3
    assert {text.split()[0] for text, passing in told if passing} == {"building", "round"}
    assert found[3].to_dict()["memory"]["peak"] is None or found[3].memory["peak"] > 0


def test_who_hangs_is_stopped():
    found = take_turns([candidate(faulty, when="hang")], PACE, allowed=3)
    (measured,) = found.values()
    assert "no answer within 3 s" in str(measured.fault)


def test_no_round_begins_after_the_time():
    (measured,) = take_turns([candidate(sleeper, seconds=0.05)], Pace(100, 0.0, 2, most=0.2, pause=0)).values()
    assert 1 <= len(measured.turns) < 10


@pytest.mark.skipif(not memory.STATUS.exists(), reason="the peak of a process can be read on Linux only")
def test_memory_of_a_process_is_its_own():
    hoard = np.ones(400 * 2**17)  # of the parent: it does not count in the child
    with (
        Worker("small", f"{HERE}:hoarder", {"megabytes": 1}) as small,
        Worker("large", f"{HERE}:hoarder", {"megabytes": 200}) as large,
    ):
        for worker in (small, large):
            worker.time(0.0)
        one, other = small.memory(), large.memory()
    assert hoard.sum() > 0
    assert all(value is not None for value in (*one.values(), *other.values()))
    assert 150e6 < other["peak"] - other["loaded"] < 300e6
    assert one["peak"] - one["loaded"] < 60e6


def test_files_in_the_working_directory_are_not_taken_for_libraries(tmp_path, monkeypatch):
    for name in ("json", "numpy", "swinkit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    with Worker("echo", f"{HERE}:echo", {"value": 5}) as worker:
        worker.answers(tmp_path / "a.npy")
