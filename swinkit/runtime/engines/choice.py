"""Which engine is fastest here: measured once per machine, model, shape and precision, and remembered.

:mod:`~swinkit.runtime.choices` keeps what is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ... import __version__
from ...kernels import attention, dense
from ...kernels.identity import processor_identity, sources_digest
from ...machine import version
from ...timing import in_turn
from ..choices import remember, remembered
from ..kinds import ENGINES

TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}  # of the largest logit; a wrong engine is off by its whole size
ROUNDS = 7
PREFERRED = "native"  # whose one program serves all sizes in the least memory
CLEARLY = 0.95  # the share of its time that another may take
LOOK = 256  # pixels a side, at most, of what an engine with one program for all sizes is trusted by: the model itself takes much memory for more


def fastest(model: nn.Module, precision: str, shape: Any, names: list[str], run: Callable[..., Any]) -> Any:
    """The quickest of the engines ``names`` that answers like the model; ``run(model, name, precision)`` makes one.

    Where others are hardly quicker it is :data:`PREFERRED`. An engine that fails to build, or answers otherwise, is passed over, and a
    remembered one whose answer for a picture is not that of these weights is not trusted; "eager" always remains.
    """
    key = identity(model, precision, shape, names)
    known = remembered().get(key)
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if known in names:
        with contextlib.suppress(Exception):  # another library may have lost something since
            few = pictures[:1, :, :LOOK, :LOOK] if ENGINES[known].any_size else pictures
            truth = None if known == "eager" else itself(model, run, few[:1])
            chosen = run(model, known, precision)
            if truth is None or agrees(chosen(few)[:1], truth, precision):
                return chosen
    runs, truth = [], itself(model, run, pictures)
    for name in names:
        try:
            candidate = run(model, name, precision)
            answer = candidate(pictures)
        except Exception:  # whatever another library does wrong, an engine is only an offer
            continue
        if name == "eager" or agrees(answer, truth, precision):
            runs.append(candidate)
    seconds = in_turn({candidate.name: partial(candidate, pictures) for candidate in runs}, ROUNDS, unmeasured=0)
    best = min(runs, key=lambda each: statistics.median(seconds[each.name]) * (CLEARLY if each.name == PREFERRED else 1))
    remember(key, best.name)
    return best


def itself(model: nn.Module, run: Callable[..., Any], pictures: Tensor) -> Tensor:
    """What ``model`` answers; the copy that is asked is gone before an engine makes its own."""
    return run(model, "eager", "float32")(pictures)


def agrees(answer: Tensor, truth: Tensor, precision: str) -> bool:
    """Whether logits differ from those of the float32 model by no more than the precision explains."""
    return bool((answer - truth).abs().max() <= TOLERANCE[precision] * truth.abs().max())


def identity(model: Any, precision: str, shape: Any, names: list[str]) -> str:
    """What the choice depends on: the processor with its model, threads, versions, kernels, architecture, shape, precision and candidates."""
    versions = __version__, {name: version(name) for name in ("torch", *names)}
    parts = (
        processor_identity(), torch.get_num_threads(), versions, names, model.config.model_dump_json(), tuple(shape),
        precision, sources_digest(), attention.KERNEL.available, dense.KERNEL.available,
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
