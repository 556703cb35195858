"""Optimisers over groups of parameters: what decays, how fast each depth of the network learns, which matrices Muon turns."""

from __future__ import annotations

import re

import torch
from torch import nn

from ..model.attention import ScaledCosine
from ..model.position_bias import MlpBias, TableBias
from .muon import BatchedMuon
from .settings import RunSettings

EXEMPT_MODULES = (TableBias, MlpBias, ScaledCosine)
EXEMPT_NAMES = re.compile(r"(^|\.)(position|mask_token)$")  # absolute position embedding, masked image modelling's tokens


def exempt_from_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that weight decay would harm, as published: biases and norms (all of one axis), bias tables,
    the log-CPB network, logit scales, mask tokens and absolute position embeddings."""
    names = {name for name, parameter in model.named_parameters() if parameter.ndim <= 1 or EXEMPT_NAMES.search(name)}
    for prefix, module in model.named_modules():
        if isinstance(module, EXEMPT_MODULES):
            names.update(f"{prefix}.{name}" for name, _ in module.named_parameters())
    return names


def depth_of(name: str, depths: tuple[int, ...]) -> int:
    """Layer of a parameter, counted as in BEiT and SimMIM: 0 the patch embedding, then one per block, last the head.

    A patch merging, which begins a stage here, belongs to the first block after it; SimMIM's code, where it ends one, counts it with the
    last before it.
    """
    if "patch_embed." in name:
        return 0
    found = re.search(r"stages\.(\d+)\.(?:blocks\.(\d+)|merge)", name)
    if not found:
        return sum(depths) + 1
    return 1 + sum(depths[: int(found[1])]) + int(found[2] or 0)


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the weights that map tokens to tokens: those of blocks and patch mergings, not of embedding and head."""
    exempt = exempt_from_decay(model)
    return {name for name, weight in model.named_parameters() if weight.ndim == 2 and "stages." in name and name not in exempt}


def parameter_groups(model: nn.Module, settings: RunSettings, names: set[str]) -> list[dict]:
    """Groups of the parameters ``names``, one per (depth, decays or not), each with ``scale``: its share of the learning rate.

    ``layer_decay`` d gives depth i of L the share d^(L - i), so that a pre-trained stem moves less than a new head.
    """
    layer_decay = settings.layer_decay or 1.0
    depths: tuple[int, ...] = model.config.depths if layer_decay != 1.0 else ()  # type: ignore[union-attr, assignment]
    exempt, last = exempt_from_decay(model), sum(depths) + 1
    groups: dict[tuple[int, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if name not in names or not parameter.requires_grad:
            continue
        depth = depth_of(name, depths) if layer_decay != 1.0 else last
        key = (depth, name not in exempt)
        group = groups.setdefault(
            key,
            {"params": [], "weight_decay": settings.weight_decay if key[1] else 0.0, "scale": layer_decay ** (last - depth)},
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def build_optimizers(model: nn.Module, settings: RunSettings) -> list[torch.optim.Optimizer]:
    """The optimisers of a model whose ``settings`` are settled, which together own every parameter once.

    "adamw" is AdamW (Loshchilov and Hutter, arXiv 1711.05101) with the published betas. "muon" gives the hidden matrices to
    Muon (Jordan et al., 2024), whose updates are orthogonal, scaled so that both take the same learning rate (Liu et al.,
    arXiv 2502.16982); it learns from nothing in fewer steps.
    """
    lr = settings.lr or 0.0
    every = {name for name, _ in model.named_parameters()}
    hidden = hidden_matrices(model) if settings.optimizer == "muon" else set()
    built: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(parameter_groups(model, settings, every - hidden), lr=lr, betas=(0.9, 0.999), fused=True)
    ]
    if hidden:
        built.append(BatchedMuon(parameter_groups(model, settings, hidden), lr, settings.weight_decay))
    return built


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
