"""The only training loop, what surrounds it, and the folder of a run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..lazy import submodules

NAMES = {
    "cross_validate": "crossval",
    "fit": "session",
    "go_on": "pretraining",
    "pretrain": "pretraining",
    "resume": "session",
    "resume_folds": "crossval",
    "CrossValidation": "crossval",
    "PretrainResult": "pretraining",
    "PretrainSettings": "settings",
    "RunResult": "session",
    "TrainSettings": "settings",
}

__all__ = [
    "CrossValidation",
    "PretrainResult",
    "PretrainSettings",
    "RunResult",
    "TrainSettings",
    "cross_validate",
    "fit",
    "go_on",
    "pretrain",
    "resume",
    "resume_folds",
]

if TYPE_CHECKING:
    from .crossval import CrossValidation as CrossValidation
    from .crossval import cross_validate as cross_validate
    from .crossval import resume_folds as resume_folds
    from .pretraining import PretrainResult as PretrainResult
    from .pretraining import go_on as go_on
    from .pretraining import pretrain as pretrain
    from .session import RunResult as RunResult
    from .session import fit as fit
    from .session import resume as resume
    from .settings import PretrainSettings as PretrainSettings
    from .settings import TrainSettings as TrainSettings

_, _submodule = submodules(__name__, __path__)


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return getattr(importlib.import_module(f"{__name__}.{NAMES[name]}"), name)
    return _submodule(name)
