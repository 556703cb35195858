"""The learning rate's course: linear warm-up, then half a cosine (Loshchilov and Hutter, arXiv 1608.03983)."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, warmup: int, total: int, floor: float = 0.01) -> float:
    """What the base rate is multiplied with in ``step`` (from 0) of ``total`` optimiser steps.

    It rises linearly over ``warmup`` steps and falls to ``floor`` in the last one.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - 1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
