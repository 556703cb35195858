"""Work shared out among processes that end with the one that started them. Imports nothing heavy: a new process knows it before all else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def shared_out(work: Callable[..., Any], tasks: list[tuple[Any, ...]], processes: int) -> list[Any]:
    """What ``work`` gives for each of ``tasks``, by ``processes`` that end with this one, however it ends."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        try:
            return list(pool.map(work, *zip(*tasks, strict=True)))
        except KeyboardInterrupt:
            # leaving the pool waits for its processes, and each would first end its task
            for process in multiprocessing.active_children():
                process.kill()
            raise


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone; an interrupt, which reaches the whole group, is that one's to answer."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
