"""Processes that make what they are asked for, pass after pass, and how they heed signals and end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from multiprocessing import parent_process
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import SwinkitError

TIMEOUT = 60.0  # seconds without an answer after which a worker, or the disk that it reads from, is taken to stand still
A_PICTURE = 5.0  # seconds, more than the largest that is decoded takes on a busy core


def patience(pictures: int) -> float:
    """Seconds that a worker which is asked for so many ``pictures`` at once may take for them."""
    return max(TIMEOUT, A_PICTURE * pictures)


class Workers:
    """``number`` processes with a copy of ``source`` each. They start with the first pass and stay, with what they keep, until :meth:`close`."""

    def __init__(self, source: Dataset[Any], number: int, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._asked: list[Any] = []
        self._pass: Generator[Any] | None = None
        self._loader: DataLoader[Any] | None = DataLoader(
            source, batch_size=None, sampler=self._asked, num_workers=number, timeout=timeout, worker_init_fn=_settle_worker,
            persistent_workers=True,
            generator=torch.Generator(),  # its own, or starting workers would draw from the global one
        )  # fmt: skip

    def answers(self, requests: Sequence[Any]) -> Iterator[Any]:
        """``source[request]`` of each of ``requests`` in their order, the n-th by worker n modulo their number. Ends the pass before.

        Raises :class:`SwinkitError` for a worker that died or gave nothing for ``timeout`` seconds.
        """
        if self._loader is None:
            raise RuntimeError("The loader is closed. Mend: begin passes before that, or make another")
        self._end_pass()
        self._asked[:] = requests
        self._pass = self._made(self._loader)
        return self._pass

    def _made(self, loader: DataLoader[Any]) -> Generator[Any]:
        with explained_workers(self._timeout):
            try:
                with _interrupt_held_back(), _sigterm_held_back():
                    iterator = iter(loader)
                yield from iterator
            except RuntimeError:
                for worker in getattr(loader._iterator, "_workers", ()):
                    with contextlib.suppress(RuntimeError):  # in which torch tells of the worker that is killed here
                        worker.kill()  # a stopped one would not hear a polite end, and joining it would hang
                        worker.join()
                raise

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    def close(self) -> None:
        """End the processes: torch shuts them down once nothing refers to its iterator, which the pass and its loader do."""
        with _interrupt_held_back():
            self._end_pass()
            self._loader = None


@contextlib.contextmanager
def explained_workers(timeout: float = TIMEOUT) -> Iterator[None]:
    """Whatever uses batches stands in this context: torch's signal handler tells of a dead worker by a RuntimeError wherever
    the process happens to be, which becomes a :class:`SwinkitError` here."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise SwinkitError(_worker_reason(str(error), timeout)) from None


def _worker_reason(message: str, timeout: float) -> str:
    if "timed out" in message:
        return (
            f"No loader worker gave a batch for {timeout:g} seconds. A worker is stopped, or the disk or network drive with the pictures "
            "does not answer. Mend: look at the drive, then begin again: a run by --resume, where --set workers=0 reads without "
            "workers; evaluate with a smaller --batch-size"
        )
    again = (
        ""
        if multiprocessing.get_start_method() == "fork"
        else 'Or a script calls swinkit outside of `if __name__ == "__main__":`, and each worker runs it again. '
    )
    return (
        f"A loader worker died: {message.splitlines()[0].rstrip('. ')}. Often the machine ran out of memory. {again}"
        "Mend: resume a run with fewer workers (--set workers=0 needs none), or keep no pictures (--set cache=0); evaluate with a "
        "smaller --batch-size"
    )


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """A Ctrl-C that comes within counts at the end. Where workers are forked or ended it would be lost, since Python drops what a hook at
    a fork or a finaliser raises, and a loader that is half made cannot be ended."""
    former = signal.getsignal(signal.SIGINT)
    # a mask would not do: it is of one thread, and the system gives the signal to another
    if former is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """Workers that start within inherit this thread's mask: a SIGTERM waits until they know whom to heed."""
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the main process's handler, which a fork inherits
    parent = parent_process()
    if parent is not None and hasattr(signal, "sigwaitinfo"):  # macOS cannot tell who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed, args=(parent.pid,), daemon=True).start()


def _heed(parent: int | None) -> None:
    """End at a SIGTERM of ``parent`` alone: ``timeout``, systemd and Slurm send it to every process, as a request to save."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
