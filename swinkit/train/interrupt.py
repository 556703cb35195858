"""Ctrl-C and SIGTERM as a request that the loop answers between two batches: save once, then leave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = b"\nAlready saving; one moment.\n"


class CutShort(Exception):
    """An interruption came while pictures were judged."""


def until(interrupted: Callable[[], bool], batches: Iterable[Any]) -> Iterator[Any]:
    """All of ``batches``; raises :class:`CutShort` once ``interrupted``, even behind the last."""
    for batch in batches:
        if interrupted():
            raise CutShort
        yield batch
    if interrupted():
        raise CutShort


class Interruption:
    """Within the context the first signal sets :attr:`requested`; further ones change nothing, so no save is cut short.

    The former handlers come back at the end. Outside the main thread Python delivers no signals; nothing is requested then.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._former: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        return self.received is not None

    @property
    def name(self) -> str:
        """What came, for the message: "SIGINT" or "SIGTERM"; empty when nothing did."""
        return self.received.name if self.received else ""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._former = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
        else:
            os.write(2, AGAIN)  # print is not safe inside a handler
