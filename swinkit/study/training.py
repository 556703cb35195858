"""One training step as something to measure: forward, cross-entropy, backward and a fused AdamW, for any network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.accelerate import accelerate
from .models import open_model
from .process import Subject
from .subjects import Inputs

NATIVE = "native"  # with swinkit's kernels, as `swinkit train` steps


def stepper(
    net: nn.Module, forward: Callable[[Tensor], Tensor], pictures: Callable[[int], Tensor], classes: int, precision: str
) -> Callable[[int], Any]:
    """One step on the i-th batch of ``pictures``; ``forward`` is ``net`` or its compiled form. AdamW is torch's fused one, whoever steps, so that it decides nothing."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-5, weight_decay=0.05, fused=True)

    def step(index: int) -> None:
        images = pictures(index)
        labels = torch.arange(len(images)) % classes
        with torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext():
            logits = forward(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def stepping(network: Any, batch: int, size: tuple[int, int], precision: str, native: bool, **about: Any) -> Subject:
    """Training steps of a classifier of ours, with swinkit's kernels if ``native``; its weights change."""
    network.train()
    if native:
        accelerate(network)
    pictures = Inputs((batch, network.config.in_channels, *size))
    step = stepper(network, network, pictures, network.config.num_classes, precision)
    return Subject(step, {**about, "precision": precision}, aside=pictures.noise.nbytes)


def swin(model: str, batch: int, size: tuple[int, int], precision: str, engine: str) -> Subject:
    """Training steps of a model or variant; ``engine`` is :data:`NATIVE` or :data:`~swinkit.study.models.PLAIN`."""
    return stepping(open_model(model), batch, size, precision, engine == NATIVE, engine=engine)
