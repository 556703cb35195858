"""Handing the native forms to a model: it computes the same, faster where they apply.

Under autocast sums that lead from block to block stay float32 where PyTorch rounds some of them to bfloat16, so that answers differ by that.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from ..model.attention import Linear, WindowAttention
from ..model.backbone import PatchMerging
from ..model.block import Block, LayerNorm, Mlp, pre_norm
from .attention import native_attention
from .block import native_block
from .dense import native_linear
from .dispatch import HOOKS
from .memory import keep_freed_memory
from .mlp import native_mlp
from .norm import native_norm, native_norm_for_layer
from .residual import native_residual

Model = TypeVar("Model", bound=nn.Module)


def accelerate(model: Model) -> Model:
    """Let every block, branch, window attention, MLP, linear layer and norm of ``model`` use its kernel where that applies; returns
    ``model``.

    Where a hook, an adapter or a formula of somebody's own stands at a layer that a kernel would pass over, that layer goes the plain
    way, and those around it a kernel each. The model loses its second derivatives, and gradients by the batch: asked for, they raise :class:`RuntimeError`
    (``derivative.py``).
    On a processor the process also keeps the memory that it frees (:func:`~swinkit.kernels.memory.keep_freed_memory`).
    """
    if next(model.parameters()).device.type == "cpu":
        keep_freed_memory()
    for module in model.modules():  # what stands around a norm comes before the norm itself
        if isinstance(module, WindowAttention):
            module.fast_path = native_attention
        elif isinstance(module, Mlp):
            module.fast_path = native_mlp
        elif isinstance(module, Linear):
            module.fast_path = native_linear
        elif isinstance(module, LayerNorm) and module.fast_path is None:
            module.fast_path = native_norm
        elif isinstance(module, Block):
            module.fast_path, module.branch_fast_path = native_block, native_residual
            if module.branch is pre_norm:
                module.norm1.fast_path = module.norm2.fast_path = native_norm_for_layer
        elif isinstance(module, PatchMerging) and module.norm_first:
            module.norm.fast_path = native_norm_for_layer
    return model


def accelerated(model: nn.Module) -> Any:
    """A copy of ``model`` with the same weights, accelerated: for those who ask much of a model that is not theirs to change."""
    return accelerate(apart(model, own_tensors(model)))


def apart(model: nn.Module, becomes: Mapping[int, Tensor] | None = None) -> Any:
    """A copy of ``model`` in whose hooks the same objects hear, not copies of them; ``becomes`` names, by the ``id`` of one of its tensors,
    what stands in the copy for it. Weights that a hook computes from others, as of pruning and weight norm, are copied as they are."""
    heard = [hook for module in model.modules() for hooks in HOOKS for hook in getattr(module, hooks).values()]
    computed = [one for module in model.modules() for one in vars(module).values() if isinstance(one, Tensor) and one.grad_fn]
    kept = {id(hook): hook for hook in heard} | {id(one): one.detach().clone() for one in computed}
    return copy.deepcopy(model, kept | dict(becomes or {}))


def own_tensors(model: nn.Module) -> dict[int, Tensor]:
    """The parameters and buffers of ``model`` by their ``id``: with them, :func:`apart` copies none."""
    return {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
