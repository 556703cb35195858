"""Where a network computes, and by how many threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import UsageError


def find_device(name: str | torch.device = "auto") -> torch.device:
    """The device ``name``, or for "auto" a GPU where there is one; raises :class:`UsageError` for what this machine lacks."""
    name = str(name)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    count = torch.cuda.device_count() if present["cuda"] else 0
    if not present.get(name, False) and name not in {f"cuda:{index}" for index in range(count)}:
        here = [kind for kind, there in present.items() if there]
        several = f"; cuda is cuda:0 to cuda:{count - 1}" if count > 1 else ""
        raise UsageError(f"This machine has no device {name!r}; it has {', '.join(here)}{several}")
    return torch.device(name)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within, torch computes by ``count`` threads, if that is not None; after it by as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def one_thread_after_fork() -> None:
    """From now on torch computes by one thread in every process that is forked from this one, where systems fork.

    OpenMP's threads do not come along, and a child that counts on them waits for them forever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


# as engines and studies call precisions, and as a training's settings do
DTYPES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "32-true": torch.float32, "bf16-mixed": torch.bfloat16,
}  # fmt: skip


def dtype_of(precision: str) -> torch.dtype:
    """The type in which layers compute with ``precision``, one of :data:`DTYPES`."""
    return DTYPES[precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def onednn_packs(dtype: torch.dtype) -> bool:
    """Whether oneDNN takes weights of ``dtype`` in an order of its own: bfloat16 with AVX-512 or better, be it emulated."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
