"""Arguments that build a network of ours in torchvision and in OpenMMLab, which record nothing beside their weights."""

from __future__ import annotations

from typing import Any

from ...config import SwinConfig
from . import settled_pretrained


def torchvision(config: SwinConfig) -> dict[str, Any]:
    """Arguments of ``torchvision.models.swin_transformer.SwinTransformer``; ``block`` and ``downsample_layer`` by name.

    Where a stage's window shrank to its map, torchvision would pad the map instead: ``stage_windows`` then says which window the
    blocks of each width must be built with.
    """
    suffix = "" if config.version == 1 else "V2"
    described: dict[str, Any] = {
        "patch_size": [config.patch_size] * 2, "embed_dim": config.embed_dim, "depths": list(config.depths),
        "num_heads": list(config.num_heads), "window_size": list(config.window_size), "mlp_ratio": config.mlp_ratio,
        "num_classes": config.num_classes, "block": f"SwinTransformerBlock{suffix}", "downsample_layer": f"PatchMerging{suffix}",
    }  # fmt: skip
    windows = {width: list(config.stage_window(stage)) for stage, width in enumerate(config.widths)}
    shrunk = any(window != list(config.window_size) for window in windows.values())
    return {**described, **({"stage_windows": windows} if shrunk else {})}


def openmmlab(config: SwinConfig) -> dict[str, Any]:
    """The ``backbone`` of an OpenMMLab config file: mmpretrain's for classifiers and version 2, else mmdetection's."""
    if config.geometry == "dense" and config.version == 1:
        return {
            "type": "SwinTransformer", "pretrain_img_size": config.image_size[0], "embed_dims": config.embed_dim,
            "in_channels": config.in_channels, "patch_size": config.patch_size, "window_size": config.window_size[0],
            "depths": list(config.depths), "num_heads": list(config.num_heads), "mlp_ratio": config.mlp_ratio,
            "qkv_bias": config.qkv_bias, "use_abs_pos_embed": config.ape,
        }  # fmt: skip
    arch: dict[str, Any] = {"embed_dims": config.embed_dim, "depths": list(config.depths), "num_heads": list(config.num_heads)}
    common: dict[str, Any] = {
        "arch": arch, "img_size": config.image_size[0], "patch_size": config.patch_size, "in_channels": config.in_channels,
        "use_abs_pos_embed": config.ape, "pad_small_map": config.geometry == "dense",
    }  # fmt: skip
    windows = [config.stage_window(stage)[0] for stage in range(config.num_stages)]
    blocks = _blocks(config)
    if config.version == 1:
        return {"type": "SwinTransformer", **common, "window_size": config.window_size[0],
                "stage_cfgs": [{"block_cfgs": {"window_size": window, **blocks}} for window in windows]}  # fmt: skip
    arch["extra_norm_every_n_blocks"] = config.extra_norm_every
    return {
        "type": "SwinTransformerV2",
        **common,
        "window_size": windows,
        "pretrained_window_sizes": settled_pretrained(config),
        **({"stage_cfgs": {"block_cfgs": blocks}} if blocks else {}),
    }


def _blocks(config: SwinConfig) -> dict[str, Any]:
    """What mmpretrain's blocks take instead of their own: its backbones have no argument of their own for it."""
    ratio = {} if config.mlp_ratio == 4 else {"ffn_ratio": config.mlp_ratio}
    return ratio if config.qkv_bias else {**ratio, "attn_cfgs": {"qkv_bias": False}}
