"""Tensors out of a PyTorch file of any origin, without running anything in it.

A process of its own, memory-capped and time-limited, reads the pickle (:mod:`~swinkit.weights.pickles`) and answers in JSON. Here
the tensors are mapped from the places it named. Whatever a file does to that process, the caller gets a :class:`WeightsError`.
The cap is one of address space and needs Linux; elsewhere the checks of sizes before the reading keep memory in bounds.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..interpreter import python
from .pickles import SECONDS, STORAGES
from .safety import check_archive, is_archive, refuse_file

ITEM_BYTES = dict(STORAGES.values())  # by the name of a type
START = "from swinkit.weights.pickles import serve; serve()"


def unpickle_apart(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in a PyTorch file, mapped copy-on-write, and the plain values beside it.

    Raises :class:`WeightsError` for a file that is damaged, that would run code, or that takes more memory or time than is fair.
    """
    # here already, so that most hostile files cost no process
    entries = {*check_archive(path).values()} if is_archive(path) else None
    reply = _ask(path)
    if "refused" in reply:
        raise WeightsError(reply["refused"])
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        return _mapped(content, reply["tensors"], entries), reply["beside"]
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as fault:
        # the process is no more to be trusted than the file that it read
        reason = str(fault).partition("\n")[0][:200]
        refuse_file(path, f"its pickle describes what is no tensor in it ({reason})")


def _mapped(content: mmap.mmap, tensors: list[Any], entries: set[tuple[int, int]] | None) -> dict[str, Tensor]:
    """``tensors`` as :func:`~swinkit.weights.pickles.describe` tells of them; each storage is one of ``entries``, (first byte, bytes), if given."""
    storages: dict[int, Tensor] = {}
    state = {}
    for name, dtype, start, count, offset, shape, stride in tensors:
        if entries is not None and (start, count * ITEM_BYTES[dtype]) not in entries:
            raise ValueError(f"{name} lies in no storage")
        if start not in storages:
            storages[start] = _storage(content, getattr(torch, dtype), start, count)
        state[name] = storages[start].as_strided(shape, stride, offset)
    return state


def _storage(content: mmap.mmap, dtype: torch.dtype, start: int, count: int) -> Tensor:
    if count == 0:
        return torch.empty(0, dtype=dtype)
    if start % dtype.itemsize == 0:
        return torch.frombuffer(content, dtype=dtype, count=count, offset=start)
    return torch.frombuffer(bytearray(content[start : start + count * dtype.itemsize]), dtype=dtype)


def _ask(path: Path) -> dict[str, Any]:
    try:
        done = subprocess.run(
            python(START, os.fspath(path)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=2 * SECONDS,
        )  # fmt: skip
        reply = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise WeightsError(f"{path} is refused: its pickle was not read within {2 * SECONDS} s") from None
    except ValueError:
        raise WeightsError(
            f"{path} is refused: the process that read its pickle {_end(done.returncode)}. Mend: download it again from its origin"
        ) from None
    return dict(reply)


def _end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} and without an answer"
