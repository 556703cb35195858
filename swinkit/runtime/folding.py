"""The inference form of a trained Swin: the same function with what training needed folded away.

Exact algebra, done once in float64: a layer norm's scale and offset move into the linear layer behind it, W' = W diag(γ) and
b' = b + W β; version 1's 1/√d moves into the queries, the key bias, which shifts a whole row of logits, is dropped, and the
value bias, which passes through a softmax unchanged, moves behind the last projection: b' = b + W_o b_v. Residual sums and
GELU become epilogues of the layer before. Position biases are computed once. Version 2 norms after its layers, so its norms stay.

Tokens stay in the order of the map, (B, L, C); which of them meet is a table (:func:`swinkit.kernels.attention.meeting`).
How a linear layer and an attention compute is handed in, so that one description serves every engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from ..kernels.dispatch import HOOKS, patched
from ..model.attention import ScaledCosine, WindowAttention
from ..model.backbone import PatchEmbed, PatchMerging, Stage, space_to_depth
from ..model.block import Block, DropPath, pre_norm
from ..model.classifier import SwinClassifier
from ..model.windows import Size, WindowGrid, counts_of, pad_to, shift_size
from ..weights.verify import ShapesOnly


@dataclass(frozen=True)
class Affine:
    """x Wᵀ + b, then GELU if ``gelu``: what a linear layer of an engine is made of. ``weight`` (out, in) and ``bias`` (out,)."""

    weight: Tensor
    bias: Tensor | None
    gelu: bool = False


@dataclass(frozen=True)
class Attention:
    """What one window attention of an engine is made of.

    ``bias`` (h, N, N) is the position bias, ``scale`` (h,) what queries are multiplied by (ones where that is folded), ``pad``
    (3C,) the joint projection of a padding token, ``cosine`` whether queries and keys are normalised.
    """

    heads: int
    bias: Tensor
    scale: Tensor
    pad: Tensor
    cosine: bool


def cut_by_reshape(images: Tensor, side: int, dtype: torch.dtype) -> Tensor:
    """(B, channels, H, W) to (B, L, channels · side²) of ``dtype``: each patch channel by channel, zeros beyond the picture."""
    rows, columns = counts = counts_of(images.shape[2:], (side, side))
    pixels = pad_to(images.to(dtype).permute(0, 2, 3, 1), counts, (side, side)).permute(0, 3, 1, 2)
    x = pixels.reshape(images.shape[0], images.shape[1], rows, side, columns, side)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


@dataclass(frozen=True)
class Parts:
    """How an engine computes, and the type of its tokens. Each entry makes a module:

    ``dense`` from an :class:`Affine`, (x, residual=None) -> x Wᵀ + b, GELU if asked, + residual;
    ``attend`` from an :class:`Attention`, (qkv (B, L, 3C), map size, grid) -> (B, L, C);
    ``norm`` from a layer norm, or from None for one without scale and offset, (x, residual=None) -> residual + LN(x).
    ``stage`` from a :class:`FoldedStage` of such modules, (x, map size) -> (x, map size); by default the stage itself.

    ``patches`` cuts pictures into patches of ``dtype``, as :func:`cut_by_reshape` does.
    """

    dense: Callable[[Affine], nn.Module]
    attend: Callable[[Attention], nn.Module]
    norm: Callable[[nn.LayerNorm | None], nn.Module]
    dtype: torch.dtype = torch.float32
    stage: Callable[[FoldedStage], nn.Module] = lambda stage: stage
    patches: Callable[[Tensor, int, torch.dtype], Tensor] = cut_by_reshape


def departure(model: SwinClassifier) -> str | None:
    """Where ``model`` computes what its folded form would not: a layer other than its configuration makes, one with a method or branch of
    its own, or a hook; None where it does not. Of its head there is nothing to say, which is called as it is."""
    if _has_any_global_hook():
        return "all modules have a hook"
    with ShapesOnly():
        made = dict(SwinClassifier(model.config).named_modules())
    for name, module in model.named_modules():
        own = made.get(name)
        if name.split(".")[0] == "head":
            continue
        as_made = own is not None and type(module) is type(own) and module.extra_repr() == own.extra_repr()
        if not (as_made or type(module) is type(own) is DropPath) or patched(module):
            return f"{name or 'the model'}, of type {type(module).__name__}, is not what the configuration makes"
        if isinstance(module, Block) and isinstance(own, Block) and module.branch is not own.branch:
            return f"{name} has a branch of its own"
        if any(getattr(module, hooks) for hooks in HOOKS):
            return f"{name or 'the model'} has a hook"
    return None


def behind_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer that takes the place of ``norm`` and itself; both float64."""
    gamma, beta = norm.weight.double(), norm.bias.double()
    moved = weight.double() @ beta
    return weight.double() * gamma, moved if bias is None else bias.double() + moved


