"""Peers' networks of a configuration of ours, and the same with the weights of a model of ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from swinkit.config import SwinConfig
from swinkit.weights.formats import DIALECTS
from swinkit.weights.translation import export


def timm_network(config: SwinConfig) -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    arguments: dict[str, Any] = {
        "img_size": config.image_size, "window_size": config.window_size, "embed_dim": config.embed_dim, "depths": config.depths,
        "num_heads": config.num_heads, "num_classes": config.num_classes, "patch_size": config.patch_size,
        "in_chans": config.in_channels,
    }  # fmt: skip
    if config.version == 1:
        return SwinTransformer(**arguments).eval()
    pretrained = config.pretrained_window_sizes or (0,) * config.num_stages
    return SwinTransformerV2(**arguments, pretrained_window_sizes=pretrained).eval()


def transformers_network(config: SwinConfig) -> nn.Module:
    import transformers

    arguments: dict[str, Any] = {
        "image_size": config.image_size[0], "window_size": config.window_size[0], "embed_dim": config.embed_dim,
        "depths": list(config.depths), "num_heads": list(config.num_heads), "num_labels": config.num_classes,
        "patch_size": config.patch_size, "num_channels": config.in_channels, "use_absolute_embeddings": config.ape,
    }  # fmt: skip
    if config.version == 1:
        return transformers.SwinForImageClassification(transformers.SwinConfig(**arguments)).eval()
    pretrained = list(config.pretrained_window_sizes) or [0] * config.num_stages
    described = transformers.Swinv2Config(**arguments, pretrained_window_sizes=pretrained)
    return transformers.Swinv2ForImageClassification(described).eval()


def torchvision_network(config: SwinConfig) -> nn.Module:
    """torchvision shrinks no window, so stages whose window settled smaller get theirs from a block of their own."""
    from torchvision.models import swin_transformer as tv

    kind, merging = (
        (tv.SwinTransformerBlock, tv.PatchMerging) if config.version == 1 else (tv.SwinTransformerBlockV2, tv.PatchMergingV2)
    )
    windows = {width: list(config.stage_window(stage)) for stage, width in enumerate(config.widths)}

    def block(dim: int, heads: int, window_size: list[int], shift_size: list[int], **rest: Any) -> nn.Module:
        return kind(dim, heads, window_size=windows[dim], shift_size=shift_size, **rest)

    return tv.SwinTransformer(
        [config.patch_size] * 2, config.embed_dim, list(config.depths), list(config.num_heads), list(config.window_size),
        num_classes=config.num_classes, block=block, downsample_layer=merging, stochastic_depth_prob=0.0,
    ).eval()  # fmt: skip


NETWORKS = {"timm": timm_network, "transformers": transformers_network, "torchvision": torchvision_network}


def peer_of(name: str, config: SwinConfig, state: dict[str, Tensor]) -> nn.Module:
    """The network of library ``name`` with ``state`` of ours, loaded strictly; transformers 5 renames version 1 in memory."""
    dialect = "transformers-5" if name == "transformers" and config.version == 1 else name
    network = NETWORKS[name](config)
    network.load_state_dict(export(state, config, DIALECTS[dialect]), strict=True)
    return network


def logits_of(peer: nn.Module, pictures: Tensor) -> Tensor:
    answer = peer(pictures)
    return getattr(answer, "logits", answer)
