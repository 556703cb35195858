"""Our weights under the peers' names: one table per peer, then the tensors that a peer cuts otherwise."""

from __future__ import annotations

import re

import torch
from torch import Tensor

# ours (a regular expression) -> theirs; the first that matches a name's beginning replaces it, in turn for each group
TIMM = (
    (r"backbone\.patch_embed\.", "patch_embed."),
    (r"backbone\.stages\.(\d+)\.merge\.", r"layers.\1.downsample."),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.", r"layers.\1.blocks.\2."),
    (r"head\.", "head.fc."),
    (r"attention\.similarity\.", "attn."),
    (r"attention\.bias\.table", "attn.relative_position_bias_table"),
    (r"attention\.bias\.mlp\.", "attn.cpb_mlp."),
    (r"attention\.", "attn."),
)
TORCHVISION = (
    (r"backbone\.patch_embed\.proj\.", "features.0.0."),
    (r"backbone\.patch_embed\.norm\.", "features.0.2."),
    (r"backbone\.stages\.(\d+)\.merge\.", lambda m: f"features.{2 * int(m[1])}."),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.", lambda m: f"features.{2 * int(m[1]) + 1}.{m[2]}."),
    (r"attention\.similarity\.", "attn."),
    (r"attention\.bias\.table", "attn.relative_position_bias_table"),
    (r"attention\.bias\.mlp\.", "attn.cpb_mlp."),
    (r"attention\.", "attn."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.3."),
)
TRANSFORMERS = (
    (r"backbone\.patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"backbone\.patch_embed\.norm\.", "embeddings.norm."),
    (r"backbone\.stages\.(\d+)\.merge\.", lambda m: f"encoder.layers.{int(m[1]) - 1}.downsample."),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.", r"encoder.layers.\1.blocks.\2."),
    (r"norm1\.", "layernorm_before."),
    (r"norm2\.", "layernorm_after."),
    (r"^norm\.", "layernorm."),
    (r"^head\.", "classifier."),
)
TRANSFORMERS_1 = (
    *TRANSFORMERS,
    (r"attention\.bias\.table", "attention.relative_position_bias.relative_position_bias_table"),
    (r"attention\.proj\.", "attention.o_proj."),
)
TRANSFORMERS_2 = (
    *TRANSFORMERS,
    (r"attention\.proj\.", "attention.output.dense."),
    (r"attention\.similarity\.", "attention.self."),
    (r"attention\.bias\.mlp\.", "attention.self.continuous_position_bias_mlp."),
    (r"attention\.(query|key|value)\.", r"attention.self.\1."),
    (r"mlp\.fc1\.", "intermediate.dense."),
    (r"mlp\.fc2\.", "output.dense."),
)


def renamed(state: dict[str, Tensor], table) -> dict[str, Tensor]:
    result = {}
    for name, tensor in state.items():
        for pattern, replacement in table:
            name = re.sub(rf"(?<![a-z_]){pattern}" if not pattern.startswith("^") else pattern, replacement, name)
        result[name] = tensor
    return result


def with_joint_bias(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's version 2 keeps a joint projection bias whose middle third, that of the keys, it sets to zero."""
    result = {name: tensor for name, tensor in state.items() if not name.endswith(("q_bias", "v_bias"))}
    for name, q_bias in state.items():
        if name.endswith("q_bias"):
            v_bias = state[name.replace("q_bias", "v_bias")]
            result[name.replace("q_bias", "qkv.bias")] = torch.cat((q_bias, torch.zeros_like(q_bias), v_bias))
    return result


def with_split_projections(state: dict[str, Tensor], names: tuple[str, str, str]) -> dict[str, Tensor]:
    """transformers keeps queries, keys and values in three layers; in version 2 the keys' has no bias."""
    result = {}
    for name, tensor in state.items():
        if ".qkv." in name:
            for part, piece in zip(names, tensor.chunk(3), strict=True):
                result[name.replace("qkv", part)] = piece
        elif name.endswith("q_bias"):
            result[name.replace("q_bias", f"{names[0]}.bias")] = tensor
        elif name.endswith("v_bias"):
            result[name.replace("v_bias", f"{names[2]}.bias")] = tensor
        else:
            result[name] = tensor
    return result


def to_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return renamed(state, TIMM)


def to_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return renamed(with_joint_bias(state), TORCHVISION)


def to_transformers(state: dict[str, Tensor], version: int) -> dict[str, Tensor]:
    parts = ("q_proj", "k_proj", "v_proj") if version == 1 else ("query", "key", "value")
    prefix = "swin." if version == 1 else "swinv2."
    names = renamed(with_split_projections(state, parts), TRANSFORMERS_1 if version == 1 else TRANSFORMERS_2)
    return {name if name.startswith("classifier.") else prefix + name: tensor for name, tensor in names.items()}


def load(peer: torch.nn.Module, state: dict[str, Tensor]) -> torch.nn.Module:
    """Load strictly, but for index tables that the peer keeps among its weights and computes itself."""
    missing, unexpected = peer.load_state_dict(state, strict=False)
    strangers = [name for name in missing if not name.endswith(("relative_position_index", "relative_coords_table"))]
    assert not strangers, f"missing {strangers}"
    assert not unexpected, f"unexpected {unexpected}"
    return peer.eval()
