"""A block that learns by one native call forward and one back, which call the kernels in their order.

Shapes: B batch, H and W rows and columns of the map, C channels, h heads, N tokens per window.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..model.attention import ScaledCosine
from ..model.block import Block, post_norm, pre_norm
from ..model.windows import WindowGrid
from . import attention, dense, norm
from .attention import Grid, grid_of, pad_bias, scale_of
from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer, structure
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu, patched, untouched

# as declared in the kernel's source
Kernels = structure(
    "Kernels", pack=POINTER, dense=POINTER, dense_back=POINTER, weights=POINTER, attention=POINTER, attention_back=POINTER, norm=POINTER,
    norm_back=POINTER, sum=POINTER,
)  # fmt: skip
LinearArgs = structure(
    "Linear", weight=POINTER, bias=POINTER, inner=COUNT, columns=COUNT, grad_weight=POINTER, grad_bias=POINTER
)
NormArgs = structure("Norm", weight=POINTER, bias=POINTER, eps=ctypes.c_float, grad_weight=POINTER, grad_bias=POINTER)
AttentionArgs = structure(
    "Attention", pad=POINTER, bias=POINTER, scale=POINTER, heads=CODE, padded=CODE, cosine=CODE, grad_pad=POINTER, grad_bias=POINTER,
    grad_scale=POINTER,
)  # fmt: skip
BlockArgs = structure(
    "Block", wide=CODE, half=CODE, pre_norm=CODE, batch=COUNT, tokens=COUNT, width=COUNT, attention=AttentionArgs, grid=Grid,
    qkv=LinearArgs, proj=LinearArgs, fc1=LinearArgs, fc2=LinearArgs, norms=NormArgs * 2, factors=POINTER * 2, kept=POINTER, room=POINTER,
)  # fmt: skip

KERNEL = Kernel(
    "block",
    block_sizes=(None, POINTER, POINTER, POINTER),
    block_forward=(None, *[POINTER] * 4, CODE),
    block_backward=(None, *[POINTER] * 5, CODE),
)


@functools.cache
def kernels() -> Any:
    """Where the kernels begin that a block calls."""
    listed = (
        *(getattr(dense.KERNEL, name) for name in ("dense_pack", "dense_forward", "dense_backward")),
        dense.WEIGHTS_KERNEL.weight_gradient,
        *(getattr(attention.KERNEL, name) for name in ("attention_forward", "attention_backward")),
        *(getattr(norm.KERNEL, name) for name in ("norm_forward", "norm_backward", "add")),
    )
    return Kernels(*(ctypes.cast(function, POINTER) for function in listed))


class Weights(NamedTuple):
    """What a block learns, or the gradients of that: None where there is none."""

    joint: Any  # bias of the projection to queries, keys and values, (3C,)
    bias: Any  # among the tokens of a window, (h, N, N); where the kernel reads it, its columns are whole vectors
    scale: Any  # (h,)
    qkv: Any
    proj: Any
    proj_bias: Any
    fc1: Any
    fc1_bias: Any
    fc2: Any
    fc2_bias: Any
    norm1: Any
    norm1_bias: Any
    norm2: Any
    norm2_bias: Any


LAYERS = (("qkv", "joint"), ("proj", "proj_bias"), ("fc1", "fc1_bias"), ("fc2", "fc2_bias"))
NORMS = (("norm1", "norm1_bias"), ("norm2", "norm2_bias"))


class BlockPlan(NamedTuple):
    """Everything about one call but its tensors."""

    grid: WindowGrid
    heads: int
    cosine: bool
    pre_norm: bool
    eps: tuple[float, float]
    dtype: torch.dtype  # of the layers


Factors = tuple[Tensor | None, Tensor | None]  # of each branch, one for each picture


def room_for(needed: Weights, weights: Weights) -> Weights:
    """Memory for the gradients of ``weights``, of a layer's two where one is ``needed``: the kernel writes both or none."""
    frozen = {name for layer in LAYERS if not any(getattr(needed, one) for one in layer) for name in layer}
    tokens = weights.bias.shape[1]
    biases = {bias: getattr(weights, weight)[:, 0] for weight, bias in LAYERS}
    shapes = weights._replace(bias=weights.bias[:, :, :tokens], **biases)
    return Weights(
        *(None if name in frozen else one.new_empty(one.shape) for name, one in zip(Weights._fields, shapes, strict=True))
    )


def block_args(plan: BlockPlan, x: Tensor, weights: Weights, factors: Factors, grads: Weights | None = None) -> Any:
    """One pass over tokens like ``x`` (B, H, W, C) as the kernel takes it."""
    batch, height, width, channels = x.shape
    grid, table = grid_of((height, width), plan.grid)
    pad = (weights.qkv.new_zeros(3 * channels) if weights.joint is None else weights.joint).to(plan.dtype)
    grad_pad = None if grads is None else weights.qkv.new_empty(3 * channels)
    gradients = grads or Weights(*[None] * len(weights))

    def pointers(source: Weights, names: tuple[str, str]) -> Any:
        return (pointer(getattr(source, name)) for name in names)

    layers = [
        LinearArgs(*pointers(weights, names), *reversed(getattr(weights, names[0]).shape), *pointers(gradients, names))
        for names in LAYERS
    ]
    norms = [
        NormArgs(*pointers(weights, names), eps, *pointers(gradients, names))
        for names, eps in zip(NORMS, plan.eps, strict=True)
    ]
    attending = AttentionArgs(
        *map(pointer, (pad, weights.bias, weights.scale)), plan.heads, weights.bias.shape[2], plan.cosine,
        *map(pointer, (grad_pad, gradients.bias, gradients.scale)),
    )  # fmt: skip
    types = DTYPES[x.dtype], DTYPES[plan.dtype], plan.pre_norm
    args = BlockArgs(
        *types, batch, height * width, channels, attending, grid, *layers, tuple(norms), tuple(map(pointer, factors))
    )
    args.held = table, pad, grad_pad  # what it points to beside the arguments
    return args


