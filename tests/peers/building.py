"""The peers' models of a configuration of ours, with the weights of a model of ours."""

from __future__ import annotations

from torch import nn

from swinkit.config import SwinConfig

from .copying import load, to_timm, to_torchvision, to_transformers


def torchvision_of(config: SwinConfig, state) -> nn.Module:
    from torchvision.models import swin_transformer as tv

    # It keeps the configured window in a stage that is smaller, which the tables' size tells: windows must be alike.
    kind = {"block": tv.SwinTransformerBlockV2, "downsample_layer": tv.PatchMergingV2} if config.version == 2 else {}
    peer = tv.SwinTransformer(
        [config.patch_size] * 2, config.embed_dim, list(config.depths), list(config.num_heads), list(config.window_size),
        num_classes=config.num_classes, stochastic_depth_prob=0.0, **kind,
    )  # fmt: skip
    return load(peer, to_torchvision(state))


def timm_of(config: SwinConfig, state) -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    kind = SwinTransformer if config.version == 1 else SwinTransformerV2
    peer = kind(
        img_size=config.image_size, patch_size=config.patch_size, window_size=config.window_size, embed_dim=config.embed_dim,
        depths=config.depths, num_heads=config.num_heads, num_classes=config.num_classes,
    )  # fmt: skip
    return load(peer, to_timm(state))


def transformers_of(config: SwinConfig, state) -> nn.Module:
    import transformers as hf

    parts = (
        (hf.SwinConfig, hf.SwinForImageClassification)
        if config.version == 1
        else (hf.Swinv2Config, hf.Swinv2ForImageClassification)
    )
    settings, kind = parts
    peer = kind(
        settings(
            image_size=config.image_size[0], patch_size=config.patch_size, window_size=config.window_size[0],
            embed_dim=config.embed_dim, depths=list(config.depths), num_heads=list(config.num_heads), num_labels=config.num_classes,
        )
    )  # fmt: skip
    return load(peer, to_transformers(state, config.version))


PEERS = {"torchvision": torchvision_of, "timm": timm_of, "transformers": transformers_of}


def logits_of(peer: nn.Module, pictures):
    answer = peer(pictures)
    return getattr(answer, "logits", answer)
