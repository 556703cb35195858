"""The engines there are, as a table that is read without torch; :mod:`~swinkit.runtime.engines` builds them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import MissingExtra, UsageError
from ..extras import is_installed
from ..machine import compiler

PRECISIONS = ("float32", "bfloat16")  # in which engines compute
OPENVINO_HINTS = {"float32": "f32", "bfloat16": "bf16"}  # what OpenVINO calls them


@dataclass(frozen=True)
class Kind:
    """One engine: the module whose ``build(model, precision, shape)`` makes a :data:`Program`, and what it is.

    ``any_size`` programs serve every shape, others the one they were built for. ``package`` is what it needs beyond the core.
    ``compiles``: it needs a C++ compiler. ``quick`` engines are built in seconds, so that "auto" may try them. One that is asked
    for a precision which is not among its ``precisions`` computes in float32.
    """

    purpose: str
    any_size: bool
    package: str | None = None
    compiles: bool = False
    quick: bool = True
    precisions: tuple[str, ...] = PRECISIONS

    @property
    def installed(self) -> bool:
        return self.package is None or is_installed(self.package)


ENGINES: dict[str, Kind] = {
    "eager": Kind("the model itself, by torch", any_size=True),
    "native": Kind("folded, by native kernels with packed weights", any_size=True),
    "onednn": Kind("folded, oneDNN with packed weights, native window attention", any_size=True),
    "openvino": Kind("folded, compiled by OpenVINO for one shape", any_size=False, package="openvino"),
    "onnxruntime": Kind(
        "folded, run by ONNX Runtime for one shape", any_size=False, package="onnxruntime", quick=False, precisions=("float32",)
    ),
    "compiled": Kind("folded, compiled by torch for one shape", any_size=False, compiles=True, quick=False),
}


def check_engine(name: str, also: Sequence[str] = ("auto",)) -> None:
    """Raises :class:`UsageError` for an engine that there is not, :class:`MissingExtra` for one that is not installed; ``also`` are names
    that the caller takes besides. :class:`UsageError` also where there is no C++ compiler for one that needs it."""
    known = [*also, *ENGINES]
    if name not in known:
        raise UsageError(f"There is no engine {name!r}. Engines: {', '.join(known)}")
    if name in ENGINES and not ENGINES[name].installed:
        raise MissingExtra(str(ENGINES[name].package), "export")
    # on Windows torch takes one that this does not find
    if name in ENGINES and ENGINES[name].compiles and sys.platform != "win32" and compiler() is None:
        raise UsageError(
            f"The engine {name} needs a C++ compiler, and there is none. Mend: install g++, name one by CXX, or leave the engine out"
        )
