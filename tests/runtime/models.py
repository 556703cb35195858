"""Small models that the tests of engines share."""

from __future__ import annotations

import torch

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from tests.shaking import shake


def model_of(version: int, **more) -> SwinClassifier:
    given = {"embed_dim": 32, "depths": (2, 2, 2), "num_heads": (1, 2, 4), "num_classes": 5}
    torch.manual_seed(0)
    return shake(SwinClassifier(SwinConfig(version=version, **{**given, **more}))).eval()
