"""Window attention by a native kernel: tokens stay where they are, and a table says which of them meet.

Shapes: B batch, H and W rows and columns of the map, C channels, h heads, d = C / h, nW windows, N tokens per window.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.attention import ScaledCosine, WindowAttention
from ..model.windows import Size, WindowGrid, shift_regions, token_places
from .build import CODE, COUNT, DTYPES, POINTER, Kernel, pointer, structure
from .dense import NativeLinear
from .derivative import first_derivative
from .dispatch import autocast_dtype, eager_on_cpu, patched, untouched

HEAD_WIDTHS = (16, 32, 64)
NOWHERE = -1e30  # bias of the columns that only fill a vector
MOST_TOKENS = 4096  # per window


class Shape(ctypes.Structure):
    """``Shape`` of the kernel's source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "tokens", "windows")),
        *((name, ctypes.c_int) for name in ("window", "heads", "padded", "cosine", "head_width")),
    )


class Meeting(NamedTuple):
    """Which tokens of a map meet: ``rows`` (nW, N) int32 of row numbers, -1 for padding; ``region`` (nW, N) uint8 of the
    shift mask; ``mixed`` (nW,) uint8, 1 where a window holds several regions."""

    rows: Tensor
    region: Tensor
    mixed: Tensor


@functools.lru_cache(maxsize=64)
def meeting(size: Size, window: Size, counts: Size, shift: Size) -> Meeting:
    """The table for a map of ``size`` rows and columns; made by the model's own partition, applied to row numbers."""
    rows = token_places(WindowGrid(window, counts, shift, cyclic=True), size, "cpu").to(torch.int32)
    region = shift_regions(window, counts, shift, "cpu").to(torch.uint8)
    mixed = (region != region[:, :1]).any(dim=1).to(torch.uint8)
    return Meeting(rows.contiguous(), region.contiguous(), mixed.contiguous())


Grid = structure("Grid", index=POINTER, region=POINTER, mixed=POINTER, windows=COUNT, window=CODE)  # as in entries.hpp


def grid_of(size: Size, grid: WindowGrid) -> tuple[Any, Any]:
    """``grid`` on a map of ``size``, and the tables that it points to."""
    table, masked = meeting(size, grid.window, grid.counts, grid.shift), any(grid.shift)
    shifted = (table.region, table.mixed) if masked else (None, None)
    return Grid(*map(pointer, (table.rows, *shifted)), *table.rows.shape), table


KERNEL = Kernel(
    "window_attention",
    lanes=(CODE,),
    team=(CODE,),
    attention_forward=(CODE, CODE, *[POINTER] * 7, ctypes.POINTER(Shape), POINTER, CODE),
    attention_backward=(CODE, CODE, *[POINTER] * 7, ctypes.POINTER(Shape), *[POINTER] * 5, CODE),
)


def supports_attention(head_width: int, tokens: int, dtype: torch.dtype) -> bool:
    """Whether the kernel computes attention among ``tokens`` of a window, in ``dtype``."""
    return head_width in HEAD_WIDTHS and tokens <= MOST_TOKENS and dtype in DTYPES and KERNEL.available


def pad_bias(bias: Tensor) -> Tensor:
    """Bias (h, N, N) with columns up to whole vectors, float32: what the kernel reads."""
    lanes = int(KERNEL.lanes())
    return F.pad(bias.float(), (0, -bias.shape[2] % lanes), value=NOWHERE).contiguous()


