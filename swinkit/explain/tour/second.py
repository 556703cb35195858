"""The chapter on Swin V2: norms behind the branches, scaled cosine attention, log-spaced coordinates, another window, SimMIM's mask."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import Masking
from ...model.attention import DotProduct, ScaledCosine
from ...model.block import Block
from ...model.classifier import SwinClassifier
from ...model.position_bias import MlpBias, log_spaced_coordinates
from ...model.simmim import VISIBLE, cell_grid, random_mask
from ...weights.resize import bicubic
from ..atlas import atlas
from .packing import pack
from .subject import Subject
from .tracing import Trace, Watched, trace

FACTORS = (1.0, 2.0, 4.0, 8.0)
STEPS = 600  # of fitting the small network to a table: a second or two


def second(subject: Subject, traced: Trace) -> dict[str, Any]:
    first = traced.stage(0)[0]
    return {
        "version": subject.model.config.version,
        "amplitude": amplitudes(subject), "logits": logit_ranges(first), "coordinates": coordinates(), "transfer": transfer(subject.model, first),
        "mask": mask_cells(),
    }  # fmt: skip


def amplitudes(subject: Subject) -> dict[str, Any]:
    """Root mean square of the stream behind the last block when every branch weight is multiplied by a factor.

    Both versions start from the same fresh weights of this model's size; version 2's norms, which start at zero, are set to one, so
    that its branches speak. What is shown is the bound that a norm behind the branch gives, not a trained network.
    """
    answer: dict[str, Any] = {"factors": list(FACTORS)}
    for version in (1, 2):
        fields = {**subject.model.config.model_dump(), "version": version, "pretrained_window_sizes": (), "extra_norm_every": 0}
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = SwinClassifier(type(subject.model.config).model_validate(fields)).eval()
        answer[f"v{version}"] = [_loudness(model, subject.image, factor) for factor in FACTORS]
    return answer


@torch.inference_mode()
def _loudness(model: SwinClassifier, image: Tensor, factor: float) -> float:
    """The stream's size in the last block with branch weights times ``factor``, which are put back."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    layers = [layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear)]
    for block in blocks:
        block.norm1.weight.fill_(1)
        block.norm2.weight.fill_(1)
    for layer in layers:
        layer.weight.mul_(factor)
    try:
        return float(trace(model, image).blocks[-1].after.square().mean().sqrt())
    finally:
        for layer in layers:
            layer.weight.div_(factor)


@torch.inference_mode()
def logit_ranges(watched: Watched) -> dict[str, Any]:
    """Largest absolute logit before the bias, of q·k/√d and of the scaled cosine, as queries and keys grow by a factor.

    Both read this block's own queries and keys; the cosine's scale is the one that version 2 starts with.
    """
    attention, x = watched.block.attention, watched.parts["attention"][0]
    q, k, _ = attention.project(watched.grid.split(x))
    cosine = ScaledCosine(attention.heads)
    product: list[float] = []
    scaled: list[float] = []
    for factor in FACTORS:
        for found, similarity in ((product, DotProduct()), (scaled, cosine)):
            a, b, scale = similarity(factor * q, factor * k)
            found.append(scale * float((a @ b.transpose(-1, -2)).abs().max()))
    start = float(cosine.logit_scale.exp().max())
    return {"factors": list(FACTORS), "product": product, "cosine": scaled, "start": start, "ceiling": 100}


def coordinates(small: int = 8, large: int = 16) -> dict[str, Any]:
    """How far the farthest offset of a larger window lies outside what the network saw, in linear and in log-spaced coordinates.

    Coordinates of the library (V2, equation 4), in which the trained window reaches exactly 1.
    """
    log = log_spaced_coordinates((large, large), (small, small))[:, 1].view(2 * large - 1, -1)[0]
    reach = torch.arange(1 - large, large) / (small - 1)
    trained = float(log_spaced_coordinates((small, small), (small, small)).max())
    return {
        "small": small, "large": large, "linear": reach.tolist(), "log": (log / trained).tolist(),
        "linear_reach": float(reach.max()), "log_reach": float(log.max()) / trained, "offsets": list(range(1 - large, large)),
    }  # fmt: skip


def transfer(model: SwinClassifier, watched: Watched) -> dict[str, Any]:
    """One head's bias carried to a window twice as large: the table bicubically, and by a log-CPB network.

    A model of version 2 brings its own network. Of version 1 the table is first learned by a fresh one, so that both start from
    the same values; ``error`` is what that fit leaves, as a share of the table's spread.
    """
    bias, window = watched.block.attention.bias, watched.grid.window
    twice = 2 * window[0], 2 * window[1]
    before = atlas(model)[0].surface
    own = isinstance(bias, MlpBias)
    network, level, error = (bias, 0.0, 0.0) if own else imitate(before, window)
    wide = MlpBias(twice, len(before), network.pretrained_window)
    wide.mlp.load_state_dict(network.mlp.state_dict())
    stretched = bicubic(before.flatten(1).T, window, twice).T
    sides = [2 * side - 1 for side in twice]
    return {
        "window": list(window), "twice": list(twice), "own": own, "error": error, "before": pack(before[0]),
        "bicubic": pack(stretched[0].view(*sides)), "log": pack(wide.values().T[0].view(*sides) - level),
    }  # fmt: skip


def imitate(surface: Tensor, window: tuple[int, int]) -> tuple[MlpBias, float, float]:
    """A log-CPB network that learned ``surface`` (heads, 2h-1, 2w-1), lifted by a constant, which softmax cannot see.

    Also that constant, which puts the values into the middle of what the network can say, 0 to 16, and what the fit left, as a
    share of the spread.
    """
    surface = surface.detach()
    level = 8 - float(surface.mean())
    target = surface.flatten(1).T + level
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(0)
        network = MlpBias(window, surface.shape[0])
        optimiser = torch.optim.LBFGS(network.mlp.parameters(), max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> float:
            optimiser.zero_grad()
            loss = F.mse_loss(network.values(), target)
            loss.backward()
            return float(loss.detach())

        optimiser.step(closure)
        left = closure() ** 0.5
    return network, level, left / float(target.std().clamp_min(1e-6))


def mask_cells() -> dict[str, Any]:
    """SimMIM's mask in numbers: cells of a picture as published, and how many are hidden (SimMIM, section 4.1)."""
    side, masking = 192, Masking()
    mask = random_mask(torch.zeros(1, *cell_grid((side, side), masking)), masking.ratio)
    return {
        "side": side, "cell": masking.cell, "ratio": masking.ratio,
        "cells": mask.numel(), "hidden": int((mask != VISIBLE).sum()),
    }  # fmt: skip
