"""Compiling a kernel once per machine, with the processor's own instructions, and loading it; no compiler, no kernel, no complaint."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..machine import compiler
from .cache import InVain, cache_folder, opened
from .identity import cache_stem, compiler_command, environment, first_error, source, why_not_built

DTYPES = {torch.float32: 0, torch.bfloat16: 1}  # that kernels compute with, and how they are told which
PATIENCE = 3  # seconds after which a compiler's work is announced
COMPILE_TIMEOUT = 120  # seconds, longer than any compiler takes that is worth waiting for
# in the sources, unlike a missing header, a full disk and a compiler that was killed, which are "fatal" or have no line
AT_A_LINE = re.compile(r":\d+: error: ")
CODE, COUNT, POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p  # what kernels take; a tensor goes by :func:`pointer`


def structure(name: str, **fields: Any) -> type[ctypes.Structure]:
    """A structure as a kernel's source declares it."""
    return type(name, (ctypes.Structure,), {"_fields_": tuple(fields.items())})


class Kernel:
    """The ``functions`` of ``source``.cpp, compiled and loaded when one of them, or whether there are any, is first asked for.

    Each is an attribute, and is declared by the type of its answer and those of its arguments.
    """

    def __init__(self, source: str, **functions: tuple[Any, ...]) -> None:
        self.source, self.functions = source, functions

    @property
    def available(self) -> bool:
        """Whether this machine could compile it."""
        return library(self.source, *self.functions)[0] is not None

    @property
    def reason(self) -> str:
        """Why it is available, or why not, in a sentence."""
        return library(self.source, *self.functions)[1]

    def __getattr__(self, name: str) -> Any:
        if name not in self.functions:
            raise AttributeError(f"{self.source}.cpp declares no {name}")
        function = getattr(library(self.source, *self.functions)[0], name)
        function.restype, function.argtypes = self.functions[name][0], self.functions[name][1:]
        setattr(self, name, function)
        return function


@functools.cache
def library(name: str, *functions: str) -> tuple[ctypes.CDLL | None, str]:
    """The kernels of ``name``.cpp beside this file, or None, and in either case a sentence that says why.

    ``functions`` are those that it has to have.
    """
    command, path = compiler(), source(name)
    if why := why_not_built(command):
        return None, why
    assert command is not None, "which would be refused"
    try:
        found, kept = opened(cache_stem(path, command), functions, functools.partial(_compile, command, path))
        return found, f"compiled by {command}, kept as {kept}"
    except (OSError, RuntimeError) as error:  # RuntimeError where there is no home folder
        return None, f"{command} could not build it: {error}"


def _compile(command: str, path: Path, target: Path) -> None:
    """Raises :class:`OSError` with the compiler's first error; :class:`InVain` where that is at a line of the sources, which it will
    not take the next time either, and after :data:`COMPILE_TIMEOUT`."""
    words = [*compiler_command(command), "-o", str(target), str(path)]
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment(),
    )  # fmt: skip
    try:
        try:
            _, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            _announce()
            _, said = process.communicate(timeout=COMPILE_TIMEOUT - PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise InVain(f"{path.name} takes longer than {COMPILE_TIMEOUT} s to compile") from error
    finally:
        _end(process)
    if process.returncode:
        why = first_error(said)
        raise (InVain if AT_A_LINE.search(why) else OSError)(why)


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it started, which a signal to it alone, or an interrupt from the keyboard, would not reach."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@functools.cache
def _announce() -> None:
    """Say once why nothing seems to happen."""
    print(f"swinkit: compiling its kernels for this processor, once; they are kept in {cache_folder()}", file=sys.stderr)


def pointer(tensor: Tensor | None) -> int | None:
    """Where a contiguous tensor begins, for an argument that is declared ``c_void_p``; None is a null pointer."""
    assert tensor is None or tensor.is_contiguous(), "kernels read memory in its order"
    return None if tensor is None else tensor.data_ptr()
