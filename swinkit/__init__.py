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
    from . import config as config
    from . import data as data
    from . import errors as errors
    from . import explain as explain
    from . import kernels as kernels
    from . import model as model
    from . import preprocessing as preprocessing
    from . import report as report
    from . import results as results
    from . import runtime as runtime
    from . import study as study
    from . import tasks as tasks
    from . import train as train
    from . import variants as variants
    from . import weights as weights
    from .config import SwinConfig as SwinConfig
    from .errors import SwinkitError as SwinkitError
    from .preprocessing import Preprocessing as Preprocessing
    from .results import Classification as Classification
    from .runtime.predictor import Predictor as Predictor
    from .tasks import create_model as create_model
    from .tasks import load as load
    from .tasks import save as save
else:
    # hidden from type checkers, to which any name would be there

    def __getattr__(name: str) -> Any:
        if name in NAMES:
            return getattr(importlib.import_module(NAMES[name]), name)
        if name in MODULES:
            return importlib.import_module(f"swinkit.{name}")
        raise AttributeError(f"module 'swinkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
