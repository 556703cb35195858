"""Which models the studies measure, by name: trained ones, and variants with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..model.classifier import SwinClassifier
from ..runtime.export.bundle import is_bundle, open_bundle
from ..tasks import create_model, load
from ..weights.named import is_variant

PLAIN = "plain"  # the network as it is trained, under autocast for bfloat16: what every engine is compared with


def open_model(name: str) -> Any:
    """The model or variant called ``name``, with windows settled for its own size, whatever it is measured at."""
    torch.manual_seed(0)
    return create_model(name).eval() if is_variant(name) else load(name)


def outline(name: str, also: Sequence[str] = ()) -> Any:
    """The model called ``name`` for counting: a variant without memory for its weights, and so an exported bundle. ``also`` as in :func:`~swinkit.weights.named.is_variant`."""
    if is_bundle(name):
        with torch.device("meta"):
            return SwinClassifier(open_bundle(name).manifest.swin)
    if not is_variant(name, also):
        return load(name)
    with torch.device("meta"):
        return create_model(name)
