"""What is measured runs in a process of its own: its memory is its own, and nothing else that was measured disturbs it.

A :class:`Worker` starts another Python and speaks with it in lines of JSON. The other side builds a
:class:`Subject` by calling a function by name, then does as it is told: time some runs, tell its memory, answer the inputs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .. import memory
from ..errors import SwinkitError
from ..interpreter import python

ROOT = Path(__file__).parents[2]
ALLOWED = 900.0  # seconds that building, which may compile, or one request may take
LONG = 2.0  # seconds of a run beside which cold caches do not count


@dataclass(frozen=True)
class Subject:
    """Something to measure: ``step(i)`` runs it once on the i-th input, whatever i.

    ``about`` is JSON-ready and goes to the results, with ``first_seconds``, what the first run took. ``answers(path)`` saves what it answers to its inputs as a .npy file. ``aside`` is
    how many bytes its inputs, and libraries that it alone imports, take, which are not the subject's own.
    """

    step: Callable[[int], Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    answers: Callable[[str], Any] | None = None
    aside: int = 0


class WorkerFault(SwinkitError):
    """A subject could not be built or run; the message has its name and the reason."""


class Worker:
    """A subject in a process of its own, built by ``target``, "module:function", called with ``arguments``.

    Building begins at once; :meth:`ready` waits for it. ``environment`` is added to the process's own.
    """

    def __init__(
        self, name: str, target: str, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None,
        allowed: float = ALLOWED,
    ) -> None:  # fmt: skip
        self.name = name
        self.allowed = allowed
        self.about: dict[str, Any] = {}
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed with the process
        self._process = subprocess.Popen(
            python(f"from {__name__} import main; main()"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=self._errors, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()
        self._send("build", target=target, arguments=dict(arguments))
        self._waiting = True

    def ready(self) -> Worker:
        """Wait until the subject is built; raises :class:`WorkerFault` if that fails."""
        if self._waiting:
            self._waiting = False
            self.about = self._receive()
        return self

    def time(self, seconds: float, least: int = 1) -> list[float]:
        """Seconds of single runs, at least ``least`` of them and as many as fit into ``seconds``, after one that is not counted unless it is long."""
        return self.ask("time", seconds=seconds, least=least)

    def memory(self) -> dict[str, int | None]:
        """Bytes: ``loaded`` with its module, its libraries and its inputs, ``peak`` while it ran."""
        return self.ask("memory")

    def answers(self, path: Path) -> None:
        """Have the answers to all inputs saved at ``path`` (.npy)."""
        self.ask("answers", path=str(path))

    def ask(self, request: str, **arguments: Any) -> Any:
        self.ready()
        self._send(request, **arguments)
        return self._receive()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with contextlib.suppress(ValueError, OSError):  # closed while reading
            for line in stream:
                self._answers.put(line)
        self._answers.put("")

    def _send(self, request: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a process that is gone is told of by what it does not answer
            self._process.stdin.write(json.dumps({"request": request, **arguments}) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> Any:
        try:
            line = self._answers.get(timeout=self.allowed)
        except queue.Empty:
            self._process.kill()
            raise WorkerFault(f"{self.name}: no answer within {self.allowed:.0f} s, so it was stopped") from None
        if not line:
            raise WorkerFault(f"{self.name}: its process ended: {self._last_words()}")
        answer = json.loads(line)
        if "fault" in answer:
            raise WorkerFault(f"{self.name}: {answer['fault']}")
        return answer["answer"]

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}" + (", perhaps for lack of memory" if code == -9 else "")


class Server:
    """The other side: one subject, asked by its parent."""

    def __init__(self) -> None:
        self.subject: Subject | None = None
        self.at = 0
        self.lasted = 0.0
        self.loaded: int | None = None

    def build(self, target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        module, function = target.split(":")
        make = getattr(importlib.import_module(module), function)
        self.loaded = memory.resident()
        self.subject = make(**arguments)
        if self.loaded is not None:
            self.loaded += self.subject.aside
        begun = time.perf_counter()
        self.subject.step(0)  # what is built on first use is built now
        first = time.perf_counter() - begun
        memory.reset_peak()
        return {**self.subject.about, "first_seconds": first}

    def time(self, seconds: float, least: int) -> list[float]:
        samples: list[float] = []
        if self.lasted < LONG:  # the caches are another process's by now
            self._run()
        end = time.perf_counter() + seconds
        while len(samples) < least or time.perf_counter() < end:
            samples.append(self._run())
        return samples

    def _run(self) -> float:
        assert self.subject is not None
        self.at += 1
        begun = time.perf_counter()
        self.subject.step(self.at)
        self.lasted = time.perf_counter() - begun
        return self.lasted

    def memory(self) -> dict[str, int | None]:
        return {"loaded": self.loaded, "peak": memory.peak()}

    def answers(self, path: str) -> None:
        assert self.subject is not None
        if self.subject.answers is None:
            raise TypeError("this subject answers nothing")
        self.subject.answers(path)

    def serve(self, requests: IO[str], replies: IO[str]) -> None:
        for line in requests:
            arguments = json.loads(line)
            try:
                reply = {"answer": getattr(self, arguments.pop("request"))(**arguments)}
            except Exception as fault:
                message = str(fault).strip()
                reply = {"fault": f"{type(fault).__name__}: {message}" if message else type(fault).__name__}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()


def main() -> None:
    """Answer the parent on what was standard output; whatever else is printed goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.insert(0, str(ROOT))  # where the subjects of benchmarks and tests are
    Server().serve(sys.stdin, replies)
