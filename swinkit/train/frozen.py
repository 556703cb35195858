"""The network that a run's config.yaml froze, reconciled with another model or size given on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import as_side
from ..errors import UsageError
from ..variants import ALIASES, VARIANTS
from .settings import RunSettings

# told by settings of an architecture that leave nothing to a model
WHOLE = {"version", "image_size", "embed_dim", "depths", "window_size"}


def beside(file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a ``file`` that hold beside what is ``given`` over them, both as YAML has them.

    Another model than the file's brings its own architecture, preprocessing and size, where the file has frozen these; another size takes the place
    of that of the file's network and preprocessing. In a pre-training the window follows the size, so it is left open too. Whoever gives a number of
    folds means all of them, not the one that the file's run was.
    """
    answer, swin = dict(file), file.get("swin")
    if "folds" in given:
        answer.pop("fold", None)
    other = "model" in given and _meant(given["model"]) != _meant(file.get("model"))
    if other and isinstance(swin, Mapping) and swin.keys() >= WHOLE:
        for name in ("swin", "preprocessing", "image_size"):
            answer.pop(name, None)
    elif "image_size" in given and _size(given["image_size"]) != _size(file.get("image_size")):
        follows = ("image_size", "window_size") if file.get("task") == "pretraining" else ("image_size",)
        for block, names in (("swin", follows), ("preprocessing", ("size",))):
            if isinstance(held := answer.get(block), Mapping):
                answer[block] = {name: value for name, value in held.items() if name not in names} or None
    return answer


def check_agreement(settings: RunSettings) -> None:
    """Raises :class:`UsageError` where ``settings`` name two sizes. A variant of which ``swin`` makes another network is no contradiction, and told at
    the start."""
    size, own = settings.image_size, (settings.swin or {}).get("image_size")
    if size is not None and own is not None and _size(size) != _size(own):
        raise UsageError(
            f"image_size is {_shown(size)}, and swin.image_size is {_shown(own)}. Mend: leave swin.image_size out; image_size says it"
        )


def _meant(model: Any) -> Any:
    """One name for all of a model's."""
    if not isinstance(model, str):
        return model
    row = ALIASES.get(model) or VARIANTS.get(model)
    return row.name if row else str(Path(model).resolve()) if Path(model).exists() else model


def _size(value: Any) -> Any:
    return as_side(tuple(value) if isinstance(value, list) else value)


def _shown(value: Any) -> str:
    side = _size(value)
    return "x".join(map(str, side)) if isinstance(side, tuple) else str(side)