class FoldedAttention(nn.Module):
    """qkv projection, attention and output projection of one block; ``norm`` is what stands before them, if anything does."""

    def __init__(self, source: WindowAttention, norm: nn.LayerNorm | None, parts: Parts) -> None:
        super().__init__()
        weight, bias = source.qkv.weight.double(), source.projection_bias()
        width = weight.shape[1]
        queries, _, values = (weight.new_zeros(3 * width) if bias is None else bias.double()).view(3, width)
        cosine = isinstance(source.similarity, ScaledCosine)
        if isinstance(source.similarity, ScaledCosine):
            scale = source.similarity.scale(torch.float64).flatten()
        else:
            scale = weight.new_ones(source.heads)
            factor = (width // source.heads) ** -0.5
            weight = torch.cat((weight[:width] * factor, weight[width:]))
            queries = queries * factor
        # What a padding token is projected to. It is zero behind the norm, so the norm's offset does not reach it.
        pad = offset = torch.cat((queries, queries.new_zeros(2 * width)))
        if norm is not None:
            weight, offset = behind_norm(norm, weight, offset)
        out_weight = source.proj.weight.double()
        out_bias = source.proj.bias.double() + out_weight @ values
        self.qkv = parts.dense(Affine(weight, offset))
        self.attend = parts.attend(Attention(source.heads, source.bias().double(), scale, pad, cosine))
        self.proj = parts.dense(Affine(out_weight, out_bias))

    def forward(self, x: Tensor, size: Size, grid: WindowGrid, residual: Tensor | None = None) -> Tensor:
        return self.proj(self.attend(self.qkv(x), size, grid), residual)


class FoldedMlp(nn.Module):
    def __init__(self, block: Block, norm: nn.LayerNorm | None, parts: Parts) -> None:
        super().__init__()
        fc1, fc2 = block.mlp.fc1, block.mlp.fc2
        weight, bias = behind_norm(norm, fc1.weight, fc1.bias) if norm is not None else (fc1.weight, fc1.bias)
        self.fc1 = parts.dense(Affine(weight, bias, gelu=True))
        self.fc2 = parts.dense(Affine(fc2.weight, fc2.bias))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return self.fc2(self.fc1(x), residual)


class PreNormBlock(nn.Module):
    """Version 1: x + attention(LN(x)), then x + MLP(LN(x)) (Swin, equation 3)."""

    def __init__(self, block: Block, parts: Parts) -> None:
        super().__init__()
        self.norm = parts.norm(None)
        self.attention = FoldedAttention(block.attention, block.norm1, parts)
        self.mlp = FoldedMlp(block, block.norm2, parts)

    def forward(self, x: Tensor, size: Size, grid: WindowGrid) -> Tensor:
        x = self.attention(self.norm(x), size, grid, x)
        return self.mlp(self.norm(x), x)


class PostNormBlock(nn.Module):
    """Version 2: x + LN(attention(x)), then x + LN(MLP(x)) (V2, figure 1)."""

    def __init__(self, block: Block, parts: Parts) -> None:
        super().__init__()
        self.attention = FoldedAttention(block.attention, None, parts)
        self.mlp = FoldedMlp(block, None, parts)
        self.norm1, self.norm2 = parts.norm(block.norm1), parts.norm(block.norm2)
        self.norm3 = parts.norm(block.norm3) if isinstance(block.norm3, nn.LayerNorm) else nn.Identity()

    def forward(self, x: Tensor, size: Size, grid: WindowGrid) -> Tensor:
        x = self.norm1(self.attention(x, size, grid), x)
        x = self.norm2(self.mlp(x), x)
        return self.norm3(x)


class FoldedEmbed(nn.Module):
    """Embedding as a linear layer on patches: pictures (B, channels, H, W) to tokens (B, L, C)."""

    def __init__(self, source: PatchEmbed, parts: Parts) -> None:
        super().__init__()
        self.patch, self.source = source.patch, source
        self.patches, self.dtype = parts.patches, parts.dtype
        self.proj = parts.dense(Affine(source.proj.weight.flatten(1), source.proj.bias))
        self.norm = parts.norm(source.norm)
        # position embedding of the last size, a constant to who traces that size
        self.resized: tuple[Size, Tensor] | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, Size]:
        rows, columns = counts = counts_of(images.shape[2:], (self.patch, self.patch))
        x = self.norm(self.proj(self.patches(images, self.patch, self.dtype)))
        if self.source.position is not None:
            resized = self.resized  # taken once: another thread may ask for another size meanwhile
            if resized is None or resized[0] != counts:
                position = self.source.position_for(x.view(x.shape[0], rows, columns, x.shape[-1]))
                self.resized = resized = counts, position.flatten(1, 2).to(x.dtype)
            x = x + resized[1]
        return x, counts


