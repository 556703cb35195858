"""What a run that goes on keeps as it was, its settings and its pictures, and what may change by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.collection import Collection
from ..errors import UsageError
from ..validation import validated
from ..weights import CONFIG
from .settings import Kind, RunSettings

# may change on resume and is written down, since whoever comes after the run reads it there
FOLLOWED = {"data", "probe", "device", "verdict"}
# may change on resume: no bit depends on them
FREE = {"time_limit", "save_every", "workers", "cache", "tensorboard", *FOLLOWED}


def unchanged(settings: Kind, changes: Mapping[str, Any]) -> Kind:
    """``settings`` with the free ``changes``; raises :class:`UsageError` listing those that would make another run."""
    asked = validated(type(settings), {**settings.model_dump(), **changes})
    differing = [key for key in changes if key not in FREE and getattr(asked, key) != getattr(settings, key)]
    if differing:
        listed = "; ".join(f"{key} was {getattr(settings, key)!r}, is now {getattr(asked, key)!r}" for key in differing)
        raise UsageError(
            f"A resumed run goes on exactly as it began, but: {listed}. Mend: leave these out, or start a new run, for instance "
            "with --model and the old run"
        )
    return asked


def bound(settings: RunSettings) -> dict[str, Any]:
    """Of ``settings`` what may not change once a step was taken, as plain values."""
    return settings.model_dump(mode="json", exclude=FREE)


def same_settings(settings: RunSettings, recorded: Mapping[str, Any]) -> None:
    """Raises :class:`UsageError` saying how ``settings``, which config.yaml gives, differ from what a checkpoint ``recorded``, where a
    version that had fewer settings, or recorded none, knows them."""
    now = bound(settings)
    differing = [name for name in recorded.keys() & now.keys() if recorded[name] != now[name]]
    if differing:
        listed = "; ".join(f"{name} was {recorded[name]!r}, is now {now[name]!r}" for name in sorted(differing))
        raise UsageError(
            f"A resumed run goes on exactly as it began, but its {CONFIG} was changed since: {listed}. Mend: put these back, or start a "
            f"new run with the changed file: --config and the path of {CONFIG}"
        )


class OtherPictures(UsageError):
    """The pictures or labels are not those that a run began with."""


def same_data(recorded: Mapping[str, Any], collection: Collection, of: str = "") -> None:
    """Raises :class:`OtherPictures` saying how ``collection`` differs from what data.json ``recorded``, and :class:`UsageError` where it does not
    say what; ``of`` says which pictures they are, where they are not the run's own."""
    wanted = ("classes", "pictures", "fingerprint", *(() if of else ("split",)))
    if missing := [name for name in wanted if name not in recorded]:
        raise UsageError(f"The run's data.json has no {', '.join(missing)}. Mend: restore it, or start a new run")
    before, now = list(recorded["classes"]), list(collection.classes)
    if before != now:
        added, gone = [name for name in now if name not in before], [name for name in before if name not in now]
        how = f"added {added}, gone {gone}" if added or gone else f"their order was {before}, is {now}"
        raise OtherPictures(
            f"The classes{of} are not those the run began with: {how}. Mend: restore the data, or start a new run"
        )
    if recorded["fingerprint"] != collection.fingerprint():
        raise OtherPictures(
            f"The pictures or labels{of} are not those the run began with: {recorded['pictures']} pictures then, {len(collection)} now, "
            "or some were relabelled or replaced. Mend: restore the data, or start a new run"
        )
