"""Hugging Face transformers: queries, keys and values are three layers, norms are named by what follows.

On disk the names of version 4 are still used by version 5, which renames V1 while loading; ``transformers-5`` are the names that
V1 has in memory there. Backbones for detection and segmentation have a norm for each output stage.
"""

from __future__ import annotations

from ...config import SwinConfig
from . import microsoft
from .table import BLOCK, FLAT, MERGE, THIRDS, Buffer, Dialect, Row, coordinates, index, no_key_bias, rounds_down

THEIRS = "{p}encoder.layers.{i}.blocks.{j}."
COMMON = (
    Row("backbone.patch_embed.proj.{leaf}", "{p}embeddings.patch_embeddings.projection.{leaf}"),
    Row("backbone.patch_embed.norm.{leaf}", "{p}embeddings.norm.{leaf}"),
    Row("backbone.patch_embed.position", "{p}embeddings.position_embeddings", FLAT),
    Row(BLOCK + "norm1.{leaf}", THEIRS + "layernorm_before.{leaf}"),
    Row(BLOCK + "norm2.{leaf}", THEIRS + "layernorm_after.{leaf}"),
    Row(MERGE + "norm.{leaf}", "{p}encoder.layers.{before}.downsample.norm.{leaf}"),
    Row(MERGE + "reduction.weight", "{p}encoder.layers.{before}.downsample.reduction.weight"),
    Row("norm.{leaf}", "{p}layernorm.{leaf}"),
    Row("head.{leaf}", "{outer}classifier.{leaf}"),
    Row("reconstruction.mask_token", "{p}embeddings.mask_token"),
    Row("reconstruction.decoder.{leaf}", "{outer}decoder.0.{leaf}"),
)


def _three(name: str) -> tuple[str, ...]:
    return tuple(THEIRS + "attention.self." + part + name for part in ("query", "key", "value"))


DISK = (
    Row(BLOCK + "attention.qkv.weight", _three(".weight"), THIRDS),
    Row(BLOCK + "attention.proj.{leaf}", THEIRS + "attention.output.dense.{leaf}"),
    Row(BLOCK + "mlp.fc1.{leaf}", THEIRS + "intermediate.dense.{leaf}"),
    Row(BLOCK + "mlp.fc2.{leaf}", THEIRS + "output.dense.{leaf}"),
)
V1 = (
    *COMMON,
    *DISK,
    Row(BLOCK + "attention.qkv.bias", _three(".bias"), THIRDS),
    Row(BLOCK + "attention.bias.table", THEIRS + "attention.self.relative_position_bias_table"),
)
V2 = (
    *COMMON,
    *DISK,
    Row(BLOCK + "attention.q_bias", THEIRS + "attention.self.query.bias"),
    Row(BLOCK + "attention.v_bias", THEIRS + "attention.self.value.bias"),
    Row(BLOCK + "attention.similarity.logit_scale", THEIRS + "attention.self.logit_scale"),
    Row(BLOCK + "attention.bias.mlp.0.{leaf}", THEIRS + "attention.self.continuous_position_bias_mlp.0.{leaf}"),
    Row(BLOCK + "attention.bias.mlp.2.{leaf}", THEIRS + "attention.self.continuous_position_bias_mlp.2.{leaf}"),
)
IN_MEMORY = {
    "attention.self.query": "attention.q_proj",
    "attention.self.key": "attention.k_proj",
    "attention.self.value": "attention.v_proj",
    "attention.self.relative_position_bias_table": "attention.relative_position_bias.relative_position_bias_table",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    ".output.dense": ".mlp.fc2",
}


def _in_memory(row: Row) -> Row:
    names = (row.theirs,) if isinstance(row.theirs, str) else row.theirs
    for old, new in IN_MEMORY.items():
        names = tuple(name.replace(old, new) for name in names)
    return row._replace(theirs=names)


def _outputs(rows: tuple[Row, ...], before: str) -> tuple[Row, ...]:
    return (
        *microsoft.without(rows, "norm", "head", "reconstruction"),
        Row("norm.{leaf}", before + "hidden_states_norms.stage{last_number}.{leaf}"),
        Row("output_norms.{i}.{leaf}", before + "hidden_states_norms.stage{number}.{leaf}"),
    )


def refuses_any(config: SwinConfig) -> list[str]:
    """What none of the transformers classes has a field for."""
    reasons = []
    if config.window_size[0] != config.window_size[1]:
        reasons.append(f"its window is one number, here it is {config.window_size}")
    if config.ape and config.version == 2:
        reasons.append("its absolute position embedding reserves a place for a class token that no Swin has, and cannot run")
    covered = [
        [w >= side for w, side in zip(config.window_size, config.grid(i), strict=True)] for i in range(config.num_stages)
    ]
    if config.geometry == "classification" and any(rows != columns for rows, columns in covered):
        reasons.append("where a window covers the map along one axis it drops the shift along both")
    shrunk = [i + 1 for i in range(config.num_stages) if config.stage_window(i) != config.window_size]
    if config.version == 1 and shrunk:
        reasons.append(
            f"its bias tables of version 1 have the configured window's size in every stage; stage {shrunk[0]} has a smaller map"
        )
    return reasons + rounds_down(config)


def refuses(config: SwinConfig) -> list[str]:
    """Models and classifiers shrink windows to the map, as classification does."""
    lines = ["its classifiers drop the shift where one window covers the map; geometry 'dense' keeps it"]
    return refuses_any(config) + (lines if config.geometry == "dense" else [])


def refuses_backbone(config: SwinConfig) -> list[str]:
    """Backbones of version 1 always shift; those of version 2 shrink windows as classifiers do."""
    if config.version == 2:
        return refuses(config)
    return refuses_any(config) + ([] if config.geometry == "dense" else [microsoft.ALWAYS_SHIFTS])


INDEX = Buffer(THEIRS + "attention.self.relative_position_index", index, written=False)
COORDINATES = Buffer(THEIRS + "attention.self.relative_coords_table", coordinates, written=False)
KEYS = Buffer(THEIRS + "attention.self.key.bias", no_key_bias, written=False)
BUFFERS = {1: (INDEX,), 2: (INDEX, COORDINATES, KEYS)}

TRANSFORMERS = Dialect(
    name="transformers",
    title="transformers (files of versions 4 and 5)",
    rows={1: V1, 2: V2},
    buffers=BUFFERS,
    prefix={1: "swin.", 2: "swinv2."},
    refuses=refuses,
)
TRANSFORMERS_5 = Dialect(
    name="transformers-5",
    title="transformers 5, names in memory",
    rows={1: tuple(_in_memory(row) for row in V1)},
    prefix={1: "swin."},
    refuses=refuses,
)
BACKBONE = Dialect(
    name="transformers-backbone",
    title="transformers backbone (files of versions 4 and 5)",
    rows={1: _outputs(V1, "{p}"), 2: _outputs(V2, "{p}")},
    buffers=BUFFERS,
    prefix={1: "", 2: ""},
    refuses=refuses_backbone,
    unused=("{p}swin.layernorm.weight", "{p}swin.layernorm.bias"),
)
BACKBONE_5 = Dialect(
    name="transformers-backbone-5",
    title="transformers 5 backbone, names in memory",
    rows={1: tuple(_in_memory(row) for row in _outputs(V1, "{outer}"))},
    prefix={1: "swin."},
    refuses=refuses_backbone,
    unused=("{p}layernorm.weight", "{p}layernorm.bias"),
)
