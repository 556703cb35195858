"""The hierarchy: patch partition and embedding, then stages that merge patches and run pairs of blocks (Swin, figure 3a)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import SwinConfig
from .attention import Linear
from .block import Block, LayerNorm, post_norm
from .position_bias import check_memory
from .windows import WindowGrid, counts_of, pad_to


def check_pictures(images: Tensor, channels: int) -> None:
    """Raises :class:`ValueError` unless ``images`` are (batch, ``channels``, height, width)."""
    if images.ndim == 4 and images.shape[1] == channels:
        return
    shape = tuple(images.shape)
    mend = ""
    if images.ndim == 3:
        mend = ". Mend: images[None] makes one picture a batch"
    elif images.ndim == 4 and shape[-1] == channels:
        mend = ". Mend: images.permute(0, 3, 1, 2) puts the channels before height and width"
    raise ValueError(f"expected pictures of shape (batch, {channels}, height, width), got {shape}{mend}")


class PatchEmbed(nn.Module):
    """Patch partition and linear embedding (section 3.1): a convolution whose stride is its kernel.

    Pictures (B, in_channels, H, W) to tokens (B, ceil(H / patch), ceil(W / patch), C); the picture is padded with zeros at
    the bottom and right. ``ape`` adds a learned position embedding, resized where the grid is not the configured one.
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.proj = nn.Conv2d(config.in_channels, config.embed_dim, self.patch, stride=self.patch)
        self.norm = LayerNorm(config.embed_dim)
        self.position = nn.Parameter(torch.zeros(1, *config.grid(0), config.embed_dim)) if config.ape else None

    def forward(self, images: Tensor) -> Tensor:
        unit = self.patch, self.patch
        pixels = pad_to(images.permute(0, 2, 3, 1), counts_of(images.shape[2:], unit), unit)
        x = self.norm(self.proj(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return x if self.position is None else x + self.position_for(x)

    def position_for(self, x: Tensor) -> Tensor:
        """The position embedding, bicubically resized to the grid of ``x`` (B, H, W, C)."""
        assert self.position is not None
        if self.position.shape[1:3] == x.shape[1:3]:
            return self.position
        resized = F.interpolate(self.position.permute(0, 3, 1, 2), size=x.shape[1:3], mode="bicubic", align_corners=False)
        return resized.permute(0, 2, 3, 1)


class PatchMerging(nn.Module):
    """Concatenate each 2x2 neighbours to 4C and reduce them to 2C (section 3.1).

    (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C). Version 1 norms the 4C, version 2 the 2C.
    """

    def __init__(self, width: int, version: int) -> None:
        super().__init__()
        self.norm_first = version == 1
        self.norm = LayerNorm(4 * width if self.norm_first else 2 * width)
        self.reduction = Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = space_to_depth(x)
        return self.reduction(self.norm(x)) if self.norm_first else self.norm(self.reduction(x))


def space_to_depth(x: Tensor) -> Tensor:
    """Each 2x2 neighbours of (B, H, W, C) concatenated, columns outside rows: h0w0, h1w0, h0w1, h1w1, as published.

    (B, ceil(H / 2), ceil(W / 2), 4C); an odd side is padded.
    """
    rows, columns = counts = counts_of(x.shape[1:3], (2, 2))
    x = pad_to(x, counts, (2, 2)).view(x.shape[0], rows, 2, columns, 2, x.shape[3])
    return x.permute(0, 1, 3, 4, 2, 5).flatten(3)


class Stage(nn.Module):
    """Patch merging (except in the first stage), then blocks with regular and shifted windows in turn."""

    def __init__(self, config: SwinConfig, index: int) -> None:
        super().__init__()
        self.window = config.stage_window(index)
        self.always_shift = config.geometry == "dense"
        self.checkpointing = config.gradient_checkpointing
        self.merge = PatchMerging(config.widths[index - 1], config.version) if index else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, index, block) for block in range(config.depths[index]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.merge(x)
        regular = WindowGrid.regular(x, self.window)
        grids = regular, regular.shifted(x, self.always_shift)
        for index, block in enumerate(self.blocks):
            grid = grids[index % 2]
            if self.checkpointing and self.training:
                x = checkpoint(block, x, grid, use_reentrant=False)
            else:
                x = block(x, grid)
        return x


class SwinBackbone(nn.Module):
    """Pictures of any size to a pyramid of feature maps. Raises :class:`UsageError` for windows whose tables do not fit into memory.

    ``embed`` and ``run_stages`` are the two halves, for those who go in between (masked image modelling).
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        on_meta = torch.empty(0).is_meta  # nothing is allocated there, so that any window fits
        if not on_meta:
            check_memory([config.stage_window(stage) for stage, depth in enumerate(config.depths) for _ in range(depth)])
        self.patch_embed = PatchEmbed(config)
        self.stages = nn.ModuleList(Stage(config, index) for index in range(config.num_stages))
        self.apply(initialise)

    def embed(self, images: Tensor) -> Tensor:
        """Pictures (B, in_channels, H, W) to tokens (B, H', W', C)."""
        check_pictures(images, self.config.in_channels)
        return self.patch_embed(images)

    def run_stages(self, x: Tensor) -> list[Tensor]:
        """Tokens (B, H', W', C) to the output of each stage, (B, H_i, W_i, C_i); sides halve, rounded up."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def features(self, images: Tensor) -> list[Tensor]:
        """Raw output of each stage as (B, C_i, H_i, W_i); sides are ceilings, strides patch * 2^i."""
        return [x.permute(0, 3, 1, 2) for x in self.run_stages(self.embed(images))]

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.features(images)


def initialise(module: nn.Module) -> None:
    """The published initialisation, for ``model.apply``; it also fills a model that was built on the meta device.

    Linear layers: truncated normal of 0.02, no bias. Version 2 starts each residual branch at zero by its norm.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()
    elif isinstance(module, PatchEmbed) and module.position is not None:
        nn.init.trunc_normal_(module.position, std=0.02)
    elif isinstance(module, Block):
        for bias in (module.attention.q_bias, module.attention.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)
        if module.branch is post_norm:
            for norm in (module.norm1, module.norm2):
                nn.init.zeros_(norm.weight)
                nn.init.zeros_(norm.bias)
