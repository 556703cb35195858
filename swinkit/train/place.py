"""Where runs lie: never over something that is there already."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.collection import shown
from ..errors import UsageError
from ..weights.atomic import TEMPORARY


def run_of(model: str) -> Path | None:
    """The run that ``model`` names, itself or its model folder; None for a model without one."""
    path = Path(model)
    for folder in (path, path.parent):
        if (folder / "config.yaml").is_file() and (folder / "data.json").is_file():
            return folder
    return None


def claim(path: Path) -> Path:
    """``path`` as a new or empty folder; raises :class:`UsageError` when it holds something."""
    check_free(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


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
        raise UsageError(
            f"{path} already exists, and a run is never overwritten. Mend: go on with it by --resume {path}, or choose another --out"
        )


def never_began(path: Path) -> bool:
    """Whether the folder ``path`` holds no more than what a run writes before config.yaml, the lock first."""
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)}
    return ".lock" in names and names <= {".lock", "env.json", "data.json"}


def check_begun(path: Path) -> None:
    """Raises :class:`UsageError` when ``path`` is no run that can be gone on with."""
    if not (path / "config.yaml").is_file():
        raise UsageError(f"{path} is not a run that can be resumed: it has no config.yaml. Mend: start it without --resume")


def first_free(parent: Path, name: str) -> Path:
    """The first of ``parent/NAME``, ``…/NAME-2``, ``…/NAME-3`` that was not there; it is now. NAME is ``name`` as valid text."""
    number, base = 1, shown(name).replace("\\", "_")
    while True:
        path = parent / (base if number == 1 else f"{base}-{number}")
        try:
            path.mkdir(parents=True)  # claims it, whoever else is looking
        except FileExistsError:
            number += 1
        else:
            return path
