"""Multiply-accumulates of a Swin, by part, from its configuration and a picture size alone.

Unit: MAC, one multiplication with its addition; FLOPs by most counters are twice that. Counted are all matrix products:
patch embedding, patch merging, qkv, QKᵀ and AV, output projection, MLP, the log-CPB network of version 2, the head. Not counted:
softmax, GELU, norms, additions of bias and mask, roll and partition. Padding tokens are counted where they are computed, so
that the figure is what runs; ``padding=False`` counts the picture's own pixels only, as the papers do (Swin, equation 2).

:func:`published_macs` is the papers' own convention, which leaves out log-CPB and adds the norms. ``docs/performance.md`` compares.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil

from ..config import CPB_HIDDEN, SwinConfig


@dataclass(frozen=True)
class Macs:
    """MACs of one picture by part; ``position`` does not grow with the number of pictures in a batch."""

    patch: int
    merging: int
    qkv: int
    attention: int
    projection: int
    mlp: int
    position: int
    head: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def count_macs(config: SwinConfig, size: tuple[int, int], padding: bool = True) -> Macs:
    """MACs of one picture of ``size`` (height, width) pixels."""
    whole = ceil if padding else float
    sides = [float(whole(side / config.patch_size)) for side in size]
    embedding = sides[0] * sides[1] * config.embed_dim * config.in_channels * config.patch_size**2
    merging = qkv = attention = projection = mlp = position = 0.0
    for stage, width in enumerate(config.widths):
        if stage:
            sides = [whole(side / 2) for side in sides]
            merging += sides[0] * sides[1] * 2 * width * width  # 4C to 2C, where 2C is this stage's width
        window, blocks = config.stage_window(stage), config.depths[stage]
        tokens = sides[0] * sides[1]
        padded = _windowed(sides, window) if padding else tokens
        qkv += blocks * padded * 3 * width * width
        projection += blocks * tokens * width * width  # behind the windows, where padding is gone
        attention += blocks * padded * 2 * window[0] * window[1] * width
        mlp += blocks * tokens * 2 * width * config.hidden_widths[stage]
        if config.version == 2:
            offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
            position += blocks * offsets * CPB_HIDDEN * (2 + config.num_heads[stage])
    parts = (embedding, merging, qkv, attention, projection, mlp, position, config.widths[-1] * config.num_classes)
    return Macs(*(round(part) for part in parts))


def useful_macs(config: SwinConfig, size: tuple[int, int]) -> int:
    """MACs of one picture of ``size`` that serve its own pixels: no padding, and no log-CPB network, which is the same for any picture."""
    counted = count_macs(config, size, padding=False)
    return counted.total - counted.position


def _windowed(sides: list[float], window: tuple[int, int]) -> float:
    """Tokens of a map padded to whole windows."""
    rows, columns = (ceil(side / extent) * extent for side, extent in zip(sides, window, strict=True))
    return rows * columns


def published_macs(config: SwinConfig, size: tuple[int, int]) -> float:
    """MACs of one picture as the papers' tables count them, under the name FLOPs (``flops()`` of microsoft/Swin-Transformer).

    Windows are counted as fractions where they do not divide the map, and padding not at all; each norm counts one per
    element, but the log-CPB network of version 2, softmax and GELU nothing.
    """
    tokens = [size[0] * size[1] / stride**2 for stride in config.strides]
    norms = tokens[0] * config.embed_dim  # of the patch embedding
    for stage, width in enumerate(config.widths):
        norms += config.depths[stage] * 2 * tokens[stage] * width
        if stage:  # patch merging: 4C of version 1, 2C of version 2
            norms += tokens[stage] * width * (2 if config.version == 1 else 1)
    norms += config.widths[-1] * tokens[0] // 2**config.num_stages  # of the last map, with the divisor that is published
    return useful_macs(config, size) + norms


def msa(rows: int, columns: int, width: int) -> int:
    """Ω(MSA) = 4hwC² + 2(hw)²C: one attention layer in which every token meets every token (Swin, equation 1)."""
    tokens = rows * columns
    return 4 * tokens * width**2 + 2 * tokens**2 * width


def window_msa(rows: int, columns: int, width: int, side: int) -> int:
    """Ω(W-MSA) = 4hwC² + 2M²hwC: every token meets the M² of its window (Swin, equation 2)."""
    tokens = rows * columns
    return 4 * tokens * width**2 + 2 * side**2 * tokens * width


def padding_share(config: SwinConfig, size: tuple[int, int]) -> float:
    """Share of the MACs at ``size`` that is spent on padding: 0 where patches and windows fit."""
    total = count_macs(config, size).total
    return 1 - count_macs(config, size, padding=False).total / total
