"""A trained model run in every way that needs nothing installed, in turn in this process: how long a picture takes, how far answers move.

For figures to publish, :func:`swinkit.study.bench.measure` gives each way a process of its own, and knows the other engines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import computes_bfloat16
from ..kernels.accelerate import apart
from ..kernels.attention import KERNEL
from ..runtime import engines
from ..runtime.engines.fixed import folded
from ..timing import in_turn
from .models import PLAIN


def compare_ways(model: nn.Module, images: Tensor, rounds: int) -> dict[str, dict[str, Any]]:
    """By name of each way: "seconds" of every round, and how its answer for ``images`` (B, C, H, W) differs from the model's own.

    "plain" is the model itself by torch, "folded" its inference form by torch, "native" the same through packed weights and the
    window attention's kernel, "bfloat16" that in half the bits, where the processor has them. ``difference`` is the largest of a
    logit, as a share of the largest logit; ``same`` whether the likeliest classes are. With 0 ``rounds`` nothing is timed.
    """
    with torch.inference_mode():
        runs = {name: partial(_answer, run, images) for name, run in _ways(model, images).items()}
        truth = runs[PLAIN]()
        rows = {name: _compared(run(), truth) for name, run in runs.items()}
        if rounds:
            for name, seconds in in_turn(runs, rounds).items():
                rows[name]["seconds"] = seconds
    return rows


def has_kernel() -> bool:
    """Whether "native" computes attention by the compiled kernel on this machine, rather than by torch."""
    return KERNEL.available


def _ways(model: nn.Module, images: Tensor) -> dict[str, Callable[[Tensor], Any]]:
    shape: Any = tuple(images.shape)
    ways: dict[str, Callable[[Tensor], Any]] = {
        PLAIN: model, "folded": folded(apart(model), shape), "native": engines.build(model, "float32", shape, "native"),
    }  # fmt: skip
    if computes_bfloat16(torch.device("cpu")):
        ways["bfloat16"] = engines.build(model, "bfloat16", shape, "native")
    return ways


def _answer(run: Callable[[Tensor], Any], images: Tensor) -> Tensor:
    answer = run(images)
    return answer[0] if isinstance(answer, tuple) else answer


def _compared(answer: Tensor, truth: Tensor) -> dict[str, Any]:
    difference = (answer - truth).abs().max() / truth.abs().max()
    return {"difference": float(difference), "same": bool((answer.argmax(1) == truth.argmax(1)).all())}
