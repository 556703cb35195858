"""AdamW over groups of parameters: what decays, and how fast each depth of the network learns."""

from __future__ import annotations

import re

import torch
from torch import nn

from ..model.attention import ScaledCosine
from ..model.position_bias import MlpBias, TableBias

EXEMPT_MODULES = (TableBias, MlpBias, ScaledCosine)
EXEMPT_NAMES = re.compile(r"(^|\.)(position|mask_token)$")  # absolute position embedding, masked image modelling's token


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

    A patch merging belongs to the first block after it.
    """
    if "patch_embed." in name:
        return 0
    found = re.search(r"stages\.(\d+)\.(?:blocks\.(\d+)|merge)", name)
    if not found:
        return sum(depths) + 1
    return 1 + sum(depths[: int(found[1])]) + int(found[2] or 0)


def parameter_groups(model: nn.Module, depths: tuple[int, ...], weight_decay: float, layer_decay: float = 1.0) -> list[dict]:
    """Groups for the optimiser, one per (depth, decays or not), each with ``scale``: its share of the learning rate.

    ``layer_decay`` d gives depth i of L the share d^(L - i), so that a pre-trained stem moves less than a new head.
    """
    exempt, last = exempt_from_decay(model), sum(depths) + 1
    groups: dict[tuple[int, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = depth_of(name, depths) if layer_decay != 1.0 else last
        key = (depth, name not in exempt)
        group = groups.setdefault(
            key,
            {"params": [], "weight_decay": weight_decay if key[1] else 0.0, "scale": layer_decay ** (last - depth)},
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def adamw(groups: list[dict], lr: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) with the published betas, in torch's fused form."""
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
