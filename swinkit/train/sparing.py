"""What measures against memory cost in time: told with the plan, from passes that go forward only, with the measures, and so fit where a step does."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..devices import dtype_of
from ..kernels.attention import attends_natively, native_attention
from ..memory import ran_out_of_memory
from ..model.attention import WindowAttention
from ..model.backbone import Stage
from ..tasks import Task
from .plan import ENOUGH, Rehearsal, pass_seconds, undisturbed, wait_for


def sparing(task: Task, model: nn.Module, batch: Any, rehearsal: Rehearsal) -> tuple[str, ...]:
    """A sentence for each measure that ``model`` takes; ``rehearsal`` is that of a step on ``batch``.

    What a measure does not keep is computed again in the backward pass, so that it costs what that takes in the forward pass.
    """
    try:
        return tuple(costs(task, model, batch.to(next(model.parameters()).device), rehearsal))
    except RuntimeError as fault:
        if not ran_out_of_memory(fault):
            raise
        return ("What the measures against memory cost in time could not be measured within it.",)


def costs(task: Task, model: nn.Module, batch: Any, rehearsal: Rehearsal) -> Iterator[str]:
    config: Any = model.config
    if config.gradient_checkpointing:
        again = forward_seconds(task, model, batch, rehearsal)
        yield f"gradient_checkpointing computes all blocks again in the backward pass, {of_a_step(again, rehearsal)}."
    if chunk := config.attention_chunk:
        if all_native(model, dtype_of(rehearsal.precision)):
            yield f"attention_chunk={chunk} has no effect here: the native kernel goes window by window, and holds the scores of one head of one in each thread."
        else:
            again = attention_seconds(task, model, batch, rehearsal)
            yield f"attention_chunk={chunk} computes attention again in the backward pass, {of_a_step(again, rehearsal)} or more."


def of_a_step(again: float, rehearsal: Rehearsal) -> str:
    return f"about {again / rehearsal.seconds:.0%} of a step ({again:.2g} of {rehearsal.seconds:.2g} s)"


def forward_seconds(task: Task, model: nn.Module, batch: Any, rehearsal: Rehearsal) -> float:
    """How long ``batch`` takes to go forward as it does in training."""
    with undisturbed(model):
        passes = [
            pass_seconds(task, model, batch, rehearsal.precision, rehearsal.accumulate, back=False) for _ in range(ENOUGH)
        ]
    return min(passes)


def attention_seconds(task: Task, model: nn.Module, batch: Any, rehearsal: Rehearsal) -> float:
    """How much of that goes into window attention, as hooks see it that stand there meanwhile."""
    device, clock = next(model.parameters()).device, Clock()

    def note(*_: Any) -> None:
        wait_for(device)
        clock.turn()

    attentions = [module for module in model.modules() if isinstance(module, WindowAttention)]
    hooks = [
        hook for module in attentions for hook in (module.register_forward_pre_hook(note), module.register_forward_hook(note))
    ]
    try:
        forward_seconds(task, model, batch, rehearsal)
    finally:
        for hook in hooks:
            hook.remove()
    return clock.seconds / ENOUGH


class Clock:
    """Runs and stands in turn; ``seconds`` it ran."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.begun: float | None = None

    def turn(self) -> None:
        now = time.perf_counter()
        if self.begun is None:
            self.begun = now
        else:
            self.seconds, self.begun = self.seconds + now - self.begun, None


def all_native(model: nn.Module, dtype: torch.dtype) -> bool:
    """Whether every window attention of ``model`` is computed by the native kernel on maps of ``dtype``."""
    stages: list[Any] = [module for module in model.modules() if isinstance(module, Stage)]
    found = [(block.attention, math.prod(stage.window)) for stage in stages for block in stage.blocks]
    return next(model.parameters()).device.type == "cpu" and all(
        attention.fast_path is native_attention and attends_natively(attention, tokens, dtype) for attention, tokens in found
    )
