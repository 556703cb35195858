"""Subjects measured in turn, a short burst each: what a machine does meanwhile, heat or a neighbour, falls on all of them alike."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .process import Worker, WorkerFault

PAUSE = 0.25  # seconds after which the threads of the one before no longer spin


class Say(Protocol):
    """Hears how a measurement goes: what lasts, and what is ``passing``, which the next text may take the place of."""

    def __call__(self, text: str, passing: bool = False) -> object: ...


def unheard(text: str, passing: bool = False) -> None:
    """A :class:`Say` that tells nobody."""


@dataclass
class Measured:
    """What is known of one subject: ``turns`` hold seconds of single runs; ``fault`` why there are no more."""

    name: str
    about: dict[str, Any] = field(default_factory=dict)
    turns: list[list[float]] = field(default_factory=list)
    memory: dict[str, int | None] = field(default_factory=dict)
    fault: str | None = None

    def not_in(self, precision: str) -> str | None:
        """Why this is no measurement in ``precision``, where it was done in another one, which an engine may choose."""
        own = self.about.get("precision", precision)
        return None if own == precision else f"{self.about['engine']} computes in {own} here, not in {precision}"

    def to_dict(self) -> dict[str, Any]:
        shortened = [[round(seconds, 7) for seconds in turn] for turn in self.turns]
        return {"about": self.about, "turns": shortened, "memory": self.memory, "fault": self.fault}


@dataclass(frozen=True)
class Pace:
    """``rounds`` turns for each, of ``seconds`` and at least ``least`` runs; no round begins ``most`` seconds after the first."""

    rounds: int = 10
    seconds: float = 0.4
    least: int = 2
    most: float = 120.0
    pause: float = PAUSE


@dataclass(frozen=True)
class Candidate:
    """How to make a :class:`Worker`."""

    name: str
    target: str
    arguments: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)


class Until:
    """When no further measurement begins: ``seconds`` after now, or once the user interrupted one, which loses none of those before."""

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self.interrupted = False

    @property
    def why(self) -> str | None:
        """Why nothing begins; None while something may."""
        if self.interrupted:
            return "interrupted"
        return "the time was up" if self._end is not None and time.monotonic() > self._end else None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """An interrupt, or a SIGTERM where a handler can be set, ends what is inside, and is noted."""
        alone = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, signal.default_int_handler) if alone else None
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            if alone:
                signal.signal(signal.SIGTERM, before)


def take_turns(
    candidates: Sequence[Candidate], pace: Pace, inspect: Callable[[Worker, Measured], Any] | None = None,
    say: Say = unheard, allowed: float = 900.0,
) -> dict[str, Measured]:  # fmt: skip
    """Build every candidate, one after the other, then measure them in turn; who fails keeps what was measured before.

    ``inspect`` is called once for each that was built, before any timing. ``allowed`` seconds may pass for one answer.
    """
    found = {candidate.name: Measured(candidate.name) for candidate in candidates}
    with ExitStack() as stack:
        alive: list[Worker] = []
        for candidate in candidates:
            candidate = chosen(candidate, say)
            say(f"building {candidate.name}", passing=True)
            worker = stack.enter_context(
                Worker(candidate.name, candidate.target, candidate.arguments, candidate.environment, allowed)
            )
            measured = found[candidate.name]
            with _recorded(measured, say):
                measured.about = worker.ready().about
                if inspect is not None:
                    inspect(worker, measured)
                alive.append(worker)
        _rounds(alive, found, pace, say)
        for worker in alive:
            if found[worker.name].fault is None:
                with _recorded(found[worker.name], say):
                    found[worker.name].memory = worker.memory()
    return found


def chosen(candidate: Candidate, say: Say) -> Candidate:
    """``candidate`` with the engine that "auto" means for it, if that is its engine.

    It is looked for in a process of its own: what the search needs is not to be taken for the engine's memory.
    """
    if candidate.arguments.get("engine") != "auto":
        return candidate
    say(f"choosing an engine for {candidate.name}")
    with suppress(WorkerFault), Worker(candidate.name, candidate.target, candidate.arguments, candidate.environment) as worker:
        return replace(candidate, arguments={**candidate.arguments, "engine": worker.ready().about["engine"]})
    return candidate  # whose fault is told when it is built


def _rounds(alive: Sequence[Worker], found: dict[str, Measured], pace: Pace, say: Say) -> None:
    end = time.monotonic() + pace.most
    for number in range(pace.rounds):
        if number and time.monotonic() > end:
            break
        say(f"round {number + 1} of {pace.rounds}", passing=True)
        for worker in alive:
            measured = found[worker.name]
            if measured.fault is None:
                time.sleep(pace.pause)
                with _recorded(measured, say):
                    measured.turns.append(worker.time(pace.seconds, pace.least))


@contextmanager
def _recorded(measured: Measured, say: Say) -> Iterator[None]:
    """A fault of the subject is noted, and nobody else's."""
    try:
        yield
    except WorkerFault as fault:
        measured.fault = str(fault)
        say(f"failed: {fault}")
