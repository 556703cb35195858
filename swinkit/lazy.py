"""Submodules of a package as its attributes, each imported when it is first named."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType


def submodules(package: str, path: Iterable[str]) -> tuple[list[str], Callable[[str], ModuleType]]:
    """``__all__`` and ``__getattr__`` (PEP 562) of ``package``, whose modules lie at ``path``."""
    names = [found.name for found in pkgutil.iter_modules(path)]

    def named(name: str) -> ModuleType:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return names, named
