"""What the studies measure, built inside a measuring process: a Swin under an engine, an exported bundle, a Vision Transformer, the GEMM floor.

Inputs are noise, 32 different batches where they fit into a quarter of a gigabyte: what is in them changes no speed, but the same one
again would find its way through the caches.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from math import prod
from typing import Any

import torch
import torchvision.models.vision_transformer  # noqa: F401  here, so that its memory is not taken for a model's
from torch import Tensor, nn

from .. import memory
from ..devices import dtype_of
from ..runtime.export.bundle import open_bundle
from ..runtime.export.sessions import RUNTIMES, version_of
from . import floor
from .models import PLAIN, open_model, outline
from .process import Subject
from .vit import VITS, build_vit

INPUTS, ROOM = 32, 2**28
LIBRARIES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "compiled": "torch._inductor.compile_fx"}  # of engines


class Inputs:
    """Up to :data:`INPUTS` different batches of ``shape``, (B, …), cut from one tensor of noise; called with i, the i-th, whatever i."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.batch, *rest = shape
        self.count = min(INPUTS, max(1, ROOM // (4 * prod(rest)) - self.batch))
        self.noise = torch.randn(self.count + self.batch - 1, *rest, generator=torch.Generator().manual_seed(0))

    def place(self, index: int) -> slice:
        """Where in the noise the i-th batch lies."""
        return slice(index % self.count, index % self.count + self.batch)

    def __call__(self, index: int) -> Tensor:
        return self.noise[self.place(index)]


def run_plainly(model: nn.Module, precision: str) -> Callable[[Tensor], Tensor]:
    """``model`` as it is, in float32 or under bfloat16 autocast; answers in float32."""

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext():
            return model(images).float()

    return run


def subject_of(run: Callable[[Tensor], Tensor], picture: Inputs, **about: Any) -> Subject:
    """``run`` on the pictures, one batch a step; its answers are those to the first :data:`INPUTS` batches."""

    def answers(path: str) -> None:
        import numpy as np

        np.save(path, torch.cat([run(picture(index)) for index in range(INPUTS)]).numpy())

    return Subject(lambda index: run(picture(index)), about, answers, picture.noise.nbytes)


def _imported(engine: str) -> int:
    """Bytes that the library of ``engine`` takes, which is imported here where there is one."""
    before = memory.resident()
    if engine in LIBRARIES:
        with suppress(ImportError):  # which the engine explains better
            importlib.import_module(LIBRARIES[engine])
    return (memory.resident() or 0) - (before or 0)


def swin(model: str, batch: int, size: tuple[int, int], precision: str, engine: str) -> Subject:
    """A Swin under ``engine``: :data:`PLAIN`, "auto", or one of :mod:`swinkit.runtime.engines`."""
    libraries = _imported(engine)
    network = open_model(model)
    run: Any
    about: dict[str, Any]
    if engine == PLAIN:
        run, about = run_plainly(network, precision), {"engine": PLAIN, "precision": precision}
    else:
        from ..runtime import engines

        shape = (batch, network.config.in_channels, *size)
        begun = time.perf_counter()
        run = engines.build(network, precision=precision, shape=shape, engine=engine)
        about = {"engine": run.name, "precision": run.precision, "build_seconds": time.perf_counter() - begun}
    subject = subject_of(run, Inputs((batch, network.config.in_channels, *size)), **about)
    return replace(subject, aside=subject.aside + libraries)


def exported(bundle: str, runtime: str, batch: int, size: tuple[int, int], precision: str, threads: int = 0) -> Subject:
    """The graph of a bundle in ``runtime``, by so many ``threads``, 0 for its own choice. What it takes lies ready: pictures as its input
    wants them, normalised or not."""
    libraries = _imported(runtime)
    opened = open_bundle(bundle)
    manifest = opened.manifest
    begun = time.perf_counter()
    run = RUNTIMES[runtime].session(opened, threads)
    built = time.perf_counter() - begun
    noise = Inputs((batch, manifest.swin.in_channels, *size))
    pictures = manifest.input.from_normalised(noise.noise.numpy(), manifest.preprocessing)
    about = {
        "engine": runtime, "version": version_of(runtime), "bundle": bundle, "precision": precision, "build_seconds": built,
    }  # fmt: skip
    return Subject(lambda index: run(pictures[noise.place(index)]), about, aside=noise.noise.nbytes + libraries)


def vit(model: str, batch: int, size: tuple[int, int], precision: str, engine: str = PLAIN) -> Subject:
    """torchvision's Vision Transformer of DeiT's size ``model``, for squares; ``engine`` is "plain" or "compiled"."""
    torch.manual_seed(0)
    network = build_vit(VITS[model], size[0])
    # its own fast path writes whole attention matrices; without it torch's fused kernel does not, and is faster
    torch.backends.mha.set_fastpath_enabled(False)
    if engine == "compiled":
        network = torch.compile(network)  # type: ignore[assignment]
    run = run_plainly(network, precision)
    return subject_of(run, Inputs((batch, 3, *size)), engine=engine, precision=precision)


def gemm_floor(model: str, batch: int, size: tuple[int, int], precision: str) -> Subject:
    """The matrix products of a Swin alone; see :mod:`~swinkit.study.floor`."""
    listed = floor.gemms(outline(model).config, batch, (size[0], size[1]))
    products = floor.Floor(listed, dtype_of(precision))
    about = {"engine": "GEMM floor", "precision": precision, "gmacs": sum(gemm.macs for gemm in listed) / 1e9}
    return Subject(lambda index: products(), about)
