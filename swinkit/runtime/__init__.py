"""Answers: engines, the predictor around them, and what is exported. Submodules are imported when they are first named."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

__all__ = [found.name for found in pkgutil.iter_modules(__path__)]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
