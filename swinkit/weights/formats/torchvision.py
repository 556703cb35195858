"""torchvision: one flat sequence ``features``, buffers saved (the index flattened), in version 2 a bias of keys that is ignored."""

from __future__ import annotations

from ...config import SwinConfig
from .table import BLOCK, MERGE, ZERO_KEYS, Buffer, Dialect, Row, coordinates, flat_index

THEIRS = "{p}features.{odd}.{j}."
COMMON = (
    Row("backbone.patch_embed.proj.{leaf}", "{p}features.0.0.{leaf}"),
    Row("backbone.patch_embed.norm.{leaf}", "{p}features.0.2.{leaf}"),
    Row(BLOCK + "norm1.{leaf}", THEIRS + "norm1.{leaf}"),
    Row(BLOCK + "attention.proj.{leaf}", THEIRS + "attn.proj.{leaf}"),
    Row(BLOCK + "norm2.{leaf}", THEIRS + "norm2.{leaf}"),
    Row(BLOCK + "mlp.fc1.{leaf}", THEIRS + "mlp.0.{leaf}"),
    Row(BLOCK + "mlp.fc2.{leaf}", THEIRS + "mlp.3.{leaf}"),
    Row(MERGE + "norm.{leaf}", "{p}features.{even}.norm.{leaf}"),
    Row(MERGE + "reduction.weight", "{p}features.{even}.reduction.weight"),
    Row("norm.{leaf}", "{p}norm.{leaf}"),
    Row("head.{leaf}", "{p}head.{leaf}"),
)
V1 = (
    *COMMON,
    Row(BLOCK + "attention.qkv.{leaf}", THEIRS + "attn.qkv.{leaf}"),
    Row(BLOCK + "attention.bias.table", THEIRS + "attn.relative_position_bias_table"),
)
V2 = (
    *COMMON,
    Row(BLOCK + "attention.qkv.weight", THEIRS + "attn.qkv.weight"),
    Row((BLOCK + "attention.q_bias", BLOCK + "attention.v_bias"), THEIRS + "attn.qkv.bias", ZERO_KEYS),
    Row(BLOCK + "attention.similarity.logit_scale", THEIRS + "attn.logit_scale"),
    Row(BLOCK + "attention.bias.mlp.0.{leaf}", THEIRS + "attn.cpb_mlp.0.{leaf}"),
    Row(BLOCK + "attention.bias.mlp.2.{leaf}", THEIRS + "attn.cpb_mlp.2.{leaf}"),
)
INDEX = Buffer(THEIRS + "attn.relative_position_index", flat_index)
COORDINATES = Buffer(THEIRS + "attn.relative_coords_table", coordinates)  # carries the pre-training window, exactly


def refuses(config: SwinConfig) -> list[str]:
    """What torchvision's classes cannot be built for."""
    reasons = []
    if config.ape:
        reasons.append("torchvision has no absolute position embedding (ape)")
    if config.in_channels != 3:
        reasons.append(f"torchvision takes 3 channels, here there are {config.in_channels}")
    if not config.qkv_bias:
        reasons.append("torchvision always has a bias of queries and values (qkv_bias)")
    if config.geometry == "dense":
        reasons.append("torchvision drops the shift where one window covers the map; geometry 'dense' keeps it")
    return reasons


TORCHVISION = Dialect(
    name="torchvision",
    title="torchvision",
    rows={1: V1, 2: V2},
    buffers={1: (INDEX,), 2: (INDEX, COORDINATES)},
    refuses=refuses,
)
