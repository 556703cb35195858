"""swinkit: the toolkit for Swin Transformers. Public names are imported when they are first used; importing this is free."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> the module that defines it
NAMES: dict[str, str] = {
    "create_model": "swinkit.tasks",
    "load": "swinkit.tasks",
    "save": "swinkit.tasks",
    "Predictor": "swinkit.runtime.predictor",
    "SwinConfig": "swinkit.config",
    "Preprocessing": "swinkit.preprocessing",
    "Classification": "swinkit.results",
    "SwinkitError": "swinkit.errors",
}
MODULES = (
    "config", "data", "errors", "explain", "kernels", "model", "preprocessing", "report", "results", "runtime", "study", "tasks",
    "train", "variants", "weights",
)  # fmt: skip

__all__ = ["__version__", *NAMES, *MODULES]

if TYPE_CHECKING:
    from .config import SwinConfig as SwinConfig
    from .errors import SwinkitError as SwinkitError
    from .preprocessing import Preprocessing as Preprocessing
    from .results import Classification as Classification


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    if name in MODULES:
        return importlib.import_module(f"swinkit.{name}")
    raise AttributeError(f"module 'swinkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
