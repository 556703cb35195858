"""Work that several processes share: its order, and that none of them outlives the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.common.processes import runs, tree
from experiments.processes import shared_out


def square(number: int) -> int:
    return number * number


def test_tasks_are_shared_out_in_order():
    assert shared_out(square, [(1,), (2,), (3,)], 2) == [1, 4, 9]


# what a shell starts in the background ignores interrupts, and so would all that it starts
SLEEPS = """
import signal, time
from experiments.processes import shared_out
signal.signal(signal.SIGINT, signal.default_int_handler)
shared_out(time.sleep, [(600,), (600,)], 2)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(sent):
    program = subprocess.Popen([sys.executable, "-c", SLEEPS], stderr=subprocess.DEVNULL)
    workers: list[int] = []
    try:
        wait_for(lambda: workers.extend(pid for pid in tree(program.pid) if runs(pid, "spawn_main")) or len(set(workers)) == 2)
        program.send_signal(sent)
        assert program.wait(60) != 0
        wait_for(lambda: not any(runs(pid, "spawn_main") for pid in workers))
    finally:
        for pid in [*workers, program.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(happened, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