def run(name: str, args: Any, x: Tensor, kept: Tensor | None, *results: Tensor) -> Tensor:
    """Run the kernel's function ``name``; ``results`` are what it reads and writes beyond ``x``. Returns what is kept from the pass
    forward, ``kept``, or new."""
    sizes = COUNT(), COUNT()
    KERNEL.block_sizes(ctypes.byref(args), *map(ctypes.byref, sizes))
    kept = x.new_empty(sizes[0].value, dtype=torch.uint8) if kept is None else kept
    room = x.new_empty(sizes[1].value, dtype=torch.uint8)
    args.kept, args.room = pointer(kept), pointer(room)
    getattr(KERNEL, name)(
        ctypes.byref(kernels()), ctypes.byref(args), pointer(x), *map(pointer, results), torch.get_num_threads()
    )
    return kept


class NativeBlock(torch.autograd.Function):
    """Both branches of a block, on maps (B, H, W, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: BlockPlan, factors: Factors, *given: Any) -> Tensor:
        weights = Weights(*given)
        weights = weights._replace(bias=pad_bias(weights.bias))
        out = torch.empty_like(x)
        kept = run("block_forward", block_args(plan, x, weights, factors), x, None, out)
        rounded = not plan.pre_norm and plan.dtype != x.dtype  # then the way back looks at what it was rounded to
        ctx.save_for_backward(
            None if rounded else x, kept, *factors, *weights._replace(proj_bias=None, fc1_bias=None, fc2_bias=None)
        )
        ctx.plan, ctx.bias_type = plan, given[1].dtype
        return out

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (x, kept, first, second, *saved), gradient = ctx.saved_tensors, gradients[0].contiguous()
        weights, x = Weights(*saved), gradient if x is None else x  # which then only tells its shape
        grads, grad_x = room_for(Weights(*ctx.needs_input_grad[3:]), weights), torch.empty_like(x)
        run("block_backward", block_args(ctx.plan, x, weights, (first, second), grads), x, kept, gradient, grad_x)
        grads = grads._replace(joint=None if weights.joint is None else grads.joint, bias=grads.bias.to(ctx.bias_type))
        return grad_x, None, None, *grads


def native_block(block: Block, x: Tensor, grid: WindowGrid) -> Tensor | None:
    """What both branches of ``block`` compute while they learn, or None where the kernels do not apply."""
    dtype = autocast_dtype(x)
    if not (torch.is_grad_enabled() and eager_on_cpu(x) and supports_block(block, x, math.prod(grid.window), dtype)):
        return None
    module, mlp, first, second = block.attention, block.mlp, block.norm1, block.norm2
    version1 = block.branch is pre_norm
    plan = BlockPlan(grid, module.heads, isinstance(module.similarity, ScaledCosine), version1, (first.eps, second.eps), dtype)
    alike = x.new_empty(len(x), 0, dtype=dtype if version1 else x.dtype)
    factors = tuple(
        None if one is None else one.float() for one in (block.drop_path.factors(alike), block.drop_path.factors(alike))
    )
    return NativeBlock.apply(
        x.contiguous(), plan, factors, module.projection_bias(), module.bias(), scale_of(module, x), module.qkv.weight, module.proj.weight,
        module.proj.bias, mlp.fc1.weight, mlp.fc1.bias, mlp.fc2.weight, mlp.fc2.bias, first.weight, first.bias, second.weight, second.bias,
    )  # fmt: skip


def supports_block(block: Block, x: Tensor, tokens: int, dtype: torch.dtype) -> bool:
    """Whether the kernels compute all of ``block`` with ``x``, windows of ``tokens`` and layers in ``dtype``: nothing in it is replaced,
    heard or parametrised, each part has its kernel still, and what it learns is float32."""
    module, mlp = block.attention, block.mlp
    if not (type(block) is Block and not patched(block) and block.branch in (pre_norm, post_norm)):
        return False
    if not (x.ndim == 4 and x.numel()):
        return False
    layers = (module.qkv, module.proj, mlp.fc1, mlp.fc2)
    inside = (block.norm1, block.norm2, module, *layers, module.similarity, mlp, mlp.act, block.drop_path)
    if not (x.dtype in DTYPES and KERNEL.available and dense.WEIGHTS_KERNEL.available and untouched(*inside)):
        return False
    across, width, hidden = dense.lanes(dtype), x.shape[3], len(mlp.fc1.weight)
    shapes = [(3 * width, width), (width, width), (hidden, width), (width, hidden)]
    if not across or hidden % across or width % across or [one.weight.shape for one in layers] != shapes:
        return False
    learned = [module.qkv.weight]
    learned += [parameter for one in (*layers[1:], block.norm1, block.norm2) for parameter in (one.weight, one.bias)]
    there = [one for one in (module.qkv.bias, module.q_bias, module.v_bias) if one is not None]  # which may be missing
    return (
        all(one is not None and one.dtype == torch.float32 and one.is_contiguous() for one in (*learned, *there))
        and None not in [one.fast_path for one in (module, module.proj, mlp, block.norm1, block.norm2)]
        and attention.supports_attention(width // module.heads, tokens, dtype)
        and norm.computes(block.norm1, x, dtype)
    )