class FoldedMerging(nn.Module):
    def __init__(self, source: PatchMerging, parts: Parts) -> None:
        super().__init__()
        weight, bias = source.reduction.weight, None
        self.norm_first = source.norm_first
        if self.norm_first:
            weight, bias = behind_norm(source.norm, weight, None)  # type: ignore[assignment]
        self.reduction = parts.dense(Affine(weight, bias))
        self.norm = parts.norm(None if self.norm_first else source.norm)

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        x = space_to_depth(x.view(x.shape[0], *size, x.shape[2])).flatten(1, 2)
        return self.reduction(self.norm(x)) if self.norm_first else self.norm(self.reduction(x)), counts_of(size, (2, 2))


class FoldedStage(nn.Module):
    def __init__(self, stage: Stage, parts: Parts) -> None:
        super().__init__()
        self.window, self.always_shift = stage.window, stage.always_shift
        self.merge = FoldedMerging(stage.merge, parts) if isinstance(stage.merge, PatchMerging) else None
        self.blocks = nn.ModuleList(
            (PreNormBlock if block.branch is pre_norm else PostNormBlock)(block, parts)  # type: ignore[arg-type, union-attr]
            for block in stage.blocks
        )

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        if self.merge is not None:
            x, size = self.merge(x, size)
        grids = self.grids(size)
        for index, block in enumerate(self.blocks):
            x = block(x, size, grids[index % 2])
        return x, size

    def grids(self, size: Size) -> tuple[WindowGrid, WindowGrid]:
        """The regular and the shifted grid for a map of ``size``, without their masks."""
        counts = counts_of(size, self.window)
        shift = shift_size(self.window, counts, self.always_shift)
        return WindowGrid(self.window, counts), WindowGrid(self.window, counts, shift, cyclic=True)


class Folded(nn.Module):
    """Pictures (B, in_channels, H, W) of any size to logits and the pooled embedding they were computed from, both float32."""

    def __init__(self, model: SwinClassifier, parts: Parts) -> None:
        super().__init__()
        self.embed = FoldedEmbed(model.backbone.patch_embed, parts)
        self.stages = nn.ModuleList(parts.stage(FoldedStage(stage, parts)) for stage in model.backbone.stages)  # type: ignore[arg-type]
        self.norm, self.head = model.norm, model.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x, size = self.embed(images)
        for stage in self.stages:
            x, size = stage(x, size)
        x = F.layer_norm(x.float(), x.shape[-1:])
        pooled = x.mean(dim=1) * self.norm.weight + self.norm.bias  # the mean and the norm's affine part commute
        return self.head(pooled), pooled
