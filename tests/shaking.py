"""Random weights that hide nothing: no norm is an identity, no bias is zero, no table, scale or embedding is trivial."""

from __future__ import annotations

import math

import torch
from torch import nn

SPREAD = {"table": 1.0, "position": 0.5}


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Fill every parameter of ``model`` at random, reproducibly, such that activations stay of the order of one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            last = name.rpartition(".")[2]
            if last == "logit_scale":
                value = math.log(10) + 0.3 * noise
            elif last == "weight" and parameter.ndim == 1:
                value = 1 + 0.3 * noise
            elif last == "weight":
                value = noise / math.sqrt(parameter[0].numel())
            else:
                value = SPREAD.get(last, 0.2) * noise
            parameter.copy_(value)
    return model.eval()
