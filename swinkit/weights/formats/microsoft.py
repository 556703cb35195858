"""Microsoft's ``.pth``: github.com/microsoft/Swin-Transformer and SimMIM. timm used the same names before 0.9.

Merging stands at the end of a stage; buffers are saved. ``rpe_mlp`` is what the SimMIM checkpoints of version 2 call
``cpb_mlp``; masked pre-training puts ``encoder.`` before everything and has a mask token and a decoder.
"""

from __future__ import annotations

from ...config import SwinConfig
from .table import BLOCK, FLAT, MERGE, Buffer, Dialect, Row, coordinates, index, native_mask, no_key_bias

ROWS = (
    Row("backbone.patch_embed.proj.{leaf}", "{p}patch_embed.proj.{leaf}"),
    Row("backbone.patch_embed.norm.{leaf}", "{p}patch_embed.norm.{leaf}"),
    Row("backbone.patch_embed.position", "{p}absolute_pos_embed", FLAT),
    Row(BLOCK + "norm1.{leaf}", "{p}layers.{i}.blocks.{j}.norm1.{leaf}"),
    Row(BLOCK + "attention.bias.table", "{p}layers.{i}.blocks.{j}.attn.relative_position_bias_table"),
    Row(BLOCK + "attention.similarity.logit_scale", "{p}layers.{i}.blocks.{j}.attn.logit_scale"),
    Row(BLOCK + "attention.bias.mlp.0.{leaf}", "{p}layers.{i}.blocks.{j}.attn.cpb_mlp.0.{leaf}"),
    Row(BLOCK + "attention.bias.mlp.2.{leaf}", "{p}layers.{i}.blocks.{j}.attn.cpb_mlp.2.{leaf}"),
    Row(BLOCK + "attention.qkv.{leaf}", "{p}layers.{i}.blocks.{j}.attn.qkv.{leaf}"),
    Row(BLOCK + "attention.q_bias", "{p}layers.{i}.blocks.{j}.attn.q_bias"),
    Row(BLOCK + "attention.v_bias", "{p}layers.{i}.blocks.{j}.attn.v_bias"),
    Row(BLOCK + "attention.proj.{leaf}", "{p}layers.{i}.blocks.{j}.attn.proj.{leaf}"),
    Row(BLOCK + "norm2.{leaf}", "{p}layers.{i}.blocks.{j}.norm2.{leaf}"),
    Row(BLOCK + "mlp.fc1.{leaf}", "{p}layers.{i}.blocks.{j}.mlp.fc1.{leaf}"),
    Row(BLOCK + "mlp.fc2.{leaf}", "{p}layers.{i}.blocks.{j}.mlp.fc2.{leaf}"),
    Row(MERGE + "norm.{leaf}", "{p}layers.{before}.downsample.norm.{leaf}"),
    Row(MERGE + "reduction.weight", "{p}layers.{before}.downsample.reduction.weight"),
    Row("norm.{leaf}", "{p}norm.{leaf}"),
    Row("head.{leaf}", "{p}head.{leaf}"),
    Row("reconstruction.mask_token", "{p}mask_token"),
    Row("reconstruction.decoder.{leaf}", "{outer}decoder.0.{leaf}"),
)
INDEX = Buffer("{p}layers.{i}.blocks.{j}.attn.relative_position_index", index)
MASK = Buffer("{p}layers.{i}.blocks.{j}.attn_mask", native_mask)
COORDINATES = Buffer("{p}layers.{i}.blocks.{j}.attn.relative_coords_table", coordinates)
KEYS = Buffer("{p}layers.{i}.blocks.{j}.attn.k_bias", no_key_bias, written=False)


def renamed(rows: tuple[Row, ...], old: str, new: str) -> tuple[Row, ...]:
    """``rows`` with ``old`` replaced by ``new`` in the foreign names."""
    swap = {row: row.theirs.replace(old, new) if isinstance(row.theirs, str) else row.theirs for row in rows}
    return tuple(row._replace(theirs=theirs) for row, theirs in swap.items())


def without(rows: tuple[Row, ...], *ours: str) -> tuple[Row, ...]:
    """``rows`` whose own names do not begin with any of ``ours``."""
    return tuple(row for row in rows if not str(row.ours).startswith(ours))


ALWAYS_SHIFTS = (
    "it shifts windows even where one covers the map; geometry 'classification' does not. Mend: --geometry dense, to start a "
    "detector or segmenter from these weights"
)


def refuses(config: SwinConfig) -> list[str]:
    """Microsoft's published code has square windows and pictures, and shrinks windows to the map."""
    reasons = []
    if config.geometry == "dense":
        reasons.append("its classifiers drop the shift where one window covers the map; geometry 'dense' keeps it")
    if config.window_size[0] != config.window_size[1] or config.image_size[0] != config.image_size[1]:
        reasons.append(f"its windows and pictures are square, here they are {config.window_size} and {config.image_size}")
    stages = range(config.num_stages)
    fit = all(side % window == 0 for i in stages for side, window in zip(config.grid(i), config.stage_window(i), strict=True))
    if not fit or any(side % config.strides[-1] for side in config.image_size):
        reasons.append(f"it pads nothing: every map has to divide into windows, which {config.image_size} pixels do not give")
    return reasons


MICROSOFT = Dialect(
    name="microsoft",
    title="Microsoft (also timm before 0.9)",
    rows={1: ROWS, 2: ROWS},
    buffers={1: (INDEX, MASK), 2: (INDEX, COORDINATES, MASK, KEYS)},
    refuses=refuses,
)

# the detection and segmentation code of the paper: Microsoft's names under backbone., a norm for each output
DENSE_ROWS = (
    *without(ROWS, "norm", "head", "reconstruction"),
    Row("norm.{leaf}", "{p}norm{last}.{leaf}"),
    Row("output_norms.{i}.{leaf}", "{p}norm{i}.{leaf}"),
)


def refuses_dense(config: SwinConfig) -> list[str]:
    """The detection and segmentation code always shifts and never shrinks a window."""
    reasons = []
    if config.geometry != "dense":
        reasons.append(ALWAYS_SHIFTS)
    if config.window_size[0] != config.window_size[1]:
        reasons.append(f"its windows are square, here they are {config.window_size}")
    return reasons


DENSE = Dialect(
    name="microsoft-dense",
    title="the paper's detection and segmentation code (mmdetection and mmsegmentation forks)",
    rows={1: DENSE_ROWS},
    buffers={1: (INDEX,)},
    prefix={1: "backbone."},
    refuses=refuses_dense,
)

SIMMIM_ROWS = renamed(ROWS, "cpb_mlp", "rpe_mlp")
SIMMIM = Dialect(
    name="simmim",
    title="SimMIM pre-training of version 2 (rpe_mlp)",
    rows={2: SIMMIM_ROWS},
    buffers={2: (INDEX, COORDINATES, MASK, KEYS)},
    prefix={2: "encoder."},
    prefixes=("encoder.",),
    refuses=refuses,
    resizing="geometric",
)
