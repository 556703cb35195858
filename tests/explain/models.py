"""Small models whose every part matters: weights of a size at which softmaxes are far from even and no branch is switched off."""

from __future__ import annotations

import torch
from torch import nn

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described

VERSIONS = (1, 2)
SMALL = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 4, "patch_size": 2}


def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """``model`` with parameters drawn anew, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 0.5 if parameter.ndim == 1 else 2 / parameter.shape[-1] ** 0.5
            start = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(start + size * torch.randn(parameter.shape, generator=generator).to(parameter) / 2)
    return model.eval()


def small(version: int, seed: int = 0, **overrides) -> SwinClassifier:
    config = SwinConfig.model_validate({**SMALL, "version": version, "image_size": 56, "window_size": 7, **overrides})
    model = stirred(SwinClassifier(config), seed)
    size = config.image_size
    return described(model, ("ant", "bee", "cat", "dog")[: config.num_classes], Preprocessing(size=size))  # type: ignore[arg-type]
