"""Pre-training as one call: a run without labels, then, where there is a labelled set, the verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.collection import counted
from ..validation import validated
from .labelled import ENOUGH_TO_JUDGE, examined
from .place import check_begun, check_place
from .session import RunResult, begin, resume
from .settings import PretrainSettings
from .unlabelled import probe_of
from .verdict import Verdict, foreseen, weigh
from .watch import Display, Unheard

Finished = Callable[[Path], Any]


@dataclass(frozen=True)
class PretrainResult:
    """``run`` is the pre-training itself; ``verdict`` is None where no labelled set was given."""

    run: RunResult
    verdict: Verdict | None

    @property
    def path(self) -> Path:
        return self.run.path

    def to_dict(self) -> dict[str, Any]:
        return {**self.run.to_dict(), "verdict": self.verdict.to_dict() if self.verdict else None}


def pretrain(
    data: str | Path, model: str | Path = "auto", out: str | Path | None = None, *, display: Display | None = None,
    **settings: Any,
) -> PretrainResult:  # fmt: skip
    """Learn from the pictures at ``data`` without their labels, into a new run folder.

    ``model`` is a variant's name, or a run, model folder or SimMIM checkpoint to go on with; further keywords are fields of
    :class:`PretrainSettings`. Raises what :func:`swinkit.train.fit` raises.
    """
    chosen = validated(PretrainSettings, {"data": data, "model": model, **settings})
    return begin_pretraining(chosen, out, display or Unheard())


def begin_pretraining(
    settings: PretrainSettings, out: str | Path | None, display: Display, finished: Finished = lambda _: None
) -> PretrainResult:
    """A new run and its verdict; ``finished`` is told of the run before that is sought."""
    check_place(settings, Path(out) if out is not None else None)  # before every labelled picture is looked at
    announce(settings, display)
    return with_verdict(begin(settings, out, display), display, finished)


def announce(settings: PretrainSettings, display: Display) -> None:
    """Look at the labelled set, and say on how much features are judged and what the verdict will cost, before anything is computed."""
    if settings.probe is None:
        return
    try:
        examined(settings.probe, display.checked)
    finally:
        display.end()
    judged = len(probe_of(settings.probe, settings.seed).test)
    display.say(
        f"Features are judged on {counted(judged, 'labelled picture')}{', which says little' if judged < ENOUGH_TO_JUDGE else ''}."
    )
    if settings.verdict:
        display.say(str(foreseen(settings)))


def go_on(
    run: str | Path,
    changes: Mapping[str, Any] | None = None,
    display: Display | None = None,
    finished: Finished = lambda _: None,
) -> PretrainResult:
    """Finish the pre-training in ``run`` and its verdict, exactly where they stand; ``changes`` as for :func:`~.session.resume`, ``finished``
    as for :func:`begin_pretraining`. Raises :class:`UsageError` for a training, which :func:`~.session.resume` goes on with."""
    check_begun(Path(run), "pretraining")
    display, changes = display or Unheard(), changes or {}
    return with_verdict(resume(run, changes, display), display, finished, changes)


def with_verdict(
    run: RunResult, display: Display, finished: Finished, changes: Mapping[str, Any] | None = None
) -> PretrainResult:
    finished(run.path)
    return PretrainResult(run, weigh(run.path, display, changes or {}) if run.finished else None)
