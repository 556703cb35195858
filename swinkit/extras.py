"""Optional packages: whether they are installed, and importing them. What is absent is one line that names its extra."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .errors import MissingExtra


def is_installed(package: str) -> bool:
    """Whether importing ``package`` gives a package, of which nothing is run.

    A folder of that name without an ``__init__.py``, such as a clone or results beside the user's files when Python looks for modules
    there, can be imported too, as an empty namespace package (PEP 420), which has no origin.
    """
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def required(module: str, extra: str) -> Any:
    """The module of an optional package; raises :class:`MissingExtra` where the package is not installed."""
    package = module.partition(".")[0]
    if not is_installed(package):
        raise MissingExtra(package, extra)
    return import_module(module)
