"""The one door through which OpenVINO and NNCF are imported: both report their use to their makers by default, here neither can.

And here all have one ``Core``, as OpenVINO's documentation recommends: each sets a stack for signal handlers (its pull request
11894) and at its end sets the one before it again, which is gone if that of an earlier ``Core`` went first. The next signal with a
handler, Ctrl-C or the end of a loader's worker, would then kill the process.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from ..extras import required

REPORTER = "openvino_telemetry"  # the package through which both report; without it both fall back to silent stand-ins
REPORTS = ("start_session", "end_session", "send_event", "send_error", "send_stack_trace")


def openvino() -> Any:
    """The package ``openvino``, whose ``Core()`` is always the same one; raises :class:`MissingExtra`."""
    package = _silently("openvino")
    if not issubclass(package.Core, _One):
        package.Core = type("Core", (_One, package.Core), {})  # still a class, for whoever asks or derives
    return package


class _One:
    """Of each class that begins with this one there is a single instance."""

    one: Any

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return vars(cls).get("one") or super().__new__(cls, *arguments, **named)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if "one" not in vars(type(self)):
            super().__init__(*arguments, **named)
            type(self).one = self


def nncf() -> Any:
    """The package ``nncf``; raises :class:`MissingExtra`."""
    # it looks for CUDA's compiler, and torch warns where there is none
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    openvino()  # before NNCF makes a Core of its own
    return _silently("nncf")


def _silently(package: str) -> Any:
    loaded = sys.modules.get(REPORTER)
    if loaded is None:
        sys.modules[REPORTER] = None  # type: ignore[assignment]  # importing it fails from now on
    else:  # somebody imported it before us
        for name in REPORTS:
            setattr(loaded.Telemetry, name, _nothing)
    return required(package, "export")


def _nothing(*_: Any, **__: Any) -> None:
    """What is reported instead."""
