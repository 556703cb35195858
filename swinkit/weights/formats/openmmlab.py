"""OpenMMLab (mmdetection, mmsegmentation, mmpretrain): nn.Unfold merges channel-major, attention is wrapped, norms are numbered.

Version 1 merges at the end of a stage; version 2, which mmpretrain alone has, at its start.
"""

from __future__ import annotations

from ...config import SwinConfig
from .table import BLOCK, FLAT, MERGE, UNFOLD, Buffer, Dialect, Row, coordinates, index, native_mask

THEIRS = "{p}stages.{i}.blocks.{j}."
COMMON = (
    Row("backbone.patch_embed.proj.{leaf}", "{p}patch_embed.projection.{leaf}"),
    Row("backbone.patch_embed.norm.{leaf}", "{p}patch_embed.norm.{leaf}"),
    Row("backbone.patch_embed.position", "{p}absolute_pos_embed", FLAT),
    Row(BLOCK + "norm1.{leaf}", THEIRS + "norm1.{leaf}"),
    Row(BLOCK + "norm2.{leaf}", THEIRS + "norm2.{leaf}"),
    Row(BLOCK + "attention.qkv.{leaf}", THEIRS + "attn.w_msa.qkv.{leaf}"),
    Row(BLOCK + "attention.proj.{leaf}", THEIRS + "attn.w_msa.proj.{leaf}"),
    Row(BLOCK + "mlp.fc1.{leaf}", THEIRS + "ffn.layers.0.0.{leaf}"),
    Row(BLOCK + "mlp.fc2.{leaf}", THEIRS + "ffn.layers.1.{leaf}"),
    Row("norm.{leaf}", "{p}norm{last}.{leaf}"),
    Row("output_norms.{i}.{leaf}", "{p}norm{i}.{leaf}"),
    Row("head.{leaf}", "{outer}head.fc.{leaf}"),
)
V1 = (
    *COMMON,
    Row(BLOCK + "attention.bias.table", THEIRS + "attn.w_msa.relative_position_bias_table"),
    Row(MERGE + "norm.{leaf}", "{p}stages.{before}.downsample.norm.{leaf}", UNFOLD),
    Row(MERGE + "reduction.weight", "{p}stages.{before}.downsample.reduction.weight", UNFOLD),
)
V2 = (
    *COMMON,
    Row(BLOCK + "attention.q_bias", THEIRS + "attn.w_msa.q_bias"),
    Row(BLOCK + "attention.v_bias", THEIRS + "attn.w_msa.v_bias"),
    Row(BLOCK + "attention.similarity.logit_scale", THEIRS + "attn.w_msa.logit_scale"),
    Row(BLOCK + "attention.bias.mlp.0.{leaf}", THEIRS + "attn.w_msa.cpb_mlp.0.{leaf}"),
    Row(BLOCK + "attention.bias.mlp.2.{leaf}", THEIRS + "attn.w_msa.cpb_mlp.2.{leaf}"),
    Row(BLOCK + "norm3.{leaf}", THEIRS + "norm3.{leaf}"),
    Row(MERGE + "norm.{leaf}", "{p}stages.{i}.downsample.norm.{leaf}"),
    Row(MERGE + "reduction.weight", "{p}stages.{i}.downsample.reduction.weight", UNFOLD),
)
INDEX = Buffer(THEIRS + "attn.w_msa.relative_position_index", index)
COORDINATES = Buffer(THEIRS + "attn.w_msa.relative_coords_table", coordinates)
MASK = Buffer(THEIRS + "attn.attn_mask", native_mask, written=False)  # saved by early mmclassification


def refuses(config: SwinConfig) -> list[str]:
    """What OpenMMLab's backbones have no argument for."""
    if config.window_size[0] != config.window_size[1]:
        return [f"its windows are square, here they are {config.window_size}"]
    return []


OPENMMLAB = Dialect(
    name="openmmlab",
    title="OpenMMLab (mmdetection, mmsegmentation, mmpretrain)",
    rows={1: V1, 2: V2},
    buffers={1: (INDEX, MASK), 2: (INDEX, COORDINATES, MASK)},
    prefix={1: "backbone.", 2: "backbone."},
    refuses=refuses,
)
