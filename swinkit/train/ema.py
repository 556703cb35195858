"""An exponential moving average of the weights, which evaluates better than the last step's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps ``model``: a copy whose parameters follow the trained ones, and whose buffers are the same.

    The decay is warmed up as min(decay, (1 + t) / (10 + t)) after t updates, so that a short run's average is not still
    full of the initial weights. ``decay`` 0 keeps the last weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.parameters: list[Tensor] = list(self.model.parameters())
        self.buffers = list(self.model.buffers())
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        new: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(self.parameters, new, 1 - decay)
        for kept, buffer in zip(self.buffers, model.buffers(), strict=True):
            kept.copy_(buffer)
        self.updates += 1

    def state_dict(self) -> dict[str, Tensor | int]:
        return {**self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        weights = dict(state)
        self.updates = int(weights.pop("updates"))
        self.model.load_state_dict(weights)