class AttentionPlan(NamedTuple):
    """Everything about one call but its tensors."""

    grid: WindowGrid
    heads: int
    cosine: bool

    def shape(self, qkv: Tensor, padded: int) -> Shape:
        batch, height, width, triple = qkv.shape
        windows, tokens = math.prod(self.grid.counts), math.prod(self.grid.window)
        return Shape(batch, height * width, windows, tokens, self.heads, padded, int(self.cosine), triple // 3 // self.heads)


def call(name: str, plan: AttentionPlan, tensors: tuple[Tensor, Tensor, Tensor, Tensor], results: tuple[Tensor, ...]) -> None:
    """Run the kernel's function ``name`` on (qkv, pad, bias, scale); ``results`` are what it reads and writes beyond them."""
    qkv, pad, bias, scale = tensors
    (grid, _tables), shape = grid_of((int(qkv.shape[1]), int(qkv.shape[2])), plan.grid), plan.shape(qkv, bias.shape[2])
    code = getattr(KERNEL, name)(
        DTYPES[qkv.dtype], *map(pointer, (qkv, pad, bias)), grid.index, grid.region, grid.mixed, pointer(scale), ctypes.byref(shape),
        *map(pointer, results), torch.get_num_threads(),
    )  # fmt: skip
    assert code == 0, "the kernel has no such head width"


class NativeAttention(torch.autograd.Function):
    """softmax(scale q kᵀ + bias + mask) v on maps (B, H, W, 3C) to (B, H, W, C); the backward pass computes the softmax anew."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, pad: Tensor, bias: Tensor, scale: Tensor, plan: AttentionPlan) -> Tensor:
        qkv, pad = qkv.contiguous(), pad.contiguous()
        padded, scale = pad_bias(bias), scale.float().contiguous()
        out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
        call("attention_forward", plan, (qkv, pad, padded, scale), (out,))
        ctx.save_for_backward(qkv, pad, padded, scale)
        ctx.plan, ctx.bias_type = plan, bias.dtype
        return out

    @staticmethod
    @first_derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        qkv, pad, bias, scale = ctx.saved_tensors
        out = gradients[0].contiguous()
        grad_qkv = torch.empty_like(qkv)
        grad_bias = bias.new_zeros(bias.shape[0], bias.shape[1], bias.shape[1])
        grad_pad, grad_scale = bias.new_zeros(pad.shape), torch.zeros_like(scale)
        call("attention_backward", ctx.plan, (qkv, pad, bias, scale), (out, grad_qkv, grad_bias, grad_pad, grad_scale))
        return grad_qkv, grad_pad.to(pad.dtype), grad_bias.to(ctx.bias_type), grad_scale, None


def scale_of(module: WindowAttention, x: Tensor) -> Tensor:
    """What queries of tokens like ``x`` (…, C) are multiplied by, (h,), float32: version 2's is learned."""
    if isinstance(module.similarity, ScaledCosine):
        return module.similarity.scale(torch.float32).flatten()
    return x.new_full((module.heads,), (x.shape[-1] // module.heads) ** -0.5, dtype=torch.float32)


def attends_natively(module: WindowAttention, tokens: int, dtype: torch.dtype) -> bool:
    """Whether the kernel takes the place of what ``module`` computes in ``dtype`` on the processor among ``tokens`` of a window.

    It has no use for ``module.chunk``: it goes window by window anyway, and holds the scores of one head of one window in each thread.
    """
    # hooks at the attention itself are heard, since it is called
    itself = type(module) is WindowAttention and not patched(module)
    return (
        itself
        and untouched(module.qkv, module.similarity)
        and supports_attention(module.qkv.in_features // module.heads, tokens, dtype)
    )


def native_attention(module: WindowAttention, x: Tensor, grid: WindowGrid) -> Tensor | None:
    """What :meth:`WindowAttention.mix` computes, whatever its ``chunk``, or None where the kernel does not apply."""
    heads, width = module.heads, x.shape[3]
    dtype = autocast_dtype(x)
    fits = module.qkv.weight.shape == (3 * width, width)
    if not (fits and eager_on_cpu(x) and attends_natively(module, math.prod(grid.window), dtype)):
        return None
    projection = module.projection_bias()
    with torch.autocast("cpu", enabled=False):
        qkv = NativeLinear.apply(x.to(dtype), module.qkv.weight, projection)
    pad = qkv.new_zeros(3 * width) if projection is None else projection.to(qkv.dtype)
    plan = AttentionPlan(grid, heads, isinstance(module.similarity, ScaledCosine))
    return NativeAttention.apply(qkv, pad, module.bias(), scale_of(module, x), plan)
