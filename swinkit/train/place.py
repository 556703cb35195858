"""Where runs lie: never over something that is there already, nor among the pictures that they read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..data.collection import shown
from ..data.folders import split_folders
from ..data.layouts import layout_of
from ..errors import DataError, UsageError
from ..weights import CONFIG, DATA, DESCRIPTION, FOLDS, MACHINE, WEIGHTS
from ..weights.atomic import TEMPORARY, check_writable
from .settings import MAKING, RunSettings

RUNS = Path("runs")


def run_of(model: str) -> Path | None:
    """The run that ``model`` names, itself, its model folder or a file of that; None for any other model, wherever it lies."""
    path = Path(model)
    if path.is_file() and path.name in (WEIGHTS, DESCRIPTION):
        path = path.parent
    inside = path.resolve().name == "model"
    for folder in (path, *([path.parent if path.name == "model" else path.resolve().parent] if inside else [])):
        if (folder / CONFIG).is_file() and (folder / DATA).is_file():
            return folder
    return None


def resumable(run: Path) -> Path:
    """What to go on with where ``run`` stopped: the cross-validation that it is a fold of, or itself."""
    return run.parent if (run.parent / FOLDS).is_file() else run


def claim(path: Path) -> Path:
    """``path`` as a new or empty folder; raises :class:`UsageError` when it holds something."""
    check_free(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_place(settings: RunSettings, out: Path | None) -> None:
    """Raises :class:`UsageError` where a new run with ``settings`` cannot lie in ``out``, or, if that is None, below :data:`RUNS`; and what
    opening their pictures would, as far as it can be told without opening one."""
    if out is not None:
        check_free(out)
    check_writable(out or RUNS)
    place = (out or RUNS).resolve()
    check_apart(place, settings.data or "", settings.format, labels=settings.task == "classification")
    if probe := getattr(settings, "probe", None):
        check_apart(place, probe, None, labels=True)


def check_apart(place: Path, data: str, layout: str | None, labels: bool) -> None:
    """Raises :class:`UsageError` where a run in ``place`` would be read as pictures or, with ``labels``, as a class of the folder ``data``."""
    if layout_of(data, layout) not in ("folders", "pictures"):
        return
    folder = Path(data).resolve()
    roots = split_folders(folder) if labels else {}
    if any(place.is_relative_to((folder / root).resolve()) for root in roots or ("",)):
        raise UsageError(
            f"{shown(place)} lies among the pictures of {shown(folder)}, and would be taken for some of them when they are read again. "
            "Mend: --out with a folder elsewhere"
        )


def check_free(path: Path) -> None:
    """Raises :class:`UsageError` when ``path`` is there and neither an empty folder nor a run killed before it began, or
    where its name is not valid text, which files of weights cannot have."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{shown(path)} is not valid text, which the folder of a run must be. Mend: choose another --out"
        ) from None
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or never_began(path))):
        begun = any((path / name).is_file() for name in (CONFIG, FOLDS))
        further = f"go on with it by --resume {path}, or " if begun else ""
        raise UsageError(f"{path} already exists, and nothing is ever overwritten. Mend: {further}choose another --out")


def never_began(path: Path) -> bool:
    """Whether the folder ``path`` holds no more than what a run writes before config.yaml, the lock first."""
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}
    return ".lock" in names and names <= {".lock", MACHINE, DATA}


def check_begun(path: Path, task: str | None = None) -> None:
    """Raises :class:`UsageError` when ``path`` is no run that can be gone on with, or none of ``task``, with the verb that is meant."""
    if (path / FOLDS).is_file():
        raise UsageError(
            f"{path} is a cross-validation, not one run. Mend: swinkit train --resume {path}, in Python swinkit.train.resume_folds"
        )
    if not (path / CONFIG).is_file():
        raise UsageError(f"{path} is not a run that can be resumed: it has no config.yaml. Mend: start it without --resume")
    begun = MAKING.get(_task_of(path))
    if task is not None and begun is not None and begun.verb != MAKING[task].verb:
        raise UsageError(
            f"{path} was begun by swinkit {begun.verb}. Mend: swinkit {begun.verb} --resume {path}, in Python swinkit.train.{begun.going_on}"
        )


def _task_of(run: Path) -> Any:
    """What config.yaml says; None where it is not as it was written, of which opening the run will tell."""
    try:
        return read_record(run, CONFIG).get("task")
    except DataError:
        return None


def read_record(run: Path, name: str) -> dict[str, Any]:
    """What ``name``, one of those files of :mod:`swinkit.weights` that hold names with values, says in the folder ``run``; raises :class:`DataError` where it is
    not as it was written."""
    import yaml

    path = run / name
    try:
        text = path.read_text("utf-8")
        found = yaml.safe_load(text) if name == CONFIG else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise DataError(f"{path} cannot be read ({fault}). {_restored(run)}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no names with values. {_restored(run)}")
    return found


def _restored(run: Path) -> str:
    without = f", or use the model without its run: copy {run / 'model'} elsewhere" if (run / "model").is_dir() else ""
    return f"Mend: restore it{without}"


def first_free(parent: Path, name: str) -> Path:
    """The first of ``parent/NAME``, ``…/NAME-2``, ``…/NAME-3`` that was not there; it is now. NAME is ``name`` as valid text.

    Raises :class:`UsageError` where ``parent`` can hold no folder.
    """
    check_writable(parent)
    parent.mkdir(parents=True, exist_ok=True)
    number, base = 1, shown(name).replace("\\", "_")
    while True:
        path = parent / (base if number == 1 else f"{base}-{number}")
        try:
            path.mkdir()  # claims it, whoever else is looking
        except FileExistsError:
            number += 1
        else:
            return path
